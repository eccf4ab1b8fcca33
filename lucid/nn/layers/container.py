"""Modules and parameters in lists and dicts that register what they hold."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from lucid._core.tensor import Tensor
from lucid.nn.module import Module
from lucid.nn.parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _Listed(Module):
    """Modules named "0", "1", ...: what Sequential and ModuleList share."""

    def _members(self) -> list[Any]:
        return [self.__dict__[name] for name in self._module_names]

    def _replace(self, modules: Iterable[Module]) -> None:
        """Renames everything, in a new order."""
        modules = list(modules)
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"{type(self).__name__}: item {i} must be a Module; got {type(module).__name__}"
                )
        for name in list(self._module_names):
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def _place(self, index: Any, limit: int | None = None) -> int:
        count = len(self) if limit is None else limit
        place = operator.index(index)
        if not -count <= place < count:
            raise IndexError(
                f"{type(self).__name__}: index must be in [{-count}, {count - 1}]; got {place}"
            )
        return place % count

    def _name(self, index: Any) -> str:
        return list(self._module_names)[self._place(index)]

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._members())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)._of(self._selected(index))
        return self.__dict__[self._name(index)]

    def _selected(self, index: slice) -> dict[str, Module]:
        return {name: self.__dict__[name] for name in list(self._module_names)[index]}

    @classmethod
    def _of(cls, modules: dict[str, Module]) -> Self:
        self = cls.__new__(cls)
        Module.__init__(self)
        for i, module in enumerate(modules.values()):
            self.add_module(str(i), module)
        return self

    def __setitem__(self, index: Any, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __delitem__(self, index: Any) -> None:
        members = self._members()
        if not isinstance(index, slice):
            index = self._place(index)
        del members[index]
        self._replace(members)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}: extend takes an iterable; got {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Puts a module before the one at ``index``."""
        members = self._members()
        count = len(members)
        place = operator.index(index)
        if not -count <= place <= count:
            raise IndexError(
                f"{type(self).__name__}: index must be in [{-count}, {count}]; got {place}"
            )
        members.insert(place, module)
        self._replace(members)
        return self

    def pop(self, index: int = -1) -> Any:
        """Takes a module out."""
        module = self[index]
        del self[index]
        return module

    def __add__(self, other: Iterable[Module]) -> Self:
        if not isinstance(other, _Listed):
            return NotImplemented
        return type(self)._of(dict(enumerate([*self, *other])))  # type: ignore[arg-type]

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)


class Sequential(_Listed):
    """Modules called one after the other.

    Args:
        args: modules, or a single dict of them by name.

    Example:
        >>> model = lucid.nn.Sequential(lucid.nn.Linear(4, 8), lucid.nn.ReLU())
        >>> model(lucid.ones(2, 4)).shape
        (2, 8)
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    @classmethod
    def _of(cls, modules: dict[str, Module]) -> Self:
        self = cls.__new__(cls)
        Module.__init__(self)
        for name, module in modules.items():
            self.add_module(str(name), module)
        return self

    def __delitem__(self, index: Any) -> None:
        names = list(self._module_names)
        for name in names[index] if isinstance(index, slice) else [self._name(index)]:
            delattr(self, name)
        if all(name.isdigit() for name in self._module_names):
            self._replace(self._members())

    def forward(self, input: Any) -> Any:
        own = self.__dict__
        for name in own["_module_names"]:
            input = own[name](input)
        return input


class ModuleList(_Listed):
    """A list of modules.

    Args:
        modules: an iterable of modules.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)


class ModuleDict(Module):
    """Modules by name, in the order in which they were added.

    Args:
        modules: a mapping, or an iterable of (name, module) pairs.
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._module_names:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_names)

    def __contains__(self, key: object) -> bool:
        return key in self._module_names

    def clear(self) -> None:
        """Takes everything out."""
        for key in list(self._module_names):
            delattr(self, key)

    def pop(self, key: str) -> Any:
        """Takes a module out."""
        module = self[key]
        del self[key]
        return module

    def keys(self) -> Any:
        """The names."""
        return self._module_names.keys()

    def values(self) -> list[Any]:
        """The modules."""
        return [self.__dict__[key] for key in self._module_names]

    def items(self) -> list[tuple[str, Any]]:
        """Names and modules."""
        return [(key, self.__dict__[key]) for key in self._module_names]

    def update(self, modules: Any) -> None:
        """Adds the modules of a mapping or of an iterable of pairs."""
        for key, module in modules.items() if hasattr(modules, "items") else modules:
            self[key] = module


def _as_parameter(value: Any) -> Any:
    """Tensors become parameters, as in PyTorch; anything else stays what it is."""
    return (
        Parameter(value)
        if isinstance(value, Tensor) and not isinstance(value, Parameter)
        else value
    )


class ParameterList(Module):
    """A list of parameters; plain tensors become parameters.

    Args:
        values: an iterable.
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name(self, index: Any) -> str:
        place = operator.index(index)
        if not -self._size <= place < self._size:
            raise IndexError(
                f"ParameterList: index must be in [{-self._size}, {self._size - 1}]; got {place}"
            )
        return str(place % self._size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ParameterList([self[i] for i in range(self._size)[index]])
        return self.__dict__[self._name(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        setattr(self, self._name(index), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self.__dict__[str(i)] for i in range(self._size)])

    def append(self, value: Any) -> Self:
        """Adds a parameter at the end."""
        setattr(self, str(self._size), _as_parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Adds parameters at the end."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(
                f"ParameterList: extend takes an iterable of tensors; got {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def pop(self, index: int = -1) -> Any:
        """Takes a parameter out."""
        values = list(self)
        value = values.pop(index)
        for i in range(self._size):
            delattr(self, str(i))
        self._size = 0
        self.extend(values)
        return value

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): {_described(value)}" for i, value in enumerate(self))


class ParameterDict(Module):
    """Parameters by name, in the order in which they were added; tensors become parameters.

    Args:
        parameters: a mapping, or an iterable of (name, parameter) pairs.
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: keys must be str; got {type(key).__name__}")
        if key not in self._keys and (key in self.__dict__ or hasattr(type(self), key)):
            raise KeyError(f"ParameterDict: {key!r} is the name of an attribute of ParameterDict")
        setattr(self, key, _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)
        del self._keys[key]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of that name, or ``default``."""
        return self[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter of that name, set to ``default`` if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Takes everything out."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Takes a parameter out."""
        value = self[key]
        del self[key]
        return value

    def keys(self) -> Any:
        """The names."""
        return self._keys.keys()

    def values(self) -> list[Any]:
        """The parameters."""
        return [self[key] for key in self]

    def items(self) -> list[tuple[str, Any]]:
        """Names and parameters."""
        return [(key, self[key]) for key in self]

    def update(self, parameters: Any) -> None:
        """Adds the parameters of a mapping or of an iterable of pairs."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def extra_repr(self) -> str:
        return "\n".join(f"({key}): {_described(value)}" for key, value in self.items())


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        sizes = "x".join(map(str, value.shape))
        return f"{type(value).__name__} containing: [lucid.{value.dtype.name} of size {sizes}]"
    return f"Object of type: {type(value).__name__}"
