"""Joining, splitting and padding: promotion, edge cases, errors."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
from lucid.errors import ShapeError
from lucid.nn import functional as F  # noqa: N812

A = lucid.arange(6).reshape(2, 3)


@pytest.mark.torch
def test_cat_promotes_as_pytorch(torch):
    names = "bool uint8 int32 int64 float16 float32 float64 complex64".split()
    for a in names:
        for b in names:
            ours = lucid.cat([lucid.ones(1, dtype=getattr(lucid, n)) for n in (a, b)])
            theirs = torch.cat([torch.ones(1, dtype=getattr(torch, n)) for n in (a, b)])
            assert str(theirs.dtype) == f"torch.{ours.dtype}"


def test_gradients_come_back_in_each_inputs_dtype():
    x, y = lucid.ones(2, requires_grad=True), lucid.ones(2, dtype=lucid.float64, requires_grad=True)
    out = lucid.cat([x, y])
    assert out.dtype is lucid.float64
    out.sum().backward()
    assert x.grad.dtype is lucid.float32
    assert y.grad.dtype is lucid.float64


def test_only_what_needs_a_gradient_gets_one():
    x, y = lucid.ones(2), lucid.ones(2, requires_grad=True)
    (lucid.cat([x, y, x]) * lucid.arange(6.0)).sum().backward()
    assert x.grad is None
    assert y.grad.tolist() == [2, 3]


def test_unused_parts_get_zeros():
    x = lucid.ones(4, requires_grad=True)
    x.split([1, 3])[1].sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1]
    y = lucid.ones(2, 2, requires_grad=True)
    y.unbind(1)[0].sum().backward()
    assert y.grad.tolist() == [[1, 0], [1, 0]]


def test_split_forms():
    assert [p.tolist() for p in lucid.arange(5).split(split_size=3)] == [[0, 1, 2], [3, 4]]
    assert [p.shape for p in A.split((1, 2), dim=1)] == [(2, 1), (2, 2)]
    assert [p.shape for p in A.split(2, axis=1)] == [(2, 2), (2, 1)]
    assert len(lucid.arange(6).chunk(4)) == 3
    assert [len(p) for p in lucid.tensor_split(lucid.arange(3), 5)] == [1, 1, 1, 0, 0]
    assert [p.shape for p in lucid.zeros(0, 2).chunk(3)] == [(0, 2)] * 3
    assert len(A.unbind()) == 2


def test_aliases_are_the_same_functions():
    assert lucid.concat is lucid.concatenate is lucid.cat
    assert lucid.row_stack is lucid.vstack


def test_joins_copy():
    for out in (lucid.cat([A]), lucid.stack([A]), A.repeat(1, 1), A.tile(1, 1), lucid.rot90(A, 4)):
        assert not np.shares_memory(out._data, A._data)


def test_pad():
    assert F.pad(A, (1, 0)).tolist() == [[0, 0, 1, 2], [0, 3, 4, 5]]
    assert F.pad(A, (0, 0, 0, 1), value=9).tolist() == [[0, 1, 2], [3, 4, 5], [9, 9, 9]]
    assert F.pad(A, (-1, -1)).tolist() == [[1], [4]]
    assert F.pad(A, (1, 2), mode="circular")[0].tolist() == [2, 0, 1, 2, 0, 1]
    assert F.pad(A, (-1, 2), mode="circular")[0].tolist() == [1, 2, 1, 2]  # cropped first
    with pytest.raises(ValueError, match="can take at most 2"):
        F.pad(A, (-1, 3), mode="circular")
    assert F.pad(A, ()).tolist() == A.tolist()


ERRORS = {
    "cat empty": (lambda: lucid.cat([]), ValueError, "cat: tensors must not be empty"),
    "cat one": (
        lambda: lucid.cat(A),
        TypeError,
        "cat: tensors must be a sequence of Tensors; got Tensor",
    ),
    "cat item": (
        lambda: lucid.cat([A, 3]),
        TypeError,
        r"cat: tensors\[1\] must be a Tensor; got int",
    ),
    "cat shape": (lambda: lucid.cat([A, A.T]), ShapeError, r"tensors\[1\] has \(3, 2\)"),
    "cat 0-d": (lambda: lucid.cat([lucid.tensor(1)]), ShapeError, "use stack"),
    "cat dim": (lambda: lucid.cat([A], 2), IndexError, "cat: dim"),
    "stack shape": (
        lambda: lucid.stack([A, A.T]),
        ShapeError,
        r"stack: .* tensors\[1\] has \(3, 2\)",
    ),
    "hstack": (lambda: lucid.hstack(3), TypeError, "hstack"),
    "split sum": (lambda: A.split([1, 1], 1), ShapeError, r"add up to 3.*got \(1, 1\)"),
    "split zero": (lambda: A.split(0), ShapeError, "split_size must be positive"),
    "split 0-d": (lambda: lucid.tensor(1).split(1), ShapeError, "0-d"),
    "split nothing": (lambda: A.split(), TypeError, "split"),
    "chunk": (lambda: A.chunk(0), ValueError, "chunks must be positive"),
    "unbind": (lambda: lucid.tensor(1).unbind(), ShapeError, "unbind"),
    "repeat": (lambda: A.repeat(2), ShapeError, "each of the 2 dimensions"),
    "repeat negative": (lambda: A.repeat(1, -1), ShapeError, "negative"),
    "interleave": (
        lambda: A.repeat_interleave(lucid.tensor([1, 2, 3]), 0),
        ShapeError,
        "2 elements",
    ),
    "roll": (lambda: A.roll((1, 2), 0), ShapeError, "as many"),
    "flip twice": (lambda: A.flip(0, 0), ValueError, "twice"),
    "fliplr": (lambda: lucid.fliplr(lucid.ones(2)), ShapeError, "2 dimensions"),
    "rot90": (lambda: lucid.rot90(A, 1, (0,)), ShapeError, "two dimensions"),
    "tril": (lambda: lucid.ones(2).tril(), ShapeError, "tril"),
    "diag": (lambda: lucid.diag(lucid.ones(2, 2, 2)), ShapeError, "1 or 2"),
    "pad odd": (lambda: F.pad(A, (1,)), ShapeError, "before, after"),
    "pad crop": (lambda: F.pad(A, (-2, -2)), ShapeError, "crops more"),
    "pad mode": (lambda: F.pad(A, (1, 1), mode="mirror"), ValueError, "mirror"),
    "pad reflect": (lambda: F.pad(A, (3, 0), mode="reflect"), ShapeError, "at most 2"),
    "pad value": (lambda: F.pad(A, (1, 0), mode="reflect", value=1), ValueError, "mode constant"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
