"""Rows of reductions and cumulative operations."""

import numpy as np
import pytest

import lucid
from lucid.ops import reduction
from tests.opsamples import Sample, distinct, ints, positive, real

WHERE = [
    {}, {"dim": 1}, {"dim": -1, "keepdim": True}, {"dim": (0, 2)},
    {"dim": (-1, 0), "keepdim": True},
]  # fmt: skip
ONE = [{"dim": 1}, {"dim": -1, "keepdim": True}]


def axes(dim=None, keepdim=False, **others):
    return {"axis": dim, "keepdims": keepdim, **others}


def row(name, kwargs, numpy, shape=(2, 3, 4), dtypes="f", torch=None, **options):
    def reference(x, **k):
        return numpy(x, **axes(**k))

    return Sample(name, (shape,), kwargs, numpy=numpy and reference, torch=torch or name,
                  dtypes=dtypes, **options)  # fmt: skip


def best(choose, arg):
    def pair(x, dim, keepdim=False):
        return choose(x, axis=dim, keepdims=keepdim), arg(x, axis=dim, keepdims=keepdim)

    return pair


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def quantile(x, **kwargs):
    torch = pytest.importorskip("torch")
    wide = x if x.dtype != torch.float16 else x.float()  # which torch.quantile refuses
    return torch.quantile(wide, **kwargs).to(x.dtype)


def with_zeros(count):
    def make(rng, dtype):
        x = np.asarray(rng.standard_normal((3, 4))).astype(dtype)
        x[0, :count] = 0
        x[1, 1] = 0
        return x

    return make


SAMPLES = [
    *(row("sum", k, np.sum, dtypes="fc") for k in WHERE),
    *(row("sum", k, np.sum, dtypes="iub") for k in WHERE[:2]),
    row("sum", {"dim": 1}, np.sum, (2, 0, 3)),
    row("sum", {"dim": 0}, None, ()),
    Sample("sum", ((2, 3),), {"dtype": lucid.float64}, dtypes="i",
           numpy=lambda x, dtype: np.sum(x, dtype=dtype)),
    *(row("mean", k, np.mean, dtypes="fc") for k in WHERE),
    row("mean", {"dim": 0}, None, ()),
    *(row("nansum", k, np.nansum) for k in WHERE),
    *(row("prod", k, np.prod, dtypes="fc") for k in ({}, *ONE)),
    row("prod", {}, np.prod, (4,), dtypes="iub"),
    row("prod", {"dim": 1}, np.prod, (2, 0, 3)),
    row("prod", {"dim": 0}, None, ()),
    *(row("prod", k, np.prod, with_zeros(n)) for n in (1, 2) for k in ({"dim": 1}, {"dim": 0}, {})),
    *(
        row("var", k, lambda x, correction=1, **a: np.var(x, ddof=correction, **a))
        for k in (*WHERE, {"dim": 0, "correction": 0}, {"dim": (0, 1), "correction": 2})
    ),
    *(
        row("std", k, lambda x, correction=1, **a: np.std(x, ddof=correction, **a))
        for k in (*WHERE, {"dim": 0, "correction": 0})
    ),
    row("var", {"dim": 1, "unbiased": False}, lambda x, unbiased, **a: np.var(x, **a)),
    Sample("var", ((3, 4),), {"dim": 1}, numpy=lambda x, dim: np.var(x, axis=dim, ddof=1),
           torch="var", dtypes="c"),
    Sample("var", ((3, 4),), {"dim": 1}, torch="var_mean", call=lucid.var_mean,
           numpy=lambda x, dim: (np.var(x, axis=dim, ddof=1), np.mean(x, axis=dim))),
    Sample("std", ((3, 4),), {"dim": 1}, torch="std_mean", call=lucid.std_mean,
           numpy=lambda x, dim: (np.std(x, axis=dim, ddof=1), np.mean(x, axis=dim))),
    *(row("amax", k, np.max, distinct((2, 3, 4)), "fi") for k in WHERE),
    *(row("amin", k, np.min, distinct((2, 3, 4)), "fi") for k in WHERE),
    # Ties share the gradient, so finite differences do not apply.
    *(
        Sample(name, (ints((3, 4), 0, 2),), {"dim": 1}, torch=lambda x, dim, name=name: getattr(
            x.double(), name)(dim), call=lambda x, dim, name=name: getattr(
            reduction, name)(lucid.ops.pointwise.cast(x, lucid.float64), dim), grad=False)
        for name in ("amax", "amin")
    ),
    row("amax", {}, np.max, distinct((6,)), torch="max", call=lucid.max, dtypes="fiub"),
    row("amin", {}, np.min, distinct((6,)), torch="min", call=lucid.min, dtypes="fiub"),
    Sample("amax", (distinct((2, 6)),), torch=lambda x: tuple(x.aminmax(dim=1)),
           call=lambda x: lucid.aminmax(x, dim=1)),
    *(
        Sample(f"{name}_along", (distinct((2, 3, 4)),), k, numpy=best(choose, arg), torch=name,
               call=getattr(lucid, name), dtypes="fiu")
        for name, choose, arg in (("max", np.max, np.argmax), ("min", np.min, np.argmin))
        for k in ONE
    ),
    Sample("max_along", ((),), {"dim": 0}, torch="max", call=lucid.max),
    *(
        row(name, k, getattr(np, name), distinct((2, 3, 4)), "fiu", grad=False)
        for name in ("argmax", "argmin") for k in ({}, *ONE)
    ),
    *(
        row(name, k, getattr(np, name), real((2, 3, 4), -2, 2), "fib", grad=False)
        for name in ("all", "any") for k in WHERE
    ),
    row("all", {}, None, dtypes="u", grad=False),
    Sample("count_nonzero", (real((3, 4), -2, 2),), {"dim": 1}, torch="count_nonzero",
           numpy=lambda x, dim: np.count_nonzero(x, axis=dim), dtypes="fib", grad=False),
    *(
        Sample(name, (shape,), {"dim": dim}, numpy=lambda x, dim, f=f: f(x, axis=dim), torch=name,
               dtypes="fic")
        for name, f in (("cumsum", np.cumsum), ("cumprod", np.cumprod))
        for shape, dim in (((2, 3, 4), 1), ((5,), -1), ((2, 0), 1))
    ),
    Sample("cumsum", ((),), {"dim": 0}, torch="cumsum"),
    Sample("cumsum", ((2, 3),), {"dim": 1, "reverse": True},
           numpy=lambda x, dim, reverse: np.cumsum(x[:, ::-1], 1)[:, ::-1]),
    *(
        Sample("cumprod", (with_zeros(n),), {"dim": dim}, torch="cumprod",
               numpy=lambda x, dim: np.cumprod(x, axis=dim))
        for n in (1, 2) for dim in (0, 1)
    ),
    Sample("logcumsumexp", ((2, 3, 4),), {"dim": 1}, torch="logcumsumexp",
           numpy=lambda x, dim: np.logaddexp.accumulate(x, axis=dim)),
    *(
        Sample(f"{name}_along", (distinct((2, 3, 4)),), {"dim": 1}, torch=name,
               call=getattr(lucid, name), dtypes="fi")
        for name in ("cummax", "cummin")
    ),
    Sample("cummax_along", (real((12,), 0, 3),), {"dim": 0}, torch="cummax", call=lucid.cummax,
           dtypes="i", grad=False),
    *(row("logsumexp", {"dim": 0, **k}, logsumexp) for k in WHERE),
    *(
        Sample("norm", ((2, 3, 4),), {"p": p, **k}, torch="norm", numpy=lambda x, p, dim=None,
               keepdim=False: np.power(np.sum(np.abs(x) ** p, axis=dim, keepdims=keepdim), 1 / p),
               dtypes="f")
        for p in (1, 2, 3, 0.5) for k in ({}, {"dim": 1}, {"dim": (0, 2), "keepdim": True})
    ),
    Sample("norm", ((2, 3),), torch="norm", dtypes="c",
           numpy=lambda x: np.sqrt(np.sum(np.abs(x) ** 2))),
    Sample("norm", (positive((2, 3)),), {"p": -1}, torch="norm"),
    *(
        Sample("norm", ((2, 6),), {"p": p, "dim": 1}, torch="norm")
        for p in (float("inf"), float("-inf"), 0)
    ),
    *(
        Sample(f"{name}_along", (distinct((2, 5, 4)),), {"dim": 1}, torch=name,
               call=getattr(lucid, name), dtypes="fi")
        for name in ("median", "nanmedian")
    ),
    Sample("median_of_all", (distinct((3, 4)),), torch="median", call=lucid.median, dtypes="fi"),
    *(
        Sample("pick", (distinct((3, 5)),), {"q": q, **k}, torch=quantile,
               numpy=lambda x, q, **k: np.quantile(x, q, **axes(**k)),
               call=lucid.quantile)
        for q in (0.3, 0.5, 1.0) for k in ({}, {"dim": 0}, {"dim": 1, "keepdim": True})
    ),
    Sample("place", ((2, 2),), call=lambda x: reduction.place(
        x, np.array([[0, 0], [2, 1]]), (2, 3), 1),
        numpy=lambda x: np.array([[x[0, 0] + x[0, 1], 0, 0], [0, x[1, 1], x[1, 0]]])),
    Sample("sub", ((3, 4),), {"n": 2, "dim": 0}, torch="diff", call=lucid.diff,
           numpy=lambda x, n, dim: np.diff(x, n, axis=dim), dtypes="fi"),
]  # fmt: skip
