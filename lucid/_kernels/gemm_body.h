/* gemm_body.h: the matrix-product engine of one instruction-set level (see each_level.h), built
 * for float and for double from the one source gemm_real.h. */

#ifndef GEMM_ONCE
#define GEMM_ONCE

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "gemm.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Index lists pick from the n elements of x (0 .. n - 1) and of y (n .. 2 n - 1). */
#if defined(__clang__)
#define SHUFFLE(mask, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(mask, x, y, ...) __builtin_shuffle(x, y, (mask){__VA_ARGS__})
#endif

/* The thread pool, through pointers that gemm.pyx sets. */
typedef void (*gemm_task)(void *context, ptrdiff_t index);
static void (*gemm_parallel)(gemm_task task, void *context, ptrdiff_t count);
static int (*gemm_threads)(void);
#define GEMM_PARALLEL_FROM 2e6 /* multiplications: some 20 us of one core */

/* The packed block of a and one panel of b. Kept per thread, so that no product has to allocate
 * or page in its workspace afresh. */
#define GEMM_SCRATCH_BYTES (512 * 1024)
static _Thread_local char gemm_scratch[GEMM_SCRATCH_BYTES] __attribute__((aligned(64)));

#endif

/* Elements (one float, two floats, one double) of x and y in turn: those of the first and of the
 * second half of each 16 bytes. */
#if LUCID_VBYTES == 64
#define FLOATS_LOW 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define FLOATS_HIGH 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define PAIRS_LOW 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define PAIRS_HIGH 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define DOUBLES_LOW 0, 8, 2, 10, 4, 12, 6, 14
#define DOUBLES_HIGH 1, 9, 3, 11, 5, 13, 7, 15
#elif LUCID_VBYTES == 32
#define FLOATS_LOW 0, 8, 1, 9, 4, 12, 5, 13
#define FLOATS_HIGH 2, 10, 3, 11, 6, 14, 7, 15
#define PAIRS_LOW 0, 1, 8, 9, 4, 5, 12, 13
#define PAIRS_HIGH 2, 3, 10, 11, 6, 7, 14, 15
#define DOUBLES_LOW 0, 4, 2, 6
#define DOUBLES_HIGH 1, 5, 3, 7
#else
#define FLOATS_LOW 0, 4, 1, 5
#define FLOATS_HIGH 2, 6, 3, 7
#define PAIRS_LOW 0, 1, 4, 5
#define PAIRS_HIGH 2, 3, 6, 7
#define DOUBLES_LOW 0, 2
#define DOUBLES_HIGH 1, 3
#endif
#define ADD_IN_TURN(x, y, elements) \
    (SHUFFLE(vec_bits, x, y, elements##_LOW) + SHUFFLE(vec_bits, x, y, elements##_HIGH))

#define real float
#define bits int32_t
#define REAL_NAME(name) LUCID_NAME(LUCID_JOIN(name, f32))
#define MASKED(operation) operation##_ps
#define MASK __mmask16
#define SUMS_BY_PART(x)                                                                         \
    ADD_IN_TURN(ADD_IN_TURN(x[0], x[1], FLOATS), ADD_IN_TURN(x[2], x[3], FLOATS), PAIRS)
#include "gemm_real.h"
#undef real
#undef bits
#undef REAL_NAME
#undef MASKED
#undef MASK
#undef SUMS_BY_PART

#define real double
#define bits int64_t
#define REAL_NAME(name) LUCID_NAME(LUCID_JOIN(name, f64))
#define MASKED(operation) operation##_pd
#define MASK __mmask8
#define SUMS_BY_PART(x) ADD_IN_TURN(x[0], x[1], DOUBLES)
#include "gemm_real.h"
#undef real
#undef bits
#undef REAL_NAME
#undef MASKED
#undef MASK
#undef SUMS_BY_PART

#undef FLOATS_LOW
#undef FLOATS_HIGH
#undef PAIRS_LOW
#undef PAIRS_HIGH
#undef DOUBLES_LOW
#undef DOUBLES_HIGH
#undef ADD_IN_TURN
