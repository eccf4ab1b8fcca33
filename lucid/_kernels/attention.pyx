"""Scaled dot-product attention of float32 and float64 arrays, block by block (attention_real.h).

Operands are (batch, heads, rows, columns) and are read through their strides as long as a row is
contiguous, so that heads may be slices of one projection. Results lie in memory like the queries,
and gradients like what they are the gradients of: the reshapes around attention then cost nothing.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport uint32_t, uint64_t
from numpy cimport NPY_ARRAY_ALIGNED, ndarray

from lucid._kernels.arrays cimport empty
from lucid._kernels.gemm cimport gemm_engine, gemm_f32, gemm_f64
from lucid._kernels.loops cimport real_type
from lucid._kernels.threads cimport parallel_for_lasting, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "attention_body.h"
    #include "each_level.h"
    """
    const task_t* ATTEND "LUCID_PICK(attend)"
    const task_t* ATTEND_BACKWARD "LUCID_PICK(attend_backward)"

cdef extern from "attention.h" nogil:
    int ATTENTION_GROUP
    ctypedef struct attention_tensor:
        void* data
        Py_ssize_t batch, head, row
    ctypedef struct attention:
        const gemm_engine* engine
        Py_ssize_t batch, heads, kv_heads, queries, keys, width, value_width
        attention_tensor q, k, v, out, mask, g, dq, dk, dv
        void* lse
        double scale
        int causal
        double dropout
        uint64_t seed
        int failed
    ctypedef struct random_key:
        pass
    random_key random_row_key(uint64_t seed, uint64_t row)
    uint32_t random_bits(random_key key, uint32_t j)
    uint32_t random_threshold(double dropout)

cdef const task_t* attend = ATTEND
cdef const task_t* attend_backward = ATTEND_BACKWARD


cdef ndarray readable(ndarray x, int type_number):
    """`x`, or a copy whose rows are contiguous."""
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(x)
    if cnp.PyArray_NDIM(x) != 4 or cnp.PyArray_TYPE(x) != type_number:
        raise ValueError(
            f"expected 4 dimensions and one real dtype; got {(<object>x).shape}, {x.dtype}")
    if (
        cnp.PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED) and cnp.PyArray_ISNOTSWAPPED(x)
        and (cnp.PyArray_STRIDE(x, 3) == itemsize or cnp.PyArray_DIM(x, 3) == 1)
    ):
        return x
    return np.array(x, order="C")


cdef attention_tensor described(ndarray x) noexcept:
    cdef attention_tensor t
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(x)
    t.data = cnp.PyArray_DATA(x)
    t.batch = cnp.PyArray_STRIDE(x, 0) // itemsize
    t.head = cnp.PyArray_STRIDE(x, 1) // itemsize
    t.row = cnp.PyArray_STRIDE(x, 2) // itemsize
    return t


cdef ndarray result(ndarray like, Py_ssize_t columns):
    """A fresh (batch, heads, rows, columns), its dimensions nested in memory as those of `like`."""
    cdef cnp.npy_intp* strides = cnp.PyArray_STRIDES(like)
    cdef cnp.npy_intp[4] shape
    cdef int[4] axes = [0, 1, 2, 3]     # the outermost first
    cdef int[4] places
    cdef int i, j
    for i in range(1, 3):
        for j in range(i, 0, -1):
            if strides[axes[j - 1]] < strides[axes[j]]:
                axes[j - 1], axes[j] = axes[j], axes[j - 1]
    for i in range(4):
        places[axes[i]] = i
        shape[i] = cnp.PyArray_DIM(like, axes[i]) if axes[i] < 3 else columns
    out = empty(4, shape, cnp.PyArray_TYPE(like))
    if axes[0] == 0 and axes[1] == 1:
        return out
    return out.transpose(places[0], places[1], places[2], places[3])


cdef int describe(
    attention* s, ndarray q, ndarray k, ndarray v, ndarray mask, double scale, bint causal,
    double dropout, uint64_t seed
) except -1:
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(q)
    cdef cnp.npy_intp* other = cnp.PyArray_DIMS(k)
    cdef cnp.npy_intp* last = cnp.PyArray_DIMS(v)
    s.batch, s.heads, s.queries, s.width = shape[0], shape[1], shape[2], shape[3]
    s.kv_heads, s.keys, s.value_width = other[1], other[2], last[3]
    if (
        other[0] != s.batch or other[3] != s.width or last[0] != s.batch or last[1] != s.kv_heads
        or last[2] != s.keys or (s.kv_heads and s.heads % s.kv_heads)
    ):
        raise ValueError(
            f"shapes do not fit: {(<object>q).shape}, {(<object>k).shape}, {(<object>v).shape}")
    if mask is not None and (<object>mask).shape != (s.batch, s.heads, s.queries, s.keys):
        raise ValueError(f"mask must have the shape of the scores; got {(<object>mask).shape}")
    s.engine = &gemm_f64 if real_type(q) else &gemm_f32
    s.q, s.k, s.v = described(q), described(k), described(v)
    s.mask.data = NULL
    if mask is not None:
        s.mask = described(mask)
    s.scale, s.causal, s.dropout, s.seed, s.failed = scale, causal, dropout, seed, 0
    return 0


cdef double nanoseconds(const attention* s, Py_ssize_t multiplications) noexcept:
    """Of so many multiplications for each query and key that it sees."""
    return (
        <double>s.batch * s.heads * s.queries * s.keys * multiplications
        * (0.5 if s.causal else 1.0) * s.engine.nanoseconds)


def forward(
    ndarray q not None, ndarray k not None, ndarray v not None, ndarray mask, double scale,
    bint causal, double dropout=0.0, uint64_t seed=0, /
):
    cdef int number = cnp.PyArray_TYPE(q), kind = real_type(q)
    cdef attention s
    cdef Py_ssize_t count
    cdef double lasting
    q, k, v = readable(q, number), readable(k, number), readable(v, number)
    if mask is not None:
        mask = readable(mask, number)
    describe(&s, q, k, v, mask, scale, causal, dropout, seed)
    cdef ndarray out = result(q, s.value_width)
    cdef cnp.npy_intp[3] rows = [s.batch, s.heads, s.queries]
    cdef ndarray lse = empty(3, rows, number)
    s.out, s.lse = described(out), cnp.PyArray_DATA(lse)
    lasting = nanoseconds(&s, s.width + s.value_width)
    count = s.batch * s.heads * ((s.queries + ATTENTION_GROUP - 1) // ATTENTION_GROUP)
    with nogil:
        parallel_for_lasting(attend[kind], &s, count, lasting)
    if s.failed:
        raise MemoryError
    return out, lse


def backward(
    ndarray g not None, ndarray q not None, ndarray k not None, ndarray v not None, ndarray mask,
    ndarray out not None, ndarray lse not None, double scale, bint causal, double dropout=0.0,
    uint64_t seed=0, /
):
    cdef int number = cnp.PyArray_TYPE(q), kind = real_type(q)
    cdef attention s
    g, out = readable(g, number), readable(out, number)
    q, k, v = readable(q, number), readable(k, number), readable(v, number)
    if mask is not None:
        mask = readable(mask, number)
    describe(&s, q, k, v, mask, scale, causal, dropout, seed)
    cdef ndarray dq = result(q, s.width), dk = result(k, s.width), dv = result(v, s.value_width)
    s.out, s.g, s.lse = described(out), described(g), cnp.PyArray_DATA(lse)
    s.dq, s.dk, s.dv = described(dq), described(dk), described(dv)
    cdef double lasting = nanoseconds(&s, 3 * s.width + 2 * s.value_width)
    if s.kv_heads:
        with nogil:
            parallel_for_lasting(attend_backward[kind], &s, s.batch * s.kv_heads, lasting)
    if s.failed:
        raise MemoryError
    return dq, dk, dv


def dropout_mask(
    Py_ssize_t batch, Py_ssize_t heads, Py_ssize_t queries, Py_ssize_t keys, double dropout,
    uint64_t seed, /
):
    cdef cnp.npy_intp[4] shape = [batch, heads, queries, keys]
    cdef ndarray out = cnp.PyArray_EMPTY(4, shape, cnp.NPY_BOOL, 0)
    cdef cnp.npy_bool* kept = <cnp.npy_bool*>cnp.PyArray_DATA(out)
    cdef uint32_t threshold = random_threshold(dropout)
    cdef random_key key
    cdef Py_ssize_t row, j
    with nogil:
        for row in range(batch * heads * queries):
            key = random_row_key(seed, row)
            for j in range(keys):
                kept[row * keys + j] = random_bits(key, <uint32_t>j) >= threshold
    return out
