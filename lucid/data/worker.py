"""Worker processes: each reads tasks from a pipe of its own and answers them in order.

The tasks go round robin, and a worker answers in the order in which it was asked. So the batches
arrive in order without any being set aside, and no lock or queue is shared that a killed worker
could leave locked: a worker that dies is seen as the end of its pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import random as python_random
import signal
import threading
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np

from lucid import random
from lucid._kernels import threads
from lucid.data import worker_info
from lucid.data.fetch import Recipe
from lucid.data.worker_info import WorkerInfo

GRACE = 5.0  # seconds that workers get to end by themselves


class _Answer(NamedTuple):
    epoch: int
    batch: Any = None
    error: BaseException | None = None
    end: bool = False


# -------------------------------------------------------------------- in the worker


def _work(
    pipe: Connection,
    parents_end: Connection,
    info: WorkerInfo,
    recipe: Recipe,
    init: Callable[[int], None] | None,
) -> None:
    """The life of a worker: set up, then answer tasks until the pipe is closed."""
    # Closed here, so that the pipe ends when the parent does. Ctrl-C is for the parent to handle.
    parents_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # The pipe is always being read, so that neither side ever waits for the other to read first.
    threading.Thread(target=_receive, args=(pipe, tasks), daemon=True).start()
    worker_info.current = info
    failure = None
    try:
        threads.set_num_threads(1)  # the workers are the parallelism
        random.manual_seed(info.seed)
        python_random.seed(info.seed)
        np.random.seed(info.seed % 2**32)
        if init is not None:
            init(info.id)
    except Exception as error:
        failure = _portable(error, info.id)
    epoch, answer = -1, None
    while (task := tasks.get()) is not None:
        if task[0] != epoch:
            epoch, answer = task[0], None
        try:
            if failure is not None:
                raise failure
            if answer is None:
                answer = _answerer(recipe)
            message = pickle.dumps(answer(epoch, task[1]), protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            shown = error if error is failure else _portable(error, info.id)
            message = pickle.dumps(_Answer(epoch, error=shown))
        try:
            pipe.send_bytes(message)
        except OSError:
            return


def _receive(pipe: Connection, tasks: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            tasks.put(pipe.recv())
    except (EOFError, OSError):
        tasks.put(None)


def _answerer(recipe: Recipe) -> Callable[[int, Any], _Answer]:
    if recipe.stream is None:
        read = recipe.reader()
        return lambda epoch, indices: _Answer(epoch, read(indices))
    batches = recipe.batches()

    def following(epoch: int, _: Any) -> _Answer:
        for batch in batches:
            return _Answer(epoch, batch)
        return _Answer(epoch, end=True)

    return following


def _portable(error: Exception, worker: int) -> Exception:
    """The error with the worker's traceback noted on it, if need be as another that pickles."""
    text = f"raised in DataLoader worker {worker}:\n{''.join(traceback.format_exception(error))}"
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error) and str(copy) == str(error):
            error.add_note(text)
            return error
    except Exception:
        pass  # it does not survive the way to the parent
    return RuntimeError(text)


# -------------------------------------------------------------------- in the parent


def as_context(context: Any) -> Any:
    """A context of ``multiprocessing``, from its name where it is one."""
    if context is None or isinstance(context, str):
        return multiprocessing.get_context(context)
    return context


class Workers:
    """The worker processes of one loader; ends them when it is deleted, or the interpreter ends."""

    def __init__(
        self,
        recipe: Recipe,
        count: int,
        seed: int,
        init: Callable[[int], None] | None,
        context: Any,
        timeout: float,
    ) -> None:
        self.pipes: list[Connection] = []
        self.processes: list[Any] = []
        self._timeout = timeout
        self._epoch = -1
        self._finalizer = weakref.finalize(self, _end, self.pipes, self.processes, os.getpid())
        for i in range(count):
            ours, theirs = context.Pipe()
            info = WorkerInfo(i, count, seed + i, recipe.dataset)
            process = context.Process(
                target=_work, args=(theirs, ours, info, recipe, init), daemon=True
            )
            try:
                with warnings.catch_warnings():
                    # Python warns of forking a process with threads; lucid's allow for it.
                    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
                    process.start()
            except BaseException:
                ours.close()
                self.close()
                raise
            finally:
                theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def run(self, tasks: Iterator[Any], prefetch: int) -> Iterator[Any]:
        """The batches for ``tasks``, in order, each worker being ``prefetch`` tasks ahead."""
        self._epoch += 1
        return self._run(tasks, prefetch, self._epoch)

    def _run(self, tasks: Iterator[Any], prefetch: int, epoch: int) -> Iterator[Any]:
        asked: deque[int] = deque()

        def ask(worker: int) -> None:
            for task in tasks:
                self._send(worker, (epoch, task))
                asked.append(worker)
                return

        for _ in range(prefetch):
            for worker in range(len(self.pipes)):
                ask(worker)
        while asked:
            if epoch != self._epoch:
                raise RuntimeError(
                    "DataLoader: a later iterator has taken over the persistent workers of this one"
                )
            worker = asked.popleft()
            answer = self._receive(worker)
            while answer.epoch != epoch:  # left over from an epoch that was broken off
                answer = self._receive(worker)
            if answer.end:
                continue
            ask(worker)
            if answer.error is not None:
                raise answer.error
            yield answer.batch

    def _send(self, worker: int, task: Any) -> None:
        try:
            self.pipes[worker].send(task)
        except OSError:
            raise self._death(worker) from None

    def _receive(self, worker: int) -> _Answer:
        pipe, process = self.pipes[worker], self.processes[worker]
        ready = wait([pipe, process.sentinel], self._timeout or None)
        if not ready:
            process.terminate()
            self.close()
            raise RuntimeError(
                f"DataLoader: worker {worker} did not answer within timeout = {self._timeout} s"
            )
        if pipe in ready or pipe.poll():
            try:
                return pickle.loads(pipe.recv_bytes())
            except (EOFError, OSError):
                pass
        raise self._death(worker)

    def _death(self, worker: int) -> RuntimeError:
        process = self.processes[worker]
        process.join(GRACE)
        pid, code = process.pid, process.exitcode
        how = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
        self.close()
        return RuntimeError(f"DataLoader: worker {worker} (pid {pid}) {how} while it was needed")

    @property
    def alive(self) -> bool:
        return self._finalizer.alive

    def close(self) -> None:
        """Ends the workers; a second call does nothing."""
        self._finalizer()


def _end(pipes: list[Connection], processes: list[Any], parent: int) -> None:
    if parent != os.getpid():
        return  # in a fork of the parent, whose children these are not
    for pipe in pipes:
        pipe.close()
    deadline = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.terminate()
            process.join(GRACE)
        if process.exitcode is None:
            process.kill()
            process.join()
        process.close()
