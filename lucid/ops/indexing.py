"""Indexing: NumPy's whole grammar, reading and writing."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core.inplace import in_place
from lucid._core.op import operation
from lucid._core.tensor import Tensor

Array = np.ndarray


def plain_key(key: Any) -> Any:
    """An index with its tensors replaced by arrays."""
    if isinstance(key, tuple):
        return tuple([plain_key(k) for k in key])
    if isinstance(key, Tensor):
        if key._data.dtype.kind not in "iub":
            raise IndexError(f"index: a tensor index must be integer or bool; got {key.dtype}")
        return key._data
    if isinstance(key, list):
        return [plain_key(k) for k in key]
    return key


def is_basic(key: Any) -> bool:
    """Whether an index makes a view: ints, slices, None and Ellipsis only."""
    if isinstance(key, tuple):
        return all(is_basic(k) for k in key)
    return key is None or key is Ellipsis or isinstance(key, slice) or (
        isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_))
    )  # fmt: skip


@operation(1, view=True)
def getitem(x: Array, key: Any) -> Array:
    """``x[key]``: a view for ints and slices, a copy for index tensors and masks."""
    try:
        out = x[key]
    except IndexError as error:
        raise IndexError(f"getitem: {error}; the tensor has shape {x.shape}") from None
    if type(out) is not np.ndarray:
        # NumPy makes a scalar of a single element; a view of it is what is meant.
        full = key if isinstance(key, tuple) else (key,)
        out = x[(*full, Ellipsis)] if Ellipsis not in full else np.asarray(out)
    return out


getitem.gradient(x=lambda F, g, x_shape, key: F.put(g, x_shape, key))


@operation(1)
def put(g: Array, shape: tuple[int, ...], key: Any) -> Array:
    """Gradient of :func:`getitem`: zeros of ``shape`` with ``g`` added at ``key``."""
    out = np.zeros(shape, g.dtype)
    if is_basic(key):
        out[key] = g
    else:
        np.add.at(out, key, g)
    return out


put.gradient(g=lambda F, g, key: F.getitem(g, key))


@operation(2)
def setitem(x: Array, value: Array, key: Any) -> Array:
    """``x`` with ``x[key]`` replaced by ``value``."""
    out = x.copy()
    _write(out, value, key)
    return out


def _write(x: Array, value: Any, key: Any) -> None:
    try:
        x[key] = value
    except IndexError as error:
        raise IndexError(f"setitem: {error}; the tensor has shape {x.shape}") from None
    except ValueError as error:
        raise ValueError(f"setitem: value does not fit the index: {error}") from None


setitem.gradient(
    x=lambda F, g, key: F.setitem(g, 0.0, key),
    value=lambda F, g, key: F.getitem(g, key),
)
setitem_ = in_place(setitem, _write)
