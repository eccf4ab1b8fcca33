import numpy as np

def max_pool(
    x: np.ndarray,
    counts: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    /,
) -> tuple[np.ndarray, np.ndarray]:
    """The largest element of each window, and its place in the plane (int32)."""

def max_pool_backward(g: np.ndarray, index: np.ndarray, size: tuple[int, ...], /) -> np.ndarray:
    """``g`` added up at the places ``index`` of zeroed planes."""

def avg_pool(
    x: np.ndarray,
    counts: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    count_padding: bool,
    divisor: float,
    /,
) -> np.ndarray:
    """The mean of each window; ``divisor`` 0: of the elements counted."""

def avg_pool_backward(
    g: np.ndarray,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    count_padding: bool,
    divisor: float,
    /,
) -> np.ndarray:
    """The transpose of `avg_pool`."""
