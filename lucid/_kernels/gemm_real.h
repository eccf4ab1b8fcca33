/* gemm_real.h: the blocked, packed matrix product for one `real` type and one vector width.
 *
 * The structure is Goto's. The innermost routine, the tile, keeps ROWS x (2 vectors) elements of c
 * in registers while it walks along the depth. Around it, the depth is cut into blocks of at most
 * DEPTH, so that a panel of b (2 vectors wide) stays in the L1 cache while the block of a (at most
 * BLOCK_ROWS high) streams past it from L2. Panels are packed: copied so that the tile reads memory
 * strictly forward. Small products skip the copy wherever the operand's own strides will do.
 *
 * Each element of c is the sum over the depth in order within a depth block, and the block sums
 * added in order: how c is cut into tiles and tasks has no influence on the bits.
 *
 * No include guard: included once per type and level.
 */

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
#define COLUMNS (2 * LANES)
#if LUCID_VBYTES == 64 || defined(__aarch64__)
#define ROWS 12 /* 24 of 32 registers hold the tile */
#elif LUCID_VBYTES == 32
#define ROWS 6 /* 12 of 16 */
#else
#define ROWS 4 /* 8 of 16; without FMA a product needs one for itself */
#endif
#define DEPTH 256
#define BLOCK_ROWS 144

#define vec REAL_NAME(vec)
#define vec_at REAL_NAME(vec_at)
#define quad REAL_NAME(quad)
#define quad_at REAL_NAME(quad_at)
#define quad_bits REAL_NAME(quad_bits)
#define vec_bits REAL_NAME(vec_bits)
typedef real vec __attribute__((vector_size(LUCID_VBYTES)));
typedef real vec_at __attribute__((vector_size(LUCID_VBYTES), aligned(sizeof(real)), may_alias));
typedef bits vec_bits __attribute__((vector_size(LUCID_VBYTES)));
typedef real quad __attribute__((vector_size(4 * sizeof(real))));
typedef real quad_at __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef bits quad_bits __attribute__((vector_size(4 * sizeof(real))));

_Static_assert((BLOCK_ROWS + COLUMNS) * DEPTH * sizeof(real) <= GEMM_SCRATCH_BYTES, "scratch");

/* ---- The first `count` lanes of a vector, 0 < count <= LANES ---------------------------- */

#if LUCID_VBYTES == 64

ALWAYS_INLINE vec REAL_NAME(load)(const real *from, ptrdiff_t count) {
    return (vec)MASKED(maskz_loadu)((MASK)(((uint32_t)1 << count) - 1), from);
}

ALWAYS_INLINE void REAL_NAME(store)(real *to, vec x, ptrdiff_t count) {
    MASKED(mask_storeu)(to, (MASK)(((uint32_t)1 << count) - 1), x);
}

#else

ALWAYS_INLINE vec REAL_NAME(load)(const real *from, ptrdiff_t count) {
    if (count == LANES) return *(const vec_at *)from;
    vec x = {0};
    for (ptrdiff_t i = 0; i < LANES - 1; i++)
        if (i < count) x[i] = from[i];
    return x;
}

ALWAYS_INLINE void REAL_NAME(store)(real *to, vec x, ptrdiff_t count) {
    if (count == LANES) {
        *(vec_at *)to = x;
    } else {
        for (ptrdiff_t i = 0; i < LANES - 1; i++)
            if (i < count) to[i] = x[i];
    }
}

#endif

/* ---- The tile ------------------------------------------------------------------------------- */

/* The epilogue as one depth block sees it. */
#define finish REAL_NAME(finish)
typedef struct {
    real alpha;
    int add, relu;
    const real *row_bias, *column_bias;
} finish;

#define EACH                          \
    _Pragma("GCC unroll 12")          \
    for (int i = 0; i < rows; i++)    \
        _Pragma("GCC unroll 2")       \
        for (int v = 0; v < vecs; v++)

/* c(0..rows, 0..columns) from a(i, p) = a[i * a_stride + p * a_depth] and b(p, j) =
 * b[p * b_depth + j]; b has `vecs` whole vectors to read, of which `columns` elements count. */
ALWAYS_INLINE void REAL_NAME(tile)(const int rows, const int vecs, ptrdiff_t depth, const real *a,
                                   ptrdiff_t a_stride, ptrdiff_t a_depth, const real *b,
                                   ptrdiff_t b_depth, real *c, ptrdiff_t c_stride,
                                   ptrdiff_t columns, const finish *f, ptrdiff_t row,
                                   ptrdiff_t column) {
    vec t[ROWS][2];
    EACH t[i][v] = (vec){0};
    /* Three rows share a base: more pointers than that would not fit into the registers. */
    const real *base[4] = {a, a + 3 * a_stride, a + 6 * a_stride, a + 9 * a_stride};
    for (ptrdiff_t p = 0; p < depth; p++) {
        vec x[2];
        _Pragma("GCC unroll 2")
        for (int v = 0; v < vecs; v++) x[v] = *(const vec_at *)(b + v * LANES);
        EACH t[i][v] += base[i / 3][i % 3 * a_stride] * x[v];
        _Pragma("GCC unroll 4")
        for (int q = 0; q < 4; q++) base[q] += a_depth;
        b += b_depth;
    }

    const ptrdiff_t last = columns - (vecs - 1) * LANES;
#define COUNT (v + 1 < vecs ? LANES : last)
    if (f->alpha != 1) EACH t[i][v] *= f->alpha;
    if (f->add) EACH t[i][v] += REAL_NAME(load)(c + i * c_stride + v * LANES, COUNT);
    if (f->row_bias) EACH t[i][v] += f->row_bias[row + i];
    if (f->column_bias) {
        vec bias[2];
        for (int v = 0; v < vecs; v++)
            bias[v] = REAL_NAME(load)(f->column_bias + column + v * LANES, COUNT);
        EACH t[i][v] += bias[v];
    }
    if (f->relu) EACH t[i][v] = (vec)((vec_bits)t[i][v] & ~(t[i][v] < 0)); /* NaN stays NaN */
    EACH REAL_NAME(store)(c + i * c_stride + v * LANES, t[i][v], COUNT);
#undef COUNT
}

#undef EACH

#define TILE_ARGUMENTS                                                                         \
    ptrdiff_t depth, const real *a, ptrdiff_t a_stride, ptrdiff_t a_depth, const real *b,      \
        ptrdiff_t b_depth, real *c, ptrdiff_t c_stride, ptrdiff_t columns, const finish *f,    \
        ptrdiff_t row, ptrdiff_t column
#define TILE(rows, vecs)                                                                       \
    static void REAL_NAME(LUCID_JOIN(LUCID_JOIN(packed, rows), vecs))(TILE_ARGUMENTS) {        \
        REAL_NAME(tile)(rows, vecs, depth, a, 1, a_depth, b, b_depth, c, c_stride, columns, f, \
                        row, column);                                                          \
    }                                                                                          \
    static void REAL_NAME(LUCID_JOIN(LUCID_JOIN(strided, rows), vecs))(TILE_ARGUMENTS) {       \
        REAL_NAME(tile)(rows, vecs, depth, a, a_stride, a_depth, b, b_depth, c, c_stride,      \
                        columns, f, row, column);                                              \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define ENTRIES(kind, rows)                                        \
    {REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 1)), REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 2))}
#if ROWS == 12
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)
#elif ROWS == 6
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#else
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4)
#endif
FOR_ROWS(TILES)

/* [a has unit stride][rows - 1][vectors - 1] */
#define STRIDED(rows) ENTRIES(strided, rows),
#define PACKED(rows) ENTRIES(packed, rows),
static void (*const REAL_NAME(tiles)[2][ROWS][2])(TILE_ARGUMENTS) = {
    {FOR_ROWS(STRIDED)},
    {FOR_ROWS(PACKED)},
};
#undef STRIDED
#undef PACKED
#undef ENTRIES
#undef TILES
#undef TILE
#undef TILE_ARGUMENTS
#undef FOR_ROWS

/* ---- Packing ---------------------------------------------------------------------------- */

/* to[p * width + i] = from[i * stride + p] for 4 x 4 elements. */
ALWAYS_INLINE void REAL_NAME(transpose)(const real *from, ptrdiff_t stride, real *to,
                                        ptrdiff_t width) {
    const quad a = *(const quad_at *)from, b = *(const quad_at *)(from + stride);
    const quad c = *(const quad_at *)(from + 2 * stride), d = *(const quad_at *)(from + 3 * stride);
    const quad ab_low = QUAD_SHUFFLE(quad_bits, a, b, 0, 4, 1, 5);
    const quad ab_high = QUAD_SHUFFLE(quad_bits, a, b, 2, 6, 3, 7);
    const quad cd_low = QUAD_SHUFFLE(quad_bits, c, d, 0, 4, 1, 5);
    const quad cd_high = QUAD_SHUFFLE(quad_bits, c, d, 2, 6, 3, 7);
    *(quad_at *)to = QUAD_SHUFFLE(quad_bits, ab_low, cd_low, 0, 1, 4, 5);
    *(quad_at *)(to + width) = QUAD_SHUFFLE(quad_bits, ab_low, cd_low, 2, 3, 6, 7);
    *(quad_at *)(to + 2 * width) = QUAD_SHUFFLE(quad_bits, ab_high, cd_high, 0, 1, 4, 5);
    *(quad_at *)(to + 3 * width) = QUAD_SHUFFLE(quad_bits, ab_high, cd_high, 2, 3, 6, 7);
}

/* One panel, as gemm_packer in gemm.h describes it. */
ALWAYS_INLINE void REAL_NAME(pack)(const gemm_operand *operand, ptrdiff_t first, ptrdiff_t count,
                                   ptrdiff_t depth_first, ptrdiff_t depth, const ptrdiff_t width,
                                   real *panel) {
    if (operand->pack) {
        operand->pack(operand, first, count, depth_first, depth, width, panel);
        return;
    }
    const ptrdiff_t stride = operand->free_stride, step = operand->depth_stride;
    const real *from = (const real *)operand->data + first * stride + depth_first * step;
    if (count < width)
        for (ptrdiff_t p = 0; p < depth; p++)
            for (ptrdiff_t i = count; i < width; i++) panel[p * width + i] = 0;
    if (stride == 1 && count == width) {
        for (ptrdiff_t p = 0; p < depth; p++)
            for (ptrdiff_t i = 0; i < width; i++) panel[p * width + i] = from[p * step + i];
    } else if (step == 1 && count >= 4) {
        const ptrdiff_t whole = depth & ~(ptrdiff_t)3;
        for (ptrdiff_t i = 0; i < count; i += 4) {
            const ptrdiff_t at = i + 4 <= count ? i : count - 4; /* the last four may overlap */
            for (ptrdiff_t p = 0; p < whole; p += 4)
                REAL_NAME(transpose)(from + at * stride + p, stride, panel + p * width + at, width);
        }
        for (ptrdiff_t p = whole; p < depth; p++)
            for (ptrdiff_t i = 0; i < count; i++) panel[p * width + i] = from[i * stride + p];
    } else {
        for (ptrdiff_t p = 0; p < depth; p++)
            for (ptrdiff_t i = 0; i < count; i++)
                panel[p * width + i] = from[i * stride + p * step];
    }
}

/* Blocks of the depth are equally high, a multiple of 4, and at most DEPTH. */
ALWAYS_INLINE ptrdiff_t REAL_NAME(depth_block)(ptrdiff_t k) {
    const ptrdiff_t blocks = (k + DEPTH - 1) / DEPTH;
    return k <= DEPTH ? k : ((k + blocks - 1) / blocks + 3) & ~(ptrdiff_t)3;
}

/* ---- The product ------------------------------------------------------------------------ */

#define product REAL_NAME(product)
typedef struct {
    ptrdiff_t m, n, k, c_stride, height, width, down;
    const gemm_operand *a, *b;
    real *c, *packed;
    ptrdiff_t packed_first;
    const gemm_epilogue *epilogue;
} product;

ALWAYS_INLINE ptrdiff_t REAL_NAME(least)(ptrdiff_t x, ptrdiff_t y) { return x < y ? x : y; }

/* Where the panel of column j starts in a whole packed b: depth block by depth block, panel by
 * panel, each of COLUMNS x its depth. */
ALWAYS_INLINE ptrdiff_t REAL_NAME(packed_at)(ptrdiff_t n, ptrdiff_t j, ptrdiff_t p,
                                             ptrdiff_t depth) {
    return p * ((n + COLUMNS - 1) / COLUMNS * COLUMNS) + j * depth;
}

/* Rows top..bottom and columns left..right of c. */
static void REAL_NAME(block)(const product *g, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                             ptrdiff_t right) {
    real *const a_block = (real *)gemm_scratch, *const b_panel = a_block + BLOCK_ROWS * DEPTH;
    const gemm_operand *const a = g->a, *const b = g->b;
    const gemm_epilogue *const e = g->epilogue;
    const ptrdiff_t step = REAL_NAME(depth_block)(g->k);
    const ptrdiff_t tall = bottom - top, tiles = (tall + ROWS - 1) / ROWS;
    const ptrdiff_t height = (tall + tiles - 1) / tiles;
    const int pack_a = a->pack || right - left > 3 * COLUMNS;
    const int pack_b = b->pack || b->free_stride != 1 || tall > 4 * ROWS;

    for (ptrdiff_t p = 0; p < g->k; p += step) {
        const ptrdiff_t depth = REAL_NAME(least)(step, g->k - p);
        finish f = {1, p > 0, 0, NULL, NULL};
        if (e) {
            f.alpha = (real)e->alpha;
            f.add |= e->accumulate;
            if (p + depth == g->k) {
                f.row_bias = e->row_bias;
                f.column_bias = e->column_bias;
                f.relu = e->activation == GEMM_RELU;
            }
        }
        if (pack_a)
            for (ptrdiff_t i = 0; i < tall; i += height)
                REAL_NAME(pack)(a, top + i, REAL_NAME(least)(height, tall - i), p, depth, ROWS,
                                a_block + i / height * ROWS * depth);
        for (ptrdiff_t j = left; j < right; j += COLUMNS) {
            const ptrdiff_t columns = REAL_NAME(least)(COLUMNS, right - j);
            const ptrdiff_t vecs = columns > LANES ? 2 : 1;
            const real *panel = b_panel;
            ptrdiff_t b_depth = COLUMNS;
            if (g->packed) {
                panel = g->packed + REAL_NAME(packed_at)(g->n, j, p, depth);
            } else if (pack_b || columns != vecs * LANES) {
                REAL_NAME(pack)(b, j, columns, p, depth, COLUMNS, b_panel);
            } else {
                b_depth = b->depth_stride;
                panel = (const real *)b->data + j + p * b_depth;
            }
            for (ptrdiff_t i = 0; i < tall; i += height) {
                const ptrdiff_t rows = REAL_NAME(least)(height, tall - i);
                real *const c = g->c + (top + i) * g->c_stride + j;
                if (pack_a) {
                    REAL_NAME(tiles)[1][rows - 1][vecs - 1](
                        depth, a_block + i / height * ROWS * depth, 1, ROWS, panel, b_depth, c,
                        g->c_stride, columns, &f, top + i, j);
                } else {
                    REAL_NAME(tiles)[a->free_stride == 1][rows - 1][vecs - 1](
                        depth, (const real *)a->data + (top + i) * a->free_stride + p * a->depth_stride,
                        a->free_stride, a->depth_stride, panel, b_depth, c, g->c_stride, columns,
                        &f, top + i, j);
                }
            }
        }
    }
}

static void REAL_NAME(block_task)(void *context, ptrdiff_t index) {
    const product *g = context;
    const ptrdiff_t top = index % g->down * g->height, left = index / g->down * g->width;
    REAL_NAME(block)(g, top, REAL_NAME(least)(g->m, top + g->height), left,
                     REAL_NAME(least)(g->n, left + g->width));
}

static void REAL_NAME(pack_task)(void *context, ptrdiff_t index) {
    const product *g = context;
    const ptrdiff_t step = REAL_NAME(depth_block)(g->k);
    const ptrdiff_t j = index * COLUMNS;
    for (ptrdiff_t p = 0; p < g->k; p += step) {
        const ptrdiff_t depth = REAL_NAME(least)(step, g->k - p);
        REAL_NAME(pack)(g->b, j, REAL_NAME(least)(COLUMNS, g->n - j), p, depth, COLUMNS,
                        g->packed + REAL_NAME(packed_at)(g->n, j, p, depth));
    }
}

static size_t REAL_NAME(packed_size)(ptrdiff_t n, ptrdiff_t k) {
    return (size_t)((n + COLUMNS - 1) / COLUMNS * COLUMNS) * (size_t)k * sizeof(real);
}

static void REAL_NAME(pack_b)(ptrdiff_t n, ptrdiff_t k, const gemm_operand *b, void *packed) {
    product g = {.n = n, .k = k, .b = b, .packed = packed};
    gemm_parallel(REAL_NAME(pack_task), &g, (n + COLUMNS - 1) / COLUMNS);
}

/* The sum over nothing: what is left is the epilogue. */
static void REAL_NAME(empty)(ptrdiff_t m, ptrdiff_t n, real *c, ptrdiff_t c_stride,
                             const gemm_epilogue *e) {
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            real x = e && e->accumulate ? c[i * c_stride + j] : 0;
            if (e && e->row_bias) x += ((const real *)e->row_bias)[i];
            if (e && e->column_bias) x += ((const real *)e->column_bias)[j];
            c[i * c_stride + j] = e && e->activation == GEMM_RELU && x < 0 ? 0 : x;
        }
}

static void REAL_NAME(gemm)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const gemm_operand *a,
                            const gemm_operand *b, void *c, ptrdiff_t c_stride,
                            const gemm_epilogue *epilogue) {
    if (m <= 0 || n <= 0) return;
    if (k <= 0) {
        REAL_NAME(empty)(m, n, c, c_stride, epilogue);
        return;
    }
    product g = {.m = m, .n = n, .k = k, .c_stride = c_stride, .a = a, .b = b, .c = c,
                 .packed = (real *)b->packed, .epilogue = epilogue};
    if (m <= BLOCK_ROWS) {
        REAL_NAME(block)(&g, 0, m, 0, n);
        return;
    }
    /* Several blocks of rows share one packed b; without the memory for it, each packs its own. */
    void *own = NULL;
    if (!g.packed && (own = aligned_alloc(64, (REAL_NAME(packed_size)(n, k) + 63) & ~(size_t)63))) {
        g.packed = own;
        gemm_parallel(REAL_NAME(pack_task), &g, (n + COLUMNS - 1) / COLUMNS);
    }
    const ptrdiff_t blocks = (m + BLOCK_ROWS - 1) / BLOCK_ROWS;
    g.height = ((m + blocks - 1) / blocks + ROWS - 1) / ROWS * ROWS;
    g.down = (m + g.height - 1) / g.height;
    g.width = n;
    gemm_parallel(REAL_NAME(block_task), &g, g.down);
    free(own);
}

static const gemm_engine REAL_NAME(engine) = {REAL_NAME(gemm), REAL_NAME(pack_b),
                                              REAL_NAME(packed_size)};

#undef LANES
#undef COLUMNS
#undef ROWS
#undef DEPTH
#undef BLOCK_ROWS
#undef vec
#undef vec_at
#undef vec_bits
#undef quad
#undef quad_at
#undef quad_bits
#undef finish
#undef product
