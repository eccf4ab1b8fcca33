"""Functions of lucid.nn.functional that no layer covers, and what is common to all."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import lucid
import lucid.nn.functional as F  # noqa: N812


@pytest.mark.torch
@pytest.mark.parametrize(
    ("p", "dim", "eps"), [(2.0, 1, 1e-12), (1.0, 0, 1e-12), (3.0, -1, 1e-3), (2.0, 1, 10.0)]
)
def test_normalize_as_torch(torch, p, dim, eps):
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    ours, theirs = lucid.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found = F.normalize(ours, p, dim, eps)
    expected = torch.nn.functional.normalize(theirs, p, dim, eps)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-5)
    (found * found * found).sum().backward()
    (expected * expected * expected).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_normalize_of_zeros_is_zero():
    assert F.normalize(lucid.zeros(2, 3)).tolist() == [[0.0] * 3] * 2


@pytest.mark.torch
def test_arguments_are_pytorchs(torch):
    for name in F.__all__:
        theirs = getattr(torch.nn.functional, name, None)
        try:
            expected = list(inspect.signature(theirs).parameters)
        except (TypeError, ValueError):  # a compiled function
            continue
        expected = [p for p in expected if not p.startswith("_") and p != "out"]
        if "args" in expected or "kwargs" in expected:
            continue
        first = 1 if expected[0] in ("input", "x") else 0  # PyTorch's compiled ones say input
        found = list(inspect.signature(getattr(F, name)).parameters)
        assert found[first : len(expected)] == expected[first:], name


def test_every_name_has_a_docstring():
    for name in F.__all__:
        assert getattr(F, name).__doc__, name


def test_one_hot_and_pad_are_here():
    assert F.one_hot(lucid.tensor([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert F.pad(lucid.ones(2), (1, 0)).tolist() == [0, 1, 1]


def test_softmax_of_huge_and_equal_values():
    x = lucid.tensor([1e38, 1e38, -1e38])
    assert F.softmax(x, 0).tolist() == [0.5, 0.5, 0.0]
    assert F.log_softmax(x, 0).numpy()[2] < -1e38
    assert np.isfinite(F.softmax(lucid.full((3,), -1e38), 0).numpy()).all()


def test_softmax_dtype_argument():
    x = lucid.ones(2, 2, requires_grad=True)
    out = F.softmax(x, 1, dtype=lucid.float64)
    assert out.dtype == lucid.float64
    out[0, 0].backward()
    assert x.grad.dtype == lucid.float32
    with pytest.raises(TypeError, match="softmax: x must be floating point; got int64"):
        F.softmax(lucid.tensor([1, 2]), 0)
    with pytest.raises(IndexError, match="dim"):
        F.softmax(x, 2)


def test_results_do_not_depend_on_requires_grad():
    x = lucid.tensor(np.linspace(-3, 3, 13, dtype=np.float32))
    y = lucid.tensor(x.numpy(), requires_grad=True)
    for name in ("relu", "gelu", "silu", "elu", "selu", "mish", "hardswish", "softsign"):
        function = getattr(F, name)
        assert not function(x).requires_grad
        np.testing.assert_array_equal(function(x).numpy(), function(y).detach().numpy())
