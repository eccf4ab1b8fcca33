"""Element types: NumPy's own dtype objects under PyTorch's names, and how two of them meet."""

from __future__ import annotations

from typing import Any

import numpy as np

bool_ = np.dtype(np.bool_)
uint8 = np.dtype(np.uint8)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)

ALL: tuple[np.dtype, ...] = (
    bool_, uint8, int8, int16, int32, int64, float16, float32, float64, complex64, complex128,
)  # fmt: skip

# NumPy makes new dtype objects where the byte order is set; lucid compares by identity.
_CANONICAL: dict[np.dtype, np.dtype] = {dtype: dtype for dtype in ALL}
_NAMES: dict[str, np.dtype] = {str(dtype): dtype for dtype in ALL} | {
    "half": float16, "float": float32, "double": float64, "short": int16, "int": int32,
    "long": int64, "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip
_PYTHON_TYPES: dict[Any, np.dtype] = {bool: bool_, int: int64}
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
_COMPLEX_OF: dict[np.dtype, np.dtype] = {
    float16: complex64, float32: complex64, float64: complex128,
}  # fmt: skip

_default: np.dtype = float32


def set_default_dtype(dtype: Any) -> None:
    """Sets the dtype of tensors made from Python floats: a floating-point one."""
    global _default
    found = as_dtype(dtype, "set_default_dtype")
    if found.kind != "f":
        raise TypeError(
            f"set_default_dtype: dtype must be a floating-point one (float16, float32, float64); "
            f"got {found}"
        )
    _default = found


def get_default_dtype() -> np.dtype:
    """The dtype of tensors made from Python floats, float32 unless set otherwise."""
    return _default


def as_dtype(dtype: Any, caller: str) -> np.dtype:
    """The element type that ``dtype`` names: a dtype, a NumPy scalar type, a string, a Python type.

    Raises:
        TypeError: it is none that a tensor can have.
    """
    if type(dtype) is type and dtype in (float, complex):
        return _default if dtype is float else _COMPLEX_OF[_default]
    found = _PYTHON_TYPES.get(dtype) if isinstance(dtype, type) else None
    if found is None and isinstance(dtype, str):
        found = _NAMES.get(dtype.rpartition(".")[2])
    if found is None and not isinstance(dtype, str):
        try:
            found = np.dtype(dtype)
        except TypeError:
            found = None
    if found is None or dtype is None or found.newbyteorder("=") not in ALL:
        raise TypeError(
            f"{caller}: dtype must be one of {', '.join(str(known) for known in ALL)}; "
            f"got {dtype!r}"
        )
    return _CANONICAL[found.newbyteorder("=")]


def canonical(array: np.ndarray) -> np.ndarray:
    """``array`` with the very object of `ALL` for its dtype; an unpickled one has its own."""
    known = _CANONICAL[array.dtype]
    return array if array.dtype is known else array.view(known)


def category(dtype: np.dtype) -> int:
    """0 bool, 1 integer, 2 floating point, 3 complex: the steps of PyTorch's promotion."""
    return _CATEGORY[dtype.kind]


def promote(a: np.ndarray, b: np.ndarray) -> np.dtype:
    """The dtype in which arrays of different dtypes meet, after PyTorch's rule.

    A 0-d operand does not widen one that has dimensions unless it is of a higher category; an
    integer meeting a float takes the float's dtype.
    """
    if (a.ndim == 0) != (b.ndim == 0):
        array, zero_d = (b, a) if a.ndim == 0 else (a, b)
        if category(zero_d.dtype) <= category(array.dtype):
            return array.dtype
        return higher_category(array.dtype, zero_d.dtype)
    return promote_types(a.dtype, b.dtype)


def higher_category(low: np.dtype, high: np.dtype) -> np.dtype:
    """A dimensioned operand of ``low`` met by a 0-d one of the higher category ``high``."""
    if high.kind == "c" and low.kind == "f":
        return _COMPLEX_OF[low]
    return high


def promote_types(a: np.dtype, b: np.dtype) -> np.dtype:
    """The smallest dtype that holds both, an integer counting as any float (PyTorch's table)."""
    if a is b:
        return a
    low, high = sorted((a, b), key=category)
    if category(low) < category(high) and category(low) <= 1:
        return high
    if high.kind == "c" and low.kind == "f":
        return np.promote_types(high, _COMPLEX_OF[low])
    return np.promote_types(a, b)


def result_category_with_scalar(dtype: np.dtype, scalar: Any) -> np.dtype:
    """The dtype of an array of ``dtype`` that meets a Python scalar: only its category counts."""
    if isinstance(scalar, complex):
        return dtype if dtype.kind == "c" else _COMPLEX_OF.get(dtype, _COMPLEX_OF[_default])
    if isinstance(scalar, float):
        return dtype if dtype.kind in "fc" else _default
    if isinstance(scalar, int) and not isinstance(scalar, bool):
        return int64 if dtype.kind == "b" else dtype
    return dtype


class finfo(np.finfo):  # noqa: N801
    """Limits of a floating-point dtype: ``eps``, ``max``, ``min``, ``tiny``, ``bits``."""

    def __new__(cls, dtype: Any = None) -> finfo:
        found = _default if dtype is None else as_dtype(dtype, "finfo")
        if found.kind not in "fc":
            raise TypeError(f"finfo: dtype must be floating point or complex; got {found}")
        return np.finfo(found)  # type: ignore[return-value]


class iinfo(np.iinfo):  # noqa: N801
    """Limits of an integer dtype: ``min``, ``max``, ``bits``."""

    def __init__(self, dtype: Any) -> None:
        found = as_dtype(dtype, "iinfo")
        if found.kind not in "iu":
            raise TypeError(f"iinfo: dtype must be an integer one; got {found}")
        super().__init__(found)
