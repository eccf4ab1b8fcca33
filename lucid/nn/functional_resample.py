"""Resampling: interpolation, rearranged pixels, sampling along a grid.

Interpolation is separable: along each axis an output is a weighted sum of a few inputs, whose
places and weights depend on the sizes alone. Along a grid they depend on the grid, and so have
gradients.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lucid._core.op import TENSORS as T
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn.functional_conv import per_axis
from lucid.nn.functional_pool import _adaptive_avg
from lucid.ops._checks import check_floating
from lucid.ops.activation import hardtanh
from lucid.ops.resampling import resample, resample_along
from lucid.ops.shape import permute, reshape, tensor_of

__all__ = [
    "affine_grid",
    "channel_shuffle",
    "grid_sample",
    "interpolate",
    "pixel_shuffle",
    "pixel_unshuffle",
    "upsample",
]

Taps = tuple[np.ndarray, np.ndarray | None]
"""The places of the inputs (terms, outputs) that make an output, and their weights or None."""

MODES = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,),
    "bilinear": (2,), "bicubic": (2,), "trilinear": (3,),
}  # fmt: skip


# -------------------------------------------------------------------- interpolation


def _nearest(n: int, size: int, scale: float | None, offset: float) -> Taps:
    step = np.float32(1 / scale) if scale else np.float32(n) / np.float32(size)
    at = np.floor((np.arange(size, dtype=np.float32) + np.float32(offset)) * step)
    return np.minimum(at.astype(np.int64), n - 1)[None], None


def _coordinates(n: int, size: int, scale: float | None, align: bool, dtype: Any) -> np.ndarray:
    """Where in the input the centres of the outputs lie."""
    out = np.arange(size, dtype=dtype)
    if align:
        return out * dtype((n - 1) / (size - 1) if size > 1 else 0)
    return (out + dtype(0.5)) * dtype(1 / scale if scale else n / size) - dtype(0.5)


def _linear(n: int, size: int, scale: float | None, align: bool, dtype: Any) -> Taps:
    at = np.maximum(_coordinates(n, size, scale, align, dtype), 0)
    low = np.minimum(at.astype(np.int64), n - 1)
    part = np.clip(at - low, 0, 1).astype(dtype)
    return np.stack([low, np.minimum(low + 1, n - 1)]), np.stack([1 - part, part])


def _cubic_weights(t: Any) -> list[Any]:
    """Keys' cubic convolution with a = -0.75, at distances t + 1, t, 1 - t and 2 - t."""
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]


def _cubic(n: int, size: int, scale: float | None, align: bool, dtype: Any) -> Taps:
    at = _coordinates(n, size, scale, align, dtype)
    low = np.floor(at)
    places = [np.clip(low.astype(np.int64) + i, 0, n - 1) for i in (-1, 0, 1, 2)]
    return np.stack(places), np.stack(_cubic_weights(at - low))


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -0.5, as it is usual for filters."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _filtered(n: int, size: int, scale: float | None, align: bool, radius: int) -> Taps:
    """A filter as wide as ``radius`` outputs, or inputs if these are wider, over all it covers."""
    if align:
        step = (n - 1) / (size - 1) if size > 1 else 0.0
    else:
        step = 1 / scale if scale else n / size
    stretch = max(step, 1.0)
    centre = step * (np.arange(size) + 0.5)
    first = np.maximum((centre - radius * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + radius * stretch + 0.5).astype(np.int64), n)
    place = first + np.arange((last - first).max())[:, None]
    weight = (_triangle if radius == 1 else _keys)((place - centre + 0.5) / stretch)
    weight = np.where(place < last, weight, 0)
    return np.where(place < last, place, -1), weight / weight.sum(0)


def _scales(scale_factor: Any, axes: int) -> list[float]:
    """A factor for each axis."""
    given = list(scale_factor) if isinstance(scale_factor, (tuple, list)) else [scale_factor] * axes
    if len(given) != axes or not all(
        isinstance(s, (int, float, np.number)) and 0 < s < math.inf for s in given
    ):
        raise ValueError(
            f"interpolate: scale_factor must be a positive number or {axes} of them; "
            f"got {scale_factor!r}"
        )
    return given


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resizes signals ``(N, C, L)``, images ``(N, C, H, W)`` or volumes ``(N, C, D, H, W)``.

    Args:
        input: what to resize.
        size: the new size, one number or one for each axis; or give
        scale_factor: by how much to enlarge, one number or one for each axis.
        mode: "nearest", "nearest-exact", "linear" (signals), "bilinear", "bicubic" (images),
            "trilinear" (volumes) or "area" (adaptive average pooling).
        align_corners: for the linear and cubic modes: the centres of the corner elements stay in
            place (True), or their outer edges do (False, the default).
        recompute_scale_factor: use the ratio of the sizes in place of the scale factor given.
        antialias: where the result is smaller, average over all that an output covers; only for
            "bilinear" and "bicubic".

    Raises:
        ShapeError: the mode is not for this number of dimensions.
        ValueError: the mode has no ``antialias``, or ``align_corners`` no meaning in it.

    Example:
        >>> x = lucid.tensor([[[0.0, 1.0]]])
        >>> lucid.nn.functional.interpolate(x, scale_factor=2, mode="linear")
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    shape = tensor_of(input, "interpolate").shape
    axes = len(shape) - 2
    if mode not in MODES:
        raise ValueError(f"interpolate: mode must be one of {', '.join(MODES)}; got {mode!r}")
    if axes not in MODES[mode]:
        raise ShapeError(
            f"interpolate: mode {mode!r} takes {' or '.join(str(a + 2) for a in MODES[mode])} "
            f"dimensions (N, C, ...); got shape {shape}"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(
            f"interpolate: antialias is for modes 'bilinear' and 'bicubic'; got {mode!r}"
        )
    if mode not in ("nearest", "nearest-exact"):
        check_floating(input, "interpolate", "input")
    exact = mode in ("nearest", "nearest-exact", "area")
    if exact and align_corners is not None:
        raise ValueError(f"interpolate: align_corners is not for mode {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: either size or scale_factor must be given, and not both")
    if size is not None:
        if recompute_scale_factor:
            raise ValueError("interpolate: recompute_scale_factor needs scale_factor, not size")
        sizes = per_axis(size, axes, "interpolate", "size", 1)
        scales: list[Any] = [None] * axes
    else:
        scales = _scales(scale_factor, axes)
        sizes = tuple([math.floor(n * s) for n, s in zip(shape[2:], scales, strict=True)])
        if recompute_scale_factor:
            scales = [None] * axes
    if min(sizes) < 1 or 0 in shape[2:]:
        raise ShapeError(f"interpolate: sizes must be positive; got {shape[2:]} to {sizes}")
    if mode == "area":
        return _adaptive_avg(axes, input, sizes)
    align, dtype = bool(align_corners), input.dtype.type if input.dtype.itemsize > 2 else np.float32
    out = input
    # What shrinks first leaves less to do.
    for i in sorted(range(axes), key=lambda i: sizes[i] / shape[i + 2]):
        n, wanted, scale = shape[i + 2], sizes[i], scales[i]
        if mode == "nearest":
            taps = _nearest(n, wanted, scale, 0.0)
        elif mode == "nearest-exact":
            taps = _nearest(n, wanted, scale, 0.5)
        elif antialias:
            taps = _filtered(n, wanted, scale, align, 2 if mode == "bicubic" else 1)
        else:
            taps = (_cubic if mode == "bicubic" else _linear)(n, wanted, scale, align, dtype)
        out = resample_along(out, i + 2, *taps)
    return out


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """:func:`interpolate` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


# -------------------------------------------------------------------- rearranged pixels


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """``(..., C r^2, H, W)`` to ``(..., C, H r, W r)``: channels become r x r blocks of pixels.

    Source: Shi et al. 2016, "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network".
    """
    shape, r = tensor_of(input, "pixel_shuffle").shape, upscale_factor
    if len(shape) < 3 or r < 1 or shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: input must have shape (..., C * {r * r}, H, W); got {shape}"
        )
    *lead, c, h, w = shape
    n = len(lead)
    x = reshape(input, (*lead, c // (r * r), r, r, h, w))
    x = permute(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshape(x, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """``(..., C, H r, W r)`` to ``(..., C r^2, H, W)``: the inverse of :func:`pixel_shuffle`."""
    shape, r = tensor_of(input, "pixel_unshuffle").shape, downscale_factor
    if len(shape) < 3 or r < 1 or shape[-2] % r or shape[-1] % r:
        raise ShapeError(
            f"pixel_unshuffle: input must have shape (..., C, H * {r}, W * {r}); got {shape}"
        )
    *lead, c, h, w = shape
    n = len(lead)
    x = reshape(input, (*lead, c, h // r, r, w // r, r))
    x = permute(x, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return reshape(x, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleaves ``groups`` groups of channels of ``(N, C, ...)``."""
    shape = tensor_of(input, "channel_shuffle").shape
    if len(shape) < 3 or groups < 1 or shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle: input must have shape (N, C, ...) with groups = {groups} dividing "
            f"C; got {shape}"
        )
    x = reshape(input, (shape[0], groups, shape[1] // groups, *shape[2:]))
    return reshape(permute(x, (0, 2, 1, *range(3, x.ndim))), shape)


# -------------------------------------------------------------------- grids


def _warn_of_alignment(align_corners: bool | None, caller: str) -> bool:
    if align_corners is None:
        warnings.warn(f"{caller}: align_corners is False unless given", stacklevel=3)
    return bool(align_corners)


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """For each pixel of an output, the place it has under an affine map, as grid_sample takes it.

    Args:
        theta: ``(N, 2, 3)`` for images or ``(N, 3, 4)`` for volumes.
        size: of the output, (N, C, H, W) or (N, C, D, H, W).
        align_corners: whether -1 and 1 are the centres of the corner pixels, or their outer edges.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)``.
    """
    align = _warn_of_alignment(align_corners, "affine_grid")
    shape, axes = tensor_of(theta, "affine_grid", "theta").shape, len(size) - 2
    if axes not in (2, 3) or shape != (size[0], axes, axes + 1):
        raise ShapeError(
            f"affine_grid: theta must have shape (N, 2, 3) with size (N, C, H, W), or (N, 3, 4) "
            f"with (N, C, D, H, W); got {shape} with {tuple(size)}"
        )
    lines = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
        lines.append(line if align else line * (n - 1) / max(n, 1))
    mesh = np.meshgrid(*lines, indexing="ij")[::-1]
    base = np.stack([*mesh, np.ones_like(mesh[0])], -1).reshape(-1, axes + 1).astype(theta.dtype)
    grid = T.matmul(wrap(base), T.transpose(theta, 1, 2))
    return reshape(grid, (size[0], *size[2:], axes))


def _reflected(at: Tensor, n: int, align: bool) -> Tensor:
    """Coordinates mirrored about the borders as often as it takes to get inside."""
    low, span = (0.0, float(n - 1)) if align else (-0.5, float(n))
    if span == 0:
        return T.mul(at, 0.0)
    away = T.abs(T.sub(at, low))
    flips = np.floor(away._data / span)
    extra = T.sub(away, wrap((flips * span).astype(at.dtype)))
    even = wrap(flips % 2 == 0)
    return T.add(T.where(even, extra, T.sub(span, extra)), low)


def _bounded(at: Tensor, n: int, padding_mode: str, align: bool) -> Tensor:
    if padding_mode == "reflection":
        at = _reflected(at, n, align)
    # At the border itself one neighbour lies outside, so there must be no gradient any more.
    return at if padding_mode == "zeros" else hardtanh(at, 0.0, float(n - 1))


def _flat_places(places: Sequence[np.ndarray], size: tuple[int, ...]) -> np.ndarray:
    """Flat places ``(N, count)`` from one array per axis; -1 for what lies outside."""
    index = np.zeros(places[0].shape, np.int64)
    inside = np.ones(places[0].shape, bool)
    for at, n in zip(places, size, strict=True):
        inside &= (at >= 0) & (at <= n - 1)
        index = index * n + np.where(inside, at, 0).astype(np.int64)
    return np.where(inside, index, -1).reshape(len(index), math.prod(index.shape[1:]))


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """Values of an image at the places of a grid.

    Args:
        input: ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
        grid: ``(N, H', W', 2)`` or ``(N, D', H', W', 3)``; the last dimension is (x, y) or
            (x, y, z), from -1 (left, top, front) to 1.
        mode: "bilinear" (of volumes: trilinear), "nearest" or, of images, "bicubic".
        padding_mode: what lies outside: "zeros", the "border", or a "reflection".
        align_corners: whether -1 and 1 are the centres of the corner pixels, or their outer edges.

    Returns:
        ``(N, C, H', W')`` or ``(N, C, D', H', W')``.
    """
    align = _warn_of_alignment(align_corners, "grid_sample")
    x_shape, shape = (
        tensor_of(input, "grid_sample").shape,
        tensor_of(grid, "grid_sample", "grid").shape,
    )
    axes = len(x_shape) - 2
    if axes not in (2, 3) or len(shape) != axes + 2 or shape[-1] != axes or shape[0] != x_shape[0]:
        raise ShapeError(
            "grid_sample: input (N, C, H, W) needs a grid (N, H', W', 2), and (N, C, D, H, W) one "
            f"of (N, D', H', W', 3); got {x_shape} and {shape}"
        )
    check_floating(input, "grid_sample", "input")
    check_floating(grid, "grid_sample", "grid")
    if mode not in ("bilinear", "nearest", "bicubic") or mode == "bicubic" and axes != 2:
        raise ValueError(
            'grid_sample: mode must be "bilinear", "nearest" or, for images, "bicubic"; '
            f"got {mode!r}"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            f'grid_sample: padding_mode must be "zeros", "border" or "reflection"; '
            f"got {padding_mode!r}"
        )
    if 0 in x_shape[2:]:
        raise ShapeError(f"grid_sample: there is nothing to sample from in {x_shape}")
    size = x_shape[2:]
    at = []
    for i, n in enumerate(size):
        place = T.getitem(grid, (..., axes - 1 - i))
        if align:
            at.append(T.mul(T.add(place, 1.0), (n - 1) / 2))
        else:
            at.append(T.div(T.sub(T.mul(T.add(place, 1.0), float(n)), 1.0), 2.0))
    if mode != "bicubic":
        at = [_bounded(a, n, padding_mode, align) for a, n in zip(at, size, strict=True)]
    count = (shape[0], math.prod(shape[1:-1]))
    if mode == "nearest":
        places, weight = [_flat_places([np.rint(a._data) for a in at], size)], None
    else:
        low = [np.floor(a._data) for a in at]
        parts = [T.sub(a, wrap(start)) for a, start in zip(at, low, strict=True)]
        if mode == "bilinear":
            terms = [[(i, 1.0 - t), (i + 1, t)] for i, t in zip(low, parts, strict=True)]
        else:
            terms = [
                [
                    (_bounded(wrap(start + i), n, padding_mode, align)._data, w)
                    for i, w in zip((-1, 0, 1, 2), _cubic_weights(t), strict=True)
                ]
                for start, t, n in zip(low, parts, size, strict=True)
            ]
        corners = list(itertools.product(*terms))
        places = [_flat_places([place for place, _ in corner], size) for corner in corners]
        factors = [functools.reduce(T.mul, [w for _, w in corner]) for corner in corners]
        weight = T.stack([reshape(w, count) for w in factors], 1)
        weight = T.cast(weight, input.dtype) if weight.dtype is not input.dtype else weight
    planes = reshape(input, (*x_shape[:2], math.prod(size), 1))
    out = resample(planes, weight, np.stack(places, 1).astype(np.int32))
    return reshape(out, (*x_shape[:2], *shape[1:-1]))
