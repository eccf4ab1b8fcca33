def set_limit(size: int) -> None:
    """Keeps at most ``size`` bytes of freed blocks; 0 switches the pool off."""

def clear() -> None:
    """Gives all freed blocks back to the system."""

def stats() -> dict[str, int]:
    """``limit``, ``cached`` and ``in_use`` in bytes; ``hits`` and ``misses`` in allocations."""
