"""Windows and pooling: kernels for float32 and float64, plain NumPy for everything else.

The last ``len(kernel)`` axes are those that windows move along; ``counts`` windows per axis.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from lucid._backend.guard import compiled
from lucid._kernels import pooling as kernels

Array = np.ndarray
Sizes = tuple[int, ...]

__all__ = [
    "adaptive_max_index",
    "avg_pool",
    "avg_pool_backward",
    "fold_windows",
    "max_pool",
    "put_places",
    "take_places",
    "unfold_windows",
]


def _ranges(
    place: Sizes, size: Sizes, counts: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The windows that see an element at one place of the kernel, and the elements they see."""
    windows, elements = [], []
    for k, n, c, s, p, d in zip(place, size, counts, stride, padding, dilation, strict=True):
        shift = k * d - p
        first = max(0, -(shift // s))
        last = min(c, (n - 1 - shift) // s + 1)
        windows.append(slice(first, max(last, first)))
        elements.append(slice(first * s + shift, max((last - 1) * s + shift + 1, 0), s))
        if last <= first:
            elements[-1] = slice(0, 0)
    return (..., *windows), (..., *elements)


def unfold_windows(
    x: Array,
    counts: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    fill: float,
) -> Array:
    """All windows: shape (..., *kernel, *counts)."""
    axes = len(kernel)
    lead, size = x.shape[: x.ndim - axes], x.shape[x.ndim - axes :]
    out = np.full((*lead, *kernel, *counts), fill, x.dtype)
    for place in itertools.product(*map(range, kernel)):
        windows, elements = _ranges(place, size, counts, stride, padding, dilation)
        at: tuple[Any, ...] = (*(slice(None),) * len(lead), *place)
        out[at][windows] = x[elements]
    return out


def fold_windows(x: Array, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    """The transpose of :func:`unfold_windows`."""
    axes = len(size)
    lead = x.shape[: x.ndim - 2 * axes]
    kernel, counts = x.shape[x.ndim - 2 * axes : x.ndim - axes], x.shape[x.ndim - axes :]
    out = np.zeros((*lead, *size), x.dtype)
    for place in itertools.product(*map(range, kernel)):
        windows, elements = _ranges(place, size, counts, stride, padding, dilation)
        at: tuple[Any, ...] = (*(slice(None),) * len(lead), *place)
        out[elements] += x[at][windows]
    return out


def _flat(x: Array, axes: int) -> Array:
    return x.reshape(*x.shape[: x.ndim - axes], math.prod(x.shape[x.ndim - axes :]))


def max_pool(
    x: Array, counts: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[Array, Array]:
    """The largest element of each window (the first of several, or the last NaN), and its place
    in the flattened plane; -1 where the window sees nothing."""
    axes = len(kernel)
    size = x.shape[x.ndim - axes :]
    if compiled(x, math.prod(size)):
        return kernels.max_pool(x, counts, kernel, stride, padding, dilation)
    shape = (*x.shape[: x.ndim - axes], *counts)
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    best, index = np.full(shape, low, x.dtype), np.full(shape, -1, np.int64)
    places = np.arange(math.prod(size)).reshape(size)
    for place in itertools.product(*map(range, kernel)):
        windows, elements = _ranges(place, size, counts, stride, padding, dilation)
        seen, old = x[elements], best[windows]
        take = (seen > old) | (seen != seen) | (index[windows] < 0)
        best[windows] = np.where(take, seen, old)
        index[windows] = np.where(take, places[elements[1:]], index[windows])
    return best, index


def put_places(x: Array, index: Array, size: Sizes) -> Array:
    """Zeroed planes of ``size`` with ``x`` added up at ``index``."""
    axes = len(size)
    if compiled(x, math.prod(size)):
        return kernels.max_pool_backward(x, index, size)
    lead = x.shape[: x.ndim - axes]
    out = np.zeros((math.prod(lead), math.prod(size)), x.dtype)
    values, at = _flat(x, axes).reshape(len(out), -1), _flat(index, axes).reshape(len(out), -1)
    rows, columns = np.nonzero(at >= 0)
    np.add.at(out, (rows, at[rows, columns]), values[rows, columns])
    return out.reshape(*lead, *size)


def take_places(x: Array, index: Array, axes: int) -> Array:
    """The elements of planes at ``index``: the transpose of :func:`put_places`."""
    found = np.take_along_axis(_flat(x, axes), np.maximum(_flat(index, axes), 0), -1)
    return np.where(index < 0, x.dtype.type(0), found.reshape(index.shape))


def _share(
    counts: Sizes, size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes,
    count_padding: bool, divisor: float,
) -> Array | float:  # fmt: skip
    """What the sum of each window is divided by."""
    if divisor:
        return divisor
    out: Array | float = 1
    for c, n, k, s, p in zip(counts, size, kernel, stride, padding, strict=True):
        start = np.arange(c) * s - p
        end = np.minimum(start + k, n + p)
        if not count_padding:
            start, end = np.maximum(start, 0), np.minimum(end, n)
        out = np.multiply.outer(out, end - start)
    return out


def avg_pool(
    x: Array, counts: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes,
    count_padding: bool, divisor: float,
) -> Array:  # fmt: skip
    """The mean of each window; ``divisor`` 0: of the elements counted."""
    if compiled(x):
        return kernels.avg_pool(x, counts, kernel, stride, padding, count_padding, divisor)
    axes = len(kernel)
    size = x.shape[x.ndim - axes :]
    windows = unfold_windows(x, counts, kernel, stride, padding, (1,) * axes, 0)
    total = windows.sum(axis=tuple(range(x.ndim - axes, x.ndim)))
    return (total / _share(counts, size, kernel, stride, padding, count_padding, divisor)).astype(
        x.dtype
    )


def avg_pool_backward(
    g: Array, size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes,
    count_padding: bool, divisor: float,
) -> Array:  # fmt: skip
    """The transpose of :func:`avg_pool`."""
    if compiled(g):
        return kernels.avg_pool_backward(g, size, kernel, stride, padding, count_padding, divisor)
    axes = len(kernel)
    lead, counts = g.shape[: g.ndim - axes], g.shape[g.ndim - axes :]
    share = _share(counts, size, kernel, stride, padding, count_padding, divisor)
    each = (g / share).astype(g.dtype).reshape(*lead, *(1,) * axes, *counts)
    windows = np.broadcast_to(each, (*lead, *kernel, *counts))
    return fold_windows(windows, size, stride, padding, (1,) * axes)


def adaptive_max_index(x: Array, counts: Sizes) -> Array:
    """Where the largest element of each window of adaptive pooling lies in the flattened plane."""
    axes = len(counts)
    size = x.shape[x.ndim - axes :]
    out = np.empty((*x.shape[: x.ndim - axes], *counts), np.int64)
    places = np.arange(math.prod(size)).reshape(size)
    for window in itertools.product(*map(range, counts)):
        seen: tuple[Any, ...] = (
            ...,
            *[
                slice(i * n // c, -(-(i + 1) * n // c))
                for i, n, c in zip(window, size, counts, strict=True)
            ],
        )
        at: tuple[Any, ...] = (..., *window)
        first = _flat(x[seen], axes).argmax(-1)
        out[at] = places[seen[1:]].reshape(-1)[first]
    return out
