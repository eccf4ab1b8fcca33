"""Operations of neural networks: activations, soft maxima, losses, embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.grad_mode import mode
from lucid._core.op import fused_rule, operation, record
from lucid._core.tensor import Tensor, edge_of, wrap
from lucid.errors import ShapeError
from lucid.ops._dims import one_dim

Array = np.ndarray


def _real(x: Array, caller: str) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{caller}: x must be floating point; got {x.dtype}")


# -------------------------------------------------------------------- soft maxima


def _along(kernel: Callable[..., Array], dim: int, *arrays: Array) -> Array:
    """A kernel on rows applied along ``dim``."""
    ndim = arrays[0].ndim
    if ndim == 0 or dim in (-1, ndim - 1):
        return kernel(*arrays)
    return np.moveaxis(kernel(*[np.moveaxis(x, dim, -1) for x in arrays]), -1, dim)


@operation(1)
def softmax(x: Array, dim: int, dtype: Any = None) -> Array:
    r"""Shares that add up to 1 along ``dim``: :math:`e^{x_i} / \sum_j e^{x_j}`.

    Args:
        x: a floating-point tensor.
        dim: the dimension to normalise.
        dtype: cast to this first.

    Raises:
        TypeError: ``x`` is not floating point.

    Example:
        >>> lucid.softmax(lucid.tensor([0.0, 0.0]), 0)
        tensor([0.5, 0.5])
    """
    x = x if dtype is None else x.astype(dtype)
    _real(x, "softmax")
    return _along(B.softmax, one_dim(dim, x.ndim, "softmax"), x)


softmax.gradient(x=lambda F, g, out, dim: F.softmax_backward(g, out, dim))
fused_rule(
    "softmax_backward",
    lambda g, out, dim: _along(B.softmax_backward, dim, g, out),
    lambda F, g, out, dim: F.mul(out, F.sub(g, F.sum(F.mul(g, out), dim, True, None))),
)


@operation(1)
def log_softmax(x: Array, dim: int, dtype: Any = None) -> Array:
    r"""Logarithm of :func:`softmax`, accurate where it underflows: :math:`x_i - \log\sum_j e^{x_j}`.

    The arguments are those of :func:`softmax`.
    """
    x = x if dtype is None else x.astype(dtype)
    _real(x, "log_softmax")
    return _along(B.log_softmax, one_dim(dim, x.ndim, "log_softmax"), x)


log_softmax.gradient(x=lambda F, g, out, dim: F.log_softmax_backward(g, out, dim))
fused_rule(
    "log_softmax_backward",
    lambda g, out, dim: _along(B.log_softmax_backward, dim, g, out),
    lambda F, g, out, dim: F.sub(g, F.mul(F.exp(out), F.sum(g, dim, True, None))),
)


# -------------------------------------------------------------------- cross-entropy

def _rows(x: Array) -> Array:
    """Logits as (rows, classes): the classes are dimension 1, or 0 of a single sample."""
    if x.ndim == 2:
        return x
    return x.reshape(1, -1) if x.ndim == 1 else np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _check_classes(x: Array, target: Array) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"cross_entropy: x must be floating point; got {x.dtype}")
    if x.ndim == 0:
        raise ShapeError("cross_entropy: x must have shape (N, C, ...) or (C,); it is 0-d")
    expected = (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()
    if target.shape != expected:
        raise ShapeError(
            f"cross_entropy: target must have shape {expected}, a class for each of x {x.shape}, "
            f"or x's own with probabilities; got {target.shape}"
        )


def _cross_entropy(
    x: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> tuple[Array, Array, float]:
    """The loss, what backward needs of the rows, and what the mean divided by."""
    if x.ndim == 2 and target.ndim == 1:
        return B.cross_entropy(x, target, weight, ignore_index, label_smoothing, reduction)
    _check_classes(x, target)
    loss, kept, total = B.cross_entropy(
        _rows(x), target.reshape(-1), weight, ignore_index, label_smoothing, reduction
    )
    return (loss.reshape(target.shape) if reduction == "none" else loss), kept, total


@operation(3)
def cross_entropy(
    x: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    kept: Any = None,
    total: Any = None,
) -> Array:
    r"""Negative log-likelihood of the target classes under softmax: :math:`-\log p_t`.

    One pass forward and one backward, in which the probabilities are never stored. This is the
    core of :func:`lucid.nn.functional.cross_entropy`.

    Args:
        x: logits ``(N, C)``, ``(N, C, d1, ...)`` or ``(C,)``.
        target: class indices of the same shape without the classes.
        weight: a factor for each class.
        ignore_index: a target that counts for nothing.
        label_smoothing: how much of the probability is spread over all classes.
        reduction: "mean" (over the weights of the targets that count), "sum" or "none".
        kept, total: what forward leaves for backward; not to be given.
    """
    return _cross_entropy(x, target, weight, ignore_index, label_smoothing, reduction)[0]


_cross_entropy_op = cross_entropy.op


def cross_entropy_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """:func:`cross_entropy` recorded together with what its kernel leaves for backward."""
    logits, classes = x._data, target._data
    weights = None if weight is None else weight._data
    out, kept, total = _cross_entropy(
        logits, classes, weights, ignore_index, label_smoothing, reduction
    )
    result = wrap(out)
    if mode.recording and (edge := edge_of(x)) is not None:
        record(
            _cross_entropy_op.plan(1),
            (edge, None, None),
            (x, target, weight),
            (logits, classes, weights),
            (ignore_index, label_smoothing, reduction, kept, total),
            result,
        )
    return result


cross_entropy.gradient(
    x=lambda F, g, x, target, weight, ignore_index, label_smoothing, reduction, kept, total: (
        F.cross_entropy_backward(
            g, x, target, weight, ignore_index, label_smoothing, reduction, kept, total
        )
    )
)


def _cross_entropy_backward(
    g: Array,
    x: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    kept: Any,
    total: Any,
) -> Array:
    settings = (weight, ignore_index, label_smoothing, reduction)
    if x.ndim == 2:
        return B.cross_entropy_backward(g, x, target, kept, total, *settings)
    rows = B.cross_entropy_backward(g, _rows(x), target.reshape(-1), kept, total, *settings)
    if x.ndim == 1:
        return rows.reshape(x.shape)
    return np.moveaxis(rows.reshape(x.shape[0], *x.shape[2:], x.shape[1]), -1, 1)


def _cross_entropy_backward_composed(
    F: Any,  # noqa: N803
    g: Any,
    x: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    kept: Any,
    total: Any,
) -> Any:
    dim = min(1, x.ndim - 1)
    wanted = _target_distribution(
        x.shape, x.dtype, _array(target), _array(weight), ignore_index, label_smoothing
    )
    spread = F.sub(F.mul(F.softmax(x, dim, None), wanted.sum(dim, keepdims=True)), wanted)
    if reduction == "none":
        g = F.reshape(g, (*x.shape[:dim], 1, *x.shape[dim + 1 :]))
    elif reduction == "mean":
        g = F.div(g, total)
    return F.mul(spread, g)


def _array(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _target_distribution(
    shape: tuple[int, ...],
    dtype: Any,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
) -> Array:
    """The (weighted, smoothed) probabilities that class indices stand for; 0 where ignored."""
    dim = min(1, len(shape) - 1)
    count = shape[dim]
    weights = np.ones(count, dtype) if weight is None else weight.astype(dtype)
    counts = np.expand_dims(target != ignore_index, dim)
    place = np.expand_dims(np.where(target == ignore_index, 0, target), dim)
    out = np.broadcast_to(
        weights.reshape(-1, *[1] * (len(shape) - dim - 1)) * (label_smoothing / count), shape
    ).copy()
    hit = np.take_along_axis(out, place, dim) + (1 - label_smoothing) * weights[place]
    np.put_along_axis(out, place, hit.astype(dtype), dim)
    return np.where(counts, out, out.dtype.type(0))


fused_rule(
    "cross_entropy_backward", _cross_entropy_backward, _cross_entropy_backward_composed
)


# -------------------------------------------------------------------- hooks


@operation(None)
def gate(xs: list[Array], see: Callable[..., Any]) -> tuple[Array, ...]:
    """Copies of tensors whose gradients all pass through ``see`` together.

    Args:
        xs: the tensors.
        see: gets a tuple with each one's gradient (a Tensor, or None where none arrived) and
            returns a tuple of the same length.
    """
    return tuple([x.copy() for x in xs])


@gate.gradient
def _(F, g, see):  # noqa: N803
    on_tensors = any(isinstance(x, Tensor) for x in g)
    seen = see(tuple([wrap(x) if isinstance(x, Array) else x for x in g]))
    return seen if on_tensors else tuple([None if x is None else x._data for x in seen])


FUNCTIONS = METHODS = ["softmax", "log_softmax"]
