import numpy as np

def matmul(a: np.ndarray, b: np.ndarray, /) -> np.ndarray:
    """`a @ b` with all of `np.matmul`'s shapes; the result is a new array, also where it is 0-d."""

def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, /) -> np.ndarray:
    """`x @ weight.T + bias` for x (..., in), weight (out, in) and bias (out,)."""

def linear_backward(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    need_x: bool,
    need_weight: bool,
    need_bias: bool,
    /,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """The gradients of `linear`'s arguments from the gradient `g` (..., out) of its result."""

def kept() -> int:
    """The bytes that products keep to pack operands into; at most 16 MiB."""

def release() -> None:
    """Gives them back to the system."""

def fma_peak(steps: int, double_precision: bool = False, /) -> float:
    """Runs a loop of nothing but multiply-adds and returns how many it did; for benchmarks."""

def _product(
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    alpha: float,
    accumulate: bool,
    relu: bool,
    row_bias: np.ndarray | None,
    column_bias: np.ndarray | None,
    packed: bool,
    custom: bool,
    /,
) -> None:
    """The engine with everything plugged in, for the tests: epilogue, packed b, own packer."""
