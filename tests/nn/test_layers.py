"""Layers against PyTorch: outputs, gradients, initial values, keys, repr."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

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
    ("BatchNorm3d", (2,), {"bias": False}, ((2, 2, 3, 2, 2),)),
    ("GroupNorm", (3, 6), {"bias": False}, ((4, 6),)),
    ("GroupNorm", (3, 6), {}, ((4, 6),)),
    ("GroupNorm", (1, 3), {"eps": 0.1, "affine": False}, IMAGE),
    ("InstanceNorm1d", (3,), {}, ((2, 3, 5),)),
    ("InstanceNorm1d", (3,), {}, ((3, 5),)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, IMAGE),
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


def test_normalisation_errors():
    with pytest.raises(ValueError, match="batch_norm: training needs more than one value"):
        nn.BatchNorm1d(3)(lucid.ones(1, 3))
    with pytest.raises(ValueError, match="BatchNorm2d: input must have 4 dimensions"):
        nn.BatchNorm2d(3)(lucid.ones(1, 3))
    with pytest.raises(ValueError, match="BatchNorm1d: input must have 3 channels"):
        nn.BatchNorm1d(3)(lucid.ones(4, 2))
    with pytest.raises(ValueError, match="num_groups must divide"):
        nn.GroupNorm(2, 3)
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
