"""The backward pass: walks the tape from the youngest node to the oldest, without recursion.

What every operation needs is done here and nowhere else: adding up the gradients of a tensor that
was used several times, undoing broadcasting and dtype promotion, hooks, version checks, freeing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from sys import getrefcount
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.grad_mode import anomaly, mode
from lucid._core.op import ARRAYS, TENSORS
from lucid._core.tape import (
    FREED,
    Node,
    Output,
    edge_of,
    fits,
    note_write,
    owns_its_memory,
    wrap,
)
from lucid._core.tensor import Tensor, to_array
from lucid.errors import NonFiniteError

_seq = attrgetter("seq")


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds to ``.grad`` of the leaves the gradient of ``tensors`` with respect to them.

    Args:
        tensors: a tensor or several; the roots of the graph.
        grad_tensors: the gradient of each root; may be left out for roots of one element.
        retain_graph: keep what the graph saved, to go through it again; default ``create_graph``.
        create_graph: record the backward pass itself, for higher derivatives.
        inputs: accumulate into these tensors only.

    Raises:
        RuntimeError: a root does not require grad, or has more than one element and no gradient.
        GraphFreedError: the graph was used before, without ``retain_graph``.
        InPlaceError: something it saved was written to since.

    Example:
        >>> x = lucid.tensor([1.0, 2.0], requires_grad=True)
        >>> lucid.autograd.backward((x * x).sum())
        >>> x.grad
        tensor([2., 4.])
    """
    roots = _roots(_sequence(tensors, "backward"), grad_tensors, "backward", create_graph)
    targets = None
    if inputs is not None:
        targets = _sequence(inputs, "backward")
        if not targets:
            raise RuntimeError(
                "backward: inputs must not be empty; leave it out to reach all leaves"
            )
        _check_inputs(targets, "backward")
    retain = create_graph if retain_graph is None else retain_graph
    found = _run(roots, [edge_of(x) for x in targets] if targets else None, retain, create_graph)
    for x, gradient in zip(targets or (), found, strict=True):
        if gradient is not None:
            _accumulate(x, gradient, create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``; touches no ``.grad``.

    Args:
        outputs, grad_outputs, retain_graph, create_graph: as for :func:`backward`.
        inputs: a tensor or several, leaves or not.
        allow_unused: return ``None`` for an input that the outputs do not depend on.
        materialize_grads: return zeros for such an input.

    Raises:
        RuntimeError: an input does not require grad, or is unused and ``allow_unused`` is not set.

    Example:
        >>> x = lucid.tensor(3.0, requires_grad=True)
        >>> (g,) = lucid.autograd.grad(x**3, x, create_graph=True)
        >>> lucid.autograd.grad(g, x)
        (tensor(18.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "grad: materialize_grads=True allows unused inputs; got allow_unused=False"
        )
    targets = _sequence(inputs, "grad")
    _check_inputs(targets, "grad")
    roots = _roots(_sequence(outputs, "grad"), grad_outputs, "grad", create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    found = _run(roots, [edge_of(x) for x in targets], retain, create_graph)
    results: list[Tensor | None] = []
    for i, (x, gradient) in enumerate(zip(targets, found, strict=True)):
        if gradient is None and materialize_grads:
            gradient = np.zeros_like(x._data)
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on inputs[{i}]; "
                "pass allow_unused=True to get None for it"
            )
        results.append(gradient if gradient is None or create_graph and isinstance(gradient, Tensor)
                       else wrap(_own(gradient)))  # fmt: skip
    return tuple(results)


def _sequence(tensors: Any, caller: str) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    if not hasattr(tensors, "__iter__"):
        raise TypeError(f"{caller}: expected a Tensor or several; got {type(tensors).__name__}")
    found = list(tensors)
    for i, x in enumerate(found):
        if not isinstance(x, Tensor):
            raise TypeError(f"{caller}: expected Tensors; got {type(x).__name__} at position {i}")
    return found


def _check_inputs(inputs: Sequence[Tensor], caller: str) -> None:
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise RuntimeError(f"{caller}: inputs[{i}] does not require grad")


def _roots(
    tensors: Sequence[Tensor], gradients: Any, caller: str, create_graph: bool
) -> list[tuple[Any, Any]]:
    """``(edge, gradient)`` of each root, checked."""
    if gradients is None:
        gradients = [None] * len(tensors)
    elif not isinstance(gradients, (list, tuple)):
        gradients = [gradients]
    if len(gradients) != len(tensors):
        raise RuntimeError(
            f"{caller}: expected a gradient for each of the {len(tensors)} tensors; "
            f"got {len(gradients)}"
        )
    roots = []
    for x, gradient in zip(tensors, gradients, strict=True):
        edge = edge_of(x)
        if edge is None:
            raise RuntimeError(
                f"{caller}: the tensor does not require grad and was not made from one that does; "
                "set requires_grad on the inputs, and compute outside no_grad()"
            )
        if gradient is None:
            if x._data.size != 1:
                raise RuntimeError(
                    f"{caller}: a gradient can be left out only for a tensor of one element; "
                    f"this one has shape {x.shape}: pass gradient=, or reduce it, e.g. by sum()"
                )
            shape, dtype = x._data.shape, x._data.dtype
            gradient = _ones.get(dtype) if shape == () else None
            if gradient is None:
                gradient = np.ones(shape, dtype)
        else:
            array = gradient._data if isinstance(gradient, Tensor) else None
            if array is None:
                array = to_array(gradient, x._data.dtype, caller, copy=False)
            if array.shape != x._data.shape:
                raise RuntimeError(
                    f"{caller}: the gradient must have the tensor's shape {x.shape}; "
                    f"got {array.shape}"
                )
            if not (create_graph and isinstance(gradient, Tensor)):
                gradient = array
        if create_graph and not isinstance(gradient, Tensor):
            gradient = wrap(gradient)
        roots.append((edge, gradient))
    return roots


_ones = {dtype: np.ones((), dtype) for dtype in dtypes.ALL if dtype.kind in "fc"}
"""Where nearly every backward pass starts; read-only, since they are shared."""
for _one in _ones.values():
    _one.flags.writeable = False


def _reachable(roots: Iterable[Any]) -> list[Node]:
    """Every node below the roots, the youngest first."""
    stack = [edge for edge in roots if isinstance(edge, Node)]
    seen: set[Any] = set(stack)
    while stack:
        node = stack.pop()
        for edge in node.inputs:
            if isinstance(edge, Node) and edge not in seen:
                seen.add(edge)
                stack.append(edge)
    return sorted(seen, key=_seq, reverse=True)


def _leading_to(nodes: Sequence[Any], targets: set[Any]) -> set[Any]:
    """The nodes from which a gradient can reach a target."""
    wanted = set(targets)
    for node in reversed(nodes):
        if any(edge in wanted for edge in node.inputs if edge is not None):
            wanted.add(node)
    return wanted


def _run(
    roots: Sequence[tuple[Any, Any]], targets: list[Any] | None, retain: bool, create_graph: bool
) -> list[Any]:
    """Carries the roots' gradients down the tape; into the leaves' ``.grad`` without targets."""
    nodes = _reachable(edge for edge, _ in roots)
    wanted = None if targets is None else _leading_to(nodes, set(targets))
    captured: dict[Any, Any] = {}
    # Rules run on arrays and record nothing, or on tensors and record everything.
    F = TENSORS if create_graph else ARRAYS
    recording, mode.recording = mode.recording, create_graph
    pending: dict[Any, Any] = {}  # the gradients on their way, added up per edge
    summed: set[Any] = set()  # the edges whose gradient is a sum in memory of its own
    try:
        for edge, gradient in roots:
            _add(pending, summed, edge, gradient)
        for node in nodes:
            gradient = pending.pop(node, None)
            if gradient is None or wanted is not None and node not in wanted:
                continue
            if node.hooks:
                gradient = _run_hooks(node.hooks, gradient, node.shape, node.name)
            if targets is not None and node in targets:
                captured[node] = gradient
            if isinstance(node, Output):
                _add_output(pending, node, gradient)
                continue
            node.check()
            saved = _as_tensors(node) if create_graph else node.saved
            plan = node.plan
            for index, rule, arguments in plan.rules:
                result = rule(F, gradient, *(saved if arguments is None else arguments(saved)))
                if anomaly.mode:
                    _check_anomaly(node, result)
                if index < 0:  # one rule for all inputs
                    if len(result) != len(node.inputs):
                        raise RuntimeError(
                            f"backward: the rule of {node.name} must return a gradient for each of "
                            f"its {len(node.inputs)} inputs; got {len(result)}"
                        )
                    for i, part in enumerate(result):
                        if part is not None and node.inputs[i] is not None:
                            _add(pending, summed, node.inputs[i], part)
                elif result is not None:
                    _add(pending, summed, node.inputs[index], result)
            if not retain and node.versions:
                node.saved, node.versions = FREED, ()
        # Or a leaf's gradient might look as if somebody else held it.
        gradient = result = part = saved = None
        for leaf in list(pending):  # only leaves are left
            if wanted is not None and leaf not in wanted:
                continue
            # Held by ``pending`` and the call: nobody else will write to it.
            unshared = getrefcount(pending[leaf]) == 2
            gradient = pending.pop(leaf)
            if leaf._hooks:
                gradient = _run_hooks(leaf._hooks, gradient, leaf.shape, "a leaf")
                unshared = False
            if targets is None:
                _accumulate(leaf, gradient, create_graph, unshared)
            else:
                captured[leaf] = gradient
    finally:
        mode.recording = recording
    return [] if targets is None else [captured.get(edge) for edge in targets]


def _add(pending: dict[Any, Any], summed: set[Any], edge: Any, gradient: Any) -> None:
    """Adds to the gradient that waits at ``edge``."""
    if not fits(gradient, edge):
        gradient = _fit(gradient, edge)
    before = pending.get(edge)
    if before is None:
        pending[edge] = gradient
    elif isinstance(before, Tensor):
        pending[edge] = TENSORS.add(before, gradient)
    elif edge in summed:
        ARRAYS.add_(before, gradient)
    else:
        pending[edge] = ARRAYS.add(before, gradient)
        summed.add(edge)


def _add_output(pending: dict[Any, Any], output: Output, gradient: Any) -> None:
    """The same for one of several outputs: its place in the list that waits at the node."""
    gradients = pending.get(output.node)
    if gradients is None:
        gradients = pending[output.node] = [None] * len(output.node.shape)
    before = gradients[output.index]
    gradients[output.index] = gradient if before is None else before + gradient


def _as_tensors(node: Node) -> tuple[Any, ...]:
    """What the node saved, as tensors that lead on to where they came from."""
    saved = list(node.saved)
    for place, index, _ in node.plan.tracked:
        value = saved[place]
        if isinstance(value, tuple):
            saved[place] = tuple([_leading(x, Output(node, i, x)) for i, x in enumerate(value)])
        elif isinstance(value, np.ndarray):
            if index >= 0:
                edge = node.inputs[index]
            else:
                several = isinstance(node.dtype, tuple)
                edge = Output(node, -1 - index, value) if several else node
            saved[place] = _leading(value, edge)
    return tuple(saved)


def _leading(array: np.ndarray, edge: Any) -> Tensor:
    """A tensor of these values whose gradient goes to ``edge``."""
    if isinstance(edge, Tensor):
        return edge if edge._data.dtype is array.dtype else TENSORS.cast(edge, array.dtype)
    tensor = wrap(array)
    if edge is not None and array.dtype.kind in "fc":
        tensor._node, tensor._requires_grad = edge, True
    return tensor


def _fit(gradient: Any, edge: Any) -> Any:
    """Undoes broadcasting and promotion: the gradient in the shape and dtype of what it is for."""
    F = TENSORS if isinstance(gradient, Tensor) else ARRAYS
    if F is ARRAYS:
        gradient = np.asarray(gradient)
    if gradient.dtype.kind == "c" and edge.dtype.kind != "c":
        gradient = F.real(gradient)
    if gradient.dtype != edge.dtype:
        gradient = F.cast(gradient, edge.dtype)
    if gradient.shape != edge.shape:
        if not _broadcasts(edge.shape, gradient.shape):
            raise RuntimeError(
                f"backward: the gradient for a tensor of shape {edge.shape} must have that shape "
                f"or one that it broadcasts to; got {gradient.shape}"
            )
        gradient = F.sum_to(gradient, edge.shape)
    return gradient


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of this shape broadcasts to the other."""
    return len(shape) <= len(to) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False)
    )


def _run_hooks(hooks: list[Callable[..., Any]], gradient: Any, shape: Any, name: str) -> Any:
    is_tensor = isinstance(gradient, Tensor)
    if not is_tensor and not gradient.flags.writeable:
        gradient = gradient.copy()
    tensor = gradient if is_tensor else wrap(gradient)
    for hook in list(hooks):
        result = hook(tensor)
        if result is None:
            continue
        if not isinstance(result, Tensor) or result.shape != shape or result.dtype != tensor.dtype:
            found = f"{result.shape} and {result.dtype}" if isinstance(result, Tensor) else (
                type(result).__name__
            )  # fmt: skip
            raise RuntimeError(
                f"hook of {name}: must return None or a Tensor of the gradient's shape {shape} and "
                f"dtype {tensor.dtype}; got {found}"
            )
        tensor = result
    return tensor if is_tensor else tensor._data


def _own(gradient: Any) -> np.ndarray:
    """The gradient in memory that nobody else refers to: itself where that is so, else a copy."""
    array = gradient._data if isinstance(gradient, Tensor) else gradient
    return array.copy()


def _accumulate(leaf: Tensor, gradient: Any, create_graph: bool, unshared: bool = False) -> None:
    """Adds to ``leaf.grad``; a gradient that nobody else holds becomes ``.grad`` without a copy."""
    before = leaf._grad
    if isinstance(gradient, Tensor):
        leaf._grad = gradient.clone() if before is None else before + gradient
    elif before is None:
        if not (unshared and owns_its_memory(gradient)):
            gradient = gradient.copy()
        leaf._grad = wrap(gradient)
    elif create_graph or before._node is not None:
        leaf._grad = wrap(before._data + gradient)
    else:
        ARRAYS.add_(before._data, gradient)
        note_write(before)
    if leaf._accumulate_hooks:
        for hook in list(leaf._accumulate_hooks):
            hook(leaf)


# -------------------------------------------------------------------- anomaly detection


class detect_anomaly:  # noqa: N801
    """Finds the first operation whose backward makes a NaN, and where it was called.

    Inside, every recorded operation remembers its call stack, and backward raises
    :class:`lucid.errors.NonFiniteError` at the first gradient with a NaN.

    Args:
        check_nan: whether to look for NaNs; without, only the call stacks are kept.

    Example:
        >>> x = lucid.tensor(-1.0, requires_grad=True)
        >>> with lucid.autograd.detect_anomaly():
        ...     lucid.sqrt(x).backward()
        Traceback (most recent call last):
        lucid.errors.NonFiniteError: ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self._outside: list[str] = []

    def __enter__(self) -> None:
        self._outside.append(anomaly.mode)
        anomaly.mode = "nan" if self.check_nan else "trace"

    def __exit__(self, *exc: object) -> None:
        anomaly.mode = self._outside.pop()


def _check_anomaly(node: Node, result: Any) -> None:
    if result is None or anomaly.mode != "nan":
        return
    if isinstance(result, (tuple, list)):
        for part in result:
            _check_anomaly(node, part)
        return
    array = result._data if isinstance(result, Tensor) else np.asarray(result)
    if np.isnan(array).any():
        where = f"; it was called here:\n{node.trace}" if node.trace else (
            " (run the forward pass inside detect_anomaly() too to see where it was called)"
        )  # fmt: skip
        raise NonFiniteError(
            f"backward: {node.name} returned a gradient with NaN in it "
            f"({int(np.isnan(array).sum())} of {array.size} elements){where}"
        )


def _tensor_backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    backward(self, None if gradient is None else [gradient], retain_graph, create_graph, inputs)


_tensor_backward.__doc__ = backward.__doc__
_tensor_backward.__name__ = "backward"
Tensor.backward = _tensor_backward  # type: ignore[assignment, method-assign]
__all__ = ["backward", "detect_anomaly", "grad"]
