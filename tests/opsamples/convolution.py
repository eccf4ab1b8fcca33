"""Rows of convolution, windows and pooling; tests/nn compares their public faces with PyTorch."""

import itertools

import numpy as np

from lucid.ops import convolution, pooling, unfold
from tests.opsamples import Sample, distinct


def windows(x, counts, kernel, stride, padding, dilation, fill=0.0):
    """Every window, one element at a time: (..., *kernel, *counts)."""
    axes = len(kernel)
    size = x.shape[x.ndim - axes :]
    out = np.full((*x.shape[: x.ndim - axes], *kernel, *counts), fill, x.dtype)
    for place in itertools.product(*map(range, kernel)):
        for window in itertools.product(*map(range, counts)):
            at = [q * s + k * d - p for q, s, k, d, p
                  in zip(window, stride, place, dilation, padding, strict=True)]  # fmt: skip
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                out[(..., *place, *window)] = x[(..., *at)]
    return out


def conv(x, weight, bias, *, size, stride, padding, dilation, groups):
    axes, n = len(size), len(x)
    seen = windows(x, size, weight.shape[2:], stride, padding, dilation)
    taps = weight.reshape(groups, weight.shape[0] // groups, -1)
    seen = seen.reshape(n, groups, taps.shape[2], int(np.prod(size)))
    out = np.einsum("ngkp,gok->ngop", seen, taps).reshape(n, weight.shape[0], *size)
    return out + bias.reshape(-1, *[1] * axes)


def fold(x, *, size, stride, padding, dilation):
    axes = len(size)
    kernel, counts = x.shape[x.ndim - 2 * axes : x.ndim - axes], x.shape[x.ndim - axes :]
    lead = x.shape[: x.ndim - 2 * axes]
    marks = np.arange(1, int(np.prod(size)) + 1).reshape(size)
    place = windows(marks, counts, kernel, stride, padding, dilation).astype(int)
    out = np.zeros((*lead, int(np.prod(size)) + 1), x.dtype)
    flat = x.reshape(*lead, -1)
    for i, at in enumerate(place.ravel()):
        out[..., at] += flat[..., i]
    return out[..., 1:].reshape(*lead, *size)


def conv_transpose(x, weight, bias, *, size, stride, padding, dilation, groups):
    axes, n = len(size), len(x)
    source = x.reshape(n, groups, -1, int(np.prod(x.shape[2:])))
    taps = weight.reshape(groups, weight.shape[0] // groups, -1)
    columns = np.einsum("ngop,gok->ngkp", source, taps)
    columns = columns.reshape(n, -1, *weight.shape[2:], *x.shape[2:])
    out = fold(columns, size=size, stride=stride, padding=padding, dilation=dilation)
    return out + bias.reshape(-1, *[1] * axes)


def conv_weight(x, y, *, size, stride, padding, dilation, groups):
    n = len(x)
    seen = windows(x, y.shape[2:], size, stride, padding, dilation)
    seen = seen.reshape(n, groups, -1, int(np.prod(y.shape[2:])))
    source = y.reshape(n, groups, y.shape[1] // groups, -1)
    return np.einsum("ngkp,ngop->gok", seen, source).reshape(y.shape[1], -1, *size)


def settings(size, stride, padding, dilation, groups=1):
    return {
        "size": size, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups
    }  # fmt: skip


PLAIN = settings((5, 4), (1, 1), (1, 1), (1, 1))
STRIDED = settings((3, 2), (2, 3), (2, 1), (1, 2), 2)
LINE = settings((4,), (2,), (3,), (2,))
POINT = settings((3, 2), (1, 1), (0, 0), (1, 1))
VOLUME = settings((2, 3, 2), (2, 1, 2), (0, 1, 1), (1, 1, 1))

POOL = {"counts": (3, 2), "kernel": (3, 2), "stride": (2, 2), "padding": (1, 0)}
INDEX = np.array([[[[0, 5], [-1, 5]]], [[[3, 3], [2, 1]]]])


def pooled(x, *, reduce, counts, kernel, stride, padding, fill):
    seen = windows(x, counts, kernel, stride, padding, (1,) * len(kernel), fill)
    return reduce(seen, tuple(range(x.ndim - len(kernel), x.ndim)))


SAMPLES = [
    *[
        Sample("convolution", (x, w, (w[0],)), kwargs, numpy=conv, call=convolution.convolution,
               tolerance=8)  # sums over up to 27 products
        for x, w, kwargs in (
            ((2, 3, 5, 4), (4, 3, 3, 3), PLAIN),
            ((2, 4, 4, 5), (6, 2, 2, 3), STRIDED),
            ((1, 2, 6), (3, 2, 4), LINE),
            ((2, 3, 3, 2), (2, 3, 1, 1), POINT),
            ((1, 2, 4, 3, 3), (2, 2, 2, 3, 2), VOLUME),
            ((0, 3, 5, 4), (4, 3, 3, 3), PLAIN),
        )
    ],
    *[
        Sample("convolution_transpose", (x, w, (w[1] * kwargs["groups"],)), kwargs,
               numpy=conv_transpose, call=convolution.convolution_transpose,
               tolerance=8)  # sums over up to 27 products
        for x, w, kwargs in (
            ((2, 4, 5, 4), (4, 3, 3, 3), settings((5, 4), (1, 1), (1, 1), (1, 1))),
            ((2, 6, 3, 2), (6, 2, 2, 3), settings((4, 5), (2, 3), (2, 1), (1, 2), 2)),
            ((1, 3, 4), (3, 2, 4), settings((6,), (2,), (3,), (2,))),
            ((2, 2, 3, 2), (2, 3, 1, 1), POINT),
        )
    ],
    *[
        Sample("convolution_weight", (x, y), kwargs, numpy=conv_weight,
               call=convolution.convolution_weight, tolerance=8)  # sums over up to 40 products
        for x, y, kwargs in (
            ((2, 3, 5, 4), (2, 4, 5, 4), settings((3, 3), (1, 1), (1, 1), (1, 1))),
            ((2, 4, 4, 5), (2, 6, 3, 2), settings((2, 3), (2, 3), (2, 1), (1, 2), 2)),
            ((2, 3, 3, 2), (2, 2, 3, 2), settings((1, 1), (1, 1), (0, 0), (1, 1))),
        )
    ],
    Sample("unfold_windows", ((2, 4, 3),),
           {"counts": (2, 3), "kernel": (2, 2), "stride": (2, 1), "padding": (1, 1),
            "dilation": (2, 1)},
           numpy=windows, call=unfold.unfold_windows),
    Sample("fold_windows", ((2, 2, 2, 2, 3),),
           {"size": (4, 3), "stride": (2, 1), "padding": (1, 1), "dilation": (2, 1)},
           numpy=fold, call=unfold.fold_windows),
    Sample("max_pool", (distinct((2, 5, 4)),), POOL | {"dilation": (1, 1)},
           numpy=lambda x, dilation, **k: pooled(x, reduce=np.max, fill=-np.inf, **k),
           call=lambda x, counts, kernel, stride, padding, dilation:
           pooling.max_pool_with_index(x, counts, kernel, stride, padding, dilation)[0]),
    Sample("avg_pool", ((2, 5, 4),), POOL,
           numpy=lambda x, **k: pooled(x, reduce=np.mean, fill=0.0, **k), call=pooling.avg_pool),
    Sample("avg_pool", ((2, 5, 4),), POOL | {"count_padding": False},
           numpy=lambda x, count_padding, **k: pooled(x, reduce=np.nansum, fill=np.nan, **k)
           / pooled(np.ones_like(x), reduce=np.sum, fill=0.0, **k), call=pooling.avg_pool),
    Sample("avg_pool_backward", ((2, 3, 2),),
           {"size": (5, 4), **{k: v for k, v in POOL.items() if k != "counts"}},
           numpy=lambda x, size, kernel, stride, padding: fold(
               np.broadcast_to(x[:, None, None] / np.prod(kernel), (2, *kernel, 3, 2)),
               size=size, stride=stride, padding=padding, dilation=(1, 1)),
           call=pooling.avg_pool_backward),
    Sample("take_places", ((2, 1, 2, 3),), {"index": INDEX, "axes": 2},
           numpy=lambda x, index, axes: np.where(index < 0, 0, np.stack(
               [x[i, 0].ravel()[index[i]] for i in range(2)])),
           call=pooling.take_places),
    Sample("put_places", ((2, 1, 2, 2),), {"index": INDEX, "size": (2, 3)},
           numpy=lambda x, index, size: np.stack([
               sum(v * (np.arange(6) == i)
                   for v, i in zip(x[n].ravel(), index[n].ravel(), strict=True))
               .reshape(1, 2, 3) for n in range(2)]),
           call=pooling.put_places),
    Sample("max_unpool", ((1, 1, 2, 2),), {"index": np.array([[[[0, 5], [3, 1]]]]), "size": (2, 3)},
           numpy=lambda x, index, size: (x.reshape(-1)[[0, 3, 0, 2, 0, 1]] * [1, 1, 0, 1, 0, 1])
           .reshape(1, 1, 2, 3), call=pooling.max_unpool),
]  # fmt: skip
