"""Adam and its variants."""

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
    scalar,
    zeros,
)


class Adam(Optimizer):
    r"""Adaptive moment estimation.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        \theta_t &= \theta_{t-1} - \gamma\,\frac{m_t / (1 - \beta_1^t)}
            {\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        betas: the decay rates :math:`\beta_1, \beta_2` of the averages.
        eps: the :math:`\epsilon` that keeps the denominator away from 0.
        weight_decay: the strength :math:`\lambda` of the penalty :math:`\lambda\|\theta\|^2/2`.
        amsgrad: use the largest :math:`v_t` so far.
        maximize: go up instead of down.
        decoupled_weight_decay: shrink the parameter by :math:`1 - \gamma\lambda` instead, as
            AdamW does.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach, fused: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015; AMSGrad: Reddi, Kale
    & Kumar, "On the Convergence of Adam and Beyond", 2018.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.Adam([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.9, 2.1]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        caller = type(self).__name__
        for name in ("lr", "eps", "weight_decay"):
            check_number(caller, name, group[name])
        check_pair(caller, "betas", group["betas"], below=1)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        state = {"step": scalar(), "exp_avg": zeros(param), "exp_avg_sq": zeros(param)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros(param)
        return state

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.adam(
            params,
            grads,
            arrays(states, "exp_avg"),
            arrays(states, "exp_avg_sq"),
            arrays(states, "max_exp_avg_sq") if group["amsgrad"] else None,
            arrays(states, "step"),
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
            grad_scale,
        )


class AdamW(Adam):
    r"""Adam with weight decay that bypasses the averages.

    :math:`m_t` and :math:`v_t` as in :class:`Adam`.

    .. math::
        \theta_t = (1 - \gamma\lambda)\,\theta_{t-1} - \gamma\,\frac{m_t / (1 - \beta_1^t)}
            {\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        betas: the decay rates :math:`\beta_1, \beta_2` of the averages.
        eps: the :math:`\epsilon` that keeps the denominator away from 0.
        weight_decay: :math:`\lambda`.
        amsgrad: use the largest :math:`v_t` so far.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach, fused: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.AdamW([weight], lr=0.1, weight_decay=0.5)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.85, 2.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
            max_grad_norm=max_grad_norm,
        )

    def validate(self, group: Group) -> None:
        super().validate(group)
        group["decoupled_weight_decay"] = True  # whatever a state that was loaded says


class Adamax(Optimizer):
    r"""Adam in the infinity norm.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad
        u_t = \max(\beta_2 u_{t-1}, |g_t| + \epsilon) \\
        \theta_t &= \theta_{t-1} - \frac{\gamma}{1 - \beta_1^t}\,\frac{m_t}{u_t}

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        betas: the decay rates :math:`\beta_1, \beta_2` of the averages.
        eps: the :math:`\epsilon` that keeps :math:`u_t` away from 0.
        weight_decay: the strength :math:`\lambda` of the penalty :math:`\lambda\|\theta\|^2/2`.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.Adamax([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.9, 2.1]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        caller = type(self).__name__
        for name in ("lr", "eps", "weight_decay"):
            check_number(caller, name, group[name])
        check_pair(caller, "betas", group["betas"], below=1)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"step": scalar(), "exp_avg": zeros(param), "exp_inf": zeros(param)}

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.adamax(
            params,
            grads,
            arrays(states, "exp_avg"),
            arrays(states, "exp_inf"),
            arrays(states, "step"),
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["maximize"],
            grad_scale,
        )


class NAdam(Optimizer):
    r"""Adam with Nesterov momentum.

    :math:`m_t` and :math:`v_t` as in :class:`Adam`.

    .. math::
        \mu_t &= \beta_1 \left(1 - \tfrac12\, 0.96^{t\psi}\right) \\
        \theta_t &= \theta_{t-1} - \gamma\left(
            \frac{\mu_{t+1}\, m_t}{1 - \prod_{i \le t+1}\mu_i}
            + \frac{(1 - \mu_t)\, g_t}{1 - \prod_{i \le t}\mu_i}\right)
            \bigg/ \left(\sqrt{v_t / (1 - \beta_2^t)} + \epsilon\right)

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        betas: the decay rates :math:`\beta_1, \beta_2` of the averages.
        eps: the :math:`\epsilon` that keeps the denominator away from 0.
        weight_decay: the strength :math:`\lambda` of the penalty :math:`\lambda\|\theta\|^2/2`.
        momentum_decay: how fast the momentum warms up, :math:`\psi`.
        decoupled_weight_decay: shrink the parameter by :math:`1 - \gamma\lambda` instead, as
            AdamW does.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.NAdam([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.894, 2.106]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        caller = type(self).__name__
        for name in ("lr", "eps", "weight_decay", "momentum_decay"):
            check_number(caller, name, group[name])
        check_pair(caller, "betas", group["betas"], below=1)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {
            "step": scalar(),
            "mu_product": scalar(1.0),
            "exp_avg": zeros(param),
            "exp_avg_sq": zeros(param),
        }

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.nadam(
            params,
            grads,
            arrays(states, "exp_avg"),
            arrays(states, "exp_avg_sq"),
            arrays(states, "mu_product"),
            arrays(states, "step"),
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["momentum_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
            grad_scale,
        )


class RAdam(Optimizer):
    r"""Adam that waits until its variance can be trusted.

    :math:`m_t` and :math:`v_t` as in :class:`Adam`.

    .. math::
        \rho_\infty &= \frac{2}{1 - \beta_2} - 1, \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t} \\
        r_t &= \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\,\rho_\infty}
            {(\rho_\infty - 4)(\rho_\infty - 2)\,\rho_t}} \\
        \theta_t &= \theta_{t-1} - \frac{\gamma\, m_t}{1 - \beta_1^t} \cdot
            \begin{cases} r_t \sqrt{1 - \beta_2^t} / (\sqrt{v_t} + \epsilon) & \rho_t > 5 \\
            1 & \text{otherwise} \end{cases}

    Args:
        params: tensors, ``(name, tensor)`` pairs or dicts of options: see :class:`Optimizer`.
        lr: the learning rate :math:`\gamma`.
        betas: the decay rates :math:`\beta_1, \beta_2` of the averages.
        eps: the :math:`\epsilon` that keeps the denominator away from 0.
        weight_decay: the strength :math:`\lambda` of the penalty :math:`\lambda\|\theta\|^2/2`.
        decoupled_weight_decay: shrink the parameter by :math:`1 - \gamma\lambda` instead, as
            AdamW does.
        maximize: go up instead of down.
        max_grad_norm: clip the gradients to this norm: see :class:`Optimizer`.
        foreach: taken for PyTorch's sake; every update here is fused.

    Raises:
        ValueError: an option is out of range.

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020.

    Example:
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = lucid.optim.RAdam([weight], lr=0.1)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> optimizer.step()
        >>> [round(w, 3) for w in weight.tolist()]
        [0.95, 2.3]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        max_grad_norm: float | None = None,
        foreach: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults, max_grad_norm)

    def validate(self, group: Group) -> None:
        caller = type(self).__name__
        for name in ("lr", "eps", "weight_decay"):
            check_number(caller, name, group[name])
        check_pair(caller, "betas", group["betas"], below=1)

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        return {"step": scalar(), "exp_avg": zeros(param), "exp_avg_sq": zeros(param)}

    def update(
        self, group: Group, params: Arrays, grads: Arrays, states: States, grad_scale: float
    ) -> None:
        beta1, beta2 = group["betas"]
        kernels.radam(
            params,
            grads,
            arrays(states, "exp_avg"),
            arrays(states, "exp_avg_sq"),
            arrays(states, "step"),
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
            grad_scale,
        )
