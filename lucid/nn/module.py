"""The module: parameters, buffers and submodules under one name each, and what is done with all.

A parameter, buffer or submodule is an ordinary instance attribute, so reading ``self.weight``
costs what any attribute does. Beside it the module keeps only *names*, in the order in which they
were given: which attributes are parameters, which are buffers, which are submodules. Assignment
and deletion keep the names in step with the attributes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.device import as_device, device
from lucid._core.grad_mode import mode as grad_mode
from lucid._core.tape import RemovableHandle, note_write, wrap
from lucid._core.tensor import Tensor, to_array
from lucid.nn.parameter import Buffer, Parameter
from lucid.ops.neural import gate

__all__ = ["Module"]

T = TypeVar("T")

_MODULE_NAMES = "_module_names"
_PARAMETER_NAMES = "_parameter_names"
_BUFFER_NAMES = "_buffer_names"
_REGISTRIES = (_PARAMETER_NAMES, _BUFFER_NAMES, _MODULE_NAMES)


class IncompatibleKeys(NamedTuple):
    """What :meth:`Module.load_state_dict` did not find, and what it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def _not_implemented(self: Module, *args: Any, **kwargs: Any) -> Any:
    """What the module computes; every subclass has its own."""
    raise NotImplementedError(f"{type(self).__name__}: forward is not implemented")


class Module:
    """Base class of everything that has parameters.

    A subclass calls ``super().__init__()`` first, assigns its :class:`Parameter`, :class:`Buffer`
    and ``Module`` attributes, and says in ``forward`` what it computes. Calling the module calls
    ``forward`` and the hooks.

    Attributes:
        training: whether the module behaves as in training (dropout on) or in evaluation.

    Example:
        >>> class Scale(lucid.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = lucid.nn.Parameter(lucid.tensor(2.0))
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> Scale()(lucid.tensor([1.0, 2.0])).tolist()
        [2.0, 4.0]
        >>> list(Scale().state_dict())
        ['factor']
    """

    training: bool
    _parameter_names: dict[str, None]
    _buffer_names: dict[str, bool]  # whether it belongs to the state dict
    _module_names: dict[str, None]
    forward: Callable[..., Any] = _not_implemented

    _hooks: _Hooks | None = None
    _state_hooks: _StateHooks | None = None

    def __init__(self) -> None:
        own = self.__dict__
        own["training"] = True
        own[_PARAMETER_NAMES] = {}
        own[_BUFFER_NAMES] = {}
        own[_MODULE_NAMES] = {}

    # ---------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, (Parameter, Module, Buffer)):
            registry = (
                _PARAMETER_NAMES
                if isinstance(value, Parameter)
                else _MODULE_NAMES
                if isinstance(value, Module)
                else _BUFFER_NAMES
            )
            if registry not in own:
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before assigning {name!r}, "
                    f"a {type(value).__name__}"
                )
            if name not in own[registry]:
                self._forget(name)
                own[registry][name] = value.persistent if isinstance(value, Buffer) else None
            own[name] = value
        elif value is not None and _PARAMETER_NAMES in own and self._registry_of(name):
            self._assign_registered(name, value)
        else:
            object.__setattr__(self, name, value)

    def _assign_registered(self, name: str, value: Any) -> None:
        """A plain value for the name of a parameter, buffer or submodule."""
        registry = self._registry_of(name)
        if registry == _BUFFER_NAMES and isinstance(value, Tensor):
            self.__dict__[name] = value
            return
        what, expected = {
            _PARAMETER_NAMES: ("parameter", "a Parameter (lucid.nn.Parameter(tensor))"),
            _BUFFER_NAMES: ("buffer", "a Tensor"),
            _MODULE_NAMES: ("submodule", "a Module"),
        }[registry]
        raise TypeError(
            f"{type(self).__name__}.{name}: is a {what} and must be {expected} or None; "
            f"got {type(value).__name__}"
        )

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget(name)

    def _forget(self, name: str) -> None:
        for registry in _REGISTRIES:
            self.__dict__.get(registry, {}).pop(name, None)

    def _registry_of(self, name: str) -> str:
        own = self.__dict__
        for registry in _REGISTRIES:
            if name in own[registry]:
                return registry
        return ""

    def _view_of(self, registry: str) -> Mapping[str, Any]:
        own = self.__dict__
        return MappingProxyType({name: own[name] for name in own[registry]})

    @property
    def _parameters(self) -> Mapping[str, Parameter | None]:
        return self._view_of(_PARAMETER_NAMES)

    @property
    def _buffers(self) -> Mapping[str, Tensor | None]:
        return self._view_of(_BUFFER_NAMES)

    @property
    def _modules(self) -> Mapping[str, Module | None]:
        return self._view_of(_MODULE_NAMES)

    def _register(self, registry: str, name: Any, value: Any, note: Any, caller: str) -> None:
        own = self.__dict__
        if registry not in own:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before {caller}")
        if not isinstance(name, str):
            raise TypeError(f"{caller}: name must be a str; got {type(name).__name__}")
        if name == "" or "." in name:
            raise KeyError(f"{caller}: name must not be empty or contain a dot; got {name!r}")
        if name not in own[registry] and (name in own or hasattr(type(self), name)):
            raise KeyError(f"{caller}: {type(self).__name__} already has an attribute {name!r}")
        own[registry][name] = note
        own[name] = value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, or a name for one that is absent (None).

        Raises:
            KeyError: the name is taken, empty, or has a dot in it.
            TypeError: ``param`` is no Parameter.
        """
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: {name!r} must be a Parameter or None; got "
                f"{type(param).__name__}" + _advice(param)
            )
        self._register(_PARAMETER_NAMES, name, param, None, "register_parameter")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that belongs to the module's state but is not trained.

        Args:
            name, tensor: the attribute.
            persistent: whether :meth:`state_dict` has it.

        Raises:
            KeyError: the name is taken, empty, or has a dot in it.
            TypeError: ``tensor`` is no Tensor.
        """
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: {name!r} must be a Tensor or None; got {type(tensor).__name__}"
            )
        self._register(_BUFFER_NAMES, name, tensor, bool(persistent), "register_buffer")

    def register_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule under a name: :meth:`add_module`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"register_module: {name!r} must be a Module or None; got {type(module).__name__}"
            )
        self._register(_MODULE_NAMES, name, module, None, "register_module")

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule under a name.

        Raises:
            KeyError: the name is taken, empty, or has a dot in it.
            TypeError: ``module`` is no Module.
        """
        self.register_module(name, module)

    # ---------------------------------------------------------------- the tree

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Every module of the tree with its dotted path, this one first under ``prefix``.

        Args:
            memo: modules to leave out; those yielded are added.
            prefix: put before every name.
            remove_duplicate: yield a module that is there twice only once.
        """
        memo = set() if memo is None else memo
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate:
                if module in memo:
                    continue
                memo.add(module)
            yield path, module
            own = module.__dict__
            for name in reversed(own[_MODULE_NAMES]):
                if own[name] is not None:
                    stack.append((f"{path}.{name}" if path else name, own[name]))

    def modules(self) -> Iterator[Module]:
        """Every module of the tree, each once, this one first."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen = set()
        own = self.__dict__
        for name in own[_MODULE_NAMES]:
            child = own[name]
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        tree: Iterable[tuple[str, Module]] = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in tree:
            own = module.__dict__
            for name in own[registry]:
                value = own[name]
                if value is None or remove_duplicate and id(value) in seen:
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted paths.

        Args:
            prefix: put before every name.
            recurse: also those of the submodules.
            remove_duplicate: a parameter that is there twice is yielded only once.
        """
        return self._named_members(_PARAMETER_NAMES, prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted paths; arguments as for :meth:`named_parameters`."""
        return self._named_members(_BUFFER_NAMES, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once, in the order of :meth:`named_parameters`."""
        # Gathered at once: this runs in every training step, and a generator costs more.
        found: dict[Parameter, None] = {}
        seen = set()
        stack: list[Module] = [self]
        while stack:
            module = stack.pop()
            if module in seen:
                continue
            seen.add(module)
            own = module.__dict__
            for name in own[_PARAMETER_NAMES]:
                value = own[name]
                if value is not None:
                    found[value] = None
            if not recurse:
                break
            if own[_MODULE_NAMES]:
                stack += [
                    own[name] for name in reversed(own[_MODULE_NAMES]) if own[name] is not None
                ]
        return iter(found)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; the module itself for an empty one.

        Raises:
            AttributeError: there is none.
        """
        module: Any = self
        for i, name in enumerate(target.split(".") if target else []):
            child = module.__dict__.get(name)
            if not isinstance(child, Module):
                path = ".".join(target.split(".")[:i])
                where = f"{path!r} ({type(module).__name__})" if path else type(module).__name__
                known = ", ".join(module._module_names) or "none"
                raise AttributeError(
                    f"get_submodule: {where} has no submodule {name!r}; it has {known}"
                )
            module = child
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Puts ``module`` at a dotted path, whose last name must be that of a submodule.

        Raises:
            ValueError: the path is empty.
            AttributeError: there is no submodule at the path.
        """
        if not target:
            raise ValueError("set_submodule: target must not be empty")
        if not isinstance(module, Module):
            raise TypeError(f"set_submodule: module must be a Module; got {type(module).__name__}")
        self.get_submodule(target)
        path, _, name = target.rpartition(".")
        setattr(self.get_submodule(path), name, module)

    def _get_member(self, target: str, registry: str, caller: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module.__dict__[registry]:
            known = ", ".join(module.__dict__[registry]) or "none"
            raise AttributeError(
                f"{caller}: {type(module).__name__} has no such name {name!r}; it has {known}"
            )
        return module.__dict__[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises:
            AttributeError: there is none.
        """
        return self._get_member(target, _PARAMETER_NAMES, "get_parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path.

        Raises:
            AttributeError: there is none.
        """
        return self._get_member(target, _BUFFER_NAMES, "get_buffer")

    # ---------------------------------------------------------------- what is done with all

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Calls ``fn(module)`` on every module of the tree, children before parents."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Puts the whole tree in training mode, or in evaluation mode with ``mode=False``."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be a bool; got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Puts the whole tree in evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Says for every parameter whether it is to be trained."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients: to None, or to zeros in place."""
        for parameter in self.parameters():
            gradient = parameter._grad
            if gradient is None or set_to_none:
                parameter._grad = None
            else:
                note_write(gradient)
                gradient._data[...] = 0

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Converts in place: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(tensor)``.

        A dtype applies to the floating-point and complex parameters and buffers.

        Raises:
            TypeError: the dtype is not floating point or complex.
            DeviceError: there is no such device.
        """
        wanted = _conversion_target(args, kwargs)
        if wanted is None:
            return self
        if wanted.kind not in "fc":
            raise TypeError(f"to: dtype must be floating point or complex; got {wanted}")
        return self._convert(lambda x: x.astype(wanted, copy=False) if x.dtype.kind in "fc" else x)

    def type(self, dst_type: Any) -> Self:
        """Converts every parameter and buffer to a dtype, in place."""
        wanted = dtypes.as_dtype(dst_type, "type")
        return self._convert(lambda x: x.astype(wanted, copy=False))

    def half(self) -> Self:
        """Converts the floating-point parameters and buffers to float16."""
        return self._to_float(dtypes.float16)

    def float(self) -> Self:
        """Converts the floating-point parameters and buffers to float32."""
        return self._to_float(dtypes.float32)

    def double(self) -> Self:
        """Converts the floating-point parameters and buffers to float64."""
        return self._to_float(dtypes.float64)

    def cpu(self) -> Self:
        """The module itself: it is on the CPU."""
        return self

    def _to_float(self, wanted: np.dtype) -> Self:
        return self._convert(lambda x: x.astype(wanted, copy=False) if x.dtype.kind == "f" else x)

    def _convert(self, convert: Callable[[np.ndarray], np.ndarray]) -> Self:
        """Replaces the memory of every parameter, gradient and buffer that ``convert`` changes."""
        done = set()
        for module in self.modules():
            own = module.__dict__
            for name in (*own[_PARAMETER_NAMES], *own[_BUFFER_NAMES]):
                for tensor in () if own[name] is None else (own[name], own[name]._grad):
                    if tensor is None or id(tensor) in done:
                        continue
                    done.add(id(tensor))
                    array = convert(tensor._data)
                    if array is not tensor._data:
                        # A graph that kept the old memory keeps its version count with it.
                        tensor._data, tensor._memory, tensor._base = array, None, None
        return self

    # ---------------------------------------------------------------- state

    def get_extra_state(self) -> Any:
        """What, beside tensors, belongs in the state dict; override with `set_extra_state`."""
        raise NotImplementedError

    def set_extra_state(self, state: Any) -> None:
        """Takes what `get_extra_state` returned."""
        raise NotImplementedError

    def state_dict(
        self,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """The parameters and persistent buffers by dotted path, detached, sharing memory.

        Args:
            destination: the dict to add to, otherwise a new one.
            prefix: put before every name.
            keep_vars: the parameters themselves instead of detached tensors.
        """
        found: dict[str, Any] = {} if destination is None else destination
        tree = list(self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False))
        for path, module in tree:
            lead = f"{path}." if path else ""
            hooks = module._state_hooks
            for hook in list(hooks.save_pre) if hooks else ():
                hook(module, lead, keep_vars)
            for name, tensor in module._state():
                found[lead + name] = tensor if keep_vars else tensor.detach()
            if type(module).get_extra_state is not Module.get_extra_state:
                found[f"{lead}_extra_state"] = module.get_extra_state()
        for path, module in reversed(tree):
            for hook in list(module._state_hooks.save_post) if module._state_hooks else ():
                hook(module, found, f"{path}." if path else "", {})
        return found

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        own = self.__dict__
        for name in own[_PARAMETER_NAMES]:
            if own[name] is not None:
                yield name, own[name]
        for name, persistent in own[_BUFFER_NAMES].items():
            if persistent and own[name] is not None:
                yield name, own[name]

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copies a state dict into the parameters and buffers, in place.

        Everything is checked first: where something does not fit, all of it is listed in one
        error, and nothing is changed.

        Args:
            state_dict: tensors (or arrays) by dotted path.
            strict: missing and unexpected keys are an error.
            assign: put the given tensors in the place of the module's instead of copying.

        Returns:
            ``(missing_keys, unexpected_keys)``.

        Raises:
            TypeError: ``state_dict`` is no mapping.
            RuntimeError: keys or shapes do not match.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: state_dict must be a mapping; got {type(state_dict).__name__}"
            )
        state = dict(state_dict)
        missing: list[str] = []
        used: set[str] = set()
        problems: list[str] = []
        copies: list[tuple[Module, str, Any]] = []
        extras: list[tuple[Module, Any]] = []
        tree = list(self.named_modules(remove_duplicate=False))
        for path, module in tree:
            lead = f"{path}." if path else ""
            unexpected: list[str] = []
            for hook in list(module._state_hooks.load_pre) if module._state_hooks else ():
                hook(module, state, lead, {}, strict, missing, unexpected, problems)
            for name, tensor in module._state():
                key = lead + name
                if key not in state:
                    missing.append(key)
                    continue
                used.add(key)
                problem = _misfit(key, tensor, state[key])
                if problem:
                    problems.append(problem)
                else:
                    copies.append((module, name, state[key]))
            if type(module).set_extra_state is not Module.set_extra_state:
                key = f"{lead}_extra_state"
                if key in state:
                    used.add(key)
                    extras.append((module, state[key]))
                else:
                    missing.append(key)
        result = IncompatibleKeys(missing, [key for key in state if key not in used])
        if strict:
            for what, keys in (("missing", missing), ("unexpected", result.unexpected_keys)):
                if keys:
                    problems.append(f"{what} keys: {', '.join(map(repr, keys))}")
        if problems:
            raise RuntimeError(
                f"load_state_dict: the state dict does not fit {type(self).__name__}:\n    "
                + "\n    ".join(problems)
            )
        for module, name, value in copies:
            _load(module, name, value, assign)
        for module, extra in extras:
            module.set_extra_state(extra)
        for _, module in tree:
            for hook in list(module._state_hooks.load_post) if module._state_hooks else ():
                hook(module, result)
        return result

    # ---------------------------------------------------------------- calling, and hooks

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._hooks.run(self, args, kwargs)

    def _hooked(self) -> _Hooks:
        if self._hooks is None:
            self.__dict__["_hooks"] = _Hooks()
        return self._hooks  # type: ignore[return-value]

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, args)`` before ``forward``; what it returns replaces the arguments.

        Args:
            hook: returns None, a tuple of arguments, or a single one.
            prepend: run it before the hooks that are there.
            with_kwargs: call ``hook(module, args, kwargs)``, which returns None or both.
        """
        _check_hook("register_forward_pre_hook", hook)
        entry = functools.partial(_run_pre_hook, hook, with_kwargs)
        return RemovableHandle(self._hooked().forward_pre, entry, prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Calls ``hook(module, args, output)`` after ``forward``; a result replaces the output.

        Args:
            hook: returns None or another output.
            prepend: run it before the hooks that are there.
            with_kwargs: call ``hook(module, args, kwargs, output)``.
            always_call: also where ``forward`` raised, with None for the output.
        """
        _check_hook("register_forward_hook", hook)
        entry = _ForwardHook(hook, with_kwargs, always_call)
        return RemovableHandle(self._hooked().forward, entry, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, grad_output)`` when the gradients of the outputs are known.

        What it returns (a tensor or a tuple) replaces them.
        """
        _check_hook("register_full_backward_pre_hook", hook)
        return RemovableHandle(self._hooked().backward_pre, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, grad_input, grad_output)`` when the inputs' gradients are known.

        Both are tuples with an entry per positional argument, or output: None where there is no
        gradient. What the hook returns (a tensor or a tuple) replaces ``grad_input``.
        """
        _check_hook("register_full_backward_hook", hook)
        return RemovableHandle(self._hooked().backward, hook, prepend)

    def _state_hooked(self, hook: Any, caller: str) -> _StateHooks:
        _check_hook(caller, hook)
        if self._state_hooks is None:
            self.__dict__["_state_hooks"] = _StateHooks()
        return self._state_hooks  # type: ignore[return-value]

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(module, prefix, keep_vars)`` before the module's state is gathered."""
        hooks = self._state_hooked(hook, "register_state_dict_pre_hook")
        return RemovableHandle(hooks.save_pre, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, {})``, which may change the dict in place."""
        hooks = self._state_hooked(hook, "register_state_dict_post_hook")
        return RemovableHandle(hooks.save_post, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, {}, strict, missing, unexpected, errors)``.

        It may change the (copied) dict and the lists in place.
        """
        hooks = self._state_hooked(hook, "register_load_state_dict_pre_hook")
        return RemovableHandle(hooks.load_pre, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(module, incompatible_keys)`` after a state dict was loaded."""
        hooks = self._state_hooked(hook, "register_load_state_dict_post_hook")
        return RemovableHandle(hooks.load_post, hook)

    # ---------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """What the ``repr`` shows of the module's own settings."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        own = self.__dict__
        children = [
            f"({name}): " + repr(own[name]).replace("\n", "\n  ")
            for name in own.get(_MODULE_NAMES, ())
        ]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        body = "\n  ".join(lines + children)
        return f"{self._get_name()}(\n  {body}\n)"


def _advice(value: Any) -> str:
    return ": wrap it, lucid.nn.Parameter(tensor)" if isinstance(value, Tensor) else ""


def _conversion_target(args: tuple[Any, ...], kwargs: dict[str, Any]) -> np.dtype | None:
    """The dtype that the arguments of ``to`` name, with the device checked."""
    unknown = set(kwargs) - {"device", "dtype", "non_blocking", "copy"}
    if unknown:
        raise TypeError(f"to: has no argument {unknown.pop()!r}; it has device and dtype")
    wanted = kwargs.get("dtype")
    as_device(kwargs.get("device"))
    for arg in args:
        if isinstance(arg, Tensor):
            wanted = arg.dtype
        elif isinstance(arg, device):
            as_device(arg)
        elif isinstance(arg, str):
            try:
                wanted = dtypes.as_dtype(arg, "to")
            except TypeError:
                as_device(arg)
        elif isinstance(arg, bool):
            continue  # PyTorch's non_blocking
        elif arg is not None:
            wanted = arg
    return None if wanted is None else dtypes.as_dtype(wanted, "to")


def _misfit(key: str, tensor: Tensor, value: Any) -> str:
    """Why ``value`` cannot be loaded into ``tensor``; empty if it can."""
    if not isinstance(value, (Tensor, np.ndarray, np.generic)):
        return f"{key}: must be a Tensor or an array; got {type(value).__name__}"
    if value.shape != tensor.shape:
        return f"{key}: must have shape {tensor.shape}; got {value.shape}"
    if value.dtype.kind == "c" and tensor.dtype.kind != "c":
        return f"{key}: must be real, of dtype {tensor.dtype}; got {value.dtype}"
    return ""


def _load(module: Module, name: str, value: Any, assign: bool) -> None:
    tensor = module.__dict__[name]
    if not assign:
        source = value._data if isinstance(value, Tensor) else value
        note_write(tensor)
        np.copyto(tensor._data, source, casting="unsafe")
        return
    if not isinstance(value, Tensor):
        value = wrap(to_array(value, None, "load_state_dict", copy=False))
    if isinstance(tensor, Parameter) and not isinstance(value, Parameter):
        value = Parameter(value, tensor._requires_grad)
    setattr(module, name, value)


# -------------------------------------------------------------------- hooks


def _check_hook(caller: str, hook: Any) -> None:
    if not callable(hook):
        raise TypeError(f"{caller}: hook must be callable; got {type(hook).__name__}")


def _run_pre_hook(
    hook: Callable[..., Any], with_kwargs: bool, module: Module, args: Any, kwargs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if with_kwargs:
        result = hook(module, args, kwargs)
        if result is None:
            return args, kwargs
        if not isinstance(result, tuple) or len(result) != 2:
            raise RuntimeError(
                "forward pre-hook: must return None or the tuple (args, kwargs); "
                f"got {type(result).__name__}"
            )
        return result
    result = hook(module, args)
    if result is None:
        return args, kwargs
    return (result if isinstance(result, tuple) else (result,)), kwargs


class _ForwardHook:
    """A forward hook and how it is to be called."""

    __slots__ = ("always", "hook", "with_kwargs")

    def __init__(self, hook: Callable[..., Any], with_kwargs: bool, always: bool) -> None:
        self.hook, self.with_kwargs, self.always = hook, with_kwargs, always

    def __call__(self, module: Module, args: Any, kwargs: Any, out: Any) -> Any:
        result = (
            self.hook(module, args, kwargs, out)
            if self.with_kwargs
            else self.hook(module, args, out)
        )
        return out if result is None else result


class _Hooks:
    """The hooks around a module's ``forward`` and its backward pass."""

    __slots__ = ("backward", "backward_pre", "forward", "forward_pre")

    def __init__(self) -> None:
        self.forward_pre: list[Any] = []
        self.forward: list[Any] = []
        self.backward_pre: list[Any] = []
        self.backward: list[Any] = []

    def run(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls ``forward`` with everything around it."""
        for hook in list(self.forward_pre):
            args, kwargs = hook(module, args, kwargs)
        watch = None
        if (self.backward or self.backward_pre) and grad_mode.recording:
            watch = _BackwardWatch(module, self)
            args = watch.enter(args)
        called = set()
        try:
            out = module.forward(*args, **kwargs)
            for hook in list(self.forward):
                called.add(hook)
                out = hook(module, args, kwargs, out)
        except Exception:
            for hook in list(self.forward):
                if hook.always and hook not in called:
                    hook(module, args, kwargs, None)
            raise
        return out if watch is None else watch.leave(out)


class _StateHooks:
    """The hooks around saving and loading a module's state."""

    __slots__ = ("load_post", "load_pre", "save_post", "save_pre")

    def __init__(self) -> None:
        self.save_pre: list[Any] = []
        self.save_post: list[Any] = []
        self.load_pre: list[Any] = []
        self.load_post: list[Any] = []


class _BackwardWatch:
    """Runs the backward hooks of one call, at gates that its inputs and outputs pass through."""

    def __init__(self, module: Module, hooks: _Hooks) -> None:
        self.module, self.hooks = module, hooks
        self.inputs = 0
        self.gated = False
        self.grad_output: tuple[Any, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.inputs = len(args)
        places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        self.gated = any(args[i].requires_grad for i in places)
        if not self.gated:
            return args
        return tuple(_through_gate(args, places, self._input_gradients))

    def leave(self, out: Any) -> Any:
        if isinstance(out, Tensor):
            return _through_gate([out], [0], self._output_gradients)[0]
        if isinstance(out, (tuple, list)):
            places = [i for i, x in enumerate(out) if isinstance(x, Tensor)]
            passed = _through_gate(out, places, self._output_gradients)
            return type(out)(*passed) if hasattr(out, "_fields") else type(out)(passed)
        return out

    def _output_gradients(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in list(self.hooks.backward_pre):
            gradients = _replaced(hook(self.module, gradients), gradients, "pre-hook")
        self.grad_output = gradients
        if not self.gated:
            for hook in list(self.hooks.backward):
                if hook(self.module, (None,) * self.inputs, gradients) is not None:
                    raise RuntimeError(
                        "full backward hook: no input requires grad, so there is no gradient to "
                        "replace; return None"
                    )
        return gradients

    def _input_gradients(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in list(self.hooks.backward):
            result = hook(self.module, gradients, self.grad_output)
            gradients = _replaced(result, gradients, "hook")
        return gradients


def _through_gate(values: Any, places: list[int], see: Callable[..., Any]) -> list[Any]:
    """``values`` with the tensors at ``places`` passed through one gate.

    ``see`` is called with a gradient for each of the values, None where there is none.
    """
    passed = list(values)

    def spread(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        everywhere: list[Any] = [None] * len(passed)
        for i, gradient in zip(places, gradients, strict=True):
            everywhere[i] = gradient
        seen = see(tuple(everywhere))
        return tuple(seen[i] for i in places)

    for i, tensor in zip(places, gate([values[i] for i in places], spread), strict=True):
        passed[i] = tensor
    return passed


def _replaced(result: Any, gradients: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if result is None:
        return gradients
    result = result if isinstance(result, tuple) else (result,)
    if len(result) != len(gradients):
        raise RuntimeError(
            f"full backward {what}: must return None or {len(gradients)} gradients; "
            f"got {len(result)}"
        )
    for new, old in zip(result, gradients, strict=True):
        if new is not None and (
            not isinstance(new, Tensor) or old is None or new.shape != old.shape
        ):
            raise RuntimeError(
                f"full backward {what}: a gradient must be a Tensor of shape "
                f"{None if old is None else old.shape}; got "
                f"{new.shape if isinstance(new, Tensor) else type(new).__name__}"
            )
    return result
