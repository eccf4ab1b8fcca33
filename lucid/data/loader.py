"""The DataLoader: batches of a data set, in a chosen order, read by worker processes if wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

from lucid import random
from lucid.data.collate import default_collate, default_convert
from lucid.data.dataset import IterableDataset
from lucid.data.fetch import Recipe
from lucid.data.sampler import BatchSampler, RandomSampler, SequentialSampler, _check_count

if TYPE_CHECKING:
    from lucid.data.worker import Workers

__all__ = ["DataLoader"]


class DataLoader:
    """Batches of a data set; iterating over it again begins another epoch.

    The order depends on the generator's state alone, not on the number of workers.

    Args:
        dataset: a :class:`Dataset`, or anything with ``__getitem__`` and ``__len__``; or an
            :class:`IterableDataset`.
        batch_size: items in a batch; ``None``: samples come one by one, not in batches.
        shuffle: visit the items in a random order, another one each epoch.
        sampler: the order of the indices, instead of ``shuffle``.
        batch_sampler: lists of indices, instead of ``batch_size``, ``shuffle``, ``sampler`` and
            ``drop_last``.
        num_workers: processes that read batches ahead; 0: the calling one reads them.
        collate_fn: a function from a list of samples to a batch.
        pin_memory: accepted for PyTorch's sake; means nothing on the CPU.
        drop_last: leave out the last batch if it is smaller.
        timeout: seconds to wait for a batch of a worker; 0: as long as it lives.
        worker_init_fn: called in each worker with its number before it reads anything.
        multiprocessing_context: "fork", "spawn" or "forkserver", or a context of Python's
            ``multiprocessing``; Python's own default if it is not given.
        generator: the source of randomness of ``shuffle`` and of the workers' seeds; lucid's own
            by default.
        prefetch_factor: how many batches each worker is ahead; 2 by default.
        persistent_workers: keep the workers from one epoch to the next.

    Raises:
        TypeError, ValueError: arguments that are wrong or exclude each other.
        RuntimeError: while iterating, if a worker dies or takes longer than ``timeout``. An
            exception raised in a worker is raised here too, with the worker's traceback as a note.

    Example:
        >>> data = lucid.data.TensorDataset(lucid.tensor([[1], [2], [3]]), lucid.tensor([0, 1, 0]))
        >>> for x, y in lucid.data.DataLoader(data, batch_size=2):
        ...     print(x.tolist(), y.tolist())
        [[1], [2]] [0, 1]
        [[3]] [0]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: random.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        self._is_stream = isinstance(dataset, IterableDataset)
        if batch_size is not None:
            _check_count(batch_size, "DataLoader", "batch_size")
        elif drop_last:
            raise ValueError("DataLoader: drop_last=True needs a batch_size; got None")
        if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must be an int >= 0; got {num_workers!r}")
        if not timeout >= 0:
            raise ValueError(f"DataLoader: timeout must be >= 0 seconds; got {timeout!r}")
        if num_workers == 0:
            for name, given in (
                ("prefetch_factor", prefetch_factor is not None),
                ("persistent_workers", persistent_workers),
                ("timeout", timeout > 0),
                ("multiprocessing_context", multiprocessing_context is not None),
            ):
                if given:
                    raise ValueError(f"DataLoader: {name} needs num_workers > 0; got 0")
        elif prefetch_factor is not None:
            _check_count(prefetch_factor, "DataLoader", "prefetch_factor")
        for name, function in (("collate_fn", collate_fn), ("worker_init_fn", worker_init_fn)):
            if function is not None and not callable(function):
                raise TypeError(
                    f"DataLoader: {name} must be callable; got {type(function).__name__}"
                )
        if self._is_stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: shuffle, sampler and batch_sampler need items by index; the data set "
                f"{type(dataset).__name__} is an IterableDataset"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other; got both")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last"
                )
            batch_size = None
        elif sampler is None and not self._is_stream:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_size is not None and not self._is_stream:
            assert sampler is not None
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self._workers: Workers | None = None
        self._recipe = Recipe(
            dataset,
            self.collate_fn,
            batched,
            (batch_size or 1, drop_last) if self._is_stream else None,
        )

    def __iter__(self) -> Iterator[Any]:
        # Drawn whether or not it is needed: the order is then the same for any num_workers.
        seed = random.randint(0, 2**62, (), generator=self.generator).item()
        order = repeat(None) if self._is_stream else iter(self.batch_sampler or self.sampler)  # type: ignore[arg-type]
        if self.num_workers:
            return self._from_workers(order, seed)
        if self._is_stream:
            return self._recipe.batches()
        return map(self._recipe.reader(), order)

    def _from_workers(self, order: Iterator[Any], seed: int) -> Iterator[Any]:
        # Not at the top: it would make importing lucid slower, and most loaders have no workers.
        from lucid.data.worker import Workers, as_context

        workers = self._workers
        if workers is None or not workers.alive:
            workers = Workers(
                self._recipe,
                self.num_workers,
                seed,
                self.worker_init_fn,
                as_context(self.multiprocessing_context),
                self.timeout,
            )
            if self.persistent_workers:
                self._workers = workers
        assert self.prefetch_factor is not None
        batches = workers.run(order, self.prefetch_factor)
        return batches if self.persistent_workers else _Closing(batches, workers)

    def __len__(self) -> int:
        if self._is_stream:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return (math.floor if self.drop_last else math.ceil)(count / self.batch_size)
        return len(self.batch_sampler or self.sampler)  # type: ignore[arg-type]


class _Closing:
    """Batches whose workers end with them."""

    def __init__(self, batches: Iterator[Any], workers: Workers) -> None:
        self._batches, self._workers = batches, workers

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._batches)
        except BaseException:
            self._workers.close()
            raise
