"""Dimension arguments: one place that checks them and says what is wrong."""

from __future__ import annotations

import operator
from typing import Any


def one_dim(dim: Any, ndim: int, caller: str) -> int:
    """``dim`` counted from the front.

    Raises:
        TypeError: it is no integer.
        IndexError: there is no such dimension.
    """
    try:
        index = operator.index(dim)
    except TypeError:
        raise TypeError(f"{caller}: dim must be an int; got {dim!r}") from None
    limit = max(ndim, 1)
    if not -limit <= index < limit:
        raise IndexError(
            f"{caller}: dim must be in [{-limit}, {limit - 1}] for a tensor of {ndim} dimensions; "
            f"got {index}"
        )
    return index % limit


def dims(dim: Any, ndim: int, caller: str) -> tuple[int, ...]:
    """One dimension or several, or None for all, counted from the front; no duplicates."""
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        return (one_dim(dim, ndim, caller),) if ndim else (one_dim(dim, ndim, caller),)[:0]
    found = tuple([one_dim(d, ndim, caller) for d in dim])
    if len(set(found)) < len(found):
        raise ValueError(f"{caller}: dim names a dimension twice: {tuple(dim)}")
    return found if ndim else ()


def shape_of(sizes: tuple[Any, ...], caller: str) -> tuple[int, ...]:
    """A shape from ``f(2, 3)`` or ``f((2, 3))``."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    try:
        return tuple([operator.index(size) for size in sizes])
    except TypeError:
        raise TypeError(f"{caller}: a shape is made of ints; got {sizes!r}") from None
