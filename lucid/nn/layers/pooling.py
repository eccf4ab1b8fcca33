"""Pooling layers; the functions of the same names in lucid.nn.functional say what they compute."""

from __future__ import annotations

from typing import Any

from lucid._core.tensor import Tensor
from lucid.nn import functional_pool as F  # noqa: N812
from lucid.nn.module import Module

__all__ = [
    f"{kind}{axes}d"
    for kind in (
        "MaxPool", "AvgPool", "LPPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "MaxUnpool",
    )
    for axes in (1, 2, 3)
]  # fmt: skip


class _Pool(Module):
    """Keeps its arguments, and hands them to ``_function``."""

    _function: str
    _shown: tuple[str, ...]

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)


class _MaxPool(_Pool):
    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return getattr(F, self._function)(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """The largest element of each window of signals: :func:`lucid.nn.functional.max_pool1d`."""

    _function = "max_pool1d"


class MaxPool2d(_MaxPool):
    """The largest element of each window of images: :func:`lucid.nn.functional.max_pool2d`.

    Example:
        >>> lucid.nn.MaxPool2d(2)(lucid.zeros(1, 3, 8, 8)).shape
        (1, 3, 4, 4)
    """

    _function = "max_pool2d"


class MaxPool3d(_MaxPool):
    """The largest element of each window of volumes: :func:`lucid.nn.functional.max_pool3d`."""

    _function = "max_pool3d"


class AvgPool1d(_Pool):
    """The mean of each window of ``(N, C, L)``: :func:`lucid.nn.functional.avg_pool1d`."""

    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip


class _AvgPool(_Pool):
    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, self._function)(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


class AvgPool2d(_AvgPool):
    """The mean of each window of images: :func:`lucid.nn.functional.avg_pool2d`."""

    _function = "avg_pool2d"


class AvgPool3d(_AvgPool):
    """The mean of each window of volumes: :func:`lucid.nn.functional.avg_pool3d`."""

    _function = "avg_pool3d"


class _LPPool(_Pool):
    _shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, self._function)(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool1d(_LPPool):
    """The power sum of each window: :func:`lucid.nn.functional.lp_pool1d`."""

    _function = "lp_pool1d"


class LPPool2d(_LPPool):
    """The power sum of each window: :func:`lucid.nn.functional.lp_pool2d`."""

    _function = "lp_pool2d"


class LPPool3d(_LPPool):
    """The power sum of each window: :func:`lucid.nn.functional.lp_pool3d`."""

    _function = "lp_pool3d"


class _AdaptiveAvgPool(_Pool):
    _shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, self._function)(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """A fixed number of means: :func:`lucid.nn.functional.adaptive_avg_pool1d`."""

    _function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """A fixed number of means: :func:`lucid.nn.functional.adaptive_avg_pool2d`.

    Example:
        >>> lucid.nn.AdaptiveAvgPool2d(1)(lucid.zeros(2, 64, 8, 8)).shape
        (2, 64, 1, 1)
    """

    _function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """A fixed number of means: :func:`lucid.nn.functional.adaptive_avg_pool3d`."""

    _function = "adaptive_avg_pool3d"


class _AdaptiveMaxPool(_Pool):
    _shown = ("output_size",)

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return getattr(F, self._function)(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """A fixed number of maxima: :func:`lucid.nn.functional.adaptive_max_pool1d`."""

    _function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """A fixed number of maxima: :func:`lucid.nn.functional.adaptive_max_pool2d`."""

    _function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """A fixed number of maxima: :func:`lucid.nn.functional.adaptive_max_pool3d`."""

    _function = "adaptive_max_pool3d"


class _MaxUnpool(_Pool):
    _shown = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return getattr(F, self._function)(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool1d(_MaxUnpool):
    """Maxima back in their places: :func:`lucid.nn.functional.max_unpool1d`."""

    _function = "max_unpool1d"


class MaxUnpool2d(_MaxUnpool):
    """Maxima back in their places: :func:`lucid.nn.functional.max_unpool2d`."""

    _function = "max_unpool2d"


class MaxUnpool3d(_MaxUnpool):
    """Maxima back in their places: :func:`lucid.nn.functional.max_unpool3d`."""

    _function = "max_unpool3d"
