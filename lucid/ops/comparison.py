"""Comparisons, logic, bits and tests of numbers: operations that have no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.inplace import in_place
from lucid._core.op import binary, operation, unary
from lucid._core.tensor import Tensor
from lucid.ops.pointwise import operators, promoted

Array = np.ndarray

FUNCTIONS = """
    eq ne not_equal lt less le less_equal gt greater ge greater_equal
    logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift
    isnan isinf isfinite isposinf isneginf isreal isclose allclose equal
""".split()
METHODS = [
    *FUNCTIONS,
    *"""
    eq_ ne_ not_equal_ lt_ less_ le_ less_equal_ gt_ greater_ ge_ greater_equal_
    logical_and_ logical_or_ logical_xor_ logical_not_
    bitwise_and_ bitwise_or_ bitwise_xor_ bitwise_not_ bitwise_left_shift_ bitwise_right_shift_
    """.split(),
]


# -------------------------------------------------------------------- comparisons


@binary(B.eq)
def eq(x: Array, y: Array) -> Array:
    """Whether ``x == y``, element by element: a bool tensor.

    Example:
        >>> lucid.eq(lucid.tensor([1, 2]), 2)
        tensor([False,  True])
    """


@binary(B.ne)
def ne(x: Array, y: Array) -> Array:
    """Whether ``x != y``, element by element: a bool tensor.

    Example:
        >>> lucid.ne(lucid.tensor([1, 2]), 2)
        tensor([ True, False])
    """


@binary()
def lt(x: Array, y: Array) -> Array:
    """Whether ``x < y``, element by element: a bool tensor.

    Raises:
        TypeError: an operand is complex.

    Example:
        >>> lucid.lt(lucid.tensor([1, 2]), 2)
        tensor([ True, False])
    """
    return _ordered("lt", B.lt, x, y)


@binary()
def le(x: Array, y: Array) -> Array:
    """Whether ``x <= y``, element by element: a bool tensor.

    Raises:
        TypeError: an operand is complex.

    Example:
        >>> lucid.le(lucid.tensor([1, 2]), 1)
        tensor([ True, False])
    """
    return _ordered("le", B.le, x, y)


@binary()
def gt(x: Array, y: Array) -> Array:
    """Whether ``x > y``, element by element: a bool tensor.

    Raises:
        TypeError: an operand is complex.

    Example:
        >>> lucid.gt(lucid.tensor([1, 2]), 1)
        tensor([False,  True])
    """
    return _ordered("gt", B.gt, x, y)


@binary()
def ge(x: Array, y: Array) -> Array:
    """Whether ``x >= y``, element by element: a bool tensor.

    Raises:
        TypeError: an operand is complex.

    Example:
        >>> lucid.ge(lucid.tensor([1, 2]), 2)
        tensor([False,  True])
    """
    return _ordered("ge", B.ge, x, y)


def _ordered(name: str, compare: Callable[..., Array], x: Any, y: Any) -> Array:
    if (x if isinstance(x, Array) else y).dtype.kind == "c":
        raise TypeError(f"{name}: complex numbers have no order")
    return compare(x, y)


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge
eq_ = in_place(eq)
ne_ = not_equal_ = in_place(ne)
lt_ = less_ = in_place(lt)
le_ = less_equal_ = in_place(le)
gt_ = greater_ = in_place(gt)
ge_ = greater_equal_ = in_place(ge)


# -------------------------------------------------------------------- logic


@binary(B.logical_and)
def logical_and(x: Array, y: Array) -> Array:
    """Whether both x and y are true (not 0).

    Example:
        >>> lucid.logical_and(lucid.tensor([0, 1, 2]), lucid.tensor([1, 0, 3]))
        tensor([False, False,  True])
    """


@binary(B.logical_or)
def logical_or(x: Array, y: Array) -> Array:
    """Whether x or y is true (not 0).

    Example:
        >>> lucid.logical_or(lucid.tensor([0, 1, 0]), lucid.tensor([1, 0, 0]))
        tensor([ True,  True, False])
    """


@binary(B.logical_xor)
def logical_xor(x: Array, y: Array) -> Array:
    """Whether exactly one of x and y is true (not 0).

    Example:
        >>> lucid.logical_xor(lucid.tensor([0, 1, 2]), lucid.tensor([1, 0, 3]))
        tensor([ True,  True, False])
    """


@unary(B.logical_not)
def logical_not(x: Array) -> Array:
    """Whether x is false (0).

    Example:
        >>> lucid.logical_not(lucid.tensor([0, 1, 2]))
        tensor([ True, False, False])
    """


logical_and_ = in_place(logical_and)
logical_or_ = in_place(logical_or)
logical_xor_ = in_place(logical_xor)
logical_not_ = in_place(logical_not)


# -------------------------------------------------------------------- bits


def _check_bits(name: str, kinds: str, *operands: Any) -> None:
    for x in operands:
        kind = x.dtype.kind if isinstance(x, Array) else np.asarray(x).dtype.kind
        if kind not in kinds:
            wanted = "integer or bool" if "b" in kinds else "integer"
            raise TypeError(f"{name}: operands must be {wanted} tensors; got {np.asarray(x).dtype}")


@binary()
def bitwise_and(x: Array, y: Array) -> Array:
    """Bits set in both x and y; of bool tensors the logical and.

    Raises:
        TypeError: an operand is neither integer nor bool.

    Example:
        >>> lucid.bitwise_and(lucid.tensor([12, 10]), 6)
        tensor([4, 2])
    """
    _check_bits("bitwise_and", "biu", x, y)
    return B.bitwise_and(x, y)


@binary()
def bitwise_or(x: Array, y: Array) -> Array:
    """Bits set in x or y; of bool tensors the logical or.

    Raises:
        TypeError: an operand is neither integer nor bool.

    Example:
        >>> lucid.bitwise_or(lucid.tensor([12, 10]), 6)
        tensor([14, 14])
    """
    _check_bits("bitwise_or", "biu", x, y)
    return B.bitwise_or(x, y)


@binary()
def bitwise_xor(x: Array, y: Array) -> Array:
    """Bits set in exactly one of x and y; of bool tensors the logical exclusive or.

    Raises:
        TypeError: an operand is neither integer nor bool.

    Example:
        >>> lucid.bitwise_xor(lucid.tensor([12, 10]), 6)
        tensor([10, 12])
    """
    _check_bits("bitwise_xor", "biu", x, y)
    return B.bitwise_xor(x, y)


@unary()
def bitwise_not(x: Array) -> Array:
    """Every bit of x reversed; of a bool tensor the logical not.

    Raises:
        TypeError: x is neither integer nor bool.

    Example:
        >>> lucid.bitwise_not(lucid.tensor([0, 5]))
        tensor([-1, -6])
    """
    _check_bits("bitwise_not", "biu", x)
    return B.bitwise_not(x)


@binary()
def bitwise_left_shift(x: Array, y: Array) -> Array:
    """Bits of x moved y places up: ``x * 2^y`` without regard to overflow.

    Raises:
        TypeError: an operand is no integer.

    Example:
        >>> lucid.bitwise_left_shift(lucid.tensor([1, 3]), 2)
        tensor([ 4, 12])
    """
    _check_bits("bitwise_left_shift", "iu", x, y)
    return B.bitwise_left_shift(x, y)


@binary()
def bitwise_right_shift(x: Array, y: Array) -> Array:
    """Bits of x moved y places down: ``floor(x / 2^y)``.

    Raises:
        TypeError: an operand is no integer.

    Example:
        >>> lucid.bitwise_right_shift(lucid.tensor([4, -3]), 1)
        tensor([ 2, -2])
    """
    _check_bits("bitwise_right_shift", "iu", x, y)
    return B.bitwise_right_shift(x, y)


bitwise_and_ = in_place(bitwise_and)
bitwise_or_ = in_place(bitwise_or)
bitwise_xor_ = in_place(bitwise_xor)
bitwise_not_ = in_place(bitwise_not)
bitwise_left_shift_ = in_place(bitwise_left_shift)
bitwise_right_shift_ = in_place(bitwise_right_shift)


# -------------------------------------------------------------------- kinds of numbers


@unary(B.isnan)
def isnan(x: Array) -> Array:
    """Whether x is not a number.

    Example:
        >>> lucid.isnan(lucid.tensor([1.0, float("nan")]))
        tensor([False,  True])
    """


@unary(B.isinf)
def isinf(x: Array) -> Array:
    """Whether x is infinite, of either sign.

    Example:
        >>> lucid.isinf(lucid.tensor([1.0, -float("inf")]))
        tensor([False,  True])
    """


@unary(B.isfinite)
def isfinite(x: Array) -> Array:
    """Whether x is neither infinite nor NaN.

    Example:
        >>> lucid.isfinite(lucid.tensor([1.0, float("inf"), float("nan")]))
        tensor([ True, False, False])
    """


@unary()
def isposinf(x: Array) -> Array:
    """Whether x is positive infinity.

    Example:
        >>> lucid.isposinf(lucid.tensor([float("inf"), -float("inf")]))
        tensor([ True, False])
    """
    _check_real("isposinf", x)
    return B.eq(x, np.inf)


@unary()
def isneginf(x: Array) -> Array:
    """Whether x is negative infinity.

    Example:
        >>> lucid.isneginf(lucid.tensor([float("inf"), -float("inf")]))
        tensor([False,  True])
    """
    _check_real("isneginf", x)
    return B.eq(x, -np.inf)


def _check_real(name: str, x: Array) -> None:
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: x must be real; got {x.dtype}")


@unary()
def isreal(x: Array) -> Array:
    """Whether the imaginary part of x is 0.

    Example:
        >>> lucid.isreal(lucid.tensor([1 + 0j, 1j]))
        tensor([ True, False])
    """
    return B.eq(x.imag, 0)


@operation(2)
def isclose(
    x: Array, y: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """Whether ``|x - y| <= atol + rtol * |y|``, element by element.

    Args:
        x, y: tensors that broadcast together.
        rtol, atol: relative and absolute tolerance, not negative.
        equal_nan: whether two NaNs count as close.

    Raises:
        ValueError: a tolerance is negative.

    Example:
        >>> lucid.isclose(lucid.tensor([1.0, 1.1]), lucid.tensor([1.0000001, 1.2]))
        tensor([ True, False])
    """
    if rtol < 0 or atol < 0:
        raise ValueError(f"isclose: rtol and atol must not be negative; got {rtol} and {atol}")
    x, y = promoted(x, y)
    close = B.eq(x, y)
    if x.dtype.kind == "b":
        return close
    # Unsigned differences would wrap around.
    wide = [z.astype(np.float64) if z.dtype.kind in "iu" else z for z in (x, y)]
    near = B.le(B.abs(B.sub(*wide)), B.add(B.mul(B.abs(wide[1]), rtol), atol))
    close = close | (near & B.isfinite(x) & B.isfinite(y))
    return close | (B.isnan(x) & B.isnan(y)) if equal_nan else close


def allclose(
    x: Tensor, y: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether :func:`isclose` holds for every element.

    Example:
        >>> lucid.allclose(lucid.tensor([1.0, 2.0]), lucid.tensor([1.0, 2.00001]))
        True
    """
    return bool(isclose(x, y, rtol, atol, equal_nan)._data.all())


def equal(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors have the same shape and equal elements.

    Example:
        >>> lucid.equal(lucid.tensor([1, 2]), lucid.tensor([1, 2]))
        True
    """
    for name, z in (("x", x), ("y", y)):
        if not isinstance(z, Tensor):
            raise TypeError(f"equal: {name} must be a Tensor; got {type(z).__name__}")
    return np.array_equal(x._data, y._data)


# -------------------------------------------------------------------- operators

OPERATORS = {
    **{f"__{compare.op.name}__": compare.op.operator for compare in (eq, ne, lt, le, gt, ge)},
    **operators("and", bitwise_and, bitwise_and_, commutes=True),
    **operators("or", bitwise_or, bitwise_or_, commutes=True),
    **operators("xor", bitwise_xor, bitwise_xor_, commutes=True),
    **operators("lshift", bitwise_left_shift, bitwise_left_shift_),
    **operators("rshift", bitwise_right_shift, bitwise_right_shift_),
    "__invert__": bitwise_not,
}
