"""Sums and maxima of bags of rows: kernels for float32 and float64, plain NumPy for float16.

Bag b has the entries ``index[bounds[b] : bounds[b + 1]]``, which are rows of a table. Those equal
to ``padding`` count for nothing (-1: all count).
"""

from __future__ import annotations

import numpy as np

from lucid._backend.guard import compiled
from lucid._kernels import indexing as kernels

Array = np.ndarray

__all__ = ["bag_max", "bag_max_backward", "bag_products", "bag_sum", "bag_sum_backward"]


def _members(index: Array, bounds: Array, rows: int, padding: int) -> tuple[Array, Array, Array]:
    """Of all entries that count: their places, their bags and their rows."""
    sizes = np.diff(bounds)
    if bounds[0] != 0 or (sizes < 0).any() or bounds[-1] > index.size:
        raise IndexError("bags: a bag lies outside the entries")
    if ((index < 0) | (index >= rows)).any():
        raise IndexError(f"bags: an index lies outside [0, {rows})")
    bag = np.repeat(np.arange(sizes.size), sizes)
    place = np.arange(bounds[-1])
    counts = index[place] != padding
    return place[counts], bag[counts], index[place[counts]]


def _shares(factor: Array | None, place: Array, bag: Array, bags: int, mean: bool) -> Array:
    """What each entry counts for, as a column in float64."""
    share = np.ones(place.size) if factor is None else factor[place].astype(np.float64)
    if mean:
        share /= np.bincount(bag, minlength=bags)[bag]
    return share[:, None]


def bag_sum(
    table: Array, factor: Array | None, index: Array, bounds: Array, mean: bool, padding: int
) -> Array:
    """The sum of each bag's rows, each times its factor; ``mean``: divided by how many count."""
    if compiled(table):
        return kernels.bag_sum(table, factor, index, bounds, mean, padding)
    place, bag, row = _members(index, bounds, len(table), padding)
    out = np.zeros((bounds.size - 1, table.shape[1]))
    np.add.at(out, bag, table[row] * _shares(factor, place, bag, len(out), mean))
    return out.astype(table.dtype)


def bag_sum_backward(
    g: Array, factor: Array | None, rows: int, index: Array, bounds: Array, mean: bool, padding: int
) -> Array:
    """The transpose of :func:`bag_sum`: ``g`` of each bag added up in its rows."""
    if compiled(g):
        return kernels.bag_sum_backward(g, factor, rows, index, bounds, mean, padding)
    place, bag, row = _members(index, bounds, rows, padding)
    out = np.zeros((rows, g.shape[1]))
    np.add.at(out, row, g[bag] * _shares(factor, place, bag, len(g), mean))
    return out.astype(g.dtype)


def bag_products(
    g: Array, table: Array, index: Array, bounds: Array, mean: bool, padding: int
) -> Array:
    """Of each entry, the product of its row and its bag's ``g``: the gradient of its factor."""
    if compiled(table):
        return kernels.bag_products(g, table, index, bounds, mean, padding)
    place, bag, row = _members(index, bounds, len(table), padding)
    out = np.zeros(index.size)
    each = g[bag] * _shares(None, place, bag, len(g), mean)
    out[place] = (each * table[row]).sum(1)
    return out.astype(table.dtype)


def bag_max(table: Array, index: Array, bounds: Array, padding: int) -> tuple[Array, Array]:
    """The largest elements of each bag's rows (0 if it has none), and the row of each: the first
    of several, or the first NaN; -1 if there is none."""
    if compiled(table, len(table)):
        return kernels.bag_max(table, index, bounds, padding)
    _, bag, row = _members(index, bounds, len(table), padding)
    shape = (bounds.size - 1, table.shape[1])
    out, place = np.zeros(shape, table.dtype), np.full(shape, -1)
    for b in np.unique(bag):
        rows = row[bag == b]
        place[b] = rows[table[rows].argmax(0)]
        out[b] = np.take_along_axis(table, place[b : b + 1], 0)
    return out, place


def bag_max_backward(g: Array, place: Array, rows: int) -> Array:
    """The transpose of :func:`bag_max`: ``g`` added up where the maxima are."""
    if compiled(g, rows):
        return kernels.bag_max_backward(g, place, rows)
    out = np.zeros((rows, g.shape[1]), g.dtype)
    bag, column = np.nonzero(place >= 0)
    np.add.at(out, (place[bag, column], column), g[bag, column])
    return out
