"""Local response normalisation, forward and backward, for float32 and float64 arrays.

The loops are C (response_norm_real.h). An image is worked on in strips, some of its positions with
all their channels; tasks are fixed numbers of strips. Settings are checked by the caller.
"""

cimport numpy as cnp
from numpy cimport NPY_FLOAT, ndarray

from lucid._kernels.arrays cimport empty_like, same_shape, usable
from lucid._kernels.threads cimport run_tasks, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "response_norm_body.h"
    #include "each_level.h"
    static response_level response_pick_f32(void) { return LUCID_PICK(level_f32); }
    static response_level response_pick_f64(void) { return LUCID_PICK(level_f64); }
    """
    ctypedef struct response_job:
        Py_ssize_t images, channels, positions, before, after, strip, strips, per_task
        const void* x
        const void* g
        void* out
        double scale, beta, k
        bint failed
    ctypedef struct response_level:
        task_t forward, backward
    response_level response_pick_f32()
    response_level response_pick_f64()

cdef response_level level_f32 = response_pick_f32()
cdef response_level level_f64 = response_pick_f64()


cdef enum:
    # Elements of a strip, which stays in a cache with what its kernel needs; and positions, since
    # few of them would make short rows.
    STRIP = 1 << 15
    NARROWEST = 32
    # Elements worth a task of their own.
    TASK = 1 << 13


cdef ndarray normalize(ndarray x, ndarray g, Py_ssize_t size, double alpha, double beta, double k):
    """The result, or, with g, the gradient of x."""
    cdef ndarray out
    cdef response_job job
    cdef response_level level
    cdef task_t task
    cdef Py_ssize_t tasks
    cdef int number = cnp.PyArray_TYPE(x)
    x = usable(x, number)
    out = empty_like(x)
    if cnp.PyArray_SIZE(x) == 0:
        return out
    job.images, job.channels = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
    job.positions = cnp.PyArray_SIZE(x) // (job.images * job.channels)
    job.before = min(size // 2, job.channels - 1)
    job.after = min((size - 1) // 2, job.channels - 1)
    job.strips = 1 + (job.positions - 1) // max(NARROWEST, STRIP // job.channels)
    job.strip = (job.positions + job.strips - 1) // job.strips
    if job.strips > 1:
        job.strip = (job.strip + NARROWEST - 1) // NARROWEST * NARROWEST
        job.strips = (job.positions + job.strip - 1) // job.strip
    job.per_task = max(1, TASK // (job.strip * job.channels))
    job.x, job.g, job.out = cnp.PyArray_DATA(x), NULL, cnp.PyArray_DATA(out)
    if g is not None:
        g = usable(g, number)
        job.g = cnp.PyArray_DATA(g)
    job.scale, job.beta, job.k, job.failed = alpha / size, beta, k, False
    level = level_f32 if number == NPY_FLOAT else level_f64
    task = level.forward if g is None else level.backward
    tasks = (job.images * job.strips + job.per_task - 1) // job.per_task
    run_tasks(task, &job, tasks, tasks == 1)
    if job.failed:
        raise MemoryError("local_response_norm: no memory left to work in")
    return out


def forward(ndarray x not None, Py_ssize_t size, double alpha, double beta, double k, /):
    return normalize(x, None, size, alpha, beta, k)


def backward(
    ndarray g not None, ndarray x not None, Py_ssize_t size, double alpha, double beta, double k, /
):
    if not same_shape(g, x):
        raise ValueError(
            f"gradient of shape {(<object>g).shape} for an array of shape {(<object>x).shape}")
    return normalize(x, g, size, alpha, beta, k)
