import numpy as np

def forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float, /) -> np.ndarray:
    """``x / (k + alpha / size * s) ** beta``, s the sums of squares of ``size`` channels."""

def backward(
    g: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float, /
) -> np.ndarray:
    """The gradient of ``x``."""
