"""Row-wise kernels: reductions, softmax and cross-entropy, in float32 and float64.

Contiguous arrays run in the loops of `rowwise_body.h`; other layouts are copied once, other dtypes
go to NumPy. Results are ndarrays, 0-d included; inputs are never changed.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from numpy cimport NPY_DOUBLE, NPY_FLOAT, NPY_INT64, ndarray

from lucid._kernels.arrays cimport empty, empty_like, ready

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "rowwise_body.h"
    #include "each_level.h"
    """
    ctypedef struct class_loss:
        const int64_t* target
        const void* weight
        int64_t ignore_index
        double smoothing
        double weight_sum
    ctypedef struct row_loops:
        void (*sum)(
            const void*, void*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double
        ) noexcept nogil
        void (*softmax)(const void*, void*, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*log_softmax)(const void*, void*, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*softmax_backward)(
            const void*, const void*, void*, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        void (*log_softmax_backward)(
            const void*, const void*, void*, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        Py_ssize_t (*cross_entropy)(
            const void*, const class_loss*, void*, void*, double*, Py_ssize_t, Py_ssize_t
        ) noexcept nogil
        Py_ssize_t (*cross_entropy_backward)(
            const void*, const class_loss*, const void*, Py_ssize_t, double, const void*, void*,
            Py_ssize_t, Py_ssize_t
        ) noexcept nogil
    const row_loops* ROW_LOOPS "LUCID_PICK(rows)"

cdef const row_loops* loops = ROW_LOOPS

# Below this many elements a loop is over sooner than the lock has changed hands.
cdef Py_ssize_t LARGE = 4096


cdef inline int real_type(ndarray x) noexcept:
    """0 for float32, 1 for float64, else -1: also the index of the loops."""
    cdef int number = cnp.PyArray_TYPE(x)
    return 0 if number == NPY_FLOAT else 1 if number == NPY_DOUBLE else -1


# --- reductions -----------------------------------------------------------------------------------

# Reducing the middle axis of (outer, count, inner), where `ndim` and `shape` are the result's.
cdef struct Reduction:
    Py_ssize_t outer, count, inner
    int ndim
    cnp.npy_intp shape[64]


cdef bint plan(ndarray x, axis, bint keepdims, Reduction* todo) except -1:
    """Whether the axes are in range and adjacent: then `todo` says what to do."""
    cdef int ndim = cnp.PyArray_NDIM(x), i, first = ndim, last = -1, count = 0
    cdef Py_ssize_t one
    cdef unsigned long long reduced = 0
    if axis is None:
        first, last, count = 0, ndim - 1, ndim
    else:
        for item in (axis if type(axis) is tuple else (axis,)):
            one = item
            one += ndim if one < 0 else 0
            if not 0 <= one < ndim or reduced >> one & 1:
                return False
            reduced |= 1ULL << one
            first, last, count = min(first, <int>one), max(last, <int>one), count + 1
        if count == 0 or last - first + 1 != count:
            return False
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    todo.outer = todo.count = todo.inner = 1
    todo.ndim = 0
    for i in range(ndim):
        if i < first:
            todo.outer *= shape[i]
        elif i > last:
            todo.inner *= shape[i]
        else:
            todo.count *= shape[i]
            if keepdims:
                todo.shape[todo.ndim] = 1
                todo.ndim += 1
            continue
        todo.shape[todo.ndim] = shape[i]
        todo.ndim += 1
    return True


cdef ndarray total(x, axis, bint keepdims, bint average):
    cdef int kind = real_type(<ndarray>x) if type(x) is ndarray else -1
    cdef Reduction todo
    if kind < 0 or not ready(x, cnp.PyArray_TYPE(<ndarray>x)) or not plan(x, axis, keepdims, &todo):
        with np.errstate(all="ignore"):
            return np.asarray((np.mean if average else np.sum)(x, axis=axis, keepdims=keepdims))
    cdef ndarray out = empty(todo.ndim, todo.shape, cnp.PyArray_TYPE(<ndarray>x))
    cdef const void* source = cnp.PyArray_DATA(<ndarray>x)
    cdef void* target = cnp.PyArray_DATA(out)
    cdef double divisor = todo.count if average else 1
    if cnp.PyArray_SIZE(<ndarray>x) < LARGE:
        loops[kind].sum(source, target, todo.outer, todo.count, todo.inner, divisor)
    else:
        with nogil:
            loops[kind].sum(source, target, todo.outer, todo.count, todo.inner, divisor)
    return out


def sum(x, axis=None, bint keepdims=False): return total(x, axis, keepdims, False)
def mean(x, axis=None, bint keepdims=False): return total(x, axis, keepdims, True)


# --- softmax --------------------------------------------------------------------------------------

cdef ndarray real_rows(x):
    """`x` itself where the loops can read it, else a contiguous copy in the nearest real dtype."""
    if type(x) is ndarray and real_type(x) >= 0 and ready(x, cnp.PyArray_TYPE(<ndarray>x)):
        return x
    x = np.asarray(x)
    if x.dtype.kind == "c":
        raise TypeError(f"expected real numbers, got an array of {x.dtype}")
    near = np.float32 if x.dtype in (np.float16, np.float32) else np.float64
    return np.array(x, dtype=near, order="C", subok=False)


cdef inline Py_ssize_t last_axis(ndarray x) noexcept:
    cdef int ndim = cnp.PyArray_NDIM(x)
    return cnp.PyArray_DIMS(x)[ndim - 1] if ndim else 1


cdef ndarray restored(ndarray out, x):
    """A result for float16 rows is float16 again."""
    return out.astype(np.float16) if x.dtype == np.float16 else out


cdef ndarray normalised(x, bint logarithm):
    cdef ndarray rows = real_rows(x), out = empty_like(rows)
    cdef Py_ssize_t columns = last_axis(rows), size = cnp.PyArray_SIZE(rows)
    cdef const row_loops* loop = &loops[real_type(rows)]
    cdef const void* source = cnp.PyArray_DATA(rows)
    cdef void* target = cnp.PyArray_DATA(out)
    if size:
        with nogil:
            if logarithm:
                loop.log_softmax(source, target, size // columns, columns)
            else:
                loop.softmax(source, target, size // columns, columns)
    return out if rows is x else restored(out, x)


def softmax(x): return normalised(x, False)
def log_softmax(x): return normalised(x, True)


cdef ndarray normalised_backward(g, y, bint logarithm):
    cdef ndarray rows = real_rows(y), incoming = real_rows(g), out
    if cnp.PyArray_TYPE(incoming) != cnp.PyArray_TYPE(rows):
        incoming = real_rows(incoming.astype(rows.dtype))
    if not cnp.PyArray_SAMESHAPE(incoming, rows):
        raise ValueError(f"gradient of shape {g.shape} for an array of shape {y.shape}")
    out = empty_like(rows)
    cdef Py_ssize_t columns = last_axis(rows), size = cnp.PyArray_SIZE(rows)
    cdef const row_loops* loop = &loops[real_type(rows)]
    cdef const void* from_g = cnp.PyArray_DATA(incoming)
    cdef const void* from_y = cnp.PyArray_DATA(rows)
    cdef void* target = cnp.PyArray_DATA(out)
    if size:
        with nogil:
            if logarithm:
                loop.log_softmax_backward(from_g, from_y, target, size // columns, columns)
            else:
                loop.softmax_backward(from_g, from_y, target, size // columns, columns)
    return out if rows is y else restored(out, y)


def softmax_backward(g, out): return normalised_backward(g, out, False)
def log_softmax_backward(g, out): return normalised_backward(g, out, True)


# --- cross-entropy --------------------------------------------------------------------------------

NONE, MEAN, SUM = range(3)


cdef class_loss prepare(
    ndarray target, ndarray weight, int64_t ignore_index, double smoothing, Py_ssize_t columns
):
    cdef class_loss loss
    loss.target = <const int64_t*>cnp.PyArray_DATA(target)
    loss.weight = NULL if weight is None else cnp.PyArray_DATA(weight)
    loss.ignore_index = ignore_index
    loss.smoothing = smoothing
    loss.weight_sum = columns
    if weight is not None and smoothing != 0:
        loss.weight_sum = weight.sum(dtype=np.float64)
    return loss


cdef ndarray checked_target(target, Py_ssize_t rows):
    if type(target) is not ndarray or not ready(target, NPY_INT64):
        if np.asarray(target).dtype.kind not in "iu":
            raise TypeError(f"target must hold integers, got {np.asarray(target).dtype}")
        target = np.array(target, dtype=np.int64, order="C", subok=False)
    if cnp.PyArray_NDIM(<ndarray>target) != 1 or cnp.PyArray_DIMS(<ndarray>target)[0] != rows:
        raise ValueError(f"target must have shape ({rows},), one class per row; got {target.shape}")
    return target


cdef ndarray checked_weight(weight, ndarray rows, Py_ssize_t columns):
    if weight is None:
        return None
    weight = np.ascontiguousarray(weight, dtype=rows.dtype)
    if weight.shape != (columns,):
        raise ValueError(f"weight must have shape ({columns},), one per class; got {weight.shape}")
    return weight


def cross_entropy(
    logits, target, weight=None, int64_t ignore_index=-100, double label_smoothing=0.0,
    int reduction=1,
):
    cdef ndarray rows = real_rows(logits)
    if cnp.PyArray_NDIM(rows) != 2:
        raise ValueError(f"logits must have shape (rows, classes); got {np.shape(logits)}")
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(rows)
    cdef Py_ssize_t height = shape[0], columns = shape[1], bad
    cdef ndarray classes = checked_target(target, height)
    cdef ndarray weights = checked_weight(weight, rows, columns)
    cdef int kind = real_type(rows), number = cnp.PyArray_TYPE(rows)
    cdef class_loss loss = prepare(classes, weights, ignore_index, label_smoothing, columns)
    cdef cnp.npy_intp[2] kept_shape = [2, height]
    cdef ndarray kept = empty(2, kept_shape, number)
    cdef ndarray out = empty(1 if reduction == 0 else 0, shape, number)
    cdef double[2] totals
    cdef double value
    cdef void* each = cnp.PyArray_DATA(out) if reduction == 0 else NULL
    cdef const void* source = cnp.PyArray_DATA(rows)
    cdef void* to_keep = cnp.PyArray_DATA(kept)
    with nogil:
        bad = loops[kind].cross_entropy(source, &loss, each, to_keep, totals, height, columns)
    if bad >= 0:
        raise IndexError(f"target {classes[bad]} is out of range for {columns} classes")
    if reduction != 0:
        value = totals[0] / totals[1] if reduction == 1 else totals[0]
        if kind:
            (<double*>cnp.PyArray_DATA(out))[0] = value
        else:
            (<float*>cnp.PyArray_DATA(out))[0] = <float>value
    return (out if rows is logits else restored(out, logits)), kept, totals[1]


def cross_entropy_backward(
    g, logits, target, kept, double total_weight, weight=None, int64_t ignore_index=-100,
    double label_smoothing=0.0, int reduction=1,
):
    cdef ndarray rows = real_rows(logits), upstream = real_rows(g), stats = kept
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(rows)
    cdef Py_ssize_t height = shape[0], columns = shape[1]
    cdef ndarray classes = checked_target(target, height)
    cdef ndarray weights = checked_weight(weight, rows, columns)
    cdef int kind = real_type(rows), number = cnp.PyArray_TYPE(rows)
    if not ready(upstream, number):
        upstream = np.array(upstream, dtype=rows.dtype, order="C")
    if cnp.PyArray_SIZE(upstream) != (height if reduction == 0 else 1):
        raise ValueError(f"gradient of shape {g.shape} for the loss of {height} rows")
    if not ready(stats, number) or cnp.PyArray_SIZE(stats) != 2 * height:
        raise ValueError("kept must be what cross_entropy returned for these logits")
    cdef ndarray out = empty_like(rows)
    cdef class_loss loss = prepare(classes, weights, ignore_index, label_smoothing, columns)
    cdef double scale = 1 / total_weight if reduction == 1 else 1
    cdef const void* source = cnp.PyArray_DATA(rows)
    cdef const void* from_g = cnp.PyArray_DATA(upstream)
    cdef const void* from_kept = cnp.PyArray_DATA(stats)
    cdef void* to = cnp.PyArray_DATA(out)
    cdef Py_ssize_t stride = 1 if reduction == 0 else 0, bad
    with nogil:
        bad = loops[kind].cross_entropy_backward(
            source, &loss, from_g, stride, scale, from_kept, to, height, columns
        )
    if bad >= 0:
        raise IndexError(f"target {classes[bad]} is out of range for {columns} classes")
    return out if rows is logits else restored(out, logits)
