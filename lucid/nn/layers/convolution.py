"""Convolutions and their transposes in 1 to 3 dimensions, unfold and fold."""

from __future__ import annotations

import math
from typing import Any

from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn import functional_conv as F  # noqa: N812
from lucid.nn import init
from lucid.nn.functional_conv import per_axis
from lucid.nn.layers.linear import new_parameter
from lucid.nn.module import Module
from lucid.nn.parameter import Parameter
from lucid.ops.join import pad

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Fold",
    "Unfold",
]


class _Convolution(Module):
    """What all six have in common; ``_axes`` and ``_apply`` are set by each."""

    _axes: int
    _transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        output_padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name, axes = type(self).__name__, self._axes
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups must divide in_channels and out_channels; got {groups} with "
                f"{in_channels} and {out_channels}"
            )
        modes = ("zeros",) if self._transposed else ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"{name}: padding_mode must be one of {modes}; got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = per_axis(kernel_size, axes, name, "kernel_size", 1)
        self.stride = per_axis(stride, axes, name, "stride", 1)
        self.dilation = per_axis(dilation, axes, name, "dilation", 1)
        self.output_padding = per_axis(output_padding, axes, name, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            if padding not in ("same", "valid") or self._transposed:
                raise ValueError(
                    f'{name}: padding must be ints, "same" or "valid"; got {padding!r}'
                )
            if padding == "same" and set(self.stride) != {1}:
                raise ValueError(f'{name}: padding "same" needs stride 1; got {self.stride}')
            self.padding: Any = padding
        else:
            self.padding = per_axis(padding, axes, name, "padding")
        first, second = (
            (in_channels, out_channels) if self._transposed else (out_channels, in_channels)
        )
        self.weight = new_parameter(
            (first, second // groups, *self.kernel_size), dtype, device, name
        )
        self.register_parameter(
            "bias", new_parameter((out_channels,), dtype, device, name) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the initial values again."""
        fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
        bound = 1 / fan_in**0.5 if fan_in else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * self._axes:
            text += f", padding={self.padding!r}"
        if self.dilation != (1,) * self._axes:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self._axes:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode!r}"
        return text


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _border(self) -> list[int]:
        """The padding as `pad` takes it: last axis first, before and after."""
        if self.padding == "valid":
            return [0] * (2 * self._axes)
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [n for t in reversed(total) for n in (t // 2, t - t // 2)]
        return [p for p in reversed(self.padding) for _ in range(2)]

    def forward(self, input: Tensor) -> Tensor:
        convolve = getattr(F, f"conv{self._axes}d")
        padding = self.padding
        if self.padding_mode != "zeros":
            input = pad(input, self._border(), self.padding_mode)
            padding = 0
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    r"""Convolution of signals: :func:`lucid.nn.functional.conv1d` with its own weight and bias.

    Shapes: input ``(N, in_channels, L)``, output ``(N, out_channels, L')`` with
    :math:`L' = \lfloor (L + 2p - d(k - 1) - 1) / s \rfloor + 1`; both also without N.

    Weight and bias start uniform in
    :math:`\pm 1/\sqrt{\text{in\_channels} / \text{groups} \cdot k}`.

    Args:
        in_channels, out_channels: before and after.
        kernel_size, stride, padding, dilation, groups: see the function; ``padding`` may be "same"
            or "valid".
        bias: whether there is a bias.
        padding_mode: "zeros", "reflect", "replicate" or "circular".

    Attributes:
        weight: ``(out_channels, in_channels / groups, kernel_size)``.
        bias: ``(out_channels,)``, or None.

    Example:
        >>> lucid.nn.Conv1d(3, 8, 5, padding=2)(lucid.zeros(2, 3, 10)).shape
        (2, 8, 10)
    """

    _axes = 1


class Conv2d(_Conv):
    """Convolution of images ``(N, in_channels, H, W)``; see :class:`Conv1d`.

    Example:
        >>> lucid.nn.Conv2d(3, 8, 3, stride=2, padding=1)(lucid.zeros(2, 3, 8, 8)).shape
        (2, 8, 4, 4)
    """

    _axes = 2


class Conv3d(_Conv):
    """Convolution of volumes ``(N, in_channels, D, H, W)``; see :class:`Conv1d`."""

    _axes = 3


class _ConvTranspose(_Convolution):
    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        convolve = getattr(F, f"conv_transpose{self._axes}d")
        more = self.output_padding if output_size is None else self._more(input, output_size)
        return convolve(
            input, self.weight, self.bias, self.stride, self.padding, more, self.groups,
            self.dilation,
        )  # fmt: skip

    def _more(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives ``output_size``."""
        wanted = tuple(output_size)[-self._axes :]
        smallest = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-self._axes :], self.stride, self.padding, self.dilation,
                self.kernel_size, strict=True,
            )
        ]  # fmt: skip
        if len(wanted) != self._axes or any(
            not 0 <= w - n < s for w, n, s in zip(wanted, smallest, self.stride, strict=True)
        ):
            raise ShapeError(
                f"{type(self).__name__}: output_size must lie from {smallest} up to less than a "
                f"stride {self.stride} more; got {output_size}"
            )
        return tuple([w - n for w, n in zip(wanted, smallest, strict=True)])


class ConvTranspose1d(_ConvTranspose):
    r"""Transpose of a convolution: :func:`lucid.nn.functional.conv_transpose1d`.

    Shapes: input ``(N, in_channels, L)``, output ``(N, out_channels, L')`` with
    :math:`L' = (L - 1) s - 2p + d(k - 1) + \text{output\_padding} + 1`; both also without N.

    Args:
        in_channels, out_channels: before and after.
        kernel_size, stride, padding, output_padding, groups, dilation: see the function.
        bias: whether there is a bias.
        padding_mode: "zeros" only.

    Attributes:
        weight: ``(in_channels, out_channels / groups, kernel_size)``.
        bias: ``(out_channels,)``, or None.

    ``forward(input, output_size)`` chooses the output padding from a wanted size.
    """

    _axes = 1


class ConvTranspose2d(_ConvTranspose):
    """Transpose of a convolution of images; see :class:`ConvTranspose1d`.

    Example:
        >>> lucid.nn.ConvTranspose2d(8, 3, 2, stride=2)(lucid.zeros(2, 8, 4, 4)).shape
        (2, 3, 8, 8)
    """

    _axes = 2


class ConvTranspose3d(_ConvTranspose):
    """Transpose of a convolution of volumes; see :class:`ConvTranspose1d`."""

    _axes = 3


class Unfold(Module):
    """Every window of an image as a column: :func:`lucid.nn.functional.unfold`."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Unfold):
    """Sums columns of windows into an image: :func:`lucid.nn.functional.fold`."""

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
