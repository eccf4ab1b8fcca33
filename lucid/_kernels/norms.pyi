from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final[int]
"""Splitting an array at multiples of this many elements does not change a bit of `total_norm`."""

def total_norm(arrays: Iterable[NDArray[Any]], p: float) -> tuple[float, int]:
    """Return (norm, nonfinite): the p-norm over all elements, and how many are NaN or inf.

    p > 0 or inf. NaN anywhere makes the norm NaN, else inf anywhere makes it inf. The norm of
    finite elements is within max(1, 1 / p) times a few ulp, and overflows only if it is too large
    for a float64.
    """

def clip(
    arrays: Iterable[NDArray[Any]], p: float, limit: float, eps: float
) -> tuple[float, int, float]:
    """Return (norm, nonfinite, factor) as `total_norm`, having scaled where clipping is due.

    It is due where all elements are finite and norm > limit; the factor is then
    limit / (norm + eps), and otherwise 1. Checks as `scale` does, but only where it is due.
    """

def norms(arrays: Iterable[NDArray[Any]], p: float) -> NDArray[np.float64]:
    """Each array's own p-norm, as a float64 array."""

def nonfinite_counts(arrays: Iterable[NDArray[Any]]) -> NDArray[np.int64]:
    """The numbers of NaN and of inf elements of each array: shape (n, 2)."""

def stats(arrays: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    """Per array, in one pass: 2-norm, largest |g|, mean, zeros, NaNs, infs, size; shape (n, 7).

    The mean of complex elements is the modulus of their mean; that of no elements is 0.
    """

def scale(arrays: Iterable[NDArray[Any]], factor: float) -> None:
    """Multiply every element by `factor` in place.

    The product is taken in float64 and then rounded to the element's dtype. A read-only array
    raises ValueError, a dtype that is not float16/32/64 or complex64/128 TypeError, both before
    any array is changed. Memory that a broadcast axis repeats is multiplied once.
    """

def clamp(arrays: Iterable[NDArray[Any]], limit: float) -> None:
    """Clamp every element to [-limit, limit] in place; NaN stays NaN. Checks as `scale` does."""

def fill_zero(arrays: Iterable[NDArray[Any]]) -> None:
    """Set every element to 0 in place. Checks as `scale` does."""
