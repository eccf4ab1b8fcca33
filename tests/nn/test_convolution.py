"""Convolution, pooling and resampling layers against PyTorch: every option, every gradient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.errors import ShapeError
from lucid.nn import functional as F  # noqa: N812

SHAPES = {1: (2, 4, 17), 2: (2, 4, 9, 10), 3: (2, 4, 5, 7, 6)}


def numbers(shape):
    return np.random.default_rng(0).standard_normal(shape)


def first(result):
    return result[0] if isinstance(result, tuple) else result


def compare(torch, call, reference, *arrays):
    """Values, places of maxima and gradients of both."""
    mine = [lucid.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    found, expected = call(*mine), reference(*theirs)
    if isinstance(found, tuple):
        np.testing.assert_array_equal(found[1].numpy(), expected[1].numpy())
        assert found[1].dtype == lucid.int64
    found, expected = first(found), first(expected)
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), 1e-9, 1e-9)
    g = numbers(found.shape)
    found.backward(lucid.tensor(g))
    expected.backward(torch.tensor(g))
    for a, b in zip(mine, theirs, strict=True):
        got = np.zeros(a.shape) if a.grad is None else a.grad.numpy()
        np.testing.assert_allclose(got, b.grad.numpy(), 1e-8, 1e-8)


def same_layer(torch, name, *args, shape, **kwargs):
    """A layer with PyTorch's parameters gives PyTorch's output and gradients."""
    mine = getattr(nn, name)(*args, **kwargs, dtype=lucid.float64)
    theirs = getattr(torch.nn, name)(*args, **kwargs, dtype=torch.float64)
    state = theirs.state_dict()
    assert list(mine.state_dict()) == list(state)
    mine.load_state_dict({k: lucid.tensor(v.numpy()) for k, v in state.items()})
    compare(torch, mine, theirs, numbers(shape))
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), 1e-8, 1e-8)
    assert repr(mine).replace("'", "") == repr(theirs).replace("'", "")


# -------------------------------------------------------------------- convolution

OPTIONS = [
    {}, {"stride": 2}, {"padding": 2}, {"padding": "same"}, {"padding": "valid"}, {"dilation": 2},
    {"groups": 2}, {"groups": 4}, {"bias": False}, {"stride": 3, "padding": 1, "dilation": 2},
    *[{"padding": 2, "padding_mode": m} for m in ("reflect", "replicate", "circular")],
    {"padding": "same", "padding_mode": "circular", "dilation": 2},
]  # fmt: skip


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_conv_layers(torch, ndim, options):
    for kernel in (1, 3) if ndim == 3 else (1, 2, 3):
        same_layer(torch, f"Conv{ndim}d", 4, 8, kernel, **options, shape=SHAPES[ndim])


@pytest.mark.torch
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((4, 9, 10), 3, {}),
        ((1, 4, 1, 1), 1, {}),
        ((2, 4, 9, 10), (3, 2), {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 3)}),
        ((1, 4, 31, 7), (7, 5), {"stride": 4, "padding": (3, 2)}),
    ],
    ids=str,
)
def test_conv2d_shapes(torch, shape, kernel, options):
    same_layer(torch, "Conv2d", 4, 5, kernel, **options, shape=shape)


@pytest.mark.torch
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"stride": 2}, {"padding": 1}, {"stride": 2, "output_padding": 1}, {"dilation": 2},
        {"groups": 2}, {"groups": 4}, {"bias": False},
        {"stride": 3, "padding": 2, "output_padding": 1, "dilation": 2},
        {"dilation": 2, "output_padding": 1},
    ],
    ids=str,
)  # fmt: skip
def test_conv_transpose_layers(torch, ndim, options):
    small = {1: (2, 4, 6), 2: (2, 4, 3, 4), 3: (2, 4, 3, 2, 3)}[ndim]
    for kernel in (2, 3):
        if options.get("padding", 0) * 2 < small[2] + kernel:
            same_layer(torch, f"ConvTranspose{ndim}d", 4, 8, kernel, **options, shape=small)


@pytest.mark.torch
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv_transpose_of_single_places_with_output_padding(torch, ndim, groups):
    options = {"dilation": 3, "output_padding": (2, 1, 2)[:ndim], "groups": groups}
    shape = {1: (2, 4, 6), 2: (2, 4, 3, 4), 3: (2, 4, 3, 2, 3)}[ndim]
    same_layer(torch, f"ConvTranspose{ndim}d", 4, 6, 1, **options, shape=shape)


@pytest.mark.torch
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("name", "shape", "ins", "outs"),
    [
        ("conv2d", (2, 0, 5, 5), 0, 3),
        ("conv2d", (0, 2, 5, 5), 2, 3),
        ("conv_transpose2d", (2, 0, 5, 5), 0, 3),
        ("conv_transpose2d", (0, 2, 5, 5), 2, 3),
    ],
)
def test_nothing_to_add_up(torch, name, shape, ins, outs, with_bias, kernel):
    weight = numbers(
        (outs, ins, kernel, kernel) if name == "conv2d" else (ins, outs, *[kernel] * 2)
    )
    arrays = [numbers(shape), weight] + [numbers(outs)] * with_bias
    if ins:  # PyTorch refuses no channels, or returns none
        compare(torch, getattr(F, name), getattr(torch.nn.functional, name), *arrays)
    mine = [lucid.tensor(a, requires_grad=True) for a in arrays]
    out = getattr(F, name)(*mine)
    bias = arrays[2] if with_bias else np.zeros(outs)
    expected = np.broadcast_to(bias[:, None, None], out.shape)
    np.testing.assert_array_equal(out.detach().numpy(), expected)
    out.backward(lucid.ones(*out.shape, dtype=lucid.float64))
    for tensor in mine[:2]:
        np.testing.assert_array_equal(tensor.grad.numpy(), np.zeros(tensor.shape))
    if with_bias:
        count = np.full(outs, out.numel() // outs)
        np.testing.assert_array_equal(mine[2].grad.numpy(), count)


@pytest.mark.torch
def test_conv_transpose_to_a_size(torch):
    mine = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    assert mine(lucid.zeros(1, 2, 4, 5), output_size=(8, 9)).shape == (1, 3, 8, 9)
    with pytest.raises(ShapeError, match="output_size must lie from"):
        mine(lucid.zeros(1, 2, 4, 5), output_size=(9, 9))


def test_initial_values():
    layer = nn.Conv2d(16, 400, 3, groups=2)
    bound = 1 / (8 * 9) ** 0.5
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.conv2d(x, lucid.zeros(4, 2, 3, 3)), ShapeError, "takes 2 channels"),
        (lambda x: F.conv2d(x, lucid.zeros(4, 3, 3)), ShapeError, "weight must have 4 dim"),
        (lambda x: F.conv1d(x, lucid.zeros(4, 3, 3)), ShapeError, r"3 dimensions \(N, C"),
        (lambda x: F.conv2d(x, lucid.zeros(4, 3, 9, 9)), ShapeError, "larger than the padded"),
        (
            lambda x: F.conv2d(x, lucid.zeros(4, 3, 3, 3), lucid.zeros(3)),
            ShapeError,
            r"shape \(4,\)",
        ),
        (
            lambda x: F.conv2d(x, lucid.zeros(4, 3, 3, 3), stride=0),
            ValueError,
            "stride .* at least 1",
        ),
        (lambda x: F.conv2d(x, lucid.zeros(4, 3, 3, 3), stride=(1, 1, 1)), ValueError, "2 of them"),
        (lambda x: F.conv2d(x, lucid.zeros(4, 3, 3, 3), padding="full"), ValueError, '"same"'),
        (lambda x: F.conv2d(x, lucid.zeros(4, 3, 3, 3), None, 2, "same"), ValueError, "stride 1"),
        (
            lambda x: F.conv2d(x, lucid.zeros(4, 1, 3, 3), groups=2),
            ShapeError,
            "groups must divide",
        ),
        (
            lambda x: F.conv2d(x, lucid.zeros(4, 3, 3, 3, dtype=lucid.float64)),
            RuntimeError,
            "dtype",
        ),
        (
            lambda x: F.conv_transpose2d(x, lucid.zeros(3, 4, 3, 3), output_padding=1),
            ValueError,
            "output_padding must be smaller",
        ),
        (lambda x: F.max_pool2d(x, 2, padding=2), ValueError, "at most half"),
        (lambda x: F.max_pool2d(x, 9), ShapeError, "no window"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), ValueError, "must not be 0"),
        (lambda x: F.interpolate(x), ValueError, "either size or scale_factor"),
        (lambda x: F.interpolate(x, 8, mode="linear"), ShapeError, "mode 'linear' takes 3"),
        (
            lambda x: F.interpolate(x, 8, mode="nearest", antialias=True),
            ValueError,
            "antialias is for modes 'bilinear' and 'bicubic'; got 'nearest'",
        ),
        (lambda x: F.pixel_shuffle(x, 2), ShapeError, r"C \* 4"),
        (
            lambda x: F.grid_sample(x, lucid.zeros(1, 2, 2, 3), align_corners=True),
            ShapeError,
            "grid",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call(lucid.zeros(2, 3, 8, 8))


# -------------------------------------------------------------------- unfold, fold, pooling


@pytest.mark.torch
@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 2}, {"kernel_size": (2, 3), "padding": 1, "stride": 2, "dilation": (2, 1)}],
    ids=str,
)
def test_unfold_and_fold(torch, options):
    compare(torch, nn.Unfold(**options), torch.nn.Unfold(**options), numbers((2, 3, 6, 7)))
    columns = torch.nn.functional.unfold(torch.zeros(2, 3, 6, 7), **options).shape
    compare(torch, nn.Fold((6, 7), **options), torch.nn.Fold((6, 7), **options), numbers(columns))


WINDOWS = list(itertools.product((2, 3), (None, 1, 3), (0, 1), (False, True)))


@pytest.mark.torch
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding", "ceil"), WINDOWS)
def test_pooling(torch, ndim, kernel, stride, padding, ceil):
    x = numbers(SHAPES[ndim])
    for dilation in (1, 2):
        options = {"dilation": dilation, "return_indices": True, "ceil_mode": ceil}
        args = (kernel, stride, padding)
        name = f"MaxPool{ndim}d"
        compare(
            torch, getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options), x
        )
    name = f"AvgPool{ndim}d"
    for include in (True, False):
        more = [{}] if ndim == 1 else [{}, {"divisor_override": 5}]
        for extra in more:
            options = {"ceil_mode": ceil, "count_include_pad": include, **extra}
            compare(
                torch,
                getattr(nn, name)(*args, **options),
                getattr(torch.nn, name)(*args, **options),
                x,
            )
    if not padding:
        name = f"LPPool{ndim}d"
        for p in (1, 2.0, 3):
            args = (p, kernel, stride, ceil)
            compare(torch, getattr(nn, name)(*args), getattr(torch.nn, name)(*args), x)


@pytest.mark.torch
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5, "mixed"])
def test_adaptive_pooling(torch, ndim, size):
    wanted = (None, 4, 3)[-ndim:] if size == "mixed" else size
    wanted = wanted[0] if isinstance(wanted, tuple) and ndim == 1 else wanted
    x = numbers(SHAPES[ndim])
    for kind, args in (("Avg", ()), ("Max", (True,))):
        name = f"Adaptive{kind}Pool{ndim}d"
        compare(torch, getattr(nn, name)(wanted, *args), getattr(torch.nn, name)(wanted, *args), x)


@pytest.mark.torch
@pytest.mark.parametrize("size", [None, (7, 9)])
def test_max_unpool(torch, size):
    x, places = torch.nn.functional.max_pool2d(
        torch.tensor(numbers((2, 3, 6, 8))), 2, return_indices=True
    )
    compare(
        torch,
        lambda y: nn.MaxUnpool2d(2)(y, lucid.tensor(places.numpy()), size),
        lambda y: torch.nn.MaxUnpool2d(2)(y, places, size),
        x.numpy(),
    )


def test_max_pool_gradient_is_differentiable():
    x = lucid.tensor(numbers((1, 2, 4, 4)), requires_grad=True)
    assert lucid.autograd.gradgradcheck(lambda x: F.max_pool2d(x * x, 2), (x,))


# -------------------------------------------------------------------- resampling


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:The default behavior for interpolate:UserWarning")
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"size": 7}, {"size": 20}, {"size": 1}, {"scale_factor": 2}, {"scale_factor": 1.7},
        {"scale_factor": 0.6}, {"scale_factor": 1.7, "recompute_scale_factor": True},
    ],
    ids=str,
)  # fmt: skip
def test_interpolate(torch, ndim, options):
    linear = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}[ndim]
    cases = [(m, None) for m in ("nearest", "nearest-exact", "area", *linear)]
    for mode, align in [*cases, *[(m, True) for m in linear]]:
        kwargs = {**options, "mode": mode, "align_corners": align}
        compare(torch, nn.Upsample(**kwargs), torch.nn.Upsample(**kwargs), numbers(SHAPES[ndim]))


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:The default behavior for interpolate:UserWarning")
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 3, 17, 23), {"size": (5, 9)}), ((2, 3, 7, 23), {"size": (40, 9)}),
        ((1, 2, 8, 8), {"scale_factor": 0.37}), ((1, 2, 8, 8), {"scale_factor": (0.5, 2.3)}),
        ((1, 2, 8, 9), {"scale_factor": 0.37, "recompute_scale_factor": True}),
        ((1, 1, 64, 64), {"size": 7}), ((1, 1, 6, 6), {"size": 1}),
        ((1, 1, 1, 5), {"size": (3, 2)}),
    ],
)  # fmt: skip
def test_interpolate_without_aliases(torch, shape, options, mode, align):
    options = {**options, "mode": mode, "align_corners": align, "antialias": True}
    compare(
        torch, lambda x: F.interpolate(x, **options),
        lambda x: torch.nn.functional.interpolate(x, **options), numbers(shape),
    )  # fmt: skip


@pytest.mark.torch
def test_rearranged_pixels(torch):
    compare(torch, nn.PixelShuffle(2), torch.nn.PixelShuffle(2), numbers((2, 8, 3, 4)))
    compare(torch, nn.PixelUnshuffle(2), torch.nn.PixelUnshuffle(2), numbers((2, 3, 6, 4)))
    compare(torch, nn.ChannelShuffle(2), torch.nn.ChannelShuffle(2), numbers((2, 6, 3, 4)))


@pytest.mark.torch
@pytest.mark.parametrize("align", [True, False])
def test_grids(torch, align):
    reference = torch.nn.functional
    for size, theta in (((2, 3, 4, 5), (2, 2, 3)), ((2, 3, 4, 5, 2), (2, 3, 4))):
        compare(
            torch,
            lambda t, size=size: F.affine_grid(t, size, align),
            lambda t, size=size: reference.affine_grid(t, size, align_corners=align),
            numbers(theta),
        )
    for mode, padding in itertools.product(
        ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    ):
        for x, grid in (((2, 3, 5, 6), (2, 4, 7, 2)), ((2, 3, 5, 6, 4), (2, 4, 7, 3, 3))):
            if mode != "bicubic" or len(x) == 4:
                compare(
                    torch,
                    lambda x, g, m=mode, p=padding: F.grid_sample(x, g, m, p, align),
                    lambda x, g, m=mode, p=padding: reference.grid_sample(x, g, m, p, align),
                    numbers(x),
                    1.5 * numbers(grid),
                )
