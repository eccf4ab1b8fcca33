/* gemm.h: the types every user of the matrix-product engine shares (the engine: gemm_body.h).
 *
 *     c(i, j)  =  activation( [c(i, j) +]  alpha * sum_p a(i, p) * b(p, j)  + bias )
 *
 * An operand has a free dimension (i of a, j of b) and the depth p that is summed over. Seen like
 * this both are alike, and every layout (row-major, transposed, sliced, reversed, broadcast) is a
 * pair of strides. All sizes and strides count elements, not bytes.
 */
#ifndef LUCID_GEMM_H
#define LUCID_GEMM_H

#include <stddef.h>

typedef struct gemm_operand gemm_operand;

/* Copies a(first + i, depth_first + p), i < count, p < depth, to panel[p * width + i] and fills
 * i = count .. width - 1 with zeros. count <= width. Must be safe to call from several threads. */
typedef void (*gemm_packer)(const gemm_operand *operand, ptrdiff_t first, ptrdiff_t count,
                            ptrdiff_t depth_first, ptrdiff_t depth, ptrdiff_t width, void *panel);

struct gemm_operand {
    const void *data;
    ptrdiff_t free_stride, depth_stride;
    gemm_packer pack;    /* NULL: data and the two strides say it all */
    const void *context; /* for pack */
    const void *packed;  /* NULL, or for b what the engine's pack_b made of it earlier */
};

enum { GEMM_IDENTITY = 0, GEMM_RELU = 1 };

typedef struct {
    double alpha;
    int accumulate;           /* c += instead of c = */
    int activation;
    const void *row_bias;     /* NULL, or one number per row of c */
    const void *column_bias;  /* NULL, or one number per column of c */
} gemm_epilogue;

/* One level's engine for one dtype. epilogue may be NULL. c has unit column stride and must not
 * overlap a or b. pack_b writes packed_size(n, k) bytes. */
typedef struct {
    void (*product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const gemm_operand *a,
                    const gemm_operand *b, void *c, ptrdiff_t c_stride,
                    const gemm_epilogue *epilogue);
    void (*pack_b)(ptrdiff_t n, ptrdiff_t k, const gemm_operand *b, void *packed);
    size_t (*packed_size)(ptrdiff_t n, ptrdiff_t k);
    double (*peak)(ptrdiff_t steps, double factor);
    double nanoseconds; /* of a multiplication in a large product, roughly */
} gemm_engine;

#endif
