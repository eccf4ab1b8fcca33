"""The rows that drive tests/test_ops.py: at least one per operation.

A new operation without a row fails the suite (test_every_operation_has_a_row).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Sample", "all_samples", "bools", "distinct", "ints", "positive", "real"]

Maker = Callable[[np.random.Generator, np.dtype], np.ndarray]


def real(shape: tuple[int, ...], low: float | None = None, high: float | None = None) -> Maker:
    """Standard normal, or uniform in [low, high); made to fit integer and bool dtypes too."""

    def make(rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        def draw() -> np.ndarray:
            if low is None or high is None:
                return np.asarray(rng.standard_normal(shape) * (3 if dtype.kind in "iu" else 1))
            return np.asarray(rng.uniform(low, high, shape))

        if dtype.kind == "c":
            return np.asarray(draw() + 1j * draw()).astype(dtype)
        if dtype.kind == "b":
            return np.asarray(draw() > (0 if low is None or high is None else (low + high) / 2))
        if dtype.kind == "u":
            return np.abs(draw()).astype(dtype)
        return draw().astype(dtype)

    return make


def positive(shape: tuple[int, ...]) -> Maker:
    """Uniform in [0.5, 2): safe to divide by and to take roots and logarithms of."""
    return real(shape, 0.5, 2.0)


def ints(shape: tuple[int, ...], low: int, high: int) -> Maker:
    """int64 in [low, high), whatever the dtype of the row: indices, targets."""

    def make(rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return np.asarray(rng.integers(low, high, shape))

    make.fixed = True  # type: ignore[attr-defined]
    return make


def bools(shape: tuple[int, ...]) -> Maker:
    """bool, whatever the dtype of the row: masks."""

    def make(rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return np.asarray(rng.random(shape) < 0.5)

    make.fixed = True  # type: ignore[attr-defined]
    return make


def distinct(shape: tuple[int, ...]) -> Maker:
    """No two elements closer than 0.1: for sorting, maxima, medians."""

    def make(rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        count = int(np.prod(shape))
        values = rng.permutation(count) * (1 if dtype.kind in "iu" else 0.25) - (
            0 if dtype.kind == "u" else count // 2 * (1 if dtype.kind == "i" else 0.25)
        )
        values = values + (0.125 if dtype.kind in "fc" else 0)
        return values.reshape(shape).astype(dtype)

    return make


DTYPES = {
    "f": (np.float16, np.float32, np.float64),
    "d": (np.float32, np.float64),  # what LAPACK takes: no float16
    "i": (np.int32, np.int64),
    "u": (np.uint8,),
    "b": (np.bool_,),
    "c": (np.complex64, np.complex128),
}


@dataclass
class Sample:
    """One call of one operation.

    Attributes:
        name: the operation's.
        inputs: a spec per tensor: a shape (standard normal) or a maker.
        kwargs: further arguments.
        numpy: the reference, ``numpy(*arrays, **kwargs)``; None where ``torch`` alone is.
        torch: a function of PyTorch tensors, or the dotted name of one below ``torch``.
        call: how lucid is called; ``getattr(lucid, name)`` by default.
        dtypes: kinds of dtypes that are tried: f (d: without float16), i, u, b, c.
        grad, second: whether first and second order gradients are checked.
        tolerance: multiplies the default tolerances; the row says in a comment why.
        variadic: the inputs are passed as one list.
        layouts: whether strided and read-only inputs are tried.
    """

    name: str
    inputs: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    numpy: Callable[..., Any] | None = None
    torch: Callable[..., Any] | str | None = None
    call: Callable[..., Any] | None = None
    dtypes: str = "f"
    grad: bool = True
    second: bool = True
    tolerance: float = 1.0
    variadic: bool = False
    layouts: bool = True

    def arrays(self, dtype: Any, seed: int = 0) -> list[np.ndarray]:
        """Fresh input arrays in ``dtype``."""
        rng = np.random.default_rng(seed)
        makers = [spec if callable(spec) else real(spec) for spec in self.inputs]
        return [make(rng, np.dtype(dtype)) for make in makers]

    def is_fixed(self, i: int) -> bool:
        """Whether input ``i`` keeps its dtype: an index or a mask, without a gradient."""
        return getattr(self.inputs[i], "fixed", False)

    def __str__(self) -> str:
        shapes = ",".join(
            "x".join(map(str, spec)) if isinstance(spec, tuple) else "-" for spec in self.inputs
        )
        details = ",".join(f"{k}={v}" for k, v in self.kwargs.items())
        return f"{self.name}({shapes}{';' if details else ''}{details})"


def all_samples() -> list[Sample]:
    """The rows of every family."""
    rows: list[Sample] = []
    for module in pkgutil.iter_modules(__path__):
        rows += importlib.import_module(f"{__name__}.{module.name}").SAMPLES
    return rows
