"""From indices to a batch: the part of loading that is the same in a worker and without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from lucid.data.collate import default_collate
from lucid.data.dataset import Dataset, Subset, TensorDataset


class Recipe(NamedTuple):
    """All that a worker needs to know to make batches.

    Attributes:
        batched: samples come in batches; otherwise each goes through ``collate`` by itself.
        stream: the size of a batch where the data set is a stream, and whether the last may be
            left out; None where items are read by index.
    """

    dataset: Dataset
    collate: Callable[[Any], Any]
    batched: bool
    stream: tuple[int, bool] | None

    def reader(self) -> Callable[[Any], Any]:
        """A function from what the sampler gives to a batch, for a data set with items by index."""
        dataset, collate = self.dataset, self.collate
        if not self.batched:
            return lambda index: collate(dataset[index])
        gather = _gather_of(dataset) if collate is default_collate else None
        if gather is not None:
            return gather
        if hasattr(dataset, "__getitems__"):
            return lambda indices: collate(dataset.__getitems__(indices))
        return lambda indices: collate([dataset[i] for i in indices])

    def batches(self) -> Iterator[Any]:
        """The batches of a data set that is a stream."""
        assert self.stream is not None
        size, drop_last = self.stream
        samples = iter(self.dataset)
        if not self.batched:
            yield from map(self.collate, samples)
            return
        while batch := list(islice(samples, size)):
            if len(batch) < size and drop_last:
                return
            yield self.collate(batch)


def _gather_of(dataset: Dataset) -> Callable[[Any], Any] | None:
    """One read for a whole batch, where items are rows of tensors and no subclass changes them."""
    read = type(dataset).__getitem__
    if read is TensorDataset.__getitem__:
        return dataset.gather  # type: ignore[attr-defined]
    if read is Subset.__getitem__:
        gather = _gather_of(dataset.dataset)  # type: ignore[attr-defined]
        if gather is not None:
            chosen = np.asarray(dataset.indices, dtype=np.intp)  # type: ignore[attr-defined]
            return lambda indices: gather(chosen[indices])
    return None
