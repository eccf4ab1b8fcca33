"""Taking rows at indices, and adding them: embedding, bags of it, gradients of all that indexes.

`take_rows` copies rows of any dtype, with indices from 0 on. `add_rows`:

``out[index[i]] += values[i]`` for one i after the other, so that repeated indices add up in a
fixed order. float32 and float64 run here, on rows that lie together in memory; what the guard
refuses goes to `numpy.add.at`. Indices are checked before anything is written.

Sums and maxima of bags of rows (indexing_real.h) take float32 and float64. Forward, a task is a
number of bags. Backward, where bags share rows, there is one: it adds to whole rows, as parts of
them, a task each, would take up to twice as long on one thread.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating
from libc.stdint cimport intptr_t
from libc.string cimport memcpy, memset
from numpy cimport NPY_DOUBLE, NPY_FLOAT, NPY_INT32, NPY_INT64, NPY_INTP, ndarray

from lucid._kernels.arrays cimport empty, ready, ready_out, same_shape, usable
from lucid._kernels.threads cimport run_tasks, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "indexing_body.h"
    #include "each_level.h"
    static bag_level bag_pick_f32(void) { return LUCID_PICK(level_f32); }
    static bag_level bag_pick_f64(void) { return LUCID_PICK(level_f64); }
    """
    ctypedef struct bag_job:
        Py_ssize_t bags, rows, width, per_task, padding
        bint mean
        const intptr_t* index
        const intptr_t* bounds
        const void* table
        const void* g
        const void* factor
        void* target
        void* place
    ctypedef struct bag_level:
        bint (*fits)(const bag_job* job, Py_ssize_t entries) noexcept nogil
        task_t sum, sum_backward, products, max, max_backward
    bag_level bag_pick_f32()
    bag_level bag_pick_f64()

cdef bag_level level_f32 = bag_pick_f32()
cdef bag_level level_f64 = bag_pick_f64()

# Below this many elements a loop is over sooner than the lock has changed hands.
cdef Py_ssize_t LARGE = 1024

cdef enum:
    # Elements of rows worth a task of their own.
    TASK = 1 << 16


cdef bint in_range(
    const cnp.npy_intp* index, Py_ssize_t count, Py_ssize_t first, Py_ssize_t rows
) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint outside = False
    for i in range(count):
        outside |= index[i] < first or index[i] >= rows
    return not outside


cdef void take(
    char* out, const char* x, const cnp.npy_intp* index, Py_ssize_t count, Py_ssize_t width
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        memcpy(out + i * width, x + index[i] * width, width)


def take_rows(ndarray x not None, ndarray index not None):
    cdef int number = cnp.PyArray_TYPE(x), i
    cdef int ndim = cnp.PyArray_NDIM(index), tail = cnp.PyArray_NDIM(x) - 1
    if tail < 0:
        raise ValueError("take_rows: x must have rows")
    cdef cnp.npy_intp[64] shape
    if number > cnp.NPY_CLONGDOUBLE or not ready(x, number) or ndim + tail > 64:
        if index.size and index.min() < 0:
            raise IndexError("take_rows: an index is negative")
        return np.take(x, index, axis=0)
    if not ready(index, NPY_INTP):
        index = np.array(index, dtype=np.intp, order="C")
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIMS(index)[i]
    for i in range(tail):
        shape[ndim + i] = cnp.PyArray_DIMS(x)[i + 1]
    cdef Py_ssize_t rows = cnp.PyArray_DIMS(x)[0], count = cnp.PyArray_SIZE(index)
    cdef Py_ssize_t width = cnp.PyArray_ITEMSIZE(x) * cnp.PyArray_MultiplyList(
        cnp.PyArray_DIMS(x) + 1, tail
    )
    cdef const cnp.npy_intp* places = <const cnp.npy_intp*> cnp.PyArray_DATA(index)
    if not in_range(places, count, 0, rows):
        raise IndexError(f"take_rows: an index lies outside [0, {rows})")
    cdef ndarray out = empty(ndim + tail, shape, number)
    cdef char* target = <char*> cnp.PyArray_DATA(out)
    cdef const char* source = <const char*> cnp.PyArray_DATA(x)
    if count * width < 4 * LARGE:
        take(target, source, places, count, width)
    else:
        with nogil:
            take(target, source, places, count, width)
    return out


cdef void add(
    floating* out, const floating* values, const cnp.npy_intp* index,
    Py_ssize_t count, Py_ssize_t rows, Py_ssize_t width,
) noexcept nogil:
    cdef Py_ssize_t i, j, row
    cdef floating* target
    for i in range(count):
        row = index[i] + rows if index[i] < 0 else index[i]
        target = out + row * width
        for j in range(width):
            target[j] += values[j]
        values += width


cdef void add_either(
    int type_number, void* out, const void* values, const cnp.npy_intp* index,
    Py_ssize_t count, Py_ssize_t rows, Py_ssize_t width,
) noexcept nogil:
    if type_number == NPY_FLOAT:
        add(<float*> out, <const float*> values, index, count, rows, width)
    else:
        add(<double*> out, <const double*> values, index, count, rows, width)


def add_rows(ndarray out not None, ndarray index not None, ndarray values not None):
    cdef int number = cnp.PyArray_TYPE(out)
    cdef Py_ssize_t count, rows, width, i
    if (
        cnp.PyArray_NDIM(out) == 0
        or cnp.PyArray_NDIM(index) != 1
        or cnp.PyArray_NDIM(values) != cnp.PyArray_NDIM(out)
        or values.shape[0] != index.shape[0]
    ):
        raise ValueError("add_rows: expected out (n, ...), index (k,) and values (k, ...)")
    rows, count = out.shape[0], index.shape[0]
    width = 1
    for i in range(1, cnp.PyArray_NDIM(out)):
        width *= out.shape[i]
        if out.shape[i] != values.shape[i]:
            raise ValueError("add_rows: the rows of out and values differ in shape")
    if (number != NPY_FLOAT and number != NPY_DOUBLE) or not ready_out(out, number):
        np.add.at(out, index, values)
        return
    if not ready(values, number):
        values = np.array(values, dtype=out.dtype, order="C")
    if not ready(index, NPY_INTP):
        index = np.array(index, dtype=np.intp, order="C")
    cdef const cnp.npy_intp* places = <const cnp.npy_intp*> cnp.PyArray_DATA(index)
    if not in_range(places, count, -rows, rows):
        raise IndexError(f"add_rows: an index lies outside [{-rows}, {rows})")
    cdef void* target = cnp.PyArray_DATA(out)
    cdef const void* source = cnp.PyArray_DATA(values)
    if count * width < LARGE:
        add_either(number, target, source, places, count, rows, width)
    else:
        with nogil:
            add_either(number, target, source, places, count, rows, width)


# --- bags -----------------------------------------------------------------------------------------

cdef const bag_level* describe(
    bag_job* job, ndarray x, ndarray index, ndarray bounds, Py_ssize_t rows, bint mean,
    Py_ssize_t padding,
) except NULL:
    """Bags of rows as wide as those of x: of the table, or of the gradient of its bags."""
    cdef int number = cnp.PyArray_TYPE(x)
    cdef const bag_level* level = &level_f32 if number == NPY_FLOAT else &level_f64
    if (
        (number != NPY_FLOAT and number != NPY_DOUBLE) or cnp.PyArray_NDIM(x) != 2
        or cnp.PyArray_NDIM(index) != 1 or cnp.PyArray_NDIM(bounds) != 1 or not bounds.size
    ):
        raise ValueError("bags: expected real rows (n, width), index (k,) and bounds (bags + 1,)")
    job.bags, job.rows, job.width = bounds.shape[0] - 1, rows, x.shape[1]
    job.padding, job.mean = padding, mean
    job.index = <const intptr_t*> cnp.PyArray_DATA(index)
    job.bounds = <const intptr_t*> cnp.PyArray_DATA(bounds)
    job.factor = NULL
    if not level.fits(job, index.shape[0]):
        raise IndexError(f"bags: an index lies outside [0, {rows}), or a bag outside the entries")
    return level


cdef const void* gradient(const bag_job* job, ndarray g) except NULL:
    if cnp.PyArray_NDIM(g) != 2 or g.shape[0] != job.bags or g.shape[1] != job.width:
        raise ValueError("bags: g must have a row for each bag")
    return cnp.PyArray_DATA(g)


cdef const void* factors(ndarray index, ndarray factor) except NULL:
    if cnp.PyArray_NDIM(factor) != 1 or factor.shape[0] != index.shape[0]:
        raise ValueError("bags: there must be a factor for each entry")
    return cnp.PyArray_DATA(factor)


cdef void run_bags(task_t task, bag_job* job, ndarray index) noexcept:
    cdef Py_ssize_t elements = index.shape[0] * job.width
    job.per_task = max(1, job.bags * TASK // (elements + TASK))
    run_tasks(task, job, (job.bags + job.per_task - 1) // job.per_task, elements < LARGE)


cdef ndarray matrix(Py_ssize_t rows, Py_ssize_t columns, int number):
    cdef cnp.npy_intp[2] shape = [rows, columns]
    return empty(2, shape, number)


def bag_sum(
    ndarray table not None, ndarray factor, ndarray index not None, ndarray bounds not None,
    bint mean, Py_ssize_t padding, /
):
    cdef int number = cnp.PyArray_TYPE(table)
    cdef bag_job job
    index, bounds = usable(index, NPY_INTP), usable(bounds, NPY_INTP)
    level = describe(&job, table, index, bounds, table.shape[0], mean, padding)
    table = usable(table, number)
    if factor is not None:
        factor = usable(factor, number)
        job.factor = factors(index, factor)
    cdef ndarray out = matrix(job.bags, job.width, number)
    job.table, job.target = cnp.PyArray_DATA(table), cnp.PyArray_DATA(out)
    run_bags(level.sum, &job, index)
    return out


def bag_sum_backward(
    ndarray g not None, ndarray factor, Py_ssize_t rows, ndarray index not None,
    ndarray bounds not None, bint mean, Py_ssize_t padding, /
):
    cdef int number = cnp.PyArray_TYPE(g)
    cdef bag_job job
    index, bounds = usable(index, NPY_INTP), usable(bounds, NPY_INTP)
    level = describe(&job, g, index, bounds, rows, mean, padding)
    g = usable(g, number)
    if factor is not None:
        factor = usable(factor, number)
        job.factor = factors(index, factor)
    cdef ndarray out = matrix(rows, job.width, number)
    job.g, job.target = gradient(&job, g), cnp.PyArray_DATA(out)
    run_tasks(level.sum_backward, &job, 1, (rows + index.shape[0]) * job.width < LARGE)
    return out


def bag_products(
    ndarray g not None, ndarray table not None, ndarray index not None, ndarray bounds not None,
    bint mean, Py_ssize_t padding, /
):
    cdef int number = cnp.PyArray_TYPE(table)
    cdef cnp.npy_intp entries = index.size
    cdef bag_job job
    index, bounds = usable(index, NPY_INTP), usable(bounds, NPY_INTP)
    level = describe(&job, table, index, bounds, table.shape[0], mean, padding)
    g, table = usable(g, number), usable(table, number)
    cdef ndarray out = empty(1, &entries, number)
    job.g, job.table, job.target = (
        gradient(&job, g), cnp.PyArray_DATA(table), cnp.PyArray_DATA(out))
    memset(job.target, 0, cnp.PyArray_NBYTES(out))
    run_bags(level.products, &job, index)
    return out


def bag_max(
    ndarray table not None, ndarray index not None, ndarray bounds not None, Py_ssize_t padding, /
):
    cdef int number = cnp.PyArray_TYPE(table)
    cdef bag_job job
    index, bounds = usable(index, NPY_INTP), usable(bounds, NPY_INTP)
    level = describe(&job, table, index, bounds, table.shape[0], False, padding)
    table = usable(table, number)
    cdef ndarray out = matrix(job.bags, job.width, number)
    cdef ndarray place = matrix(
        job.bags, job.width, NPY_INT32 if number == NPY_FLOAT else NPY_INT64)
    job.table = cnp.PyArray_DATA(table)
    job.target, job.place = cnp.PyArray_DATA(out), cnp.PyArray_DATA(place)
    run_bags(level.max, &job, index)
    return out, place


def bag_max_backward(ndarray g not None, ndarray place not None, Py_ssize_t rows, /):
    cdef int number = cnp.PyArray_TYPE(g)
    cdef const bag_level* level = &level_f32 if number == NPY_FLOAT else &level_f64
    cdef bag_job job
    if (number != NPY_FLOAT and number != NPY_DOUBLE) or cnp.PyArray_NDIM(g) != 2:
        raise ValueError("bags: expected a real g (bags, width)")
    if not same_shape(g, place):
        raise ValueError("bags: there must be a place for each element of g")
    g = usable(g, number)
    place = usable(place, NPY_INT32 if number == NPY_FLOAT else NPY_INT64)
    job.bags, job.rows, job.width = g.shape[0], rows, g.shape[1]
    cdef ndarray out = matrix(rows, job.width, number)
    job.g, job.target = cnp.PyArray_DATA(g), cnp.PyArray_DATA(out)
    job.place = cnp.PyArray_DATA(place)
    run_tasks(level.max_backward, &job, 1, (rows + job.bags) * job.width < LARGE)
    return out
