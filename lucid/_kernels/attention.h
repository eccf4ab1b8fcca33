/* attention.h: what the attention kernels (attention_real.h) are told. */
#ifndef LUCID_ATTENTION_H
#define LUCID_ATTENTION_H

#include "gemm.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* (batch, heads, rows, columns) in memory: strides in elements, that of the columns is 1. */
typedef struct {
    void *data;
    ptrdiff_t batch, head, row;
} attention_tensor;

typedef struct {
    const gemm_engine *engine;
    ptrdiff_t batch, heads, kv_heads, queries, keys, width, value_width;
    attention_tensor q, k, v, out;
    attention_tensor mask; /* added to the scores; data may be NULL */
    attention_tensor g, dq, dk, dv; /* backward */
    void *lse;             /* (batch, heads, queries): log of the sum of exp of a row's scores */
    double scale;
    int causal;
    double dropout;        /* the probability */
    uint64_t seed;
    int failed;            /* set where there was no memory */
} attention;

enum { ATTENTION_GROUP = 512 }; /* queries of a forward task */

/* A hash of 32 bits: the finalizer of MurmurHash3. */
static inline __attribute__((always_inline)) uint32_t attention_mix(uint32_t x) {
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

/* The random bits of one probability depend on the seed and its place alone. */
static inline __attribute__((always_inline)) uint32_t attention_row_key(uint64_t seed,
                                                                        uint64_t row) {
    const uint32_t high = attention_mix((uint32_t)(seed >> 32) ^ (uint32_t)(row >> 32));
    return attention_mix(attention_mix((uint32_t)seed + high) ^ (uint32_t)row);
}

static inline __attribute__((always_inline)) uint32_t attention_bits(uint32_t key, uint32_t j) {
    return attention_mix(key + j * 0x9e3779b9u);
}

/* A probability is dropped where its bits are below this. */
static inline uint32_t attention_threshold(double dropout) {
    const double limit = dropout * 4294967296.0;
    return limit >= 4294967295.0 ? 0xffffffffu : (uint32_t)limit;
}

#endif
