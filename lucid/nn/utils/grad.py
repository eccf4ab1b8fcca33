r"""Gradient norms: measuring, clipping, and what to do about gradients that are not finite.

The global p-norm of gradients :math:`g_i` is :math:`(\sum_i \sum_j |g_{ij}|^p)^{1/p}`, for
p = inf the largest :math:`|g_{ij}|`. A kernel takes the whole list of gradients: one pass to read
them, in which NaN and inf are found as well, and a second one to scale them only where clipping is
due. Nothing of a gradient's size is allocated, and nothing is written before everything is checked.

Parameters may be given as a tensor, an iterable of tensors, a :class:`~lucid.nn.Module` or
``(name, tensor)`` pairs. A parameter without a gradient is skipped; one that is given twice counts
and is scaled once.

PyTorch's functions are here too, with its names and its conventions (they end in ``_``).
"""

from __future__ import annotations

import math
import numbers
import warnings
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.tape import Field, classes, note_writes, refresh, wrap
from lucid._core.tensor import Tensor
from lucid.errors import NonFiniteError
from lucid.nn.module import Module
from lucid.nn.parameter import Parameter

__all__ = [
    "AutoClip",
    "adaptive_clip_grad",
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_norm_by_group",
    "clip_grad_norm_per_parameter",
    "clip_grad_value",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "clipped",
    "get_total_norm",
    "grad_norm",
]

_total_norm, _scale, _clip = B.norms.total_norm, B.norms.scale, B.norms.clip
_data, _grad = Field("_data"), Field("_grad")
_base, _requires_grad = Field("_base"), Field("_requires_grad")

CLIP_EPS = 1e-7
"""Added to the norm by which clipping divides."""

POLICIES = ("warn", "raise", "skip", "zero", "propagate")


# -------------------------------------------------------------------- arguments


def _members(parameters: Any, caller: str) -> list[Any]:
    """The tensors, or ``(name, tensor)`` pairs, that ``parameters`` stands for."""
    if type(parameters) is list:
        return parameters
    if isinstance(parameters, Tensor):
        return [parameters]
    if isinstance(parameters, Module):
        return list(parameters.named_parameters())
    try:
        return list(parameters)
    except TypeError:
        raise TypeError(
            f"{caller}: parameters must be a Tensor, an iterable of Tensors, a Module or "
            f"(name, tensor) pairs; got {type(parameters).__name__}"
        ) from None


def _split(member: Any, place: int, caller: str) -> tuple[str, Tensor]:
    """The name and the tensor of a member."""
    name = ""
    if isinstance(member, tuple) and len(member) == 2 and isinstance(member[0], str):
        name, member = member
    if not isinstance(member, Tensor):
        raise TypeError(
            f"{caller}: parameters[{place}] must be a Tensor; got {type(member).__name__}"
        )
    return name, member


def _tensors(members: list[Any], caller: str) -> list[Tensor]:
    """The tensors alone, checked."""
    return [_split(member, i, caller)[1] for i, member in enumerate(members)]


def _each_gradient(tensors: list[Tensor]) -> list[Tensor]:
    """The gradients of ``tensors``, each memory once."""
    found = _grad.values(tensors)
    if len(_data.distinct(found)) < len(found):
        found = list({id(g._data): g for g in found}.values())
    return found


def _gradients(members: list[Any], caller: str) -> list[Tensor]:
    """The same of members; warns if there are none."""
    try:
        found = _each_gradient(members)
    except TypeError:
        found = _each_gradient(_tensors(members, caller))
    if not found:
        _warn_of_nothing(caller)
    return found


def _warn_of_nothing(caller: str) -> None:
    warnings.warn(
        f"{caller}: there is nothing to measure: no parameters, or none with a gradient "
        "(call backward first; a generator can be used only once)",
        stacklevel=4,
    )


def _limit(max_norm: Any, caller: str, name: str = "max_norm") -> float:
    """``max_norm`` as a float, checked."""
    value: Any = max_norm
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        value = value.real if value.imag == 0 else value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{caller}: {name} must be a real number or a 0-d tensor; got {max_norm!r}")
    value = float(value)
    if not value >= 0:
        raise ValueError(f"{caller}: {name} must be at least 0; got {value}")
    return value


def _order(norm_type: Any, caller: str) -> float:
    """``norm_type`` as a float, checked."""
    if isinstance(norm_type, str) and norm_type == "inf":
        return math.inf
    value: Any = (
        norm_type.item() if isinstance(norm_type, Tensor) and norm_type.ndim == 0 else norm_type
    )
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{caller}: norm_type must be a number or 'inf'; got {norm_type!r}")
    value = float(value)
    if not value > 0:
        raise ValueError(f"{caller}: norm_type must be greater than 0; got {norm_type!r}")
    return value


def _policy(nonfinite: str, error_if_nonfinite: bool, caller: str) -> str:
    if nonfinite not in POLICIES:
        raise ValueError(
            f"{caller}: nonfinite must be one of {', '.join(map(repr, POLICIES))}; "
            f"got {nonfinite!r}"
        )
    return "raise" if error_if_nonfinite else nonfinite


# -------------------------------------------------------------------- non-finite values


def _culprits(members: Iterable[Any], arrays: list[np.ndarray], caller: str) -> str:
    """Which gradients have how many NaN and inf: the first three, and how many more."""
    names: dict[int, str] = {}
    for i, member in enumerate(members):
        name, tensor = _split(member, i, caller)
        for array in (tensor._data, None if tensor._grad is None else tensor._grad._data):
            names.setdefault(id(array), name or f"parameters[{i}]")
    notes = [
        f"{names.get(id(array), '?')} {array.shape}: {nans} NaN, {infs} inf of {array.size}"
        for array, (nans, infs) in zip(
            arrays, B.norms.nonfinite_counts(arrays).tolist(), strict=True
        )
        if nans or infs
    ]
    more = f"; and {len(notes) - 3} more" if len(notes) > 3 else ""
    return "; ".join(notes[:3]) + more


def _handle_nonfinite(
    members: list[Any], gradients: list[Tensor], arrays: list[np.ndarray], policy: str, caller: str
) -> None:
    """What ``policy`` says of gradients with NaN or inf among them."""
    if policy in ("warn", "raise"):
        message = f"{caller}: the gradients are not finite: {_culprits(members, arrays, caller)}"
        if policy == "raise":
            raise NonFiniteError(message)
        warnings.warn(f"{message}; they were left as they are", stacklevel=4)
    elif policy == "zero":
        B.norms.fill_zero(arrays)
        note_writes(gradients)


def _scalar(value: float, dtype: Any = np.float64) -> Tensor:
    return wrap(np.array(value, dtype))


# -------------------------------------------------------------------- measuring


def _measured(parameters: Any, caller: str) -> tuple[list[Any], list[np.ndarray], bool]:
    """``(members, arrays, whether they are the tensors themselves)``.

    A tensor that requires grad, a Parameter and a Module stand for their gradients; any other
    tensor for itself.
    """
    tensors = members = _members(parameters, caller)
    try:
        bases = _base.values(members)
    except TypeError:
        tensors = _tensors(members, caller)
        bases = _base.values(tensors)
    if bases:
        for x in tensors:
            refresh(x)
    recorded = _requires_grad.distinct(tensors)
    plain = recorded == [False]
    if plain and (kinds := classes(tensors)) != [Tensor]:
        plain = not any(issubclass(kind, Parameter) for kind in kinds)
    if plain:
        arrays = _data.distinct(tensors)
    elif recorded == [True]:
        arrays = _data.distinct(_grad.distinct(tensors))
    else:
        sources = [x._grad if x._requires_grad or isinstance(x, Parameter) else x for x in tensors]
        arrays = _data.distinct([x for x in sources if x is not None])
    if not arrays:
        _warn_of_nothing(caller)
    return members, arrays, plain


def _measure(
    parameters: Any, norm_type: Any, error_if_nonfinite: bool, nonfinite: str, caller: str
) -> Tensor:
    # What has its usual type and value is not looked at twice: small models feel it.
    p, policy = norm_type, nonfinite
    if policy != "propagate" or error_if_nonfinite:
        policy = _policy(nonfinite, error_if_nonfinite, caller)
    if policy == "zero":
        raise ValueError(f"{caller}: nonfinite='zero' would change gradients; this only measures")
    members, arrays, plain = _measured(parameters, caller)
    if type(p) is float and p > 0:
        norm, bad = _total_norm(arrays, p)
    elif plain and isinstance(p, numbers.Real) and p <= 0:
        norm = _pytorch_norm(arrays, float(p))
        bad = int(not math.isfinite(norm))
    else:
        norm, bad = _total_norm(arrays, _order(p, caller))
    if bad and policy != "propagate":
        _handle_nonfinite(members, [], arrays, policy, caller)
    return _scalar(norm)


def get_total_norm(
    parameters: Any,
    norm_type: Any = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
    *,
    nonfinite: str = "propagate",
) -> Tensor:
    r"""The global p-norm :math:`(\sum_i \sum_j |g_{ij}|^p)^{1/p}`; changes nothing.

    Measures the gradients of Modules, Parameters and tensors that require grad, and the values of
    any other tensor (as for a list of gradients). Never overflows or underflows unless the norm
    itself does, and does not depend on the number of threads.

    Args:
        parameters: a tensor, an iterable of tensors, a Module or ``(name, tensor)`` pairs.
        norm_type: p > 0, or inf (also "inf"). For plain tensors also PyTorch's 0 and negative
            orders.
        error_if_nonfinite: the same as ``nonfinite="raise"``.
        foreach: accepted for PyTorch's sake; the kernel always takes the whole list.
        nonfinite: "propagate": a NaN makes the norm NaN, else an inf makes it inf; "warn" and
            "raise": say so, too, by parameter name.

    Returns:
        A 0-d float64 tensor; 0, and a warning, if there is nothing to measure.

    Raises:
        TypeError: something is not a tensor (its position is named), or not a number.
        ValueError: ``norm_type`` is not positive.
        NonFiniteError: there is a NaN or an inf, and that was declared an error.

    Example:
        >>> lucid.nn.utils.get_total_norm([lucid.tensor([3.0, 0.0]), lucid.tensor(4.0)]).item()
        5.0
    """
    return _measure(parameters, norm_type, error_if_nonfinite, nonfinite, "get_total_norm")


def grad_norm(
    parameters: Any,
    norm_type: Any = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
    *,
    nonfinite: str = "propagate",
) -> Tensor:
    """The older name of :func:`get_total_norm`."""
    return _measure(parameters, norm_type, error_if_nonfinite, nonfinite, "grad_norm")


# -------------------------------------------------------------------- clipping by the global norm


def clip_grad_norm(
    parameters: Any,
    max_norm: Any,
    norm_type: Any = 2.0,
    eps: float = CLIP_EPS,
    *,
    error_if_nonfinite: bool = False,
    nonfinite: str = "warn",
) -> Tensor:
    r"""Scales the gradients in place so that their global norm is at most ``max_norm``.

    Where the norm is greater, every gradient is multiplied by
    :math:`c = \text{max\_norm} / (\text{norm} + \text{eps})`; otherwise no bit changes.

    Args:
        parameters: a tensor, an iterable of tensors, a Module or ``(name, tensor)`` pairs.
        max_norm: at least 0; inf to measure only.
        norm_type: p > 0, or inf (also "inf").
        eps: keeps the factor finite.
        error_if_nonfinite: the same as ``nonfinite="raise"``.
        nonfinite: what to do about gradients with NaN or inf in them. "warn": leave all as they
            are and name the parameters; "raise": the same as an error; "skip": leave all, silently;
            "zero": set all gradients to 0; "propagate": apply the formula blindly, so that a NaN
            makes every gradient NaN.

    Returns:
        The norm from before, a 0-d float64 tensor; 0, and a warning, if there is no gradient.

    Raises:
        TypeError, ValueError: an argument is wrong, or a gradient's memory is read-only; nothing
            was changed.
        NonFiniteError: there is a NaN or an inf, and that was declared an error.

    Example:
        >>> w = lucid.tensor([3.0, 4.0], requires_grad=True)
        >>> (w * w).sum().backward()  # the gradient is 2 w
        >>> lucid.nn.utils.clip_grad_norm(w, max_norm=1.0).item()
        10.0
        >>> w.grad
        tensor([0.6, 0.8])

    Source: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
    networks".
    """
    # Part of every training step: what has its usual type and value is not looked at twice.
    limit, p, policy = max_norm, norm_type, nonfinite
    if not (type(limit) is float and limit >= 0):
        limit = _limit(max_norm, "clip_grad_norm")
    if not (type(p) is float and p > 0):
        p = _order(norm_type, "clip_grad_norm")
    if policy != "warn" or error_if_nonfinite:
        policy = _policy(nonfinite, error_if_nonfinite, "clip_grad_norm")
    if eps != CLIP_EPS:
        eps = _limit(eps, "clip_grad_norm", "eps")
    members = _members(parameters, "clip_grad_norm")
    gradients = _gradients(members, "clip_grad_norm")
    arrays = _data.values(gradients)
    norm, bad, factor = _clip(arrays, p, limit, eps)
    if bad and policy != "propagate":
        _handle_nonfinite(members, gradients, arrays, policy, "clip_grad_norm")
    elif bad and limit != math.inf:
        factor = limit / (norm + eps)
        _scale(arrays, factor)
    if factor != 1.0:
        note_writes(gradients)
    return _scalar(norm)


def clip_grad_value(parameters: Any, clip_value: Any) -> None:
    """Clamps every gradient element to ``[-clip_value, clip_value]``, in place; NaN stays NaN.

    Args:
        parameters: as for :func:`clip_grad_norm`.
        clip_value: at least 0.

    Raises:
        TypeError, ValueError: an argument is wrong; nothing was changed.
    """
    limit = _limit(clip_value, "clip_grad_value", "clip_value")
    gradients = _gradients(_members(parameters, "clip_grad_value"), "clip_grad_value")
    B.norms.clamp([g._data for g in gradients], limit)
    note_writes(gradients)


def clip_grad_norm_per_parameter(
    parameters: Any,
    max_norm: Any,
    norm_type: Any = 2.0,
    eps: float = CLIP_EPS,
    *,
    error_if_nonfinite: bool = False,
    nonfinite: str = "warn",
) -> Tensor:
    """Clips each gradient by its own norm, in place; arguments as for :func:`clip_grad_norm`.

    Returns:
        The norms from before, one for each gradient: a 1-D float64 tensor.
    """
    caller = "clip_grad_norm_per_parameter"
    limit, p = _limit(max_norm, caller), _order(norm_type, caller)
    policy = _policy(nonfinite, error_if_nonfinite, caller)
    eps = _limit(eps, caller, "eps")
    members = _members(parameters, caller)
    gradients = _gradients(members, caller)
    arrays = [g._data for g in gradients]
    norms = B.norms.norms(arrays, p)
    _clip_each(members, [[g] for g in gradients], norms, [limit] * len(norms), eps, policy, caller)
    return wrap(norms)


def clip_grad_norm_by_group(
    groups: Any,
    max_norm: Any = None,
    norm_type: Any = 2.0,
    eps: float = CLIP_EPS,
    *,
    error_if_nonfinite: bool = False,
    nonfinite: str = "warn",
) -> Tensor:
    """Clips each group of gradients by the group's norm, in place.

    Args:
        groups: an optimizer's ``param_groups`` (dicts with "params" and, if it differs, a
            "max_norm"), a mapping of names to parameters, or an iterable of parameters each.
        max_norm: for the groups that do not have their own.
        norm_type, eps, error_if_nonfinite, nonfinite: as for :func:`clip_grad_norm`.

    Returns:
        The norms from before, one for each group: a 1-D float64 tensor.

    Raises:
        TypeError, ValueError: an argument is wrong; nothing was changed.
    """
    caller = "clip_grad_norm_by_group"
    p = _order(norm_type, caller)
    policy = _policy(nonfinite, error_if_nonfinite, caller)
    eps = _limit(eps, caller, "eps")
    if isinstance(groups, (Tensor, Module)):
        raise TypeError(
            f"{caller}: groups must be a sequence of groups; got one {type(groups).__name__}"
        )
    everyone: list[Any] = []
    gathered: list[list[Tensor]] = []
    limits: list[float] = []
    for i, group in enumerate(groups.values() if isinstance(groups, Mapping) else groups):
        own = max_norm
        if isinstance(group, Mapping):
            if "params" not in group:
                raise TypeError(f"{caller}: groups[{i}] is a dict and must have 'params'")
            own, group = group.get("max_norm", max_norm), group["params"]
        if own is None:
            raise TypeError(f"{caller}: groups[{i}] has no max_norm, and none was given for all")
        limits.append(_limit(own, caller))
        members = _members(group, caller)
        everyone += members
        gathered.append(_each_gradient(_tensors(members, caller)))
    if not any(gathered):
        _warn_of_nothing(caller)
    norms = np.array([_total_norm([g._data for g in group], p)[0] for group in gathered])
    _clip_each(everyone, gathered, norms, limits, eps, policy, caller)
    return wrap(norms.astype(np.float64, copy=False))


def _clip_each(
    members: list[Any],
    groups: list[list[Tensor]],
    norms: np.ndarray,
    limits: list[float],
    eps: float,
    policy: str,
    caller: str,
) -> None:
    """Clips each group to its limit, unless the policy forbids to touch any."""
    gradients = [g for group in groups for g in group]
    arrays = [g._data for g in gradients]
    if (
        not np.isfinite(norms).all()
        and policy != "propagate"
        and B.norms.nonfinite_counts(arrays).any()
    ):
        _handle_nonfinite(members, gradients, arrays, policy, caller)
        return
    due = [
        (group, limit / (norm + eps))
        for group, norm, limit in zip(groups, norms.tolist(), limits, strict=True)
        if not norm <= limit and limit != math.inf
    ]
    _check_writable([g for group, _ in due for g in group], caller)
    for group, factor in due:
        _scale([g._data for g in group], factor)
        note_writes(group)


def _check_writable(gradients: Iterable[Tensor], caller: str) -> None:
    for gradient in gradients:
        if not gradient._data.flags.writeable:
            raise ValueError(
                f"{caller}: the memory of a gradient of shape {gradient.shape} is read-only"
            )


def clipped(
    grads: Iterable[Tensor | None], max_norm: Any, norm_type: Any = 2.0, eps: float = 1e-7
) -> tuple[Tensor | None, ...]:
    """New tensors with the values of ``grads`` clipped to a global norm; ``grads`` is untouched.

    Args:
        grads: the gradients themselves, as :func:`lucid.autograd.grad` returns them; None stays
            None.
        max_norm, norm_type, eps: as for :func:`clip_grad_norm`. NaN and inf propagate.

    Example:
        >>> lucid.nn.utils.clipped([lucid.tensor([3.0, 4.0])], 1.0)
        (tensor([0.6, 0.8]),)
    """
    limit, p = _limit(max_norm, "clipped"), _order(norm_type, "clipped")
    eps = _limit(eps, "clipped", "eps")
    values = [grads] if isinstance(grads, Tensor) else list(grads)
    arrays = [
        None if x is None else _split(x, i, "clipped")[1]._data.copy() for i, x in enumerate(values)
    ]
    there = [x for x in arrays if x is not None]
    norm, _ = _total_norm(there, p)
    if not norm <= limit and limit != math.inf:
        _scale(there, limit / (norm + eps))
    return tuple([None if x is None else wrap(x) for x in arrays])


# -------------------------------------------------------------------- adaptive clipping


def adaptive_clip_grad(
    parameters: Any,
    clip_factor: float = 0.01,
    eps: float = 1e-3,
    norm_type: Any = 2.0,
    *,
    axis: Any = None,
    error_if_nonfinite: bool = False,
    nonfinite: str = "warn",
) -> Tensor:
    r"""Clips each unit's gradient relative to the norm of the unit's weights, in place.

    For every unit :math:`i` whose gradient is larger than
    :math:`\lambda \max(\lVert W_i \rVert, \epsilon)`, it is scaled down to that.

    Args:
        parameters: as for :func:`clip_grad_norm`.
        clip_factor: :math:`\lambda`.
        eps: the least weight norm that is reckoned with, so that zero weights can grow.
        norm_type: p > 0, or inf.
        axis: the dimensions that make up a unit. By default all but the first (the output
            features), and all of a tensor with at most one dimension.
        error_if_nonfinite, nonfinite: as for :func:`clip_grad_norm`.

    Returns:
        The global norm from before, a 0-d float64 tensor.

    Source: Brock, De, Smith & Simonyan 2021, "High-Performance Large-Scale Image Recognition
    Without Normalization", section 4.1.
    """
    caller = "adaptive_clip_grad"
    factor, eps = _limit(clip_factor, caller, "clip_factor"), _limit(eps, caller, "eps")
    p = _order(norm_type, caller)
    policy = _policy(nonfinite, error_if_nonfinite, caller)
    members = _members(parameters, caller)
    tensors = [_split(member, i, caller)[1] for i, member in enumerate(members)]
    pairs = {id(x._grad._data): (x, x._grad) for x in tensors if x._grad is not None}
    if not pairs:
        _warn_of_nothing(caller)
    gradients = [g for _, g in pairs.values()]
    arrays = [g._data for g in gradients]
    norm, bad = _total_norm(arrays, p)
    if bad and policy != "propagate":
        _handle_nonfinite(members, gradients, arrays, policy, caller)
        return _scalar(norm)
    factors = []
    for x, g in pairs.values():
        axes = _unit_axes(x._data, axis, caller)
        largest = factor * np.maximum(_unit_norms(x._data, axes, p), eps)
        unit = _unit_norms(g._data, axes, p)
        with np.errstate(all="ignore"):
            factors.append(np.where(unit <= largest, 1.0, largest / unit))
    due = [(g, c) for g, c in zip(gradients, factors, strict=True) if not (c == 1).all()]
    _check_writable([g for g, _ in due], caller)
    for g, c in due:
        with np.errstate(all="ignore"):
            np.multiply(g._data, c, out=g._data, casting="same_kind")
        note_writes([g])
    return _scalar(norm)


def _unit_axes(x: np.ndarray, axis: Any, caller: str) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(1 if x.ndim > 1 else 0, x.ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    for a in axes:
        if not -x.ndim <= a < x.ndim:
            raise IndexError(
                f"{caller}: axis {a} is out of range for a parameter of shape {x.shape}"
            )
    return tuple(axes)


def _unit_norms(x: np.ndarray, axes: tuple[int, ...], p: float) -> np.ndarray:
    """The p-norm over ``axes`` in float64, with those dimensions kept, safe at any magnitude."""
    size = np.abs(x).astype(np.float64)
    largest = np.max(size, axis=axes, keepdims=True, initial=0.0)
    if p == math.inf:
        return largest
    with np.errstate(all="ignore"):
        scaled = np.where(largest > 0, size / largest, 0.0)
        return largest * np.sum(scaled**p, axis=axes, keepdims=True) ** (1 / p)


class AutoClip:
    """Clips the gradients at a percentile of the norms seen so far.

    Args:
        percentile: in [0, 100]; of the norms up to and including the current one.
        window: how many of the last norms count; None for all.
        norm_type, eps, nonfinite: as for :func:`clip_grad_norm`. A norm that is not finite does
            not enter the history.

    Attributes:
        max_norm: the norm that the last call clipped to; None before the first.

    Example:
        >>> w = lucid.tensor([3.0, 4.0], requires_grad=True)
        >>> clip = lucid.nn.utils.AutoClip(percentile=10)
        >>> (w * w).sum().backward()
        >>> clip(w).item(), clip.max_norm
        (10.0, 10.0)

    Source: Seetharaman, Wichern, Pardo & Le Roux 2020, "AutoClip: Adaptive Gradient Clipping for
    Source Separation Networks".
    """

    def __init__(
        self,
        percentile: float = 10.0,
        window: int | None = None,
        norm_type: Any = 2.0,
        eps: float = CLIP_EPS,
        *,
        nonfinite: str = "warn",
    ) -> None:
        self.percentile = _limit(percentile, "AutoClip", "percentile")
        if self.percentile > 100:
            raise ValueError(f"AutoClip: percentile must be at most 100; got {percentile}")
        if window is not None and (not isinstance(window, int) or window < 1):
            raise ValueError(
                f"AutoClip: window must be an int of at least 1, or None; got {window!r}"
            )
        self.window = window
        self.norm_type = _order(norm_type, "AutoClip")
        self.eps = _limit(eps, "AutoClip", "eps")
        self.nonfinite = _policy(nonfinite, False, "AutoClip")
        self.max_norm: float | None = None
        self._history: deque[float] = deque()
        self._sorted: list[float] = []

    def __call__(self, parameters: Any) -> Tensor:
        """Clips in place and returns the norm from before."""
        members = _members(parameters, "AutoClip")
        gradients = _gradients(members, "AutoClip")
        norm, bad = _total_norm([g._data for g in gradients], self.norm_type)
        if not bad and math.isfinite(norm) and gradients:
            self._remember(norm)
            self.max_norm = self._threshold()
        limit = math.inf if self.max_norm is None else self.max_norm
        if not gradients:
            return _scalar(norm)
        return clip_grad_norm(members, limit, self.norm_type, self.eps, nonfinite=self.nonfinite)

    def _remember(self, norm: float) -> None:
        if self.window is not None and len(self._history) == self.window:
            oldest = self._history.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]
        self._history.append(norm)
        insort(self._sorted, norm)

    def _threshold(self) -> float:
        """The percentile, interpolated linearly between the two nearest norms."""
        place = (len(self._sorted) - 1) * self.percentile / 100
        low = int(place)
        below, above = self._sorted[low], self._sorted[min(low + 1, len(self._sorted) - 1)]
        return below + (above - below) * (place - low)

    def state_dict(self) -> dict[str, Any]:
        """The history and the threshold, for a checkpoint."""
        return {"history": list(self._history), "max_norm": self.max_norm}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what :meth:`state_dict` returned."""
        history = [_limit(norm, "AutoClip", "history") for norm in state["history"]]
        self._history = deque(history[-self.window :] if self.window else history)
        self._sorted = sorted(self._history)
        self.max_norm = state["max_norm"]


# -------------------------------------------------------------------- PyTorch's functions


def _pytorch_gradients(parameters: Any, caller: str) -> tuple[list[Any], list[Tensor]]:
    iterator = isinstance(parameters, Iterator)
    members = _members(parameters, caller)
    if iterator and not members:
        warnings.warn(
            f"{caller}: parameters is an exhausted iterator; nothing is clipped", stacklevel=3
        )
    return members, _each_gradient(_tensors(members, caller))


def _pytorch_norm(arrays: list[np.ndarray], p: float) -> float:
    """PyTorch's norm of norms, which for p <= 0 is no norm of the whole."""
    if p > 0:
        return _total_norm(arrays, p)[0]
    with np.errstate(all="ignore"):
        each = [_generalised_norm(np.abs(x).astype(np.float64), p) for x in arrays]
        return float(_generalised_norm(np.array(each), p)) if each else 0.0


def _generalised_norm(size: np.ndarray, p: float) -> float:
    if p == 0:
        return float(np.count_nonzero(size))
    if p == -math.inf:
        return float(np.min(size))
    return float(np.sum(size**p) ** (1 / p))


def _real_dtype(arrays: list[np.ndarray]) -> np.dtype:
    """The dtype in which PyTorch would return the norm of ``arrays``."""
    if not arrays:
        return dtypes.get_default_dtype()
    return np.result_type(*[np.abs(np.empty(0, x.dtype)) for x in arrays])


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    r"""PyTorch's clipping: scales the gradients in place to a norm of at most ``max_norm``.

    The factor is :math:`\min(1, \text{max\_norm} / (\text{norm} + 10^{-6}))`.

    Non-finite values propagate: a NaN makes every gradient NaN. Unlike PyTorch, the norm neither
    overflows nor loses digits on the way. See :func:`clip_grad_norm` for the one that warns.

    Args:
        parameters: as for :func:`clip_grad_norm`.
        max_norm: the largest norm.
        norm_type: p, or inf; 0 and negative orders as in PyTorch, a norm of the tensors' norms.
        error_if_nonfinite: raise where the norm is NaN or inf.
        foreach: accepted for PyTorch's sake; the kernel always takes the whole list.

    Returns:
        The norm from before, 0-d, in the gradients' dtype.

    Raises:
        NonFiniteError: the norm is NaN or inf and ``error_if_nonfinite`` is set.
    """
    max_norm, p = float(max_norm), float(norm_type)
    members, gradients = _pytorch_gradients(parameters, "clip_grad_norm_")
    arrays = [g._data for g in gradients]
    norm = _pytorch_norm(arrays, p)
    if error_if_nonfinite and not math.isfinite(norm):
        raise NonFiniteError(
            f"clip_grad_norm_: the norm of order {p} is not finite: "
            f"{_culprits(members, arrays, 'clip_grad_norm_') or norm}"
        )
    _pytorch_scale(gradients, arrays, max_norm, norm)
    with np.errstate(over="ignore"):
        return _scalar(norm, _real_dtype(arrays))


def _pytorch_scale(
    gradients: list[Tensor], arrays: list[np.ndarray], max_norm: float, norm: float
) -> None:
    denominator = norm + 1e-6
    coefficient = max_norm / denominator if denominator else math.copysign(math.inf, max_norm)
    if not coefficient >= 1:  # NaN included
        _scale(arrays, coefficient)
        note_writes(gradients)


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None
) -> None:
    r"""Scales the gradients in place by a norm that is known.

    The factor is :math:`\min(1, \text{max\_norm} / (\text{total\_norm} + 10^{-6}))`.

    Args:
        parameters, max_norm, foreach: as for :func:`clip_grad_norm_`.
        total_norm: the norm, as :func:`get_total_norm` returned it.
    """
    _, gradients = _pytorch_gradients(parameters, "clip_grads_with_norm_")
    _pytorch_scale(gradients, [g._data for g in gradients], float(max_norm), float(total_norm))


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clamps every gradient element to ``[-clip_value, clip_value]``, in place.

    As in PyTorch, a negative ``clip_value`` makes every element ``clip_value``.
    """
    limit = float(clip_value)
    _, gradients = _pytorch_gradients(parameters, "clip_grad_value_")
    arrays = [g._data for g in gradients]
    if limit >= 0:
        B.norms.clamp(arrays, limit)
    else:
        _check_writable(gradients, "clip_grad_value_")
        for array in arrays:
            np.clip(array, -limit, limit, out=array)
    note_writes(gradients)
