"""Lion."""

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
    zeros,
)


class Lion(Optimizer):
    r"""Evolved sign momentum: steps of one size, half of the memory of Adam.

    .. math::
        \theta_t &= (1 - \gamma\lambda)\,\theta_{t-1}
            - \gamma \operatorname{sign}\!\left(\beta_1 m_{t-1} + (1 - \beta_1)\, g_t\right) \\
        m_t &= \beta_2 m_{t-1} + (1 - \beta_2)\, g_t

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        betas: the weights :math:`\beta_1, \beta_2` of the past.
        weight_decay: :math:`\lambda`, decoupled.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.Lion([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.9, 2.1]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        check_number("Lion", "lr", group["lr"])
        check_number("Lion", "weight_decay", group["weight_decay"])
        check_pair("Lion", "betas", group["betas"], below=1)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"exp_avg": zeros(param)}

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.lion(
            params,
            grads,
            arrays(states, "exp_avg"),
            group["lr"],
            beta1,
            beta2,
            group["weight_decay"],
            group["maximize"],
            grad_scale,
        )
