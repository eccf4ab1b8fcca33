"""Dropout."""

from __future__ import annotations

from typing import Any

from lucid._core.tensor import Tensor
from lucid.nn import functional as F  # noqa: N812
from lucid.nn.module import Module

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]


class _Dropout(Module):
    """What the kinds of dropout share.

    Args:
        p: the probability with which an element is dropped.
        inplace: overwrite the input.
        generator: where the random numbers come from.
    """

    _function: Any

    def __init__(self, p: float = 0.5, inplace: bool = False, generator: Any = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must be a probability in [0, 1]; got {p}")
        self.p = p
        self.inplace = inplace
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input, self.p, self.training, self.inplace, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class AlphaDropout(_Dropout):
    """Dropout that keeps the mean and variance of SELU activations."""

    _function = staticmethod(F.alpha_dropout)


class Dropout(_Dropout):
    """Sets elements to 0 with probability ``p``, and scales the others by 1 / (1 - p)."""

    _function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """Dropout of whole channels of ``(N, C, L)``."""

    _function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """Dropout of whole channels of ``(N, C, H, W)``."""

    _function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """Dropout of whole channels of ``(N, C, D, H, W)``."""

    _function = staticmethod(F.dropout3d)


class FeatureAlphaDropout(_Dropout):
    """Alpha dropout of whole channels."""

    _function = staticmethod(F.feature_alpha_dropout)
