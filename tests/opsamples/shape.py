"""Rows of lucid.ops.shape."""

from __future__ import annotations

import numpy as np

import lucid
from tests.opsamples import Sample

ALL = "fiubc"

SAMPLES = [
    Sample("reshape", ((2, 6),), {"shape": (3, -1)}, numpy=np.reshape, torch="reshape", dtypes=ALL),
    Sample("reshape", ((),), {"shape": (1, 1)}, numpy=np.reshape, torch="reshape"),
    Sample("reshape", ((0, 3),), {"shape": (3, 0)}, numpy=np.reshape, torch="reshape"),
    Sample("flatten", ((2, 3, 4),), {"start_dim": 1}, torch="flatten"),
    Sample("flatten", ((),), torch="flatten"),
    Sample("unflatten", ((2, 6),), {"dim": 1, "sizes": (2, -1)}, torch="unflatten"),
    Sample("ravel", ((2, 3),), numpy=np.ravel, torch="ravel"),
    Sample(
        "view_as_dtype",
        ((2, 4),),
        {"dtype": lucid.uint8},
        numpy=lambda x, dtype: x.view(dtype),
        call=lambda x, dtype: x.view(dtype),
        grad=False,
        dtypes="u",
    ),
    Sample("transpose", ((2, 3, 4),), {"dim0": 0, "dim1": -1}, torch="transpose", dtypes=ALL),
    Sample("permute", ((2, 3, 4),), {"dims": (2, 0, -2)}, torch="permute", dtypes=ALL),
    Sample("movedim", ((2, 3, 4),), {"source": (0, 1), "destination": (-1, 0)}, torch="movedim"),
    Sample(
        "swapaxes",
        ((2, 3, 4),),
        torch=lambda x: x.swapaxes(0, 1),
        call=lambda x: lucid.swapaxes(x, 0, 1),
    ),
    Sample("t", ((2, 3),), torch="t"),
    Sample("adjoint", ((2, 2, 3),), torch="adjoint", dtypes="fc"),
    Sample("squeeze", ((1, 3, 1),), numpy=np.squeeze, torch="squeeze", dtypes=ALL),
    Sample("squeeze", ((1, 3, 1),), {"dim": (0, 1)}, torch="squeeze"),
    Sample("squeeze", ((1, 3, 1),), {"dim": -1}, torch="squeeze"),
    Sample("unsqueeze", ((2, 3),), {"dim": -1}, torch="unsqueeze", dtypes=ALL),
    Sample("unsqueeze", ((),), {"dim": 0}, torch="unsqueeze"),
    Sample("atleast_1d", ((),), torch="atleast_1d"),
    Sample("atleast_2d", ((3,),), torch="atleast_2d"),
    Sample("atleast_3d", ((2, 3),), torch="atleast_3d"),
    Sample("atleast_3d", ((3,),), torch="atleast_3d"),
    Sample(
        "broadcast_to",
        ((3, 1),),
        {"shape": (2, 3, 4)},
        numpy=np.broadcast_to,
        torch=lambda x, shape: x.broadcast_to(shape),
        dtypes=ALL,
    ),
    Sample("broadcast_to", ((1,),), {"shape": (0,)}, numpy=np.broadcast_to),
    Sample(
        "expand", ((3, 1),), call=lambda x: x.expand(2, -1, 4), torch=lambda x: x.expand(2, -1, 4)
    ),
    Sample("broadcast_tensors", ((3, 1), (4,)), torch="broadcast_tensors"),
    Sample("diagonal", ((3, 4),), torch="diagonal", dtypes=ALL),
    Sample("diagonal", ((2, 3, 4),), {"offset": -1, "dim1": -1, "dim2": 0}, torch="diagonal"),
    Sample("diagonal", ((2, 3),), {"offset": 5}, torch="diagonal"),
]
