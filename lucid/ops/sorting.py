"""Sorting, searching and counting."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from lucid._core.op import operation
from lucid._core.tensor import Tensor
from lucid.ops._dims import one_dim
from lucid.ops.reduction import Selected, arrangement_rule, pick, selection_rule

Array = np.ndarray

FUNCTIONS = """
    sort argsort msort topk kthvalue mode unique unique_consecutive nonzero argwhere
    searchsorted bucketize bincount histogram histc
""".split()
METHODS = [name for name in FUNCTIONS if name != "bucketize"]


class Histogram(NamedTuple):
    """Counts (or densities), and the edges of the bins."""

    hist: Tensor
    bin_edges: Tensor


# -------------------------------------------------------------------- sorting


def _order(x: Array, dim: int, descending: bool) -> Array:
    """Indices that sort x along ``dim``, equal elements in their order; NaN counts as largest."""
    if x.ndim == 0:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    backwards = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(backwards, dim)


@operation(1)
def sort_along(x: Array, dim: int = -1, descending: bool = False) -> tuple[Array, Array]:
    """Elements in order along ``dim``, and where they stood."""
    dim = one_dim(dim, x.ndim, "sort")
    indices = _order(x, dim, descending)
    return pick.op.forward(x, indices, dim), indices


sort_along.gradient(x=arrangement_rule)


def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Selected:
    """Elements in order along a dimension: ``(values, indices)``.

    Args:
        x: a real tensor; NaN counts as larger than any number.
        dim: the dimension.
        descending: the largest first.
        stable: accepted for PyTorch's sake; equal elements always keep their order.

    Example:
        >>> lucid.sort(lucid.tensor([3.0, 1.0, 2.0]))
        Selected(values=tensor([1., 2., 3.]), indices=tensor([1, 2, 0]))
    """
    return Selected(*sort_along(x, dim, descending))


def msort(x: Tensor) -> Tensor:
    """Elements in ascending order along the first dimension.

    Example:
        >>> lucid.msort(lucid.tensor([3.0, 1.0, 2.0]))
        tensor([1., 2., 3.])
    """
    return sort(x, 0).values


@operation(1)
def argsort(x: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Array:
    """Indices that put the elements in order along a dimension.

    Args:
        x, dim, descending, stable: as for :func:`sort`.

    Example:
        >>> lucid.argsort(lucid.tensor([3.0, 1.0, 2.0]))
        tensor([1, 2, 0])
    """
    return _order(x, one_dim(dim, x.ndim, "argsort"), descending)


@operation(1)
def topk_along(x: Array, k: int, dim: int = -1, largest: bool = True) -> tuple[Array, Array]:
    """The ``k`` largest or smallest elements along ``dim`` in order, and where they stood."""
    dim = one_dim(dim, x.ndim, "topk")
    size = x.shape[dim] if x.ndim else 1
    _check_rank("topk", k, 0, size)
    if x.ndim == 0:
        indices = np.zeros((), np.int64) if k else np.zeros(0, np.int64)
    elif k <= size // 8:
        # Few of many: the rest need no order.
        ends = slice(size - k, None) if largest else slice(k)
        indices = np.argpartition(x, (size - k if largest else k) % size, axis=dim)
        indices = np.sort(indices[(slice(None),) * dim + (ends,)], axis=dim)
        order = _order(np.take_along_axis(x, indices, dim), dim, largest)
        indices = np.take_along_axis(indices, order, dim)
    else:
        indices = _order(x, dim, largest)[(slice(None),) * dim + (slice(k),)]
    return pick.op.forward(x, indices, dim), indices


topk_along.gradient(x=arrangement_rule)


def _check_rank(name: str, k: Any, low: int, size: int) -> None:
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool):
        raise TypeError(f"{name}: k must be an int; got {k!r}")
    if not low <= k <= size:
        raise RuntimeError(f"{name}: k must be in [{low}, {size}], the dimension's size; got {k}")


def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Selected:
    """The ``k`` largest (or smallest) elements along a dimension: ``(values, indices)``.

    Args:
        x: a real tensor; NaN counts as larger than any number.
        k: how many.
        dim: the dimension.
        largest: the largest rather than the smallest.
        sorted: accepted for PyTorch's sake; the result is always in order.

    Raises:
        RuntimeError: there are fewer than ``k``.

    Example:
        >>> lucid.topk(lucid.tensor([3.0, 1.0, 2.0]), 2)
        Selected(values=tensor([3., 2.]), indices=tensor([0, 2]))
    """
    return Selected(*topk_along(x, k, dim, largest))


@operation(1)
def kth_along(x: Array, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The ``k``-th smallest element along ``dim``, and where it stands."""
    dim = one_dim(dim, x.ndim, "kthvalue")
    _check_rank("kthvalue", k, 1, x.shape[dim] if x.ndim else 1)
    order = _order(x, dim, False)
    if x.ndim:
        order = order[(slice(None),) * dim + (slice(k - 1, k),)]
        order = order if keepdim else order.squeeze(dim)
    return pick.op.forward(x, order, dim, keepdim), order


kth_along.gradient(x=selection_rule)


def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Selected:
    """The ``k``-th smallest element along a dimension, counted from 1: ``(values, indices)``.

    Raises:
        RuntimeError: there are fewer than ``k``.

    Example:
        >>> lucid.kthvalue(lucid.tensor([3.0, 1.0, 2.0]), 2)
        Selected(values=tensor(2.), indices=tensor(2))
    """
    return Selected(*kth_along(x, k, dim, keepdim))


@operation(1)
def mode_along(x: Array, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The most frequent element along ``dim``, and where it stands last."""
    dim = one_dim(dim, x.ndim, "mode")
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    if x.shape[dim] == 0:
        raise IndexError(f"mode: x must have elements to choose from; its shape is {x.shape}")
    order = np.argsort(x, axis=dim, kind="stable")
    rows = np.moveaxis(np.take_along_axis(x, order, dim), dim, -1)
    order = np.moveaxis(order, dim, -1)
    # Length of the run of equal elements up to each place; the first longest run wins.
    places = np.arange(rows.shape[-1])
    starts = np.ones(rows.shape, bool)
    starts[..., 1:] = rows[..., 1:] != rows[..., :-1]
    run = places - np.maximum.accumulate(np.where(starts, places, 0), axis=-1)
    last = np.argmax(run, axis=-1, keepdims=True)
    indices = np.moveaxis(np.take_along_axis(order, last, -1), -1, dim)
    indices = indices if keepdim else indices.squeeze(dim)
    return pick.op.forward(x, indices, dim, keepdim), indices


mode_along.gradient(x=selection_rule)


def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> Selected:
    """The most frequent element along a dimension, the smallest of several: ``(values, indices)``.

    Example:
        >>> lucid.mode(lucid.tensor([2, 1, 2, 3]))
        Selected(values=tensor(2), indices=tensor(2))
    """
    return Selected(*mode_along(x, dim, keepdim))


# -------------------------------------------------------------------- sets


@operation(1)
def unique_parts(x: Array, consecutive: bool, dim: int | None) -> tuple[Array, Array, Array]:
    """Distinct elements (slices along ``dim``), the inverse and the counts."""
    if dim is not None:
        dim = one_dim(dim, x.ndim, "unique")
    if not consecutive:
        values, inverse, counts = np.unique(
            x, return_inverse=True, return_counts=True, axis=dim, equal_nan=False
        )
        return values, inverse.reshape(-1 if dim is not None else x.shape), counts
    rows = x.reshape(-1) if dim is None or x.ndim == 0 else np.moveaxis(x, dim, 0)
    starts = np.ones(len(rows), bool)
    if len(rows):
        starts[1:] = (rows[1:] != rows[:-1]).any(axis=tuple(range(1, rows.ndim)))
    begin = np.flatnonzero(starts)
    values = rows[begin] if dim is None or x.ndim == 0 else np.moveaxis(rows[begin], 0, dim)
    inverse = np.cumsum(starts) - 1
    return (
        np.ascontiguousarray(values),
        inverse.reshape(x.shape) if dim is None else inverse,
        np.diff(np.append(begin, len(rows))),
    )


unique_parts.gradient()  # a float tensor that requires grad is refused, not silently detached


def _unique(x: Tensor, consecutive: bool, inverse: bool, counts: bool, dim: Any) -> Any:
    parts = unique_parts(x, consecutive, dim)
    found = tuple(
        part for part, wanted in zip(parts, (True, inverse, counts), strict=True) if wanted
    )
    return found[0] if len(found) == 1 else found


def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in ascending order.

    Args:
        x: any tensor; it must not require grad.
        sorted: accepted for PyTorch's sake; the result is always in order.
        return_inverse: also return the index in the result of each element of x.
        return_counts: also return how often each occurs.
        dim: the distinct slices along this dimension rather than the distinct elements.

    Returns:
        The distinct elements or, where more was asked for, a tuple in the order above.

    Example:
        >>> lucid.unique(lucid.tensor([3, 1, 3]), return_counts=True)
        (tensor([1, 3]), tensor([1, 2]))
    """
    return _unique(x, False, return_inverse, return_counts, dim)


def unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first element of each run of equal ones.

    Args:
        x, return_inverse, return_counts, dim: as for :func:`unique`.

    Example:
        >>> lucid.unique_consecutive(lucid.tensor([1, 1, 2, 1]))
        tensor([1, 2, 1])
    """
    return _unique(x, True, return_inverse, return_counts, dim)


# -------------------------------------------------------------------- searching


@operation(1)
def argwhere(x: Array) -> Array:
    """Indices of the elements that are not 0, one row for each: shape ``(count, x.ndim)``.

    Example:
        >>> lucid.argwhere(lucid.tensor([[0, 5], [7, 0]]))
        tensor([[0, 1],
                [1, 0]])
    """
    return np.argwhere(x)


@operation(1)
def nonzero_along(x: Array) -> tuple[Array, ...]:
    """Indices of the elements that are not 0, one tensor per dimension."""
    return np.nonzero(np.atleast_1d(x))


def nonzero(x: Tensor, *, as_tuple: bool = False) -> Any:
    """Indices of the elements that are not 0.

    Args:
        x: any tensor.
        as_tuple: one 1-D tensor per dimension, as an index wants them, instead of one row each.

    Example:
        >>> lucid.nonzero(lucid.tensor([0, 5, 7]), as_tuple=True)
        (tensor([1, 2]),)
    """
    return nonzero_along(x) if as_tuple else argwhere(x)


@operation(2)
def searchsorted(
    sorted_sequence: Array,
    x: Any,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Array:
    """Where to insert elements into ascending rows so that these stay in order.

    Args:
        sorted_sequence: ascending along the last dimension.
        x: a number, or a tensor: of any shape for a 1-D sequence, else of the sequence's shape
            except for the last dimension.
        out_int32: return int32 indices instead of int64.
        right: behind equal elements rather than before them.
        side: ``"left"`` or ``"right"``, another way to say it.
        sorter: indices that sort the sequence, where it is not sorted.

    Example:
        >>> lucid.searchsorted(lucid.tensor([1, 3, 5]), lucid.tensor([3, 4]))
        tensor([1, 2])
    """
    return _search("searchsorted", sorted_sequence, x, out_int32, right, side, sorter)


def _search(
    name: str, rows: Array, x: Any, out_int32: bool, right: bool, side: str | None, sorter: Any
) -> Array:
    if side not in (None, "left", "right"):
        raise RuntimeError(f"{name}: side must be 'left' or 'right'; got {side!r}")
    if side == "left" and right:
        raise RuntimeError(f"{name}: side='left' contradicts right=True")
    end: Literal["left", "right"] = "right" if right or side == "right" else "left"
    if sorter is not None:
        order = sorter._data if isinstance(sorter, Tensor) else np.asarray(sorter)
        rows = np.take_along_axis(rows, order, -1)
    values = np.asarray(x)
    if rows.ndim == 1:
        out = np.searchsorted(rows, values, end)
    else:
        if rows.ndim == 0 or values.shape[:-1] != rows.shape[:-1]:
            raise RuntimeError(
                f"{name}: x must have the sorted sequence's shape {rows.shape} except for the last "
                f"dimension; got {values.shape}"
            )
        out = np.empty(values.shape, np.int64)
        for place in np.ndindex(rows.shape[:-1]):
            out[place] = np.searchsorted(rows[place], values[place], end)
    return np.asarray(out).astype(np.int32 if out_int32 else np.int64, copy=False)


@operation(2)
def bucketize(x: Any, boundaries: Array, out_int32: bool = False, right: bool = False) -> Array:
    """The number of the bucket between ascending ``boundaries`` into which each element falls.

    Args:
        x: a number or a tensor.
        boundaries: a 1-D ascending tensor.
        out_int32: return int32 instead of int64.
        right: a bucket holds its lower boundary instead of its upper one.

    Example:
        >>> lucid.bucketize(lucid.tensor([0, 3, 9]), lucid.tensor([1, 3, 5]))
        tensor([0, 1, 3])
    """
    if not isinstance(boundaries, Array) or boundaries.ndim != 1:
        raise RuntimeError(
            f"bucketize: boundaries must be a 1-D tensor; got shape {np.shape(boundaries)}"
        )
    return _search("bucketize", boundaries, x, out_int32, right, None, None)


# -------------------------------------------------------------------- counting


@operation(2)
def bincount(x: Array, weights: Any = None, minlength: int = 0) -> Array:
    """How often each of the numbers 0, 1, 2, ... occurs.

    Args:
        x: a 1-D tensor of integers that are not negative.
        weights: what each element counts, instead of 1; the result is then floating point.
        minlength: the least length of the result.

    Raises:
        RuntimeError: x is not such a tensor.

    Example:
        >>> lucid.bincount(lucid.tensor([0, 2, 2]))
        tensor([1, 0, 2])
    """
    if x.ndim != 1 or x.dtype.kind not in "iu" or (x.size and x.min() < 0):
        raise RuntimeError(
            "bincount: x must be a 1-D tensor of integers that are not negative; "
            f"got shape {x.shape}, dtype {x.dtype}{', smallest ' + str(x.min()) if x.size else ''}"
        )
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength must not be negative; got {minlength}")
    if weights is None:
        return np.bincount(x, minlength=minlength)
    if np.shape(weights) != x.shape:
        raise RuntimeError(
            f"bincount: weights must have the shape of x, {x.shape}; got {np.shape(weights)}"
        )
    out = np.bincount(x, weights, minlength)
    return out.astype(weights.dtype) if weights.dtype.kind == "f" else out


bincount.gradient(weights=lambda F, g, x: F.getitem(g, x))


def _limits(name: str, x: Array, low: float, high: float) -> tuple[float, float]:
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"{name}: the range of the bins must be finite; got [{low}, {high}]")
    if low > high:
        raise RuntimeError(
            f"{name}: the range's end must not be below its start; got [{low}, {high}]"
        )
    return (low - 1, high + 1) if low == high else (low, high)


@operation(1)
def histc(x: Array, bins: int = 100, min: float = 0, max: float = 0) -> Array:
    """Counts of the elements in ``bins`` bins of equal width, in x's dtype.

    Args:
        x: a floating-point tensor; elements outside the range are left out.
        bins: the number of bins.
        min, max: the range; by default the smallest and the largest element.

    Example:
        >>> lucid.histc(lucid.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
        tensor([0., 2., 1., 0.])
    """
    if bins <= 0:
        raise RuntimeError(f"histc: bins must be positive; got {bins}")
    counts, _ = np.histogram(x, bins, _limits("histc", x, min, max))
    return counts.astype(x.dtype)


histc.gradient(x=lambda F, g, x: F.zeros(x.shape, x.dtype))


@operation(2)
def histogram_parts(
    x: Array, weight: Any, bins: Any, range: Any, density: bool
) -> tuple[Array, Array]:
    """Counts and edges."""
    if isinstance(bins, Array):
        edges = bins.astype(x.dtype, copy=False)
    else:
        if bins <= 0:
            raise RuntimeError(f"histogram: bins must be positive; got {bins}")
        low, high = _limits("histogram", x, *((0, 0) if range is None else range))
        edges = np.linspace(low, high, bins + 1, dtype=x.dtype)
    if weight is not None and weight.shape != x.shape:
        raise RuntimeError(
            f"histogram: weight must have the shape of x, {x.shape}; got {weight.shape}"
        )
    counts, _ = np.histogram(x, edges, weights=weight, density=density and x.size > 0)
    return counts.astype(x.dtype), edges


histogram_parts.gradient()


def histogram(
    x: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """Counts of the elements in bins: ``(hist, bin_edges)``.

    Args:
        x: a floating-point tensor; it must not require grad.
        bins: the number of bins of equal width, or a 1-D tensor of their ascending edges.
        range: start and end of the bins; by default the smallest and the largest element.
        weight: what each element counts, instead of 1.
        density: divide by the sum and by the width of the bin.

    Example:
        >>> lucid.histogram(lucid.tensor([1.0, 2.0, 1.0]), bins=2, range=(0.0, 3.0))
        Histogram(hist=tensor([2., 1.]), bin_edges=tensor([0.0000, 1.5000, 3.0000]))
    """
    if not isinstance(x, Tensor) or x.dtype.kind != "f":
        raise TypeError(f"histogram: x must be a floating-point Tensor; got {x!r}")
    edges = bins._data if isinstance(bins, Tensor) else bins
    return Histogram(*histogram_parts(x, weight, edges, range, density))
