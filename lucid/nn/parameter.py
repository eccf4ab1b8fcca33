"""Tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._core.tape import Variable
from lucid._core.tensor import Tensor, describe

__all__ = ["Buffer", "Parameter"]


def _sharing(cls: type[Any], data: Any) -> Any:
    """A ``cls`` on the memory of ``data``, outside the graph that may have made it."""
    if not isinstance(data, Tensor):
        return Tensor.__new__(cls, () if data is None else data)
    self = Variable.__new__(cls)
    self._data = data._data
    self._base = data if data._base is None else data._base
    return self


class Parameter(Tensor):
    """A tensor to be trained: assigned to a :class:`Module`, it becomes one of its parameters.

    Args:
        data: the initial values; a tensor's memory is shared, anything else is copied.
        requires_grad: whether it is to be trained.

    Raises:
        RuntimeError: ``data`` is not floating point or complex and ``requires_grad`` is set.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        self = _sharing(cls, data)
        self.requires_grad_(requires_grad)
        return self

    @classmethod
    def _of(cls, array: np.ndarray) -> Parameter:
        """A parameter that owns ``array``: what layers make of their initial values."""
        self = Variable.__new__(cls)
        self._data = array
        self._requires_grad = True
        return self

    def __repr__(self) -> str:
        plain = self.detach()
        plain._requires_grad = self._requires_grad
        return f"Parameter containing:\n{describe(plain)}"


class Buffer(Tensor):
    """A tensor of a module's state that is not trained, such as a running mean.

    Args:
        data: the values; a tensor's memory is shared, anything else is copied.
        persistent: whether the module's state dict has it.
    """

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        self = _sharing(cls, data)
        self.persistent = persistent
        return self

    def __repr__(self) -> str:
        return f"Buffer containing:\n{describe(self.detach())}"
