"""The kernels of local response normalisation against sums in float64, window by window."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid._backend import B
from lucid._kernels import cpu, threads
from lucid._kernels import response_norm as kernel

REALS = [np.float32, np.float64]
SHAPES = [  # inner sizes of 1, around a vector, and of more than one strip; one and many channels
    (1, 1), (3, 7), (2, 1, 5), (2, 3, 1), (4, 16, 2, 3), (2, 5, 15), (1, 6, 16), (1, 6, 17),
    (1, 9, 8, 8), (3, 4, 33), (1, 200, 400), (1, 1500, 40), (1, 2, 20_001), (300, 11, 3),
]  # fmt: skip
SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 2001, sys.maxsize]
POWERS = [0.75, 0.5, 1.0, 0.0, -0.5, 2.3]


def values(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def window_sums(x, before, after):
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        out[:, c] = x[:, max(0, c - before) : c + after + 1].sum(1)
    return out


def expected(x, g, size, alpha, beta, k):
    """The result, the gradient, and how large the terms are of which the gradient is the sum."""
    x, g = x.astype(np.float64), g.astype(np.float64)
    before, after = size // 2, (size - 1) // 2
    divisor = k + alpha / size * window_sums(x * x, before, after)
    direct, factor = g * divisor**-beta, 2 * alpha * beta / size * x
    inner = direct * x / divisor
    terms = abs(direct) + abs(factor) * window_sums(abs(inner), after, before)
    gradient = direct - factor * window_sums(inner, after, before)
    return x * divisor**-beta, gradient, terms


def check(x, g, size, alpha, beta, k):
    before = x.copy(), g.copy()
    out = kernel.forward(x, size, alpha, beta, k)
    gradient = kernel.backward(g, x, size, alpha, beta, k)
    assert out.dtype == gradient.dtype == x.dtype.newbyteorder("=")
    assert out.shape == gradient.shape == x.shape
    y, to_x, terms = expected(x, g, size, alpha, beta, k)
    few = 16 * np.finfo(x.dtype).eps
    np.testing.assert_array_less(abs(out - y), few * abs(y) + np.finfo(x.dtype).tiny)
    np.testing.assert_array_less(abs(gradient - to_x), few * terms + np.finfo(x.dtype).tiny)
    np.testing.assert_array_equal((x, g), before)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_float64(shape, dtype):
    x, g = values(shape, dtype), values(shape, dtype, 1)
    for size in SIZES:
        check(x, g, size, 0.7, 0.75, 0.9)
    for beta in POWERS:
        check(x, g, 5, 0.7, beta, 2.0)


@settings(deadline=None)
@given(st.data())
def test_any_shape(data):
    shape = data.draw(st.lists(st.integers(0, 9), min_size=2, max_size=5).map(tuple))
    dtype = data.draw(st.sampled_from(REALS))
    size = data.draw(st.integers(1, 20))
    beta = data.draw(st.sampled_from([0.5, 0.75]) | st.floats(-3, 3))
    check(values(shape, dtype), values(shape, dtype, 1), size, data.draw(st.floats(0, 3)), beta, 1)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("beta", [0.75, 0.5, 1.0, -1.3, 0.3, 2.0, 8.0, 9.5])
def test_powers_of_any_magnitude(beta, dtype):
    """Subnormal to huge divisors: k alone is raised to the power."""
    info = np.finfo(dtype)
    lowest, highest = math.log2(info.smallest_subnormal), math.log2(info.max)
    for exponent in np.linspace(lowest, highest - 0.01, 301):
        k = float(dtype(2.0**exponent))
        out = kernel.forward(np.ones((1, 1), dtype), 1, 0.0, beta, k)
        with np.errstate(all="ignore"):
            truth = np.longdouble(k) ** -np.longdouble(beta)
            np.testing.assert_allclose(out, truth.astype(dtype), (2 + abs(beta) / 2) * info.eps)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("beta", [0.75, 0.5, 0.3, -0.3, 0.0, 1.0, 2.0, -3.0, 10.0])
def test_powers_of_zero_infinity_and_negative_numbers(beta, dtype):
    for k in (0.0, np.inf, np.nan, -2.0):
        for count in (1, 40):  # the last few elements of a loop, and whole registers
            out = kernel.forward(np.ones((count, 1), dtype), 1, 0.0, beta, k)
            np.testing.assert_allclose(out, B.pow(np.array(k), -beta), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e18])
@pytest.mark.parametrize("size", [1, 2, 5, 16, 21])
def test_outliers_stay_in_their_windows(size, bad, dtype):
    for inner, place in itertools.product((1, 5, 40), (0, 10, 29)):
        x, g = values((2, 30, inner), dtype), values((2, 30, inner), dtype, 1)
        plain = kernel.forward(x, size, 0.7, 0.75, 1.0)
        gradient = kernel.backward(g, x, size, 0.7, 0.75, 1.0)
        x[1, place, 0] = bad
        channels = np.arange(30)
        seen = np.zeros(x.shape, bool)  # by the windows of these channels
        seen[1, :, 0] = (place >= channels - size // 2) & (place <= channels + (size - 1) // 2)
        out = kernel.forward(x, size, 0.7, 0.75, 1.0)
        np.testing.assert_array_equal(out[~seen], plain[~seen])
        if not np.isfinite(bad):
            assert (np.isnan(out) | (out == 0))[seen].all()
        reached = seen.copy()  # by the gradients of those channels
        for c in channels[seen[1, :, 0]]:
            reached[1, max(0, c - size // 2) : c + (size - 1) // 2 + 1, 0] = True
        found = kernel.backward(g, x, size, 0.7, 0.75, 1.0)
        np.testing.assert_array_equal(found[~reached], gradient[~reached])


@pytest.mark.parametrize("dtype", REALS)
def test_every_layout(dtype):
    x, g = values((3, 6, 7), dtype), values((3, 6, 7), dtype, 1)
    wide = np.repeat(x, 2, axis=2)
    for operand in (x, np.asfortranarray(x), wide[:, :, ::2], x.astype(x.dtype.newbyteorder())):
        for other in (g, np.asfortranarray(g)):
            check(operand, other, 3, 0.7, 0.75, 1.0)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (2, 3, 0), (0, 0)])
def test_empty(shape, dtype):
    x = np.ones(shape, dtype)
    assert kernel.forward(x, 3, 1.0, 0.75, 1.0).shape == shape
    assert kernel.backward(x, x, 3, 1.0, 0.75, 1.0).shape == shape


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(40, 33, 5, 5), (2, 96, 700), (9000, 12)])
def test_thread_count_does_not_matter(shape, dtype):
    x, g = values(shape, dtype), values(shape, dtype, 1)
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append([
                f(beta) for beta in (0.75, 0.6) for f in (
                    lambda beta: kernel.forward(x, 5, 0.7, beta, 1.0),
                    lambda beta: kernel.backward(g, x, 5, 0.7, beta, 1.0),
                )
            ])  # fmt: skip
    finally:
        threads.set_num_threads(before)
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("size", [1, 4, 5, 50])
def test_other_dtypes(size):
    x, g = values((2, 9, 4), np.float16), values((2, 9, 4), np.float16, 1)
    for wide, few in ((np.float16, 2e-3), (np.longdouble, 1e-14)):
        for beta in (0.75, 0.0):
            setting = (size, 0.7, beta, 1.0)
            out = B.local_response_norm(x.astype(wide), *setting)
            gradient = B.local_response_norm_backward(g.astype(wide), x.astype(wide), *setting)
            y, to_x, _ = expected(x, g, *setting)
            assert out.dtype == gradient.dtype == wide
            np.testing.assert_allclose(out, y, few, few)
            np.testing.assert_allclose(gradient, to_x, few, few)


@pytest.mark.skipif("LUCID_SIMD" in os.environ, reason="runs this file at each lower level")
@pytest.mark.parametrize("level", cpu.LEVELS[: cpu.LEVELS.index(cpu.level)])
def test_lower_levels(level):
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).parents[2], env={**os.environ, "LUCID_SIMD": level},
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
