"""Element-wise operations beyond their rows: errors, edges, in-place forms, views."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lucid
from lucid import Tensor, tensor
from lucid.ops import comparison, functions, pointwise

INF, NAN = math.inf, math.nan


def leaf(*values, dtype=None):
    return tensor(values, dtype=dtype).requires_grad_()


def gradient(out, *inputs):
    return [g.tolist() for g in lucid.autograd.grad(out.sum(), inputs)]


# -------------------------------------------------------------------- operators


def test_operators_on_both_sides():
    x = tensor([5.0, -3.0])
    for got, want in [
        (x + 1, [6, -2]), (1 + x, [6, -2]), (x - 1, [4, -4]), (1 - x, [-4, 4]),
        (x * 2, [10, -6]), (2 * x, [10, -6]), (x / 2, [2.5, -1.5]), (15 / x, [3, -5]),
        (x // 2, [2, -2]), (16 // x, [3, -6]), (x % 3, [2, 0]), (7 % x, [2, -2]),
        (x**2, [25, 9]), (2**x, [32, 0.125]), (-x, [-5, 3]), (+x, [5, -3]), (abs(x), [5, 3]),
    ]:  # fmt: skip
        assert isinstance(got, Tensor)
        assert got.dtype == lucid.float32
        np.testing.assert_array_equal(got._data, want)


def test_bit_operators_on_both_sides():
    x = tensor([12, 10])
    for got, want in [
        (x & 6, [4, 2]), (6 & x, [4, 2]), (x | 1, [13, 11]), (1 | x, [13, 11]),
        (x ^ 3, [15, 9]), (3 ^ x, [15, 9]), (x << 1, [24, 20]), (x >> 1, [6, 5]),
        (1 << tensor([2, 3]), [4, 8]), (64 >> tensor([2, 3]), [16, 8]), (~x, [-13, -11]),
    ]:  # fmt: skip
        assert got.dtype == lucid.int64
        assert got.tolist() == want
    flags = tensor([True, False])
    assert (~flags).tolist() == [False, True]
    assert (flags & True).dtype == lucid.bool_


def test_in_place_operators_write_to_the_same_memory():
    x = tensor([5.0, 3.0])
    alias, memory = x[:], x._data
    x += 1
    x -= 2
    x *= 3
    x /= 2
    x //= 1
    x %= 4
    x **= 2
    assert x._data is memory
    assert alias.tolist() == x.tolist() == [4.0, 9.0]
    bits = tensor([12, 10])
    kept = bits._data
    bits &= 14
    bits |= 1
    bits ^= 2
    bits <<= 2
    bits >>= 1
    assert bits._data is kept
    assert bits.tolist() == [((v & 14 | 1) ^ 2) << 2 >> 1 for v in (12, 10)]


def test_comparison_operators():
    x = tensor([1, 2, 3])
    assert (x == 2).tolist() == [False, True, False]
    assert (x != tensor(2)).tolist() == [True, False, True]
    assert (x < 2).tolist() == [True, False, False]
    assert (2 < x).tolist() == [False, False, True]  # noqa: SIM300
    assert (x >= 2.5).tolist() == [False, False, True]


@pytest.mark.parametrize("other", ["a", None, object(), [1, 2]])
def test_comparison_with_what_is_no_number_is_left_to_python(other):
    x = tensor([1, 2])
    assert (x == other) is False
    assert (x != other) is True
    with pytest.raises(TypeError):
        x < other  # noqa: B015


def test_tensors_stay_hashable():
    x, y = tensor([1]), tensor([1])
    assert {x: 1, y: 2}[x] == 1


def test_numpy_array_on_the_left_gives_a_tensor():
    assert isinstance(np.ones(2, np.float32) + tensor([1.0, 2.0]), Tensor)


# -------------------------------------------------------------------- promotion


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize(
    "name", ["add", "mul", "sub", "div", "pow", "floor_divide", "maximum", "eq"]
)
def test_promotion_is_that_of_torch(torch, name):
    dtypes = ("uint8", "int32", "int64", "float16", "float32", "float64", "complex64")
    for a in dtypes:
        for b in dtypes:
            for shape in ((2,), ()):
                x, y = np.full((2,), 2).astype(a), np.full(shape, 2).astype(b)
                try:
                    want = getattr(torch, name)(torch.from_numpy(x), torch.from_numpy(y))
                except (RuntimeError, NotImplementedError):
                    continue
                got = getattr(lucid, name)(lucid.from_numpy(x), lucid.from_numpy(y))
                if want.dtype == torch.complex32:  # which NumPy does not have
                    continue
                assert str(want.dtype) == f"torch.{got.dtype}", (a, b, shape)


def test_python_numbers_do_not_widen():
    assert (tensor([1.0], dtype=lucid.float16) + 1.5).dtype == lucid.float16
    assert (tensor([1], dtype=lucid.uint8) + 1).dtype == lucid.uint8
    assert (tensor([1]) + 1.5).dtype == lucid.float32
    assert (tensor([True]) + 1).dtype == lucid.int64
    assert (tensor([1.0]) * 1j).dtype == lucid.complex64
    assert lucid.where(tensor([True]), tensor([1.0]), 2.0).dtype == lucid.float32


# -------------------------------------------------------------------- edges


def test_no_warning_escapes():
    x = tensor([0.0, -1.0, INF, NAN, 1e38])
    for name in functions.FUNCTIONS:
        two = ("atan2", "arctan2", "logaddexp", "logaddexp2", "xlogy", "hypot")
        if name not in two and not name.endswith("_"):
            getattr(lucid, name)(x)
            getattr(lucid, name)(x[1])
            getattr(lucid, name)(tensor([0.0, -1.0, INF, NAN, 6e4], dtype=lucid.float16))
    for name in ("add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "hypot",
                 "atan2", "logaddexp", "xlogy", "maximum", "fmax", "lt", "eq",
                 "copysign"):  # fmt: skip
        getattr(lucid, name)(x, x.flip(0))
        getattr(lucid, name)(x.to(lucid.float64)[::2], x[::2])


@pytest.mark.torch
@pytest.mark.parametrize(
    "name", [n for n in functions.FUNCTIONS if not n.endswith("_") and not n.startswith("arc")]
)
def test_functions_at_the_edges_are_those_of_torch(torch, name):
    values = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-40, 89.0, -104.0, 0.5]
    function = {"expit": torch.special.expit, "softplus": torch.nn.functional.softplus}.get(
        name
    ) or getattr(torch, name)
    binary = name in ("atan2", "logaddexp", "logaddexp2", "xlogy", "hypot")
    x = np.array(values)
    args = [np.repeat(x, len(x)), np.tile(x, len(x))] if binary else [x]
    got = getattr(lucid, name)(*(tensor(a) for a in args))
    want = function(*(torch.from_numpy(a) for a in args)).numpy()
    np.testing.assert_allclose(got._data, want, rtol=1e-13, atol=1e-16)


@pytest.mark.torch
def test_gradients_at_the_kinks_are_those_of_torch(torch):
    cases = [
        (lambda m, x, y: m.maximum(x, y), 2), (lambda m, x, y: m.minimum(x, y), 2),
        (lambda m, x, y: m.fmax(x, y), 2), (lambda m, x, y: m.fmin(x, y), 2),
        (lambda m, x: m.abs(x), 1), (lambda m, x: m.clamp(x, -1, 1), 1),
        (lambda m, x: m.clamp(x, min=0), 1), (lambda m, x, y: m.clamp(x, min=y), 2),
        (lambda m, x, y: m.clamp(x, y, y), 2), (lambda m, x: x**2, 1), (lambda m, x: x**0, 1),
        (lambda m, x: x**1, 1), (lambda m, x: x**3.0, 1), (lambda m, x, y: m.atan2(x, y), 2),
        (lambda m, x: m.sinc(x), 1), (lambda m, x: m.nan_to_num(x), 1),
        (lambda m, x, y: m.copysign(x, y), 2), (lambda m, x, y: m.xlogy(x, y * y), 2),
        (lambda m, x: m.sqrt(x * x), 1), (lambda m, x: m.logit(x, 0.0), 1),
        (lambda m, x, y: m.pow(x * x, y * y), 2), (lambda m, x: 0.0 ** (x * x), 1),
        (lambda m, x: 2.0**x, 1), (lambda m, x, y: m.where(x > y, x, y), 2),
    ]  # fmt: skip
    points = np.array([-1.0, 0.0, 1.0, 2.0])
    grid = [np.repeat(points, 4), np.tile(points, 4)]
    for function, count in cases:
        ours = [tensor(a).requires_grad_() for a in grid[:count]]
        theirs = [torch.from_numpy(a).requires_grad_() for a in grid[:count]]
        function(lucid, *ours).sum().backward()
        function(torch, *theirs).sum().backward()
        for x, t in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x.grad._data, t.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_power_is_differentiable_at_zero():
    x = leaf(0.0)
    (g,) = lucid.autograd.grad(x**2, x, create_graph=True)
    (h,) = lucid.autograd.grad(g, x)
    assert (g.item(), h.item()) == (0.0, 2.0)
    y = leaf(0.0)
    assert gradient(x**y, x, y) == [[0.0], [0.0]]


def test_integers_divided_by_zero_and_negative_powers_are_refused():
    x = tensor([1, 2])
    for name in ("floor_divide", "remainder", "fmod"):
        with pytest.raises(RuntimeError, match=f"{name}: y must have no zeros"):
            getattr(lucid, name)(x, 0)
    with pytest.raises(RuntimeError, match="div: y must have no zeros"):
        lucid.div(x, tensor([1, 0]), rounding_mode="trunc")
    with pytest.raises(RuntimeError, match="pow: integers have no negative"):
        x**-1


def test_rounded_division_of_integers_of_either_sign():
    x = lucid.arange(-7, 8)
    for d in (-3, -2, 2, 3):
        assert lucid.div(x, d, rounding_mode="trunc").tolist() == [int(v / d) for v in range(-7, 8)]
        assert lucid.div(x, d, rounding_mode="floor").tolist() == [v // d for v in range(-7, 8)]


def test_error_function_complement_keeps_its_digits():
    x = tensor([5.0, 10.0, 26.0], dtype=lucid.float64)
    np.testing.assert_allclose(lucid.erfc(x)._data, [math.erfc(v) for v in x.tolist()], rtol=2e-15)


def test_inverse_error_function_undoes_it():
    x = lucid.linspace(-0.999999, 0.999999, 101, dtype=lucid.float64)
    np.testing.assert_allclose(lucid.erf(lucid.erfinv(x))._data, x._data, rtol=4e-16, atol=4e-16)


def test_complex_parts_share_memory():
    z = tensor([1 + 2j, 3 - 4j])
    z.real.mul_(10)
    z.imag.zero_()
    assert z.tolist() == [10 + 0j, 30 + 0j]
    x = tensor([1.0])
    assert lucid.real(x)._data.base is x._data or lucid.real(x)._data is x._data


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: lucid.sin("a"), TypeError, "sin: x must be a Tensor; got str 'a'"),
        (lambda x: lucid.add(x, "a"), TypeError, "add: y must be"),
        (lambda x: tensor([1]).add(1, alpha=0.5), RuntimeError, "alpha must be an int"),
        (lambda x: lucid.div(x, x, rounding_mode="up"), ValueError, "rounding_mode must be"),
        (lambda x: lucid.clamp(x), ValueError, "clamp: at least one of min and max"),
        (lambda x: lucid.clamp(x * 1j, 0), RuntimeError, "clamp: complex numbers have no order"),
        (lambda x: lucid.where(x, x, x), TypeError, "where: condition must be a bool tensor"),
        (lambda x: lucid.where(x > 0, x), TypeError, "where: x and y must be given together"),
        (lambda x: lucid.masked_fill(x, x, 0), TypeError, "masked_fill: mask must be a bool"),
        (lambda x: lucid.masked_fill(x, x > 0, x), RuntimeError, "masked_fill: value must be"),
        (lambda x: lucid.masked_fill(x.to(lucid.int64), x > 0, 0.5), RuntimeError, "does not fit"),
        (lambda x: lucid.imag(x), RuntimeError, "imag: x must be complex; got float32"),
        (lambda x: -(x > 0), TypeError, "neg: a bool tensor has no negative"),
        (lambda x: (x > 0) - (x > 0), TypeError, "sub: bool tensors have no difference"),
        (lambda x: x & 1, TypeError, "bitwise_and: operands must be integer or bool"),
        (lambda x: x << 1, TypeError, "bitwise_left_shift: operands must be integer"),
        (lambda x: x * 1j < 0, TypeError, "lt: complex numbers have no order"),
        (lambda x: lucid.frac(x.to(lucid.int64)), RuntimeError, "frac: x must be floating point"),
        (lambda x: lucid.isclose(x, x, rtol=-1.0), ValueError, "isclose: rtol and atol"),
        (lambda x: lucid.addcdiv(x > 0, x > 0, x > 0), RuntimeError, "addcdiv: integers are not"),
        (lambda x: lucid.equal(x, 1), TypeError, "equal: y must be a Tensor"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call(tensor([1.0, 2.0]))


# -------------------------------------------------------------------- in-place forms


@pytest.mark.parametrize(
    "name",
    [
        name
        for family in (pointwise, functions, comparison)
        for name in family.METHODS
        if name.endswith("_") and name not in ("fill_", "zero_")
    ],
)
def test_in_place_form_is_the_operation_in_the_same_memory(name):
    operation = getattr(lucid, name[:-1])
    integers = name.startswith("bitwise")
    x = tensor([3, 1, 2]) if integers else tensor([1.5, 1.25, 2.0])
    if name in ("asin_", "acos_", "atanh_", "erfinv_", "logit_", "arcsin_", "arccos_", "arctanh_"):
        x = x / 4
    others = {
        "addcmul_": (tensor([1.0, 2.0, 4.0]), tensor([2.0, 1.0, 3.0])),
        "addcdiv_": (tensor([1.0, 2.0, 4.0]), tensor([2.0, 1.0, 3.0])),
        "lerp_": (tensor([1.0, 2.0, 4.0]), 0.5),
        "clamp_": (1.3, 1.7), "clip_": (1.3, 1.7), "clamp_min_": (1.4,), "clamp_max_": (1.4,),
        "masked_fill_": (tensor([True, False, True]), 7.0),
        "heaviside_": (tensor([1.0, 2.0, 4.0]),),
    }.get(name)  # fmt: skip
    if others is None:
        two = getattr(operation, "op", None) is not None and len(operation.op.inputs) == 2
        others = ((tensor([1, 2, 1]) if integers else tensor([1.0, 2.0, 0.5])),) if two else ()
    want = operation(x, *others)
    copy = x.clone()
    memory, version = copy._data, copy._version
    assert getattr(copy, name)(*others) is copy
    assert copy._data is memory
    assert copy._version == version + 1
    assert copy.dtype == x.dtype
    np.testing.assert_array_equal(copy._data, want._data.astype(x.dtype))


def test_in_place_is_recorded_and_reaches_views():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 1
    y[:2].mul_(10)
    y[1:].exp_()
    y.sum().backward()
    np.testing.assert_allclose(x.grad._data, [10, 10 * math.exp(20), math.exp(3)], rtol=1e-6)


def test_in_place_result_must_fit():
    x = tensor([1, 2])
    with pytest.raises(RuntimeError, match="div_: the result's dtype"):
        x.div_(2)
    with pytest.raises(RuntimeError, match="exp_: the result's dtype"):
        x.exp_()
    with pytest.raises(RuntimeError, match="add_: the result would not fit"):
        x.add_(0.5)
    with pytest.raises(RuntimeError, match="add_: the result's shape"):
        x.add_(tensor([[1, 2], [3, 4]]))
    assert x.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="sin_: a leaf that requires grad"):
        leaf(1.0).sin_()


def test_fill_and_zero():
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x[0].fill_(7) is not x
    assert x.tolist() == [[7.0, 7.0], [3.0, 4.0]]
    assert x.zero_() is x
    assert not x._data.any()
    value = leaf(3.0).sum()
    y = lucid.zeros(3).fill_(value)
    y.sum().backward()
    w = leaf(2.0, 5.0)
    z = w * 1
    z.zero_()
    z.sum().backward()
    assert w.grad.tolist() == [0.0, 0.0]


def test_in_place_with_options():
    x = tensor([1.0, 2.0])
    x.add_(tensor([1.0, 1.0]), alpha=2).sub_(1, alpha=3).div_(2, rounding_mode="floor")
    assert x.tolist() == [0.0, 0.0]


# -------------------------------------------------------------------- comparisons of tensors


def test_close_and_equal():
    x = tensor([1.0, NAN, INF])
    assert lucid.isclose(x, x).tolist() == [True, False, True]
    assert lucid.isclose(x, x, equal_nan=True).tolist() == [True, True, True]
    assert lucid.allclose(x, x, equal_nan=True) is True
    assert lucid.allclose(tensor([INF]), tensor([-INF])) is False
    small, large = (tensor([v], dtype=lucid.uint8) for v in (1, 2))
    assert lucid.isclose(small, large).tolist() == [False]
    assert lucid.equal(tensor([1, 2]), tensor([1, 2])) is True
    assert lucid.equal(tensor([1, 2]), tensor([[1, 2]])) is False
    assert lucid.equal(x, x) is False


def test_where_with_one_argument_finds_indices():
    rows, columns = lucid.where(tensor([[0, 1], [2, 0]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])
    assert lucid.where(tensor(True), 1, 2.5).tolist() == 1.0
