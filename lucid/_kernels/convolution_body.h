/* convolution_body.h: the loops of convolution.h for one instruction-set level (each_level.h). */

#ifndef CONVOLUTION_ONCE
#define CONVOLUTION_ONCE
#include "convolution.h"
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

/* Keeps the compiler from folding the load of x into each of its uses. */
#if defined(__x86_64__)
#define IN_REGISTER(x) __asm__("" : "+v"(x))
#else
#define IN_REGISTER(x) ((void)0)
#endif
#endif

#define LUCID_REAL_BODY "convolution_real.h"
#include "each_real.h"
