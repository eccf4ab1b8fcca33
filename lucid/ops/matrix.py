"""Matrix products and the linear map."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import apply, fused_rule, operation
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops._dims import dims as all_dims
from lucid.ops._dims import one_dim
from lucid.ops.join import roll
from lucid.ops.pointwise import add, mul, sub
from lucid.ops.reduction import sum
from lucid.ops.shape import (
    array_of,
    broadcast_to,
    diagonal,
    permute,
    reshape,
    squeeze,
    tensor_of,
    unsqueeze,
)

Array = np.ndarray


@operation(2)
def matmul(x: Array, y: Array) -> Array:
    """Matrix product of the last two dimensions; leading ones broadcast. Vectors as in NumPy.

    Shapes: ``(..., n, k) @ (..., k, m) -> (..., n, m)``; a 1-D operand is a row or a column and
    its dimension is dropped.

    Raises:
        ShapeError: the inner sizes differ, or an operand is 0-d.
    """
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(
            f"matmul: operands must have at least 1 dimension; got {x.shape}, {y.shape}"
        )
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ShapeError(
            f"matmul: the last dimension of x must equal the last but one of y; "
            f"got {x.shape} and {y.shape}"
        )
    if x.dtype is not y.dtype:
        raise RuntimeError(f"matmul: x and y must have one dtype; got {x.dtype} and {y.dtype}")
    return B.matmul(x, y)


def _matmul_x(F: Any, g: Any, x_shape: Any, y: Any) -> Any:
    if y.dtype.kind == "c":
        y = F.conj(y)
    if y.ndim == 1:
        return F.mul(F.reshape(g, (*g.shape, 1)), y)
    if len(x_shape) == 1:
        return F.reshape(F.matmul(y, F.reshape(g, (*g.shape, 1))), y.shape[:-1])
    return F.matmul(g, F.transpose(y, -1, -2))


def _matmul_y(F: Any, g: Any, x: Any, y_shape: Any) -> Any:
    if x.dtype.kind == "c":
        x = F.conj(x)
    if x.ndim == 1:
        g = F.reshape(g, (*g.shape[:-1], 1, *g.shape[-1:])) if len(y_shape) > 1 else g
        return F.mul(F.reshape(x, (*x.shape, 1)), g) if len(y_shape) > 1 else F.mul(x, g)
    if len(y_shape) == 1:
        columns = F.matmul(F.transpose(x, -1, -2), F.reshape(g, (*g.shape, 1)))
        return F.sum_to(F.reshape(columns, columns.shape[:-1]), y_shape)
    return F.matmul(F.transpose(x, -1, -2), g)


matmul.gradient(x=_matmul_x, y=_matmul_y)


@operation(3)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    r"""Affine map :math:`x W^\top + b`.

    Shapes: ``x (..., in)``, ``weight (out, in)``, ``bias (out,)`` or None ``-> (..., out)``.

    Raises:
        ShapeError: the shapes do not fit together.
    """
    dtype = x.dtype
    if weight.dtype is dtype and (bias is None or bias.dtype is dtype):
        try:
            return B.linear(x, weight, bias)
        except ValueError:
            pass  # the shapes do not fit: said below
    _check_linear(x, weight, bias)
    return B.linear(x, weight, bias)


def _check_linear(x: Array, weight: Array, bias: Array | None) -> None:
    if weight.ndim != 2 or x.ndim == 0 or weight.shape[1] != x.shape[-1]:
        raise ShapeError(
            f"linear: weight must have shape (out, in) with in = {x.shape[-1] if x.ndim else '?'}, "
            f"the input's last dimension; got {weight.shape}"
        )
    if bias is not None and bias.shape != (weight.shape[0],):
        raise ShapeError(f"linear: bias must have shape ({weight.shape[0]},); got {bias.shape}")
    if x.dtype is not weight.dtype or (bias is not None and bias.dtype is not x.dtype):
        raise RuntimeError(
            f"linear: x, weight and bias must have one dtype; got {x.dtype}, {weight.dtype}"
            + (f" and {bias.dtype}" if bias is not None else "")
        )


@linear.gradient
def _linear_rule(F: Any, g: Any, need: Any, x: Any, weight: Any) -> Any:
    return F.linear_backward(g, x, weight, *need)


def _linear_backward(
    F: Any,
    g: Any,
    x: Any,
    weight: Any,
    need_x: bool,
    need_weight: bool,
    need_bias: bool,
) -> Any:
    rows = F.reshape(g, (-1, g.shape[-1]))
    flat = F.reshape(x, (-1, x.shape[-1])) if need_weight else None
    return (
        F.matmul(g, weight) if need_x else None,
        F.matmul(F.transpose(rows, 0, 1), flat) if need_weight else None,
        F.sum(rows, 0, False, None) if need_bias else None,
    )


fused_rule("linear_backward", B.linear_backward, _linear_backward)


def _array(x: Any, caller: str, name: str, ndim: int) -> Array:
    array = array_of(x, caller, name)
    if array.ndim != ndim:
        raise ShapeError(f"{caller}: {name} must have {ndim} dimensions; got shape {array.shape}")
    return array


def mm(x: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices; nothing broadcasts.

    Shapes: ``(n, k) @ (k, m) -> (n, m)``.
    """
    _array(x, "mm", "x", 2), _array(mat2, "mm", "mat2", 2)
    return matmul(x, mat2)


def bmm(x: Tensor, mat2: Tensor) -> Tensor:
    """Products of two batches of matrices; nothing broadcasts.

    Shapes: ``(b, n, k) @ (b, k, m) -> (b, n, m)``.
    """
    if _array(x, "bmm", "x", 3).shape[0] != _array(mat2, "bmm", "mat2", 3).shape[0]:
        raise ShapeError(f"bmm: batches must be as long; got {x.shape} and {mat2.shape}")
    return matmul(x, mat2)


def mv(x: Tensor, vec: Tensor) -> Tensor:
    """Product of a matrix and a vector: ``(n, k) @ (k,) -> (n,)``."""
    _array(x, "mv", "x", 2), _array(vec, "mv", "vec", 1)
    return matmul(x, vec)


def dot(x: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors' elements.

    Example:
        >>> lucid.dot(lucid.tensor([1, 2]), lucid.tensor([3, 4]))
        tensor(11)
    """
    _array(x, "dot", "x", 1), _array(tensor, "dot", "tensor", 1)
    return matmul(x, tensor)


def vdot(x: Tensor, other: Tensor) -> Tensor:
    """:func:`dot` with the first vector's complex numbers conjugated."""
    return dot(x.conj() if tensor_of(x, "vdot").dtype.kind == "c" else x, other)


def inner(x: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both; with a 0-d tensor the product.

    Shapes: ``(..., k), (*, k) -> (..., *)``.
    """
    if not array_of(x, "inner").ndim or not array_of(other, "inner", "other").ndim:
        return mul(x, other)
    return tensordot(x, other, ([-1], [-1]))


def outer(x: Tensor, vec2: Tensor) -> Tensor:
    """Every product of an element of one vector and one of the other: ``(n,), (m,) -> (n, m)``.

    Example:
        >>> lucid.outer(lucid.tensor([1, 2]), lucid.tensor([3, 4]))
        tensor([[3, 4],
                [6, 8]])
    """
    _array(x, "outer", "x", 1), _array(vec2, "outer", "vec2", 1)
    return mul(unsqueeze(x, 1), vec2)


ger = outer


def _scaled_sum(x: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta x + alpha product``; with ``beta`` 0, what is in ``x`` does not count, even NaN."""
    if alpha != 1:
        product = mul(product, alpha)
    if beta == 0:
        return broadcast_to(product, np.broadcast_shapes(x.shape, product.shape))
    return add(x if beta == 1 else mul(x, beta), product)


def addmm(x: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta x + alpha (mat1 @ mat2)``; ``x`` broadcasts."""
    return _scaled_sum(x, mm(mat1, mat2), beta, alpha)


def addmv(x: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta x + alpha (mat @ vec)``; ``x`` broadcasts."""
    return _scaled_sum(x, mv(mat, vec), beta, alpha)


def addr(x: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta x + alpha outer(vec1, vec2)``; ``x`` broadcasts."""
    return _scaled_sum(x, outer(vec1, vec2), beta, alpha)


def baddbmm(x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta x + alpha (batch1 @ batch2)``, matrix by matrix; ``x`` broadcasts."""
    return _scaled_sum(x, bmm(batch1, batch2), beta, alpha)


def addbmm(x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta x + alpha`` times the sum of all products of the batch; ``x`` broadcasts."""
    return _scaled_sum(x, sum(bmm(batch1, batch2), 0), beta, alpha)


def trace(x: Tensor) -> Tensor:
    """Sum of a matrix's diagonal."""
    _array(x, "trace", "x", 2)
    return sum(diagonal(x))


def kron(x: Tensor, other: Tensor) -> Tensor:
    """Kronecker product: every element of ``x`` times all of ``other``.

    Example:
        >>> lucid.kron(lucid.tensor([1, 10]), lucid.tensor([1, 2]))
        tensor([ 1,  2, 10, 20])
    """
    ndim = max(array_of(x, "kron").ndim, array_of(other, "kron", "other").ndim)
    a, b = ((1,) * (ndim - t.ndim) + t.shape for t in (x, other))
    left = reshape(x, tuple([k for n in a for k in (n, 1)]))
    right = reshape(other, tuple([k for n in b for k in (1, n)]))
    return reshape(mul(left, right), tuple([n * m for n, m in zip(a, b, strict=True)]))


def multi_dot(tensors: Any) -> Tensor:
    """Product of two or more matrices, in the order that takes the fewest multiplications.

    The first and the last may be vectors. The order is found by dynamic programming over the
    sizes (Cormen et al., Introduction to Algorithms, section 15.2).
    """
    chain = [tensor_of(x, "multi_dot", f"tensors[{i}]") for i, x in enumerate(tensors)]
    if len(chain) < 2:
        raise ValueError(f"multi_dot: tensors must be two or more; got {len(chain)}")
    for i, x in enumerate(chain):
        if x.ndim != 2 and not (x.ndim == 1 and i in (0, len(chain) - 1)):
            raise ShapeError(f"multi_dot: tensors[{i}] must be a matrix; got shape {x.shape}")
    row, column = chain[0].ndim == 1, chain[-1].ndim == 1
    if row:
        chain[0] = unsqueeze(chain[0], 0)
    if column:
        chain[-1] = unsqueeze(chain[-1], 1)
    for i, (x, y) in enumerate(itertools.pairwise(chain)):
        if x.shape[1] != y.shape[0]:
            raise ShapeError(
                f"multi_dot: tensors[{i}] of shape {x.shape} does not multiply tensors[{i + 1}] "
                f"of shape {y.shape}"
            )
    out = _best_product(chain)
    if row:
        out = squeeze(out, 0)
    return squeeze(out, -1) if column else out


def _best_product(chain: list[Tensor]) -> Tensor:
    sizes = [chain[0].shape[0], *[x.shape[1] for x in chain]]
    count = len(chain)
    cost = [[0] * count for _ in range(count)]
    cut = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i][j], cut[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return chain[i]
        return matmul(product(i, cut[i][j]), product(cut[i][j] + 1, j))

    return product(0, count - 1)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """:func:`lucid.linalg.multi_dot` under its older name."""
    return multi_dot(matrices) if len(matrices) > 1 else matrices[0]


def cross(x: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Vector product of vectors of size 3 in ``dim`` (default: the first dimension of size 3)."""
    shape = np.broadcast_shapes(array_of(x, "cross").shape, array_of(other, "cross", "other").shape)
    if dim is None:
        if 3 not in shape:
            raise ShapeError(f"cross: no dimension has size 3; got {x.shape} and {other.shape}")
        dim = shape.index(3)
    at = one_dim(dim, len(shape), "cross") - len(shape)
    for t in (x, other):
        if t.ndim < -at or t.shape[at] != 3:
            raise ShapeError(
                f"cross: dim {dim} must have size 3 in both; got {x.shape}, {other.shape}"
            )
    return sub(mul(roll(x, -1, at), roll(other, -2, at)), mul(roll(x, -2, at), roll(other, -1, at)))


def linalg_cross(x: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Vector product of vectors of size 3 in ``dim``."""
    return cross(x, other, dim)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Sums of products along ``dim``, the first factor conjugated; the rest broadcasts."""
    return sum(mul(x.conj() if tensor_of(x, "vecdot").dtype.kind == "c" else x, y), dim)


def tensordot(x: Tensor, y: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over several dimensions of both.

    Args:
        x, y: tensors.
        dims: how many: the last ones of ``x`` with the first ones of ``y``; or two lists of
            dimensions, those of ``x`` and those of ``y``.

    Example:
        >>> lucid.tensordot(lucid.ones(2, 3, 4), lucid.ones(4, 3, 5), ([1, 2], [1, 0])).shape
        (2, 5)
    """
    n, m = array_of(x, "tensordot").ndim, array_of(y, "tensordot", "y").ndim
    if isinstance(dims, (tuple, list)):
        left, right = (all_dims(tuple(d) if isinstance(d, (tuple, list)) else d, k, "tensordot")
                       for d, k in zip(dims, (n, m), strict=True))  # fmt: skip
    else:
        if not 0 <= dims <= min(n, m):
            raise ShapeError(f"tensordot: dims must be in [0, {min(n, m)}]; got {dims}")
        left, right = tuple(range(n - dims, n)), tuple(range(dims))
    a, b = [x.shape[d] for d in left], [y.shape[d] for d in right]
    if a != b:
        raise ShapeError(
            f"tensordot: dims {left} of x and {right} of y must agree in size; got {a} and {b}"
        )
    rows = [d for d in range(n) if d not in left]
    columns = [d for d in range(m) if d not in right]
    inner_size = math.prod(a)
    shape = (*[x.shape[d] for d in rows], *[y.shape[d] for d in columns])
    first = reshape(permute(x, (*rows, *left)), (math.prod(x.shape[d] for d in rows), inner_size))
    second = reshape(
        permute(y, (*right, *columns)), (inner_size, math.prod(y.shape[d] for d in columns))
    )
    return reshape(matmul(first, second), shape)


FUNCTIONS = (
    "matmul mm bmm mv dot vdot inner outer ger addmm addmv addr baddbmm addbmm trace kron "
    "chain_matmul cross tensordot"
).split()
METHODS = (
    "matmul mm bmm mv dot vdot inner outer ger addmm addmv addr baddbmm addbmm trace kron cross "
    "tensordot"
).split()


def _matmul_operator(x: Tensor, y: Any) -> Any:
    return apply(matmul.op, (x, y), ()) if isinstance(y, (Tensor, Array)) else NotImplemented


OPERATORS = {
    "__matmul__": _matmul_operator,
    "__rmatmul__": lambda x, y: matmul(y, x) if isinstance(y, Array) else NotImplemented,
}
