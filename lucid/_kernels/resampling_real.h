/* resampling_real.h: resampling for one `real` type. Planes of one column run along the places, tap
 * by tap; others along their columns. */

#include "vector_math.h"

LUCID_INLINE real R(weight_at)(const real *weight, ptrdiff_t i) { return weight ? weight[i] : 1; }

static void R(sample_points)(const real *x, const int32_t *place, const real *weight, real *out,
                             ptrdiff_t taps, ptrdiff_t count) {
    for (ptrdiff_t t = 0; t < taps; t++, place += count) {
        const int first = t == 0;
        if (weight) {
            LUCID_LOOP for (ptrdiff_t p = 0; p < count; p++) {
                const int32_t at = place[p];
                const real value = at < 0 ? 0 : weight[p] * x[at < 0 ? 0 : at];
                out[p] = first ? value : out[p] + value;
            }
            weight += count;
        } else
            LUCID_LOOP for (ptrdiff_t p = 0; p < count; p++) {
                const int32_t at = place[p];
                const real value = at < 0 ? 0 : x[at < 0 ? 0 : at];
                out[p] = first ? value : out[p] + value;
            }
    }
}

static void R(sample_rows)(const real *x, const int32_t *place, const real *weight, real *out,
                           ptrdiff_t taps, ptrdiff_t count, ptrdiff_t columns) {
    for (ptrdiff_t p = 0; p < count; p++, out += columns) {
        int written = 0;
        for (ptrdiff_t t = 0; t < taps; t++) {
            const ptrdiff_t at = place[t * count + p];
            if (at < 0) continue;
            const real w = R(weight_at)(weight, t * count + p), *row = x + at * columns;
            if (written)
                LUCID_LOOP for (ptrdiff_t i = 0; i < columns; i++)
                    out[i] = R(fma)(w, row[i], out[i]);
            else
                LUCID_LOOP for (ptrdiff_t i = 0; i < columns; i++) out[i] = w * row[i];
            written = 1;
        }
        if (!written) memset(out, 0, (size_t)columns * sizeof(real));
    }
}

static void R(sample_task)(void *context, ptrdiff_t task) {
    const resample_job *const job = context;
    const ptrdiff_t all = job->images * job->channels, end = (task + 1) * job->per_task;
    for (ptrdiff_t plane = task * job->per_task; plane < (end < all ? end : all); plane++) {
        const ptrdiff_t shift = plane / job->channels * job->step;
        const int32_t *const place = job->place + shift;
        const real *const weight = job->weight ? (const real *)job->weight + shift : NULL;
        const real *const x = (const real *)job->x + plane * job->size * job->columns;
        real *const out = (real *)job->out + plane * job->count * job->columns;
        if (job->columns == 1)
            R(sample_points)(x, place, weight, out, job->taps, job->count);
        else
            R(sample_rows)(x, place, weight, out, job->taps, job->count, job->columns);
    }
}

/* A few planes at once, whose additions do not wait for each other. */
LUCID_INLINE void R(spread_points)(const real *g, const int32_t *place, const real *weight,
                                   real *out, ptrdiff_t taps, ptrdiff_t count, ptrdiff_t size,
                                   int planes) {
    for (ptrdiff_t t = 0; t < taps; t++, place += count, weight += weight ? count : 0)
        for (ptrdiff_t p = 0; p < count; p++) {
            const ptrdiff_t at = place[p];
            if (at < 0) continue;
            const real w = R(weight_at)(weight, p);
            for (int k = 0; k < planes; k++) out[k * size + at] += w * g[k * count + p];
        }
}

LUCID_INLINE void R(spread_rows)(const real *g, const int32_t *place, const real *weight, real *out,
                                 ptrdiff_t taps, ptrdiff_t count, ptrdiff_t columns) {
    for (ptrdiff_t t = 0; t < taps; t++, place += count, weight += weight ? count : 0)
        for (ptrdiff_t p = 0; p < count; p++) {
            if (place[p] < 0) continue;
            const real w = R(weight_at)(weight, p), *const from = g + p * columns;
            real *const to = out + place[p] * columns;
            LUCID_LOOP for (ptrdiff_t i = 0; i < columns; i++) to[i] = R(fma)(w, from[i], to[i]);
        }
}

static void R(spread_task)(void *context, ptrdiff_t task) {
    enum { TOGETHER = 4 };
    const resample_job *const job = context;
    const ptrdiff_t columns = job->columns, count = job->count, size = job->size;
    const ptrdiff_t all = job->images * job->channels, end = (task + 1) * job->per_task;
    ptrdiff_t planes = 0;
    for (ptrdiff_t plane = task * job->per_task; plane < (end < all ? end : all); plane += planes) {
        const ptrdiff_t shift = plane / job->channels * job->step;
        const int32_t *const place = job->place + shift;
        const real *const weight = job->weight ? (const real *)job->weight + shift : NULL;
        const real *const g = (const real *)job->g + plane * count * columns;
        real *const out = (real *)job->out + plane * size * columns;
        planes = columns == 1 && plane % job->channels + TOGETHER <= job->channels &&
                         plane + TOGETHER <= end ? TOGETHER : 1;
        memset(out, 0, (size_t)(planes * size * columns) * sizeof(real));
        if (columns > 1)
            R(spread_rows)(g, place, weight, out, job->taps, count, columns);
        else if (planes == TOGETHER)
            R(spread_points)(g, place, weight, out, job->taps, count, size, TOGETHER);
        else
            R(spread_points)(g, place, weight, out, job->taps, count, size, 1);
    }
}

static void R(correlate_task)(void *context, ptrdiff_t task) {
    const resample_job *const job = context;
    const ptrdiff_t columns = job->columns, count = job->count, all = job->taps * count;
    const ptrdiff_t first = task * job->per_task;
    const ptrdiff_t last = first + job->per_task < job->images ? first + job->per_task : job->images;
    for (ptrdiff_t image = first; image < last; image++) {
        const int32_t *const places = job->place + image * job->step;
        real *const out = (real *)job->out + image * job->step;
        if (image == first || job->step) memset(out, 0, (size_t)all * sizeof(real));
        for (ptrdiff_t c = 0; c < job->channels; c++) {
            const ptrdiff_t plane = image * job->channels + c;
            const real *const x = (const real *)job->x + plane * job->size * columns;
            const real *const g = (const real *)job->g + plane * count * columns;
            for (ptrdiff_t t = 0; t < job->taps; t++) {
                const int32_t *const place = places + t * count;
                real *const to = out + t * count;
                if (columns == 1) {
                    LUCID_LOOP for (ptrdiff_t p = 0; p < count; p++) {
                        const int32_t at = place[p];
                        to[p] += at < 0 ? 0 : g[p] * x[at < 0 ? 0 : at];
                    }
                    continue;
                }
                for (ptrdiff_t p = 0; p < count; p++) {
                    if (place[p] < 0) continue;
                    const real *const a = g + p * columns, *const b = x + place[p] * columns;
                    double sum = 0;
                    for (ptrdiff_t i = 0; i < columns; i++) sum += (double)a[i] * (double)b[i];
                    to[p] += (real)sum;
                }
            }
        }
    }
}

static const resample_level R(level) = {
    .sample = R(sample_task), .spread = R(spread_task), .correlate = R(correlate_task)};
