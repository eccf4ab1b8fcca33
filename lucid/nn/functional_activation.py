"""Activations and dropout: the public faces of lucid/ops/activation.py."""

from __future__ import annotations

import math
from typing import Any

from lucid._core.op import TENSORS as T
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops import activation as ops
from lucid.ops._checks import check_floating
from lucid.ops.activation import (
    gelu,
    glu,
    hardshrink,
    leaky_relu_,
    softshrink,
    softsign,
    tanhshrink,
    threshold_,
)
from lucid.ops.functions import sigmoid, softplus, tanh
from lucid.ops.neural import softmax
from lucid.ops.pointwise import relu as _relu
from lucid.ops.pointwise import relu_
from lucid.ops.random import draw_seed

__all__ = [
    "alpha_dropout",
    "celu",
    "celu_",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "feature_alpha_dropout",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]


# -------------------------------------------------------------------- activations


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Rectifier ``max(x, 0)``.

    Example:
        >>> lucid.nn.functional.relu(lucid.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return relu_(input) if inplace else _relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` where x > 0, else ``negative_slope * x``."""
    return (leaky_relu_ if inplace else ops.leaky_relu)(input, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` where x > 0, else ``weight * x``, with one weight or one for each channel.

    Args:
        input: ``(N, C, ...)``.
        weight: 0-d, ``(1,)`` or ``(C,)``.

    Raises:
        ShapeError: the number of weights is neither 1 nor C.

    Source: He et al. 2015, "Delving deep into rectifiers: surpassing human-level performance on
    ImageNet classification".
    """
    if weight.dtype is not input.dtype:
        raise TypeError(
            f"prelu: weight must have the dtype {input.dtype} of the input; got {weight.dtype}"
        )
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(
            f"prelu: weight must have shape (1,) or ({channels},), a slope per channel of the "
            f"input {input.shape}; got {weight.shape}"
        )
    return ops.prelu(input, weight)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    r"""``x`` where x > 0, else :math:`\alpha (e^x - 1)`.

    Source: Clevert, Unterthiner & Hochreiter 2016, "Fast and accurate deep network learning by
    exponential linear units".
    """
    return (ops.elu_ if inplace else ops.elu)(input, alpha)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """:func:`elu` with the alpha and scale that keep mean 0 and variance 1.

    Source: Klambauer et al. 2017, "Self-normalizing neural networks".
    """
    return (ops.elu_ if inplace else ops.elu)(input, _SELU_ALPHA, _SELU_SCALE)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    r"""``x`` where x > 0, else :math:`\alpha (e^{x/\alpha} - 1)`.

    Source: Barron 2017, "Continuously differentiable exponential linear units".
    """
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0")
    return (ops.elu_ if inplace else ops.elu)(input, alpha, 1.0, 1 / alpha)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    r"""Sigmoid linear unit :math:`x \, \sigma(x)`."""
    return (ops.silu_ if inplace else ops.silu)(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    r""":math:`x \tanh(\mathrm{softplus}(x))`.

    Source: Misra 2019, "Mish: a self regularized non-monotonic activation function".
    """
    return (ops.mish_ if inplace else ops.mish)(input)


def logsigmoid(input: Tensor) -> Tensor:
    """Logarithm of the sigmoid, without overflow."""
    return ops.log_sigmoid(input)


def softmin(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """:func:`softmax` of ``-x``."""
    return softmax(T.neg(input), dim, dtype)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """``x`` limited to ``[min_val, max_val]``."""
    return (ops.hardtanh_ if inplace else ops.hardtanh)(input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``x`` limited to ``[0, 6]``."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Piecewise-linear sigmoid: ``clamp(x + 3, 0, 6) / 6``."""
    return (ops.hardsigmoid_ if inplace else ops.hardsigmoid)(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * hardsigmoid(x)``."""
    return (ops.hardswish_ if inplace else ops.hardswish)(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where x > threshold, else ``value``."""
    return (threshold_ if inplace else ops.threshold)(input, threshold, value)


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: Any = None,
) -> Tensor:
    """:func:`leaky_relu` with slopes drawn from ``[lower, upper)``; their mean in evaluation.

    Raises:
        ValueError: ``lower`` exceeds ``upper``.

    Source: Xu et al. 2015, "Empirical evaluation of rectified activations in convolutional
    network".
    """
    if not lower <= upper:
        raise ValueError(f"rrelu: lower must not exceed upper; got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    seed = draw_seed(generator, "rrelu")
    return (ops.rrelu_ if inplace else ops.rrelu)(input, lower, upper, seed)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place :func:`elu`."""
    return ops.elu_(input, alpha)


def selu_(input: Tensor) -> Tensor:
    """In-place :func:`selu`."""
    return selu(input, True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place :func:`celu`."""
    return celu(input, alpha, True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place :func:`hardtanh`."""
    return ops.hardtanh_(input, min_val, max_val)


def rrelu_(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """In-place :func:`rrelu`."""
    return rrelu(input, lower, upper, training, True, generator)


# -------------------------------------------------------------------- dropout


def _dropout(
    input: Tensor, p: float, training: bool, inplace: bool, generator: Any, caller: str,
    lead: int | None = None, alpha: bool = False,
) -> Tensor:  # fmt: skip
    """Every kind of dropout.

    Args:
        lead: so many dimensions share no draw with each other, those behind them do; None: all.
        alpha: what is dropped becomes the value that selu tends to, and the whole is scaled and
            shifted to the mean and variance it had.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{caller}: p must be a probability in [0, 1]; got {p}")
    check_floating(input, caller, "input", "fc")
    if not training or p == 0:
        return input
    if p == 1:
        return input.mul_(0.0) if inplace else T.mul(input, 0.0)
    scale, shift, dropped = 1 / (1 - p), 0.0, 0.0
    if alpha:
        low = -_SELU_ALPHA * _SELU_SCALE
        scale = ((1 - p) * (1 + p * low * low)) ** -0.5
        shift = -scale * low * p
        dropped = scale * low + shift
    group = 1 if lead is None else max(math.prod(input.shape[lead:]), 1)
    return (ops.dropout_ if inplace else ops.dropout)(
        input, p, draw_seed(generator, caller), group, scale, shift, dropped
    )


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: Any = None,
) -> Tensor:
    """Sets each element to 0 with probability ``p`` and scales the others by ``1 / (1 - p)``.

    What is dropped depends on the generator's state and the element's place alone, not on the
    number of threads.

    Args:
        input: any floating-point tensor.
        p: in [0, 1].
        training: without it, the input itself is returned.
        inplace: overwrite the input.
        generator: where the random numbers come from.

    Raises:
        ValueError: ``p`` is no probability.

    Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
    overfitting".
    """
    return _dropout(input, p, training, inplace, generator, "dropout")


def _channel_dropout(
    input: Tensor, p: float, training: bool, inplace: bool, generator: Any, axes: int
) -> Tensor:
    """Dropout of whole channels with ``axes`` dimensions behind them."""
    caller = f"dropout{axes}d"
    if input.ndim not in (axes + 1, axes + 2):
        raise ShapeError(
            f"{caller}: input must have {axes + 1} or {axes + 2} dimensions; "
            f"got shape {input.shape}"
        )
    return _dropout(input, p, training, inplace, generator, caller, input.ndim - axes)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """:func:`dropout` of whole channels of ``(N, C, L)`` or ``(C, L)``.

    Source: Tompson et al. 2015, "Efficient object localization using convolutional networks".
    """
    return _channel_dropout(input, p, training, inplace, generator, 1)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """:func:`dropout` of whole channels of ``(N, C, H, W)`` or ``(C, H, W)``."""
    return _channel_dropout(input, p, training, inplace, generator, 2)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """:func:`dropout` of whole channels of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""
    return _channel_dropout(input, p, training, inplace, generator, 3)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """Dropout that keeps the mean and variance of :func:`selu` activations.

    Source: Klambauer et al. 2017, "Self-normalizing neural networks".
    """
    return _dropout(input, p, training, inplace, generator, "alpha_dropout", alpha=True)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """:func:`alpha_dropout` of whole channels: dimension 1."""
    caller = "feature_alpha_dropout"
    if training and input.ndim < 2:
        raise ShapeError(f"{caller}: input must have shape (N, C, ...); got {input.shape}")
    return _dropout(input, p, training, inplace, generator, caller, 2, alpha=True)
