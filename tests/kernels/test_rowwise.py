"""Row-wise kernels against NumPy in float64 and, where it is installed, against PyTorch."""

import itertools
import math

import numpy as np
import pytest

from lucid._kernels import rowwise, threads

REALS = [np.float32, np.float64]
SHAPES = [(), (1,), (5,), (32, 4), (3, 17), (7, 100), (2, 3, 4, 5), (40, 1100), (1, 1), (2, 70_000)]


def values(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def layouts(x):
    """The values of `x` (2-D) at rest, transposed, strided, reversed, read-only, byte-swapped."""
    wide = np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)
    readonly = x.copy()
    readonly.flags.writeable = False
    return [
        x, np.asfortranarray(x), wide[::2, ::3], x[::-1, ::-1].copy()[::-1, ::-1], readonly,
        x.astype(x.dtype.newbyteorder()),
    ]  # fmt: skip


def axes_of(shape):
    ndim = len(shape)
    yield None
    for count in range(1, ndim + 1):
        yield from itertools.combinations(range(ndim), count)
    yield from range(-ndim, ndim)


def close(dtype, slack=8):
    return {"rtol": slack * np.finfo(dtype).eps, "atol": slack * np.finfo(dtype).eps}


REDUCTIONS = {"sum": np.sum, "mean": np.mean, "amax": np.amax, "amin": np.amin}


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, dtype):
    for shape in SHAPES:
        x = np.abs(values(shape, dtype)) + dtype(0.5)
        for axis, keepdims in itertools.product(axes_of(shape), (False, True)):
            out = getattr(rowwise, name)(x, axis, keepdims)
            assert type(out) is np.ndarray
            assert out.dtype == dtype
            expected = REDUCTIONS[name](x.astype(np.longdouble), axis=axis, keepdims=keepdims)
            assert out.shape == expected.shape
            np.testing.assert_allclose(out, expected, **close(dtype, 4))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_every_layout_and_dtype(name):
    x = values((6, 35), np.float32)
    for operand in layouts(x):
        np.testing.assert_allclose(
            getattr(rowwise, name)(operand, 0), REDUCTIONS[name](x, axis=0), rtol=1e-5, atol=1e-6
        )
    for operand in (np.arange(6).reshape(2, 3), np.ones((2, 3), np.float16), np.eye(3) > 0):
        out = getattr(rowwise, name)(operand, 1)
        expected = REDUCTIONS[name](operand, axis=1)
        np.testing.assert_array_equal(out, expected)
        assert out.dtype == expected.dtype


def test_bad_axes():
    x = np.ones((2, 3))
    for axis in (2, -3, (0, 5), (0, 0)):
        with pytest.raises(ValueError, match="axis"):  # AxisError is a ValueError
            rowwise.sum(x, axis)


@pytest.mark.parametrize("dtype", REALS)
def test_empty_reductions(dtype):
    x = np.ones((0, 3), dtype)
    np.testing.assert_array_equal(rowwise.sum(x), 0)
    np.testing.assert_array_equal(rowwise.sum(x, 0), np.zeros(3))
    assert rowwise.sum(x, 1).shape == (0,)
    np.testing.assert_array_equal(rowwise.sum(np.ones((2, 0, 3), dtype), 1), np.zeros((2, 3)))
    assert rowwise.amax(np.ones((2, 3, 0), dtype), 1).shape == (2, 0)
    assert np.isnan(rowwise.mean(x, 0)).all()
    with pytest.raises(ValueError, match="zero-size"):
        rowwise.amax(x)


@pytest.mark.parametrize("dtype", REALS)
def test_long_sums_are_as_good_as_exact_ones(dtype):
    x = np.random.default_rng(3).uniform(0, 1, 1_000_003).astype(dtype)
    exact = math.fsum(x.tolist())
    assert abs(float(rowwise.sum(x)) - exact) <= 2 * np.spacing(dtype(exact))
    alternating = np.concatenate([x, -x])
    assert abs(float(rowwise.sum(alternating))) <= 1e-10 if dtype is np.float64 else 1e-1


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_non_finite_values_reach_the_result(dtype, bad):
    for size, place in itertools.product((3, 64, 5000, 600_000), (0, 1, -1)):
        x = np.ones(size, dtype)
        x[place] = bad
        np.testing.assert_array_equal(rowwise.sum(x), bad)
        np.testing.assert_array_equal(rowwise.amax(x), np.max(x))
        np.testing.assert_array_equal(rowwise.amin(x), np.min(x))
        np.testing.assert_array_equal(rowwise.argmax(x), np.argmax(x))
        np.testing.assert_array_equal(rowwise.argmin(x), np.argmin(x))
        rows = np.stack([x, x], axis=1)
        np.testing.assert_array_equal(rowwise.amax(rows, 0), np.max(rows, 0))
        np.testing.assert_array_equal(rowwise.sum(rows, 0), [bad, bad])


@pytest.mark.parametrize("dtype", REALS)
def test_index_of_extremes(dtype):
    for shape in SHAPES:
        x = np.round(values(shape, dtype) * 4)  # many ties: the first one counts
        for axis in (None, *range(len(shape))):
            np.testing.assert_array_equal(rowwise.argmax(x, axis), np.argmax(x, axis))
            np.testing.assert_array_equal(rowwise.argmin(x, axis), np.argmin(x, axis))
            assert rowwise.argmax(x, axis, True).shape == np.argmax(x, axis, keepdims=True).shape


@pytest.mark.parametrize("correction", [0, 1, 2.5])
@pytest.mark.parametrize("dtype", REALS)
def test_var_mean(dtype, correction):
    for shape in ((9,), (4, 33), (3, 4, 5)):
        x = values(shape, dtype) + dtype(100)
        for axis, keepdims in itertools.product((None, -1, 0), (False, True)):
            var, mean = rowwise.var_mean(x, axis, keepdims, correction)
            wide = x.astype(np.float64)
            expected = np.var(wide, axis=axis, keepdims=keepdims, ddof=correction)
            np.testing.assert_allclose(var, expected, rtol=2e-4 if dtype is np.float32 else 1e-12)
            np.testing.assert_allclose(mean, wide.mean(axis, keepdims=keepdims), **close(dtype))
            assert var.dtype == mean.dtype == dtype
    assert np.isnan(rowwise.var_mean(np.ones(1, dtype))[0])


# --- softmax --------------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("dtype", REALS)
def test_softmax(dtype):
    for shape in SHAPES[1:]:
        x, g = 3 * values(shape, dtype), values(shape, dtype, 1)
        p = softmax(x.astype(np.float64))
        np.testing.assert_allclose(rowwise.softmax(x), p, **close(dtype))
        np.testing.assert_allclose(rowwise.log_softmax(x), np.log(p), **close(dtype, 16))
        gradient = p * (g - (g * p).sum(-1, keepdims=True))
        np.testing.assert_allclose(
            rowwise.softmax_backward(g, p.astype(dtype)), gradient, **close(dtype)
        )
        gradient = g - p * g.astype(np.float64).sum(-1, keepdims=True)
        np.testing.assert_allclose(
            rowwise.log_softmax_backward(g, np.log(p).astype(dtype)), gradient, **close(dtype, 500)
        )


@pytest.mark.parametrize("columns", [3, 40])
def test_softmax_edges(columns):
    x = np.full((4, columns), -np.inf, np.float32)
    x[1, 0] = 5
    x[2, :2] = 1e38
    x[3, 0] = np.nan
    out = rowwise.softmax(x)
    assert np.isnan(out[0]).all()
    np.testing.assert_array_equal(out[1], np.eye(columns)[0])
    np.testing.assert_array_equal(out[2, :3], [0.5, 0.5, 0])
    assert np.isnan(out[3]).all()
    assert rowwise.softmax(np.ones((0, 3))).shape == (0, 3)
    assert rowwise.softmax(np.ones((3, 0))).shape == (3, 0)
    assert rowwise.softmax(np.ones((2, 2), np.float16)).dtype == np.float16
    np.testing.assert_array_equal(rowwise.softmax(np.ones((2, 2), int)), 0.5)
    for operand in layouts(values((5, columns), np.float64)):
        np.testing.assert_allclose(rowwise.softmax(operand), softmax(operand), rtol=1e-13)


# --- cross-entropy --------------------------------------------------------------------------------


def cross_entropy(x, target, weight, ignore_index, smoothing, reduction):
    """Loss and gradient of its sum with `1` upstream, in float64, from the definition."""
    classes = x.shape[1]
    weight = np.ones(classes) if weight is None else weight.astype(np.float64)
    used = target != ignore_index
    index = np.where(used, target, 0)
    desired = (1 - smoothing) * np.eye(classes)[index] * weight + smoothing / classes * weight
    log_p = np.log(softmax(x.astype(np.float64)))
    losses = np.where(used, -(desired * log_p).sum(1), 0)
    gradient = (np.exp(log_p) * desired.sum(1, keepdims=True) - desired) * used[:, None]
    divisor = weight[index][used].sum() if reduction == "mean" else 1
    return (losses if reduction == "none" else losses.sum() / divisor), gradient / divisor


OPTIONS = list(  # weighted, ignore_index, label_smoothing, reduction
    itertools.product((False, True), (-100, 1), (0.0, 0.1, 1.0), ("none", "mean", "sum"))
)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(32, 4), (1, 2), (50, 16), (33, 17), (70, 300), (9000, 12)])
def test_cross_entropy(shape, dtype):
    random = np.random.default_rng(0)
    x, target = 3 * values(shape, dtype), random.integers(0, shape[1], shape[0])
    target[0] = 0
    for weighted, *options in OPTIONS:
        weight = random.uniform(0.2, 2, shape[1]).astype(dtype) if weighted else None
        expected, gradient = cross_entropy(x, target, weight, *options)
        loss, kept, total = rowwise.cross_entropy(x, target, weight, *options)
        assert type(loss) is np.ndarray
        assert loss.dtype == dtype
        assert loss.shape == np.shape(expected)
        np.testing.assert_allclose(loss, expected, **close(dtype, 16))
        g = np.full(loss.shape, 0.5, dtype)
        out = rowwise.cross_entropy_backward(g, x, target, kept, total, weight, *options)
        assert out.dtype == dtype
        np.testing.assert_allclose(out, gradient / 2, **close(dtype))


@pytest.mark.torch
def test_cross_entropy_as_in_pytorch():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x, target, weight = values((20, 6), np.float64), random.integers(0, 6, 20), random.random(6)
    for weighted, ignore_index, smoothing, reduction in OPTIONS:
        leaf = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(
            leaf, torch.tensor(target), torch.tensor(weight) if weighted else None,
            ignore_index=ignore_index, label_smoothing=smoothing, reduction=reduction,
        )  # fmt: skip
        expected.sum().backward()
        options = (weight if weighted else None, ignore_index, smoothing, reduction)
        loss, kept, total = rowwise.cross_entropy(x, target, *options)
        np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-12)
        out = rowwise.cross_entropy_backward(np.ones(loss.shape), x, target, kept, total, *options)
        np.testing.assert_allclose(out, leaf.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_cross_entropy_of_huge_logits():
    x = np.array([[1e30, -1e30, 0]], np.float32)
    np.testing.assert_array_equal(rowwise.cross_entropy(x, np.array([0]))[0], 0)
    np.testing.assert_array_equal(rowwise.cross_entropy(x, np.array([2]))[0], np.float32(1e30))


def test_every_target_ignored():
    x, target = values((3, 4), np.float32), np.full(3, -100)
    loss, kept, total = rowwise.cross_entropy(x, target)
    assert np.isnan(loss)
    assert total == 0
    loss, kept, total = rowwise.cross_entropy(x, target, reduction="sum")
    assert loss == 0
    out = rowwise.cross_entropy_backward(loss, x, target, kept, total, reduction="sum")
    np.testing.assert_array_equal(out, 0)
    assert np.isnan(rowwise.cross_entropy(x[:0], target[:0])[0])


@pytest.mark.parametrize("rows", [3, 40, 20_000])
@pytest.mark.parametrize("bad", [4, -1, 2**40])
def test_target_out_of_range(bad, rows):
    x, target = values((rows, 4), np.float32), np.zeros(rows, np.int64)
    _, kept, total = rowwise.cross_entropy(x, target)
    target[-1] = bad
    with pytest.raises(IndexError, match=f"target {bad} is out of range for 4 classes"):
        rowwise.cross_entropy(x, target)
    with pytest.raises(IndexError, match=f"target {bad} is out of range for 4 classes"):
        rowwise.cross_entropy_backward(np.float32(1), x, target, kept, total)


def test_bad_arguments_of_cross_entropy():
    x, target = values((3, 4), np.float32), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match=r"target must have shape \(3,\)"):
        rowwise.cross_entropy(x, target[:2])
    with pytest.raises(TypeError, match="target must hold integers"):
        rowwise.cross_entropy(x, target.astype(float))
    with pytest.raises(ValueError, match=r"weight must have shape \(4,\)"):
        rowwise.cross_entropy(x, target, np.ones(3))
    with pytest.raises(ValueError, match="logits must have shape"):
        rowwise.cross_entropy(x[0], target)
    with pytest.raises(ValueError, match="reduction must be"):
        rowwise.cross_entropy(x, target, reduction="average")
    with pytest.raises(ValueError, match="kept must be"):
        rowwise.cross_entropy_backward(np.float32(1), x, target, np.ones(3), 3.0)
    np.testing.assert_allclose(
        rowwise.cross_entropy(np.asfortranarray(x), target.astype(np.int32))[0],
        rowwise.cross_entropy(x, target)[0],
    )


# --- normalisation --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(4, 7), (3, 64), (2, 5, 130), (900, 600)])
def test_layer_norm(shape, dtype):
    x, g = values(shape, dtype), values(shape, dtype, 1)
    weight, bias = values(shape[-1], dtype, 2), values(shape[-1], dtype, 3)
    wide = x.astype(np.float64)
    mean = wide.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    normal = (wide - mean) * rstd
    tolerance = close(dtype, 50)
    for w, b in itertools.product((weight, None), (bias, None)):
        out, *kept = rowwise.layer_norm(x, w, b)
        np.testing.assert_allclose(
            out, normal * (1 if w is None else w) + (0 if b is None else b), **tolerance
        )
        np.testing.assert_allclose(kept[0], mean.ravel(), **tolerance)
        np.testing.assert_allclose(kept[1], rstd.ravel(), **tolerance)
    for w in (weight, None):
        d = g.astype(np.float64) * (1 if w is None else w)
        gradient = d - d.mean(-1, keepdims=True) - normal * (d * normal).mean(-1, keepdims=True)
        to_x, to_weight, to_bias = rowwise.layer_norm_backward(g, x, *kept, w)
        np.testing.assert_allclose(to_x, rstd * gradient, **tolerance)
        many = {"rtol": 1e3 * np.finfo(dtype).eps, "atol": 1e3 * np.finfo(dtype).eps}
        rows = tuple(range(len(shape) - 1))
        np.testing.assert_allclose(to_weight, (g * normal).sum(rows), **many)
        np.testing.assert_allclose(to_bias, g.astype(np.float64).sum(rows), **many)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 7), (5, 3, 2, 2), (4, 70, 20, 20), (1, 2, 3000)])
def test_batch_norm(shape, dtype):
    x, g = values(shape, dtype), values(shape, dtype, 1)
    channels = (1, shape[1], *[1] * (len(shape) - 2))
    dims = (0, *range(2, len(shape)))
    weight, bias = values(shape[1], dtype, 2), values(shape[1], dtype, 3)
    wide = x.astype(np.float64)
    mean, var = wide.mean(dims, keepdims=True), wide.var(dims, keepdims=True)
    tolerance = close(dtype, 100)
    sums = {"rtol": 1e3 * np.finfo(dtype).eps, "atol": 1e3 * np.finfo(dtype).eps}
    for given, w, b in itertools.product((False, True), (weight, None), (bias, None)):
        if given:
            mean = np.linspace(-1, 1, shape[1]).reshape(channels)
            rstd = np.linspace(0.5, 2, shape[1]).reshape(channels)
        else:
            rstd = 1 / np.sqrt(var + 1e-5)
        statistics = (mean.ravel(), rstd.ravel()) if given else ()
        out, means, rstds, variance = rowwise.batch_norm(x, w, b, 1e-5, *statistics)
        normal = (wide - mean) * rstd
        scale = 1 if w is None else w.reshape(channels)
        shift = 0 if b is None else b.reshape(channels)
        np.testing.assert_allclose(out, normal * scale + shift, **tolerance)
        np.testing.assert_allclose(means, mean.ravel(), **tolerance)
        np.testing.assert_allclose(rstds, rstd.ravel(), **tolerance)
        if given:
            assert variance is None
        else:
            np.testing.assert_allclose(variance, var.ravel(), **tolerance)
        gradient = g.astype(np.float64) * scale
        if not given:
            along = (gradient * normal).mean(dims, keepdims=True)
            gradient = gradient - gradient.mean(dims, keepdims=True) - normal * along
        to_x, to_weight, to_bias = rowwise.batch_norm_backward(g, x, means, rstds, w, not given)
        np.testing.assert_allclose(to_x, rstd * gradient, **tolerance)
        np.testing.assert_allclose(to_weight, (g * normal).sum(dims), **sums)
        np.testing.assert_allclose(to_bias, g.astype(np.float64).sum(dims), **sums)


def test_batch_norm_refuses():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="weight"):
        rowwise.batch_norm(x, np.ones(2))
    with pytest.raises(ValueError, match=r"\(N, C, ...\)"):
        rowwise.batch_norm(np.ones(3))
    with pytest.raises(ValueError, match="g must have shape"):
        rowwise.batch_norm_backward(x.T, x, np.ones(3), np.ones(3), None, True)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(4, 7), (3, 64), (2, 5, 130), (900, 600)])
def test_rms_norm(shape, dtype):
    x, g, weight = values(shape, dtype), values(shape, dtype, 1), values(shape[-1], dtype, 2)
    wide = x.astype(np.float64)
    rstd = 1 / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6)
    tolerance = close(dtype, 50)
    for w in (weight, None):
        out, kept = rowwise.rms_norm(x, w)
        np.testing.assert_allclose(out, wide * rstd * (1 if w is None else w), **tolerance)
        d = g.astype(np.float64) * (1 if w is None else w)
        gradient = rstd * (d - wide * rstd * (d * wide * rstd).mean(-1, keepdims=True))
        to_x, to_weight = rowwise.rms_norm_backward(g, x, kept, w)
        np.testing.assert_allclose(to_x, gradient, **tolerance)
        rows = tuple(range(len(shape) - 1))
        np.testing.assert_allclose(to_weight, (g * wide * rstd).sum(rows), **close(dtype, 1e3))


def test_bad_arguments_of_norms():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\)"):
        rowwise.layer_norm(x, np.ones(2))
    with pytest.raises(ValueError, match=r"mean must have shape \(2,\)"):
        rowwise.layer_norm_backward(x, x, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match=r"g must have shape \(2, 3\)"):
        rowwise.layer_norm_backward(x.T, x, np.ones(2), np.ones(2))


@pytest.mark.parametrize("dtype", REALS)
def test_thread_count_does_not_matter(dtype):
    x, g, long = values((900, 700), dtype), values((900, 700), dtype, 1), values(600_001, dtype)
    target = np.random.default_rng(0).integers(0, 700, 900)
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            loss, kept, total = rowwise.cross_entropy(x, target)
            out, mean, rstd = rowwise.layer_norm(x)
            results.append([
                rowwise.sum(long), rowwise.sum(x, 0), rowwise.sum(x, 1), rowwise.amax(x, 1),
                rowwise.softmax(x), rowwise.softmax_backward(g, x), loss, kept, out,
                rowwise.cross_entropy_backward(loss, x, target, kept, total),
                *rowwise.layer_norm_backward(g, x, mean, rstd),
            ])  # fmt: skip
    finally:
        threads.set_num_threads(before)
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


def test_inputs_may_be_read_only_and_stay_as_they_are():
    x, target = values((5, 40), np.float32), np.arange(5)
    for array in (x, target):
        array.flags.writeable = False
    before = x.copy()
    loss, kept, total = rowwise.cross_entropy(x, target)
    rowwise.cross_entropy_backward(loss, x, target, kept, total)
    _, mean, rstd = rowwise.layer_norm(x)
    rowwise.layer_norm_backward(x, x, mean, rstd)
    rowwise.softmax_backward(x, rowwise.softmax(x))
    rowwise.sum(x, 0)
    np.testing.assert_array_equal(x, before)


PRELU = [((5,), 1), ((), 1), ((0, 3), 3), ((4, 3), 3), ((4, 3), 1), ((6, 5, 2), 5),
         ((2, 3, 1000), 3), ((3, 40_001), 1), ((300, 40), 40)]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("shape", "weights"), PRELU)
def test_prelu_backward(rng, shape, weights, dtype):
    x, g = (np.asarray(rng.standard_normal(shape)).astype(dtype) for _ in range(2))
    weight = rng.standard_normal(weights).astype(dtype)
    exact, incoming = x.astype(np.float64), g.astype(np.float64)
    spread = weight.reshape(-1, *[1] * (x.ndim - 2)) if weights > 1 else weight.reshape(())
    axes = tuple(d for d in range(x.ndim) if weights == 1 or d != 1)
    to_x = np.where(exact > 0, incoming, spread * incoming)
    to_weight = np.where(exact > 0, 0, exact * incoming).sum(axes).reshape(-1)
    eps = np.finfo(dtype).eps
    before, results = threads.get_num_threads(), []
    try:
        for count in (1, 2):
            threads.set_num_threads(count)
            for given in (x, x.copy(order="F")):
                results.append(rowwise.prelu_backward(g, given, weight))
    finally:
        threads.set_num_threads(before)
    for found_x, found_weight in results:
        assert found_x.dtype == found_weight.dtype == dtype
        np.testing.assert_array_equal(found_x, results[0][0])
        np.testing.assert_array_equal(found_weight, results[0][1])
        tiny = np.finfo(dtype).smallest_subnormal
        np.testing.assert_allclose(found_x, to_x, rtol=2 * eps, atol=tiny)
        scale = np.abs(exact * incoming).sum() + 1
        np.testing.assert_allclose(found_weight, to_weight, rtol=0, atol=2 * eps * scale)
