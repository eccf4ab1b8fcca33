/* convolution.h: the geometry of a convolution, and the streams it is computed on.
 *
 * Every product a convolution needs sums over taps: a tap is one source channel at one place of the
 * kernel. For a block of positions the source is copied into a stream: zero-padded planes in which
 * position q of tap t lies at q + offset(t): a constant per tap, whatever the stride, dilation and
 * padding are, and neighbouring positions are neighbours in memory. So the inner loops load whole
 * vectors, and no patch is ever gathered (no im2col).
 *
 * Each channel (and depth tap) has a plane for every residue of the rows that are read, where the
 * source advances by `split` > 1 per position. Along a row there are two ways:
 *
 *     dense    a plane for every column of the kernel. Rows follow each other without a gap, and
 *              results are written where they belong. Worth the copies where many channels use
 *              them.
 *     shared   a plane for every residue, with padding between rows; the positions there are
 *              computed and dropped, unless rows are whole vectors: then they are left out.
 *
 *     gather   y(o, q) = sum_t w(o, t) x(q + offset(t))            a convolution
 *     spread   the same for each residue of the target modulo the stride, with the taps that reach
 *              it: the transposed convolution, which is also the gradient of the source
 *     weight   dw(o, t) = sum_q g(o, q) x(q + offset(t))           the gradient of the weight
 *
 * For the weight's gradient the source becomes a stream of pixels, if its channels fill vectors: a
 * vector of channels for each place of one padded plane. Then g is read where it is, one number at
 * a time, and nothing has to be added up across lanes.
 *
 * Channels-first arrays (images, channels, depth, height, width); one or two dimensions have size-1
 * axes in front. All sizes count elements.
 */
#ifndef LUCID_CONVOLUTION_H
#define LUCID_CONVOLUTION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "threads.h" /* lucid_pause */

enum { CONV_DEPTH, CONV_HEIGHT, CONV_WIDTH, CONV_AXES };

/* Dense planes, and those of pixels: from so many target channels on, and the former up to so many
 * columns of the kernel. */
enum { MANY_TARGETS = 8, DENSE_COLUMNS = 8 };

/* What the user says about one axis of the convolution from `source` to `target`. */
typedef struct {
    ptrdiff_t source, target, kernel, stride, padding, dilation;
} conv_extent;

/* One axis of one pass. Position q is target index q * step + start; its tap t, number tap[t] of
 * the kernel, reads source index q * split + shift[t]. Plane p holds source index i * split +
 * origin[p] at i; tap t finds its own in plane[t], at q + base[t]. For pixels there is one plane,
 * of all source indices from origin[0] on, and tap t lies at q * split + base[t]. */
typedef struct {
    ptrdiff_t source, target, count, step, start, split;
    ptrdiff_t taps, planes;
    ptrdiff_t *tap, *shift, *base, *plane, *origin;
    ptrdiff_t reach;         /* largest base */
    ptrdiff_t block, blocks; /* positions in a block, blocks */
} conv_axis;

typedef struct {
    ptrdiff_t images, groups, sources, targets; /* channels of a group */
    conv_axis axis[CONV_AXES];
    ptrdiff_t kernel; /* places of the whole kernel */
    ptrdiff_t pitch, plane, image, channel, stream; /* from row to row ...; all of a block */
    ptrdiff_t row;                           /* from row to row of positions: maybe without gaps */
    ptrdiff_t positions;                     /* of a whole block, with the gaps of its rows */
    int direct;                              /* tiles are written where they belong */
    ptrdiff_t taps;                          /* sources x places */
    ptrdiff_t *offsets;                      /* of the taps, in the order of the weight */
    ptrdiff_t height;                        /* target channels in a tile */
    ptrdiff_t *memory;
    const void *source, *bias;
    void *target, *weights;
    ptrdiff_t per_chunk, chunks; /* source channels in a stream; how often that is */
    /* The weight's gradient: images in each of `parts` partial sums, and in a stream. */
    const void *gradient;
    void *sums;
    ptrdiff_t parts, per_part, together;
    ptrdiff_t spread; /* from channel to channel of the gradient, */
    int in_place;     /* which is read where it is: no gaps, whole vectors */
    ptrdiff_t padded; /* source channels in the sums over pixels */
    /* A workspace for every thread that may be inside a task. */
    char *workspace;
    ptrdiff_t workspaces, workspace_bytes;
    atomic_flag *claimed;
} conv_pass;

static inline ptrdiff_t conv_least(ptrdiff_t x, ptrdiff_t y) { return x < y ? x : y; }
static inline ptrdiff_t conv_most(ptrdiff_t x, ptrdiff_t y) { return x > y ? x : y; }
static inline ptrdiff_t conv_up(ptrdiff_t x, ptrdiff_t step) { return (x + step - 1) / step * step; }
static inline ptrdiff_t conv_modulo(ptrdiff_t x, ptrdiff_t n) { return (x % n + n) % n; }

/* The taps of one axis, for a gather (residue < 0) or for one residue of the target of a spread.
 * Its five lists take up `kernel` elements each from `memory` on. */
static void conv_axis_init(conv_axis *a, const conv_extent *e, ptrdiff_t residue,
                           ptrdiff_t *memory) {
    a->tap = memory;
    a->shift = a->tap + e->kernel;
    a->base = a->shift + e->kernel;
    a->plane = a->base + e->kernel;
    a->origin = a->plane + e->kernel;
    a->taps = 0;
    ptrdiff_t first = 0;
    if (residue < 0) {
        a->source = e->source, a->target = a->count = e->target;
        a->step = 1, a->start = 0, a->split = e->stride;
    } else {
        a->source = e->target, a->target = e->source;
        a->step = e->stride, a->split = 1;
        a->start = conv_modulo(residue - e->padding, e->stride);
        a->count = a->start < a->target ? (a->target - a->start - 1) / a->step + 1 : 0;
        first = (a->start + e->padding - residue) / e->stride;
    }
    for (ptrdiff_t k = 0; k < e->kernel; k++) {
        const ptrdiff_t reach = k * e->dilation;
        if (residue >= 0 && reach % e->stride != residue) continue;
        const ptrdiff_t t = a->taps++;
        a->tap[t] = k;
        a->shift[t] = residue < 0 ? reach - e->padding : first - reach / e->stride;
    }
}

/* Which planes the taps read: one for each of them (dense), or for each residue. */
static void conv_axis_planes(conv_axis *a, int dense) {
    a->planes = a->reach = 0;
    for (ptrdiff_t t = 0; t < a->taps; t++) {
        ptrdiff_t p = 0;
        while (p < a->planes && (dense || (a->shift[t] - a->origin[p]) % a->split)) p++;
        if (p == a->planes) a->origin[a->planes++] = a->shift[t];
        a->plane[t] = p;
        a->origin[p] = conv_least(a->origin[p], a->shift[t]);
    }
    for (ptrdiff_t t = 0; t < a->taps; t++) {
        a->base[t] = (a->shift[t] - a->origin[a->plane[t]]) / a->split;
        a->reach = conv_most(a->reach, a->base[t]);
    }
}

/* Whether a tap reaches every element of the source; a spread leaves the others as they are. */
static inline int conv_reaches_all(const conv_extent *extents) {
    for (int d = 0; d < CONV_AXES; d++) {
        const ptrdiff_t stride = extents[d].stride;
        ptrdiff_t reached = 0;
        for (ptrdiff_t k = 0; k < extents[d].kernel && k < stride; k++)
            reached += !k || k * extents[d].dilation % stride != 0;
        if (reached < stride) return 0;
    }
    return 1;
}

/* The taps of the three axes, and memory for the offsets of all. */
static int conv_axes_init(conv_pass *c, const conv_extent *extents, const ptrdiff_t *residues) {
    ptrdiff_t lists = 0;
    c->kernel = 1;
    for (int d = 0; d < CONV_AXES; d++) {
        lists += 5 * extents[d].kernel;
        c->kernel *= extents[d].kernel;
    }
    c->memory = malloc((size_t)(lists + c->sources * c->kernel + 1) * sizeof *c->memory);
    if (!c->memory) return -1;
    ptrdiff_t *memory = c->memory;
    for (int d = 0; d < CONV_AXES; d++) {
        conv_axis_init(&c->axis[d], &extents[d], residues ? residues[d] : -1, memory);
        memory += 5 * extents[d].kernel;
    }
    c->offsets = memory;
    return 0;
}

/* Cuts the positions into blocks of about `wanted`, with `gap` more after each row. */
static void conv_cut(conv_pass *c, ptrdiff_t wanted, ptrdiff_t gap) {
    conv_axis *const height = &c->axis[CONV_HEIGHT], *const width = &c->axis[CONV_WIDTH];
    c->axis[CONV_DEPTH].block = 1;
    width->block = width->count > 2 * wanted ? wanted : width->count;
    const ptrdiff_t row = conv_most(width->block + gap, 1);
    height->block = conv_most(1, conv_least(height->count, wanted / row));
    for (int d = 0; d < CONV_AXES; d++) {
        conv_axis *const a = &c->axis[d];
        a->blocks = a->count ? (a->count + a->block - 1) / a->block : 0;
        if (a->blocks) a->block = (a->count + a->blocks - 1) / a->blocks;
    }
}

/* About `wanted` chunks of the source channels, each a multiple of `unit`. */
static void conv_chunks(conv_pass *c, ptrdiff_t wanted, ptrdiff_t unit) {
    wanted = conv_most(1, conv_least(c->sources, wanted));
    c->per_chunk = conv_up((c->sources + wanted - 1) / wanted, unit);
    c->chunks = (c->sources + c->per_chunk - 1) / c->per_chunk;
}

/* Lays out the stream of blocks of about `wanted` positions. For the gradient of the weight it
 * holds as many images as have `walk` positions, and so many channels that it has about `size`
 * elements; else (0, 0) all channels of one image. */
static int conv_pass_init(conv_pass *c, const conv_extent *extents, const ptrdiff_t *residues,
                          ptrdiff_t wanted, ptrdiff_t walk, ptrdiff_t size, ptrdiff_t lanes) {
    if (conv_axes_init(c, extents, residues) < 0) return -1;
    conv_axis *const depth = &c->axis[CONV_DEPTH], *const height = &c->axis[CONV_HEIGHT],
              *const width = &c->axis[CONV_WIDTH];
    const int worth_dense =
        height->count > 1 && c->targets >= MANY_TARGETS && width->taps <= DENSE_COLUMNS;
    const int whole =
        worth_dense && !size && width->count % lanes == 0 && width->count <= 2 * wanted;
    conv_axis_planes(height, 0);
    conv_axis_planes(width, worth_dense && !whole);
    conv_cut(c, wanted, width->reach);
    c->pitch = width->block + width->reach;
    if (width->reach && width->split == 1 && width->blocks == 1) {
        /* The padding at the end of a row and at the start of the next may share its zeros. */
        const ptrdiff_t before = conv_least(conv_most(-width->origin[0], 0), c->pitch);
        const ptrdiff_t end = width->source - width->origin[0];
        c->pitch = conv_most(conv_most(end, c->pitch - before), width->count);
        c->pitch = conv_least(c->pitch, width->block + width->reach);
    }
    c->plane = (height->block + height->reach) * c->pitch;
    c->row = whole ? width->count : c->pitch;
    c->positions = (height->block - 1) * c->row + width->block;
    c->together = conv_most(1, conv_least(c->images, walk / conv_most(c->positions, 1)));
    /* Past the last plane there may be zeros to share as well. */
    c->image = depth->taps * height->planes * width->planes * c->plane + width->reach;
    c->channel = c->together * c->image;
    conv_chunks(c, size ? c->sources * c->channel / size : 1, 1);
    /* Whether the positions of a block are neighbours in the target. */
    c->direct = depth->step == 1 && height->step == 1 && width->step == 1 &&
                (height->block == 1 || c->row == width->target);
    c->stream = conv_up(c->per_chunk * c->channel + lanes, 64);

    c->taps = 0;
    for (ptrdiff_t s = 0; s < c->sources; s++)
        for (ptrdiff_t i = 0; i < depth->taps; i++)
            for (ptrdiff_t j = 0; j < height->taps; j++)
                for (ptrdiff_t k = 0; k < width->taps; k++)
                    c->offsets[c->taps++] =
                        s * c->channel +
                        ((i * height->planes + height->plane[j]) * width->planes +
                         width->plane[k]) * c->plane +
                        height->base[j] * c->pitch + width->base[k];
    return 0;
}

/* One plane that holds all that the taps read, from the first one's on. */
static void conv_axis_whole(conv_axis *a) {
    a->origin[0] = a->reach = 0;
    for (ptrdiff_t t = 0; t < a->taps; t++)
        a->origin[0] = t ? conv_least(a->origin[0], a->shift[t]) : a->shift[t];
    for (ptrdiff_t t = 0; t < a->taps; t++) {
        a->base[t] = a->shift[t] - a->origin[0];
        a->reach = conv_most(a->reach, a->base[t]);
    }
}

/* The same for a stream of pixels, in at least so many chunks if there are channels enough: the
 * planes of `lanes` channels are stored as one, whose elements are vectors. Offsets are those of
 * the places of the kernel. */
static int conv_pixels_init(conv_pass *c, const conv_extent *extents, ptrdiff_t wanted,
                            ptrdiff_t walk, ptrdiff_t size, ptrdiff_t chunks, ptrdiff_t lanes) {
    if (conv_axes_init(c, extents, NULL) < 0) return -1;
    conv_axis *const depth = &c->axis[CONV_DEPTH], *const height = &c->axis[CONV_HEIGHT],
              *const width = &c->axis[CONV_WIDTH];
    conv_axis_whole(height);
    conv_axis_whole(width);
    conv_cut(c, wanted, 0);
    c->pitch = (width->block - 1) * width->split + width->reach + 1;
    c->plane = ((height->block - 1) * height->split + height->reach + 1) * c->pitch;
    c->positions = height->block * width->block;
    c->together = conv_most(1, conv_least(c->images, walk / conv_most(c->positions, 1)));
    c->image = depth->taps * c->plane * lanes;
    c->channel = c->together * c->image;
    c->padded = conv_up(c->sources, lanes);
    conv_chunks(c, conv_most(chunks, c->padded / lanes * c->channel / size), lanes);
    c->stream = c->per_chunk / lanes * c->channel;

    c->taps = 0;
    for (ptrdiff_t i = 0; i < depth->taps; i++)
        for (ptrdiff_t j = 0; j < height->taps; j++)
            for (ptrdiff_t k = 0; k < width->taps; k++)
                c->offsets[c->taps++] =
                    (i * c->plane + height->base[j] * c->pitch + width->base[k]) * lanes;
    return 0;
}

/* The part of a plane's axis that lies inside the source, where index i is source index
 * i * split + origin. */
typedef struct { ptrdiff_t begin, end; } conv_range;

static inline conv_range conv_inside(ptrdiff_t origin, ptrdiff_t split, ptrdiff_t source,
                                     ptrdiff_t count) {
    conv_range r;
    r.begin = conv_least(origin < 0 ? (-origin + split - 1) / split : 0, count);
    r.end = origin < source ? conv_least((source - origin + split - 1) / split, count) : 0;
    r.end = conv_most(r.end, r.begin);
    return r;
}

/* One block of positions of one image, and some source channels of a group. */
typedef struct {
    ptrdiff_t image, group, depth, top, rows, left, columns, first, sources;
} conv_block;

static inline ptrdiff_t conv_blocks(const conv_pass *c) {
    return c->axis[0].blocks * c->axis[1].blocks * c->axis[2].blocks;
}

static inline conv_block conv_block_at(const conv_pass *c, ptrdiff_t image, ptrdiff_t group,
                                       ptrdiff_t index) {
    const conv_axis *const h = &c->axis[CONV_HEIGHT], *const w = &c->axis[CONV_WIDTH];
    conv_block b = {.image = image, .group = group, .sources = c->sources};
    b.left = index % w->blocks * w->block;
    b.columns = conv_least(w->block, w->count - b.left);
    index /= w->blocks;
    b.top = index % h->blocks * h->block;
    b.rows = conv_least(h->block, h->count - b.top);
    b.depth = index / h->blocks;
    return b;
}

static inline char *conv_claim(const conv_pass *c, int *slot) {
    for (;; lucid_pause())
        for (int i = 0; i < c->workspaces; i++)
            if (!atomic_flag_test_and_set_explicit(&c->claimed[i], memory_order_acquire)) {
                *slot = i;
                return c->workspace + i * c->workspace_bytes;
            }
}

static inline void conv_release(const conv_pass *c, int slot) {
    atomic_flag_clear_explicit(&c->claimed[slot], memory_order_release);
}

/* What the sums over pixels walk over, and how far apart g and x lie there. */
typedef struct {
    ptrdiff_t images, rows, columns, g_channel, g_image, g_row, x_image, x_row, x_step;
} conv_walk;

typedef void (*conv_task)(void *context, ptrdiff_t index);

/* One level's loops for one dtype. */
typedef struct {
    ptrdiff_t rows, lanes; /* of a tile; in a vector */
    void (*pack)(const conv_pass *c, const void *weight, ptrdiff_t target_stride,
                 ptrdiff_t source_stride, const conv_extent *extents);
    conv_task product; /* index: a block of a group of an image */
    conv_task weight;  /* index: a chunk of source channels of a group of a part */
    conv_task pixels;  /* the same on a stream of pixels */
    conv_task channel; /* index: of a target channel, whose gradient is summed */
    void (*combine)(const conv_pass *c, void *out, ptrdiff_t count);
    void (*combine_pixels)(const conv_pass *c, void *out);
} conv_level;

#endif
