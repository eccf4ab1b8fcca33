"""Averaged stochastic gradient descent."""

from __future__ import annotations

import math
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


class ASGD(Optimizer):
    r"""Stochastic gradient descent that also averages the parameters.

    The average :math:`\bar\theta` is ``state[param]["ax"]``.

    .. math::
        \eta_t &= \gamma \,/\, (1 + \lambda_d \gamma t)^\alpha, \qquad
        \mu_t = 1 / \max(1, t - t_0) \\
        \theta_t &= (1 - \lambda_d\,\eta_{t-1})\,\theta_{t-1} - \eta_{t-1}\, g_t \\
        \bar\theta_t &= \bar\theta_{t-1} + \mu_{t-1}\,(\theta_t - \bar\theta_{t-1})

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        lambd: the decay :math:`\lambda_d`.
        alpha: the power :math:`\alpha` of the decay of the learning rate.
        t0: the step at which averaging begins.
        weight_decay: the strength :math:`\lambda` of the penalty :math:`\lambda\|\theta\|^2/2`.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.ASGD([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.95, 2.3]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        for name in ("lr", "weight_decay"):
            check_number("ASGD", name, group[name])
        for name in ("lambd", "alpha", "t0"):
            check_number("ASGD", name, group[name], minimum=-math.inf)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {
            "step": scalar(),
            "eta": scalar(float(group["lr"])),
            "mu": scalar(1.0),
            "ax": zeros(param),
        }

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        kernels.asgd(
            params,
            grads,
            arrays(states, "ax"),
            arrays(states, "eta"),
            arrays(states, "mu"),
            arrays(states, "step"),
            group["lr"],
            group["lambd"],
            group["alpha"],
            group["t0"],
            group["weight_decay"],
            group["maximize"],
            grad_scale,
        )
