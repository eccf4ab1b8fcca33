"""The pool from which kernels take the memory of their large outputs (see memory.h)."""

import numpy as np

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


def zeros(shape, dtype):
    cdef Py_ssize_t size = 1, length
    for length in shape:
        size *= length
    return within(np.zeros, shape, dtype) if size >= POOLED else np.zeros(shape, dtype)


def call(function, *args, **kwargs):
    for x in args:
        if isinstance(x, ndarray) and cnp.PyArray_SIZE(<ndarray>x) >= POOLED:
            return within(function, *args, **kwargs)
    return function(*args, **kwargs)


def within(function, *args, **kwargs):
    if pool.limit == 0:
        return function(*args, **kwargs)
    before = PyDataMem_SetHandler(handler)
    try:
        return function(*args, **kwargs)
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
