"""The vectorised functions: within 2 ulp of the truth, and right at every edge, at every level."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lucid._kernels import cpu, pointwise

INF, NAN = math.inf, math.nan


def sigmoid(x):
    z = np.exp(-np.abs(x))
    return np.where(x < 0, z, 1) / (1 + z)


def erf(x):
    return np.array([math.erf(v) for v in x.tolist()])


FUNCTIONS = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2,
    "log10": np.log10, "tanh": np.tanh, "sigmoid": sigmoid, "erf": erf,
}  # fmt: skip


def sweep(step):
    """Every `step`-th float32 of either sign, the range where exp is finite, and around 1."""
    every = np.arange(0, 0x7F800000, step, dtype=np.uint32).view(np.float32)
    near = np.linspace(-110, 110, 100_001, dtype=np.float32)
    unit = np.linspace(-2, 2, 100_001, dtype=np.float32)
    return np.concatenate([every, -every, near, unit])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_within_2_ulp(name):
    x = sweep(100_003 if name == "erf" else 9_973)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](x.astype(np.float64))
        rounded = expected.astype(np.float32)
        out = getattr(pointwise, name)(x)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(out[~finite], rounded[~finite])
        error = np.abs(out[finite] - expected[finite]) / np.spacing(np.abs(rounded[finite]))
    assert error.max() <= 2


DOMAINS = {"exp": (-744, 709), "expm1": (-745, 709), "sigmoid": (-744, 745)}


def true_values(name, x):
    mpmath = pytest.importorskip("mpmath")
    functions = {
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
        "log2": lambda v: mpmath.log(v, 2),
    }
    function = functions.get(name) or getattr(mpmath, name)
    with mpmath.workprec(200):
        return [function(mpmath.mpf(v)) for v in x.tolist()]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_within_2_ulp(name):
    random = np.random.default_rng(0)
    low, high = DOMAINS.get(name, (-7, 7))
    x = np.concatenate([
        random.uniform(low, high, 400), random.uniform(-1.5, 1.5, 1200),
        10.0 ** random.uniform(-300, 2, 200), -(10.0 ** random.uniform(-300, 2, 200)),
    ])  # fmt: skip
    if name in ("log", "log2", "log10"):
        x = np.abs(np.concatenate([x, 10.0 ** random.uniform(-307, 308, 400)]))
    x = x[x > -1] if name == "log1p" else x
    out = getattr(pointwise, name)(x)
    errors = [
        abs(truth - value) / math.ulp(float(truth))
        for truth, value in zip(true_values(name, x), out.tolist(), strict=True)
    ]
    assert max(errors) <= 2


EDGES = {  # (x, f(x))
    "exp": [(-INF, 0), (INF, INF), (-0.0, 1), (0.0, 1), (1e4, INF), (-1e4, 0)],
    "expm1": [(-INF, -1), (INF, INF), (-0.0, -0.0), (0.0, 0.0), (1e4, INF), (-1e4, -1)],
    "log": [(-INF, NAN), (INF, INF), (-0.0, -INF), (0.0, -INF), (1, 0.0), (-1, NAN)],
    "log1p": [(-INF, NAN), (INF, INF), (-0.0, -0.0), (0.0, 0.0), (-1, -INF), (-2, NAN)],
    "log2": [(-INF, NAN), (INF, INF), (0.0, -INF), (1, 0.0), (2, 1), (0.25, -2), (1024, 10)],
    "log10": [(-INF, NAN), (INF, INF), (0.0, -INF), (1, 0.0), (10, 1), (1000, 3), (-1, NAN)],
    "tanh": [(-INF, -1), (INF, 1), (-0.0, -0.0), (0.0, 0.0), (50, 1), (-50, -1)],
    "sigmoid": [(-INF, 0), (INF, 1), (-0.0, 0.5), (0.0, 0.5), (1e4, 1), (-1e4, 0)],
    "erf": [(-INF, -1), (INF, 1), (-0.0, -0.0), (0.0, 0.0), (30, 1), (-30, -1)],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(name, dtype):
    x, expected = np.array([*EDGES[name], (NAN, NAN)], dtype).T
    for repeats in (1, 40):  # the last few elements of a loop, and whole registers
        out = getattr(pointwise, name)(np.repeat(x, repeats))
        wanted = np.repeat(expected, repeats)
        np.testing.assert_array_equal(out, wanted)
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(out[number]), np.signbit(wanted[number]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh"])
def test_subnormals_pass_unchanged(name, dtype):
    x = np.finfo(dtype).smallest_subnormal * np.arange(1, 40).astype(dtype)
    np.testing.assert_array_equal(getattr(pointwise, name)(x), x)
    np.testing.assert_array_equal(getattr(pointwise, name)(-x), -x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_position_of_an_element_does_not_matter(name, dtype):
    x = np.random.default_rng(1).uniform(0.01, 5, 67).astype(dtype)
    function = getattr(pointwise, name)
    alone = np.concatenate([function(x[i : i + 1]) for i in range(x.size)])
    np.testing.assert_array_equal(function(x), alone)
    for start in range(1, 9):
        np.testing.assert_array_equal(function(x[start:]), alone[start:])


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_lower_levels(level):
    """Everything that builds on these functions, in a process that may use no more than `level`."""
    if os.environ.get("LUCID_SIMD") or cpu.LEVELS.index(level) >= cpu.LEVELS.index(cpu.level):
        pytest.skip(f"this process runs at {cpu.level} itself")
    names = ("test_vector_math.py", "test_pointwise.py", "test_rowwise.py")
    files = [str(Path(__file__).with_name(name)) for name in names]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *files, "-k", "not pytorch"],
        env={**os.environ, "LUCID_SIMD": level}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:]
