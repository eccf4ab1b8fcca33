"""Functions of lucid.nn.functional that no layer covers, and what is common to all."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import pytest

import lucid
import lucid.nn.functional as F  # noqa: N812


@pytest.mark.torch
@pytest.mark.parametrize(
    ("p", "dim", "eps"), [(2.0, 1, 1e-12), (1.0, 0, 1e-12), (3.0, -1, 1e-3), (2.0, 1, 10.0)]
)
def test_normalize_as_torch(torch, p, dim, eps):
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    ours, theirs = lucid.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found = F.normalize(ours, p, dim, eps)
    expected = torch.nn.functional.normalize(theirs, p, dim, eps)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-5)
    (found * found * found).sum().backward()
    (expected * expected * expected).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_normalize_of_zeros_is_zero():
    assert F.normalize(lucid.zeros(2, 3)).tolist() == [[0.0] * 3] * 2


@pytest.mark.torch
def test_arguments_are_pytorchs(torch):
    for name in F.__all__:
        theirs = getattr(torch.nn.functional, name, None)
        try:
            expected = list(inspect.signature(theirs).parameters)
        except (TypeError, ValueError):  # a compiled function
            continue
        expected = [p for p in expected if not p.startswith("_") and p != "out"]
        if "args" in expected or "kwargs" in expected:
            continue
        first = 1 if expected[0] in ("input", "x") else 0  # PyTorch's compiled ones say input
        found = list(inspect.signature(getattr(F, name)).parameters)
        assert found[first : len(expected)] == expected[first:], name


def test_every_name_has_a_docstring():
    for name in F.__all__:
        assert getattr(F, name).__doc__, name


def test_one_hot_and_pad_are_here():
    assert F.one_hot(lucid.tensor([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert F.pad(lucid.ones(2), (1, 0)).tolist() == [0, 1, 1]


def test_softmax_of_huge_and_equal_values():
    x = lucid.tensor([1e38, 1e38, -1e38])
    assert F.softmax(x, 0).tolist() == [0.5, 0.5, 0.0]
    assert F.log_softmax(x, 0).numpy()[2] < -1e38
    assert np.isfinite(F.softmax(lucid.full((3,), -1e38), 0).numpy()).all()


def test_softmax_dtype_argument():
    x = lucid.ones(2, 2, requires_grad=True)
    out = F.softmax(x, 1, dtype=lucid.float64)
    assert out.dtype == lucid.float64
    out[0, 0].backward()
    assert x.grad.dtype == lucid.float32
    with pytest.raises(TypeError, match="softmax: x must be floating point; got int64"):
        F.softmax(lucid.tensor([1, 2]), 0)
    with pytest.raises(IndexError, match="dim"):
        F.softmax(x, 2)


def test_results_do_not_depend_on_requires_grad():
    x = lucid.tensor(np.linspace(-3, 3, 13, dtype=np.float32))
    y = lucid.tensor(x.numpy(), requires_grad=True)
    for name in ("relu", "gelu", "silu", "elu", "selu", "mish", "hardswish", "softsign"):
        function = getattr(F, name)
        assert not function(x).requires_grad
        np.testing.assert_array_equal(function(x).numpy(), function(y).detach().numpy())


IN_PLACE = [
    ("relu", ()), ("leaky_relu", (0.2,)), ("elu", (0.7,)), ("selu", ()), ("celu", (0.7,)),
    ("silu", ()), ("mish", ()), ("hardtanh", (-0.5, 0.7)), ("relu6", ()), ("hardsigmoid", ()),
    ("hardswish", ()), ("threshold", (0.1, -2.0)), ("rrelu", ()),
]  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize(("name", "args"), IN_PLACE)
def test_activations_in_place_as_torch(torch, name, args):
    values = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32) * 3
    gradients, results = [], []
    for library, tensor in ((F, lucid.tensor), (torch.nn.functional, torch.tensor)):
        calls = [functools.partial(getattr(library, name), inplace=True)]
        if hasattr(library, f"{name}_"):
            calls.append(getattr(library, f"{name}_"))
        assert len(calls) == 2 or name in ("silu", "mish", "relu6", "hardsigmoid", "hardswish")
        for call in calls:
            x = tensor(values, requires_grad=True)
            y, base = x * 2, x * 3
            assert call(y, *args) is y
            call(base[1:3], *args)
            ((y * y).sum() + (base * base).sum()).backward()
            results.append(torch.cat([torch.as_tensor(t.detach().numpy()) for t in (y, base)]))
            gradients.append(x.grad.numpy())
    for result, gradient in zip(results, gradients, strict=True):
        np.testing.assert_allclose(result, results[-1], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(gradient, gradients[-1], rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        getattr(F, name)(lucid.tensor(values, requires_grad=True), *args, inplace=True)


def test_random_activations_in_place_draw_what_the_others_draw():
    values = np.random.default_rng(0).standard_normal((6, 7)).astype(np.float32)
    for function, args in (
        (F.rrelu, (0.1, 0.3)), (F.dropout, (0.4,)), (F.alpha_dropout, (0.4,)),
        (F.dropout1d, (0.4,)), (F.feature_alpha_dropout, (0.4,)),
    ):  # fmt: skip
        outputs, gradients = [], []
        for inplace in (False, True):
            x = lucid.tensor(values, requires_grad=True)
            generator = lucid.Generator(5)
            y = x * 2
            y = function(y, *args, training=True, inplace=inplace, generator=generator)
            (y * y).sum().backward()
            outputs.append(y.detach().numpy())
            gradients.append(x.grad.numpy())
        np.testing.assert_array_equal(*outputs)
        np.testing.assert_array_equal(*gradients)


def test_dropout_everything():
    x = lucid.ones(3, 4, requires_grad=True)
    for function in (F.dropout, F.alpha_dropout, F.feature_alpha_dropout):
        y = function(x, 1.0, training=True)
        assert not y.detach().numpy().any()
        y.sum().backward()
        assert not x.grad.numpy().any()


def test_dropout_of_every_dtype_drops_the_same():
    kept = None
    for dtype in (lucid.float16, lucid.float32, lucid.float64, lucid.complex64):
        lucid.manual_seed(3)
        y = F.dropout(lucid.ones(10, 10, dtype=dtype), 0.4)
        assert y.dtype == dtype
        kept = y.numpy() != 0 if kept is None else kept
        np.testing.assert_array_equal(y.numpy() != 0, kept)
    with pytest.raises(TypeError, match="dropout: input must be floating point; got int64"):
        F.dropout(lucid.ones(3, dtype=lucid.int64))


def test_piecewise_linear_activations_of_integers():
    x = lucid.tensor([-2, 1, 9])
    assert F.hardtanh(x).tolist() == [-1, 1, 1]
    assert F.relu6(x).tolist() == [0, 1, 6]
    assert F.threshold(x, 1, 7).tolist() == [7, 7, 9]
    assert F.relu6(x).dtype == lucid.int64
    for name in ("elu", "silu", "mish", "hardswish", "hardsigmoid", "hardshrink", "logsigmoid"):
        with pytest.raises(TypeError, match="x must be floating point; got int64"):
            getattr(F, name)(x)


def test_rrelu_bounds():
    with pytest.raises(ValueError, match=r"rrelu: lower must not exceed upper; got 0\.5 and 0\.1"):
        F.rrelu(lucid.ones(2), 0.5, 0.1)


def response_pair(torch, shape, dtype, *setting):
    """local_response_norm and its gradient, here and in PyTorch."""
    random = np.random.default_rng(0)
    x, g = (random.standard_normal(shape).astype(dtype) for _ in range(2))
    pairs = []
    for library, made in ((lucid, lucid.tensor), (torch, torch.tensor)):
        t = made(x, requires_grad=True)
        out = library.nn.functional.local_response_norm(t, *setting)
        out.backward(made(g))
        pairs.append((out.detach().numpy(), t.grad.numpy()))
    return pairs


@pytest.mark.torch
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 7, 5), (3, 4, 1), (1, 6, 3, 4), (2, 3, 2, 3, 2), (1, 1, 1)])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_local_response_norm_as_torch(torch, size, shape, dtype):
    for setting in ((), (0.5,), (0.5, 0.5), (0.5, 0.75, 0.0), (0.5, 1.3, 2.0), (0.5, 0.0, 1.0),
                    (-0.5, 2.0, 0.7), (0.0, -1.0, -3.0)):  # fmt: skip
        ours, theirs = response_pair(torch, shape, dtype, size, *setting)
        for found, expected in zip(ours, theirs, strict=True):
            limit = 1e3 * np.finfo(dtype).eps * max(1, np.abs(expected).max())
            np.testing.assert_allclose(found, expected, 1e3 * np.finfo(dtype).eps, limit)


@pytest.mark.torch
def test_local_response_norm_of_zero_windows_as_torch(torch):
    x = np.zeros((1, 6, 2), np.float32)
    x[0, 0] = 1, np.inf
    for k, beta in ((0.0, 0.75), (0.0, 0.6), (0.0, 0.0), (0.0, -1.0), (1.0, 0.75)):
        found = F.local_response_norm(lucid.tensor(x), 3, 1.0, beta, k).numpy()
        expected = torch.nn.functional.local_response_norm(torch.tensor(x), 3, 1.0, beta, k)
        np.testing.assert_allclose(found, expected.numpy(), 1e-6)


def test_local_response_norm_of_two_dimensions():
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    flat = F.local_response_norm(lucid.tensor(x), 4, 0.5)
    lines = F.local_response_norm(lucid.tensor(x[..., None]), 4, 0.5)
    assert flat.tolist() == lines[..., 0].tolist()


@pytest.mark.parametrize("size", [1, 4, 5, 50])
def test_local_response_norm_has_the_same_gradient_with_a_graph(size):
    x = lucid.randn(2, 6, 3, dtype=lucid.float64, requires_grad=True)
    for setting in ((0.7,), (0.7, 1.3, 2.0), (0.7, 0.0)):
        out = F.local_response_norm(x, size, *setting)
        kernel = lucid.autograd.grad((out**3).sum(), x, retain_graph=True)[0]
        composed = lucid.autograd.grad((out**3).sum(), x, create_graph=True)[0].detach()
        np.testing.assert_allclose(composed.numpy(), kernel.numpy(), rtol=1e-12, atol=1e-14)


def test_local_response_norm_refuses():
    x = lucid.ones(2, 3, 4)
    with pytest.raises(ValueError, match=r"size must be at least 1; got 0"):
        F.local_response_norm(x, 0)
    with pytest.raises(TypeError, match=r"size must be an integer; got 2\.5"):
        F.local_response_norm(x, 2.5)
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, \.\.\.\); got \(3,\)"):
        F.local_response_norm(lucid.ones(3), 2)
    with pytest.raises(TypeError, match="x must be floating point; got int64"):
        F.local_response_norm(lucid.ones(2, 3, 4, dtype=lucid.int64), 2)


@pytest.mark.torch
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_gradient_at_and_beyond_the_borders(torch, padding, align):
    places = np.array([-1.75, -1, -0.75, 0.25, 0.75, 1, 1.6], np.float32)
    grid = np.stack(np.meshgrid(places, places), -1)[None]
    image = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    results = []
    for library, tensor in ((F, lucid.tensor), (torch.nn.functional, torch.tensor)):
        x, at = tensor(image, requires_grad=True), tensor(grid, requires_grad=True)
        out = library.grid_sample(x, at, "bilinear", padding, align)
        (out * out).sum().backward()
        results.append([t.detach().numpy() for t in (out, x.grad, at.grad)])
    if padding == "zeros" and align:  # at a place that is a pixel, either neighbour will do
        results = [result[:2] for result in results]
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_copies_of_infinite_elements_stay_what_they_are():
    x = lucid.tensor(np.array([[[1 + 2j, np.inf, 3]]], np.complex64))
    assert F.pad(x, (1, 1), "reflect")[0, 0].tolist() == [np.inf, 1 + 2j, np.inf, 3, np.inf]
    image = lucid.tensor(np.array([[[[np.inf, 1], [1, 1]]]], np.float16))
    outside = lucid.full((1, 1, 1, 2), 3.0, dtype=lucid.float16)
    assert F.grid_sample(image, outside, align_corners=True).tolist() == [[[[0.0]]]]
    line = lucid.tensor(np.array([[[np.inf, 1, 1, 1, 1]]], np.float16))
    assert F.adaptive_avg_pool1d(line, 2).tolist() == [[[np.inf, 1.0]]]


def test_what_is_not_floating_point_is_refused():
    whole = lucid.ones(1, 2, 5, 5, dtype=lucid.int64)
    line, grid = whole[0], lucid.zeros(1, 1, 1, 2)
    for call, name in (
        (lambda: F.adaptive_avg_pool1d(line, 2), "adaptive_avg_pool1d: input"),
        (lambda: F.interpolate(whole, size=3, mode="area"), "interpolate: input"),
        (lambda: F.interpolate(whole, size=3, mode="bilinear"), "interpolate: input"),
        (lambda: F.grid_sample(whole, grid, align_corners=True), "grid_sample: input"),
        (lambda: F.batch_norm(whole, None, None, training=True), "batch_norm: input"),
        (lambda: F.group_norm(whole, 1), "group_norm: input"),
        (lambda: F.dropout(whole, 1.0), "dropout: input"),
        (lambda: F.dropout(whole, 0.0), "dropout: input"),
    ):
        with pytest.raises(TypeError, match=f"{name} must be floating point; got int64"):
            call()
    with pytest.raises(TypeError, match="prelu: weight must have the dtype float32 of the input"):
        F.prelu(lucid.ones(2, 3), lucid.ones(3, dtype=lucid.float64))
    with pytest.raises(TypeError, match="cross_entropy: target must hold integers"):
        F.cross_entropy(lucid.ones(2, 3), lucid.tensor([True, False]))
    for function, args in ((F.hardtanh, ()), (F.threshold, (1.0, 2.0))):
        with pytest.raises(TypeError, match="x must be of a real dtype; got complex64"):
            function(lucid.ones(2, dtype=lucid.complex64), *args)


def test_sizes_of_interpolate():
    x = lucid.ones(1, 2, 4, 4)
    for scale in ((2, 2, 2), float("nan"), float("inf"), -1.0, "2"):
        with pytest.raises(ValueError, match="scale_factor must be a positive number or 2 of them"):
            F.interpolate(x, scale_factor=scale)
    with pytest.raises(TypeError, match="interpolate: size must be an int or 2 of them; got 2"):
        F.interpolate(x, size=2.5)
    with pytest.raises(ValueError, match="interpolate: size must be an int or 2 of them"):
        F.interpolate(x, size=(2, 3, 4))


def test_nothing_at_all():
    weight = lucid.zeros(3, 0, requires_grad=True)
    F.embedding(lucid.tensor([1, 2]), weight).sum().backward()
    assert weight.grad.shape == (3, 0)
    slopes = lucid.zeros(0, requires_grad=True)
    out = F.prelu(lucid.zeros(2, 0, 3, requires_grad=True), slopes)
    out.sum().backward()
    assert out.shape == (2, 0, 3)
    assert slopes.grad.shape == (0,)
    mean = lucid.zeros(3)
    F.instance_norm(lucid.ones(2, 3, 0), mean, lucid.ones(3))
    assert mean.tolist() == [0, 0, 0]
