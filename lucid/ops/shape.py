"""Shapes and views: results that share their input's memory wherever NumPy's strides allow it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core.op import operation
from lucid.errors import ShapeError
from lucid.ops._dims import one_dim

Array = np.ndarray


@operation(1, view=True)
def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """The same elements in another shape; one size may be -1."""
    try:
        return x.reshape(shape)
    except (ValueError, TypeError):
        raise ShapeError(
            f"reshape: shape must hold the {x.size} elements of {x.shape}; got {shape}"
        ) from None


reshape.gradient(x=lambda F, g, x_shape: F.reshape(g, x_shape))


@operation(1, view=True)
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` repeated along new or size-1 dimensions, without a copy."""
    try:
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ShapeError(f"broadcast_to: {x.shape} does not broadcast to {shape}") from None


broadcast_to.gradient(x=lambda F, g, x_shape: F.sum_to(g, x_shape))


@operation(1, view=True)
def transpose(x: Array, dim0: int, dim1: int) -> Array:
    """Exchanges two dimensions."""
    return x.swapaxes(one_dim(dim0, x.ndim, "transpose"), one_dim(dim1, x.ndim, "transpose"))


transpose.gradient(x=lambda F, g, dim0, dim1: F.transpose(g, dim0, dim1))


# -------------------------------------------------------------------- views written to in place


@operation(1, view=True)
def take_view(x: Array, chain: Any) -> Array:
    """The part of ``x`` that a chain of view operations selects."""
    for op, index, arguments in chain:
        x = op.forward(x, *arguments)
        x = x if index is None else x[index]
    return x


take_view.gradient(
    x=lambda F, g, x_shape, chain: F.write_view(F.zeros(x_shape, g.dtype), g, chain)
)


@operation(2)
def write_view(x: Array, value: Array, chain: Any) -> Array:
    """``x`` with the part that ``chain`` selects written over by ``value``."""
    out = x.copy()
    take_view.op.forward(out, chain)[...] = value
    return out


write_view.gradient(
    x=lambda F, g, chain: F.write_view(g, 0.0, chain),
    value=lambda F, g, chain: F.take_view(g, chain),
)

