"""Operations of neural networks: soft maxima and losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import operation

Array = np.ndarray
