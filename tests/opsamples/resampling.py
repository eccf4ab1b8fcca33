"""Rows of resampling; tests/nn compares interpolation, grids and borders with PyTorch."""

import numpy as np

from lucid.ops import resampling
from tests.opsamples import Sample

# (images or 1, taps, count), of planes of 4 elements; negative ones contribute nothing.
SHARED = np.array([[[0, 3, 3], [1, -1, 3]]], np.int32)
OWN = np.array([[[0, 3], [1, -1]], [[2, 2], [2, -7]]], np.int32)


def form(g, weight, x, place):
    """The three derivatives of the form in resampling.h."""
    by_g, by_weight, by_x = np.zeros_like(g), np.zeros_like(weight), np.zeros_like(x)
    for b in range(len(x)):
        own = b % len(place)
        for t, p in np.ndindex(place.shape[1:]):
            at = place[own, t, p]
            if at >= 0:
                by_g[b, :, p] += weight[own, t, p] * x[b, :, at]
                by_weight[own, t, p] += (g[b, :, p] * x[b, :, at]).sum()
                by_x[b, :, at] += weight[own, t, p] * g[b, :, p]
    return by_g, by_weight, by_x


SAMPLES = [
    sample
    for place, columns in ((SHARED, 1), (SHARED, 3), (OWN, 1), (OWN, 2))
    for x, g, weight in [((2, 3, 4, columns), (2, 3, place.shape[2], columns), place.shape)]
    for sample in (
        Sample("resample", (x, weight),
               numpy=lambda x, w, p=place, g=g: form(np.zeros(g, x.dtype), w, x, p)[0],
               call=lambda x, w, p=place: resampling.resample(x, w, p)),
        Sample("resample_spread", (g, weight),
               numpy=lambda g, w, p=place, x=x: form(g, w, np.zeros(x, g.dtype), p)[2],
               call=lambda g, w, p=place: resampling.resample_spread(g, w, p, 4)),
        Sample("resample_correlate", (g, x),
               numpy=lambda g, x, p=place: form(g, np.zeros(p.shape, g.dtype), x, p)[1],
               call=lambda g, x, p=place: resampling.resample_correlate(g, x, p)),
    )
] + [
    Sample("resample", ((2, 3, 4, 2),), dtypes="fci",
           numpy=lambda x: np.stack([x[:, :, 0] + x[:, :, 1], x[:, :, 3], x[:, :, 3] * 2], 2),
           call=lambda x: resampling.resample(x, None, SHARED)),
    Sample("resample_spread", ((2, 3, 3, 2),), dtypes="fc",
           numpy=lambda g: np.stack(
               [g[:, :, 0], g[:, :, 0], 0 * g[:, :, 0], g[:, :, 1] + 2 * g[:, :, 2]], 2),
           call=lambda g: resampling.resample_spread(g, None, SHARED, 4)),
]  # fmt: skip
