"""Rows of lucid.ops.join."""

from __future__ import annotations

import numpy as np

import lucid
from tests.opsamples import Sample

ALL = "fiubc"


def pad(pad, mode="constant", value=None):
    return {"pad": pad, "mode": mode, "value": value}


def torch_pad(x, pad, mode, value):
    import torch

    # Its borders other than constant want batches.
    if mode == "constant":
        return torch.nn.functional.pad(x, pad, mode, value)
    return torch.nn.functional.pad(x[None], pad, mode)[0]


def lucid_pad(x, pad, mode, value):
    from lucid.ops import join

    return join.pad(x, pad, mode, value)


SAMPLES = [
    Sample("cat", ((2, 3), (1, 3), (0, 3)), {"dim": 0}, variadic=True, torch="cat", dtypes=ALL),
    Sample("cat", ((2, 3), (2, 1)), {"dim": -1}, variadic=True, torch="cat"),
    Sample("cat", ((0,), (2, 1)), {"dim": 1}, variadic=True, torch="cat"),
    Sample("stack", ((2, 3), (2, 3)), {"dim": -1}, variadic=True, torch="stack", dtypes=ALL),
    Sample("stack", ((), ()), variadic=True, torch="stack"),
    Sample("hstack", ((2,), (3,)), variadic=True, torch="hstack"),
    Sample("hstack", ((2, 1), (2, 3)), variadic=True, torch="hstack"),
    Sample("vstack", ((3,), (2, 3)), variadic=True, torch="vstack"),
    Sample("dstack", ((2, 3), (2, 3)), variadic=True, torch="dstack"),
    Sample("column_stack", ((2,), (2, 3)), variadic=True, torch="column_stack"),
    Sample(
        "split_sizes", ((5, 2),), call=lambda x: x.split(2), torch=lambda x: x.split(2), dtypes=ALL
    ),
    Sample(
        "split", ((2, 5),), call=lambda x: x.split([1, 4], 1), torch=lambda x: x.split([1, 4], 1)
    ),
    Sample("split", ((0, 2),), call=lambda x: x.split(2), torch=lambda x: x.split(2)),
    Sample("chunk", ((5,),), {"chunks": 3}, torch="chunk"),
    Sample(
        "tensor_split",
        ((7, 2),),
        call=lambda x: lucid.tensor_split(x, 3),
        torch=lambda x: x.tensor_split(3),
    ),
    Sample(
        "tensor_split",
        ((2, 7),),
        call=lambda x: lucid.tensor_split(x, (1, 1, 9), 1),
        torch=lambda x: x.tensor_split((1, 1, 9), 1),
    ),
    Sample("hsplit", ((2, 4),), call=lambda x: lucid.hsplit(x, 2), torch=lambda x: x.hsplit(2)),
    Sample("vsplit", ((4, 2),), call=lambda x: lucid.vsplit(x, 2), torch=lambda x: x.vsplit(2)),
    Sample("dsplit", ((2, 1, 4),), call=lambda x: lucid.dsplit(x, 2), torch=lambda x: x.dsplit(2)),
    Sample("unbind", ((2, 3),), {"dim": 1}, torch="unbind", dtypes=ALL),
    Sample(
        "repeat", ((2, 1),), call=lambda x: x.repeat(2, 1, 3), torch=lambda x: x.repeat(2, 1, 3)
    ),
    Sample("repeat", ((2,),), call=lambda x: x.repeat(0), torch=lambda x: x.repeat(0)),
    Sample(
        "tile",
        ((2, 3),),
        {"dims": (2,)},
        call=lambda x, dims: lucid.tile(x, dims),
        numpy=None,
        torch="tile",
    ),
    Sample("repeat_interleave", ((2, 3),), {"repeats": 2, "dim": 1}, torch="repeat_interleave"),
    Sample("repeat_interleave", ((2, 3),), {"repeats": 2}, torch="repeat_interleave"),
    Sample("flip", ((2, 3),), {"dims": (0, 1)}, torch="flip", dtypes=ALL),
    Sample("fliplr", ((2, 3),), numpy=np.fliplr, torch="fliplr"),
    Sample("flipud", ((2, 3),), numpy=np.flipud, torch="flipud"),
    Sample("roll", ((2, 3),), {"shifts": 4}, torch="roll", dtypes=ALL),
    Sample("roll", ((2, 3),), {"shifts": (1, -2), "dims": (0, 1)}, torch="roll"),
    *[Sample("rot90", ((2, 3),), {"k": k, "dims": (1, 0)}, torch="rot90") for k in range(-1, 3)],
    Sample(
        "tril",
        ((2, 3, 4),),
        {"diagonal": 1},
        numpy=lambda x, diagonal: np.tril(x, diagonal),
        torch="tril",
        dtypes="fiuc",
    ),
    Sample(
        "triu",
        ((4, 3),),
        {"diagonal": -1},
        numpy=lambda x, diagonal: np.triu(x, diagonal),
        torch="triu",
        dtypes="fiuc",
    ),
    Sample("diag_embed", ((2, 3),), torch="diag_embed", dtypes=ALL),
    Sample("diag_embed", ((2, 3),), {"offset": -1, "dim1": 0, "dim2": 2}, torch="diag_embed"),
    Sample("diag", ((3,),), {"diagonal": 1}, torch="diag"),
    Sample("diag", ((3, 4),), {"diagonal": -1}, torch="diag"),
    Sample("diagflat", ((2, 2),), {"offset": 1}, torch="diagflat"),
    Sample(
        "constant_pad",
        ((2, 3),),
        pad((1, 2, 0, 1), value=2.0),
        call=lucid_pad,
        torch=torch_pad,
        dtypes="fi",
    ),
    Sample("pad", ((2, 3),), pad((-1, 1)), call=lucid_pad, torch=torch_pad),
    Sample("pad", ((1, 4),), pad((3, 2), "reflect"), call=lucid_pad, torch=torch_pad),
    Sample("pad", ((2, 4, 3),), pad((1, 0, 2, 3), "replicate"), call=lucid_pad, torch=torch_pad),
    Sample("pad", ((2, 4, 3),), pad((3, 1, 0, 2), "circular"), call=lucid_pad, torch=torch_pad),
    Sample("cartesian_prod", ((2,), (3,)), torch="cartesian_prod"),
    Sample("combinations", ((4,),), {"r": 2}, torch="combinations"),
    Sample("meshgrid", ((2,), (3,)), {"indexing": "xy"}, torch="meshgrid"),
    Sample("meshgrid", ((2,), (3,), ()), {"indexing": "ij"}, torch="meshgrid"),
    Sample(
        "complex", ((2, 3), (3,)), torch=lambda x, y: __import__("torch").complex(x, y), dtypes="d"
    ),
]
