"""The convolution and pooling kernels against their NumPy references, in every geometry."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lucid
from lucid._backend import convolution as reference
from lucid._backend import pooling as pool_reference
from lucid._kernels import convolution as kernels
from lucid._kernels import pooling

SIMD = ("baseline", "avx2", "avx512")


def plain(monkeypatch):
    """The references, without their way out to the kernels."""
    monkeypatch.setattr(reference, "_compiled", lambda *_: False)
    monkeypatch.setattr(pool_reference, "compiled", lambda *_: False)


@st.composite
def geometries(draw, most=12):
    ndim = draw(st.integers(1, 3))

    def axes(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=ndim, max_size=ndim)))

    kernel, stride, dilation, padding = axes(1, 4), axes(1, 3), axes(1, 3), axes(0, 3)
    sizes = tuple(
        max(n, (k - 1) * d + 1 - 2 * p)
        for n, k, d, p in zip(axes(1, most), kernel, dilation, padding, strict=True)
    )
    out = tuple(
        (n + 2 * p - (k - 1) * d - 1) // s + 1
        for n, k, d, p, s in zip(sizes, kernel, dilation, padding, stride, strict=True)
    )
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    ins = draw(st.sampled_from([1, 2, 3, 4, 6, 15, 16]))  # many are vectors for the weight
    channels = ins, draw(st.sampled_from([1, 2, 3, 5, 7, 12, 13, 25]))
    batch = draw(st.sampled_from([0, 1, 2, 3, 9]))
    return batch, channels, sizes, out, kernel, stride, padding, dilation, groups


def arrays(case, dtype):
    batch, (ins, outs), sizes, out, kernel, *_, groups = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, ins * groups, *sizes)).astype(dtype)
    weight = rng.standard_normal((outs * groups, ins, *kernel)).astype(dtype)
    bias = rng.standard_normal(outs * groups).astype(dtype)
    g = rng.standard_normal((batch, outs * groups, *out)).astype(dtype)
    return x, weight, bias, g


def everything(module, case, dtype):
    """Convolution, its transposes and the bias's gradient, by `module`."""
    _, _, sizes, out, kernel, *rest = case
    x, weight, bias, g = arrays(case, dtype)
    back = np.ones(x.shape[1], dtype)
    return (
        module.convolution(x, weight, bias, out, *rest),
        module.convolution_transpose(g, weight, back, sizes, *rest),
        module.convolution_weight(x, g, kernel, *rest),
        module.channel_sums(g),
    )


def close(found, expected, dtype):
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape
        assert got.dtype == dtype
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=0, atol=64 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=120, deadline=None)
@given(case=geometries())
def test_every_geometry(dtype, case):
    with pytest.MonkeyPatch.context() as patch:
        plain(patch)
        expected = everything(reference, case, np.float64)
        if dtype == np.float32:  # the reference sees the same rounded inputs
            expected = everything_of_rounded(case)
    close(everything(kernels, case, dtype), expected, dtype)


def everything_of_rounded(case):
    class Rounded:
        @staticmethod
        def __getattr__(name):
            routine = getattr(reference, name)
            return lambda *args: routine(
                *[
                    a.astype(np.float32).astype(float) if isinstance(a, np.ndarray) else a
                    for a in args
                ]
            )

    return everything(Rounded(), case, np.float64)


BLOCKS = [
    # (batch, channels, sizes, out, kernel, stride, padding, dilation, groups): more than one block
    (1, (2, 3), (5000,), (5000,), (3,), (1,), (1,), (1,), 1),
    (2, (2, 13), (61, 67), (61, 67), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, (3, 5), (90, 70), (45, 35), (3, 3), (2, 2), (1, 1), (1, 1), 2),
    (40, (70, 65), (4, 4), (4, 4), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (3, (1, 1), (20, 20), (20, 20), (5, 5), (1, 1), (2, 2), (1, 1), 24),
    (2, (3, 4), (5, 20, 33), (5, 20, 33), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
    (2, (33, 40), (9, 9), (9, 9), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (35, (67, 9), (8, 8), (8, 8), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (19, (70, 33), (16, 16), (8, 8), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (3, (5, 17), (50, 40), (48, 42), (5, 3), (1, 1), (1, 2), (1, 1), 1),
    (3, (4, 9), (12, 12), (4, 4), (2, 1), (3, 3), (0, 0), (1, 1), 2),
    (2, (3, 8), (11, 11), (4, 4), (3, 3), (2, 2), (0, 0), (2, 2), 1),
    (1, (3, 4), (3438,), (2063,), (2,), (1,), (0,), (1375,), 1),  # a row of blocks, without gaps
    # rows of whole vectors, and vectors of channels
    (3, (16, 24), (41, 32), (41, 32), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, (30, 9), (18, 96), (9, 48), (4, 3), (2, 2), (1, 1), (1, 1), 2),
    (2, (16, 8), (5000,), (2500,), (3,), (2,), (1,), (1,), 1),
    (2, (15, 13), (4, 6, 16), (4, 6, 16), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
]


@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_blocks_groups_and_chunks(case, monkeypatch):
    found = everything(kernels, case, np.float64)
    plain(monkeypatch)
    close(found, everything(reference, case, np.float64), np.float64)


@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_bits_do_not_depend_on_the_threads(case):
    before = lucid.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            lucid.set_num_threads(threads)
            results.append(everything(kernels, case, np.float32))
    finally:
        lucid.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_strided_and_read_only_arrays():
    case = (2, (3, 4), (7, 6), (7, 6), (3, 3), (1, 1), (1, 1), (1, 1), 1)
    x, weight, bias, _ = arrays(case, np.float32)
    expected = kernels.convolution(x, weight, bias, *case[3:4], *case[5:])
    x.flags.writeable = False
    for view in (
        np.asfortranarray(x),
        np.repeat(x, 2, 3)[..., ::2],
        x[..., ::-1].copy()[..., ::-1],
    ):
        found = kernels.convolution(view, np.asfortranarray(weight), bias, *case[3:4], *case[5:])
        np.testing.assert_array_equal(found, expected)


def test_values_that_are_not_finite_stay_where_they_are_seen():
    x = np.zeros((1, 1, 6, 6), np.float32)
    x[0, 0, 2, 3] = np.inf
    out = kernels.convolution(
        x, np.ones((1, 1, 3, 3), np.float32), None, (6, 6), (1, 1), (1, 1), (1, 1), 1
    )
    seen = np.zeros((6, 6), bool)
    seen[1:4, 2:5] = True
    np.testing.assert_array_equal(np.isinf(out[0, 0]), seen)
    assert not np.isnan(out).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(  # shared planes up to 7, then dense ones; vectors of source channels
    ("ins", "outs"), [(2, 1), (2, 2), (2, 5), (2, 7), (2, 8), (2, 13), (15, 9)]
)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    ("sizes", "out", "kernel", "stride", "padding", "dilation"),
    [
        ((6, 6), (6, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
        ((7, 37), (5, 35), (3, 3), (1, 1), (0, 0), (1, 1)),
        ((9, 11), (4, 5), (3, 3), (2, 2), (0, 0), (1, 1)),
        ((40, 50), (40, 50), (3, 5), (1, 1), (2, 4), (2, 2)),  # more than one block
        ((3, 5, 6), (3, 5, 6), (1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1)),
    ],
)
def test_the_weight_s_gradient_is_not_finite_where_the_reference_s_is_not(
    sizes, out, kernel, stride, padding, dilation, bad, ins, outs, dtype, monkeypatch
):
    rng = np.random.default_rng(0)
    settings = (kernel, stride, padding, dilation, 1)
    x = rng.uniform(1, 2, (3, ins, *sizes)).astype(dtype)
    g = rng.uniform(1, 2, (3, outs, *out)).astype(dtype)
    cases = []
    last = sizes[-1] - 1
    for image, place in ((0, (0, last)), (2, (1, 0)), (1, (-1, -1)), (2, (2, last // 2))):
        spoilt = x.copy()
        spoilt[(image, 1, ..., *place)] = bad
        cases.append((spoilt, g))
    inside = g.copy()
    inside[2, -1, ..., 2, 1] = bad  # a tap that sees padding there is a NaN, as in the reference
    cases.append((x, inside))
    found = [kernels.convolution_weight(*case, *settings) for case in cases]
    plain(monkeypatch)
    with np.errstate(invalid="ignore"):
        expected = [reference.convolution_weight(*case, *settings) for case in cases]
    for got, want in zip(found, expected, strict=True):
        assert not np.isfinite(want).all()
        np.testing.assert_allclose(got, want, rtol=2000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("sources", [3, 15])
@pytest.mark.parametrize("channels", [1, 9])
def test_the_weight_s_gradient_sees_no_other_channel_and_no_old_memory(channels, sources):
    rng = np.random.default_rng(0)
    for images in (40, 5):  # the second reuses the memory of the first, and fills less of it
        x = rng.standard_normal((images, sources, 5, 5)).astype(np.float32)
        g = rng.standard_normal((images, channels, 5, 5)).astype(np.float32)
        if images == 40:
            x[:, :, 2, 2] = np.nan
        else:
            x[:, 1] = np.inf
        out = kernels.convolution_weight(x, g, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    assert np.isfinite(np.delete(out, 1, 1)).all()
    assert not np.isfinite(out[:, 1]).any()


def test_memory_of_earlier_calls_is_not_read(monkeypatch):
    case = (9, (40, 7), (9, 5), (11, 1), (1, 3), (1, 1), (1, 1), (1, 3), 1)
    before = lucid.get_num_threads()
    results = []
    try:
        lucid.set_num_threads(2)
        for _ in range(20):
            fill_the_pool_with_nan()
            results.append(everything(kernels, case, np.float64))
    finally:
        lucid.set_num_threads(before)
    plain(monkeypatch)
    expected = everything(reference, case, np.float64)
    for found in results:
        close(found, expected, np.float64)


def fill_the_pool_with_nan():
    kept = []
    for size in range(4000, 90000, 2000):
        x = np.full((1, 1, size), np.nan)
        for _ in range(2):
            kept.append(
                kernels.convolution(x, np.ones((1, 1, 1)), None, (size,), (1,), (0,), (1,), 1)
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_sum_without_terms_is_the_bias(with_bias, groups, kernel, dtype):
    fill_the_pool_with_nan()
    rest = ((kernel, kernel), (1, 1), (0, 0), (1, 1), groups)
    size = (40 + kernel - 1, 30 + kernel - 1)
    bias = np.arange(1, 5).astype(dtype) if with_bias else None
    expected = np.zeros((2, 4, 1, 1), dtype)
    if bias is not None:
        expected += bias[:, None, None]
    x, weight = np.zeros((2, 0, *size), dtype), np.zeros((4, 0, kernel, kernel), dtype)
    out = kernels.convolution(x, weight, bias, (40, 30), *rest[1:])
    np.testing.assert_array_equal(out, np.broadcast_to(expected, (2, 4, 40, 30)))
    x, weight = np.zeros((2, 0, 40, 30), dtype), np.zeros((0, 4 // groups, kernel, kernel), dtype)
    out = kernels.convolution_transpose(x, weight, bias, size, *rest[1:])
    np.testing.assert_array_equal(out, np.broadcast_to(expected, (2, 4, *size)))
    for images, ins, outs in ((2, 0, 4), (2, 4, 0), (0, 2, 4)):
        x, g = np.zeros((images, ins, *size), dtype), np.zeros((images, outs, 40, 30), dtype)
        out = kernels.convolution_weight(x, g, *rest)
        np.testing.assert_array_equal(out, np.zeros((outs, ins // groups, kernel, kernel), dtype))


@pytest.mark.parametrize("images", [1, 7, 100_000])
def test_the_bias_s_gradient_is_exact_to_the_last_digits(images):
    g = np.random.default_rng(0).uniform(0, 1, (images, 3, 1, 1)).astype(np.float32)
    exact = g.astype(float).sum(axis=(0, 2, 3))
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(kernels.channel_sums(g), exact, rtol=eps)


# -------------------------------------------------------------------- pooling


GLOBAL = [  # sizes, kernel, stride, padding: windows wider than they are many
    ((8, 8), (8, 8), (8, 8), (0, 0)),
    ((7, 7), (7, 7), (1, 1), (0, 0)),
    ((3, 17, 19), (3, 17, 19), (1, 1, 1), (0, 0, 0)),
    ((20, 33), (9, 31), (3, 7), (4, 15)),
    ((100,), (40,), (30,), (20,)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", GLOBAL, ids=str)
def test_averages_of_wide_windows(case, dtype, monkeypatch):
    sizes, *settings = case
    counts = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(sizes, *settings, strict=True))
    x = np.random.default_rng(0).standard_normal((2, 3, *sizes)).astype(dtype)
    ones = (1,) * len(sizes)
    found = pools(pooling, x, counts, *settings, ones)[2:]
    plain(monkeypatch)
    close(found, pools(pool_reference, x.astype(float), counts, *settings, ones)[2:], dtype)


def pools(module, x, counts, kernel, stride, padding, dilation):
    best, index = module.max_pool(x, counts, kernel, stride, padding, dilation)
    plain_counts = tuple(
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(x.shape[2:], padding, kernel, stride, strict=True)
    )
    out = [best, index]
    if min(plain_counts) > 0:
        for count_padding, divisor in ((True, 0.0), (False, 0.0), (True, 3.0)):
            settings = (kernel, stride, padding, count_padding, divisor)
            mean = module.avg_pool(x, plain_counts, *settings)
            out += [mean, module.avg_pool_backward(mean, x.shape[2:], *settings)]
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=80, deadline=None)
@given(case=geometries(most=40), ties=st.booleans())
def test_pooling(dtype, case, ties):
    batch, (channels, _), sizes, counts, kernel, stride, padding, dilation, _ = case
    padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
    counts = tuple(
        max((n + 2 * p - (k - 1) * d - 1) // s + 1, 1)
        for n, k, d, p, s in zip(sizes, kernel, dilation, padding, stride, strict=True)
    )
    x = np.random.default_rng(0).standard_normal((batch, channels, *sizes)).astype(dtype)
    if ties:
        x = np.round(x)
        x[x == 2] = -np.inf
        x[x == -2] = np.nan
    found = pools(pooling, x, counts, kernel, stride, padding, dilation)
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        plain(patch)
        expected = pools(pool_reference, x, counts, kernel, stride, padding, dilation)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    for got, want in zip(found[2:], expected[2:], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------------- levels


@pytest.mark.parametrize("level", SIMD)
def test_every_instruction_set(level):
    code = (
        "import numpy as np, pytest\n"
        "from tests.kernels import test_convolution as t\n"
        "with pytest.MonkeyPatch.context() as patch:\n"
        "    for case in t.BLOCKS:\n"
        "        found = t.everything(t.kernels, case, np.float32)\n"
        "        patch.undo()\n"
        "        t.plain(patch)\n"
        "        t.close(found, t.everything_of_rounded(case), np.float32)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"LUCID_SIMD": level},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
