"""Copies between arrays of any strides (see strided.h).

`copy` makes a C-contiguous array, `write` fills a strided one, `concatenate` and `stack` write each
array into its part of a fresh one, and `embed` writes into zeros. Elements are moved as integers of
their size, so that any dtype of numbers will do. What the guard refuses, NumPy copies: bytes in
foreign order, elements of another size, and for `write` targets of another dtype or shape, or that
share memory with the source or with themselves.
"""

import numpy as np

cimport numpy as cnp
from numpy cimport ndarray

from lucid._kernels.arrays cimport empty, ready, same_shape
from lucid._kernels.loops cimport real_type
from lucid._kernels.threads cimport run_tasks

cnp.import_array()

cdef extern from "numpy/ndarraytypes.h":
    bint PyTypeNum_ISNUMBER(int)
    bint PyTypeNum_ISBOOL(int)

cdef extern from "strided.h" nogil:
    ctypedef struct strided_axis:
        Py_ssize_t length, out, x
    ctypedef struct strided_job:
        char* out
        const char* x
        Py_ssize_t size
        int ndim
        strided_axis* axis
    ctypedef struct strided_zeros:
        strided_job job
        char* begin
        char* end
    bint strided_movable(Py_ssize_t size)
    int strided_order(strided_job* job)
    Py_ssize_t strided_divide(strided_job* job)
    Py_ssize_t strided_divide_rows(strided_zeros* zeros)
    void strided_task(void* job, Py_ssize_t index)
    void strided_embed_task(void* zeros, Py_ssize_t index)

cdef enum:
    UNLOCKED = 1 << 14      # bytes from which on a copy outlasts giving the lock away
    MAX_NDIM = 64


cdef inline bint movable(ndarray x) noexcept:
    cdef int number = cnp.PyArray_TYPE(x)
    return (
        (PyTypeNum_ISNUMBER(number) or PyTypeNum_ISBOOL(number))
        and strided_movable(cnp.PyArray_ITEMSIZE(x))
        and cnp.PyArray_ISNOTSWAPPED(x)
    )


cdef inline void describe(
    strided_job* job, char* out, const cnp.npy_intp* out_strides, ndarray x
) noexcept:
    cdef int d
    job.out, job.x = out, <const char*>cnp.PyArray_DATA(x)
    job.size, job.ndim = cnp.PyArray_ITEMSIZE(x), cnp.PyArray_NDIM(x)
    for d in range(job.ndim):
        job.axis[d].length = cnp.PyArray_DIMS(x)[d]
        job.axis[d].out = out_strides[d]
        job.axis[d].x = cnp.PyArray_STRIDES(x)[d]


cdef bint move(char* out, const cnp.npy_intp* out_strides, ndarray x) noexcept:
    """Copies `x` to memory that it does not share; False if that may share itself."""
    cdef strided_job job
    describe(&job, out, out_strides, x)
    cdef int found = strided_order(&job)
    if found > 0:
        run_tasks(strided_task, &job, strided_divide(&job), cnp.PyArray_NBYTES(x) < UNLOCKED)
    return found >= 0


cdef ndarray contiguous(ndarray x, int type_number):
    """A C-contiguous copy of that dtype."""
    cdef ndarray out = empty(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), type_number)
    if cnp.PyArray_TYPE(x) == type_number and movable(x):
        move(<char*>cnp.PyArray_DATA(out), cnp.PyArray_STRIDES(out), x)
    else:
        cnp.PyArray_CopyInto(out, x)
    return out


cdef ndarray real_contiguous(x):
    """`x`, or a C-contiguous copy in the nearest real type."""
    cdef int kind = real_type(<ndarray>x) if type(x) is ndarray else -1
    if kind >= 0:
        return x if ready(<ndarray>x, cnp.PyArray_TYPE(<ndarray>x)) else contiguous(
            x, cnp.PyArray_TYPE(<ndarray>x))
    x = np.asarray(x)
    if x.dtype.kind == "c":
        raise TypeError(f"expected real numbers, got an array of {x.dtype}")
    return np.array(
        x, dtype=np.float32 if x.dtype in (np.float16, np.float32) else np.float64, order="C"
    )


cdef ndarray restored(ndarray out, x):
    """What came of `real_contiguous(x)`: float16 in, float16 out."""
    return out.astype(np.float16) if getattr(x, "dtype", None) == np.float16 else out


def copy(ndarray x not None):
    return contiguous(x, cnp.PyArray_TYPE(x)) if movable(x) else x.copy()


cdef bint apart(ndarray x, ndarray y) noexcept:
    """Whether what lies between the first and the last byte of one holds nothing of the other."""
    cdef const char* low[2]
    cdef const char* high[2]
    cdef ndarray array
    cdef Py_ssize_t reach
    cdef int i, d
    for i in range(2):
        array = y if i else x
        low[i] = high[i] = <const char*>cnp.PyArray_DATA(array)
        high[i] += cnp.PyArray_ITEMSIZE(array)
        for d in range(cnp.PyArray_NDIM(array)):
            reach = (cnp.PyArray_DIMS(array)[d] - 1) * cnp.PyArray_STRIDES(array)[d]
            if reach < 0:
                low[i] += reach
            else:
                high[i] += reach
    return high[0] <= low[1] or high[1] <= low[0]


def write(ndarray out not None, x):
    if not (
        type(x) is ndarray
        and movable(out) and movable(x) and cnp.PyArray_TYPE(out) == cnp.PyArray_TYPE(<ndarray>x)
        and same_shape(out, x) and apart(out, x)
        and cnp.PyArray_CHKFLAGS(out, cnp.NPY_ARRAY_WRITEABLE)
        and move(<char*>cnp.PyArray_DATA(out), cnp.PyArray_STRIDES(out), x)
    ):
        out[...] = x


# --- several arrays in one ------------------------------------------------------------------------

cdef ndarray join(list arrays, Py_ssize_t axis, bint new_axis):
    """The arrays along an existing or a new axis; None if they are not alike, or not movable."""
    cdef cnp.npy_intp[MAX_NDIM + 1] shape, strides
    cdef ndarray first, x, out
    cdef int d, ndim, place
    if not arrays or type(arrays[0]) is not ndarray or not movable(arrays[0]):
        return None
    first = arrays[0]
    ndim = cnp.PyArray_NDIM(first)
    if not 0 <= axis < ndim + new_axis:
        return None
    for d in range(ndim):
        shape[d + (new_axis and d >= axis)] = cnp.PyArray_DIMS(first)[d]
    shape[axis] = 0
    for array in arrays:
        if type(array) is not ndarray:
            return None
        x = array
        if (
            cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(first) or not movable(x)
            or cnp.PyArray_NDIM(x) != ndim
        ):
            return None
        for d in range(ndim):
            place = d + (new_axis and d >= axis)
            if place != axis and cnp.PyArray_DIMS(x)[d] != shape[place]:
                return None
        shape[axis] += 1 if new_axis else cnp.PyArray_DIMS(x)[axis]
    out = empty(ndim + new_axis, shape, cnp.PyArray_TYPE(first))
    cdef char* to = <char*>cnp.PyArray_DATA(out)
    cdef Py_ssize_t step = cnp.PyArray_STRIDES(out)[axis]
    for d in range(ndim):
        strides[d] = cnp.PyArray_STRIDES(out)[d + (new_axis and d >= axis)]
    for array in arrays:
        x = array
        move(to, strides, x)
        to += step * (1 if new_axis else cnp.PyArray_DIMS(x)[axis])
    return out


def concatenate(list arrays not None, Py_ssize_t axis):
    out = join(arrays, axis, False)
    return np.concatenate(arrays, axis) if out is None else out


def stack(list arrays not None, Py_ssize_t axis):
    out = join(arrays, axis, True)
    return np.stack(arrays, axis) if out is None else out


# --- zeros with an array in them ------------------------------------------------------------------

def embed(ndarray g not None, tuple shape not None, key):
    cdef cnp.npy_intp[MAX_NDIM] lengths
    cdef int d, ndim = len(shape)
    cdef strided_zeros zeros
    if ndim > MAX_NDIM or not movable(g):
        return embed_elsewhere(g, shape, key)
    for d in range(ndim):
        lengths[d] = shape[d]
    cdef ndarray out = empty(ndim, lengths, cnp.PyArray_TYPE(g))
    part = out[key]
    if type(part) is not ndarray or part.base is not out or not same_shape(part, g):
        return embed_elsewhere(g, shape, key)
    describe(&zeros.job, <char*>cnp.PyArray_DATA(<ndarray>part),
             cnp.PyArray_STRIDES(<ndarray>part), g)
    if strided_order(&zeros.job) <= 0:
        return embed_elsewhere(g, shape, key)
    zeros.begin = <char*>cnp.PyArray_DATA(out)
    zeros.end = zeros.begin + cnp.PyArray_NBYTES(out)
    run_tasks(
        strided_embed_task, &zeros, strided_divide_rows(&zeros), cnp.PyArray_NBYTES(out) < UNLOCKED)
    return out


cdef ndarray embed_elsewhere(ndarray g, tuple shape, key):
    cdef ndarray out = np.zeros(shape, g.dtype)
    out[key] = g
    return out


# --- another shape --------------------------------------------------------------------------------

cdef bint fits(ndarray x, tuple shape) except -1:
    """Whether a view of `x` has that shape: where a run of its memory ends, an axis must."""
    cdef cnp.npy_intp* lengths = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp* strides = cnp.PyArray_STRIDES(x)
    cdef Py_ssize_t inside = 1, covered = 1, known = 1, stride = 0, length
    cdef int d, axis = len(shape)
    for length in shape:
        known *= max(length, 1)
    for d in range(cnp.PyArray_NDIM(x) - 1, -1, -1):
        if lengths[d] == 1:
            continue
        if inside > 1 and strides[d] != stride:
            while covered < inside and axis > 0:
                axis -= 1
                length = shape[axis]
                covered *= length if length >= 0 else cnp.PyArray_SIZE(x) // known
            if covered != inside:
                return False
        inside *= lengths[d]
        stride = strides[d] * lengths[d]
    return True


def reshape(ndarray x not None, shape):
    if (
        cnp.PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_C_CONTIGUOUS) or cnp.PyArray_NBYTES(x) < UNLOCKED
        or type(shape) is not tuple or fits(x, shape)
    ):
        return x.reshape(shape)
    return copy(x).reshape(shape)
