"""Look-up tables: rows at indices, and sums or maxima of bags of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import fused_rule, operation, recorded
from lucid._core.tensor import Tensor

Array = np.ndarray


@operation(1)
def embedding(
    weight: Array, index: Any, padding_idx: int | None = None, share: Any = None
) -> Array:
    """Rows of ``weight``: the core of :func:`lucid.nn.functional.embedding`.

    Args:
        weight: a matrix with a row for each entry.
        index: an array of row numbers, of any shape; it becomes the leading shape of the result.
        padding_idx: a row that gets no gradient.
        share: a factor for the gradient of each element of ``index``.

    Raises:
        IndexError: there is no such row.
    """
    try:
        return B.take_rows(weight, index)
    except IndexError:
        check_rows(index, weight.shape[0], "embedding")
        raise


def check_rows(index: Array, rows: int, caller: str) -> None:
    """Whether there are such rows.

    Raises:
        IndexError: there are not.
    """
    wrong = index[(index < 0) | (index >= rows)]
    if wrong.size:
        raise IndexError(f"{caller}: index must be in [0, {rows - 1}]; got {wrong.flat[0]}")


embedding.gradient(
    weight=lambda F, g, weight_shape, index, padding_idx, share: F.embedding_backward(
        g if share is None else F.mul(g, share[..., None]), index, weight_shape[0], padding_idx
    )
)


@operation(1)
def embedding_backward(g: Array, index: Any, rows: int, padding_idx: int | None) -> Array:
    """Gradient of :func:`embedding`: the rows of ``g`` added up where ``index`` says."""
    out = B.zeros((rows, g.shape[-1]), g.dtype)
    B.add_rows(
        out,
        np.ascontiguousarray(index).reshape(-1),
        np.ascontiguousarray(g).reshape(index.size, g.shape[-1]),
    )
    if padding_idx is not None:
        out[padding_idx] = 0
    return out


embedding_backward.gradient(
    g=lambda F, g, index, padding_idx: (
        F.embedding(g, index, None)
        if padding_idx is None
        else F.mul(F.embedding(g, index, None), (index != padding_idx)[..., None].astype(g.dtype))
    )
)


# -------------------------------------------------------------------- bags


@operation(2)
def embedding_bag(
    weight: Array,
    factor: Array | None,
    index: Any,
    bounds: Any,
    mean: bool = False,
    padding_idx: int = -1,
    share: Any = None,
) -> Array:
    """Sums of rows of ``weight``, a bag each: the core of ``functional.embedding_bag``.

    Args:
        weight: a matrix.
        factor: of each element of ``index``, or None.
        index: a 1-d array of row numbers.
        bounds: where in ``index`` each bag starts, and where the last one ends.
        mean: divide by the number of rows.
        padding_idx: a row that counts for nothing; -1: none.
        share: a factor for the gradient that each element of ``index`` gives to ``weight``.

    Raises:
        IndexError: there is no such row.
    """
    try:
        return B.bag_sum(weight, factor, index, bounds, mean, padding_idx)
    except IndexError:
        check_bags(index, bounds, weight.shape[0])
        raise


def check_bags(index: Array, bounds: Array, rows: int) -> None:
    """Whether there are such rows, and the bags lie one after the other within the entries.

    Raises:
        IndexError: there is no such row.
        ValueError: the bags lie elsewhere.
    """
    check_rows(index, rows, "embedding_bag")
    if bounds[0] != 0:
        raise ValueError(f"embedding_bag: offsets must start with 0; got {bounds[0]}")
    if (bounds[1:] < bounds[:-1]).any() or bounds[-1] > index.size:
        raise ValueError(
            "embedding_bag: offsets must not decrease, nor exceed the length of the input, "
            f"{index.size}; got {bounds.tolist()}"
        )


def _bag_weight_rule(F, g, weight_shape, factor, index, bounds, mean, padding_idx, share):
    if share is not None:
        factor = share if factor is None else F.mul(factor, share)
    return F.embedding_bag_backward(g, factor, weight_shape[0], index, bounds, mean, padding_idx)


embedding_bag.gradient(
    weight=_bag_weight_rule,
    factor=lambda F, g, weight, index, bounds, mean, padding_idx: F.embedding_bag_products(
        g, weight, index, bounds, mean, padding_idx
    ),
)


@operation(2)
def embedding_bag_backward(
    x: Array,
    factor: Array | None,
    rows: int,
    index: Any,
    bounds: Any,
    mean: bool = False,
    padding_idx: int = -1,
) -> Array:
    """Gradient of :func:`embedding_bag`: the row ``x`` of each bag added up in the bag's rows."""
    return B.bag_sum_backward(x, factor, rows, index, bounds, mean, padding_idx)


embedding_bag_backward.gradient(
    x=lambda F, g, factor, index, bounds, mean, padding_idx: F.embedding_bag(
        g, factor, index, bounds, mean, padding_idx
    ),
    factor=lambda F, g, x, index, bounds, mean, padding_idx: F.embedding_bag_products(
        x, g, index, bounds, mean, padding_idx
    ),
)


@operation(2)
def embedding_bag_products(
    x: Array, weight: Array, index: Any, bounds: Any, mean: bool = False, padding_idx: int = -1
) -> Array:
    """Gradient of :func:`embedding_bag`'s factors: of each row and the row ``x`` of its bag."""
    return B.bag_products(x, weight, index, bounds, mean, padding_idx)


embedding_bag_products.gradient(
    x=lambda F, g, weight, index, bounds, mean, padding_idx: F.embedding_bag(
        weight, g, index, bounds, mean, padding_idx
    ),
    weight=lambda F, g, x, weight_shape, index, bounds, mean, padding_idx: F.embedding_bag_backward(
        x, g, weight_shape[0], index, bounds, mean, padding_idx
    ),
)


def _bag_max(weight: Array, index: Array, bounds: Array, padding_idx: int) -> tuple[Array, Array]:
    """The maxima, and the row of each."""
    try:
        return B.bag_max(weight, index, bounds, padding_idx)
    except IndexError:
        check_bags(index, bounds, weight.shape[0])
        raise


@operation(1)
def embedding_bag_max(
    weight: Array, index: Any, bounds: Any, padding_idx: int = -1, place: Any = None
) -> Array:
    """The largest elements of rows of ``weight``, bag by bag; the first of several, or a NaN.

    Args:
        weight, index, bounds, padding_idx: as of :func:`embedding_bag`.
        place: what forward leaves for backward; not to be given.
    """
    return _bag_max(weight, index, bounds, padding_idx)[0]


def embedding_bag_maxima(weight: Tensor, index: Array, bounds: Array, padding_idx: int) -> Tensor:
    """:func:`embedding_bag_max` recorded together with what its kernel leaves for backward."""
    array = weight._data
    out, place = _bag_max(array, index, bounds, padding_idx)
    attributes = (index, bounds, padding_idx, place)
    return recorded(embedding_bag_max.op, (weight,), (array,), attributes, out)


embedding_bag_max.gradient(
    weight=lambda F, g, weight_shape, place: F.embedding_bag_max_backward(g, weight_shape, place)
)
fused_rule(
    "embedding_bag_max_backward",
    lambda g, shape, place: B.bag_max_backward(g, place, shape[0]),
    lambda F, g, shape, place: F.put_along(
        F.mul(g, (place >= 0).astype(g.dtype)), shape, 0, np.maximum(place, 0)
    ),
)
