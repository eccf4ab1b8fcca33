"""Rows of lucid.ops.decompositions and lucid.ops.norms."""

from __future__ import annotations

import math

import numpy as np

import lucid
from tests.opsamples import Sample

L = lucid.linalg


def regular(shape):
    """Matrices far from singular, eigenvalues and singular values far from equal."""

    def make(rng, dtype):
        x = rng.standard_normal(shape)
        if np.dtype(dtype).kind == "c":
            x = x + 1j * rng.standard_normal(shape)
        u, s, vh = np.linalg.svd(x, full_matrices=False)
        s = 1 + 0.75 * np.arange(s.shape[-1])[::-1] + 0 * s
        return ((u * s[..., None, :]) @ vh).astype(dtype)

    return make


def definite(x):
    """A positive definite matrix made of any, in lucid, NumPy and PyTorch."""
    adjoint = x.swapaxes(-1, -2)
    if "complex" in str(x.dtype):
        adjoint = adjoint.conj()
    return x @ adjoint


def symmetric(x):
    adjoint = x.swapaxes(-1, -2)
    if "complex" in str(x.dtype):
        adjoint = adjoint.conj()
    return x + adjoint


def row(name, shapes, op=None, **more):
    """A function of the same name and arguments in lucid.linalg and torch.linalg."""
    op = op or name
    before = more.pop("before", lambda x: x)
    after = more.pop("after", lambda x: x)

    def ours(x, *rest, **kwargs):
        return after(getattr(L, name)(before(x), *rest, **kwargs))

    def theirs(x, *rest, **kwargs):
        import torch

        return after(getattr(torch.linalg, name)(before(x), *rest, **kwargs))

    # Errors grow with the condition number, here up to 100 (up to 10 for most).
    more.setdefault("tolerance", 20.0)
    more.setdefault("dtypes", "d")
    return Sample(op, shapes, call=ours, torch=theirs, **more)


def vectors(out):
    """What does not depend on the signs (phases) of eigenvectors or singular vectors."""
    return tuple(abs(part) for part in out)


SQUARE, BATCH, TALL, WIDE = regular((3, 3)), regular((2, 3, 3)), regular((4, 2)), regular((2, 4))

SAMPLES = [
    row("inv", (BATCH,)),
    row("det", (BATCH,)),
    row("det", (regular((1, 1)),)),
    Sample(
        "cofactor",
        (SQUARE,),
        call=lambda x: lucid._core.op.TENSORS.cofactor(x),
        numpy=lambda x: np.linalg.det(x) * np.linalg.inv(x).T,
        dtypes="d",
        tolerance=20.0,
    ),
    row("slogdet", (BATCH,)),
    Sample(
        "logdet",
        (SQUARE,),
        call=lambda x: lucid.logdet(definite(x)),
        torch=lambda x: __import__("torch").logdet(definite(x)),
        dtypes="d",
        tolerance=20.0,
    ),
    row("solve", (BATCH, (2, 3, 2)), op="solve_matrix"),
    row("solve", (BATCH, (2, 3))),
    row("solve", (SQUARE, (3,))),
    row("solve", (SQUARE, (2, 3)), kwargs={"left": False}),
    row("solve", (BATCH, (3, 2))),
    *[
        row(
            "solve_triangular",
            (BATCH, (3, 2) if left else (2, 3)),
            op="triangular_solve",
            kwargs={"upper": upper, "left": left, "unitriangular": unit},
        )
        for upper in (False, True)
        for left in (True, False)
        for unit in (False, True)
    ],
    row("cholesky", (BATCH,), op="cholesky_lower", before=definite, tolerance=100.0),
    row("cholesky", (SQUARE,), kwargs={"upper": True}, before=definite, tolerance=100.0),
    row("qr", (TALL,), op="qr_factors"),
    row("qr", (BATCH,)),
    row("qr", (WIDE,)),
    row("eigh", (BATCH,), op="eigh_factors", before=symmetric, after=vectors),
    row("eigh", (SQUARE,), kwargs={"UPLO": "U"}, before=symmetric, after=vectors),
    row("eigvalsh", (SQUARE,), before=symmetric),
    row("svd", (TALL,), op="svd_factors", kwargs={"full_matrices": False}, after=vectors),
    row("svd", (WIDE,), kwargs={"full_matrices": False}, after=vectors),
    row("svd", (BATCH,), after=vectors),
    row("svd", (regular((3, 2)),), after=lambda out: abs(out[1])),
    row("svdvals", (TALL,)),
    row("pinv", (TALL,), op="pinv_matrix"),
    row("pinv", (WIDE,)),
    row("pinv", (SQUARE,), kwargs={"hermitian": True}, before=symmetric),
    row("matrix_rank", (TALL,), grad=False),
    *[row("matrix_power", (SQUARE,), kwargs={"n": n}) for n in (-2, 1, 5)],
    row("lstsq", (TALL, (4, 2)), after=lambda out: out[0]),
    row("cond", (SQUARE,)),
    # PyTorch 2.13 cannot differentiate this one (it writes over what it saved).
    Sample(
        "cond", (SQUARE,), {"p": 1}, call=L.cond, numpy=np.linalg.cond, dtypes="d", tolerance=20.0
    ),
    *[
        row("vector_norm", ((3, 4),), op="norm_along", kwargs={"ord": p, "dim": d, "keepdim": k})
        for p, d, k in (
            (2, None, False),
            (2, -1, True),
            (1, (0, 1), False),
            (3, 0, False),
            (0.5, 1, False),
            (0, 1, False),
            (math.inf, 1, False),
            (-math.inf, None, True),
            (-2, 0, False),
        )
    ],
    *[
        row("matrix_norm", (regular((2, 3, 2)),), kwargs={"ord": p})
        for p in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    ],
    row(
        "matrix_norm", (regular((2, 3, 2)),), kwargs={"ord": "nuc", "dim": (0, 1), "keepdim": True}
    ),
    row("norm", ((3, 4),)),
    row("norm", ((3, 4),), kwargs={"ord": 1}),
    row("norm", ((5,),), kwargs={"ord": 3}),
    Sample("cdist", ((2, 3), (4, 3)), torch="cdist"),
    Sample("cdist", ((2, 3), (4, 3)), {"p": 1.0}, torch="cdist"),
    Sample("dist", ((2, 3), (3,)), torch="dist"),
]
