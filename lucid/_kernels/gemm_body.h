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

/* Index lists pick from the 4 elements of x (0-3) and of y (4-7). */
#if defined(__clang__)
#define QUAD_SHUFFLE(mask, x, y, i, j, k, l) __builtin_shufflevector(x, y, i, j, k, l)
#else
#define QUAD_SHUFFLE(mask, x, y, i, j, k, l) __builtin_shuffle(x, y, (mask){i, j, k, l})
#endif

/* The thread pool, through pointers that gemm.pyx sets. */
typedef void (*gemm_task)(void *context, ptrdiff_t index);
static void (*gemm_parallel)(gemm_task task, void *context, ptrdiff_t count);
static int (*gemm_threads)(void);
#define GEMM_PARALLEL_FROM 5e5 /* multiplications: some 5 us of one core */
#define GEMM_LOAD 8 /* multiplications that take as long as bringing in an element of b */

/* The packed block of a and one panel of b. Kept per thread, so that no product has to allocate
 * or page in its workspace afresh. */
#define GEMM_SCRATCH_BYTES (512 * 1024)
static _Thread_local char gemm_scratch[GEMM_SCRATCH_BYTES] __attribute__((aligned(64)));

#endif

#define real float
#define bits int32_t
#define REAL_NAME(name) LUCID_NAME(LUCID_JOIN(name, f32))
#define MASKED(operation) _mm512_##operation##_ps
#define MASK __mmask16
#include "gemm_real.h"
#undef real
#undef bits
#undef REAL_NAME
#undef MASKED
#undef MASK

#define real double
#define bits int64_t
#define REAL_NAME(name) LUCID_NAME(LUCID_JOIN(name, f64))
#define MASKED(operation) _mm512_##operation##_pd
#define MASK __mmask8
#include "gemm_real.h"
#undef real
#undef bits
#undef REAL_NAME
#undef MASKED
#undef MASK
