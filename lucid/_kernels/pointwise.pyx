"""Element-wise kernels: one pass, one fresh array, in float32 and float64.

A C-contiguous operand (for one-operand kernels: a C- or Fortran-contiguous one) runs in
vectorised loops that `pointwise_body.h` lists. Binary kernels also take a Python number, an array
of one element, and an operand that broadcasts along leading or trailing axes; a large operand of
another layout is copied first where that pays. Everything else goes to the NumPy function of the
same meaning, silently where NumPy would warn of an overflow or a division by zero. The result is
always an ndarray, 0-d included, and inputs are never changed.
"""

import numpy as np

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from numpy cimport (
    NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_F_CONTIGUOUS, NPY_DOUBLE,
    NPY_FLOAT, ndarray
)

from lucid._kernels.arrays cimport empty, empty_like, ready, ready_out, same_shape
from lucid._kernels.loops cimport CHUNK, UNLOCKED, range_loop, real_type, run_range
from lucid._kernels.memory import call as pooled_call
from lucid._kernels.strided cimport contiguous, real_contiguous, restored

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "pointwise_body.h"
    #include "each_level.h"
    """
    enum:
        UNARY_neg, UNARY_abs, UNARY_square, UNARY_cube, UNARY_sqrt, UNARY_rsqrt, UNARY_reciprocal
        UNARY_exp, UNARY_expm1, UNARY_log, UNARY_log1p, UNARY_log2, UNARY_log10, UNARY_tanh
        UNARY_sigmoid, UNARY_erf, UNARY_relu, UNARY_leaky_relu, UNARY_threshold, UNARY_hardtanh
        UNARY_hardsigmoid, UNARY_hardswish, UNARY_hardshrink, UNARY_softshrink, UNARY_huber
        UNARY_softsign, UNARY_tanhshrink, UNARY_elu, UNARY_softplus, UNARY_log_sigmoid, UNARY_silu
        UNARY_mish, UNARY_gelu, UNARY_gelu_tanh
        BINARY_add, BINARY_sub, BINARY_mul, BINARY_div, BINARY_maximum, BINARY_minimum, BINARY_prelu
        GRADIENT_relu, GRADIENT_leaky_relu, GRADIENT_threshold, GRADIENT_hardtanh
        GRADIENT_hardsigmoid, GRADIENT_hardswish, GRADIENT_shrink, GRADIENT_softsign
        GRADIENT_tanhshrink, GRADIENT_tanh, GRADIENT_sigmoid, GRADIENT_elu, GRADIENT_softplus
        GRADIENT_log_sigmoid, GRADIENT_silu, GRADIENT_mish, GRADIENT_gelu, GRADIENT_gelu_tanh
        OTHER_axpy, OTHER_glu, OTHER_glu_backward, OTHER_dropout, OTHER_rrelu
        BOTH_STEP, X_STEPS, Y_STEPS
    ctypedef struct point_args:
        const void* x
        const void* y
        void* out
        double a, b, c
        Py_ssize_t columns
        int steps
        Py_ssize_t x_stride, y_stride
        uint64_t seed
        uint32_t threshold
    uint32_t random_threshold(double p)
    const range_loop* UNARY_LOOPS "LUCID_PICK(unary_loops)"
    const range_loop* BINARY_LOOPS "LUCID_PICK(binary_loops)"
    const range_loop* GRADIENT_LOOPS "LUCID_PICK(gradient_loops)"
    const range_loop* OTHER_LOOPS "LUCID_PICK(other_loops)"

cdef const range_loop* unary_loops = UNARY_LOOPS
cdef const range_loop* binary_loops = BINARY_LOOPS
cdef const range_loop* gradient_loops = GRADIENT_LOOPS
cdef const range_loop* other_loops = OTHER_LOOPS


cdef inline bint dense(ndarray x) noexcept:
    """Safe to read as one run of memory, in C or in Fortran order."""
    return (
        cnp.PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED)
        and (cnp.PyArray_FLAGS(x) & (NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS)) != 0
        and cnp.PyArray_ISNOTSWAPPED(x)
    )


cdef ndarray densely(ndarray x):
    """`x`, or a dense copy of one so large that a copy on all threads and a loop beat NumPy's."""
    if dense(x) or cnp.PyArray_SIZE(x) < UNLOCKED:
        return x
    return contiguous(x, cnp.PyArray_TYPE(x))


cdef bint scattered(ndarray x) noexcept:
    """Whether no two elements lie side by side; where some do, NumPy's own loops are as fast."""
    cdef int axis
    for axis in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDES(x)[axis] == cnp.PyArray_ITEMSIZE(x):
            return False
    return True


cdef inline bint c_ordered(ndarray x) noexcept:
    return cnp.PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS)


cdef inline ndarray like(ndarray x):
    """Fresh, same shape, dtype and order as the dense `x`."""
    return empty(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), not c_ordered(x))


# --- one operand ----------------------------------------------------------------------------------

cdef ndarray unary(int operation, x, double a=0, double b=0, double c=0):
    cdef int offset = real_type(<ndarray>x) if type(x) is ndarray else -1
    if offset < 0:
        return unary_elsewhere(operation, np.asarray(x), a, b, c)
    cdef ndarray operand = x
    if not dense(operand):
        operand = contiguous(operand, NPY_DOUBLE if offset else NPY_FLOAT)
    cdef ndarray out = like(operand)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(operand)
    cdef point_args args
    args.x, args.out = cnp.PyArray_DATA(operand), cnp.PyArray_DATA(out)
    args.a, args.b, args.c = a, b, c
    run_range(unary_loops[2 * operation + offset], &args, size, CHUNK, size)
    return out


cdef dict NUMPY_UNARY = {
    UNARY_neg: np.negative, UNARY_abs: np.abs, UNARY_square: np.square, UNARY_sqrt: np.sqrt,
    UNARY_cube: lambda x: x * x * x, UNARY_rsqrt: lambda x: 1 / np.sqrt(x),
    UNARY_reciprocal: lambda x: 1 / x, UNARY_exp: np.exp, UNARY_expm1: np.expm1, UNARY_log: np.log,
    UNARY_log1p: np.log1p, UNARY_log2: np.log2, UNARY_log10: np.log10, UNARY_tanh: np.tanh,
    UNARY_relu: lambda x: np.maximum(x, 0),
}


cdef ndarray unary_elsewhere(int operation, x, double a, double b, double c):
    """Any other dtype: NumPy's function or, where there is none, the loop in the nearest dtype."""
    function = NUMPY_UNARY.get(operation)
    if function is not None:
        with np.errstate(all="ignore"):
            return np.asarray(pooled_call(function, x))
    out = unary(operation, real_contiguous(x), a, b, c)
    return out.astype(x.dtype) if x.dtype.kind == "f" else out


def neg(x): return unary(UNARY_neg, x)
def abs(x): return unary(UNARY_abs, x)
def square(x): return unary(UNARY_square, x)
def sqrt(x): return unary(UNARY_sqrt, x)
def rsqrt(x): return unary(UNARY_rsqrt, x)
def reciprocal(x): return unary(UNARY_reciprocal, x)
def exp(x): return unary(UNARY_exp, x)
def expm1(x): return unary(UNARY_expm1, x)
def log(x): return unary(UNARY_log, x)
def log1p(x): return unary(UNARY_log1p, x)
def log2(x): return unary(UNARY_log2, x)
def log10(x): return unary(UNARY_log10, x)
def tanh(x): return unary(UNARY_tanh, x)
def sigmoid(x): return unary(UNARY_sigmoid, x)
def erf(x): return unary(UNARY_erf, x)
def relu(x): return unary(UNARY_relu, x)
def leaky_relu(x, double negative_slope=0.01): return unary(UNARY_leaky_relu, x, negative_slope)
def threshold(x, double threshold, double value): return unary(UNARY_threshold, x, threshold, value)
def hardtanh(x, double low=-1.0, double high=1.0): return unary(UNARY_hardtanh, x, low, high)
def hardsigmoid(x): return unary(UNARY_hardsigmoid, x)
def hardswish(x): return unary(UNARY_hardswish, x)
def hardshrink(x, double lambd=0.5): return unary(UNARY_hardshrink, x, lambd)
def softshrink(x, double lambd=0.5): return unary(UNARY_softshrink, x, lambd)
def huber(x, double delta, double scale): return unary(UNARY_huber, x, delta, scale)
def softsign(x): return unary(UNARY_softsign, x)
def tanhshrink(x): return unary(UNARY_tanhshrink, x)
def log_sigmoid(x): return unary(UNARY_log_sigmoid, x)
def silu(x): return unary(UNARY_silu, x)
def mish(x): return unary(UNARY_mish, x)
def gelu(x): return unary(UNARY_gelu, x)
def gelu_tanh(x): return unary(UNARY_gelu_tanh, x)


def elu(x, double alpha=1.0, double scale=1.0, double input_scale=1.0):
    return unary(UNARY_elu, x, alpha, scale, input_scale)


def softplus(x, double beta=1.0, double threshold=20.0):
    return unary(UNARY_softplus, x, beta, threshold)


# --- two operands ---------------------------------------------------------------------------------

cdef tuple NUMPY_BINARY = (
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum,
    lambda x, weight: np.where(x > 0, x, weight * x),
)


cdef ndarray binary_elsewhere(int operation, x, y):
    with np.errstate(all="ignore"):
        return np.asarray(pooled_call(NUMPY_BINARY[operation], x, y))


# A Python number as a kernel operand, in both types.
cdef struct Number:
    float narrow
    double wide


cdef inline bint read_number(value, Number* number) except -1:
    if PyFloat_CheckExact(value):
        number.wide = PyFloat_AS_DOUBLE(value)
    elif PyLong_CheckExact(value) and -(1 << 53) <= value <= (1 << 53):
        number.wide = <double>value
    else:
        return False
    number.narrow = <float>number.wide
    return True


cdef inline void run_flat(
    range_loop loop, const void* x, const void* y, ndarray out, int steps
) noexcept:
    """Over all of `out`; an operand that does not step is one number."""
    cdef point_args args
    cdef Py_ssize_t size = cnp.PyArray_SIZE(out)
    args.x, args.y, args.out = x, y, cnp.PyArray_DATA(out)
    args.steps = steps
    args.columns = 0
    run_range(loop, &args, size, CHUNK, size)


cdef ndarray binary(int operation, x, y):
    cdef Number number
    if type(x) is ndarray:
        if type(y) is ndarray:
            return binary_arrays(operation, x, y)
        if read_number(y, &number):
            return binary_number(operation, x, y, &number, X_STEPS)
    elif type(y) is ndarray and read_number(x, &number):
        return binary_number(operation, y, x, &number, Y_STEPS)
    return binary_elsewhere(operation, x, y)


cdef ndarray binary_number(int operation, ndarray x, value, Number* number, int steps):
    """An array and a number, which is the right operand if the left one steps."""
    cdef int offset = real_type(x)
    if offset >= 0 and scattered(x):
        x = densely(x)
    if offset < 0 or not dense(x):
        if steps == X_STEPS:
            return binary_elsewhere(operation, x, value)
        return binary_elsewhere(operation, value, x)
    cdef ndarray out = like(x)
    cdef const void* array = cnp.PyArray_DATA(x)
    cdef const void* scalar = <const void*>&number.wide if offset else <const void*>&number.narrow
    if steps == X_STEPS:
        run_flat(binary_loops[2 * operation + offset], array, scalar, out, steps)
    else:
        run_flat(binary_loops[2 * operation + offset], scalar, array, out, steps)
    return out


cdef ndarray unexpanded(ndarray x):
    """A view with length 1 along the axes that only repeat, as `broadcast_to` makes them."""
    cdef int axis
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp* strides = cnp.PyArray_STRIDES(x)
    return x[tuple([
        slice(1) if strides[axis] == 0 and shape[axis] else slice(None)
        for axis in range(cnp.PyArray_NDIM(x))
    ])]


cdef ndarray binary_arrays(int operation, ndarray x, ndarray y):
    cdef int offset = real_type(x)
    if offset < 0 or cnp.PyArray_TYPE(y) != cnp.PyArray_TYPE(x):
        return binary_elsewhere(operation, x, y)
    if not (dense(x) and dense(y)):
        # Half of the gradients that come back from sums and means.
        if same_shape(x, y) and dense(x):
            y = unexpanded(y)
        elif same_shape(x, y) and dense(y):
            x = unexpanded(x)
        if dense(x):
            y = densely(y)
        elif dense(y):
            x = densely(x)
        if not (dense(x) and dense(y)):
            return binary_elsewhere(operation, x, y)
    cdef range_loop loop = binary_loops[2 * operation + offset]
    cdef Py_ssize_t x_size = cnp.PyArray_SIZE(x), y_size = cnp.PyArray_SIZE(y)
    cdef ndarray out = None
    cdef int steps
    if same_shape(x, y) and c_ordered(x) == c_ordered(y):
        out, steps = like(x), BOTH_STEP
    elif y_size == 1 and cnp.PyArray_NDIM(y) <= cnp.PyArray_NDIM(x):
        out, steps = like(x), X_STEPS
    elif x_size == 1 and cnp.PyArray_NDIM(x) <= cnp.PyArray_NDIM(y):
        out, steps = like(y), Y_STEPS
    if out is not None:
        run_flat(loop, cnp.PyArray_DATA(x), cnp.PyArray_DATA(y), out, steps)
        return out
    if x_size and y_size and c_ordered(x) and c_ordered(y):
        out = broadcast(loop, x, y, False) if y_size <= x_size else broadcast(loop, y, x, True)
    return out if out is not None else binary_elsewhere(operation, x, y)


cdef ndarray broadcast(range_loop loop, ndarray x, ndarray y, bint swapped):
    """`y` has the shape of `x` but for leading and trailing axes of length 1; else None."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef int missing = ndim - cnp.PyArray_NDIM(y)
    cdef int axis = 0
    cdef Py_ssize_t outer = 1, inner = 1, middle = cnp.PyArray_SIZE(y)
    if missing < 0:
        return None
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp* given = cnp.PyArray_DIMS(y) - missing
    while axis < ndim and (axis < missing or given[axis] == 1):
        outer *= shape[axis]
        axis += 1
    while axis < ndim and given[axis] == shape[axis]:
        axis += 1
    while axis < ndim and given[axis] == 1:
        inner *= shape[axis]
        axis += 1
    if axis < ndim:
        return None
    cdef ndarray out = empty_like(x)
    cdef point_args args
    cdef Py_ssize_t _i, step = middle * inner * cnp.PyArray_ITEMSIZE(x)
    cdef char* from_x = <char*>cnp.PyArray_DATA(x)
    cdef char* from_y = <char*>cnp.PyArray_DATA(y)
    cdef char* to = <char*>cnp.PyArray_DATA(out)
    if inner == 1:      # all of `y` for each row of `x`
        args.x, args.y = from_y if swapped else from_x, from_x if swapped else from_y
        args.x_stride = 0 if swapped else middle
        args.y_stride = middle if swapped else 0
        args.out, args.columns, args.steps = to, middle, BOTH_STEP
        run_range(loop, &args, outer, max(CHUNK // middle, 1), outer * middle)
        return out
    args.x_stride = 1 if swapped else inner
    args.y_stride = inner if swapped else 1
    args.columns, args.steps = inner, Y_STEPS if swapped else X_STEPS
    for _i in range(outer):     # an element of `y` for each row of `x`
        args.x, args.y = from_y if swapped else from_x, from_x if swapped else from_y
        args.out = to
        run_range(loop, &args, middle, max(CHUNK // inner, 1), middle * inner)
        from_x += step
        to += step
    return out


def add(x, y): return binary(BINARY_add, x, y)
def sub(x, y): return binary(BINARY_sub, x, y)
def mul(x, y): return binary(BINARY_mul, x, y)
def div(x, y): return binary(BINARY_div, x, y)
def maximum(x, y): return binary(BINARY_maximum, x, y)
def minimum(x, y): return binary(BINARY_minimum, x, y)
def prelu(x, weight): return binary(BINARY_prelu, x, weight)


# --- gradients ------------------------------------------------------------------------------------

cdef ndarray gradient(int operation, g, x, double a=0, double b=0, double c=0):
    """`g` and `x` of one shape and dtype; other layouts are copied, other dtypes go through one."""
    cdef int offset = real_type(<ndarray>x) if type(x) is ndarray else -1
    cdef ndarray incoming, kept, out
    if offset < 0 or type(g) is not ndarray or cnp.PyArray_TYPE(<ndarray>g) != cnp.PyArray_TYPE(
        <ndarray>x
    ):
        common = np.result_type(g, x)
        near = np.float32 if common in (np.float16, np.float32) else np.float64
        return gradient(
            operation, np.asarray(g, dtype=near), np.asarray(x, dtype=near), a, b, c
        ).astype(common if common.kind == "f" else np.float64, copy=False)
    incoming, kept = g, x
    if not same_shape(incoming, kept):
        raise ValueError(f"gradient of shape {g.shape} for an array of shape {x.shape}")
    if not (dense(incoming) and dense(kept) and c_ordered(incoming) == c_ordered(kept)):
        incoming = contiguous(incoming, cnp.PyArray_TYPE(kept))
        kept = x if c_ordered(kept) and dense(kept) else contiguous(kept, cnp.PyArray_TYPE(kept))
    out = like(kept)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(kept)
    cdef point_args args
    args.x, args.y = cnp.PyArray_DATA(kept), cnp.PyArray_DATA(incoming)
    args.out = cnp.PyArray_DATA(out)
    args.a, args.b, args.c = a, b, c
    run_range(gradient_loops[2 * operation + offset], &args, size, CHUNK, size)
    return out


def relu_backward(g, out): return gradient(GRADIENT_relu, g, out)
def tanh_backward(g, out): return gradient(GRADIENT_tanh, g, out)
def sigmoid_backward(g, out): return gradient(GRADIENT_sigmoid, g, out)
def hardsigmoid_backward(g, x): return gradient(GRADIENT_hardsigmoid, g, x)
def hardswish_backward(g, x): return gradient(GRADIENT_hardswish, g, x)
def softsign_backward(g, x): return gradient(GRADIENT_softsign, g, x)
def tanhshrink_backward(g, x): return gradient(GRADIENT_tanhshrink, g, x)
def log_sigmoid_backward(g, x): return gradient(GRADIENT_log_sigmoid, g, x)
def silu_backward(g, x): return gradient(GRADIENT_silu, g, x)
def mish_backward(g, x): return gradient(GRADIENT_mish, g, x)
def gelu_backward(g, x): return gradient(GRADIENT_gelu, g, x)
def gelu_tanh_backward(g, x): return gradient(GRADIENT_gelu_tanh, g, x)


def leaky_relu_backward(g, x, double negative_slope=0.01):
    return gradient(GRADIENT_leaky_relu, g, x, negative_slope)


def threshold_backward(g, x, double threshold):
    return gradient(GRADIENT_threshold, g, x, threshold)


def hardtanh_backward(g, x, double low=-1.0, double high=1.0):
    return gradient(GRADIENT_hardtanh, g, x, low, high)


def shrink_backward(g, x, double lambd=0.5):
    return gradient(GRADIENT_shrink, g, x, lambd)


def elu_backward(g, x, double alpha=1.0, double scale=1.0, double input_scale=1.0):
    return gradient(GRADIENT_elu, g, x, alpha, scale, input_scale)


def softplus_backward(g, x, double beta=1.0, double threshold=20.0):
    return gradient(GRADIENT_softplus, g, x, beta, threshold)


# --- gated linear units ---------------------------------------------------------------------------

def glu(x, Py_ssize_t dim):
    cdef ndarray operand = real_contiguous(x), out
    cdef int ndim = cnp.PyArray_NDIM(operand)
    if not 0 <= dim < ndim or operand.shape[dim] % 2:
        raise ValueError(f"glu: dimension {dim} of {x.shape} has no halves")
    cdef cnp.npy_intp[64] shape
    cdef Py_ssize_t size = cnp.PyArray_SIZE(operand) // 2
    cdef point_args args
    memcpy(shape, cnp.PyArray_DIMS(operand), ndim * sizeof(cnp.npy_intp))
    shape[dim] //= 2
    out = empty(ndim, shape, cnp.PyArray_TYPE(operand))
    args.x, args.out = cnp.PyArray_DATA(operand), cnp.PyArray_DATA(out)
    args.columns = cnp.PyArray_MultiplyList(shape + dim, ndim - dim)
    run_range(other_loops[2 * OTHER_glu + real_type(operand)], &args, size, CHUNK, size)
    return restored(out, x)


def glu_backward(g, x, Py_ssize_t dim):
    cdef ndarray operand = real_contiguous(x)
    cdef ndarray incoming = real_contiguous(np.asarray(g, dtype=operand.dtype))
    cdef Py_ssize_t size = cnp.PyArray_SIZE(incoming)
    cdef int ndim = cnp.PyArray_NDIM(operand)
    if not 0 <= dim < ndim or 2 * size != cnp.PyArray_SIZE(operand) or (
        cnp.PyArray_NDIM(incoming) != ndim or 2 * incoming.shape[dim] != operand.shape[dim]
    ):
        raise ValueError(f"gradient of shape {g.shape} for an array of shape {x.shape}")
    cdef ndarray out = like(operand)
    cdef point_args args
    args.x, args.y, args.out = (
        cnp.PyArray_DATA(operand), cnp.PyArray_DATA(incoming), cnp.PyArray_DATA(out))
    args.columns = cnp.PyArray_MultiplyList(cnp.PyArray_DIMS(incoming) + dim, ndim - dim)
    run_range(other_loops[2 * OTHER_glu_backward + real_type(operand)], &args, size, CHUNK, size)
    return restored(out, x)


# --- random ---------------------------------------------------------------------------------------

def dropout(
    x, double p, uint64_t seed, Py_ssize_t group=1, double scale=1.0, double shift=0.0,
    double dropped=0.0
):
    cdef ndarray operand = real_contiguous(x), out = like(operand)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(operand)
    cdef point_args args
    if group < 1:
        raise ValueError(f"dropout: group must be positive; got {group}")
    args.x, args.out = cnp.PyArray_DATA(operand), cnp.PyArray_DATA(out)
    args.a, args.b, args.c = scale, shift, dropped
    args.columns, args.seed, args.threshold = group, seed, random_threshold(p)
    run_range(other_loops[2 * OTHER_dropout + real_type(operand)], &args, size, CHUNK, size)
    return restored(out, x)


def rrelu(y, x, double lower, double upper, uint64_t seed):
    cdef ndarray operand = real_contiguous(x)
    cdef ndarray scaled = real_contiguous(np.asarray(y, dtype=operand.dtype)), out = like(operand)
    if not same_shape(scaled, operand):
        raise ValueError(f"rrelu: y of shape {y.shape} for x of shape {x.shape}")
    cdef Py_ssize_t size = cnp.PyArray_SIZE(operand)
    cdef point_args args
    args.x, args.y, args.out = (
        cnp.PyArray_DATA(operand), cnp.PyArray_DATA(scaled), cnp.PyArray_DATA(out))
    args.a, args.b, args.seed = lower, upper, seed
    run_range(other_loops[2 * OTHER_rrelu + real_type(operand)], &args, size, CHUNK, size)
    return restored(out, x)


# --- in place -------------------------------------------------------------------------------------

cdef inline bint apart_or_same(ndarray x, ndarray y) noexcept:
    """No element of `y` lies where `x` has a different one: dense arrays of one size and order."""
    cdef const char* a = <const char*>cnp.PyArray_DATA(x)
    cdef const char* b = <const char*>cnp.PyArray_DATA(y)
    return a == b or a + cnp.PyArray_NBYTES(x) <= b or b + cnp.PyArray_NBYTES(y) <= a


cdef inline bint pairs_with(ndarray x, y, int number) noexcept:
    """Whether the array `y` can be combined into `x`, element by element in memory order."""
    return (
        type(y) is ndarray and ready_out(x, number) and ready(y, number) and same_shape(x, y)
        and apart_or_same(x, y)
    )


cdef ndarray binary_into(int operation, ndarray x, y):
    cdef int offset = real_type(x), number = cnp.PyArray_TYPE(x)
    cdef Number value
    cdef const void* scalar
    if offset >= 0 and pairs_with(x, y, number):
        run_flat(binary_loops[2 * operation + offset], cnp.PyArray_DATA(x),
                 cnp.PyArray_DATA(<ndarray>y), x, BOTH_STEP)
    elif offset >= 0 and ready_out(x, number) and read_number(y, &value):
        scalar = <const void*>&value.wide if offset else <const void*>&value.narrow
        run_flat(binary_loops[2 * operation + offset], cnp.PyArray_DATA(x), scalar, x, X_STEPS)
    else:
        with np.errstate(all="ignore"):
            NUMPY_BINARY[operation](x, y, out=x)
    return x


def add_(ndarray x not None, y): return binary_into(BINARY_add, x, y)
def sub_(ndarray x not None, y): return binary_into(BINARY_sub, x, y)
def mul_(ndarray x not None, y): return binary_into(BINARY_mul, x, y)
def div_(ndarray x not None, y): return binary_into(BINARY_div, x, y)


def axpy_(ndarray x not None, y, double alpha):
    cdef int offset = real_type(x)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(x)
    cdef point_args args
    if offset >= 0 and pairs_with(x, y, cnp.PyArray_TYPE(x)):
        args.x, args.out, args.a = cnp.PyArray_DATA(<ndarray>y), cnp.PyArray_DATA(x), alpha
        run_range(other_loops[2 * OTHER_axpy + offset], &args, size, CHUNK, size)
    else:
        with np.errstate(all="ignore"):
            np.add(x, np.multiply(y, alpha), out=x, casting="same_kind")
    return x


# --- powers ---------------------------------------------------------------------------------------

def pow(x, y):
    if type(x) is ndarray and real_type(x) >= 0 and (PyFloat_CheckExact(y) or PyLong_CheckExact(y)):
        if y == 2:
            return unary(UNARY_square, x)
        if y == 0.5:
            return unary(UNARY_sqrt, x)
        if y == 3:
            return unary(UNARY_cube, x)
        if y == -1:
            return unary(UNARY_reciprocal, x)
        if y == -0.5:
            return unary(UNARY_rsqrt, x)
    with np.errstate(all="ignore"):
        return np.asarray(np.power(x, y))
