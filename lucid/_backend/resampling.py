"""Resampling: kernels for float32 and float64, plain NumPy for everything else."""

from __future__ import annotations

import numpy as np

from lucid._backend.guard import compiled
from lucid._kernels import resampling as kernels

Array = np.ndarray

__all__ = ["correlate", "sample", "spread"]


def _weighted(values: Array, weight: Array | None, place: Array, t: int) -> Array:
    """``values`` (images, channels, count, columns) times tap t's weights; 0 where it sees nothing.

    Without weights they are only copied: a product of infinite complex numbers is not one.
    """
    if weight is not None:
        with np.errstate(all="ignore"):
            values = (values * weight[:, t][:, None, :, None]).astype(values.dtype)
    return np.where((place[:, t] >= 0)[:, None, :, None], values, values.dtype.type(0))


def _taken(x: Array, place: Array, t: int) -> Array:
    index = np.maximum(place[:, t], 0)[:, None, :, None]
    return np.take_along_axis(x, np.broadcast_to(index, (len(x), 1, index.shape[2], 1)), 2)


def sample(x: Array, weight: Array | None, place: Array) -> Array:
    """The weighted sum of ``x`` at the taps of each place: (images, channels, count, columns)."""
    if compiled(x, x.shape[2]):
        return kernels.sample(x, weight, place)
    out = np.zeros((*x.shape[:2], place.shape[2], x.shape[3]), x.dtype)
    with np.errstate(all="ignore"):
        for t in range(place.shape[1] if x.shape[2] else 0):
            out += _weighted(_taken(x, place, t), weight, place, t)
    return out


def spread(g: Array, weight: Array | None, place: Array, size: int) -> Array:
    """The transpose of :func:`sample`."""
    if compiled(g, size):
        return kernels.spread(g, weight, place, size)
    out = np.zeros((*g.shape[:2], size, g.shape[3]), g.dtype)
    for t in range(place.shape[1] if size else 0):
        values = _weighted(g, weight, place, t)
        for image in range(len(g)):
            index = np.maximum(place[image % len(place), t], 0)
            np.add.at(out[image].swapaxes(0, 1), index, values[image].swapaxes(0, 1))
    return out


def correlate(g: Array, x: Array, place: Array) -> Array:
    """The gradient of the weights of :func:`sample`."""
    if compiled(x, x.shape[2]):
        return kernels.correlate(g, x, place)
    out = np.zeros(place.shape, x.dtype)
    for t in range(place.shape[1] if x.shape[2] else 0):
        products = (g * _taken(x, place, t)).sum((1, 3))
        products = products if len(place) > 1 else products.sum(0, keepdims=True)
        out[:, t] = np.where(place[:, t] >= 0, products, 0)
    return out
