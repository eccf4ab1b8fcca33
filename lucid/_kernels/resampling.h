/* resampling.h: what a resampling kernel is told. The three kernels are the derivatives of one form,
 *
 *     sum over images b, channels c, places p, taps t and columns i of
 *         g[b, c, p, i] weight[b, t, p] x[b, c, place[b, t, p], i]
 *
 * by g (`sample`), by x (`spread`) and by weight (`correlate`), so that each is the gradient of the
 * others. A negative place contributes nothing. */
#ifndef LUCID_RESAMPLING_H
#define LUCID_RESAMPLING_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    ptrdiff_t images, channels, size, count, columns, taps;
    ptrdiff_t step;       /* of place and weight from one image to the next; 0: all share them */
    ptrdiff_t per_task;   /* planes; `correlate`: images */
    const int32_t *place; /* (taps, count) */
    const void *weight;   /* likewise; NULL: 1 */
    const void *x, *g;
    void *out;
} resample_job;

typedef void (*resample_task)(void *context, ptrdiff_t index);

typedef struct {
    resample_task sample, spread, correlate;
} resample_level;

#endif
