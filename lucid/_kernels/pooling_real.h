/* pooling_real.h: pooling for one `real` type, a row of windows at a time: for each tap that lies
 * inside, one loop over the windows of the row, with the usual strides compiled in. */

#include "rows_real.h"

#define EACH_STRIDE(stride, ROW) \
    do {                         \
        if (stride == 1) ROW(1)  \
        else if (stride == 2) ROW(2) \
        else ROW(stride)         \
    } while (0)

/* Windows at a time, which have their state and one tap's elements in buffers of fixed size: the
 * loops over those need no remainder. */
#define CHUNK 64

ALWAYS_INLINE void R(take_largest)(ptrdiff_t count, const real *restrict x, int32_t at,
                                   int32_t step, real *restrict best, int32_t *restrict index) {
    for (ptrdiff_t i = 0; i < count; i++) {
        const int take = (x[i] > best[i]) | (x[i] != x[i]); /* a NaN wins */
        best[i] = take ? x[i] : best[i];
        index[i] = take ? at + (int32_t)i * step : index[i];
    }
}

/* The largest elements of `count` windows of a row from `left` on, and where they lie. */
ALWAYS_INLINE void R(max_chunk)(const pool_job *job, const real *from, ptrdiff_t deep,
                                ptrdiff_t high, ptrdiff_t left, ptrdiff_t count, real *out,
                                int32_t *out_index) {
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    const ptrdiff_t whole = (count + 15) & ~(ptrdiff_t)15;
    real best[CHUNK], x[CHUNK + 16]; /* room for a whole vector at the end */
    int32_t index[CHUNK];
    ptrdiff_t first_row = -1;
    for (ptrdiff_t i = 0; i < whole; i++) best[i] = x[i] = (real)-INFINITY, index[i] = -1;
    for (ptrdiff_t i = 0; i < d->kernel; i++) {
        const ptrdiff_t z = deep + i * d->dilation;
        if (z < 0 || z >= d->size) continue;
        for (ptrdiff_t j = 0; j < h->kernel; j++) {
            const ptrdiff_t y = high + j * h->dilation;
            if (y < 0 || y >= h->size) continue;
            const real *const row = from + (z * h->size + y) * w->size;
            if (first_row < 0) first_row = (z * h->size + y) * w->size;
            for (ptrdiff_t k = 0; k < w->kernel; k++) {
                const ptrdiff_t shift = left * w->stride + k * w->dilation - w->padding;
                ptrdiff_t first = 0, last = count;
                if (shift < 0) first = pool_least((-shift + w->stride - 1) / w->stride, count);
                if (shift + (count - 1) * w->stride >= w->size)
                    last = shift >= w->size ? 0 : (w->size - 1 - shift) / w->stride + 1;
                const real *const line = row + shift;
                for (ptrdiff_t q = 0; q < first; q++) x[q] = (real)-INFINITY;
                if (w->stride == 1)
                    R(copy)(x + first, line + first, last - first);
                else if (w->stride == 2)
                    R(copy_every_second)(x + first, line + 2 * first, last - first);
                else
                    for (ptrdiff_t q = first; q < last; q++) x[q] = line[q * w->stride];
                for (ptrdiff_t q = pool_most(first, last); q < count; q++) x[q] = (real)-INFINITY;
                const int32_t at = (int32_t)((z * h->size + y) * w->size + shift);
                R(take_largest)(whole, x, at, (int32_t)w->stride, best, index);
            }
        }
    }
    int32_t missing = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        out[i] = best[i];
        out_index[i] = index[i];
        missing |= index[i];
    }
    if (missing < 0 && first_row >= 0) { /* windows of -inf alone: their first element */
        for (ptrdiff_t i = 0; i < count; i++)
            for (ptrdiff_t k = 0; k < w->kernel && out_index[i] < 0; k++) {
                const ptrdiff_t at = (left + i) * w->stride + k * w->dilation - w->padding;
                if (at >= 0 && at < w->size)
                    out_index[i] = (int32_t)(first_row + at);
            }
    }
}

static void R(max_task)(void *context, ptrdiff_t task) {
    const pool_job *const job = context;
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    const ptrdiff_t size = d->size * h->size * w->size;
    const ptrdiff_t end = pool_least(job->planes, (task + 1) * job->per_task);
    ptrdiff_t at = task * job->per_task * d->count * h->count * w->count;
    for (ptrdiff_t plane = task * job->per_task; plane < end; plane++) {
        const real *const from = (const real *)job->source + plane * size;
        for (ptrdiff_t z = 0; z < d->count; z++)
            for (ptrdiff_t y = 0; y < h->count; y++)
                for (ptrdiff_t left = 0, count; left < w->count; left += count, at += count) {
                    count = pool_least(CHUNK, w->count - left);
                    R(max_chunk)(job, from, z * d->stride - d->padding, y * h->stride - h->padding,
                                 left, count, (real *)job->target + at, job->index + at);
                }
    }
}

static void R(max_backward_task)(void *context, ptrdiff_t task) {
    const pool_job *const job = context;
    const pool_axis *const a = job->axis;
    const ptrdiff_t size = a[0].size * a[1].size * a[2].size;
    const ptrdiff_t windows = a[0].count * a[1].count * a[2].count;
    const ptrdiff_t end = pool_least(job->planes, (task + 1) * job->per_task);
    for (ptrdiff_t plane = task * job->per_task; plane < end; plane++) {
        const real *const g = (const real *)job->source + plane * windows;
        const int32_t *const index = job->index + plane * windows;
        real *const to = (real *)job->target + plane * size;
        for (ptrdiff_t i = 0; i < size; i++) to[i] = 0;
        for (ptrdiff_t i = 0; i < windows; i++)
            if (index[i] >= 0) to[index[i]] += g[i]; /* a dilated window may see nothing */
    }
}

/* 1 / what the window counts. */
ALWAYS_INLINE real R(share)(const pool_job *job, ptrdiff_t others, ptrdiff_t window) {
    if (job->divisor != 0) return (real)(1 / job->divisor);
    return 1 / (real)(others * pool_counted(&job->axis[POOL_WIDTH], window, job->count_padding));
}

static void R(average_task)(void *context, ptrdiff_t task) {
    const pool_job *const job = context;
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    const ptrdiff_t size = d->size * h->size * w->size;
    const ptrdiff_t windows = d->count * h->count * w->count;
    const ptrdiff_t end = pool_least(job->planes, (task + 1) * job->per_task);
    for (ptrdiff_t plane = task * job->per_task; plane < end; plane++) {
        const real *const from = (const real *)job->source + plane * size;
        real *to = (real *)job->target + plane * windows;
        for (ptrdiff_t q = 0; q < d->count * h->count; q++, to += w->count) {
            const ptrdiff_t deep = q / h->count, high = q % h->count;
            const ptrdiff_t others = pool_counted(d, deep, job->count_padding) *
                                     pool_counted(h, high, job->count_padding);
            for (ptrdiff_t i = 0; i < w->count; i++) to[i] = 0;
            for (ptrdiff_t i = 0; i < d->kernel; i++) {
                const ptrdiff_t z = deep * d->stride - d->padding + i;
                if (z < 0 || z >= d->size) continue;
                for (ptrdiff_t j = 0; j < h->kernel; j++) {
                    const ptrdiff_t y = high * h->stride - h->padding + j;
                    if (y < 0 || y >= h->size) continue;
                    for (ptrdiff_t k = 0; k < w->kernel; k++) {
                        const ptrdiff_t first = pool_first(w, k), last = pool_last(w, k);
                        const real *const line = from + (z * h->size + y) * w->size + k - w->padding;
#define ROW(stride) for (ptrdiff_t x = first; x < last; x++) to[x] += line[x * (stride)];
                        EACH_STRIDE(w->stride, ROW);
#undef ROW
                    }
                }
            }
            for (ptrdiff_t i = 0; i < w->count; i++) to[i] *= R(share)(job, others, i);
        }
    }
}

static void R(average_backward_task)(void *context, ptrdiff_t task) {
    const pool_job *const job = context;
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    const ptrdiff_t size = d->size * h->size * w->size;
    const ptrdiff_t windows = d->count * h->count * w->count;
    const ptrdiff_t end = pool_least(job->planes, (task + 1) * job->per_task);
    for (ptrdiff_t plane = task * job->per_task; plane < end; plane++) {
        const real *g = (const real *)job->source + plane * windows;
        real *const to = (real *)job->target + plane * size;
        for (ptrdiff_t i = 0; i < size; i++) to[i] = 0;
        for (ptrdiff_t q = 0; q < d->count * h->count; q++, g += w->count) {
            const ptrdiff_t deep = q / h->count, high = q % h->count;
            const ptrdiff_t others = pool_counted(d, deep, job->count_padding) *
                                     pool_counted(h, high, job->count_padding);
            for (ptrdiff_t i = 0; i < d->kernel; i++) {
                const ptrdiff_t z = deep * d->stride - d->padding + i;
                if (z < 0 || z >= d->size) continue;
                for (ptrdiff_t j = 0; j < h->kernel; j++) {
                    const ptrdiff_t y = high * h->stride - h->padding + j;
                    if (y < 0 || y >= h->size) continue;
                    for (ptrdiff_t k = 0; k < w->kernel; k++) {
                        const ptrdiff_t first = pool_first(w, k), last = pool_last(w, k);
                        real *const line = to + (z * h->size + y) * w->size + k - w->padding;
#define ROW(stride) \
    for (ptrdiff_t x = first; x < last; x++) line[x * (stride)] += g[x] * R(share)(job, others, x);
                        EACH_STRIDE(w->stride, ROW);
#undef ROW
                    }
                }
            }
        }
    }
}

static const pool_level R(level) = {R(max_task), R(max_backward_task), R(average_task),
                                    R(average_backward_task)};

#undef EACH_STRIDE
#undef CHUNK
