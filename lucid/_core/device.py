"""Devices: the CPU today. The seam for a second one is :mod:`lucid._backend`."""

from __future__ import annotations

from typing import Any

from lucid.errors import DeviceError


class device:  # noqa: N801
    """Where a tensor lives. ``device("cpu")`` is the only one this build has."""

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: str | device = "cpu", index: int | None = None) -> None:
        name = type.type if isinstance(type, device) else type
        if not isinstance(name, str):
            raise TypeError(f'device: type must be a string such as "cpu"; got {name!r}')
        if name.partition(":")[0] != "cpu" or name.partition(":")[2] not in ("", "0"):
            raise DeviceError(f'device: this build of lucid has the device "cpu"; got {name!r}')
        self.type = "cpu"
        self.index = index

    def __repr__(self) -> str:
        return f"device(type='{self.type}')"

    def __str__(self) -> str:
        return self.type

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, device) and other.type == self.type or other == self.type

    def __hash__(self) -> int:
        return hash(self.type)


CPU = device("cpu")


def as_device(value: Any) -> device:
    """The device that ``value`` names; ``None`` is the CPU."""
    return CPU if value is None else value if isinstance(value, device) else device(value)
