from typing import Final

LEVELS: Final[tuple[str, ...]]
level: Final[str]
"""The instruction set that the kernels use in this process: one of `LEVELS`."""

multiversion: Final[bool]
"""Whether the build has a copy of the kernels per instruction set."""
