"""Creation and conversion: dtypes as PyTorch infers them, sharing, refused sizes."""

from __future__ import annotations

import array

import numpy as np
import pytest

import lucid
from lucid.errors import DeviceError, ShapeError

CALLS = {
    "arange": lambda t: t.arange(5),
    "arange step": lambda t: t.arange(1, 6, 2),
    "arange float": lambda t: t.arange(0.0, 1.0, 0.1),
    "arange down": lambda t: t.arange(5, 0, -2),
    "arange mixed": lambda t: t.arange(0, 5, 0.5),
    "arange dtype": lambda t: t.arange(3, dtype=t.float64),
    "arange empty": lambda t: t.arange(0),
    "linspace": lambda t: t.linspace(-1, 1, 7),
    "linspace one": lambda t: t.linspace(3, 10, 1),
    "linspace int": lambda t: t.linspace(0, 10, 5, dtype=t.int64),
    "logspace": lambda t: t.logspace(-2, 2, 5, dtype=t.float64),
    "logspace base": lambda t: t.logspace(0, 4, 5, base=2),
    "zeros": lambda t: t.zeros(2, 3),
    "ones": lambda t: t.ones((2, 3), dtype=t.int32),
    "full": lambda t: t.full((2,), 7),
    "full float": lambda t: t.full((2,), 7.5),
    "full bool": lambda t: t.full((2,), True),
    "eye": lambda t: t.eye(2, 3),
    "zeros_like": lambda t: t.zeros_like(t.ones(2, dtype=t.int64)),
    "ones_like": lambda t: t.ones_like(t.zeros(2), dtype=t.int8),
    "full_like": lambda t: t.full_like(t.zeros(2), 3),
    "new_zeros": lambda t: t.ones(1, dtype=t.float64).new_zeros(2, 3),
    "new_ones": lambda t: t.ones(1, dtype=t.int32).new_ones((2,)),
    "new_full": lambda t: t.ones(1, dtype=t.float64).new_full((2,), 3),
    "new_tensor": lambda t: t.ones(1, dtype=t.float64).new_tensor([1.0, 2.0], dtype=t.float64),
    "tril_indices": lambda t: t.tril_indices(3, 4, 1),
    "triu_indices": lambda t: t.triu_indices(3, 4, -1),
    "scalar_tensor": lambda t: t.scalar_tensor(3),
    "tensor": lambda t: t.tensor([[1, 2.5], [3, 4]]),
    "tensor bool": lambda t: t.tensor([True, False]),
    "complex": lambda t: t.complex(t.ones(2), t.zeros(2)),
    "polar": lambda t: t.polar(t.ones(2, dtype=t.float64), t.full((2,), 0.5, dtype=t.float64)),
    "to": lambda t: t.ones(2).to(t.int64),
    "to other": lambda t: t.ones(2).to(t.ones(1, dtype=t.float64)),
    "to device": lambda t: t.ones(2).to("cpu", t.float16),
    "long": lambda t: t.tensor([1.7, -1.7]).long(),
    "bool": lambda t: t.tensor([0.5, 0.0]).bool(),
    "half": lambda t: t.ones(2).half(),
    "double": lambda t: t.ones(2).double(),
    "int": lambda t: t.ones(2).int(),
    "float": lambda t: t.arange(2).float(),
    "type_as": lambda t: t.ones(2).type_as(t.arange(2)),
    "type": lambda t: t.ones(2).type(t.int32),
    "one_hot": lambda t: t.nn.functional.one_hot(t.tensor([[2, 0]]), 4),
    "combinations": lambda t: t.combinations(t.arange(4), 3),
    "with replacement": lambda t: t.combinations(t.arange(3), with_replacement=True),
    "asarray": lambda t: t.asarray([1, 2]),
    "frombuffer": lambda t: t.frombuffer(bytearray(b"\x01\x00\x02\x00"), dtype=t.int16, offset=2),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", CALLS)
def test_as_pytorch(torch, name):
    ours, theirs = CALLS[name](lucid), CALLS[name](torch)
    assert ours.shape == tuple(theirs.shape)
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6, atol=1e-7)


def test_promotion_as_pytorch():
    torch = pytest.importorskip("torch")
    names = "bool uint8 int8 int32 int64 float16 float32 float64 complex64 complex128".split()
    for a in names:
        for b in names:
            ours, theirs = ([getattr(t, n) for n in (a, b)] for t in (lucid, torch))
            expected = str(torch.promote_types(*theirs)).removeprefix("torch.")
            assert str(lucid.promote_types(*ours)) == expected, (a, b)
            assert lucid.can_cast(*ours) == torch.can_cast(*theirs), (a, b)
    assert lucid.result_type(lucid.arange(2), 1.0) == lucid.float32
    assert lucid.result_type(lucid.ones(2), lucid.tensor(1.0, dtype=lucid.float64)) == lucid.float32
    assert lucid.result_type(1, 2.0) == lucid.float32


def test_dtypes_are_the_canonical_objects():
    for x in (
        lucid.zeros(2, dtype="float32"),
        lucid.zeros(2, dtype=np.float32),
        lucid.ones(2).to("float"),
    ):
        assert x.dtype is lucid.float32


@pytest.mark.parametrize("create", [lucid.zeros, lucid.ones, lucid.empty])
def test_every_creation_takes_the_common_keywords(create):
    x = create(2, 3, dtype=lucid.float64, device="cpu", requires_grad=True)
    assert x.shape == (2, 3)
    assert x.requires_grad
    assert create().shape == ()
    assert create(0).shape == (0,)
    assert create([2, 3]).shape == create(lucid.tensor([2, 3])).shape == (2, 3)


def test_memory_is_shared_where_that_is_promised():
    a = np.zeros(3)
    for x in (lucid.from_numpy(a), lucid.as_tensor(a), lucid.asarray(a), lucid.from_dlpack(a)):
        a[0] += 1
        assert x[0].item() == a[0]
    for x in (
        lucid.tensor(a),
        lucid.as_tensor(a, dtype=lucid.float32),
        lucid.asarray(a, copy=True),
    ):
        assert not np.shares_memory(x._data, a)
    x = lucid.ones(2)
    assert (
        lucid.as_tensor(x) is lucid.asarray(x) is x.to(lucid.float32) is x.float() is x.cpu() is x
    )
    assert x.to(lucid.float32, copy=True) is not x
    numbers = array.array("d", [1.0, 2.0])
    shared = lucid.frombuffer(numbers, dtype=lucid.float64)
    numbers[0] = 5
    assert shared.tolist() == [5, 2]
    frozen = lucid.frombuffer(b"\0" * 8, dtype=lucid.float32)
    with pytest.raises(ValueError, match="read-only"):
        frozen.mul_(2)


def test_conversion_has_a_gradient():
    x = lucid.ones(2, requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype is lucid.float32
    assert x.grad.tolist() == [3, 3]


def test_the_graph_goes_on_through_as_tensor():
    x = lucid.ones(2, requires_grad=True)
    lucid.as_tensor(x, dtype=lucid.float64).sum().backward()
    assert x.grad.tolist() == [1, 1]


ERRORS = {
    "negative": (
        lambda: lucid.zeros(2, -1),
        ShapeError,
        r"zeros: sizes must not be negative; got \(2, -1\)",
    ),
    "float size": (lambda: lucid.ones(2.0), TypeError, "ones: a shape is made of ints"),
    "eye": (lambda: lucid.eye(-1), ShapeError, "eye"),
    "full": (lambda: lucid.full((2,), [1, 2]), ShapeError, "fill_value must be a number"),
    "arange step": (lambda: lucid.arange(0, 5, 0), ValueError, "step must lead from start to end"),
    "arange way": (lambda: lucid.arange(0, 5, -1), ValueError, "step=-1"),
    "arange nan": (lambda: lucid.arange(float("nan")), ValueError, "finite"),
    "linspace": (lambda: lucid.linspace(0, 1, -1), ValueError, "steps must not be negative"),
    "linspace float": (lambda: lucid.linspace(0, 1, 2.5), TypeError, "steps must be an int"),
    "dtype": (lambda: lucid.zeros(2, dtype="int128"), TypeError, "zeros: dtype must be one of"),
    "device": (lambda: lucid.zeros(2, device="cuda"), DeviceError, '"cpu"'),
    "to device": (lambda: lucid.ones(2).to("cuda:0"), DeviceError, "cuda:0"),
    "to keyword": (lambda: lucid.ones(2).to(kind=3), TypeError, "'kind'"),
    "requires grad": (
        lambda: lucid.ones(2, dtype=lucid.int64, requires_grad=True),
        RuntimeError,
        "int64",
    ),
    "from_numpy": (
        lambda: lucid.from_numpy([1]),
        TypeError,
        "from_numpy: expected a NumPy array; got list",
    ),
    "strings": (lambda: lucid.from_numpy(np.array(["a"])), TypeError, "no dtype"),
    "from_dlpack": (lambda: lucid.from_dlpack([1]), TypeError, "__dlpack__"),
    "one_hot": (lambda: lucid.one_hot(lucid.tensor([3]), 3), ValueError, r"\[0, 3\)"),
    "meshgrid": (lambda: lucid.meshgrid(lucid.ones(2), indexing="ji"), ValueError, '"ij" or "xy"'),
    "complex": (
        lambda: lucid.complex(lucid.ones(2), lucid.ones(2).double()),
        RuntimeError,
        "both float64",
    ),
    "ones_like": (lambda: lucid.ones_like(3), TypeError, "ones_like: x must be a Tensor; got int"),
    "asarray": (lambda: lucid.asarray([1], copy=False), ValueError, "copy=False"),
    "frombuffer": (lambda: lucid.frombuffer(b"abc", dtype=lucid.float32), ValueError, "frombuffer"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
