"""Element-wise arithmetic, selection and rounding, and what copies or casts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.inplace import in_place
from lucid._core.op import ARRAYS, MISSING, binary, operation, unary
from lucid._core.tensor import Tensor
from lucid.ops.functions import conjugated, is_complex

Array = np.ndarray

FUNCTIONS = """
    add sub subtract mul multiply div divide true_divide floor_divide remainder fmod pow
    neg negative positive abs absolute sign sgn square reciprocal addcmul addcdiv lerp
    floor ceil round trunc fix frac clamp clip clamp_min clamp_max maximum minimum fmax fmin
    where masked_fill nan_to_num heaviside copysign conj real imag angle clone relu
    neg_ abs_ square_ reciprocal_ floor_ ceil_ round_ trunc_ frac_ clamp_ clip_ clamp_min_
    clamp_max_ nan_to_num_ relu_
""".split()
METHODS = [
    *(name for name in FUNCTIONS if name not in ("where", "real", "imag")),
    *"""
    add_ sub_ subtract_ mul_ multiply_ div_ divide_ true_divide_ floor_divide_ remainder_ fmod_
    pow_ negative_ absolute_ sign_ sgn_ addcmul_ addcdiv_ lerp_ fix_ masked_fill_ heaviside_
    copysign_ fill_ zero_
    """.split(),
]


def promoted(*operands: Any) -> list[Any]:
    """Operands in the dtype in which they meet; None and Python numbers stay as they are."""
    arrays = [x for x in operands if isinstance(x, Array)]
    met = arrays[0]
    wanted = met.dtype
    for x in arrays[1:]:
        if x.dtype is not wanted:
            # 0-d operands count for less, so what was met so far has a shape too.
            wanted = dtypes.promote(met, x)
            met = np.empty((1,) * max(met.ndim, x.ndim), wanted)
        elif x.ndim > met.ndim:
            met = x
    for x in operands:
        if isinstance(x, (int, float, complex)):
            wanted = dtypes.result_category_with_scalar(wanted, x)
    return [x.astype(wanted, copy=False) if isinstance(x, Array) else x for x in operands]


def zeros_like_gradient(F: Any, g: Any) -> Any:
    """The gradient of a piecewise constant function."""
    return F.zeros(g.shape, g.dtype)


# -------------------------------------------------------------------- arithmetic


@binary(B.add)
def add(x: Array, y: Array) -> Array:
    """Sum ``x + y``, element by element.

    Args:
        x, y: tensors that broadcast together, or one of them a Python number.
        alpha: a factor for ``y``; keyword only.

    Example:
        >>> lucid.add(lucid.tensor([1.0, 2.0]), 10)
        tensor([11., 12.])
        >>> lucid.add(lucid.tensor([1.0, 2.0]), lucid.tensor([1.0, 1.0]), alpha=0.5)
        tensor([1.5000, 2.5000])
    """


add.gradient(x=lambda F, g: g, y=lambda F, g: g)


@binary()
def sub(x: Array, y: Array) -> Array:
    """Difference ``x - y``, element by element.

    Args:
        x, y: tensors that broadcast together, or one of them a Python number.
        alpha: a factor for ``y``; keyword only.

    Raises:
        TypeError: both are bool.

    Example:
        >>> lucid.sub(10, lucid.tensor([1.0, 2.0]))
        tensor([9., 8.])
    """
    if isinstance(x, Array) and x.dtype.kind == "b" and _is_bool(y):
        raise TypeError("sub: bool tensors have no difference; use logical_xor (^)")
    return B.sub(x, y)


def _is_bool(x: Any) -> bool:
    return isinstance(x, bool) or (isinstance(x, Array) and x.dtype.kind == "b")


sub.gradient(x=lambda F, g: g, y=lambda F, g: F.neg(g))


@binary(B.mul)
def mul(x: Array, y: Array) -> Array:
    """Product ``x * y``, element by element.

    Example:
        >>> lucid.mul(lucid.tensor([1.0, 2.0]), lucid.tensor([[2.0], [3.0]]))
        tensor([[2., 4.],
                [3., 6.]])
    """


mul.gradient(
    x=lambda F, g, y: F.mul(g, conjugated(F, y)),
    y=lambda F, g, x: F.mul(g, conjugated(F, x)),
)


@binary(B.div, floating=True)
def div(x: Array, y: Array) -> Array:
    """Quotient ``x / y``, element by element; integers are divided as floats.

    Args:
        x, y: tensors that broadcast together, or one of them a Python number.
        rounding_mode: None, ``"trunc"`` (towards zero, as C divides integers) or ``"floor"``
            (down, as Python's ``//``); rounded quotients of integers are integers.

    Example:
        >>> lucid.div(lucid.tensor([7.0, -7.0]), 2)
        tensor([ 3.5000, -3.5000])
        >>> lucid.div(lucid.tensor([7, -7]), 2, rounding_mode="trunc")
        tensor([ 3, -3])
    """


div.gradient(
    x=lambda F, g, y: F.div(g, conjugated(F, y)),
    y=lambda F, g, out, y: F.neg(F.mul(g, conjugated(F, F.div(out, y)))),
)


@binary()
def floor_divide(x: Array, y: Array) -> Array:
    """Quotient rounded down, ``floor(x / y)``; its gradient is 0.

    Raises:
        RuntimeError: an integer is divided by zero.

    Example:
        >>> lucid.floor_divide(lucid.tensor([7, -7]), 2)
        tensor([ 3, -4])
    """
    _check_divisor("floor_divide", x, y)
    return B.floor_divide(x, y)


@binary()
def trunc_divide(x: Array, y: Array) -> Array:
    """Quotient rounded towards zero; its gradient is 0."""
    _check_divisor("div", x, y)
    return B.trunc_divide(x, y)


def _check_divisor(name: str, x: Any, y: Any) -> None:
    array = x if isinstance(x, Array) else y
    if array.dtype.kind in "iub" and not np.all(y):
        raise RuntimeError(f"{name}: y must have no zeros where integers are divided")


for _op in (floor_divide, trunc_divide):
    _op.gradient(
        x=lambda F, g: zeros_like_gradient(F, g),
        y=lambda F, g: zeros_like_gradient(F, g),
    )


@binary()
def remainder(x: Array, y: Array) -> Array:
    """Remainder with the sign of the divisor, ``x - y * floor(x / y)``, as Python's ``%``.

    Raises:
        RuntimeError: an integer is divided by zero.

    Example:
        >>> lucid.remainder(lucid.tensor([7.0, -7.0]), 4)
        tensor([3., 1.])
    """
    _check_divisor("remainder", x, y)
    return B.remainder(x, y)


remainder.gradient(
    x=lambda F, g: g,
    y=lambda F, g, x, y: F.neg(F.mul(g, F.floor_divide(x, y))),
)


@binary()
def fmod(x: Array, y: Array) -> Array:
    """Remainder with the sign of the dividend, ``x - y * trunc(x / y)``, as C's ``fmod``.

    Raises:
        RuntimeError: an integer is divided by zero.

    Example:
        >>> lucid.fmod(lucid.tensor([7.0, -7.0]), 4)
        tensor([ 3., -3.])
    """
    _check_divisor("fmod", x, y)
    return B.fmod(x, y)


fmod.gradient(
    x=lambda F, g: g,
    y=lambda F, g, x, y: F.neg(F.mul(g, F.trunc_divide(x, y))),
)


@binary()
def pow(x: Array, y: Array) -> Array:
    """Power ``x ** y``, element by element.

    Args:
        x: the base, a tensor or a number.
        y: the exponent, a tensor or a number.

    Raises:
        RuntimeError: an integer is raised to a negative integer.

    Example:
        >>> lucid.pow(lucid.tensor([1.0, 2.0, 3.0]), 2)
        tensor([1., 4., 9.])
        >>> lucid.pow(2, lucid.tensor([0.0, 0.5, 3.0]))
        tensor([1.0000, 1.4142, 8.0000])
    """
    array = x if isinstance(x, Array) else y
    if array.dtype.kind in "iu" and np.any(np.less(y, 0)):
        raise RuntimeError("pow: integers have no negative integer powers; cast x to a float dtype")
    return B.pow(x, y)


def _pow_x(F: Any, g: Any, x: Any, y: Any) -> Any:
    # An exponent of 0 makes a constant, also at 0 where x ** -1 is infinite.
    if not hasattr(y, "dtype"):
        if y == 0:
            return zeros_like_gradient(F, g)
        return F.mul(g, conjugated(F, F.mul(F.pow(x, y - 1), y)))
    slope = F.mul(F.pow(x, F.sub(y, 1)), y)
    return F.where(F.eq(y, 0), 0.0, F.mul(g, conjugated(F, slope)))


def _pow_y(F: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    if not hasattr(x, "dtype"):
        if x == 0:
            return F.where(F.ge(y, 0), 0.0, F.mul(g, -np.inf)) if not is_complex(out) else (
                zeros_like_gradient(F, g)
            )  # fmt: skip
        with np.errstate(all="ignore"):
            return F.mul(g, conjugated(F, F.mul(out, _log_of_number(x, out))))
    at_zero = F.eq(x, 0)
    if not is_complex(out):
        at_zero = F.logical_and(at_zero, F.ge(y, 0))
    return F.where(at_zero, 0.0, F.mul(g, conjugated(F, F.mul(out, F.log(x)))))


def _log_of_number(x: Any, out: Any) -> Any:
    return np.log(np.asarray(x, out.dtype)).item()


pow.gradient(x=_pow_x, y=_pow_y)


@unary()
def neg(x: Array) -> Array:
    """Negative ``-x``.

    Raises:
        TypeError: x is bool.

    Example:
        >>> lucid.neg(lucid.tensor([1.0, -2.0]))
        tensor([-1.,  2.])
    """
    if x.dtype.kind == "b":
        raise TypeError("neg: a bool tensor has no negative; use logical_not (~)")
    return B.neg(x)


neg.gradient(x=lambda F, g: F.neg(g))
neg_ = negative_ = in_place(neg)
negative = neg


def positive(x: Tensor) -> Tensor:
    """``+x``: the tensor itself.

    Raises:
        TypeError: x is bool.

    Example:
        >>> lucid.positive(lucid.tensor([1.0, -2.0]))
        tensor([ 1., -2.])
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"positive: x must be a Tensor; got {type(x).__name__}")
    if x.dtype.kind == "b":
        raise TypeError("positive: a bool tensor has no sign")
    return x


@unary(B.abs)
def abs(x: Array) -> Array:
    """Absolute value ``|x|``; of complex numbers the modulus, which is real.

    The gradient is 0 at 0.

    Example:
        >>> lucid.abs(lucid.tensor([1.0, -2.0]))
        tensor([1., 2.])
    """


abs.gradient(x=lambda F, g, x: F.mul(g, F.sign(x)))
abs_ = absolute_ = in_place(abs)
absolute = abs


@unary()
def sign(x: Array) -> Array:
    """Sign of x: -1, 0 or 1; for complex numbers ``x / |x|``, 0 at 0.

    Example:
        >>> lucid.sign(lucid.tensor([3.0, 0.0, -0.5]))
        tensor([ 1.,  0., -1.])
    """
    return x.copy() if x.dtype.kind == "b" else B.sign(x)


def _sign_rule(F: Any, g: Any, x: Any, out: Any) -> Any:
    if not is_complex(x):
        return zeros_like_gradient(F, g)
    # What of the gradient is at right angles to x, as the direction alone matters.
    along = F.mul(F.real(F.mul(g, F.conj(out))), out)
    size = F.abs(x)
    return F.where(F.eq(size, 0), 0.0, F.div(F.sub(g, along), size))


sign.gradient(x=_sign_rule)
sign_ = sgn_ = in_place(sign)
sgn = sign


@unary()
def square(x: Array) -> Array:
    """Square ``x * x``.

    Example:
        >>> lucid.square(lucid.tensor([3.0, -2.0]))
        tensor([9., 4.])
    """
    return B.mul(x.astype(np.int64), x) if x.dtype.kind == "b" else B.square(x)


square.gradient(x=lambda F, g, x: F.mul(F.mul(g, conjugated(F, x)), 2))
square_ = in_place(square)


@unary(B.reciprocal, floating=True)
def reciprocal(x: Array) -> Array:
    """Reciprocal ``1 / x``.

    Example:
        >>> lucid.reciprocal(lucid.tensor([4.0, -0.5]))
        tensor([ 0.2500, -2.0000])
    """


reciprocal.gradient(x=lambda F, g, out: F.neg(F.mul(g, conjugated(F, F.square(out)))))
reciprocal_ = in_place(reciprocal)


@operation(3)
def addcmul(x: Array, tensor1: Array, tensor2: Array, value: Any = 1) -> Array:
    """``x + value * tensor1 * tensor2``, element by element.

    Example:
        >>> lucid.addcmul(lucid.zeros(2), lucid.tensor([1.0, 2.0]), lucid.tensor([3.0, 4.0]), 0.5)
        tensor([1.5000, 4.0000])
    """
    x, tensor1, tensor2 = promoted(x, tensor1, tensor2)
    return B.add(x, B.mul(_scaled("addcmul", tensor1, value, "value"), tensor2))


def _scaled(name: str, x: Any, factor: Any, argument: str) -> Any:
    if isinstance(factor, float) and x.dtype.kind in "iub":
        raise RuntimeError(f"{name}: {argument} must be an int for integer tensors; got {factor!r}")
    return x if factor == 1 else B.mul(x, factor)


addcmul.gradient(
    x=lambda F, g: g,
    tensor1=lambda F, g, tensor2, value: F.mul(F.mul(g, conjugated(F, tensor2)), value),
    tensor2=lambda F, g, tensor1, value: F.mul(F.mul(g, conjugated(F, tensor1)), value),
)
addcmul_ = in_place(addcmul)


@operation(3)
def addcdiv(x: Array, tensor1: Array, tensor2: Array, value: Any = 1) -> Array:
    """``x + value * tensor1 / tensor2``, element by element.

    Raises:
        RuntimeError: tensor1 and tensor2 are integer tensors.

    Example:
        >>> lucid.addcdiv(lucid.zeros(2), lucid.tensor([1.0, 2.0]), lucid.tensor([4.0, 4.0]), 2)
        tensor([0.5000, 1.0000])
    """
    if tensor1.dtype.kind in "iub" and tensor2.dtype.kind in "iub":
        raise RuntimeError(
            f"addcdiv: integers are not divided; got {tensor1.dtype} and {tensor2.dtype}: cast them"
        )
    x, tensor1, tensor2 = promoted(x, tensor1, tensor2)
    return B.add(x, B.div(_scaled("addcdiv", tensor1, value, "value"), tensor2))


def _addcdiv_2(F: Any, g: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
    slope = F.div(F.mul(tensor1, -value), F.square(tensor2))
    return F.mul(g, conjugated(F, slope))


addcdiv.gradient(
    x=lambda F, g: g,
    tensor1=lambda F, g, tensor2, value: F.div(F.mul(g, value), conjugated(F, tensor2)),
    tensor2=_addcdiv_2,
)
addcdiv_ = in_place(addcdiv)


@operation(3)
def lerp(x: Array, end: Array, weight: Any) -> Array:
    """Linear interpolation ``x + weight * (end - x)``.

    Args:
        x: the value for weight 0.
        end: the value for weight 1.
        weight: a number or a tensor.

    Example:
        >>> lucid.lerp(lucid.tensor([0.0, 10.0]), lucid.tensor([10.0, 20.0]), 0.25)
        tensor([ 2.5000, 12.5000])
    """
    x, end, weight = promoted(x, end, weight)
    step = B.sub(end, x)
    # From the nearer end, so that weight 1 gives `end` itself.
    near_end = np.abs(weight) >= 0.5
    if not np.any(near_end):
        return B.add(x, B.mul(step, weight))
    from_end = B.sub(end, B.mul(step, 1 - weight))
    if np.all(near_end):
        return from_end
    return np.where(near_end, from_end, B.add(x, B.mul(step, weight)))


lerp.gradient(
    x=lambda F, g, weight: F.mul(g, conjugated(F, F.sub(1, weight) if hasattr(weight, "dtype")
                                               else 1 - weight)),
    end=lambda F, g, weight: F.mul(g, conjugated(F, weight)),
    weight=lambda F, g, x, end: F.mul(g, conjugated(F, F.sub(end, x))),
)  # fmt: skip
lerp_ = in_place(lerp)


def _with_alpha(two: Any) -> Any:
    """The function with ``alpha=`` of an operation that operators take with two operands."""

    @functools.wraps(two)
    def call(x: Any = MISSING, y: Any = MISSING, /, *, alpha: Any = 1, **kwargs: Any) -> Tensor:
        if kwargs or y is MISSING:
            x, y = two.op.bind(tuple(z for z in (x, y) if z is not MISSING), kwargs)
        if alpha == 1:
            return two(x, y)
        if isinstance(alpha, float) and all(
            z.dtype.kind in "iub" if isinstance(z, Tensor) else isinstance(z, int) for z in (x, y)
        ):
            raise RuntimeError(
                f"{two.op.name}: alpha must be an int for integer tensors; got {alpha!r}"
            )
        return two(x, mul(y, alpha) if isinstance(y, Tensor) else y * alpha)

    return call


def _with_rounding(exact: Any, down: Any, to_zero: Any) -> Any:
    """The function with ``rounding_mode=`` of true division and the two rounded ones."""

    @functools.wraps(exact)
    def call(
        x: Any = MISSING, y: Any = MISSING, /, *, rounding_mode: str | None = None, **kwargs: Any
    ) -> Tensor:
        if kwargs or y is MISSING:
            x, y = exact.op.bind(tuple(z for z in (x, y) if z is not MISSING), kwargs)
        if rounding_mode is None:
            return exact(x, y)
        if rounding_mode == "floor":
            return down(x, y)
        if rounding_mode == "trunc":
            return to_zero(x, y)
        raise ValueError(
            f"{exact.__name__}: rounding_mode must be None, 'trunc' or 'floor'; "
            f"got {rounding_mode!r}"
        )

    return call


def _with_exponent(operation: Any) -> Any:
    """The function that knows its second operand also as ``exponent``."""

    @functools.wraps(operation)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        return operation(*(operation.op.bind(args, kwargs) if kwargs else args))

    return call


subtract, multiply, divide, true_divide = sub, mul, div, div
add_ = in_place(add)
ARRAYS.add_ = B.add_  # how the engine adds gradients up
ARRAYS.zeros = B.zeros
sub_ = subtract_ = in_place(sub)
mul_ = multiply_ = in_place(mul)
div_ = divide_ = true_divide_ = in_place(div)
floor_divide_ = in_place(floor_divide)
remainder_ = in_place(remainder)
fmod_ = in_place(fmod)
pow_ = in_place(pow)


# -------------------------------------------------------------------- rounding


def _rounded(x: Array, routine: Any) -> Array:
    return x.copy() if x.dtype.kind in "biu" else routine(x)


@unary()
def floor(x: Array) -> Array:
    """Largest integer not above x, in x's dtype; its gradient is 0.

    Example:
        >>> lucid.floor(lucid.tensor([1.5, -1.5]))
        tensor([ 1., -2.])
    """
    return _rounded(x, B.floor)


@unary()
def ceil(x: Array) -> Array:
    """Smallest integer not below x, in x's dtype; its gradient is 0.

    Example:
        >>> lucid.ceil(lucid.tensor([1.5, -1.5]))
        tensor([ 2., -1.])
    """
    return _rounded(x, B.ceil)


@unary()
def trunc(x: Array) -> Array:
    """Integer part of x, rounded towards zero; its gradient is 0.

    Example:
        >>> lucid.trunc(lucid.tensor([1.5, -1.5]))
        tensor([ 1., -1.])
    """
    return _rounded(x, B.trunc)


@operation(1)
def round(x: Array, decimals: int = 0) -> Array:
    """x rounded to the nearest integer, halves to the even one; its gradient is 0.

    Args:
        x: any real tensor.
        decimals: round to that many digits after the decimal point; negative: before it.

    Example:
        >>> lucid.round(lucid.tensor([0.5, 1.5, 2.5]))
        tensor([0., 2., 2.])
    """
    return B.round(x, decimals)


for _op in (floor, ceil, trunc, round):
    _op.gradient(x=lambda F, g: zeros_like_gradient(F, g))


@unary()
def frac(x: Array) -> Array:
    """Fractional part ``x - trunc(x)``, with the sign of x.

    Example:
        >>> lucid.frac(lucid.tensor([1.5, -1.25]))
        tensor([ 0.5000, -0.2500])
    """
    if x.dtype.kind not in "f":
        raise RuntimeError(f"frac: x must be floating point; got {x.dtype}")
    return B.sub(x, B.trunc(x))


frac.gradient(x=lambda F, g: g)
fix = trunc
floor_ = in_place(floor)
ceil_ = in_place(ceil)
trunc_ = fix_ = in_place(trunc)
round_ = in_place(round)
frac_ = in_place(frac)


# -------------------------------------------------------------------- limits and selection


@operation(3)
def clamp(x: Array, min: Any = None, max: Any = None) -> Array:
    """x limited to the range from ``min`` to ``max``; where they cross, ``max`` wins.

    Args:
        x: any real tensor.
        min, max: numbers or tensors that broadcast with x; None: no limit on that side.

    The gradient goes to x where x lies within the limits, the limits included, and to the limit
    that was taken elsewhere.

    Raises:
        ValueError: neither limit is given.

    Example:
        >>> lucid.clamp(lucid.tensor([-1.0, 0.5, 2.0]), 0, 1)
        tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    if x.dtype.kind == "c":
        raise RuntimeError("clamp: complex numbers have no order; got a complex tensor")
    x, min, max = promoted(x, min, max)
    if min is not None:
        x = B.maximum(x, min)
    return x if max is None else B.minimum(x, max)


def _clamp_x(F: Any, g: Any, x: Any, min: Any, max: Any) -> Any:
    if min is None:
        return F.where(F.le(x, max), g, 0.0)
    inside = F.ge(x, min)
    return F.where(inside if max is None else F.logical_and(inside, F.le(x, max)), g, 0.0)


def _clamp_min(F: Any, g: Any, x: Any, min: Any, max: Any) -> Any:
    taken = F.lt(x, min)
    return F.where(taken if max is None else F.logical_and(taken, F.lt(min, max)), g, 0.0)


def _clamp_max(F: Any, g: Any, x: Any, min: Any, max: Any) -> Any:
    taken = F.gt(x, max)
    return F.where(taken if min is None else F.logical_or(taken, F.gt(min, max)), g, 0.0)


clamp.gradient(x=_clamp_x, min=_clamp_min, max=_clamp_max)
clip = clamp
clamp_ = clip_ = in_place(clamp)


def clamp_min(x: Tensor, min: Any) -> Tensor:
    """``clamp(x, min=min)``.

    Example:
        >>> lucid.clamp_min(lucid.tensor([-1.0, 2.0]), 0)
        tensor([0., 2.])
    """
    return clamp(x, min, None)


def clamp_max(x: Tensor, max: Any) -> Tensor:
    """``clamp(x, max=max)``.

    Example:
        >>> lucid.clamp_max(lucid.tensor([-1.0, 2.0]), 0)
        tensor([-1.,  0.])
    """
    return clamp(x, None, max)


def clamp_min_(x: Tensor, min: Any) -> Tensor:
    """In-place :func:`lucid.clamp_min`: overwrites and returns ``x``."""
    return clamp_(x, min, None)


def clamp_max_(x: Tensor, max: Any) -> Tensor:
    """In-place :func:`lucid.clamp_max`: overwrites and returns ``x``."""
    return clamp_(x, None, max)


@binary(B.maximum)
def maximum(x: Array, y: Array) -> Array:
    """The larger of x and y, element by element; NaN where either is.

    Where they are equal each gets half of the gradient.

    Example:
        >>> lucid.maximum(lucid.tensor([1.0, 4.0]), lucid.tensor([3.0, 2.0]))
        tensor([3., 4.])
    """


@binary(B.minimum)
def minimum(x: Array, y: Array) -> Array:
    """The smaller of x and y, element by element; NaN where either is.

    Where they are equal each gets half of the gradient.

    Example:
        >>> lucid.minimum(lucid.tensor([1.0, 4.0]), lucid.tensor([3.0, 2.0]))
        tensor([1., 2.])
    """


def _share(F: Any, g: Any, loses: Any, ties: Any) -> Any:
    """The part of the gradient for the operand that ``loses`` here and ties there."""
    return F.where(loses, 0.0, F.where(ties, F.mul(g, 0.5), g))


maximum.gradient(
    x=lambda F, g, x, y: _share(F, g, F.lt(x, y), F.eq(x, y)),
    y=lambda F, g, x, y: _share(F, g, F.gt(x, y), F.eq(x, y)),
)
minimum.gradient(
    x=lambda F, g, x, y: _share(F, g, F.gt(x, y), F.eq(x, y)),
    y=lambda F, g, x, y: _share(F, g, F.lt(x, y), F.eq(x, y)),
)


@binary(B.fmax)
def fmax(x: Array, y: Array) -> Array:
    """The larger of x and y, element by element; a NaN counts as missing.

    Where they are equal x gets the gradient.

    Example:
        >>> lucid.fmax(lucid.tensor([1.0, float("nan")]), lucid.tensor([3.0, 2.0]))
        tensor([3., 2.])
    """


@binary(B.fmin)
def fmin(x: Array, y: Array) -> Array:
    """The smaller of x and y, element by element; a NaN counts as missing.

    Where they are equal x gets the gradient.

    Example:
        >>> lucid.fmin(lucid.tensor([1.0, float("nan")]), lucid.tensor([3.0, 2.0]))
        tensor([1., 2.])
    """


def _first_wins(F: Any, x: Any, y: Any, compare: Any) -> Any:
    # A Python number is no NaN unless it is not equal to itself.
    missing = F.isnan(y) if hasattr(y, "dtype") else y != y
    return F.logical_or(compare(x, y), missing) if hasattr(y, "dtype") or missing else (
        compare(x, y)
    )  # fmt: skip


fmax.gradient(
    x=lambda F, g, x, y: F.where(_first_wins(F, x, y, F.ge), g, 0.0),
    y=lambda F, g, x, y: F.where(_first_wins(F, x, y, F.ge), 0.0, g),
)
fmin.gradient(
    x=lambda F, g, x, y: F.where(_first_wins(F, x, y, F.le), g, 0.0),
    y=lambda F, g, x, y: F.where(_first_wins(F, x, y, F.le), 0.0, g),
)


@operation(3)
def where(condition: Array, x: Any = None, y: Any = None) -> Any:
    """x where ``condition`` is true, else y.

    Args:
        condition: a bool tensor that broadcasts with x and y.
        x, y: tensors or numbers. Without both: the indices at which ``condition`` is true, as
            ``nonzero(condition, as_tuple=True)``.

    Example:
        >>> lucid.where(lucid.tensor([True, False]), lucid.tensor([1.0, 2.0]), 0)
        tensor([1., 0.])
    """
    if x is None and y is None:
        return np.nonzero(np.atleast_1d(condition))
    if x is None or y is None:
        raise TypeError("where: x and y must be given together")
    if isinstance(condition, np.bool_):  # what NumPy makes of a comparison of 0-d arrays
        condition = np.asarray(condition)
    if not isinstance(condition, Array) or condition.dtype.kind not in "bu":
        found = getattr(condition, "dtype", condition)
        raise TypeError(f"where: condition must be a bool tensor; got {found!r}")
    if isinstance(x, Array) or isinstance(y, Array):
        x, y = promoted(x, y)
    if not isinstance(x, Array) and not isinstance(y, Array):
        x = np.asarray(x, _dtype_of_numbers(x, y))
    return np.where(condition, x, y)


def _dtype_of_numbers(*numbers: Any) -> np.dtype:
    wanted = dtypes.bool_
    for number in numbers:
        wanted = dtypes.result_category_with_scalar(wanted, number)
    return wanted


where.gradient(
    x=lambda F, g, condition: F.where(condition, g, 0.0),
    y=lambda F, g, condition: F.where(condition, 0.0, g),
)


@operation(3)
def masked_fill(x: Array, mask: Array, value: Any) -> Array:
    """x with ``value`` where ``mask`` is true.

    Args:
        x: any tensor.
        mask: a bool tensor that broadcasts with x.
        value: a number or a 0-d tensor.

    Example:
        >>> lucid.masked_fill(lucid.tensor([1.0, 2.0]), lucid.tensor([True, False]), -1)
        tensor([-1.,  2.])
    """
    if not isinstance(mask, Array) or mask.dtype.kind != "b":
        raise TypeError(
            f"masked_fill: mask must be a bool tensor; got {getattr(mask, 'dtype', mask)!r}"
        )
    if np.ndim(value):
        raise RuntimeError(
            f"masked_fill: value must be a number or a 0-d tensor; got shape {np.shape(value)}"
        )
    wanted = promoted(x, value)[0].dtype
    if wanted is not x.dtype and dtypes.category(wanted) > dtypes.category(x.dtype):
        raise RuntimeError(f"masked_fill: value {value!r} does not fit the dtype {x.dtype}")
    return np.where(mask, np.asarray(value, x.dtype), x)


masked_fill.gradient(
    x=lambda F, g, mask: F.where(mask, 0.0, g),
    value=lambda F, g, mask: F.where(mask, g, 0.0),
)
masked_fill_ = in_place(masked_fill)


def fill_(x: Tensor, value: Any) -> Tensor:
    """Overwrites every element of ``x`` by ``value`` and returns ``x``.

    Args:
        x: the tensor to write to.
        value: a number or a 0-d tensor, to which the gradient goes.

    Example:
        >>> lucid.zeros(2).fill_(7)
        tensor([7., 7.])
    """
    return masked_fill_(x, np.True_, value)


def zero_(x: Tensor) -> Tensor:
    """Overwrites every element of ``x`` by 0 and returns ``x``."""
    return fill_(x, 0)


@operation(1)
def nan_to_num(
    x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """x with NaN and infinities replaced by finite numbers; their gradient is 0.

    Args:
        x: any tensor.
        nan: what replaces NaN.
        posinf, neginf: what replaces the infinities; by default the dtype's limits.

    Example:
        >>> lucid.nan_to_num(lucid.tensor([float("nan"), 1.0]), nan=-1.0)
        tensor([-1.,  1.])
    """
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


nan_to_num.gradient(x=lambda F, g, x: F.where(F.isfinite(x), g, 0.0))
nan_to_num_ = in_place(nan_to_num)


@operation(2)
def heaviside(x: Array, values: Any) -> Array:
    """Unit step: 0 where x is negative, 1 where it is positive, ``values`` where it is 0.

    Example:
        >>> lucid.heaviside(lucid.tensor([-1.0, 0.0, 2.0]), lucid.tensor(0.5))
        tensor([0.0000, 0.5000, 1.0000])
    """
    x, values = promoted(x, values)
    return B.heaviside(x, values).astype(x.dtype, copy=False)


heaviside.gradient(
    x=lambda F, g: zeros_like_gradient(F, g),
    values=lambda F, g, x: F.where(F.eq(x, 0), g, 0.0),
)
heaviside_ = in_place(heaviside)


@binary(B.copysign, floating=True)
def copysign(x: Array, y: Array) -> Array:
    """The absolute value of x with the sign of y.

    Example:
        >>> lucid.copysign(lucid.tensor([1.0, -2.0]), lucid.tensor([-1.0, 1.0]))
        tensor([-1.,  2.])
    """


copysign.gradient(
    x=lambda F, g, x, out: F.mul(g, F.mul(F.sign(x), F.sign(out))),
    y=lambda F, g: zeros_like_gradient(F, g),
)
copysign_ = in_place(copysign)


# -------------------------------------------------------------------- complex numbers


@operation(1, view=True)
def conj(x: Array) -> Array:
    """Complex conjugate; a real tensor shares its memory with the result.

    Example:
        >>> lucid.conj(lucid.tensor([1 + 2j]))
        tensor([1.-2.j], dtype=lucid.complex64)
    """
    return np.conjugate(x) if x.dtype.kind == "c" else x


conj.gradient(x=lambda F, g: F.conj(g))


@operation(1, view=True)
def real(x: Array) -> Array:
    """Real part, which shares x's memory; of a real tensor the tensor itself.

    Example:
        >>> lucid.real(lucid.tensor([1 + 2j]))
        tensor([1.])
    """
    return x.real


real.gradient(x=lambda F, g: g)


@operation(1, view=True)
def imag(x: Array) -> Array:
    """Imaginary part, which shares x's memory.

    Raises:
        RuntimeError: x is not complex.

    Example:
        >>> lucid.imag(lucid.tensor([1 + 2j]))
        tensor([2.])
    """
    if x.dtype.kind != "c":
        raise RuntimeError(f"imag: x must be complex; got {x.dtype}")
    return x.imag


imag.gradient(x=lambda F, g: F.mul(g, 1j))


@unary(floating=True)
def angle(x: Array) -> Array:
    """Argument of complex numbers in (-pi, pi]; of real ones 0, or pi where they are negative.

    Example:
        >>> lucid.angle(lucid.tensor([1j, -1 + 0j]))
        tensor([1.5708, 3.1416])
    """
    if x.dtype.kind == "c":
        return np.angle(x)
    return np.where(np.isnan(x), x, np.where(x < 0, x.dtype.type(np.pi), x.dtype.type(0)))


def _angle_rule(F: Any, g: Any, x: Any) -> Any:
    if not is_complex(x):
        return zeros_like_gradient(F, g)
    size = F.square(F.abs(x))
    return F.where(F.eq(size, 0), 0.0, F.mul(g, F.mul(F.div(x, size), 1j)))


angle.gradient(x=_angle_rule)


# -------------------------------------------------------------------- copies, casts, rectifier


@operation(1)
def cast(x: Array, dtype: Any) -> Array:
    """``x`` in another element type; the gradient goes back in ``x``'s own.

    The imaginary part is dropped where a complex tensor becomes a real one.
    """
    if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
        x = x.real
    with np.errstate(all="ignore"):
        return x.astype(dtype)


cast.gradient(x=lambda F, g, x_dtype: F.cast(g, x_dtype))


@unary()
def clone(x: Array) -> Array:
    """A copy with its own memory, through which gradients flow.

    Example:
        >>> lucid.clone(lucid.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    return B.copy(x)


clone.gradient(x=lambda F, g: g)


@unary(B.relu)
def relu(x: Array) -> Array:
    """Rectifier ``max(x, 0)``.

    Example:
        >>> lucid.relu(lucid.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """


relu.gradient(x=lambda F, g, out: F.relu_backward(g, out))


@operation(2)
def relu_backward(g: Array, y: Array) -> Array:
    """Gradient of :func:`relu` from its output y: ``g`` where ``y > 0``, else 0."""
    return B.relu_backward(g, y)


relu_backward.gradient(g=lambda F, g, y: F.relu_backward(g, y), y=lambda F, g: None)
relu_ = in_place(relu)


# -------------------------------------------------------------------- operators

FUNCTION_FORMS = {
    "pow": _with_exponent(pow),
    **{name: _with_alpha(op) for name, op in (("add", add), ("sub", sub), ("subtract", sub))},
    **{name: _with_rounding(div, floor_divide, trunc_divide) for name in ("div", "divide")},
}
METHOD_FORMS = {
    **FUNCTION_FORMS,
    **{name: _with_alpha(op) for name, op in (("add_", add_), ("sub_", sub_), ("subtract_", sub_))},
    **{
        name: _with_rounding(div_, floor_divide_, in_place(trunc_divide))
        for name in ("div_", "divide_")
    },
    "where": lambda x, condition, y: where(condition, x, y),
}
PROPERTIES = {"real": real, "imag": imag}


def operators(name: str, operation: Any, in_place: Any, commutes: bool = False) -> dict[str, Any]:
    """``__name__`` and its reflected and in-place forms: the shortest way to the operation.

    They take two operands and nothing more.
    """
    operator = operation.op.operator
    return {
        f"__{name}__": operator,
        f"__r{name}__": operator if commutes else lambda x, y: operator(y, x),
        f"__i{name}__": in_place,
    }


OPERATORS = {
    **operators("add", add, add_, commutes=True),
    **operators("sub", sub, sub_),
    **operators("mul", mul, mul_, commutes=True),
    **operators("truediv", div, div_),
    **operators("floordiv", floor_divide, floor_divide_),
    **operators("mod", remainder, remainder_),
    **operators("pow", pow, pow_),
    "__neg__": neg,
    "__pos__": positive,
    "__abs__": abs,
}
