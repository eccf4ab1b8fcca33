"""Rows of lucid.ops.matrix and lucid.ops.einsum."""

from __future__ import annotations

import numpy as np

import lucid
from tests.opsamples import Sample


def einsum(equation, *shapes, **more):
    return Sample(
        "einsum",
        shapes,
        call=lambda *x: lucid.einsum(equation, *x),
        numpy=lambda *x: np.einsum(equation, *x),
        torch=lambda *x: __import__("torch").einsum(equation, *x),
        **more,
    )


SAMPLES = [
    Sample("matmul", ((2, 3), (3, 4)), numpy=np.matmul, torch="matmul", dtypes="fic"),
    Sample("matmul", ((5, 2, 3), (3, 4)), numpy=np.matmul, torch="matmul"),
    Sample("matmul", ((5, 1, 2, 3), (4, 3, 2)), numpy=np.matmul, torch="matmul"),
    Sample("matmul", ((3,), (3,)), numpy=np.matmul, torch="matmul"),
    Sample("matmul", ((3,), (2, 3, 4)), numpy=np.matmul, torch="matmul"),
    Sample("matmul", ((2, 2, 3), (3,)), numpy=np.matmul, torch="matmul"),
    Sample("matmul", ((2, 0), (0, 3)), numpy=np.matmul, torch="matmul"),
    Sample(
        "linear",
        ((2, 3), (4, 3), (4,)),
        torch="nn.functional.linear",
        call=lambda *x: lucid._core.op.TENSORS.linear(*x),
    ),
    Sample(
        "linear",
        ((5, 2, 3), (4, 3)),
        torch="nn.functional.linear",
        call=lambda *x: lucid._core.op.TENSORS.linear(*x),
    ),
    Sample("mm", ((2, 3), (3, 4)), torch="mm"),
    Sample("bmm", ((5, 2, 3), (5, 3, 4)), torch="bmm"),
    Sample("mv", ((2, 3), (3,)), torch="mv"),
    Sample("dot", ((3,), (3,)), numpy=np.dot, torch="dot", dtypes="fic"),
    Sample("vdot", ((3,), (3,)), numpy=np.vdot, torch="vdot", dtypes="fc"),
    Sample("inner", ((2, 3), (4, 3)), numpy=np.inner, torch="inner"),
    Sample("inner", ((), (4, 3)), numpy=np.inner, torch="inner"),
    Sample("outer", ((2,), (3,)), numpy=np.outer, torch="outer", dtypes="fic"),
    Sample("addmm", ((4,), (2, 3), (3, 4)), {"beta": 0.5, "alpha": 2.0}, torch="addmm"),
    Sample("addmv", ((2,), (2, 3), (3,)), torch="addmv"),
    Sample("addr", ((2, 3), (2,), (3,)), torch="addr"),
    Sample("baddbmm", ((1, 2, 4), (5, 2, 3), (5, 3, 4)), {"beta": 2.0}, torch="baddbmm"),
    Sample("addbmm", ((2, 4), (5, 2, 3), (5, 3, 4)), torch="addbmm"),
    Sample("trace", ((3, 4),), numpy=np.trace, torch="trace", dtypes="fi"),
    Sample("kron", ((2, 3), (2,)), numpy=np.kron, torch="kron"),
    Sample(
        "chain_matmul",
        ((2, 3), (3, 4), (4, 1)),
        torch="linalg.multi_dot",
        call=lambda x: lucid.linalg.multi_dot(x),
        variadic=True,
    ),
    Sample(
        "multi_dot",
        ((3,), (3, 4), (4, 5), (5,)),
        torch="linalg.multi_dot",
        call=lambda x: lucid.linalg.multi_dot(x),
        variadic=True,
    ),
    Sample(
        "cross", ((2, 3), (2, 3)), torch="linalg.cross", call=lambda x, y: lucid.linalg.cross(x, y)
    ),
    Sample(
        "cross",
        ((3, 2), (3, 2)),
        {"dim": 0},
        torch="linalg.cross",
        call=lambda x, y, dim: lucid.cross(x, y, dim),
    ),
    Sample(
        "vecdot",
        ((2, 3), (3,)),
        torch="linalg.vecdot",
        call=lambda x, y: lucid.linalg.vecdot(x, y),
        dtypes="fc",
    ),
    Sample("tensordot", ((2, 3, 4), (3, 4, 5)), {"dims": 2}, torch="tensordot"),
    Sample("tensordot", ((2, 3, 4), (4, 5, 2)), {"dims": ([0, 2], [2, 0])}, torch="tensordot"),
    Sample("tensordot", ((2,), (3,)), {"dims": 0}, torch="tensordot"),
    einsum("ij,jk->ik", (2, 3), (3, 4), dtypes="fic"),
    einsum("ij,jk", (2, 3), (3, 4)),
    einsum("ii", (3, 3)),
    einsum("ii->i", (3, 3)),
    einsum("iji->j", (3, 2, 3)),
    einsum("ij->ji", (2, 3)),
    einsum("ij->", (2, 3)),
    einsum("b...d,b...d->b...", (2, 3, 4), (2, 3, 4)),
    einsum("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    einsum("...ij,...jk", (1, 2, 3), (5, 3, 4)),
    einsum("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
    einsum("i,j,k->kji", (2,), (3,), (4,)),
    einsum("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    einsum("ij,ij->ij", (2, 3), (2, 3)),
    einsum("ik,jk->ij", (2, 0), (3, 0)),
]
