"""Local response normalisation: kernels for float32 and float64, plain NumPy for other dtypes."""

from __future__ import annotations

import numpy as np

from lucid._backend.guard import compiled
from lucid._kernels import response_norm as kernels

Array = np.ndarray

__all__ = ["local_response_norm", "local_response_norm_backward"]


def local_response_norm(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """``x / (k + alpha / size * s) ** beta``, s the sums of squares over ``size`` channels."""
    if compiled(x):
        return kernels.forward(x, size, alpha, beta, k)
    with np.errstate(all="ignore"):
        wide = _wide(x)
        return (wide * _divisor(wide, size, alpha, k) ** -beta).astype(x.dtype)


def local_response_norm_backward(
    g: Array, x: Array, size: int, alpha: float, beta: float, k: float
) -> Array:
    """The gradient of ``x``."""
    if compiled(x) and g.dtype.type is x.dtype.type:
        return kernels.backward(g, x, size, alpha, beta, k)
    with np.errstate(all="ignore"):
        wide = _wide(x)
        divisor = _divisor(wide, size, alpha, k)
        direct = g * divisor**-beta
        out = direct
        if beta:
            inner = _window_sums(direct * wide / divisor, (size - 1) // 2, size // 2)
            out = direct - 2 * alpha * beta / size * wide * inner
        return out.astype(x.dtype)


def _wide(x: Array) -> Array:
    """float16 is computed in float32, as its squares and sums deserve."""
    return x.astype(np.result_type(x.dtype, np.float32))


def _divisor(x: Array, size: int, alpha: float, k: float) -> Array:
    return k + alpha / size * _window_sums(x * x, size // 2, (size - 1) // 2)


def _window_sums(x: Array, before: int, after: int) -> Array:
    """The sums over each channel, ``before`` channels before it and ``after`` after it."""
    out, channels = x.copy(), x.shape[1]
    for n in range(1, min(before, channels - 1) + 1):
        out[:, n:] += x[:, :-n]
    for n in range(1, min(after, channels - 1) + 1):
        out[:, :-n] += x[:, n:]
    return out
