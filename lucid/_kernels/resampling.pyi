"""Tables of places and weights; see resampling.h for the form that the three are derivatives of.

x is (images, channels, size, columns), g (images, channels, count, columns), both float32 or
float64; place is int32 of shape (images or 1, taps, count), negative for nothing, weight likewise
in the dtype of x, or None for ones.
"""

import numpy as np

def sample(x: np.ndarray, weight: np.ndarray | None, place: np.ndarray, /) -> np.ndarray:
    """For each place of the result the weighted sum of x at its taps."""

def spread(g: np.ndarray, weight: np.ndarray | None, place: np.ndarray, size: int, /) -> np.ndarray:
    """The transpose of `sample`: g added up, weighted, where it came from."""

def correlate(g: np.ndarray, x: np.ndarray, place: np.ndarray, /) -> np.ndarray:
    """The gradient of the weights of `sample`."""
