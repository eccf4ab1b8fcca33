/* random.h: random bits by counter. The bits of an element depend on the seed and its place alone,
 * so that any number of threads draws the same, and backward draws what forward drew. */
#ifndef LUCID_RANDOM_H
#define LUCID_RANDOM_H

#include <stdint.h>

/* What the elements of a row have in common: 64 bits of seed and row, mixed by the finalizer of
 * SplitMix64. */
typedef struct {
    uint32_t first, second;
} random_key;

static inline __attribute__((always_inline)) uint64_t random_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline __attribute__((always_inline)) random_key random_row_key(uint64_t seed,
                                                                       uint64_t row) {
    const uint64_t mixed = random_mix(random_mix(seed) + row);
    return (random_key){(uint32_t)mixed, (uint32_t)(mixed >> 32)};
}

/* The finalizer of MurmurHash3 over a counter, with the second half of the key half-way: the draws
 * of two keys are then no shifts of each other. */
static inline __attribute__((always_inline)) uint32_t random_bits(random_key key, uint32_t j) {
    uint32_t x = key.first + j * 0x9e3779b9u;
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= key.second;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

/* Bits are below this with probability p. */
static inline uint32_t random_threshold(double p) {
    const double limit = p * 4294967296.0;
    return limit >= 4294967295.0 ? 0xffffffffu : (uint32_t)limit;
}

#endif
