"""Arguments that many operations check: one place that says what is wrong."""

from __future__ import annotations

from typing import Any


def check_floating(x: Any, caller: str, name: str = "x", kinds: str = "f") -> None:
    """Refuses an array or a tensor that is not floating point (``kinds`` "fc": nor complex)."""
    if x.dtype.kind not in kinds:
        raise TypeError(f"{caller}: {name} must be floating point; got {x.dtype}")
