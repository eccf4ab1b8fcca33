"""One layer of a recurrent network in one direction, over whole sequences, float32 and float64.

Forward: the input's products for all steps are one matrix product; then, step by step, the
recurrent product is added to them, with weights packed once, and the cell (recurrent_real.h) turns
the sums into activations and the new state while they are in the cache. Backward walks the steps
the other way; what a step leaves is the gradient of its sums, from which, at the end, one product
each makes the gradients of the weights and of the input.

A batch lies packed: the rows of the first step, then those of the second, and so on; sequences
that ended earlier come last in a step. A batch of equally long ones is the special case.
"""

import numpy as np

cimport numpy as cnp
from libc.string cimport memcpy, memset
from numpy cimport NPY_FLOAT, NPY_UINT8, ndarray

from lucid._kernels.arrays cimport empty, ready
from lucid._kernels.gemm cimport (
    GEMM_IDENTITY, gemm_engine, gemm_epilogue, gemm_f32, gemm_f64, gemm_operand, strided)
from lucid._kernels.loops cimport real_type
from lucid._kernels.threads cimport parallel_for

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "recurrent_body.h"
    #include "each_level.h"
    """

cdef extern from "recurrent.h" nogil:
    int RNN_TANH, RNN_RELU, LSTM, GRU
    ctypedef struct cell_step:
        Py_ssize_t hidden, stride
        void* gates
        void* recurrent
        void* candidate
        const void* h_before
        void* c
        void* c_before
        void* out
        void* dh
        void* dc
        void* d_input
        void* d_recurrent
    ctypedef void (*cell_function)(const cell_step*, Py_ssize_t, Py_ssize_t) noexcept nogil
    ctypedef struct cell_table:
        cell_function* forward
        cell_function* backward
        void (*add)(void*, const void*, Py_ssize_t) noexcept nogil
    const cell_table* const* CELLS "LUCID_PICK(cells)"

cdef const cell_table* const* cells = CELLS

cdef enum:
    # The engine reads weights in place for so few rows; packing them would cost more.
    THIN = 4
    ROWS_PER_TASK = 4
    WORTH_SHARING = 8192    # hidden units in all rows of a step


cdef struct layer:
    # `steps` steps of at most `batch` rows; NULL sizes: each of all of them. Rows of gates have
    # `width` numbers and are `stride` apart.
    const gemm_engine* engine
    const cell_table* cells
    const Py_ssize_t* sizes
    Py_ssize_t itemsize, rows, steps, batch, inputs, hidden, projected, width, stride
    int kind
    bint reverse


cdef layer described(
    int kind, ndarray x, ndarray w_ih, ndarray w_hh, ndarray w_hr, ndarray sizes, bint reverse
) noexcept:
    cdef layer s
    cdef int real = real_type(x), ndim = cnp.PyArray_NDIM(x)
    s.engine = &gemm_f64 if real else &gemm_f32
    s.cells = cells[real]
    s.itemsize = cnp.PyArray_ITEMSIZE(x)
    s.inputs = cnp.PyArray_DIM(x, ndim - 1)
    s.rows = cnp.PyArray_SIZE(x) // max(s.inputs, 1)
    s.projected = cnp.PyArray_DIM(w_hh, 1)
    s.width = cnp.PyArray_DIM(w_hh, 0)
    s.hidden = s.width // (4 if kind == LSTM else 3 if kind == GRU else 1)
    # Rows a multiple of 1 KB apart would compete for the same lines of the L1 cache.
    s.stride = s.width + (64 // s.itemsize if s.width * s.itemsize % 1024 == 0 else 0)
    s.kind, s.reverse = kind, reverse
    if sizes is None:
        s.sizes = NULL
        s.steps, s.batch = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
        s.rows = s.steps * s.batch
    else:
        s.sizes = <const Py_ssize_t*>cnp.PyArray_DATA(sizes)
        s.steps = cnp.PyArray_SIZE(sizes)
        s.rows = cnp.PyArray_DIM(x, 0)
        s.batch = s.sizes[0] if s.steps else 0
    return s


cdef inline char* at(const void* start, Py_ssize_t elements, Py_ssize_t itemsize) noexcept nogil:
    return NULL if start is NULL else <char*>start + elements * itemsize


cdef ndarray usable(ndarray x, int type_number):
    """`x`, or a copy of it that a kernel may read through a raw pointer."""
    if x is None or ready(x, type_number):
        return x
    return np.array(x, order="C")


cdef inline void* data(ndarray x) noexcept:
    return NULL if x is None else cnp.PyArray_DATA(x)


cdef ndarray matrix(Py_ssize_t rows, Py_ssize_t columns, ndarray like):
    cdef cnp.npy_intp[2] shape = [rows, columns]
    return empty(2, shape, cnp.PyArray_TYPE(like))


cdef ndarray state_from(ndarray initial, ndarray like, Py_ssize_t rows, Py_ssize_t columns):
    """A state to be carried along: starts as a copy of `initial`, or as zeros."""
    cdef ndarray state = matrix(rows, columns, like)
    if initial is None:
        memset(cnp.PyArray_DATA(state), 0, cnp.PyArray_NBYTES(state))
    else:
        memcpy(cnp.PyArray_DATA(state), cnp.PyArray_DATA(initial), cnp.PyArray_NBYTES(state))
    return state


cdef ndarray packed_weights(const layer* s, gemm_operand* b, Py_ssize_t n, Py_ssize_t k):
    """Packs `b` for the whole sequence; returns its memory, None where b is used as it lies."""
    cdef cnp.npy_intp size
    cdef ndarray memory
    cdef void* start
    if s.batch <= THIN or s.steps <= 1:
        return None
    size = s.engine.packed_size(n, k) + 64
    memory = empty(1, &size, NPY_UINT8)
    start = <void*>((<size_t>cnp.PyArray_DATA(memory) + 63) & ~<size_t>63)
    with nogil:
        s.engine.pack_b(n, k, b, start)
    b.packed = start
    return memory


cdef struct cell_job:
    cell_function function
    const cell_step* step
    Py_ssize_t rows


cdef void cell_task(void* context, Py_ssize_t index) noexcept nogil:
    cdef const cell_job* job = <const cell_job*>context
    job.function(
        job.step, index * ROWS_PER_TASK, min((index + 1) * ROWS_PER_TASK, job.rows))


cdef void run_cell(cell_function function, const cell_step* step, Py_ssize_t rows) noexcept nogil:
    cdef cell_job job
    if rows * step.hidden < WORTH_SHARING:
        function(step, 0, rows)
    else:
        job.function, job.step, job.rows = function, step, rows
        parallel_for(cell_task, &job, (rows + ROWS_PER_TASK - 1) // ROWS_PER_TASK)


cdef inline gemm_epilogue finish(bint accumulate, const void* bias) noexcept nogil:
    cdef gemm_epilogue epilogue
    epilogue.alpha, epilogue.accumulate, epilogue.activation = 1, accumulate, GEMM_IDENTITY
    epilogue.row_bias, epilogue.column_bias = NULL, bias
    return epilogue


def forward(
    int kind, ndarray x not None, ndarray h0, ndarray c0, ndarray w_ih not None,
    ndarray w_hh not None, ndarray b_ih, ndarray b_hh, ndarray w_hr, ndarray sizes, bint reverse,
    bint keep, /
):
    cdef int number = cnp.PyArray_TYPE(x)
    x, h0, c0 = usable(x, number), usable(h0, number), usable(c0, number)
    w_ih, w_hh, w_hr = usable(w_ih, number), usable(w_hh, number), usable(w_hr, number)
    b_ih, b_hh = usable(b_ih, number), usable(b_hh, number)
    cdef layer s = described(kind, x, w_ih, w_hh, w_hr, sizes, reverse)
    cdef Py_ssize_t width = s.width, stride = s.stride, b, t, row = 0
    cdef cnp.npy_intp[3] shape
    cdef ndarray h = state_from(h0, x, s.batch, s.projected)
    cdef ndarray c = state_from(c0, x, s.batch, s.hidden) if kind == LSTM else None
    cdef ndarray gates = matrix(s.rows, stride, x), recurrent = None, whole = None
    cdef ndarray h_before = None, extra = None, y
    if sizes is None:
        shape[0], shape[1], shape[2] = s.steps, s.batch, s.projected
        y = empty(3, shape, number)
    else:
        y = matrix(s.rows, s.projected, x)
    if keep:
        h_before = matrix(s.rows, s.projected, x)
        if kind == LSTM or kind == GRU:
            extra = matrix(s.rows, s.hidden, x)
    if kind == GRU:
        recurrent = matrix(s.batch, stride, x)
    if w_hr is not None:
        whole = matrix(s.batch, s.hidden, x)

    cdef gemm_operand from_input = strided(data(x), s.inputs, 1)
    cdef gemm_operand input_weights = strided(data(w_ih), s.inputs, 1)
    cdef gemm_operand from_state = strided(data(h), s.projected, 1)
    cdef gemm_operand state_weights = strided(data(w_hh), s.projected, 1)
    cdef gemm_operand from_whole = strided(data(whole), s.hidden, 1)
    cdef gemm_operand projection = strided(data(w_hr), s.hidden, 1)
    cdef gemm_epilogue input_bias = finish(False, data(b_ih))
    cdef gemm_epilogue state_bias = finish(kind != GRU, data(b_hh))
    cdef ndarray _weights = packed_weights(&s, &state_weights, width, s.projected)
    cdef ndarray _projection
    if w_hr is not None:
        _projection = packed_weights(&s, &projection, s.projected, s.hidden)

    cdef cell_step step
    memset(&step, 0, sizeof(cell_step))
    step.hidden, step.stride = s.hidden, stride
    step.h_before, step.c = data(h), data(c)
    step.recurrent = data(recurrent)
    cdef void* gates_start = data(gates)
    cdef void* y_start = data(y)
    cdef void* h_start = data(h)
    cdef void* h_before_start = data(h_before)
    cdef void* extra_start = data(extra)
    cdef void* whole_start = data(whole)
    cdef char* out
    cdef Py_ssize_t size = s.itemsize, state_bytes
    with nogil:
        s.engine.product(
            s.rows, width, s.inputs, &from_input, &input_weights, gates_start, stride, &input_bias)
        if reverse:
            row = s.rows
        for t in range(s.steps):
            b = s.batch if s.sizes is NULL else s.sizes[s.steps - 1 - t if reverse else t]
            if reverse:
                row -= b
            state_bytes = b * s.projected * size
            if h_before_start:
                memcpy(at(h_before_start, row * s.projected, size), h_start, state_bytes)
            out = at(y_start, row * s.projected, size)
            step.gates = at(gates_start, row * stride, size)
            s.engine.product(
                b, width, s.projected, &from_state, &state_weights,
                step.recurrent if kind == GRU else step.gates, stride, &state_bias)
            if kind == LSTM:
                step.c_before = at(extra_start, row * s.hidden, size)
            else:
                step.candidate = at(extra_start, row * s.hidden, size)
            step.out = whole_start if whole_start else out
            run_cell(s.cells.forward[kind], &step, b)
            if whole_start:
                s.engine.product(
                    b, s.projected, s.hidden, &from_whole, &projection, out, s.projected, NULL)
            memcpy(h_start, out, state_bytes)
            if not reverse:
                row += b
    return y, h, c, (gates, h_before, extra) if keep else None


def backward(
    int kind, ndarray gy, ndarray gh, ndarray gc, ndarray x not None, ndarray w_ih not None,
    ndarray w_hh not None, ndarray w_hr, tuple kept not None, ndarray sizes, bint reverse,
    bint need_x, bint need_weights, bint need_biases, /
):
    cdef int number = cnp.PyArray_TYPE(x)
    cdef ndarray gates = kept[0], h_before = kept[1], extra = kept[2]
    x, gy, gh, gc = usable(x, number), usable(gy, number), usable(gh, number), usable(gc, number)
    w_ih, w_hh, w_hr = usable(w_ih, number), usable(w_hh, number), usable(w_hr, number)
    cdef layer s = described(kind, x, w_ih, w_hh, w_hr, sizes, reverse)
    cdef Py_ssize_t width = s.width, stride = s.stride, b, t, row = 0
    cdef ndarray dh = state_from(gh, x, s.batch, s.projected)
    cdef ndarray dc = state_from(gc, x, s.batch, s.hidden) if kind == LSTM else None
    cdef ndarray d_input = matrix(s.rows, stride, x)
    cdef ndarray d_recurrent = matrix(s.rows, stride, x) if kind == GRU else d_input
    cdef ndarray gx = None, gw_ih = None, gw_hh = None, gw_hr = None, gb_ih = None, gb_hh = None
    # With a projection: the gradient of what is projected in a step, that of h in all steps, and
    # what was projected in all steps.
    cdef ndarray d_whole = None, d_projected = None, whole = None
    if w_hr is not None:
        d_whole = matrix(s.batch, s.hidden, x)
        if need_weights:
            d_projected, whole = matrix(s.rows, s.projected, x), matrix(s.rows, s.hidden, x)

    cdef gemm_operand from_sums = strided(NULL, stride, 1)
    cdef gemm_operand state_weights = strided(data(w_hh), 1, s.projected)
    cdef gemm_operand from_state = strided(data(dh), s.projected, 1)
    cdef gemm_operand projection = strided(data(w_hr), 1, s.hidden)
    cdef gemm_epilogue accumulate = finish(kind == GRU, NULL)
    cdef ndarray _weights = packed_weights(&s, &state_weights, s.projected, width)
    cdef ndarray _projection
    if w_hr is not None:
        _projection = packed_weights(&s, &projection, s.hidden, s.projected)

    cdef cell_step step
    memset(&step, 0, sizeof(cell_step))
    step.hidden, step.stride = s.hidden, stride
    step.dc = data(dc)
    cdef void* dh_start = data(dh)
    cdef void* gy_start = data(gy)
    cdef void* d_whole_start = data(d_whole)
    cdef void* gates_start = data(gates)
    cdef void* h_before_start = data(h_before)
    cdef void* extra_start = data(extra)
    cdef void* whole_start = data(whole)
    cdef void* d_projected_start = data(d_projected)
    cdef void* d_input_start = data(d_input)
    cdef void* d_recurrent_start = data(d_recurrent)
    cdef Py_ssize_t size = s.itemsize
    with nogil:
        if not reverse:
            row = s.rows
        for t in range(s.steps):
            b = s.batch if s.sizes is NULL else s.sizes[t if reverse else s.steps - 1 - t]
            if not reverse:
                row -= b
            if gy_start:
                s.cells.add(dh_start, at(gy_start, row * s.projected, size), b * s.projected)
            step.dh = dh_start
            if d_whole_start:
                s.engine.product(
                    b, s.hidden, s.projected, &from_state, &projection, d_whole_start, s.hidden,
                    NULL)
                step.dh = d_whole_start
                if d_projected_start:
                    memcpy(
                        at(d_projected_start, row * s.projected, size), dh_start,
                        b * s.projected * size)
            step.gates = at(gates_start, row * stride, size)
            step.h_before = at(h_before_start, row * s.projected, size)
            step.c_before = step.candidate = at(extra_start, row * s.hidden, size)
            step.out = at(whole_start, row * s.hidden, size)
            step.d_input = at(d_input_start, row * stride, size)
            step.d_recurrent = at(d_recurrent_start, row * stride, size)
            run_cell(s.cells.backward[kind], &step, b)
            from_sums.data = step.d_recurrent
            s.engine.product(
                b, s.projected, width, &from_sums, &state_weights, dh_start, s.projected,
                &accumulate)
            if reverse:
                row += b

    if need_x:
        gx = empty(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), number)
        product(&s, s.rows, s.inputs, width, d_input, stride, 1, w_ih, gx)
    if need_weights:
        gw_ih, gw_hh = matrix(width, s.inputs, x), matrix(width, s.projected, x)
        product(&s, width, s.inputs, s.rows, d_input, 1, stride, x, gw_ih)
        product(&s, width, s.projected, s.rows, d_recurrent, 1, stride, h_before, gw_hh)
        if w_hr is not None:
            gw_hr = matrix(s.projected, s.hidden, x)
            product(&s, s.projected, s.hidden, s.rows, d_projected, 1, s.projected, whole, gw_hr)
    if need_biases:
        gb_ih = column_sums(&s, d_input)
        gb_hh = gb_ih.copy() if kind != GRU else column_sums(&s, d_recurrent)
    return gx, dh, dc, gw_ih, gw_hh, gb_ih, gb_hh, gw_hr


cdef void product(
    const layer* s, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, ndarray a, Py_ssize_t a_stride,
    Py_ssize_t a_depth, ndarray b, ndarray out
) noexcept:
    """out = a b, of which b lies row by row."""
    cdef gemm_operand left = strided(cnp.PyArray_DATA(a), a_stride, a_depth)
    cdef gemm_operand right = strided(cnp.PyArray_DATA(b), 1, n)
    cdef void* to = cnp.PyArray_DATA(out)
    with nogil:
        s.engine.product(m, n, k, &left, &right, to, n, NULL)


cdef ndarray column_sums(const layer* s, ndarray x):
    """The sums of the columns: a product with a row of ones."""
    cdef float one_f32 = 1
    cdef double one_f64 = 1
    cdef int number = cnp.PyArray_TYPE(x)
    cdef cnp.npy_intp columns = s.width
    cdef gemm_operand ones = strided(
        <const void*>&one_f32 if number == NPY_FLOAT else <const void*>&one_f64, 0, 0)
    cdef gemm_operand right = strided(cnp.PyArray_DATA(x), 1, s.stride)
    cdef ndarray out = empty(1, &columns, number)
    cdef void* to = cnp.PyArray_DATA(out)
    with nogil:
        s.engine.product(1, columns, s.rows, &ones, &right, to, columns, NULL)
    return out
