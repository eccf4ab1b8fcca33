"""Resampling by tables: weighted sums of the elements at given places.

The three operations are the derivatives of one form (see lucid/_kernels/resampling.h), so that the
gradients of each are the other two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import operation
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.ops.shape import reshape

Array = np.ndarray


@operation(2)
def resample(x: Array, weight: Array | None, place: Any) -> Array:
    """``out[b, c, p, i]``: the sum over taps t of ``weight[b, t, p] * x[b, c, place[b, t, p], i]``.

    Args:
        x: ``(images, channels, size, columns)``.
        weight: ``(images or 1, taps, count)``, or None for ones.
        place: integers of the same shape; negative ones contribute nothing.
    """
    return B.sample(x, weight, place)


resample.gradient(
    x=lambda F, g, x_shape, weight, place: F.resample_spread(g, weight, place, x_shape[2]),
    weight=lambda F, g, x, place: F.resample_correlate(g, x, place),
)


@operation(2)
def resample_spread(g: Array, weight: Array | None, place: Any, size: int) -> Array:
    """The transpose of :func:`resample`: ``g`` added up, weighted, where it came from."""
    return B.spread(g, weight, place, size)


resample_spread.gradient(
    g=lambda F, h, weight, place: F.resample(h, weight, place),
    weight=lambda F, h, g, place: F.resample_correlate(g, h, place),
)


@operation(2)
def resample_correlate(g: Array, x: Array, place: Any) -> Array:
    """The gradient of the weights of :func:`resample`."""
    return B.correlate(g, x, place)


resample_correlate.gradient(
    g=lambda F, h, x, place: F.resample(x, h, place),
    x=lambda F, h, g, x_shape, place: F.resample_spread(g, h, place, x_shape[2]),
)


def resample_along(x: Tensor, dim: int, place: Array, weight: Array | None = None) -> Tensor:
    """:func:`resample` along one dimension, by a table that all lines share.

    Args:
        place: ``(taps, count)``.
        weight: likewise, or None for ones.
    """
    lead, tail = x.shape[:dim], x.shape[dim + 1 :]
    planes = reshape(x, (1, math.prod(lead), x.shape[dim], math.prod(tail)))
    factors = None if weight is None else wrap(weight[None].astype(x.dtype))
    out = resample(planes, factors, place[None].astype(np.int32))
    return reshape(out, (*lead, place.shape[1], *tail))
