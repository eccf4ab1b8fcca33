"""Windows of an array, and their sum back into it: what pooling and resampling are composed of."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import operation

Array = np.ndarray
Sizes = tuple[int, ...]


@operation(1)
def unfold_windows(
    x: Array,
    counts: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    fill: float = 0.0,
) -> Array:
    """All windows over the last dimensions of ``x``: shape ``(..., *kernel, *counts)``.

    Args:
        x: shape ``(..., *sizes)``.
        counts: windows per axis.
        kernel, stride, padding, dilation: of the windows.
        fill: what lies outside.
    """
    return B.unfold_windows(x, counts, kernel, stride, padding, dilation, fill)


unfold_windows.gradient(
    x=lambda F, g, x_shape, stride, padding, dilation: F.fold_windows(
        g, x_shape[len(x_shape) - len(stride) :], stride, padding, dilation
    )
)


@operation(1)
def fold_windows(x: Array, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    """The transpose of :func:`unfold_windows`: sums windows into an array.

    Args:
        x: windows, shape ``(..., *kernel, *counts)``.
        size: of the array's last dimensions.
        stride, padding, dilation: of the windows.
    """
    return B.fold_windows(x, size, stride, padding, dilation)


def _fold_rule(F: Any, g: Any, x_shape: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    axes = len(stride)
    kernel = x_shape[len(x_shape) - 2 * axes : len(x_shape) - axes]
    return F.unfold_windows(
        g, x_shape[len(x_shape) - axes :], kernel, stride, padding, dilation, 0.0
    )


fold_windows.gradient(x=_fold_rule)
