"""Linear algebra: identities on batches, degenerate cases, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lucid
from lucid import linalg
from lucid.errors import LinAlgError, ShapeError


def tensor(array, grad=False):
    return lucid.tensor(array, dtype=lucid.float64, requires_grad=grad)


def close(x, y, **limits):
    limits = {"rtol": 1e-10, "atol": 1e-10} | limits
    np.testing.assert_allclose(x.detach().numpy(), getattr(y, "_data", y), **limits)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 1), (0, 3), (6, 2, 3)])
@pytest.mark.parametrize("dtype", [lucid.float64, lucid.complex128])
def test_decompositions_multiply_to_the_matrix(shape, dtype):
    x = lucid.randn(shape, dtype=dtype)
    k = min(shape[-2:])
    for mode in ("reduced", "complete"):
        q, r = linalg.qr(x, mode)
        close(q @ r, x)
        close(q.mH @ q, np.broadcast_to(np.eye(q.shape[-1]), (q.mH @ q).shape))
        close(lucid.triu(r), r)
    assert linalg.qr(x, "r").R.shape == (*shape[:-2], k, shape[-1])
    assert linalg.qr(x, "r").Q.shape == (0,)
    u, s, vh = linalg.svd(x, full_matrices=False)
    close((u * s.unsqueeze(-2)) @ vh, x)
    close(linalg.svdvals(x), s)
    assert linalg.svd(x).U.shape[-1] == shape[-2]
    p = linalg.pinv(x)
    close(x @ p @ x, x)
    close(p @ x @ p, p)
    if 0 not in shape:
        assert (linalg.matrix_rank(x) == k).all()


@pytest.mark.parametrize("dtype", [lucid.float64, lucid.complex128])
def test_square_matrices(dtype):
    x = lucid.randn(2, 4, 4, dtype=dtype)
    eye = np.broadcast_to(np.eye(4), (2, 4, 4))
    close(linalg.inv(x) @ x, eye)
    sign, logarithm = linalg.slogdet(x)
    close(sign * logarithm.exp(), linalg.det(x))
    hermitian = x + x.mH
    w, v = linalg.eigh(hermitian)
    close((v * w.unsqueeze(-2).to(dtype)) @ v.mH, hermitian)
    close(linalg.eigvalsh(hermitian, "U"), w)
    values, vectors = linalg.eig(x)
    close(x.to(lucid.complex128) @ vectors, vectors * values.unsqueeze(-2))
    close(linalg.eigvals(x), values)
    positive = x @ x.mH
    close(linalg.cholesky(positive) @ linalg.cholesky(positive, upper=True), positive)
    close(linalg.matrix_power(x, -3) @ x @ x @ x, eye, rtol=1e-8, atol=1e-8)
    close(linalg.matrix_power(x, 0), eye)
    assert linalg.matrix_power(x.detach(), 1).shape == x.shape


@pytest.mark.parametrize("n", [1, 31, 33, 100])
@pytest.mark.parametrize("upper", [False, True])
def test_triangular_solve_by_blocks(n, upper):
    x = lucid.randn(2, n, n, dtype=lucid.float64) / n + 2 * lucid.eye(n, dtype=lucid.float64)
    y = lucid.randn(n, 3, dtype=lucid.float64)
    triangle = x.triu() if upper else x.tril()
    out = linalg.solve_triangular(x, y, upper=upper)
    close(triangle @ out, np.broadcast_to(y._data, (2, n, 3)))
    close(linalg.solve_triangular(x, y.T, upper=upper, left=False) @ triangle,
          np.broadcast_to(y.T._data, (2, 3, n)))  # fmt: skip


def test_solve_takes_vectors():
    a, b = tensor(np.random.default_rng(0).standard_normal((2, 3, 3))), tensor(np.ones((2, 3)))
    close((a @ linalg.solve(a, b).unsqueeze(-1)).squeeze(-1), b)
    close(a[0] @ linalg.solve(a[0], b[0]), b[0])
    close(
        linalg.solve(a, b[:1].T.expand(3, 2).contiguous(), left=True).mT @ a.mT, np.ones((2, 2, 3))
    )


def test_least_squares():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    found = linalg.lstsq(tensor(a), tensor(b))
    expected = np.linalg.lstsq(a, b)
    close(found.solution, expected[0])
    close(found.residuals, expected[1])
    assert found.rank.item() == 3
    close(found.singular_values, expected[3])
    assert linalg.lstsq(tensor(a), tensor(b[:, 0])).solution.shape == (3,)
    wide = linalg.lstsq(tensor(a.T), tensor(b[:3]))
    close(wide.solution, np.linalg.lstsq(a.T, b[:3])[0])
    assert wide.residuals.shape == (0,)


def test_the_gradient_of_the_determinant_of_singular_matrices():
    for matrix, cofactors in (
        ([[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
        (np.zeros((2, 2)), np.zeros((2, 2))),
        (np.diag([0.0, 2.0, 3.0]), np.diag([6.0, 0.0, 0.0])),
    ):
        x = tensor(matrix, grad=True)
        linalg.det(x).backward()
        close(x.grad, cofactors)


def test_equal_eigenvalues_do_no_harm_to_functions_of_eigenvalues_and_projections():
    x = tensor(np.diag([1.0, 1.0, 3.0]), grad=True)
    w, v = linalg.eigh(x)
    ((v * w) @ v.mH * tensor(np.arange(9.0).reshape(3, 3))).sum().backward()
    assert np.isfinite(x.grad._data).all()
    y = tensor(np.diag([2.0, 2.0, 0.0]), grad=True)
    u, s, vh = linalg.svd(y)
    (s.sum() + ((u * s) @ vh).sum()).backward()
    assert np.isfinite(y.grad._data).all()
    z = tensor(np.eye(3), grad=True)
    linalg.matrix_norm(z, "nuc").backward()
    close(z.grad, np.eye(3))


def test_norms_neither_overflow_nor_underflow():
    for scale in (1e300, 1e-300):
        close(linalg.vector_norm(tensor([3 * scale, 4 * scale])) / scale, 5.0)
        close(linalg.vector_norm(tensor([scale] * 8), 3) / scale, 2.0)
    assert linalg.vector_norm(lucid.tensor([3e30, 4e30])).item() == pytest.approx(5e30)
    for bad in (math.inf, math.nan):
        assert linalg.vector_norm(tensor([1.0, bad])).item() == pytest.approx(bad, nan_ok=True)
    x = tensor([0.0, 0.0], grad=True)
    linalg.vector_norm(x).backward()
    assert x.grad.tolist() == [0, 0]


def test_norms_of_nothing():
    empty = lucid.zeros(2, 0)
    assert linalg.vector_norm(empty).item() == 0
    assert linalg.vector_norm(empty, 1, -1).tolist() == [0, 0]
    with pytest.raises(ShapeError, match="no element"):
        linalg.vector_norm(empty, -math.inf)


def test_slogdet_where_the_determinant_overflows():
    sign, logarithm = linalg.slogdet(lucid.eye(200) * -1e10)
    assert sign.item() == 1
    assert logarithm.item() == pytest.approx(200 * math.log(1e10), rel=1e-6)
    assert linalg.slogdet(lucid.zeros(2, 2)).logabsdet.item() == -math.inf
    assert math.isnan(lucid.logdet(-lucid.eye(3)).item())


def test_addmm_without_its_first_term():
    nan = lucid.full((2,), math.nan)
    assert lucid.addmm(nan, lucid.ones(2, 3), lucid.ones(3, 2), beta=0).tolist() == [[3, 3], [3, 3]]


def test_einsum_spelled_with_numbers_and_spaces():
    x, y = lucid.randn(2, 3), lucid.randn(3, 4)
    close(lucid.einsum(x, [0, 1], y, [1, 2], [0, 2]), x @ y, rtol=1e-5, atol=1e-6)
    close(lucid.einsum(" ij , jk -> ik ", [x, y]), x @ y, rtol=1e-5, atol=1e-6)
    close(lucid.einsum(x, [..., 0], [0, ...]), x.T)


A = lucid.ones(2, 2)
ERRORS = {
    "inv singular": (lambda: linalg.inv(A), LinAlgError, "inv: Singular"),
    "inv shape": (
        lambda: linalg.inv(lucid.ones(2, 3)),
        ShapeError,
        r"inv: x must have shape \(..., n, n\)",
    ),
    "inv dtype": (lambda: linalg.inv(A.long()), RuntimeError, "got int64"),
    "half": (lambda: linalg.det(A.half()), RuntimeError, "got float16"),
    "solve": (lambda: linalg.solve(A, lucid.ones(3, 2)), ShapeError, "must have 2 rows"),
    "solve singular": (lambda: linalg.solve(A, A), LinAlgError, "solve"),
    "solve dtype": (lambda: linalg.solve(A, A.double()), RuntimeError, "one dtype"),
    "triangular": (
        lambda: linalg.solve_triangular(lucid.zeros(2, 2), A, upper=True),
        LinAlgError,
        "diagonal has a zero",
    ),
    "cholesky": (lambda: linalg.cholesky(-lucid.eye(2)), LinAlgError, "positive definite"),
    "qr mode": (lambda: linalg.qr(A, "full"), ValueError, '"reduced", "complete" or "r"'),
    "uplo": (lambda: linalg.eigh(A, "X"), ValueError, '"L" or "U"'),
    "eig": (lambda: linalg.eig(lucid.eye(2, requires_grad=True)), RuntimeError, "no gradient"),
    "ord": (lambda: linalg.matrix_norm(A, 3), ValueError, '"fro", "nuc"'),
    "norm int": (lambda: linalg.vector_norm(A.long()), RuntimeError, "floating point or complex"),
    "norm dims": (lambda: linalg.norm(lucid.ones(2, 2, 2), 1), ShapeError, "1-d or 2-d"),
    "mm": (lambda: lucid.mm(A, lucid.ones(2)), ShapeError, "mat2 must have 2 dimensions"),
    "bmm": (lambda: lucid.bmm(lucid.ones(2, 1, 1), lucid.ones(3, 1, 1)), ShapeError, "bmm"),
    "matmul": (lambda: A @ lucid.ones(3, 2), ShapeError, r"got \(2, 2\) and \(3, 2\)"),
    "dot": (lambda: lucid.dot(A, A), ShapeError, "dot: x must have 1 dimensions"),
    "cross": (lambda: linalg.cross(A, A), ShapeError, "size 3"),
    "tensordot": (lambda: lucid.tensordot(A, lucid.ones(3, 2), 1), ShapeError, "agree in size"),
    "multi_dot": (lambda: linalg.multi_dot([A, lucid.ones(3, 2)]), ShapeError, "does not multiply"),
    "einsum count": (lambda: lucid.einsum("ij,jk", A), ValueError, "2 operands; got 1"),
    "einsum dims": (lambda: lucid.einsum("ijk", A), ShapeError, "does not label"),
    "einsum size": (
        lambda: lucid.einsum("ij,jk", A, lucid.ones(3, 2)),
        ShapeError,
        "label 'j' has size",
    ),
    "einsum out": (lambda: lucid.einsum("ij->k", A), ValueError, "in no operand"),
    "einsum letter": (lambda: lucid.einsum("i1", A), ValueError, "must be letters"),
    "einsum twice": (lambda: lucid.einsum("ij->ii", A), ValueError, "label twice"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
