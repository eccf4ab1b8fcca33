/* strided.h: copies between two arrays of one shape and any strides.
 *
 * `strided_order` brings the axes into the order of the target's memory and merges those that are
 * one run in both arrays. `strided_divide` then cuts two axes into blocks: the one along which the
 * target is dense and, where that is another one, the one along which the source is, so that a
 * transpose reads and writes whole cache lines. Tasks are fixed runs of blocks.
 *
 * `strided_embed` is a copy into an array that is zero elsewhere: it clears the target a few rows
 * at a time, and writes them while they are in the cache.
 */
#ifndef LUCID_STRIDED_H
#define LUCID_STRIDED_H

#include <Python.h>
#include <stdint.h>
#include <string.h>
#include "vectors.h"

enum {
    STRIDED_AXES = 64 + 2,
    STRIDED_RUN = 8,         /* elements that are better copied as a run than one by one */
    STRIDED_BLOCK = 1 << 14, /* bytes of a block that is transposed: it stays in the first cache */
    STRIDED_SIDE = 1 << 7,   /* of such a block with elements of one byte */
    STRIDED_TASK = 1 << 16,  /* bytes that a thread copies at a time: some 10 us */
};

/* Strides are in bytes. */
typedef struct {
    Py_ssize_t length, out, x;
} strided_axis;

typedef void (*strided_block)(char *, const char *, Py_ssize_t, Py_ssize_t, const strided_axis *,
                              const strided_axis *);

typedef struct {
    char *out;
    const char *x;
    Py_ssize_t size; /* of an element */
    int ndim;
    strided_axis axis[STRIDED_AXES];
    /* The last two axes in blocks, and the grid of these under the other axes. */
    Py_ssize_t rows, columns, count, per_task;
    strided_axis grid[STRIDED_AXES];
    strided_block copy;
} strided_job;

/* Elements are moved as integers of their size, at whatever address they lie. */
#define ITEM_OF(type) type __attribute__((may_alias, aligned(1)))
typedef ITEM_OF(uint8_t) strided_1;
typedef ITEM_OF(uint16_t) strided_2;
typedef ITEM_OF(uint32_t) strided_4;
typedef ITEM_OF(uint64_t) strided_8;
typedef struct { uint64_t half[2]; } __attribute__((packed, may_alias)) strided_16;

/* out[i][j] = x[j][i] for a square of 16 bytes: `out` in elements, `x` in bytes from row to row. */
typedef uint32_t strided_v4 __attribute__((vector_size(16), may_alias, aligned(1)));
typedef uint64_t strided_v8 __attribute__((vector_size(16), may_alias, aligned(1)));

static inline void transpose_4(strided_4 *out, Py_ssize_t stride, const char *x, Py_ssize_t x_row) {
    const strided_v4 a = *(const strided_v4 *)x, b = *(const strided_v4 *)(x + x_row);
    const strided_v4 c = *(const strided_v4 *)(x + 2 * x_row);
    const strided_v4 d = *(const strided_v4 *)(x + 3 * x_row);
    const strided_v4 ac = SHUFFLE(strided_v4, a, c, 0, 4, 1, 5);
    const strided_v4 bd = SHUFFLE(strided_v4, b, d, 0, 4, 1, 5);
    const strided_v4 ac_high = SHUFFLE(strided_v4, a, c, 2, 6, 3, 7);
    const strided_v4 bd_high = SHUFFLE(strided_v4, b, d, 2, 6, 3, 7);
    *(strided_v4 *)out = SHUFFLE(strided_v4, ac, bd, 0, 4, 1, 5);
    *(strided_v4 *)(out + stride) = SHUFFLE(strided_v4, ac, bd, 2, 6, 3, 7);
    *(strided_v4 *)(out + 2 * stride) = SHUFFLE(strided_v4, ac_high, bd_high, 0, 4, 1, 5);
    *(strided_v4 *)(out + 3 * stride) = SHUFFLE(strided_v4, ac_high, bd_high, 2, 6, 3, 7);
}

static inline void transpose_8(strided_8 *out, Py_ssize_t stride, const char *x, Py_ssize_t x_row) {
    const strided_v8 a = *(const strided_v8 *)x, b = *(const strided_v8 *)(x + x_row);
    *(strided_v8 *)out = SHUFFLE(strided_v8, a, b, 0, 2);
    *(strided_v8 *)(out + stride) = SHUFFLE(strided_v8, a, b, 1, 3);
}

#define ITEM_(name, size) name##_##size
#define ITEM__(name, size) ITEM_(name, size)
#define ITEM(name) ITEM__(name, SIZE)
#define LANES (16 / SIZE)
#define item ITEM(strided)
#define SIZE 1
#include "strided_item.h"
#undef SIZE
#define SIZE 2
#include "strided_item.h"
#undef SIZE
#define SIZE 4
#include "strided_item.h"
#undef SIZE
#define SIZE 8
#include "strided_item.h"
#undef SIZE
#define SIZE 16
#include "strided_item.h"
#undef SIZE
#undef item
#undef LANES
#undef ITEM

/* The loops for elements of 1 << i bytes. */
static const struct {
    strided_block lines, transposed, spread;
} strided_loops[] = {
    {copy_lines_1, copy_transposed_1, spread_lines_1},
    {copy_lines_2, copy_transposed_2, spread_lines_2},
    {copy_lines_4, copy_transposed_4, spread_lines_4},
    {copy_lines_8, copy_transposed_8, spread_lines_8},
    {copy_lines_16, copy_transposed_16, spread_lines_16},
};

static inline int strided_loops_of(Py_ssize_t size) {
    return __builtin_ctzll((unsigned long long)size);
}

static inline int strided_movable(Py_ssize_t size) {
    return size > 0 && size <= 16 && (size & (size - 1)) == 0;
}

/* The axes in the order of the target's memory, as few as possible. Returns 0 where there is
 * nothing to copy, and -1 where elements of the target may lie on each other. */
static int strided_order(strided_job *job) {
    int ndim = 0;
    for (int d = 0; d < job->ndim; d++) {
        strided_axis axis = job->axis[d];
        if (axis.length == 0) return 0;
        if (axis.length == 1) continue;
        if (axis.out < 0) { /* walk it from the other end */
            job->out += (axis.length - 1) * axis.out;
            job->x += (axis.length - 1) * axis.x;
            axis.out = -axis.out;
            axis.x = -axis.x;
        }
        int place = ndim++;
        for (; place > 0 && job->axis[place - 1].out < axis.out; place--)
            job->axis[place] = job->axis[place - 1];
        job->axis[place] = axis;
    }
    Py_ssize_t extent = job->size; /* of all axes inside */
    for (int d = ndim - 1; d >= 0; d--) {
        if (job->axis[d].out < extent) return -1;
        extent += (job->axis[d].length - 1) * job->axis[d].out;
    }
    job->ndim = 0;
    for (int d = 0; d < ndim; d++) {
        strided_axis axis = job->axis[d];
        if (job->ndim > 0) {
            const strided_axis outer = job->axis[job->ndim - 1];
            if (outer.out == axis.length * axis.out && outer.x == axis.length * axis.x) {
                axis.length *= outer.length;
                job->ndim--;
            }
        }
        job->axis[job->ndim++] = axis;
    }
    return 1;
}

static inline Py_ssize_t strided_min(Py_ssize_t a, Py_ssize_t b) { return a < b ? a : b; }
static inline Py_ssize_t strided_max(Py_ssize_t a, Py_ssize_t b) { return a > b ? a : b; }
static inline Py_ssize_t strided_abs(Py_ssize_t a) { return a < 0 ? -a : a; }

/* Cuts the ordered job into blocks, and returns the number of tasks. */
static Py_ssize_t strided_divide(strided_job *job) {
    for (; job->ndim < 2; job->ndim++) { /* there are always rows and columns */
        job->axis[1] = job->axis[0];
        job->axis[0] = (strided_axis){1, 0, 0};
    }
    const int last = job->ndim - 1;
    int dense = last; /* the axis along which the source is */
    for (int d = last - 1; d >= 0; d--)
        if (job->axis[d].x != 0 && job->axis[d].length > 1 &&
            (job->axis[dense].x == 0 ||
             strided_abs(job->axis[d].x) < strided_abs(job->axis[dense].x)))
            dense = d;
    const int transposed = dense != last && job->axis[last].x != 0;
    if (transposed) {
        const strided_axis rows = job->axis[dense];
        for (int d = dense; d < last - 1; d++) job->axis[d] = job->axis[d + 1];
        job->axis[last - 1] = rows;
    }
    const strided_axis *row = &job->axis[last - 1], *column = &job->axis[last];
    const int loops = strided_loops_of(job->size);
    /* A block is a square if the axes are long enough. */
    const Py_ssize_t most = (transposed ? STRIDED_BLOCK : STRIDED_TASK) / job->size;
    const Py_ssize_t side = transposed ? STRIDED_SIDE >> loops / 2 : most;
    job->columns = strided_min(column->length, side);
    job->rows = strided_min(row->length, strided_max(most / job->columns, 1));
    job->columns = strided_min(column->length, most / job->rows);
    memcpy(job->grid, job->axis, job->ndim * sizeof(strided_axis));
    job->grid[last - 1] = (strided_axis){(row->length + job->rows - 1) / job->rows,
                                         row->out * job->rows, row->x * job->rows};
    job->grid[last] = (strided_axis){(column->length + job->columns - 1) / job->columns,
                                     column->out * job->columns, column->x * job->columns};
    job->count = 1;
    for (int d = 0; d < job->ndim; d++) job->count *= job->grid[d].length;
    job->per_task = strided_max(STRIDED_TASK / job->size / (job->rows * job->columns), 1);
    /* With only a few lines in the block, none is driven out. */
    job->copy = transposed && job->rows > 4 && job->columns > 4 ? strided_loops[loops].transposed
                                                                 : strided_loops[loops].lines;
    return (job->count + job->per_task - 1) / job->per_task;
}

static void strided_task(void *context, Py_ssize_t index) {
    const strided_job *job = context;
    const strided_axis *grid = job->grid;
    const int last = job->ndim - 1;
    const strided_axis *row = &job->axis[last - 1], *column = &job->axis[last];
    const Py_ssize_t first = index * job->per_task;
    Py_ssize_t left = strided_min(job->per_task, job->count - first), rest = first;
    Py_ssize_t at[STRIDED_AXES];
    char *out = job->out;
    const char *x = job->x;
    for (int d = last; d >= 0; d--) {
        at[d] = rest % grid[d].length;
        rest /= grid[d].length;
        out += at[d] * grid[d].out;
        x += at[d] * grid[d].x;
    }
    for (;;) {
        job->copy(out, x, strided_min(job->rows, row->length - at[last - 1] * job->rows),
                  strided_min(job->columns, column->length - at[last] * job->columns), row, column);
        if (--left == 0) return;
        int d = last;
        for (; ++at[d] == grid[d].length; d--) {
            at[d] = 0;
            out -= (grid[d].length - 1) * grid[d].out;
            x -= (grid[d].length - 1) * grid[d].x;
        }
        out += grid[d].out;
        x += grid[d].x;
    }
}

/* The target as rows of the ordered job's first axis: row 0 begins where the job's target does, and
 * what lies before and after the job's rows counts as further ones. */
typedef struct {
    strided_job job;
    char *begin, *end;
    Py_ssize_t per_task, first, count; /* rows; the first one is at most 0 */
} strided_zeros;

static Py_ssize_t strided_divide_rows(strided_zeros *zeros) {
    if (zeros->job.ndim == 0) {
        zeros->job.axis[0] = (strided_axis){1, zeros->job.size, 0};
        zeros->job.ndim = 1;
    }
    const Py_ssize_t stride = zeros->job.axis[0].out;
    zeros->per_task = strided_max(STRIDED_TASK / stride, 1);
    zeros->first = -((zeros->job.out - zeros->begin + stride - 1) / stride);
    zeros->count = (zeros->end - zeros->job.out + stride - 1) / stride - zeros->first;
    return (zeros->count + zeros->per_task - 1) / zeros->per_task;
}

static void strided_embed_task(void *context, Py_ssize_t index) {
    const strided_zeros *zeros = context;
    strided_job job = zeros->job;
    const strided_axis row = job.axis[0];
    const Py_ssize_t first = zeros->first + index * zeros->per_task, last = first + zeros->per_task;
    const Py_ssize_t origin = zeros->job.out - zeros->begin, size = zeros->end - zeros->begin;
    const Py_ssize_t begin = strided_max(origin + first * row.out, 0);
    memset(zeros->begin + begin, 0, strided_min(origin + last * row.out, size) - begin);
    const Py_ssize_t start = strided_max(first, 0);
    job.axis[0].length = strided_min(last, row.length) - start;
    if (job.axis[0].length <= 0) return;
    job.out += start * row.out;
    job.x += start * row.x;
    const Py_ssize_t tasks = strided_divide(&job);
    const strided_axis *column = &job.axis[job.ndim - 1];
    if (column->out == 2 * job.size && column->x == job.size)
        job.copy = strided_loops[strided_loops_of(job.size)].spread;
    for (Py_ssize_t task = 0; task < tasks; task++) strided_task(&job, task);
}

#endif
