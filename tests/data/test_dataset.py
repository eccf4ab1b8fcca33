"""Data sets, samplers and collation."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import lucid
from lucid import random
from lucid.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)
from lucid.errors import ShapeError


def numbers(count, start=0):
    return TensorDataset(lucid.tensor(np.arange(start, start + count)))


def generator(seed=0):
    return random.Generator().manual_seed(seed)


class Stream(IterableDataset):
    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)


# ------------------------------------------------------------------ data sets


def test_tensor_dataset():
    x, y = lucid.tensor(np.arange(6.0).reshape(3, 2)), lucid.tensor([5, 6, 7])
    data = TensorDataset(x, y)
    assert len(data) == 3
    a, b = data[1]
    assert (a.tolist(), b.item()) == ([2, 3], 6)
    assert data[-1][1].item() == 7
    a, b = data.gather([2, 0, 2])
    assert a.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert b.tolist() == [7, 5, 7]
    assert a.dtype == x.dtype
    with pytest.raises(IndexError):
        data[3]
    with pytest.raises(IndexError):
        data.gather([3])


def test_tensor_dataset_carries_gradients():
    x = lucid.tensor([1.0, 2.0, 3.0], requires_grad=True)
    TensorDataset(x).gather([2, 2])[0].sum().backward()
    assert x.grad.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((), ValueError, "at least one tensor"),
        (([1, 2],), TypeError, r"tensors\[0\] must be a Tensor; got list"),
        ((lucid.tensor(1.0),), ValueError, "same first dimension"),
        ((lucid.tensor([1]), lucid.tensor([1, 2])), ValueError, r"got shapes \(1,\), \(2,\)"),
    ],
)
def test_bad_tensor_datasets(arguments, error, message):
    with pytest.raises(error, match=f"^TensorDataset: .*{message}"):
        TensorDataset(*arguments)


def test_a_dataset_must_define_its_items():
    with pytest.raises(NotImplementedError, match="Dataset must define __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        iter(IterableDataset())


@pytest.mark.parametrize("kind", [list, np.array, lucid.tensor])
def test_subset(kind):
    part = Subset(numbers(10), kind([7, 3, 7]))
    assert len(part) == 3
    assert [part[i][0].item() for i in range(3)] == [7, 3, 7]
    assert [x.item() for (x,) in part.__getitems__([2, 1])] == [7, 3]


def test_concat():
    data = numbers(2) + numbers(0) + numbers(3, start=10)
    assert isinstance(data, ConcatDataset)
    assert len(data) == 5
    assert [data[i][0].item() for i in range(-5, 5)] == [0, 1, 10, 11, 12] * 2
    for index in (5, -6):
        with pytest.raises(IndexError, match="out of range for 5 items"):
            data[index]
    with pytest.raises(ValueError, match="at least one data set"):
        ConcatDataset([])
    with pytest.raises(TypeError, match=r"datasets\[1\] .*Stream: use ChainDataset"):
        ConcatDataset([numbers(1), Stream([])])


def test_chain():
    data = Stream([1, 2]) + Stream([]) + Stream([3])
    assert isinstance(data, ChainDataset)
    assert list(data) == [1, 2, 3]


def test_random_split():
    data = numbers(10)
    parts = random_split(data, [7, 0, 3], generator=generator())
    assert [len(p) for p in parts] == [7, 0, 3]
    seen = [p[i][0].item() for p in parts for i in range(len(p))]
    assert sorted(seen) == list(range(10))
    assert seen != sorted(seen)
    again = random_split(data, [7, 0, 3], generator=generator())
    assert [p.indices for p in parts] == [p.indices for p in again]
    assert [len(p) for p in random_split(data, [0.55, 0.45])] == [6, 4]
    assert [len(p) for p in random_split(numbers(1), [0.5, 0.5])] == [1, 0]
    assert [len(p) for p in random_split(numbers(1), [1])] == [1]
    assert [len(p) for p in random_split(numbers(7), [1 / 3] * 3)] == [3, 2, 2]


@pytest.mark.parametrize("lengths", [[3, 3], [0.5, 0.4], [11, -1], [9.5, 0.5], [], [float("nan")]])
def test_bad_splits(lengths):
    with pytest.raises(ValueError, match=r"^random_split: lengths must"):
        random_split(numbers(10), lengths)


# ------------------------------------------------------------------ samplers


def test_sequential():
    sampler = SequentialSampler("abc")
    assert list(sampler) == [0, 1, 2] == list(sampler)
    assert len(sampler) == 3


def test_random_sampler():
    sampler = RandomSampler(range(50), generator=generator())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert list(RandomSampler(range(50), generator=generator())) == first
    assert all(type(i) is int for i in first)
    long = RandomSampler(range(4), num_samples=10, generator=generator())
    assert len(long) == 10 == len(list(long))
    assert np.bincount(list(long)).max() <= 3
    drawn = list(RandomSampler(range(4), replacement=True, num_samples=100))
    assert len(drawn) == 100
    assert set(drawn) == {0, 1, 2, 3}
    assert list(RandomSampler([])) == []
    with pytest.raises(ValueError, match="from an empty data_source"):
        list(RandomSampler([], num_samples=3))


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError)])
def test_bad_counts(count, error):
    for make in (
        lambda: RandomSampler(range(3), num_samples=count),
        lambda: WeightedRandomSampler([1.0], count),
        lambda: BatchSampler(range(3), count, False),
    ):
        with pytest.raises(error, match=r": (num_samples|batch_size) must be a positive int; got"):
            make()


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([3, 5, 9], generator=generator())
    assert sorted(sampler) == [3, 5, 9]
    assert len(sampler) == 3


def test_weighted_sampler_draws_in_proportion():
    weights = [0, 1, 0, 3, 0]
    drawn = list(WeightedRandomSampler(weights, 20_000, generator=generator()))
    counts = np.bincount(drawn, minlength=5)
    assert counts[[0, 2, 4]].sum() == 0
    # 5 standard deviations of the binomial distribution
    assert abs(counts[1] - 5000) < 5 * np.sqrt(20_000 * 0.25 * 0.75)


def test_weighted_sampler_without_replacement():
    first = []
    source = generator()
    for _ in range(4000):
        drawn = list(WeightedRandomSampler([2, 0, 1, 1], 3, replacement=False, generator=source))
        assert sorted(drawn) == [0, 2, 3]
        first.append(drawn[0])
    counts = np.bincount(first)
    assert abs(counts[0] - 2000) < 5 * np.sqrt(4000 * 0.25)


@pytest.mark.parametrize(
    ("weights", "count", "replacement"),
    [
        ([-1.0, 2.0], 1, True),
        ([float("nan")], 1, True),
        ([float("inf")], 1, True),
        ([[1.0]], 1, True),
        ([0.0, 0.0], 1, True),
        ([1.0, 0.0], 2, False),
    ],
)
def test_bad_weights(weights, count, replacement):
    with pytest.raises(ValueError, match=r"^WeightedRandomSampler: "):
        WeightedRandomSampler(weights, count, replacement)


def test_batch_sampler():
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    for drop_last, length in ((False, 3), (True, 2)):
        assert len(BatchSampler(range(5), 2, drop_last)) == length
        assert len(BatchSampler(range(4), 2, drop_last)) == 2
    with pytest.raises(TypeError, match="drop_last must be a bool"):
        BatchSampler(range(5), 2, 1)


# ------------------------------------------------------------------ collation


def test_collate_scalars():
    for batch, dtype in [
        ([1, 2], lucid.int64),
        ([True, False], lucid.bool_),
        ([True, 2], lucid.int64),
        ([1.0, 2.0], lucid.float64),
        ([1j, 2.0], lucid.complex128),
        ([np.float32(1), np.float32(2)], lucid.float32),
        ([np.int8(1), np.int8(2)], lucid.int8),
    ]:
        found = default_collate(batch)
        assert found.tolist() == batch
        assert found.dtype == dtype
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a"]) == [b"a"]


def test_collate_structures():
    point = namedtuple("point", "x y")
    batch = [
        {"p": point(i, [np.ones(2) * i]), "t": (lucid.tensor([float(i)]), "s")} for i in (1, 2)
    ]
    found = default_collate(batch)
    assert type(found["p"]).__name__ == "point"
    assert found["p"].x.tolist() == [1, 2]
    assert found["p"].y[0].tolist() == [[1, 1], [2, 2]]
    assert type(found["t"]) is list
    assert found["t"][0].shape == (2, 1)
    assert found["t"][1] == ["s", "s"]


def test_collate_errors():
    with pytest.raises(ShapeError, match=r"shape of the first, \(2,\); sample 1 has \(3,\)"):
        default_collate([np.ones(2), np.ones(3)])
    with pytest.raises(ValueError, match=r"as many entries as the first, 1; got \[1, 2\]"):
        default_collate([[1], [1, 2]])
    with pytest.raises(ValueError, match="the keys of the first"):
        default_collate([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="at least one sample"):
        default_collate([])
    with pytest.raises(TypeError, match="got object: pass collate_fn"):
        default_collate([object()])


def test_collate_carries_gradients():
    xs = [lucid.tensor([float(i)], requires_grad=True) for i in range(3)]
    (default_collate(xs) * 2.0).sum().backward()
    assert [x.grad.item() for x in xs] == [2, 2, 2]


def test_convert():
    array = np.ones(2, np.float32)
    found = default_convert({"a": (array, 1), "b": ["x", np.float32(2)]})
    assert isinstance(found["a"], tuple)
    assert found["a"][0].tolist() == [1, 1]
    assert found["a"][1] == 1
    assert found["b"][0] == "x"
    assert found["b"][1].dtype == lucid.float32


def test_collate_against_torch(torch):
    from torch.utils.data import default_collate as theirs

    for batch in (
        [(1, 2.0, "a"), (3, 4.0, "b")],
        [{"x": [1, True]}, {"x": [2, False]}],
        [np.ones((2, 1), np.float32)] * 3,
        [True, False],
    ):
        assert _plain(default_collate(batch)) == _plain(theirs(batch))


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, str) else (str(value.dtype).split(".")[-1], value.tolist())
