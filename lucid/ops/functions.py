"""Element-wise functions of mathematics: exponentials, trigonometry, error functions and their kin.

Integer tensors are cast to the default dtype first. Complex derivatives follow the convention
that a gradient is multiplied by the conjugate of the derivative.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.inplace import in_place
from lucid._core.op import binary, fused_rule, operation, unary

Array = np.ndarray

FUNCTIONS = """
    exp exp2 expm1 log log2 log10 log1p sqrt rsqrt
    sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sinc
    arcsin arccos arctan arctan2 arcsinh arccosh arctanh
    erf erfc erfinv sigmoid expit logit softplus logaddexp logaddexp2 xlogy hypot
    deg2rad rad2deg
    exp_ exp2_ expm1_ log_ log2_ log10_ log1p_ sqrt_ rsqrt_ sin_ cos_ tan_ asin_ acos_ atan_
    sinh_ cosh_ tanh_ asinh_ acosh_ atanh_ sinc_ erf_ erfc_ erfinv_ sigmoid_ logit_ xlogy_
    deg2rad_ rad2deg_
""".split()
METHODS = [
    *(name for name in FUNCTIONS if name != "expit"),
    *"atan2_ hypot_ arcsin_ arccos_ arctan_ arctan2_ arcsinh_ arccosh_ arctanh_".split(),
]


def is_complex(x: Any) -> bool:
    """Whether an array, a tensor or a number is complex."""
    return isinstance(x, complex) or (getattr(x, "dtype", None) is not None and x.dtype.kind == "c")


def conjugated(F: Any, x: Any) -> Any:
    """The complex conjugate, as a rule needs it; real numbers as they are."""
    if isinstance(x, complex):
        return x.conjugate()
    return F.conj(x) if is_complex(x) else x


# -------------------------------------------------------------------- exponentials and logarithms


@unary(B.exp, floating=True)
def exp(x: Array) -> Array:
    """Exponential ``e^x``.

    Example:
        >>> lucid.exp(lucid.tensor([0.0, 1.0]))
        tensor([1.0000, 2.7183])
    """


exp.gradient(x=lambda F, g, out: F.mul(g, conjugated(F, out)))
exp_ = in_place(exp)


@unary(B.exp2, floating=True)
def exp2(x: Array) -> Array:
    """Power of two ``2^x``.

    Example:
        >>> lucid.exp2(lucid.tensor([0.0, 3.0, -1.0]))
        tensor([1.0000, 8.0000, 0.5000])
    """


exp2.gradient(x=lambda F, g, out: F.mul(F.mul(g, conjugated(F, out)), math.log(2)))
exp2_ = in_place(exp2)


@unary(B.expm1, floating=True)
def expm1(x: Array) -> Array:
    """``e^x - 1``, without cancellation where x is small.

    Example:
        >>> lucid.expm1(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 1.7183])
    """


expm1.gradient(x=lambda F, g, out: F.mul(g, conjugated(F, F.add(out, 1))))
expm1_ = in_place(expm1)


@unary(B.log, floating=True)
def log(x: Array) -> Array:
    """Natural logarithm; NaN for negative x, -inf at 0.

    Example:
        >>> lucid.log(lucid.tensor([1.0, 10.0]))
        tensor([0.0000, 2.3026])
    """


log.gradient(x=lambda F, g, x: F.div(g, conjugated(F, x)))
log_ = in_place(log)


@unary(B.log2, floating=True)
def log2(x: Array) -> Array:
    """Logarithm to the base 2.

    Example:
        >>> lucid.log2(lucid.tensor([1.0, 8.0]))
        tensor([0., 3.])
    """


log2.gradient(x=lambda F, g, x: F.div(g, F.mul(conjugated(F, x), math.log(2))))
log2_ = in_place(log2)


@unary(B.log10, floating=True)
def log10(x: Array) -> Array:
    """Logarithm to the base 10.

    Example:
        >>> lucid.log10(lucid.tensor([1.0, 100.0]))
        tensor([0., 2.])
    """


log10.gradient(x=lambda F, g, x: F.div(g, F.mul(conjugated(F, x), math.log(10))))
log10_ = in_place(log10)


@unary(B.log1p, floating=True)
def log1p(x: Array) -> Array:
    """``log(1 + x)``, without cancellation where x is small.

    Example:
        >>> lucid.log1p(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 0.6931])
    """


log1p.gradient(x=lambda F, g, x: F.div(g, conjugated(F, F.add(x, 1))))
log1p_ = in_place(log1p)


@unary(B.sqrt, floating=True)
def sqrt(x: Array) -> Array:
    """Square root; NaN for negative x, gradient inf at 0.

    Example:
        >>> lucid.sqrt(lucid.tensor([4.0, 9.0]))
        tensor([2., 3.])
    """


sqrt.gradient(x=lambda F, g, out: F.div(g, F.mul(conjugated(F, out), 2)))
sqrt_ = in_place(sqrt)


@unary(B.rsqrt, floating=True)
def rsqrt(x: Array) -> Array:
    """Reciprocal square root ``1 / sqrt(x)``.

    Example:
        >>> lucid.rsqrt(lucid.tensor([4.0, 0.25]))
        tensor([0.5000, 2.0000])
    """


rsqrt.gradient(x=lambda F, g, out: F.mul(F.mul(g, conjugated(F, F.pow(out, 3))), -0.5))
rsqrt_ = in_place(rsqrt)


# -------------------------------------------------------------------- trigonometry


@unary(B.sin, floating=True)
def sin(x: Array) -> Array:
    """Sine; x in radians.

    Example:
        >>> lucid.sin(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8415])
    """


sin.gradient(x=lambda F, g, x: F.mul(g, conjugated(F, F.cos(x))))
sin_ = in_place(sin)


@unary(B.cos, floating=True)
def cos(x: Array) -> Array:
    """Cosine; x in radians.

    Example:
        >>> lucid.cos(lucid.tensor([0.0, 1.0]))
        tensor([1.0000, 0.5403])
    """


cos.gradient(x=lambda F, g, x: F.neg(F.mul(g, conjugated(F, F.sin(x)))))
cos_ = in_place(cos)


@unary(B.tan, floating=True)
def tan(x: Array) -> Array:
    """Tangent; x in radians.

    Example:
        >>> lucid.tan(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 1.5574])
    """


tan.gradient(x=lambda F, g, out: F.mul(g, conjugated(F, F.add(F.square(out), 1))))
tan_ = in_place(tan)


@unary(B.asin, floating=True)
def asin(x: Array) -> Array:
    """Inverse sine, in [-pi/2, pi/2]; NaN outside [-1, 1].

    Example:
        >>> lucid.asin(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 1.5708])
    """


asin.gradient(x=lambda F, g, x: F.mul(g, conjugated(F, F.rsqrt(F.sub(1, F.square(x))))))
asin_ = arcsin_ = in_place(asin)
arcsin = asin


@unary(B.acos, floating=True)
def acos(x: Array) -> Array:
    """Inverse cosine, in [0, pi]; NaN outside [-1, 1].

    Example:
        >>> lucid.acos(lucid.tensor([0.0, 1.0]))
        tensor([1.5708, 0.0000])
    """


acos.gradient(x=lambda F, g, x: F.neg(F.mul(g, conjugated(F, F.rsqrt(F.sub(1, F.square(x)))))))
acos_ = arccos_ = in_place(acos)
arccos = acos


@unary(B.atan, floating=True)
def atan(x: Array) -> Array:
    """Inverse tangent, in [-pi/2, pi/2].

    Example:
        >>> lucid.atan(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 0.7854])
    """


atan.gradient(x=lambda F, g, x: F.div(g, conjugated(F, F.add(F.square(x), 1))))
atan_ = arctan_ = in_place(atan)
arctan = atan


@binary(B.atan2, floating=True)
def atan2(x: Array, y: Array) -> Array:
    """Angle in (-pi, pi] of the point whose ordinate is ``x`` and whose abscissa is ``y``.

    Example:
        >>> lucid.atan2(lucid.tensor([1.0, -1.0]), lucid.tensor([1.0, 0.0]))
        tensor([ 0.7854, -1.5708])
    """


def _atan2_factor(F: Any, g: Any, x: Any, y: Any) -> Any:
    squares = F.add(_squared(F, x), _squared(F, y))
    return F.where(F.eq(squares, 0), 0.0, F.div(g, squares))


def _squared(F: Any, x: Any) -> Any:
    return x * x if isinstance(x, (int, float)) else F.square(x)


atan2.gradient(
    x=lambda F, g, x, y: F.mul(_atan2_factor(F, g, x, y), y),
    y=lambda F, g, x, y: F.neg(F.mul(_atan2_factor(F, g, x, y), x)),
)
atan2_ = arctan2_ = in_place(atan2)
arctan2 = atan2


@unary(B.sinh, floating=True)
def sinh(x: Array) -> Array:
    """Hyperbolic sine.

    Example:
        >>> lucid.sinh(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 1.1752])
    """


sinh.gradient(x=lambda F, g, x: F.mul(g, conjugated(F, F.cosh(x))))
sinh_ = in_place(sinh)


@unary(B.cosh, floating=True)
def cosh(x: Array) -> Array:
    """Hyperbolic cosine.

    Example:
        >>> lucid.cosh(lucid.tensor([0.0, 1.0]))
        tensor([1.0000, 1.5431])
    """


cosh.gradient(x=lambda F, g, x: F.mul(g, conjugated(F, F.sinh(x))))
cosh_ = in_place(cosh)


@unary(B.tanh, floating=True)
def tanh(x: Array) -> Array:
    """Hyperbolic tangent.

    Example:
        >>> lucid.tanh(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 0.7616])
    """


def _tanh_backward(F: Any, g: Any, out: Any) -> Any:
    return F.mul(g, conjugated(F, F.sub(1, F.square(out))))


fused_rule("tanh_backward", B.tanh_backward, _tanh_backward)
tanh.gradient(
    x=lambda F, g, out: _tanh_backward(F, g, out) if is_complex(out) else F.tanh_backward(g, out),
)
tanh_ = in_place(tanh)


@unary(B.asinh, floating=True)
def asinh(x: Array) -> Array:
    """Inverse hyperbolic sine.

    Example:
        >>> lucid.asinh(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8814])
    """


asinh.gradient(x=lambda F, g, x: F.mul(g, conjugated(F, F.rsqrt(F.add(F.square(x), 1)))))
asinh_ = arcsinh_ = in_place(asinh)
arcsinh = asinh


@unary(B.acosh, floating=True)
def acosh(x: Array) -> Array:
    """Inverse hyperbolic cosine, at least 0; NaN below 1.

    Example:
        >>> lucid.acosh(lucid.tensor([1.0, 2.0]))
        tensor([0.0000, 1.3170])
    """


acosh.gradient(
    x=lambda F, g, x: F.mul(
        g, conjugated(F, F.mul(F.rsqrt(F.sub(x, 1)), F.rsqrt(F.add(x, 1))))
    )
)  # fmt: skip
acosh_ = arccosh_ = in_place(acosh)
arccosh = acosh


@unary(B.atanh, floating=True)
def atanh(x: Array) -> Array:
    """Inverse hyperbolic tangent; NaN outside [-1, 1].

    Example:
        >>> lucid.atanh(lucid.tensor([0.0, 0.5]))
        tensor([0.0000, 0.5493])
    """


atanh.gradient(x=lambda F, g, x: F.div(g, conjugated(F, F.sub(1, F.square(x)))))
atanh_ = arctanh_ = in_place(atanh)
arctanh = atanh


@unary(B.sinc, floating=True)
def sinc(x: Array) -> Array:
    """Normalised cardinal sine ``sin(pi x) / (pi x)``, 1 at 0.

    Example:
        >>> lucid.sinc(lucid.tensor([0.0, 0.5]))
        tensor([1.0000, 0.6366])
    """


def _sinc_rule(F: Any, g: Any, x: Any) -> Any:
    at_zero = F.eq(x, 0)
    y = F.where(at_zero, 1.0, x)
    slope = F.div(F.sub(F.cos(F.mul(y, math.pi)), F.sinc(y)), y)
    return F.where(at_zero, 0.0, F.mul(g, conjugated(F, slope)))


sinc.gradient(x=_sinc_rule)
sinc_ = in_place(sinc)


@binary(B.hypot, floating=True)
def hypot(x: Array, y: Array) -> Array:
    """Hypotenuse ``sqrt(x^2 + y^2)``, without overflow on the way.

    Example:
        >>> lucid.hypot(lucid.tensor([3.0]), lucid.tensor([4.0]))
        tensor([5.])
    """


hypot.gradient(
    x=lambda F, g, x, out: F.mul(g, F.div(x, out)),
    y=lambda F, g, y, out: F.mul(g, F.div(y, out)),
)
hypot_ = in_place(hypot)


@unary(floating=True)
def deg2rad(x: Array) -> Array:
    """Degrees to radians, ``x * pi / 180``.

    Example:
        >>> lucid.deg2rad(lucid.tensor([180.0]))
        tensor([3.1416])
    """
    return B.mul(x, math.pi / 180)


deg2rad.gradient(x=lambda F, g: F.mul(g, math.pi / 180))
deg2rad_ = in_place(deg2rad)


@unary(floating=True)
def rad2deg(x: Array) -> Array:
    """Radians to degrees, ``x * 180 / pi``.

    Example:
        >>> lucid.rad2deg(lucid.tensor([3.14159265]))
        tensor([180.])
    """
    return B.mul(x, 180 / math.pi)


rad2deg.gradient(x=lambda F, g: F.mul(g, 180 / math.pi))
rad2deg_ = in_place(rad2deg)


# -------------------------------------------------------------------- error functions, sigmoids


@unary(B.erf, floating=True)
def erf(x: Array) -> Array:
    """Error function ``2 / sqrt(pi) * integral of exp(-t^2) from 0 to x``.

    Example:
        >>> lucid.erf(lucid.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8427])
    """


def _bell(F: Any, x: Any) -> Any:
    """The derivative of erf."""
    return F.mul(F.exp(F.neg(F.square(x))), 2 / math.sqrt(math.pi))


erf.gradient(x=lambda F, g, x: F.mul(g, _bell(F, x)))
erf_ = in_place(erf)


@unary(B.erfc, floating=True)
def erfc(x: Array) -> Array:
    """Complementary error function ``1 - erf(x)``, exact where it is small.

    Example:
        >>> lucid.erfc(lucid.tensor([0.0, 1.0]))
        tensor([1.0000, 0.1573])
    """


erfc.gradient(x=lambda F, g, x: F.neg(F.mul(g, _bell(F, x))))
erfc_ = in_place(erfc)


@unary(B.erfinv, floating=True)
def erfinv(x: Array) -> Array:
    """Inverse of :func:`erf`; infinite at -1 and 1, NaN beyond.

    Example:
        >>> lucid.erfinv(lucid.tensor([0.0, 0.5]))
        tensor([0.0000, 0.4769])
    """


erfinv.gradient(x=lambda F, g, out: F.mul(F.mul(g, F.exp(F.square(out))), math.sqrt(math.pi) / 2))
erfinv_ = in_place(erfinv)


@unary(B.sigmoid, floating=True)
def sigmoid(x: Array) -> Array:
    """Logistic function ``1 / (1 + exp(-x))``.

    Example:
        >>> lucid.sigmoid(lucid.tensor([0.0, 1.0]))
        tensor([0.5000, 0.7311])
    """


fused_rule(
    "sigmoid_backward",
    B.sigmoid_backward,
    lambda F, g, out: F.mul(g, F.mul(out, F.sub(1, out))),
)
sigmoid.gradient(x=lambda F, g, out: F.sigmoid_backward(g, out))
sigmoid_ = in_place(sigmoid)
expit = sigmoid


@operation(1, floating=True)
def logit(x: Array, eps: float | None = None) -> Array:
    """Log-odds ``log(x / (1 - x))``, the inverse of :func:`sigmoid`.

    Args:
        x: probabilities; outside [0, 1] the result is NaN.
        eps: clamp ``x`` to ``[eps, 1 - eps]`` first.

    Example:
        >>> lucid.logit(lucid.tensor([0.5, 0.9]))
        tensor([0.0000, 2.1972])
    """
    if eps is not None:
        x = B.clip(x, eps, 1 - eps)
    return B.log(B.div(x, B.sub(1, x)))


def _logit_rule(F: Any, g: Any, x: Any, eps: float | None) -> Any:
    slope = F.div(g, F.mul(x, F.sub(1, x)))
    if eps is None:
        return F.where(F.logical_and(F.ge(x, 0), F.le(x, 1)), slope, math.nan)
    return F.where(F.logical_and(F.ge(x, eps), F.le(x, 1 - eps)), slope, 0.0)


logit.gradient(x=_logit_rule)
logit_ = in_place(logit)


@operation(1, floating=True)
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Smooth rectifier ``log(1 + exp(beta * x)) / beta``.

    Args:
        x: any real tensor.
        beta: how sharp the bend at 0 is.
        threshold: where ``beta * x`` is above it, the result is ``x`` itself.

    Example:
        >>> lucid.softplus(lucid.tensor([0.0, 30.0]))
        tensor([ 0.6931, 30.0000])
    """
    return B.softplus(x, beta, threshold)


def _softplus_backward(F: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = F.mul(x, beta)
    return F.where(F.gt(scaled, threshold), g, F.mul(g, F.sigmoid(scaled)))


softplus.gradient(x=lambda F, g, x, beta, threshold: F.softplus_backward(g, x, beta, threshold))
fused_rule("softplus_backward", B.softplus_backward, _softplus_backward)


@binary(B.logaddexp, floating=True)
def logaddexp(x: Array, y: Array) -> Array:
    """``log(exp(x) + exp(y))`` without overflow.

    Example:
        >>> lucid.logaddexp(lucid.tensor([0.0]), lucid.tensor([0.0]))
        tensor([0.6931])
    """


logaddexp.gradient(
    x=lambda F, g, x, y: F.mul(g, F.sigmoid(F.sub(x, y))),
    y=lambda F, g, x, y: F.mul(g, F.sigmoid(F.sub(y, x))),
)


@binary(B.logaddexp2, floating=True)
def logaddexp2(x: Array, y: Array) -> Array:
    """``log2(2^x + 2^y)`` without overflow.

    Example:
        >>> lucid.logaddexp2(lucid.tensor([0.0]), lucid.tensor([0.0]))
        tensor([1.])
    """


logaddexp2.gradient(
    x=lambda F, g, x, y: F.mul(g, F.sigmoid(F.mul(F.sub(x, y), math.log(2)))),
    y=lambda F, g, x, y: F.mul(g, F.sigmoid(F.mul(F.sub(y, x), math.log(2)))),
)


@binary(B.xlogy, floating=True)
def xlogy(x: Array, y: Array) -> Array:
    """``x * log(y)``, and 0 where x is 0 (unless y is NaN).

    Example:
        >>> lucid.xlogy(lucid.tensor([0.0, 2.0]), lucid.tensor([0.0, 1.0]))
        tensor([0., 0.])
    """


def _xlogy_x(F: Any, g: Any, x: Any, y: Any) -> Any:
    no_logarithm = F.le(y, 0) if hasattr(y, "dtype") else y <= 0
    return F.where(F.logical_and(F.eq(x, 0), no_logarithm), 0.0, F.xlogy(g, y))


xlogy.gradient(
    x=_xlogy_x,
    y=lambda F, g, x, y: F.div(F.mul(g, x), y),
)
xlogy_ = in_place(xlogy)
