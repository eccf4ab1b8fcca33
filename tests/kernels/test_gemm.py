"""The matrix-product engine against float64 (or exact) products, at every edge and level."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid._kernels import gemm, threads

DTYPES = [np.float32, np.float64]
# 0, 1, odd, prime, and around the tiles (4, 6, 12 x 8 .. 32), the depth block 256, the row block.
SIZES = [1, 2, 3, 5, 7, 11, 12, 13, 16, 17, 31, 32, 33, 64, 97]
LAYOUTS = ["C", "F", "sliced", "reversed", "row_broadcast", "column_broadcast", "read_only"]


def random(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def laid_out(rng, shape, dtype, layout):
    *batch, rows, columns = shape
    if layout == "F":
        return random(rng, (*batch, columns, rows), dtype).swapaxes(-1, -2)
    if layout == "sliced":
        return random(rng, (*batch, 2 * rows, 3 * columns + 1), dtype)[..., ::2, 1::3]
    if layout == "reversed":
        return random(rng, shape, dtype)[..., ::-1, ::-1]
    if layout == "row_broadcast":
        return np.broadcast_to(random(rng, (*batch, 1, columns), dtype), shape)
    if layout == "column_broadcast":
        return np.broadcast_to(random(rng, (*batch, rows, 1), dtype), shape)
    x = random(rng, shape, dtype)
    x.flags.writeable = layout != "read_only"
    return x


def check(result, a, b, extra=None):
    """Within the error bound of any order of summation: (k + 2) eps |a| |b| (Higham, 3.5)."""
    k = a.shape[-1]
    longer = np.float64 if a.dtype == np.float32 else np.longdouble
    exact = np.matmul(a.astype(longer), b.astype(longer))
    size = np.matmul(abs(a).astype(float), abs(b).astype(float))
    if extra is not None:
        exact = exact + extra.astype(longer)
        size = size + abs(extra)
    assert isinstance(result, np.ndarray)
    assert result.dtype == a.dtype
    assert result.shape == exact.shape
    assert result.flags.c_contiguous
    assert result.flags.owndata
    assert result.flags.writeable
    assert (abs(result - exact) <= (k + 2) * np.finfo(a.dtype).eps * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SIZES)
def test_every_size(dtype, m):
    rng = np.random.default_rng(m)
    for n in SIZES:
        for k in (1, 2, 3, 4, 5, 8, 15, 33, 64, 131):
            a, b = random(rng, (m, k), dtype), random(rng, (k, n), dtype)
            at, bt = random(rng, (k, m), dtype).T, random(rng, (n, k), dtype).T
            check(gemm.matmul(a, b), a, b)
            check(gemm.matmul(at, b), at, b)
            check(gemm.matmul(a, bt), a, bt)
            check(gemm.matmul(at, bt), at, bt)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (383, 65, 257), (384, 64, 256), (385, 63, 255), (769, 33, 31), (1000, 10, 600),
        (1, 1000, 513), (1000, 1, 513), (2, 500, 1025), (8, 70, 700), (9, 70, 700), (5, 1, 3000),
        (1, 3, 100_000), (12, 4100, 12), (30_000, 3, 5), (193, 97, 1031), (16, 65, 300),
        (17, 66, 300), (32, 67, 301), (33, 31, 301), (1, 100, 1), (1, 9, 3), (192, 16, 193),
    ],
)  # fmt: skip
def test_around_the_blocks(dtype, m, n, k):
    rng = np.random.default_rng(m + n + k)
    for a_layout in "CF":
        for b_layout in "CF":
            a, b = laid_out(rng, (m, k), dtype, a_layout), laid_out(rng, (k, n), dtype, b_layout)
            check(gemm.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [93, 96, 97, 191, 192, 193, 252, 253, 256, 257, 382, 384, 385])
def test_the_last_rows_of_a_full_block(dtype, m):
    rng = np.random.default_rng(m)
    for k in (192, 256):
        a, b = random(rng, (m, k), dtype), random(rng, (k, 400), dtype)
        check(gemm.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("a_layout", LAYOUTS)
@pytest.mark.parametrize("b_layout", LAYOUTS)
def test_layouts(dtype, a_layout, b_layout):
    rng = np.random.default_rng(1)
    for m, n, k in [(1, 1, 1), (1, 40, 70), (40, 1, 70), (5, 37, 130), (37, 110, 67), (400, 40, 9)]:
        a, b = laid_out(rng, (m, k), dtype, a_layout), laid_out(rng, (k, n), dtype, b_layout)
        before = a.copy(), b.copy()
        check(gemm.matmul(a, b), a, b)
        np.testing.assert_array_equal(a, before[0])
        np.testing.assert_array_equal(b, before[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)), ((0,), (0,)), ((1,), (1,)), ((300,), (300,)),
        ((3,), (3, 4)), ((4, 3), (3,)), ((3,), (5, 3, 4)), ((5, 4, 3), (3,)), ((2, 5, 4, 3), (3,)),
        ((0, 3), (3, 4)), ((4, 3), (3, 0)), ((4, 0), (0, 3)), ((0, 0), (0, 0)), ((0,), (0, 3)),
        ((5, 4, 3), (3, 2)), ((4, 3), (5, 3, 2)), ((5, 4, 3), (5, 3, 2)), ((5, 1, 3), (3, 2)),
        ((5, 4, 3), (1, 3, 2)), ((1, 4, 3), (5, 3, 2)), ((2, 1, 4, 3), (5, 3, 2)),
        ((2, 5, 4, 3), (1, 5, 3, 2)), ((2, 1, 4, 3), (1, 5, 3, 2)), ((2, 3, 4, 5), (5, 6)),
        ((0, 4, 3), (3, 2)), ((0, 4, 3), (0, 3, 2)), ((5, 0, 3), (3, 2)), ((5, 4, 0), (0, 2)),
        ((1, 1, 1), (1, 1)), ((2, 0, 4, 3), (1, 3, 2)), ((1, 4, 3), (0, 3, 2)),
        ((300, 2, 40), (300, 40, 3)),
    ],
)  # fmt: skip
def test_vectors_stacks_and_empty(dtype, a, b):
    rng = np.random.default_rng(2)
    x, y = random(rng, a, dtype), random(rng, b, dtype)
    check(gemm.matmul(x, y), x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_strided_stacks(dtype):
    rng = np.random.default_rng(3)
    x, y = random(rng, (4, 6, 8, 10), dtype), random(rng, (4, 6, 10, 7), dtype)
    views = [
        (x[::2], y[1::2]),
        (x[:, ::-1], y),
        (x.transpose(1, 0, 2, 3), y[0, 0]),
        (x.transpose(0, 2, 1, 3), y[0, 0]),
        (x[:, :, :1], y[0, 0]),
        (x[:, ::2, :1], y[0, 0]),
        (x[:, :, ::2], y[0, 0]),
        (np.broadcast_to(x[:1], x.shape), y),
        (np.broadcast_to(x[:, :1], x.shape), y[0, 0]),
        (x, np.broadcast_to(y[:, :1], y.shape)),
        (x.swapaxes(-1, -2), x),
        (x, x.swapaxes(-1, -2)),
        (x, y[:, :, :, 0][..., None]),
        (x[0, 0, 0, ::-2], y[:, :, ::2]),
    ]
    for a, b in views:
        check(gemm.matmul(a, b), a, b)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_shape_and_stride(data):
    size = st.integers(0, 40)
    m, n, k = data.draw(size), data.draw(size), data.draw(size)
    dtype = data.draw(st.sampled_from(DTYPES))
    batch = data.draw(st.lists(st.integers(1, 3), max_size=3))
    rng = np.random.default_rng(m * n + k)

    def operand(shape):
        own = [data.draw(st.sampled_from([size, 1])) for size in batch]
        own = own[data.draw(st.integers(0, len(own))) :]
        full = random(rng, [2 * size + 1 for size in (*own, *shape)], dtype)
        for axis, size in enumerate((*own, *shape)):
            step = data.draw(st.sampled_from([1, 1, 2, -1, -2]))
            start = 0 if step > 0 else 2 * size
            index = [slice(None)] * full.ndim
            index[axis] = slice(start, None, step)
            full = full[tuple(index)]
            index[axis] = slice(0, size)
            full = full[tuple(index)]
        return full

    a, b = operand((m, k)), operand((k, n))
    check(gemm.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [2, 3, 4, 5, 16, 17, 49])
def test_rows_that_compete_for_a_cache_line(dtype, m):
    rng = np.random.default_rng(m)
    for n, k in [(512, 16), (1024, 33), (1000, 95)]:
        b = random(rng, (k, 1024), dtype)[:, :n]
        for layout in "CF":
            a = laid_out(rng, (m, k), dtype, layout)
            check(gemm.matmul(a, b), a, b)
            check(gemm.matmul(a[1:], b[:, 3:]), a[1:], b[:, 3:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_lies_around_an_operand(dtype):
    rng = np.random.default_rng(12)

    def surrounded(shape):
        whole = np.full([size + 40 for size in shape], np.nan, dtype)
        part = whole[20:-20, 20:-20]
        part[:] = random(rng, shape, dtype)
        return part

    for m in (1, 3, 8, 16, 20, 33, 64):
        for n, k in [(1, 9), (5, 3), (10, 40), (33, 70), (70, 257)]:
            for a in (surrounded((m, k)), surrounded((k, m)).T):
                for b in (surrounded((k, n)), surrounded((n, k)).T):
                    check(gemm.matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_are_exact(dtype):
    rng = np.random.default_rng(4)
    for m, n, k in [(7, 9, 11), (1, 50, 300), (50, 1, 300), (8, 40, 500), (400, 70, 300)]:
        a, b = rng.integers(-9, 9, (m, k)), rng.integers(-9, 9, (k, n))
        for left in (a.astype(dtype), np.asfortranarray(a.astype(dtype))):
            for right in (b.astype(dtype), np.asfortranarray(b.astype(dtype))):
                np.testing.assert_array_equal(gemm.matmul(left, right), a @ b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 40, 70), (40, 1, 70), (8, 40, 300), (40, 50, 9)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(dtype, shape, value):
    m, n, k = shape
    rng = np.random.default_rng(5)
    for a_layout in "CF":
        for b_layout in "CF":
            a, b = laid_out(rng, (m, k), dtype, a_layout), laid_out(rng, (k, n), dtype, b_layout)
            a[m // 2, k // 3] = value
            b[k // 2, n - 1] = value
            with np.errstate(invalid="ignore"):
                expected = np.matmul(a, b)
            result = gemm.matmul(a, b)
            np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
            infinite = np.isinf(expected)
            np.testing.assert_array_equal(result[infinite], expected[infinite])
            assert np.isfinite(result[np.isfinite(expected)]).all()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)),
        (np.ones((2, 3), np.float16), np.ones((3, 4), np.float16)),
        (np.ones((2, 3), np.complex64), np.ones((3, 4), np.complex64)),
        (np.ones((2, 3), np.float32), np.ones((3, 4))),
        (np.ones((2, 3), ">f4"), np.ones((3, 4), ">f4")),
        (np.arange(3), np.arange(3)),
        (np.frombuffer(bytes(100), np.float32, 6, offset=1).reshape(2, 3), np.ones((3, 4), "f4")),
    ],
)
def test_the_rest_is_numpys(a, b):
    result, expected = gemm.matmul(a, b), np.asarray(np.matmul(a, b))
    assert isinstance(result, np.ndarray)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (2, 3)), ((3,), (2,)), ((), (2,)), ((2,), ()), ((2, 2, 3), (3, 3, 2)), ((0,), (1,))],
)
def test_shapes_that_do_not_fit(a, b):
    with pytest.raises(ValueError, match=r"matmul|broadcast"):
        gemm.matmul(np.ones(a, np.float32), np.ones(b, np.float32))


def test_not_arrays():
    with pytest.raises(TypeError):
        gemm.matmul([1.0], np.ones(1))
    with pytest.raises(TypeError):
        gemm.matmul(np.ones(1), None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [(), (0,), (1,), (32,), (3, 5), (2, 0, 3), (400,)])
@pytest.mark.parametrize(("inputs", "outputs"), [(8, 16), (1, 1), (70, 33), (0, 3), (3, 0)])
def test_linear(dtype, rows, inputs, outputs):
    rng = np.random.default_rng(6)
    x, w = random(rng, (*rows, inputs), dtype), random(rng, (outputs, inputs), dtype)
    bias = random(rng, outputs, dtype)
    check(gemm.linear(x, w), x, w.T)
    check(gemm.linear(x, w, None), x, w.T)
    check(gemm.linear(x, w, bias), x, w.T, bias)
    check(gemm.linear(x[..., ::-1], w[::-1], bias[::-1]), x[..., ::-1], w[::-1].T, bias[::-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [(), (0,), (1,), (32,), (3, 5), (2, 0, 3), (400,)])
@pytest.mark.parametrize(("inputs", "outputs"), [(8, 16), (1, 1), (70, 33), (0, 3), (3, 0)])
def test_linear_backward(dtype, rows, inputs, outputs):
    rng = np.random.default_rng(7)
    w = random(rng, (outputs, inputs), dtype)
    x, g = random(rng, (*rows, inputs), dtype), random(rng, (*rows, outputs), dtype)
    gx, gw, gb = gemm.linear_backward(g, x, w, True, True, True)
    count = int(np.prod(rows))
    flat_g, flat_x = g.reshape(count, outputs), x.reshape(count, inputs)
    check(gx, g, w)
    check(gw, flat_g.T, flat_x)
    check(gb, np.ones(count, dtype), flat_g)
    assert gemm.linear_backward(g, x, w, False, False, False) == (None, None, None)
    only = gemm.linear_backward(g, x, w, False, True, False)
    np.testing.assert_array_equal(only[1], gw)
    assert only[0] is only[2] is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_on_views(dtype):
    rng = np.random.default_rng(8)
    w, whole = random(rng, (5, 7), dtype), random(rng, (4, 6, 8, 7), dtype)
    upstream = random(rng, (4, 6, 8, 5), dtype)
    for view in (
        lambda x: x[::2],
        lambda x: x[:, ::2],
        lambda x: x[..., ::-1, :],
        lambda x: x.transpose(1, 0, 2, 3),
        lambda x: x.transpose(2, 1, 0, 3)[::3],
        lambda x: x[:, :1],
        lambda x: x[0, 0, :1],
        lambda x: np.broadcast_to(x[:1], x.shape),
    ):
        x, g = view(whole), view(upstream)
        check(gemm.linear(x, w), x, w.T)
        gx, gw, gb = gemm.linear_backward(g, x, w, True, True, True)
        check(gx, g, w)
        check(gw, g.reshape(-1, 5).T, x.reshape(-1, 7))
        check(gb, np.ones(g[..., 0].size, dtype), g.reshape(-1, 5))


def test_linear_elsewhere():
    x, w, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(4, 3), np.arange(4)
    np.testing.assert_array_equal(gemm.linear(x, w, b), x @ w.T + b)
    gx, gw, gb = gemm.linear_backward(x @ w.T, x, w, True, True, True)
    np.testing.assert_array_equal(gx, x @ w.T @ w)
    np.testing.assert_array_equal(gw, (x @ w.T).T @ x)
    np.testing.assert_array_equal(gb, (x @ w.T).sum(0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(400, 130, 300), (700, 40, 200), (128, 900, 50), (100, 30, 1500), (1, 2100, 1000),
     (2100, 1, 1000), (8, 1000, 900), (12, 20, 10_000)],
)  # fmt: skip
def test_same_bits_for_any_thread_count(dtype, m, n, k):
    rng = np.random.default_rng(9)
    before = threads.get_num_threads()
    for a_layout in "CF":
        for b_layout in "CF":
            a, b = laid_out(rng, (m, k), dtype, a_layout), laid_out(rng, (k, n), dtype, b_layout)
            results = []
            try:
                for count in (1, 2, 3):
                    threads.set_num_threads(count)
                    results.append(gemm.matmul(a, b))
            finally:
                threads.set_num_threads(before)
            check(results[0], a, b)
            np.testing.assert_array_equal(results[0], results[1])
            np.testing.assert_array_equal(results[0], results[2])


def test_products_at_the_same_time():
    """They pack into memory that is kept from one to the next, but never shared."""
    rng = np.random.default_rng(13)
    pairs = [
        (random(rng, (400 + 50 * i, k), np.float32), random(rng, (k, 150 + i), np.float32))
        for i, k in enumerate([300, 90, 500, 200] * 3)
    ]
    alone = [gemm.matmul(a, b) for a, b in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(gemm.matmul, *zip(*pairs, strict=True)))
    for (a, b), one, other in zip(pairs, alone, together, strict=True):
        check(one, a, b)
        np.testing.assert_array_equal(one, other)


def test_threads_share_a_stack():
    rng = np.random.default_rng(11)
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(2)
        for shape in [(50, 33, 40), (3, 130, 170), (700, 20, 30), (9000, 3, 5)]:
            a, b = random(rng, shape, np.float32), random(rng, shape, np.float32).swapaxes(1, 2)
            check(gemm.matmul(a, b), a, b)
    finally:
        threads.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(0, 3, 4), (3, 0, 4), (3, 5, 0), (1, 1, 1), (7, 35, 20), (1, 60, 300), (60, 1, 300),
     (1, 1, 500), (5, 40, 600), (400, 70, 530)],
)  # fmt: skip
def test_plugs(dtype, m, n, k):
    """Scale, accumulate, biases, activation, packed b and a caller's packer, in all mixtures."""
    rng = np.random.default_rng(10)
    longer = np.float64 if dtype == np.float32 else np.longdouble
    a, b = random(rng, (m, k), dtype), random(rng, (k, n), dtype)
    bt = np.ascontiguousarray(b.T).T
    rows, columns = random(rng, m, dtype), random(rng, n, dtype)
    product = np.matmul(a.astype(longer), b.astype(longer))
    size = np.matmul(abs(a).astype(float), abs(b).astype(float)) + 4
    for mixture in range(128):
        accumulate, relu, row, column, packed, custom, transposed = (
            bool(mixture >> bit & 1) for bit in range(7)
        )
        alpha = 1.0 if mixture % 3 else -0.5
        whole = random(rng, (m, n + 3), dtype)
        before = whole.copy()
        c = whole[:, :n]
        expected = alpha * product
        if accumulate:
            expected = expected + before[:, :n]
        if row:
            expected = expected + rows[:, None]
        if column:
            expected = expected + columns
        if relu:
            expected = np.maximum(expected, 0)
        gemm._product(
            a, bt if transposed else b, c, alpha, accumulate, relu,
            rows if row else None, columns if column else None, packed, custom,
        )  # fmt: skip
        tolerance = (k + 6) * np.finfo(dtype).eps * (size + abs(before[:, :n]))
        assert (abs(c - expected) <= tolerance).all(), mixture
        np.testing.assert_array_equal(whole[:, n:], before[:, n:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 40, 3), (1, 40, 80), (5, 40, 80)])
def test_relu_lets_nan_through(dtype, shape):
    m, n, k = shape
    a, b = np.ones((m, k), dtype), -np.ones((k, n), dtype)
    a[0, 0] = b[1, n - 1] = np.nan
    for packed in (False, True):
        c = np.empty((m, n), dtype)
        gemm._product(a, b, c, 1.0, False, True, None, None, packed, False)
        expected = np.zeros((m, n), dtype)
        expected[0] = expected[:, n - 1] = np.nan
        np.testing.assert_array_equal(c, expected)


@pytest.mark.skipif("LUCID_SIMD" in os.environ, reason="runs this file at each lower level")
@pytest.mark.parametrize("level", ["avx2", "baseline"])
def test_lower_levels(level):
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__, "-k",
         "(every_size and 7) or around or compete or layouts or exact or finite or stacks or plugs "
         "or relu"],
        env={**os.environ, "LUCID_SIMD": level},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
