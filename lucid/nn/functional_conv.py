"""Convolutions, unfold and fold: the public face of lucid/ops/convolution.py and unfold.py."""

from __future__ import annotations

import operator
from typing import Any

from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops import convolution as ops
from lucid.ops import unfold as patches
from lucid.ops.shape import reshape, squeeze, tensor_of, unsqueeze

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "unfold",
]


def per_axis(value: Any, ndim: int, caller: str, name: str, least: int = 0) -> tuple[int, ...]:
    """One int for every axis, given one for all or one for each."""
    try:
        sizes = (
            tuple([operator.index(v) for v in value])
            if isinstance(value, (tuple, list))
            else (operator.index(value),)
        )
    except TypeError:
        raise TypeError(
            f"{caller}: {name} must be an int or {ndim} of them; got {value!r}"
        ) from None
    if len(sizes) == 1:
        sizes *= ndim
    if len(sizes) != ndim:
        raise ValueError(f"{caller}: {name} must be an int or {ndim} of them; got {value!r}")
    if min(sizes) < least:
        raise ValueError(f"{caller}: {name} must be at least {least}; got {value!r}")
    return sizes


def batched(x: Any, ndim: int, caller: str) -> tuple[Tensor, bool]:
    """``x`` as (N, C, ...), and whether it was (C, ...)."""
    shape = tensor_of(x, caller).shape
    if len(shape) == ndim + 1:
        return unsqueeze(x, 0), True
    if len(shape) != ndim + 2:
        raise ShapeError(
            f"{caller}: x must have {ndim + 2} dimensions (N, C, ...) or {ndim + 1} (C, ...); "
            f"got shape {shape}"
        )
    return x, False


def _conv(
    ndim: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    caller = f"conv{ndim}d"
    x, single = batched(x, ndim, caller)
    kernel = tensor_of(weight, caller, "weight").shape[2:]
    if len(kernel) != ndim:
        raise ShapeError(
            f"{caller}: weight must have {ndim + 2} dimensions (out, in / groups, ...); "
            f"got shape {weight.shape}"
        )
    stride = per_axis(stride, ndim, caller, "stride", 1)
    dilation = per_axis(dilation, ndim, caller, "dilation", 1)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f'{caller}: padding must be ints, "same" or "valid"; got {padding!r}')
        if padding == "same" and set(stride) != {1}:
            raise ValueError(f'{caller}: padding "same" needs stride 1; got {stride}')
        total = reach if padding == "same" else [0] * ndim
        before = tuple([t // 2 for t in total])
    else:
        before = per_axis(padding, ndim, caller, "padding")
        total = [2 * p for p in before]
    size = tuple([
        (n + t - r - 1) // s + 1
        for n, t, r, s in zip(x.shape[2:], total, reach, stride, strict=True)
    ])  # fmt: skip
    if min(size) < 1:
        raise ShapeError(
            f"{caller}: the kernel {kernel} with dilation {dilation} is larger than the padded "
            f"input {tuple([n + t for n, t in zip(x.shape[2:], total, strict=True)])}"
        )
    out = ops.convolution(x, weight, bias, size, stride, before, dilation, groups)
    return squeeze(out, 0) if single else out


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    r"""Convolution of signals (in fact cross-correlation).

    .. math:: y_{o,q} = b_o + \sum_{i,k} w_{o,i,k}\, x_{i,\, q s + k d - p}

    Args:
        input: ``(N, C, L)`` or ``(C, L)``.
        weight: ``(out, C / groups, K)``.
        bias: ``(out,)`` or None.
        stride: step from one output position to the next.
        padding: zeros at both ends; or "same" (as many as keep the length, stride 1) or "valid".
        dilation: step from one place of the kernel to the next.
        groups: how many independent convolutions the channels are divided among.

    Raises:
        ShapeError: the shapes do not fit together, or the kernel exceeds the padded input.
        RuntimeError: the dtypes differ.

    Example:
        >>> x = lucid.tensor([[[1.0, 2.0, 4.0]]])
        >>> lucid.nn.functional.conv1d(x, lucid.tensor([[[-1.0, 1.0]]]))
        tensor([[[1., 2.]]])
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Convolution of images ``(N, C, H, W)`` with a weight ``(out, C / groups, KH, KW)``.

    The arguments are those of :func:`conv1d`; ``stride``, ``padding`` and ``dilation`` are one
    number or one for each axis.

    Example:
        >>> x, w = lucid.ones(1, 3, 8, 8), lucid.ones(4, 3, 3, 3)
        >>> lucid.nn.functional.conv2d(x, w, stride=2, padding=1).shape
        (1, 4, 4, 4)
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Convolution of volumes ``(N, C, D, H, W)``; the arguments are those of :func:`conv2d`."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    ndim: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any,
) -> Tensor:  # fmt: skip
    caller = f"conv_transpose{ndim}d"
    x, single = batched(x, ndim, caller)
    kernel = tensor_of(weight, caller, "weight").shape[2:]
    if len(kernel) != ndim:
        raise ShapeError(
            f"{caller}: weight must have {ndim + 2} dimensions (in, out / groups, ...); "
            f"got shape {weight.shape}"
        )
    stride = per_axis(stride, ndim, caller, "stride", 1)
    dilation = per_axis(dilation, ndim, caller, "dilation", 1)
    padding = per_axis(padding, ndim, caller, "padding")
    more = per_axis(output_padding, ndim, caller, "output_padding")
    if any(m >= s and m >= d for m, s, d in zip(more, stride, dilation, strict=True)):
        raise ValueError(
            f"{caller}: output_padding must be smaller than stride or dilation; got {more} with "
            f"stride {stride} and dilation {dilation}"
        )
    size = tuple([
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(
            x.shape[2:], stride, padding, dilation, kernel, more, strict=True
        )
    ])  # fmt: skip
    if min(size) < 1:
        raise ShapeError(f"{caller}: nothing is left of the output: its size would be {size}")
    out = ops.convolution_transpose(x, weight, bias, size, stride, padding, dilation, groups)
    return squeeze(out, 0) if single else out


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Transpose of :func:`conv1d` (the gradient of its input), also called fractional stride.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``.
        weight: ``(C, out / groups, K)``.
        bias: ``(out,)`` or None.
        stride, padding, dilation, groups: of the convolution that is transposed.
        output_padding: how much longer the output is made at its end; a stride of s maps s lengths
            to one, and this chooses among them.

    Raises:
        ShapeError: the shapes do not fit together.
        ValueError: ``output_padding`` is no less than both stride and dilation.
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Transpose of :func:`conv2d`; the arguments are those of :func:`conv_transpose1d`.

    Example:
        >>> x, w = lucid.ones(1, 3, 4, 4), lucid.ones(3, 8, 2, 2)
        >>> lucid.nn.functional.conv_transpose2d(x, w, stride=2).shape
        (1, 8, 8, 8)
    """
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Transpose of :func:`conv3d`; the arguments are those of :func:`conv_transpose1d`."""
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


# -------------------------------------------------------------------- unfold, fold


def _window_settings(
    kernel_size: Any, dilation: Any, padding: Any, stride: Any, caller: str
) -> tuple[tuple[int, ...], ...]:
    return (
        per_axis(kernel_size, 2, caller, "kernel_size", 1),
        per_axis(stride, 2, caller, "stride", 1),
        per_axis(padding, 2, caller, "padding"),
        per_axis(dilation, 2, caller, "dilation", 1),
    )


def _window_counts(size: Any, settings: tuple[tuple[int, ...], ...], caller: str) -> Any:
    kernel, stride, padding, dilation = settings
    counts = tuple([
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    ])  # fmt: skip
    if min(counts) < 1:
        raise ShapeError(f"{caller}: no window of {kernel} fits into {tuple(size)}")
    return counts


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Every window of an image as a column ("im2col").

    Shapes: ``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, C * KH * KW, L)`` with L windows.

    Args:
        input: images.
        kernel_size, dilation, padding, stride: of the windows; a number or two.

    Raises:
        ShapeError: no window fits.

    Example:
        >>> lucid.nn.functional.unfold(lucid.zeros(1, 3, 4, 5), (2, 2)).shape
        (1, 12, 12)
    """
    x, single = batched(input, 2, "unfold")
    settings = _window_settings(kernel_size, dilation, padding, stride, "unfold")
    counts = _window_counts(x.shape[2:], settings, "unfold")
    columns = patches.unfold_windows(x, counts, *settings)
    places = settings[0][0] * settings[0][1]
    out = reshape(columns, (x.shape[0], x.shape[1] * places, counts[0] * counts[1]))
    return squeeze(out, 0) if single else out


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Tensor:  # fmt: skip
    """Sums columns of windows into an image: the transpose of :func:`unfold`.

    Shapes: ``(N, C * KH * KW, L)`` or without N, to ``(N, C, *output_size)``.

    Args:
        input: the windows as columns.
        output_size: height and width of the image.
        kernel_size, dilation, padding, stride: of the windows.

    Raises:
        ShapeError: the columns do not fit the windows of ``output_size``.
    """
    size = per_axis(output_size, 2, "fold", "output_size", 1)
    x, single = batched(input, 1, "fold")
    settings = _window_settings(kernel_size, dilation, padding, stride, "fold")
    counts = _window_counts(size, settings, "fold")
    kernel = settings[0]
    places, windows = kernel[0] * kernel[1], counts[0] * counts[1]
    if x.shape[1] % places or x.shape[2] != windows:
        raise ShapeError(
            f"fold: input must have shape (N, C * {places}, {windows}) for windows of {kernel} in "
            f"{size}; got {x.shape}"
        )
    columns = reshape(x, (x.shape[0], x.shape[1] // places, *kernel, *counts))
    out = patches.fold_windows(columns, size, *settings[1:])
    return squeeze(out, 0) if single else out
