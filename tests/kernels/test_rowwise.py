"""Row-wise kernels against NumPy in float64 and, where it is installed, against PyTorch."""

import itertools
import math
import re

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


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


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


# Few and many columns and positions after them; whole and broken vectors; strips and chunks.
MIDDLE = [
    (2, 3, 1), (3, 5, 2), (2, 17, 7), (3, 1, 8), (2, 16, 9), (3, 40, 16), (1, 33, 31), (2, 21, 513),
    (1, 300, 70), (4, 21, 33, 31), (1, 2000, 3, 100), (300, 3, 40),
]  # fmt: skip


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", MIDDLE)
def test_softmax_of_a_middle_axis(shape, dtype):
    x, g = 3 * values(shape, dtype), values(shape, dtype, 1)
    p = softmax(x.astype(np.float64), 1)
    for axis in (1, 1 - x.ndim):
        np.testing.assert_allclose(rowwise.softmax(x, axis), p, **close(dtype))
        np.testing.assert_allclose(rowwise.log_softmax(x, axis), np.log(p), **close(dtype, 16))
        gradient = p * (g - (g * p).sum(1, np.longdouble, keepdims=True))
        out = rowwise.softmax_backward(g, p.astype(dtype), axis)
        np.testing.assert_allclose(out, gradient, **close(dtype))
        gradient = g - p * g.sum(1, np.longdouble, keepdims=True)
        out = rowwise.log_softmax_backward(g, np.log(p).astype(dtype), axis)
        np.testing.assert_allclose(out, gradient, **close(dtype, 500))


@pytest.mark.parametrize("inner", [3, 40])
@pytest.mark.parametrize("columns", [3, 40])
def test_softmax_edges_of_a_middle_axis(columns, inner):
    x = np.zeros((2, columns, inner), np.float32)
    x[0, :, 0] = -np.inf
    x[0, 1:, 1] = -np.inf
    x[1, :2, 0] = 3e38
    x[1, 0, 1] = np.nan
    x[1, columns - 1, 2] = np.inf
    out, logs = rowwise.softmax(x, 1), rowwise.log_softmax(x, 1)
    rows = np.moveaxis(x, 1, -1)
    np.testing.assert_array_equal(np.moveaxis(out, 1, -1), rowwise.softmax(rows))
    np.testing.assert_allclose(np.moveaxis(logs, 1, -1), rowwise.log_softmax(rows), rtol=1e-6)
    bad = np.zeros((2, inner), bool)
    bad[0, 0] = bad[1, 1] = bad[1, 2] = True
    np.testing.assert_array_equal(np.isnan(out), np.broadcast_to(bad[:, None], x.shape))
    g = np.ones_like(x)
    g[0, 0, 0] = np.nan
    back = rowwise.softmax_backward(g, np.full_like(x, 0.5), 1)
    np.testing.assert_array_equal(np.isnan(back).any(1), np.isnan(g).any(1))
    back = rowwise.log_softmax_backward(g, np.full_like(x, -1), 1)
    np.testing.assert_array_equal(np.isnan(back).any(1), np.isnan(g).any(1))


def test_softmax_of_every_axis_and_layout():
    for shape in [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 0, 100), (2, 3, 4, 5), (9,), ()]:
        for axis in range(-len(shape) or -1, len(shape) or 1):
            x = values(shape, np.float64) if shape else np.float64(2)
            expected = softmax(np.moveaxis(x, axis, -1)) if np.size(x) and shape else np.ones(shape)
            expected = np.moveaxis(expected, -1, axis) if np.size(x) and shape else expected
            out = rowwise.softmax(x, axis)
            np.testing.assert_allclose(out, expected, rtol=1e-13)
            assert out.shape == rowwise.log_softmax(x, axis).shape == shape
            assert rowwise.softmax_backward(out, out, axis).shape == shape
    for inner in (3, 40):
        x = values((4, inner, 5), np.float64).transpose(0, 2, 1)  # as channels_last
        for operand in [x, *layouts(x)]:
            before = operand.copy()
            out = rowwise.softmax(operand, 1)
            np.testing.assert_allclose(out, softmax(operand, 1), rtol=1e-13)
            back = rowwise.softmax_backward(operand, out, 1)
            expected = out * (operand - (operand * out).sum(1, keepdims=True))
            np.testing.assert_allclose(back, expected, rtol=1e-11, atol=1e-13)
            np.testing.assert_array_equal(operand, before)
        assert rowwise.softmax(x.astype(np.float16), 1).dtype == np.float16
        assert rowwise.softmax_backward(x, x.astype(np.float16), 1).dtype == np.float16
    for axis in (3, -4):
        with pytest.raises(ValueError, match=f"axis {axis} is out of range for 3 dimensions"):
            rowwise.softmax(x, axis)


@pytest.mark.parametrize("dtype", REALS)
def test_long_sums_of_a_middle_axis(dtype):
    x, g = values((2, 70_000, 9), dtype), values((2, 70_000, 9), dtype, 1) + 3
    p = np.exp(x.astype(np.longdouble) - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(rowwise.softmax(x, 1), p, rtol=8 * np.finfo(dtype).eps)
    mean = (g * p).sum(1, keepdims=True)
    error = abs(rowwise.softmax_backward(g, p.astype(dtype), 1) - (g - mean) * p)
    assert (error <= 8 * np.finfo(dtype).eps * (abs(g) + abs(mean)) * p).all()
    total = g.sum(1, np.longdouble, keepdims=True)
    error = abs(rowwise.log_softmax_backward(g, np.log(p).astype(dtype), 1) - (g - total * p))
    assert (error <= 32 * np.finfo(dtype).eps * (abs(g) + abs(total) * p)).all()


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


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [*MIDDLE, (5,), (1, 3, 70_000)])
def test_cross_entropy_of_a_middle_axis(shape, dtype):
    random = np.random.default_rng(0)
    x, dim = 3 * values(shape, dtype), min(len(shape) - 1, 1)
    classes = shape[dim]
    target = random.integers(0, classes, shape[:dim] + shape[dim + 1 :])
    target.reshape(-1)[0] = 0
    rows = np.moveaxis(x, dim, -1).reshape(-1, classes)
    for weighted, *options in OPTIONS:
        weight = random.uniform(0.2, 2, classes).astype(dtype) if weighted else None
        expected, gradient = cross_entropy(rows, target.reshape(-1), weight, *options)
        loss, kept, total = rowwise.cross_entropy(x, target, weight, *options)
        assert loss.dtype == dtype
        assert loss.shape == (target.shape if options[2] == "none" else ())
        np.testing.assert_allclose(
            loss.reshape(-1), np.reshape(expected, -1), **close(dtype, 16), equal_nan=True
        )
        g = np.full(loss.shape, 0.5, dtype)
        out = rowwise.cross_entropy_backward(g, x, target, kept, total, weight, *options)
        assert out.dtype == dtype
        assert out.shape == x.shape
        out = np.moveaxis(out, dim, -1).reshape(-1, classes)
        np.testing.assert_allclose(out, gradient / 2, **close(dtype), equal_nan=True)


@pytest.mark.parametrize("inner", [3, 40])
def test_cross_entropy_edges_of_a_middle_axis(inner):
    x, target = values((2, 4, inner), np.float32), np.ones((2, inner), np.int64)
    target[0, 1] = target[1, 2] = -100
    x[0, :, 1] = np.nan  # ignored
    x[0, 2, 0] = np.nan
    x[1, :, 0] = -np.inf
    for smoothing in (0.0, 0.1):
        options = (None, -100, smoothing, "none")
        loss, kept, total = rowwise.cross_entropy(x, target, *options)
        g = np.ones_like(loss)
        g[1, 1] = np.inf
        out = rowwise.cross_entropy_backward(g, x, target, kept, total, *options)
        bad = np.zeros((2, inner), bool)
        bad[0, 0] = bad[1, 0] = True
        np.testing.assert_array_equal(np.isnan(loss), bad)
        rows = np.moveaxis(x, 1, -1).reshape(-1, 4)
        _, kept, total = rowwise.cross_entropy(rows, target.reshape(-1), *options)
        expected = rowwise.cross_entropy_backward(
            g.reshape(-1), rows, target.reshape(-1), kept, total, *options
        )
        np.testing.assert_allclose(np.moveaxis(out, 1, -1).reshape(-1, 4), expected, rtol=1e-5)
        assert (out[0, :, 1] == 0).all()
        assert (out[1, :, 2] == 0).all()


def test_cross_entropy_of_nothing_and_of_layouts():
    for shape in ((0, 3, 2), (2, 3, 0), (0, 3, 20)):
        x, target = np.ones(shape, np.float32), np.zeros((shape[0], shape[2]), np.int64)
        loss, kept, total = rowwise.cross_entropy(x, target)
        assert np.isnan(loss)
        assert rowwise.cross_entropy_backward(loss, x, target, kept, total).shape == shape
    for inner in (3, 40):
        with pytest.raises(IndexError, match="target 0 is out of range for 0 classes"):
            rowwise.cross_entropy(np.ones((2, 0, inner)), np.zeros((2, inner), np.int64))
        x = values((4, inner, 5), np.float64).transpose(0, 2, 1)  # as channels_last
        target = np.random.default_rng(0).integers(0, 5, (inner, 4)).T
        loss, kept, total = rowwise.cross_entropy(x.copy(), target.copy())
        back = rowwise.cross_entropy_backward(loss, x.copy(), target.copy(), kept, total)
        for operand in [x, *layouts(x)]:
            for classes in (target, target.astype(np.int32)):
                found = rowwise.cross_entropy(operand, classes)
                np.testing.assert_array_equal(found[0], loss)
                out = rowwise.cross_entropy_backward(loss, operand, classes, *found[1:])
                np.testing.assert_array_equal(out, back)
        half = x.astype(np.float16)
        loss, kept, total = rowwise.cross_entropy(half, target)
        assert loss.dtype == np.float16
        out = rowwise.cross_entropy_backward(loss, half, target, kept, total)
        assert out.dtype == np.float16


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


@pytest.mark.parametrize("shape", [(2, 4, 3), (1, 4, 40), (3, 4, 20_000)])
@pytest.mark.parametrize("bad", [4, -1, 2**40])
def test_target_of_a_middle_axis_out_of_range(bad, shape):
    x, target = values(shape, np.float32), np.zeros((shape[0], shape[2]), np.int64)
    _, kept, total = rowwise.cross_entropy(x, target)
    target[-1, -1] = 5
    target[-1, -2] = bad
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
        rowwise.cross_entropy(x[0, 0], target)
    for shape in ((4,), (2, 4, 3), (3, 4, 2, 1)):
        expected = re.escape(str((*shape[: len(shape) > 1], *shape[2:])))
        with pytest.raises(ValueError, match=f"target must have shape {expected}"):
            rowwise.cross_entropy(np.ones(shape), target)
    with pytest.raises(ValueError, match="reduction must be"):
        rowwise.cross_entropy(x, target, reduction="average")
    with pytest.raises(ValueError, match="kept must be"):
        rowwise.cross_entropy_backward(np.float32(1), x, target, np.ones(3), 3.0)
    np.testing.assert_allclose(
        rowwise.cross_entropy(np.asfortranarray(x), target.astype(np.int32))[0],
        rowwise.cross_entropy(x, target)[0],
    )


# --- negative log-likelihood ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [*MIDDLE, (32, 4), (300, 1000), (5,), (70_000, 3)])
def test_nll_loss(shape, dtype):
    random = np.random.default_rng(0)
    x, dim = values(shape, dtype), min(len(shape) - 1, 1)
    x[..., -1] = np.nan if dim == 0 else x[..., -1]
    target = random.integers(0, shape[dim] - (dim == 0), shape[:dim] + shape[dim + 1 :])
    target.reshape(-1)[0] = 0
    for weighted, ignore_index, _, reduction in OPTIONS[::3]:
        weight = random.uniform(0.2, 2, shape[dim]).astype(dtype) if weighted else None
        wide = np.ones(shape[dim]) if weight is None else weight.astype(np.float64)
        own = np.where(target == ignore_index, 0, wide[target])
        picked = np.take_along_axis(x, np.expand_dims(target, dim), dim).squeeze(dim)
        divisor = own.sum() if reduction == "mean" else 1
        expected = -picked * own if reduction == "none" else -(picked * own).sum() / divisor
        loss, total = rowwise.nll_loss(x, target, weight, ignore_index, reduction)
        assert loss.dtype == dtype
        assert loss.shape == np.shape(expected)
        assert total == pytest.approx(own.sum())
        np.testing.assert_allclose(loss, expected, **close(dtype, 16))
        g = values(loss.shape, dtype, 1) if reduction == "none" else np.full((), 0.5, dtype)
        out = rowwise.nll_loss_backward(g, shape, target, total, weight, ignore_index, reduction)
        assert out.dtype == dtype
        gradient = np.zeros(shape)
        where = np.expand_dims(target, dim)
        np.put_along_axis(gradient, where, np.expand_dims(-own * g / divisor, dim), dim)
        np.testing.assert_allclose(out, gradient, **close(dtype))


def test_nll_loss_of_nothing_and_of_layouts():
    for shape in ((0, 3), (0, 3, 2), (2, 3, 0)):
        target = np.zeros((shape[0], *shape[2:]), np.int64)
        loss, total = rowwise.nll_loss(np.ones(shape, np.float32), target)
        assert np.isnan(loss)
        assert rowwise.nll_loss_backward(loss, shape, target, total).shape == shape
    x = values((4, 3, 5), np.float64).transpose(0, 2, 1)
    target = np.random.default_rng(0).integers(0, 5, (3, 4)).T
    expected = rowwise.nll_loss(x.copy(), target.copy(), reduction="none")[0]
    for operand in [x, *layouts(x)]:
        for classes in (target, target.astype(np.int32)):
            found = rowwise.nll_loss(operand, classes, reduction="none")[0]
            np.testing.assert_array_equal(found, expected)
    half = x.astype(np.float16)
    loss, total = rowwise.nll_loss(half, target)
    assert loss.dtype == rowwise.nll_loss_backward(loss, x.shape, target, total).dtype == np.float16
    x[:, 0], target[...] = np.nan, 1
    assert np.isfinite(rowwise.nll_loss(x, target)[0])


@pytest.mark.parametrize("shape", [(3, 4), (20_000, 4), (3, 4, 5), (2, 4, 40_000)])
@pytest.mark.parametrize("bad", [4, -1, 2**40])
def test_target_of_nll_loss_out_of_range(bad, shape):
    x, target = values(shape, np.float32), np.zeros((shape[0], *shape[2:]), np.int64)
    target[-1, ...].reshape(-1)[-1] = bad
    with pytest.raises(IndexError, match=f"target {bad} is out of range for 4 classes"):
        rowwise.nll_loss(x, target)
    with pytest.raises(IndexError, match=f"target {bad} is out of range for 4 classes"):
        rowwise.nll_loss_backward(np.float32(1), shape, target, 1.0)


def test_bad_arguments_of_nll_loss():
    x, target = values((3, 4), np.float32), np.zeros(3, np.int64)
    for call in (
        lambda *args: rowwise.nll_loss(x, *args),
        lambda target, *args: rowwise.nll_loss_backward(np.float32(1), (3, 4), target, 1.0, *args),
    ):
        with pytest.raises(ValueError, match=r"target must have shape \(3,\)"):
            call(target[:2])
        with pytest.raises(TypeError, match="target must hold integers"):
            call(target.astype(float))
        with pytest.raises(ValueError, match=r"weight must have shape \(4,\)"):
            call(target, np.ones(3))
        with pytest.raises(ValueError, match="reduction must be"):
            call(target, None, -100, "average")
    with pytest.raises(ValueError, match="g must have the shape of the loss"):
        rowwise.nll_loss_backward(np.ones(2), (3, 4), target, 1.0)


# --- normalisation --------------------------------------------------------------------------------


# A mean that float32 holds to 3 digits after the point, and the rounding of which must not matter.
offsets = pytest.mark.parametrize(
    ("dtype", "mean"), [(np.float32, 0), (np.float32, 1e4), (np.float64, 0)]
)
EPS = 0.1


def standardised(x, g, axes, weight, bias, mean=None, var=None):
    """In float64: values, mean, variance, and the gradients of x, weight and bias, unsummed."""
    wide, g = x.astype(np.float64), g.astype(np.float64)
    given = mean is not None
    if not given:
        mean, var = wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)
    rstd = 1 / np.sqrt(var + EPS)
    normal = (wide - mean) * rstd
    d = g * weight
    gradient = d if given else (
        d - d.mean(axes, keepdims=True) - normal * (d * normal).mean(axes, keepdims=True)
    )  # fmt: skip
    return normal * weight + bias, mean.ravel(), var.ravel(), rstd * gradient, g * normal, g


def all_close(found, expected, dtype, slack=16):
    """Within `slack` roundings of numbers as large as the largest one expected."""
    for one, exact in zip(found, expected, strict=True):
        assert one.shape == exact.shape
        tolerance = slack * np.finfo(dtype).eps * (1 + np.abs(exact).max(initial=0))
        np.testing.assert_allclose(one, exact, rtol=0, atol=tolerance)


NORM_SHAPES = [(4, 7), (3, 64), (2, 5, 130), (900, 600), (5, 3000)]


@offsets
@pytest.mark.parametrize("shape", NORM_SHAPES)
def test_layer_norm(shape, dtype, mean):
    x, g = values(shape, dtype) + dtype(mean), values(shape, dtype, 1)
    weight, bias = values(shape[-1], dtype, 2), values(shape[-1], dtype, 3)
    for w, b in itertools.product((weight, None), (bias, None)):
        *expected, to_weight, to_bias = standardised(
            x, g, -1, 1 if w is None else w, 0 if b is None else b
        )
        out, *kept = rowwise.layer_norm(x, w, b, EPS)
        to_x, *sums = rowwise.layer_norm_backward(g, x, *kept, w, EPS)
        assert {out.dtype, to_x.dtype, sums[0].dtype, sums[1].dtype} == {np.dtype(dtype)}
        all_close([out, *kept, to_x], expected, dtype)
        rows = tuple(range(len(shape) - 1))
        all_close(sums, [to_weight.sum(rows), to_bias.sum(rows)], dtype)


# Planes around the width of a vector and of a block, and too short for either; many groups and one.
GROUPS = [
    ((6, 4), 2), ((6, 4), 4), ((7, 64), 8), ((3, 12, 1), 3), ((2, 6, 3), 2), ((3, 6, 5), 6),
    ((5, 8, 7), 4), ((5, 8, 8), 4), ((2, 3, 4, 4), 3), ((2, 3, 7, 7), 1), ((9, 6, 5, 11), 2),
    ((300, 16, 33), 4), ((4, 70, 20, 20), 70), ((3, 2, 2, 3, 5), 1), ((1, 2, 3000), 1),
    ((3, 2, 70_000), 2), ((70, 8, 11), 8), ((41, 6, 3, 6), 1), ((210, 10, 4), 5), ((90, 6, 31), 2),
]  # fmt: skip


@offsets
@pytest.mark.parametrize(("shape", "groups"), GROUPS)
def test_group_norm(shape, groups, dtype, mean):
    x, g = values(shape, dtype) + dtype(mean), values(shape, dtype, 1)
    weight, bias = values(shape[1], dtype, 2), values(shape[1], dtype, 3)
    grouped = (shape[0], groups, shape[1] // groups, -1)
    for w, b in itertools.product((weight, None), (bias, None)):
        *expected, to_weight, to_bias = standardised(
            x.reshape(grouped), g.reshape(grouped), (2, 3),
            1 if w is None else w.reshape(1, groups, -1, 1),
            0 if b is None else b.reshape(1, groups, -1, 1),
        )  # fmt: skip
        out, *kept = rowwise.group_norm(x, groups, w, b, EPS)
        to_x, *sums = rowwise.group_norm_backward(g, x, groups, *kept, w, EPS)
        assert {out.dtype, to_x.dtype, sums[0].dtype, sums[1].dtype} == {np.dtype(dtype)}
        assert out.shape == to_x.shape == shape
        all_close([out.reshape(expected[0].shape), *kept, to_x.reshape(expected[0].shape)],
                  expected, dtype)  # fmt: skip
        all_close(sums, [to_weight.sum((0, 3)).ravel(), to_bias.sum((0, 3)).ravel()], dtype)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("inner", [1, 5, 70])
def test_moments_of_numbers_whose_first_quarter_is_far_from_the_rest(inner, dtype):
    x = values((40, 8, inner), dtype)
    x[:10] += 1000
    rows = x.transpose(1, 0, 2).reshape(8, -1)
    wide = rows.astype(np.longdouble)
    expected = [wide.mean(1), wide.var(1)]
    for _, *found in (rowwise.batch_norm(x), rowwise.layer_norm(rows)):
        for one, exact in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, exact, **close(dtype, 32))
    var, mean = rowwise.var_mean(rows, 1, False, 0)
    np.testing.assert_allclose(mean, expected[0], **close(dtype, 32))
    np.testing.assert_allclose(var, expected[1], **close(dtype, 32))


@pytest.mark.parametrize("shape", [(0, 4, 3), (0, 4, 20), (2, 0, 3), (2, 4, 0)])
def test_group_norm_of_nothing(shape):
    x = np.ones(shape, np.float32)
    out, *kept = rowwise.group_norm(x, 2, np.ones(shape[1]), np.ones(shape[1]))
    to_x, to_weight, to_bias = rowwise.group_norm_backward(x, x, 2, *kept, np.ones(shape[1]))
    assert out.shape == to_x.shape == shape
    np.testing.assert_array_equal(to_weight, np.zeros(shape[1]))
    np.testing.assert_array_equal(to_bias, np.zeros(shape[1]))


@offsets
@pytest.mark.parametrize(
    "shape",
    [(6, 3), (2, 3, 7), (5, 3, 2, 2), (4, 70, 20, 20), (1, 2, 3000), (13, 700), (2, 300, 5),
     (1, 4), (19, 23, 7, 7), (17, 3, 64), (17, 3, 65), (3, 500, 2, 6), (1338, 1, 7, 7),
     (1030, 2, 64)],
)  # fmt: skip
def test_batch_norm(shape, dtype, mean):
    x, g = values(shape, dtype) + dtype(mean), values(shape, dtype, 1)
    channels = (1, shape[1], *[1] * (len(shape) - 2))
    dims = (0, *range(2, len(shape)))
    weight, bias = values(shape[1], dtype, 2), values(shape[1], dtype, 3)
    running = np.linspace(-1, 1, shape[1]) + mean, np.linspace(0.5, 2, shape[1])
    for given, w, b in itertools.product((False, True), (weight, None), (bias, None)):
        *expected, to_weight, to_bias = standardised(
            x, g, dims, 1 if w is None else w.reshape(channels),
            0 if b is None else b.reshape(channels),
            *[part.reshape(channels) for part in running if given],
        )  # fmt: skip
        out, *kept = rowwise.batch_norm(x, w, b, EPS, *(running if given else ()))
        to_x, *sums = rowwise.batch_norm_backward(g, x, *kept, w, EPS, not given)
        assert {out.dtype, to_x.dtype, sums[0].dtype, sums[1].dtype} == {np.dtype(dtype)}
        all_close([out, *kept, to_x], expected, dtype)
        all_close(sums, [to_weight.sum(dims), to_bias.sum(dims)], dtype)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 20)])
def test_given_statistics_keep_what_is_not_finite_out_of_the_gradient(shape):
    x = np.full(shape, np.inf, np.float32)
    to_x, *_ = rowwise.batch_norm_backward(
        np.ones_like(x), x, np.zeros(3), np.ones(3), np.full(3, 2.0), 0.0, False
    )
    np.testing.assert_array_equal(to_x, np.full(shape, 2.0))


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 20), (2, 0, 3), (2, 3, 0)])
def test_batch_norm_of_nothing(shape):
    x = np.ones(shape, np.float32)
    out, mean, var = rowwise.batch_norm(x)
    assert out.shape == shape
    assert np.isnan(mean).all()
    to_x, *sums = rowwise.batch_norm_backward(x, x, mean, var, None, 1e-5, True)
    assert to_x.shape == shape
    assert sums[0].shape == sums[1].shape == (shape[1],)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", NORM_SHAPES)
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


def all_norms(x, g):
    """Everything that the norms of (N, C, ...) compute, forward and backward."""
    weight = values(x.shape[1], x.dtype, 2)
    groups = 4
    out, *kept = rowwise.group_norm(x, groups, weight)
    result = [out, *kept, *rowwise.group_norm_backward(g, x, groups, *kept, weight)]
    out, *kept = rowwise.batch_norm(x, weight)
    result += [out, *kept, *rowwise.batch_norm_backward(g, x, *kept, weight, 1e-5, True)]
    out, *kept = rowwise.layer_norm(x)
    result += [out, *kept, *rowwise.layer_norm_backward(g, x, *kept)]
    out, kept = rowwise.rms_norm(x)
    return [*result, out, kept, *rowwise.rms_norm_backward(g, x, kept)]


def test_norms_of_every_layout_and_dtype():
    x, g = values((6, 8), np.float64), values((6, 8), np.float64, 1)
    expected = all_norms(x, g)
    for operand, incoming in zip(layouts(x), layouts(g), strict=True):
        for found, same in zip(all_norms(operand, incoming), expected, strict=True):
            np.testing.assert_array_equal(found, same)
    half = np.random.default_rng(0).integers(-8, 8, (6, 8, 3)).astype(np.float16)
    for found, exact in zip(
        all_norms(half, half), all_norms(half.astype(float), half.astype(float)), strict=True
    ):
        np.testing.assert_allclose(found, exact, rtol=2e-3, atol=2e-3)
    assert rowwise.group_norm(half, 2)[0].dtype == np.float16


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 40)])
def test_norms_of_what_is_not_finite(shape, bad):
    x = values(shape, np.float32)
    x[1, 2] = bad
    out, _, var = rowwise.group_norm(x, 2)
    assert np.isnan(out[1, :3]).all()
    assert np.isnan(var[2])
    assert np.isfinite(np.delete(out.reshape(8, -1), 2, 0)).all()
    out, _, var = rowwise.batch_norm(x)
    assert np.isnan(out[:, 2]).all()
    assert np.isnan(var[2])
    assert np.isfinite(np.delete(out, 2, 1)).all()


def test_bad_arguments_of_norms():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\)"):
        rowwise.layer_norm(x, np.ones(2))
    with pytest.raises(ValueError, match=r"mean must have shape \(2,\)"):
        rowwise.layer_norm_backward(x, x, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match=r"var must have shape \(2,\)"):
        rowwise.layer_norm_backward(x, x, np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"g must have shape \(2, 3\)"):
        rowwise.layer_norm_backward(x.T, x, np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\)"):
        rowwise.batch_norm(x, np.ones(2))
    with pytest.raises(ValueError, match="g must have shape"):
        rowwise.batch_norm_backward(x.T, x, np.ones(3), np.ones(3), None, 1e-5, True)
    for norm in (rowwise.batch_norm, lambda x: rowwise.group_norm(x, 1)):
        with pytest.raises(ValueError, match=r"\(N, C, ...\)"):
            norm(np.ones(3))
    for groups in (0, -1, 2):
        with pytest.raises(ValueError, match="groups must divide the 3 channels"):
            rowwise.group_norm(x, groups)
    for shape in ((2, 3), (2, 3, 4), (2, 3, 20)):
        with pytest.raises(ValueError, match="weight must have shape"):
            rowwise.group_norm(np.ones(shape), 3, np.ones(2))
        with pytest.raises(ValueError, match="mean must have shape"):
            rowwise.group_norm_backward(np.ones(shape), np.ones(shape), 3, np.ones(5), np.ones(6))


@pytest.mark.parametrize("dtype", REALS)
def test_thread_count_does_not_matter(dtype):
    x, g, long = values((900, 700), dtype), values((900, 700), dtype, 1), values(600_001, dtype)
    target = np.random.default_rng(0).integers(0, 700, 900)
    planes, classes = x.reshape(9, 7, 100, 100), target.repeat(100).reshape(9, 100, 100) % 7
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            loss, kept, total = rowwise.cross_entropy(x, target)
            out, mean, var = rowwise.layer_norm(x)
            plane_loss, plane_kept, plane_total = rowwise.cross_entropy(planes, classes)
            plane_kept = plane_loss, planes, classes, plane_kept, plane_total
            results.append([
                rowwise.sum(long), rowwise.sum(x, 0), rowwise.sum(x, 1), rowwise.amax(x, 1),
                rowwise.softmax(x), rowwise.softmax_backward(g, x), loss, kept, out,
                rowwise.cross_entropy_backward(loss, x, target, kept, total),
                plane_loss, rowwise.cross_entropy_backward(*plane_kept),
                rowwise.nll_loss(planes, classes)[0], rowwise.nll_loss(x, target)[0],
                rowwise.nll_loss_backward(plane_loss, planes.shape, classes, 9e4),
                rowwise.softmax(planes, 1), rowwise.log_softmax_backward(planes, planes, 1),
                *rowwise.layer_norm_backward(g, x, mean, var), *all_norms(x, g),
                *all_norms(x.reshape(100, 36, -1), g.reshape(100, 36, -1)),
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
    all_norms(x, x)
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


def test_prelu_backward_refuses():
    x = np.ones((2, 4, 3))
    for count in (0, 3):
        with pytest.raises(ValueError, match="weight must be one number or one for each channel"):
            rowwise.prelu_backward(x, x, np.ones(count))
    nothing = np.ones((2, 0, 3))
    assert rowwise.prelu_backward(nothing, nothing, np.ones(0))[1].shape == (0,)
