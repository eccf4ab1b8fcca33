"""Parameters as one vector."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
import lucid.nn as nn
from lucid.nn.utils import parameters_to_vector, vector_to_parameters


def test_there_and_back():
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = parameters_to_vector(model.parameters())
    np.testing.assert_array_equal(vector[:6].detach().numpy(), model.weight._data.ravel())
    memory, version = other.weight._data, other.weight._version
    vector_to_parameters(vector, other.parameters())
    assert other.weight._data is memory
    assert other.weight._version > version
    np.testing.assert_array_equal(other.bias._data, model.bias._data)
    (vector * vector).sum().backward()
    np.testing.assert_array_equal(model.weight.grad.numpy(), 2 * model.weight._data)


def test_wrong_calls_change_nothing():
    model = nn.Linear(3, 2)
    before = model.weight._data.copy()
    with pytest.raises(ValueError, match=r"vec must have shape \(8,\); got \(9,\)"):
        vector_to_parameters(lucid.ones(9), model.parameters())
    with pytest.raises(TypeError, match=r"parameters\[0\]"):
        vector_to_parameters(lucid.ones(9), [1])
    with pytest.raises(TypeError, match="vec must be a Tensor"):
        vector_to_parameters(np.ones(8), model.parameters())
    np.testing.assert_array_equal(model.weight._data, before)
