"""Taking rows at indices, and adding them: embedding, and the gradients of all that indexes.

`take_rows` copies rows of any dtype, with indices from 0 on. `add_rows`:

``out[index[i]] += values[i]`` for one i after the other, so that repeated indices add up in a
fixed order. float32 and float64 run here, on rows that lie together in memory; what the guard
refuses goes to `numpy.add.at`. Indices are checked before anything is written.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating
from libc.string cimport memcpy
from numpy cimport NPY_DOUBLE, NPY_FLOAT, NPY_INTP, ndarray

from lucid._kernels.arrays cimport empty, ready, ready_out

cnp.import_array()

# Below this many elements a loop is over sooner than the lock has changed hands.
cdef Py_ssize_t LARGE = 1024


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
