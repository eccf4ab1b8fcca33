"""Whether operations are recorded: one switch per thread, as context managers and decorators."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from lucid._core.tape import mode

__all__ = [
    "anomaly",
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "mode",
    "no_grad",
    "set_grad_enabled",
]

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])


class _Anomaly:
    """Process-wide, as in PyTorch: "trace": remember where operations are called; "nan": and
    look for NaNs in backward."""

    __slots__ = ("mode",)

    mode: str


anomaly = _Anomaly()
anomaly.mode = ""


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return mode.recording


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside :class:`inference_mode`."""
    return mode.inference


class _Switch:
    """A context manager, also usable as a decorator, that holds ``mode`` at some values."""

    __slots__ = ("_outside", "_values")

    def __init__(self, **values: Any) -> None:
        self._values = values
        self._outside: list[dict[str, Any]] = []

    def _set(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(mode, name, value)

    def __enter__(self) -> None:
        self._outside.append({name: getattr(mode, name) for name in self._values})
        self._set(self._values)

    def __exit__(self, *exc: object) -> None:
        self._set(self._outside.pop())

    def _fresh(self) -> _Switch:
        """A switch of its own per call: a decorated function may recurse, or run in threads."""
        return _Switch(**self._values)

    def __call__(self, function: AnyCallable) -> AnyCallable:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                # Active only while the generator itself runs, never in its consumer.
                iterator = function(*args, **kwargs)
                send, value = iterator.send, None
                while True:
                    try:
                        with self._fresh():
                            item = send(value)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        send, value = iterator.send, (yield item)
                    except GeneratorExit:
                        iterator.close()
                        raise
                    except BaseException as error:
                        send, value = iterator.throw, error

            return generator  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class _GradSwitch(_Switch):
    """Turns recording on or off."""

    __slots__ = ()

    def __init__(self, enabled: bool, **more: Any) -> None:
        super().__init__(recording=enabled, **more)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # PyTorch's decorators are written with and without parentheses: both work.
        self = super().__new__(cls)
        if len(args) == 1 and callable(args[0]):
            self.__init__()  # type: ignore[misc]
            return self(args[0])
        return self


class no_grad(_GradSwitch):  # noqa: N801
    """Nothing is recorded inside: for evaluation, and for changing parameters in place.

    Example:
        >>> w = lucid.ones(2, requires_grad=True)
        >>> with lucid.no_grad():
        ...     y = w * 2
        >>> y.requires_grad
        False
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_GradSwitch):  # noqa: N801
    """Operations are recorded inside, also within :class:`no_grad`."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_GradSwitch):  # noqa: N801
    """:class:`no_grad` under PyTorch's name for evaluation; ``inference_mode(False)``: a no-op."""

    __slots__ = ()

    def __init__(self, mode: bool = True) -> None:
        if mode:
            super().__init__(False, inference=True)
        else:
            _Switch.__init__(self)


class set_grad_enabled(_Switch):  # noqa: N801
    """Turns recording on or off: at once as a function, until its end as a context manager."""

    __slots__ = ()

    def __init__(self, mode: bool) -> None:
        super().__init__(recording=bool(mode))
        self.__enter__()

    def __enter__(self) -> None:
        if not self._outside:  # entered once, by the call itself
            super().__enter__()

    def __call__(self, function: AnyCallable) -> AnyCallable:
        _Switch.__exit__(self)  # used as a decorator: nothing outside the function changes
        return super().__call__(function)
