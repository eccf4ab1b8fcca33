"""What this build of lucid has and what this process uses of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._kernels import cpu
from lucid._kernels.threads import get_num_threads

__version__ = "0.1.0"


def config() -> dict[str, Any]:
    """The version, the instruction set the kernels use, the number of threads, NumPy's version.

    The environment variable ``LUCID_SIMD`` (baseline, avx2, avx512) forces a lower instruction
    set than the CPU's best, read once at import.

    Example:
        >>> lucid.config()["simd"] in ("baseline", "avx2", "avx512")
        True
    """
    return {
        "version": __version__,
        "simd": cpu.level,
        "multiversion": cpu.multiversion,
        "threads": get_num_threads(),
        "numpy": np.__version__,
    }


def show_config() -> None:
    """Prints :func:`config`, a line each."""
    for name, value in config().items():
        print(f"{name}: {value}")
