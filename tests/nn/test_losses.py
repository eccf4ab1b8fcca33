"""Losses against PyTorch and against their formulas."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import lucid
import lucid.nn as nn
import lucid.nn.functional as F  # noqa: N812
from lucid._core.tensor import wrap

N, C = 6, 5


def normal(*shape):
    return lambda rng: rng.standard_normal(shape)


def chance(*shape):
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def classes(*shape, low=0):
    return lambda rng: rng.integers(low, C, shape)


def signs(*shape):
    return lambda rng: rng.integers(0, 2, shape) * 2.0 - 1


def shares(*shape, dim=1):
    def make(rng):
        values = rng.uniform(0.1, 1, shape)
        return values / values.sum(dim, keepdims=True)

    return make


def logs(maker):
    return lambda rng: np.log(maker(rng))


def counts(*shape, low=0):
    return lambda rng: rng.integers(low, 6, shape).astype(float)


W = np.array([0.5, 2.0, 1.0, 0.1, 3.0])
V = np.linspace(0.5, 1.5, N * C).reshape(N, C)

# class, constructor arguments (arrays become tensors), inputs
LOSSES = [
    ("CrossEntropyLoss", {}, (normal(N, C), classes(N))),
    ("CrossEntropyLoss", {"weight": W}, (normal(N, C), classes(N))),
    ("CrossEntropyLoss", {"ignore_index": 2}, (normal(N, C), classes(N))),
    ("CrossEntropyLoss", {"ignore_index": 2, "weight": W}, (normal(N, C), classes(N))),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, (normal(N, C), classes(N))),
    ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": W, "ignore_index": 1},
     (normal(N, C), classes(N))),
    ("CrossEntropyLoss", {}, (normal(C), classes())),
    ("CrossEntropyLoss", {"weight": W}, (normal(C), classes())),
    ("CrossEntropyLoss", {}, (normal(N, C, 3), classes(N, 3))),
    ("CrossEntropyLoss", {"weight": W, "label_smoothing": 0.1, "ignore_index": 0},
     (normal(2, C, 3, 4), classes(2, 3, 4))),
    ("CrossEntropyLoss", {"weight": W, "ignore_index": 2}, (normal(2, C, 5, 9), classes(2, 5, 9))),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, (normal(1, C, 40), classes(1, 40))),
    ("CrossEntropyLoss", {}, (normal(N, C), shares(N, C))),
    ("CrossEntropyLoss", {"weight": W, "label_smoothing": 0.3}, (normal(N, C), shares(N, C))),
    ("CrossEntropyLoss", {"label_smoothing": 0.3}, (normal(2, C, 3), shares(2, C, 3))),
    ("CrossEntropyLoss", {}, (normal(C), shares(C, dim=0))),
    ("NLLLoss", {}, (logs(shares(N, C)), classes(N))),
    ("NLLLoss", {"weight": W}, (logs(shares(N, C)), classes(N))),
    ("NLLLoss", {"ignore_index": 1}, (logs(shares(N, C)), classes(N))),
    ("NLLLoss", {"weight": W, "ignore_index": 1}, (normal(2, C, 3, 2), classes(2, 3, 2))),
    ("NLLLoss", {}, (normal(C), classes())),
    ("NLLLoss", {}, (normal(3, C, 40), classes(3, 40))),
    ("MSELoss", {}, (normal(N, C), normal(N, C))),
    ("L1Loss", {}, (normal(N, C), normal(N, C))),
    ("SmoothL1Loss", {}, (normal(N, C), normal(N, C))),
    ("SmoothL1Loss", {"beta": 0.3}, (normal(N, C), normal(N, C))),
    ("SmoothL1Loss", {"beta": 0.0}, (normal(N, C), normal(N, C))),
    ("HuberLoss", {}, (normal(N, C), normal(N, C))),
    ("HuberLoss", {"delta": 0.3}, (normal(N, C), normal(N, C))),
    ("BCELoss", {}, (chance(N, C), chance(N, C))),
    ("BCELoss", {"weight": V}, (chance(N, C), chance(N, C))),
    ("BCEWithLogitsLoss", {}, (normal(N, C), chance(N, C))),
    ("BCEWithLogitsLoss", {"weight": V, "pos_weight": W}, (normal(N, C), chance(N, C))),
    ("KLDivLoss", {}, (logs(shares(N, C)), shares(N, C))),
    ("KLDivLoss", {"log_target": True}, (logs(shares(N, C)), logs(shares(N, C)))),
    ("GaussianNLLLoss", {}, (normal(N, C), normal(N, C), chance(N, C))),
    ("GaussianNLLLoss", {"full": True, "eps": 0.5}, (normal(N, C), normal(N, C), chance(N, 1))),
    ("PoissonNLLLoss", {}, (normal(N, C), counts(N, C))),
    ("PoissonNLLLoss", {"full": True}, (normal(N, C), counts(N, C, low=1))),
    ("PoissonNLLLoss", {"log_input": False, "eps": 1e-3}, (chance(N, C), counts(N, C))),
    ("HingeEmbeddingLoss", {}, (normal(N, C), signs(N, C))),
    ("HingeEmbeddingLoss", {"margin": 0.3}, (normal(N, C), signs(N, C))),
    ("MarginRankingLoss", {}, (normal(N), normal(N), signs(N))),
    ("MarginRankingLoss", {"margin": 0.4}, (normal(N), normal(N), signs(N))),
    ("SoftMarginLoss", {}, (normal(N, C), signs(N, C))),
    ("CosineEmbeddingLoss", {}, (normal(N, C), normal(N, C), signs(N))),
    ("CosineEmbeddingLoss", {"margin": 0.3}, (normal(C), normal(C), signs())),
    ("TripletMarginLoss", {}, (normal(N, C), normal(N, C), normal(N, C))),
    ("TripletMarginLoss", {"margin": 0.5, "p": 1.0, "swap": True, "eps": 1e-3},
     (normal(N, C), normal(N, C), normal(N, C))),
]  # fmt: skip
IDS = [f"{name}-{'-'.join(map(str, kwargs))}{i}" for i, (name, kwargs, _) in enumerate(LOSSES)]


def drawn(makers, dtype):
    rng = np.random.default_rng(0)
    arrays = [np.asarray(make(rng)) for make in makers]
    return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


def built(library, kwargs, dtype, tensor):
    return {
        k: tensor(v.astype(dtype)) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()
    }


@pytest.mark.torch
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "kwargs", "makers"), LOSSES, ids=IDS)
def test_against_torch(torch, name, kwargs, makers, reduction, dtype):
    compare(torch, name, kwargs, makers, reduction, dtype)


@pytest.mark.torch
@pytest.mark.parametrize("log_target", [False, True])
def test_batchmean_against_torch(torch, log_target):
    makers = (logs(shares(N, C)), logs(shares(N, C)) if log_target else shares(N, C))
    compare(torch, "KLDivLoss", {"log_target": log_target}, makers, "batchmean", np.float32)


def compare(torch, name, kwargs, makers, reduction, dtype):
    arrays = drawn(makers, dtype)
    theirs = getattr(torch.nn, name)(
        **built(torch, kwargs, dtype, torch.tensor), reduction=reduction
    )
    ours = getattr(nn, name)(**built(lucid, kwargs, dtype, lucid.tensor), reduction=reduction)
    assert repr(ours) == repr(theirs)
    needs = [a.dtype.kind == "f" for a in arrays]
    if name == "SoftMarginLoss":  # PyTorch has no gradient for the target
        needs[1] = False
    ins = [torch.tensor(a, requires_grad=need) for a, need in zip(arrays, needs, strict=True)]
    mine = [lucid.tensor(a, requires_grad=need) for a, need in zip(arrays, needs, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch prefers batchmean
        expected = theirs(*ins)
    found = ours(*mine)
    assert found.dtype == dtype
    assert found.shape == tuple(expected.shape)
    eps = np.finfo(dtype).eps
    close = {"rtol": 64 * eps, "atol": 32 * eps}
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), **close)
    g = np.random.default_rng(1).standard_normal(found.shape).astype(dtype)
    expected.backward(torch.tensor(g))
    found.backward(wrap(np.asarray(g)))
    for x, y in zip(mine, ins, strict=True):
        if y.grad is not None:
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), **close)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(("name", "kwargs", "makers"), LOSSES, ids=IDS)
def test_gradients_of_both_orders(name, kwargs, makers, reduction):
    arrays = drawn(makers, np.float64)
    loss = getattr(nn, name)(**built(lucid, kwargs, np.float64, lucid.tensor), reduction=reduction)
    inputs = [lucid.tensor(a, requires_grad=i == 0) for i, a in enumerate(arrays)]
    x = inputs[0]
    rng = np.random.default_rng(2)
    direction = rng.standard_normal(x.shape)
    weight = wrap(np.asarray(rng.standard_normal(loss(*inputs).shape)))

    def value():
        return (loss(*inputs) * weight).sum()

    def gradient(**kwargs):
        return lucid.autograd.grad(value(), x, **kwargs)[0]

    first = gradient(create_graph=True)
    slope = (first * wrap(direction)).sum()
    second = (
        lucid.autograd.grad(slope, x, allow_unused=True, materialize_grads=True)[0].numpy()
        if slope.requires_grad
        else np.zeros(x.shape)
    )
    step, around = 1e-6, []
    for sign in (1, -1):
        x._data += sign * step * direction
        around.append((value().item(), gradient().numpy().copy()))
        x._data -= sign * step * direction
    (up, g_up), (down, g_down) = around
    assert slope.item() == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)
    np.testing.assert_allclose(second, (g_up - g_down) / (2 * step), rtol=1e-4, atol=1e-6)


# -------------------------------------------------------------------- formulas


def test_cross_entropy_formula(rng):
    x = rng.standard_normal((4, 3))
    y = np.array([0, 2, 1, 2])
    shares = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    expected = -np.log(shares[np.arange(4), y])
    found = F.cross_entropy(lucid.tensor(x), lucid.tensor(y), reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_losses_of_images_in_any_layout(rng):
    x = rng.standard_normal((2, 7, 8, 5))  # channels last in memory
    y = lucid.tensor(rng.integers(0, 5, (2, 7, 8)))
    for loss in (F.cross_entropy, F.nll_loss):
        gradients = []
        for channels_last in (False, True):
            leaf = lucid.tensor(x if channels_last else x.transpose(0, 3, 1, 2).copy())
            leaf.requires_grad_()
            image = leaf.permute(0, 3, 1, 2) if channels_last else leaf
            found = loss(image, y)
            found.backward()
            grad = leaf.grad.permute(0, 3, 1, 2) if channels_last else leaf.grad
            gradients.append((found.item(), grad.numpy()))
        np.testing.assert_array_equal(gradients[0][1], gradients[1][1])
        assert gradients[0][0] == gradients[1][0]


def test_cross_entropy_is_one_operation():
    x = lucid.tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    loss = F.cross_entropy(x, lucid.tensor([0, 1]))
    assert loss.grad_fn.name == "cross_entropy"
    assert loss.grad_fn.next_functions[0][0] is x


def test_cross_entropy_of_huge_logits_is_finite():
    x = lucid.tensor([[1e30, -1e30], [0.0, 1e4]], requires_grad=True)
    loss = F.cross_entropy(x, lucid.tensor([0, 0]), reduction="none")
    assert loss.tolist() == [0.0, 1e4]
    loss.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_cross_entropy_where_all_are_ignored():
    x = lucid.tensor([[1.0, 2.0]], requires_grad=True)
    target = lucid.tensor([-100])
    assert np.isnan(F.cross_entropy(x, target).item())
    assert F.cross_entropy(x, target, reduction="sum").item() == 0
    F.cross_entropy(x, target, reduction="sum").backward()
    assert x.grad.tolist() == [[0.0, 0.0]]


def test_cross_entropy_takes_small_integers_and_float16():
    x = lucid.tensor(np.array([[1.0, 2.0], [3.0, 1.0]], np.float16), requires_grad=True)
    loss = F.cross_entropy(x, lucid.tensor(np.array([0, 1], np.int32)))
    assert loss.dtype == lucid.float16
    loss.backward()
    assert x.grad.dtype == lucid.float16


def test_target_changed_before_backward_is_noticed():
    x = lucid.tensor([[1.0, 2.0]], requires_grad=True)
    target = lucid.tensor([0])
    loss = F.cross_entropy(x, target)
    target[0] = 1
    with pytest.raises(lucid.errors.InPlaceError, match="target"):
        loss.backward()


def test_binary_cross_entropy_at_the_ends():
    x = lucid.tensor([0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(x, lucid.tensor([1.0, 1.0]), reduction="none")
    assert loss.tolist() == [100.0, 0.0]
    loss.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_poisson_of_no_events_is_finite():
    x, none = lucid.tensor([0.5], requires_grad=True), lucid.tensor([0.0])
    loss = F.poisson_nll_loss(x, none, full=True)
    loss.backward()
    np.testing.assert_allclose([loss.item(), x.grad.item()], np.exp(0.5), rtol=1e-6)


def test_logits_of_any_size_have_a_finite_loss():
    x = lucid.tensor([-1e4, 1e4, 0.0])
    loss = F.binary_cross_entropy_with_logits(x, lucid.tensor([1.0, 0.0, 1.0]), reduction="none")
    np.testing.assert_allclose(loss.numpy(), [1e4, 1e4, np.log(2)], rtol=1e-6)


@pytest.mark.torch
def test_weighted_regression_losses(torch):
    rng = np.random.default_rng(0)
    x, y, w = (rng.uniform(0.1, 2, (3, 4)).astype(np.float32) for _ in range(3))
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        for reduction in ("mean", "sum", "none"):
            expected = getattr(torch.nn.functional, name)(
                torch.tensor(x), torch.tensor(y), weight=torch.tensor(w), reduction=reduction
            )
            found = getattr(F, name)(
                lucid.tensor(x), lucid.tensor(y), weight=lucid.tensor(w), reduction=reduction
            )
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)


# -------------------------------------------------------------------- wrong calls


def test_shapes_that_do_not_fit():
    x = lucid.ones(4, 3)
    with pytest.raises(ValueError, match=r"target must have shape \(4,\).*got \(3,\)"):
        F.cross_entropy(x, lucid.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=r"cross_entropy: target must have shape \(4,\)"):
        F.cross_entropy(x, lucid.tensor([[0]] * 4))
    with pytest.raises(ValueError, match="probabilities"):
        F.cross_entropy(x, lucid.ones(4))
    with pytest.raises(ValueError, match="weight must have shape"):
        F.cross_entropy(x, lucid.tensor([0, 1, 2, 0]), weight=lucid.ones(2))
    with pytest.raises(ValueError, match="nll_loss: weight must have shape"):
        F.nll_loss(x, lucid.tensor([0, 1, 2, 0]), weight=lucid.ones(2))
    with pytest.raises(ValueError, match="binary_cross_entropy: target must have"):
        F.binary_cross_entropy(x, lucid.ones(4))
    with pytest.warns(UserWarning, match=r"mse_loss: the target's shape \(3,\)"):
        F.mse_loss(x, lucid.ones(3))


def test_targets_out_of_range():
    x = lucid.ones(2, 3)
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(IndexError, match="3"):
            loss(x, lucid.tensor([0, 3]))
        with pytest.raises(IndexError, match="-1"):
            loss(x, lucid.tensor([0, -1]))
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        F.binary_cross_entropy(x + 1, x)
    with pytest.raises(ValueError, match="var must not be negative"):
        F.gaussian_nll_loss(x, x, -x)


def test_arguments_out_of_range():
    x, y = lucid.ones(2, 3), lucid.tensor([0, 1])
    with pytest.raises(ValueError, match="reduction must be 'none', 'mean' or 'sum'; got 'avg'"):
        F.cross_entropy(x, y, reduction="avg")
    with pytest.raises(ValueError, match="label_smoothing"):
        F.cross_entropy(x, y, label_smoothing=1.5)
    with pytest.raises(TypeError, match="size_average"):
        F.mse_loss(x, x, size_average=True)
    with pytest.raises(ValueError, match="delta"):
        F.huber_loss(x, x, delta=0)
    with pytest.raises(ValueError, match="reduction must be one of"):
        nn.MSELoss(reduction="average")
    with pytest.raises(ValueError, match="nll_loss: reduction must be 'none', 'mean' or 'sum'"):
        F.nll_loss(x, y, reduction="avg")
    with pytest.raises(TypeError, match="nll_loss: target must hold integers"):
        F.nll_loss(x, lucid.ones(2))
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(RuntimeError, match="weight"):
            loss(x.requires_grad_(), y, weight=lucid.ones(3, requires_grad=True))
