"""Element-wise kernels against NumPy in float64, for every layout that reaches them."""

import math

import numpy as np
import pytest

from lucid._kernels import pointwise, threads

REALS = [np.float32, np.float64]


def erf(x):
    return np.array([math.erf(v) for v in np.ravel(x).tolist()]).reshape(np.shape(x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def gelu_tanh(x):
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


UNARY = {
    "neg": np.negative, "abs": np.abs, "square": np.square, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10,
    "tanh": np.tanh, "sigmoid": sigmoid, "erf": erf, "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "softplus": lambda x: np.logaddexp(0, x), "silu": lambda x: x * sigmoid(x),
    "gelu": gelu, "gelu_tanh": gelu_tanh, "hardtanh": lambda x: np.clip(x, -1, 1),
    "hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hardshrink": lambda x: np.where(np.abs(x) <= 0.5, 0, x),
    "softshrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "softsign": lambda x: x / (1 + np.abs(x)), "tanhshrink": lambda x: x - np.tanh(x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
}  # fmt: skip
POSITIVE = {"sqrt", "rsqrt", "log", "log2", "log10", "log1p"}
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip


def values(shape, dtype, seed=0):
    """Away from 0, of both signs."""
    random = np.random.default_rng(seed)
    return (random.uniform(0.1, 4, shape) * random.choice([-1, 1], shape)).astype(dtype)


def layouts(x):
    """The values of `x` (2-D) at rest, transposed, strided, reversed, read-only, byte-swapped."""
    wide = np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)
    readonly = x.copy()
    readonly.flags.writeable = False
    return [
        x, np.asfortranarray(x), wide[::2, ::3], x[::-1, ::-1].copy()[::-1, ::-1], readonly,
        x.astype(x.dtype.newbyteorder()),
    ]  # fmt: skip


def close(dtype):
    return {"rtol": 20 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps}


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype):
    x = values((5, 37), dtype)
    x = np.abs(x) if name in POSITIVE else x
    expected = UNARY[name](x.astype(np.float64))
    first = getattr(pointwise, name)(x)
    np.testing.assert_allclose(first, expected, **close(dtype))
    for operand in layouts(x):
        before = operand.copy()
        out = getattr(pointwise, name)(operand)
        assert type(out) is np.ndarray
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, first)
        np.testing.assert_array_equal(operand, before)
        assert not np.shares_memory(out, operand)


@pytest.mark.parametrize("name", UNARY)
def test_unary_of_other_dtypes(name):
    x = np.array([1, 2, 3])
    expected = UNARY[name](x.astype(np.float64))
    for dtype in (np.int64, np.int8, np.int32, np.float16):
        out = getattr(pointwise, name)(x.astype(dtype))
        tolerance = 2e-3 if dtype in (np.float16, np.int8) else 2e-6
        if not (name == "reciprocal" and dtype != np.float16 and out.dtype.kind in "iu"):
            np.testing.assert_allclose(out.astype(np.float64), expected, rtol=tolerance)
        assert out.dtype == np.float16 or dtype is not np.float16


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (4099,)])
@pytest.mark.parametrize("dtype", REALS)
def test_shapes(shape, dtype):
    x = np.ones(shape, dtype)
    for out in (
        pointwise.exp(x), pointwise.add(x, x), pointwise.add(x, 1.0), pointwise.sub(1, x),
        pointwise.relu_backward(x, x), pointwise.pow(x, 2), pointwise.pow(x, 1.5),
    ):  # fmt: skip
        assert type(out) is np.ndarray
        assert out.shape == shape
        assert out.dtype == dtype


BROADCASTS = [
    ((4, 7), (4, 7)), ((4, 7), (7,)), ((7,), (4, 7)), ((4, 7), (4, 1)), ((4, 1), (4, 7)),
    ((4, 7), (1,)), ((1, 1), (4, 7)), ((4, 7), (1, 1, 1)), ((4, 7), ()), ((2, 3, 4, 5), (3, 1, 1)),
    ((1, 3, 1, 1), (2, 3, 4, 5)), ((2, 3, 4, 5), (2, 3, 1, 1)), ((2, 3, 4, 5), (3, 4, 1)),
    ((2, 3, 4), (2, 1, 4)), ((4, 1), (1, 7)), ((4, 1), (7,)), ((3, 1, 5), (4, 1)), ((0, 7), (7,)),
    ((1, 7), (7,)), ((300, 40), (40,)), ((300, 40), (300, 1)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype):
    function = getattr(pointwise, name)
    for left, right in BROADCASTS:
        x, y = values(left, dtype), values(right, dtype, seed=1)
        out = function(x, y)
        assert type(out) is np.ndarray
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, BINARY[name](x, y))
    for x in layouts(values((5, 6), dtype)):
        for y in layouts(values((5, 6), dtype, seed=1)):
            np.testing.assert_array_equal(function(x, y), BINARY[name](x, y))


@pytest.mark.parametrize("number", [2.5, -3, 0, 2**60, np.float64(0.3), np.float32(0.3), True])
@pytest.mark.parametrize("dtype", [*REALS, np.int64, np.float16])
@pytest.mark.parametrize("name", BINARY)
def test_binary_with_a_number(name, dtype, number):
    x = values((3, 5), np.float64).astype(dtype)
    function = getattr(pointwise, name)
    with np.errstate(all="ignore"):
        right, left = BINARY[name](x, number), BINARY[name](number, x)
    np.testing.assert_array_equal(function(x, number), right)
    np.testing.assert_array_equal(function(number, x), left)
    assert function(x, number).dtype == right.dtype


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", BINARY)
def test_large_operands_of_any_layout(name, dtype):
    x = np.abs(values((130, 90), dtype)) + 1
    function = getattr(pointwise, name)
    for operand in layouts(x):
        np.testing.assert_array_equal(function(operand, 2.5), function(x, 2.5))
        np.testing.assert_array_equal(function(2.5, operand), function(2.5, x))
        for other in layouts(x[::-1].copy()):
            np.testing.assert_array_equal(function(operand, other), function(x, x[::-1].copy()))
        np.testing.assert_array_equal(function(operand, x[0]), function(x, x[0]))


def test_shapes_that_do_not_broadcast():
    with pytest.raises(ValueError, match="broadcast"):
        pointwise.add(np.ones((2, 3)), np.ones(2))


@pytest.mark.parametrize("dtype", REALS)
def test_nan_wins(dtype):
    x = np.array([np.nan, 1, np.nan] * 11, dtype)
    y = np.array([1, np.nan, np.nan] * 11, dtype)
    assert np.isnan(pointwise.maximum(x, y)).all()
    assert np.isnan(pointwise.minimum(x, y)).all()
    np.testing.assert_array_equal(pointwise.relu(x), x)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", ["add_", "sub_", "mul_", "div_"])
def test_in_place(name, dtype):
    function, reference = getattr(pointwise, name), BINARY[name[:-1]]
    for y in (values((6, 7), dtype, 1), 2.5, 3, values(7, dtype, 1), np.float64(2)):
        for x in layouts(values((6, 7), dtype))[:4]:
            expected = reference(x, y).astype(dtype)
            assert function(x, y) is x
            np.testing.assert_array_equal(x, expected)
    readonly = layouts(np.ones((2, 2), dtype))[4]
    with pytest.raises(ValueError, match="read-only"):
        function(readonly, 1.0)


@pytest.mark.parametrize("dtype", REALS)
def test_in_place_on_overlapping_memory(dtype):
    for target, source in ((slice(1, None), slice(0, -1)), (slice(0, -1), slice(1, None))):
        x = np.arange(100, dtype=dtype)
        expected = x[target] + x[source]
        pointwise.add_(x[target], x[source])
        np.testing.assert_array_equal(x[target], expected)
    x = np.arange(5, dtype=dtype)
    pointwise.add_(x, x)
    np.testing.assert_array_equal(x, 2 * np.arange(5))


@pytest.mark.parametrize("dtype", REALS)
def test_axpy(dtype):
    for y in layouts(values((6, 7), dtype, 1)):
        x = values((6, 7), dtype)
        expected = x + 0.3 * y.astype(np.float64)
        assert pointwise.axpy_(x, y, 0.3) is x
        np.testing.assert_allclose(x, expected, **close(dtype))


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -1, -0.5, 2.0, 1.7, 0, -3])
@pytest.mark.parametrize("dtype", REALS)
def test_pow(dtype, exponent):
    x = np.abs(values((4, 9), dtype))
    np.testing.assert_allclose(
        pointwise.pow(x, exponent), x.astype(np.float64) ** exponent, **close(dtype)
    )
    np.testing.assert_array_equal(pointwise.pow(np.array([1, 2, 3]), 2), [1, 4, 9])


def derivative(function, x, h=1e-5):
    return (function(x + h) - function(x - h)) / (2 * h)


GRADIENTS = {  # gradient kernel: the function, and whether it wants the output
    **{
        f"{name}_backward": (UNARY[name], False)
        for name in ("hardtanh", "hardsigmoid", "hardswish", "softsign", "tanhshrink", "elu",
                     "softplus", "log_sigmoid", "mish")
    },
    "shrink_backward": (UNARY["softshrink"], False),
    "relu_backward": (UNARY["relu"], True), "tanh_backward": (np.tanh, True),
    "sigmoid_backward": (sigmoid, True), "leaky_relu_backward": (UNARY["leaky_relu"], False),
    "silu_backward": (UNARY["silu"], False), "gelu_backward": (gelu, False),
    "gelu_tanh_backward": (gelu_tanh, False),
}  # fmt: skip


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, dtype):
    function, of_output = GRADIENTS[name]
    x, g = values((7, 23), np.float64), values((7, 23), dtype, 1)
    kept = (function(x) if of_output else x).astype(dtype)
    expected = g * derivative(function, x)
    rtol, atol = (2e-5, 1e-6) if dtype is np.float32 else (1e-7, 1e-9)
    for one, other in zip(layouts(g), reversed(layouts(kept)), strict=True):
        out = getattr(pointwise, name)(one, other)
        assert out.dtype == dtype
        np.testing.assert_allclose(out, expected, rtol=rtol, atol=atol)
    with pytest.raises(ValueError, match="shape"):
        getattr(pointwise, name)(g[0], kept)


def test_relu_backward_passes_nan_on():
    g, out = np.array([1.0, 2, 3]), np.array([0.0, np.nan, 1])
    np.testing.assert_array_equal(pointwise.relu_backward(g, out), [0, 2, 3])


@pytest.mark.parametrize("dtype", REALS)
def test_gelu_keeps_its_precision_in_the_left_tail(dtype):
    x = np.linspace(-9, -3, 50).astype(dtype)
    expected = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    np.testing.assert_allclose(pointwise.gelu(x), expected, rtol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", REALS)
def test_tanhshrink_does_not_cancel(dtype):
    mpmath = pytest.importorskip("mpmath")
    random = np.random.default_rng(0)
    x = np.concatenate([random.uniform(-3, 3, 1000), 10.0 ** random.uniform(-10, 2, 300)])
    x = x.astype(dtype)
    with mpmath.workprec(200):
        truth = [mpmath.mpf(v) - mpmath.tanh(v) for v in x.tolist()]
        errors = [
            abs(t - v) / float(np.spacing(np.abs(dtype(float(t)))))
            for t, v in zip(truth, pointwise.tanhshrink(x).tolist(), strict=True)
        ]
    assert max(errors) <= 4


def test_parameters():
    x = np.linspace(-5, 5, 41)
    g = np.linspace(1, 2, 41)
    scaled = np.where(2 * x > 6, x, np.log1p(np.exp(2 * x)) / 2)
    for out, expected in (
        (pointwise.softplus(x, 2.0, 6.0), scaled),
        (pointwise.softplus_backward(g, x, 2.0, 6.0), g * np.where(2 * x > 6, 1, sigmoid(2 * x))),
        (pointwise.elu(x, 0.5, 3.0, 2.0), np.where(x > 0, 3 * x, 1.5 * np.expm1(2 * x))),
        (pointwise.elu_backward(g, x, 0.5, 3.0, 2.0), g * np.where(x > 0, 3, 3 * np.exp(2 * x))),
        (pointwise.threshold(x, 1.0, -7.0), np.where(x > 1, x, -7)),
        (pointwise.threshold_backward(g, x, 1.0), np.where(x > 1, g, 0)),
        (pointwise.hardtanh(x, -2.0, 3.0), np.clip(x, -2, 3)),
        (pointwise.hardtanh_backward(g, x, -2.0, 3.0), np.where((x > -2) & (x < 3), g, 0)),
        (pointwise.hardshrink(x, 2.0), np.where(np.abs(x) > 2, x, 0)),
        (pointwise.softshrink(x, 2.0), np.where(np.abs(x) > 2, x - 2 * np.sign(x), 0)),
        (pointwise.shrink_backward(g, x, 2.0), np.where(np.abs(x) > 2, g, 0)),
    ):
        np.testing.assert_allclose(out, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", sorted(UNARY.keys() - POSITIVE - {"rsqrt", "reciprocal"}))
def test_nan_stays_nan(name):
    assert np.isnan(getattr(pointwise, name)(np.full(19, np.nan))).all()


HALVES = [((2,), 0), ((4, 6), 0), ((4, 6), 1), ((3, 4, 7), 1), ((2, 0), 1), ((0, 2), 1),
          ((600, 100), 0), ((600, 100), 1), ((2, 70_001), 0)]  # fmt: skip


@pytest.mark.parametrize("dtype", [*REALS, np.float16])
@pytest.mark.parametrize(("shape", "dim"), HALVES)
def test_glu(shape, dim, dtype):
    x = values(shape, dtype)
    a, b = (half.astype(np.float64) for half in np.split(x, 2, dim))
    g = values(a.shape, dtype, 1)
    parts = [g * sigmoid(b), g * a * sigmoid(b) * (1 - sigmoid(b))]
    limits = close(dtype)
    for given in (x, np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2]):
        out, back = pointwise.glu(given, dim), pointwise.glu_backward(g, given, dim)
        assert out.dtype == back.dtype == dtype
        np.testing.assert_allclose(out, a * sigmoid(b), **limits)
        np.testing.assert_allclose(back, np.concatenate(parts, dim), **limits)
    with pytest.raises(ValueError, match="shape"):
        pointwise.glu_backward(g[..., None], x, dim)


def test_glu_wants_halves():
    with pytest.raises(ValueError, match="no halves"):
        pointwise.glu(np.ones((2, 3)), 1)


# The draws of a seed are part of what a program can rely on: they must not change.
KEPT = [0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("dtype", [*REALS, np.float16])
def test_dropout_draws_by_place(dtype):
    x = values((37, 50), dtype)
    keep = pointwise.dropout(np.ones(x.shape), 0.3, 5) != 0
    np.testing.assert_array_equal(keep.ravel()[:16], KEPT)
    expected = np.where(keep, x.astype(np.float64) * 2 + 0.5, -3)
    for given in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
        out = pointwise.dropout(given, 0.3, 5, 1, 2.0, 0.5, -3.0)
        assert out.dtype == dtype
        np.testing.assert_allclose(out, expected, **close(dtype))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (7, 3)])
def test_dropout_shapes(shape):
    assert pointwise.dropout(np.ones(shape), 0.5, 1).shape == shape
    assert pointwise.rrelu(np.ones(shape), np.ones(shape), 0.1, 0.2, 1).shape == shape


def test_dropout_frequency_and_independence():
    for seed in (0, 1, 2**63 - 1):
        keep = pointwise.dropout(np.ones(1_000_000, np.float32), 0.3, seed)
        # Five standard deviations.
        assert abs(keep.mean() - 0.7) < 5 * (0.21 / 1e6) ** 0.5
        assert abs((keep[1:] * keep[:-1]).mean() - 0.49) < 5 * (0.25 / 1e6) ** 0.5
    one, other = (pointwise.dropout(np.ones(1_000_000), 0.5, seed) for seed in (3, 4))
    for lag in (0, 1, 7, 64):
        both = one[lag:] * other[: other.size - lag]
        assert abs(both.mean() - 0.25) < 5 * (0.1875 / 1e6) ** 0.5
    with pytest.raises(ValueError, match="group must be positive; got 0"):
        pointwise.dropout(np.ones(3), 0.5, 1, 0)


def test_all_64_bits_of_a_seed_count():
    masks = {
        pointwise.dropout(np.ones(64), 0.5, high << 32 | low).tobytes()
        for high in range(40) for low in range(40)
    }  # fmt: skip
    assert len(masks) == 1600


@pytest.mark.parametrize("group", [2, 7, 50, 100_000])
def test_dropout_of_groups(group):
    singles = pointwise.dropout(np.ones(300_000 // group + 1), 0.4, 9)
    groups = pointwise.dropout(np.ones(300_000, np.float32), 0.4, 9, group)
    np.testing.assert_array_equal(groups, np.repeat(singles, group)[:300_000])


@pytest.mark.parametrize("dtype", [*REALS, np.float16])
def test_rrelu(dtype):
    x, y = values((100, 70), dtype), values((100, 70), dtype, 1)
    slopes = pointwise.rrelu(np.ones(x.shape), np.full(x.shape, -1.0), 0.1, 0.4, 3)
    assert slopes.min() >= 0.1
    assert slopes.max() < 0.4
    assert abs(slopes.mean() - 0.25) < 0.01
    assert len(np.unique(slopes)) > 6900
    expected = np.where(x > 0, y, y * slopes)
    for given in (x, np.asfortranarray(x)):
        np.testing.assert_allclose(pointwise.rrelu(y, given, 0.1, 0.4, 3), expected, **close(dtype))


@pytest.mark.parametrize("dtype", REALS)
def test_thread_count_does_not_matter(dtype):
    x, y = values(600_001, dtype), values(600_001, dtype, 1)
    rows, bias = values((11_001, 50), dtype), values(50, dtype, 1)
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append([
                pointwise.gelu(x), pointwise.div(x, y), pointwise.mul(x, 3.0),
                pointwise.add(rows, bias), pointwise.add(rows[:, :1].copy(), rows),
                pointwise.gelu_backward(y, x), pointwise.axpy_(x.copy(), y, 0.1),
                pointwise.glu(rows, 1),
                pointwise.glu_backward(rows[:, :25].copy(), rows, 1),
                pointwise.dropout(x, 0.4, 7), pointwise.dropout(x, 0.4, 7, 11),
                pointwise.rrelu(x, y, 0.1, 0.2, 7), pointwise.mish(x), pointwise.prelu(x, 0.25),
            ])  # fmt: skip
    finally:
        threads.set_num_threads(before)
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


def test_complex_goes_to_numpy_or_is_refused():
    x = np.array([1 + 2j, -1j])
    np.testing.assert_array_equal(pointwise.exp(x), np.exp(x))
    np.testing.assert_array_equal(pointwise.mul(x, 2.0), x * 2)
    for call in (pointwise.gelu, lambda x: pointwise.glu(x, 0),
                 lambda x: pointwise.dropout(x, 0.5, 1)):  # fmt: skip
        with pytest.raises(TypeError, match="real"):
            call(x)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("part", [(), (1, 1), (40, 1), (700,), (1, 700)])
def test_views_that_broadcast(rng, dtype, part):
    x = rng.standard_normal((40, 700)).astype(dtype)
    y = np.broadcast_to(rng.standard_normal(part).astype(dtype), x.shape)
    for kernel, function in ((pointwise.mul, np.multiply), (pointwise.sub, np.subtract)):
        np.testing.assert_array_equal(kernel(x, y), function(x, y))
        np.testing.assert_array_equal(kernel(y, x), function(y, x))
        np.testing.assert_array_equal(kernel(y, y), function(y, y))
