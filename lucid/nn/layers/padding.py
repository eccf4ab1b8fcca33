"""Borders, as modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn import functional as F  # noqa: N812
from lucid.nn.module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """What the kinds of padding share.

    Args:
        padding: of every side, or (before, after) of the last dimension, then of the last but
            one, and so on; negative ones crop.
    """

    _axes: int
    _mode: str
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        count = 2 * self._axes
        sides = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * count
        if len(sides) != count or not all(isinstance(n, (int, np.integer)) for n in sides):
            raise ValueError(
                f"{type(self).__name__}: padding must be an int or {count} of them; got {padding!r}"
            )
        self.padding = tuple([int(side) for side in sides])

    def forward(self, input: Tensor) -> Tensor:
        if self._mode != "constant" and input.ndim - self._axes not in (1, 2):
            raise ShapeError(
                f"{type(self).__name__}: input must have {self._axes + 1} or {self._axes + 2} "
                f"dimensions; got shape {input.shape}"
            )
        return F.pad(input, self.padding, self._mode, self.value)

    def extra_repr(self) -> str:
        return str(self.padding)


class ReflectionPad1d(_Pad):
    """A border mirrored about the edge elements, for ``(N, C, L)`` or ``(C, L)``.

    Example:
        >>> lucid.nn.ReflectionPad1d((2, 1))(lucid.tensor([[0.0, 1.0, 2.0]]))
        tensor([[2., 1., 0., 1., 2., 1.]])
    """

    _axes = 1
    _mode = "reflect"


class ReflectionPad2d(_Pad):
    """A border mirrored about the edge elements, for ``(N, C, H, W)`` or ``(C, H, W)``."""

    _axes = 2
    _mode = "reflect"


class ReflectionPad3d(_Pad):
    """A border mirrored about the edge elements, for ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    _axes = 3
    _mode = "reflect"


class ReplicationPad1d(_Pad):
    """A border that repeats the edge elements, for ``(N, C, L)`` or ``(C, L)``.

    Example:
        >>> lucid.nn.ReplicationPad1d((2, 1))(lucid.tensor([[0.0, 1.0, 2.0]]))
        tensor([[0., 0., 0., 1., 2., 2.]])
    """

    _axes = 1
    _mode = "replicate"


class ReplicationPad2d(_Pad):
    """A border that repeats the edge elements, for ``(N, C, H, W)`` or ``(C, H, W)``."""

    _axes = 2
    _mode = "replicate"


class ReplicationPad3d(_Pad):
    """A border that repeats the edge elements, for ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    _axes = 3
    _mode = "replicate"


class CircularPad1d(_Pad):
    """A border of the elements of the other side, for ``(N, C, L)`` or ``(C, L)``.

    Example:
        >>> lucid.nn.CircularPad1d((2, 1))(lucid.tensor([[0.0, 1.0, 2.0]]))
        tensor([[1., 2., 0., 1., 2., 0.]])
    """

    _axes = 1
    _mode = "circular"


class CircularPad2d(_Pad):
    """A border of the elements of the other side, for ``(N, C, H, W)`` or ``(C, H, W)``."""

    _axes = 2
    _mode = "circular"


class CircularPad3d(_Pad):
    """A border of the elements of the other side, for ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    _axes = 3
    _mode = "circular"


class _ConstantPad(_Pad):
    """What the borders of one value share.

    Args:
        padding: of every side, or one number for each, as for :func:`lucid.nn.functional.pad`.
        value: of the border.
    """

    _mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of one value around the last dimension, of which there may be more.

    Args:
        padding: of every side, or one number for each, as for :func:`lucid.nn.functional.pad`.
        value: of the border.
    """

    _axes = 1


class ZeroPad1d(_Pad):
    """A border of zeros around the last dimension, of which there may be more."""

    _axes = 1
    _mode = "constant"


class ConstantPad2d(_ConstantPad):
    """A border of one value around the last two dimensions, of which there may be more.

    Args:
        padding: of every side, or one number for each, as for :func:`lucid.nn.functional.pad`.
        value: of the border.
    """

    _axes = 2


class ZeroPad2d(_Pad):
    """A border of zeros around the last two dimensions, of which there may be more."""

    _axes = 2
    _mode = "constant"


class ConstantPad3d(_ConstantPad):
    """A border of one value around the last three dimensions, of which there may be more.

    Args:
        padding: of every side, or one number for each, as for :func:`lucid.nn.functional.pad`.
        value: of the border.
    """

    _axes = 3


class ZeroPad3d(_Pad):
    """A border of zeros around the last three dimensions, of which there may be more."""

    _axes = 3
    _mode = "constant"
