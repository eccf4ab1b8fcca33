r"""Schedules: how the learning rate changes during training.

A scheduler writes ``group["lr"]`` of its optimizer: the first value when it is made, the next one
at each :meth:`~LRScheduler.step`, which comes after the optimizer's own. :math:`t` counts the
steps (``last_epoch``), and :math:`\gamma_0` is the learning rate the optimizer was made with.

Most schedules multiply the rate that is there (:class:`Multiplying`), so that several can act on
one optimizer; the others set it from :math:`\gamma_0`.
"""

from __future__ import annotations

import math
import types
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsFloat

from lucid.optim.optimizer import Optimizer, check_number

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


def _check_optimizer(scheduler: object, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{type(scheduler).__name__}: optimizer must be an Optimizer; "
            f"got {type(optimizer).__name__}"
        )


def _check_count(scheduler: object, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{type(scheduler).__name__}: {name} must be an int of at least 1; got {value!r}"
        )


def _check_share(scheduler: object, name: str, value: Any) -> None:
    check_number(type(scheduler).__name__, name, value)
    if value > 1:
        raise ValueError(f"{type(scheduler).__name__}: {name} must be at most 1; got {value!r}")


def _check_choice(scheduler: object, name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"{type(scheduler).__name__}: {name} must be one of {choices}; got {value!r}"
        )


def _for_each_group(scheduler: object, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for all parameter groups, or a list with one for each."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{type(scheduler).__name__}: {name} must have {count} entries, one for each "
            f"parameter group; got {len(value)}"
        )
    return list(value)


def _saved(value: Any) -> Any:
    """What ``state_dict`` holds of an attribute: of a function nothing, of an object its dict."""
    if isinstance(value, LRScheduler):
        return value.state_dict()
    if isinstance(value, list):
        return [_saved(item) for item in value]
    if callable(value):
        plain = isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType))
        return None if plain else dict(vars(value))
    return value


def _loaded(current: Any, value: Any) -> Any:
    """The attribute that ``_saved`` gave ``value`` for, now being ``current``."""
    if isinstance(current, LRScheduler):
        current.load_state_dict(value)
        return current
    if isinstance(current, list) and len(current) == len(value):
        return [_loaded(now, item) for now, item in zip(current, value, strict=True)]
    if callable(current):
        if value is not None:
            vars(current).update(value)
        return current
    return value


class LRScheduler:
    """The base of all schedules; a subclass defines :meth:`get_lr`.

    Args:
        optimizer: whose learning rates to set.
        last_epoch: -1 to start; to go on with an optimizer whose state was loaded, the number of
            the last step done.

    Attributes:
        last_epoch: how many steps were taken.
        base_lrs: the learning rate that each group was made with.

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: ``last_epoch`` is given and a group has no ``"initial_lr"``.
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        _check_optimizer(self, optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: param_groups[{i}] must have an 'initial_lr' to go on "
                    f"from last_epoch={last_epoch}; load the optimizer's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self._begin()

    def get_lr(self) -> list[float]:
        """The learning rate of each group at step ``last_epoch``, given the ones that are set."""
        raise NotImplementedError(f"{type(self).__name__}: get_lr is not implemented")

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that the last step set."""
        return list(self._last_lr)

    def step(self) -> None:
        """Goes on to the next learning rates; call it after the optimizer's ``step()``."""
        if self._step_count == 1 and not self.optimizer._stepped:
            warnings.warn(
                f"{type(self).__name__}: scheduler.step() was called before optimizer.step(); "
                "the first learning rate is skipped",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self._advance()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions; of objects that can be called, their dict."""
        return {key: _saved(value) for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave."""
        if "last_epoch" not in state_dict and "_schedulers" not in state_dict:
            raise ValueError(
                f"{type(self).__name__}: load_state_dict: 'last_epoch' is missing; "
                f"got the keys {list(state_dict)}"
            )
        for key, value in state_dict.items():
            setattr(self, key, _loaded(getattr(self, key, None), value))

    def _begin(self) -> None:
        """The first learning rates."""
        self._step_count = 1
        self._is_initial = True
        self._advance()
        del self._is_initial

    def _restart(self) -> None:
        """Back to the beginning, at the learning rates the optimizer was made with."""
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr
        self.last_epoch = -1
        self._begin()

    def _advance(self) -> None:
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class Multiplying(LRScheduler):
    """A schedule that multiplies the current learning rates by :meth:`multiplier`."""

    def multiplier(self) -> float:
        """By what to multiply at step ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__}: multiplier is not implemented")

    def get_lr(self) -> list[float]:
        multiplier = self.multiplier()
        return [group["lr"] * multiplier for group in self.optimizer.param_groups]


class LambdaLR(LRScheduler):
    r"""Any function of the step: :math:`\gamma_t = \gamma_0 f(t)`.

    Args:
        optimizer: whose learning rates to set.
        lr_lambda: :math:`f`, or a list with one for each group.
        last_epoch: see :class:`LRScheduler`.

    Example:
        >>> from lucid.optim import SGD
        >>> optimizer = lucid.optim.SGD([lucid.Tensor([1.0], requires_grad=True)], lr=0.1)
        >>> scheduler = lucid.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t)
        >>> optimizer.step(); scheduler.step()
        >>> scheduler.get_last_lr()
        [0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer(self, optimizer)
        self.lr_lambdas = _for_each_group(self, "lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"{type(self).__name__}: lr_lambda must be a function or a list of functions; "
                    f"got {type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [
            lr * function(self.last_epoch)
            for lr, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]


class MultiplicativeLR(LambdaLR):
    r"""A factor for each step: :math:`\gamma_t = f(t)\,\gamma_{t-1}`.

    Args:
        optimizer: whose learning rates to set.
        lr_lambda: :math:`f`, or a list with one for each group.
        last_epoch: see :class:`LRScheduler`.
    """

    def get_lr(self) -> list[float]:
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return lrs
        return [
            lr * function(self.last_epoch)
            for lr, function in zip(lrs, self.lr_lambdas, strict=True)
        ]


class StepLR(Multiplying):
    r"""Drops at equal distances: :math:`\gamma_t = \gamma_0\, g^{\lfloor t / s \rfloor}`.

    Args:
        optimizer: whose learning rates to set.
        step_size: the distance :math:`s`.
        gamma: the factor :math:`g`.
        last_epoch: see :class:`LRScheduler`.

    Example:
        >>> from lucid.optim import SGD
        >>> optimizer = lucid.optim.SGD([lucid.Tensor([1.0], requires_grad=True)], lr=1.0)
        >>> scheduler = lucid.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates += scheduler.get_last_lr()
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        _check_count(self, "step_size", step_size)
        check_number("StepLR", "gamma", gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def multiplier(self) -> float:
        return self.gamma if self.last_epoch and self.last_epoch % self.step_size == 0 else 1.0


class MultiStepLR(Multiplying):
    r"""Drops by a factor at each milestone.

    Args:
        optimizer: whose learning rates to set.
        milestones: the steps at which to multiply; one that is there twice counts twice.
        gamma: the factor.
        last_epoch: see :class:`LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        check_number("MultiStepLR", "gamma", gamma)
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def multiplier(self) -> float:
        return self.gamma ** self.milestones[self.last_epoch]


class ConstantLR(Multiplying):
    """A smaller rate for the first steps, the whole one after them.

    Args:
        optimizer: whose learning rates to set.
        factor: the share of the whole, above 0 and at most 1.
        total_iters: for how many steps.
        last_epoch: see :class:`LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        _check_share(self, "factor", factor)
        if factor == 0:
            raise ValueError("ConstantLR: factor must be above 0: from 0 there is no way back")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def multiplier(self) -> float:
        if self.last_epoch == 0:
            return self.factor
        return 1.0 / self.factor if self.last_epoch == self.total_iters else 1.0


class LinearLR(Multiplying):
    r"""Changes in equal amounts: the linear warm-up.

    .. math::
        \gamma_t = \gamma_0 \left(a + (b - a)\,\frac{\min(t, T)}{T}\right)

    Args:
        optimizer: whose learning rates to set.
        start_factor: the share :math:`a` at the beginning, above 0 and at most 1.
        end_factor: the share :math:`b` at the end, at most 1.
        total_iters: the number of steps :math:`T`.
        last_epoch: see :class:`LRScheduler`.

    Example:
        >>> from lucid.optim import SGD
        >>> optimizer = lucid.optim.SGD([lucid.Tensor([1.0], requires_grad=True)], lr=0.8)
        >>> warm_up = lucid.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
        >>> for epoch in range(3):
        ...     optimizer.step()
        ...     warm_up.step()
        >>> round(optimizer.param_groups[0]["lr"], 6)
        0.8
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        _check_share(self, "start_factor", start_factor)
        _check_share(self, "end_factor", end_factor)
        if start_factor == 0:
            raise ValueError("LinearLR: start_factor must be above 0: from 0 there is no way up")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def multiplier(self) -> float:
        if self.last_epoch == 0:
            return self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        slope = self.end_factor - self.start_factor
        return 1.0 + slope / (self.total_iters * self.start_factor + (self.last_epoch - 1) * slope)


class ExponentialLR(Multiplying):
    r"""Decays at every step: :math:`\gamma_t = \gamma_0\, g^t`.

    Args:
        optimizer: whose learning rates to set.
        gamma: the factor :math:`g`.
        last_epoch: see :class:`LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        check_number("ExponentialLR", "gamma", gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def multiplier(self) -> float:
        return 1.0 if self._is_initial else self.gamma


class PolynomialLR(Multiplying):
    r"""Falls to 0 along a power: :math:`\gamma_t = \gamma_0 \left(1 - \min(t, T) / T\right)^p`.

    Args:
        optimizer: whose learning rates to set.
        total_iters: the number of steps :math:`T`.
        power: :math:`p`; 1 is a straight line.
        last_epoch: see :class:`LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        check_number("PolynomialLR", "power", power)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def multiplier(self) -> float:
        left = self.total_iters - self.last_epoch
        if self._is_initial or left < 0:
            return 1.0
        return math.pow(left / (left + 1), self.power)


class CosineAnnealingLR(LRScheduler):
    r"""Half a period of the cosine, down to a smallest rate.

    .. math::
        \gamma_t = \gamma_{\min}
            + \tfrac12 (\gamma_0 - \gamma_{\min}) \left(1 + \cos(\pi t / T)\right)

    It works on the rate that is there, so another schedule may act on it too; after :math:`T`
    steps it goes up again.

    Args:
        optimizer: whose learning rates to set.
        T_max: the number of steps :math:`T`.
        eta_min: :math:`\gamma_{\min}`.
        last_epoch: see :class:`LRScheduler`.

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        _check_count(self, "T_max", T_max)
        check_number("CosineAnnealingLR", "eta_min", eta_min)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return lrs
        t, period = self.last_epoch, self.T_max
        if (t - 1 - period) % (2 * period) == 0:  # away from the minimum, where a ratio is 0 / 0
            rise = (1 - math.cos(math.pi / period)) / 2
            return [
                lr + (base - self.eta_min) * rise
                for lr, base in zip(lrs, self.base_lrs, strict=True)
            ]
        ratio = (1 + math.cos(math.pi * t / period)) / (1 + math.cos(math.pi * (t - 1) / period))
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""Half a cosine from :math:`\gamma_0` down, again and again.

    .. math::
        \gamma_t = \gamma_{\min}
            + \tfrac12 (\gamma_0 - \gamma_{\min}) \left(1 + \cos(\pi\, T_{cur} / T_i)\right)

    with :math:`T_{cur}` steps since the last restart and :math:`T_i` until the next one.

    Args:
        optimizer: whose learning rates to set.
        T_0: the steps until the first restart.
        T_mult: by what each period is longer than the one before.
        eta_min: :math:`\gamma_{\min}`.
        last_epoch: see :class:`LRScheduler`.

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        _check_count(self, "T_0", T_0)
        _check_count(self, "T_mult", T_mult)
        check_number("CosineAnnealingWarmRestarts", "eta_min", eta_min)
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Goes on by one step, or to ``epoch``, which may be a fraction of one."""
        if epoch is None:
            super().step()
            return
        check_number("CosineAnnealingWarmRestarts", "epoch", epoch)
        self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _advance(self) -> None:
        self._place(self.last_epoch + 1)
        super()._advance()

    def _place(self, epoch: float) -> None:
        """Finds the period that ``epoch`` is in, and the place in it."""
        self.T_cur, self.T_i = epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (lr - self.eta_min) * share for lr in self.base_lrs]


class _CyclesMomentum(LRScheduler):
    """What OneCycleLR and CyclicLR share: the momentum goes down where the rate goes up."""

    cycle_momentum: bool
    use_beta1: bool

    def _begin_momentum(
        self, optimizer: Optimizer, cycle_momentum: bool, base: Any, largest: Any, first: bool
    ) -> None:
        self.cycle_momentum = cycle_momentum
        if not cycle_momentum:
            return
        self.use_beta1 = "betas" in optimizer.defaults
        if not self.use_beta1 and "momentum" not in optimizer.defaults:
            raise ValueError(
                f"{type(self).__name__}: cycle_momentum=True needs an optimizer with momentum or "
                f"betas; got {type(optimizer).__name__}"
            )
        bases = _for_each_group(self, "base_momentum", base, optimizer)
        largests = _for_each_group(self, "max_momentum", largest, optimizer)
        if first:
            for group, low, high in zip(optimizer.param_groups, bases, largests, strict=True):
                group["base_momentum"], group["max_momentum"] = low, high
                self._set_momentum(group, high)

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_CyclesMomentum):
    r"""Up and down between two rates, in straight lines.

    With :math:`c = \lfloor 1 + t / s \rfloor` the number of the cycle and :math:`h_t` the height,
    0 to 1 and back, :math:`\gamma_t = \gamma_{base} + (\gamma_{\max} - \gamma_{base})\, h_t\, f`,
    where :math:`f` is 1 (``"triangular"``), :math:`2^{1-c}` (``"triangular2"``),
    :math:`g^t` (``"exp_range"``) or ``scale_fn``.

    Args:
        optimizer: whose learning rates to set.
        base_lr: the lowest rate, or one for each group.
        max_lr: the highest rate, or one for each group.
        step_size_up: the steps up.
        step_size_down: the steps down; as many as up if ``None``.
        mode: one of the three names above.
        gamma: :math:`g`.
        scale_fn: a function in place of ``mode``.
        scale_mode: whether ``scale_fn`` gets the number of the ``"cycle"`` or of the step
            (``"iterations"``).
        cycle_momentum: move the momentum (or :math:`\beta_1`) the other way.
        base_momentum: the lowest momentum, or one for each group.
        max_momentum: the highest momentum, or one for each group.
        last_epoch: see :class:`LRScheduler`.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer(self, optimizer)
        if scale_fn is None:
            _check_choice(self, "mode", mode, ("triangular", "triangular2", "exp_range"))
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        _check_choice(self, "scale_mode", scale_mode, ("cycle", "iterations"))
        bases = _for_each_group(self, "base_lr", base_lr, optimizer)
        self.max_lrs = _for_each_group(self, "max_lr", max_lr, optimizer)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self.scale_mode = scale_mode
        self._scale_fn_custom = scale_fn
        first = last_epoch == -1
        self._begin_momentum(optimizer, cycle_momentum, base_momentum, max_momentum, first)
        if first:
            for group, lr in zip(optimizer.param_groups, bases, strict=True):
                group["lr"] = lr
        super().__init__(optimizer, last_epoch)
        self.base_lrs = bases
        self._set(self.get_lr())

    def scale_fn(self, x: float) -> float:
        """The factor for the height of the cycle or step ``x``."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return math.pow(2.0, 1 - x)
        return math.pow(self.gamma, x) if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle
        ratio = self.step_ratio
        height = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                low, high = group["base_momentum"], group["max_momentum"]
                self._set_momentum(group, high - (high - low) * height)
        return [
            low + (high - low) * height
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]


class OneCycleLR(_CyclesMomentum):
    r"""One rise to the largest rate and one long descent, for a run of known length.

    The rate begins at ``max_lr / div_factor``, reaches ``max_lr`` after ``pct_start`` of the
    steps, and ends at ``max_lr / (div_factor * final_div_factor)``; the momentum goes the other
    way.

    Args:
        optimizer: whose learning rates to set.
        max_lr: the largest rate, or one for each group.
        total_steps: the length of the run; or
        epochs, steps_per_epoch: two factors of it.
        pct_start: the share of the steps that rise.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: move the momentum (or :math:`\beta_1`) the other way.
        base_momentum: the lowest momentum, or one for each group.
        max_momentum: the highest momentum, or one for each group.
        div_factor: see above.
        final_div_factor: see above.
        three_phase: come down to the first rate in as many steps as it took to rise, and only
            then to the last one.
        last_epoch: see :class:`LRScheduler`.

    Source: Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer(self, optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "OneCycleLR: either total_steps or both epochs and steps_per_epoch must be "
                    f"given; got total_steps=None, epochs={epochs}, "
                    f"steps_per_epoch={steps_per_epoch}"
                )
            _check_count(self, "epochs", epochs)
            _check_count(self, "steps_per_epoch", steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        _check_count(self, "total_steps", total_steps)
        _check_share(self, "pct_start", pct_start)
        _check_choice(self, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        # (last step, rate and momentum at the beginning, at the end), keys of the group
        rise = ("initial_lr", "max_momentum", "max_lr", "base_momentum")
        peak = float(pct_start * total_steps) - 1
        self._phases: list[tuple[Any, ...]] = [(peak, *rise)]
        if three_phase:
            back = ("max_lr", "base_momentum", "initial_lr", "max_momentum")
            self._phases.append((2 * peak, *back))
            last = ("initial_lr", "max_momentum", "min_lr", "max_momentum")
        else:
            last = ("max_lr", "base_momentum", "min_lr", "max_momentum")
        self._phases.append((total_steps - 1, *last))

        first = last_epoch == -1
        largest = _for_each_group(self, "max_lr", max_lr, optimizer)
        self._begin_momentum(optimizer, cycle_momentum, base_momentum, max_momentum, first)
        if first:
            for group, lr in zip(optimizer.param_groups, largest, strict=True):
                group["max_lr"] = lr
                group["initial_lr"] = lr / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
        return start + (end - start) * share

    def get_lr(self) -> list[float]:
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(
                f"OneCycleLR: the schedule has {self.total_steps} steps; this is step {t}"
            )
        begin = 0.0
        for phase in self._phases:
            end, lr, momentum, next_lr, next_momentum = phase
            if t <= end:
                break
            begin = end
        else:
            begin = self._phases[-2][0]
        share = (t - begin) / (end - begin)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                value = self._anneal(group[momentum], group[next_momentum], share)
                self._set_momentum(group, value)
        return [
            self._anneal(group[lr], group[next_lr], share) for group in self.optimizer.param_groups
        ]


class _Composed(LRScheduler):
    """A schedule made of others, which must belong to one optimizer."""

    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer | None, schedulers: Iterable[LRScheduler]) -> None:
        name = type(self).__name__
        self._schedulers = list(schedulers)
        if not self._schedulers:
            raise ValueError(f"{name}: schedulers must hold at least one; got none")
        for i, scheduler in enumerate(self._schedulers):
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                raise TypeError(
                    f"{name}: schedulers[{i}] must be a scheduler whose step() takes no metric; "
                    f"got {type(scheduler).__name__}"
                )
        self.optimizer = self._schedulers[0].optimizer if optimizer is None else optimizer
        for i, scheduler in enumerate(self._schedulers):
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(f"{name}: schedulers[{i}] belongs to another optimizer")
        self.base_lrs = self._schedulers[0].base_lrs


class SequentialLR(_Composed):
    """One schedule after the other.

    Args:
        optimizer: whose learning rates to set.
        schedulers: the schedules, all of them of ``optimizer``.
        milestones: the steps at which the next one begins: one fewer than schedules.

    Example:
        >>> from lucid.optim import SGD
        >>> optimizer = lucid.optim.SGD([lucid.Tensor([1.0], requires_grad=True)], lr=0.1)
        >>> warm_up = lucid.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=2)
        >>> decay = lucid.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
        >>> scheduler = lucid.optim.lr_scheduler.SequentialLR(
        ...     optimizer, [warm_up, decay], milestones=[2]
        ... )
        >>> [round(lr, 6) for lr in scheduler.get_last_lr()]
        [0.01]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Iterable[LRScheduler],
        milestones: Sequence[int],
    ) -> None:
        _check_optimizer(self, optimizer)
        self._take(optimizer, schedulers)
        if len(milestones) != len(self._schedulers) - 1:
            raise ValueError(
                f"SequentialLR: milestones must have {len(self._schedulers) - 1} entries, one "
                f"fewer than schedulers; got {len(milestones)}"
            )
        self._milestones = list(milestones)
        self._restart()

    def _begin(self) -> None:
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.last_epoch = -1
        first._begin()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Goes on to the next learning rates; call it after the optimizer's ``step()``."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index and self._milestones[index - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composed):
    """Several schedules at once, each acting on the rate that the others left.

    Args:
        schedulers: the schedules, of one optimizer.
        optimizer: theirs, if it is to be checked.
    """

    def __init__(
        self, schedulers: Iterable[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(optimizer, schedulers)
        self._note()

    def _note(self) -> None:
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _begin(self) -> None:
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1
            scheduler._begin()
        self._note()

    def step(self) -> None:
        """Goes on to the next learning rates; call it after the optimizer's ``step()``."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._note()


class ReduceLROnPlateau(LRScheduler):
    """Drops when a metric has stopped improving.

    Args:
        optimizer: whose learning rates to set.
        mode: ``"min"`` if smaller is better, or ``"max"``.
        factor: by what to multiply, below 1.
        patience: how many steps without improvement to put up with.
        threshold: what counts as an improvement.
        threshold_mode: whether ``threshold`` is a share of the best value (``"rel"``) or a
            distance from it (``"abs"``).
        cooldown: how many steps to wait after a drop.
        min_lr: the smallest rate, or one for each group.
        eps: a drop by no more than this is not made.

    Example:
        >>> from lucid.optim import SGD
        >>> optimizer = lucid.optim.SGD([lucid.Tensor([1.0], requires_grad=True)], lr=1.0)
        >>> scheduler = lucid.optim.lr_scheduler.ReduceLROnPlateau(
        ...     optimizer, factor=0.5, patience=1
        ... )
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     scheduler.step(loss)
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        _check_optimizer(self, optimizer)
        check_number("ReduceLROnPlateau", "factor", factor, below=1.0)
        _check_choice(self, "mode", mode, ("min", "max"))
        _check_choice(self, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        _for_each_group(self, "min_lr", min_lr, optimizer)
        self.min_lr = min_lr
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    @property
    def in_cooldown(self) -> bool:
        """Whether the scheduler is waiting after a drop."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Takes note of the metric, and drops the learning rates if it is time."""
        value = float(metrics)
        self.last_epoch += 1
        if self._improves(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        if self.num_bad_epochs > self.patience:
            lowest = _for_each_group(self, "min_lr", self.min_lr, self.optimizer)
            smaller = [max(lr * self.factor, low) for lr, low in zip(lrs, lowest, strict=True)]
            lrs = [new if lr - new > self.eps else lr for lr, new in zip(lrs, smaller, strict=True)]
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._set(lrs)

    def _improves(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * value < sign * self.best * (1 - sign * self.threshold)
        return sign * value < sign * self.best - self.threshold
