"""Resampling kernels against the form that they are the derivatives of, in float64."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid._kernels import cpu, resampling, threads
from tests.opsamples.resampling import form

REALS = [np.float32, np.float64]


def case(dtype, images, channels, size, count, columns, taps, shared, weighted, seed):
    rng = np.random.default_rng(seed)
    place = rng.integers(-2, size, (1 if shared else images, taps, count)).astype(np.int32)
    weight = rng.standard_normal(place.shape).astype(dtype) if weighted else None
    x = rng.standard_normal((images, channels, size, columns)).astype(dtype)
    g = rng.standard_normal((images, channels, count, columns)).astype(dtype)
    return x, g, weight, place


def check(x, g, weight, place):
    factors = np.ones(place.shape) if weight is None else weight.astype(np.float64)
    by_g, by_weight, by_x = form(g.astype(np.float64), factors, x.astype(np.float64), place)
    # A rounding for each of the terms that may meet in one sum.
    terms = max(place.shape[1] * place.shape[2], x.shape[1] * x.shape[3])
    if len(place) == 1:
        terms *= max(len(x), 1)
    limits = {"rtol": 0, "atol": np.finfo(x.dtype).eps * (10 + 2 * terms)}
    found = (
        resampling.sample(x, weight, place), resampling.correlate(g, x, place),
        resampling.spread(g, weight, place, x.shape[2]),
    )  # fmt: skip
    for out, expected in zip(found, (by_g, by_weight, by_x), strict=True):
        assert out.dtype == x.dtype
        np.testing.assert_allclose(out, expected, **limits)
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(REALS), st.tuples(*[st.integers(0, n) for n in (3, 9, 40, 40, 19, 4)]),
    st.booleans(), st.booleans(), st.integers(0, 2**32),
)  # fmt: skip
def test_any_shape(dtype, sizes, shared, weighted, seed):
    check(*case(dtype, *sizes, shared, weighted, seed))


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("columns", [1, 70])
def test_thread_count_and_layout_do_not_matter(dtype, columns):
    x, g, weight, place = case(dtype, 3, 41, 500, 301, columns, 2, False, True, 0)
    before, results = threads.get_num_threads(), []
    readonly = x.copy()
    readonly.flags.writeable = False
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            for other in (x, np.asfortranarray(x), readonly):
                results.append((
                    resampling.sample(other, weight, place),
                    resampling.correlate(np.asfortranarray(g), other, place),
                    resampling.spread(g, weight, np.asfortranarray(place), 500),
                ))  # fmt: skip
    finally:
        threads.set_num_threads(before)
    for result in results:
        for found, first in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(found, first)


def test_nothing_is_read_where_a_place_is_negative():
    x = np.full((1, 1, 2, 1), np.nan)
    place = np.array([[[-1, -1, -1]]], np.int32)
    assert not resampling.sample(x, np.ones(place.shape), place).any()
    assert not resampling.correlate(np.ones((1, 1, 3, 1)), x, place).any()


def test_errors():
    x, g, weight, place = case(np.float32, 2, 3, 4, 5, 1, 2, False, True, 0)
    with pytest.raises(IndexError, match="a place lies outside of 4: 4"):
        resampling.sample(x, weight, np.full_like(place, 4))
    with pytest.raises(ValueError, match=r"place must have shape \(1 or 2, taps, count\)"):
        resampling.sample(x, None, np.concatenate([place, place]))
    with pytest.raises(ValueError, match=r"weight must have shape \(2, 2, 5\) and dtype float32"):
        resampling.sample(x, weight.astype(np.float64), place)
    with pytest.raises(ValueError, match="g must have 5 places"):
        resampling.spread(x, weight, place, 4)
    with pytest.raises(ValueError, match="g of shape"):
        resampling.correlate(g[:, :2], x, place)
    with pytest.raises(ValueError, match="4 dimensions of a real dtype"):
        resampling.sample(x.astype(np.int64), None, place)


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_lower_levels(level):
    if os.environ.get("LUCID_SIMD") or cpu.LEVELS.index(level) >= cpu.LEVELS.index(cpu.level):
        pytest.skip(f"this process runs at {cpu.level} itself")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", str(Path(__file__))],
        env={**os.environ, "LUCID_SIMD": level}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:]
