"""Pooling: the public face of lucid/ops/pooling.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._core.op import TENSORS as T
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn.functional_conv import batched, per_axis
from lucid.ops import pooling as ops
from lucid.ops._checks import check_floating
from lucid.ops.pointwise import relu
from lucid.ops.resampling import resample_along
from lucid.ops.shape import reshape, tensor_of

__all__: list[str] = []


def _public(function: Any) -> Any:
    __all__.append(function.__name__)
    return function


def _counts(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, caller: str
) -> tuple[int, ...]:
    """Windows per axis. With ``ceil_mode`` the last may hang over the end, but not start there."""
    counts = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        if 2 * p > k:
            raise ValueError(
                f"{caller}: padding must be at most half of kernel_size; got {padding} and {kernel}"
            )
        room = n + 2 * p - d * (k - 1) - 1
        count = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        counts.append(count)
    if min(counts) < 1:
        raise ShapeError(f"{caller}: no window of {kernel} fits into {tuple(size)}")
    return tuple(counts)


def _settings(
    ndim: int, caller: str, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[tuple[int, ...], ...]:
    kernel = per_axis(kernel_size, ndim, caller, "kernel_size", 1)
    empty = stride is None or isinstance(stride, (tuple, list)) and not stride
    return (
        kernel,
        kernel if empty else per_axis(stride, ndim, caller, "stride", 1),
        per_axis(padding, ndim, caller, "padding"),
        per_axis(dilation, ndim, caller, "dilation", 1),
    )


def _places(index: np.ndarray) -> Tensor:
    return wrap(np.maximum(index, 0, dtype=np.int64))


def _max_pool(
    ndim: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    return_indices: bool,
) -> Any:  # fmt: skip
    caller = f"max_pool{ndim}d"
    batched(x, ndim, caller)
    settings = _settings(ndim, caller, kernel_size, stride, padding, dilation)
    kernel, stride, padding, dilation = settings
    counts = _counts(x.shape[-ndim:], kernel, stride, padding, dilation, ceil_mode, caller)
    out, index = ops.max_pool_with_index(x, counts, *settings)
    return (out, _places(index)) if return_indices else out


def _avg_pool(
    ndim: int, x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    caller = f"avg_pool{ndim}d"
    batched(x, ndim, caller)
    kernel, stride, padding, dilation = _settings(ndim, caller, kernel_size, stride, padding, 1)
    if divisor_override is not None and divisor_override == 0:
        raise ValueError(f"{caller}: divisor_override must not be 0")
    counts = _counts(x.shape[-ndim:], kernel, stride, padding, dilation, ceil_mode, caller)
    return ops.avg_pool(
        x, counts, kernel, stride, padding, count_include_pad, float(divisor_override or 0)
    )


@_public
def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of ``(N, C, L)`` or ``(C, L)``.

    Args:
        input: signals.
        kernel_size, stride, padding, dilation: of the windows; ``stride`` defaults to
            ``kernel_size``, and the padding (at most half of the kernel) never wins.
        ceil_mode: the last window may hang over the end.
        return_indices: also return the place of each element, flat within its channel.

    Example:
        >>> lucid.nn.functional.max_pool1d(lucid.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
        tensor([[3., 2.]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@_public
def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of images; the arguments of :func:`max_pool1d`."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@_public
def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of volumes; the arguments of :func:`max_pool1d`."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@_public
def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of each window of ``(N, C, L)`` or ``(C, L)``.

    Args:
        input: signals.
        kernel_size, stride, padding: of the windows; ``stride`` defaults to ``kernel_size``.
        ceil_mode: the last window may hang over the end.
        count_include_pad: whether the padding counts as zeros.

    Example:
        >>> lucid.nn.functional.avg_pool1d(lucid.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
        tensor([[2., 1.]])
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@_public
def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of images; the arguments of :func:`avg_pool1d`.

    ``divisor_override`` divides the sums in place of the number of elements.
    """
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@_public
def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of volumes; the arguments of :func:`avg_pool1d`.

    ``divisor_override`` divides the sums in place of the number of elements.
    """
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


# -------------------------------------------------------------------- adaptive


def _adaptive_counts(ndim: int, x: Any, output_size: Any, caller: str) -> tuple[int, ...]:
    batched(x, ndim, caller)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * ndim
    if len(wanted) != ndim:
        raise ValueError(
            f"{caller}: output_size must be an int or {ndim} of them; got {output_size}"
        )
    sizes = [n if w is None else w for w, n in zip(wanted, x.shape[-ndim:], strict=True)]
    return per_axis(sizes, ndim, caller, "output_size", 1)


def _adaptive_avg(ndim: int, x: Any, output_size: Any) -> Tensor:
    caller = f"adaptive_avg_pool{ndim}d"
    counts = _adaptive_counts(ndim, x, output_size, caller)
    check_floating(x, caller, "input", "fc")
    for at, count in enumerate(counts):
        dim = x.ndim - ndim + at
        x = _adaptive_mean(x, dim, count)
    return x


def _adaptive_mean(x: Tensor, dim: int, count: int) -> Tensor:
    """Means of ``count`` windows along one dimension, which may overlap."""
    n = x.shape[dim]
    if n == count:
        return x
    if n % count == 0:
        shape = (*x.shape[:dim], count, n // count, *x.shape[dim + 1 :])
        return T.mean(reshape(x, shape), dim + 1, False, None)
    windows = np.arange(count)
    start, end = windows * n // count, -(-(windows + 1) * n // count)
    length = end - start
    taps = np.arange(length.max()).reshape(-1, 1)
    # A window without the last taps counts its last element again, in as many shares.
    share = np.where(taps < length - 1, 1.0, 1 / (len(taps) - length + 1))
    return resample_along(x, dim, np.minimum(start + taps, end - 1), share / length)


def _adaptive_max(ndim: int, x: Any, output_size: Any, return_indices: bool) -> Any:
    caller = f"adaptive_max_pool{ndim}d"
    counts = _adaptive_counts(ndim, x, output_size, caller)
    size = x.shape[-ndim:]
    if all(n and n % c == 0 for n, c in zip(size, counts, strict=True)):
        kernel = tuple([n // c for n, c in zip(size, counts, strict=True)])
        out, index = ops.max_pool_with_index(x, counts, kernel, kernel, (0,) * ndim, (1,) * ndim)
    else:
        index = ops.adaptive_max_index(x, counts)
        out = ops.take_places(x, index, ndim)
    return (out, _places(index)) if return_indices else out


@_public
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of ``output_size`` windows per dimension, which cover signals ``(N, C, L)`` evenly.

    Window i of o covers the elements from floor(i n / o) up to ceil((i + 1) n / o). None keeps a
    dimension's size.
    """
    return _adaptive_avg(1, input, output_size)


@_public
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of the windows of :func:`adaptive_avg_pool1d`, and where they lie."""
    return _adaptive_max(1, input, output_size, return_indices)


@_public
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of ``output_size`` windows per dimension, which cover images evenly.

    Window i of o covers the elements from floor(i n / o) up to ceil((i + 1) n / o). None keeps a
    dimension's size.
    """
    return _adaptive_avg(2, input, output_size)


@_public
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of the windows of :func:`adaptive_avg_pool2d`, and where they lie."""
    return _adaptive_max(2, input, output_size, return_indices)


@_public
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means of ``output_size`` windows per dimension, which cover volumes evenly.

    Window i of o covers the elements from floor(i n / o) up to ceil((i + 1) n / o). None keeps a
    dimension's size.
    """
    return _adaptive_avg(3, input, output_size)


@_public
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of the windows of :func:`adaptive_avg_pool3d`, and where they lie."""
    return _adaptive_max(3, input, output_size, return_indices)


# -------------------------------------------------------------------- power means, inverse


def _lp_pool(
    ndim: int, x: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    powers = T.pow(tensor_of(x, f"lp_pool{ndim}d"), norm_type)
    mean = _avg_pool(ndim, powers, kernel_size, stride, 0,
                     ceil_mode, True, None)  # fmt: skip
    places = math.prod(per_axis(kernel_size, ndim, f"lp_pool{ndim}d", "kernel_size", 1))
    # An odd power may be negative: its root counts as 0, and so does its gradient.
    positive = T.mul(T.sign(mean), relu(T.abs(mean)))
    return T.pow(T.mul(positive, float(places)), 1.0 / norm_type)


@_public
def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    r"""Power sum of each window: :math:`(\sum x^p)^{1/p}`; the windows are those of avg_pool1d."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


@_public
def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    r"""Power sum of each window: :math:`(\sum x^p)^{1/p}`; the windows are those of avg_pool2d."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


@_public
def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    r"""Power sum of each window: :math:`(\sum x^p)^{1/p}`; the windows are those of avg_pool3d."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _max_unpool(
    ndim: int, x: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    caller = f"max_unpool{ndim}d"
    batched(x, ndim, caller)
    kernel, stride, padding, _ = _settings(ndim, caller, kernel_size, stride, padding, 1)
    default = tuple([
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(x.shape[-ndim:], stride, padding, kernel, strict=True)
    ])  # fmt: skip
    size = default if output_size is None else tuple(output_size)[-ndim:]
    if any(not d - s < n < d + s for n, d, s in zip(size, default, stride, strict=True)):
        raise ValueError(
            f"{caller}: output_size must lie within a stride of {default}; got {tuple(output_size)}"
        )
    index = tensor_of(indices, caller, "indices")._data
    if index.shape != x.shape or index.dtype.kind not in "iu":
        raise ShapeError(
            f"{caller}: indices must be integers in the shape of input {x.shape}; "
            f"got {index.dtype} {index.shape}"
        )
    if index.size and (index.min() < 0 or index.max() >= math.prod(size)):
        raise IndexError(f"{caller}: indices must lie in planes of {size}")
    return ops.max_unpool(x, index, size)


@_public
def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Puts maxima back where ``max_pool1d(..., return_indices=True)`` found them, among zeros."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


@_public
def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Puts maxima back where ``max_pool2d(..., return_indices=True)`` found them, among zeros."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


@_public
def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Puts maxima back where ``max_pool3d(..., return_indices=True)`` found them, among zeros."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)
