"""In-place operations: made from an operation and a way to write its result.

``x.mul_(y)`` computes what ``mul(x, y)`` computes, in ``x``'s memory, and replaces ``x``'s node by
the one that ``mul`` would have made. Where ``x`` is a view, it is the base whose node is replaced,
by "the base with this part written over", and the views take their nodes from it anew when they
are next used (:func:`lucid._core.tape.refresh`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.grad_mode import mode
from lucid._core.op import (
    TENSORS,
    UNTOUCHED,
    Op,
    Plan,
    _operand,
    edges_of,
    explained,
    marks,
    record,
    stand_in,
)
from lucid._core.tape import Variable, edge_of, memory_of, wrap
from lucid._core.tensor import Tensor, view_chain


def in_place(operation: Any, write: Callable[..., None] | None = None) -> Any:
    """The in-place form of ``operation``: ``name_``.

    Args:
        operation: a declared operation whose first input is what is overwritten.
        write: ``write(array, *other arrays, *attributes)`` puts the result into ``array``; without
            it the forward function's result is copied over.
    """
    op: Op = operation.op

    def call(x: Any, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"{op.name}_: x must be a Tensor; got {type(x).__name__}")
        bound = op.bind((x, *args), kwargs)
        count = len(op.inputs)
        inputs, attributes = [_known(value, op) for value in bound[:count]], bound[count:]
        edges = _edges(op, x, inputs)
        memory = memory_of(x)
        arrays: list[Any] = [None if value is None else value._data for value in inputs]
        for other in arrays[1:]:
            _check_fits(other, x._data, op)
        if not x._data.flags.writeable:
            raise ValueError(f"{op.name}_: the tensor's memory is read-only")
        plan = None if edges is None else op.plan(marks(edges))
        kept = arrays
        if plan is not None and any(index == 0 for _, index, _ in plan.tracked):
            kept = [arrays[0].copy(), *arrays[1:]]  # the rules need what is overwritten
        try:
            if write is None:
                _copy_over(op, x._data, op.forward(*arrays, *attributes))
            else:
                write(*arrays, *attributes)
        except (ValueError, OverflowError) as error:
            raise explained(f"{op.name}_", arrays, error) from None
        before = memory.version
        memory.version += 1
        if plan is not None:
            _replace_node(plan, x, edges, inputs, kept, attributes, before)
        return x

    call.op = op  # type: ignore[attr-defined]
    call.__name__ = call.__qualname__ = f"{op.name}_"
    call.__doc__ = f"In-place :func:`lucid.{op.name}`: overwrites and returns ``x``."
    return call


def _edges(op: Op, x: Tensor, inputs: list[Any]) -> tuple[Any, ...] | None:
    """An edge per input, or None where nothing is to be recorded; refuses what must not be."""
    if not mode.recording:
        return None
    edges = edges_of(inputs)
    base = x if x._view is None else x._base
    if isinstance(edges[0], Tensor) or (
        base is not None and base._requires_grad and not base._node
    ):
        raise RuntimeError(
            f"{op.name}_: a leaf that requires grad, or a view of one, cannot be changed in place "
            "while operations are recorded; do it inside lucid.no_grad(), or out of place"
        )
    return edges if any(edge is not None for edge in edges) else None


def _known(value: Any, op: Op) -> Variable | None:
    if value is None or isinstance(value, Variable):
        return value
    return stand_in(_operand(value, op))


def _check_fits(other: Any, array: np.ndarray, op: Op) -> None:
    if isinstance(other, (float, complex)) and array.dtype.kind in "iub" or (
        isinstance(other, complex) and array.dtype.kind == "f"
    ):  # fmt: skip
        raise RuntimeError(
            f"{op.name}_: the result would not fit the tensor's dtype {array.dtype}: {other!r}; "
            "use the out-of-place operation"
        )


def _copy_over(op: Op, array: np.ndarray, out: Any) -> None:
    if np.shape(out) != array.shape:
        raise RuntimeError(
            f"{op.name}_: the result's shape {np.shape(out)} differs from the tensor's "
            f"{array.shape}"
        )
    if dtypes.category(np.asarray(out).dtype) > dtypes.category(array.dtype):
        raise RuntimeError(
            f"{op.name}_: the result's dtype {out.dtype} would not fit the tensor's {array.dtype}; "
            "use the out-of-place operation"
        )
    np.copyto(array, out, casting="unsafe")


def _replace_node(
    plan: Plan,
    x: Tensor,
    edges: Any,
    inputs: list[Any],
    arrays: list[Any],
    attributes: list[Any],
    before: int,
) -> None:
    memory = memory_of(x)
    result = wrap(x._data)
    result._base = x if x._base is None else x._base
    record(plan, edges, inputs, arrays, attributes, result)
    node = result._node
    # Of the tensor itself a copy was kept; what was kept of another view of its memory has been
    # written over, and backward is to say so.
    node.versions = tuple(
        (UNTOUCHED, UNTOUCHED.version) if index == 0
        else (memory, before)
        if index > 0 and inputs[index] is not None and memory_of(inputs[index]) is memory
        else version
        for version, (_, index, _) in zip(node.versions, plan.tracked, strict=True)
    )  # fmt: skip
    if x._view is None:
        _continue_from(x, node)
        return
    base = x._base
    assert base is not None
    write_view = TENSORS.write_view.op
    edges = (edge_of(base), node)
    whole = wrap(base._data)
    plan = write_view.plan(2 + (edges[0] is not None))
    record(plan, edges, (base, x), (base._data, x._data), (view_chain(x),), whole)
    _continue_from(base, whole._node)


def _continue_from(tensor: Tensor, node: Any) -> None:
    """Gives a tensor that is no view the node of its new contents."""
    tensor._node, tensor._requires_grad = node, True
    tensor._generation += 1
    if tensor._retains_grad is not None:  # the gradient to keep is that of the new contents
        tensor._retains_grad.remove()
        tensor._retains_grad = None
        tensor.retain_grad()
