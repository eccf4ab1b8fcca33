/* pooling_real.h: pooling for one `real` type, a row of windows at a time: for each tap that lies
 * inside, one loop over the windows of the row, with the usual strides compiled in. */

#define EACH_STRIDE(stride, ROW) \
    do {                         \
        if (stride == 1) ROW(1)  \
        else if (stride == 2) ROW(2) \
        else ROW(stride)         \
    } while (0)

ALWAYS_INLINE void R(take_largest)(ptrdiff_t count, const real *restrict from, ptrdiff_t stride,
                                   int32_t at, real *restrict best, int32_t *restrict index) {
    for (ptrdiff_t i = 0; i < count; i++) {
        const real x = from[i * stride];
        const int32_t here = at + (int32_t)(i * stride);
        /* A NaN wins; the first element in any case. */
        const int take = (x > best[i]) | (x != x) | (index[i] < 0);
        best[i] = take ? x : best[i];
        index[i] = take ? here : index[i];
    }
}

static void R(max_task)(void *context, ptrdiff_t task) {
    const pool_job *const job = context;
    const pool_axis *const d = &job->axis[POOL_DEPTH], *const h = &job->axis[POOL_HEIGHT],
                    *const w = &job->axis[POOL_WIDTH];
    const ptrdiff_t size = d->size * h->size * w->size;
    const ptrdiff_t windows = d->count * h->count * w->count;
    const ptrdiff_t end = pool_least(job->planes, (task + 1) * job->per_task);
    for (ptrdiff_t plane = task * job->per_task; plane < end; plane++) {
        const real *const from = (const real *)job->source + plane * size;
        real *best = (real *)job->target + plane * windows;
        int32_t *index = job->index + plane * windows;
        for (ptrdiff_t q = 0; q < d->count * h->count; q++, best += w->count, index += w->count) {
            const ptrdiff_t deep = q / h->count * d->stride - d->padding;
            const ptrdiff_t high = q % h->count * h->stride - h->padding;
            for (ptrdiff_t i = 0; i < w->count; i++) best[i] = (real)-INFINITY, index[i] = -1;
            for (ptrdiff_t i = 0; i < d->kernel; i++) {
                const ptrdiff_t z = deep + i * d->dilation;
                if (z < 0 || z >= d->size) continue;
                for (ptrdiff_t j = 0; j < h->kernel; j++) {
                    const ptrdiff_t y = high + j * h->dilation;
                    if (y < 0 || y >= h->size) continue;
                    for (ptrdiff_t k = 0; k < w->kernel; k++) {
                        const ptrdiff_t first = pool_first(w, k), last = pool_last(w, k);
                        const ptrdiff_t at = (z * h->size + y) * w->size + first * w->stride +
                                             k * w->dilation - w->padding;
#define ROW(stride)                                                                  \
    R(take_largest)(last - first, from + at, stride, (int32_t)at, best + first, index + first);
                        EACH_STRIDE(w->stride, ROW);
#undef ROW
                    }
                }
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
