"""The routines in plain NumPy: right for every dtype and layout, and what kernels fall back on.

Arrays and Python scalars in, arrays out (NumPy scalars where NumPy makes them of 0-d results; the
caller puts those back into arrays).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray

add = np.add
sub = np.subtract
mul = np.multiply
div = np.true_divide
neg = np.negative
maximum = np.maximum
minimum = np.minimum
exp = np.exp
expm1 = np.expm1
log = np.log
log1p = np.log1p
log2 = np.log2
log10 = np.log10
sqrt = np.sqrt
square = np.square
abs = np.abs
tanh = np.tanh
matmul = np.matmul


def pow(x: Any, y: Any) -> Array:
    return np.power(x, y)


def reciprocal(x: Array) -> Array:
    return np.true_divide(1, x, dtype=x.dtype)


def rsqrt(x: Array) -> Array:
    return reciprocal(np.sqrt(x))


def sigmoid(x: Array) -> Array:
    # exp of a non-positive number only: never overflows.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype, copy=False)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_backward(g: Array, out: Array) -> Array:
    return np.where(out > 0, g, g.dtype.type(0))


def tanh_backward(g: Array, out: Array) -> Array:
    return g * (1 - out * out)


def sigmoid_backward(g: Array, out: Array) -> Array:
    return g * (out * (1 - out))


def sum(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    out = np.matmul(x, weight.T)
    if bias is not None:
        out += bias
    return out


def linear_backward(
    g: Array, x: Array, weight: Array, need_x: bool, need_weight: bool, need_bias: bool
) -> tuple[Array | None, Array | None, Array | None]:
    rows = g.reshape(-1, g.shape[-1])
    return (
        np.matmul(g, weight) if need_x else None,
        np.matmul(rows.T, x.reshape(-1, x.shape[-1])) if need_weight else None,
        np.add.reduce(rows, axis=0) if need_bias else None,
    )


def softmax(x: Array) -> Array:
    shifted = np.exp(x - _finite_max(x))
    return shifted / np.add.reduce(shifted, axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    shifted = x - _finite_max(x)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))


def _finite_max(x: Array) -> Array:
    return np.maximum.reduce(x, axis=-1, keepdims=True)
