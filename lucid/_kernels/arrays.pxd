# arrays.pxd: the guard that every kernel runs before it touches raw memory, and fresh outputs.
#
# `ready(x, type_number)` is the one mandatory check: right dtype, C-contiguous, aligned, native
# byte order. What it refuses is copied first, or goes to NumPy. Never touch `PyArray_DATA`
# without it.

cimport numpy as cnp
from libc.string cimport memcmp
from numpy cimport NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, ndarray

from lucid._kernels.memory cimport POOLED, pooled


cdef inline bint ready(ndarray x, int type_number) noexcept:
    """C-contiguous, aligned, native, of that dtype: safe to read through a raw pointer."""
    return (
        cnp.PyArray_TYPE(x) == type_number
        and cnp.PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED)
        and cnp.PyArray_ISNOTSWAPPED(x)
    )


cdef inline bint ready_out(ndarray x, int type_number) noexcept:
    """`ready` and writable: safe to write through a raw pointer."""
    return ready(x, type_number) and cnp.PyArray_CHKFLAGS(x, NPY_ARRAY_WRITEABLE)


cdef inline bint same_shape(ndarray x, ndarray y) noexcept:
    cdef int ndim = cnp.PyArray_NDIM(x)
    return ndim == cnp.PyArray_NDIM(y) and (ndim == 0 or memcmp(
        cnp.PyArray_DIMS(x), cnp.PyArray_DIMS(y), ndim * sizeof(cnp.npy_intp)
    ) == 0)


cdef inline ndarray usable(ndarray x, int type_number):
    """x, or a copy that is contiguous, aligned and native."""
    if ready(x, type_number):
        return x
    return cnp.PyArray_FROMANY(
        x, type_number, 0, 0, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED
        | cnp.NPY_ARRAY_NOTSWAPPED)


cdef inline ndarray empty(
    int ndim, cnp.npy_intp* shape, int type_number, bint fortran=False
):
    if cnp.PyArray_MultiplyList(shape, ndim) >= POOLED:
        return pooled(ndim, shape, type_number, fortran)
    return cnp.PyArray_EMPTY(ndim, shape, type_number, fortran)


cdef inline ndarray empty_like(ndarray x):
    return empty(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))
