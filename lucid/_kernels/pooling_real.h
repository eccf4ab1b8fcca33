/* pooling_real.h: pooling for one `real` type, a row of windows at a time. Maxima of a vector of
 * windows stay in registers. For averages there is one loop over the windows of the row for each
 * tap that lies inside, with the usual strides compiled in; few windows, each wider than they are
 * many (global pooling), are added up along their own rows. */

#include "rows_real.h"

#define EACH_STRIDE(stride, ROW) \
    do {                         \
        if (stride == 1) ROW(1)  \
        else if (stride == 2) ROW(2) \
        else ROW(stride)         \
    } while (0)

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
#define vec R(row)
#define places R(row_bits)
typedef int32_t R(index) __attribute__((
    vector_size(LUCID_VBYTES / sizeof(real) * sizeof(int32_t)), aligned(4), may_alias));

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

/* The rows (z, y) of a plane that the windows from (deep, high) on see. */
#define EACH_ROW(d, h, deep, high, z, y)                                              \
    for (ptrdiff_t z = (deep), z_end = z + (d)->kernel * (d)->dilation; z < z_end;    \
         z += (d)->dilation)                                                          \
        for (ptrdiff_t y = (high), y_end = y + (h)->kernel * (h)->dilation; y < y_end; \
             y += (h)->dilation)                                                      \
            if (z >= 0 && z < (d)->size && y >= 0 && y < (h)->size)

/* The largest elements of `count` windows, at most a vector of them, and where they lie; from
 * `deep`, `high`, `left` on the first one sees the plane. What follows in the output is still to be
 * written, as far as there is `room`. */
ALWAYS_INLINE void R(max_windows)(const pool_job *job, const pool_axis *d, const pool_axis *h,
                                  const pool_axis *w, const real *from, ptrdiff_t deep,
                                  ptrdiff_t high, ptrdiff_t left, ptrdiff_t count, real *out,
                                  int32_t *out_index, ptrdiff_t room) {
    const real *const first = job->source;
    const real *const last = first + job->planes * d->size * h->size * w->size;
    const vec nothing = (vec){0} - (real)INFINITY;
    vec best = nothing;
    const pool_range starts = pool_inside(left, w->stride, w->size, count);
    const int inside = deep >= 0 && deep < d->size && high >= 0 && high < h->size &&
                       starts.end - starts.begin == count;
    /* Of the first window's tap, which may lie outside: at first, where all windows start. */
    places index = (places){0} +
                   (bits)(inside ? (deep * h->size + high) * w->size + left : INT32_MIN);
    EACH_ROW(d, h, deep, high, z, y)
        for (ptrdiff_t k = 0; k < w->kernel; k++) {
            const ptrdiff_t x = left + k * w->dilation;
            const pool_range seen = pool_inside(x, w->stride, w->size, count);
            const real *const line = from + (z * h->size + y) * w->size + x;
            const vec v = R(load_some)(line, w->stride, seen.begin, seen.end, nothing,
                                          first, last);
            const places take = (v > best) | (v != v); /* a NaN wins */
            best = (vec)((take & (places)v) | (~take & (places)best));
            index = (take & (bits)((z * h->size + y) * w->size + x)) | (~take & index);
        }
    const R(index) found =
        __builtin_convertvector(index + R(lanes)() * (bits)w->stride, R(index));
    if (room >= LANES) {
        *(R(row_at) *)out = best;
        *(R(index) *)out_index = found;
    } else { /* in copies, so that the vectors themselves can stay in registers */
        const vec last_values = best;
        const R(index) last_places = found;
        memcpy(out, &last_values, (size_t)count * sizeof(real));
        memcpy(out_index, &last_places, (size_t)count * sizeof(int32_t));
    }
    if (!inside)
        for (ptrdiff_t q = 0; q < count; q++)
            if (out_index[q] < 0) /* never set: -inf alone, or nothing */
                out_index[q] = R(first_seen)(job->axis, deep, high, left + q * w->stride);
}

ALWAYS_INLINE void R(max_planes)(const pool_job *job, const pool_axis *d, const pool_axis *h,
                                 const pool_axis *w, ptrdiff_t task) {
    const ptrdiff_t size = d->size * h->size * w->size;
    const ptrdiff_t end = pool_least(job->planes, (task + 1) * job->per_task);
    const ptrdiff_t windows = d->count * h->count * w->count;
    ptrdiff_t at = task * job->per_task * windows;
    for (ptrdiff_t plane = task * job->per_task; plane < end; plane++) {
        const real *const from = (const real *)job->source + plane * size;
        for (ptrdiff_t z = 0; z < d->count; z++)
            for (ptrdiff_t y = 0; y < h->count; y++)
                for (ptrdiff_t x = 0, count; x < w->count; x += count, at += count) {
                    count = pool_least(LANES, w->count - x);
                    R(max_windows)(job, d, h, w, from, z * d->stride - d->padding,
                                   y * h->stride - h->padding, x * w->stride - w->padding, count,
                                   (real *)job->target + at, job->index + at,
                                   end * windows - at);
                }
    }
}

static void R(max_task)(void *context, ptrdiff_t task) {
    const pool_job *const job = context;
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    if (d->size == 1 && pool_halves(h) && pool_halves(w)) { /* the most usual, compiled in */
        const pool_axis depth = {1, 1, 1, 1, 0, 1}, height = {h->size, h->count, 2, 2, 0, 1},
                        width = {w->size, w->count, 2, 2, 0, 1};
        R(max_planes)(job, &depth, &height, &width, task);
    } else
        R(max_planes)(job, d, h, w, task);
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
            const ptrdiff_t deep = q / h->count * d->stride - d->padding;
            const ptrdiff_t high = q % h->count * h->stride - h->padding;
            const ptrdiff_t others = pool_counted(d, q / h->count, job->count_padding) *
                                     pool_counted(h, q % h->count, job->count_padding);
            if (w->count < w->kernel) { /* few windows, of many columns */
                for (ptrdiff_t x = 0; x < w->count; x++) {
                    const pool_range seen = pool_seen(w, x);
                    real s[8] = {0};
                    EACH_ROW(d, h, deep, high, z, y)
                        R(add_row)(s, from + (z * h->size + y) * w->size + seen.begin,
                                   seen.end - seen.begin);
                    to[x] = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
                }
            } else {
                for (ptrdiff_t x = 0; x < w->count; x++) to[x] = 0;
                EACH_ROW(d, h, deep, high, z, y)
                    for (ptrdiff_t k = 0; k < w->kernel; k++) {
                        const ptrdiff_t first = pool_first(w, k), last = pool_last(w, k);
                        const real *const line =
                            from + (z * h->size + y) * w->size + k - w->padding;
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
            const ptrdiff_t deep = q / h->count * d->stride - d->padding;
            const ptrdiff_t high = q % h->count * h->stride - h->padding;
            const ptrdiff_t others = pool_counted(d, q / h->count, job->count_padding) *
                                     pool_counted(h, q % h->count, job->count_padding);
            if (w->count < w->kernel)
                for (ptrdiff_t x = 0; x < w->count; x++) {
                    const pool_range seen = pool_seen(w, x);
                    const real each = g[x] * R(share)(job, others, x);
                    EACH_ROW(d, h, deep, high, z, y) {
                        real *const line = to + (z * h->size + y) * w->size;
                        for (ptrdiff_t i = seen.begin; i < seen.end; i++) line[i] += each;
                    }
                }
            else
                EACH_ROW(d, h, deep, high, z, y)
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
#undef LANES
#undef vec
#undef places
