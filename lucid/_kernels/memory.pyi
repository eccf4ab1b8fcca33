from collections.abc import Callable
from typing import Any, TypeVar

from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")

def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """`np.zeros`, from the pool if large."""

def call(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """``function(*args, **kwargs)``, with the pool in force if an argument is a large array.

    For NumPy functions whose result is large where an argument is.
    """

def within(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """``function(*args, **kwargs)``, with the pool in force."""

def set_limit(size: int) -> None:
    """Keeps at most ``size`` bytes of freed blocks; 0 switches the pool off."""

def clear() -> None:
    """Gives all freed blocks back to the system."""

def stats() -> dict[str, int]:
    """``limit``, ``cached`` and ``in_use`` in bytes; ``hits`` and ``misses`` in allocations."""
