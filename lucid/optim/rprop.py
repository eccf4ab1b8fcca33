"""Resilient backpropagation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lucid._core.tensor import Tensor
from lucid._kernels import optimizers as kernels
from lucid.optim.optimizer import (
    Arrays,
    Group,
    Optimizer,
    States,
    arrays,
    check_number,
    check_pair,
    full,
    scalar,
    zeros,
)


class Rprop(Optimizer):
    r"""Resilient backpropagation: a step size for every element, from signs alone.

    Where the sign of the gradient has changed, :math:`g_t` counts as 0. Meant for whole-batch
    gradients.

    .. math::
        s_t &= \operatorname{clip}\!\left(s_{t-1} \cdot
            \begin{cases} \eta^+ & g_t\, g_{t-1} > 0 \\ \eta^- & g_t\, g_{t-1} < 0 \\
            1 & \text{else} \end{cases},\; s_{\min}, s_{\max}\right) \\
        \theta_t &= \theta_{t-1} - \operatorname{sign}(g_t)\, s_t

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the first step size :math:`s_0`.
        etas: the factors :math:`(\eta^-, \eta^+)`.
        step_sizes: the bounds :math:`(s_{\min}, s_{\max})`.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Riedmiller & Braun, "A Direct Adaptive Method for Faster Backpropagation Learning:
    The RPROP Algorithm", 1993.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.Rprop([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.9, 2.1]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        check_number("Rprop", "lr", group["lr"])
        check_pair("Rprop", "etas", group["etas"])
        check_pair("Rprop", "step_sizes", group["step_sizes"])
        if not 0 < group["etas"][0] < 1 < group["etas"][1]:
            raise ValueError(f"Rprop: etas must be on either side of 1; got {group['etas']!r}")

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"step": scalar(), "prev": zeros(param), "step_size": full(param, group["lr"])}

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        etaminus, etaplus = group["etas"]
        smallest, largest = group["step_sizes"]
        kernels.rprop(
            params,
            grads,
            arrays(states, "prev"),
            arrays(states, "step_size"),
            arrays(states, "step"),
            etaminus,
            etaplus,
            smallest,
            largest,
            group["maximize"],
            grad_scale,
        )
