"""Operations of neural networks: soft maxima, losses, normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import fused_rule, operation, recorded
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops._checks import check_floating
from lucid.ops._dims import one_dim

Array = np.ndarray


# -------------------------------------------------------------------- soft maxima


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
        tensor([0.5000, 0.5000])
    """
    x = x if dtype is None else x.astype(dtype)
    check_floating(x, "softmax")
    return B.softmax(x, one_dim(dim, x.ndim, "softmax"))


softmax.gradient(x=lambda F, g, out, dim: F.softmax_backward(g, out, dim))
fused_rule(
    "softmax_backward",
    B.softmax_backward,
    lambda F, g, out, dim: F.mul(out, F.sub(g, F.sum(F.mul(g, out), dim, True, None))),
)


@operation(1)
def log_softmax(x: Array, dim: int, dtype: Any = None) -> Array:
    r"""Logarithm of :func:`softmax`, also where that underflows: :math:`x_i - \log\sum_j e^{x_j}`.

    The arguments are those of :func:`softmax`.
    """
    x = x if dtype is None else x.astype(dtype)
    check_floating(x, "log_softmax")
    return B.log_softmax(x, one_dim(dim, x.ndim, "log_softmax"))


log_softmax.gradient(x=lambda F, g, out, dim: F.log_softmax_backward(g, out, dim))
fused_rule(
    "log_softmax_backward",
    B.log_softmax_backward,
    lambda F, g, out, dim: F.sub(g, F.mul(F.exp(out), F.sum(g, dim, True, None))),
)


# -------------------------------------------------------------------- cross-entropy


def _check_classes(x: Array, target: Array, caller: str) -> None:
    check_floating(x, caller)
    if x.ndim == 0:
        raise ShapeError(f"{caller}: x must have shape (N, C, ...) or (C,); it is 0-d")
    expected = (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()
    if target.shape != expected:
        raise ShapeError(
            f"{caller}: target must have shape {expected}, a class for each of x {x.shape}; "
            f"got {target.shape}"
        )


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
    _check_classes(x, target, "cross_entropy")
    return B.cross_entropy(x, target, weight, ignore_index, label_smoothing, reduction)[0]


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
    if logits.ndim != 2 or classes.ndim != 1:  # a frequent case, which the kernel checks as well
        _check_classes(logits, classes, "cross_entropy")
    out, kept, total = B.cross_entropy(
        logits, classes, weights, ignore_index, label_smoothing, reduction
    )
    attributes = (ignore_index, label_smoothing, reduction, kept, total)
    return recorded(
        _cross_entropy_op, (x, target, weight), (logits, classes, weights), attributes, out
    )


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
    reduction: Any,
    kept: Any,
    total: Any,
) -> Array:
    return B.cross_entropy_backward(
        g, x, target, kept, total, weight, ignore_index, label_smoothing, reduction
    )


def _cross_entropy_backward_composed(
    F: Any,
    g: Any,
    x: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    label_smoothing: float,
    reduction: Any,
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


fused_rule("cross_entropy_backward", _cross_entropy_backward, _cross_entropy_backward_composed)


# -------------------------------------------------------------------- robust losses


@operation(1, floating=True)
def huber(x: Array, delta: float, scale: float) -> Array:
    """``scale * x^2 / 2`` where ``|x| < delta``, else ``scale * delta * (|x| - delta / 2)``."""
    check_floating(x, "huber")
    return B.huber(x, delta, scale)


huber.gradient(x=lambda F, g, x, delta, scale: F.mul(g, F.mul(F.hardtanh(x, -delta, delta), scale)))


# -------------------------------------------------------------------- negative log-likelihood


@operation(3)
def nll_loss(
    x: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    total: Any = None,
) -> Array:
    """``-weight[t] * x[:, t]`` of each target class: core of :func:`lucid.nn.functional.nll_loss`.

    The arguments are those of :func:`cross_entropy`.
    """
    _check_classes(x, target, "nll_loss")
    return B.nll_loss(x, target, weight, ignore_index, reduction)[0]


_nll_loss_op = nll_loss.op


def nll_loss_of(
    x: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str
) -> Tensor:
    """:func:`nll_loss` recorded together with what its kernel leaves for backward."""
    logs, classes = x._data, target._data
    weights = None if weight is None else weight._data
    _check_classes(logs, classes, "nll_loss")
    out, total = B.nll_loss(logs, classes, weights, ignore_index, reduction)
    attributes = (ignore_index, reduction, total)
    return recorded(_nll_loss_op, (x, target, weight), (logs, classes, weights), attributes, out)


nll_loss.gradient(
    x=lambda F, g, x_shape, target, weight, ignore_index, reduction, total: F.nll_loss_backward(
        g, target, weight, x_shape, ignore_index, reduction, total
    )
)


@operation(3)
def nll_loss_backward(
    g: Array,
    target: Array,
    weight: Array | None,
    shape: tuple[int, ...],
    ignore_index: int,
    reduction: Any,
    total: Any,
) -> Array:
    """Gradient of :func:`nll_loss`: zeros of ``shape`` with ``-weight * g`` at the targets."""
    return B.nll_loss_backward(g, shape, target, total, weight, ignore_index, reduction)


nll_loss_backward.gradient(
    g=lambda F, g, target, weight, ignore_index, reduction, total: F.nll_loss(
        g, target, weight, ignore_index, reduction, total
    )
)


@operation(2)
def binary_cross_entropy(x: Array, y: Array) -> Array:
    r"""Unreduced :math:`-y \log x - (1 - y) \log(1 - x)`, each logarithm at least -100."""
    check_floating(x, "binary_cross_entropy")
    with np.errstate(all="ignore"):
        if x.size and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError("binary_cross_entropy: all elements of input must be in [0, 1]")
        positive = np.maximum(B.log(x), -100)
        negative = np.maximum(B.log1p(B.neg(x)), -100)
        return (y - 1) * negative - y * positive


binary_cross_entropy.gradient(
    x=lambda F, g, x, y: F.div(F.mul(g, F.sub(x, y)), F.maximum(F.mul(F.sub(1.0, x), x), 1e-12)),
    y=lambda F, g, x: F.mul(
        g, F.sub(F.maximum(F.log1p(F.neg(x)), -100.0), F.maximum(F.log(x), -100.0))
    ),
)


# -------------------------------------------------------------------- normalisation


def _wanted(parts: tuple[Array, ...], need: tuple[bool, ...]) -> tuple[Array | None, ...]:
    """The gradients of a kernel that makes all of them, without those that nobody needs."""
    return tuple([part if wanted else None for part, wanted in zip(parts, need, strict=True)])


def _normal(F: Any, x: Any, dims: Any, eps: float) -> tuple[Any, Any]:
    """``x`` with mean 0 and variance 1 along ``dims``, and what it was scaled by."""
    centred = F.sub(x, F.mean(x, dims, True, None))
    scale = F.rsqrt(F.add(F.mean(F.mul(centred, centred), dims, True, None), eps))
    return F.mul(centred, scale), scale


def _through_normal(F: Any, g: Any, normal: Any, scale: Any, dims: Any) -> Any:
    """The gradient of what became ``normal`` there."""
    along = F.mul(normal, F.mean(F.mul(g, normal), dims, True, None))
    return F.mul(F.sub(F.sub(g, F.mean(g, dims, True, None)), along), scale)


@operation(3)
def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    mean: Any = None,
    var: Any = None,
) -> Array:
    r"""Rows with mean 0 and variance 1, scaled and shifted: the core of ``functional.layer_norm``.

    Args:
        x: normalised along the last dimension.
        weight, bias: of the size of that dimension, or None.
        eps: added to the variance.
        mean, var: what forward leaves for backward; not to be given.
    """
    return B.layer_norm(x, weight, bias, eps)[0]


def layer_norm_rows(x: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
    """:func:`layer_norm` recorded together with what its kernel leaves for backward."""
    inputs = (x, weight, bias)
    arrays: list[Any] = [t if t is None else t._data for t in inputs]
    out, mean, var = B.layer_norm(arrays[0], arrays[1], arrays[2], eps)
    return recorded(layer_norm.op, inputs, arrays, (eps, mean, var), out)


layer_norm.gradient(
    lambda F, g, need, x, weight, eps, mean, var: F.layer_norm_backward(
        g, x, weight, eps, mean, var, *need
    )
)


def _layer_norm_backward(
    g: Array, x: Array, weight: Array | None, eps: float, mean: Array, var: Array,
    need_x: bool, need_weight: bool, need_bias: bool,
) -> tuple[Array | None, ...]:  # fmt: skip
    parts = B.layer_norm_backward(g, x, mean, var, weight, eps)
    return _wanted(parts, (need_x, need_weight, need_bias))


def _layer_norm_backward_composed(
    F: Any, g: Any, x: Any, weight: Any, eps: float, mean: Any, var: Any,
    need_x: bool, need_weight: bool, need_bias: bool,
) -> tuple[Any, ...]:  # fmt: skip
    normal, scale = _normal(F, x, -1, eps)
    inner = g if weight is None else F.mul(g, weight)
    shape = x.shape[-1:]
    return (
        _through_normal(F, inner, normal, scale, -1) if need_x else None,
        F.sum_to(F.mul(g, normal), shape) if need_weight else None,
        F.sum_to(g, shape) if need_bias else None,
    )


fused_rule("layer_norm_backward", _layer_norm_backward, _layer_norm_backward_composed)


@operation(3)
def group_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    groups: int = 1,
    eps: float = 1e-5,
    mean: Any = None,
    var: Any = None,
) -> Array:
    r"""Groups of channels with mean 0 and variance 1 in each sample, scaled and shifted.

    This is the core of ``functional.group_norm`` and, with a channel in each group, of
    ``functional.instance_norm``.

    Args:
        x: of shape ``(N, C, ...)``.
        weight, bias: one number for each channel, or None.
        groups: divides C.
        eps: added to the variance.
        mean, var: what forward leaves for backward; not to be given.
    """
    return B.group_norm(x, groups, weight, bias, eps)[0]


def group_norm_channels(
    x: Tensor, groups: int, weight: Any, bias: Any, eps: float
) -> tuple[Tensor, Array, Array]:
    """:func:`group_norm` recorded together with what its kernel leaves for backward.

    Returns the result, and the mean and the variance of each group of each sample.
    """
    inputs = (x, weight, bias)
    arrays: list[Any] = [t if t is None else t._data for t in inputs]
    out, mean, var = B.group_norm(arrays[0], groups, arrays[1], arrays[2], eps)
    attributes = (groups, eps, mean, var)
    return recorded(group_norm.op, inputs, arrays, attributes, out), mean, var


group_norm.gradient(
    lambda F, g, need, x, weight, groups, eps, mean, var: F.group_norm_backward(
        g, x, weight, groups, eps, mean, var, *need
    )
)


def _group_norm_backward(
    g: Array, x: Array, weight: Array | None, groups: int, eps: float, mean: Array, var: Array,
    need_x: bool, need_weight: bool, need_bias: bool,
) -> tuple[Array | None, ...]:  # fmt: skip
    parts = B.group_norm_backward(g, x, groups, mean, var, weight, eps)
    return _wanted(parts, (need_x, need_weight, need_bias))


def _group_norm_backward_composed(
    F: Any, g: Any, x: Any, weight: Any, groups: int, eps: float, mean: Any, var: Any,
    need_x: bool, need_weight: bool, need_bias: bool,
) -> tuple[Any, ...]:  # fmt: skip
    samples, channels = x.shape[:2]
    inner = math.prod(x.shape[2:])
    shape, dims = (samples, groups, channels // groups, inner), (2, 3)
    normal, scale = _normal(F, F.reshape(x, shape), dims, eps)
    g = F.reshape(g, shape)
    scaled = g if weight is None else F.mul(g, F.reshape(weight, (1, *shape[1:3], 1)))

    def by_channel(y: Any) -> Any:
        return F.reshape(F.sum(y, (0, 3), False, None), (channels,))

    return (
        F.reshape(_through_normal(F, scaled, normal, scale, dims), x.shape) if need_x else None,
        by_channel(F.mul(g, normal)) if need_weight else None,
        by_channel(g) if need_bias else None,
    )


fused_rule("group_norm_backward", _group_norm_backward, _group_norm_backward_composed)


@operation(3)
def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    mean: Any = None,
    var: Any = None,
    own: bool = True,
) -> Array:
    r"""Channels with mean 0 and variance 1, scaled and shifted: ``functional.batch_norm``'s core.

    Args:
        x: of shape ``(N, C, ...)``.
        weight, bias: one number for each channel, or None.
        eps: added to the variance.
        mean, var: of each channel; None: x's own.
        own: what forward leaves for backward: whether they were x's own.
    """
    return B.batch_norm(x, weight, bias, eps, mean, var)[0]


def batch_norm_channels(
    x: Tensor, weight: Any, bias: Any, eps: float, mean: Any = None, var: Any = None
) -> tuple[Tensor, Array, Array]:
    """:func:`batch_norm` recorded together with what its kernel leaves for backward.

    Returns the result, and the mean and the variance of each channel.
    """
    inputs = (x, weight, bias)
    arrays: list[Any] = [t if t is None else t._data for t in inputs]
    own = mean is None
    out, mean, var = B.batch_norm(*arrays, eps, mean, var)
    return recorded(batch_norm.op, inputs, arrays, (eps, mean, var, own), out), mean, var


batch_norm.gradient(
    lambda F, g, need, x, weight, eps, mean, var, own: F.batch_norm_backward(
        g, x, weight, eps, mean, var, own, *need
    )
)


def _batch_norm_backward(
    g: Array, x: Array, weight: Array | None, eps: float, mean: Array, var: Array, own: bool,
    need_x: bool, need_weight: bool, need_bias: bool,
) -> tuple[Array | None, ...]:  # fmt: skip
    parts = B.batch_norm_backward(g, x, mean, var, weight, eps, own)
    return _wanted(parts, (need_x, need_weight, need_bias))


def _batch_norm_backward_composed(
    F: Any, g: Any, x: Any, weight: Any, eps: float, mean: Any, var: Any, own: bool,
    need_x: bool, need_weight: bool, need_bias: bool,
) -> tuple[Any, ...]:  # fmt: skip
    dims, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    if own:
        normal, scale = _normal(F, x, dims, eps)
    else:
        scale = (1 / np.sqrt(var + eps)).astype(x.dtype).reshape(shape)
        normal = F.mul(F.sub(x, mean.astype(x.dtype).reshape(shape)), scale)
    if need_x:
        inner = g if weight is None else F.mul(g, F.reshape(weight, shape))
        to_x = _through_normal(F, inner, normal, scale, dims) if own else F.mul(inner, scale)
    return (
        to_x if need_x else None,
        F.sum(F.mul(g, normal), dims, False, None) if need_weight else None,
        F.sum(g, dims, False, None) if need_bias else None,
    )


fused_rule("batch_norm_backward", _batch_norm_backward, _batch_norm_backward_composed)


@operation(2)
def rms_norm(x: Array, weight: Array | None = None, eps: float = 1e-6, square: Any = None) -> Array:
    r"""Rows divided by their root mean square, scaled: the core of ``functional.rms_norm``.

    Args:
        x: normalised along the last dimension.
        weight: of the size of that dimension, or None.
        eps: added to the mean square.
        square: what forward leaves for backward; not to be given.
    """
    return B.rms_norm(x, weight, eps)[0]


def rms_norm_rows(x: Tensor, weight: Any, eps: float) -> Tensor:
    """:func:`rms_norm` recorded together with what its kernel leaves for backward."""
    inputs = (x, weight)
    arrays: list[Any] = [t if t is None else t._data for t in inputs]
    out, square = B.rms_norm(arrays[0], arrays[1], eps)
    return recorded(rms_norm.op, inputs, arrays, (eps, square), out)


rms_norm.gradient(
    lambda F, g, need, x, weight, eps, square: F.rms_norm_backward(g, x, weight, eps, square, *need)
)


def _rms_norm_backward(
    g: Array, x: Array, weight: Array | None, eps: float, square: Array,
    need_x: bool, need_weight: bool,
) -> tuple[Array | None, ...]:  # fmt: skip
    return _wanted(B.rms_norm_backward(g, x, square, weight, eps), (need_x, need_weight))


def _rms_norm_backward_composed(
    F: Any, g: Any, x: Any, weight: Any, eps: float, square: Any, need_x: bool, need_weight: bool
) -> tuple[Any, ...]:
    scale = F.rsqrt(F.add(F.mean(F.mul(x, x), -1, True, None), eps))
    normal = F.mul(x, scale)
    inner = g if weight is None else F.mul(g, weight)
    along = F.mul(normal, F.mean(F.mul(inner, normal), -1, True, None))
    return (
        F.mul(F.sub(inner, along), scale) if need_x else None,
        F.sum_to(F.mul(g, normal), x.shape[-1:]) if need_weight else None,
    )


fused_rule("rms_norm_backward", _rms_norm_backward, _rms_norm_backward_composed)


@operation(1)
def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    r"""Divides each element by a power of the squares around it, summed over nearby channels.

    .. math::
        y_c = x_c \Big/ \Big(k + \frac{\alpha}{n} \sum_{i = c - \lfloor n / 2 \rfloor}
        ^{c + \lfloor (n - 1) / 2 \rfloor} x_i^2\Big)^\beta,

    where n is ``size``, and channels that do not exist count as 0.

    Shapes: ``(N, C, ...) -> (N, C, ...)``.

    Args:
        x: channels are dimension 1; there may be none after it.
        size: of the window, in channels.
        alpha: a factor of the mean of the window's squares.
        beta: the power.
        k: added to the mean.

    Raises:
        ShapeError: ``x`` has no dimension 1.
        TypeError: ``x`` is not floating point, or ``size`` no integer.
        ValueError: ``size`` is less than 1.

    Source: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional
    neural networks".

    Example:
        >>> x = lucid.tensor([[1.0, 2.0, 2.0]])
        >>> lucid.nn.functional.local_response_norm(x, size=2, alpha=2.0, beta=0.5, k=4.0)
        tensor([[0.4472, 0.6667, 0.5774]])
    """
    if x.ndim < 2:
        raise ShapeError(f"local_response_norm: x must have shape (N, C, ...); got {x.shape}")
    check_floating(x, "local_response_norm")
    if not isinstance(size, (int, np.integer)):
        raise TypeError(f"local_response_norm: size must be an integer; got {size!r}")
    if size < 1:
        raise ValueError(f"local_response_norm: size must be at least 1; got {size}")
    return B.local_response_norm(x, size, alpha, beta, k)


local_response_norm.gradient(
    x=lambda F, g, x, size, alpha, beta, k: F.local_response_norm_backward(
        g, x, size, alpha, beta, k
    )
)


def _local_response_norm_backward_composed(
    F: Any, g: Any, x: Any, size: int, alpha: float, beta: float, k: float
) -> Any:
    planes = (*x.shape[:2], math.prod(x.shape[2:]))
    reach = max(planes[1] - 1, 0)
    before, after = min(size // 2, reach), min((size - 1) // 2, reach)

    def sums(values: Any, before_each: int) -> Any:
        kernel = (before + 1 + after, 1)
        windows = (planes[1:], kernel, (1, 1), (before_each, 0), True, 1.0)
        return F.reshape(F.avg_pool(F.reshape(values, planes), *windows), x.shape)

    divisor = F.add(F.mul(sums(F.mul(x, x), before), alpha / size), k)
    direct = F.mul(g, F.pow(divisor, -beta))
    if not beta:
        return direct
    inner = sums(F.div(F.mul(direct, x), divisor), after)
    return F.sub(direct, F.mul(F.mul(x, inner), 2 * alpha * beta / size))


fused_rule(
    "local_response_norm_backward",
    B.local_response_norm_backward,
    _local_response_norm_backward_composed,
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
def _(F: Any, g: Any, see: Any) -> tuple[Any, ...]:
    on_tensors = any(isinstance(x, Tensor) for x in g)
    seen = see(tuple([wrap(x) if isinstance(x, Array) else x for x in g]))
    return seen if on_tensors else tuple([None if x is None else x._data for x in seen])


FUNCTIONS = METHODS = ["softmax", "log_softmax"]
