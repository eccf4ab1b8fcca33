"""Attaches the operations to :class:`lucid.Tensor` as methods and operators."""

from __future__ import annotations

from typing import Any

from lucid._core.tensor import Tensor
from lucid.ops import (
    comparison,
    functions,
    indexing,
    matrix,
    pointwise,
    reduction,
    shape,
    sorting,
)


Tensor.__matmul__ = matrix.matmul
Tensor.__getitem__ = lambda self, key: indexing.getitem(self, indexing.plain_key(key))


def _setitem(self: Tensor, key: Any, value: Any) -> None:
    indexing.setitem_(self, value, indexing.plain_key(key))


Tensor.__setitem__ = _setitem

for _module in (pointwise, functions, reduction, comparison, sorting):
    for _name in _module.METHODS:
        setattr(Tensor, _name, getattr(_module, _name))
    for _name, _function in (
        getattr(_module, "METHOD_FORMS", {}) | getattr(_module, "OPERATORS", {})
    ).items():
        setattr(Tensor, _name, _function)
    for _name, _function in getattr(_module, "PROPERTIES", {}).items():
        setattr(Tensor, _name, property(_function))

for _module, _names in ((matrix, "matmul"), (shape, "transpose")):
    for _name in _names.split():
        setattr(Tensor, _name, getattr(_module, _name))
