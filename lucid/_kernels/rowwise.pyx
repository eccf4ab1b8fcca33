"""Row-wise kernels: reductions, softmax, class losses and normalisation, in float32 and float64.

Contiguous arrays run in the loops of `rowwise_body.h`, on several threads where that pays; other
layouts are copied once or, like other dtypes, go to NumPy. Results are ndarrays, 0-d included, and
the same for any number of threads; inputs are never changed.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from numpy cimport NPY_DOUBLE, NPY_FLOAT, NPY_INT64, ndarray

from lucid._kernels.arrays cimport empty, empty_like, ready, same_shape
from lucid._kernels.loops cimport CHUNK, UNLOCKED, range_loop, real_type, run_range
from lucid._kernels.strided cimport contiguous, real_contiguous, restored

cnp.import_array()

cdef extern from *:
    """
    #define LUCID_BODY "rowwise_body.h"
    #include "each_level.h"
    """
    enum:
        ROW_sum, ROW_segment_sum, ROW_collect, ROW_column_sum, ROW_amax, ROW_amin, ROW_column_amax
        ROW_column_amin, ROW_argmax, ROW_argmin, ROW_var_mean, ROW_softmax, ROW_log_softmax
        ROW_softmax_backward, ROW_log_softmax_backward, ROW_cross_entropy
        ROW_cross_entropy_backward, ROW_column_softmax, ROW_column_log_softmax
        ROW_column_softmax_backward, ROW_column_log_softmax_backward, ROW_column_cross_entropy
        ROW_column_cross_entropy_backward, ROW_nll_loss, ROW_nll_loss_backward, ROW_group_norm
        ROW_group_norm_backward, ROW_rms_norm, ROW_rms_norm_backward, ROW_batch_norm
        ROW_batch_norm_backward, ROW_short_batch_norm, ROW_short_batch_norm_backward
        ROW_prelu_backward
        TILE_ROWS, COLUMN_BLOCK, STRIP
    ctypedef struct row_args:
        const void* x
        const void* g
        const void* y
        const void* weight
        const void* bias
        void* out
        void* first
        void* second
        double* cells
        Py_ssize_t columns, inner, chunk
        double a, b
        const int64_t* target
        int64_t ignore_index
        double weight_sum
        Py_ssize_t g_stride, samples, groups, block
        bint own
        Py_ssize_t strip
    ctypedef void (*row_loop)(const row_args*, Py_ssize_t, Py_ssize_t) noexcept nogil
    const row_loop* ROW_LOOPS "LUCID_PICK(row_loops)"

cdef const row_loop* row_loops = ROW_LOOPS


# --- dispatch -------------------------------------------------------------------------------------

cdef row_args prepared(
    ndarray x, void* out, Py_ssize_t columns, Py_ssize_t inner=1
) noexcept:
    """Arguments for rows of (columns, inner) elements. Chunks depend on the size of a row alone."""
    cdef row_args args
    args.x = cnp.PyArray_DATA(x)
    args.g = args.y = args.weight = args.bias = args.first = args.second = args.target = NULL
    args.out = out
    args.columns = columns
    args.inner = inner
    args.a = args.b = 1
    args.groups = 1
    set_chunk(&args, CHUNK)
    return args


cdef void set_chunk(row_args* args, Py_ssize_t size) noexcept:
    """As many rows as hold `size` elements; whole tiles where rows are short."""
    args.chunk = size // max(args.columns * args.inner, 1)
    if args.chunk > TILE_ROWS:
        args.chunk -= args.chunk % TILE_ROWS
    args.chunk = max(args.chunk, 1)


cdef inline void run(int operation, int kind, const row_args* args, Py_ssize_t rows) noexcept:
    run_range(
        <range_loop>row_loops[2 * operation + kind], args, rows, args.chunk,
        rows * args.columns * args.inner,
    )


cdef inline void reduce(
    int by_row, int by_column, int kind, row_args* args, Py_ssize_t rows
) noexcept:
    """Over the columns of (rows, columns, inner), by blocks of the inner axis if there is one."""
    cdef Py_ssize_t elements = rows * args.columns * args.inner
    cdef Py_ssize_t block = args.columns * min(args.inner, <Py_ssize_t>COLUMN_BLOCK)
    if args.inner == 1:
        run(by_row, kind, args, rows)
    else:
        run_range(
            <range_loop>row_loops[2 * by_column + kind], args,
            rows * ((args.inner + COLUMN_BLOCK - 1) // COLUMN_BLOCK),
            max(CHUNK // max(block, 1), 1), elements,
        )


cdef void set_strips(row_args* args) noexcept:
    """Strips of a middle axis' positions, narrower where columns are many: each is a task then."""
    cdef Py_ssize_t columns = max(args.columns, 1)
    args.strip = max(min(CHUNK // columns, <Py_ssize_t>STRIP) & -64, 64)
    args.chunk = max(CHUNK // (columns * min(args.strip, max(args.inner, 1))), 1)


cdef inline Py_ssize_t count_parts(const row_args* args, Py_ssize_t outer) noexcept:
    """What the loops along an axis count: rows, or strips of a middle axis."""
    return outer if args.inner == 1 else outer * ((args.inner + args.strip - 1) // args.strip)


cdef inline void run_along(
    int by_row, int by_column, int kind, const row_args* args, Py_ssize_t outer
) noexcept:
    """Along the middle axis of (outer, columns, inner)."""
    run_range(
        <range_loop>row_loops[2 * (by_row if args.inner == 1 else by_column) + kind], args,
        count_parts(args, outer), args.chunk, outer * max(args.columns, 1) * args.inner,
    )


cdef ndarray cells_for(row_args* args, Py_ssize_t rows, Py_ssize_t each):
    """`each` float64 cells per chunk."""
    cdef cnp.npy_intp[2] shape = [(rows + args.chunk - 1) // args.chunk, each]
    cdef ndarray cells = empty(2, shape, NPY_DOUBLE)
    args.cells = <double*>cnp.PyArray_DATA(cells)
    return cells


cdef ndarray collected(ndarray cells, int kind, Py_ssize_t start, Py_ssize_t stop):
    """The sum over chunks of cells `start` to `stop`, in the real type `kind`."""
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(cells)
    cdef cnp.npy_intp length = stop - start
    cdef ndarray out = empty(1, &length, NPY_DOUBLE if kind else NPY_FLOAT)
    cdef row_args args = prepared(cells, cnp.PyArray_DATA(out), shape[0], shape[1])
    args.cells = <double*>cnp.PyArray_DATA(cells) + start
    row_loops[2 * ROW_collect + kind](&args, 0, length)
    return out


# --- operands -------------------------------------------------------------------------------------

cdef inline int readable(x) noexcept:
    """The real type of an array that the loops can read as it is, else -1."""
    cdef int kind = real_type(<ndarray>x) if type(x) is ndarray else -1
    return kind if kind >= 0 and ready(<ndarray>x, cnp.PyArray_TYPE(<ndarray>x)) else -1


cdef ndarray alike(y, ndarray x, str name):
    """`y` as an array of the shape and dtype of `x`."""
    cdef ndarray array
    if type(y) is ndarray and ready(<ndarray>y, cnp.PyArray_TYPE(x)):
        array = y
    elif type(y) is ndarray:
        array = contiguous(y, cnp.PyArray_TYPE(x))
    else:
        array = np.array(y, dtype=x.dtype, order="C")
    if not same_shape(array, x):
        raise ValueError(f"{name} must have shape {(<object>x).shape}; got {np.shape(y)}")
    return array


cdef ndarray vector(values, int number, Py_ssize_t length, str name):
    """`values`, a number for each of `length` columns or rows, in dtype `number`; or None."""
    if values is None:
        return None
    if type(values) is not ndarray or not ready(<ndarray>values, number):
        values = np.array(values, dtype=cnp.PyArray_DescrFromType(number), order="C")
    if cnp.PyArray_NDIM(<ndarray>values) != 1 or cnp.PyArray_SIZE(<ndarray>values) != length:
        raise ValueError(f"{name} must have shape ({length},); got {np.shape(values)}")
    return values


cdef inline void* data_or_null(ndarray x) noexcept:
    return NULL if x is None else cnp.PyArray_DATA(x)


cdef inline Py_ssize_t last_axis(ndarray x) noexcept:
    cdef int ndim = cnp.PyArray_NDIM(x)
    return cnp.PyArray_DIMS(x)[ndim - 1] if ndim else 1


cdef inline Py_ssize_t row_count(ndarray x) noexcept:
    """How many rows the last axis leaves; none of an empty array."""
    return cnp.PyArray_SIZE(x) // max(last_axis(x), 1)


# --- reductions -----------------------------------------------------------------------------------

# Reducing the middle axis of (outer, count, inner), where `ndim` and `shape` are the result's.
cdef struct Reduction:
    Py_ssize_t outer, count, inner
    int ndim
    cnp.npy_intp[64] shape


cdef bint plan(ndarray x, axis, bint keepdims, Reduction* todo) except -1:
    """Whether the axes exist, are adjacent and hold anything: then `todo` says what to do."""
    cdef int ndim = cnp.PyArray_NDIM(x), first = ndim, last = -1, count = 0, i
    cdef Py_ssize_t one
    cdef unsigned long long reduced = 0
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    if axis is None:
        first, last, count = 0, ndim - 1, ndim
    else:
        for item in axis if type(axis) is tuple else (axis,):
            one = item
            if one < 0:
                one += ndim
            if not 0 <= one < ndim or reduced >> one & 1:
                return False
            reduced |= 1ULL << one
            first, last, count = min(first, <int>one), max(last, <int>one), count + 1
        if count == 0 or last - first + 1 != count:
            return False
    todo.outer = todo.count = todo.inner = 1
    todo.ndim = 0
    for i in range(ndim):
        if first <= i <= last:
            todo.count *= shape[i]
            if not keepdims:
                continue
            todo.shape[todo.ndim] = 1
        else:
            if i < first:
                todo.outer *= shape[i]
            else:
                todo.inner *= shape[i]
            todo.shape[todo.ndim] = shape[i]
        todo.ndim += 1
    return todo.count > 0


cdef ndarray total(x, axis, bint keepdims, bint average):
    cdef ndarray out
    cdef int kind = readable(x)
    cdef Reduction todo
    if kind < 0 or not plan(x, axis, keepdims, &todo) or todo.count == 0:
        with np.errstate(all="ignore"):
            if average and np.size(x):
                return np.asarray(np.mean(x, axis=axis, keepdims=keepdims))
            out = np.asarray(np.sum(x, axis=axis, keepdims=keepdims))
            return np.asarray(out / out.dtype.type(0)) if average else out  # the mean of nothing
    cdef ndarray cells
    out = empty(todo.ndim, todo.shape, cnp.PyArray_TYPE(<ndarray>x))
    cdef row_args args
    if todo.outer == 1 and todo.inner == 1 and todo.count > CHUNK:
        args = prepared(x, NULL, 1)
        cells = cells_for(&args, todo.count, 1)
        run(ROW_segment_sum, kind, &args, todo.count)
        args.columns = cnp.PyArray_SIZE(cells)
        args.out = cnp.PyArray_DATA(out)
        args.a = todo.count if average else 1
        row_loops[2 * ROW_collect + kind](&args, 0, 1)
    else:
        args = prepared(x, cnp.PyArray_DATA(out), todo.count, todo.inner)
        args.a = todo.count if average else 1
        reduce(ROW_sum, ROW_column_sum, kind, &args, todo.outer)
    return out


def sum(x, axis=None, bint keepdims=False): return total(x, axis, keepdims, False)
def mean(x, axis=None, bint keepdims=False): return total(x, axis, keepdims, True)


cdef ndarray extreme(int by_row, int by_column, x, axis, bint keepdims):
    cdef int kind = readable(x)
    cdef Reduction todo
    if kind < 0 or not plan(x, axis, keepdims, &todo) or todo.count == 0:
        return np.asarray((np.amax if by_row == ROW_amax else np.amin)(x, axis, keepdims=keepdims))
    cdef ndarray out = empty(todo.ndim, todo.shape, cnp.PyArray_TYPE(<ndarray>x))
    cdef row_args args = prepared(x, cnp.PyArray_DATA(out), todo.count, todo.inner)
    reduce(by_row, by_column, kind, &args, todo.outer)
    return out


def amax(x, axis=None, bint keepdims=False):
    return extreme(ROW_amax, ROW_column_amax, x, axis, keepdims)


def amin(x, axis=None, bint keepdims=False):
    return extreme(ROW_amin, ROW_column_amin, x, axis, keepdims)


cdef ndarray extreme_index(int operation, x, axis, bint keepdims):
    cdef int kind = readable(x)
    cdef Reduction todo
    if (
        kind < 0 or type(axis) is tuple or not plan(x, axis, keepdims, &todo)
        or todo.inner != 1 or todo.count == 0
    ):
        function = np.argmax if operation == ROW_argmax else np.argmin
        return np.asarray(function(x, axis, keepdims=keepdims))
    cdef ndarray out = empty(todo.ndim, todo.shape, NPY_INT64)
    cdef row_args args = prepared(x, cnp.PyArray_DATA(out), todo.count)
    run(operation, kind, &args, todo.outer)
    return out


def argmax(x, axis=None, bint keepdims=False):
    return extreme_index(ROW_argmax, x, axis, keepdims)


def argmin(x, axis=None, bint keepdims=False):
    return extreme_index(ROW_argmin, x, axis, keepdims)


cdef var_mean_elsewhere(x, axis, bint keepdims, double correction):
    with np.errstate(all="ignore"):
        average = np.mean(x, axis=axis, keepdims=True)
        squares = np.sum(np.square(np.abs(x - average)), axis=axis, keepdims=keepdims)
        freedom = np.maximum(x.size / np.maximum(average.size, 1) - correction, 0)
        var = np.asarray(squares / squares.dtype.type(freedom))
        return var, np.reshape(average, np.shape(var))


def var_mean(x, axis=None, bint keepdims=False, double correction=1.0):
    cdef int kind = readable(x)
    cdef Reduction todo
    if (
        kind < 0 or not plan(x, axis, keepdims, &todo)
        or todo.inner != 1 or todo.count <= correction
    ):
        return var_mean_elsewhere(x, axis, keepdims, correction)
    cdef ndarray var = empty(todo.ndim, todo.shape, cnp.PyArray_TYPE(<ndarray>x))
    cdef ndarray average = empty_like(var)
    cdef row_args args = prepared(x, cnp.PyArray_DATA(var), todo.count)
    args.first = cnp.PyArray_DATA(average)
    args.a = todo.count - correction
    run(ROW_var_mean, kind, &args, todo.outer)
    return var, average


# --- softmax --------------------------------------------------------------------------------------

cdef enum:
    SHORT_INNER = 8     # positions; with fewer, columns are brought together first


cdef Py_ssize_t split(ndarray x, int axis, row_args* args) except -1:
    """Arguments for `x` as (outer, columns, inner) around the axis; returns outer."""
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    cdef Py_ssize_t outer = 1, columns = 1, inner = 1
    if not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ValueError(f"axis {axis} is out of range for {ndim} dimensions")
    if axis < 0:
        axis += ndim
    for i in range(ndim):
        if i < axis:
            outer *= shape[i]
        elif i == axis:
            columns = shape[i]
        else:
            inner *= shape[i]
    args[0] = prepared(x, NULL, columns, inner)
    if inner != 1:
        set_strips(args)
    return outer


cdef ndarray turned(ndarray x, Py_ssize_t outer, Py_ssize_t first, Py_ssize_t second):
    """(outer, first, second) elements as (outer, second, first), contiguous."""
    return contiguous(
        cnp.PyArray_SwapAxes((<object>x).reshape(outer, first, second), 1, 2), cnp.PyArray_TYPE(x))


cdef ndarray along(int by_row, int by_column, x, int axis):
    cdef ndarray rows = real_contiguous(x), out
    cdef row_args args
    cdef Py_ssize_t outer = split(rows, axis, &args)
    if 1 < args.inner < SHORT_INNER:
        out = along(by_row, by_column, turned(rows, outer, args.columns, args.inner), -1)
        out = turned(out, outer, args.inner, args.columns).reshape((<object>rows).shape)
    else:
        out = empty_like(rows)
        args.out = cnp.PyArray_DATA(out)
        if cnp.PyArray_SIZE(rows):
            run_along(by_row, by_column, real_type(rows), &args, outer)
    return out if rows is x else restored(out, x)


def softmax(x, int axis=-1): return along(ROW_softmax, ROW_column_softmax, x, axis)
def log_softmax(x, int axis=-1): return along(ROW_log_softmax, ROW_column_log_softmax, x, axis)


cdef ndarray along_backward(int by_row, int by_column, g, y, int axis):
    cdef ndarray rows = real_contiguous(y), incoming = alike(g, rows, "g"), out
    cdef row_args args
    cdef Py_ssize_t outer = split(rows, axis, &args)
    if 1 < args.inner < SHORT_INNER:
        out = along_backward(
            by_row, by_column, turned(incoming, outer, args.columns, args.inner),
            turned(rows, outer, args.columns, args.inner), -1,
        )
        out = turned(out, outer, args.inner, args.columns).reshape((<object>rows).shape)
    else:
        out = empty_like(rows)
        args.y, args.g = args.x, cnp.PyArray_DATA(incoming)
        args.out = cnp.PyArray_DATA(out)
        if cnp.PyArray_SIZE(rows):
            run_along(by_row, by_column, real_type(rows), &args, outer)
    return out if rows is y else restored(out, y)


def softmax_backward(g, out, int axis=-1):
    return along_backward(ROW_softmax_backward, ROW_column_softmax_backward, g, out, axis)


def log_softmax_backward(g, out, int axis=-1):
    return along_backward(ROW_log_softmax_backward, ROW_column_log_softmax_backward, g, out, axis)


# --- cross-entropy --------------------------------------------------------------------------------

cdef enum:
    NONE = 0
    MEAN = 1
    SUM = 2


cdef inline int reduction_code(str reduction) except -1:
    if reduction == "mean":
        return MEAN
    if reduction == "sum":
        return SUM
    if reduction == "none":
        return NONE
    raise ValueError(f"reduction must be 'none', 'mean' or 'sum'; got {reduction!r}")


cdef ndarray class_indices(target, ndarray logits):
    """A class for each position: of the logits' shape without the classes, dimension 1 or the only
    one."""
    cdef int ndim = cnp.PyArray_NDIM(logits), i
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(logits)
    if type(target) is not ndarray or not ready(<ndarray>target, NPY_INT64):
        if np.asarray(target).dtype.kind not in "iu":
            raise TypeError(f"target must hold integers, got {np.asarray(target).dtype}")
        target = np.array(target, dtype=np.int64, order="C")
    cdef cnp.npy_intp* found = cnp.PyArray_DIMS(<ndarray>target)
    cdef bint fits = ndim > 0 and cnp.PyArray_NDIM(<ndarray>target) == ndim - 1
    if fits:
        for i in range(ndim - 1):
            fits &= found[i] == shape[i if i == 0 else i + 1]
    if not fits:
        if ndim == 0:
            raise ValueError("logits must have shape (N, C, ...) or (C,); got ()")
        whole = (<object>logits).shape
        raise ValueError(
            f"target must have shape {(*whole[:min(ndim - 1, 1)], *whole[2:])}, a class for each "
            f"position of logits {whole}; got {target.shape}"
        )
    return target


cdef Py_ssize_t classified(
    ndarray logits, ndarray target, ndarray weight, int64_t ignore_index, double smoothing,
    row_args* args
) except -1:
    """The arguments that forward and backward share, of (outer, classes, inner); returns outer."""
    cdef Py_ssize_t outer = split(logits, min(cnp.PyArray_NDIM(logits) - 1, 1), args), i
    args.target = <const int64_t*>cnp.PyArray_DATA(target)
    args.weight = data_or_null(weight)
    args.ignore_index = ignore_index
    args.a = smoothing
    args.weight_sum = args.columns
    if args.weight != NULL and smoothing != 0:
        args.weight_sum = 0
        for i in range(args.columns):
            if real_type(logits):
                args.weight_sum += (<const double*>args.weight)[i]
            else:
                args.weight_sum += (<const float*>args.weight)[i]
    return outer


cdef inline Py_ssize_t class_count(ndarray logits) noexcept:
    return cnp.PyArray_DIM(logits, min(cnp.PyArray_NDIM(logits) - 1, 1))


cdef int check_target(ndarray target, double position, Py_ssize_t classes) except -1:
    if position >= 0:
        wrong = (<const int64_t*>cnp.PyArray_DATA(target))[<Py_ssize_t>position]
        raise IndexError(f"target {wrong} is out of range for {classes} classes")
    return 0


cdef ndarray loss_array(ndarray x, ndarray classes, int code, row_args* args):
    """The loss, which the loops fill where it is not reduced."""
    cdef bint reduced = code != NONE
    cdef ndarray out = empty(
        0 if reduced else cnp.PyArray_NDIM(classes), cnp.PyArray_DIMS(classes), cnp.PyArray_TYPE(x))
    args.out = NULL if reduced else cnp.PyArray_DATA(out)
    return out


cdef double finish_loss(
    ndarray out, ndarray classes, const row_args* args, Py_ssize_t count, int code
) except? -1:
    """Adds the cells up: the reduced loss to `out`; returns the sum of the weights."""
    cdef double loss = 0, total_weight = 0
    cdef Py_ssize_t i
    for i in range(count):
        check_target(classes, args.cells[3 * i + 2], args.columns)
        loss += args.cells[3 * i]
        total_weight += args.cells[3 * i + 1]
    if code == MEAN:
        loss /= total_weight
    if code != NONE:
        if real_type(out):
            (<double*>cnp.PyArray_DATA(out))[0] = loss
        else:
            (<float*>cnp.PyArray_DATA(out))[0] = <float>loss
    return total_weight


cdef ndarray loss_gradient(
    g, int number, ndarray classes, double total_weight, int code, row_args* args
):
    """The gradient of the loss, readable: one number, or one for each position."""
    cdef ndarray incoming
    if type(g) is ndarray and ready(<ndarray>g, number):
        incoming = g
    else:
        incoming = np.array(g, dtype=np.float64 if number == NPY_DOUBLE else np.float32, order="C")
    if cnp.PyArray_SIZE(incoming) != (cnp.PyArray_SIZE(classes) if code == NONE else 1):
        raise ValueError(f"g must have the shape of the loss; got {np.shape(g)}")
    args.g = cnp.PyArray_DATA(incoming)
    args.g_stride = 1 if code == NONE else 0
    args.b = 1 / total_weight if code == MEAN else 1
    return incoming


def cross_entropy(
    logits, target, weight=None, int64_t ignore_index=-100, double label_smoothing=0.0,
    str reduction="mean",
):
    cdef int code = reduction_code(reduction)
    cdef ndarray x = real_contiguous(logits), classes = class_indices(target, x)
    cdef ndarray weights = vector(weight, cnp.PyArray_TYPE(x), class_count(x), "weight")
    cdef row_args args
    cdef Py_ssize_t outer = classified(
        x, classes, weights, ignore_index, label_smoothing, &args)
    cdef Py_ssize_t parts, count
    cdef cnp.npy_intp[2] kept_shape = [2, outer * args.inner]
    cdef ndarray kept, out, _cells
    cdef double total_weight
    cdef double[3] cell
    if 1 < args.inner < SHORT_INNER:
        out, kept, total_weight = cross_entropy(
            turned(x, outer, args.columns, args.inner).reshape(kept_shape[1], args.columns),
            classes.reshape(-1), weights, ignore_index, label_smoothing, reduction,
        )
        if code == NONE:
            out = out.reshape((<object>classes).shape)
        return (out if x is logits else restored(out, logits)), kept, total_weight
    kept = empty(2, kept_shape, cnp.PyArray_TYPE(x))
    out = loss_array(x, classes, code, &args)
    args.first = cnp.PyArray_DATA(kept)
    args.second = <char*>args.first + kept_shape[1] * cnp.PyArray_ITEMSIZE(x)
    parts = count_parts(&args, outer)
    count = (parts + args.chunk - 1) // args.chunk
    if count > 1:
        _cells = cells_for(&args, parts, 3)
    else:
        args.cells = cell
    run_along(ROW_cross_entropy, ROW_column_cross_entropy, real_type(x), &args, outer)
    total_weight = finish_loss(out, classes, &args, count, code)
    return (out if x is logits else restored(out, logits)), kept, total_weight


def cross_entropy_backward(
    g, logits, target, kept, double total_weight, weight=None, int64_t ignore_index=-100,
    double label_smoothing=0.0, str reduction="mean",
):
    cdef int code = reduction_code(reduction)
    cdef ndarray x = real_contiguous(logits), classes = class_indices(target, x)
    cdef ndarray weights = vector(weight, cnp.PyArray_TYPE(x), class_count(x), "weight")
    cdef int number = cnp.PyArray_TYPE(x)
    cdef row_args args
    cdef Py_ssize_t outer = classified(
        x, classes, weights, ignore_index, label_smoothing, &args)
    cdef Py_ssize_t positions = outer * args.inner, parts, count, i
    cdef ndarray statistics = kept, incoming, out, _cells
    cdef double[1] cell
    if not ready(statistics, number) or cnp.PyArray_SIZE(statistics) != 2 * positions:
        raise ValueError("kept must be what cross_entropy returned for these logits")
    incoming = loss_gradient(g, number, classes, total_weight, code, &args)
    if 1 < args.inner < SHORT_INNER:
        out = cross_entropy_backward(
            incoming, turned(x, outer, args.columns, args.inner).reshape(positions, args.columns),
            classes.reshape(-1), kept, total_weight, weights, ignore_index, label_smoothing,
            reduction,
        )
        out = turned(out, outer, args.inner, args.columns).reshape((<object>x).shape)
        return out if x is logits else restored(out, logits)
    out = empty_like(x)
    args.out = cnp.PyArray_DATA(out)
    args.first = cnp.PyArray_DATA(statistics)
    args.second = <char*>args.first + positions * cnp.PyArray_ITEMSIZE(x)
    parts = count_parts(&args, outer)
    count = (parts + args.chunk - 1) // args.chunk
    if count > 1:
        _cells = cells_for(&args, parts, 1)
    else:
        args.cells = cell
    run_along(
        ROW_cross_entropy_backward, ROW_column_cross_entropy_backward, real_type(x), &args, outer)
    for i in range(count):
        check_target(classes, args.cells[i], args.columns)
    return out if x is logits else restored(out, logits)


def nll_loss(logs, target, weight=None, int64_t ignore_index=-100, str reduction="mean"):
    cdef int code = reduction_code(reduction)
    cdef ndarray x = real_contiguous(logs), classes = class_indices(target, x)
    cdef ndarray weights = vector(weight, cnp.PyArray_TYPE(x), class_count(x), "weight")
    cdef row_args args
    cdef Py_ssize_t outer = classified(x, classes, weights, ignore_index, 0, &args)
    cdef ndarray out = loss_array(x, classes, code, &args), cells
    args.chunk = max(CHUNK // max(args.inner, 1), 1)
    cells = cells_for(&args, outer, 3)
    run_range(
        <range_loop>row_loops[2 * ROW_nll_loss + real_type(x)], &args, outer, args.chunk,
        outer * args.inner,
    )
    total_weight = finish_loss(out, classes, &args, cnp.PyArray_DIM(cells, 0), code)
    return (out if x is logs else restored(out, logs)), total_weight


def nll_loss_backward(
    g, shape, target, double total_weight, weight=None, int64_t ignore_index=-100,
    str reduction="mean",
):
    cdef int code = reduction_code(reduction), i
    cdef ndarray slopes = real_contiguous(g), out, classes, weights, cells
    cdef cnp.npy_intp[64] lengths
    cdef row_args args
    cdef Py_ssize_t outer
    if len(shape) > 64:
        raise ValueError(f"shape must have at most 64 dimensions; got {len(shape)}")
    for i in range(len(shape)):
        lengths[i] = shape[i]
    out = empty(len(shape), lengths, cnp.PyArray_TYPE(slopes))
    classes = class_indices(target, out)
    weights = vector(weight, cnp.PyArray_TYPE(out), class_count(out), "weight")
    outer = classified(out, classes, weights, ignore_index, 0, &args)
    slopes = loss_gradient(slopes, cnp.PyArray_TYPE(out), classes, total_weight, code, &args)
    args.out = cnp.PyArray_DATA(out)
    set_chunk(&args, CHUNK)
    cells = cells_for(&args, outer, 1)
    run_range(
        <range_loop>row_loops[2 * ROW_nll_loss_backward + real_type(out)], &args, outer, args.chunk,
        outer * max(args.columns, 1) * args.inner,
    )
    for i in range(cnp.PyArray_DIM(cells, 0)):
        check_target(classes, (<double*>cnp.PyArray_DATA(cells))[i], args.columns)
    return restored(out, g)


# --- normalisation --------------------------------------------------------------------------------

cdef enum:
    # The sums over a plane end in sums across lanes. Shorter planes are faster walked as columns,
    # added up over samples, although group normalisation has to read these once more for that.
    GROUP_PLANE = 128           # bytes
    BATCH_PLANE = 65            # elements
    LINE = 16                   # columns that share a cache line


cdef inline ndarray statistics(Py_ssize_t count):
    cdef cnp.npy_intp length = count
    return empty(1, &length, NPY_DOUBLE)


cdef set_affine(row_args* args, ndarray x, Py_ssize_t channels, weight, bias):
    """Points to weight and bias, and returns what owns them."""
    cdef ndarray scale = vector(weight, cnp.PyArray_TYPE(x), channels, "weight")
    cdef ndarray shift = vector(bias, cnp.PyArray_TYPE(x), channels, "bias")
    args.weight, args.bias = data_or_null(scale), data_or_null(shift)
    return scale, shift


cdef set_statistics(row_args* args, Py_ssize_t count, mean, var, double eps):
    """Points to a mean and a variance for each of `count`, and returns what owns them."""
    cdef ndarray means = vector(mean, NPY_DOUBLE, count, "mean")
    cdef ndarray variances = vector(var, NPY_DOUBLE, count, "var")
    args.first, args.second = data_or_null(means), cnp.PyArray_DATA(variances)
    args.a = eps
    return means, variances


cdef normalised(x, ndarray rows, row_args* args, weight, bias, double eps):
    """Of x, given as rows, and arguments that say how long these are and which make a sample."""
    cdef ndarray out = empty_like(rows)
    cdef Py_ssize_t size = args.columns * args.inner
    cdef Py_ssize_t height = cnp.PyArray_SIZE(rows) // max(size, 1)
    _affine = set_affine(args, rows, args.groups * args.columns, weight, bias)
    mean, var = set_statistics(args, height, statistics(height), statistics(height), eps)
    args.out = cnp.PyArray_DATA(out)
    run(ROW_group_norm, real_type(rows), args, height)
    return (out if rows is x else restored(out, x)), mean, var


cdef normalised_backward(
    g, x, ndarray rows, row_args* args, mean, var, weight, double eps
):
    cdef ndarray incoming = alike(g, rows, "g"), out = empty_like(rows)
    cdef Py_ssize_t size = args.columns * args.inner, channels = args.groups * args.columns
    cdef Py_ssize_t height = cnp.PyArray_SIZE(rows) // max(size, 1)
    cdef int kind = real_type(rows)
    _affine = set_affine(args, rows, channels, weight, None)
    _statistics = set_statistics(args, height, mean, var, eps)
    args.g, args.out = cnp.PyArray_DATA(incoming), cnp.PyArray_DATA(out)
    args.samples = height // args.groups
    # Blocks leave cells behind, one per channel: rather few where that is as much as a row.
    args.block = 1 if args.inner > 1 else max(2 * CHUNK // max(size, 1), 1)
    cdef cnp.npy_intp[2] shape = [(args.samples + args.block - 1) // args.block, 2 * channels]
    cdef ndarray cells = empty(2, shape, NPY_DOUBLE)
    args.cells = <double*>cnp.PyArray_DATA(cells)
    run_range(
        <range_loop>row_loops[2 * ROW_group_norm_backward + kind], args, shape[0] * args.groups,
        max(CHUNK // max(size * min(args.block, args.samples), 1), 1), cnp.PyArray_SIZE(rows),
    )
    return (
        out if rows is x else restored(out, x),
        collected(cells, kind, 0, channels), collected(cells, kind, channels, 2 * channels),
    )


def layer_norm(x, weight=None, bias=None, double eps=1e-5):
    cdef ndarray rows = real_contiguous(x)
    cdef row_args args = prepared(rows, NULL, last_axis(rows))
    return normalised(x, rows, &args, weight, bias, eps)


def layer_norm_backward(g, x, mean, var, weight=None, double eps=1e-5):
    cdef ndarray rows = real_contiguous(x)
    cdef row_args args = prepared(rows, NULL, last_axis(rows))
    return normalised_backward(g, x, rows, &args, mean, var, weight, eps)


cdef row_args group_args(ndarray x, Py_ssize_t groups) except *:
    """Of (N, C, ...). The elements of short planes become channels: see `spread`."""
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    if cnp.PyArray_NDIM(x) < 2:
        raise ValueError(f"x must have shape (N, C, ...); got {(<object>x).shape}")
    if groups < 1 or shape[1] % groups:
        raise ValueError(f"groups must divide the {shape[1]} channels; got {groups}")
    cdef Py_ssize_t plane = cnp.PyArray_SIZE(x) // max(shape[0] * shape[1], 1)
    cdef row_args args = prepared(x, NULL, shape[1] // groups, plane)
    args.groups = groups
    if plane * cnp.PyArray_ITEMSIZE(x) < GROUP_PLANE and cnp.PyArray_SIZE(x) >= UNLOCKED:
        args.columns *= plane
        args.inner = 1
    return args


cdef spread(values, ndarray x, const row_args* args, str name):
    """A number for each channel of x as one for each of the channels of `group_args`."""
    cdef Py_ssize_t channels = cnp.PyArray_DIM(x, 1), count = args.groups * args.columns
    if values is None or count == channels:
        return values
    return (<object>vector(values, cnp.PyArray_TYPE(x), channels, name)).repeat(count // channels)


def group_norm(x, Py_ssize_t groups, weight=None, bias=None, double eps=1e-5):
    cdef ndarray rows = real_contiguous(x)
    cdef row_args args = group_args(rows, groups)
    return normalised(
        x, rows, &args, spread(weight, rows, &args, "weight"), spread(bias, rows, &args, "bias"),
        eps,
    )


def group_norm_backward(
    g, x, Py_ssize_t groups, mean, var, weight=None, double eps=1e-5
):
    cdef ndarray rows = real_contiguous(x)
    cdef row_args args = group_args(rows, groups)
    cdef Py_ssize_t channels = cnp.PyArray_DIM(rows, 1)
    out, to_weight, to_bias = normalised_backward(
        g, x, rows, &args, mean, var, spread(weight, rows, &args, "weight"), eps)
    if args.groups * args.columns != channels:
        shape = channels, args.groups * args.columns // channels
        to_weight, to_bias = sum(to_weight.reshape(shape), 1), sum(to_bias.reshape(shape), 1)
    return out, to_weight, to_bias


cdef row_args channel_args(ndarray x) except *:
    """Of (N, C, ...)."""
    if cnp.PyArray_NDIM(x) < 2:
        raise ValueError(f"x must have shape (N, C, ...); got {(<object>x).shape}")
    cdef cnp.npy_intp* shape = cnp.PyArray_DIMS(x)
    cdef row_args args = prepared(
        x, NULL, cnp.PyArray_SIZE(x) // max(shape[0] * shape[1], 1), shape[1])
    args.samples = shape[0]
    return args


cdef void run_channels(int by_plane, int by_column, int kind, row_args* args) noexcept:
    """By channels, at least so many that short planes fill whole cache lines."""
    cdef bint few = 0 < args.columns < min(<Py_ssize_t>BATCH_PLANE, 4 * args.samples + 1)
    cdef Py_ssize_t size = args.samples * args.columns
    run_range(
        <range_loop>row_loops[2 * (by_column if few else by_plane) + kind], args, args.inner,
        max(CHUNK // max(size, 1), LINE // args.columns if few else 1), size * args.inner,
    )


def batch_norm(x, weight=None, bias=None, double eps=1e-5, mean=None, var=None):
    cdef ndarray rows = real_contiguous(x), out = empty_like(rows)
    cdef row_args args = channel_args(rows)
    _affine = set_affine(&args, rows, args.inner, weight, bias)
    args.own = mean is None
    if args.own:
        mean, var = statistics(args.inner), statistics(args.inner)
    mean, var = set_statistics(&args, args.inner, mean, var, eps)
    args.out = cnp.PyArray_DATA(out)
    run_channels(ROW_batch_norm, ROW_short_batch_norm, real_type(rows), &args)
    return (out if rows is x else restored(out, x)), mean, var


def batch_norm_backward(g, x, mean, var, weight, double eps, bint own):
    cdef ndarray rows = real_contiguous(x), incoming = alike(g, rows, "g"), out = empty_like(rows)
    cdef row_args args = channel_args(rows)
    cdef cnp.npy_intp[2] shape = [1, 2 * args.inner]
    cdef ndarray sums = empty(2, shape, NPY_DOUBLE)
    cdef int kind = real_type(rows)
    _affine = set_affine(&args, rows, args.inner, weight, None)
    _statistics = set_statistics(&args, args.inner, mean, var, eps)
    args.g, args.out = cnp.PyArray_DATA(incoming), cnp.PyArray_DATA(out)
    args.cells, args.own = <double*>cnp.PyArray_DATA(sums), own
    run_channels(ROW_batch_norm_backward, ROW_short_batch_norm_backward, kind, &args)
    return (
        out if rows is x else restored(out, x),
        collected(sums, kind, 0, args.inner), collected(sums, kind, args.inner, shape[1]),
    )


def rms_norm(x, weight=None, double eps=1e-6):
    cdef ndarray rows = real_contiguous(x), out = empty_like(rows)
    cdef ndarray square = statistics(row_count(rows))
    cdef row_args args = prepared(rows, cnp.PyArray_DATA(out), last_axis(rows))
    _affine = set_affine(&args, rows, args.columns, weight, None)
    args.second, args.a = cnp.PyArray_DATA(square), eps
    run(ROW_rms_norm, real_type(rows), &args, row_count(rows))
    return (out if rows is x else restored(out, x)), square


def rms_norm_backward(g, x, square, weight=None, double eps=1e-6):
    cdef ndarray rows = real_contiguous(x), incoming = alike(g, rows, "g"), out = empty_like(rows)
    cdef Py_ssize_t height = row_count(rows)
    cdef row_args args = prepared(rows, cnp.PyArray_DATA(out), last_axis(rows))
    cdef int kind = real_type(rows)
    set_chunk(&args, 2 * CHUNK)     # chunks leave cells behind: rather few
    cdef ndarray cells = cells_for(&args, height, args.columns)
    _affine = set_affine(&args, rows, args.columns, weight, None)
    _statistics = set_statistics(&args, height, None, square, eps)
    args.g = cnp.PyArray_DATA(incoming)
    run(ROW_rms_norm_backward, kind, &args, height)
    return out if rows is x else restored(out, x), collected(cells, kind, 0, args.columns)


# --- parametric rectifier -------------------------------------------------------------------------

cdef enum:
    SHORT_PLANE = 8     # elements; with fewer a channel is gathered first


cdef ndarray by_channel(ndarray x):
    """(N, C, ...) as (C, N, ...), contiguous: channels with one plane."""
    return contiguous(cnp.PyArray_SwapAxes(x, 0, 1), cnp.PyArray_TYPE(x))


def prelu_backward(g, x, weight):
    cdef ndarray rows = real_contiguous(x), incoming = alike(g, rows, "g")
    cdef ndarray slopes = vector(weight, cnp.PyArray_TYPE(rows), np.size(weight), "weight")
    cdef Py_ssize_t channels = cnp.PyArray_SIZE(slopes)
    if channels != 1 and (cnp.PyArray_NDIM(rows) < 2 or cnp.PyArray_DIM(rows, 1) != channels):
        raise ValueError(
            f"weight must be one number or one for each channel of {(<object>rows).shape}; "
            f"got {channels}")
    cdef cnp.npy_intp height = row_count(rows)
    cdef bint gathered = False
    if channels == 0:
        return restored(empty_like(rows), x), np.empty(0, x.dtype)
    if channels > 1:
        height = cnp.PyArray_DIM(rows, 0) * channels
        gathered = height > channels and cnp.PyArray_SIZE(rows) < SHORT_PLANE * height
    if gathered:
        rows, incoming = by_channel(rows), by_channel(incoming)
        height = channels
    cdef ndarray out = empty_like(rows), cells = empty(1, &height, NPY_DOUBLE)
    cdef row_args args = prepared(
        rows, cnp.PyArray_DATA(out), cnp.PyArray_SIZE(rows) // max(height, 1))
    args.g, args.weight = cnp.PyArray_DATA(incoming), cnp.PyArray_DATA(slopes)
    args.inner, args.cells = channels, <double*>cnp.PyArray_DATA(cells)
    run_range(
        <range_loop>row_loops[2 * ROW_prelu_backward + real_type(rows)], &args, height, args.chunk,
        cnp.PyArray_SIZE(rows),
    )
    if gathered:
        out = by_channel(out)
    return restored(out, x), cells.reshape(-1, channels).sum(0).astype(x.dtype)
