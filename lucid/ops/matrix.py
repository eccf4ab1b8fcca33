"""Matrix products and the linear map."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core.op import fused_rule, operation
from lucid.errors import ShapeError

Array = np.ndarray


@operation(2)
def matmul(x: Array, y: Array) -> Array:
    """Matrix product of the last two dimensions; leading ones broadcast. Vectors as in NumPy.

    Shapes: ``(..., n, k) @ (..., k, m) -> (..., n, m)``; a 1-D operand is a row or a column and
    its dimension is dropped.

    Raises:
        ShapeError: the inner sizes differ, or an operand is 0-d.
    """
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(f"matmul: operands must have at least 1 dimension; got {x.shape}, {y.shape}")
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ShapeError(
            f"matmul: the last dimension of x must equal the last but one of y; "
            f"got {x.shape} and {y.shape}"
        )
    if x.dtype is not y.dtype:
        raise RuntimeError(f"matmul: x and y must have one dtype; got {x.dtype} and {y.dtype}")
    return B.matmul(x, y)


def _matmul_x(F: Any, g: Any, x_shape: Any, y: Any) -> Any:  # noqa: N803
    if y.dtype.kind == "c":
        y = F.conj(y)
    if y.ndim == 1:
        return F.mul(F.reshape(g, (*g.shape, 1)), y)
    if len(x_shape) == 1:
        return F.reshape(F.matmul(y, F.reshape(g, (*g.shape, 1))), y.shape[:-1])
    return F.matmul(g, F.transpose(y, -1, -2))


def _matmul_y(F: Any, g: Any, x: Any, y_shape: Any) -> Any:  # noqa: N803
    if x.dtype.kind == "c":
        x = F.conj(x)
    if x.ndim == 1:
        g = F.reshape(g, (*g.shape[:-1], 1, *g.shape[-1:])) if len(y_shape) > 1 else g
        return F.mul(F.reshape(x, (*x.shape, 1)), g) if len(y_shape) > 1 else F.mul(x, g)
    if len(y_shape) == 1:
        columns = F.matmul(F.transpose(x, -1, -2), F.reshape(g, (*g.shape, 1)))
        return F.sum_to(F.reshape(columns, columns.shape[:-1]), y_shape)
    return F.matmul(F.transpose(x, -1, -2), g)


matmul.gradient(x=_matmul_x, y=_matmul_y)


@operation(3)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    r"""Affine map :math:`x W^\top + b`.

    Shapes: ``x (..., in)``, ``weight (out, in)``, ``bias (out,)`` or None ``-> (..., out)``.

    Raises:
        ShapeError: the shapes do not fit together.
    """
    if weight.ndim != 2 or x.ndim == 0 or weight.shape[1] != x.shape[-1]:
        raise ShapeError(
            f"linear: weight must have shape (out, in) with in = {x.shape[-1] if x.ndim else '?'}, "
            f"the input's last dimension; got {weight.shape}"
        )
    if bias is not None and bias.shape != (weight.shape[0],):
        raise ShapeError(f"linear: bias must have shape ({weight.shape[0]},); got {bias.shape}")
    if x.dtype is not weight.dtype or bias is not None and bias.dtype is not x.dtype:
        raise RuntimeError(
            f"linear: x, weight and bias must have one dtype; got {x.dtype}, {weight.dtype}"
            + (f" and {bias.dtype}" if bias is not None else "")
        )
    return B.linear(x, weight, bias)


@linear.gradient
def _linear_rule(F: Any, g: Any, need: Any, x: Any, weight: Any) -> Any:  # noqa: N803
    return F.linear_backward(g, x, weight, *need)


def _linear_backward(
    F: Any,  # noqa: N803
    g: Any,
    x: Any,
    weight: Any,
    need_x: bool,
    need_weight: bool,
    need_bias: bool,
) -> Any:
    rows = F.reshape(g, (-1, g.shape[-1]))
    flat = F.reshape(x, (-1, x.shape[-1])) if need_weight else None
    return (
        F.matmul(g, weight) if need_x else None,
        F.matmul(F.transpose(rows, 0, 1), flat) if need_weight else None,
        F.sum(rows, 0, False, None) if need_bias else None,
    )


fused_rule("linear_backward", B.linear_backward, _linear_backward)
