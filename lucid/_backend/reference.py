"""The routines in plain NumPy: right for every dtype and layout, and what kernels fall back on.

Arrays and Python scalars in, arrays out, 0-d ones included. Nothing here warns of an overflow, a
division by zero or an invalid operation: infinities and NaNs are results.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._kernels.memory import call, zeros  # noqa: F401  zeros is one of the routines

Array = np.ndarray


def silent(function: Callable[..., Any]) -> Callable[..., Array]:
    """``function`` without NumPy's warnings, its scalars put back into arrays."""

    def routine(*args: Any, **kwargs: Any) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(call(function, *args, **kwargs))

    return routine


def quiet(function: Callable[..., Any]) -> Callable[..., Array]:
    """`silent` for a function that never warns."""
    return lambda *args: np.asarray(call(function, *args))


# -------------------------------------------------------------------- arithmetic

add = silent(np.add)
sub = silent(np.subtract)
div = silent(np.true_divide)
floor_divide = silent(np.floor_divide)
remainder = silent(np.remainder)
fmod = silent(np.fmod)
abs = silent(np.abs)
square = silent(np.square)
sqrt = silent(np.sqrt)
sign = silent(np.sign)
hypot = silent(np.hypot)
copysign = silent(np.copysign)
heaviside = silent(np.heaviside)
maximum = silent(np.maximum)
minimum = silent(np.minimum)
fmax = silent(np.fmax)
fmin = silent(np.fmin)
floor = silent(np.floor)
ceil = silent(np.ceil)
trunc = silent(np.trunc)
round = silent(np.round)
clip = silent(np.clip)


@silent
def trunc_divide(x: Any, y: Any) -> Array:
    if np.result_type(x, y).kind in "fc":
        return np.trunc(np.true_divide(x, y))
    quotient = np.floor_divide(x, y)
    # Rounded down; one more where that was away from zero.
    return quotient + ((quotient < 0) & (quotient * y != x)).astype(quotient.dtype)


# -------------------------------------------------------------------- functions

exp = silent(np.exp)
exp2 = silent(np.exp2)
expm1 = silent(np.expm1)
log = silent(np.log)
log1p = silent(np.log1p)
log2 = silent(np.log2)
log10 = silent(np.log10)
sin = silent(np.sin)
cos = silent(np.cos)
tan = silent(np.tan)
asin = silent(np.arcsin)
acos = silent(np.arccos)
atan = silent(np.arctan)
atan2 = silent(np.arctan2)
sinh = silent(np.sinh)
cosh = silent(np.cosh)
tanh = silent(np.tanh)
asinh = silent(np.arcsinh)
acosh = silent(np.arccosh)
atanh = silent(np.arctanh)
logaddexp = silent(np.logaddexp)
logaddexp2 = silent(np.logaddexp2)


@silent
def sinc(x: Array) -> Array:
    y = np.where(x == 0, x.dtype.type(1), x) * x.dtype.type(np.pi)
    return np.where(x == 0, x.dtype.type(1), np.sin(y) / y)


@silent
def xlogy(x: Any, y: Any) -> Array:
    return np.where((x == 0) & ~np.isnan(y), 0.0, x * np.log(y))


# (1 + 2 x) erfcx(x), where erfcx(x) = exp(x^2) erfc(x), as a Chebyshev series in
# (x - 2) / (x + 2), which maps [0, inf) to [-1, 1). Computed with 50 digits.
_ERFCX = (
    1.17600665558830036, 0.0257796738700482081, -0.106593150677785033, 0.0388088795744838211,
    -0.00541489993089372502, -0.000408152572823723851, 0.000198437682485535263,
    9.84253277604812675e-6, -7.76326556106285844e-6, -7.17400145752968298e-7,
    3.14069495558184315e-7, 6.18842366954614427e-8, -9.89061993449221441e-9,
    -4.59539962251017985e-9, -7.18058772817708544e-11, 2.62961833363640444e-10,
    4.86773405660790373e-11, -8.02680419375901863e-12, -4.77913357084529772e-12,
    -4.34701264784644344e-13, 2.412314273846194e-13, 8.61090052127724677e-14,
    2.59476489837121996e-15, -5.87225438150105061e-15, -1.70193288123443176e-15,
    1.38735871211734487e-17, 1.40921744072596328e-16, 3.8412754939993898e-17,
)  # fmt: skip


@silent
def erfc(x: Array) -> Array:
    """``1 - erf(x)`` without its cancellation: small results keep their digits."""
    wide = np.asarray(x, dtype=np.float64)
    z = np.minimum(np.abs(wide), 30.0)  # beyond, the result is 0 anyhow
    scaled = np.polynomial.chebyshev.chebval((z - 2) / (z + 2), _ERFCX) / (1 + 2 * z)
    # exp(-z^2) with z split in two, because the rounding of z^2 would be magnified.
    high = z.astype(np.float32).astype(np.float64)
    tail = np.exp(-high * high) * np.exp((high - z) * (high + z)) * scaled
    out = np.where(np.isnan(wide), wide, np.where(wide < 0, 2 - tail, tail))
    return out.astype(x.dtype, copy=False)


@silent
def erf(x: Array) -> Array:
    wide = np.asarray(x, dtype=np.float64)
    series = wide * np.polynomial.polynomial.polyval(
        np.minimum(wide * wide, 0.25),
        [(-1) ** n * 2 / np.sqrt(np.pi) / (math.factorial(n) * (2 * n + 1)) for n in range(12)],
    )
    return np.where(np.abs(wide) < 0.5, series, 1 - erfc(wide)).astype(x.dtype, copy=False)


@silent
def erfinv(x: Array) -> Array:
    """Winitzki's approximation, then Halley's method, near 1 on erfc, which keeps the digits."""
    wide = np.asarray(x, dtype=np.float64)
    z = np.abs(wide)
    logarithm = np.log1p(-z * z)
    a = 2 / (np.pi * 0.147) + logarithm / 2
    y = np.sqrt(np.sqrt(a * a - logarithm / 0.147) - a)
    for _ in range(3):
        residual = np.where(z < 0.5, erf(y) - z, (1 - z) - erfc(y))
        step = residual / (2 / np.sqrt(np.pi) * np.exp(-y * y))
        y = y - step / (1 + y * step)
    y = np.where(z == 1, np.inf, np.where(z > 1, np.nan, y))
    return np.copysign(y, wide).astype(x.dtype, copy=False)


# -------------------------------------------------------------------- comparisons

eq = silent(np.equal)
ne = silent(np.not_equal)
lt = silent(np.less)
le = silent(np.less_equal)
gt = silent(np.greater)
ge = silent(np.greater_equal)
logical_and = quiet(np.logical_and)
logical_or = quiet(np.logical_or)
logical_xor = quiet(np.logical_xor)
logical_not = quiet(np.logical_not)
bitwise_and = quiet(np.bitwise_and)
bitwise_or = quiet(np.bitwise_or)
bitwise_xor = quiet(np.bitwise_xor)
bitwise_not = quiet(np.invert)
bitwise_left_shift = quiet(np.left_shift)
bitwise_right_shift = quiet(np.right_shift)
isnan = quiet(np.isnan)
isinf = quiet(np.isinf)
isfinite = quiet(np.isfinite)


# -------------------------------------------------------------------- reductions


@silent
def sum(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    # float16 adds up in float32, or it would lose a sum of some thousands.
    if x.dtype == np.float16:
        return np.asarray(np.add.reduce(x, axis, np.float32, None, keepdims)).astype(x.dtype)
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


@silent
def prod(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    if x.dtype == np.float16:
        return np.asarray(np.multiply.reduce(x, axis, np.float32, None, keepdims)).astype(x.dtype)
    return np.multiply.reduce(x, axis=axis, keepdims=keepdims)


def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    return np.asarray(np.argmax(x, axis, keepdims=keepdims))


def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    return np.asarray(np.argmin(x, axis, keepdims=keepdims))


@silent
def mean(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return np.mean(x, axis=axis, keepdims=keepdims)


@silent
def cumsum(x: Array, axis: int) -> Array:
    return np.add.accumulate(x, axis=axis)


@silent
def cumprod(x: Array, axis: int) -> Array:
    return np.multiply.accumulate(x, axis=axis)


@silent
def logcumsumexp(x: Array, axis: int) -> Array:
    return np.logaddexp.accumulate(x, axis=axis)


# -------------------------------------------------------------------- copies

concatenate = np.concatenate
stack = np.stack


def copy(x: Array) -> Array:
    return x.copy()


def reshape(x: Array, shape: Any) -> Array:
    return x.reshape(shape)


# -------------------------------------------------------------------- networks and matrices

matmul = np.matmul
