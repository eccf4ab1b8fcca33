"""Convolution: the kernels for float32 and float64, plain NumPy for everything else.

Arrays are (images, channels, ...), a weight is (out, in per group, ...). ``padding`` is the number
of zeros in front of each axis; how many follow is a matter of ``size``, that of the result.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._backend.guard import compiled
from lucid._kernels import convolution as kernels

Array = np.ndarray
Sizes = tuple[int, ...]

__all__ = ["channel_sums", "convolution", "convolution_transpose", "convolution_weight"]


def _compiled(x: Array, y: Array) -> bool:
    return x.dtype == y.dtype and compiled(x)


def _widened(function: Callable[..., Array]) -> Callable[..., Array]:
    """``function`` with float16 arrays computed in float32, as its sums deserve."""

    @functools.wraps(function)
    def wide(x: Array, *args: Any) -> Array:
        if x.dtype != np.float16:
            return function(x, *args)
        rest = [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in args]
        with np.errstate(over="ignore"):
            return function(x.astype(np.float32), *rest).astype(np.float16)

    return wide


def _places(kernel: Sizes) -> itertools.product:
    return itertools.product(*map(range, kernel))


def _padded(
    x: Array, size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """``x`` with zeros around it, just as large as the windows of ``size`` positions reach."""
    reach = [
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(size, stride, kernel, dilation, strict=True)
    ]
    after = [max(r - p - n, 0) for r, p, n in zip(reach, padding, x.shape[2:], strict=True)]
    return np.pad(x, [(0, 0), (0, 0), *zip(padding, after, strict=True)])


def _window(place: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """What one place of the kernel sees of the padded image."""
    return (
        ...,
        *[
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, n, s, d in zip(place, size, stride, dilation, strict=True)
        ],
    )


def _grouped(x: Array, groups: int, axis: int) -> Array:
    shape = x.shape
    return x.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


@_widened
def convolution(
    x: Array, weight: Array, bias: Array | None, size: Sizes,
    stride: Sizes, padding: Sizes, dilation: Sizes, groups: int,
) -> Array:  # fmt: skip
    """The convolution of images with a weight, plus a bias for each channel."""
    if _compiled(x, weight):
        return kernels.convolution(x, weight, bias, size, stride, padding, dilation, groups)
    kernel = weight.shape[2:]
    image = _grouped(_padded(x, size, kernel, stride, padding, dilation), groups, 1)
    taps = _grouped(weight, groups, 0)
    out = np.zeros((x.shape[0], groups, taps.shape[1], *size), x.dtype)
    if 0 not in size:
        for place in _places(kernel):
            seen = image[_window(place, size, stride, dilation)]
            out += np.einsum("ngi...,goi->ngo...", seen, taps[(..., *place)])
    out = out.reshape(x.shape[0], weight.shape[0], *size)
    return out if bias is None else out + bias.reshape(-1, *[1] * len(size))


@_widened
def convolution_transpose(
    x: Array, weight: Array, bias: Array | None, size: Sizes,
    stride: Sizes, padding: Sizes, dilation: Sizes, groups: int,
) -> Array:  # fmt: skip
    """The transpose of :func:`convolution` in its image."""
    if _compiled(x, weight):
        return kernels.convolution_transpose(
            x, weight, bias, size, stride, padding, dilation, groups
        )
    kernel, seen = weight.shape[2:], x.shape[2:]
    source, taps = _grouped(x, groups, 1), _grouped(weight, groups, 0)
    channels = groups * weight.shape[1]
    out = np.zeros((x.shape[0], channels, *size), x.dtype)
    padded = _padded(out, seen, kernel, stride, padding, dilation)
    image = _grouped(padded, groups, 1)
    if 0 not in seen:
        for place in _places(kernel):
            image[_window(place, seen, stride, dilation)] += np.einsum(
                "ngo...,goi->ngi...", source, taps[(..., *place)]
            )
    inner: Any = (..., *[slice(p, p + n) for p, n in zip(padding, size, strict=True)])
    out = padded[inner]
    return np.ascontiguousarray(out) if bias is None else out + bias.reshape(-1, *[1] * len(size))


@_widened
def convolution_weight(
    x: Array, g: Array, size: Sizes,
    stride: Sizes, padding: Sizes, dilation: Sizes, groups: int,
) -> Array:  # fmt: skip
    """The transpose of :func:`convolution` in its weight: its gradient for the output's ``g``."""
    if _compiled(x, g):
        return kernels.convolution_weight(x, g, size, stride, padding, dilation, groups)
    seen = g.shape[2:]
    image = _grouped(_padded(x, seen, size, stride, padding, dilation), groups, 1)
    source = g.reshape(len(g), groups, g.shape[1] // groups, math.prod(seen))
    out = np.zeros((groups, source.shape[2], image.shape[2], *size), x.dtype)
    if g.size:
        for place in _places(size):
            window = image[_window(place, seen, stride, dilation)]
            window = window.reshape(*image.shape[:3], math.prod(seen))
            out[(..., *place)] = np.einsum("ngop,ngip->goi", source, window)
    return out.reshape(g.shape[1], x.shape[1] // groups, *size)


@_widened
def channel_sums(x: Array) -> Array:
    """Sums over all dimensions but the second."""
    if x.dtype.type in (np.float32, np.float64) and x.size:
        return kernels.channel_sums(x)
    return np.asarray(x.sum(axis=(0, *range(2, x.ndim))))
