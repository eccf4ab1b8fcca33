"""Reductions and cumulative operations along dimensions.

``dim`` is a dimension, a tuple of them where that makes sense, or None for all; ``keepdim`` keeps
a reduced dimension with size 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.op import ARRAYS, TENSORS, fused_rule, operation
from lucid._core.tensor import Tensor
from lucid.ops._dims import dims, one_dim
from lucid.ops.functions import conjugated
from lucid.ops.pointwise import maximum, minimum

Array = np.ndarray

FUNCTIONS = """
    sum mean prod var std var_mean std_mean max min amax amin aminmax argmax argmin all any
    cumsum cumprod cummax cummin logcumsumexp logsumexp norm median nanmedian nansum nanmean
    quantile nanquantile count_nonzero diff
""".split()
METHODS = [name for name in FUNCTIONS if name not in ("var_mean", "std_mean")]


class Selected(NamedTuple):
    """Values chosen along a dimension, and where they stood."""

    values: Tensor
    indices: Tensor


class MinMax(NamedTuple):
    """The smallest and the largest values."""

    min: Tensor
    max: Tensor


# -------------------------------------------------------------------- sums and means


@operation(1)
def sum(x: Array, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """Sum over dimensions.

    Args:
        x: any tensor; integers and bools add up in int64.
        dim: one dimension or several; None for all.
        keepdim: keep the summed dimensions with size 1.
        dtype: cast to this first.

    Example:
        >>> lucid.ones(2, 3).sum(dim=1)
        tensor([3., 3.])
    """
    if dtype is not None or x.dtype not in _REAL:
        x = _accumulating(x, dtype, "sum")
        if x.dtype == np.float16:  # adds up in float32, or a sum of thousands would lose its digits
            out = B.sum(x.astype(np.float32), _axes(dim, x.ndim, "sum"), keepdim)
            return out.astype(np.float16)
    return B.sum(x, _axes(dim, x.ndim, "sum"), keepdim)


_REAL = (dtypes.float32, dtypes.float64)


def _accumulating(x: Array, dtype: Any, name: str) -> Array:
    """x in the dtype in which it adds up."""
    if dtype is not None:
        return x.astype(dtypes.as_dtype(dtype, name), copy=False)
    return x.astype(np.int64, copy=False) if x.dtype.kind in "biu" else x


def _axes(dim: Any, ndim: int, name: str) -> Any:
    """The dimensions as NumPy's reductions want them; as in PyTorch, () means all."""
    return None if dim is None or dim == () or dim == [] else dims(dim, ndim, name)


sum.gradient(x=lambda F, g, x_shape, dim, keepdim: F.spread(g, x_shape, dim, keepdim))


@operation(1)
def spread(x: Array, shape: tuple[int, ...], dim: Any, keepdim: bool) -> Array:
    """Undoes a reduction's loss of dimensions: ``x`` broadcast along ``dim`` to ``shape``."""
    if x.size == 1:
        # In memory of its own: the kernels that come next would refuse a broadcast view.
        out = np.empty(shape, x.dtype)
        out.fill(x.item())
        return out
    if not keepdim and x.ndim < len(shape):
        axes = _axes(dim, len(shape), "spread")
        x = np.expand_dims(x, tuple(range(len(shape))) if axes is None else axes)
    return np.broadcast_to(x, shape)


spread.gradient(x=lambda F, g, dim, keepdim: F.sum(g, dim, keepdim))


@operation(1)
def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Undoes broadcasting: ``x`` summed over the axes along which ``shape`` was broadcast to it."""
    lead = x.ndim - len(shape)
    ones = tuple([lead + i for i, n in enumerate(shape) if n == 1 and x.shape[lead + i] != 1])
    if ones:
        x = B.sum(x, ones, True)
    return B.sum(x, tuple(range(lead))) if lead else x


sum_to.gradient(x=lambda F, g, x_shape: F.broadcast_to(g, x_shape))


def _count(shape: tuple[int, ...], dim: Any, name: str) -> int:
    axes = _axes(dim, len(shape), name)
    return math.prod(shape if axes is None else [shape[axis] for axis in axes])


@operation(1)
def mean(x: Array, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """Arithmetic mean over dimensions; NaN where there is nothing to average.

    Args:
        x: a floating-point or complex tensor.
        dim, keepdim, dtype: as for :func:`sum`.

    Raises:
        RuntimeError: x is neither floating point nor complex, and no dtype is given.

    Example:
        >>> lucid.mean(lucid.tensor([[1.0, 2.0], [3.0, 5.0]]), 0)
        tensor([2.0000, 3.5000])
    """
    if dtype is not None:
        x = x.astype(dtypes.as_dtype(dtype, "mean"), copy=False)
    _check_continuous("mean", x)
    return _mean(x, _axes(dim, x.ndim, "mean"), keepdim)


def _check_continuous(name: str, x: Array) -> None:
    if x.dtype.kind not in "fc":
        raise RuntimeError(
            f"{name}: x must be floating point or complex; got {x.dtype}: pass dtype= or cast it"
            if name == "mean"
            else f"{name}: x must be floating point or complex; got {x.dtype}: cast it"
        )


def _mean(x: Array, axes: Any, keepdim: bool) -> Array:
    if x.size == 0:  # NumPy's mean would warn
        return B.div(B.sum(x, axes, keepdim), _count(x.shape, axes, "mean"))
    return B.mean(x, axes, keepdim)


def _mean_rule(F: Any, g: Any, x_shape: Any, dim: Any, keepdim: bool) -> Any:
    return F.spread(F.div(g, _count(x_shape, dim, "mean")), x_shape, dim, keepdim)


mean.gradient(x=_mean_rule)


@operation(1)
def nansum(x: Array, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """Sum over dimensions in which NaN counts as 0.

    Args:
        x, dim, keepdim, dtype: as for :func:`sum`.

    Example:
        >>> lucid.nansum(lucid.tensor([1.0, float("nan"), 2.0]))
        tensor(3.)
    """
    x = _accumulating(x, dtype, "nansum")
    return B.sum(np.where(np.isnan(x), x.dtype.type(0), x), _axes(dim, x.ndim, "nansum"), keepdim)


nansum.gradient(
    x=lambda F, g, x, x_shape, dim, keepdim: F.where(
        F.isnan(x), 0.0, F.spread(g, x_shape, dim, keepdim)
    )
)


def nanmean(x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """Mean over dimensions of what is not NaN.

    Args:
        x, dim, keepdim, dtype: as for :func:`mean`.

    Example:
        >>> lucid.nanmean(lucid.tensor([1.0, float("nan"), 2.0]))
        tensor(1.5000)
    """
    if isinstance(x, Tensor) and dtype is None:
        _check_continuous("nanmean", x._data)
    total = nansum(x, dim, keepdim, dtype)
    counted = sum(TENSORS.logical_not(TENSORS.isnan(x)), dim, keepdim)
    return TENSORS.div(total, TENSORS.cast(counted, total.dtype))


# -------------------------------------------------------------------- products


@operation(1)
def prod(x: Array, dim: int | None = None, keepdim: bool = False, dtype: Any = None) -> Array:
    """Product over a dimension; 1 over nothing.

    Args:
        x: any tensor; integers and bools multiply in int64.
        dim: one dimension; None for all.
        keepdim: keep the reduced dimension with size 1.
        dtype: cast to this first.

    The gradient is right where elements are zero, too.

    Example:
        >>> lucid.prod(lucid.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
        tensor([ 2., 12.])
    """
    x = _accumulating(x, dtype, "prod")
    axis = None if dim is None else dims(one_dim(dim, x.ndim, "prod"), x.ndim, "prod")
    return B.prod(x, axis, keepdim)


def _prod_backward_kernel(g: Array, x: Array, dim: int | None, keepdim: bool) -> Array:
    """``g`` times the product of the others: of those before, and of those after."""
    rows = x.reshape(1, -1) if dim is None or x.ndim == 0 else np.moveaxis(x, dim, -1)
    before, after = np.ones_like(rows), np.ones_like(rows)
    before[..., 1:] = B.cumprod(rows[..., :-1], -1)
    after[..., :-1] = B.cumprod(rows[..., :0:-1], -1)[..., ::-1]
    others = B.mul(before, after)
    others = others.reshape(x.shape) if dim is None or x.ndim == 0 else np.moveaxis(others, -1, dim)
    return B.mul(spread.op.forward(g, x.shape, dim, keepdim), conjugated(ARRAYS, others))


def _prod_backward(F: Any, g: Any, x: Any, dim: int | None, keepdim: bool) -> Any:
    """The same, differentiable: by division or, where there are zeros, by leaving one out."""
    if dim is None or len(x.shape) == 0:
        g, rows = F.reshape(g, (1,)), F.reshape(x, (1, -1))
    else:
        rows = F.transpose(x, dim, -1)
        g = F.transpose(g if keepdim else F.spread(g, _one_at(x.shape, dim), dim, False), dim, -1)
        g = F.reshape(g, g.shape[:-1])
    size = rows.shape[-1]
    if F.all(F.ne(rows, 0)):
        others = F.div(F.prod(rows, -1, True), rows)
    else:
        lead = rows.shape[:-1]
        table = F.broadcast_to(F.reshape(rows, (*lead, 1, size)), (*lead, size, size))
        others = F.prod(F.where(np.eye(size, dtype=bool), 1.0, table), -1)
    out = F.mul(F.reshape(g, (*g.shape, 1)), conjugated(F, others))
    if dim is None or len(x.shape) == 0:
        return F.reshape(out, x.shape)
    return F.transpose(out, dim, -1)


def _one_at(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    dim %= len(shape)
    return (*shape[:dim], 1, *shape[dim + 1 :])


fused_rule("prod_backward", _prod_backward_kernel, _prod_backward)
prod.gradient(x=lambda F, g, x, dim, keepdim: F.prod_backward(g, x, dim, keepdim))


# -------------------------------------------------------------------- spread of values


@operation(1)
def var(
    x: Array,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> Array:
    """Variance ``sum((x - mean)^2) / max(0, n - correction)`` over dimensions.

    Args:
        x: a floating-point or complex tensor.
        dim, keepdim: as for :func:`sum`.
        unbiased: the older spelling of ``correction``: True for 1, False for 0.
        correction: what is taken from the number of elements; 1 by default.

    Example:
        >>> lucid.var(lucid.tensor([1.0, 2.0, 3.0, 4.0]))
        tensor(1.6667)
        >>> lucid.var(lucid.tensor([1.0, 2.0, 3.0, 4.0]), correction=0)
        tensor(1.2500)
    """
    _check_continuous("var", x)
    dim, divisor = _degrees(x.shape, dim, unbiased, correction, "var")
    axes, count = _axes(dim, x.ndim, "var"), _count(x.shape, dim, "var")
    if x.size == 0:
        shape = x.sum(axis=axes, keepdims=keepdim).shape
        return np.full(shape, np.nan, x.real.dtype)
    if x.dtype == np.float16:
        return B.var_mean(x.astype(np.float32), axes, keepdim, count - divisor)[0].astype(x.dtype)
    return B.var_mean(x, axes, keepdim, count - divisor)[0]


def _degrees(
    shape: tuple[int, ...], dim: Any, unbiased: Any, correction: Any, name: str
) -> tuple[Any, float]:
    """The dimensions (PyTorch lets ``unbiased`` stand in their place), and the divisor."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: unbiased and correction mean the same; give one of them")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    count = _count(shape, dim, name) - correction
    return dim, count if count > 0 else 0


def _deviation(F: Any, x: Any, dim: Any) -> Any:
    return F.sub(x, F.spread(F.mean(x, dim, True), x.shape, dim, True))


def _var_rule(
    F: Any, g: Any, x: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any
) -> Any:
    dim, divisor = _degrees(x.shape, dim, unbiased, correction, "var")
    slope = F.div(F.mul(_deviation(F, x, dim), 2), divisor)
    return F.mul(F.spread(g, x.shape, dim, keepdim), slope)


var.gradient(x=_var_rule)


@operation(1)
def std(
    x: Array,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> Array:
    """Standard deviation, the square root of :func:`var`. Its gradient is 0 where it is 0.

    Args:
        x, dim, unbiased, keepdim, correction: as for :func:`var`.

    Example:
        >>> lucid.std(lucid.tensor([1.0, 2.0, 3.0, 4.0]))
        tensor(1.2910)
    """
    _check_continuous("std", x)
    return B.sqrt(np.asarray(var.op.forward(x, dim, unbiased, keepdim, correction)))


def _std_rule(
    F: Any, g: Any, x: Any, out: Any, dim: Any, unbiased: Any, keepdim: bool,
    correction: Any,
) -> Any:  # fmt: skip
    dim, divisor = _degrees(x.shape, dim, unbiased, correction, "std")
    flat = F.eq(out, 0)
    share = F.where(flat, 0.0, F.div(g, F.mul(F.where(flat, 1.0, out), divisor)))
    return F.mul(F.spread(share, x.shape, dim, keepdim), _deviation(F, x, dim))


std.gradient(x=_std_rule)


def var_mean(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """``(var, mean)`` over dimensions; arguments as for :func:`var`.

    Example:
        >>> lucid.var_mean(lucid.tensor([1.0, 2.0, 3.0]))
        (tensor(1.), tensor(2.))
    """
    variance = var(x, dim, unbiased, keepdim, correction)
    return variance, mean(x, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """``(std, mean)`` over dimensions; arguments as for :func:`var`.

    Example:
        >>> lucid.std_mean(lucid.tensor([1.0, 2.0, 3.0]))
        (tensor(1.), tensor(2.))
    """
    deviation = std(x, dim, unbiased, keepdim, correction)
    return deviation, mean(x, None if isinstance(dim, bool) else dim, keepdim)


# -------------------------------------------------------------------- extremes


def _check_not_empty(name: str, x: Array, dim: Any) -> None:
    axes = _axes(dim, x.ndim, name)
    for axis in range(x.ndim) if axes is None else axes:
        if x.shape[axis] == 0:
            raise IndexError(
                f"{name}: x must have elements to choose from; "
                f"dimension {axis} of its shape {x.shape} has none"
            )


def _shared_rule(F: Any, g: Any, x: Any, out: Any, dim: Any, keepdim: bool) -> Any:
    """The gradient in equal parts to all elements that have the chosen value."""
    chosen = F.eq(x, F.spread(out, x.shape, dim, keepdim))
    if F.any(F.isnan(out)):
        chosen = F.logical_or(
            chosen,
            F.logical_and(F.isnan(x), F.isnan(F.spread(out, x.shape, dim, keepdim))),
        )
    mask = F.cast(chosen, g.dtype)
    share = F.div(g, F.sum(mask, dim, keepdim))
    return F.mul(F.spread(share, x.shape, dim, keepdim), mask)


@operation(1)
def amax(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Largest value over dimensions; NaN if there is one. Equal largest share the gradient.

    Args:
        x: a real tensor.
        dim, keepdim: as for :func:`sum`.

    Raises:
        IndexError: there is nothing to choose from.

    Example:
        >>> lucid.amax(lucid.tensor([[1.0, 4.0], [3.0, 2.0]]), 1)
        tensor([4., 3.])
    """
    _check_not_empty("amax", x, dim)
    return B.amax(x, _axes(dim, x.ndim, "amax"), keepdim)


@operation(1)
def amin(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Smallest value over dimensions; NaN if there is one. Equal smallest share the gradient.

    Args:
        x: a real tensor.
        dim, keepdim: as for :func:`sum`.

    Raises:
        IndexError: there is nothing to choose from.

    Example:
        >>> lucid.amin(lucid.tensor([[1.0, 4.0], [3.0, 2.0]]), 1)
        tensor([1., 2.])
    """
    _check_not_empty("amin", x, dim)
    return B.amin(x, _axes(dim, x.ndim, "amin"), keepdim)


amax.gradient(x=_shared_rule)
amin.gradient(x=_shared_rule)


def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """The smallest and the largest value over a dimension: ``(min, max)``.

    Example:
        >>> lucid.aminmax(lucid.tensor([1.0, 4.0, 3.0]))
        MinMax(min=tensor(1.), max=tensor(4.))
    """
    return MinMax(amin(x, dim, keepdim), amax(x, dim, keepdim))


@operation(1)
def pick(x: Array, indices: Array, dim: int, keepdim: bool = True) -> Array:
    """Elements of ``x`` at ``indices`` along ``dim``; the dimension dropped without ``keepdim``."""
    if x.ndim == 0:
        return x.reshape(indices.shape)
    if not keepdim:
        indices = np.expand_dims(indices, dim)
    out = np.take_along_axis(x, indices, dim)
    return out if keepdim else out.squeeze(dim)


@operation(1)
def place(
    x: Array, indices: Array, shape: tuple[int, ...], dim: int, keepdim: bool = True
) -> Array:
    """Zeros of ``shape`` with ``x`` added at ``indices`` along ``dim``: undoes :func:`pick`."""
    if not shape:
        return x.reshape(())
    if not keepdim:
        x, indices = np.expand_dims(x, dim), np.expand_dims(indices, dim)
    out = np.zeros(shape, x.dtype)
    if indices.shape[dim] == 1:
        np.put_along_axis(out, indices, x, dim)
    else:
        where = list(np.ogrid[tuple([slice(n) for n in indices.shape])])
        where[dim] = indices
        np.add.at(out, tuple(where), x)
    return out


pick.gradient(
    x=lambda F, g, x_shape, indices, dim, keepdim: F.place(g, indices, x_shape, dim, keepdim)
)
place.gradient(x=lambda F, g, indices, dim, keepdim: F.pick(g, indices, dim, keepdim))


def selection_rule(F: Any, g: Any, x_shape: Any, out: Any, dim: int, keepdim: bool) -> Any:
    """The rule of a reduction that returns ``(values, indices)``: back to where they stood."""
    return None if g[0] is None else F.place(g[0], out[1], x_shape, dim, keepdim)


def arrangement_rule(F: Any, g: Any, x_shape: Any, out: Any, dim: int) -> Any:
    """`selection_rule` of an operation that keeps the dimension."""
    return None if g[0] is None else F.place(g[0], out[1], x_shape, dim, True)


@operation(1)
def argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Index of the first largest value along ``dim``; without, in the flattened tensor.

    Raises:
        IndexError: there is nothing to choose from.

    Example:
        >>> lucid.argmax(lucid.tensor([[1.0, 4.0], [3.0, 2.0]]), 1)
        tensor([1, 0])
    """
    return _arg(B.argmax, "argmax", x, dim, keepdim)


@operation(1)
def argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Index of the first smallest value along ``dim``; without, in the flattened tensor.

    Raises:
        IndexError: there is nothing to choose from.

    Example:
        >>> lucid.argmin(lucid.tensor([[1.0, 4.0], [3.0, 2.0]]), 1)
        tensor([0, 1])
    """
    return _arg(B.argmin, "argmin", x, dim, keepdim)


def _arg(search: Any, name: str, x: Array, dim: Any, keepdim: bool) -> Array:
    if dim is not None:
        dim = one_dim(dim, x.ndim, name)
    _check_not_empty(name, x, dim)
    if dim is None or x.ndim == 0:
        return search(x).reshape((1,) * x.ndim if keepdim else ())
    return search(x, dim, keepdim)


def _extreme(search: Any, name: str, x: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    dim = one_dim(dim, x.ndim, name)
    indices = _arg(search, name, x, dim, keepdim)
    return pick.op.forward(x, indices, dim, keepdim), indices


@operation(1)
def max_along(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Largest values along ``dim``, and where they stand."""
    return _extreme(B.argmax, "max", x, dim, keepdim)


@operation(1)
def min_along(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Smallest values along ``dim``, and where they stand."""
    return _extreme(B.argmin, "min", x, dim, keepdim)


max_along.gradient(x=selection_rule)
min_along.gradient(x=selection_rule)


def max(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Largest value: of all, or along a dimension, or of two tensors.

    ``max(x)`` is the largest of all elements; ``max(x, dim)`` a pair ``(values, indices)``;
    ``max(x, y)`` is :func:`maximum`.

    Args:
        x: a real tensor.
        dim: a dimension, or a second tensor.
        keepdim: keep the reduced dimension with size 1.

    Raises:
        IndexError, RuntimeError: there is nothing to choose from.

    Example:
        >>> lucid.max(lucid.tensor([[1.0, 4.0], [3.0, 2.0]]), 1)
        Selected(values=tensor([4., 3.]), indices=tensor([1, 0]))
    """
    return _choose("max", amax, max_along, maximum, x, dim, keepdim)


def min(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Smallest value: of all, or along a dimension, or of two tensors.

    ``min(x)`` is the smallest of all elements; ``min(x, dim)`` a pair ``(values, indices)``;
    ``min(x, y)`` is :func:`minimum`.

    Args:
        x: a real tensor.
        dim: a dimension, or a second tensor.
        keepdim: keep the reduced dimension with size 1.

    Raises:
        IndexError, RuntimeError: there is nothing to choose from.

    Example:
        >>> lucid.min(lucid.tensor([1.0, 4.0, 3.0]))
        tensor(1.)
    """
    return _choose("min", amin, min_along, minimum, x, dim, keepdim)


def _choose(
    name: str, of_all: Any, along: Any, of_two: Any, x: Any, dim: Any, keepdim: bool
) -> Any:
    if isinstance(dim, Tensor):
        return of_two(x, dim)
    if dim is not None:
        return Selected(*along(x, dim, keepdim))
    if isinstance(x, Tensor) and x.numel() == 0:
        raise RuntimeError(f"{name}: x must have elements to choose from; its shape is {x.shape}")
    return of_all(x)


# -------------------------------------------------------------------- truth and counts


@operation(1)
def all(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Whether all elements are true (not 0), over dimensions; True over nothing.

    Args:
        x: any tensor.
        dim, keepdim: as for :func:`sum`.

    Example:
        >>> lucid.all(lucid.tensor([[True, False], [True, True]]), 1)
        tensor([False,  True])
    """
    out = np.all(x, axis=_axes(dim, x.ndim, "all"), keepdims=keepdim)
    return out.astype(np.uint8) if x.dtype == np.uint8 else out


@operation(1)
def any(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Whether an element is true (not 0), over dimensions; False over nothing.

    Args:
        x: any tensor.
        dim, keepdim: as for :func:`sum`.

    Example:
        >>> lucid.any(lucid.tensor([[True, False], [False, False]]), 1)
        tensor([ True, False])
    """
    out = np.any(x, axis=_axes(dim, x.ndim, "any"), keepdims=keepdim)
    return out.astype(np.uint8) if x.dtype == np.uint8 else out


@operation(1)
def count_nonzero(x: Array, dim: Any = None) -> Array:
    """Number of elements that are not 0, over dimensions.

    Example:
        >>> lucid.count_nonzero(lucid.tensor([[1, 0], [2, 3]]), 0)
        tensor([2, 1])
    """
    return np.count_nonzero(x, axis=_axes(dim, x.ndim, "count_nonzero"))


# -------------------------------------------------------------------- cumulative


@operation(1)
def cumsum(x: Array, dim: int, dtype: Any = None, reverse: bool = False) -> Array:
    """Running sum along ``dim``.

    Args:
        x: any tensor; integers and bools add up in int64.
        dim: the dimension.
        dtype: cast to this first.
        reverse: from the end instead of from the beginning.

    Example:
        >>> lucid.cumsum(lucid.tensor([1.0, 2.0, 3.0]), 0)
        tensor([1., 3., 6.])
    """
    return _cumulative(B.cumsum, _accumulating(x, dtype, "cumsum"), dim, "cumsum", reverse)


def _cumulative(routine: Any, x: Array, dim: int, name: str, reverse: bool = False) -> Array:
    dim = one_dim(dim, x.ndim, name)
    if x.ndim == 0:
        return x.copy()
    return np.flip(routine(np.flip(x, dim), dim), dim) if reverse else routine(x, dim)


cumsum.gradient(x=lambda F, g, dim, reverse: F.cumsum(g, dim, None, not reverse))


@operation(1)
def cumprod(x: Array, dim: int, dtype: Any = None) -> Array:
    """Running product along ``dim``.

    Args:
        x: any tensor; integers and bools multiply in int64.
        dim: the dimension.
        dtype: cast to this first.

    The gradient is right where elements are zero, too.

    Example:
        >>> lucid.cumprod(lucid.tensor([1.0, 2.0, 3.0]), 0)
        tensor([1., 2., 6.])
    """
    return _cumulative(B.cumprod, _accumulating(x, dtype, "cumprod"), dim, "cumprod")


def _cumprod_backward_kernel(g: Array, x: Array, out: Array, dim: int) -> Array:
    """In one pass. The product vanishes from the first zero on, so three cases are enough.

    Before the first zero: the sum of the later ``g * out``, divided by the element. At it: the
    same with that element left out of the products. After it: nothing.
    """
    if x.ndim == 0:
        return g.copy()
    x, out = conjugated(ARRAYS, x), conjugated(ARRAYS, out)
    g, x, out = (np.moveaxis(z, dim, -1) for z in (g, x, out))
    zeros = x == 0
    first = zeros & (np.cumsum(zeros, -1) == 1)
    filled = np.where(zeros, x.dtype.type(1), x)

    def later(products: Array) -> Array:
        return B.cumsum((g * products)[..., ::-1], -1)[..., ::-1]

    with np.errstate(all="ignore"):
        result = np.where(np.logical_or.accumulate(zeros, -1), 0, later(out) / filled)
        if first.any():
            result = np.where(first, later(B.cumprod(np.where(first, 1, x), -1)), result)
    return np.moveaxis(result.astype(g.dtype, copy=False), -1, dim)


def _cumprod_backward(F: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    """The same, differentiable: by division or, where there are zeros, by leaving one out."""
    if len(x.shape) == 0:
        return g
    if F.all(F.ne(x, 0)):
        later = F.cumsum(F.mul(g, conjugated(F, F.cumprod(x, dim))), dim, None, True)
        return F.div(later, conjugated(F, x))
    rows, g = F.transpose(x, dim, -1), F.transpose(g, dim, -1)
    size, lead = rows.shape[-1], rows.shape[:-1]
    table = F.broadcast_to(F.reshape(rows, (*lead, 1, size)), (*lead, size, size))
    products = F.cumprod(F.where(np.eye(size, dtype=bool), 1.0, table), -1)
    terms = F.mul(F.reshape(g, (*lead, 1, size)), conjugated(F, products))
    later = F.where(np.triu(np.ones((size, size), bool)), terms, 0.0)
    return F.transpose(F.sum(later, -1), dim, -1)


fused_rule("cumprod_backward", _cumprod_backward_kernel, _cumprod_backward)
cumprod.gradient(x=lambda F, g, x, out, dim: F.cumprod_backward(g, x, out, dim))


@operation(1)
def logcumsumexp(x: Array, dim: int) -> Array:
    """Running ``log(sum(exp(x)))`` along ``dim``, without overflow.

    Example:
        >>> lucid.logcumsumexp(lucid.tensor([0.0, 0.0, 0.0]), 0)
        tensor([0.0000, 0.6931, 1.0986])
    """
    if x.dtype.kind != "f":
        raise RuntimeError(f"logcumsumexp: x must be floating point; got {x.dtype}")
    return _cumulative(B.logcumsumexp, x, dim, "logcumsumexp")


def _logcumsumexp_backward_kernel(g: Array, x: Array, out: Array, dim: int) -> Array:
    """Positive and negative gradients apart, in logarithms, so that nothing overflows."""

    def part(sign: int) -> Array:
        weights = B.sub(B.log(B.maximum(B.mul(g, sign), 0)), np.where(out == -np.inf, 0, out))
        return B.exp(B.add(_cumulative(B.logcumsumexp, weights, dim, "", True), x))

    return B.sub(part(1), part(-1)).astype(g.dtype, copy=False)


def _logcumsumexp_backward(F: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    """The same, differentiable: each element's share in each later sum."""
    if len(x.shape) == 0:
        return g
    rows, g, sums = (F.transpose(z, dim, -1) for z in (x, g, F.logcumsumexp(x, dim)))
    size, lead = rows.shape[-1], rows.shape[:-1]
    later = np.triu(np.ones((size, size), bool))
    difference = F.sub(F.reshape(rows, (*lead, size, 1)), F.reshape(sums, (*lead, 1, size)))
    shares = F.exp(F.where(later, difference, -np.inf))
    return F.transpose(F.sum(F.mul(shares, F.reshape(g, (*lead, 1, size))), -1), dim, -1)


fused_rule("logcumsumexp_backward", _logcumsumexp_backward_kernel, _logcumsumexp_backward)
logcumsumexp.gradient(x=lambda F, g, x, out, dim: F.logcumsumexp_backward(g, x, out, dim))


@operation(1)
def cummax_along(x: Array, dim: int) -> tuple[Array, Array]:
    """Largest values so far, and where they stand."""
    return _running_extreme(np.greater_equal, x, dim, "cummax")


@operation(1)
def cummin_along(x: Array, dim: int) -> tuple[Array, Array]:
    """Smallest values so far, and where they stand."""
    return _running_extreme(np.less_equal, x, dim, "cummin")


def _running_extreme(beats: Any, x: Array, dim: int, name: str) -> tuple[Array, Array]:
    dim = one_dim(dim, x.ndim, name)
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    accumulate = np.maximum.accumulate if beats is np.greater_equal else np.minimum.accumulate
    values = accumulate(x, axis=dim)
    # A record stands where an element equals the best so far; NaNs are records from the first on.
    records = (x == values) | np.isnan(x)
    shape = [1] * x.ndim
    shape[dim] = x.shape[dim]
    places = np.arange(x.shape[dim]).reshape(shape)
    return values, np.maximum.accumulate(np.where(records, places, 0), axis=dim)


cummax_along.gradient(x=arrangement_rule)
cummin_along.gradient(x=arrangement_rule)


def cummax(x: Tensor, dim: int) -> Selected:
    """Largest value so far along ``dim``: ``(values, indices)``; of equal ones the last.

    Example:
        >>> lucid.cummax(lucid.tensor([1.0, 3.0, 2.0]), 0)
        Selected(values=tensor([1., 3., 3.]), indices=tensor([0, 1, 1]))
    """
    return Selected(*cummax_along(x, dim))


def cummin(x: Tensor, dim: int) -> Selected:
    """Smallest value so far along ``dim``: ``(values, indices)``; of equal ones the last.

    Example:
        >>> lucid.cummin(lucid.tensor([2.0, 1.0, 3.0]), 0)
        Selected(values=tensor([2., 1., 1.]), indices=tensor([0, 1, 1]))
    """
    return Selected(*cummin_along(x, dim))


def diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Differences of neighbours along ``dim``, taken ``n`` times.

    Args:
        x: any tensor; of bools the exclusive or.
        n: how often.
        dim: the dimension, which loses ``n`` elements.
        prepend, append: tensors to put before and after x along ``dim`` first.

    Example:
        >>> lucid.diff(lucid.tensor([1.0, 4.0, 9.0]))
        tensor([3., 5.])
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"diff: x must be a Tensor; got {type(x).__name__}")
    if x.ndim == 0:
        raise RuntimeError("diff: x must have at least one dimension")
    if n < 0:
        raise ValueError(f"diff: n must not be negative; got {n}")
    dim = one_dim(dim, x.ndim, "diff")
    parts = [part for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = TENSORS.cat(parts, dim)
    subtract = TENSORS.logical_xor if x.dtype.kind == "b" else TENSORS.sub
    before = (slice(None),) * dim
    for _ in range(n):
        x = subtract(
            TENSORS.getitem(x, (*before, slice(1, None))),
            TENSORS.getitem(x, (*before, slice(None, -1))),
        )
    return x


# -------------------------------------------------------------------- norms and logsumexp


@operation(1, floating=True)
def logsumexp(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """``log(sum(exp(x)))`` over dimensions, without overflow.

    Args:
        x: a real tensor.
        dim, keepdim: as for :func:`sum`.

    Example:
        >>> lucid.logsumexp(lucid.tensor([1000.0, 1000.0]), 0)
        tensor(1000.6932)
    """
    axes = _axes(dim, x.ndim, "logsumexp")
    if x.size == 0:
        return B.log(B.sum(x, axes, keepdim))
    largest = B.amax(x, axes, True)
    largest = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    total = B.log(np.asarray(B.sum(B.exp(B.sub(x, largest)), axes, keepdim)))
    return B.add(total, largest.reshape(total.shape))


def _logsumexp_rule(F: Any, g: Any, x: Any, out: Any, dim: Any, keepdim: bool) -> Any:
    base = F.where(F.eq(out, -np.inf), 0.0, out)  # -inf alone has no share, not NaN
    share = F.exp(F.sub(x, F.spread(base, x.shape, dim, keepdim)))
    return F.mul(F.spread(g, x.shape, dim, keepdim), share)


logsumexp.gradient(x=_logsumexp_rule)


@operation(1)
def norm(
    x: Array, p: float | str = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Array:
    """p-norm ``(sum |x|^p)^(1/p)`` over dimensions, of the flattened tensor without ``dim``.

    Args:
        x: a floating-point or complex tensor.
        p: the order, a number; inf and -inf for the largest and smallest absolute value, 0 for
            the number of elements that are not 0, ``"fro"`` for 2.
        dim, keepdim: as for :func:`sum`.
        dtype: cast to this first.

    Where no derivative exists the gradient is a subgradient: 0 at 0, shared by equal extremes.
    Squares that would overflow or vanish do not.

    Raises:
        ValueError: p is no such number.

    Example:
        >>> lucid.norm(lucid.tensor([3.0, 4.0]))
        tensor(5.)
        >>> lucid.norm(lucid.tensor([3.0, -4.0]), float("inf"))
        tensor(4.)
    """
    if dtype is not None:
        x = x.astype(dtypes.as_dtype(dtype, "norm"), copy=False)
    _check_continuous("norm", x)
    order, axes = _order(p), _axes(dim, x.ndim, "norm")
    size = B.abs(x) if x.dtype.kind == "c" or order != 2 else x
    if order == np.inf:
        return B.amax(size, axes, keepdim) if x.size else B.sum(size, axes, keepdim)
    if order == -np.inf:
        _check_not_empty("norm", x, dim)
        return B.amin(size, axes, keepdim)
    if order == 0:
        return B.sum(B.ne(size, 0).astype(size.dtype), axes, keepdim)
    if order == 1:
        return B.sum(size, axes, keepdim)
    out = np.asarray(_power_mean(size, order, axes, keepdim))
    with np.errstate(all="ignore"):
        limits = np.finfo(out.dtype)
        safe = np.all((out > limits.tiny**0.25) & (out < limits.max**0.25))
    if safe or x.size == 0 or order < 0:
        return out
    scale = B.amax(B.abs(x), axes, True)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, scale.dtype.type(1))
    out = np.asarray(_power_mean(B.div(size, scale), order, axes, keepdim))
    return B.mul(out, scale.reshape(out.shape))


def _order(p: Any) -> float:
    if p == "fro":
        return 2.0
    if isinstance(p, (int, float)) and p == p:
        return float(p)
    raise ValueError(f"norm: p must be a number, inf, -inf or 'fro'; got {p!r}")


def _power_mean(size: Array, order: float, axes: Any, keepdim: bool) -> Array:
    if order == 2:
        return B.sqrt(B.sum(B.square(size), axes, keepdim))
    return B.pow(B.sum(B.pow(size, order), axes, keepdim), 1 / order)


def _norm_rule(F: Any, g: Any, x: Any, out: Any, p: Any, dim: Any, keepdim: bool) -> Any:
    order = _order(p)
    if order == 0:
        return F.zeros(x.shape, x.dtype)
    g, out = F.spread(g, x.shape, dim, keepdim), F.spread(out, x.shape, dim, keepdim)
    if order == 1:
        return F.mul(g, F.sign(x))
    if order in (np.inf, -np.inf):
        mask = F.cast(F.eq(F.abs(x), out), out.dtype)
        count = F.spread(F.sum(mask, dim, True), x.shape, dim, True)
        return F.mul(F.mul(F.sign(x), mask), F.div(g, count))
    zero = F.eq(out, 0)
    share = F.div(g, F.where(zero, 1.0, out))
    if order == 2:
        return F.mul(F.where(zero, 0.0, share), x)
    ratio = F.div(F.abs(x), F.where(zero, 1.0, out))
    slope = F.mul(F.pow(F.where(F.eq(x, 0), 1.0, ratio), order - 1), F.sign(x))
    return F.where(F.logical_or(zero, F.eq(x, 0)), 0.0, F.mul(g, slope))


norm.gradient(x=_norm_rule)


# -------------------------------------------------------------------- order statistics


def _median(x: Array, dim: int, keepdim: bool, name: str, skip_nan: bool) -> tuple[Array, Array]:
    dim = one_dim(dim, x.ndim, name)
    _check_not_empty(name, x, dim)
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    order = np.argsort(x, axis=dim, kind="stable")
    count = x.shape[dim]
    missing = np.isnan(x).sum(axis=dim, keepdims=True)  # sorted to the end
    valid = np.maximum(count - missing, 1)
    # Any NaN is the median, unless they are skipped.
    rank = (valid - 1) // 2 if skip_nan else np.where(missing > 0, count - 1, (count - 1) // 2)
    indices = np.take_along_axis(order, rank, dim)
    indices = indices if keepdim else indices.squeeze(dim)
    return pick.op.forward(x, indices, dim, keepdim), indices


@operation(1)
def median_along(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Medians along ``dim``, and where they stand."""
    return _median(x, dim, keepdim, "median", False)


@operation(1)
def nanmedian_along(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Medians along ``dim`` of what is not NaN, and where they stand."""
    return _median(x, dim, keepdim, "nanmedian", True)


@operation(1)
def median_of_all(x: Array, skip_nan: bool = False) -> Array:
    """Median of all elements; NaN over nothing."""
    if x.size == 0:
        return np.asarray(np.nan, x.dtype)
    return _median(x.reshape(-1), 0, False, "median", skip_nan)[0]


median_along.gradient(x=selection_rule)
nanmedian_along.gradient(x=selection_rule)
median_of_all.gradient(x=lambda F, g, x, out: _shared_rule(F, g, x, out, None, False))


def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Median: of all elements or, along a dimension, a pair ``(values, indices)``.

    Of an even number of elements it is the lower one of the middle two. NaN wherever there is one.

    Args:
        x: a real tensor.
        dim: a dimension; None for all.
        keepdim: keep the reduced dimension with size 1.

    Example:
        >>> lucid.median(lucid.tensor([3.0, 1.0, 4.0, 2.0]))
        tensor(2.)
    """
    return median_of_all(x, False) if dim is None else Selected(*median_along(x, dim, keepdim))


def nanmedian(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """:func:`median` of the elements that are not NaN.

    Example:
        >>> lucid.nanmedian(lucid.tensor([3.0, float("nan"), 1.0]))
        tensor(1.)
    """
    return median_of_all(x, True) if dim is None else Selected(*nanmedian_along(x, dim, keepdim))


_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "lower": np.floor,
    "higher": np.ceil,
    "nearest": np.round,
}
_INTERPOLATIONS = ("linear", "midpoint", *_ROUNDINGS)


def quantile(
    x: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Quantiles: the values below which the fraction ``q`` of the elements lies.

    Args:
        x: a floating-point tensor.
        q: a number in [0, 1], or a 1-D tensor of them, which become the result's first dimension.
        dim: a dimension; None for all.
        keepdim: keep the reduced dimension with size 1.
        interpolation: what to do between two elements: "linear", "lower", "higher", "midpoint"
            or "nearest".

    Example:
        >>> lucid.quantile(lucid.tensor([0.0, 1.0, 2.0, 3.0]), 0.5)
        tensor(1.5000)
    """
    return _quantile("quantile", x, q, dim, keepdim, interpolation, False)


def nanquantile(
    x: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """:func:`quantile` of the elements that are not NaN.

    Example:
        >>> lucid.nanquantile(lucid.tensor([0.0, float("nan"), 2.0]), 0.5)
        tensor(1.)
    """
    return _quantile("nanquantile", x, q, dim, keepdim, interpolation, True)


def _quantile(
    name: str, x: Tensor, q: Any, dim: Any, keepdim: bool, interpolation: str, skip_nan: bool
) -> Tensor:
    if not isinstance(x, Tensor) or x.dtype.kind != "f":
        raise RuntimeError(f"{name}: x must be a floating-point Tensor; got {x!r}")
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(
            f"{name}: interpolation must be one of {', '.join(_INTERPOLATIONS)}; "
            f"got {interpolation!r}"
        )
    fractions = np.asarray(q._data if isinstance(q, Tensor) else q, np.float64)
    if fractions.ndim > 1 or not ((fractions >= 0) & (fractions <= 1)).all():
        raise ValueError(
            f"{name}: q must be a number or a 1-D tensor of numbers in [0, 1]; got {q}"
        )
    along = 0 if dim is None else one_dim(dim, x.ndim, name)
    rows = TENSORS.reshape(x, (-1,)) if dim is None or x.ndim == 0 else x
    size = rows.shape[along]
    if size == 0:
        raise RuntimeError(f"{name}: x must have elements to choose from; its shape is {x.shape}")
    missing = np.isnan(rows._data).sum(along, keepdims=True)  # sorted to the end
    valid = np.maximum(size - missing, 1) if skip_nan else np.full(missing.shape, size)
    spread_out = [1] * rows.ndim
    spread_out[along] = -1
    place = fractions.reshape(spread_out) * (valid - 1)  # of the quantiles in the sorted rows
    order = np.argsort(rows._data, axis=along, kind="stable")

    def at(rank: Array) -> Tensor:
        rank = rank if skip_nan else np.where(missing > 0, size - 1, rank)
        indices = np.take_along_axis(order, rank.astype(np.int64), along)
        return TENSORS.pick(rows, indices, along, True)

    if interpolation in _ROUNDINGS:
        out = at(_ROUNDINGS[interpolation](place))
    else:
        weight = (place - np.floor(place)).astype(x.dtype)
        if interpolation == "midpoint":
            weight = np.where(weight > 0, x.dtype.type(0.5), x.dtype.type(0))
        out = TENSORS.lerp(at(np.floor(place)), at(np.ceil(place)), weight)
    others = [axis for axis in range(rows.ndim) if axis != along]
    if fractions.ndim and along != 0:
        out = TENSORS.permute(out, (along, *others))
    shape = [rows.shape[axis] for axis in others]
    if keepdim:
        shape = [1] * x.ndim if dim is None else [*shape[:along], 1, *shape[along:]][: x.ndim]
    return TENSORS.reshape(out, (*fractions.shape, *shape))
