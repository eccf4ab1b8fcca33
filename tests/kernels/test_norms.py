"""The norm kernels against mpmath, math.fsum and NumPy: every dtype, layout, magnitude and p."""

import json
import math
import os
import subprocess
import sys
import tracemalloc

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lucid._kernels import norms, threads

DTYPES = ["float16", "float32", "float64", "complex64", "complex128"]
REALS = DTYPES[:3]
EXPONENTS = {"float16": (-24, 15), "float32": (-149, 127), "float64": (-1074, 1023)}
EXPONENTS |= {"complex64": EXPONENTS["float32"], "complex128": EXPONENTS["float64"]}
POWERS = [1.0, 2.0, 3.0, math.inf, 0.5, 1.5, 2.5, 4.0, 7.25, 40.0, 1e3, 1e20]


@pytest.fixture(autouse=True)
def keep_num_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def moduli(arrays):
    with mpmath.workprec(200):
        for array in arrays:
            for value in array.ravel().tolist():
                if isinstance(value, complex):
                    yield mpmath.sqrt(mpmath.mpf(value.real) ** 2 + mpmath.mpf(value.imag) ** 2)
                else:
                    yield abs(mpmath.mpf(value))


def reference(arrays, p):
    """The norm with 200 bits and no limit to the exponent, rounded once at the end."""
    with mpmath.workprec(200):
        sizes = list(moduli(arrays))
        if p == math.inf:
            return float(max(sizes, default=mpmath.mpf(0)))
        total = mpmath.fsum(size ** mpmath.mpf(p) for size in sizes if size)
        return float(total ** (1 / mpmath.mpf(p))) if total else 0.0


def assert_close(got, want, p=2.0, ulps=4.0):
    if math.isinf(want):
        assert got == want or got >= sys.float_info.max * (1 - 2**-48)
        return
    assert abs(got - want) <= ulps * max(1.0, 1.0 / p) * np.spacing(want), (got, want)


def make(dtype, shape, seed, low, high):
    """Elements with exponents evenly from low to high, and some zeros."""
    rng = np.random.default_rng(seed)

    def part():
        mantissa = rng.uniform(1.0, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
        return np.ldexp(mantissa, rng.integers(low, high, shape, endpoint=True))

    array = np.asarray(part() + 1j * part() if dtype.startswith("complex") else part())
    with np.errstate(over="ignore", under="ignore"):
        array = array.astype(dtype)
    array[~np.isfinite(array)] = 1
    array[rng.random(shape) < 0.05] = 0
    return array


def as_layout(array, layout):
    """An array with the same elements (broadcast: more of them) in another layout of memory."""
    match layout:
        case "fortran":
            return np.asfortranarray(array)
        case "reversed":
            return array[::-1].copy()[::-1]
        case "strided":
            wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
            wide[..., ::2] = array
            return wide[..., ::2]
        case "permuted":
            return array[..., None].transpose(1, 2, 0).copy().transpose(2, 0, 1)[..., 0]
        case "broadcast":
            return np.broadcast_to(array[:, None], (array.shape[0], 3, array.shape[1]))
        case "unaligned":
            raw = np.zeros(array.nbytes + 1, np.uint8)
            odd = raw[1:].view(array.dtype).reshape(array.shape)
            odd[...] = array
            return odd
        case "swapped":
            return array.astype(array.dtype.newbyteorder())
        case "read-only":
            array = array.copy()
            array.flags.writeable = False
            return array
    return array


LAYOUTS = ["c", "fortran", "reversed", "strided", "permuted", "unaligned", "swapped"]
READ_LAYOUTS = [*LAYOUTS, "broadcast", "read-only"]


# ---- the norm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(dtype, p):
    array = make(dtype, (7, 23), 1, -8, 4)
    for layout in READ_LAYOUTS:
        arrays = [as_layout(array, layout)]
        norm, nonfinite = norms.total_norm(arrays, p)
        assert type(norm) is float
        assert nonfinite == 0
        assert_close(norm, reference(arrays, p), p)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_magnitude(data):
    p = data.draw(st.sampled_from(POWERS) | st.floats(0.05, 60.0), "p")
    arrays = []
    for _ in range(data.draw(st.integers(1, 3), "arrays")):
        dtype = data.draw(st.sampled_from(DTYPES))
        first, last = EXPONENTS[dtype]
        low = data.draw(st.integers(first, last))
        high = min(last, low + data.draw(st.sampled_from([0, 3, 60])))
        shape = data.draw(st.sampled_from([(), (0,), (1,), (5,), (64,), (3, 41), (9, 8, 2)]))
        arrays.append(make(dtype, shape, data.draw(st.integers(0, 99)), low, high))
    norm, nonfinite = norms.total_norm(arrays, p)
    want = reference(arrays, p)
    assume(want == 0.0 or want >= 2.0**-1000 or p >= 1)
    assert_close(norm, want, p)
    assert nonfinite == 0
    for own, array in zip(norms.norms(arrays, p), arrays, strict=True):
        assert_close(own, reference([array], p), p)


@pytest.mark.parametrize("p", [1.0, 2.0, 2.5])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_elements_below_the_normal_range(dtype, p):
    """There a modulus is rounded to a multiple of the smallest number, and 64 of them add up."""
    array = make(dtype, (64,), 0, -1074, -1074)
    norm, _ = norms.total_norm([array], p)
    assert_close(norm, reference([array], p), p)
    assert norms.norms([array], p)[0] == norm


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1.0000001, 0.7853])
@pytest.mark.parametrize("dtype", REALS)
def test_rounding_errors_of_equal_elements_do_not_add_up(dtype, value):
    array = np.full(1_000_003, value, dtype)
    with mpmath.workprec(200):
        for p in (1.0, 2.0, 3.0, 2.5):
            want = mpmath.mpf(float(array[0])) * mpmath.mpf(array.size) ** (1 / mpmath.mpf(p))
            assert_close(norms.total_norm([array], p)[0], float(want), p)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ten_million_elements(dtype):
    array = np.random.default_rng(0).random(10_000_000).astype(dtype)
    wide = array.astype(np.float64)
    squares = wide * wide  # exact for float32; else off by half an ulp each, at random
    assert_close(norms.total_norm([array], 2.0)[0], math.sqrt(math.fsum(squares)))
    assert_close(norms.total_norm([array], 1.0)[0], math.fsum(wide))


def test_where_the_squares_leave_the_range():
    thousand = [np.full(10, 1e30, np.float32)] * 100
    want = reference(thousand, 2.0)
    assert want == pytest.approx(3.16e31, rel=1e-3)
    assert_close(norms.total_norm(thousand, 2.0)[0], want)
    for value in (1e200, 1e-200, 1.7e308 / 2, 5e-324, 2.0**-1022):
        assert_close(norms.total_norm([np.full(4, value)], 2.0)[0], 2.0 * value)
        assert_close(norms.total_norm([np.full(4, complex(value, 0.0))], 2.0)[0], 2.0 * value)
        assert_close(norms.total_norm([np.full(8, value)], 3.0)[0], 2.0 * value, ulps=4)
    half = np.full(1000, 300.0, np.float16)
    assert_close(norms.total_norm([half], 2.0)[0], 300.0 * math.sqrt(1000))
    mixed = [np.full(3, 1e30, np.float32), np.full(3, 1e180), np.full(3, 1e-320)]
    assert_close(norms.total_norm(mixed, 2.0)[0], 1e180 * math.sqrt(3))


def test_overflow_of_the_norm_itself_is_inf_without_nonfinite_elements():
    for p in (1.0, 2.0, 2.5):
        assert norms.total_norm([np.full(100, 1.7e308)], p) == (math.inf, 0)
        huge = [np.array([complex(1.7e308, -1.7e308)])]
        assert norms.total_norm(huge, p) == (math.inf, 0)
        np.testing.assert_array_equal(norms.stats(huge)[0, 3:], [0, 0, 0, 1])


@pytest.mark.parametrize("p", POWERS)
def test_a_lone_element_is_its_own_norm(p):
    for value in (3.0, 1e-310, 1.7e308, 0.1):
        assert_close(norms.total_norm([np.array(-value)], p)[0], value, p)


def test_nothing_to_measure():
    assert norms.total_norm([], 2.0) == (0.0, 0)
    assert norms.total_norm([np.zeros((3, 0))], math.inf) == (0.0, 0)
    assert norms.total_norm([np.zeros(5), np.zeros((2, 2), np.complex64)], 2.5) == (0.0, 0)
    assert norms.norms([], 2.0).shape == (0,)


def test_an_array_twice_counts_twice():
    array = np.array([3.0], np.float32)
    assert norms.total_norm([array, array], 1.0) == (6.0, 0)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["c", "strided", "swapped"])
def test_nonfinite_elements(dtype, layout, p):
    array = make(dtype, (5, 50), 2, -3, 3)
    array[3, 7] = -math.inf
    array[4, 44] = math.inf
    measured = as_layout(array, layout)
    assert norms.total_norm([np.ones(3), measured], p) == (math.inf, 2)
    array[0, 0] = math.nan
    measured = as_layout(array, layout)
    norm, nonfinite = norms.total_norm([measured, np.ones(3)], p)
    assert math.isnan(norm)
    assert nonfinite == 3
    np.testing.assert_array_equal(norms.nonfinite_counts([np.ones(3), measured]), [[0, 0], [1, 2]])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_elements_count_once(dtype):
    inf, nan = math.inf, math.nan
    array = np.array([complex(inf, inf), complex(nan, inf), complex(1, nan), 2j], dtype)
    np.testing.assert_array_equal(norms.nonfinite_counts([array]), [[2, 1]])


def test_other_dtypes_are_measured_through_numpy():
    arrays = [np.arange(5), np.array([True, False]), np.array([2.0], np.longdouble)]
    assert_close(norms.total_norm(arrays, 2.0)[0], reference([np.array([1, 2, 3, 4, 1, 2.0])], 2.0))


# ---- bits that do not depend on how the work is done -------------------------------------------


def big(dtype, size=700_011):
    return make(dtype, (size,), 3, -4, 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_threads(dtype):
    rng = np.random.default_rng(4)
    array = big(dtype)
    cuts = np.sort(rng.integers(0, array.size, 20))
    arrays = np.split(array, cuts) + [np.ones(i, np.float32) for i in range(10)]

    def everything():
        changed = [each.copy() for each in arrays]
        norms.scale(changed, 0.37)
        return (
            [norms.total_norm(arrays, p)[0].hex() for p in (1.0, 2.0, 2.5, math.inf)],
            norms.norms(arrays, 2.0).tobytes(),
            norms.stats(arrays).tobytes(),
            [each.tobytes() for each in changed],
        )

    results = []
    for n in (1, 2, 3):
        threads.set_num_threads(n)
        results.append(everything())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 2.5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_splitting_at_blocks(dtype, p):
    array = make(dtype, (6 * norms.BLOCK + 77,), 5, -4, 4)
    whole = norms.total_norm([array], p)
    for cuts in ([1], [2, 3], [1, 2, 3, 4, 5, 6]):
        parts = np.split(array, [cut * norms.BLOCK for cut in cuts])
        assert norms.total_norm(parts, p) == whole


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 2.5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_layout(dtype, p):
    for size in (3, 70, 1024 + 5, 2 * norms.BLOCK + 1027):
        array = make(dtype, (1, size), 6, -4, 4)
        plain = norms.total_norm([array], p)
        for layout in ("strided", "unaligned", "swapped"):
            assert norms.total_norm([as_layout(array, layout)], p) == plain


LEVEL_SCRIPT = """
import json, math, sys
import numpy as np
from lucid._kernels import norms
rng = np.random.default_rng(0)
out = {}
for dtype in ("float16", "float32", "float64", "complex64", "complex128"):
    array = rng.standard_normal(5077).astype(dtype) * (1 - 2j if dtype[0] == "c" else 1)
    array = array.astype(dtype)
    for x in (array, array[::3]):
        for p in (1.0, 2.0, 3.0, math.inf, 2.5):
            out[f"{dtype} {x.size} {p}"] = norms.total_norm([x], p)[0]
        out[f"{dtype} {x.size} stats"] = norms.stats([x]).tolist()
        changed = x.copy()
        norms.scale([changed], 0.7)
        if dtype[0] == "f":
            norms.clamp([changed], 0.3)
        out[f"{dtype} {x.size} change"] = changed.tobytes().hex()
tiny = np.ldexp(rng.standard_normal(100), -700)
out["scaled"] = norms.total_norm([tiny], 2.0)[0]
bad = np.array([1, math.nan, math.inf], np.float16)
out["bad"] = norms.nonfinite_counts([bad]).tolist()
print(json.dumps(out))
"""


def at_level(level):
    done = subprocess.run(
        [sys.executable, "-c", LEVEL_SCRIPT],
        env={**os.environ, "LUCID_SIMD": level},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_every_level_gives_the_same_bits():
    best = at_level("avx512")
    for level in ("avx2", "baseline"):
        other = at_level(level)
        assert best.keys() == other.keys()
        for name, want in best.items():
            if name.endswith(" 2.5"):  # fused multiply-adds where there are any
                assert_close(other[name], want)
            else:
                assert other[name] == want, (level, name)


# ---- changing in place -------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scale_rounds_the_float64_product_once(dtype, layout):
    for factor in (0.1, -3.7e-5, 0.0, 1.0, math.inf, math.nan):
        source = make(dtype, (9, 131), 7, *EXPONENTS[dtype][:1], EXPONENTS[dtype][1] - 1)
        array = as_layout(source, layout)
        parts = source.dtype.char.lower() if dtype.startswith("complex") else source.dtype.char
        flat = source.view({"f": "float32", "d": "float64", "e": "float16"}[parts])
        with np.errstate(all="ignore"):
            want = (flat.astype(np.float64) * factor).astype(flat.dtype)
        norms.scale([array], factor)
        got = np.ascontiguousarray(array, source.dtype).view(flat.dtype)
        np.testing.assert_array_equal(got, want)
        finite = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got)[finite], np.signbit(want)[finite])


@pytest.mark.parametrize("factor", [1.0, 0.5, 1 / 3, -(2.0**-9), 1e-7, 4096.7, 2.0**-24, 1e300])
def test_scale_every_float16(factor):
    source = np.arange(65536, dtype=np.uint16).view(np.float16)
    array = source.copy()
    norms.scale([array], factor)
    with np.errstate(all="ignore"):
        want = (source.astype(np.float64) * factor).astype(np.float16)
    np.testing.assert_array_equal(array, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(array.view(np.uint16)[number], want.view(np.uint16)[number])


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("limit", [0.75, 0.0, 1e-6, math.inf])
def test_clamp(dtype, layout, limit):
    source = make(dtype, (9, 131), 8, -6, 4)
    source[0, :4] = [math.nan, math.inf, -math.inf, -0.0]
    array = as_layout(source, layout)
    norms.clamp([array], limit)
    bound = np.array(limit).astype(dtype)
    np.testing.assert_array_equal(array, np.clip(source, -bound, bound))
    assert math.isnan(array[0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fill_zero(dtype, layout):
    array = as_layout(make(dtype, (9, 131), 9, -6, 4), layout)
    norms.fill_zero([array, np.zeros((0, 3))])
    assert not array.any()
    assert not np.signbit(array.real).any()


def test_only_the_view_is_changed():
    base = np.ones((6, 6), np.float32)
    norms.scale([base[1:5:2, ::3]], 2.0)
    want = np.ones((6, 6))
    want[1:5:2, ::3] = 2
    np.testing.assert_array_equal(base, want)


def test_memory_of_a_broadcast_axis_is_changed_once():
    base = np.ones(4, np.float32)
    repeated = np.lib.stride_tricks.as_strided(base, (3, 4), (0, 4))
    norms.scale([repeated], 2.0)
    np.testing.assert_array_equal(base, np.full(4, 2))


@pytest.mark.parametrize("size", [1, 100_000])
def test_an_array_twice_is_scaled_twice(size):
    array = np.ones(size)
    norms.scale([array, array], 3.0)
    assert (array == 9.0).all()


def test_a_threaded_change_of_the_same_array_twice():
    array = np.ones(2_000_000, np.float32)
    for n in (1, 3):
        threads.set_num_threads(n)
        array[:] = 1
        norms.scale([array, array], 3.0)
        assert (array == 9.0).all()


CHANGES = {
    "scale": lambda arrays: norms.scale(arrays, 0.5),
    "clamp": lambda arrays: norms.clamp(arrays, 0.5),
    "fill_zero": norms.fill_zero,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_refusal_changes_nothing(name):
    def fresh():
        return [np.ones(4, np.float32), np.ones(4).astype(">f4"), np.ones((2, 2))[:, ::2]]

    locked = np.ones(3)
    locked.flags.writeable = False
    for culprit, error, message in [
        (locked, ValueError, f"{name}: array 3 is read-only"),
        (np.ones(3, np.int64), TypeError, f"{name}: array 3 must have float16/32/64 .* got int64"),
        ([1.0], TypeError, f"{name}: array 3 must be a numpy.ndarray; got list"),
    ]:
        arrays = [*fresh(), culprit]
        with pytest.raises(error, match=message):
            CHANGES[name](arrays)
        for array in arrays[:3]:
            assert (array == 1).all()
    assert (locked == 1).all()


def test_clamp_refuses_complex_and_bad_limits():
    arrays = [np.ones(3), np.ones(3, np.complex64)]
    with pytest.raises(TypeError, match="clamp: array 1 is complex"):
        norms.clamp(arrays, 0.5)
    for limit in (-1.0, math.nan):
        with pytest.raises(ValueError, match="clamp: limit must be a number >= 0"):
            norms.clamp(arrays[:1], limit)
    assert (arrays[0] == 1).all()


# ---- statistics --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", READ_LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_stats(dtype, layout):
    array = as_layout(make(dtype, (13, 217), 10, -6, 4), layout)
    row = norms.stats([np.ones(2), array])[1]
    assert_close(row[0], reference([array], 2.0))
    assert_close(row[1], reference([array], math.inf))
    values = array.ravel().tolist()
    if dtype.startswith("complex"):
        mean = abs(complex(math.fsum(v.real for v in values), math.fsum(v.imag for v in values)))
    else:
        mean = math.fsum(values)
    assert row[2] == pytest.approx(mean / array.size, rel=1e-14)
    np.testing.assert_array_equal(row[3:], [array.size - np.count_nonzero(array), 0, 0, array.size])


def test_stats_of_extreme_values():
    rows = norms.stats(
        [
            np.full(4, 1.5e308),
            np.full(4, 2.0**-1070),
            np.array([0.0, -0.0, math.nan, math.inf, -math.inf, 1.0], np.float32),
            np.array([0.0, math.inf]),
            np.zeros((0, 2)),
            np.zeros(3, np.float16),
            np.array([1e200, 0.0, 1e-200]),
        ]
    )
    inf, nan = math.inf, math.nan
    np.testing.assert_array_equal(
        rows[:6],
        [
            [inf, 1.5e308, 1.5e308, 0, 0, 0, 4],
            [2.0**-1069, 2.0**-1070, 2.0**-1070, 0, 0, 0, 4],
            [nan, nan, nan, 2, 1, 2, 6],
            [inf, inf, inf, 1, 0, 1, 2],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 3, 0, 0, 3],
        ],
    )
    assert rows[6, 0] == 1e200
    assert rows[6, 3] == 1


# ---- calls -------------------------------------------------------------------------------------


def test_no_allocation_of_gradient_size():
    arrays = [np.ones((1000, 1000), np.float32), np.ones((1000, 1000), np.float16)]
    arrays += [np.ones((1000, 2000))[:, ::2], np.ones((700, 700), np.complex64).T]
    tracemalloc.start()
    try:
        for p in (2.0, 1.0, math.inf, 3.0, 2.5):
            norms.total_norm(arrays, p)
        norms.norms(arrays, 2.0)
        norms.stats(arrays)
        norms.scale(arrays, 0.5)
        norms.clamp(arrays[:3], 0.25)
        norms.fill_zero(arrays)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000


@pytest.mark.parametrize("p", [0.0, -1.0, math.nan, -math.inf])
def test_p_must_be_positive(p):
    for function in (norms.total_norm, norms.norms):
        with pytest.raises(ValueError, match=f"{function.__name__}: p must be a positive number"):
            function([np.ones(3)], p)


def test_what_is_no_array_is_named_by_position():
    with pytest.raises(TypeError, match=r"total_norm: array 1 must be a numpy.ndarray; got float"):
        norms.total_norm([np.ones(3), 1.0], 2.0)
    with pytest.raises(TypeError, match="norms: array 0 must have a numeric dtype; got <U1"):
        norms.norms([np.array(["x"])], 2.0)


def test_many_arrays_and_a_generator():
    arrays = [np.full(i % 7, float(i)) for i in range(3000)]
    want = math.fsum(v * v for array in arrays for v in array.tolist())
    for n in (1, 3):
        threads.set_num_threads(n)
        assert_close(norms.total_norm((array for array in arrays), 2.0)[0], math.sqrt(want))


def test_errors_leak_nothing():
    array = np.ones((4, 4))[:, ::2]
    before = sys.getrefcount(array)
    for _ in range(100):
        with pytest.raises(TypeError):
            norms.total_norm([array] * 20 + [None], 2.0)
    assert sys.getrefcount(array) == before
