import numpy as np

def take_rows(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``x[index]`` for indices of any shape in [0, n), where x is (n, ...).

    Raises:
        IndexError: an index is out of range, or negative.
    """

def add_rows(out: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    """Adds the rows of ``values`` to those of ``out``: ``out[index[i]] += values[i]`` for each i.

    Args:
        out: (n, ...), changed in place.
        index: (k,) integers in [-n, n), repeated ones too.
        values: (k, ...).

    Raises:
        IndexError: an index is out of range; nothing was changed.
    """

# A bag b is ``index[bounds[b] : bounds[b + 1]]``, rows of a table of float32 or float64. Entries
# equal to ``padding`` count for nothing (-1: all count). IndexError: what does not exist is named.

def bag_sum(
    table: np.ndarray,
    factor: np.ndarray | None,
    index: np.ndarray,
    bounds: np.ndarray,
    mean: bool,
    padding: int,
    /,
) -> np.ndarray:
    """The sum of each bag's rows, times a factor for each entry, divided by their number if mean.

    Args:
        table: (n, width).
        factor: (k,).
        index: (k,) integers in [0, n).
        bounds: (bags + 1,) integers from 0 to at most k, none smaller than the one before.

    Returns:
        (bags, width).
    """

def bag_sum_backward(
    g: np.ndarray,
    factor: np.ndarray | None,
    rows: int,
    index: np.ndarray,
    bounds: np.ndarray,
    mean: bool,
    padding: int,
    /,
) -> np.ndarray:
    """The gradient of the table, (rows, width), from that of the bags."""

def bag_products(
    g: np.ndarray,
    table: np.ndarray,
    index: np.ndarray,
    bounds: np.ndarray,
    mean: bool,
    padding: int,
    /,
) -> np.ndarray:
    """The gradient of the factors, (k,), from that of the bags."""

def bag_max(
    table: np.ndarray, index: np.ndarray, bounds: np.ndarray, padding: int, /
) -> tuple[np.ndarray, np.ndarray]:
    """The largest element of each bag's rows in each column, and the row it is from.

    The first of several largest, or the first NaN. Of a bag without rows: 0 and -1.
    """

def bag_max_backward(g: np.ndarray, place: np.ndarray, rows: int, /) -> np.ndarray:
    """The gradient of the table, (rows, width), from that of the maxima at rows ``place``."""
