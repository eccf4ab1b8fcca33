import numpy as np

def convolution(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    /,
) -> np.ndarray:
    """The convolution with output size ``size``; ``padding`` counts the zeros before."""

def convolution_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    /,
) -> np.ndarray:
    """Its transpose, with output size ``size``."""

def convolution_weight(
    x: np.ndarray,
    g: np.ndarray,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    /,
) -> np.ndarray:
    """The gradient of its weight, with kernel size ``size``, given the output's gradient."""

def channel_sums(x: np.ndarray, /) -> np.ndarray:
    """Sums over all dimensions but the second."""
