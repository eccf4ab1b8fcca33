/* convolution_body.h: the loops of convolution.h for one instruction-set level (each_level.h). */

#ifndef CONVOLUTION_ONCE
#define CONVOLUTION_ONCE
#include "convolution.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

#define LUCID_REAL_BODY "convolution_real.h"
#include "each_real.h"
