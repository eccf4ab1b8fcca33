"""What somebody who knows PyTorch tries first: operators, keywords, conversions, messages."""

import math
import operator

import numpy as np
import pytest

import lucid

OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()


class Other:
    """Knows what to do with a tensor on its left."""


for _name in OPERATORS:
    setattr(Other, f"__r{_name}__", lambda self, x, name=_name: name)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_leaves_an_unknown_operand_to_its_own_methods(name):
    function = getattr(operator, f"__{name}__")
    assert function(lucid.ones(2), Other()) == name
    for unknown in (None, {}, [1.0, 2.0]):
        with pytest.raises(TypeError):
            function(lucid.ones(2), unknown)
        with pytest.raises(TypeError):
            function(unknown, lucid.ones(2))


def test_comparisons_with_what_is_no_number():
    x = lucid.ones(2)
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    with pytest.raises(TypeError, match="'<' not supported"):
        x < None  # noqa: B015
    assert x in [None, x]


@pytest.mark.parametrize(
    "name", "add sub mul div pow maximum minimum remainder atan2 eq lt logical_and fmod".split()
)
def test_binary_functions_take_their_operands_by_name(name):
    function = getattr(lucid, name)
    x, y = lucid.tensor([1.0, 2.0]), lucid.tensor([3.0, 1.0])
    wanted = function(x, y).tolist()
    assert function(input=x, other=y).tolist() == wanted
    assert function(x, other=y).tolist() == wanted
    assert function(x=x, y=y).tolist() == wanted
    assert getattr(x, name)(other=y).tolist() == wanted
    for arguments in ({"x": x}, {"input": x, "x": x, "other": y}, {"input": x, "other": y, "z": 1}):
        with pytest.raises(TypeError):
            function(**arguments)
    for arguments in ((), (x,), (x, y, x)):
        with pytest.raises(TypeError):
            function(*arguments)


def test_unary_functions_take_their_operand_by_name():
    x = lucid.tensor([0.0])
    assert lucid.exp(input=x).item() == lucid.exp(x=x).item() == 1
    with pytest.raises(TypeError, match="exp: the argument 'x' is missing"):
        lucid.exp()
    with pytest.raises(TypeError, match="exp: the argument 'input' was given twice"):
        lucid.exp(x, 3)
    assert lucid.pow(input=lucid.tensor(3.0), exponent=2).item() == 9
    assert lucid.tensor(3.0).pow(exponent=2).item() == 9


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: x + y,
        lambda x, y: lucid.maximum(x, y),
        lambda x, y: x < y,
        lambda x, y: lucid.where(x > 0, x, y),
        lambda x, y: lucid.lerp(x, y, 0.5),
        lambda x, y: x.add_(y),
    ],
)
def test_operands_that_do_not_broadcast_are_named(call):
    with pytest.raises(lucid.errors.ShapeError, match=r"^\w+: .*\(3,\).*\(2,\)"):
        call(lucid.ones(3), lucid.ones(2))


def test_a_number_out_of_range_is_reported_by_the_operation():
    with pytest.raises(OverflowError, match=r"^add: "):
        lucid.tensor([1], dtype=lucid.uint8) + 300
    with pytest.raises(OverflowError, match=r"^tensor: "):
        lucid.tensor(2**70)


def test_alpha_of_the_wrong_kind_in_place():
    with pytest.raises(RuntimeError, match="alpha must be an int"):
        lucid.arange(3).add_(1, alpha=0.5)


def test_numpy_reduces_a_tensor():
    x = lucid.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.sum(x).item() == 10
    assert np.mean(x, axis=0).tolist() == [2, 3]
    assert math.floor(lucid.tensor(1.5)) == 1
