"""Affine maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.device import as_device
from lucid._core.tensor import Tensor
from lucid.nn import functional as F  # noqa: N812
from lucid.nn import init
from lucid.nn.module import Module
from lucid.nn.parameter import Parameter
from lucid.ops.creation import size_of
from lucid.ops.matrix import linear

__all__ = ["Bilinear", "Linear"]


def new_parameter(shape: tuple[int, ...], dtype: Any, device: Any, caller: str) -> Parameter:
    """An uninitialised parameter."""
    as_device(device)
    wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, caller)
    return Parameter._of(np.empty(size_of((shape,), caller), wanted))


class Linear(Module):
    r"""Affine map :math:`y = x W^\top + b`.

    Shapes: input ``(..., in_features)``, output ``(..., out_features)``.

    Weight and bias start uniform in :math:`\pm 1/\sqrt{\text{in\_features}}`.

    Args:
        in_features, out_features: sizes of the last dimension before and after.
        bias: whether there is a bias.

    Attributes:
        weight: shape ``(out_features, in_features)``.
        bias: shape ``(out_features,)``, or None.

    Example:
        >>> lucid.nn.Linear(8, 16)(lucid.zeros(32, 8)).shape
        (32, 16)
    """

    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in_features), dtype, device, "Linear")
        self.register_parameter(
            "bias", new_parameter((out_features,), dtype, device, "Linear") if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the initial values again."""
        bound = 1 / self.in_features**0.5 if self.in_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    r"""Bilinear map :math:`y_k = x_1^\top W_k x_2 + b_k`.

    Shapes: inputs ``(..., in1_features)`` and ``(..., in2_features)``, output
    ``(..., out_features)``.

    Weight and bias start uniform in :math:`\pm 1/\sqrt{\text{in1\_features}}`.

    Attributes:
        weight: shape ``(out_features, in1_features, in2_features)``.
        bias: shape ``(out_features,)``, or None.
    """

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"Bilinear: in1_features must be positive; got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = new_parameter(shape, dtype, device, "Bilinear")
        self.register_parameter(
            "bias", new_parameter((out_features,), dtype, device, "Bilinear") if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the initial values again."""
        bound = 1 / self.in1_features**0.5
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
