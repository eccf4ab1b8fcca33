"""Gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucid._core.engine import grad
from lucid._core.grad_mode import enable_grad
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """An analytical gradient that differs from the numerical one."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    r"""Compares the gradients of ``func`` with central differences.

    For each output element and each input element,
    :math:`\partial y_j / \partial x_i \approx (y_j(x_i + \epsilon) - y_j(x_i - \epsilon)) / 2
    \epsilon`. Complex inputs are perturbed along both axes, and the gradient is the conjugate one.

    Args:
        func: takes the inputs, returns a tensor or a tuple of them.
        inputs: float64 or complex128 tensors; those that require grad are checked.
        eps: the step.
        atol, rtol: how far the two may differ.
        raise_exception: raise :class:`GradcheckError` on failure rather than return False.

    Raises:
        ValueError: no input requires grad, or one is not in double precision.

    Example:
        >>> x = lucid.tensor([0.5, 1.5], dtype=lucid.float64, requires_grad=True)
        >>> lucid.autograd.gradcheck(lucid.exp, x)
        True
    """
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [(i, x) for i, x in enumerate(tensors) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: at least one input must require grad")
    for i, x in checked:
        if x.dtype.name not in ("float64", "complex128"):
            raise ValueError(
                f"gradcheck: inputs[{i}] must be float64 or complex128, since the differences of "
                f"other dtypes are too coarse; got {x.dtype}"
            )
    with enable_grad():
        outputs = _tuple(func(*tensors))
    for j, y in enumerate(outputs):
        if not y.requires_grad:
            continue
        for (i, x), numerical in zip(
            checked, _numerical(func, tensors, [x for _, x in checked], j, eps), strict=True
        ):
            analytical = _analytical(y, x)
            if analytical.size and not np.allclose(
                analytical, numerical, rtol, atol, equal_nan=True
            ):
                if not raise_exception:
                    return False
                worst = np.nanargmax(np.abs(analytical - numerical))
                at = np.unravel_index(worst, analytical.shape)
                raise GradcheckError(
                    f"gradcheck: the gradient of output {j} with respect to input {i} is wrong; "
                    f"the largest difference is at {tuple(map(int, at))} of (input element, output "
                    f"element): analytical {analytical[at]}, numerical {numerical[at]}\n"
                    f"analytical:\n{analytical}\nnumerical:\n{numerical}"
                )
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """:func:`gradcheck` of the gradients of ``func``: of its second derivatives.

    Args:
        grad_outputs: the gradients of the outputs; random ones by default.
        func, inputs, eps, atol, rtol, raise_exception: as for :func:`gradcheck`.
    """
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    moving = [i for i, x in enumerate(tensors) if isinstance(x, Tensor) and x.requires_grad]
    with enable_grad():
        outputs = [y for y in _tuple(func(*tensors)) if y.requires_grad]
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        grad_outputs = []
        for y in outputs:
            values = np.asarray(rng.standard_normal(y.shape)).astype(y.dtype)
            if y.dtype.kind == "c":
                values = values + 1j * rng.standard_normal(y.shape)
            grad_outputs.append(wrap(np.asarray(values)).requires_grad_())

    def gradients(*free: Tensor) -> tuple[Tensor, ...]:
        full = list(tensors)
        for i, x in zip(moving, free, strict=False):
            full[i] = x
        with enable_grad():
            # Through a copy, so that an input that is used as it is has a node of its own.
            full = [x.clone() if i in moving else x for i, x in enumerate(full)]
            ends = [y for y in _tuple(func(*full)) if y.requires_grad]
            found = grad(
                ends, [full[i] for i in moving], list(free[len(moving) :]), create_graph=True,
                allow_unused=True, materialize_grads=True,
            )  # fmt: skip
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(
        gradients, [*(tensors[i] for i in moving), *grad_outputs],
        eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
    )  # fmt: skip


def _tuple(result: Any) -> tuple[Tensor, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _analytical(y: Tensor, x: Tensor) -> np.ndarray:
    """The Jacobian's transpose, ``(x.size, y.size)`` (complex: two columns per output element)."""
    columns = []
    for j in range(y._data.size):
        for unit in (1.0, 1j) if y.dtype.kind == "c" else (1.0,):
            one = np.zeros(y.shape, y.dtype)
            one.reshape(-1)[j] = unit
            (g,) = grad(
                y, x, wrap(one), retain_graph=True, allow_unused=True, materialize_grads=True
            )
            assert g is not None
            columns.append(g._data.reshape(-1).copy())
    return np.stack(columns, 1) if columns else np.zeros((x._data.size, 0))


def _numerical(
    func: Callable[..., Any], tensors: list[Any], inputs: list[Tensor], j: int, eps: float
) -> list[np.ndarray]:
    """The same from central differences, for every input."""
    jacobians = []
    for x in inputs:
        original = x._data
        rows = []
        try:
            for i in range(original.size):
                row: Any = 0.0
                for unit in (1.0, 1j) if original.dtype.kind == "c" else (1.0,):
                    ends = []
                    for step in (eps * unit, -eps * unit):
                        moved = original.copy(order="C")
                        moved.reshape(-1)[i] += step
                        x._data = moved
                        with enable_grad():  # func may itself differentiate
                            ends.append(_tuple(func(*tensors))[j]._data.reshape(-1))
                    slope = (ends[0] - ends[1]) / (2 * eps)
                    if slope.dtype.kind == "c":
                        slope = np.stack([slope.real, slope.imag], 1).reshape(-1)
                    row = row + unit * slope
                rows.append(row)
        finally:
            x._data = original
        jacobians.append(np.array(rows).reshape(original.size, rows[0].size if rows else 0))
    return jacobians
