"""What the compiled kernels take."""

from __future__ import annotations

import numpy as np


def compiled(x: np.ndarray, places: int = 0) -> bool:
    """Whether kernels take ``x``: float32 or float64, and so many places fit an int32."""
    return x.dtype.type in (np.float32, np.float64) and places < 2**31
