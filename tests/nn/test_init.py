"""Initial values: distributions, gains, reproducibility, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lucid
import lucid.nn as nn
from lucid.nn import init


def empty(*shape, dtype=lucid.float32):
    return lucid.zeros(*shape, dtype=dtype)


DRAWS = {
    "uniform_": (lambda x, g: init.uniform_(x, -1, 3, generator=g), 1, 4 / math.sqrt(12)),
    "normal_": (lambda x, g: init.normal_(x, 2, 3, generator=g), 2, 3),
    "trunc_normal_": (lambda x, g: init.trunc_normal_(x, generator=g), 0, 0.8796),
    "xavier_uniform_": (
        lambda x, g: init.xavier_uniform_(x, 2.0, generator=g), 0, 2 * math.sqrt(2 / 700)),
    "xavier_normal_": (lambda x, g: init.xavier_normal_(x, generator=g), 0, math.sqrt(2 / 700)),
    "kaiming_uniform_": (
        lambda x, g: init.kaiming_uniform_(x, nonlinearity="relu", generator=g), 0,
        math.sqrt(2 / 400)),
    "kaiming_normal_": (
        lambda x, g: init.kaiming_normal_(x, 0.3, mode="fan_out", generator=g), 0,
        math.sqrt(2 / 1.09 / 300)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [lucid.float32, lucid.float64])
@pytest.mark.parametrize("name", DRAWS)
def test_mean_and_deviation(name, dtype):
    fill, mean, std = DRAWS[name]
    x = empty(300, 400, dtype=dtype)
    version = x._version
    assert fill(x, lucid.Generator(1)) is x
    assert x._version > version
    values = x.numpy()
    assert abs(values.mean() - mean) < 0.02 * std
    assert abs(values.std() - std) < 0.02 * std
    again = empty(300, 400, dtype=dtype)
    fill(again, lucid.Generator(1))
    np.testing.assert_array_equal(again.numpy(), values)
    fill(again, lucid.Generator(2))
    assert (again.numpy() != values).any()


def test_the_default_generator_is_seeded_by_manual_seed():
    lucid.manual_seed(7)
    a = nn.Linear(3, 4)
    lucid.manual_seed(7)
    b = nn.Linear(3, 4)
    np.testing.assert_array_equal(a.weight._data, b.weight._data)


def test_numpy_s_generator_is_left_alone():
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    nn.Linear(10, 10)
    assert np.random.random() == expected


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"), [(0, 1, -2, 2), (1, 2, 0, 0.5), (0, 1, 5, 7), (0, 1, -9, -6)]
)
def test_truncated_normal_against_its_distribution(mean, std, low, high):
    values = init.trunc_normal_(empty(20000, dtype=lucid.float64), mean, std, low, high).numpy()
    assert values.min() >= low
    assert values.max() <= high
    grid = np.linspace(low, high, 20001)
    density = np.exp(-(((grid - mean) / std) ** 2) / 2)
    expected = (grid * density).sum() / density.sum()
    spread = math.sqrt(((grid - expected) ** 2 * density).sum() / density.sum())
    assert abs(values.mean() - expected) < 5 * spread / math.sqrt(20000)
    assert abs(values.std() / spread - 1) < 0.05


def test_constants():
    x = empty(3, 4)
    assert init.constant_(x, 2.5).tolist() == [[2.5] * 4] * 3
    assert init.ones_(x).tolist() == [[1.0] * 4] * 3
    assert init.zeros_(x).tolist() == [[0.0] * 4] * 3
    np.testing.assert_array_equal(init.eye_(x).numpy(), np.eye(3, 4))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 3, 3), 1), ((4, 2, 3, 4), 2), ((2, 5, 2, 3, 1), 1), ((6, 2, 5), 3)]
)
def test_dirac_as_torch(torch, shape, groups):
    expected = torch.nn.init.dirac_(torch.ones(shape), groups)
    np.testing.assert_array_equal(init.dirac_(lucid.ones(*shape), groups).numpy(), expected.numpy())


@pytest.mark.torch
def test_gains_as_torch(torch):
    for name, param in [("linear", None), ("conv2d", None), ("sigmoid", None), ("tanh", None),
                        ("relu", None), ("leaky_relu", None), ("leaky_relu", 0.3), ("selu", None),
                        ("conv_transpose3d", None)]:  # fmt: skip
        assert init.calculate_gain(name, param) == pytest.approx(
            torch.nn.init.calculate_gain(name, param), rel=1e-15
        )


def test_fans_count_the_kernel():
    x = init.kaiming_uniform_(empty(200, 30, 4, 5), nonlinearity="linear").numpy()
    bound = math.sqrt(3 / 600)
    assert 0.99 * bound < abs(x).max() <= bound


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 2, 3), (4, 4)])
def test_orthogonal(shape):
    x = init.orthogonal_(empty(*shape, dtype=lucid.float64), gain=2).numpy().reshape(shape[0], -1)
    product = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(product, 4 * np.eye(min(x.shape)), atol=1e-12)


def test_sparse():
    x = init.sparse_(empty(100, 50), 0.33, std=2).numpy()
    assert ((x == 0).sum(axis=0) == 33).all()
    assert abs(x[x != 0].std() - 2) < 0.1


def test_float16_and_parameters_that_require_grad():
    p = nn.Parameter(lucid.zeros(100, dtype=lucid.float16))
    init.uniform_(p, 1, 2)
    assert p.requires_grad
    assert p.is_leaf
    assert p._data.min() >= 1


def test_errors():
    x = empty(3)
    with pytest.raises(ValueError, match="xavier_uniform_: tensor must have at least 2 dimensions"):
        init.xavier_uniform_(x)
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out'; got 'in'"):
        init.kaiming_normal_(empty(2, 3), mode="in")
    with pytest.raises(ValueError, match="nonlinearity"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="eye_"):
        init.eye_(x)
    with pytest.raises(ValueError, match="dirac_"):
        init.dirac_(x)
    with pytest.raises(ValueError, match="groups"):
        init.dirac_(empty(3, 2, 2), 2)
    with pytest.raises(ValueError, match="orthogonal_"):
        init.orthogonal_(x)
    with pytest.raises(ValueError, match="sparsity"):
        init.sparse_(empty(2, 2), 1.5)
    with pytest.raises(ValueError, match="std"):
        init.normal_(x, 0, -1)
    with pytest.raises(ValueError, match="a must"):
        init.uniform_(x, 2, 1)
    with pytest.raises(TypeError, match="generator"):
        init.uniform_(x, generator=np.random.default_rng(0))
    with pytest.raises(TypeError, match="must be a Tensor"):
        init.ones_(np.ones(3))
    with pytest.warns(UserWarning, match="no elements"):
        init.kaiming_uniform_(empty(0, 3))
