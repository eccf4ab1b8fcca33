/* random.h: random bits by counter. The bits of an element depend on the seed and its place alone,
 * so that any number of threads draws the same, and backward draws what forward drew. */
#ifndef LUCID_RANDOM_H
#define LUCID_RANDOM_H

#include <stdint.h>

/* A hash of 32 bits: the finalizer of MurmurHash3. */
static inline __attribute__((always_inline)) uint32_t random_mix(uint32_t x) {
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

/* What the elements of a row have in common. */
static inline __attribute__((always_inline)) uint32_t random_row_key(uint64_t seed, uint64_t row) {
    const uint32_t high = random_mix((uint32_t)(seed >> 32) ^ (uint32_t)(row >> 32));
    return random_mix(random_mix((uint32_t)seed + high) ^ (uint32_t)row);
}

static inline __attribute__((always_inline)) uint32_t random_bits(uint32_t key, uint32_t j) {
    return random_mix(key + j * 0x9e3779b9u);
}

/* Bits are below this with probability p. */
static inline uint32_t random_threshold(double p) {
    const double limit = p * 4294967296.0;
    return limit >= 4294967295.0 ? 0xffffffffu : (uint32_t)limit;
}

#endif
