/* each_level.h: compiles the file LUCID_BODY once per instruction set.
 *
 *     #define LUCID_BODY "thing_body.h"
 *     #include "each_level.h"
 *
 * In the body, LUCID_NAME(f) is the name of this level's copy of f (f_avx512), and LUCID_VBYTES
 * the width of its vector registers. Outside, LUCID_PICK(f) is the copy to call, looked up once at
 * import. Helpers shared by the copies must be `static inline __attribute__((always_inline))` and
 * be defined inside the body, so that each copy inlines one compiled for its own level.
 * No include guard: meant to be included once per body.
 */
#include "levels.h"

#define LUCID_NAME(name) LUCID_JOIN(name, LUCID_LEVEL)

#define LUCID_LEVEL baseline
#define LUCID_VBYTES 16
#include LUCID_BODY
#undef LUCID_LEVEL
#undef LUCID_VBYTES

#ifdef LUCID_MULTIVERSION

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,prefer-vector-width=256")
#endif
#define LUCID_LEVEL avx2
#define LUCID_VBYTES 32
#include LUCID_BODY
#undef LUCID_LEVEL
#undef LUCID_VBYTES
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c,bmi,bmi2,prefer-vector-width=512")
#endif
#define LUCID_LEVEL avx512
#define LUCID_VBYTES 64
#include LUCID_BODY
#undef LUCID_LEVEL
#undef LUCID_VBYTES
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* LUCID_MULTIVERSION */

#undef LUCID_NAME
#undef LUCID_BODY
