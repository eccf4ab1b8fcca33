from typing import Any

import numpy as np

def copy(x: np.ndarray) -> np.ndarray:
    """``x.copy()``: the same elements in fresh C-contiguous memory."""

def write(out: np.ndarray, x: Any) -> None:
    """``out[...] = x``: writes ``x`` over ``out``, which may have any strides."""

def concatenate(arrays: list[np.ndarray], axis: int) -> np.ndarray:
    """``numpy.concatenate(arrays, axis)``."""

def stack(arrays: list[np.ndarray], axis: int) -> np.ndarray:
    """``numpy.stack(arrays, axis)``."""

def embed(g: np.ndarray, shape: tuple[int, ...], key: Any) -> np.ndarray:
    """Zeros of ``shape`` with ``g`` at ``key``, which is made of ints, slices, None and Ellipsis.

    Raises:
        ValueError: ``g`` does not fit the key.
    """

def reshape(x: np.ndarray, shape: Any) -> np.ndarray:
    """``x.reshape(shape)``: a view where the strides allow it, else a copy."""
