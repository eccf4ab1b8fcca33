"""What every optimizer shares: parameter groups, state, hooks, clipping, ``state_dict``.

An optimizer is two methods: :meth:`Optimizer.init_state`, what to remember for a parameter, and
:meth:`Optimizer.update`, one kernel call over the lists of all parameters of a group.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lucid._core.grad_mode import enable_grad
from lucid._core.tape import Field, RemovableHandle, note_write, note_writes, wrap
from lucid._core.tensor import Tensor, to_array
from lucid._kernels.norms import nonfinite_counts, total_norm
from lucid.nn.utils.grad import CLIP_EPS

_data, _grad = Field("_data"), Field("_grad")

Hook = Callable[..., Any]
Group = dict[str, Any]
Arrays = list[np.ndarray]
States = list[dict[str, Any]]


def check_number(
    caller: str, name: str, value: Any, minimum: float = 0.0, below: float | None = None
) -> None:
    """Raises unless ``value`` is a number, at least ``minimum`` and less than ``below``."""
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if number >= minimum and (below is None or number < below):
        return
    bounds = "" if minimum == -math.inf else f" of at least {minimum:g}"
    bounds += "" if below is None else f" and less than {below:g}"
    kind = ValueError if isinstance(value, (int, float)) else TypeError
    raise kind(f"{caller}: {name} must be a number{bounds}; got {value!r}")


def check_pair(caller: str, name: str, value: Any, below: float | None = None) -> None:
    """Raises unless ``value`` is two numbers, at least 0 and less than ``below``."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{caller}: {name} must be a pair of numbers; got {value!r}")
    for i, number in enumerate(value):
        check_number(caller, f"{name}[{i}]", number, below=below)


def zeros(param: Tensor) -> Tensor:
    """A state of ``param``'s shape and dtype that starts at 0."""
    return wrap(np.zeros_like(param._data))


def full(param: Tensor, value: float) -> Tensor:
    """A state of ``param``'s shape and dtype that starts at ``value``, in both complex parts."""
    array = np.empty_like(param._data)
    array.fill(complex(value, value) if array.dtype.kind == "c" else value)
    return wrap(array)


def scalar(value: float = 0.0) -> Tensor:
    """A 0-d state. In double precision: a step counter must not stop at 2^24."""
    return wrap(np.full((), value))


def arrays(states: States, name: str) -> Arrays:
    """The arrays of one state, in the order of the parameters."""
    return _data.values([state[name] for state in states])


class Optimizer:
    """The base of all optimizers.

    A subclass says with :meth:`init_state` what it remembers for a parameter, and with
    :meth:`update` what a step does to the parameters of a group.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts of such a collection under ``"params"``
            and options that differ from ``defaults``: the parameter groups. A generator will do.
        defaults: the options of groups that do not set them.
        max_grad_norm: before each step, clip the gradients of all groups together to this 2-norm:
            where the norm is larger, the update uses ``max_grad_norm / (norm + 1e-7)`` times the
            gradients. ``.grad`` itself is not written, which saves a pass over memory.

    Attributes:
        param_groups: the groups, dicts of ``"params"`` and options.
        state: by parameter, what the optimizer remembers of it.
        max_grad_norm: the argument; may be set at any time.
        last_grad_norm: the norm of the gradients, before clipping, at the last step that had a
            ``max_grad_norm``; ``None`` before the first.

    Raises:
        TypeError: ``params`` holds something that is no floating-point or complex tensor.
        ValueError: ``params`` is empty, holds a tensor twice or one that is no leaf; an option is
            out of range.

    Example:
        >>> import numpy as np
        >>> class SignDescent(lucid.optim.Optimizer):
        ...     def update(self, group, params, grads, states, grad_scale):
        ...         for param, grad in zip(params, grads):
        ...             param -= group["lr"] * np.sign(grad_scale * grad)
        >>> weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
        >>> weight.grad = lucid.Tensor([0.5, -3.0])
        >>> SignDescent([weight], {"lr": 0.5}).step()
        >>> weight.tolist()
        [0.5, 2.5]
    """

    def __init__(
        self, params: Iterable[Any], defaults: dict[str, Any], max_grad_norm: float | None = None
    ) -> None:
        name = type(self).__name__
        if max_grad_norm is not None:
            check_number(name, "max_grad_norm", max_grad_norm)
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.max_grad_norm = max_grad_norm
        self.last_grad_norm: float | None = None
        self._stepped = False
        self._step_pre_hooks: list[Hook] = []
        self._step_post_hooks: list[Hook] = []
        self._state_dict_pre_hooks: list[Hook] = []
        self._state_dict_post_hooks: list[Hook] = []
        self._load_state_dict_pre_hooks: list[Hook] = []
        self._load_state_dict_post_hooks: list[Hook] = []

        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise TypeError(
                f"{name}: params must be an iterable of tensors, (name, tensor) pairs or dicts; "
                f"got {type(params).__name__}"
            )
        entries = list(params)
        if not entries:
            raise ValueError(f"{name}: params is empty: there is nothing to optimize")
        groups = entries if isinstance(entries[0], dict) else [{"params": entries}]
        for group in groups:
            self.add_param_group(group)

    # ---------------------------------------------------------------- for subclasses

    def validate(self, group: Group) -> None:
        """Raises if an option of ``group`` is out of range."""

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        """What to remember for ``param``, at its first step."""
        return {}

    def update(
        self,
        group: Group,
        params: Arrays,
        grads: Arrays,
        states: States,
        grad_scale: float,
    ) -> None:
        """One step: changes ``params`` and ``states`` in place, for ``grad_scale * grads``."""
        raise NotImplementedError(f"{type(self).__name__}: update is not implemented")

    # ---------------------------------------------------------------- training

    def step(self, closure: Callable[[], Any] | None = None, *, grad_scale: float = 1.0) -> Any:
        """Updates every parameter that has a gradient.

        Args:
            closure: computes the loss anew, with its gradients, and returns it.
            grad_scale: multiplies the gradients inside the update; ``.grad`` is not written.

        Returns:
            What ``closure`` returned.
        """
        for hook in self._step_pre_hooks:
            replaced = hook(self, (closure,), {"grad_scale": grad_scale})
            if replaced is not None:
                (closure,), options = replaced
                grad_scale = options["grad_scale"]
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        work = []
        for group in self.param_groups:
            params = list(group["params"])
            grads = _data.values(_grad.values(params))
            if len(grads) < len(params):
                params = [p for p in params if p._grad is not None]
            if params:
                work.append((group, params, grads))
        if self.max_grad_norm is not None:
            grad_scale = self._clip([g for _, _, grads in work for g in grads], grad_scale)
        state = self.state
        for group, params, grads in work:
            states = [state.get(p) or self._begin(p, group) for p in params]
            self.update(group, _data.values(params), grads, states, grad_scale)
            note_writes(params)
        self._stepped = True
        for hook in self._step_post_hooks:
            hook(self, (closure,), {"grad_scale": grad_scale})
        return loss

    def _begin(self, param: Tensor, group: Group) -> dict[str, Any]:
        state = self.state[param]
        state.update(self.init_state(param, group))
        return state

    def _clip(self, grads: Arrays, grad_scale: float) -> float:
        """Measures the norm of what the update would use, and returns the factor that limits it."""
        assert self.max_grad_norm is not None
        norm, nonfinite = total_norm(grads, 2.0)
        norm *= abs(grad_scale)
        self.last_grad_norm = norm
        if nonfinite:
            self._warn_nonfinite()
            return grad_scale
        limit = float(self.max_grad_norm)
        return grad_scale * (limit / (norm + CLIP_EPS)) if norm > limit else grad_scale

    def _warn_nonfinite(self) -> None:
        found = []
        for index, group in enumerate(self.param_groups):
            names = group.get("param_names")
            with_grad = [(i, p) for i, p in enumerate(group["params"]) if p.grad is not None]
            counts = nonfinite_counts([p._grad._data for _, p in with_grad])
            for (i, _), (nans, infs) in zip(with_grad, counts, strict=True):
                if nans or infs:
                    label = names[i] if names else f"param_groups[{index}]['params'][{i}]"
                    found.append(f"{label} ({nans} NaN, {infs} inf)")
        listed = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        warnings.warn(
            f"{type(self).__name__}: gradients are not finite and were not clipped: {listed}",
            RuntimeWarning,
            stacklevel=4,
        )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or sets them to zero in place."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    if p._grad.requires_grad:
                        p._grad = p._grad.detach()
                    p._grad._data.fill(0)
                    note_write(p._grad)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, a dict of ``"params"`` and options; those it leaves out are the defaults.

        Raises:
            TypeError: it is no dict, or an entry is no floating-point or complex tensor.
            ValueError: a parameter is there already or no leaf, an option is out of range, or
                only some groups have names.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f"{name}: a parameter group must be a dict with a key 'params'; got {param_group!r}"
            )
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(f"{name}: params must have an order, which a set has not; use a list")
        entries = [params] if isinstance(params, Tensor) else list(params)
        named = [entry for entry in entries if isinstance(entry, tuple) and len(entry) == 2]
        if named and len(named) != len(entries):
            raise ValueError(f"{name}: either all params have names or none")
        tensors = [tensor for _, tensor in named] if named else entries

        places = {p: g for g, group in enumerate(self.param_groups) for p in group["params"]}
        for i, p in enumerate(tensors):
            if not isinstance(p, Tensor):
                raise TypeError(f"{name}: params[{i}] must be a Tensor; got {type(p).__name__}")
            if p._data.dtype.kind not in "fc":
                raise TypeError(
                    f"{name}: params[{i}] must be of a floating-point or complex dtype; "
                    f"got {p.dtype}"
                )
            if not (p.is_leaf or p.retains_grad):
                raise ValueError(
                    f"{name}: params[{i}] must be a leaf; it was made by {p.grad_fn!r}"
                )
            if p in places:
                raise ValueError(
                    f"{name}: params[{i}] was given before, in group {places[p]}; "
                    "give every parameter once"
                )
            places[p] = len(self.param_groups)

        if self.param_groups and bool(named) != ("param_names" in self.param_groups[0]):
            raise ValueError(f"{name}: either all groups have parameter names or none")
        group = {**self.defaults, **param_group, "params": tensors}
        if named:
            group["param_names"] = [key for key, _ in named]
        self.validate(group)
        self.param_groups.append(group)

    # ---------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """State and options, with parameters replaced by their positions; PyTorch's layout.

        The tensors are those of the optimizer: the next step changes them. To keep them, use
        ``copy.deepcopy``.
        """
        for hook in self._state_dict_pre_hooks:
            hook(self)
        params = [p for group in self.param_groups for p in group["params"]]
        numbers = {p: i for i, p in enumerate(params)}
        state_dict = {
            "state": {numbers[p]: dict(state) for p, state in self.state.items() if state},
            "param_groups": [
                {**group, "params": [numbers[p] for p in group["params"]]}
                for group in self.param_groups
            ],
        }
        for hook in self._state_dict_post_hooks:
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        return state_dict

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over state and options that :meth:`state_dict` gave, as a copy.

        Raises:
            ValueError: groups, their lengths or the shapes of the state differ from this
                optimizer's; nothing is changed then.
        """
        name = type(self).__name__
        for hook in self._load_state_dict_pre_hooks:
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        groups = state_dict["param_groups"]
        ours, theirs = ([len(g["params"]) for g in gs] for gs in (self.param_groups, groups))
        if ours != theirs:
            raise ValueError(
                f"{name}: load_state_dict: the groups must have {ours} parameters; got {theirs}"
            )
        options = [
            {**mine, **copy.deepcopy({k: v for k, v in group.items() if k != "params"})}
            for mine, group in zip(self.param_groups, groups, strict=True)
        ]
        for group in options:
            self.validate(group)
        places = {
            number: (p, option)
            for option, group in zip(options, groups, strict=True)
            for number, p in zip(group["params"], option["params"], strict=True)
        }
        state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number not in places:
                raise ValueError(
                    f"{name}: load_state_dict: there is state for a parameter {number!r} that is "
                    "in no group"
                )
            param, group = places[number]
            if values:
                where = f"{name}: load_state_dict: parameter {number}"
                state[param] = _loaded(where, values, self.init_state(param, group), param)
        self.state, self.param_groups = state, options
        for hook in self._load_state_dict_post_hooks:
            hook(self)

    # ---------------------------------------------------------------- hooks

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` before each step; it may return other ones."""
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer)`` before :meth:`state_dict`."""
        return RemovableHandle(self._state_dict_pre_hooks, hook, first=prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer, state_dict)`` after :meth:`state_dict`; it may return another."""
        return RemovableHandle(self._state_dict_post_hooks, hook, first=prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(optimizer, state_dict)`` before loading; it may return another one."""
        return RemovableHandle(self._load_state_dict_pre_hooks, hook, first=prepend)

    def register_load_state_dict_post_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(optimizer)`` after loading."""
        return RemovableHandle(self._load_state_dict_post_hooks, hook, first=prepend)

    def __getstate__(self) -> dict[str, Any]:
        """All but the hooks, which often are no functions that can be pickled."""
        return {key: [] if key.endswith("_hooks") else v for key, v in vars(self).items()}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _loaded(
    where: str, values: dict[str, Any], expected: dict[str, Any], param: Tensor
) -> dict[str, Any]:
    """The state of a fresh start, with copies of the saved ``values`` in its place."""
    state = dict(expected)
    for key, value in values.items():
        if key not in expected:
            state[key] = copy.deepcopy(value)
        elif value is not None:
            like = param if expected[key] is None else expected[key]
            array = to_array(value, None, where, copy=True)
            if array.shape != like.shape:
                raise ValueError(f"{where}: {key} must have shape {like.shape}; got {array.shape}")
            state[key] = wrap(array.astype(like.dtype, copy=False))
    return state
