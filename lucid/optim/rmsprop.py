"""RMSprop."""

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
    scalar,
    zeros,
)


class RMSprop(Optimizer):
    r"""Gradients divided by the running root of their mean square.

    .. math::
        v_t &= \alpha v_{t-1} + (1 - \alpha)\, g_t^2 \\
        b_t &= \mu\, b_{t-1} + g_t \,/\, (\sqrt{v_t} + \epsilon) \\
        \theta_t &= \theta_{t-1} - \gamma\, b_t

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        alpha: the decay rate :math:`\alpha` of the average.
        eps: the :math:`\epsilon` that keeps the denominator away from 0.
        weight_decay: the strength :math:`\lambda` of the penalty :math:`\lambda\|\theta\|^2/2`.
        momentum: :math:`\mu`.
        centered: subtract the square of the mean gradient from :math:`v_t` before the root.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Tieleman & Hinton, "Lecture 6.5: RMSprop", 2012; centered: Graves, "Generating
    Sequences With Recurrent Neural Networks", 2013.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.RMSprop([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.0, 3.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        for name in ("lr", "alpha", "eps", "weight_decay", "momentum"):
            check_number("RMSprop", name, group[name])

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        state = {"step": scalar(), "square_avg": zeros(param)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros(param)
        if group["centered"]:
            state["grad_avg"] = zeros(param)
        return state

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        kernels.rmsprop(
            params,
            grads,
            arrays(states, "square_avg"),
            arrays(states, "grad_avg") if group["centered"] else None,
            arrays(states, "momentum_buffer") if group["momentum"] > 0 else None,
            arrays(states, "step"),
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["maximize"],
            grad_scale,
        )
