/* indexing_body.h: the loops on bags for one instruction-set level (see each_level.h). */

#ifndef INDEXING_ONCE
#define INDEXING_ONCE
#include <string.h>
#include "indexing.h"
#include "vectors.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    CACHED = 1 << 20, /* bytes of a table that the nearest large cache may hold */
    AHEAD = 12,       /* entries by which rows of a larger one are fetched early */
};

static inline ptrdiff_t bag_least(ptrdiff_t x, ptrdiff_t y) { return x < y ? x : y; }
#endif

/* Whether all entries are rows of the table, and all bags ranges of entries. */
static int LUCID_NAME(bags_fit)(const bag_job *job, ptrdiff_t entries) {
    int outside = job->bounds[0] != 0 || job->bounds[job->bags] > entries;
    for (ptrdiff_t i = 0; i < entries; i++) outside |= (size_t)job->index[i] >= (size_t)job->rows;
    for (ptrdiff_t b = 0; b < job->bags; b++) outside |= job->bounds[b] > job->bounds[b + 1];
    return !outside;
}

#define LUCID_REAL_BODY "indexing_real.h"
#include "each_real.h"
