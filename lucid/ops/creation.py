"""Tensors from data, from a rule, from other tensors' shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.device import as_device
from lucid._core.tape import new_memory
from lucid._core.tensor import Tensor, to_array, wrap
from lucid.ops._dims import shape_of


def tensor(
    data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of ``data``.

    Args:
        data: a number, nested sequences of numbers, an array or a tensor. Python floats become
            the default dtype (float32), Python ints int64, bools bool; arrays keep their dtype.
        dtype: the element type, if another.
        device: "cpu".
        requires_grad: record what is done with it.

    Raises:
        TypeError: ``data`` is not numeric.
        ValueError: ``data`` is ragged.

    Example:
        >>> lucid.tensor([[1, 2], [3, 4]])
        tensor([[1, 2],
                [3, 4]])
    """
    as_device(device)
    return _finish(wrap(to_array(data, dtype, "tensor", copy=True)), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of ``data``, sharing its memory where that is possible, and itself if it is one."""
    as_device(device)
    if isinstance(data, Tensor) and (dtype is None or data.dtype == dtypes.as_dtype(dtype, "as_tensor")):
        return data
    array = to_array(data, dtype, "as_tensor", copy=False)
    return _shared(array) if array is data else wrap(array)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array: writes to either are seen by both."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array; got {type(array).__name__}")
    if array.dtype not in dtypes.ALL:
        raise TypeError(f"from_numpy: lucid has no dtype for {array.dtype}")
    return _shared(array if type(array) is np.ndarray else array.view(np.ndarray))


def _shared(array: np.ndarray) -> Tensor:
    """A tensor on memory that others can write to."""
    out = wrap(array)
    out._memory = new_memory(exported=True)
    return out


def _finish(out: Tensor, requires_grad: bool) -> Tensor:
    return out.requires_grad_() if requires_grad else out


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    as_device(device)
    wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, "ones")
    return _finish(wrap(np.ones(shape_of(size, "ones"), wanted)), requires_grad)
