"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid._kernels import optimizers as kernels
from lucid.optim.optimizer import Arrays, Group, Optimizer, States, check_number


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum if wanted.

    .. math::
        d_t &= g_t + \lambda\,\theta_{t-1} \\
        b_t &= \mu\, b_{t-1} + (1 - \tau)\, d_t, \qquad b_1 = d_1 \\
        \theta_t &= \theta_{t-1} - \gamma\, b_t
            \quad\text{or, with Nesterov momentum,}\quad
            \theta_{t-1} - \gamma\,(d_t + \mu\, b_t)

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        momentum: :math:`\mu`; 0 remembers nothing.
        dampening: :math:`\tau`, how much less than its whole a gradient adds to the momentum.
        weight_decay: :math:`\lambda`, the strength of the penalty :math:`\lambda\|\theta\|^2/2`.
        nesterov: look ahead by one step of momentum.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach, fused: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range; Nesterov without momentum or with dampening.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning",
    2013.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.SGD([weight], lr=0.5, momentum=0.9)
        >>> weight.grad = lucid.Tensor([1.0, -1.0])
        >>> optimizer.step()
        >>> weight.tolist()
        [0.5, 2.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_number("SGD", name, group[name])
        check_number("SGD", "dampening", group["dampening"], minimum=-float("inf"))
        if group["nesterov"] and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError(
                "SGD: nesterov needs a momentum above 0 and no dampening; got momentum="
                f"{group['momentum']!r} and dampening={group['dampening']!r}"
            )

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"momentum_buffer": None}  # the first step makes it from the gradient

    def update(
        self,
        group: Group,
        params: Arrays,
        grads: Arrays,
        states: States,
        grad_scale: float,
    ) -> None:
        buffers: list[Any] | None = None
        if group["momentum"] != 0:
            kept = [s["momentum_buffer"] for s in states]
            buffers = [None if b is None else b._data for b in kept]
        kernels.sgd(
            params,
            grads,
            buffers,
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
            grad_scale,
        )
        if buffers is not None:
            for state, tensor, array in zip(states, kept, buffers, strict=True):
                if tensor is None:
                    state["momentum_buffer"] = wrap(array)
