"""The pool from which kernels take the memory of their large outputs (see memory.h)."""

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_New
from numpy cimport ndarray

cnp.import_array()

cdef extern from "memory.h":
    struct pool_state:
        size_t limit
        size_t cached
        size_t in_use
        size_t hits
        size_t misses
    pool_state pool
    void* pool_handler
    void pool_trim(size_t)

cdef extern from "numpy/arrayobject.h":
    object PyDataMem_SetHandler(object)

cdef object handler = PyCapsule_New(&pool_handler, "mem_handler", NULL)


cdef ndarray pooled(int ndim, cnp.npy_intp* shape, int type_number, bint fortran):
    """A fresh array, in C or in Fortran order, with memory of the pool."""
    if pool.limit == 0:
        return cnp.PyArray_EMPTY(ndim, shape, type_number, fortran)
    before = PyDataMem_SetHandler(handler)
    try:
        return cnp.PyArray_EMPTY(ndim, shape, type_number, fortran)
    finally:
        PyDataMem_SetHandler(before)


def set_limit(size_t size):
    pool.limit = size
    pool_trim(size)


def clear():
    pool_trim(0)


def stats():
    return {
        "limit": pool.limit,
        "cached": pool.cached,
        "in_use": pool.in_use,
        "hits": pool.hits,
        "misses": pool.misses,
    }
