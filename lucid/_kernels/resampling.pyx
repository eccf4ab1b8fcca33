"""Weighted sums of the elements at given places of a plane, for float32 and float64 arrays.

Interpolation, adaptive means, mirrored borders and sampling along a grid are tables of places and
weights (see resampling.h). The loops are C; tasks are fixed numbers of planes.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t
from numpy cimport NPY_INT32, ndarray

from lucid._kernels.arrays cimport empty, usable
from lucid._kernels.loops cimport real_type
from lucid._kernels.threads cimport run_tasks, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "resampling_body.h"
    #include "each_level.h"
    static resample_level resample_pick(int kind) {
        return kind ? LUCID_PICK(level_f64) : LUCID_PICK(level_f32);
    }
    """
    ctypedef struct resample_job:
        Py_ssize_t images, channels, size, count, columns, taps, step, per_task
        const int32_t* place
        const void* weight
        const void* x
        const void* g
        void* out
    ctypedef struct resample_level:
        task_t sample, spread, correlate
    resample_level resample_pick(int kind)

cdef resample_level[2] levels = [resample_pick(0), resample_pick(1)]

cdef enum:
    # Elements worth a task of their own.
    TASK = 1 << 15


cdef inline const resample_level* level_of(ndarray x) except NULL:
    cdef int kind = real_type(x)
    if kind < 0 or cnp.PyArray_NDIM(x) != 4:
        raise ValueError(
            f"expected 4 dimensions of a real dtype; got {(<object>x).shape}, {x.dtype}")
    return &levels[kind]


cdef ndarray table(resample_job* job, ndarray place, Py_ssize_t images, Py_ssize_t size):
    """Checks the places, which it returns in a form that the loops can read."""
    cdef Py_ssize_t i, largest = -1
    if cnp.PyArray_NDIM(place) != 3 or not (
        cnp.PyArray_DIM(place, 0) == 1 or cnp.PyArray_DIM(place, 0) == images
    ):
        raise ValueError(
            f"place must have shape (1 or {images}, taps, count); got {(<object>place).shape}")
    place = usable(place, NPY_INT32)
    job.place = <const int32_t*>cnp.PyArray_DATA(place)
    for i in range(cnp.PyArray_SIZE(place)):
        largest = max(largest, job.place[i])
    if largest >= size:
        raise IndexError(f"a place lies outside of {size}: {largest}")
    job.images, job.size = images, size
    job.taps, job.count = cnp.PyArray_DIM(place, 1), cnp.PyArray_DIM(place, 2)
    job.step = 0 if cnp.PyArray_DIM(place, 0) == 1 else job.taps * job.count
    return place


cdef ndarray weights(resample_job* job, weight, ndarray place, ndarray x):
    job.weight = NULL
    if weight is None:
        return None
    if np.shape(weight) != np.shape(place) or weight.dtype != x.dtype:
        raise ValueError(
            f"weight must have shape {np.shape(place)} and dtype {x.dtype}; "
            f"got {np.shape(weight)} and {weight.dtype}")
    cdef ndarray found = usable(weight, cnp.PyArray_TYPE(x))
    job.weight = cnp.PyArray_DATA(found)
    return found


cdef ndarray fresh(ndarray x, Py_ssize_t size):
    """An array shaped like x but for axis 2."""
    cdef cnp.npy_intp[4] shape = [
        cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), size, cnp.PyArray_DIM(x, 3)]
    return empty(4, shape, cnp.PyArray_TYPE(x))


cdef inline void run(task_t task, resample_job* job) noexcept:
    """Over planes."""
    cdef Py_ssize_t planes = job.images * job.channels
    job.per_task = max(1, TASK // (job.count * job.columns * job.taps + job.size + 1))
    run_tasks(task, job, (planes + job.per_task - 1) // job.per_task, False)


def sample(ndarray x not None, weight, ndarray place not None, /):
    cdef const resample_level* level = level_of(x)
    cdef resample_job job
    cdef ndarray places, _factors, out
    places = table(&job, place, cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 2))
    _factors = weights(&job, weight, places, x)
    out = fresh(x, job.count)
    x = usable(x, cnp.PyArray_TYPE(x))
    job.channels, job.columns = cnp.PyArray_DIM(x, 1), cnp.PyArray_DIM(x, 3)
    job.x, job.out = cnp.PyArray_DATA(x), cnp.PyArray_DATA(out)
    if not job.taps or not job.size:
        out[...] = 0
    elif cnp.PyArray_SIZE(out):
        run(level.sample, &job)
    return out


def spread(ndarray g not None, weight, ndarray place not None, Py_ssize_t size, /):
    cdef const resample_level* level = level_of(g)
    cdef resample_job job
    cdef ndarray places, _factors, out
    places = table(&job, place, cnp.PyArray_DIM(g, 0), size)
    _factors = weights(&job, weight, places, g)
    if cnp.PyArray_DIM(g, 2) != job.count:
        raise ValueError(f"g must have {job.count} places; got {(<object>g).shape}")
    out = fresh(g, size)
    g = usable(g, cnp.PyArray_TYPE(g))
    job.channels, job.columns = cnp.PyArray_DIM(g, 1), cnp.PyArray_DIM(g, 3)
    job.g, job.out = cnp.PyArray_DATA(g), cnp.PyArray_DATA(out)
    if cnp.PyArray_SIZE(out):
        run(level.spread, &job)
    return out


def correlate(ndarray g not None, ndarray x not None, ndarray place not None, /):
    cdef const resample_level* level = level_of(x)
    cdef resample_job job
    cdef ndarray places, out
    places = table(&job, place, cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 2))
    if np.shape(g) != (job.images, x.shape[1], job.count, x.shape[3]) or g.dtype != x.dtype:
        raise ValueError(
            f"g of shape {np.shape(g)} and {g.dtype} for x of {np.shape(x)} and {x.dtype}")
    out = empty(3, cnp.PyArray_DIMS(places), cnp.PyArray_TYPE(x))
    x, g = usable(x, cnp.PyArray_TYPE(x)), usable(g, cnp.PyArray_TYPE(x))
    job.channels, job.columns = cnp.PyArray_DIM(x, 1), cnp.PyArray_DIM(x, 3)
    job.x, job.g, job.out = cnp.PyArray_DATA(x), cnp.PyArray_DATA(g), cnp.PyArray_DATA(out)
    if not cnp.PyArray_SIZE(x) or not cnp.PyArray_SIZE(g):
        out[...] = 0
        return out
    job.per_task = job.images
    if job.step:
        job.per_task = max(1, TASK // (job.count * job.columns * job.taps * job.channels + 1))
    run_tasks(
        level.correlate, &job, (job.images + job.per_task - 1) // job.per_task, False)
    return out
