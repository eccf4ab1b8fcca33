"""Element-wise arithmetic and functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.inplace import in_place
from lucid._core.op import ARRAYS, binary, operation, unary

Array = np.ndarray


# -------------------------------------------------------------------- arithmetic


@binary(B.add)
def add(x: Array, y: Array) -> Array:
    """Sum ``x + y``, element by element.

    Args:
        x, y: tensors that broadcast together, or one of them a Python number.

    Example:
        >>> lucid.add(lucid.tensor([1.0, 2.0]), 10)
        tensor([11., 12.])
    """


add.gradient(x=lambda F, g: g, y=lambda F, g: g)


@binary()
def sub(x: Array, y: Array) -> Array:
    """Difference ``x - y``, element by element."""
    if isinstance(x, Array) and x.dtype.kind == "b" and (not isinstance(y, Array) or y.dtype.kind == "b"):
        raise TypeError("sub: bool tensors have no difference; use logical_xor (^)")
    return B.sub(x, y)


sub.gradient(x=lambda F, g: g, y=lambda F, g: F.neg(g))


@binary(B.mul)
def mul(x: Array, y: Array) -> Array:
    """Product ``x * y``, element by element."""


mul.gradient(
    x=lambda F, g, y: F.mul(g, F.conj(y) if is_complex(y) else y),
    y=lambda F, g, x: F.mul(g, F.conj(x) if is_complex(x) else x),
)


def is_complex(x: Any) -> bool:
    return isinstance(x, complex) or getattr(x, "dtype", None) is not None and x.dtype.kind == "c"


@binary(B.div, floating=True)
def div(x: Array, y: Array) -> Array:
    """Quotient ``x / y``, element by element; integers are divided as floats."""


div.gradient(
    x=lambda F, g, y: F.div(g, F.conj(y) if is_complex(y) else y),
    y=lambda F, g, out, y: F.neg(
        F.mul(g, F.div(F.conj(out), F.conj(y)) if is_complex(out) else F.div(out, y))
    ),
)


@unary()
def neg(x: Array) -> Array:
    """Negative ``-x``."""
    if x.dtype.kind == "b":
        raise TypeError("neg: a bool tensor has no negative; use logical_not (~)")
    return B.neg(x)


neg.gradient(x=lambda F, g: F.neg(g))


@unary(B.exp, floating=True)
def exp(x: Array) -> Array:
    """Exponential ``e^x``."""


exp.gradient(x=lambda F, g, out: F.mul(g, F.conj(out) if is_complex(out) else out))


@unary(B.log, floating=True)
def log(x: Array) -> Array:
    """Natural logarithm; NaN for negative x, -inf at 0."""


log.gradient(x=lambda F, g, x: F.div(g, F.conj(x) if is_complex(x) else x))


@operation(1)
def cast(x: Array, dtype: Any) -> Array:
    """``x`` in another element type; the gradient goes back in ``x``'s own."""
    return x.astype(dtype)


cast.gradient(x=lambda F, g, x_dtype: F.cast(g, x_dtype))


@unary()
def clone(x: Array) -> Array:
    """A copy with its own memory, through which gradients flow."""
    return x.copy()


clone.gradient(x=lambda F, g: g)


@unary(B.relu)
def relu(x: Array) -> Array:
    """Rectifier ``max(x, 0)``."""


relu.gradient(x=lambda F, g, out: F.relu_backward(g, out))


@operation(2)
def relu_backward(g: Array, out: Array) -> Array:
    """Gradient of :func:`relu` from its output: ``g`` where ``out > 0``, else 0."""
    return B.relu_backward(g, out)


relu_backward.gradient(g=lambda F, g, out: F.relu_backward(g, out))

add_ = in_place(add)
ARRAYS.add_ = B.add_  # how the engine adds gradients up
sub_ = in_place(sub)
mul_ = in_place(mul)
div_ = in_place(div)
