"""Norms of vectors and matrices, and what is measured with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.op import operation
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops._dims import dims as all_dims
from lucid.ops.decompositions import inv, svdvals
from lucid.ops.pointwise import cast, div, mul, sub
from lucid.ops.reduction import sum as sum_over
from lucid.ops.shape import array_of, movedim, ravel, unsqueeze

Array = np.ndarray


@operation(1)
def norm_along(x: Array, ord: float, dim: Any, keepdim: Any) -> Array:
    """What :func:`vector_norm` records."""
    which = all_dims(dim, x.ndim, "vector_norm")
    with np.errstate(all="ignore"):
        size = np.abs(x)
        if ord == 0:
            out = np.count_nonzero(size, which, keepdims=keepdim)
        elif math.isinf(ord):
            if 0 in [x.shape[d] for d in which] and (ord < 0 or 0 not in np.shape(x)):
                raise ShapeError(f"vector_norm: no element to take the norm of order {ord} of")
            out = size.max(which, None, keepdim, 0) if ord > 0 else size.min(which, None, keepdim)
        elif ord == 1:
            out = np.add.reduce(size, which, keepdims=keepdim)
        else:
            out = _power_norm(size, ord, which, keepdim)
    return np.asarray(out).astype(size.dtype, copy=False)


def _power_norm(size: Array, ord: float, which: tuple[int, ...], keepdim: Any) -> Array:
    """Relative to the largest element (the smallest for a negative order): nothing overflows."""
    if size.size == 0:
        powers = np.add.reduce(size, which, keepdims=keepdim)
        return powers if ord > 0 else powers + np.inf
    scale = (np.max if ord > 0 else np.min)(size, which, keepdims=True)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, 1).astype(size.dtype)
    ratio = size / scale
    powers = np.add.reduce(np.square(ratio) if ord == 2 else ratio**ord, which, keepdims=True)
    out = scale * (np.sqrt(powers) if ord == 2 else powers ** (1 / ord))
    return out if keepdim else out.squeeze(which)


def _norm_rule(
    F: Any, g: Any, x: Any, out: Any, x_shape: Any, ord: Any, dim: Any, keepdim: Any
) -> Any:
    g = F.spread(g, x_shape, dim, keepdim)
    if ord == 0:
        return F.mul(F.mul(x, 0), g)
    if ord == 1:
        return F.mul(g, F.sign(x))
    out = F.spread(out, x_shape, dim, keepdim)
    if math.isinf(ord):
        reached = F.cast(F.eq(F.abs(x), out), x.dtype)
        count = F.sum(reached, dim, True, None)
        return F.mul(F.mul(F.sign(x), reached), F.div(g, count))
    zero = F.cast(F.eq(out, 0.0), out.dtype)
    safe = F.add(out, zero)  # all elements are 0: so is the subgradient chosen
    ratio = F.div(x, safe)
    if ord == 2:
        return F.mul(ratio, g)
    return F.mul(F.mul(F.sign(ratio), F.pow(F.abs(ratio), ord - 1)), g)


norm_along.gradient(x=_norm_rule)


def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    r"""Norm :math:`(\sum_i |x_i|^p)^{1/p}` over dimensions.

    Args:
        x: a floating-point or complex tensor.
        ord: p: a number; inf: the largest, -inf: the smallest absolute value; 0: how many
            are not 0.
        dim: one dimension or several; None for all.
        keepdim: keep them with size 1.
        dtype: cast to this first.

    It overflows only where the norm itself does. The gradient at x = 0 is 0, and that of the orders
    inf and -inf is shared evenly among ties.

    Example:
        >>> lucid.linalg.vector_norm(lucid.tensor([3.0, 4.0]))
        tensor(5.)
    """
    x = _ready(x, dtype, "vector_norm")
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise TypeError(f"vector_norm: ord must be a number; got {ord!r}")
    if x.dtype.kind == "c" and ord != 2:
        x = x.abs()
    all_dims(dim, x.ndim, "vector_norm")
    return norm_along(
        x, float(ord), dim if dim is None or isinstance(dim, int) else tuple(dim), keepdim
    )


def _ready(x: Tensor, dtype: Any, caller: str) -> Tensor:
    array = array_of(x, caller)
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype, caller)
        x = x if array.dtype is wanted else cast(x, wanted)
    if x.dtype.kind not in "fc":
        raise RuntimeError(f"{caller}: x must be floating point or complex; got {x.dtype}")
    return x


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Norm of matrices.

    Args:
        A: at least 2-d.
        ord: "fro": root of the sum of squares; "nuc": sum of the singular values; 2, -2: the
            largest, the smallest of these; 1, -1: largest, smallest sum of a column's absolute
            values; inf, -inf: of a row's.
        dim: the dimensions the matrices are in.
        keepdim: keep them with size 1.
        dtype: cast to this first.

    Example:
        >>> lucid.linalg.matrix_norm(lucid.tensor([[1.0, -2.0], [3.0, 4.0]]), 1)
        tensor(6.)
    """
    x = _ready(A, dtype, "matrix_norm")
    if x.ndim < 2 or not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise ShapeError(f"matrix_norm: dim must name two dimensions of A; got {dim} for {x.shape}")
    rows, columns = all_dims(tuple(dim), x.ndim, "matrix_norm")
    if ord == "fro":
        return vector_norm(x, 2, (rows, columns), keepdim)
    x = movedim(x, (rows, columns), (-2, -1))
    if ord == "nuc":
        out = sum_over(svdvals(x), -1)
    elif ord in (2, -2):
        out = vector_norm(svdvals(x), math.copysign(math.inf, ord), -1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = vector_norm(x, 1, -2 if abs(ord) == 1 else -1)
        out = vector_norm(sums, math.copysign(math.inf, ord), -1)
    else:
        raise ValueError(
            f'matrix_norm: ord must be "fro", "nuc", 1, -1, 2, -2, inf or -inf; got {ord!r}'
        )
    if keepdim:
        for at in sorted((rows, columns)):
            out = unsqueeze(out, at)
    return out


def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """:func:`matrix_norm` or :func:`vector_norm`.

    The first if ``dim`` names two dimensions, or if a 2-d ``A`` gets an ``ord``; without ``ord``
    the root of the sum of squares.
    """
    x = array_of(A, "norm", "A")
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and not isinstance(ord, str) and x.ndim == 1:
        return vector_norm(A, ord, dim, keepdim, dtype=dtype)
    if dim is None:
        if x.ndim != 2:
            raise ShapeError(f"norm: with ord and without dim A must be 1-d or 2-d; got {x.shape}")
        dim = (0, 1)
    if isinstance(dim, (tuple, list)) and len(dim) == 2:
        return matrix_norm(A, ord, dim, keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """Condition number: the norm of A times that of its inverse.

    Args:
        A: (..., m, n); square unless ``p`` is None, 2 or -2.
        p: the norm, as for :func:`matrix_norm`; None and 2: largest by smallest singular value.
    """
    if p in (None, 2, -2):
        s = svdvals(A)
        largest, smallest = vector_norm(s, math.inf, -1), vector_norm(s, -math.inf, -1)
        return div(smallest, largest) if p == -2 else div(largest, smallest)
    return mul(matrix_norm(A, p), matrix_norm(inv(A), p))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """Distance of every row of ``x1`` from every row of ``x2``.

    Shapes: ``(..., n, d), (..., m, d) -> (..., n, m)``.
    """
    a, b = array_of(x1, "cdist", "x1"), array_of(x2, "cdist", "x2")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            "cdist: x1 and x2 must have shapes (..., n, d) and (..., m, d); "
            f"got {a.shape}, {b.shape}"
        )
    return vector_norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)


def dist(x: Tensor, other: Tensor, p: float = 2.0) -> Tensor:
    """Norm of the difference of two tensors."""
    return vector_norm(ravel(sub(x, other)), p)


FUNCTIONS = ["cdist", "dist"]
METHODS = ["dist"]
