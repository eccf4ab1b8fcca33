/* response_norm.h: what the kernels of local response normalisation (response_norm_real.h) are
 * told. */
#ifndef LUCID_RESPONSE_NORM_H
#define LUCID_RESPONSE_NORM_H

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "vectors.h"

typedef struct {
    ptrdiff_t images, channels, positions;
    ptrdiff_t before, after;     /* how far a channel's window reaches, less than `channels` */
    ptrdiff_t strip, strips;     /* positions worked on at a time; how many times per image */
    ptrdiff_t per_task;          /* strips */
    const void *x, *g;
    void *out;
    double scale, beta, k;       /* y = x (k + scale * sum of squares)^-beta */
    int failed;                  /* set where there was no memory */
} response_job;

typedef void (*response_task)(void *context, ptrdiff_t index);

typedef struct {
    response_task forward, backward;
} response_level;

#endif
