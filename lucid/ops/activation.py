"""Activations: element by element, each with one kernel forward and one backward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.inplace import in_place
from lucid._core.op import fused_rule, operation
from lucid.errors import ShapeError
from lucid.ops._checks import check_floating
from lucid.ops._dims import one_dim

Array = np.ndarray


# -------------------------------------------------------------------- piecewise linear


@operation(1)
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Rectifier with a slope for negative numbers: ``x`` where x > 0, else ``negative_slope * x``.

    Example:
        >>> lucid.nn.functional.leaky_relu(lucid.tensor([-1.0, 2.0]), 0.5)
        tensor([-0.5,  2. ])
    """
    check_floating(x, "leaky_relu")
    return B.leaky_relu(x, negative_slope)


leaky_relu.gradient(x=lambda F, g, x, negative_slope: F.leaky_relu_backward(g, x, negative_slope))
fused_rule(
    "leaky_relu_backward",
    B.leaky_relu_backward,
    lambda F, g, x, negative_slope: F.where(F.gt(x, 0.0), g, F.mul(g, negative_slope)),
)
leaky_relu_ = in_place(leaky_relu)


@operation(2)
def prelu(x: Array, weight: Array) -> Array:
    """``x`` where x > 0, else ``weight * x``: the core of :func:`lucid.nn.functional.prelu`.

    Args:
        x: of shape ``(N, C, ...)``, or any if there is one weight.
        weight: one number, or one for each channel.
    """
    check_floating(x, "prelu")
    return B.prelu(x, weight.reshape(_by_channel(weight, x)))


def _by_channel(weight: Any, x: Any) -> tuple[int, ...]:
    """The shape in which the weight broadcasts along dimension 1 of ``x``."""
    return (-1, *[1] * (x.ndim - 2)) if math.prod(weight.shape) != 1 else ()


prelu.gradient(lambda F, g, need, x, weight: F.prelu_backward(g, x, weight, *need))


def _prelu_backward(
    g: Array, x: Array, weight: Array, need_x: bool, need_weight: bool
) -> tuple[Array | None, ...]:
    to_x, to_weight = B.prelu_backward(g, x, weight.reshape(-1))
    return to_x if need_x else None, to_weight.reshape(weight.shape) if need_weight else None


def _prelu_backward_composed(
    F: Any, g: Any, x: Any, weight: Any, need_x: bool, need_weight: bool
) -> tuple[Any, ...]:
    shape = _by_channel(weight, x)
    positive = F.gt(x, 0.0)
    each = F.where(positive, 0.0, F.mul(g, x))
    dims = tuple(d for d in range(x.ndim) if not shape or d != 1)
    return (
        F.where(positive, g, F.mul(g, F.reshape(weight, shape))) if need_x else None,
        F.reshape(F.sum(each, dims, False, None), weight.shape) if need_weight else None,
    )


fused_rule("prelu_backward", _prelu_backward, _prelu_backward_composed)


@operation(1)
def rrelu(x: Array, lower: float, upper: float, seed: int) -> Array:
    """``x`` where x > 0, else ``x`` times a slope drawn from ``[lower, upper)``.

    The slope of an element depends on ``seed`` and on its place alone.
    """
    check_floating(x, "rrelu")
    return B.rrelu(x, x, lower, upper, seed)


rrelu.gradient(x=lambda F, g, x, lower, upper, seed: F.rrelu_backward(g, x, lower, upper, seed))


@operation(2)
def rrelu_backward(g: Array, x: Array, lower: float, upper: float, seed: int) -> Array:
    """Gradient of :func:`rrelu`: ``g`` where x > 0, else ``g`` times the slope that was drawn."""
    return B.rrelu(g, x, lower, upper, seed)


rrelu_backward.gradient(
    g=lambda F, g, x, lower, upper, seed: F.rrelu_backward(g, x, lower, upper, seed),
    x=lambda F, g: None,
)
rrelu_ = in_place(rrelu)


@operation(1)
def threshold(x: Array, threshold: float, value: float) -> Array:
    """``x`` where x > threshold, else ``value``.

    Example:
        >>> lucid.nn.functional.threshold(lucid.tensor([0.5, 2.0]), 1.0, -1.0)
        tensor([-1.,  2.])
    """
    if x.dtype.kind not in "fiu":
        raise TypeError(f"threshold: x must be of a real dtype; got {x.dtype}")
    if x.dtype.kind != "f":
        return np.where(x > threshold, x, x.dtype.type(value))
    return B.threshold(x, threshold, value)


threshold.gradient(x=lambda F, g, x, threshold: F.threshold_backward(g, x, threshold))
fused_rule(
    "threshold_backward",
    B.threshold_backward,
    lambda F, g, x, threshold: F.where(F.le(x, threshold), 0.0, g),
)
threshold_ = in_place(threshold)


@operation(1)
def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """``x`` limited to ``[min_val, max_val]``; no gradient flows at the limits and beyond.

    Example:
        >>> lucid.nn.functional.hardtanh(lucid.tensor([-2.0, 0.5]))
        tensor([-1. ,  0.5])
    """
    if x.dtype.kind not in "fiu":
        raise TypeError(f"hardtanh: x must be of a real dtype; got {x.dtype}")
    if not min_val <= max_val:
        raise ValueError(f"hardtanh: min_val must not exceed max_val; got {min_val} and {max_val}")
    if x.dtype.kind != "f":
        return np.clip(x, x.dtype.type(min_val), x.dtype.type(max_val))
    return B.hardtanh(x, min_val, max_val)


hardtanh.gradient(x=lambda F, g, x, min_val, max_val: F.hardtanh_backward(g, x, min_val, max_val))
fused_rule(
    "hardtanh_backward",
    B.hardtanh_backward,
    lambda F, g, x, min_val, max_val: F.where(
        F.logical_or(F.le(x, min_val), F.ge(x, max_val)), 0.0, g
    ),
)
hardtanh_ = in_place(hardtanh)


@operation(1)
def hardsigmoid(x: Array) -> Array:
    """Piecewise-linear sigmoid: ``clamp(x + 3, 0, 6) / 6``.

    Example:
        >>> lucid.nn.functional.hardsigmoid(lucid.tensor([-4.0, 0.0]))
        tensor([0.0000, 0.5000])
    """
    check_floating(x, "hardsigmoid")
    return B.hardsigmoid(x)


hardsigmoid.gradient(x=lambda F, g, x: F.hardsigmoid_backward(g, x))
fused_rule(
    "hardsigmoid_backward",
    B.hardsigmoid_backward,
    lambda F, g, x: F.where(F.lt(F.abs(x), 3.0), F.div(g, 6.0), 0.0),
)
hardsigmoid_ = in_place(hardsigmoid)


@operation(1)
def hardswish(x: Array) -> Array:
    """Piecewise-linear :func:`silu`: ``x * clamp(x + 3, 0, 6) / 6``.

    Source: Howard et al. 2019, "Searching for MobileNetV3".

    Example:
        >>> lucid.nn.functional.hardswish(lucid.tensor([-4.0, 1.0]))
        tensor([-0.    ,  0.6667])
    """
    check_floating(x, "hardswish")
    return B.hardswish(x)


hardswish.gradient(x=lambda F, g, x: F.hardswish_backward(g, x))
fused_rule(
    "hardswish_backward",
    B.hardswish_backward,
    lambda F, g, x: F.where(
        F.le(x, -3.0),
        0.0,
        F.where(F.lt(x, 3.0), F.mul(g, F.add(F.mul(x, 1 / 3), 0.5)), g),
    ),
)
hardswish_ = in_place(hardswish)


@operation(1)
def hardshrink(x: Array, lambd: float = 0.5) -> Array:
    """``x``, or 0 where ``-lambd <= x <= lambd``.

    Example:
        >>> lucid.nn.functional.hardshrink(lucid.tensor([-1.0, 0.2]))
        tensor([-1.,  0.])
    """
    check_floating(x, "hardshrink")
    return B.hardshrink(x, lambd)


@operation(1)
def softshrink(x: Array, lambd: float = 0.5) -> Array:
    """``x`` moved by ``lambd`` towards 0, and 0 where ``|x| <= lambd``.

    Raises:
        ValueError: ``lambd`` is negative.

    Example:
        >>> lucid.nn.functional.softshrink(lucid.tensor([-1.0, 0.2]))
        tensor([-0.5,  0. ])
    """
    check_floating(x, "softshrink")
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd must not be negative; got {lambd}")
    return B.softshrink(x, lambd)


hardshrink.gradient(x=lambda F, g, x, lambd: F.shrink_backward(g, x, lambd))
softshrink.gradient(x=lambda F, g, x, lambd: F.shrink_backward(g, x, lambd))
fused_rule(
    "shrink_backward",
    B.shrink_backward,
    lambda F, g, x, lambd: F.where(F.le(F.abs(x), lambd), 0.0, g),
)


# -------------------------------------------------------------------- smooth


@operation(1)
def elu(x: Array, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """``scale * x`` where x > 0, else ``scale * alpha * (exp(input_scale * x) - 1)``.

    The family of :func:`~lucid.nn.functional.elu`, ``selu`` and ``celu``.

    Source: Clevert, Unterthiner & Hochreiter 2016, "Fast and accurate deep network learning by
    exponential linear units".

    Example:
        >>> lucid.nn.functional.elu(lucid.tensor([-1.0, 2.0]))
        tensor([-0.6321,  2.    ])
    """
    check_floating(x, "elu")
    return B.elu(x, alpha, scale, input_scale)


elu.gradient(
    x=lambda F, g, x, alpha, scale, input_scale: F.elu_backward(g, x, alpha, scale, input_scale)
)
fused_rule(
    "elu_backward",
    B.elu_backward,
    lambda F, g, x, alpha, scale, input_scale: F.mul(
        g,
        F.where(
            F.gt(x, 0.0),
            scale,
            F.mul(
                F.exp(F.mul(F.where(F.gt(x, 0.0), 0.0, x), input_scale)),
                alpha * scale * input_scale,
            ),
        ),
    ),
)
elu_ = in_place(elu)


@operation(1)
def silu(x: Array) -> Array:
    r"""Sigmoid linear unit :math:`x \, \sigma(x)`, also called swish.

    Example:
        >>> lucid.nn.functional.silu(lucid.tensor([0.0, 2.0]))
        tensor([0.    , 1.7616])
    """
    check_floating(x, "silu")
    return B.silu(x)


def _silu_backward(F: Any, g: Any, x: Any) -> Any:
    s = F.sigmoid(x)
    return F.mul(g, F.mul(s, F.add(F.mul(x, F.sub(1.0, s)), 1.0)))


silu.gradient(x=lambda F, g, x: F.silu_backward(g, x))
fused_rule("silu_backward", B.silu_backward, _silu_backward)
silu_ = in_place(silu)


@operation(1)
def mish(x: Array) -> Array:
    r""":math:`x \tanh(\log(1 + e^x))`.

    Source: Misra 2019, "Mish: a self regularized non-monotonic activation function".

    Example:
        >>> lucid.nn.functional.mish(lucid.tensor([0.0, 2.0]))
        tensor([0.    , 1.9440])
    """
    check_floating(x, "mish")
    return B.mish(x)


def _mish_backward(F: Any, g: Any, x: Any) -> Any:
    t = F.tanh(F.softplus(x, 1.0, 20.0))
    slope = F.mul(F.mul(x, F.sub(1.0, F.mul(t, t))), F.sigmoid(x))
    return F.mul(g, F.add(t, slope))


mish.gradient(x=lambda F, g, x: F.mish_backward(g, x))
fused_rule("mish_backward", B.mish_backward, _mish_backward)
mish_ = in_place(mish)


@operation(1)
def gelu(x: Array, approximate: str = "none") -> Array:
    r"""Gaussian error linear unit :math:`x \, \Phi(x)`, Φ the normal distribution function.

    Args:
        x: a floating-point tensor.
        approximate: "none", or "tanh" for
            :math:`x/2 \, (1 + \tanh(\sqrt{2/\pi} (x + 0.044715 x^3)))`.

    Source: Hendrycks & Gimpel 2016, "Gaussian error linear units".

    Example:
        >>> lucid.nn.functional.gelu(lucid.tensor([0.0, 2.0]))
        tensor([0.    , 1.9545])
    """
    check_floating(x, "gelu")
    if approximate == "none":
        return B.gelu(x)
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh'; got {approximate!r}")
    return B.gelu_tanh(x)


def _gelu_backward(F: Any, g: Any, x: Any) -> Any:
    chance = F.mul(F.add(F.erf(F.mul(x, 0.5**0.5)), 1.0), 0.5)
    density = F.mul(F.exp(F.mul(F.mul(x, x), -0.5)), (2 * np.pi) ** -0.5)
    return F.mul(g, F.add(chance, F.mul(x, density)))


def _gelu_tanh_backward(F: Any, g: Any, x: Any) -> Any:
    scale, cubic = (2 / np.pi) ** 0.5, 0.044715
    squared = F.mul(x, x)
    t = F.tanh(F.mul(F.mul(x, F.add(F.mul(squared, cubic), 1.0)), scale))
    inner = F.mul(F.add(F.mul(squared, 3 * cubic), 1.0), scale)
    slope = F.mul(F.mul(x, F.sub(1.0, F.mul(t, t))), F.mul(inner, 0.5))
    return F.mul(g, F.add(F.mul(F.add(t, 1.0), 0.5), slope))


gelu.gradient(
    x=lambda F, g, x, approximate: (
        F.gelu_backward(g, x) if approximate == "none" else F.gelu_tanh_backward(g, x)
    )
)
fused_rule("gelu_backward", B.gelu_backward, _gelu_backward)
fused_rule("gelu_tanh_backward", B.gelu_tanh_backward, _gelu_tanh_backward)


@operation(1)
def log_sigmoid(x: Array) -> Array:
    r"""Logarithm of the sigmoid, :math:`-\log(1 + e^{-x})`, without overflow.

    Example:
        >>> lucid.nn.functional.logsigmoid(lucid.tensor([0.0, -100.0]))
        tensor([  -0.6931, -100.    ])
    """
    check_floating(x, "log_sigmoid")
    return B.log_sigmoid(x)


log_sigmoid.gradient(x=lambda F, g, x: F.log_sigmoid_backward(g, x))
fused_rule(
    "log_sigmoid_backward",
    B.log_sigmoid_backward,
    lambda F, g, x: F.mul(g, F.sigmoid(F.neg(x))),
)


@operation(1, floating=True)
def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``.

    Example:
        >>> lucid.nn.functional.softsign(lucid.tensor([-1.0, 3.0]))
        tensor([-0.5000,  0.7500])
    """
    check_floating(x, "softsign")
    return B.softsign(x)


softsign.gradient(x=lambda F, g, x: F.softsign_backward(g, x))
fused_rule(
    "softsign_backward",
    B.softsign_backward,
    lambda F, g, x: F.div(g, F.square(F.add(F.abs(x), 1.0))),
)


@operation(1, floating=True)
def tanhshrink(x: Array) -> Array:
    """``x - tanh(x)``, without cancellation.

    Example:
        >>> lucid.nn.functional.tanhshrink(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 0.2384])
    """
    check_floating(x, "tanhshrink")
    return B.tanhshrink(x)


tanhshrink.gradient(x=lambda F, g, x: F.tanhshrink_backward(g, x))
fused_rule(
    "tanhshrink_backward",
    B.tanhshrink_backward,
    lambda F, g, x: F.mul(g, F.square(F.tanh(x))),
)


@operation(1)
def glu(x: Array, dim: int = -1) -> Array:
    r"""Gated linear unit: the first half along ``dim`` times the sigmoid of the second.

    Raises:
        ShapeError: the dimension is odd.

    Source: Dauphin et al. 2017, "Language modeling with gated convolutional networks".

    Example:
        >>> lucid.nn.functional.glu(lucid.tensor([1.0, 2.0, 0.0, 0.0]))
        tensor([0.5000, 1.0000])
    """
    check_floating(x, "glu")
    if x.ndim == 0:
        raise ShapeError("glu: the input must have at least 1 dimension; it is 0-d")
    axis = one_dim(dim, x.ndim, "glu")
    if x.shape[axis] % 2:
        raise ShapeError(f"glu: dimension {dim} must be even; the input has shape {x.shape}")
    return B.glu(x, axis)


glu.gradient(x=lambda F, g, x, dim: F.glu_backward(g, x, dim))


def _glu_backward(F: Any, g: Any, x: Any, dim: int) -> Any:
    dim %= x.ndim
    a, b = F.split_sizes(x, (x.shape[dim] // 2,) * 2, dim)
    s = F.sigmoid(b)
    opened = F.mul(g, s)
    return F.cat([opened, F.mul(F.mul(opened, F.sub(1.0, s)), a)], dim)


fused_rule("glu_backward", lambda g, x, dim: B.glu_backward(g, x, dim % x.ndim), _glu_backward)


# -------------------------------------------------------------------- dropout


@operation(1)
def dropout(
    x: Array, p: float, seed: int, group: int = 1, scale: float = 1.0, shift: float = 0.0,
    dropped: float = 0.0,
) -> Array:  # fmt: skip
    """``scale * x + shift``, or with probability ``p`` ``dropped``: the core of every dropout.

    What is dropped depends on ``seed`` and on the element's place alone.

    Args:
        x: a floating-point or complex tensor.
        p: in [0, 1).
        seed: 64 bits.
        group: so many neighbours, in C order, share a draw.
        scale, shift, dropped: see above.
    """
    if x.dtype.kind == "c":
        kept = B.dropout(np.ones(x.shape), p, seed, group)
        return np.where(kept, x * scale + shift, dropped).astype(x.dtype)
    check_floating(x, "dropout")
    return B.dropout(x, p, seed, group, scale, shift, dropped)


dropout.gradient(
    x=lambda F, g, p, seed, group, scale: F.dropout(g, p, seed, group, scale, 0.0, 0.0)
)
dropout_ = in_place(dropout)
