# distutils: extra_compile_args = -ffp-contract=fast
"""Matrix products of float32 and float64 arrays on lucid's own blocked, packed GEMM.

The engine is C (gemm.h says what it computes, gemm_real.h how). Here are the products as Python
sees them: shapes, broadcasting, and outputs. Operands are read through their strides and never
copied; what has another dtype, is misaligned or byte-swapped goes to NumPy.
"""

import numpy as np

cimport numpy as cnp
from numpy cimport NPY_ARRAY_ALIGNED, NPY_DOUBLE, NPY_FLOAT, ndarray

from lucid._kernels.arrays cimport empty
from lucid._kernels.threads cimport num_threads, parallel_for_lasting, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "gemm_body.h"
    #include "each_level.h"
    static gemm_engine gemm_pick_f32(void) { return LUCID_PICK(engine_f32); }
    static gemm_engine gemm_pick_f64(void) { return LUCID_PICK(engine_f64); }
    """
    gemm_engine gemm_pick_f32()
    gemm_engine gemm_pick_f64()
    void (*gemm_parallel)(
        task_t task, void* context, Py_ssize_t count, double nanoseconds) noexcept nogil
    int (*gemm_threads)() noexcept nogil
    size_t gemm_kept_size()
    void gemm_release()

gemm_parallel = parallel_for_lasting
gemm_threads = num_threads
gemm_f32 = gemm_pick_f32()
gemm_f64 = gemm_pick_f64()

cdef enum:
    MAX_NDIM = 64
    # In multiplications: releasing the GIL takes as long as a few thousand
    WORTH_RELEASING = 1 << 15
    WORTH_SHARING = 1 << 21
    TASK = 1 << 18


cdef struct matrix:
    # `count` and `stride` along the rows and along the columns, in elements.
    const char* data
    Py_ssize_t rows, columns, row_stride, column_stride


cdef inline const gemm_engine* engine_for(ndarray x) noexcept:
    """The engine for this array's dtype; NULL sends it to NumPy."""
    cdef int type_number = cnp.PyArray_TYPE(x)
    if not (cnp.PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED) and cnp.PyArray_ISNOTSWAPPED(x)):
        return NULL
    if type_number == NPY_FLOAT:
        return &gemm_f32
    if type_number == NPY_DOUBLE:
        return &gemm_f64
    return NULL


cdef inline matrix last_two(ndarray x) noexcept:
    """x[..., rows, columns] at its first batch index; x has at least 2 dimensions."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp* strides = cnp.PyArray_STRIDES(x)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(x)
    cdef matrix result
    result.data = cnp.PyArray_BYTES(x)
    result.rows = shape[ndim - 2]
    result.columns = shape[ndim - 1]
    result.row_stride = strides[ndim - 2] // itemsize
    result.column_stride = strides[ndim - 1] // itemsize
    return result


cdef inline matrix transposed(matrix x) noexcept nogil:
    cdef matrix result
    result.data = x.data
    result.rows, result.columns = x.columns, x.rows
    result.row_stride, result.column_stride = x.column_stride, x.row_stride
    return result


cdef inline void multiply(
    const gemm_engine* engine, matrix a, matrix b, void* c, const gemm_epilogue* epilogue
) noexcept nogil:
    """c = a @ b; c is contiguous."""
    cdef gemm_operand left = strided(a.data, a.row_stride, a.column_stride)
    cdef gemm_operand right = strided(b.data, b.column_stride, b.row_stride)
    engine.product(a.rows, b.columns, a.columns, &left, &right, c, b.columns, epilogue)


cdef inline void multiply_unlocked(
    const gemm_engine* engine, matrix a, matrix b, void* c, const gemm_epilogue* epilogue
) noexcept:
    if <double>a.rows * a.columns * b.columns > WORTH_RELEASING:
        with nogil:
            multiply(engine, a, b, c, epilogue)
    else:
        multiply(engine, a, b, c, epilogue)


cdef ndarray reference_matmul(ndarray a, ndarray b):
    return np.asarray(np.matmul(a, b))


def matmul(ndarray a not None, ndarray b not None, /):
    cdef const gemm_engine* engine = engine_for(a)
    cdef matrix x, y
    cdef cnp.npy_intp shape[2]
    cdef ndarray out
    if engine is NULL or engine_for(b) is not engine:
        return reference_matmul(a, b)
    if cnp.PyArray_NDIM(a) != 2 or cnp.PyArray_NDIM(b) != 2:
        return stacked(engine, a, b)
    x = last_two(a)
    y = last_two(b)
    if x.columns != y.rows:
        return reference_matmul(a, b)
    shape[0], shape[1] = x.rows, y.columns
    out = empty(2, shape, cnp.PyArray_TYPE(a))
    multiply_unlocked(engine, x, y, cnp.PyArray_DATA(out), NULL)
    return out


cdef struct stack:
    # A stack of products: matrix `index` of c is that of a times that of b, at these strides.
    const gemm_engine* engine
    matrix a, b
    char* c
    int ndim
    Py_ssize_t count, c_step, per_task
    cnp.npy_intp shape[MAX_NDIM]
    cnp.npy_intp a_stride[MAX_NDIM]
    cnp.npy_intp b_stride[MAX_NDIM]


cdef void stack_task(void* context, Py_ssize_t task) noexcept nogil:
    cdef const stack* s = <const stack*>context
    cdef gemm_operand left = strided(s.a.data, s.a.row_stride, s.a.column_stride)
    cdef gemm_operand right = strided(s.b.data, s.b.column_stride, s.b.row_stride)
    cdef Py_ssize_t index, rest, a_offset, b_offset
    cdef int d
    for index in range(task * s.per_task, min((task + 1) * s.per_task, s.count)):
        rest = index
        a_offset = b_offset = 0
        for d in range(s.ndim - 1, -1, -1):
            a_offset += rest % s.shape[d] * s.a_stride[d]
            b_offset += rest % s.shape[d] * s.b_stride[d]
            rest //= s.shape[d]
        left.data = s.a.data + a_offset
        right.data = s.b.data + b_offset
        s.engine.product(
            s.a.rows, s.b.columns, s.a.columns, &left, &right, s.c + index * s.c_step,
            s.b.columns, NULL)


cdef ndarray stacked(const gemm_engine* engine, ndarray a, ndarray b):
    """The product of stacks of matrices, or of vectors."""
    cdef int a_ndim = cnp.PyArray_NDIM(a), b_ndim = cnp.PyArray_NDIM(b), d, e
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(a)
    cdef cnp.npy_intp a_size, b_size
    cdef double work
    cdef stack s
    cdef matrix* x = &s.a
    cdef matrix* y = &s.b
    cdef ndarray out
    if a_ndim == 0 or b_ndim == 0:
        return reference_matmul(a, b)
    x[0] = row_vector(a) if a_ndim == 1 else last_two(a)
    y[0] = transposed(row_vector(b)) if b_ndim == 1 else last_two(b)
    if x.columns != y.rows:
        return reference_matmul(a, b)

    s.ndim = max(max(a_ndim, b_ndim) - 2, 0)
    s.count = 1
    for d in range(s.ndim):
        e = d + a_ndim - 2 - s.ndim
        a_size = cnp.PyArray_DIM(a, e) if e >= 0 else 1
        s.a_stride[d] = cnp.PyArray_STRIDE(a, e) if a_size != 1 else 0
        e = d + b_ndim - 2 - s.ndim
        b_size = cnp.PyArray_DIM(b, e) if e >= 0 else 1
        s.b_stride[d] = cnp.PyArray_STRIDE(b, e) if b_size != 1 else 0
        if a_size != b_size and a_size != 1 and b_size != 1:
            return reference_matmul(a, b)
        s.shape[d] = b_size if a_size == 1 else a_size
        s.count *= s.shape[d]
    d = s.ndim
    if a_ndim > 1:
        s.shape[d] = x.rows
        d += 1
    if b_ndim > 1:
        s.shape[d] = y.columns
        d += 1
    out = empty(d, s.shape, cnp.PyArray_TYPE(a))
    if s.count == 0:
        return out

    # Where b is one matrix and the stack of a continues its rows, it is all one tall product.
    while s.ndim > 0:
        d = s.ndim - 1
        if s.b_stride[d] != 0:
            break
        if x.rows == 1:
            x.row_stride = s.a_stride[d] // itemsize
        elif s.shape[d] != 1 and s.a_stride[d] != x.rows * x.row_stride * itemsize:
            break
        x.rows *= s.shape[d]
        s.count //= s.shape[d]
        s.ndim -= 1

    s.engine = engine
    s.c = cnp.PyArray_BYTES(out)
    s.c_step = x.rows * y.columns * itemsize
    work = <double>x.rows * x.columns * y.columns
    # Large products use the threads themselves, small ones go to a thread several at a time.
    s.per_task = s.count if work * s.count < WORTH_SHARING or work > WORTH_SHARING else \
        <Py_ssize_t>(TASK / (work + 1)) + 1
    with nogil:
        if s.per_task >= s.count:
            stack_task(&s, 0)
        else:
            parallel_for_lasting(
                stack_task, &s, (s.count + s.per_task - 1) // s.per_task,
                work * s.count * engine.nanoseconds)
    return out


cdef inline matrix row_vector(ndarray x) noexcept:
    cdef matrix result
    result.data = cnp.PyArray_BYTES(x)
    result.rows, result.row_stride = 1, 0
    result.columns = cnp.PyArray_DIM(x, 0)
    result.column_stride = cnp.PyArray_STRIDE(x, 0) // cnp.PyArray_ITEMSIZE(x)
    return result


cdef bint flattened(ndarray x, matrix* result) noexcept:
    """x(..., columns) as one matrix, if the leading dimensions are evenly spaced."""
    cdef int ndim = cnp.PyArray_NDIM(x), d
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp* strides = cnp.PyArray_STRIDES(x)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(x), step = 0
    if ndim == 2:
        result[0] = last_two(x)
        return True
    result[0] = matrix(cnp.PyArray_BYTES(x), 1, shape[ndim - 1], 0, strides[ndim - 1] // itemsize)
    for d in range(ndim - 2, -1, -1):
        if shape[d] != 1:
            if result.rows == 1:
                step = strides[d]
            elif strides[d] != result.rows * step and result.rows != 0:
                return False
            result.rows *= shape[d]
    result.row_stride = step // itemsize
    return True


def linear(ndarray x not None, ndarray weight not None, ndarray bias=None, /):
    cdef const gemm_engine* engine = engine_for(x)
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef matrix a, w
    cdef cnp.npy_intp shape[MAX_NDIM]
    cdef gemm_epilogue epilogue
    cdef ndarray out
    if (
        engine is NULL or engine_for(weight) is not engine or ndim == 0
        or cnp.PyArray_NDIM(weight) != 2
        or cnp.PyArray_DIM(weight, 1) != cnp.PyArray_DIM(x, ndim - 1)
        or not (bias is None or is_vector(bias, engine, cnp.PyArray_DIM(weight, 0)))
    ):
        return reference_linear(x, weight, bias)
    if not flattened(x, &a):
        x = cnp.PyArray_GETCONTIGUOUS(x)
        flattened(x, &a)
    w = transposed(last_two(weight))
    for d in range(ndim - 1):
        shape[d] = cnp.PyArray_DIM(x, d)
    shape[ndim - 1] = w.columns
    out = empty(ndim, shape, cnp.PyArray_TYPE(x))
    if bias is None:
        multiply_unlocked(engine, a, w, cnp.PyArray_DATA(out), NULL)
    else:
        epilogue = gemm_epilogue(1, 0, GEMM_IDENTITY, NULL, cnp.PyArray_DATA(bias))
        multiply_unlocked(engine, a, w, cnp.PyArray_DATA(out), &epilogue)
    return out


cdef inline bint is_vector(ndarray x, const gemm_engine* engine, Py_ssize_t size) noexcept:
    return (
        engine_for(x) is engine and cnp.PyArray_NDIM(x) == 1 and cnp.PyArray_DIM(x, 0) == size
        and cnp.PyArray_IS_C_CONTIGUOUS(x)
    )


cdef ndarray reference_linear(ndarray x, ndarray weight, ndarray bias):
    if cnp.PyArray_NDIM(weight) != 2 or (
        bias is not None and (bias.ndim != 1 or bias.shape[0] != weight.shape[0])
    ):
        raise ValueError("linear: the shapes do not fit together")
    out = np.matmul(x, weight.T)
    return np.asarray(out if bias is None else out + bias)


def linear_backward(
    ndarray g not None, ndarray x not None, ndarray weight not None,
    bint need_x, bint need_weight, bint need_bias, /
):
    cdef const gemm_engine* engine = engine_for(g)
    cdef int ndim = cnp.PyArray_NDIM(g), type_number = cnp.PyArray_TYPE(g)
    cdef matrix dy, a, ones
    cdef cnp.npy_intp size
    cdef float one_f32 = 1
    cdef double one_f64 = 1
    cdef const void* one
    cdef ndarray gx = None, gw = None, gb = None
    if (
        engine is NULL or engine_for(x) is not engine or engine_for(weight) is not engine
        or ndim == 0 or cnp.PyArray_NDIM(weight) != 2 or cnp.PyArray_NDIM(x) != ndim
        or cnp.PyArray_DIM(weight, 0) != cnp.PyArray_DIM(g, ndim - 1)
        or cnp.PyArray_DIM(weight, 1) != cnp.PyArray_DIM(x, ndim - 1)
    ):
        return reference_linear_backward(g, x, weight, need_x, need_weight, need_bias)
    if not flattened(g, &dy):
        g = cnp.PyArray_GETCONTIGUOUS(g)
        flattened(g, &dy)
    if not flattened(x, &a):
        x = cnp.PyArray_GETCONTIGUOUS(x)
        flattened(x, &a)
    if a.rows != dy.rows:
        return reference_linear_backward(g, x, weight, need_x, need_weight, need_bias)
    if need_x:
        gx = empty(ndim, cnp.PyArray_DIMS(x), type_number)
        multiply_unlocked(engine, dy, last_two(weight), cnp.PyArray_DATA(gx), NULL)
    if need_weight:
        gw = empty(2, cnp.PyArray_DIMS(weight), type_number)
        multiply_unlocked(engine, transposed(dy), a, cnp.PyArray_DATA(gw), NULL)
    if need_bias:
        # The sums of the columns are a product with a row of ones.
        size = dy.columns
        gb = empty(1, &size, type_number)
        one = <const void*>&one_f32 if type_number == NPY_FLOAT else <const void*>&one_f64
        ones = matrix(<const char*>one, 1, dy.rows, 0, 0)
        multiply_unlocked(engine, ones, dy, cnp.PyArray_DATA(gb), NULL)
    return gx, gw, gb


cdef tuple reference_linear_backward(
    ndarray g, ndarray x, ndarray weight, bint need_x, bint need_weight, bint need_bias
):
    cdef ndarray dy = g.reshape(-1, weight.shape[0]), rows = x.reshape(-1, weight.shape[1])
    return (
        np.matmul(g, weight) if need_x else None,
        np.matmul(dy.T, rows) if need_weight else None,
        dy.sum(axis=0) if need_bias else None,
    )


def kept():
    return gemm_kept_size()


def release():
    gemm_release()


def fma_peak(Py_ssize_t steps, bint double_precision=False, /):
    cdef const gemm_engine* engine = &gemm_f64 if double_precision else &gemm_f32
    cdef double count
    with nogil:
        count = engine.peak(steps, 0.5)
    return count


def _product(
    ndarray a not None, ndarray b not None, ndarray c not None, double alpha, bint accumulate,
    bint relu, ndarray row_bias, ndarray column_bias, bint packed, bint custom, /
):
    """c = the engine's product with everything plugged in; for the tests (all of one dtype)."""
    cdef const gemm_engine* engine = engine_for(c)
    cdef matrix x = last_two(a), y = last_two(b)
    cdef gemm_operand left = strided(x.data, x.row_stride, x.column_stride)
    cdef gemm_operand right = strided(y.data, y.column_stride, y.row_stride)
    cdef gemm_epilogue epilogue = gemm_epilogue(
        alpha, accumulate, GEMM_RELU if relu else GEMM_IDENTITY, NULL, NULL)
    cdef ndarray storage
    if row_bias is not None:
        epilogue.row_bias = cnp.PyArray_DATA(row_bias)
    if column_bias is not None:
        epilogue.column_bias = cnp.PyArray_DATA(column_bias)
    if custom:
        left.pack = right.pack = _pack_f32 if engine is &gemm_f32 else _pack_f64
    if packed:
        storage = np.empty(engine.packed_size(y.columns, y.rows) + 64, np.uint8)
        engine.pack_b(y.columns, y.rows, &right, cnp.PyArray_DATA(storage))
        right = strided(NULL, 0, 0)
        right.packed = cnp.PyArray_DATA(storage)
    engine.product(
        x.rows, y.columns, x.columns, &left, &right, cnp.PyArray_DATA(c),
        cnp.PyArray_STRIDE(c, 0) // cnp.PyArray_ITEMSIZE(c), &epilogue)


ctypedef fused real:
    float
    double


cdef void _pack(
    const gemm_operand* operand, Py_ssize_t first, Py_ssize_t count, Py_ssize_t depth_first,
    Py_ssize_t depth, Py_ssize_t width, real* panel
) noexcept nogil:
    cdef const real* x = <const real*>operand.data
    cdef Py_ssize_t i, p
    for p in range(depth):
        for i in range(width):
            panel[p * width + i] = 0 if i >= count else x[
                (first + i) * operand.free_stride + (depth_first + p) * operand.depth_stride]


cdef void _pack_f32(
    const gemm_operand* operand, Py_ssize_t first, Py_ssize_t count, Py_ssize_t depth_first,
    Py_ssize_t depth, Py_ssize_t width, void* panel
) noexcept nogil:
    _pack[float](operand, first, count, depth_first, depth, width, <float*>panel)


cdef void _pack_f64(
    const gemm_operand* operand, Py_ssize_t first, Py_ssize_t count, Py_ssize_t depth_first,
    Py_ssize_t depth, Py_ssize_t width, void* panel
) noexcept nogil:
    _pack[double](operand, first, count, depth_first, depth, width, <double*>panel)
