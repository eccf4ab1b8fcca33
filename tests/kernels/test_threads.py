"""The thread pool: every task exactly once, whatever calls it from wherever."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid._kernels import threads

SHIPPED = 100_000
LONG = 20_000
"""Nanoseconds: with tasks this long, a hundred of them are well worth waking all workers."""


@pytest.fixture(params=[0, SHIPPED])
def wake_up(request):
    """What waking a worker is taken to cost: nothing, as in all other tests, and what it does."""
    before = threads._wake_up(request.param)
    yield
    threads._wake_up(before)


@pytest.fixture
def sleeping():
    """Returns when all workers sleep, for tests at the cost of waking them that users have."""
    before = threads._wake_up(SHIPPED)
    time.sleep(0.01)
    yield lambda: time.sleep(0.01)
    threads._wake_up(before)


@pytest.fixture(autouse=True)
def keep_num_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def os_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_default_is_the_number_of_usable_cpus():
    code = "from lucid._kernels import threads; print(threads.get_num_threads())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert int(out.stdout) == min(usable, threads.MAX_THREADS)


@pytest.mark.parametrize("n", [1, 2, 64])
def test_set_and_get(n):
    threads.set_num_threads(n)
    assert threads.get_num_threads() == n


@pytest.mark.parametrize("n", [0, -1, 65, 2**70])
def test_out_of_range_is_refused_and_changes_nothing(n):
    before = threads.get_num_threads()
    with pytest.raises(ValueError, match=rf"n must be from 1 to 64; got {n}"):
        threads.set_num_threads(n)
    assert threads.get_num_threads() == before


@pytest.mark.parametrize("n", [1.0, "2", None, True])
def test_not_an_int_is_refused(n):
    with pytest.raises(TypeError, match="n must be an int"):
        threads.set_num_threads(n)


@pytest.mark.usefixtures("wake_up")
@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000])
def test_every_task_runs_exactly_once(n, count):
    threads.set_num_threads(n)
    for _ in range(20):
        assert threads._visits(count) == [1] * count


@pytest.mark.usefixtures("wake_up")
@pytest.mark.parametrize("count", [2, 3, 50])
def test_long_tasks_run_exactly_once(count):
    threads.set_num_threads(3)
    for pause in [0, 0, 1e-5, 1e-4, 1e-3, 1e-2]:  # workers that are awake, falling asleep, asleep
        time.sleep(pause)
        for _ in range(10):
            assert threads._visits(count, nanoseconds=LONG) == [1] * count


@pytest.mark.usefixtures("wake_up")
@pytest.mark.parametrize("n", [1, 3])
def test_nested_calls(n):
    threads.set_num_threads(n)
    for nanoseconds in [0, 1000]:
        visits = threads._visits(100, nested=True, nanoseconds=nanoseconds)
        assert visits == [1] * len(visits)


@pytest.mark.usefixtures("wake_up")
def test_concurrent_calls():
    threads.set_num_threads(3)

    def job(nanoseconds):
        visits = (threads._visits(500, nanoseconds=nanoseconds) for _ in range(20))
        return all(x == [1] * 500 for x in visits)

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(job, [0, 1000] * 4))


@pytest.mark.usefixtures("wake_up")
def test_changing_the_number_between_jobs():
    for n in [1, 4, 2, 8, 1, 3] * 5:
        threads.set_num_threads(n)
        assert threads._visits(200, nanoseconds=1000) == [1] * 200


COUNT_THREADS = """
import time
from pathlib import Path
from lucid._kernels import threads
task = Path("/proc/self/task")
known = {path.name for path in task.iterdir()}
workers = lambda: [path for path in task.iterdir() if path.name not in known]
"""
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="reads /proc/self/task"
)


@needs_proc
def test_workers_start_at_the_first_long_job_and_are_kept():
    code = f"""{COUNT_THREADS}
threads.set_num_threads(4)
assert len(workers()) == 0
threads._visits(100, nanoseconds={LONG})
assert len(workers()) == 3
threads.set_num_threads(2)
threads._visits(100, nanoseconds={LONG})
assert len(workers()) == 3
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@needs_proc
def test_small_jobs_do_not_call_the_workers():
    code = f"""{COUNT_THREADS}
threads._visits(1)  # the first look at the clock takes long
threads.set_num_threads(4)
for _ in range(10):
    time.sleep(0.001)
    threads._visits(10)
raise SystemExit(len(workers()))
"""

    def started(_):
        return subprocess.run([sys.executable, "-c", code], timeout=30).returncode

    # Where the machine takes the processor away, a small job lasts long: one quiet try will do.
    assert 0 in map(started, range(20))


@needs_proc
def test_many_small_jobs_in_a_row_call_the_workers():
    code = f"""{COUNT_THREADS}
threads.set_num_threads(2)
until = time.monotonic() + 10
while not workers() and time.monotonic() < until:
    threads._visits(2, nanoseconds={LONG})
assert len(workers()) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_long_tasks_call_sleeping_workers_at_once(sleeping):
    for n in [2, 3]:
        threads.set_num_threads(n)
        sleeping()
        assert threads._meet(n, seconds=10, nanoseconds=1e9)


def test_tasks_expected_to_be_short_call_nobody(sleeping):
    threads.set_num_threads(2)

    def alone(_):
        sleeping()
        return not threads._meet(2, seconds=0.02, nanoseconds=SHIPPED / 2)

    # On a busy machine a worker may not have come to fall asleep: one quiet try will do.
    assert any(map(alone, range(20)))


ONE_LONG_JOB = {
    "product": ("lucid.ones(120, 1000), lucid.ones(1000, 1000)", "lucid.matmul"),
    "layer": ("lucid.ones(50, 32, 64),", "lucid.nn.LSTM(64, 128)"),
}


@needs_proc
@pytest.mark.parametrize("job", list(ONE_LONG_JOB))
def test_one_long_job_of_few_tasks_calls_the_workers(job):
    inputs, function = ONE_LONG_JOB[job]
    code = f"""import lucid
{COUNT_THREADS}
threads.set_num_threads(1)
inputs, function = ({inputs}), {function}
threads.set_num_threads(2)
assert len(workers()) == 0
with lucid.no_grad():
    function(*inputs)
assert len(workers()) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def matmul(rng, dtype):
    return [
        lucid.tensor(rng.standard_normal((m, 300)).astype(dtype))
        @ lucid.tensor(rng.standard_normal((300, n)).astype(dtype))
        for m, n in [(1, 5000), (130, 407), (1001, 203)]
    ]


def recurrence(rng, dtype):
    layer = lucid.nn.LSTM(32, 130, dtype=getattr(lucid, dtype))
    x = lucid.tensor(rng.standard_normal((20, 17, 32)).astype(dtype), requires_grad=True)
    y = layer(x)[0]
    (y * y).sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


def convolution(rng, dtype):
    results = []
    for kernel in [1, 3]:
        layer = lucid.nn.Conv2d(24, 40, kernel, dtype=getattr(lucid, dtype))
        x = lucid.tensor(rng.standard_normal((3, 24, 33, 35)).astype(dtype), requires_grad=True)
        y = layer(x)
        (y * y).sum().backward()
        results += [y.detach(), x.grad, *(p.grad for p in layer.parameters())]
    return results


@pytest.mark.parametrize("function", [matmul, recurrence, convolution])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_from_workers_that_slept(function, dtype, sleeping):
    def bits(n):
        threads.set_num_threads(n)
        lucid.manual_seed(0)
        sleeping()
        return [x.numpy().tobytes() for x in function(np.random.default_rng(0), dtype)]

    one = bits(1)
    for _ in range(3):
        assert bits(2) == one


@needs_proc
def test_workers_block_signals_and_sleep():
    code = f"""{COUNT_THREADS}
threads.set_num_threads(3)
threads._visits(100, nanoseconds={LONG})
assert len(workers()) == 2
time.sleep(0.2)
for worker in workers():
    fields = dict(line.split(":", 1) for line in (worker / "status").read_text().splitlines())
    assert fields["State"].split()[0] == "S", fields["State"]
    blocked = int(fields["SigBlk"], 16)
    assert all(blocked >> (n - 1) & 1 for n in (2, 10, 14, 15)), fields["SigBlk"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_its_own_workers():
    threads.set_num_threads(3)
    threads._visits(100, nanoseconds=LONG)
    stop = threading.Event()

    def keep_the_pool_busy():
        while not stop.is_set():
            threads._visits(1000, nanoseconds=1000)

    other = threading.Thread(target=keep_the_pool_busy)
    other.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                good = False
                try:
                    good = all(
                        threads._visits(100, nanoseconds=LONG) == [1] * 100 for _ in range(10)
                    )
                    if Path("/proc/self/task").exists():
                        good = good and os_threads() == 3
                finally:
                    os._exit(0 if good else 1)
            deadline = time.monotonic() + 20
            while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    pytest.fail("the pool hangs in a forked child")
                time.sleep(0.01)
            assert os.waitstatus_to_exitcode(done[1]) == 0
    finally:
        stop.set()
        other.join()
    assert threads._visits(1000) == [1] * 1000


def test_exit_is_clean_and_quick():
    code = f"""
from lucid._kernels import threads
threads.set_num_threads(8)
threads._visits(100, nanoseconds={LONG})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
