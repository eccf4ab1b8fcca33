"""One layer of a recurrent network in one direction, over whole sequences, float32 and float64.

Forward: the inputs of many steps are multiplied at once; then, step by step, the recurrent product
is added to that, with weights packed once, and the cell (recurrent_real.h) turns the sums into
activations and the new state while they are in the cache. Backward walks the steps the other way;
what a step leaves is the gradient of its sums, from which, after every so many steps, one product
each makes the gradients of the weights and of the input. Both take some STRETCH rows at a time,
whose sums stay in a cache meanwhile unless the layer is wide.

The steps are phases (phases.h), and the hidden units are cut into blocks: one block is the products
with the weights of its units and their part of the cell. So the threads wait for each other once
per step, and the weights of a block stay in one core's cache.

A batch lies packed: the rows of the first step, then those of the second, and so on; sequences
that ended earlier come last in a step. A batch of equally long ones is the special case. Outputs
of those lie in memory sequence by sequence where the input does (`batch_first`), and so may their
gradients.
"""

cimport numpy as cnp
from libc.string cimport memcpy, memset
from numpy cimport NPY_INTP, NPY_UINT8, ndarray

from lucid._kernels.arrays cimport empty, ready
from lucid._kernels.gemm cimport (
    GEMM_IDENTITY, gemm_engine, gemm_epilogue, gemm_f32, gemm_f64, gemm_operand, strided)
from lucid._kernels.loops cimport real_type
from lucid._kernels.strided cimport contiguous
from lucid._kernels.threads cimport num_threads, parallel_for_lasting, task_t

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "recurrent_body.h"
    #include "each_level.h"
    """

cdef extern from "phases.h" nogil:
    ctypedef void (*phase_task "lucid_phase_task")(
        void* context, Py_ssize_t phase, Py_ssize_t block) noexcept nogil
    void run_phases "lucid_run_phases"(
        phase_task task, void* context, Py_ssize_t phases, Py_ssize_t blocks, Py_ssize_t members,
        double nanoseconds, void (*pool)(task_t, void*, Py_ssize_t, double) noexcept nogil)

cdef extern from "recurrent.h" nogil:
    int RNN_TANH, RNN_RELU, LSTM, GRU
    ctypedef struct cell_step:
        Py_ssize_t hidden, stride, out_stride
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
    ctypedef void (*cell_function)(
        const cell_step*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
    ctypedef struct cell_table:
        cell_function* forward
        cell_function* backward
        void (*add)(void*, const void*, Py_ssize_t) noexcept nogil
        void (*multiply_row)(
            const void*, const void*, const void*, void*, Py_ssize_t, Py_ssize_t,
            bint) noexcept nogil
    const cell_table* const* CELLS "LUCID_PICK(cells)"

cdef const cell_table* const* cells = CELLS

cdef enum:
    UNITS = 64                  # of a block: at 256 hidden ones, 64 KB of weights per gate
    ROWS = 48                   # of a block, at most: enough to be busy multiplying, not loading
    WORTH_SHARING = 1 << 16     # multiplications of a step
    WORTH_PACKING = 4           # rows in all steps
    STRETCH = 512               # rows of a stretch of steps, at least


cdef struct layer:
    # Step t has the rows starts[t] .. starts[t + 1]; the stretch of begin .. end is walked. Rows of
    # gates have `width` numbers and are `stride` apart.
    const gemm_engine* engine
    const cell_table* cells
    const Py_ssize_t* starts
    Py_ssize_t itemsize, rows, steps, begin, end, batch, inputs, hidden, projected, width, stride
    int kind, gates
    bint reverse
    # A phase has blocks of `height` rows, `down` of them, times UNITS units or columns.
    Py_ssize_t phases_per_step, height, down, blocks


cdef layer described(
    int kind, ndarray x, ndarray w_ih, ndarray w_hh, ndarray w_hr, ndarray starts, bint reverse
) noexcept:
    cdef layer s
    cdef int real = real_type(x), ndim = cnp.PyArray_NDIM(x)
    s.engine = &gemm_f64 if real else &gemm_f32
    s.cells = cells[real]
    s.itemsize = cnp.PyArray_ITEMSIZE(x)
    s.inputs = cnp.PyArray_DIM(x, ndim - 1)
    s.projected = cnp.PyArray_DIM(w_hh, 1)
    s.width = cnp.PyArray_DIM(w_hh, 0)
    s.gates = 4 if kind == LSTM else 3 if kind == GRU else 1
    s.hidden = s.width // s.gates
    # Rows a multiple of 1 KB apart would compete for the same lines of the L1 cache.
    s.stride = s.width + (64 // s.itemsize if s.width * s.itemsize % 1024 == 0 else 0)
    s.kind, s.reverse = kind, reverse
    s.starts = <const Py_ssize_t*>cnp.PyArray_DATA(starts)
    s.steps = cnp.PyArray_SIZE(starts) - 1
    s.begin, s.end = 0, s.steps
    s.rows = s.starts[s.steps]
    s.batch = s.starts[1] if s.steps else 0
    s.phases_per_step = 1 if w_hr is None else 2
    s.down = (s.batch + ROWS - 1) // ROWS
    s.height = (s.batch + s.down - 1) // max(s.down, 1)
    s.blocks = s.down * blocks_of(max(s.hidden, s.projected))
    return s


cdef inline Py_ssize_t blocks_of(Py_ssize_t units) noexcept nogil:
    return (units + UNITS - 1) // UNITS


cdef ndarray starts_of(ndarray x, ndarray sizes):
    """The first row of each step, and the number of all rows."""
    cdef Py_ssize_t steps = cnp.PyArray_DIM(x, 0) if sizes is None else cnp.PyArray_SIZE(sizes), t
    cdef cnp.npy_intp count = steps + 1
    cdef ndarray starts = empty(1, &count, NPY_INTP)
    cdef Py_ssize_t* start = <Py_ssize_t*>cnp.PyArray_DATA(starts)
    cdef const Py_ssize_t* size = <const Py_ssize_t*>data(sizes)
    start[0] = 0
    for t in range(steps):
        start[t + 1] = start[t] + (cnp.PyArray_DIM(x, 1) if size is NULL else size[t])
    return starts


cdef inline Py_ssize_t size_of(const layer* s, Py_ssize_t t) noexcept nogil:
    """The rows of step t; there are none before the first and after the last."""
    return s.starts[t + 1] - s.starts[t] if 0 <= t < s.steps else 0


cdef inline Py_ssize_t rows_of(const layer* s) noexcept nogil:
    """... of the steps that are walked."""
    return s.starts[s.end] - s.starts[s.begin]


cdef void next_stretch(layer* s, Py_ssize_t walked, bint backwards) noexcept nogil:
    """Sets `begin` and `end` to the steps to be walked after so many others."""
    s.begin = s.end = s.steps - walked if backwards else walked
    while rows_of(s) < STRETCH and s.end - s.begin + walked < s.steps:
        if backwards:
            s.begin -= 1
        else:
            s.end += 1


cdef inline Py_ssize_t most_rows(const layer* s) noexcept nogil:
    """Of a stretch, at most: it ends with the step that makes it STRETCH or more."""
    return min(s.rows, STRETCH + s.batch)


cdef inline char* at(const void* start, Py_ssize_t elements, Py_ssize_t itemsize) noexcept nogil:
    return NULL if start is NULL else <char*>start + elements * itemsize


cdef struct sequences:
    # The outputs or their gradient: rows `row` apart; the first ones of the steps `step` apart,
    # or where the steps lie one after the other, 0.
    char* data
    Py_ssize_t row, step


cdef sequences sequences_of(const layer* s, ndarray x) noexcept:
    cdef sequences found
    found.data, found.row, found.step = <char*>data(x), s.projected, 0
    if x is not None and not cnp.PyArray_IS_C_CONTIGUOUS(x):
        found.row, found.step = s.steps * s.projected, s.projected
    return found


cdef inline char* at_step(const layer* s, const sequences* x, Py_ssize_t t) noexcept nogil:
    return at(x.data, t * x.step if x.step else s.starts[t] * x.row, s.itemsize)


cdef ndarray usable(ndarray x, int type_number):
    """`x`, or a copy of it that a kernel may read through a raw pointer."""
    if x is None or ready(x, type_number):
        return x
    return contiguous(x, type_number)


cdef bint sequence_by_sequence(ndarray x, int type_number):
    """Whether `x` lies so that a kernel may read it through a raw pointer, batch first."""
    return (
        x is not None and cnp.PyArray_NDIM(x) == 3 and not cnp.PyArray_IS_C_CONTIGUOUS(x)
        and ready(cnp.PyArray_SwapAxes(x, 0, 1), type_number)
    )


cdef inline void* data(ndarray x) noexcept:
    return NULL if x is None else cnp.PyArray_DATA(x)


cdef ndarray matrix(Py_ssize_t rows, Py_ssize_t columns, ndarray like):
    cdef cnp.npy_intp[2] shape = [rows, columns]
    return empty(2, shape, cnp.PyArray_TYPE(like))


cdef ndarray vector(Py_ssize_t size, ndarray like):
    cdef cnp.npy_intp shape = size
    return empty(1, &shape, cnp.PyArray_TYPE(like))


cdef ndarray outputs(const layer* s, ndarray x, bint by_sequence):
    cdef cnp.npy_intp[3] shape = [s.steps, s.batch, s.projected]
    if cnp.PyArray_NDIM(x) == 2:
        return matrix(s.rows, s.projected, x)
    if by_sequence:
        shape[0], shape[1] = s.batch, s.steps
        return cnp.PyArray_SwapAxes(empty(3, shape, cnp.PyArray_TYPE(x)), 0, 1)
    return empty(3, shape, cnp.PyArray_TYPE(x))


cdef ndarray state_from(ndarray initial, ndarray like, Py_ssize_t rows, Py_ssize_t columns):
    """A state to be carried along: starts as a copy of `initial`, or as zeros."""
    cdef ndarray state = matrix(rows, columns, like)
    if initial is None:
        memset(cnp.PyArray_DATA(state), 0, cnp.PyArray_NBYTES(state))
    else:
        memcpy(cnp.PyArray_DATA(state), cnp.PyArray_DATA(initial), cnp.PyArray_NBYTES(state))
    return state


cdef struct weights:
    # W as the right operand of products, in panels of at most UNITS of its `n` columns: panel
    # `gate` of block `block` starts at column gate * n + UNITS * block. `packed`: NULL, or
    # all of them, `panel_bytes` each, the gates of a block together; packed by so many columns
    # at a time.
    gemm_operand operand
    Py_ssize_t gates, n, k, itemsize, panel_bytes, at_a_time
    char* packed


cdef gemm_operand panel(
    const weights* w, Py_ssize_t block, Py_ssize_t gate
) noexcept nogil:
    cdef gemm_operand found = w.operand
    found.data = at(
        found.data, (gate * w.n + block * UNITS) * found.free_stride, w.itemsize)
    if w.packed:
        found.packed = w.packed + (block * w.gates + gate) * w.panel_bytes
    return found


cdef ndarray room_for_packed(const layer* s, weights* w):
    """Memory for all panels to be packed into; None where w is used as it lies."""
    cdef cnp.npy_intp size
    cdef ndarray memory
    if s.rows <= WORTH_PACKING or (s.steps <= 1 and s.down <= 1):
        return None
    w.panel_bytes = s.engine.packed_size(UNITS, w.k)
    size = blocks_of(w.n) * w.gates * w.panel_bytes + 64
    memory = empty(1, &size, NPY_UINT8)
    w.packed = <char*>((<size_t>cnp.PyArray_DATA(memory) + 63) & ~<size_t>63)
    return memory


cdef void pack(const layer* s, const weights* w, Py_ssize_t index) noexcept nogil:
    """The panels of a block."""
    cdef Py_ssize_t columns = min(UNITS, w.n - index * UNITS), gate, i
    cdef gemm_operand b
    cdef char* to
    if w.packed is NULL:
        return
    for gate in range(w.gates):
        b = panel(w, index, gate)
        to = <char*>b.packed
        b.packed = NULL
        for i in range((columns + w.at_a_time - 1) // w.at_a_time):
            s.engine.pack_b(min(w.at_a_time, columns - i * w.at_a_time), w.k, &b, to)
            b.data = at(b.data, w.at_a_time * b.free_stride, w.itemsize)
            to += s.engine.packed_size(w.at_a_time, w.k)


cdef weights weights_of(
    const layer* s, ndarray w, Py_ssize_t gates, Py_ssize_t n, Py_ssize_t k,
    Py_ssize_t free_stride, Py_ssize_t depth_stride
) noexcept:
    cdef weights found
    found.operand = strided(data(w), free_stride, depth_stride)
    found.gates, found.n, found.k, found.itemsize = gates, n, k, s.itemsize
    found.packed, found.panel_bytes, found.at_a_time = NULL, 0, UNITS
    return found


cdef inline gemm_epilogue finish(bint accumulate, const void* bias) noexcept nogil:
    cdef gemm_epilogue epilogue
    epilogue.alpha, epilogue.accumulate, epilogue.activation = 1, accumulate, GEMM_IDENTITY
    epilogue.row_bias, epilogue.column_bias = NULL, bias
    return epilogue


cdef struct block:
    # Rows first .. last of step t, if walked; the `index`-th block of columns left .. right.
    Py_ssize_t t, first, last, index, left, right


cdef inline block block_of(
    const layer* s, Py_ssize_t t, Py_ssize_t number, Py_ssize_t columns
) noexcept nogil:
    cdef block found
    found.t = t
    found.index = number // s.down
    found.first = number % s.down * s.height
    found.last = min(found.first + s.height, size_of(s, t)) if s.begin <= t < s.end else 0
    found.left = found.index * UNITS
    found.right = min(found.left + UNITS, columns)
    return found


cdef inline bint is_empty(block b) noexcept nogil:
    return b.first >= b.last or b.left >= b.right


cdef inline void multiply(
    const layer* s, const block* b, const void* rows, Py_ssize_t row_stride, const weights* w,
    Py_ssize_t gate, void* out, Py_ssize_t out_stride, const gemm_epilogue* epilogue
) noexcept nogil:
    """The block of out = rows w; `out` is where the first row and column of the step are."""
    cdef gemm_operand left = strided(at(rows, b.first * row_stride, s.itemsize), row_stride, 1)
    cdef gemm_operand right = panel(w, b.index, gate)
    s.engine.product(
        b.last - b.first, b.right - b.left, w.k, &left, &right,
        at(out, b.first * out_stride + b.left, s.itemsize), out_stride, epilogue)


cdef void copy(
    const layer* s, const block* b, Py_ssize_t last, const void* source, Py_ssize_t source_stride,
    void* to, Py_ssize_t to_stride
) noexcept nogil:
    """The block's columns of its rows before `last`."""
    cdef Py_ssize_t row, size = s.itemsize
    for row in range(b.first, min(b.last, last)):
        memcpy(
            at(to, row * to_stride + b.left, size), at(source, row * source_stride + b.left, size),
            (b.right - b.left) * size)


cdef void run(
    const layer* s, phase_task task, void* context, Py_ssize_t phases, Py_ssize_t depth
) noexcept nogil:
    """All phases; they take some `depth` multiplications for each number of the gates."""
    cdef Py_ssize_t members = num_threads()
    cdef double multiplications = <double>rows_of(s) * s.width * depth
    if <double>s.batch * s.width * s.projected < WORTH_SHARING:
        members = 1
    run_phases(
        task, context, phases, s.blocks, min(members, s.blocks),
        multiplications * s.engine.nanoseconds, parallel_for_lasting)


# ---- Forward ------------------------------------------------------------------------------------


cdef struct forward_pass:
    layer s
    weights from_input, from_state, projection
    sequences y
    const void* x
    const void* input_bias
    const void* state_bias
    # What the steps start from: of all of them if `keep`, else of the present and the next one.
    char* before
    # ... of all of them if `keep`, else of those that are walked.
    char* gates
    # ... of all of them if `keep`, else NULL.
    char* extra
    # Of one step.
    char* recurrent
    char* whole
    void* c
    bint keep, single     # a single sequence, and packed weights


cdef inline char* state_before(const forward_pass* f, Py_ssize_t t) noexcept nogil:
    cdef const layer* s = &f.s
    cdef Py_ssize_t row = s.starts[t] if f.keep else t % 2 * s.batch
    return at(f.before, row * s.projected, s.itemsize)


cdef inline char* gates_from(const forward_pass* f, Py_ssize_t t) noexcept nogil:
    cdef const layer* s = &f.s
    cdef Py_ssize_t row = s.starts[t] - (0 if f.keep else s.starts[s.begin])
    return at(f.gates, row * s.stride, s.itemsize)


cdef inline Py_ssize_t following(const layer* s, Py_ssize_t t) noexcept nogil:
    return t - 1 if s.reverse else t + 1


cdef void begin_forward(const forward_pass* f, Py_ssize_t number) noexcept nogil:
    """Packs weights, if these are the first steps, and multiplies the inputs."""
    cdef const layer* s = &f.s
    cdef Py_ssize_t part = number % s.down, gate, rows = rows_of(s)
    cdef const char* x = at(f.x, s.starts[s.begin] * s.inputs, s.itemsize)
    cdef block b
    cdef gemm_epilogue add
    b.index = number // s.down
    b.first, b.last = rows * part // s.down, rows * (part + 1) // s.down
    b.left, b.right = b.index * UNITS, min((b.index + 1) * UNITS, s.hidden)
    if part == 0 and (s.end == s.steps if s.reverse else s.begin == 0):
        pack(s, &f.from_state, b.index)
        pack(s, &f.projection, b.index)
    if is_empty(b):
        return
    for gate in range(s.gates):
        add = finish(False, at(f.input_bias, gate * s.hidden + b.left, s.itemsize))
        multiply(
            s, &b, x, s.inputs, &f.from_input, gate,
            at(gates_from(f, s.begin), gate * s.hidden, s.itemsize), s.stride, &add)


cdef void forward_block(void* context, Py_ssize_t phase, Py_ssize_t number) noexcept nogil:
    cdef const forward_pass* f = <const forward_pass*>context
    if phase == 0:
        begin_forward(f, number)
    else:
        forward_step(f, phase - 1, number)


cdef void forward_step(const forward_pass* f, Py_ssize_t phase, Py_ssize_t number) noexcept nogil:
    cdef const layer* s = &f.s
    cdef Py_ssize_t size = s.itemsize, i = phase // s.phases_per_step, gate
    cdef Py_ssize_t t = s.end - 1 - i if s.reverse else s.begin + i, after = following(s, t)
    cdef bint projecting = phase % s.phases_per_step == 1
    cdef block b = block_of(s, t, number, s.projected if projecting else s.hidden)
    cdef char* out = at_step(s, &f.y, t)
    cdef void* sums
    cdef cell_step step
    cdef gemm_epilogue add
    if is_empty(b):
        return
    if projecting:
        multiply(s, &b, f.whole, s.hidden, &f.projection, 0, out, f.y.row, NULL)
    else:
        memset(&step, 0, sizeof(cell_step))
        step.hidden, step.stride = s.hidden, s.stride
        step.gates = gates_from(f, t)
        step.recurrent, step.c, step.h_before = f.recurrent, f.c, state_before(f, t)
        if s.kind == LSTM:
            step.c_before = at(f.extra, s.starts[t] * s.hidden, size)
        else:
            step.candidate = at(f.extra, s.starts[t] * s.hidden, size)
        step.out, step.out_stride = out, f.y.row
        if f.whole:
            step.out, step.out_stride = f.whole, s.hidden
        for gate in range(s.gates):
            sums = at(step.recurrent if s.kind == GRU else step.gates, gate * s.hidden, size)
            add = finish(s.kind != GRU, at(f.state_bias, gate * s.hidden + b.left, size))
            if f.single:
                s.cells.multiply_row(
                    panel(&f.from_state, b.index, gate).packed, step.h_before, add.column_bias,
                    at(sums, b.left, size), b.right - b.left, s.projected, add.accumulate)
            else:
                multiply(
                    s, &b, step.h_before, s.projected, &f.from_state, gate, sums, s.stride, &add)
        s.cells.forward[s.kind](&step, b.first, b.last, b.left, b.right)
    if (projecting or not f.whole) and 0 <= after < s.steps:
        copy(
            s, &b, size_of(s, after), out, f.y.row, state_before(f, after), s.projected)


def forward(
    int kind, ndarray x not None, ndarray h0, ndarray c0, ndarray w_ih not None,
    ndarray w_hh not None, ndarray b_ih, ndarray b_hh, ndarray w_hr, ndarray sizes, bint reverse,
    bint keep, /
):
    cdef int number = cnp.PyArray_TYPE(x)
    cdef bint by_sequence = sequence_by_sequence(x, number)
    x, h0, c0 = usable(x, number), usable(h0, number), usable(c0, number)
    w_ih, w_hh, w_hr = usable(w_ih, number), usable(w_hh, number), usable(w_hr, number)
    b_ih, b_hh = usable(b_ih, number), usable(b_hh, number)
    cdef ndarray starts = starts_of(x, sizes)
    cdef forward_pass f
    cdef layer* s = &f.s
    s[0] = described(kind, x, w_ih, w_hh, w_hr, starts, reverse)
    cdef ndarray y = outputs(s, x, by_sequence), h = state_from(h0, x, s.batch, s.projected)
    cdef ndarray c = state_from(c0, x, s.batch, s.hidden) if kind == LSTM else None
    cdef ndarray gates = matrix(s.rows if keep else most_rows(s), s.stride, x)
    cdef ndarray before = matrix(s.rows if keep else 2 * s.batch, s.projected, x)
    cdef ndarray extra = None, recurrent = None, whole = None
    if keep and (kind == LSTM or kind == GRU):
        extra = matrix(s.rows, s.hidden, x)
    if kind == GRU:
        recurrent = matrix(s.batch, s.stride, x)
    if w_hr is not None:
        whole = matrix(s.batch, s.hidden, x)
    f.y, f.keep = sequences_of(s, y), keep
    f.gates, f.before, f.extra = <char*>data(gates), <char*>data(before), <char*>data(extra)
    f.recurrent, f.whole, f.c = <char*>data(recurrent), <char*>data(whole), data(c)
    f.x, f.input_bias, f.state_bias = data(x), data(b_ih), data(b_hh)
    f.from_input = weights_of(s, w_ih, s.gates, s.hidden, s.inputs, s.inputs, 1)
    f.from_state = weights_of(s, w_hh, s.gates, s.hidden, s.projected, s.projected, 1)
    f.projection = weights_of(s, w_hr, 1, s.projected, s.hidden, s.hidden, 1)
    cdef ndarray _weights = room_for_packed(s, &f.from_state), _projection
    if w_hr is not None:
        _projection = room_for_packed(s, &f.projection)
    f.single = s.batch == 1 and f.from_state.packed is not NULL
    if f.single:
        f.from_state.at_a_time = s.engine.packed_size(1, 1) // s.itemsize
    cdef block b
    cdef void* last_state = data(h)
    cdef Py_ssize_t t, walked = 0
    with nogil:
        b.left, b.right = 0, s.projected
        for t in range(s.steps):  # sequences that begin with this step
            b.first, b.last = size_of(s, t + 1 if reverse else t - 1), size_of(s, t)
            copy(s, &b, b.last, last_state, s.projected, state_before(&f, t), s.projected)
        while walked < s.steps:
            next_stretch(s, walked, reverse)
            walked += s.end - s.begin
            run(
                s, forward_block, &f, 1 + (s.end - s.begin) * s.phases_per_step,
                s.inputs + s.projected)
        for t in range(s.steps):  # ... that end with it
            b.first, b.last = size_of(s, following(s, t)), size_of(s, t)
            copy(s, &b, b.last, at_step(s, &f.y, t), f.y.row, last_state, s.projected)
    return y, h, c, (x, gates, before, extra) if keep else None


# ---- Backward -----------------------------------------------------------------------------------


cdef struct backward_pass:
    layer s
    weights to_state, projection
    sequences gy
    char* dh
    void* dc
    # With a projection: the gradient of what is projected in a step, that of h in all steps, and
    # what was projected in all steps.
    char* d_whole
    char* d_projected
    char* whole
    char* gates
    char* before
    char* extra
    # Of the steps that are walked.
    char* d_input
    char* d_recurrent


cdef void add_outputs(const backward_pass* f, const block* b) noexcept nogil:
    cdef const layer* s = &f.s
    cdef const char* gy = at_step(s, &f.gy, b.t)
    cdef Py_ssize_t row
    for row in range(b.first, b.last if gy else b.first):
        s.cells.add(
            at(f.dh, row * s.projected + b.left, s.itemsize),
            at(gy, row * f.gy.row + b.left, s.itemsize), b.right - b.left)


cdef void begin_backward(void* context, Py_ssize_t _phase, Py_ssize_t number) noexcept nogil:
    cdef const backward_pass* f = <const backward_pass*>context
    if number % f.s.down == 0:
        pack(&f.s, &f.to_state, number // f.s.down)
        pack(&f.s, &f.projection, number // f.s.down)


cdef void backward_step(void* context, Py_ssize_t phase, Py_ssize_t number) noexcept nogil:
    """The gradient of a step's h from the step walked before, and then that of its sums."""
    cdef const backward_pass* f = <const backward_pass*>context
    cdef const layer* s = &f.s
    cdef Py_ssize_t size = s.itemsize, i = phase // s.phases_per_step
    cdef Py_ssize_t t = s.begin + i if s.reverse else s.end - 1 - i
    cdef Py_ssize_t start = s.starts[t] if s.begin <= t < s.end else 0, origin = s.starts[s.begin]
    cdef Py_ssize_t part = phase % s.phases_per_step
    cdef block b
    cdef cell_step step
    cdef gemm_epilogue accumulate = finish(s.kind == GRU, NULL)
    if part == 0:
        b = block_of(s, following(s, t), number, s.projected)
        if not is_empty(b):
            multiply(
                s, &b, at(f.d_recurrent, (s.starts[b.t] - origin) * s.stride, size), s.stride,
                &f.to_state, 0, f.dh, s.projected, &accumulate)
        b = block_of(s, t, number, s.projected)
        if not is_empty(b):
            add_outputs(f, &b)
            if f.d_projected:
                copy(
                    s, &b, b.last, f.dh, s.projected, at(f.d_projected, start * s.projected, size),
                    s.projected)
    b = block_of(s, t, number, s.hidden)
    if part < s.phases_per_step - 1 or is_empty(b):
        return
    memset(&step, 0, sizeof(cell_step))
    step.dh = f.dh
    if f.d_whole:
        multiply(s, &b, f.dh, s.projected, &f.projection, 0, f.d_whole, s.hidden, NULL)
        step.dh = f.d_whole
    step.hidden, step.stride, step.out_stride = s.hidden, s.stride, s.hidden
    step.dc = f.dc
    step.gates = at(f.gates, start * s.stride, size)
    step.h_before = at(f.before, start * s.projected, size)
    step.c_before = step.candidate = at(f.extra, start * s.hidden, size)
    step.out = at(f.whole, start * s.hidden, size)
    step.d_input = at(f.d_input, (start - origin) * s.stride, size)
    step.d_recurrent = at(f.d_recurrent, (start - origin) * s.stride, size)
    s.cells.backward[s.kind](&step, b.first, b.last, b.left, b.right)


def backward(
    int kind, ndarray gy, ndarray gh, ndarray gc, ndarray w_ih not None, ndarray w_hh not None,
    ndarray w_hr, tuple kept not None, ndarray sizes, bint reverse, bint need_x,
    bint need_weights, bint need_biases, /
):
    cdef ndarray x = kept[0], gates = kept[1], before = kept[2], extra = kept[3]
    cdef int number = cnp.PyArray_TYPE(x)
    if not sequence_by_sequence(gy, number):
        gy = usable(gy, number)
    gh, gc = usable(gh, number), usable(gc, number)
    w_ih, w_hh, w_hr = usable(w_ih, number), usable(w_hh, number), usable(w_hr, number)
    cdef ndarray starts = starts_of(x, sizes)
    cdef backward_pass f
    cdef layer* s = &f.s
    s[0] = described(kind, x, w_ih, w_hh, w_hr, starts, reverse)
    cdef Py_ssize_t width = s.width, stride = s.stride
    cdef ndarray dh = state_from(gh, x, s.batch, s.projected)
    cdef ndarray dc = state_from(gc, x, s.batch, s.hidden) if kind == LSTM else None
    cdef ndarray d_input = matrix(most_rows(s), stride, x)
    cdef ndarray d_recurrent = d_input
    if kind == GRU:
        d_recurrent = matrix(most_rows(s), stride, x)
    cdef ndarray gx = None, gw_ih = None, gw_hh = None, gw_hr = None, gb_ih = None, gb_hh = None
    cdef ndarray d_whole = None, d_projected = None, whole = None
    if w_hr is not None:
        d_whole = matrix(s.batch, s.hidden, x)
        if need_weights:
            d_projected, whole = matrix(s.rows, s.projected, x), matrix(s.rows, s.hidden, x)
    f.gy = sequences_of(s, gy)
    f.dh, f.dc = <char*>data(dh), data(dc)
    f.d_whole, f.d_projected = <char*>data(d_whole), <char*>data(d_projected)
    f.whole, f.gates = <char*>data(whole), <char*>data(gates)
    f.before, f.extra = <char*>data(before), <char*>data(extra)
    f.d_input, f.d_recurrent = <char*>data(d_input), <char*>data(d_recurrent)
    f.to_state = weights_of(s, w_hh, 1, s.projected, width, 1, s.projected)
    f.projection = weights_of(s, w_hr, 1, s.hidden, s.projected, 1, s.hidden)
    cdef ndarray _weights = room_for_packed(s, &f.to_state), _projection
    if w_hr is not None:
        _projection = room_for_packed(s, &f.projection)
    if need_x:
        gx = empty(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), number)
    if need_weights:
        gw_ih, gw_hh = matrix(width, s.inputs, x), matrix(width, s.projected, x)
        if w_hr is not None:
            gw_hr = matrix(s.projected, s.hidden, x)
    if need_biases:
        gb_ih, gb_hh = vector(width, x), vector(width, x)
    cdef const char* inputs = <const char*>data(x)
    cdef char* to_x = <char*>data(gx)
    cdef const void* from_input = data(w_ih)
    cdef void* to_w_ih = data(gw_ih)
    cdef void* to_w_hh = data(gw_hh)
    cdef void* to_w_hr = data(gw_hr)
    cdef void* to_b_ih = data(gb_ih)
    cdef void* to_b_hh = data(gb_hh)
    cdef Py_ssize_t first, rows, walked = 0
    cdef gemm_epilogue add
    with nogil:
        run(s, begin_backward, &f, 1, 0)
        while True:
            next_stretch(s, walked, not reverse)
            first, rows = s.starts[s.begin], rows_of(s)
            # The last phase is the way back to the h that these steps start from.
            run(s, backward_step, &f, (s.end - s.begin) * s.phases_per_step + 1, s.projected)
            if need_x:
                product(
                    s, rows, s.inputs, width, f.d_input, stride, 1, from_input,
                    at(to_x, first * s.inputs, s.itemsize), NULL)
            add = finish(walked > 0, NULL)
            if need_weights:
                product(
                    s, width, s.inputs, rows, f.d_input, 1, stride,
                    at(inputs, first * s.inputs, s.itemsize), to_w_ih, &add)
                product(
                    s, width, s.projected, rows, f.d_recurrent, 1, stride,
                    at(f.before, first * s.projected, s.itemsize), to_w_hh, &add)
            if need_biases:
                sum_columns(s, rows, f.d_input, to_b_ih, &add)
                if kind == GRU:
                    sum_columns(s, rows, f.d_recurrent, to_b_hh, &add)
            walked += s.end - s.begin
            if walked == s.steps:
                break
        if need_biases and kind != GRU:
            memcpy(to_b_hh, to_b_ih, width * s.itemsize)
        if need_weights and f.d_projected:
            product(
                s, s.projected, s.hidden, s.rows, f.d_projected, 1, s.projected, f.whole,
                to_w_hr, NULL)
    return gx, dh, dc, gw_ih, gw_hh, gb_ih, gb_hh, gw_hr


cdef void product(
    const layer* s, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const void* a, Py_ssize_t a_stride,
    Py_ssize_t a_depth, const void* b, void* out, const gemm_epilogue* epilogue
) noexcept nogil:
    """out = a b, of which b lies row by row."""
    cdef gemm_operand left = strided(a, a_stride, a_depth), right = strided(b, 1, n)
    s.engine.product(m, n, k, &left, &right, out, n, epilogue)


cdef void sum_columns(
    const layer* s, Py_ssize_t rows, const void* x, void* out, const gemm_epilogue* epilogue
) noexcept nogil:
    """The sums of the columns: a product with a row of ones."""
    cdef float one_f32 = 1
    cdef double one_f64 = 1
    cdef gemm_operand ones = strided(
        <const void*>&one_f32 if s.itemsize == sizeof(float) else <const void*>&one_f64, 0, 0)
    cdef gemm_operand right = strided(x, 1, s.stride)
    s.engine.product(1, s.width, rows, &ones, &right, out, s.width, epilogue)


cdef struct visits:
    Py_ssize_t blocks
    int* count


cdef void visit(void* context, Py_ssize_t phase, Py_ssize_t number) noexcept nogil:
    cdef const visits* v = <const visits*>context
    cdef Py_ssize_t before
    for before in range((phase - 1) * v.blocks if phase else 0, phase * v.blocks):
        if v.count[before] != 1:
            return
    v.count[phase * v.blocks + number] += 1


def _visits(Py_ssize_t phases, Py_ssize_t blocks, Py_ssize_t members):
    """How often each block of each phase ran after all of the phase before; for the tests."""
    cdef visits v
    buffer = bytearray(phases * blocks * sizeof(int))
    v.blocks, v.count = blocks, <int*><char*>buffer
    with nogil:
        run_phases(visit, &v, phases, blocks, members, 0, parallel_for_lasting)
    return list(memoryview(buffer).cast("i"))
