"""Random numbers: reproducible, of the right distribution, touching nobody else's state."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import lucid
from lucid.errors import ShapeError

DRAWS = {
    "rand": lambda **k: lucid.rand(3, 4, **k),
    "randn": lambda **k: lucid.randn((3, 4), **k),
    "rand size": lambda **k: lucid.rand(size=(3, 4), **k),
    "randint": lambda **k: lucid.randint(0, 9, size=(3, 4), **k),
    "randint torch": lambda **k: lucid.randint(9, (3, 4), **k),
    "uniform": lambda **k: lucid.random.uniform(-1, 1, (3, 4), **k),
    "normal": lambda **k: lucid.normal(0.0, 2.0, (3, 4), **k),
    "normal tensors": lambda **k: lucid.normal(lucid.zeros(3, 1), lucid.ones(4), **k),
    "exponential": lambda **k: lucid.random.exponential(2.0, (3, 4), **k),
    "bernoulli": lambda **k: lucid.bernoulli(lucid.full((3, 4), 0.5), **k),
    "poisson": lambda **k: lucid.poisson(lucid.full((3, 4), 3.0), **k),
    "multinomial": lambda **k: lucid.multinomial(lucid.ones(3, 9), 4, **k),
    "multinomial again": lambda **k: lucid.multinomial(lucid.ones(3, 9), 4, True, **k),
    "randperm": lambda **k: lucid.randperm(12, **k).reshape(3, 4),
    "permutation": lambda **k: lucid.random.permutation(lucid.arange(12), **k).reshape(3, 4),
    "rand_like": lambda **k: lucid.rand_like(lucid.ones(3, 4), **k),
    "randn_like": lambda **k: lucid.randn_like(lucid.ones(3, 4), **k),
    "randint_like": lambda **k: lucid.randint_like(lucid.ones(3, 4), 0, 9, **k),
    "uniform_": lambda **k: lucid.zeros(3, 4).uniform_(-1, 1, **k),
    "normal_": lambda **k: lucid.zeros(3, 4).normal_(1, 2, **k),
    "exponential_": lambda **k: lucid.zeros(3, 4).exponential_(2, **k),
    "bernoulli_": lambda **k: lucid.zeros(3, 4).bernoulli_(0.5, **k),
    "random_": lambda **k: lucid.zeros(3, 4).random_(0, 9, **k),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_seed_gives_the_same_bits(name):
    draw = DRAWS[name]
    lucid.manual_seed(5)
    first, second = draw(), draw()
    lucid.manual_seed(5)
    assert draw()._data.tobytes() == first._data.tobytes() != second._data.tobytes()
    assert first.shape == (3, 4)
    generator = lucid.Generator(5)
    assert draw(generator=generator)._data.tobytes() == first._data.tobytes()
    state = lucid.get_rng_state()
    draw(generator=generator)
    assert lucid.get_rng_state().tolist() == state.tolist()


def test_states():
    generator = lucid.Generator(7)
    lucid.randint(0, 2, (3,), generator=generator)  # leaves half a draw behind
    state = generator.get_state()
    copies = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))]
    expected = lucid.rand(5, generator=generator).tolist()
    for other in (*copies, lucid.Generator().set_state(state)):
        assert other.initial_seed() == 7
        assert lucid.rand(5, generator=other).tolist() == expected
    assert lucid.Generator("cpu").device == "cpu"
    assert lucid.seed() == lucid.initial_seed()
    saved = lucid.get_rng_state()
    a = lucid.rand(3).tolist()
    lucid.set_rng_state(saved)
    assert lucid.rand(3).tolist() == a


def test_numpys_global_state_is_left_alone():
    before = np.random.get_state()[1].tolist()
    lucid.manual_seed(0)
    lucid.randn(10)
    lucid.randperm(10)
    assert np.random.get_state()[1].tolist() == before


def test_importing_does_not_import_numpy_random():
    code = "import sys, lucid; assert 'numpy.random' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def moments(x):
    return x.double().mean().item(), x.double().var().item()


@pytest.mark.parametrize(
    ("draw", "mean", "variance"),
    [
        (lambda n: lucid.rand(n), 1 / 2, 1 / 12),
        (lambda n: lucid.rand(n, dtype=lucid.float64), 1 / 2, 1 / 12),
        (lambda n: lucid.randn(n), 0, 1),
        (lambda n: lucid.randn(n, dtype=lucid.float16), 0, 1),
        (lambda n: lucid.randint(2, 6, (n,)), 3.5, 1.25),
        (lambda n: lucid.random.uniform(-1, 3, n), 1, 16 / 12),
        (lambda n: lucid.normal(3.0, 2.0, n), 3, 4),
        (lambda n: lucid.bernoulli(lucid.full((n,), 0.3)), 0.3, 0.21),
        (lambda n: lucid.poisson(lucid.full((n,), 4.0)), 4, 4),
        (lambda n: lucid.random.exponential(0.5, n), 2, 4),
        (lambda n: lucid.multinomial(lucid.tensor([1.0, 0.0, 3.0]), n, True), 1.5, 0.75),
        (lambda n: lucid.zeros(n).random_(4), 1.5, 1.25),
    ],
)
def test_moments(draw, mean, variance):
    n = 40_000
    x = draw(n)
    found = moments(x)
    # Five standard errors (the fourth moment of the exponential is 9 times the variance squared).
    assert abs(found[0] - mean) < 5 * (variance / n) ** 0.5
    assert abs(found[1] - variance) < 5 * 3 * variance / n**0.5


def test_ranges():
    assert lucid.rand(10_000).min().item() >= 0
    assert lucid.rand(100_000, dtype=lucid.float16).max().item() < 1
    assert set(lucid.randint(-2, 2, (1000,)).tolist()) == {-2, -1, 0, 1}
    assert sorted(lucid.randperm(100).tolist()) == list(range(100))
    rows = lucid.multinomial(lucid.tensor([[0.0, 1.0, 2.0, 3.0]] * 50), 3)
    assert all(sorted(row) == [1, 2, 3] for row in rows.tolist())
    assert lucid.randn(3, dtype=lucid.complex64).dtype == lucid.complex64
    assert lucid.rand(2, requires_grad=True).requires_grad
    assert lucid.randint(0, 3, (2,), dtype=lucid.int8).dtype == lucid.int8


def test_multinomial_without_replacement_draws_by_weight():
    first = lucid.multinomial(lucid.tensor([[1.0, 2.0, 1.0]] * 20_000), 2)[:, 0]
    assert abs((first == 1).double().mean().item() - 0.5) < 5 * 0.5 / 20_000**0.5


def test_shuffle_and_permutation_keep_rows():
    x = lucid.arange(20).reshape(10, 2).clone()
    y = lucid.random.permutation(x)
    lucid.random.shuffle(x)
    for z in (x, y):
        assert sorted(z.tolist()) == [[i, i + 1] for i in range(0, 20, 2)]


def test_in_place_draws_cut_the_gradient():
    leaf = lucid.ones(3, requires_grad=True)
    x = leaf * 2
    x[:1].normal_()
    x.sum().backward()
    assert leaf.grad.tolist() == [0, 2, 2]
    with pytest.raises(RuntimeError, match="leaf"):
        leaf.uniform_()


ERRORS = {
    "size": (lambda: lucid.rand(-1), ShapeError, "rand: sizes must not be negative"),
    "float size": (lambda: lucid.randn(2.5), TypeError, "randn"),
    "both sizes": (lambda: lucid.rand(2, size=(2,)), TypeError, "not both"),
    "dtype": (lambda: lucid.rand(2, dtype=lucid.int64), RuntimeError, "floating point"),
    "range": (lambda: lucid.randint(5, 5, (2,)), ValueError, "low must be below high"),
    "float bound": (lambda: lucid.randint(0.5, 5, (2,)), TypeError, "must be ints"),
    "generator": (lambda: lucid.rand(2, generator=np.random), TypeError, "lucid.Generator"),
    "seed": (lambda: lucid.manual_seed("a"), TypeError, "seed must be an int"),
    "std": (lambda: lucid.normal(0.0, -1.0, (2,)), ValueError, "std must not be negative"),
    "std_": (lambda: lucid.ones(2).normal_(0, -1), ValueError, "std must not be negative"),
    "p": (lambda: lucid.bernoulli(lucid.full((2,), 1.5)), ValueError, r"\[0, 1\]"),
    "p nan": (lambda: lucid.bernoulli(lucid.full((2,), float("nan"))), ValueError, r"\[0, 1\]"),
    "rate": (lambda: lucid.poisson(lucid.full((2,), -1.0)), ValueError, "negative"),
    "lambd": (lambda: lucid.ones(2).exponential_(0), ValueError, "positive"),
    "uniform": (lambda: lucid.ones(2).uniform_(1, 0), ValueError, "low must not be above high"),
    "weights": (lambda: lucid.multinomial(lucid.zeros(3), 1), ValueError, "positive sum"),
    "too many": (
        lambda: lucid.multinomial(lucid.tensor([1.0, 0.0]), 2),
        ValueError,
        "replacement=True",
    ),
    "state": (lambda: lucid.set_rng_state(lucid.zeros(3)), TypeError, "uint8 tensor"),
    "integers": (
        lambda: lucid.zeros(2, dtype=lucid.int64).normal_(),
        RuntimeError,
        "floating point",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
