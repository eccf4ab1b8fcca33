/* pooling.h: what a pooling kernel is told. Planes (images x channels) are independent; each is
 * (depth, height, width), with size-1 axes in front for fewer dimensions. */
#ifndef LUCID_POOLING_H
#define LUCID_POOLING_H

#include <stddef.h>
#include <stdint.h>

enum { POOL_DEPTH, POOL_HEIGHT, POOL_WIDTH };

typedef struct {
    ptrdiff_t size, count, kernel, stride, padding, dilation; /* of the source; of the windows */
} pool_axis;

typedef struct {
    ptrdiff_t planes, per_task;
    pool_axis axis[3];
    const void *source; /* the planes, or the windows' gradient */
    void *target;
    int32_t *index; /* of the largest element in its plane */
    int count_padding; /* the average counts the zeros around the plane */
    double divisor;    /* 0: the number of elements counted */
} pool_job;

typedef void (*pool_task)(void *context, ptrdiff_t index);

typedef struct {
    pool_task max, max_backward, average, average_backward;
} pool_level;

#endif
