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


# -------------------------------------------------------------------- copies and other libraries


def test_copy_writes_over_and_sends_the_gradient_to_its_source():
    x, source = lucid.zeros(2, 2), lucid.tensor([1.0, 2.0], requires_grad=True)
    assert x.copy_(source) is x
    assert x.tolist() == [[1, 2], [1, 2]]
    x.sum().backward()
    assert source.grad.tolist() == [2, 2]
    assert lucid.arange(2).copy_(lucid.tensor([1.7, 2.2])).tolist() == [1, 2]
    weight = lucid.nn.Parameter(lucid.zeros(2))
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        weight.copy_(lucid.ones(2))
    with lucid.no_grad():
        weight.copy_(lucid.ones(2))
    assert weight.tolist() == [1, 1]
    assert weight.is_leaf
    for wrong in (3.0, None, [1.0, 2.0]):
        with pytest.raises(TypeError, match="copy_: src must be a Tensor"):
            x.copy_(wrong)
    with pytest.raises(lucid.errors.ShapeError):
        x.copy_(lucid.ones(3))


def test_dlpack_hands_out_no_memory_that_a_graph_needs():
    x, w = lucid.ones(3, requires_grad=True), lucid.ones(3)
    y = (x * w).sum()
    with pytest.raises(BufferError, match="a recorded graph needs"):
        np.from_dlpack(w)
    w.__dlpack__(copy=True)
    y.backward()
    assert np.shares_memory(np.from_dlpack(w), w.numpy())


def test_torch_cannot_falsify_a_gradient(torch):
    x, w = lucid.ones(3, requires_grad=True), lucid.ones(3)
    y = (x * w).sum()
    with pytest.raises(BufferError):
        torch.from_dlpack(w)
    y.backward()
    outside = torch.from_dlpack(w)
    y = (x * w).sum()  # recorded with a copy, since torch may write
    outside[:] = 100
    x.grad = None
    y.backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_only_one_integer_is_an_index():
    assert [1, 2, 3][lucid.tensor(1)] == 2
    for x in (lucid.tensor(1.0), lucid.tensor([1, 2])):
        with pytest.raises(TypeError, match="index: only an integer tensor of one element"):
            operator.index(x)


def test_retain_grad_follows_an_in_place_write():
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    y[0] = 0.0
    y.sum().backward()
    assert y.retains_grad
    assert y.grad.tolist() == [1, 1]
    assert x.grad.tolist() == [0, 6]


# -------------------------------------------------------------------- making tensors


def test_creation_takes_what_torch_takes():
    for make in (lucid.zeros, lucid.ones, lucid.empty, lucid.rand, lucid.randn):
        assert make(size=(2, 3)).shape == (2, 3)
        with pytest.raises(TypeError, match="not both"):
            make(2, size=(2, 3))
    assert lucid.randint(high=4, size=(5,)).shape == (5,)
    assert lucid.tensor([np.float64(1)]).dtype is lucid.float64
    assert lucid.tensor(float("nan"), dtype=lucid.int64).dtype is lucid.int64  # no warning


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: lucid.ones(2).size(3), IndexError, "size: dim 3"),
        (
            lambda: lucid.ones(2, requires_grad=True).sum().backward(inputs=3),
            TypeError,
            "backward: ",
        ),
        (lambda: lucid.autograd.grad(None, lucid.ones(1, requires_grad=True)), TypeError, "grad: "),
        (lambda: lucid.matmul(None, lucid.ones(2)), TypeError, "matmul: x must be a Tensor"),
        (lambda: lucid.matmul(lucid.ones(2), None), TypeError, "matmul: y must be a Tensor"),
        (lambda: lucid.nn.Linear("a", 2), TypeError, "Linear: "),
        (lambda: lucid.nn.Linear(-1, 2), ValueError, "Linear: "),
        (
            lambda: lucid.nn.functional.one_hot(lucid.tensor([-1])),
            ValueError,
            "one_hot: classes must not be negative",
        ),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_cross_entropy_names_itself():
    cross_entropy = lucid.nn.functional.cross_entropy
    x, target = lucid.ones(2, 3), lucid.tensor([0, 1])
    for arguments, error in (
        ((None, target), TypeError),
        ((x, None), TypeError),
        ((x, lucid.tensor([0, 3])), IndexError),
        ((x, lucid.tensor([0])), ValueError),
        ((x, target, lucid.ones(2)), ValueError),
    ):
        with pytest.raises(error, match=r"^cross_entropy: "):
            cross_entropy(*arguments)


def test_functions_and_methods_of_the_same_name():
    x = lucid.arange(4.0)
    assert lucid.expand(x, 2, 4).shape == x.expand(2, 4).shape == (2, 4)
    assert lucid.view(x, 2, 2).shape == x.view(2, 2).shape == (2, 2)
    assert lucid.repeat(x, 2).shape == x.repeat(2).shape == (8,)
    assert lucid.pad(x, (1, 1)).tolist() == x.pad((1, 1)).tolist() == [0, 0, 1, 2, 3, 0]
    assert x.tensordot(x, dims=1).item() == 14
    assert x.softplus().tolist() == lucid.softplus(x).tolist()
    assert x.searchsorted(lucid.tensor(1.5)).item() == 2


def test_the_version_counts_writes_from_when_a_graph_has_seen_the_memory():
    w = lucid.tensor([3.0, 4.0], requires_grad=True)
    loss = (w * w).sum()
    before = w._version
    loss.backward()
    lucid.optim.SGD([w], lr=0.1).step()
    assert w._version == before + 1
    lucid.nn.utils.clip_grad_norm(w, 1.0)
    assert w.grad._version == 0
    (w.grad * w).sum()
    lucid.nn.utils.clip_grad_norm(w, 0.5)
    assert w.grad._version == 1
