/* indexing.h: what the kernels on bags are told. A bag is a range of entries, bounds[b] to
 * bounds[b + 1]; each entry is the number of a row of a table. */
#ifndef LUCID_INDEXING_H
#define LUCID_INDEXING_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    ptrdiff_t bags, rows, width, per_task; /* of a task: bags, or columns */
    ptrdiff_t padding;                     /* the row that does not count; -1: all do */
    int mean;
    const intptr_t *index, *bounds;
    const void *table;  /* (rows, width) */
    const void *g;      /* (bags, width) */
    const void *factor; /* one for each entry, or NULL */
    void *target;
    void *place; /* of each maximum, its row; -1: the bag is empty */
} bag_job;

typedef void (*bag_task)(void *context, ptrdiff_t index);

typedef struct {
    int (*fits)(const bag_job *job, ptrdiff_t entries);
    bag_task sum, sum_backward, products, max, max_backward;
} bag_level;

#endif
