"""The same values in another dtype, and how dtypes meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.device import as_device, device
from lucid._core.tensor import Tensor
from lucid.ops.pointwise import cast, clone
from lucid.ops.shape import array_of, tensor_of


def to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``x`` in another dtype or on another device: itself where nothing changes.

    ``x.to(dtype)``, ``x.to(device)``, ``x.to(device, dtype)``, ``x.to(other)``, each with
    ``copy=True`` to copy in any case. ``non_blocking`` is accepted and means nothing here.

    Example:
        >>> lucid.tensor([1.7]).to(lucid.int64)
        tensor([1])
    """
    names = ("device", "dtype", "non_blocking", "copy")
    given = dict(kwargs)
    for name in given:
        if name not in (*names, "other", "memory_format"):
            raise TypeError(f"to: has no argument {name!r}")
    other = given.get("other")
    values = list(args)
    if values and isinstance(values[0], Tensor):
        other = values.pop(0)
    elif values and not _is_device(values[0]):
        given["dtype"] = values.pop(0)
    elif values:
        given["device"] = values.pop(0)
        if values and not isinstance(values[0], bool):
            given["dtype"] = values.pop(0)
    given.update(zip(names[2:], values, strict=False))
    as_device(given.get("device"))
    wanted = given.get("dtype")
    wanted = tensor_of(x, "to").dtype if wanted is None else dtypes.as_dtype(wanted, "to")
    if other is not None:
        wanted = other.dtype
    if x.dtype == wanted:
        return clone(x) if given.get("copy") else x
    return cast(x, wanted)


def _is_device(value: Any) -> bool:
    return value is None or isinstance(value, device) or isinstance(value, str) and (
        value.partition(":")[0] not in _DTYPE_NAMES
    )  # fmt: skip


_DTYPE_NAMES = {str(dtype) for dtype in dtypes.ALL} | {
    "float", "double", "half", "int", "long", "short", "cfloat", "cdouble"
}  # fmt: skip


def astype(x: Tensor, dtype: Any, copy: bool = False) -> Tensor:
    """``x`` in the given dtype; ``x`` itself if it has it already and ``copy`` is not set."""
    return to(x, dtypes.as_dtype(dtype, "astype"), copy=copy)


def type(x: Tensor, dtype: Any = None) -> Any:
    """``x`` in the given dtype; without one, the name of its type."""
    if dtype is None:
        return f"lucid.{tensor_of(x, 'type').dtype.name}"
    return to(x, dtypes.as_dtype(dtype, "type"))


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """``x`` in the dtype of ``other``."""
    return to(x, array_of(other, "type_as", "other").dtype)


def cpu(x: Tensor) -> Tensor:
    """``x`` on the CPU, where it is."""
    return x


def _shorthand(name: str, dtype: np.dtype) -> Any:
    def method(x: Tensor) -> Tensor:
        return x if array_of(x, name).dtype is dtype else cast(x, dtype)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"""``x.to(lucid.{dtype.name})``."""
    return method


_SHORTHANDS: dict[str, np.dtype] = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "byte": dtypes.uint8, "char": dtypes.int8, "short": dtypes.int16, "int": dtypes.int32,
    "long": dtypes.int64, "bool": dtypes.bool_, "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
}  # fmt: skip


# -------------------------------------------------------------------- promotion


def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The smallest dtype that holds both, an integer counting as any float.

    Example:
        >>> lucid.promote_types(lucid.int64, lucid.float32)
        dtype('float32')
    """
    return dtypes.promote_types(
        dtypes.as_dtype(type1, "promote_types"), dtypes.as_dtype(type2, "promote_types")
    )


def result_type(tensor1: Any, tensor2: Any) -> np.dtype:
    """The dtype of arithmetic with the two, tensors or Python numbers."""
    if isinstance(tensor1, Tensor) and isinstance(tensor2, Tensor):
        a, b = tensor1._data, tensor2._data
        return a.dtype if a.dtype is b.dtype else dtypes.promote(a, b)
    if isinstance(tensor1, Tensor):
        return dtypes.result_category_with_scalar(tensor1.dtype, tensor2)
    if isinstance(tensor2, Tensor):
        return dtypes.result_category_with_scalar(tensor2.dtype, tensor1)
    found = [dtypes.result_category_with_scalar(dtypes.bool_, x) for x in (tensor1, tensor2)]
    return dtypes.promote_types(*found)


def can_cast(from_: Any, to: Any) -> bool:
    """Whether a cast keeps the category or raises it: bool, integer, floating point, complex.

    Example:
        >>> lucid.can_cast(lucid.float64, lucid.int64)
        False
    """
    low, high = dtypes.as_dtype(from_, "can_cast"), dtypes.as_dtype(to, "can_cast")
    return dtypes.category(low) <= dtypes.category(high)


FUNCTIONS = "promote_types result_type can_cast".split()
METHODS = "to astype type type_as cpu".split()
METHOD_FORMS = {name: _shorthand(name, dtype) for name, dtype in _SHORTHANDS.items()}
