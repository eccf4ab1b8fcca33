"""Rows of sorting, searching and counting."""

import numpy as np

import lucid
from tests.opsamples import Sample, distinct, ints, real

DIMS = [{}, {"dim": 0}, {"dim": 1, "descending": True}]


def sort(x, dim=-1, descending=False):
    order = np.argsort(-x if descending else x, axis=dim)
    return np.take_along_axis(x, order, dim), order


SAMPLES = [
    *(
        Sample("sort_along", (distinct((3, 4, 2)),), k, numpy=sort, torch="sort", call=lucid.sort,
               dtypes="fi")
        for k in DIMS
    ),
    Sample("sort_along", (real((40,), 0, 5),), {"descending": True, "stable": True}, dtypes="iu",
           torch=lambda x, **k: __import__("torch").sort(x, **k), call=lucid.sort, grad=False),
    Sample("sort_along", ((),), torch="sort", call=lucid.sort),
    Sample("sort_along", ((2, 0),), torch="sort", call=lucid.sort),
    Sample("sort_along", (distinct((4, 2)),), torch="msort", call=lucid.msort),
    *(
        Sample("argsort", (distinct((3, 4, 2)),), k, numpy=lambda x, **k: sort(x, **k)[1],
               torch="argsort", dtypes="fi", grad=False)
        for k in DIMS
    ),
    *(
        Sample("topk_along", (distinct((3, 40)),), k, torch="topk", call=lucid.topk, dtypes="fi")
        for k in ({"k": 2}, {"k": 30}, {"k": 3, "largest": False}, {"k": 2, "dim": 0}, {"k": 0},
                  {"k": 40, "largest": False})
    ),
    Sample("topk_along", ((),), {"k": 1}, torch="topk", call=lucid.topk),
    Sample("kth_along", (distinct((3, 7)),), {"k": 3}, torch="kthvalue", call=lucid.kthvalue,
           dtypes="fi"),
    Sample("kth_along", (distinct((3, 7)),), {"k": 2, "dim": 0, "keepdim": True},
           torch="kthvalue", call=lucid.kthvalue),
    # Which of the equal elements is meant, PyTorch leaves open.
    Sample("mode_along", (real((4, 30), 0, 4),), torch=lambda x: x.mode().values,
           call=lambda x: lucid.mode(x).values, dtypes="iu", grad=False),
    Sample("unique_parts", (real((30,), 0, 9),), {"return_inverse": True, "return_counts": True},
           torch="unique", call=lucid.unique, dtypes="iu", grad=False),
    Sample("unique_parts", (ints((6, 2), 0, 2),), {"dim": 0}, torch="unique", call=lucid.unique,
           grad=False),
    *(
        Sample("unique_parts", (ints((3, 8), 0, 2),), {"return_inverse": True,
               "return_counts": True, **k}, torch="unique_consecutive",
               call=lucid.unique_consecutive, grad=False)
        for k in ({}, {"dim": 1})
    ),
    Sample("argwhere", (real((3, 4), -2, 2),), numpy=np.argwhere, torch="argwhere", dtypes="iub",
           grad=False),
    Sample("argwhere", (real((3, 4), -2, 2),), torch="nonzero", call=lucid.nonzero, dtypes="iub",
           grad=False),
    Sample("nonzero_along", (real((3, 4), -2, 2),), numpy=np.nonzero, dtypes="iub", grad=False,
           torch=lambda x: x.nonzero(as_tuple=True),
           call=lambda x: lucid.nonzero(x, as_tuple=True)),
    *(
        Sample("searchsorted", (lambda rng, dtype: np.sort(rng.integers(0, 9, (7,)).astype(dtype)),
               real((3, 4), 0, 9)), k, torch="searchsorted", dtypes="fi", grad=False, layouts=False)
        for k in ({}, {"right": True}, {"side": "right", "out_int32": True})
    ),
    Sample("searchsorted", (lambda rng, dtype: np.sort(rng.integers(0, 9, (2, 7)).astype(dtype)),
           real((2, 4), 0, 9)), torch="searchsorted", dtypes="fi", grad=False),
    Sample("bucketize", (real((3, 4), 0, 9), lambda rng, dtype: np.arange(1, 9, 2).astype(dtype)),
           {"right": True}, torch="bucketize", dtypes="fi", grad=False),
    Sample("bincount", (ints((20,), 0, 6),), {"minlength": 8}, torch="bincount", grad=False,
           numpy=np.bincount),
    Sample("bincount", (ints((20,), 0, 6), (20,)), numpy=np.bincount),
    Sample("histc", ((50,),), {"bins": 5, "min": -1, "max": 1}, torch="histc", grad=False),
    Sample("histogram_parts", ((50,),), {"bins": 5}, torch="histogram", call=lucid.histogram,
           grad=False),
    Sample("histogram_parts", ((50,),), {"bins": 4, "range": (-1.0, 1.0), "density": True},
           torch="histogram", call=lucid.histogram, grad=False),
]  # fmt: skip
