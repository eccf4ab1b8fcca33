from typing import Any

class Slot:
    """One slot of a class: ``Slot(Tensor._data)``."""

    def __init__(self, descriptor: Any) -> None: ...
    def values(self, objects: list[Any]) -> list[Any]:
        """The values in order, without None. TypeError as for `distinct`."""

    def distinct(self, objects: list[Any]) -> list[Any]:
        """The values in order, each object once, without None.

        TypeError where an object is not of the slot's class.
        """

    def increment(self, objects: list[Any], of: Slot) -> None:
        """Adds 1 to this slot of what the objects have in the slot ``of``, if that is not None."""

def classes(objects: list[Any]) -> list[type]:
    """The classes of the objects, each once."""

class Maker:
    """Makes objects of a class with slots in one call: ``Maker(Point, "x", y=None)(x)``.

    The class's own ``__init__`` is not called.
    """

    def __init__(self, cls: type, *given: str, **fixed: Any) -> None: ...
    def __call__(self, *values: Any) -> Any: ...
