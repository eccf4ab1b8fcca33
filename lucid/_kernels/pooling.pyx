"""Max and average pooling in 1 to 3 dimensions, for float32 and float64 arrays.

The loops are C (pooling_real.h). Planes are independent, and tasks are fixed numbers of them.
Sizes are checked by the caller; the last axes are those that are pooled.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t
from numpy cimport NPY_FLOAT, NPY_INT32, ndarray

from lucid._kernels.arrays cimport empty, ready, usable
from lucid._kernels.threads cimport run_tasks, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "pooling_body.h"
    #include "each_level.h"
    static pool_level pool_pick_f32(void) { return LUCID_PICK(level_f32); }
    static pool_level pool_pick_f64(void) { return LUCID_PICK(level_f64); }
    """
    ctypedef struct pool_axis:
        Py_ssize_t size, count, kernel, stride, padding, dilation
    ctypedef struct pool_job:
        Py_ssize_t planes, per_task
        pool_axis axis[3]
        const void* source
        void* target
        int32_t* index
        bint count_padding
        double divisor
    ctypedef struct pool_level:
        task_t max, max_backward, average, average_backward
    pool_level pool_pick_f32()
    pool_level pool_pick_f64()

cdef pool_level level_f32 = pool_pick_f32()
cdef pool_level level_f64 = pool_pick_f64()

cdef enum:
    MAX_NDIM = 64
    # Elements worth a task of their own.
    TASK = 1 << 15


cdef inline const pool_level* level_of(ndarray x) noexcept:
    return &level_f32 if cnp.PyArray_TYPE(x) == NPY_FLOAT else &level_f64


cdef int describe(
    pool_job* job, ndarray planes, tuple size, tuple counts, tuple kernel, tuple stride,
    tuple padding, tuple dilation
) except -1:
    cdef int axes = len(kernel), d, i
    cdef Py_ssize_t work = 1
    job.planes = 1
    for d in range(cnp.PyArray_NDIM(planes) - axes):
        job.planes *= cnp.PyArray_DIM(planes, d)
    for d in range(3):
        i = d - (3 - axes)
        job.axis[d] = pool_axis(1, 1, 1, 1, 0, 1)
        if i >= 0:
            job.axis[d] = pool_axis(
                size[i], counts[i], kernel[i], stride[i], padding[i], dilation[i])
        work *= job.axis[d].count * job.axis[d].kernel + job.axis[d].size
    job.per_task = max(1, TASK // (work + 1))
    return 0


cdef inline void run(task_t task, pool_job* job) noexcept:
    cdef Py_ssize_t tasks = (job.planes + job.per_task - 1) // job.per_task
    run_tasks(task, job, tasks, tasks == 1)


cdef ndarray like(ndarray x, tuple last, int type_number):
    """An array shaped like x but for its last axes."""
    cdef cnp.npy_intp shape[MAX_NDIM]
    cdef int ndim = cnp.PyArray_NDIM(x), d, axes = len(last)
    for d in range(ndim):
        shape[d] = cnp.PyArray_DIM(x, d) if d < ndim - axes else last[d - ndim + axes]
    return empty(ndim, shape, type_number)


cdef tuple last_axes(ndarray x, tuple kernel):
    return tuple([
        cnp.PyArray_DIM(x, d)
        for d in range(cnp.PyArray_NDIM(x) - len(kernel), cnp.PyArray_NDIM(x))
    ])


def max_pool(
    ndarray x not None, tuple counts, tuple kernel, tuple stride, tuple padding, tuple dilation, /
):
    cdef int type_number = cnp.PyArray_TYPE(x)
    cdef pool_job job
    cdef ndarray out = like(x, counts, type_number), index = like(x, counts, NPY_INT32)
    x = usable(x, type_number)
    if cnp.PyArray_SIZE(out):
        describe(&job, x, last_axes(x, kernel), counts, kernel, stride, padding, dilation)
        job.source, job.target = cnp.PyArray_DATA(x), cnp.PyArray_DATA(out)
        job.index = <int32_t*>cnp.PyArray_DATA(index)
        run(level_of(x).max, &job)
    return out, index


def max_pool_backward(ndarray g not None, ndarray index not None, tuple size, /):
    cdef int type_number = cnp.PyArray_TYPE(g)
    cdef tuple counts = last_axes(g, size)
    cdef pool_job job
    cdef ndarray out = like(g, size, type_number)
    g = usable(g, type_number)
    if not ready(index, NPY_INT32):
        index = cnp.PyArray_FROMANY(
            index, NPY_INT32, 0, 0, cnp.NPY_ARRAY_DEFAULT | cnp.NPY_ARRAY_FORCECAST)
    if cnp.PyArray_SIZE(out):
        describe(&job, g, size, counts, size, size, size, size)
        job.source, job.target = cnp.PyArray_DATA(g), cnp.PyArray_DATA(out)
        job.index = <int32_t*>cnp.PyArray_DATA(index)
        run(level_of(g).max_backward, &job)
    return out


def avg_pool(
    ndarray x not None, tuple counts, tuple kernel, tuple stride, tuple padding,
    bint count_padding, double divisor, /
):
    cdef int type_number = cnp.PyArray_TYPE(x)
    cdef pool_job job
    cdef ndarray out = like(x, counts, type_number)
    x = usable(x, type_number)
    if cnp.PyArray_SIZE(out):
        describe(&job, x, last_axes(x, kernel), counts, kernel, stride, padding, (1, 1, 1))
        job.source, job.target = cnp.PyArray_DATA(x), cnp.PyArray_DATA(out)
        job.count_padding, job.divisor = count_padding, divisor
        run(level_of(x).average, &job)
    return out


def avg_pool_backward(
    ndarray g not None, tuple size, tuple kernel, tuple stride, tuple padding,
    bint count_padding, double divisor, /
):
    cdef int type_number = cnp.PyArray_TYPE(g)
    cdef pool_job job
    cdef ndarray out = like(g, size, type_number)
    g = usable(g, type_number)
    if cnp.PyArray_SIZE(out):
        describe(&job, g, size, last_axes(g, kernel), kernel, stride, padding, (1, 1, 1))
        job.source, job.target = cnp.PyArray_DATA(g), cnp.PyArray_DATA(out)
        job.count_padding, job.divisor = count_padding, divisor
        run(level_of(g).average_backward, &job)
    return out
