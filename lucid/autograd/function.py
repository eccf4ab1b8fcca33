"""Operations of the user's own: a forward and a backward method, recorded like any other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from lucid._core.grad_mode import is_grad_enabled, no_grad
from lucid._core.op import record_function
from lucid._core.tensor import Tensor

__all__ = ["Function", "FunctionContext", "once_differentiable"]


class FunctionContext:
    """What ``forward`` leaves for ``backward``.

    Attributes:
        needs_input_grad: for each argument of ``forward``, whether its gradient is wanted.
        saved_tensors: what :meth:`save_for_backward` was given.
    """

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._to_save: tuple[Any, ...] = ()
        self._saved: tuple[Any, ...] = ()
        self._not_differentiable: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs, outputs or intermediate results for ``backward``."""
        for i, x in enumerate(tensors):
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    f"save_for_backward: argument {i} must be a Tensor or None; "
                    f"got {type(x).__name__}: set other values as attributes of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        return self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that these outputs have no gradient."""
        self._not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Says that ``forward`` has written to these inputs in place."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing output gradients arrive as zeros (the default) or as None."""
        self._materialize = bool(value)


class Function:
    """A differentiable operation with a gradient written by hand.

    Subclass it with two static methods and call it by :meth:`apply`: ``forward(ctx, *args)``
    computes (nothing is recorded inside), ``backward(ctx, *grad_outputs)`` returns one gradient
    per argument of ``forward``, None for those that are not tensors. A ``backward`` made of lucid
    operations can itself be differentiated.

    Example:
        >>> class Cube(lucid.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x * x
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return g * 3 * x * x
        >>> x = lucid.tensor(2.0, requires_grad=True)
        >>> Cube.apply(x).backward()
        >>> x.grad
        tensor(12.)
    """

    @staticmethod
    def forward(ctx: FunctionContext, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("Function: define the static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: FunctionContext, *grad_outputs: Any) -> Any:
        raise NotImplementedError("Function: define the static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs ``forward`` and records it."""
        ctx = FunctionContext()
        ctx.needs_input_grad = tuple(
            isinstance(x, Tensor) and x.requires_grad and is_grad_enabled() for x in args
        )
        with no_grad():
            results = cls.forward(ctx, *args, **kwargs)
        several = isinstance(results, tuple)
        outs = results if several else (results,)
        for i, out in enumerate(outs):
            if not isinstance(out, Tensor):
                raise TypeError(
                    f"{cls.__name__}.forward: must return a Tensor or a tuple of them; "
                    f"got {type(out).__name__}" + (f" at position {i}" if several else "")
                )
        if not any(ctx.needs_input_grad):
            return results
        # An input that is returned as it is must not become its own history.
        outs = tuple(
            out.detach() if any(out is x for x in args) and not any(out is d for d in ctx._dirty)
            else out
            for out in outs
        )  # fmt: skip
        recorded = record_function(cls, ctx, args, outs)
        return recorded if several else recorded[0]


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a ``backward`` that is right only once: differentiating its result raises."""

    @functools.wraps(backward)
    def wrapped(ctx: FunctionContext, *gradients: Any) -> Any:
        recording = is_grad_enabled()
        with no_grad():
            results = backward(ctx, *gradients)
        if not recording:
            return results
        origins = [x for x in (*gradients, *ctx.saved_tensors) if x is not None]
        several = isinstance(results, tuple)
        found = [
            None if r is None else _Refuse.apply(r, *origins)
            for r in (results if several else (results,))
        ]
        return tuple(found) if several else found[0]

    return wrapped


class _Refuse(Function):
    @staticmethod
    def forward(ctx: FunctionContext, result: Tensor, *gradients: Tensor) -> Tensor:
        return result.detach()

    @staticmethod
    def backward(ctx: FunctionContext, *gradients: Any) -> Any:
        raise RuntimeError("backward: this Function is marked once_differentiable")
