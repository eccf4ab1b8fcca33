"""The DataLoader, without workers and with them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import lucid
from lucid import random
from lucid.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, get_worker_info
from lucid.data import worker as worker_module

METHODS = multiprocessing.get_all_start_methods()


def numbers(count):
    return TensorDataset(lucid.tensor(np.arange(count)), lucid.tensor(np.arange(count) * 0.5))


def generator(seed=0):
    return random.Generator().manual_seed(seed)


def first(loader):
    return [batch[0].tolist() for batch in loader]


class Items(Dataset):
    """Items that do something, in a class at the top so that it reaches spawned workers."""

    def __init__(self, count, action=None):
        self.count, self.action = count, action

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if self.action is not None:
            self.action(index)
        return np.full(3, index), index


class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, self.count, step))


# ------------------------------------------------------------------ without workers


def test_batches():
    data = numbers(5)
    loader = DataLoader(data, batch_size=2)
    assert first(loader) == [[0, 1], [2, 3], [4]] == first(loader)
    assert len(loader) == 3
    assert first(DataLoader(data, batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(DataLoader(data, batch_size=2, drop_last=True)) == 2
    assert first(DataLoader(data)) == [[0], [1], [2], [3], [4]]
    assert first(DataLoader(data, batch_size=2, sampler=[4, 4, 0])) == [[4, 4], [0]]
    loader = DataLoader(data, batch_sampler=[[1], [0, 3]])
    assert first(loader) == [[1], [0, 3]]
    assert len(loader) == 2


def test_one_by_one():
    loader = DataLoader(Items(3), batch_size=None)
    found = list(loader)
    assert [x.tolist() for x, _ in found] == [[0] * 3, [1] * 3, [2] * 3]
    assert [i for _, i in found] == [0, 1, 2]
    assert len(loader) == 3
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]


def test_shuffle():
    def order(seed, **options):
        loader = DataLoader(numbers(40), 8, shuffle=True, generator=generator(seed), **options)
        return [first(loader), first(loader)]

    a, b = order(0)
    assert sorted(np.concatenate(a)) == sorted(np.concatenate(b)) == list(range(40))
    assert a != b
    assert order(0) == [a, b]
    assert order(1) != [a, b]
    assert order(0, num_workers=2) == [a, b]


def test_the_fast_path_is_the_slow_path():
    class Rows(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)

    x, y = lucid.tensor(np.random.default_rng(0).random((9, 2, 2))), lucid.tensor(np.arange(9))
    for fast, slow in [
        (TensorDataset(x, y), Rows(x, y)),
        (Subset(TensorDataset(x, y), [8, 1, 1, 5, 0]), Subset(Rows(x, y), [8, 1, 1, 5, 0])),
    ]:
        for a, b in zip(DataLoader(fast, 4), DataLoader(slow, 4), strict=True):
            assert type(a) is type(b) is list
            for p, q in zip(a, b, strict=True):
                assert p.dtype == q.dtype
                assert p.tolist() == q.tolist()


def test_a_subclass_of_a_tensor_dataset_is_asked_for_its_items():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * x for x in super().__getitem__(index))

    assert first(DataLoader(Doubled(lucid.tensor([1, 2])), 2)) == [[2, 4]]


def test_batches_are_copies():
    data = numbers(4)
    for x, _ in DataLoader(data, 2):
        x += 10
    assert data.tensors[0].tolist() == [0, 1, 2, 3]


def test_getitems():
    class Several(Items):
        def __getitems__(self, indices):
            return [(-i,) for i in indices]

    assert first(DataLoader(Several(3), 2)) == [[0, -1], [-2]]


def test_collate_fn():
    assert list(DataLoader(Items(3), 2, collate_fn=len)) == [2, 1]


def test_stream():
    loader = DataLoader(Stream(5), batch_size=2)
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4]]
    assert len(loader) == 3
    loader = DataLoader(Stream(5), batch_size=2, drop_last=True)
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3]]
    assert len(loader) == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be a positive int; got 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be a positive int; got 2.5"),
        ({"batch_size": True}, TypeError, "batch_size must be a positive int; got True"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last=True needs a batch_size"),
        ({"num_workers": -1}, ValueError, "num_workers must be an int >= 0; got -1"),
        ({"num_workers": 1.0}, ValueError, "num_workers must be an int >= 0; got 1.0"),
        ({"timeout": -1}, ValueError, "timeout must be >= 0 seconds; got -1"),
        ({"timeout": 1}, ValueError, "timeout needs num_workers > 0"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor needs num_workers > 0"),
        ({"prefetch_factor": 0, "num_workers": 1}, ValueError, "prefetch_factor must be"),
        ({"persistent_workers": True}, ValueError, "persistent_workers needs num_workers > 0"),
        ({"multiprocessing_context": "fork"}, ValueError, "multiprocessing_context needs"),
        ({"collate_fn": 3}, TypeError, "collate_fn must be callable; got int"),
        ({"worker_init_fn": 3}, TypeError, "worker_init_fn must be callable; got int"),
        ({"sampler": [0], "shuffle": True}, ValueError, "sampler and shuffle exclude each other"),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "shuffle": True}, ValueError, "batch_sampler excludes"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=f"^DataLoader: {message}"):
        DataLoader(numbers(3), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_a_stream_has_no_order(options):
    with pytest.raises(ValueError, match="Stream is an IterableDataset"):
        DataLoader(Stream(3), **options)


# ------------------------------------------------------------------ with workers


@pytest.mark.parametrize("method", METHODS)
def test_workers_deliver_in_order(method):
    loader = DataLoader(Items(11), 2, num_workers=3, multiprocessing_context=method)
    assert [i.tolist() for _, i in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]


def late(index):
    time.sleep(0.05 * (index % 3 == 0))


def test_slow_items_keep_their_place():
    loader = DataLoader(Items(9, late), 1, num_workers=3, prefetch_factor=1)
    assert [i.item() for _, i in loader] == list(range(9))


def test_more_workers_than_batches():
    assert first(DataLoader(numbers(3), 2, num_workers=4)) == [[0, 1], [2]]
    assert first(DataLoader(Subset(numbers(3), []), 2, num_workers=2)) == []


def test_large_batches_and_long_index_lists_do_not_block():
    """Both directions of the pipe full at the same time."""
    count = 400_000
    loader = DataLoader(numbers(count), count // 8, num_workers=1, prefetch_factor=6)
    assert sum(len(x) for x, _ in loader) == count


def test_streams_in_workers():
    loader = DataLoader(Stream(7), 2, num_workers=2)
    assert [b.tolist() for b in loader] == [[0, 2], [1, 3], [4, 6], [5]]
    loader = DataLoader(Stream(7), 2, num_workers=2, drop_last=True, persistent_workers=True)
    for _ in range(2):
        assert [b.tolist() for b in loader] == [[0, 2], [1, 3], [4, 6]]


def fail(index):
    if index == 5:
        raise KeyError("five")


class PeculiarError(Exception):
    def __init__(self, a, b):
        super().__init__(a)


def fail_peculiarly(index):
    raise PeculiarError("cannot be", "unpickled")


@pytest.mark.parametrize("persistent", [False, True])
def test_an_error_arrives_in_its_place(persistent):
    loader = DataLoader(Items(8, fail), 2, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        seen = []
        batches = (seen.extend(i.tolist()) for _, i in loader)
        with pytest.raises(KeyError, match="five") as caught:
            list(batches)
        assert seen == [0, 1, 2, 3]
        (note,) = caught.value.__notes__
        assert "raised in DataLoader worker 0" in note
        assert "in fail\n" in note


def test_an_error_that_does_not_pickle():
    with pytest.raises(RuntimeError, match=r"(?s)worker 0.*PeculiarError: cannot be"):
        list(DataLoader(Items(2, fail_peculiarly), 2, num_workers=1))


def test_a_batch_that_does_not_pickle():
    with pytest.raises(Exception, match=r"[Pp]ickle"):
        list(DataLoader(Items(2), 2, num_workers=1, collate_fn=lambda batch: lambda: batch))


def die(index):
    if index == 2:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_that_dies(persistent):
    loader = DataLoader(Items(8, die), 1, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"worker 0 \(pid \d+\) was killed by signal 9"):
            list(loader)


def sleep_long(index):
    if index == 1:
        time.sleep(60)


def test_timeout():
    loader = DataLoader(Items(4, sleep_long), 1, num_workers=2, timeout=0.5)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"worker 1 did not answer within timeout = 0\.5 s"):
        list(loader)
    assert time.monotonic() - start < 30


def init(worker):
    os.environ["WORKER"] = str(worker)


def init_badly(worker):
    raise ValueError(f"worker {worker} will not")


class Info(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        info = get_worker_info()
        drawn = random.randint(0, 2**40, ()).item(), int(np.random.randint(2**30))
        return os.environ["WORKER"], info.id, info.num_workers, info.seed, drawn, os.getpid()


def test_worker_init_info_and_seeds():
    def draw():
        loader = DataLoader(
            Info(),
            None,
            num_workers=2,
            worker_init_fn=init,
            generator=generator(3),
            collate_fn=tuple,
        )
        return list(loader)

    found = draw()
    assert [f[:3] for f in found] == [("0", 0, 2), ("1", 1, 2)] * 2
    assert len({f[4][0] for f in found}) == 4
    assert len({f[4][1] for f in found}) == 4
    assert found[1][3] == found[0][3] + 1
    assert [f[:5] for f in draw()] == [f[:5] for f in found]
    assert get_worker_info() is None
    assert "WORKER" not in os.environ


def test_bad_worker_init():
    with pytest.raises(ValueError, match="worker 0 will not"):
        list(DataLoader(Items(2), num_workers=1, worker_init_fn=init_badly))


def pids(loader):
    return {f[5] for f in loader}


def test_persistent_workers():
    options = {"num_workers": 2, "worker_init_fn": init, "collate_fn": tuple}
    loader = DataLoader(Info(), None, persistent_workers=True, **options)
    assert pids(loader) == pids(loader)
    next(iter(loader))  # broken off: its other answers must not turn up later
    assert [f[1] for f in loader] == [0, 1, 0, 1]
    loader = DataLoader(Info(), None, **options)
    assert not pids(loader) & pids(loader)


def test_a_later_iterator_takes_persistent_workers_over():
    loader = DataLoader(numbers(8), 1, num_workers=1, persistent_workers=True)
    earlier = iter(loader)
    next(earlier)
    later = iter(loader)
    assert next(later)[0].item() == 0
    with pytest.raises(RuntimeError, match="later iterator has taken over"):
        next(earlier)
    assert next(later)[0].item() == 1


def test_breaking_off_ends_the_workers():
    gc.collect()  # loaders of other tests
    for _ in DataLoader(numbers(100), 1, num_workers=2):
        break
    assert multiprocessing.active_children() == []
    loader = DataLoader(numbers(4), 1, num_workers=2, persistent_workers=True)
    list(loader)
    assert len(multiprocessing.active_children()) == 2
    del loader
    assert multiprocessing.active_children() == []


SCRIPT = """
import os, sys, time, lucid
from lucid.data import DataLoader, Dataset

class Endless(Dataset):
    def __len__(self):
        return 10**6
    def __getitem__(self, index):
        return os.getpid(), index

def main():
    batches = iter(DataLoader(Endless(), 1, num_workers=2, multiprocessing_context=sys.argv[1]))
    print(*(int(next(batches)[0]) for _ in range(2)), flush=True)
    if sys.argv[2] == "killed":
        time.sleep(60)

if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("how", ["exits", "killed"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_end_with_their_parent(tmp_path, method, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, str(script), method, how],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2, parent.stderr.read()
        if how == "killed":
            parent.kill()
        parent.wait(30)
        deadline = time.monotonic() + 15
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(map(is_running, workers))
        if how == "exits":
            assert parent.returncode == 0
            assert parent.stderr.read() == ""
    finally:
        parent.kill()
        parent.stdout.close()
        parent.stderr.close()


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.returncode == 0 and not state.stdout.startswith("Z")


def test_the_grace_period_is_for_the_slow(monkeypatch):
    """A worker that is in the middle of something when the loop is left is ended all the same."""
    monkeypatch.setattr(worker_module, "GRACE", 0.3)
    loader = DataLoader(Items(4, sleep_long), 1, num_workers=2)
    for _ in loader:
        break
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_model_takes_the_batches(workers):
    """Also those that were pickled on the way: operations want NumPy's own dtype objects."""
    model = lucid.nn.Linear(2, 1)
    for array in (np.ones((4, 2), np.float32), np.ones((4, 2), ">f4")):
        for collate in (None, lambda batch: np.stack(batch)):
            for x in DataLoader(list(array), 2, num_workers=workers, collate_fn=collate):
                batch = x if isinstance(x, lucid.Tensor) else lucid.tensor(x)
                assert model(batch).shape == (2, 1)
