"""Batches out of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor, to_array
from lucid.errors import ShapeError
from lucid.ops.join import stack

__all__ = ["default_collate", "default_convert"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Puts samples of equal structure together into one batch.

    Tensors, arrays and numbers are stacked along a new first dimension, Python floats as float64
    and ints as int64; strings stay in a list; dicts, lists and tuples are gone through entry by
    entry, a tuple of them becoming a list.

    Raises:
        TypeError: samples of a type that cannot be put into a batch.
        ShapeError: tensors of different shapes.
        ValueError: sequences of different lengths, dicts of different keys, or no sample at all.

    Example:
        >>> lucid.data.default_collate([{"x": 1.0, "name": "a"}, {"x": 2.0, "name": "b"}])
        {'x': tensor([1., 2.], dtype=lucid.float64), 'name': ['a', 'b']}
    """
    batch = list(batch)
    if not batch:
        raise ValueError("default_collate: expected at least one sample; got none")
    first = batch[0]
    if isinstance(first, (Tensor, np.ndarray, np.generic)):
        return _stack(batch)
    if isinstance(first, float):
        return wrap(np.array(batch, dtype=dtypes.float64))
    if isinstance(first, (bool, int)):
        kinds = dtypes.bool_ if all(isinstance(x, bool) for x in batch) else dtypes.int64
        return wrap(np.array(batch, dtype=kinds))
    if isinstance(first, complex):
        return wrap(np.array(batch, dtype=dtypes.complex128))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        if any(set(sample) != set(first) for sample in batch):
            raise ValueError("default_collate: every sample must have the keys of the first")
        entries = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _like(first, entries)
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise ValueError(
                f"default_collate: every sample must have as many entries as the first, "
                f"{len(first)}; got {sorted({len(sample) for sample in batch})}"
            )
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return (
            columns if isinstance(first, tuple) and not _is_named(first) else _like(first, columns)
        )
    raise TypeError(
        "default_collate: samples must be made of tensors, arrays, numbers, strings, dicts, lists "
        f"and tuples; got {type(first).__name__}: pass collate_fn= to the DataLoader"
    )


def default_convert(data: Any) -> Any:
    """Arrays replaced by tensors of the same memory, anywhere in dicts, lists and tuples."""
    if isinstance(data, (np.ndarray, np.generic)):
        return wrap(np.asarray(to_array(data, None, "default_convert", copy=False)))
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like(data, [default_convert(value) for value in data])
    return data


CollateFunction = Callable[[list[Any]], Any]


def _stack(batch: list[Any]) -> Tensor:
    for i, x in enumerate(batch):
        if np.shape(x) != np.shape(batch[0]):
            raise ShapeError(
                "default_collate: every sample must have the shape of the first, "
                f"{np.shape(batch[0])}; sample {i} has {np.shape(x)}"
            )
    if any(isinstance(x, Tensor) and x.requires_grad for x in batch):
        return stack(batch)
    arrays = [x._data if isinstance(x, Tensor) else x for x in batch]
    return wrap(to_array(np.stack(arrays), None, "default_collate", copy=False))


def _is_named(value: Any) -> bool:
    return hasattr(value, "_fields")


def _like(example: Any, entries: Any) -> Any:
    """``entries`` in a collection of the type of ``example``, where that can be made."""
    kind = type(example)
    if kind in (dict, list, tuple):
        return kind(entries)
    try:
        return kind(*entries) if _is_named(example) else kind(entries)
    except TypeError:  # a type that is made in another way
        return entries
