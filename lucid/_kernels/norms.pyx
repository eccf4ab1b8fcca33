"""Norms, clipping and health of gradients: every function takes the whole list and loops inside.

`norms.h` describes the design. Elements may be float16, float32, float64, complex64 or complex128
in any mix and layout; nothing of a gradient's size is copied. When measured, other real and complex
dtypes are converted by NumPy first; when changed, they are refused. An array that is in the list
twice counts twice and is changed twice.
"""

cimport cython
cimport numpy as cnp
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, malloc
from numpy cimport ndarray

from lucid._kernels.threads cimport num_threads, parallel_for, task_t

import numpy as np

cnp.import_array()

cdef extern from "norms.h" nogil:
    enum:
        LUCID_BLOCK
        LUCID_SHARE
        LUCID_STATS_COLUMNS
    ctypedef enum lucid_kind:
        LUCID_F16
        LUCID_F32
        LUCID_F64
        LUCID_C64
        LUCID_C128
    ctypedef enum lucid_op:
        LUCID_SCALE
        LUCID_CLAMP
        LUCID_ZERO
    ctypedef struct lucid_view:
        char* data
        Py_ssize_t size
        lucid_kind kind
        int ndim
        void* axes
    ctypedef struct lucid_job:
        pass
    ctypedef struct lucid_result:
        pass
    ctypedef struct lucid_level_t:
        pass
    ctypedef struct lucid_list:
        const lucid_view* views
        Py_ssize_t count
        const lucid_level_t* level
        void (*parallel)(task_t, void*, Py_ssize_t) noexcept nogil
    int lucid_view_strided(lucid_view*, int ndim, const Py_ssize_t* shape,
                           const Py_ssize_t* strides, bint aligned, bint in_place)
    lucid_job lucid_norm_job(double p)
    double lucid_total_norm(const lucid_list*, const lucid_job*, int64_t* nonfinite)
    void lucid_each_norm(const lucid_list*, const lucid_job*, lucid_result* scratch, double* norms)
    void lucid_each_count(const lucid_list*, lucid_result* scratch, int64_t* counts)
    void lucid_each_stats(const lucid_list*, lucid_result* scratch, double* rows)
    void lucid_change(const lucid_list*, lucid_op, double factor)

cdef extern from *:
    """
    #include "norms.h"
    #define LUCID_BODY "norms_body.h"
    #include "each_level.h"
    #define LUCID_THIS_LEVEL LUCID_PICK(level)
    """
    const lucid_level_t* LUCID_THIS_LEVEL

cdef enum:
    FEW = 8                # arrays whose views need no allocation
    RELEASE_GIL = 1000     # elements

BLOCK = LUCID_BLOCK

cdef const lucid_level_t* level = LUCID_THIS_LEVEL


cdef inline int kind_of(ndarray x) noexcept:
    """The element kind, or -1 for what the kernels do not read."""
    cdef int number = cnp.PyArray_TYPE(x)
    if not cnp.PyArray_ISNOTSWAPPED(x):
        return -1
    if number == cnp.NPY_FLOAT32:
        return LUCID_F32
    if number == cnp.NPY_FLOAT64:
        return LUCID_F64
    if number == cnp.NPY_FLOAT16:
        return LUCID_F16
    if number == cnp.NPY_COMPLEX64:
        return LUCID_C64
    if number == cnp.NPY_COMPLEX128:
        return LUCID_C128
    return -1


@cython.final
@cython.freelist(8)
cdef class Gradients:
    """A list of arrays, checked and described for the kernels, and kept alive while they run."""

    cdef lucid_list list
    cdef Py_ssize_t size
    cdef tuple arrays
    cdef list copies  # (array, its copy in a dtype that the kernels know)
    cdef bint writeable  # every array, as it is described
    cdef void* dtype     # of the array described last, and
    cdef int kind        # its kind
    cdef lucid_view few[FEW]
    cdef lucid_view* views

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.views is NULL:
            return
        for i in range(self.list.count):
            free(self.views[i].axes)
        if self.views is not &self.few[0]:
            free(self.views)

    cdef int describe(self, str caller, bint in_place) except -1:
        cdef Py_ssize_t n = PyTuple_GET_SIZE(self.arrays), i
        cdef lucid_view* view
        cdef object item
        self.writeable = True
        self.views = &self.few[0] if n <= FEW else <lucid_view*>malloc(n * sizeof(lucid_view))
        if self.views is NULL:
            raise MemoryError(f"{caller}: no memory to describe {n} arrays")
        for i in range(n):
            item = <object>PyTuple_GET_ITEM(self.arrays, i)
            if not isinstance(item, ndarray):
                raise TypeError(
                    f"{caller}: array {i} must be a numpy.ndarray; got {type(item).__name__}"
                )
            view = &self.views[i]
            view.axes = NULL
            self.list.count = i + 1
            self.describe_one(view, item, caller, in_place)
            self.size += view.size
        self.list.views = self.views
        self.list.level = level
        self.list.parallel = NULL
        if num_threads() > 1 and self.size > LUCID_SHARE * LUCID_BLOCK:
            self.list.parallel = parallel_for
        return 0

    cdef int describe_one(self, lucid_view* view, ndarray x, str caller, bint in_place) except -1:
        cdef int kind, ndim, i
        cdef cnp.npy_intp* shape
        if <void*>cnp.PyArray_DESCR(x) is not self.dtype:
            self.dtype = <void*>cnp.PyArray_DESCR(x)
            self.kind = kind_of(x)
        kind = self.kind
        if in_place and not cnp.PyArray_ISWRITEABLE(x):
            raise ValueError(f"{caller}: array {self.list.count - 1} is read-only")
        if kind < 0:
            x = self.convert(x, caller, in_place)
            kind = kind_of(x)
            self.writeable = False
        view.data = <char*>cnp.PyArray_DATA(x)
        view.kind = <lucid_kind>kind
        ndim = cnp.PyArray_NDIM(x)
        shape = cnp.PyArray_DIMS(x)
        if cnp.PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_C_CONTIGUOUS):
            view.size = 1
            for i in range(ndim):
                view.size *= shape[i]
            self.writeable = self.writeable and cnp.PyArray_ISWRITEABLE(x)
            return 0
        self.writeable = False
        if lucid_view_strided(
            view, ndim, <Py_ssize_t*>shape, <Py_ssize_t*>cnp.PyArray_STRIDES(x),
            cnp.PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_ALIGNED), in_place,
        ) < 0:
            raise MemoryError(f"{caller}: no memory to describe an array of {ndim} axes")
        return 0

    cdef ndarray convert(self, ndarray x, str caller, bint in_place):
        """A copy in native byte order, and in a dtype that the kernels know."""
        dtype = x.dtype.newbyteorder("=")
        if dtype.char not in "efdFD":
            if in_place or dtype.kind not in "biufc":
                expected = "float16/32/64 or complex64/128" if in_place else "a numeric dtype"
                raise TypeError(
                    f"{caller}: array {self.list.count - 1} must have {expected}; got {x.dtype}"
                )
            dtype = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
        with np.errstate(over="ignore"):
            copy = x.astype(dtype, order="C", subok=False)
        if self.copies is None:
            self.copies = []
        self.copies.append((x, copy))
        return copy


cdef Gradients gradients(arrays, str caller, bint in_place):
    cdef Gradients g = Gradients.__new__(Gradients)
    g.arrays = tuple(arrays)
    g.describe(caller, in_place)
    return g


cdef lucid_job norm_job(double p, str caller) except *:
    if not p > 0.0:
        raise ValueError(f"{caller}: p must be a positive number or inf; got {p}")
    return lucid_norm_job(p)


cdef lucid_result* results(Py_ssize_t n) except NULL:
    cdef lucid_result* scratch = <lucid_result*>calloc(max(n, 1), sizeof(lucid_result))
    if scratch is NULL:
        raise MemoryError(f"norms: no memory for the results of {n} arrays")
    return scratch


cdef double measure(Gradients g, const lucid_job* job, int64_t* nonfinite):
    cdef double norm
    if g.size > RELEASE_GIL:
        with nogil:
            norm = lucid_total_norm(&g.list, job, nonfinite)
    else:
        norm = lucid_total_norm(&g.list, job, nonfinite)
    return norm


def total_norm(arrays, double p):
    """Return (norm, nonfinite): the p-norm over all elements, and how many are NaN or inf."""
    cdef lucid_job job = norm_job(p, "total_norm")
    cdef Gradients g = gradients(arrays, "total_norm", False)
    cdef int64_t nonfinite
    cdef double norm = measure(g, &job, &nonfinite)
    return norm, nonfinite


def clip(arrays, double p, double limit, double eps):
    """Return (norm, nonfinite, factor), having scaled by the factor where it is not 1."""
    cdef lucid_job job = norm_job(p, "clip")
    cdef Gradients g = gradients(arrays, "clip", False)
    cdef int64_t nonfinite
    cdef double norm = measure(g, &job, &nonfinite), factor = 1.0
    if nonfinite == 0 and norm > limit:
        factor = limit / (norm + eps)
        # Memory that was described only for reading may be repeated, or be that of a copy.
        if g.writeable:
            change(g, LUCID_SCALE, factor)
        else:
            scale(g.arrays, factor)
    return norm, nonfinite, factor


def norms(arrays, double p):
    """Each array's own p-norm, as a float64 array."""
    cdef lucid_job job = norm_job(p, "norms")
    cdef Gradients g = gradients(arrays, "norms", False)
    cdef ndarray out = np.empty(g.list.count)
    cdef double* data = <double*>cnp.PyArray_DATA(out)
    cdef lucid_result* scratch = results(g.list.count)
    if g.size > RELEASE_GIL:
        with nogil:
            lucid_each_norm(&g.list, &job, scratch, data)
    else:
        lucid_each_norm(&g.list, &job, scratch, data)
    free(scratch)
    return out


def nonfinite_counts(arrays):
    """The numbers of NaN and of inf elements of each array: int64, shape (n, 2)."""
    cdef Gradients g = gradients(arrays, "nonfinite_counts", False)
    cdef ndarray out = np.empty((g.list.count, 2), np.int64)
    cdef int64_t* data = <int64_t*>cnp.PyArray_DATA(out)
    cdef lucid_result* scratch = results(g.list.count)
    with nogil:
        lucid_each_count(&g.list, scratch, data)
    free(scratch)
    return out


def stats(arrays):
    """Per array, in one pass: 2-norm, largest |g|, mean, zeros, NaNs, infs, size; shape (n, 7)."""
    cdef Gradients g = gradients(arrays, "stats", False)
    cdef ndarray out = np.empty((g.list.count, LUCID_STATS_COLUMNS))
    cdef double* data = <double*>cnp.PyArray_DATA(out)
    cdef lucid_result* scratch = results(g.list.count)
    with nogil:
        lucid_each_stats(&g.list, scratch, data)
    free(scratch)
    return out


cdef int change(Gradients g, lucid_op op, double factor) except -1:
    if g.size > RELEASE_GIL:
        with nogil:
            lucid_change(&g.list, op, factor)
    else:
        lucid_change(&g.list, op, factor)
    if g.copies is not None:
        for array, copy in g.copies:
            array[...] = copy
    return 0


def scale(arrays, double factor):
    """Multiply every element by `factor` in place."""
    change(gradients(arrays, "scale", True), LUCID_SCALE, factor)


def clamp(arrays, double limit):
    """Clamp every element to [-limit, limit] in place; NaN stays NaN."""
    cdef Py_ssize_t i
    if not limit >= 0.0:
        raise ValueError(f"clamp: limit must be a number >= 0; got {limit}")
    cdef Gradients g = gradients(arrays, "clamp", True)
    for i in range(g.list.count):
        if g.views[i].kind >= LUCID_C64:
            raise TypeError(f"clamp: array {i} is complex, which has no order")
    change(g, LUCID_CLAMP, limit)


def fill_zero(arrays):
    """Set every element to 0 in place."""
    change(gradients(arrays, "fill_zero", True), LUCID_ZERO, 0.0)
