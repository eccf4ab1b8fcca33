/* convolution_real.h: the loops on streams for one `real` type and one vector width.
 *
 * The product keeps ROWS target channels x 2 vectors of positions in registers while it walks over
 * the taps (few channels: more vectors). The weight's gradient keeps OUTS target channels x TAPS
 * taps while it walks over positions, of several images where one has few: vectors of source
 * channels, or, where these are too few, of positions, whose lanes are added up at the end. Sums
 * over taps and positions run in one order, whatever the number of threads.
 */

#include "rows_real.h"

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
#if LUCID_VBYTES == 64 || defined(__aarch64__)
#define ROWS 12 /* 24 of 32 registers hold the tile */
#define OUTS 8
#elif LUCID_VBYTES == 32
#define ROWS 6
#define OUTS 4
#else
#define ROWS 4
#define OUTS 4
#endif
#define WIDE 8 /* vectors in a tile of up to 3 (else 1) channels */
#define WIDE_ROWS (ROWS == 12 ? 3 : 1)
#define TAPS 3

#define vec R(row)
#define vec_at R(row_at)

/* The rows of a plane that see something of the source, which starts at `from`. */
ALWAYS_INLINE void R(fill_rows)(real *to, const real *from, ptrdiff_t pitch, ptrdiff_t from_pitch,
                                ptrdiff_t split, conv_range down, conv_range across) {
    const ptrdiff_t rows = down.end - down.begin, count = across.end - across.begin;
    to += down.begin * pitch, from += down.begin * from_pitch + across.begin * split;
    if (rows && count && split == 1 && pitch == from_pitch) /* all rows in one copy */
        R(copy)(to + across.begin, from, (rows - 1) * pitch + count);
    else
        for (ptrdiff_t r = 0; r < rows; r++, from += from_pitch) {
            real *const inside = to + r * pitch + across.begin;
            if (split == 1)
                R(copy)(inside, from, count);
            else if (split == 2)
                R(copy_every_second)(inside, from, count);
            else
                for (ptrdiff_t x = 0; x < count; x++) inside[x] = from[split * x];
        }
    for (ptrdiff_t x = 0; x < across.begin; x++)
        for (ptrdiff_t r = 0; r < rows; r++) to[r * pitch + x] = 0;
    for (ptrdiff_t x = across.end; x < pitch; x++)
        for (ptrdiff_t r = 0; r < rows; r++) to[r * pitch + x] = 0;
}

/* The stream of one block (see convolution.h), for image number `place` in it. */
static void R(fill)(const conv_pass *c, const conv_block *b, ptrdiff_t place, real *stream) {
    const conv_axis *const depth = &c->axis[CONV_DEPTH], *const height = &c->axis[CONV_HEIGHT],
                    *const width = &c->axis[CONV_WIDTH];
    const ptrdiff_t row = width->source, split = width->split;
    const ptrdiff_t rows = b->rows + height->reach;
    const real *from = (const real *)c->source +
                       ((b->image * c->groups + b->group) * c->sources + b->first) *
                           depth->source * height->source * row;
    for (ptrdiff_t s = 0; s < b->sources; s++) {
        real *const planes = stream + s * c->channel + place * c->image;
        R(clear)(planes + c->image - width->reach, width->reach);
        for (ptrdiff_t t = 0; t < depth->taps; t++) {
            const ptrdiff_t deep = b->depth * depth->split + depth->shift[t];
            const real *const slice = from + (s * depth->source + deep) * height->source * row;
            const int outside = deep < 0 || deep >= depth->source;
            for (ptrdiff_t i = 0; i < height->planes; i++)
                for (ptrdiff_t j = 0; j < width->planes; j++) {
                    real *const to =
                        planes + ((t * height->planes + i) * width->planes + j) * c->plane;
                    const ptrdiff_t top = b->top * height->split + height->origin[i];
                    const ptrdiff_t left = b->left * split + width->origin[j];
                    conv_range down = conv_inside(top, height->split, height->source, rows);
                    const conv_range across = conv_inside(left, split, row, c->pitch);
                    if (outside) down.end = down.begin;
                    R(clear)(to, down.begin * c->pitch);
                    R(fill_rows)(to, slice + top * row + left, c->pitch, height->split * row, split,
                                 down, across);
                    R(clear)(to + down.end * c->pitch, c->plane - down.end * c->pitch);
                }
        }
    }
}

/* ---- The product ---------------------------------------------------------------------------- */

#define EACH                             \
    _Pragma("GCC unroll 12")             \
    for (int i = 0; i < rows; i++)       \
        _Pragma("GCC unroll 8")          \
        for (int v = 0; v < vecs; v++)

/* to(i, 0..vecs) = bias(i) + sum over the taps of w(t, i) x(offset(t), 0..vecs) */
ALWAYS_INLINE void R(tile)(const int rows, const int vecs, ptrdiff_t taps, const real *w,
                           const ptrdiff_t *offsets, const real *x, ptrdiff_t x_step, real *to,
                           ptrdiff_t stride, const real *bias) {
    vec sum[ROWS][WIDE];
    EACH sum[i][v] = (vec){0} + (bias ? bias[i] : 0);
    for (ptrdiff_t t = 0; t < taps; t++, w += rows) {
        const real *const from = x + offsets[t];
        vec y[WIDE];
        _Pragma("GCC unroll 8")
        for (int v = 0; v < vecs; v++)
            y[v] = *(const vec_at *)(from + v * (vecs == WIDE ? LANES : x_step));
        EACH sum[i][v] += w[i] * y[v];
    }
    EACH *(vec_at *)(to + i * stride + v * LANES) = sum[i][v];
}

#undef EACH

#define TILE_ARGUMENTS                                                                \
    ptrdiff_t taps, const real *w, const ptrdiff_t *offsets, const real *x, ptrdiff_t x_step, \
        real *to, ptrdiff_t stride, const real *bias
#define TILE(rows, vecs)                                                             \
    static void R(LUCID_JOIN(LUCID_JOIN(tile, rows), vecs))(TILE_ARGUMENTS) {        \
        R(tile)(rows, vecs, taps, w, offsets, x, x_step, to, stride, bias);          \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define ENTRY(rows) {R(LUCID_JOIN(LUCID_JOIN(tile, rows), 1)), R(LUCID_JOIN(LUCID_JOIN(tile, rows), 2))},
#if ROWS == 12
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)
#elif ROWS == 6
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#else
#define FOR_ROWS(DO) DO(1) DO(2) DO(3) DO(4)
#endif
FOR_ROWS(TILES)
TILE(1, 8)
#if ROWS == 12
TILE(2, 8)
TILE(3, 8)
#endif
/* [rows - 1][vectors - 1] and [rows - 1] */
static void (*const R(tiles)[ROWS][2])(TILE_ARGUMENTS) = {FOR_ROWS(ENTRY)};
static void (*const R(wide_tiles)[WIDE_ROWS])(TILE_ARGUMENTS) = {
    R(tile_1_8),
#if ROWS == 12
    R(tile_2_8), R(tile_3_8),
#endif
};
#undef FOR_ROWS
#undef ENTRY
#undef TILES
#undef TILE
#undef TILE_ARGUMENTS

/* weights[group][tile][tap][channel of the tile] */
static void R(pack_weights)(const conv_pass *c, const void *weight, ptrdiff_t target_stride,
                            ptrdiff_t source_stride, const conv_extent *extents) {
    const conv_axis *const a = c->axis;
    const ptrdiff_t high = extents[CONV_HEIGHT].kernel, wide = extents[CONV_WIDTH].kernel;
    real *to = c->weights;
    for (ptrdiff_t g = 0; g < c->groups; g++) {
        const real *const group = (const real *)weight + g * c->sources * c->targets * c->kernel;
        for (ptrdiff_t first = 0; first < c->targets; first += c->height) {
            const ptrdiff_t rows = conv_least(c->height, c->targets - first);
            for (ptrdiff_t s = 0; s < c->sources; s++)
                for (ptrdiff_t i = 0; i < a[0].taps; i++)
                    for (ptrdiff_t j = 0; j < a[1].taps; j++)
                        for (ptrdiff_t k = 0; k < a[2].taps; k++, to += rows) {
                            const real *const from =
                                group + first * target_stride + s * source_stride +
                                (a[0].tap[i] * high + a[1].tap[j]) * wide + a[2].tap[k];
                            for (ptrdiff_t o = 0; o < rows; o++) to[o] = from[o * target_stride];
                        }
        }
    }
}

/* From channel to channel of the target. */
ALWAYS_INLINE ptrdiff_t R(target_plane)(const conv_pass *c) {
    return c->axis[CONV_DEPTH].target * c->axis[CONV_HEIGHT].target * c->axis[CONV_WIDTH].target;
}

/* Where the first position of a block belongs. */
ALWAYS_INLINE real *R(target_of)(const conv_pass *c, const conv_block *b, ptrdiff_t channel) {
    const conv_axis *const depth = &c->axis[CONV_DEPTH], *const height = &c->axis[CONV_HEIGHT],
                    *const width = &c->axis[CONV_WIDTH];
    const ptrdiff_t deep = b->depth * depth->step + depth->start;
    const ptrdiff_t high = b->top * height->step + height->start;
    return (real *)c->target +
           ((b->image * c->groups + b->group) * c->targets + channel) * R(target_plane)(c) +
           (deep * height->target + high) * width->target + b->left * width->step + width->start;
}

/* The positions of a tile's channels, without the gaps, to where they belong. */
static void R(deliver)(const conv_pass *c, const conv_block *b, ptrdiff_t first, ptrdiff_t rows,
                       const real *from, ptrdiff_t stride) {
    const ptrdiff_t step = c->axis[CONV_WIDTH].step;
    const ptrdiff_t pitch = c->axis[CONV_HEIGHT].step * c->axis[CONV_WIDTH].target;
    for (ptrdiff_t o = 0; o < rows; o++) {
        real *to = R(target_of)(c, b, first + o);
        const real *line = from + o * stride;
        for (ptrdiff_t r = 0; r < b->rows; r++, to += pitch, line += c->row) {
            if (step == 1)
                R(copy)(to, line, b->columns);
            else if (step == 2)
                R(copy_to_every_second)(to, line, b->columns);
            else
                for (ptrdiff_t x = 0; x < b->columns; x++) to[x * step] = line[x];
        }
    }
}

static void R(product_task)(void *context, ptrdiff_t index) {
    const conv_pass *const c = context;
    const ptrdiff_t blocks = conv_blocks(c), group = index / blocks % c->groups;
    const conv_block b = conv_block_at(c, index / blocks / c->groups, group, index % blocks);
    int slot;
    real *const stream = (real *)conv_claim(c, &slot), *const result = stream + c->stream;
    const ptrdiff_t positions = (b.rows - 1) * c->row + b.columns;
    const ptrdiff_t gap = c->pitch - c->row; /* in the stream, where the rows are whole vectors */
    const int direct = c->direct && positions >= LANES;
    const ptrdiff_t stride = direct ? R(target_plane)(c) : conv_up(c->positions + LANES, LANES);
    const real *w = (const real *)c->weights + group * c->targets * c->taps;
    R(fill)(c, &b, 0, stream);
    for (ptrdiff_t first = 0; first < c->targets; first += c->height) {
        const ptrdiff_t rows = conv_least(c->height, c->targets - first);
        const real *const bias =
            c->bias ? (const real *)c->bias + group * c->targets + first : NULL;
        real *const to = direct ? R(target_of)(c, &b, first) : result;
        for (ptrdiff_t p = 0, vecs; p < positions; p += vecs * LANES) {
            const ptrdiff_t left = positions - p;
            vecs = rows <= WIDE_ROWS && left >= WIDE * LANES && !gap ? WIDE
                   : left > LANES && positions >= 2 * LANES ? 2 : 1;
            /* The last tile ends with the last position, and computes some a second time. */
            const ptrdiff_t at = conv_most(conv_least(p, positions - vecs * LANES), 0);
            /* The gaps of the stream before the first vector, and before the second. */
            const ptrdiff_t gaps = gap ? at / c->row * gap : 0;
            const ptrdiff_t next = gap ? (at + LANES) / c->row * gap - gaps : 0;
            (vecs == WIDE ? R(wide_tiles)[rows - 1] : R(tiles)[rows - 1][vecs - 1])(
                c->taps, w, c->offsets, stream + at + gaps, LANES + next, to + at, stride, bias);
        }
        if (!direct) R(deliver)(c, &b, first, rows, result, stride);
        w += rows * c->taps;
    }
    conv_release(c, slot);
}

/* ---- The gradient of the weight ------------------------------------------------------------- */

/* The sums of neighbours: those of x, then those of y. */
ALWAYS_INLINE vec R(pair_sums)(vec x, vec y) { return R(evens)(x, y) + R(odds)(x, y); }

/* Turns `count` vectors into the sums of their elements, in order, at the start of x. */
ALWAYS_INLINE void R(totals)(vec *x, const int count) {
    int left = count;
    _Pragma("GCC unroll 4")
    for (int lanes = LANES; lanes > 1; lanes /= 2, left = (left + 1) / 2)
        _Pragma("GCC unroll 12")
        for (int i = 0; i < left; i += 2)
            x[i / 2] = R(pair_sums)(x[i], i + 1 < left ? x[i + 1] : x[i]);
}

#define EACH                             \
    _Pragma("GCC unroll 8")              \
    for (int o = 0; o < outs; o++)       \
        _Pragma("GCC unroll 9")          \
        for (int t = 0; t < taps; t++)

/* sum(o, t) += the products of a vector of g(o) and of x(offset(t)), of its first `count` lanes:
 * what follows may be a NaN in either. */
ALWAYS_INLINE void R(dots_step)(const int outs, const int taps, const real *g,
                                ptrdiff_t g_stride, const real *x, const ptrdiff_t *offsets,
                                ptrdiff_t count, vec *sum) {
    vec y[9];
    R(row_bits) mask = {0};
    for (int l = 0; l < LANES; l++) mask[l] = l < count ? -1 : 0;
    _Pragma("GCC unroll 9")
    for (int t = 0; t < taps; t++) {
        y[t] = *(const vec_at *)(x + offsets[t]);
        if (count < LANES) y[t] = (vec)((R(row_bits))y[t] & mask);
    }
    _Pragma("GCC unroll 8")
    for (int o = 0; o < outs; o++) {
        vec z = *(const vec_at *)(g + o * g_stride);
        if (count < LANES) z = (vec)((R(row_bits))z & mask);
        IN_REGISTER(z); /* else it is loaded again for each tap */
        _Pragma("GCC unroll 9")
        for (int t = 0; t < taps; t++) sum[o * taps + t] += z * y[t];
    }
}

/* sums(o, t) += the products of g(o) and x(offset(t)) over `positions` of several images (or rows
 * of one). */
ALWAYS_INLINE void R(dots)(const int outs, const int taps, ptrdiff_t images, ptrdiff_t positions,
                           const real *g, ptrdiff_t g_stride, ptrdiff_t g_image, const real *x,
                           ptrdiff_t x_image, const ptrdiff_t *offsets, real *sums,
                           ptrdiff_t sums_stride) {
    vec sum[OUTS * TAPS > 9 ? OUTS * TAPS : 9];
    EACH sum[o * taps + t] = (vec){0};
    for (; images; images--, g += g_image, x += x_image) {
        ptrdiff_t p = 0;
        for (; p + LANES <= positions; p += LANES)
            R(dots_step)(outs, taps, g + p, g_stride, x + p, offsets, LANES, sum);
        if (p < positions)
            R(dots_step)(outs, taps, g + p, g_stride, x + p, offsets, positions - p, sum);
    }
    R(totals)(sum, outs * taps);
    const real *const total = (const real *)sum;
    EACH sums[o * sums_stride + t] += total[o * taps + t];
}

/* A table of functions: [log2 of the outs][taps - 1]. */
#if OUTS == 8
#define FOR_OUTS(DO) DO(1) DO(2) DO(4) DO(8)
#else
#define FOR_OUTS(DO) DO(1) DO(2) DO(4)
#endif
#define FOR_TAPS(name, outs)                                                               \
    {R(LUCID_JOIN(LUCID_JOIN(name, outs), 1)), R(LUCID_JOIN(LUCID_JOIN(name, outs), 2)),   \
     R(LUCID_JOIN(LUCID_JOIN(name, outs), 3))},

#define DOTS_ARGUMENTS                                                                          \
    ptrdiff_t images, ptrdiff_t positions, const real *g, ptrdiff_t g_stride, ptrdiff_t g_image, \
        const real *x, ptrdiff_t x_image, const ptrdiff_t *offsets, real *sums,                 \
        ptrdiff_t sums_stride
#define DOTS(outs, taps)                                                                          \
    static void R(LUCID_JOIN(LUCID_JOIN(dots, outs), taps))(DOTS_ARGUMENTS) {                     \
        R(dots)(outs, taps, images, positions, g, g_stride, g_image, x, x_image, offsets, sums,   \
                sums_stride);                                                                     \
    }
#define ALL_DOTS(outs) DOTS(outs, 1) DOTS(outs, 2) DOTS(outs, 3)
#define DOTS_ROW(outs) FOR_TAPS(dots, outs)
FOR_OUTS(ALL_DOTS)
DOTS(1, 9)
static void (*const R(all_dots)[][TAPS])(DOTS_ARGUMENTS) = {FOR_OUTS(DOTS_ROW)};
#undef DOTS_ROW
#undef ALL_DOTS
#undef DOTS
#undef DOTS_ARGUMENTS

/* Where the gradient of a block's first position is. */
ALWAYS_INLINE const real *R(gradient_of)(const conv_pass *c, const conv_block *b) {
    const conv_axis *const a = c->axis;
    const ptrdiff_t width = a[2].count, plane = a[1].count * width;
    return (const real *)c->gradient +
           ((b->image * c->groups + b->group) * c->targets * a[0].count + b->depth) * plane +
           b->top * width + b->left;
}

/* The gradient of one block's positions, in the stream's own spacing, with zeros in the gaps. */
static void R(spread_gradient)(const conv_pass *c, const conv_block *b, real *to) {
    const conv_axis *const a = c->axis;
    const ptrdiff_t width = a[2].count, plane = a[1].count * width;
    const real *from = R(gradient_of)(c, b);
    for (ptrdiff_t o = 0; o < c->targets; o++, from += a[0].count * plane, to += c->spread)
        for (ptrdiff_t r = 0; r < b->rows; r++) {
            R(copy)(to + r * c->pitch, from + r * width, b->columns);
            if (r + 1 < b->rows)
                R(clear)(to + r * c->pitch + b->columns, c->pitch - b->columns);
        }
}

/* log2 of the target channels that the next tile takes, of those left. */
ALWAYS_INLINE int R(log2_outs)(ptrdiff_t left) {
    return left >= OUTS ? (OUTS == 8 ? 3 : 2) : left >= 4 ? 2 : left >= 2 ? 1 : 0;
}

/* sums(o, t) += the products over `count` stretches of so many positions, for all o and t. */
static void R(stretches)(const conv_pass *c, ptrdiff_t chunk_taps, ptrdiff_t count,
                         ptrdiff_t positions, const real *g, ptrdiff_t g_step, const real *x,
                         ptrdiff_t x_step, real *sums) {
    for (ptrdiff_t o = 0, outs; o < c->targets; o += outs) {
        const int power = R(log2_outs)(c->targets - o);
        outs = (ptrdiff_t)1 << power;
        for (ptrdiff_t t = 0, taps; t < chunk_taps; t += taps) {
            real *const to = sums + o * c->taps + t;
            if (outs == 1 && chunk_taps - t >= 9) {
                taps = 9;
                R(dots_1_9)(count, positions, g + o * c->spread, c->spread, g_step, x, x_step,
                            c->offsets + t, to, c->taps);
            } else {
                taps = conv_least(TAPS, chunk_taps - t);
                R(all_dots)[power][taps - 1](count, positions, g + o * c->spread, c->spread, g_step,
                                             x, x_step, c->offsets + t, to, c->taps);
            }
        }
    }
}

/* The sums of some source channels over the images of a part. */
static void R(weight_sums)(const conv_pass *c, ptrdiff_t part, ptrdiff_t group, ptrdiff_t first,
                           ptrdiff_t sources, int by_row, real *stream, real *sums) {
    const ptrdiff_t chunk_taps = sources * c->kernel;
    const ptrdiff_t stop = conv_least((part + 1) * c->per_part, c->images);
    const ptrdiff_t g_image =
        c->in_place ? c->groups * c->targets * c->spread : conv_up(c->positions, LANES);
    for (ptrdiff_t o = 0; o < c->targets; o++) R(clear)(sums + o * c->taps, chunk_taps);
    for (ptrdiff_t image = part * c->per_part; image < stop; image += c->together)
        for (ptrdiff_t block = 0; block < conv_blocks(c); block++) {
            const ptrdiff_t images = conv_least(c->together, stop - image);
            const real *gradient = stream + c->stream;
            conv_block b = {0};
            for (ptrdiff_t i = images; i--;) {
                b = conv_block_at(c, image + i, group, block);
                b.first = first, b.sources = sources;
                R(fill)(c, &b, i, stream);
                if (!c->in_place) R(spread_gradient)(c, &b, stream + c->stream + i * g_image);
            }
            if (c->in_place) gradient = R(gradient_of)(c, &b);
            if (!by_row)
                R(stretches)(c, chunk_taps, images, (b.rows - 1) * c->pitch + b.columns, gradient,
                             g_image, stream, c->image, sums);
            else
                for (ptrdiff_t i = 0; i < images; i++)
                    R(stretches)(c, chunk_taps, b.rows, b.columns, gradient + i * g_image, c->pitch,
                                 stream + i * c->image, c->pitch, sums);
        }
}

ALWAYS_INLINE int R(any_nan)(const real *x, ptrdiff_t count) {
    int found = 0;
    for (ptrdiff_t i = 0; i < count; i++) found |= x[i] != x[i];
    return found;
}

static void R(weight_task)(void *context, ptrdiff_t index) {
    const conv_pass *const c = context;
    const ptrdiff_t chunk = index % c->chunks, group = index / c->chunks % c->groups;
    const ptrdiff_t part = index / c->chunks / c->groups;
    const ptrdiff_t first = chunk * c->per_chunk;
    const ptrdiff_t sources = conv_least(c->per_chunk, c->sources - first);
    int slot;
    real *const stream = (real *)conv_claim(c, &slot);
    real *const sums = (real *)c->sums + (part * c->groups + group) * c->targets * c->taps +
                       first * c->kernel;
    R(weight_sums)(c, part, group, first, sources, 0, stream, sums);
    /* In the gaps between rows a zero of g has met whatever x is there: if that was not finite, a
     * NaN has reached taps that it does not belong to. Row by row the gaps take no part. */
    int again = 0;
    if (c->pitch > c->axis[CONV_WIDTH].block)
        for (ptrdiff_t o = 0; o < c->targets; o++)
            again |= R(any_nan)(sums + o * c->taps, sources * c->kernel);
    if (again) R(weight_sums)(c, part, group, first, sources, 1, stream, sums);
    conv_release(c, slot);
}

/* The partial sums, added in order. */
static void R(combine)(const conv_pass *c, void *out, ptrdiff_t count) {
    real *const to = out;
    const real *from = c->sums;
    for (ptrdiff_t i = 0; i < count; i++) to[i] = from[i];
    for (ptrdiff_t part = 1; part < c->parts; part++) {
        from += count;
        for (ptrdiff_t i = 0; i < count; i++) to[i] += from[i];
    }
}

/* ---- The gradient of the weight, by pixels --------------------------------------------------- */

/* The elements of x and y in turns: of their lower halves, of their upper ones. */
#if LUCID_VBYTES == 64 && !LUCID_DOUBLE
#define ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LUCID_VBYTES == 64 || LUCID_VBYTES == 32 && !LUCID_DOUBLE
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif LUCID_VBYTES == 32 || !LUCID_DOUBLE
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#else
#define ZIP_LOW 0, 2
#define ZIP_HIGH 1, 3
#endif

/* As many pixels of a row, at most a vector of them, from planes that are `stride` apart. Nothing
 * outside of `first` to `last` is read. */
ALWAYS_INLINE void R(to_pixels)(real *to, const real *from, ptrdiff_t stride, ptrdiff_t channels,
                                ptrdiff_t count, const real *first, const real *last) {
    vec x[LANES], y[LANES];
    if (channels == LANES && count == LANES)
        for (int i = 0; i < LANES; i++) x[i] = *(const vec_at *)(from + i * stride);
    else
        for (int i = 0; i < LANES; i++) {
            x[i] = (vec){0};
            if (i < channels)
                x[i] = R(load_some)(from + i * stride, 1, 0, count, x[i], first, last);
        }
    _Pragma("GCC unroll 4")
    for (int lanes = LANES; lanes > 1; lanes /= 2) { /* transposes, in log2 of the lanes rounds */
        _Pragma("GCC unroll 8")
        for (int i = 0; i < LANES / 2; i++) {
            y[2 * i] = SHUFFLE(R(row_bits), x[i], x[i + LANES / 2], ZIP_LOW);
            y[2 * i + 1] = SHUFFLE(R(row_bits), x[i], x[i + LANES / 2], ZIP_HIGH);
        }
        _Pragma("GCC unroll 16")
        for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
    for (int i = 0; i < count; i++) *(vec *)(to + i * LANES) = x[i];
}

#undef ZIP_LOW
#undef ZIP_HIGH

/* The stream of pixels of one block, for image number `place` in it. */
static void R(fill_pixels)(const conv_pass *c, const conv_block *b, ptrdiff_t place, real *stream) {
    const conv_axis *const depth = &c->axis[CONV_DEPTH], *const height = &c->axis[CONV_HEIGHT],
                    *const width = &c->axis[CONV_WIDTH];
    const ptrdiff_t row = width->source, slice = height->source * row;
    const ptrdiff_t stride = depth->source * slice;
    const real *const all = c->source;
    const real *const last = all + c->images * c->groups * c->sources * stride;
    const real *const image =
        all + ((b->image * c->groups + b->group) * c->sources + b->first) * stride;
    const ptrdiff_t top = b->top * height->split + height->origin[0];
    const ptrdiff_t left = b->left * width->split + width->origin[0];
    const conv_range across = conv_inside(left, 1, row, c->pitch);
    const ptrdiff_t rows = (b->rows - 1) * height->split + height->reach + 1;
    for (ptrdiff_t s = 0; s < b->sources; s += LANES)
        for (ptrdiff_t t = 0; t < depth->taps; t++) {
            const ptrdiff_t deep = b->depth * depth->split + depth->shift[t];
            const int outside = deep < 0 || deep >= depth->source;
            const ptrdiff_t channels = conv_least(LANES, b->sources - s);
            real *to = stream + s / LANES * c->channel + place * c->image + t * c->plane * LANES;
            for (ptrdiff_t r = 0; r < rows; r++, to += c->pitch * LANES) {
                if (outside || top + r < 0 || top + r >= height->source) {
                    R(clear)(to, c->pitch * LANES);
                    continue;
                }
                const real *const from = image + s * stride + deep * slice + (top + r) * row + left;
                R(clear)(to, across.begin * LANES);
                for (ptrdiff_t x = across.begin; x < across.end; x += LANES)
                    R(to_pixels)(to + x * LANES, from + x, stride, channels,
                                 conv_least(LANES, across.end - x), all, last);
                R(clear)(to + across.end * LANES, (c->pitch - across.end) * LANES);
            }
        }
}

/* sums(o, t) += the products of g(o) and of the pixels x(offset(t)) */
ALWAYS_INLINE void R(outer)(const int outs, const int taps, const conv_walk *w, const real *g,
                            const real *x, const ptrdiff_t *offsets, real *sums,
                            ptrdiff_t out_stride, ptrdiff_t tap_stride) {
    const ptrdiff_t columns = w->columns, g_channel = w->g_channel, x_step = w->x_step;
    vec sum[OUTS * TAPS];
    EACH sum[o * taps + t] = (vec){0};
    for (ptrdiff_t i = 0; i < w->images; i++)
        for (ptrdiff_t r = 0; r < w->rows; r++) {
            const real *const g_at = g + i * w->g_image + r * w->g_row;
            const real *x_at = x + i * w->x_image + r * w->x_row;
            for (ptrdiff_t q = 0; q < columns; q++, x_at += x_step) {
                vec y[TAPS];
                _Pragma("GCC unroll 3")
                for (int t = 0; t < taps; t++) y[t] = *(const vec *)(x_at + offsets[t]);
                _Pragma("GCC unroll 8")
                for (int o = 0; o < outs; o++) {
                    vec z = g_at[o * g_channel + q] - (vec){0};
                    IN_REGISTER(z); /* else it is loaded again for each tap */
                    _Pragma("GCC unroll 3")
                    for (int t = 0; t < taps; t++) sum[o * taps + t] += z * y[t];
                }
            }
        }
    EACH *(vec_at *)(sums + o * out_stride + t * tap_stride) += sum[o * taps + t];
}

#define OUTER_ARGUMENTS                                                                     \
    const conv_walk *w, const real *g, const real *x, const ptrdiff_t *offsets, real *sums, \
        ptrdiff_t out_stride, ptrdiff_t tap_stride
#define OUTER(outs, taps)                                                              \
    static void R(LUCID_JOIN(LUCID_JOIN(outer, outs), taps))(OUTER_ARGUMENTS) {        \
        R(outer)(outs, taps, w, g, x, offsets, sums, out_stride, tap_stride);          \
    }
#define ALL_OUTER(outs) OUTER(outs, 1) OUTER(outs, 2) OUTER(outs, 3)
#define OUTER_ROW(outs) FOR_TAPS(outer, outs)
FOR_OUTS(ALL_OUTER)
static void (*const R(all_outer)[][TAPS])(OUTER_ARGUMENTS) = {FOR_OUTS(OUTER_ROW)};
#undef OUTER_ROW
#undef ALL_OUTER
#undef OUTER
#undef OUTER_ARGUMENTS
#undef FOR_OUTS
#undef FOR_TAPS

static void R(pixels_task)(void *context, ptrdiff_t index) {
    const conv_pass *const c = context;
    const conv_axis *const a = c->axis;
    const ptrdiff_t chunk = index % c->chunks, group = index / c->chunks % c->groups;
    const ptrdiff_t part = index / c->chunks / c->groups;
    const ptrdiff_t first = chunk * c->per_chunk, out_stride = c->kernel * c->padded;
    const ptrdiff_t sources = conv_least(c->per_chunk, c->sources - first);
    const ptrdiff_t stop = conv_least((part + 1) * c->per_part, c->images);
    conv_walk w = {.g_row = a[2].count, .x_image = c->image};
    w.g_channel = a[0].count * a[1].count * w.g_row;
    w.g_image = c->groups * c->targets * w.g_channel;
    w.x_row = a[1].split * c->pitch * LANES, w.x_step = a[2].split * LANES;
    int slot;
    real *const stream = (real *)conv_claim(c, &slot);
    real *const sums =
        (real *)c->sums + (part * c->groups + group) * c->targets * out_stride + first;
    for (ptrdiff_t i = 0; i < c->targets * c->kernel; i++)
        R(clear)(sums + i * c->padded, conv_up(sources, LANES));
    for (ptrdiff_t image = part * c->per_part; image < stop; image += c->together)
        for (ptrdiff_t block = 0; block < conv_blocks(c); block++) {
            conv_block b = {0};
            w.images = conv_least(c->together, stop - image);
            for (ptrdiff_t i = w.images; i--;) {
                b = conv_block_at(c, image + i, group, block);
                b.first = first, b.sources = sources;
                R(fill_pixels)(c, &b, i, stream);
            }
            w.rows = b.rows, w.columns = b.columns;
            const real *const g = R(gradient_of)(c, &b);
            for (ptrdiff_t s = 0; s < sources; s += LANES)
                for (ptrdiff_t o = 0, outs; o < c->targets; o += outs) {
                    const int power = R(log2_outs)(c->targets - o);
                    outs = (ptrdiff_t)1 << power;
                    for (ptrdiff_t t = 0, taps; t < c->taps; t += taps) {
                        taps = conv_least(TAPS, c->taps - t);
                        R(all_outer)[power][taps - 1](
                            &w, g + o * w.g_channel, stream + s / LANES * c->channel,
                            c->offsets + t, sums + o * out_stride + t * c->padded + s, out_stride,
                            c->padded);
                    }
                }
        }
    conv_release(c, slot);
}

/* The partial sums, added in order and brought into the order of the weight. */
static void R(combine_pixels)(const conv_pass *c, void *out) {
    const ptrdiff_t count = c->groups * c->targets * c->kernel * c->padded;
    real *to = out, *const sums = c->sums;
    for (ptrdiff_t part = 1; part < c->parts; part++)
        for (ptrdiff_t i = 0; i < count; i++) sums[i] += sums[part * count + i];
    for (ptrdiff_t o = 0; o < c->groups * c->targets; o++)
        for (ptrdiff_t s = 0; s < c->sources; s++)
            for (ptrdiff_t t = 0; t < c->kernel; t++)
                *to++ = sums[(o * c->kernel + t) * c->padded + s];
}

/* target(channel) = the sum over images and positions: the bias's gradient */
static void R(channel_task)(void *context, ptrdiff_t channel) {
    const conv_pass *const c = context;
    const real *from = (const real *)c->gradient + channel * c->positions;
    double total = 0; /* of as many terms as there are images */
    for (ptrdiff_t n = 0; n < c->images; n++, from += c->targets * c->positions) {
        vec sum[4] = {{0}};
        ptrdiff_t i = 0;
        for (; i + 4 * LANES <= c->positions; i += 4 * LANES)
            for (int v = 0; v < 4; v++) sum[v] += *(const vec_at *)(from + i + v * LANES);
        for (; i + LANES <= c->positions; i += LANES) sum[0] += *(const vec_at *)(from + i);
        real rest = 0;
        for (; i < c->positions; i++) rest += from[i];
        sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        R(totals)(sum, 1);
        total += sum[0][0] + rest;
    }
    ((real *)c->target)[channel] = (real)total;
}

static const conv_level R(level) = {
    ROWS, LANES, R(pack_weights), R(product_task), R(weight_task), R(pixels_task), R(channel_task),
    R(combine), R(combine_pixels)};

#undef EACH

#undef LANES
#undef ROWS
#undef OUTS
#undef WIDE
#undef WIDE_ROWS
#undef TAPS
#undef vec
#undef vec_at
