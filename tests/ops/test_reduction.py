"""Reductions beyond their rows: nothing to reduce, NaN, ties, zeros, extremes, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lucid
from lucid import tensor
from lucid.ops import reduction

INF, NAN = math.inf, math.nan


# -------------------------------------------------------------------- nothing to reduce


def test_reductions_of_nothing():
    x = lucid.zeros(0)
    assert lucid.sum(x).item() == 0
    assert lucid.prod(x).item() == 1
    assert math.isnan(lucid.mean(x).item())
    assert math.isnan(lucid.var(x).item())
    assert math.isnan(lucid.std(x).item())
    assert math.isnan(lucid.median(x).item())
    assert lucid.logsumexp(x, 0).item() == -INF
    assert lucid.norm(x).item() == 0
    assert lucid.all(x).item() is True
    assert lucid.any(x).item() is False
    assert lucid.count_nonzero(x).item() == 0
    assert lucid.sum(lucid.zeros(2, 0, 3), 1).tolist() == [[0.0] * 3] * 2
    assert lucid.mean(lucid.zeros(2, 0), 0).shape == (0,)


@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin"])
def test_extremes_of_nothing_are_refused(name):
    with pytest.raises(IndexError, match=f"{name}: x must have elements to choose from"):
        getattr(lucid, name)(lucid.zeros(2, 0))
    with pytest.raises(IndexError, match=name):
        getattr(lucid, name)(lucid.zeros(2, 0), 1)
    assert getattr(lucid, name)(lucid.zeros(2, 0), 0).shape == (0,)


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_of_nothing_are_refused(name):
    with pytest.raises(RuntimeError, match=f"{name}: x must have elements"):
        getattr(lucid, name)(lucid.zeros(0))
    with pytest.raises(IndexError, match=f"{name}: x must have elements"):
        getattr(lucid, name)(lucid.zeros(0), 0)


def test_variance_of_one_element_is_nan_without_a_warning():
    assert math.isnan(lucid.var(tensor([1.0])).item())
    assert lucid.var(tensor([1.0]), correction=0).item() == 0


# -------------------------------------------------------------------- forms of the call


def test_max_has_three_forms():
    x, y = tensor([[1.0, 5.0], [4.0, 2.0]]), tensor([[3.0, 3.0], [3.0, 3.0]])
    assert x.max().item() == 5
    found = x.max(dim=1)
    assert found.values.tolist() == [5, 4]
    assert found.indices.tolist() == [1, 0]
    values, indices = x.min(0, keepdim=True)
    assert values.shape == indices.shape == (1, 2)
    assert x.max(y).tolist() == [[3, 5], [4, 3]]
    assert lucid.min(x, y).tolist() == [[1, 3], [3, 2]]


def test_numpy_spellings():
    x = lucid.ones(2, 3)
    assert x.sum(axis=1).tolist() == [3, 3]
    assert lucid.mean(x, axis=(0, 1), keepdims=True).shape == (1, 1)
    assert x.amax(axis=-1, keepdims=True).shape == (2, 1)


def test_unbiased_and_correction():
    x = tensor([1.0, 2.0, 3.0, 4.0])
    assert x.var(False).item() == x.var(unbiased=False).item() == x.var(correction=0).item() == 1.25
    assert x.var(0, True).item() == x.var().item()
    with pytest.raises(TypeError, match="var: unbiased and correction"):
        lucid.var(x, unbiased=True, correction=1)


def test_half_precision_adds_up_in_more():
    x = lucid.ones(10_000, dtype=lucid.float16)
    assert x.sum().item() == 10_000
    assert x.mean().item() == 1
    assert x.var().item() == 0


def test_integers_add_up_in_int64():
    x = tensor([200, 100], dtype=lucid.uint8)
    assert (x.sum().item(), x.sum().dtype) == (300, lucid.int64)
    assert (x.prod().item(), x.cumsum(0).tolist()) == (20000, [200, 300])
    assert tensor([True, True]).sum().item() == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.sum(2), IndexError, r"sum: dim must be in \[-2, 1\]"),
        (lambda x: x.sum((0, 0)), ValueError, "sum: dim names a dimension twice"),
        (lambda x: x.sum("a"), TypeError, "sum: dim must be an int"),
        (lambda x: x.to(lucid.int64).mean(), RuntimeError, "mean: x must be floating point"),
        (lambda x: x.to(lucid.int64).std(), RuntimeError, "std: x must be floating point"),
        (lambda x: x.norm("nuc"), ValueError, "norm: p must be a number"),
        (lambda x: x.quantile(2.0), ValueError, "quantile: q must be"),
        (lambda x: x.quantile(0.5, interpolation="cubic"), ValueError, "interpolation must be"),
        (lambda x: x.cumsum(5), IndexError, "cumsum: dim must be in"),
        (lambda x: lucid.sum(3.0), TypeError, "sum"),
        (lambda x: x.diff(n=-1), ValueError, "diff: n must not be negative"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call(lucid.ones(2, 3))


# -------------------------------------------------------------------- NaN, ties, infinities


@pytest.mark.torch
@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.amax(x, 1), lambda m, x: m.amin(x, 1), lambda m, x: m.argmax(x, 1),
        lambda m, x: m.argmin(x, 1), lambda m, x: m.max(x, 1), lambda m, x: m.min(x, 1),
        lambda m, x: m.median(x, 1).values, lambda m, x: m.nanmedian(x, 1).values,
        lambda m, x: m.nansum(x, 1), lambda m, x: m.nanmean(x, 1),
        lambda m, x: m.logsumexp(x, 1), lambda m, x: m.sum(x, 1), lambda m, x: m.var(x, 1),
        lambda m, x: m.cummax(x, 1), lambda m, x: m.cummin(x, 1),
        lambda m, x: m.quantile(x, 0.3, 1), lambda m, x: m.nanquantile(x, 0.3, 1),
        lambda m, x: m.logcumsumexp(x, 1),
        lambda m, x: m.norm(x, dim=1), lambda m, x: m.norm(x, INF, 1), lambda m, x: m.sort(x, 1),
        lambda m, x: m.sort(x, 1, descending=True), lambda m, x: m.topk(x, 3, 1).values,
        lambda m, x: m.all(x, 1), lambda m, x: m.prod(x, 1), lambda m, x: m.cumprod(x, 1),
    ],
)  # fmt: skip
def test_nan_and_infinities_as_in_torch(torch, call):
    x = np.array([
        [1.0, NAN, 3.0, 2.0], [NAN] * 4, [INF, 1.0, 2.0, 3.0], [-INF, 1.0, 2.0, 3.0],
        [-INF] * 4, [INF, -INF, 0.0, 1.0],
    ])  # fmt: skip
    got, want = call(lucid, tensor(x)), call(torch, torch.from_numpy(x))
    for g, w in zip(*(z if isinstance(z, tuple) else (z,) for z in (got, want)), strict=True):
        np.testing.assert_allclose(g._data, w.numpy(), rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["amax", "amin", "max", "min", "median"])
def test_equal_extremes_share_the_gradient(torch, name):
    values = np.array([[1.0, 3.0, 3.0], [1.0, 1.0, 2.0]])
    x, t = tensor(values).requires_grad_(), torch.from_numpy(values).requires_grad_()
    getattr(lucid, name)(x).backward()
    getattr(torch, name)(t).backward()
    np.testing.assert_allclose(x.grad._data, t.grad.numpy())


def test_logsumexp_neither_overflows_nor_loses_minus_infinity():
    x = tensor([1000.0, -INF, 1000.0]).requires_grad_()
    out = lucid.logsumexp(x, 0)
    out.backward()
    assert out.item() == pytest.approx(1000 + math.log(2))
    # The rule starts from the result, which float32 rounds to 6e-5 here.
    np.testing.assert_allclose(x.grad._data, [0.5, 0.0, 0.5], rtol=1e-4)
    y = tensor([-INF, -INF]).requires_grad_()
    lucid.logsumexp(y, 0).backward()
    assert y.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("p", [2, 3])
def test_norm_neither_overflows_nor_vanishes(scale, p):
    x = tensor([3.0, 4.0]) * scale
    want = (3.0**p + 4.0**p) ** (1 / p) * scale
    assert lucid.norm(x, p).item() == pytest.approx(want, rel=1e-6)


def test_norm_of_zeros_has_gradient_zero():
    for p in (1, 2, 3, INF):
        x = lucid.zeros(3).requires_grad_()
        lucid.norm(x, p).backward()
        assert x.grad.tolist() == [0.0] * 3
    x = lucid.ones(3).requires_grad_()
    lucid.std(x).backward()
    assert x.grad.tolist() == [0.0] * 3


# -------------------------------------------------------------------- fused backward routines


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_backward_of_products_is_what_its_differentiable_form_says(rng, zeros):
    x = rng.standard_normal((3, 5))
    x[0, 1 : 1 + zeros] = 0
    x[2, :zeros] = 0
    for name, shape in (("prod", (3,)), ("cumprod", (3, 5)), ("logcumsumexp", (3, 5))):
        y = tensor(x).requires_grad_()
        g = tensor(rng.standard_normal(shape))
        out = getattr(lucid, name)(y, 1)
        (fast,) = lucid.autograd.grad(out, y, g, retain_graph=True)
        (slow,) = lucid.autograd.grad(out, y, g, create_graph=True)
        np.testing.assert_allclose(fast._data, slow._data, rtol=1e-10, atol=1e-12)


def test_backward_of_long_products_with_a_zero_needs_little_memory():
    x = lucid.ones(100_000, dtype=lucid.float64)
    x[5] = 0.0
    x.requires_grad_()
    x.cumprod(0).sum().backward()
    assert x.grad[5].item() == 100_000 - 5
    assert x.grad[:6].tolist()[:5] == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert not x.grad[6:]._data.any()
    x.grad = None
    x.prod().backward()
    assert x.grad.nonzero().tolist() == [[5]]


def test_gradient_of_broadcast_results_can_be_written_to():
    x = lucid.ones(2, 3).requires_grad_()
    x.sum(1).sum().backward()
    x.grad.mul_(2)
    assert x.grad.tolist() == [[2.0] * 3] * 2


def test_quantile_of_several_and_its_gradient():
    x = tensor([[4.0, 1.0, 3.0, 2.0], [0.0, 8.0, 4.0, 2.0]]).requires_grad_()
    q = tensor([0.0, 0.5, 1.0])
    out = lucid.quantile(x, q, dim=1)
    assert out.tolist() == [[1.0, 0.0], [2.5, 3.0], [4.0, 8.0]]
    assert lucid.quantile(x, q, dim=1, keepdim=True).shape == (3, 2, 1)
    assert lucid.quantile(x, 0.5, keepdim=True).shape == (1, 1)
    out[1].sum().backward()
    assert x.grad.tolist() == [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]


@pytest.mark.torch
@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantile_interpolations(torch, rng, interpolation):
    x = rng.standard_normal((4, 7))
    for q in (0.0, 0.21, 0.5, 0.77, 1.0):
        got = lucid.quantile(tensor(x), q, dim=0, interpolation=interpolation)
        want = torch.quantile(torch.from_numpy(x), q, dim=0, interpolation=interpolation)
        np.testing.assert_allclose(got._data, want.numpy(), rtol=1e-12)


def test_diff_with_ends():
    x = tensor([1.0, 4.0, 9.0])
    assert lucid.diff(x, prepend=tensor([0.0]), append=tensor([16.0])).tolist() == [1, 3, 5, 7]
    assert lucid.diff(tensor([True, False, False])).tolist() == [True, False]


def test_every_public_function_is_exported():
    for name in reduction.FUNCTIONS:
        assert getattr(lucid, name) is getattr(reduction, name)
