"""Initial values for parameters, written in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core.tensor import Tensor, note_write

_default = np.random.Generator(np.random.PCG64(0))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fills ``tensor`` with values uniform in ``[a, b)``."""
    note_write(tensor)
    tensor._data[...] = _default.uniform(a, b, tensor.shape)
    return tensor
