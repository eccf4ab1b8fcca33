# loops.pxd: how element-wise and row-wise kernels run a loop over a range.
#
# A loop takes its arguments in one struct, and a range of rows or elements. A short range runs at
# once; a long one runs without the interpreter lock, in chunks on several threads. The size of a
# chunk never depends on the number of threads.

cimport numpy as cnp
from numpy cimport NPY_DOUBLE, NPY_FLOAT, ndarray

from lucid._kernels.threads cimport parallel_for

ctypedef void (*range_loop)(const void* args, Py_ssize_t start, Py_ssize_t stop) noexcept nogil

cdef enum:
    UNLOCKED = 4096         # elements from which on a loop outlasts giving the lock away
    CHUNK = 65536           # elements that a thread takes at a time: from 5 us up, 15 us of exp

cdef struct Job:
    range_loop loop
    const void* args
    Py_ssize_t count, chunk


cdef inline void run_chunk(void* context, Py_ssize_t index) noexcept nogil:
    cdef Job* job = <Job*>context
    cdef Py_ssize_t start = index * job.chunk
    job.loop(job.args, start, min(start + job.chunk, job.count))


cdef inline void run_range(
    range_loop loop, const void* args, Py_ssize_t count, Py_ssize_t chunk, Py_ssize_t elements
) noexcept:
    """Runs `loop` over 0..count, at least one at a time.

    A short range, by its `elements`, must fit in one chunk.
    """
    cdef Job job
    if elements < UNLOCKED:
        if count > 0:
            loop(args, 0, count)
        return
    job.loop, job.args, job.count, job.chunk = loop, args, count, max(chunk, 1)
    with nogil:
        parallel_for(run_chunk, &job, (count + job.chunk - 1) // job.chunk)


cdef inline int real_type(ndarray x) noexcept:
    """0 for float32, 1 for float64, else -1: also the offset in a table of loops."""
    cdef int number = cnp.PyArray_TYPE(x)
    return 0 if number == NPY_FLOAT else 1 if number == NPY_DOUBLE else -1
