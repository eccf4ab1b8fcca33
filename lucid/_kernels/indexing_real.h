/* indexing_real.h: sums and maxima of rows of a table, bag by bag, for one `real` type. */

#include "rows_real.h"

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
#define FEW ((ptrdiff_t)(16 / sizeof(real)))
typedef real R(few) __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));

ALWAYS_INLINE const real *R(row_of)(const bag_job *job, ptrdiff_t entry) {
    return (const real *)job->table + job->index[entry] * job->width;
}

ALWAYS_INLINE real R(factor_of)(const bag_job *job, ptrdiff_t entry) {
    return job->factor ? ((const real *)job->factor)[entry] : 1;
}

/* What a sum is divided by. */
ALWAYS_INLINE real R(divisor)(const bag_job *job, ptrdiff_t bag) {
    ptrdiff_t count = 0;
    if (job->mean)
        for (ptrdiff_t i = job->bounds[bag]; i < job->bounds[bag + 1]; i++)
            count += job->index[i] != job->padding;
    return count ? count : 1;
}

#define EACH_BAG(job, task, b)                                                           \
    for (ptrdiff_t b = (task) * (job)->per_task,                                         \
                   b##_end = bag_least(b + (job)->per_task, (job)->bags); b < b##_end; b++)

#define EACH_ENTRY(job, b, i)                                                              \
    for (ptrdiff_t i = (job)->bounds[b], i##_end = (job)->bounds[b + 1]; i < i##_end; i++) \
        if ((job)->index[i] != (job)->padding)

/* Columns `first` to `last` of a bag's sum, in `count` vectors that stay in registers. Where they
 * are no whole number of vectors, the last one covers some columns once more. Entries before
 * `early` fetch the row of a later one. */
#define SUM_COLUMNS(type, count)                                                          \
    case count: {                                                                         \
        enum { STEP = sizeof(type) / sizeof(real) };                                      \
        type sums[count] = {0};                                                           \
        EACH_ENTRY(job, b, i) {                                                           \
            const real *x = R(row_of)(job, i);                                            \
            const real factor = R(factor_of)(job, i);                                     \
            if (i < early) {                                                              \
                const real *later = R(row_of)(job, i + AHEAD) + first;                    \
                for (int v = 0; v < count; v++) __builtin_prefetch(later + v * STEP);     \
            }                                                                             \
            for (int v = 0; v < count - 1; v++)                                           \
                sums[v] += factor * *(const type *)(x + first + v * STEP);                \
            sums[count - 1] += factor * *(const type *)(x + last - STEP);                 \
        }                                                                                 \
        for (int v = 0; v < count - 1; v++)                                               \
            *(type *)(to + first + v * STEP) = sums[v] / divisor;                         \
        *(type *)(to + last - STEP) = sums[count - 1] / divisor;                          \
        break;                                                                            \
    }

static void R(bag_sum)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    const int is_large = job->rows * width * (ptrdiff_t)sizeof(real) > CACHED;
    const ptrdiff_t early = is_large ? job->bounds[job->bags] - AHEAD : 0;
    EACH_BAG(job, task, b) {
        const real divisor = R(divisor)(job, b);
        real *to = (real *)job->target + b * width;
        for (ptrdiff_t first = 0, last; first < width; first = last) {
            last = bag_least(first + 8 * LANES, width);
            if (width >= LANES)
                switch ((last - first + LANES - 1) / LANES) {
                    SUM_COLUMNS(R(row_at), 1) SUM_COLUMNS(R(row_at), 2) SUM_COLUMNS(R(row_at), 3)
                    SUM_COLUMNS(R(row_at), 4) SUM_COLUMNS(R(row_at), 5) SUM_COLUMNS(R(row_at), 6)
                    SUM_COLUMNS(R(row_at), 7) SUM_COLUMNS(R(row_at), 8)
                }
            else if (width >= FEW)
                switch ((width + FEW - 1) / FEW) {
                    SUM_COLUMNS(R(few), 1) SUM_COLUMNS(R(few), 2) SUM_COLUMNS(R(few), 3)
                    SUM_COLUMNS(R(few), 4)
                }
            else
                switch (width) {
                    SUM_COLUMNS(real, 1) SUM_COLUMNS(real, 2) SUM_COLUMNS(real, 3)
                }
        }
    }
}
#undef SUM_COLUMNS

static void R(bag_sum_backward)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    (void)task;
    memset(job->target, 0, job->rows * width * sizeof(real));
    for (ptrdiff_t b = 0; b < job->bags; b++) {
        const real *restrict g = (const real *)job->g + b * width;
        const real share = 1 / R(divisor)(job, b);
        EACH_ENTRY(job, b, i) {
            real *restrict to = (real *)job->target + job->index[i] * width;
            const real factor = share * R(factor_of)(job, i);
            for (ptrdiff_t j = 0; j < width; j++) to[j] += factor * g[j];
        }
    }
}

/* The gradient of the factors: of each entry, its row times the bag's gradient. */
static void R(bag_products)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    EACH_BAG(job, task, b) {
        const real *g = (const real *)job->g + b * width;
        const real share = 1 / R(divisor)(job, b);
        EACH_ENTRY(job, b, i) {
            const real *x = R(row_of)(job, i);
            R(row) sums = {0};
            real rest = 0;
            ptrdiff_t j = 0;
            for (; j + LANES <= width; j += LANES)
                sums += *(const R(row_at) *)(g + j) * *(const R(row_at) *)(x + j);
            for (; j < width; j++) rest += g[j] * x[j];
            for (ptrdiff_t n = LANES; n > 1; n /= 2)
                sums = R(evens)(sums, sums) + R(odds)(sums, sums);
            ((real *)job->target)[i] = share * (sums[0] + rest);
        }
    }
}

/* A row, where it is larger than the best so far, or the first NaN. */
ALWAYS_INLINE void R(raise)(real *restrict best, bits *restrict place, const real *restrict x,
                            bits row, ptrdiff_t width) {
    for (ptrdiff_t j = 0; j < width; j++) {
        const int better = !(x[j] <= best[j]) & (best[j] == best[j]);
        best[j] = better ? x[j] : best[j];
        place[j] = better ? row : place[j];
    }
}

static void R(bag_max)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    EACH_BAG(job, task, b) {
        real *best = (real *)job->target + b * width;
        bits *place = (bits *)job->place + b * width;
        int is_empty = 1;
        EACH_ENTRY(job, b, i) {
            if (is_empty) {
                memcpy(best, R(row_of)(job, i), width * sizeof(real));
                for (ptrdiff_t j = 0; j < width; j++) place[j] = job->index[i];
            } else {
                R(raise)(best, place, R(row_of)(job, i), job->index[i], width);
            }
            is_empty = 0;
        }
        if (is_empty) {
            memset(best, 0, width * sizeof(real));
            memset(place, -1, width * sizeof(bits));
        }
    }
}

static void R(bag_max_backward)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    real *target = job->target;
    (void)task;
    memset(target, 0, job->rows * width * sizeof(real));
    for (ptrdiff_t b = 0; b < job->bags; b++) {
        const real *g = (const real *)job->g + b * width;
        const bits *place = (const bits *)job->place + b * width;
        for (ptrdiff_t j = 0; j < width; j++)
            if (0 <= place[j] && place[j] < job->rows) target[place[j] * width + j] += g[j];
    }
}

static const bag_level R(level) = {
    LUCID_NAME(bags_fit), R(bag_sum), R(bag_sum_backward), R(bag_products), R(bag_max),
    R(bag_max_backward),
};

#undef EACH_BAG
#undef EACH_ENTRY
#undef LANES
#undef FEW
