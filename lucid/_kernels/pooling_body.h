/* pooling_body.h: the loops of pooling.pyx for one instruction-set level (see each_level.h). */

#ifndef POOLING_ONCE
#define POOLING_ONCE
#include <math.h>
#include "pooling.h"
#include "vectors.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline ptrdiff_t pool_least(ptrdiff_t x, ptrdiff_t y) { return x < y ? x : y; }
static inline ptrdiff_t pool_most(ptrdiff_t x, ptrdiff_t y) { return x > y ? x : y; }

/* Windows of two elements, side by side. */
static inline int pool_halves(const pool_axis *a) {
    return a->kernel == 2 && a->stride == 2 && a->padding == 0 && a->dilation == 1;
}

/* The windows first .. last of an axis whose tap k lies inside the source. */
static inline ptrdiff_t pool_first(const pool_axis *a, ptrdiff_t k) {
    const ptrdiff_t shift = k * a->dilation - a->padding;
    return shift < 0 ? pool_least((-shift + a->stride - 1) / a->stride, a->count) : 0;
}

static inline ptrdiff_t pool_last(const pool_axis *a, ptrdiff_t k) {
    const ptrdiff_t room = a->size - 1 - (k * a->dilation - a->padding);
    return room < 0 ? 0 : pool_least(room / a->stride + 1, a->count);
}

typedef struct { ptrdiff_t begin, end; } pool_range;

/* The elements of an undilated window that lie inside the source. */
static inline pool_range pool_seen(const pool_axis *a, ptrdiff_t window) {
    const ptrdiff_t start = window * a->stride - a->padding;
    return (pool_range){pool_most(start, 0), pool_least(start + a->kernel, a->size)};
}

/* Which of `count` places from `start` on, `stride` apart, lie inside the source. */
static inline pool_range pool_inside(ptrdiff_t start, ptrdiff_t stride, ptrdiff_t size,
                                     ptrdiff_t count) {
    pool_range r = {0, count};
    if (start < 0) r.begin = pool_least((-start + stride - 1) / stride, count);
    if (start + (count - 1) * stride >= size)
        r.end = start >= size ? 0 : (size - 1 - start) / stride + 1;
    r.end = pool_most(r.begin, r.end);
    return r;
}

/* What a window counts along one axis for the average: its taps inside, or inside the padding. */
static inline ptrdiff_t pool_counted(const pool_axis *a, ptrdiff_t window, int padding) {
    const ptrdiff_t start = window * a->stride - a->padding;
    const ptrdiff_t end = pool_least(start + a->kernel, a->size + a->padding);
    return padding ? end - start : pool_least(end, a->size) - pool_most(start, 0);
}

#endif

#define LUCID_REAL_BODY "pooling_real.h"
#include "each_real.h"
