/* attention.h: what the attention kernels (attention_real.h) are told. */
#ifndef LUCID_ATTENTION_H
#define LUCID_ATTENTION_H

#include "gemm.h"
#include "random.h"
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

#endif
