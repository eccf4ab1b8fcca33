"""Attaches the operations to :class:`lucid.Tensor` as methods and operators."""

from __future__ import annotations

from typing import Any

from lucid._core.tensor import Tensor
from lucid.ops import indexing, matrix, pointwise, reduction, shape


def _reflected(operation: Any) -> Any:
    return lambda x, y: operation(y, x)


Tensor.__add__ = Tensor.__radd__ = pointwise.add
Tensor.__sub__ = pointwise.sub
Tensor.__rsub__ = _reflected(pointwise.sub)
Tensor.__mul__ = Tensor.__rmul__ = pointwise.mul
Tensor.__truediv__ = pointwise.div
Tensor.__rtruediv__ = _reflected(pointwise.div)
Tensor.__neg__ = pointwise.neg
Tensor.__matmul__ = matrix.matmul
Tensor.__iadd__ = pointwise.add_
Tensor.__isub__ = pointwise.sub_
Tensor.__imul__ = pointwise.mul_
Tensor.__itruediv__ = pointwise.div_
Tensor.__getitem__ = lambda self, key: indexing.getitem(self, indexing.plain_key(key))


def _setitem(self: Tensor, key: Any, value: Any) -> None:
    indexing.setitem_(self, value, indexing.plain_key(key))


Tensor.__setitem__ = _setitem

for _module, _names in (
    (pointwise, "add sub mul div neg exp log relu clone add_ sub_ mul_ div_"),
    (reduction, "sum mean"),
    (matrix, "matmul"),
    (shape, "transpose"),
):
    for _name in _names.split():
        setattr(Tensor, _name, getattr(_module, _name))
