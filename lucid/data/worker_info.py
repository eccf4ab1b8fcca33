"""Which worker process this is.

Apart from :mod:`lucid.data.worker`, which needs ``multiprocessing`` and is imported when it is.
"""

from __future__ import annotations

from typing import NamedTuple

from lucid.data.dataset import Dataset


class WorkerInfo(NamedTuple):
    """Which worker process this is.

    Attributes:
        id: 0 to ``num_workers - 1``.
        num_workers: how many there are.
        seed: what this worker's random generators were seeded with.
        dataset: this process's copy of the data set.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Dataset


current: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process of a :class:`lucid.data.DataLoader`, which one it is; else ``None``.

    Example:
        >>> lucid.data.get_worker_info() is None
        True
    """
    return current
