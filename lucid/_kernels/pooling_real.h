/* pooling_real.h: pooling for one `real` type, a row of windows at a time: for each tap that lies
 * inside, one loop over the windows of the row, with the usual strides compiled in. Averages of few
 * windows that are wider than they are many (global pooling) run along the windows' rows. */

#include "rows_real.h"

#define EACH_STRIDE(stride, ROW) \
    do {                         \
        if (stride == 1) ROW(1)  \
        else if (stride == 2) ROW(2) \
        else ROW(stride)         \
    } while (0)

/* Windows at a time, of several rows where rows are short. They have their state and one tap's
 * elements in buffers of fixed size: the loops over those need no remainder. */
#define CHUNK 64

/* `at`: where the tap lies in the plane, from the first tap of its window. */
ALWAYS_INLINE void R(take_largest)(ptrdiff_t count, const real *restrict x, int32_t at,
                                   real *restrict best, int32_t *restrict index) {
    for (ptrdiff_t i = 0; i < count; i++) {
        const int take = (x[i] > best[i]) | (x[i] != x[i]); /* a NaN wins */
        best[i] = take ? x[i] : best[i];
        index[i] = take ? at : index[i];
    }
}

/* Where the first element lies that the window from (z, y, x) on sees; -1: it sees none. */
static int32_t R(first_seen)(const pool_axis *a, ptrdiff_t z, ptrdiff_t y, ptrdiff_t x) {
    const ptrdiff_t start[3] = {z, y, x};
    ptrdiff_t at = 0;
    for (int d = 0; d < 3; d++) {
        ptrdiff_t place = start[d], last = place + (a[d].kernel - 1) * a[d].dilation;
        while (place < 0) place += a[d].dilation;
        if (place > last || place >= a[d].size) return -1;
        at = at * a[d].size + place;
    }
    return (int32_t)at;
}

/* The largest elements of `count` windows from `left` on in each of `lines` rows, and where they
 * lie. `deep`, `high`: where the first row's windows start. */
ALWAYS_INLINE void R(max_chunk)(const pool_job *job, const real *from, ptrdiff_t deep,
                                ptrdiff_t high, ptrdiff_t lines, ptrdiff_t left, ptrdiff_t count,
                                real *out, int32_t *out_index) {
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    const ptrdiff_t whole = (lines * count + 15) & ~(ptrdiff_t)15;
    real best[CHUNK], x[CHUNK + 16]; /* room for a whole vector at the end */
    int32_t index[CHUNK];
    for (ptrdiff_t i = 0; i < whole; i++) best[i] = x[i] = (real)-INFINITY, index[i] = -1;
    for (ptrdiff_t i = 0; i < d->kernel; i++) {
        const ptrdiff_t z = deep + i * d->dilation;
        if (z < 0 || z >= d->size) continue;
        for (ptrdiff_t j = 0; j < h->kernel; j++)
            for (ptrdiff_t k = 0; k < w->kernel; k++) {
                const ptrdiff_t shift = left * w->stride + k * w->dilation - w->padding;
                ptrdiff_t first = 0, last = count;
                if (shift < 0) first = pool_least((-shift + w->stride - 1) / w->stride, count);
                if (shift + (count - 1) * w->stride >= w->size)
                    last = shift >= w->size ? 0 : (w->size - 1 - shift) / w->stride + 1;
                for (ptrdiff_t line = 0; line < lines; line++) {
                    const ptrdiff_t y = high + line * h->stride + j * h->dilation;
                    const ptrdiff_t end = y < 0 || y >= h->size ? 0 : pool_most(first, last);
                    const real *const row = from + (z * h->size + y) * w->size + shift;
                    real *const to = x + line * count;
                    const ptrdiff_t begin = pool_least(first, end);
                    for (ptrdiff_t q = 0; q < begin; q++) to[q] = (real)-INFINITY;
                    if (w->stride == 1)
                        R(copy)(to + begin, row + begin, end - begin);
                    else if (w->stride == 2)
                        R(copy_every_second)(to + begin, row + 2 * begin, end - begin);
                    else
                        for (ptrdiff_t q = begin; q < end; q++) to[q] = row[q * w->stride];
                    for (ptrdiff_t q = end; q < count; q++) to[q] = (real)-INFINITY;
                }
                const ptrdiff_t at = (i * d->dilation * h->size + j * h->dilation) * w->size;
                R(take_largest)(whole, x, (int32_t)(at + k * w->dilation), best, index);
            }
    }
    for (ptrdiff_t line = 0; line < lines; line++) {
        const ptrdiff_t y = high + line * h->stride, start = left * w->stride - w->padding;
        const int32_t base = (int32_t)((deep * h->size + y) * w->size + start);
        const int32_t *const taken = index + line * count;
        int32_t *const to = out_index + line * count;
        int32_t missing = 0;
        for (ptrdiff_t q = 0; q < count; q++) {
            out[line * count + q] = best[line * count + q];
            to[q] = base + (int32_t)(q * w->stride) + taken[q];
            missing |= taken[q];
        }
        if (missing < 0) /* -inf alone, or nothing */
            for (ptrdiff_t q = 0; q < count; q++)
                if (taken[q] < 0) to[q] = R(first_seen)(job->axis, deep, y, start + q * w->stride);
    }
}

static void R(max_task)(void *context, ptrdiff_t task) {
    const pool_job *const job = context;
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    const ptrdiff_t size = d->size * h->size * w->size;
    const ptrdiff_t end = pool_least(job->planes, (task + 1) * job->per_task);
    const ptrdiff_t together = w->count < CHUNK ? CHUNK / w->count : 1; /* rows */
    ptrdiff_t at = task * job->per_task * d->count * h->count * w->count;
    for (ptrdiff_t plane = task * job->per_task; plane < end; plane++) {
        const real *const from = (const real *)job->source + plane * size;
        for (ptrdiff_t z = 0; z < d->count; z++)
            for (ptrdiff_t y = 0, lines; y < h->count; y += lines) {
                lines = pool_least(together, h->count - y);
                for (ptrdiff_t left = 0, count; left < w->count; left += count) {
                    count = pool_least(CHUNK, w->count - left);
                    R(max_chunk)(job, from, z * d->stride - d->padding, y * h->stride - h->padding,
                                 lines, left, count, (real *)job->target + at, job->index + at);
                    at += lines * count;
                }
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

/* The rows (z, y) of a plane that row q of its windows sees. */
#define EACH_ROW(d, h, q, z, y)                                                             \
    for (ptrdiff_t z = (q) / (h)->count * (d)->stride - (d)->padding, z_end = z + (d)->kernel; \
         z < z_end; z++)                                                                    \
        for (ptrdiff_t y = (q) % (h)->count * (h)->stride - (h)->padding,                   \
                       y_end = y + (h)->kernel; y < y_end; y++)                             \
            if (z >= 0 && z < (d)->size && y >= 0 && y < (h)->size)

/* The sum of a row's elements, in lanes that become vectors. */
ALWAYS_INLINE void R(add_row)(real *restrict lanes, const real *x, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (int l = 0; l < 8; l++) lanes[l] += x[i + l];
    for (; i < count; i++) lanes[i % 8] += x[i];
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
            const ptrdiff_t others = pool_counted(d, q / h->count, job->count_padding) *
                                     pool_counted(h, q % h->count, job->count_padding);
            if (w->count < w->kernel) { /* few windows, of many columns */
                for (ptrdiff_t x = 0; x < w->count; x++) {
                    const pool_range seen = pool_seen(w, x);
                    real s[8] = {0};
                    EACH_ROW(d, h, q, z, y)
                        R(add_row)(s, from + (z * h->size + y) * w->size + seen.begin,
                                   seen.end - seen.begin);
                    to[x] = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
                }
            } else {
                for (ptrdiff_t x = 0; x < w->count; x++) to[x] = 0;
                EACH_ROW(d, h, q, z, y)
                    for (ptrdiff_t k = 0; k < w->kernel; k++) {
                        const ptrdiff_t first = pool_first(w, k), last = pool_last(w, k);
                        const real *const line = from + (z * h->size + y) * w->size + k - w->padding;
#define ROW(stride) for (ptrdiff_t x = first; x < last; x++) to[x] += line[x * (stride)];
                        EACH_STRIDE(w->stride, ROW);
#undef ROW
                    }
            }
            for (ptrdiff_t x = 0; x < w->count; x++) to[x] *= R(share)(job, others, x);
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
            const ptrdiff_t others = pool_counted(d, q / h->count, job->count_padding) *
                                     pool_counted(h, q % h->count, job->count_padding);
            if (w->count < w->kernel)
                for (ptrdiff_t x = 0; x < w->count; x++) {
                    const pool_range seen = pool_seen(w, x);
                    const real each = g[x] * R(share)(job, others, x);
                    EACH_ROW(d, h, q, z, y) {
                        real *const line = to + (z * h->size + y) * w->size;
                        for (ptrdiff_t i = seen.begin; i < seen.end; i++) line[i] += each;
                    }
                }
            else
                EACH_ROW(d, h, q, z, y)
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

static const pool_level R(level) = {R(max_task), R(max_backward_task), R(average_task),
                                    R(average_backward_task)};

#undef EACH_STRIDE
#undef EACH_ROW
#undef CHUNK
