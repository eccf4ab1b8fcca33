"""In which order a data set is visited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np

from lucid import random
from lucid._core.tensor import Tensor, to_array

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


class Sampler:
    """An order of indices. A subclass defines ``__iter__`` and, where it is known, ``__len__``."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class SequentialSampler(Sampler):
    """``0, 1, ..., len(data_source) - 1``."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Indices in random order, another one each time.

    Args:
        data_source: anything with a length.
        replacement: draw each index independently instead of shuffling all.
        num_samples: how many to draw; the length of ``data_source`` by default. Without
            replacement, more than that begin another shuffle.
        generator: the source of randomness; lucid's own by default.

    Example:
        >>> sampler = lucid.data.RandomSampler(range(5), generator=lucid.Generator())
        >>> sorted(sampler)
        [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: random.Generator | None = None,
    ) -> None:
        if num_samples is not None:
            _check_count(num_samples, "RandomSampler", "num_samples")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        count, left = len(self.data_source), self.num_samples
        if count == 0 and left:
            raise ValueError(f"RandomSampler: cannot draw {left} samples from an empty data_source")
        if self.replacement:
            size = (left,)
            yield from random.randint(0, max(count, 1), size, generator=self.generator).tolist()
            return
        while left > 0:
            order = random.permutation(count, generator=self.generator).tolist()
            yield from order[:left]
            left -= count

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in random order, another one each time."""

    def __init__(self, indices: Sequence[int], generator: random.Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in random.permutation(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices ``0 .. len(weights) - 1`` drawn with probabilities proportional to ``weights``.

    Args:
        weights: one non-negative number per item; they need not add up to 1.
        num_samples: how many to draw.
        replacement: whether an index can be drawn more than once.
        generator: the source of randomness; lucid's own by default.

    Raises:
        ValueError: a weight is negative or not finite, or fewer indices have a positive weight
            than are to be drawn.

    Example:
        >>> list(lucid.data.WeightedRandomSampler([0, 0, 1], num_samples=4))
        [2, 2, 2, 2]
    """

    def __init__(
        self,
        weights: Sequence[float] | Tensor | np.ndarray,
        num_samples: int,
        replacement: bool = True,
        generator: random.Generator | None = None,
    ) -> None:
        _check_count(num_samples, "WeightedRandomSampler", "num_samples")
        array = to_array(weights, np.float64, "WeightedRandomSampler", copy=True)
        if array.ndim != 1 or not (np.isfinite(array).all() and (array >= 0).all()):
            raise ValueError(
                "WeightedRandomSampler: weights must be one finite, non-negative number per item"
            )
        positive = int(np.count_nonzero(array))
        if positive < (1 if replacement else num_samples):
            how = "with" if replacement else "without"
            raise ValueError(
                f"WeightedRandomSampler: cannot draw {num_samples} samples {how} replacement from "
                f"{positive} positive weights"
            )
        self.weights = array
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        count = self.num_samples if self.replacement else len(self.weights)
        uniform = random.rand(count, dtype=np.float64, generator=self.generator).numpy()
        if self.replacement:
            ends = np.cumsum(self.weights / self.weights.max())
            drawn = np.searchsorted(ends, uniform * ends[-1], side="right")
            # uniform * end can round up to end itself, one past the last index.
            return iter(np.minimum(drawn, np.flatnonzero(self.weights)[-1]).tolist())
        # Efraimidis and Spirakis 2006: the largest u^(1/w) are such a sample, in order of drawing.
        with np.errstate(divide="ignore"):
            keys = np.log1p(-uniform) / self.weights
        keys[self.weights == 0] = -np.inf
        return iter(np.argsort(-keys, kind="stable")[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices from another sampler.

    Args:
        sampler: any iterable of indices.
        batch_size: how many go into a batch.
        drop_last: leave out the last batch if it is smaller.

    Example:
        >>> list(lucid.data.BatchSampler(range(5), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        _check_count(batch_size, "BatchSampler", "batch_size")
        if not isinstance(drop_last, bool):
            raise TypeError(f"BatchSampler: drop_last must be a bool; got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + (rest > 0 and not self.drop_last)


def _check_count(value: Any, caller: str, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{caller}: {name} must be a positive int; got {value!r}")
    if value <= 0:
        raise ValueError(f"{caller}: {name} must be a positive int; got {value!r}")
