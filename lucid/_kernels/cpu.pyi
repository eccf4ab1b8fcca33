LEVELS: tuple[str, ...]
level: str
"""The instruction set that the kernels use in this process."""
multiversion: bool
"""Whether the build has more than the baseline."""
