/* norms.h: how a list of gradients is cut into pieces, and pieces are put together again.
 *
 * A view describes one array: plain memory, or axes to walk. A piece is up to LUCID_BLOCK
 * consecutive elements of one view, and all work is done piece by piece by the function that
 * norms_body.h compiles for each instruction set. Partial results are merged in the order of the
 * list, whatever thread computed them, so bits do not depend on the number of threads, nor on
 * whether a tensor is whole or split at multiples of LUCID_BLOCK.
 *
 * Sums are kept in float64: LUCID_LANES lanes, each a pair high + low that together hold about
 * 106 bits. A sum that left float64's safe range is taken again with every element divided by the
 * largest one (or its power of two, which is exact): the fast path needs no scaling, and nothing
 * overflows or underflows unless the norm itself does.
 */
#ifndef LUCID_NORMS_H
#define LUCID_NORMS_H

#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    LUCID_LANES = 8,
    LUCID_BLOCK = 16384,       /* elements in a piece */
    LUCID_SHARE = 8,           /* pieces that a thread takes at a time: some 10 us */
    LUCID_STAGE = 1024,        /* elements converted at a time where memory is not plain reals */
    LUCID_WINDOW = 1024,       /* pieces in flight, which bounds the memory for their results */
    LUCID_MAX_AXES = 64,
    LUCID_STATS_COLUMNS = 7,
};

typedef enum { LUCID_F16, LUCID_F32, LUCID_F64, LUCID_C64, LUCID_C128 } lucid_kind;
typedef enum {
    LUCID_SUM, LUCID_MAX, LUCID_COUNT, LUCID_STATS, /* read */
    LUCID_SCALE, LUCID_CLAMP, LUCID_ZERO,           /* write */
} lucid_op;
/* What is summed over v: v, |v|, v^2, |v|^3, |v|^p. */
typedef enum { LUCID_SIGNED, LUCID_ONE, LUCID_TWO, LUCID_THREE, LUCID_ANY } lucid_power;
/* What stands for a complex element. */
typedef enum { LUCID_PARTS, LUCID_MODULUS, LUCID_LARGER_PART } lucid_form;

typedef struct {
    Py_ssize_t length, stride; /* stride in bytes */
} lucid_axis;

typedef struct {
    char *data;
    Py_ssize_t size;
    lucid_kind kind;
    int ndim;
    lucid_axis *axes; /* NULL: the elements lie side by side */
} lucid_view;

typedef struct {
    double high[LUCID_LANES], low[LUCID_LANES];
} lucid_sum;

typedef struct {
    lucid_sum powers, plain; /* of |v|^p; of v, for the mean */
    uint64_t max;            /* the bits of the largest |v|: NaN above inf above all numbers */
    int64_t zeros, nans, infs;
} lucid_result;

typedef struct {
    lucid_op op;
    lucid_power power;
    double p, p_high, p_low; /* p_high has 42 bits: times an exponent it is exact */
    double divisor;          /* of every element measured */
    double factor;           /* to scale by, or the limit to clamp to */
} lucid_job;

/* What norms_body.h does at one instruction set: measure a piece into a fresh result (or change
 * it), and add a result to another. */
typedef struct {
    void (*run)(const lucid_job *job, const lucid_view *view, Py_ssize_t start, Py_ssize_t count,
                lucid_result *result);
    void (*merge)(lucid_op op, lucid_result *into, const lucid_result *from);
} lucid_level_t;
typedef void (*lucid_parallel)(void (*task)(void *, Py_ssize_t), void *context, Py_ssize_t count);

/* ---- views ------------------------------------------------------------------------------- */

static const int lucid_itemsize[] = {2, 4, 8, 8, 16};

/* Fills `view` with an array of that shape and strides (bytes). The order of elements does not
 * matter to any operation here, so axes are sorted, turned forwards and merged: Fortran order and
 * reversed slices are plain memory. `in_place` visits the memory of a broadcast axis once.
 * What is not aligned keeps an axis, and so is copied before it is used.
 * Returns -1 if there is no memory. */
static int lucid_view_strided(lucid_view *view, int ndim, const Py_ssize_t *shape,
                              const Py_ssize_t *strides, int aligned, int in_place) {
    lucid_axis axes[LUCID_MAX_AXES];
    int used = 0;
    view->size = 1;
    for (int i = 0; i < ndim; i++) {
        Py_ssize_t length = shape[i], stride = strides[i];
        if (in_place && stride == 0 && length > 1) length = 1;
        view->size *= length;
        if (length <= 1) continue;
        if (stride < 0) {
            view->data += stride * (length - 1);
            stride = -stride;
        }
        int at = used++;
        for (; at > 0 && axes[at - 1].stride < stride; at--) axes[at] = axes[at - 1];
        axes[at] = (lucid_axis){length, stride};
    }
    int kept = 0;
    for (int i = 0; i < used && view->size; i++) {
        if (kept && axes[kept - 1].stride == axes[i].stride * axes[i].length) {
            axes[kept - 1].length *= axes[i].length;
            axes[kept - 1].stride = axes[i].stride;
        } else {
            axes[kept++] = axes[i];
        }
    }
    const int item = lucid_itemsize[view->kind];
    if (kept == 0 && !aligned && view->size) axes[kept++] = (lucid_axis){1, item};
    view->axes = NULL;
    view->ndim = kept;
    if (kept == 0 || (aligned && kept == 1 && axes[0].stride == item)) return 0;
    view->axes = malloc((size_t)kept * sizeof *axes);
    if (!view->axes) return -1;
    memcpy(view->axes, axes, (size_t)kept * sizeof *axes);
    return 0;
}

/* Copies elements start ... start + count of a view with axes to a buffer, or back (`scatter`). */
static void lucid_copy(const lucid_view *view, Py_ssize_t start, Py_ssize_t count, char *buffer,
                       int scatter) {
    Py_ssize_t index[LUCID_MAX_AXES];
    const int last = view->ndim - 1, size = lucid_itemsize[view->kind];
    const lucid_axis inner = view->axes[last];
    char *data = view->data;
    for (int i = last; i >= 0; i--) {
        index[i] = start % view->axes[i].length;
        start /= view->axes[i].length;
        data += index[i] * view->axes[i].stride;
    }
    for (;;) {
        Py_ssize_t run = inner.length - index[last];
        if (run > count) run = count;
#define LUCID_COPY_RUN(bytes)                                                          \
    for (Py_ssize_t i = 0; i < run; i++)                                               \
        scatter ? memcpy(data + i * inner.stride, buffer + i * (bytes), bytes)         \
                : memcpy(buffer + i * (bytes), data + i * inner.stride, bytes)
        switch (size) {
            case 2: LUCID_COPY_RUN(2); break;
            case 4: LUCID_COPY_RUN(4); break;
            case 8: LUCID_COPY_RUN(8); break;
            default: LUCID_COPY_RUN(16);
        }
#undef LUCID_COPY_RUN
        if (!(count -= run)) return;
        buffer += run * size;
        data -= index[last] * inner.stride;
        index[last] = 0;
        for (int i = last - 1; i >= 0; i--) {
            data += view->axes[i].stride;
            if (++index[i] < view->axes[i].length) break;
            data -= view->axes[i].length * view->axes[i].stride;
            index[i] = 0;
        }
    }
}

/* ---- putting results together ------------------------------------------------------------ */

/* high + low += term, without an error in high (Knuth's two-sum). */
static inline void lucid_add(double *high, double *low, double term) {
    double sum = *high + term, part = sum - *high;
    *low += (*high - (sum - part)) + (term - part);
    *high = sum;
}

/* The sum of every step-th lane from the first on. */
static double lucid_fold(const lucid_sum *sum, int first, int step) {
    double high = 0.0, low = 0.0;
    for (int i = first; i < LUCID_LANES; i += step) {
        lucid_add(&high, &low, sum->high[i]);
        low += sum->low[i];
    }
    return isfinite(high) ? high + low : high; /* the low part of an inf is NaN */
}

/* ---- running a job over a list of views -------------------------------------------------- */

typedef struct {
    const lucid_view *view;
    Py_ssize_t start, count;
    lucid_result *into, result;
} lucid_piece;

typedef struct {
    const lucid_level_t *level;
    const lucid_job *job;
    lucid_piece *pieces;
    Py_ssize_t count;
} lucid_window;

static void lucid_window_task(void *context, Py_ssize_t index) {
    const lucid_window *window = context;
    Py_ssize_t from = index * LUCID_SHARE, to = from + LUCID_SHARE;
    for (Py_ssize_t i = from; i < to && i < window->count; i++) {
        lucid_piece *piece = &window->pieces[i];
        window->level->run(window->job, piece->view, piece->start, piece->count, &piece->result);
    }
}

static void lucid_window_finish(lucid_window *window, lucid_parallel parallel) {
    parallel(lucid_window_task, window, (window->count - 1) / LUCID_SHARE + 1);
    for (Py_ssize_t i = 0; i < window->count && window->job->op < LUCID_SCALE; i++)
        window->level->merge(window->job->op, window->pieces[i].into, &window->pieces[i].result);
    window->count = 0;
}

/* What every function of the module runs on: the list, and how to run. */
typedef struct {
    const lucid_view *views;
    Py_ssize_t count;
    const lucid_level_t *level;
    lucid_parallel parallel; /* NULL: one thread is to do it all */
} lucid_list;

/* Runs the job over the list; results[0] for all views, or results[i] for view i (`each`).
 * The results must have been cleared. */
static void lucid_execute(const lucid_list *list, const lucid_job *job, lucid_result *results,
                          int each) {
    lucid_window window = {list->level, job, NULL, 0};
    lucid_result partial;
    if (list->parallel) window.pieces = malloc(LUCID_WINDOW * sizeof *window.pieces);
    for (Py_ssize_t i = 0; i < list->count; i++) {
        const lucid_view *view = &list->views[i];
        lucid_result *into = &results[each ? i : 0];
        if (i + 2 < list->count) /* no prefetcher knows where the next array lies */
            for (int line = 0; line < 8; line++)
                __builtin_prefetch(list->views[i + 2].data + 64 * line);
        for (Py_ssize_t start = 0; start < view->size; start += LUCID_BLOCK) {
            Py_ssize_t count = view->size - start;
            if (count > LUCID_BLOCK) count = LUCID_BLOCK;
            if (window.pieces) {
                lucid_piece *piece = &window.pieces[window.count++];
                piece->view = view;
                piece->start = start;
                piece->count = count;
                piece->into = into;
                if (window.count == LUCID_WINDOW) lucid_window_finish(&window, list->parallel);
            } else {
                list->level->run(job, view, start, count, &partial);
                if (job->op < LUCID_SCALE) list->level->merge(job->op, into, &partial);
            }
        }
    }
    if (window.count) lucid_window_finish(&window, list->parallel);
    free(window.pieces);
}

/* ---- norms ------------------------------------------------------------------------------- */

/* A sum at least this large has lost nothing to underflow: what a term below 2^-1022 can lose,
 * times any possible number of terms, is less than its last bit. */
#define LUCID_SAFE_SUM 0x1p-900

static lucid_job lucid_norm_job(double p) {
    lucid_job job = {.op = LUCID_SUM, .p = p, .divisor = 1.0};
    uint64_t bits;
    memcpy(&bits, &p, sizeof bits);
    bits &= ~(uint64_t)0x7ff;
    memcpy(&job.p_high, &bits, sizeof bits);
    job.p_low = p - job.p_high;
    job.power = p == 1.0 ? LUCID_ONE : p == 2.0 ? LUCID_TWO : p == 3.0 ? LUCID_THREE : LUCID_ANY;
    if (p >= 0x1p60) job.op = LUCID_MAX; /* n^(1/p) is 1 for any possible n */
    return job;
}

static double lucid_max_of(const lucid_result *result) {
    double max;
    memcpy(&max, &result->max, sizeof max);
    return max;
}

static double lucid_root(double sum, const lucid_job *job) {
    switch (job->power) {
        case LUCID_ONE: return sum;
        case LUCID_TWO: return sqrt(sum);
        case LUCID_THREE: return cbrt(sum);
        default: break;
    }
    /* 1 / p is rounded, which the logarithm of the sum magnifies; one Newton step repairs it. */
    double root = pow(sum, 1.0 / job->p), back = pow(root, job->p);
    double step = root * ((back - sum) / sum) / job->p;
    return isfinite(step) ? root - step : root;
}

static int lucid_safe(double sum, const lucid_job *job) {
    if (!(sum <= DBL_MAX)) return 0;
    return sum >= LUCID_SAFE_SUM && job->p >= 0x1p-10;
}

/* The divisor for a second, scaled run of a job whose elements are `max` at most. */
static double lucid_divisor(double max, const lucid_job *job) {
    return job->power == LUCID_ANY ? max : ldexp(1.0, ilogb(max));
}

/* The norm of the whole list, given what the job found in it. */
static double lucid_norm(const lucid_list *list, lucid_job job, const lucid_result *found) {
    lucid_result again;
    if (job.op == LUCID_MAX) return lucid_max_of(found);
    double sum = lucid_fold(&found->powers, 0, 1);
    if (lucid_safe(sum, &job)) return lucid_root(sum, &job);

    job.op = LUCID_MAX;
    memset(&again, 0, sizeof again);
    lucid_execute(list, &job, &again, 0);
    double max = lucid_max_of(&again);
    if (!(max > 0.0 && max <= DBL_MAX)) return max;

    job.op = LUCID_SUM;
    job.divisor = lucid_divisor(max, &job);
    memset(&again, 0, sizeof again);
    lucid_execute(list, &job, &again, 0);
    return lucid_root(lucid_fold(&again.powers, 0, 1), &job) * job.divisor;
}

static lucid_list lucid_one_of(const lucid_list *list, Py_ssize_t i) {
    lucid_list one = *list;
    one.views += i;
    one.count = 1;
    return one;
}

/* row: 2-norm, largest |v|, mean (of complex elements its modulus), zeros, NaNs, infs, size. */
static void lucid_stats_row(const lucid_list *list, Py_ssize_t i, const lucid_result *found,
                            double *row) {
    lucid_list one = lucid_one_of(list, i);
    const lucid_view *view = one.views;
    lucid_job job = lucid_norm_job(2.0);
    lucid_result again;
    job.op = LUCID_STATS;
    const lucid_result *sums = found;
    double max = lucid_max_of(found), sum = lucid_fold(&found->powers, 0, 1);
    int finite = max > 0.0 && max <= DBL_MAX;
    if (finite && !(lucid_safe(sum, &job) && isfinite(lucid_fold(&found->plain, 0, 1)))) {
        job.divisor = lucid_divisor(max, &job);
        memset(&again, 0, sizeof again);
        lucid_execute(&one, &job, &again, 0);
        sums = &again;
        sum = lucid_fold(&sums->powers, 0, 1);
    }
    double mean = lucid_fold(&sums->plain, 0, 1);
    if (view->kind >= LUCID_C64)
        mean = hypot(lucid_fold(&sums->plain, 0, 2), lucid_fold(&sums->plain, 1, 2));
    row[0] = finite ? sqrt(sum) * job.divisor : max;
    row[1] = max;
    row[2] = view->size ? mean / (double)view->size * job.divisor : 0.0;
    row[3] = (double)found->zeros;
    row[4] = (double)found->nans;
    row[5] = (double)found->infs;
    row[6] = (double)view->size;
}

/* The norm over all elements of the list, and how many of them are not finite. */
static double lucid_total_norm(const lucid_list *list, const lucid_job *job, int64_t *nonfinite) {
    lucid_result found = {.max = 0};
    lucid_execute(list, job, &found, 0);
    double norm = lucid_norm(list, *job, &found);
    *nonfinite = 0;
    if (!isfinite(norm)) {
        lucid_job count = {.op = LUCID_COUNT, .divisor = 1.0};
        memset(&found, 0, sizeof found);
        lucid_execute(list, &count, &found, 0);
        *nonfinite = found.nans + found.infs;
    }
    return norm;
}

/* norms[i] of view i; `scratch` holds a result for each. */
static void lucid_each_norm(const lucid_list *list, const lucid_job *job, lucid_result *scratch,
                            double *norms) {
    lucid_execute(list, job, scratch, 1);
    for (Py_ssize_t i = 0; i < list->count; i++) {
        lucid_list one = lucid_one_of(list, i);
        norms[i] = lucid_norm(&one, *job, &scratch[i]);
    }
}

static void lucid_each_count(const lucid_list *list, lucid_result *scratch, int64_t *counts) {
    lucid_job job = {.op = LUCID_COUNT, .divisor = 1.0};
    lucid_execute(list, &job, scratch, 1);
    for (Py_ssize_t i = 0; i < list->count; i++) {
        counts[2 * i] = scratch[i].nans;
        counts[2 * i + 1] = scratch[i].infs;
    }
}

static void lucid_each_stats(const lucid_list *list, lucid_result *scratch, double *rows) {
    lucid_job job = {.op = LUCID_STATS, .power = LUCID_TWO, .divisor = 1.0};
    lucid_execute(list, &job, scratch, 1);
    for (Py_ssize_t i = 0; i < list->count; i++)
        lucid_stats_row(list, i, &scratch[i], rows + LUCID_STATS_COLUMNS * i);
}

static void lucid_change(const lucid_list *list, lucid_op op, double factor) {
    lucid_job job = {.op = op, .factor = factor};
    lucid_result unused;
    lucid_execute(list, &job, &unused, 0);
}

#endif
