"""Pooling: the largest element or the mean of each window."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import operation, recorded
from lucid._core.tensor import Tensor

Array = np.ndarray
Sizes = tuple[int, ...]


@operation(1)
def take_places(x: Array, index: Array, axes: int) -> Array:
    """The elements of planes, the last ``axes`` dimensions of ``x``, at flat places ``index``.

    A negative place gives 0.
    """
    return B.take_places(x, index, axes)


take_places.gradient(
    x=lambda F, g, x_shape, index, axes: F.put_places(g, index, x_shape[len(x_shape) - axes :])
)


@operation(1)
def put_places(x: Array, index: Array, size: Sizes) -> Array:
    """Zeroed planes of ``size`` with ``x`` added up at flat places ``index``."""
    return B.put_places(x, index, size)


put_places.gradient(x=lambda F, g, index, size: F.take_places(g, index, len(size)))


@operation(1)
def max_unpool(x: Array, index: Array, size: Sizes) -> Array:
    """Zeroed planes of ``size`` with ``x`` written to flat places ``index``."""
    axes = len(size)
    out = np.zeros((*x.shape[: x.ndim - axes], *size), x.dtype)
    flat = out.reshape(*x.shape[: x.ndim - axes], -1)
    np.put_along_axis(
        flat, index.reshape(*flat.shape[:-1], -1), x.reshape(*flat.shape[:-1], -1), -1
    )
    return out


max_unpool.gradient(x=lambda F, g, index, size: F.take_places(g, index, len(size)))


@operation(1)
def max_pool(
    x: Array,
    counts: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    index: Any = None,
) -> Array:
    """The largest element of each window along the last ``len(kernel)`` dimensions.

    Args:
        x: planes ``(..., *size)``.
        counts: windows per dimension.
        kernel, stride, padding, dilation: of the windows, per dimension.
        index: what forward leaves for backward; not to be given.
    """
    return B.max_pool(x, counts, kernel, stride, padding, dilation)[0]


max_pool.gradient(
    x=lambda F, g, x_shape, kernel, index: F.put_places(
        g, index, x_shape[len(x_shape) - len(kernel) :]
    )
)


def max_pool_with_index(
    x: Tensor, counts: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[Tensor, Array]:
    """:func:`max_pool` recorded together with where the elements lie, which is returned too."""
    settings = (counts, kernel, stride, padding, dilation)
    array = x._data
    out, index = B.max_pool(array, *settings)
    return recorded(max_pool.op, (x,), (array,), (*settings, index), out), index


@operation(1)
def avg_pool(
    x: Array,
    counts: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    count_padding: bool = True,
    divisor: float = 0.0,
) -> Array:
    """The mean of each window along the last ``len(kernel)`` dimensions.

    Args:
        x: planes ``(..., *size)``.
        counts: windows per dimension.
        kernel, stride, padding: of the windows, per dimension.
        count_padding: whether the zeros of the padding count.
        divisor: what sums are divided by; 0 for the number of elements that count.
    """
    return B.avg_pool(x, counts, kernel, stride, padding, count_padding, divisor)


avg_pool.gradient(
    x=lambda F, g, x_shape, kernel, stride, padding, count_padding, divisor: F.avg_pool_backward(
        g, x_shape[len(x_shape) - len(kernel) :], kernel, stride, padding, count_padding, divisor
    )
)


@operation(1)
def avg_pool_backward(
    x: Array,
    size: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    count_padding: bool = True,
    divisor: float = 0.0,
) -> Array:
    """The transpose of :func:`avg_pool`: each mean's share for every element of its window."""
    return B.avg_pool_backward(x, size, kernel, stride, padding, count_padding, divisor)


avg_pool_backward.gradient(
    x=lambda F, g, x_shape, kernel, stride, padding, count_padding, divisor: F.avg_pool(
        g, x_shape[len(x_shape) - len(kernel) :], kernel, stride, padding, count_padding, divisor
    )
)


def adaptive_max_index(x: Tensor, counts: Sizes) -> Array:
    """Where the maxima of adaptive pooling lie in the flattened planes."""
    return B.adaptive_max_index(x._data, counts)
