"""The pool that large results of kernels are allocated from.

A training step makes and drops the same large arrays again and again; taken from the system each
time, they cost more in page faults than in arithmetic. The pool keeps freed blocks, up to a limit,
and hands them out again. Arrays that NumPy makes are not concerned. Matrix products keep a block
of their own, the workspace that they pack operands into, of at most 16 MiB.
"""

from __future__ import annotations

import operator

from lucid._kernels import gemm as _gemm
from lucid._kernels import memory as _pool

__all__ = ["clear", "set_limit", "stats"]


def stats() -> dict[str, int]:
    """``limit``, ``cached``, ``in_use`` and ``workspace`` in bytes; ``hits`` and ``misses`` count.

    ``cached`` is what the pool keeps of freed blocks, ``workspace`` what matrix products keep.

    Example:
        >>> sorted(lucid.memory.stats())
        ['cached', 'hits', 'in_use', 'limit', 'misses', 'workspace']
    """
    return {**_pool.stats(), "workspace": _gemm.kept()}


def set_limit(size: int) -> None:
    """Keeps at most ``size`` bytes of freed blocks (1 GiB by default); 0 switches the pool off.

    Raises:
        TypeError, ValueError: ``size`` is no integer, or negative.
    """
    limit = operator.index(size)
    if limit < 0:
        raise ValueError(f"set_limit: size must be a number of bytes, at least 0; got {size}")
    _pool.set_limit(limit)


def clear() -> None:
    """Gives all freed blocks, and the workspace of matrix products, back to the system."""
    _pool.clear()
    _gemm.release()
