"""The thread pool that all kernels share (threads.h), and how many threads it may use.

It lives in this module alone: sibling kernels reach the one pool through `cimport`.
"""

import operator
import os

from libc.stdint cimport int64_t

cdef extern from "threads.h" nogil:
    int lucid_pool_init(int threads)
    int64_t lucid_now()
    void lucid_parallel_for(task_t task, void* context, Py_ssize_t count, double estimate)

cdef extern from *:
    """
    #define lucid_get_threads() atomic_load_explicit(&lucid_pool.threads, memory_order_relaxed)
    #define lucid_set_threads(n) atomic_store(&lucid_pool.threads, n)
    #define lucid_get_wake_up() atomic_load_explicit(&lucid_pool.wake_up, memory_order_relaxed)
    #define lucid_set_wake_up(n) atomic_store(&lucid_pool.wake_up, n)

    /* Tasks that wait for each other, as only tasks on threads of their own can. */
    typedef struct { atomic_int arrived; int wanted; int64_t until; } lucid_meeting;
    static void lucid_meet(void *context, Py_ssize_t index) {
        lucid_meeting *meeting = context;
        atomic_fetch_add(&meeting->arrived, 1);
        while (atomic_load(&meeting->arrived) < meeting->wanted && lucid_now() < meeting->until)
            lucid_pause();
        if (lucid_now() >= meeting->until) atomic_fetch_sub(&meeting->arrived, 1);
    }
    """
    int lucid_get_threads() nogil
    void lucid_set_threads(int n) nogil
    int lucid_get_wake_up() nogil
    void lucid_set_wake_up(int nanoseconds) nogil
    ctypedef struct meeting "lucid_meeting":
        int arrived, wanted
        int64_t until
    void lucid_meet(void* context, Py_ssize_t index) noexcept nogil

MAX_THREADS = 64


def _usable_cpus():
    """CPUs that this process may run on: under `taskset` or a cpuset, fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


cdef int num_threads() noexcept nogil:
    return lucid_get_threads()


cdef void parallel_for(task_t task, void* context, Py_ssize_t count) noexcept nogil:
    lucid_parallel_for(task, context, count, 0)


cdef void parallel_for_lasting(
    task_t task, void* context, Py_ssize_t count, double nanoseconds
) noexcept nogil:
    lucid_parallel_for(task, context, count, nanoseconds)


def get_num_threads():
    """How many threads a kernel may use, the calling one included."""
    return lucid_get_threads()


def set_num_threads(n):
    """Let kernels use `n` threads, the calling one included; 1 turns threading off."""
    if isinstance(n, bool):
        raise TypeError("set_num_threads: n must be an int; got bool")
    try:
        wanted = operator.index(n)
    except TypeError:
        raise TypeError(f"set_num_threads: n must be an int; got {type(n).__name__}") from None
    if not 1 <= wanted <= MAX_THREADS:
        raise ValueError(f"set_num_threads: n must be from 1 to {MAX_THREADS}; got {wanted}")
    lucid_set_threads(wanted)


def _wake_up(int nanoseconds):
    """Set what waking a worker is taken to cost, and return what it was taken to cost before.

    For the tests: at 0 every job of several tasks calls the workers, and they sleep in between.
    """
    before = lucid_get_wake_up()
    lucid_set_wake_up(nanoseconds)
    return before


cdef enum:
    NESTED = 50  # tasks inside each task of a nested call


cdef struct Visits:
    int* counts
    int64_t nanoseconds


cdef void _count_visit(void* context, Py_ssize_t index) noexcept nogil:
    cdef Visits* visits = <Visits*>context
    cdef int64_t until = lucid_now() + visits.nanoseconds
    visits.counts[index] += 1
    while lucid_now() < until:
        pass


cdef void _nested_visit(void* context, Py_ssize_t index) noexcept nogil:
    cdef Visits inner = (<Visits*>context)[0]
    inner.counts += index * NESTED
    parallel_for(_count_visit, &inner, NESTED)


def _visits(Py_ssize_t count, bint nested=False, int64_t nanoseconds=0):
    """How often `parallel_for` ran each of `count` tasks (all 1 if it is right); for the tests.

    Each task, or inner task of a nested call, takes so many nanoseconds.
    """
    cdef Py_ssize_t size = count * NESTED if nested else count
    buffer = bytearray(size * sizeof(int))
    cdef Visits visits = Visits(<int*><char*>buffer, nanoseconds)
    with nogil:
        parallel_for(_nested_visit if nested else _count_visit, &visits, count)
    return list(memoryview(buffer).cast("i"))


def _meet(int count, double seconds, double nanoseconds):
    """Whether `count` tasks, together expected to last so many nanoseconds, ran all at once.

    For the tests. Each task waits for the others, for so many seconds at most.
    """
    cdef meeting m
    m.arrived, m.wanted, m.until = 0, count, lucid_now() + <int64_t>(seconds * 1e9)
    with nogil:
        parallel_for_lasting(lucid_meet, &m, count, nanoseconds)
    return m.arrived == count


if lucid_pool_init(min(_usable_cpus(), MAX_THREADS)) != 0:
    raise MemoryError("lucid: the fork handler of the thread pool could not be registered")
