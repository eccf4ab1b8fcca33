"""Layers against PyTorch: outputs, gradients, initial values, keys, repr."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lucid
import lucid.nn as nn
from lucid._core.tensor import wrap

X = ((4, 6),)
IMAGE = ((2, 3, 4, 5),)

# class, constructor arguments, input shapes
LAYERS = [
    ("Identity", (), {}, X),
    ("Flatten", (), {}, IMAGE),
    ("Flatten", (), {"start_dim": 2, "end_dim": 3}, IMAGE),
    ("Unflatten", (1, (2, 3)), {}, X),
    ("Linear", (6, 3), {}, X),
    ("Linear", (6, 3), {"bias": False}, ((2, 4, 6),)),
    ("Bilinear", (6, 5, 3), {}, ((4, 6), (4, 5))),
    ("Bilinear", (6, 5, 3), {"bias": False}, ((2, 4, 6), (2, 4, 5))),
    ("LayerNorm", (6,), {}, X),
    ("LayerNorm", ((4, 6),), {"eps": 0.1}, ((3, 4, 6),)),
    ("LayerNorm", (6,), {"elementwise_affine": False}, X),
    ("LayerNorm", (6,), {"bias": False}, X),
    ("LocalResponseNorm", (2,), {}, IMAGE),
    ("LocalResponseNorm", (3, 0.5, 0.6, 2.0), {}, ((3, 7, 5),)),
    ("LocalResponseNorm", (5,), {"alpha": 0.1, "beta": 0.5, "k": 0.5}, ((2, 4, 2, 3, 2),)),
    ("RMSNorm", (6,), {}, X),
    ("RMSNorm", ((4, 6),), {"eps": 0.1}, ((3, 4, 6),)),
    ("RMSNorm", (6,), {"elementwise_affine": False}, X),
    ("BatchNorm1d", (6,), {}, X),
    ("BatchNorm1d", (3,), {"affine": False, "eps": 0.1}, ((4, 3, 5),)),
    ("BatchNorm2d", (3,), {"momentum": None}, IMAGE),
    ("BatchNorm2d", (3,), {"track_running_stats": False, "momentum": 0.3}, IMAGE),
    ("BatchNorm2d", (3,), {}, ((7, 3, 5, 7),)),
    ("BatchNorm3d", (2,), {"bias": False}, ((2, 2, 3, 2, 2),)),
    ("GroupNorm", (3, 6), {"bias": False}, ((4, 6),)),
    ("GroupNorm", (3, 6), {}, ((4, 6),)),
    ("GroupNorm", (1, 3), {"eps": 0.1, "affine": False}, IMAGE),
    ("GroupNorm", (3, 3), {}, IMAGE),
    ("GroupNorm", (2, 6), {}, ((3, 6, 7, 9),)),
    ("GroupNorm", (2, 64), {"eps": 0.1}, ((9, 64, 3, 3),)),
    ("GroupNorm", (4, 64), {"bias": False}, ((9, 64, 4, 2),)),
    ("InstanceNorm1d", (3,), {}, ((2, 3, 5),)),
    ("InstanceNorm1d", (3,), {}, ((3, 5),)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, IMAGE),
    ("InstanceNorm2d", (3,), {"affine": True, "bias": False}, ((3, 5, 4),)),
    ("InstanceNorm3d", (2,), {"eps": 0.1}, ((2, 2, 3, 2, 2),)),
    ("CELU", (), {}, X),
    ("CELU", (), {"alpha": 0.5, "inplace": True}, X),
    ("ELU", (), {}, X),
    ("ELU", (), {"alpha": 0.5, "inplace": True}, X),
    ("GELU", (), {}, X),
    ("GELU", (), {"approximate": "tanh"}, X),
    ("GLU", (), {}, X),
    ("GLU", (0,), {}, X),
    ("Hardshrink", (), {}, X),
    ("Hardshrink", (0.2,), {}, X),
    ("Hardsigmoid", (), {}, X),
    ("Hardsigmoid", (), {"inplace": True}, X),
    ("Hardswish", (), {}, X),
    ("Hardswish", (), {"inplace": True}, X),
    ("Hardtanh", (), {}, X),
    ("Hardtanh", (-0.5, 0.3), {"inplace": True}, X),
    ("LeakyReLU", (), {}, X),
    ("LeakyReLU", (0.3,), {"inplace": True}, X),
    ("LogSigmoid", (), {}, X),
    ("LogSoftmax", (1,), {}, X),
    ("LogSoftmax", (-3,), {}, IMAGE),
    ("Mish", (), {}, X),
    ("Mish", (), {"inplace": True}, X),
    ("PReLU", (), {}, X),
    ("PReLU", (3, 0.1), {}, IMAGE),
    ("ReLU", (), {}, X),
    ("ReLU", (), {"inplace": True}, X),
    ("ReLU6", (), {}, X),
    ("ReLU6", (), {"inplace": True}, X),
    ("SELU", (), {}, X),
    ("SELU", (), {"inplace": True}, X),
    ("SiLU", (), {}, X),
    ("SiLU", (), {"inplace": True}, X),
    ("Sigmoid", (), {}, X),
    ("Softmax", (0,), {}, X),
    ("Softmax", (-1,), {}, IMAGE),
    ("Softmax2d", (), {}, IMAGE),
    ("Softmin", (1,), {}, X),
    ("Softplus", (), {}, X),
    ("Softplus", (2.0, 1.0), {}, X),
    ("Softshrink", (), {}, X),
    ("Softshrink", (0.2,), {}, X),
    ("Softsign", (), {}, X),
    ("Tanh", (), {}, X),
    ("Tanhshrink", (), {}, X),
    ("Threshold", (0.1, 2.0), {}, X),
    ("Threshold", (0.1, 2.0), {"inplace": True}, X),
    *(
        (f"{kind}Pad{len(shape) - 2}d", (padding,), {}, (shape,))
        for kind in ("Reflection", "Replication", "Circular", "Zero")
        for shape in ((2, 3, 5), (2, 3, 5, 4), (2, 3, 3, 5, 4))
        for padding in (2, (2, 1, 0, 3, 1, 2)[: 2 * (len(shape) - 2)])
    ),
    ("ReflectionPad2d", ((1, -1, 0, 2),), {}, ((3, 5, 4),)),
    ("ConstantPad1d", (2, 3.5), {}, X),
    ("ConstantPad2d", ((1, -1, 0, 2), 3.5), {}, IMAGE),
    ("ConstantPad3d", (1, -1.0), {}, IMAGE),
    ("CosineSimilarity", (), {}, ((4, 6), (4, 6))),
    ("CosineSimilarity", (-1, 1e-3), {}, ((4, 6), (4, 6))),
    ("PairwiseDistance", (), {}, ((4, 6), (4, 6))),
    ("PairwiseDistance", (1.0, 1e-3), {"keepdim": True}, ((4, 6), (4, 6))),
]


def names(layers):
    return [f"{name}{args}{kwargs or ''}" for name, args, kwargs, _ in layers]


def seen_by(module):
    """What to pass on: a copy, so that a layer that works in place does not change a leaf."""
    return lambda *tensors: module(*[x * 1 for x in tensors])


@pytest.mark.torch
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), LAYERS, ids=names(LAYERS))
def test_against_torch(torch, name, args, kwargs, shapes, dtype):
    rng = np.random.default_rng(0)
    arrays = [(rng.standard_normal(shape) * 2).astype(dtype) for shape in shapes]
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    theirs.to(torch.float32 if dtype is np.float32 else torch.float64)
    ours = getattr(nn, name)(*args, **kwargs).to(np.dtype(dtype))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in ours.state_dict().items():
        assert value.shape == tuple(theirs.state_dict()[key].shape)
    for parameter in theirs.parameters():
        parameter.data = torch.tensor(rng.standard_normal(tuple(parameter.shape)).astype(dtype))
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    ins = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine = [lucid.tensor(a, requires_grad=True) for a in arrays]
    expected, found = seen_by(theirs)(*ins), seen_by(ours)(*mine)
    assert found.dtype == dtype
    eps = np.finfo(dtype).eps
    if name == "Hardsigmoid":  # PyTorch's 1/6 has the precision of a float32
        eps = np.finfo(np.float32).eps
    close = {"rtol": 64 * eps, "atol": 64 * eps}
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), **close)
    g = rng.standard_normal(found.shape).astype(dtype)
    expected.backward(torch.tensor(g))
    found.backward(wrap(g))
    for x, y in zip(mine + list(ours.parameters()), ins + list(theirs.parameters()), strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), **close)


@pytest.mark.torch
@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), LAYERS, ids=names(LAYERS))
def test_repr_as_torch(torch, name, args, kwargs, shapes):
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), LAYERS, ids=names(LAYERS))
def test_second_order_gradient(name, args, kwargs, shapes):
    if name in ("Identity",):
        return
    rng = np.random.default_rng(1)
    module = getattr(nn, name)(*args, **kwargs).double()
    inputs = [lucid.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]
    leaves = inputs + list(module.parameters())
    directions = [rng.standard_normal(x.shape) for x in leaves]
    weight = wrap(rng.standard_normal(seen_by(module)(*inputs).shape))

    def gradients(create_graph):
        loss = (seen_by(module)(*inputs) * weight).sum()
        return lucid.autograd.grad(loss, leaves, create_graph=create_graph)

    first = gradients(True)
    slope = sum((g * wrap(d)).sum() for g, d in zip(first, directions, strict=True))
    if not slope.requires_grad:
        return
    second = lucid.autograd.grad(slope, leaves, allow_unused=True)
    step = 1e-6
    moved = []
    for sign in (1, -1):
        for x, d in zip(leaves, directions, strict=True):
            x._data += sign * step * d
        moved.append([g.numpy().copy() for g in gradients(False)])
        for x, d in zip(leaves, directions, strict=True):
            x._data -= sign * step * d
    for up, down, found in zip(*moved, second, strict=True):
        expected = (up - down) / (2 * step)
        got = np.zeros_like(expected) if found is None else found.numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), LAYERS, ids=names(LAYERS))
def test_copies_and_pickles(name, args, kwargs, shapes):
    rng = np.random.default_rng(1)
    module = getattr(nn, name)(*args, **kwargs)
    inputs = [lucid.tensor(rng.standard_normal(s).astype(np.float32)) for s in shapes]
    expected = seen_by(module)(*inputs).detach().numpy()
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(again) == repr(module)
        np.testing.assert_array_equal(seen_by(again)(*inputs).detach().numpy(), expected)
        for a, b in zip(again.parameters(), module.parameters(), strict=True):
            assert a is not b
            assert not np.shares_memory(a._data, b._data)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "args", "kwargs", "shape"),
    [("BatchNorm1d", (3,), {}, (4, 3)), ("BatchNorm2d", (3,), {"momentum": None}, (2, 3, 4, 5)),
     ("BatchNorm2d", (3,), {"momentum": 0.4}, (2, 3, 4, 5)),
     ("BatchNorm1d", (3,), {"track_running_stats": False}, (4, 3)),
     ("InstanceNorm1d", (3,), {"track_running_stats": True, "affine": True}, (2, 3, 5)),
     ("InstanceNorm2d", (3,), {"track_running_stats": True, "momentum": 0.4}, (2, 3, 4, 5)),
     ("InstanceNorm1d", (3,), {}, (2, 3, 5))],
)  # fmt: skip
def test_running_statistics_as_torch(torch, name, args, kwargs, shape):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    for _ in range(3):
        x = (rng.standard_normal(shape) * 3 + 1).astype(np.float32)
        ours(lucid.tensor(x))
        theirs(torch.tensor(x))
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-5)
    ours.eval()
    theirs.eval()
    x, y = lucid.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = ours(x), theirs(y)
    np.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6
    )
    (found * found).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(4, 6), (3, 6, 5), (2, 6, 7, 9), (9, 6, 12, 10)])
@pytest.mark.parametrize(
    "given", [(), ("weight",), ("weight", "bias")]
)  # PyTorch fails on a bias alone
def test_group_and_instance_norm_as_torch(torch, shape, given):
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal(shape) * 3 + 1, rng.standard_normal(shape)
    values = {name: rng.standard_normal(6) for name in given}
    calls = [lambda F, x, v, n=n: F.group_norm(x, n, eps=0.1, **v) for n in (1, 2, 6)]
    if len(shape) > 2:
        calls.append(lambda F, x, v: F.instance_norm(x, eps=0.1, **v))
    for call in calls:
        ours, theirs = lucid.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        mine = {k: lucid.tensor(v, requires_grad=True) for k, v in values.items()}
        others = {k: torch.tensor(v, requires_grad=True) for k, v in values.items()}
        found, expected = call(nn.functional, ours, mine), call(torch.nn.functional, theirs, others)
        found.backward(wrap(g))
        expected.backward(torch.tensor(g))
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-12)
        for a, b in [(ours, theirs), *zip(mine.values(), others.values(), strict=True)]:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-12)


def test_a_later_step_does_not_move_the_statistics_of_an_earlier_graph():
    layer = nn.BatchNorm1d(3, dtype=lucid.float64).eval()
    x = lucid.tensor(np.random.default_rng(0).standard_normal((5, 3)), requires_grad=True)
    (expected,) = lucid.autograd.grad((layer(x) ** 2).sum(), [x])
    out = (layer(x) ** 2).sum()
    layer.train()(x.detach())
    out.backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected.numpy())


def test_normalisation_errors():
    with pytest.raises(ValueError, match="batch_norm: training needs more than one value"):
        nn.BatchNorm1d(3)(lucid.ones(1, 3))
    with pytest.raises(ValueError, match="BatchNorm2d: input must have 4 dimensions"):
        nn.BatchNorm2d(3)(lucid.ones(1, 3))
    with pytest.raises(ValueError, match="BatchNorm1d: input must have 3 channels"):
        nn.BatchNorm1d(3)(lucid.ones(4, 2))
    with pytest.raises(ValueError, match="num_groups must divide"):
        nn.GroupNorm(2, 3)
    with pytest.raises(ValueError, match="num_groups must divide the 3 channels"):
        nn.functional.group_norm(lucid.ones(2, 3), 2)
    with pytest.raises(ValueError, match=r"group_norm: weight must have shape \(3,\)"):
        nn.functional.group_norm(lucid.ones(2, 3), 3, lucid.ones(2))
    with pytest.raises(ValueError, match="instance_norm: needs more than one value"):
        nn.functional.instance_norm(lucid.ones(2, 3, 1))
    with pytest.raises(ValueError, match="running_mean"):
        nn.functional.batch_norm(lucid.ones(2, 3), None, None)


# -------------------------------------------------------------------- initial values


def test_linear_starts_uniform():
    layer = nn.Linear(400, 300)
    for value in (layer.weight, layer.bias):
        assert abs(value._data).max() <= 0.05
        assert abs(value._data).max() > 0.049
    assert abs(layer.weight._data.std() - 0.05 / 3**0.5) < 2e-4
    assert isinstance(layer.weight, nn.Parameter)
    assert nn.Linear(0, 3)(lucid.ones(2, 0)).shape == (2, 3)


def test_dtype_and_device():
    layer = nn.Linear(3, 2, dtype=lucid.float64, device="cpu")
    assert layer.weight.dtype == layer.bias.dtype == lucid.float64
    with pytest.raises(RuntimeError, match="cuda"):
        nn.Linear(3, 2, device="cuda")


def test_linear_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"linear: weight must have shape .*8.*; got \(16, 9\)"):
        nn.Linear(9, 16)(lucid.ones(2, 8))


# -------------------------------------------------------------------- embedding


@pytest.mark.torch
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"padding_idx": 2},
        {"padding_idx": -1},
        {"max_norm": 1.0},
        {"max_norm": 1.0, "norm_type": 1.0},
        {"scale_grad_by_freq": True},
        {"scale_grad_by_freq": True, "padding_idx": 3},
    ],
    ids=str,
)
def test_embedding_against_torch(torch, kwargs):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7, 3)).astype(np.float32)
    index = rng.integers(0, 7, (4, 5))
    index[0] = 2
    theirs = torch.nn.Embedding(7, 3, **kwargs)
    theirs.weight.data = torch.tensor(rows)
    ours = nn.Embedding(7, 3, **kwargs)
    ours.load_state_dict({"weight": rows})
    assert repr(ours) == repr(theirs)
    expected, found = theirs(torch.tensor(index)), ours(lucid.tensor(index))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-6)
    g = rng.standard_normal(found.shape).astype(np.float32)
    expected.backward(torch.tensor(g))
    found.backward(lucid.tensor(g))
    np.testing.assert_allclose(
        ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-6
    )


def test_embedding_pretrained_shares_and_freezes():
    rows = lucid.tensor([[1.0, 2.0], [3.0, 4.0]])
    table = nn.Embedding.from_pretrained(rows)
    assert not table.weight.requires_grad
    rows._data[0, 0] = 9
    assert table(lucid.tensor(0)).tolist() == [9, 2]
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad


def test_embedding_padding_row_starts_as_zeros():
    assert not nn.Embedding(4, 3, padding_idx=-2).weight._data[2].any()


def test_embedding_second_order():
    weight = lucid.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    index = lucid.tensor([0, 2, 2])
    out = nn.functional.embedding(index, weight, padding_idx=0)
    (g,) = lucid.autograd.grad((out * out * out).sum(), weight, create_graph=True)
    (h,) = lucid.autograd.grad(g.sum(), weight)
    assert h.tolist() == [[0, 0], [0, 0], [48, 60]]


def test_embedding_errors():
    table = nn.Embedding(3, 2)
    with pytest.raises(IndexError, match=r"embedding: index must be in \[0, 2\]; got 3"):
        table(lucid.tensor([0, 3]))
    with pytest.raises(IndexError, match="got -1"):
        table(lucid.tensor([-1]))
    with pytest.raises(TypeError, match="integer"):
        table(lucid.tensor([1.0]))
    with pytest.raises(NotImplementedError, match="sparse"):
        nn.Embedding(3, 2, sparse=True)
    with pytest.raises(ValueError, match="padding_idx"):
        nn.Embedding(3, 2, padding_idx=3)
    with pytest.raises(ValueError, match="EmbeddingBag: mode must be 'sum', 'mean' or 'max'"):
        nn.EmbeddingBag(3, 2, mode="average")


# -------------------------------------------------------------------- bags of embeddings


def bags(rng, kind):
    """Input and offsets: entries of 7, and where the bags start, some of which are empty."""
    if kind == "2-d":
        return rng.integers(0, 7, (4, 5)), None
    return rng.integers(0, 7, 12), np.array([0, 3, 3, 8, 12])


@pytest.mark.torch
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("kind", ["1-d", "2-d"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"padding_idx": 2},
        {"padding_idx": -1},
        {"include_last_offset": True},
        {"include_last_offset": True, "padding_idx": 2},
        {"max_norm": 1.0},
        {"max_norm": 1.0, "norm_type": 1.0, "padding_idx": 2},
    ],
    ids=str,
)
def test_embedding_bag_against_torch(torch, mode, kind, dtype, kwargs):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7, 3)).astype(dtype)
    index, offsets = bags(rng, kind)
    index.reshape(-1)[:3] = 2
    arguments = [index] if offsets is None else [index, offsets]
    theirs = torch.nn.EmbeddingBag(7, 3, mode=mode, **kwargs)
    theirs.weight.data = torch.tensor(rows)
    ours = nn.EmbeddingBag(7, 3, mode=mode, dtype=dtype, **kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]
    ours.load_state_dict({"weight": rows})
    assert repr(ours) == repr(theirs)
    expected = theirs(*map(torch.tensor, arguments))
    found = ours(*map(lucid.tensor, arguments))
    assert found.dtype == dtype
    close = {"rtol": 2e-3, "atol": 2e-3} if dtype == np.float16 else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), **close)
    g = rng.standard_normal(found.shape).astype(dtype)
    expected.backward(torch.tensor(g))
    found.backward(lucid.tensor(g))
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), **close)
    np.testing.assert_allclose(
        ours.weight.detach().numpy(), theirs.weight.detach().numpy(), **close
    )


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["1-d", "2-d"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"padding_idx": 2}, {"include_last_offset": True}],
    ids=str,
)
def test_embedding_bag_with_weights_against_torch(torch, kind, dtype, kwargs):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7, 3)).astype(dtype)
    index, offsets = bags(rng, kind)
    factor = rng.standard_normal(index.shape).astype(dtype)
    results = []
    for library, function in (
        (torch, torch.nn.functional.embedding_bag),
        (lucid, nn.functional.embedding_bag),
    ):
        w, f = (library.tensor(a, requires_grad=True) for a in (rows, factor))
        out = function(
            library.tensor(index), w, None if offsets is None else library.tensor(offsets),
            mode="sum", per_sample_weights=f, **kwargs,
        )  # fmt: skip
        out.backward(library.tensor(np.arange(out.shape[0] * 3.0).reshape(-1, 3).astype(dtype)))
        results.append([x.detach().numpy() for x in (out, w.grad, f.grad)])
    for found, expected in zip(*results[::-1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize(("mode", "weighted"), [("sum", False), ("sum", True), ("mean", False)])
@pytest.mark.parametrize("padding", [None, 2])
def test_embedding_bag_scales_gradients_by_frequency(torch, mode, weighted, padding):
    # PyTorch's own embedding_bag divides by how often another entry occurs; embedding does not.
    rng = np.random.default_rng(0)
    rows, index = rng.standard_normal((7, 3)), rng.integers(0, 7, (4, 5))
    factor = rng.standard_normal((4, 5))
    w = torch.tensor(rows, requires_grad=True)
    x = torch.nn.functional.embedding(torch.tensor(index), w, scale_grad_by_freq=True)
    counts = torch.tensor((index != -1 if padding is None else index != padding)[..., None])
    x = (x * counts * (torch.tensor(factor)[..., None] if weighted else 1)).sum(1)
    expected = x / counts.sum(1) if mode == "mean" else x
    weight = lucid.tensor(rows, requires_grad=True)
    found = nn.functional.embedding_bag(
        lucid.tensor(index), weight, mode=mode, scale_grad_by_freq=True, padding_idx=padding,
        per_sample_weights=lucid.tensor(factor) if weighted else None,
    )  # fmt: skip
    np.testing.assert_allclose(found._data, expected.detach().numpy(), rtol=1e-12)
    expected.square().sum().backward()
    (found * found).sum().backward()
    np.testing.assert_allclose(weight.grad._data, w.grad.numpy(), rtol=1e-12, atol=1e-12)


@st.composite
def random_bags(draw):
    rows, width = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    sizes = draw(st.lists(st.integers(0, 5), max_size=6))
    entry = st.integers(0, rows - 1)
    index = draw(st.lists(entry, min_size=sum(sizes), max_size=sum(sizes)))
    padding = draw(st.none() | st.integers(-rows, rows - 1))
    return rows, width, sizes, np.array(index, np.int64), padding


@settings(deadline=None)
@given(random_bags(), st.sampled_from(["sum", "mean", "max"]), st.booleans(), st.booleans())
def test_embedding_bag_is_a_reduction_of_embedding(made, mode, weighted, last):
    rows, width, sizes, index, padding = made
    weighted = weighted and mode == "sum"
    rng = np.random.default_rng(0)
    starts = np.cumsum([0, *sizes])
    arrays = [rng.standard_normal((rows, width)), rng.standard_normal(index.size)]

    def whole(w, f):
        return nn.functional.embedding_bag(
            lucid.tensor(index), w, lucid.tensor(starts if last else starts[:-1]), mode=mode,
            per_sample_weights=f if weighted else None, include_last_offset=last,
            padding_idx=padding,
        )  # fmt: skip

    def parts(w, f):
        out = []
        for start, stop in itertools.pairwise(starts):
            members = np.arange(start, stop)
            if padding is not None:
                members = members[index[members] != padding % rows]
            x = nn.functional.embedding(lucid.tensor(index[members]), w)
            if weighted:
                x = x * f[members][:, None]
            if not members.size:
                out.append(x.sum(0))
            else:
                out.append(x.amax(0) if mode == "max" else getattr(x, mode)(0))
        return lucid.stack(out) if out else lucid.zeros(0, width, dtype=lucid.float64)

    results = []
    for function in (whole, parts):
        tensors = [lucid.tensor(a, requires_grad=True) for a in arrays]
        out = function(*tensors)
        assert out.shape == (len(sizes), width)
        if out.requires_grad:
            (out * out).sum().backward()
        results.append([out, *[x.grad for x in tensors]])
    for found, expected in zip(*results, strict=True):
        if found is None or expected is None:
            assert all(x is None or not x._data.any() for x in (found, expected))
        else:
            np.testing.assert_allclose(found._data, expected._data, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
def test_embedding_bag_second_order(mode, padding):
    rng = np.random.default_rng(0)
    index = lucid.tensor(rng.integers(0, 5, 9))
    tensors = [lucid.tensor(rng.standard_normal((5, 3)), requires_grad=True)]
    if mode == "sum":
        tensors.append(lucid.tensor(rng.standard_normal(9), requires_grad=True))

    def function(weight, factor=None):
        return nn.functional.embedding_bag(
            index, weight, lucid.tensor([0, 4, 4]), mode=mode, per_sample_weights=factor,
            padding_idx=padding,
        )  # fmt: skip

    assert lucid.autograd.gradcheck(function, tensors)
    assert lucid.autograd.gradgradcheck(function, tensors)


def test_embedding_bag_scales_second_order_gradients_too():
    rng = np.random.default_rng(0)
    rows, index = rng.standard_normal((5, 3)), lucid.tensor(rng.integers(0, 5, (3, 4)))
    results = []
    for function in (
        lambda w: nn.functional.embedding_bag(index, w, mode="mean", scale_grad_by_freq=True),
        lambda w: nn.functional.embedding(index, w, scale_grad_by_freq=True).mean(1),
    ):
        weight = lucid.tensor(rows, requires_grad=True)
        out = function(weight)
        (g,) = lucid.autograd.grad((out * out * out).sum(), weight, create_graph=True)
        (h,) = lucid.autograd.grad((g * g).sum(), weight)
        results.append((g._data, h._data))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_embedding_bag_takes_indices_of_any_integer_dtype():
    weight = lucid.tensor(np.arange(6.0).reshape(3, 2))
    for kind in (k for k in lucid._core.dtype.ALL if k.kind in "iu"):
        index, offsets = np.array([0, 2, 1], kind), np.array([0, 1], kind)
        index.flags.writeable = offsets.flags.writeable = False
        for array in (index, np.repeat(index, 2)[::2]):
            out = nn.functional.embedding_bag(
                lucid.from_numpy(array), weight, lucid.from_numpy(offsets)
            )
            assert out.tolist() == [[0, 1], [3, 4]]


def test_embedding_bag_of_nothing():
    weight = lucid.ones(3, 2, requires_grad=True)
    none = lucid.tensor(np.zeros(0, np.int64))
    for mode in ("sum", "mean", "max"):
        bag = functools.partial(nn.functional.embedding_bag, weight=weight, mode=mode)
        assert bag(none, offsets=none).shape == (0, 2)
        assert bag(none, offsets=lucid.tensor([0, 0])).tolist() == [[0, 0], [0, 0]]
        assert bag(none.reshape(4, 0)).tolist() == [[0, 0]] * 4
        assert bag(none.reshape(0, 4)).shape == (0, 2)
        out = bag(lucid.tensor([1, 1]), offsets=lucid.tensor([0, 0]), padding_idx=1)
        out.sum().backward()
        assert not out._data.any()
        assert not weight.grad._data.any()


def test_embedding_bag_ends_where_the_last_offset_says():
    weight = lucid.tensor([[1.0], [2.0], [4.0]], requires_grad=True)
    entries, offsets = lucid.tensor([0, 1, 2]), lucid.tensor([0, 1, 2])
    for mode in ("sum", "mean", "max"):
        out = nn.functional.embedding_bag(
            entries, weight, offsets, mode=mode, include_last_offset=True
        )
        assert out.tolist() == [[1], [2]]
        assert lucid.autograd.grad(out.sum(), weight)[0].tolist() == [[1], [1], [0]]


def test_embedding_bag_keeps_the_indices_of_now():
    weight = lucid.tensor([[1.0], [2.0]], requires_grad=True)
    entries, offsets = lucid.tensor([0, 0]), lucid.tensor([0])
    out = nn.functional.embedding_bag(entries, weight, offsets)
    entries.fill_(1)
    offsets.fill_(1)
    out.sum().backward()
    assert weight.grad.tolist() == [[1], [0]]


def test_embedding_bag_pretrained_shares_and_freezes():
    rows = lucid.tensor([[1.0, 2.0], [3.0, 4.0]])
    bags = nn.EmbeddingBag.from_pretrained(rows, mode="sum", padding_idx=-1, max_norm=3)
    assert (bags.mode, bags.padding_idx, bags.max_norm) == ("sum", 1, 3)
    assert not bags.weight.requires_grad
    rows._data[0, 0] = 2
    assert bags(lucid.tensor([[0, 1, 0]])).tolist() == [[4, 4]]
    assert nn.EmbeddingBag.from_pretrained(rows, freeze=False).weight.requires_grad
    assert not nn.EmbeddingBag(4, 3, padding_idx=-2).weight._data[2].any()


def bag_call(**changed):
    arguments = {
        "input": lucid.tensor([0, 1, 2]),
        "weight": lucid.tensor([[3.0, 4.0], [6.0, 8.0], [0.0, 5.0]]),
        "offsets": lucid.tensor([0, 2]),
        "max_norm": 1.0,  # which would change the weight
    }
    return arguments | changed


@pytest.mark.parametrize(
    ("error", "message", "changed"),
    [
        (TypeError, "input must be of an integer dtype; got float32",
         {"input": lucid.zeros(3)}),
        (TypeError, "input must be of an integer dtype; got bool",
         {"input": lucid.tensor([True])}),
        (TypeError, "weight must be floating point; got int64",
         {"weight": lucid.tensor([[1], [2], [3]])}),
        (ValueError, r"weight must have 2 dimensions; got shape \(3,\)",
         {"weight": lucid.zeros(3)}),
        (ValueError, r"input must have 1 or 2 dimensions; got shape \(1, 1, 1\)",
         {"input": lucid.tensor([[[0]]])}),
        (ValueError, "offsets must be None for an input of 2", {"input": lucid.tensor([[0]])}),
        (ValueError, "offsets must be given for an input of 1", {"offsets": None}),
        (TypeError, "offsets must be of an integer dtype; got float32",
         {"offsets": lucid.zeros(2)}),
        (ValueError, r"offsets must have 1 dimension; got shape \(1, 1\)",
         {"offsets": lucid.tensor([[0]])}),
        (ValueError, r"1 dimension and an element with include_last_offset; got shape \(0,\)",
         {"offsets": lucid.zeros(0, dtype=lucid.int64), "include_last_offset": True}),
        (ValueError, "offsets must start with 0; got 1", {"offsets": lucid.tensor([1, 2])}),
        (ValueError, r"must not decrease.*got \[0, 2, 1, 3\]",
         {"offsets": lucid.tensor([0, 2, 1])}),
        (ValueError, "nor exceed the length of the input, 3", {"offsets": lucid.tensor([0, 4])}),
        (ValueError, "nor exceed the length of the input, 3",
         {"offsets": lucid.tensor([0, 4]), "include_last_offset": True}),
        (IndexError, r"index must be in \[0, 2\]; got 3", {"input": lucid.tensor([0, 3, 1])}),
        (IndexError, r"index must be in \[0, 2\]; got -1", {"input": lucid.tensor([0, -1, 1])}),
        (ValueError, r"padding_idx must be in \[-3, 2\]; got 3", {"padding_idx": 3}),
        (ValueError, r"padding_idx must be in \[-3, 2\]; got -4", {"padding_idx": -4}),
        (ValueError, "mode must be 'sum', 'mean' or 'max'; got 'min'", {"mode": "min"}),
        (ValueError, "scale_grad_by_freq must be False for mode 'max'",
         {"mode": "max", "scale_grad_by_freq": True}),
        (NotImplementedError, "sparse gradients", {"sparse": True}),
        (NotImplementedError, "per_sample_weights must be None for any mode but 'sum'; got 'mean'",
         {"per_sample_weights": lucid.ones(3)}),
        (ValueError, r"per_sample_weights must have the shape \(3,\) of the input; got \(2,\)",
         {"mode": "sum", "per_sample_weights": lucid.ones(2)}),
        (TypeError, "per_sample_weights must be of the dtype float32 of weight; got float64",
         {"mode": "sum", "per_sample_weights": lucid.ones(3, dtype=lucid.float64)}),
    ],
)  # fmt: skip
def test_embedding_bag_errors(error, message, changed):
    for limit in (1.0, None):
        arguments = bag_call(**changed) | {"max_norm": limit}
        before = arguments["weight"]._data.copy()
        with pytest.raises(error, match=f"embedding_bag: .*{message}"):
            nn.functional.embedding_bag(**arguments)
        np.testing.assert_array_equal(arguments["weight"]._data, before)


def test_embedding_bag_module_errors():
    with pytest.raises(NotImplementedError, match="EmbeddingBag: sparse"):
        nn.EmbeddingBag(3, 2, sparse=True)
    with pytest.raises(ValueError, match=r"EmbeddingBag: padding_idx must be in \[-3, 2\]; got 3"):
        nn.EmbeddingBag(3, 2, padding_idx=3)
    with pytest.raises(ValueError, match=r"EmbeddingBag: weight must have shape \(3, 2\)"):
        nn.EmbeddingBag(3, 2, _weight=lucid.zeros(2, 2))
    with pytest.raises(ValueError, match="EmbeddingBag: embeddings must have 2 dimensions"):
        nn.EmbeddingBag.from_pretrained(lucid.zeros(2))


# -------------------------------------------------------------------- dropout


def test_dropout_is_off_in_evaluation():
    x = lucid.ones(100)
    for name in ("Dropout", "AlphaDropout", "FeatureAlphaDropout"):
        assert getattr(nn, name)().eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_scales_what_is_left():
    x = lucid.ones(100, 100, requires_grad=True)
    out = nn.Dropout(0.25)(x)
    values = out.detach().numpy()
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((values == 0).mean() - 0.25) < 0.02
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)
    assert not nn.Dropout(1.0)(x).detach().numpy().any()


@pytest.mark.parametrize(
    ("dims", "shape"), [(1, (8, 16, 5)), (2, (8, 16, 3, 4)), (3, (16, 2, 3, 4))]
)
def test_channel_dropout_drops_whole_channels(dims, shape):
    values = getattr(nn, f"Dropout{dims}d")(0.5)(lucid.ones(*shape)).numpy()
    rows = values.reshape(-1, int(np.prod(shape[-dims:])))
    assert (rows == rows[:, :1]).all()
    assert {0.0, 2.0} == set(rows[:, 0].tolist())


def test_alpha_dropout_keeps_mean_and_variance():
    x = lucid.randn(400, 400)
    for layer in (nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)):
        out = layer(x).numpy()
        assert abs(out.mean()) < 0.03
        assert abs(out.std() - 1) < 0.03


def test_dropout_in_place_and_generator():
    x = lucid.ones(50)
    out = nn.Dropout(0.5, inplace=True, generator=lucid.Generator(3))(x)
    assert out is x
    again = nn.Dropout(0.5, generator=lucid.Generator(3))(lucid.ones(50))
    np.testing.assert_array_equal(x.numpy(), again.numpy())


def test_dropout_errors():
    for name in ("Dropout", "Dropout2d", "AlphaDropout"):
        with pytest.raises(ValueError, match=rf"{name}: p must be a probability.*got 1.5"):
            getattr(nn, name)(1.5)
    with pytest.raises(ValueError, match="dropout2d: input must have 3 or 4 dimensions"):
        nn.Dropout2d()(lucid.ones(2, 3))


def test_rrelu():
    x = lucid.tensor([-1.0] * 1000 + [2.0])
    values = nn.RReLU(0.1, 0.3)(x).numpy()
    assert values[-1] == 2
    assert (values[:-1] >= -0.3).all()
    assert (values[:-1] <= -0.1).all()
    assert len(set(values.tolist())) > 900
    np.testing.assert_allclose(nn.RReLU(0.1, 0.3).eval()(x).numpy()[0], -0.2, rtol=1e-6)


# -------------------------------------------------------------------- errors


def test_errors():
    with pytest.raises(ValueError, match="glu: dimension -1 must be even"):
        nn.GLU()(lucid.ones(2, 3))
    with pytest.raises(ValueError, match="prelu: weight must have shape"):
        nn.PReLU(4)(lucid.ones(2, 3))
    with pytest.raises(ValueError, match="Softmax2d"):
        nn.Softmax2d()(lucid.ones(2, 3))
    with pytest.raises(ValueError, match="approximate"):
        nn.GELU("sigmoid")(lucid.ones(2))
    with pytest.raises(ValueError, match=r"layer_norm: .*\(4,\).*\(2, 3\)"):
        nn.LayerNorm(4)(lucid.ones(2, 3))
    with pytest.raises(ValueError, match="bilinear"):
        nn.Bilinear(2, 3, 4)(lucid.ones(5, 3), lucid.ones(5, 3))
    with pytest.raises(TypeError, match="leaky_relu: x must be floating point; got int64"):
        nn.LeakyReLU()(lucid.tensor([1, 2]))
    with pytest.raises(TypeError, match="'dim'"):
        nn.functional.softmax(lucid.ones(2))


def test_padding_errors():
    with pytest.raises(ValueError, match=r"ReflectionPad2d: padding must be an int or 4 of them"):
        nn.ReflectionPad2d((1, 2))
    with pytest.raises(ValueError, match=r"CircularPad1d: input must have 2 or 3 dimensions"):
        nn.CircularPad1d(1)(lucid.ones(3))
    with pytest.raises(ValueError, match=r"mode reflect, dim 1 of size 3 can take at most 2"):
        nn.ReflectionPad1d(3)(lucid.ones(2, 3))


def test_in_place_overwrites_its_input():
    for layer in (nn.ReLU(inplace=True), nn.ELU(inplace=True), nn.Threshold(0, 7, inplace=True)):
        x = lucid.tensor([-1.0, 2.0])
        memory = x._data
        assert layer(x) is x
        assert x._data is memory
        assert x.tolist() != [-1.0, 2.0]
