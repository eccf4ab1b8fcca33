/* convolution_body.h: the loops of convolution.h for one instruction-set level (each_level.h). */

#ifndef CONVOLUTION_ONCE
#define CONVOLUTION_ONCE
#include "convolution.h"
#include "vectors.h"
#if defined(__x86_64__)
#include <immintrin.h>
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
