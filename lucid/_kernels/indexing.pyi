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
