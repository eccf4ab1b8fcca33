"""Convolution and its transposes.

With the stride, padding, dilation and groups fixed, a convolution :math:`y = C(x, w)` is linear in
the image and in the weight. Its two transposes are operations of their own,

    :math:`\\langle g, C(x, w)\\rangle = \\langle T(g, w), x\\rangle = \\langle W(x, g), w\\rangle`,

and each of the three has the other two as its gradients, which makes every order of derivative
work.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import fused_rule, operation
from lucid.errors import ShapeError

Array = np.ndarray
Sizes = tuple[int, ...]


fused_rule(
    "channel_sums",
    B.channel_sums,
    lambda F, g: F.sum(g, (0, *range(2, g.ndim)), False, None),
)


def _check(name: str, x: Array, weight: Array, bias: Array | None, groups: int, inner: int) -> None:
    """Ranks, channels and dtypes. ``inner``: the weight's dimension that holds x's channels."""
    spatial = x.ndim - 2
    if not 1 <= spatial <= 3 or weight.ndim != x.ndim:
        raise ShapeError(
            f"{name}: x must have shape (N, C, ...) with 1 to 3 more dimensions and weight as many"
            f"; got {x.shape} and {weight.shape}"
        )
    if groups < 1 or x.shape[1] % groups or weight.shape[0] % groups:
        raise ShapeError(
            f"{name}: groups must divide the {x.shape[1]} channels of x and the {weight.shape[0]} "
            f"of weight {weight.shape}; got {groups}"
        )
    channels = weight.shape[1] * groups if inner else weight.shape[0]
    if channels != x.shape[1]:
        raise ShapeError(
            f"{name}: weight {weight.shape} with groups {groups} takes {channels} channels; "
            f"x {x.shape} has {x.shape[1]}"
        )
    if 0 in weight.shape[2:]:
        raise ShapeError(f"{name}: a kernel must have at least one place; got {weight.shape}")
    wanted = weight.shape[0] if inner else weight.shape[1] * groups
    if bias is not None and bias.shape != (wanted,):
        raise ShapeError(f"{name}: bias must have shape ({wanted},); got {bias.shape}")
    if x.dtype != weight.dtype or bias is not None and bias.dtype != x.dtype:
        raise RuntimeError(
            f"{name}: x, weight and bias must have one dtype; got {x.dtype}, {weight.dtype}"
            + (f" and {bias.dtype}" if bias is not None else "")
        )


def _conj(F: Any, x: Any) -> Any:
    return F.conj(x) if x.dtype.kind == "c" else x


@operation(3)
def convolution(
    x: Array,
    weight: Array,
    bias: Array | None,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int = 1,
) -> Array:
    r"""Convolution (in fact cross-correlation) in 1 to 3 dimensions.

    .. math:: y_{n,o,q} = b_o + \sum_{i,k} w_{o,i,k}\, x_{n,i,\, q s + k d - p}

    This is the core that :func:`lucid.nn.functional.conv2d` and its siblings call.

    Args:
        x: images ``(N, C, ...)``.
        weight: ``(out, C / groups, ...)``.
        bias: ``(out,)`` or None.
        size: of the output. It decides how many zeros follow the image.
        stride, padding, dilation: for each axis; ``padding`` zeros come before the image.
        groups: how many independent convolutions the channels are divided among.

    Raises:
        ShapeError: the shapes do not fit together.
        RuntimeError: the dtypes differ.
    """
    _check("convolution", x, weight, bias, groups, 1)
    return B.convolution(x, weight, bias, size, stride, padding, dilation, groups)


@convolution.gradient
def _convolution_rule(
    F: Any, g: Any, need: Any, x: Any, weight: Any,
    stride: Any, padding: Any, dilation: Any, groups: Any,
) -> Any:  # fmt: skip
    settings = (stride, padding, dilation, groups)
    return (
        F.convolution_transpose(g, _conj(F, weight), None, x.shape[2:], *settings)
        if need[0]
        else None,
        F.convolution_weight(_conj(F, x), g, weight.shape[2:], *settings) if need[1] else None,
        F.channel_sums(g) if need[2] else None,
    )


@operation(3)
def convolution_transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int = 1,
) -> Array:
    r"""Transpose of :func:`convolution` in its image: what it sums up is spread again.

    .. math:: y_{n,i,\, q s + k d - p} = b_i + \sum_{o,k,q} w_{o,i,k}\, x_{n,o,q}

    Args:
        x: ``(N, C, ...)``.
        weight: ``(C, out / groups, ...)``.
        bias: ``(out,)`` or None.
        size: of the output.
        stride, padding, dilation, groups: those of the convolution.

    Raises:
        ShapeError: the shapes do not fit together.
        RuntimeError: the dtypes differ.
    """
    _check("convolution_transpose", x, weight, bias, groups, 0)
    return B.convolution_transpose(x, weight, bias, size, stride, padding, dilation, groups)


@convolution_transpose.gradient
def _convolution_transpose_rule(
    F: Any, g: Any, need: Any, x: Any, weight: Any,
    stride: Any, padding: Any, dilation: Any, groups: Any,
) -> Any:  # fmt: skip
    settings = (stride, padding, dilation, groups)
    return (
        F.convolution(g, _conj(F, weight), None, x.shape[2:], *settings) if need[0] else None,
        F.convolution_weight(g, _conj(F, x), weight.shape[2:], *settings) if need[1] else None,
        F.channel_sums(g) if need[2] else None,
    )


@operation(2)
def convolution_weight(
    x: Array,
    y: Array,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int = 1,
) -> Array:
    r"""Transpose of :func:`convolution` in its weight.

    .. math:: w_{o,i,k} = \sum_{n,q} y_{n,o,q}\, x_{n,i,\, q s + k d - p}

    Args:
        x: images ``(N, C, ...)``.
        y: ``(N, out, ...)``, like the convolution's output.
        size: of the kernel.
        stride, padding, dilation, groups: those of the convolution.
    """
    return B.convolution_weight(x, y, size, stride, padding, dilation, groups)


@convolution_weight.gradient
def _convolution_weight_rule(
    F: Any, g: Any, need: Any, x: Any, y: Any,
    stride: Any, padding: Any, dilation: Any, groups: Any,
) -> Any:  # fmt: skip
    settings = (stride, padding, dilation, groups)
    return (
        F.convolution_transpose(y, g, None, x.shape[2:], *settings) if need[0] else None,
        F.convolution(x, g, None, y.shape[2:], *settings) if need[1] else None,
    )
