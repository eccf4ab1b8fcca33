/* indexing_real.h: sums and maxima of rows of a table, bag by bag, for one `real` type. Rows are
 * added straight to the bag's, several at a time: it is then loaded and stored less often. */

enum { R(TOGETHER) = 4 };

/* to += the rows, each times its factor, one after the other */
ALWAYS_INLINE void R(add_rows)(real *restrict to, const real *const *from, const real *factor,
                               ptrdiff_t width) {
    const real *restrict x0 = from[0], *restrict x1 = from[1], *restrict x2 = from[2];
    const real *restrict x3 = from[3];
    const real f0 = factor[0], f1 = factor[1], f2 = factor[2], f3 = factor[3];
    for (ptrdiff_t j = 0; j < width; j++)
        to[j] = to[j] + f0 * x0[j] + f1 * x1[j] + f2 * x2[j] + f3 * x3[j];
}

ALWAYS_INLINE void R(add_row)(real *restrict to, const real *restrict from, real factor,
                              ptrdiff_t width) {
    for (ptrdiff_t j = 0; j < width; j++) to[j] += factor * from[j];
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

#define EACH_BAG(job, task, b)                                                   \
    for (ptrdiff_t b = (task) * (job)->per_task,                                 \
                   b##_end = bag_least(b + (job)->per_task, (job)->bags); b < b##_end; b++)

#define EACH_ENTRY(job, b, i)                                                    \
    for (ptrdiff_t i = (job)->bounds[b], i##_end = (job)->bounds[b + 1]; i < i##_end; i++) \
        if ((job)->index[i] != (job)->padding)

static void R(bag_sum)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    EACH_BAG(job, task, b) {
        real *to = (real *)job->target + b * width;
        const real *from[R(TOGETHER)];
        real factor[R(TOGETHER)];
        int held = 0;
        memset(to, 0, width * sizeof(real));
        EACH_ENTRY(job, b, i) {
            from[held] = (const real *)job->table + job->index[i] * width;
            factor[held++] = R(factor_of)(job, i);
            if (held == R(TOGETHER)) R(add_rows)(to, from, factor, width), held = 0;
        }
        for (int k = 0; k < held; k++) R(add_row)(to, from[k], factor[k], width);
        const real divisor = R(divisor)(job, b);
        if (divisor != 1)
            for (ptrdiff_t j = 0; j < width; j++) to[j] /= divisor;
    }
}

/* Some columns of the table's gradient. */
static void R(bag_sum_backward)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width, first = task * job->per_task;
    const ptrdiff_t columns = bag_least(job->per_task, width - first);
    real *target = (real *)job->target + first;
    if (columns == width)
        memset(target, 0, job->rows * width * sizeof(real));
    else
        for (ptrdiff_t r = 0; r < job->rows; r++)
            memset(target + r * width, 0, columns * sizeof(real));
    for (ptrdiff_t b = 0; b < job->bags; b++) {
        const real *g = (const real *)job->g + b * width + first;
        const real divisor = R(divisor)(job, b);
        EACH_ENTRY(job, b, i)
            R(add_row)(target + job->index[i] * width, g, R(factor_of)(job, i) / divisor, columns);
    }
}

/* Of each entry, its row times the bag's gradient. */
static void R(bag_products)(void *context, ptrdiff_t task) {
    enum { LANES = LUCID_VBYTES / sizeof(real) };
    typedef real lanes __attribute__((vector_size(LUCID_VBYTES), aligned(sizeof(real)), may_alias));
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    EACH_BAG(job, task, b) {
        const real *g = (const real *)job->g + b * width;
        const real divisor = R(divisor)(job, b);
        EACH_ENTRY(job, b, i) {
            const real *x = (const real *)job->table + job->index[i] * width;
            lanes sums = {0};
            ptrdiff_t j = 0;
            for (; j + LANES <= width; j += LANES)
                sums += *(const lanes *)(g + j) * *(const lanes *)(x + j);
            real total = 0;
            for (int l = 0; l < LANES; l++) total += sums[l];
            for (; j < width; j++) total += g[j] * x[j];
            ((real *)job->target)[i] = total / divisor;
        }
    }
}

/* The first of several largest elements, or the first NaN. */
ALWAYS_INLINE void R(raise)(real *restrict best, bits *restrict place, const real *restrict x,
                            bits row, ptrdiff_t width) {
    for (ptrdiff_t j = 0; j < width; j++) {
        const int larger = !(x[j] <= best[j]) & (best[j] == best[j]);
        best[j] = larger ? x[j] : best[j];
        place[j] = larger ? row : place[j];
    }
}

static void R(bag_max)(void *context, ptrdiff_t task) {
    const bag_job *job = context;
    const ptrdiff_t width = job->width;
    EACH_BAG(job, task, b) {
        real *best = (real *)job->target + b * width;
        bits *place = (bits *)job->place + b * width;
        int empty = 1;
        EACH_ENTRY(job, b, i) {
            const real *x = (const real *)job->table + job->index[i] * width;
            if (empty) {
                memcpy(best, x, width * sizeof(real));
                for (ptrdiff_t j = 0; j < width; j++) place[j] = job->index[i];
            } else {
                R(raise)(best, place, x, job->index[i], width);
            }
            empty = 0;
        }
        if (empty) {
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
