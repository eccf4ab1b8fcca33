"""Attaches the operations to :class:`lucid.Tensor` as methods, operators and properties.

Each family lists its own: ``METHODS`` names functions that are methods as they are, and
``METHOD_FORMS`` those whose method takes its arguments differently.
"""

from __future__ import annotations

from lucid._core.tensor import Tensor
from lucid.ops import (
    comparison,
    conversion,
    creation,
    decompositions,
    einsum,
    functions,
    indexing,
    join,
    matrix,
    neural,
    norms,
    pointwise,
    random,
    reduction,
    shape,
    sorting,
)

FAMILIES = (
    pointwise, functions, comparison, reduction, sorting, shape, join, indexing, creation,
    conversion, matrix, einsum, decompositions, norms, neural, random,
)  # fmt: skip

for _family in FAMILIES:
    for _name in _family.METHODS:
        setattr(Tensor, _name, getattr(_family, _name))
    for _table in ("METHOD_FORMS", "OPERATORS"):
        for _name, _function in getattr(_family, _table, {}).items():
            setattr(Tensor, _name, _function)
    for _name, _function in getattr(_family, "PROPERTIES", {}).items():
        setattr(Tensor, _name, property(_function))
