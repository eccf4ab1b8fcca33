"""The parameters of a model as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lucid._core.tape import note_write
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops.join import cat
from lucid.ops.shape import reshape

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _listed(parameters: Iterable[Tensor], caller: str) -> list[Tensor]:
    found = list(parameters)
    for i, x in enumerate(found):
        if not isinstance(x, Tensor):
            raise TypeError(f"{caller}: parameters[{i}] must be a Tensor; got {type(x).__name__}")
    return found


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters one after the other; gradients flow through.

    Example:
        >>> vector = lucid.nn.utils.parameters_to_vector(lucid.nn.Linear(3, 2).parameters())
        >>> vector.shape
        (8,)
    """
    return cat([reshape(x, (-1,)) for x in _listed(parameters, "parameters_to_vector")], 0)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copies a vector into the parameters, in place.

    Raises:
        ShapeError: the vector has not as many elements as the parameters; nothing was changed.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec must be a Tensor; got {type(vec).__name__}")
    targets = _listed(parameters, "vector_to_parameters")
    count = sum(x.numel() for x in targets)
    if vec.shape != (count,):
        raise ShapeError(f"vector_to_parameters: vec must have shape ({count},); got {vec.shape}")
    start = 0
    for x in targets:
        end = start + x.numel()
        note_write(x)
        np.copyto(x._data, vec._data[start:end].reshape(x.shape), casting="same_kind")
        start = end
