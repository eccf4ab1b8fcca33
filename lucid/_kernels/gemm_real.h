/* gemm_real.h: the blocked, packed matrix product for one `real` type and one vector width.
 *
 * The structure is Goto's. The innermost routine, the tile, keeps ROWS x (2 vectors) elements of c
 * in registers while it walks along the depth, which is cut into blocks of at most DEPTH. A panel
 * is what a tile reads: ROWS rows of a or COLUMNS columns of b over one such block. Panels are
 * packed, that is copied so that the tile reads memory strictly forward: a in blocks of at most
 * BLOCK_ROWS rows, b as a whole where several blocks of rows share it. A row of tiles then runs
 * over as many panels of b as fit into the L2 cache, its own panel of a staying in L1. Small
 * products skip the copy wherever the operand's own strides will do; the last columns of b are then
 * read through a mask where the level has masks. Thin products, which cannot fill a tile or would
 * pay for packing b without using it often, have loops of their own: a few rows times a transposed
 * matrix are dot products, one row times a matrix is a combination of its rows.
 *
 * Each element of c is the sum over the depth in order within a depth block, and the block sums
 * added in order (thin products sum in an order of their own, which depends on the shapes and
 * strides alone): how c is cut into tiles and tasks has no influence on the bits.
 *
 * No include guard: included once per type and level.
 */

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
#define PART ((ptrdiff_t)(16 / sizeof(real))) /* of a vector: what shuffles do not leave */
#define COLUMNS (2 * LANES)
#if LUCID_VBYTES == 64 || defined(__aarch64__)
#define ROWS 12 /* 24 of 32 registers hold the tile */
#elif LUCID_VBYTES == 32
#define ROWS 6 /* 12 of 16 */
#else
#define ROWS 4 /* 8 of 16; without FMA a product needs one for itself */
#endif
#define DEPTH (sizeof(real) == 8 && LUCID_VBYTES == 64 ? 192 : 256) /* panels that fit into L1 */
/* Of a packed panel of a, per step of the depth. Without broadcasts the number of instructions is
 * the limit, so there each element is packed as often as a vector has lanes. The block is of whole
 * panels. */
#define WIDTH (ROWS == 4 ? ROWS * LANES : ROWS)
#define BLOCK_BYTES (384 << 10)
#define BLOCK_ROWS (BLOCK_BYTES / (ptrdiff_t)(DEPTH * WIDTH * sizeof(real)) * ROWS)
#define CHUNK_BYTES (384 << 10)
#define DIRECT_BYTES (40 << 10)
#define PACKED_BYTES (16 << 20)
#define PANELS (ROWS == 4 ? 6 : 4) /* of b, packed at a time */
/* With no more rows of c, packing b does not pay: if its rows stay near from one row of tiles to
 * the next; if not; and if they are aliased. The lower the tiles, the more often b is read. */
#define NEAR_BYTES (ROWS == 4 ? 16 << 10 : 128 << 10)
#define NEAR_ROWS (16 * ROWS)
#define FAR_ROWS (ROWS == 12 ? 192 : ROWS == 6 ? 24 : 8)
#define ALIASED_ROWS (ROWS == 12 ? 48 : ROWS)
#define DIRECT_COLUMNS (ROWS == 4 ? 16 : 192) /* with fewer columns, packing a does not */
#define ALONG_MAX_ROWS (ROWS == 12 ? 4 : ROWS)
#define ALONG_DEPTH 8 /* as many aliased rows as L1 has ways */
#define DOT_MIN_DEPTH (4 * LANES)
#if LUCID_VBYTES == 64
#define DOT_MAX_ROWS 16
#elif ROWS == 4
#define DOT_MAX_ROWS 32 /* to spread a number over a register is slow, so dot products win longer */
#else
#define DOT_MAX_ROWS 8
#endif
#define PEAK_CHAINS 12
#define NANOSECONDS (0.25 / LANES) /* of a multiplication, at best: to tell large from small */

#define vec REAL_NAME(vec)
#define vec_at REAL_NAME(vec_at)
#define part REAL_NAME(part)
#define part_at REAL_NAME(part_at)
#define part_bits REAL_NAME(part_bits)
#define part_bits_at REAL_NAME(part_bits_at)
#define vec_bits REAL_NAME(vec_bits)
typedef real vec __attribute__((vector_size(LUCID_VBYTES)));
typedef real vec_at __attribute__((vector_size(LUCID_VBYTES), aligned(sizeof(real)), may_alias));
typedef bits vec_bits __attribute__((vector_size(LUCID_VBYTES)));
typedef real part __attribute__((vector_size(16)));
typedef real part_at __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
typedef bits part_bits __attribute__((vector_size(16)));
typedef bits part_bits_at __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));

_Static_assert(BLOCK_BYTES + PANELS * COLUMNS * DEPTH * sizeof(real) <= GEMM_SCRATCH_BYTES,
               "scratch");

ALWAYS_INLINE ptrdiff_t REAL_NAME(least)(ptrdiff_t x, ptrdiff_t y) { return x < y ? x : y; }

/* ---- The first `count` lanes of a vector, 0 < count <= LANES ---------------------------- */

#define MASKS (LUCID_VBYTES > 16)

#if LUCID_VBYTES == 64

ALWAYS_INLINE vec REAL_NAME(load)(const real *from, ptrdiff_t count) {
    return (vec)MASKED(_mm512_maskz_loadu)((MASK)(((uint32_t)1 << count) - 1), from);
}

ALWAYS_INLINE void REAL_NAME(store)(real *to, vec x, ptrdiff_t count) {
    MASKED(_mm512_mask_storeu)(to, (MASK)(((uint32_t)1 << count) - 1), x);
}

#else

ALWAYS_INLINE vec REAL_NAME(load)(const real *from, ptrdiff_t count) {
#if MASKS
    static const bits ones[2 * LANES] = {[0 ... LANES - 1] = -1};
    return (vec)MASKED(_mm256_maskload)(from, *(const __m256i_u *)(ones + LANES - count));
#else
    if (count == LANES) return *(const vec_at *)from;
    vec x = {0};
    for (ptrdiff_t i = 0; i < LANES - 1; i++)
        if (i < count) x[i] = from[i];
    return x;
#endif
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

/* Of a panel, in which all lanes are there where they cannot be masked out. */
ALWAYS_INLINE vec REAL_NAME(load_panel)(const real *from, ptrdiff_t count) {
    return MASKS && count < LANES ? REAL_NAME(load)(from, count) : (vec)*(const vec_at *)from;
}

/* ---- The tile ------------------------------------------------------------------------------- */

/* What a row of tiles over one depth block has in common: how a and b lie, where c and the row are,
 * and what to do with the sums (nothing, if they are final). */
#define pass REAL_NAME(pass)
typedef struct {
    ptrdiff_t depth, a_stride, a_depth, b_depth, b_panel, c_stride; /* b_panel: to the next one */
    real *c;
    ptrdiff_t row;
    int final, add, relu;
    real alpha;
    const real *row_bias, *column_bias;
} pass;

#define EACH_ROW _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++)
#define EACH_VECTOR _Pragma("GCC unroll 2") for (int v = 0; v < vecs; v++)
#define EACH EACH_ROW EACH_VECTOR

/* Makes a pointer unknown to the compiler. Otherwise it would keep the addresses of all rows on the
 * stack, from one use to the next: while a tile's stores wait for its sums, not many others fit
 * into the store queue, and the next tile has to wait with them. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* c(s->row.., column..), of the last vector only the first `last` lanes, from a(i, p) =
 * a[i * a_stride + p * a_depth] and b(p, j) = b[p * b_depth + j]. Without masks, b has `vecs` whole
 * vectors to read. */
ALWAYS_INLINE void REAL_NAME(tile)(const int rows, const int vecs, const ptrdiff_t last,
                                   const int packed, const pass *s, const real *a, const real *b,
                                   ptrdiff_t column) {
    const ptrdiff_t a_stride = packed ? 1 : s->a_stride;
    const ptrdiff_t depth = s->depth, a_depth = s->a_depth, b_depth = s->b_depth;
    const ptrdiff_t c_stride = s->c_stride;
    real *const c = s->c + s->row * c_stride + column, *to = c;
#define COUNT (v + 1 < vecs ? LANES : last)
    vec t[ROWS][2];
    EACH t[i][v] = (vec){0};
    if (depth > 64) /* in time for the end */
        EACH_ROW {
            EACH_VECTOR __builtin_prefetch(to + v * LANES, 1);
            to += c_stride;
            HIDE(to);
        }
    /* Three rows share a base: more pointers than that would not fit into the registers. */
    const real *base[4] = {a, a + 3 * a_stride, a + 6 * a_stride, a + 9 * a_stride};
#if ROWS == 4
    _Pragma("GCC unroll 2")
#endif
    for (ptrdiff_t p = depth; p > 0; p--) {
        vec x[2];
        _Pragma("GCC unroll 2")
        for (int v = 0; v < vecs; v++) x[v] = REAL_NAME(load_panel)(b + v * LANES, COUNT);
        if (packed && WIDTH > ROWS)
            EACH t[i][v] += *(const vec_at *)(base[0] + i * LANES) * x[v];
        else
            EACH t[i][v] += base[i / 3][i % 3 * a_stride] * x[v];
        _Pragma("GCC unroll 4")
        for (int q = 0; q < 4; q++) base[q] += a_depth;
        b += b_depth;
    }

    if (!s->final) {
        if (s->alpha != 1) EACH t[i][v] *= s->alpha;
        if (s->add) {
            to = c;
            EACH_ROW {
                EACH_VECTOR t[i][v] += REAL_NAME(load)(to + v * LANES, COUNT);
                to += c_stride;
                HIDE(to);
            }
        }
        if (s->row_bias) {
            const real *bias = s->row_bias + s->row;
            HIDE(bias);
            EACH t[i][v] += bias[i];
        }
        if (s->column_bias) {
            vec bias[2];
            for (int v = 0; v < vecs; v++)
                bias[v] = REAL_NAME(load)(s->column_bias + column + v * LANES, COUNT);
            EACH t[i][v] += bias[v];
        }
        if (s->relu) EACH t[i][v] = (vec)((vec_bits)t[i][v] & ~(t[i][v] < 0)); /* NaN stays NaN */
    }
    to = c;
    EACH_ROW {
        EACH_VECTOR REAL_NAME(store)(to + v * LANES, t[i][v], COUNT);
        to += c_stride;
        HIDE(to);
    }
#undef COUNT
}

#undef EACH_ROW
#undef EACH_VECTOR
#undef EACH
#undef HIDE

/* One tile of 1 or 2 vectors, or (3) a row of whole ones. */
#define TILE_ARGUMENTS \
    const pass *s, const real *a, const real *b, ptrdiff_t column, ptrdiff_t columns
#define TILE(kind, rows, packed)                                                        \
    static void REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 1))(TILE_ARGUMENTS) {      \
        REAL_NAME(tile)(rows, 1, columns, packed, s, a, b, column);                     \
    }                                                                                   \
    static void REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 2))(TILE_ARGUMENTS) {      \
        REAL_NAME(tile)(rows, 2, columns - LANES, packed, s, a, b, column);             \
    }                                                                                   \
    static void REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 3))(TILE_ARGUMENTS) {      \
        for (const ptrdiff_t end = column + columns; column < end; column += COLUMNS) { \
            REAL_NAME(tile)(rows, 2, LANES, packed, s, a, b, column);                   \
            b += s->b_panel;                                                            \
        }                                                                               \
    }
#define TILES(rows) TILE(strided, rows, 0) TILE(packed, rows, 1)
#define ENTRIES(kind, rows)                                        \
    {REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 1)),             \
     REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 2)),             \
     REAL_NAME(LUCID_JOIN(LUCID_JOIN(kind, rows), 3))}
#if ROWS == 12
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)
#elif ROWS == 6
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#else
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4)
#endif
FOR_ROWS(TILES)

/* [a is packed][rows - 1][which of the three] */
#define STRIDED(rows) ENTRIES(strided, rows),
#define PACKED(rows) ENTRIES(packed, rows),
static void (*const REAL_NAME(tiles)[2][ROWS][3])(TILE_ARGUMENTS) = {
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

/* A part of each of several rows, PART rows apart. */
ALWAYS_INLINE vec REAL_NAME(parts_of_rows)(const real *from, ptrdiff_t stride) {
#define ROW(i) _mm_loadu_ps((const float *)(from + i * PART * stride))
#if LUCID_VBYTES == 64
    __m512 x = _mm512_broadcast_f32x4(ROW(0));
    x = _mm512_mask_broadcast_f32x4(x, 0x00f0, ROW(1));
    x = _mm512_mask_broadcast_f32x4(x, 0x0f00, ROW(2));
    return (vec)_mm512_mask_broadcast_f32x4(x, 0xf000, ROW(3));
#elif LUCID_VBYTES == 32
    return (vec)_mm256_insertf128_ps(_mm256_castps128_ps256(ROW(0)), ROW(1), 1);
#else
    return *(const vec_at *)from;
#endif
#undef ROW
}

/* to[p * width + i] = from[i * stride + p], p < PART, for i < LANES and for i < PART. */
ALWAYS_INLINE void REAL_NAME(transpose)(const real *from, ptrdiff_t stride, real *to,
                                        ptrdiff_t width) {
    vec x[PART];
    for (int i = 0; i < PART; i++) x[i] = REAL_NAME(parts_of_rows)(from + i * stride, stride);
    TRANSPOSE(vec, vec_bits, x, LUCID_VBYTES);
    for (int p = 0; p < PART; p++) *(vec_at *)(to + p * width) = x[p];
}

ALWAYS_INLINE void REAL_NAME(transpose_part)(const real *from, ptrdiff_t stride, real *to,
                                             ptrdiff_t width) {
    part x[PART];
    for (int i = 0; i < PART; i++) x[i] = *(const part_at *)(from + i * stride);
    TRANSPOSE(part, part_bits, x, 16);
    for (int p = 0; p < PART; p++) *(part_at *)(to + p * width) = x[p];
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
    } else if (step == 1 && count >= PART) {
        const ptrdiff_t whole = depth & -PART;
        ptrdiff_t i = 0;
        for (; i + LANES <= count; i += LANES)
            for (ptrdiff_t p = 0; p < whole; p += PART)
                REAL_NAME(transpose)(from + i * stride + p, stride, panel + p * width + i, width);
        for (; i < count; i += PART) {
            const ptrdiff_t at = REAL_NAME(least)(i, count - PART); /* the last may overlap */
            for (ptrdiff_t p = 0; p < whole; p += PART)
                REAL_NAME(transpose_part)(from + at * stride + p, stride, panel + p * width + at,
                                          width);
        }
        for (ptrdiff_t p = whole; p < depth; p++)
            for (ptrdiff_t i = 0; i < count; i++) panel[p * width + i] = from[i * stride + p];
    } else {
        for (ptrdiff_t p = 0; p < depth; p++)
            for (ptrdiff_t i = 0; i < count; i++)
                panel[p * width + i] = from[i * stride + p * step];
    }
}

/* Panels of b, one after the other. Contiguous rows are read along all of them: a single panel has
 * so little of a row that lines are read twice, and none ahead. */
static void REAL_NAME(pack_panels)(const gemm_operand *b, ptrdiff_t first, ptrdiff_t count,
                                   ptrdiff_t depth_first, ptrdiff_t depth, real *panels) {
    if (b->pack || b->free_stride != 1 || count % COLUMNS) {
        for (ptrdiff_t j = 0; j < count; j += COLUMNS)
            REAL_NAME(pack)(b, first + j, REAL_NAME(least)(COLUMNS, count - j), depth_first, depth,
                            COLUMNS, panels + j * depth);
        return;
    }
    const real *from = (const real *)b->data + first + depth_first * b->depth_stride;
    for (ptrdiff_t p = 0; p < depth; p++) {
        for (ptrdiff_t j = 0; j < count; j += COLUMNS)
            for (ptrdiff_t i = 0; i < COLUMNS; i += LANES)
                *(vec_at *)(panels + j * depth + p * COLUMNS + i) = *(const vec_at *)(from + j + i);
        from += b->depth_stride;
    }
}

/* Each of the elements, a multiple of PART, in all lanes of a vector. */
ALWAYS_INLINE void REAL_NAME(spread)(const real *from, ptrdiff_t count, real *to) {
    for (ptrdiff_t i = 0; i < count; i += PART)
        SPREAD(((part_bits_at *)(to + i * PART)), 0, *(const part_bits_at *)(from + i));
}

/* Blocks of the depth are equally high, a multiple of 4, and at most DEPTH. */
ALWAYS_INLINE ptrdiff_t REAL_NAME(depth_block)(ptrdiff_t k) {
    const ptrdiff_t blocks = (k + DEPTH - 1) / DEPTH;
    return k <= DEPTH ? k : ((k + blocks - 1) / blocks + 3) & ~(ptrdiff_t)3;
}

/* ---- The product: tiles ------------------------------------------------------------------ */

#define product REAL_NAME(product)
typedef struct product {
    ptrdiff_t m, n, k;
    const gemm_operand *a, *b;
    real *c;
    ptrdiff_t c_stride;
    const gemm_epilogue *epilogue;
    real *packed; /* NULL, or packed_n columns of b from packed_left on */
    ptrdiff_t packed_left, packed_n;
    /* c's columns left .. left + n are cut into tasks of height x width, `down` of them high */
    void (*block)(const struct product *, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                  ptrdiff_t right);
    ptrdiff_t left, height, width, down;
} product;

ALWAYS_INLINE ptrdiff_t REAL_NAME(up)(ptrdiff_t x, ptrdiff_t step) {
    return (x + step - 1) / step * step;
}

/* Where the panel of column j starts in a whole packed b: depth block by depth block, panel by
 * panel, each of COLUMNS x its depth. */
ALWAYS_INLINE ptrdiff_t REAL_NAME(packed_at)(ptrdiff_t n, ptrdiff_t j, ptrdiff_t p,
                                             ptrdiff_t depth) {
    return p * REAL_NAME(up)(n, COLUMNS) + j * depth;
}

/* Rows top..bottom and columns left..right of c. */
static void REAL_NAME(tile_block)(const product *g, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                             ptrdiff_t right) {
    real *const a_block = (real *)gemm_scratch;
    real *const b_panel = a_block + BLOCK_BYTES / sizeof(real);
    const gemm_operand *const a = g->a, *const b = g->b;
    const gemm_epilogue *const e = g->epilogue;
    const ptrdiff_t tall = bottom - top, tiles = (tall + ROWS - 1) / ROWS;
    const ptrdiff_t height = (tall + tiles - 1) / tiles;
    const int pack_a = a->pack || right - left > DIRECT_COLUMNS;
    const ptrdiff_t apart = b->depth_stride * (ptrdiff_t)sizeof(real);
    const ptrdiff_t deepest = REAL_NAME(depth_block)(g->k);
    /* Rows a multiple of 4 KB apart compete for the same few lines of a cache. */
    const ptrdiff_t direct_rows = apart % 4096 == 0 ? ALIASED_ROWS
                                  : apart * deepest > NEAR_BYTES ? FAR_ROWS : NEAR_ROWS;
    const int pack_b = b->pack || b->free_stride != 1 || tall > direct_rows;
    /* Where each row is on a page of its own, few products per element of b are too little to hide
     * that: they had better go along its rows. */
    const int along = !pack_b && !g->packed && g->m <= ALONG_MAX_ROWS && apart >= 4096;
    const ptrdiff_t step = along ? ALONG_DEPTH : deepest;
    /* As many panels of b at a time as stay in the cache while rows of tiles go over them: in L2
     * where b is packed as a whole, in L1 where it is read in place; or those just packed. */
    const ptrdiff_t panels =
        pack_b && !g->packed ? (b->free_stride == 1 ? PANELS : 1)
                             : (g->packed ? CHUNK_BYTES : DIRECT_BYTES) /
                                   (step * COLUMNS * (ptrdiff_t)sizeof(real));
    const ptrdiff_t chunk = panels > 0 ? panels * COLUMNS : COLUMNS;
    const ptrdiff_t whole = left + (right - left) / COLUMNS * COLUMNS;

    pass s = {.a_stride = 1, .a_depth = WIDTH, .c_stride = g->c_stride, .c = g->c, .alpha = 1};
    if (!pack_a) s.a_stride = a->free_stride, s.a_depth = a->depth_stride;
    const int packed = WIDTH > ROWS ? pack_a : s.a_stride == 1; /* or as good as packed */
    for (ptrdiff_t p = 0; p < g->k; p += step) {
        const ptrdiff_t depth = REAL_NAME(least)(step, g->k - p);
        s.depth = depth, s.add = p > 0, s.final = !e && p == 0;
        if (e) {
            s.alpha = (real)e->alpha;
            s.add |= e->accumulate;
            if (p + depth == g->k) {
                s.row_bias = e->row_bias;
                s.column_bias = e->column_bias;
                s.relu = e->activation == GEMM_RELU;
            }
        }
        for (ptrdiff_t i = 0; pack_a && i < tall; i += height) {
            real *const panel = a_block + i / height * WIDTH * depth;
            REAL_NAME(pack)(a, top + i, REAL_NAME(least)(height, tall - i), p, depth, ROWS,
                            WIDTH > ROWS ? b_panel : panel);
            if (WIDTH > ROWS) REAL_NAME(spread)(b_panel, ROWS * depth, panel);
        }
        for (ptrdiff_t first = left, end; first < right; first = end) {
            end = first < whole ? REAL_NAME(least)(whole, first + chunk) : right;
            const real *panel = b_panel;
            s.b_depth = COLUMNS, s.b_panel = COLUMNS * depth;
            if (g->packed) {
                panel = g->packed +
                        REAL_NAME(packed_at)(g->packed_n, first - g->packed_left, p, depth);
            } else if (pack_b || (!MASKS && (end - first) % LANES)) {
                REAL_NAME(pack_panels)(b, first, end - first, p, depth, b_panel);
            } else {
                s.b_depth = b->depth_stride, s.b_panel = COLUMNS;
                panel = (const real *)b->data + first + p * s.b_depth;
            }
            const int which = first < whole ? 2 : end - first > LANES;
            const real *from = a_block;
            ptrdiff_t next = WIDTH * depth;
            if (!pack_a) {
                from = (const real *)a->data + top * s.a_stride + p * s.a_depth;
                next = height * s.a_stride;
            }
            for (ptrdiff_t i = 0; i < tall; i += height, from += next) {
                const ptrdiff_t rows = REAL_NAME(least)(height, tall - i);
                s.row = top + i;
                REAL_NAME(tiles)[packed][rows - 1][which](&s, from, panel, first, end - first);
            }
        }
    }
}

/* ---- Thin products: what a tile cannot fill --------------------------------------------- */

/* The epilogue of `count` neighbours in a row of c, where it is not the tile's. */
ALWAYS_INLINE void REAL_NAME(finish_vector)(const gemm_epilogue *e, vec x, real *c, ptrdiff_t row,
                                            ptrdiff_t column, ptrdiff_t count) {
    if (e) {
        x *= (real)e->alpha;
        if (e->accumulate) x += REAL_NAME(load)(c, count);
        if (e->row_bias) x += ((const real *)e->row_bias)[row];
        if (e->column_bias) x += REAL_NAME(load)((const real *)e->column_bias + column, count);
        if (e->activation == GEMM_RELU) x = (vec)((vec_bits)x & ~(x < 0));
    }
    REAL_NAME(store)(c, x, count);
}

/* Element i, the sum of x[i], i < PART. */
ALWAYS_INLINE part REAL_NAME(sums)(const vec *x) {
    union { vec whole; part parts[LUCID_VBYTES / 16]; } u = {SUMS(vec_bits, x, LUCID_VBYTES)};
    part sum = u.parts[0];
    for (int i = 1; i < LUCID_VBYTES / 16; i++) sum += u.parts[i];
    return sum;
}

/* Dot products of `rows` rows of a with `columns` columns of b, both contiguous along the depth. */
ALWAYS_INLINE void REAL_NAME(dots)(const int rows, const int columns, ptrdiff_t k,
                                   const real *const *a, const real *const *b, real *to,
                                   ptrdiff_t to_stride) {
#define EACH_ROW _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++)
#define EACH_COLUMN _Pragma("GCC unroll 8") for (int j = 0; j < columns; j++)
    vec t[4][8];
    EACH_ROW EACH_COLUMN t[i][j] = (vec){0};
    ptrdiff_t p = 0;
    for (; p + LANES <= k; p += LANES)
        EACH_COLUMN {
            const vec y = *(const vec_at *)(b[j] + p);
            EACH_ROW t[i][j] += *(const vec_at *)(a[i] + p) * y;
        }
    if (p < k)
        EACH_COLUMN {
            const vec y = REAL_NAME(load)(b[j] + p, k - p);
            EACH_ROW t[i][j] += REAL_NAME(load)(a[i] + p, k - p) * y;
        }
    EACH_ROW
        _Pragma("GCC unroll 4")
        for (int j = 0; j < columns; j += PART)
            *(part_at *)(to + i * to_stride + j) = REAL_NAME(sums)(t[i] + j);
#undef EACH_ROW
#undef EACH_COLUMN
}

/* One dot product: its partial sums are several, so that they need not wait for each other. */
static real REAL_NAME(dot)(ptrdiff_t k, const real *a, const real *b) {
    vec t[8] = {{0}};
    ptrdiff_t p = 0;
    for (; p + 8 * LANES <= k; p += 8 * LANES)
        _Pragma("GCC unroll 8")
        for (int i = 0; i < 8; i++)
            t[i] += *(const vec_at *)(a + p + i * LANES) * *(const vec_at *)(b + p + i * LANES);
    for (; p < k; p += LANES) {
        const ptrdiff_t count = REAL_NAME(least)(LANES, k - p);
        t[0] += REAL_NAME(load)(a + p, count) * REAL_NAME(load)(b + p, count);
    }
    for (int i = 4; i > 0; i /= 2)
        for (int j = 0; j < i; j++) t[j] += t[j + i];
    real sum = 0;
    for (int i = 0; i < LANES; i++) sum += t[0][i];
    return sum;
}

#define DOT_ROWS (ROWS == 12 ? 4 : 2)
#define DOT_COLUMNS 64

/* A few rows times a transposed matrix: no packing, b is read once and as it lies. */
static void REAL_NAME(dot_block)(const product *g, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                                 ptrdiff_t right) {
    real *const copies = (real *)gemm_scratch, sums[DOT_MAX_ROWS][DOT_COLUMNS];
    const gemm_operand *const a = g->a, *const b = g->b;
    const int columns = g->m == 1 ? 8 : 4;
    const real *x[DOT_MAX_ROWS], *y[8];
    for (ptrdiff_t i = top; i < bottom; i++) {
        x[i - top] = (const real *)a->data + i * a->free_stride;
        if (a->pack || a->depth_stride != 1) {
            REAL_NAME(pack)(a, i, 1, 0, g->k, 1, copies + (i - top) * g->k);
            x[i - top] = copies + (i - top) * g->k;
        }
    }
    if (g->m == 1 && g->n == 1) {
        const vec sum = {REAL_NAME(dot)(g->k, x[0], (const real *)b->data)};
        REAL_NAME(finish_vector)(g->epilogue, sum, g->c, 0, 0, 1);
        return;
    }
    for (ptrdiff_t first = left, end; first < right; first = end) {
        end = REAL_NAME(least)(first + DOT_COLUMNS, right);
        for (ptrdiff_t j = first; j < end; j += columns) {
            for (int v = 0; v < columns; v++)
                y[v] = (const real *)b->data + REAL_NAME(least)(j + v, right - 1) * b->free_stride;
            for (ptrdiff_t i = 0; i < bottom - top; i += DOT_ROWS) {
                real *const to = &sums[i][j - first];
                switch (columns == 8 ? 0 : REAL_NAME(least)(DOT_ROWS, bottom - top - i)) {
                case 0: REAL_NAME(dots)(1, 8, g->k, x, y, to, DOT_COLUMNS); break;
                case 1: REAL_NAME(dots)(1, 4, g->k, x + i, y, to, DOT_COLUMNS); break;
                case 2: REAL_NAME(dots)(2, 4, g->k, x + i, y, to, DOT_COLUMNS); break;
#if ROWS == 12
                case 3: REAL_NAME(dots)(3, 4, g->k, x + i, y, to, DOT_COLUMNS); break;
                case 4: REAL_NAME(dots)(4, 4, g->k, x + i, y, to, DOT_COLUMNS); break;
#endif
                }
            }
        }
        for (ptrdiff_t i = top; i < bottom; i++)
            for (ptrdiff_t j = first; j < end; j += LANES)
                REAL_NAME(finish_vector)(g->epilogue, *(vec_at *)&sums[i - top][j - first],
                                         g->c + i * g->c_stride + j, i, j,
                                         REAL_NAME(least)(LANES, end - j));
    }
}

/* c [+]= x[0] * b[0] + ... + x[rows - 1] * b[rows - 1], all of them vectors of n: two sums, so
 * that no more than half of the additions have to wait for each other. */
ALWAYS_INLINE void REAL_NAME(combine)(const int rows, ptrdiff_t n, const real *x, const real *b,
                                      ptrdiff_t b_depth, real *c, int add) {
#define EACH_ROW _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++)
    ptrdiff_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        vec t[2] = {{0}};
        if (add) t[0] = *(const vec_at *)(c + j);
        EACH_ROW t[i % 2] += x[i] * *(const vec_at *)(b + i * b_depth + j);
        *(vec_at *)(c + j) = t[0] + t[1];
    }
    if (j < n) {
        vec t[2] = {{0}};
        if (add) t[0] = REAL_NAME(load)(c + j, n - j);
        EACH_ROW t[i % 2] += x[i] * REAL_NAME(load)(b + i * b_depth + j, n - j);
        REAL_NAME(store)(c + j, t[0] + t[1], n - j);
    }
#undef EACH_ROW
}

/* One row times a row-major matrix: a combination of its rows. */
static void REAL_NAME(row_block)(const product *g, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                                 ptrdiff_t right) {
    const gemm_operand *const a = g->a, *const b = g->b;
    const gemm_epilogue *const e = g->epilogue;
    const ptrdiff_t step = b->depth_stride;
    int rows, add = e && e->accumulate;
    for (ptrdiff_t p = 0; p < g->k; p += rows, add = 1) {
        const real *const from = (const real *)b->data + left + p * step;
        real x[8];
        rows = g->k - p >= 8 ? 8 : g->k - p >= 4 ? 4 : g->k - p >= 2 ? 2 : 1;
        for (int i = 0; i < rows; i++) {
            x[i] = ((const real *)a->data)[(p + i) * a->depth_stride];
            if (e) x[i] *= (real)e->alpha;
        }
        if (rows == 8) REAL_NAME(combine)(8, right - left, x, from, step, g->c + left, add);
        else if (rows == 4) REAL_NAME(combine)(4, right - left, x, from, step, g->c + left, add);
        else if (rows == 2) REAL_NAME(combine)(2, right - left, x, from, step, g->c + left, add);
        else REAL_NAME(combine)(1, right - left, x, from, step, g->c + left, add);
    }
    if (e && (e->row_bias || e->column_bias || e->activation)) {
        const gemm_epilogue rest = {1, 0, e->activation, e->row_bias, e->column_bias};
        for (ptrdiff_t j = left; j < right; j += LANES) {
            const ptrdiff_t count = REAL_NAME(least)(LANES, right - j);
            REAL_NAME(finish_vector)(&rest, REAL_NAME(load)(g->c + j, count), g->c + j, 0, j,
                                     count);
        }
    }
}

/* The sum over nothing: what is left is the epilogue. */
static void REAL_NAME(empty_block)(const product *g, ptrdiff_t top, ptrdiff_t bottom,
                                   ptrdiff_t left, ptrdiff_t right) {
    for (ptrdiff_t i = top; i < bottom; i++)
        for (ptrdiff_t j = left; j < right; j += LANES)
            REAL_NAME(finish_vector)(g->epilogue, (vec){0}, g->c + i * g->c_stride + j, i, j,
                                     REAL_NAME(least)(LANES, right - j));
}

/* ---- The product as a list of tasks ----------------------------------------------------- */

static void REAL_NAME(pack_task)(void *context, ptrdiff_t index) {
    const product *g = context;
    const ptrdiff_t step = REAL_NAME(depth_block)(g->k), j = index * PANELS * COLUMNS;
    const ptrdiff_t count = REAL_NAME(least)(PANELS * COLUMNS, g->packed_n - j);
    for (ptrdiff_t p = 0; p < g->k; p += step) {
        const ptrdiff_t depth = REAL_NAME(least)(step, g->k - p);
        REAL_NAME(pack_panels)(g->b, g->packed_left + j, count, p, depth,
                               g->packed + REAL_NAME(packed_at)(g->packed_n, j, p, depth));
    }
}

static void REAL_NAME(block_task)(void *context, ptrdiff_t index) {
    const product *g = context;
    const ptrdiff_t top = index % g->down * g->height, right_end = g->left + g->n;
    const ptrdiff_t left = g->left + index / g->down * g->width;
    g->block(g, top, REAL_NAME(least)(g->m, top + g->height), left,
             REAL_NAME(least)(right_end, left + g->width));
}

static void REAL_NAME(run_blocks)(product *g) {
    g->down = (g->m + g->height - 1) / g->height;
    gemm_parallel(REAL_NAME(block_task), g, g->down * ((g->n + g->width - 1) / g->width),
                  (double)(g->m + GEMM_LOAD) * g->n * g->k * NANOSECONDS);
}

static void REAL_NAME(pack_all)(product *g) {
    gemm_parallel(REAL_NAME(pack_task), g,
                  (g->packed_n + PANELS * COLUMNS - 1) / (PANELS * COLUMNS),
                  (double)GEMM_LOAD * g->packed_n * g->k * NANOSECONDS);
}

static size_t REAL_NAME(packed_size)(ptrdiff_t n, ptrdiff_t k) {
    return (size_t)REAL_NAME(up)(n, COLUMNS) * (size_t)k * sizeof(real);
}

static void REAL_NAME(pack_b)(ptrdiff_t n, ptrdiff_t k, const gemm_operand *b, void *packed) {
    product g = {.k = k, .b = b, .packed = packed, .packed_n = n};
    REAL_NAME(pack_all)(&g);
}

/* Several blocks of rows share one packed b, a chunk of its columns at a time. Without memory for
 * that, each block packs its own. */
static void REAL_NAME(tall_product)(product *g) {
    const ptrdiff_t n = g->n;
    const ptrdiff_t chunk = REAL_NAME(least)(
        REAL_NAME(up)(n, COLUMNS),
        PACKED_BYTES / (ptrdiff_t)sizeof(real) / g->k / COLUMNS * COLUMNS);
    void *own = NULL;
    if (!g->packed && chunk > 0)
        own = gemm_allocate(REAL_NAME(packed_size)(chunk, g->k));
    if (!own) {
        REAL_NAME(run_blocks)(g);
        return;
    }
    g->packed = own;
    for (g->left = 0; g->left < n; g->left += chunk) {
        g->packed_left = g->left;
        g->packed_n = g->n = REAL_NAME(least)(chunk, n - g->left);
        g->width = REAL_NAME(least)(g->width, g->n);
        REAL_NAME(pack_all)(g);
        REAL_NAME(run_blocks)(g);
    }
    gemm_free(own);
}

static void REAL_NAME(gemm)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const gemm_operand *a,
                            const gemm_operand *b, void *c, ptrdiff_t c_stride,
                            const gemm_epilogue *epilogue) {
    if (m <= 0 || n <= 0) return;
    gemm_epilogue mirrored;
    if (n == 1 && m > 1 && c_stride == 1 && !b->packed) { /* a column is, transposed, a row */
        const gemm_operand *const left = a;
        a = b, b = left, n = m, m = 1;
        if (epilogue) {
            mirrored = *epilogue;
            mirrored.row_bias = epilogue->column_bias;
            mirrored.column_bias = epilogue->row_bias;
            epilogue = &mirrored;
        }
    }
    product g = {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .c_stride = c_stride,
                 .epilogue = epilogue, .packed = (real *)b->packed, .packed_n = n,
                 .block = REAL_NAME(tile_block), .height = m, .width = n};
    if (k <= 0)
        g.block = REAL_NAME(empty_block);
    else if (b->pack || b->packed)
        ;
    else if (m == 1 && n > 1 && b->free_stride == 1 && !a->pack)
        g.block = REAL_NAME(row_block);
    else if (b->depth_stride == 1 && m <= DOT_MAX_ROWS && (m == 1 || k >= DOT_MIN_DEPTH) &&
             m * k <= BLOCK_BYTES / (ptrdiff_t)sizeof(real))
        g.block = REAL_NAME(dot_block);

    const int threads = (double)(m + GEMM_LOAD) * n * k < GEMM_PARALLEL_FROM ? 1 : gemm_threads();
    if (g.block == REAL_NAME(tile_block) && m > BLOCK_ROWS) {
        const ptrdiff_t blocks = REAL_NAME(up)((m + BLOCK_ROWS - 1) / BLOCK_ROWS, threads);
        g.height = REAL_NAME(up)((m + blocks - 1) / blocks, ROWS);
        REAL_NAME(tall_product)(&g);
    } else if (threads == 1) {
        g.block(&g, 0, m, 0, n);
    } else {
        if (m == 1 || n >= threads * COLUMNS)
            g.width = REAL_NAME(up)((n + threads - 1) / threads, COLUMNS);
        else
            g.height = REAL_NAME(up)((m + threads - 1) / threads, ROWS);
        REAL_NAME(run_blocks)(&g);
    }
}

/* The multiply-adds per call of the tightest loop there is: the limit for a product. */
static double REAL_NAME(peak)(ptrdiff_t steps, double factor) {
    vec t[PEAK_CHAINS];
    const vec x = (vec){0} + (real)factor;
    for (int i = 0; i < PEAK_CHAINS; i++) t[i] = x * (real)i;
    for (ptrdiff_t p = 0; p < steps; p++)
        for (int i = 0; i < PEAK_CHAINS; i++) t[i] = t[i] * x + x;
    for (int i = 1; i < PEAK_CHAINS; i++) t[0] += t[i];
    return (double)steps * PEAK_CHAINS * LANES + (t[0][0] == (real)-1);
}

static const gemm_engine REAL_NAME(engine) = {
    REAL_NAME(gemm), REAL_NAME(pack_b), REAL_NAME(packed_size), REAL_NAME(peak), NANOSECONDS};

#undef LANES
#undef MASKS
#undef COLUMNS
#undef PART
#undef ROWS
#undef DEPTH
#undef BLOCK_BYTES
#undef BLOCK_ROWS
#undef WIDTH
#undef DOT_ROWS
#undef ALONG_MAX_ROWS
#undef ALONG_DEPTH
#undef DOT_MAX_ROWS
#undef DOT_MIN_DEPTH
#undef CHUNK_BYTES
#undef DIRECT_BYTES
#undef PACKED_BYTES
#undef PANELS
#undef NEAR_BYTES
#undef FAR_ROWS
#undef ALIASED_ROWS
#undef NEAR_ROWS
#undef DIRECT_COLUMNS
#undef PEAK_CHAINS
#undef NANOSECONDS
#undef DOT_COLUMNS
#undef vec
#undef vec_at
#undef vec_bits
#undef part
#undef part_at
#undef part_bits
#undef part_bits_at
#undef pass
#undef product
