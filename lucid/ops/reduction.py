"""Reductions: sums and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.op import operation
from lucid.ops._dims import dims

Array = np.ndarray


@operation(1)
def sum(x: Array, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """Sum over dimensions.

    Args:
        x: any tensor; integers and bools add up in int64.
        dim: one dimension or several; None for all.
        keepdim: keep the summed dimensions with size 1.
        dtype: cast to this first.

    Example:
        >>> lucid.ones(2, 3).sum(dim=1)
        tensor([3., 3.])
    """
    if dtype is not None:
        x = x.astype(dtypes.as_dtype(dtype, "sum"), copy=False)
    elif x.dtype.kind in "biu":
        x = x.astype(np.int64, copy=False)
    return B.sum(x, None if dim is None else dims(dim, x.ndim, "sum"), keepdim)


sum.gradient(x=lambda F, g, x_shape, dim, keepdim: F.spread(g, x_shape, dim, keepdim))


@operation(1)
def spread(x: Array, shape: tuple[int, ...], dim: Any, keepdim: bool) -> Array:
    """Undoes a reduction's loss of dimensions: ``x`` broadcast along ``dim`` to ``shape``."""
    if x.size == 1:
        # In memory of its own: the kernels that come next would refuse a broadcast view.
        out = np.empty(shape, x.dtype)
        out.fill(x.item())
        return out
    if not keepdim and x.ndim < len(shape):
        x = np.expand_dims(x, dims(dim, len(shape), "spread"))
    return np.broadcast_to(x, shape)


spread.gradient(x=lambda F, g, dim, keepdim: F.sum(g, dim, keepdim))


@operation(1)
def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Undoes broadcasting: ``x`` summed over the axes along which ``shape`` was broadcast to it."""
    lead = x.ndim - len(shape)
    ones = tuple([lead + i for i, n in enumerate(shape) if n == 1 and x.shape[lead + i] != 1])
    if ones:
        x = B.sum(x, ones, True)
    return B.sum(x, tuple(range(lead))) if lead else x


sum_to.gradient(x=lambda F, g, x_shape: F.broadcast_to(g, x_shape))


@operation(1)
def mean(x: Array, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """Arithmetic mean over dimensions.

    Args:
        x: a floating-point or complex tensor.
        dim, keepdim, dtype: as for :func:`sum`.
    """
    if dtype is not None:
        x = x.astype(dtypes.as_dtype(dtype, "mean"), copy=False)
    if x.dtype.kind not in "fc":
        raise RuntimeError(
            f"mean: x must be floating point or complex; got {x.dtype}: pass dtype= or cast it"
        )
    which = dims(dim, x.ndim, "mean")
    count = 1
    for d in which:
        count *= x.shape[d]
    return B.div(B.sum(x, None if dim is None else which, keepdim), count)


def _mean_rule(F, g, x_shape, dim, keepdim):  # noqa: N803
    count = 1
    for d in dims(dim, len(x_shape), "mean"):
        count *= x_shape[d]
    return F.spread(F.div(g, count), x_shape, dim, keepdim)


mean.gradient(x=_mean_rule)
