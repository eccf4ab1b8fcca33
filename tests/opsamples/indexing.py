"""Rows of lucid.ops.indexing."""

from __future__ import annotations

import numpy as np

import lucid
from tests.opsamples import Sample, bools, distinct, ints

ALL = "fiubc"
ROWS = np.array([2, 0, 2, -1])


def key(name, shape, index, **more):
    """``x[index]``, compared with NumPy; its gradient with PyTorch where it knows the index."""
    return Sample(name, (shape,), numpy=lambda x: x[index], call=lambda x: x[index], **more)


def along(name, method, **more):
    """A method that takes ``dim, index`` and perhaps a source."""

    def call(x, index, *rest):
        return getattr(x, method)(1, index, *rest)

    return Sample(name, more.pop("inputs"), call=call, torch=call, **more)


INDEX = ints((2, 2), 0, 4)

SAMPLES = [
    key("getitem", (3, 4), 1, torch=lambda x: x[1], dtypes=ALL),
    key("getitem", (3, 4), (slice(None), slice(None, None, 2)), torch=lambda x: x[:, ::2]),
    key("getitem", (3, 4), (slice(None, None, -1), -1)),
    key("getitem", (3, 4), (None, Ellipsis, 1, None)),
    key("getitem", (3, 4), ROWS, dtypes=ALL),
    key("getitem", (2, 3, 4), (slice(None), ROWS)),
    key("getitem", (3, 4), (ROWS[:, None], np.array([0, 0, 3]))),
    key("getitem", (3, 2, 4), (ROWS, slice(None), ROWS)),
    key("getitem", (3, 4), np.arange(12).reshape(3, 4) % 3 == 0),
    key("getitem", (3, 4), (np.array([True, False, True]), 1)),
    key("getitem", (3, 4), (np.array([True, False, True]), np.array([1, 1]))),
    key("getitem", (3, 4), [0, 2]),
    key("getitem", (3, 4), (slice(1, 1),)),
    key("getitem", (3,), 0),
    along("take_along", "gather", inputs=((2, 4), INDEX), dtypes=ALL),
    along("take_along", "gather", inputs=((3, 4), ints((2, 5), 0, 4))),
    Sample(
        "gather",
        ((), ints((), 0, 1)),
        call=lambda x, i: x.gather(0, i),
        torch=lambda x, i: x.gather(0, i),
    ),
    Sample("take_along_dim", ((2, 4), ints((1, 3), 0, 4)), {"dim": 1}, torch="take_along_dim"),
    Sample("take_along_dim", ((2, 4), ints((3,), 0, 8)), torch="take_along_dim"),
    Sample(
        "put_along",
        ((2, 2), INDEX),
        call=lambda g, i: lucid.zeros(3, 4, dtype=g.dtype).scatter_add(1, i, g),
    ),
    along("scatter_add", "scatter_add", inputs=((3, 4), INDEX, (2, 2)), dtypes="fi"),
    along("write_along", "scatter", inputs=((3, 4), ints((2, 1), 0, 4), (2, 1)), dtypes="fi"),
    Sample(
        "scatter",
        ((3, 4), INDEX),
        call=lambda x, i: x.scatter(1, i, 2.5),
        torch=lambda x, i: x.scatter(1, i, 2.5),
    ),
    *[
        Sample(
            "reduce_along" if r in ("prod", "amax", "amin") else "scatter_reduce",
            (distinct((3, 4)), INDEX, (2, 2)),
            {"reduce": r, "include_self": s},
            call=lambda x, i, src, **k: x.scatter_reduce(1, i, src, **k),
            torch=lambda x, i, src, **k: x.scatter_reduce(1, i, src, **k),
        )
        for r in ("sum", "mean", "prod", "amax", "amin")
        for s in (True, False)
    ],
    along("index_select", "index_select", inputs=((2, 4), ints((5,), 0, 4)), dtypes=ALL),
    along("index_add", "index_add", inputs=((2, 4), ints((3,), 0, 4), (2, 3)), dtypes="fi"),
    Sample(
        "index_copy",
        ((2, 4), (2, 3)),
        numpy=None,
        call=lambda x, s: x.index_copy(1, lucid.tensor([3, 0, 1]), s),
        torch=lambda x, s: x.index_copy(1, __import__("torch").tensor([3, 0, 1]), s),
    ),
    Sample(
        "index_fill",
        ((2, 4), ints((2,), 0, 4)),
        call=lambda x, i: x.index_fill(1, i, 7),
        torch=lambda x, i: x.index_fill(1, i, 7),
        dtypes="fi",
    ),
    Sample(
        "index_put",
        ((3, 4), ints((5,), 0, 3), ints((5,), 0, 4), (5,)),
        call=lambda x, i, j, v: x.index_put((i, j), v, accumulate=True),
        torch=lambda x, i, j, v: x.index_put((i, j), v, accumulate=True),
    ),
    Sample("take", ((3, 4), ints((2, 2), -12, 12)), torch="take", dtypes=ALL),
    Sample("masked_select", ((3, 1), bools((3, 4))), torch="masked_select", dtypes=ALL),
    Sample("masked_scatter", ((3, 4), bools((4,)), (3, 5)), torch="masked_scatter", dtypes="fi"),
    Sample("narrow", ((3, 4),), {"dim": 1, "start": 1, "length": 2}, torch="narrow"),
    Sample("narrow", ((3, 4),), {"dim": 0, "start": -2, "length": 2}, torch="narrow"),
    Sample("select", ((3, 4),), {"dim": 1, "index": -1}, torch="select"),
    Sample(
        "unfold", ((2, 7),), call=lambda x: x.unfold(1, 3, 2), torch=lambda x: x.unfold(1, 3, 2)
    ),
]
