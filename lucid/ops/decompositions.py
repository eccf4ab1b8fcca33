r"""Linear algebra: solving, determinants, decompositions.

All take batches of matrices in the last two dimensions, in float32, float64 or complex. The
gradient rules are those of Giles, "Collected matrix derivative results for forward and reverse
mode algorithmic differentiation" (2008), of Townsend, "Differentiating the singular value
decomposition" (2016), and of Golub and Pereyra, "The differentiation of pseudo-inverses" (1973).

Where eigenvalues or singular values coincide, eigenvectors and singular vectors have no derivative;
the rules leave those pairs' contributions out, which is right for functions that do not depend on
the choice of basis in the common subspace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.op import ARRAYS, operation
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import LinAlgError, ShapeError
from lucid.ops.matrix import matmul
from lucid.ops.pointwise import sub
from lucid.ops.shape import adjoint, array_of, broadcast_to, squeeze, unsqueeze

Array = np.ndarray

# -------------------------------------------------------------------- what all need


def _matrices(x: Array, caller: str, square: bool = True) -> None:
    if x.ndim < 2 or square and x.shape[-1] != x.shape[-2]:
        what = "(..., n, n)" if square else "(..., m, n)"
        raise ShapeError(f"{caller}: x must have shape {what}; got {x.shape}")
    if x.dtype not in _DTYPES:
        raise RuntimeError(f"{caller}: x must be float32, float64 or complex; got {x.dtype}")


_DTYPES = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)


def _call(caller: str, routine: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """NumPy's routine, silent, with errors that name the caller."""
    try:
        with np.errstate(all="ignore"):
            return routine(*args, **kwargs)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{caller}: {error}") from None


def _H(F: Any, x: Any) -> Any:  # noqa: N802
    """Conjugate transpose."""
    x = F.transpose(x, -2, -1)
    return F.conj(x) if x.dtype.kind == "c" else x


def _chain(F: Any, *factors: Any) -> Any:
    """The product of matrices, from the left."""
    out = factors[0]
    for factor in factors[1:]:
        out = F.matmul(out, factor)
    return out


def _again(F: Any, out: Any, name: str, *args: Any) -> Any:
    """A decomposition's outputs, made again from its input where they must be differentiable."""
    return out if F is ARRAYS else getattr(F, name)(*args)


def _diagonal(F: Any, x: Any) -> Any:
    return F.diag_embed(x, 0, -2, -1)


def _rows(F: Any, x: Any) -> Any:
    """A vector as a row that multiplies a matrix's columns."""
    return F.unsqueeze(x, -2)


def _columns(F: Any, x: Any) -> Any:
    return F.unsqueeze(x, -1)


def _inverse_or_zero(F: Any, x: Any) -> Any:
    """``1 / x``, and 0 where ``x`` is 0."""
    zero = F.cast(F.eq(x, 0.0), x.dtype)
    return F.div(F.sub(1.0, zero), F.add(x, zero))


def _differences(F: Any, x: Any) -> Any:
    """``out[i, j] = x[j] - x[i]``."""
    return F.sub(_rows(F, x), _columns(F, x))


def _halved_diagonal(F: Any, x: Any, triangle: Any) -> Any:
    """A triangle of ``x`` with half of its diagonal."""
    kept = triangle(x, 0)
    return F.sub(kept, F.mul(_diagonal(F, F.diagonal(x, 0, -2, -1)), 0.5))


# -------------------------------------------------------------------- inverse and determinants


@operation(1)
def inv(x: Array) -> Array:
    """Inverse of square matrices.

    Raises:
        LinAlgError: a matrix is singular.

    Example:
        >>> lucid.linalg.inv(lucid.tensor([[2.0, 0.0], [0.0, 4.0]]))
        tensor([[0.5000, 0.0000],
                [0.0000, 0.2500]])
    """
    _matrices(x, "inv")
    return _call("inv", np.linalg.inv, x)


def _inv_rule(F: Any, g: Any, out: Any) -> Any:
    adjoint = _H(F, out)
    return F.neg(_chain(F, adjoint, g, adjoint))


inv.gradient(x=_inv_rule)


@operation(1)
def det(x: Array) -> Array:
    """Determinant of square matrices; its gradient is right for singular ones, too.

    Shapes: ``(..., n, n) -> (...)``.

    Example:
        >>> lucid.linalg.det(lucid.tensor([[1.0, 2.0], [3.0, 5.0]]))
        tensor(-1.)
    """
    _matrices(x, "det")
    return np.asarray(_call("det", np.linalg.det, x))


det.gradient(x=lambda F, g, x: F.mul(_columns(F, _columns(F, g)), F.cofactor(x)))


@operation(1)
def cofactor(x: Array) -> Array:
    r"""The conjugate of the matrix of cofactors, :math:`\overline{\det X}\, X^{-H}`.

    By the singular value decomposition :math:`U S V^H` it is
    :math:`\overline{\det(U V^H)}\, U\, \mathrm{diag}(\prod_{j \ne i} s_j)\, V^H`, also where X is
    singular. The second derivative, though, needs an inverse.
    """
    u, s, vh = _call("det", np.linalg.svd, x)
    n = s.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :]).prod(-1)
    turn = np.conj(_call("det", np.linalg.det, u @ vh))
    return ((u * (others.astype(u.dtype) * turn[..., None])[..., None, :]) @ vh).astype(x.dtype)


def _cofactor_rule(F: Any, g: Any, x: Any, out: Any) -> Any:
    if x.dtype.kind == "c":
        raise RuntimeError("det: has no second derivative for complex matrices")
    inverse = _H(F, F.inv(x))
    total = F.sum(F.mul(g, out), (-2, -1), True)
    return F.sub(F.mul(total, inverse), _chain(F, inverse, _H(F, g), out))


cofactor.gradient(x=_cofactor_rule)


@operation(1)
def slogdet(x: Array) -> tuple[Array, Array]:
    """Sign (complex: phase) and logarithm of the absolute value of the determinant.

    Safe where the determinant itself would overflow. ``(0, -inf)`` for a singular matrix.
    """
    _matrices(x, "slogdet")
    sign, logarithm = _call("slogdet", np.linalg.slogdet, x)
    return np.asarray(sign), np.asarray(logarithm)


def _slogdet_rule(F: Any, g: Any, x: Any) -> Any:
    sign, logarithm = g
    if sign is not None and x.dtype.kind == "c":
        raise RuntimeError("slogdet: the phase of a complex determinant has no gradient here")
    if logarithm is None:  # a real sign is constant
        return F.mul(x, 0)
    return F.mul(_columns(F, _columns(F, logarithm)), _H(F, F.inv(x)))


slogdet.gradient(x=_slogdet_rule)


class SlogdetResult(NamedTuple):
    """What :func:`lucid.linalg.slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


def named_slogdet(x: Tensor) -> SlogdetResult:
    return SlogdetResult(*slogdet(x))


@operation(1)
def logdet(x: Array) -> Array:
    """Logarithm of the determinant; NaN where it is negative."""
    _matrices(x, "logdet")
    if x.dtype.kind == "c":
        raise RuntimeError("logdet: x must be real; use linalg.slogdet")
    sign, logarithm = _call("logdet", np.linalg.slogdet, x)
    return np.where(sign < 0, np.nan, logarithm).astype(x.dtype)


logdet.gradient(x=lambda F, g, x: F.mul(_columns(F, _columns(F, g)), _H(F, F.inv(x))))


# -------------------------------------------------------------------- solving


def _check_solve(x: Array, y: Array, caller: str) -> None:
    _matrices(x, caller)
    if y.dtype is not x.dtype:
        raise RuntimeError(f"{caller}: A and B must have one dtype; got {x.dtype} and {y.dtype}")
    if y.ndim < 2 or y.shape[-2] != x.shape[-1]:
        raise ShapeError(f"{caller}: B must have {x.shape[-1]} rows, as A has; got {y.shape}")


@operation(2)
def solve_matrix(x: Array, y: Array) -> Array:
    """``X`` with ``x @ X = y``, ``y`` of shape (..., n, k): what :func:`solve` records."""
    _check_solve(x, y, "solve")
    return _call("solve", np.linalg.solve, x, y)


@solve_matrix.gradient
def _solve_rule(F: Any, g: Any, need: Any, x: Any, out: Any) -> Any:
    to_y = F.solve_matrix(_H(F, x), g)
    return F.neg(F.matmul(to_y, _H(F, out))) if need[0] else None, to_y


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The solution X of ``A X = B``, or of ``X A = B``.

    Args:
        A: (..., n, n).
        B: (..., n, k), or vectors: (n,), or A's shape without its last dimension.
        left: False: ``X A = B`` with B (..., k, n).

    Raises:
        LinAlgError: A is singular.

    Example:
        >>> A = lucid.tensor([[2.0, 0.0], [0.0, 4.0]])
        >>> lucid.linalg.solve(A, lucid.tensor([2.0, 2.0]))
        tensor([1.0000, 0.5000])
    """
    a, b = array_of(A, "solve", "A"), array_of(B, "solve", "B")
    if b.ndim == 1 or b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]:
        return squeeze(solve_matrix(A, unsqueeze(B, -1)), -1)
    if left:
        return solve_matrix(A, B)
    return _transposed(solve_matrix(_transposed(A), _transposed(B)))


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(-2, -1)


@operation(2)
def triangular_solve(x: Array, y: Array, upper: bool, unitriangular: bool) -> Array:
    """``X`` with ``x @ X = y`` and ``x`` triangular: what :func:`solve_triangular` records."""
    _check_solve(x, y, "solve_triangular")
    x = np.triu(x) if upper else np.tril(x)
    if unitriangular:
        places = np.arange(x.shape[-1])
        x[..., places, places] = 1
    elif (np.diagonal(x, 0, -2, -1) == 0).any():
        raise LinAlgError("solve_triangular: A is singular: its diagonal has a zero")
    return _substitute(x, y, upper)


_BLOCK = 32


def _substitute(x: Array, y: Array, upper: bool) -> Array:
    """Substitution by blocks: half of the unknowns, then the rest, a matrix product away."""
    n = x.shape[-1]
    if n <= _BLOCK:
        return _call("solve_triangular", np.linalg.solve, x, y)
    half = n // 2
    top, bottom = x[..., :half, :half], x[..., half:, half:]
    if upper:
        second = _substitute(bottom, y[..., half:, :], upper)
        first = _substitute(top, y[..., :half, :] - x[..., :half, half:] @ second, upper)
    else:
        first = _substitute(top, y[..., :half, :], upper)
        second = _substitute(bottom, y[..., half:, :] - x[..., half:, :half] @ first, upper)
    shape = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    parts = [np.broadcast_to(p, (*shape, *p.shape[-2:])) for p in (first, second)]
    return np.concatenate(parts, -2)


@triangular_solve.gradient
def _triangular_rule(
    F: Any, g: Any, need: Any, x: Any, out: Any, upper: Any, unitriangular: Any
) -> Any:
    to_y = F.triangular_solve(_H(F, x), g, not upper, unitriangular)
    if not need[0]:
        return None, to_y
    to_x = F.neg(F.matmul(to_y, _H(F, out)))
    inside = int(unitriangular)
    return F.triu(to_x, inside) if upper else F.tril(to_x, -inside), to_y


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """The solution X of ``A X = B`` (``X A = B`` unless ``left``) with a triangular A.

    Args:
        A: (..., n, n); only the triangle is read.
        B: (..., n, k).
        upper: which triangle.
        left: on which side A stands.
        unitriangular: take the diagonal for ones.

    Raises:
        LinAlgError: the diagonal has a zero.
    """
    array_of(A, "solve_triangular", "A"), array_of(B, "solve_triangular", "B")
    if left:
        return triangular_solve(A, B, upper, unitriangular)
    return _transposed(triangular_solve(_transposed(A), _transposed(B), not upper, unitriangular))


# -------------------------------------------------------------------- Cholesky and QR


@operation(1)
def cholesky_lower(x: Array) -> Array:
    """The lower factor: what :func:`cholesky` records."""
    _matrices(x, "cholesky")
    return _call("cholesky", np.linalg.cholesky, x)


def _cholesky_rule(F: Any, g: Any, out: Any) -> Any:
    adjoint = _H(F, out)
    middle = _halved_diagonal(F, F.matmul(adjoint, g), F.tril)
    # inv(L)^H middle inv(L), the second half as a solution for its adjoint.
    left = F.triangular_solve(adjoint, middle, True, False)
    whole = _H(F, F.triangular_solve(adjoint, _H(F, left), True, False))
    return F.mul(F.add(whole, _H(F, whole)), 0.5)


cholesky_lower.gradient(x=_cholesky_rule)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    r"""The triangular factor of positive definite matrices: :math:`A = L L^H`, or :math:`U^H U`.

    Raises:
        LinAlgError: a matrix is not positive definite.

    Example:
        >>> lucid.linalg.cholesky(lucid.tensor([[4.0, 2.0], [2.0, 2.0]]))
        tensor([[2., 0.],
                [1., 1.]])
    """
    out = cholesky_lower(A)
    return adjoint(out) if upper else out


@operation(1)
def qr_factors(x: Array, mode: str) -> tuple[Array, Array]:
    """Both factors: what :func:`qr` records."""
    _matrices(x, "qr", square=False)
    found = _call("qr", np.linalg.qr, x, mode)
    return tuple(found)


def _qr_rule(F: Any, g: Any, x: Any, out: Any, mode: Any) -> Any:
    m, n = x.shape[-2:]
    if mode == "complete" and m > n:
        raise RuntimeError("qr: has no gradient in mode complete for more rows than columns")
    q, r = _again(F, out, "qr_factors", x, mode)
    to_q, to_r = g
    if m >= n:
        return _tall_qr_rule(F, to_q, to_r, q, r)
    # x = (left, right), of which left has the same q, and right = q @ r[:, m:].
    first, rest = (..., slice(None, m)), (..., slice(m, None))
    right = F.getitem(x, rest)
    to_left_r = to_right = None
    if to_r is not None:
        to_left_r, to_right_r = F.getitem(to_r, first), F.getitem(to_r, rest)
        to_right = F.matmul(q, to_right_r)
        more = F.matmul(right, _H(F, to_right_r))
        to_q = more if to_q is None else F.add(to_q, more)
    to_left = _tall_qr_rule(F, to_q, to_left_r, q, F.getitem(r, first))
    if to_right is None:
        to_right = F.mul(right, 0)
    return F.cat([to_left, to_right], -1)


def _tall_qr_rule(F: Any, to_q: Any, to_r: Any, q: Any, r: Any) -> Any:
    middle = None
    if to_r is not None:
        middle = F.matmul(to_r, _H(F, r))
    if to_q is not None:
        part = F.matmul(_H(F, q), to_q)
        middle = F.neg(part) if middle is None else F.sub(middle, part)
    # Made Hermitian from its upper triangle: tril of the adjoint, twice but for the diagonal.
    half = _halved_diagonal(F, _H(F, middle), F.tril)
    out = F.matmul(q, F.add(half, _H(F, half)))
    if to_q is not None:
        out = F.add(out, to_q)
    return _H(F, F.triangular_solve(r, _H(F, out), True, False))


qr_factors.gradient(x=_qr_rule)


class QRResult(NamedTuple):
    """What :func:`lucid.linalg.qr` returns."""

    Q: Tensor
    R: Tensor


def qr(A: Tensor, mode: str = "reduced") -> QRResult:
    """``A = Q R`` with orthonormal columns in Q and an upper triangular R.

    Args:
        A: (..., m, n).
        mode: "reduced": Q (m, k), R (k, n) with k = min(m, n); "complete": Q (m, m), R (m, n);
            "r": R of "reduced" alone, and an empty Q.

    The gradient needs the first k columns to be independent, and mode "reduced", or m <= n.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f'qr: mode must be "reduced", "complete" or "r"; got {mode!r}')
    if mode == "r":
        r = qr_factors(A, "reduced")[1]
        return QRResult(wrap(np.empty(0, r.dtype)), r)
    return QRResult(*qr_factors(A, mode))


# -------------------------------------------------------------------- eigenvalues


@operation(1)
def eigh_factors(x: Array, uplo: str) -> tuple[Array, Array]:
    """Both factors: what :func:`eigh` records."""
    _matrices(x, "eigh")
    return tuple(_call("eigh", np.linalg.eigh, x, uplo))


def _eigh_rule(F: Any, g: Any, x: Any, out: Any, uplo: Any) -> Any:
    values, vectors = _again(F, out, "eigh_factors", x, uplo)
    to_values, to_vectors = g
    middle: Any = None if to_values is None else _diagonal(F, to_values)
    if to_vectors is not None:
        turns = F.mul(
            F.matmul(_H(F, vectors), to_vectors), _inverse_or_zero(F, _differences(F, values))
        )
        middle = turns if middle is None else F.add(middle, turns)
    if middle.dtype is not vectors.dtype:
        middle = F.cast(middle, vectors.dtype)
    return _chain(F, vectors, middle, _H(F, vectors))


eigh_factors.gradient(x=_eigh_rule)


class EighResult(NamedTuple):
    """What :func:`lucid.linalg.eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def eigh(A: Tensor, UPLO: str = "L") -> EighResult:
    """Eigenvalues, ascending, and eigenvectors, as columns, of symmetric or Hermitian matrices.

    Args:
        A: (..., n, n).
        UPLO: "L" or "U": the triangle that is read.

    The gradient of the eigenvectors is right for functions that do not depend on their signs
    (phases); pairs of equal eigenvalues contribute nothing to it. As in PyTorch it is taken with
    respect to all of A, which is to be symmetric, not to the one triangle that is read.
    """
    if UPLO not in ("L", "U"):
        raise ValueError(f'eigh: UPLO must be "L" or "U"; got {UPLO!r}')
    return EighResult(*eigh_factors(A, UPLO))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues, ascending, of symmetric or Hermitian matrices."""
    return eigh(A, UPLO)[0]


class EigResult(NamedTuple):
    """What :func:`lucid.linalg.eig` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def eig(A: Tensor) -> EigResult:
    """Eigenvalues and eigenvectors (columns) of any square matrices: complex, no gradient."""
    array = array_of(A, "eig", "A")
    _matrices(array, "eig")
    if A.requires_grad:
        raise RuntimeError(
            "eig: has no gradient; detach() the matrix, or use eigh if it is symmetric"
        )
    wanted = np.result_type(array.dtype, np.complex64)
    return EigResult(*[wrap(part.astype(wanted)) for part in _call("eig", np.linalg.eig, array)])


def eigvals(A: Tensor) -> Tensor:
    """Eigenvalues of any square matrices; complex, without a gradient."""
    return eig(A)[0]


# -------------------------------------------------------------------- singular values


@operation(1)
def svd_factors(x: Array, full_matrices: bool) -> tuple[Array, Array, Array]:
    """The three factors: what :func:`svd` records."""
    _matrices(x, "svd", square=False)
    return tuple(_call("svd", np.linalg.svd, x, full_matrices))


def _svd_rule(F: Any, g: Any, x: Any, out: Any, full_matrices: Any) -> Any:
    u, s, vh = _again(F, out, "svd_factors", x, full_matrices)
    to_u, to_s, to_vh = g
    m, n = x.shape[-2:]
    k = min(m, n)
    if full_matrices and m != n:
        first, top = (..., slice(None, k)), (..., slice(None, k), slice(None))
        u, vh = F.getitem(u, first), F.getitem(vh, top)
        to_u = None if to_u is None else F.getitem(to_u, first)
        to_vh = None if to_vh is None else F.getitem(to_vh, top)
    if to_u is None and to_vh is None:
        return F.matmul(F.mul(u, _rows(F, to_s)), vh)
    squares = F.mul(s, s)
    gaps = _inverse_or_zero(F, _differences(F, squares))
    inverse = _inverse_or_zero(F, s)
    middle = None if to_s is None else _diagonal(F, to_s)
    beyond = None
    if to_u is not None:
        inside = F.matmul(_H(F, u), to_u)
        turns = F.sub(inside, _H(F, inside))
        part = F.mul(F.mul(turns, gaps), _rows(F, s))
        if turns.dtype.kind == "c":  # the phases of u and vh move together
            phases = F.mul(F.diagonal(turns, 0, -2, -1), F.mul(inverse, 0.5))
            part = F.add(part, _diagonal(F, phases))
        middle = part if middle is None else F.add(middle, part)
        if m > k:
            outside = F.sub(to_u, F.matmul(u, inside))
            beyond = F.matmul(F.mul(outside, _rows(F, inverse)), vh)
    if to_vh is not None:
        inside = F.matmul(vh, _H(F, to_vh))
        turns = F.sub(inside, _H(F, inside))
        part = F.mul(_columns(F, s), F.mul(turns, gaps))
        middle = part if middle is None else F.add(middle, part)
        if n > k:
            outside = F.sub(to_vh, F.matmul(_H(F, inside), vh))
            more = F.matmul(F.mul(u, _rows(F, inverse)), outside)
            beyond = more if beyond is None else F.add(beyond, more)
    total = _chain(F, u, middle, vh)
    return total if beyond is None else F.add(total, beyond)


svd_factors.gradient(x=_svd_rule)


class SVDResult(NamedTuple):
    """What :func:`lucid.linalg.svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def svd(A: Tensor, full_matrices: bool = True) -> SVDResult:
    r"""Singular value decomposition :math:`A = U\, \mathrm{diag}(S)\, V^H`.

    Args:
        A: (..., m, n).
        full_matrices: U (m, m) and Vh (n, n); else only their first k = min(m, n) columns and rows.

    Shapes: S (..., k), descending.

    The gradient is right for functions that do not depend on the signs (phases) of the vectors.
    Columns of U and rows of Vh beyond the first k take no part in it, nor do pairs of equal
    singular values, nor the directions that belong to a singular value of 0.
    """
    return SVDResult(*svd_factors(A, bool(full_matrices)))


@operation(1)
def svdvals(x: Array) -> Array:
    """Singular values, descending. Equal ones do no harm to the gradient."""
    _matrices(x, "svdvals", square=False)
    return _call("svdvals", np.linalg.svd, x, compute_uv=False)


def _svdvals_rule(F: Any, g: Any, x: Any) -> Any:
    u, _, vh = F.svd_factors(x, False)
    return F.matmul(F.mul(u, _rows(F, g)), vh)


svdvals.gradient(x=_svdvals_rule)


# -------------------------------------------------------------------- what follows from them


def _cutoff(largest: Array, shape: tuple[int, ...], dtype: Any, atol: Any, rtol: Any) -> Array:
    """Below this a singular value counts as zero."""
    if rtol is None:
        rtol = 0.0 if atol is not None else max(shape[-2:]) * float(np.finfo(dtype).eps)
    atol, rtol = (t._data if isinstance(t, Tensor) else t for t in (atol or 0.0, rtol))
    return np.maximum(atol, rtol * largest)


@operation(1)
def pinv_matrix(x: Array, atol: Any, rtol: Any, hermitian: bool) -> Array:
    """What :func:`pinv` records."""
    _matrices(x, "pinv", square=hermitian)
    if x.size == 0:
        return np.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    u, s, vh = _call("pinv", np.linalg.svd, x, full_matrices=False, hermitian=hermitian)
    limit = _cutoff(s.max(-1), x.shape, x.dtype, atol, rtol)
    with np.errstate(all="ignore"):
        inverse = np.where(s > limit[..., None], 1 / s, 0).astype(s.dtype)
    return np.conj(vh).swapaxes(-1, -2) @ (inverse[..., None] * np.conj(u).swapaxes(-1, -2))


def _pinv_rule(F: Any, g: Any, x: Any, out: Any) -> Any:
    adjoint, to_adjoint = _H(F, out), _H(F, g)
    # The parts of the gradient beyond the columns, and the rows, of x.
    beyond_columns = F.sub(to_adjoint, _chain(F, x, out, to_adjoint))
    beyond_rows = F.sub(to_adjoint, _chain(F, to_adjoint, out, x))
    return F.add(
        F.neg(_chain(F, adjoint, g, adjoint)),
        F.add(_chain(F, beyond_columns, out, adjoint), _chain(F, adjoint, out, beyond_rows)),
    )


pinv_matrix.gradient(x=_pinv_rule)


def pinv(
    A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, rcond: Any = None
) -> Tensor:
    """Pseudo-inverse (Moore-Penrose).

    Args:
        A: (..., m, n).
        atol, rtol: a singular value at most ``max(atol, rtol * largest)`` counts as zero; rtol
            defaults to ``max(m, n) * eps``, or to 0 if atol is given. ``rcond`` is another name.
        hermitian: A is Hermitian.

    The gradient is that at constant rank.
    """
    return pinv_matrix(A, atol, rcond if rtol is None else rtol, hermitian)


def matrix_rank(
    A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, tol: Any = None
) -> Tensor:
    """How many singular values are above ``max(atol, rtol * largest)``; see :func:`pinv`."""
    x = array_of(A, "matrix_rank", "A")
    _matrices(x, "matrix_rank", square=hermitian)
    if x.size == 0:
        return wrap(np.zeros(x.shape[:-2], np.int64))
    s = _call("matrix_rank", np.linalg.svd, x, compute_uv=False, hermitian=hermitian)
    limit = _cutoff(s.max(-1), x.shape, x.dtype, tol if atol is None else atol, rtol)
    return wrap(np.asarray((s > limit[..., None]).sum(-1)))


def matrix_power(A: Tensor, n: int) -> Tensor:
    """The ``n``-th power of square matrices, by squaring; of the inverse if ``n`` is negative."""
    _matrices(array_of(A, "matrix_power", "A"), "matrix_power")
    n = operator.index(n)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 0:
        return broadcast_to(wrap(np.eye(A.shape[-1], dtype=A.dtype)), A.shape)
    out = None
    while n:
        if n & 1:
            out = A if out is None else matmul(out, A)
        n >>= 1
        if n:
            A = matmul(A, A)
    return out  # type: ignore[return-value]


class LstsqResult(NamedTuple):
    """What :func:`lucid.linalg.lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> LstsqResult:
    """The X of smallest norm that makes the norm of ``A X - B`` smallest.

    Args:
        A: (..., m, n).
        B: (..., m, k), or (m,).
        rcond: singular values up to ``rcond`` times the largest count as zero.
        driver: PyTorch's choice of LAPACK routine; accepted, and ignored.

    Returns:
        ``(solution, residuals, rank, singular_values)``; ``residuals``, the squared norms per
        column, is empty unless m > n and every rank is n.
    """
    a, b = array_of(A, "lstsq", "A"), array_of(B, "lstsq", "B")
    _matrices(a, "lstsq", square=False)
    if b.ndim == 1 or b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]:
        found = lstsq(A, unsqueeze(B, -1), rcond)
        parts = [squeeze(x, -1) if x.numel() else x for x in found[:2]]
        return LstsqResult(parts[0], parts[1], found.rank, found.singular_values)
    if b.dtype is not a.dtype or b.shape[-2] != a.shape[-2]:
        raise ShapeError(
            f"lstsq: B must have the dtype and the rows of A, {a.dtype} and {a.shape[-2]}; "
            f"got {b.dtype} and shape {b.shape}"
        )
    solution = matmul(pinv(A, rtol=rcond), B)
    rank = matrix_rank(A.detach(), rtol=rcond)
    residuals = wrap(np.empty(0, np.empty(0, a.dtype).real.dtype))
    if a.shape[-2] > a.shape[-1] and (rank._data == a.shape[-1]).all():
        error = sub(matmul(A, solution), B)
        residuals = (error * (error.conj() if a.dtype.kind == "c" else error)).sum(-2)
    return LstsqResult(solution, residuals, rank, svdvals(A.detach()))


def inverse(x: Tensor) -> Tensor:
    """:func:`lucid.linalg.inv`."""
    return inv(x)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of each element, as rows."""
    count = array_of(x, "vander").shape[-1] if N is None else N
    return unsqueeze(x, -1) ** wrap(np.arange(count))


def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """:func:`lucid.diagonal` of the last two dimensions."""
    return A.diagonal(offset, dim1, dim2)


FUNCTIONS = "det slogdet logdet inverse cholesky qr pinv matrix_power".split()
METHODS = "det slogdet logdet inverse cholesky qr pinv matrix_power".split()
