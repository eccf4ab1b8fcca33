/* levels.h: which instruction set the kernels use in this process.
 *
 * Every kernel body is compiled once per level (see each_level.h) into the same binary, and the
 * level is chosen when the module is imported: the best one the CPU has, or a lower one that the
 * environment variable LUCID_SIMD names ("baseline", "avx2", "avx512"). Without
 * LUCID_MULTIVERSION (other architectures, a compiler that failed the build's probe) there is
 * only the baseline, which vectorises for what every CPU of the architecture has (SSE2, NEON).
 */
#ifndef LUCID_LEVELS_H
#define LUCID_LEVELS_H

#include <stdlib.h>
#include <string.h>

enum { LUCID_BASELINE = 0, LUCID_AVX2 = 1, LUCID_AVX512 = 2 };

static inline int lucid_level(void) {
    int level = LUCID_BASELINE;
#ifdef LUCID_MULTIVERSION
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) level = LUCID_AVX2;
    if (level == LUCID_AVX2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        level = LUCID_AVX512;
#endif
    const char *wanted = getenv("LUCID_SIMD");
    if (wanted && !strcmp(wanted, "baseline")) level = LUCID_BASELINE;
    if (wanted && !strcmp(wanted, "avx2") && level > LUCID_AVX2) level = LUCID_AVX2;
    return level;
}

#define LUCID_JOIN_(a, b) a##_##b
#define LUCID_JOIN(a, b) LUCID_JOIN_(a, b)

/* The copy of `name` (a function or a table that a body defined) for this process's level. */
#ifdef LUCID_MULTIVERSION
#define LUCID_PICK(name)                                                         \
    (lucid_level() == LUCID_AVX512 ? LUCID_JOIN(name, avx512)                    \
     : lucid_level() == LUCID_AVX2 ? LUCID_JOIN(name, avx2) : LUCID_JOIN(name, baseline))
#else
#define LUCID_PICK(name) LUCID_JOIN(name, baseline)
#endif

#endif
