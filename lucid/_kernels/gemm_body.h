/* gemm_body.h: the matrix-product engine of one instruction-set level (see each_level.h), built
 * for float and for double from the one source gemm_real.h. */

#ifndef GEMM_ONCE
#define GEMM_ONCE

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "gemm.h"
#include "vectors.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The first (LOW) and second (HIGH) half of each 16 bytes of x and of y in turn, in units of one
 * float, two floats or one double. */
#define LOW(mask, x, y, unit, bytes) \
    SHUFFLE(mask, x, y, LUCID_JOIN(LUCID_JOIN(unit, LOW), bytes))
#define HIGH(mask, x, y, unit, bytes) \
    SHUFFLE(mask, x, y, LUCID_JOIN(LUCID_JOIN(unit, HIGH), bytes))
#define FLOAT_LOW_16 0, 4, 1, 5
#define FLOAT_HIGH_16 2, 6, 3, 7
#define FLOAT_LOW_32 0, 8, 1, 9, 4, 12, 5, 13
#define FLOAT_HIGH_32 2, 10, 3, 11, 6, 14, 7, 15
#define FLOAT_LOW_64 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define FLOAT_HIGH_64 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define FLOATS_LOW_16 0, 1, 4, 5
#define FLOATS_HIGH_16 2, 3, 6, 7
#define FLOATS_LOW_32 0, 1, 8, 9, 4, 5, 12, 13
#define FLOATS_HIGH_32 2, 3, 10, 11, 6, 7, 14, 15
#define FLOATS_LOW_64 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define FLOATS_HIGH_64 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define DOUBLE_LOW_16 0, 2
#define DOUBLE_HIGH_16 1, 3
#define DOUBLE_LOW_32 0, 4, 2, 6
#define DOUBLE_HIGH_32 1, 5, 3, 7
#define DOUBLE_LOW_64 0, 8, 2, 10, 4, 12, 6, 14
#define DOUBLE_HIGH_64 1, 9, 3, 11, 5, 13, 7, 15

/* Of as many vectors as 16 bytes have elements, in each 16 bytes: the transpose (in place), and the
 * sums of each vector's elements. */
#define TRANSPOSE_FLOAT(type, mask, x, bytes)                                                    \
    const type ab_low = LOW(mask, x[0], x[1], FLOAT, bytes);                                     \
    const type ab_high = HIGH(mask, x[0], x[1], FLOAT, bytes);                                   \
    const type cd_low = LOW(mask, x[2], x[3], FLOAT, bytes);                                     \
    const type cd_high = HIGH(mask, x[2], x[3], FLOAT, bytes);                                   \
    x[0] = LOW(mask, ab_low, cd_low, FLOATS, bytes);                                             \
    x[1] = HIGH(mask, ab_low, cd_low, FLOATS, bytes);                                            \
    x[2] = LOW(mask, ab_high, cd_high, FLOATS, bytes);                                           \
    x[3] = HIGH(mask, ab_high, cd_high, FLOATS, bytes)
#define TRANSPOSE_DOUBLE(type, mask, x, bytes)                                                   \
    const type low = LOW(mask, x[0], x[1], DOUBLE, bytes);                                       \
    x[1] = HIGH(mask, x[0], x[1], DOUBLE, bytes);                                                \
    x[0] = low
#define ADD(mask, x, y, unit, bytes) (LOW(mask, x, y, unit, bytes) + HIGH(mask, x, y, unit, bytes))
#define SUMS_FLOAT(mask, x, bytes)                                                               \
    ADD(mask, ADD(mask, x[0], x[1], FLOAT, bytes), ADD(mask, x[2], x[3], FLOAT, bytes), FLOATS,  \
        bytes)
#define SUMS_DOUBLE(mask, x, bytes) ADD(mask, x[0], x[1], DOUBLE, bytes)

/* y[at + i]: element i of x (of 16 bytes) in every lane. As integers: fewer instructions. */
#define SPREAD_FLOAT(y, at, x)                             \
    (y[(at) + 0] = SHUFFLE(part_bits, x, x, 0, 0, 0, 0),   \
     y[(at) + 1] = SHUFFLE(part_bits, x, x, 1, 1, 1, 1),   \
     y[(at) + 2] = SHUFFLE(part_bits, x, x, 2, 2, 2, 2),   \
     y[(at) + 3] = SHUFFLE(part_bits, x, x, 3, 3, 3, 3))
#define SPREAD_DOUBLE(y, at, x)                            \
    (y[(at) + 0] = SHUFFLE(part_bits, x, x, 0, 0),         \
     y[(at) + 1] = SHUFFLE(part_bits, x, x, 1, 1))

/* The thread pool, through pointers that gemm.pyx sets. */
typedef void (*gemm_task)(void *context, ptrdiff_t index);
static void (*gemm_parallel)(gemm_task task, void *context, ptrdiff_t count, double nanoseconds);
static int (*gemm_threads)(void);
#define GEMM_PARALLEL_FROM 5e5 /* multiplications: some 5 us of one core */
#define GEMM_LOAD 8 /* multiplications that take as long as bringing in an element of b */

/* The packed block of a and some panels of b. Kept per thread, so that no product has to allocate
 * or page in its workspace afresh. */
#define GEMM_SCRATCH_BYTES (512 * 1024)
static _Thread_local char gemm_scratch[GEMM_SCRATCH_BYTES] __attribute__((aligned(64)));

/* Memory for a packed b. One block is kept from product to product, because paging it in afresh
 * takes longer than packing, until lucid.memory.clear(). The pool of memory.h would need the GIL.
 * Its size stands in the 64 bytes before it. */
#define GEMM_KEPT_HEADER 64
static _Atomic(char *) gemm_kept;

static void *gemm_allocate(size_t size) {
    char *block = atomic_exchange(&gemm_kept, NULL);
    if (!block || *(size_t *)block < size) {
        free(block);
        block = aligned_alloc(64, GEMM_KEPT_HEADER + ((size + 63) & ~(size_t)63));
        if (!block) return NULL;
        *(size_t *)block = size;
    }
    return block + GEMM_KEPT_HEADER;
}

static void gemm_free(void *memory) {
    free(atomic_exchange(&gemm_kept, (char *)memory - GEMM_KEPT_HEADER));
}

static void gemm_release(void) { free(atomic_exchange(&gemm_kept, NULL)); }

/* Looks at the block as its owner: another thread could free it meanwhile. */
static size_t gemm_kept_size(void) {
    char *block = atomic_exchange(&gemm_kept, NULL);
    if (!block) return 0;
    const size_t size = *(size_t *)block;
    gemm_free(block + GEMM_KEPT_HEADER);
    return size;
}

#endif

#define real float
#define bits int32_t
#define REAL_NAME(name) LUCID_NAME(LUCID_JOIN(name, f32))
#define MASKED(operation) operation##_ps
#define MASK __mmask16
#define TRANSPOSE TRANSPOSE_FLOAT
#define SUMS SUMS_FLOAT
#define SPREAD SPREAD_FLOAT
#include "gemm_real.h"
#undef real
#undef bits
#undef REAL_NAME
#undef MASKED
#undef MASK
#undef TRANSPOSE
#undef SUMS
#undef SPREAD

#define real double
#define bits int64_t
#define REAL_NAME(name) LUCID_NAME(LUCID_JOIN(name, f64))
#define MASKED(operation) operation##_pd
#define MASK __mmask8
#define TRANSPOSE TRANSPOSE_DOUBLE
#define SUMS SUMS_DOUBLE
#define SPREAD SPREAD_DOUBLE
#include "gemm_real.h"
#undef real
#undef bits
#undef REAL_NAME
#undef MASKED
#undef MASK
#undef TRANSPOSE
#undef SUMS
#undef SPREAD
