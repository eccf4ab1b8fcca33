"""What there is to learn from: items by index, or a stream of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from lucid import random
from lucid._core.tensor import Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]


class Dataset:
    """Items by index. A subclass defines ``__getitem__`` and, for most uses, ``__len__``.

    A subclass may also define ``__getitems__(indices)``, a list of several items at once, where
    that is faster; :class:`lucid.data.DataLoader` then uses it.

    Example:
        >>> class Squares(lucid.data.Dataset):
        ...     def __len__(self):
        ...         return 4
        ...
        ...     def __getitem__(self, index):
        ...         return index, index**2
        >>> list(lucid.data.DataLoader(Squares(), batch_size=3))
        [[tensor([0, 1, 2]), tensor([0, 1, 4])], [tensor([3]), tensor([9])]]
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """A stream of items. A subclass defines ``__iter__``.

    Under several workers each one iterates over a copy of the data set; to share the work among
    them, ``__iter__`` asks :func:`lucid.data.get_worker_info` which one it is.
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")

    def __add__(self, other: Dataset) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Tensors that agree in their first dimension; item ``i`` is the tuple of their rows ``i``.

    Args:
        tensors: one or several, e.g. the inputs ``(N, ...)`` and the targets ``(N,)``.

    Raises:
        TypeError: an argument is no tensor.
        ValueError: there is none, or one is 0-d, or their first dimensions differ.

    Example:
        >>> data = lucid.data.TensorDataset(lucid.tensor([[1.0], [2.0]]), lucid.tensor([0, 1]))
        >>> len(data), data[1]
        (2, (tensor([2.]), tensor(1)))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor; got none")
        for i, x in enumerate(tensors):
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"TensorDataset: tensors[{i}] must be a Tensor; got {type(x).__name__}"
                )
            if x.ndim == 0 or len(x) != len(tensors[0]):
                raise ValueError(
                    "TensorDataset: the tensors must have the same first dimension; got shapes "
                    + ", ".join(str(x.shape) for x in tensors)
                )
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([x[index] for x in self.tensors])

    def gather(self, indices: Sequence[int] | np.ndarray) -> list[Tensor]:
        """The items at ``indices``, already in a batch: one indexed read per tensor."""
        rows = np.asarray(indices, dtype=np.intp)
        return [x[rows] for x in self.tensors]


class Subset(Dataset):
    """The items of ``dataset`` at ``indices``, in that order.

    Raises:
        IndexError: when an item is read whose index the data set does not have.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray | Tensor) -> None:
        if isinstance(indices, (Tensor, np.ndarray)):
            indices = indices.tolist()
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        chosen = [self.indices[i] for i in indices]
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(chosen)
        return [self.dataset[i] for i in chosen]


class ConcatDataset(Dataset):
    """Several data sets, one after the other."""

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set; got none")
        for i, dataset in enumerate(self.datasets):
            if isinstance(dataset, IterableDataset):
                raise TypeError(
                    f"ConcatDataset: datasets[{i}] must have items by index; got the "
                    f"IterableDataset {type(dataset).__name__}: use ChainDataset"
                )
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} items")
        index = index % len(self)
        which = bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]


class ChainDataset(IterableDataset):
    """Several streams, one after the other."""

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self.datasets: list[Any] = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


def random_split(
    dataset: Dataset, lengths: Sequence[int | float], generator: random.Generator | None = None
) -> list[Subset]:
    """Divides a data set at random into parts that do not overlap.

    Args:
        dataset: what to divide.
        lengths: the number of items in each part, adding up to ``len(dataset)``; or fractions
            adding up to 1, each rounded down, the items left over going one each to the first
            parts.
        generator: the source of randomness; lucid's own by default.

    Raises:
        ValueError: the lengths do not add up.

    Example:
        >>> data = lucid.data.TensorDataset(lucid.zeros(10, 2))
        >>> [len(part) for part in lucid.data.random_split(data, [0.75, 0.25])]
        [8, 2]
    """
    count = len(dataset)  # type: ignore[arg-type]
    parts = list(lengths)
    if any(not part >= 0 for part in parts):
        raise ValueError(f"random_split: lengths must not be negative; got {parts}")
    if math.isclose(sum(parts), 1) and sum(parts) <= 1 + 1e-9 and any(p % 1 for p in parts):
        whole = [math.floor(count * part) for part in parts]
        for i in range(count - sum(whole)):
            whole[i % len(whole)] += 1
    else:
        whole = [int(part) for part in parts]
        if whole != parts or sum(whole) != count:
            raise ValueError(
                f"random_split: lengths must add up to the data set's {count} items, or be "
                f"fractions that add up to 1; got {parts}"
            )
    order = random.permutation(count, generator=generator).tolist()
    ends = list(accumulate(whole))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(whole, ends, strict=True)]
