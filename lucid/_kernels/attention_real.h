/* attention_real.h: softmax(scale q k^T + mask) v, a block of queries and of keys at a time.
 *
 * The scores of a block are made by the matrix-product engine from keys that were packed once, and
 * turned into exponentials where they lie, relative to the largest score that the row has seen so
 * far; when a later block has a larger one, the row's sum and its part of the output are scaled
 * down to it (Milakov & Gimelshein 2018; Rabe & Staats 2021; Dao et al. 2022). So no more than one
 * block of scores exists at a time. Under a causal mask, chunks of keys after a block's last query
 * are never touched; a NaN or inf in a later key or value of a query's own block does reach it, as
 * a product with 0.
 *
 * Backward makes the probabilities again from the scores and the saved log-sum-exp of each row.
 * A task is all queries of one head of keys, which makes its gradients sums in a fixed order.
 *
 * No include guard: included once per type and level.
 */
#include "vector_math.h"

#define QUERIES 64 /* in a block, at most */
#define KEYS (LUCID_DOUBLE ? 256 : 512) /* in a block, at most: whole packs */
#define LANES (64 / (ptrdiff_t)sizeof(real)) /* sums have so many parts at every level */
#define LEAST(x, y) ((x) < (y) ? (x) : (y))
#define HEAD(tensor, b, h) ((real *)(tensor).data + (b) * (tensor).batch + (h) * (tensor).head)

/* LANES numbers, whatever the width of the level's registers. */
typedef real R(lanes) __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));
typedef bits R(lane_bits) __attribute__((vector_size(64)));

/* x[l] = what `value` makes of x[l] and x[l + half], by halves until one is left. Unrolled: rows
 * are short, and each waits for this twice. */
#define HALVE(x, value)                                                       \
    _Pragma("GCC unroll 4") for (int half = LANES / 2; half > 0; half /= 2)   \
        _Pragma("GCC unroll 8") for (int l = 0; l < half; l++) {              \
            const real one = (x)[l], other = (x)[l + half];                   \
            (x)[l] = (value);                                                 \
        }

LUCID_INLINE real R(lane_sum)(R(lanes) x) {
    real sum[LANES];
    memcpy(sum, &x, sizeof sum);
    HALVE(sum, one + other)
    return sum[0];
}

/* -inf after the end of a row, up to whole lanes: a key that no query sees. Returns that end. */
LUCID_INLINE ptrdiff_t R(whole_lanes)(real *x, ptrdiff_t count) {
    const ptrdiff_t rest = count % LANES;
    if (rest == 0) return count;
    x += count - rest;
    LUCID_LOOP for (ptrdiff_t l = 0; l < LANES; l++) x[l] = l < rest ? x[l] : (real)-INFINITY;
    return count - rest + LANES;
}

/* The largest of a row of whole lanes. A NaN may get lost. */
LUCID_INLINE real R(row_max)(const real *x, ptrdiff_t count) {
    R(lanes) most = (R(lanes)){0} - (real)INFINITY;
    for (ptrdiff_t j = 0; j < count; j += LANES) {
        const R(lanes) y = *(const R(lanes) *)(x + j);
        const R(lane_bits) less = (R(lane_bits))(y <= most);
        most = (R(lanes))((less & (R(lane_bits))most) | (~less & (R(lane_bits))y));
    }
    real largest[LANES];
    memcpy(largest, &most, sizeof largest);
    HALVE(largest, one > other ? one : other)
    return largest[0];
}

/* x = exp(x - shift) for a row of whole lanes; returns the sum. */
LUCID_INLINE real R(row_exp)(real *x, ptrdiff_t count, real shift) {
    R(lanes) sum = {0};
    for (ptrdiff_t j = 0; j < count; j += LANES) {
        LUCID_LOOP for (ptrdiff_t l = 0; l < LANES; l++)
            x[j + l] = R(exp_negative)(x[j + l] - shift);
        sum += *(const R(lanes) *)(x + j);
    }
    return R(lane_sum)(sum);
}

static real R(row_dot)(const real *x, const real *y, ptrdiff_t count) {
    R(lanes) sum = {0};
    real rest = 0;
    ptrdiff_t j = 0;
    for (; j + LANES <= count; j += LANES)
        sum += *(const R(lanes) *)(x + j) * *(const R(lanes) *)(y + j);
    for (; j < count; j++) rest += x[j] * y[j];
    return R(lane_sum)(sum) + rest;
}

static int R(has_nan)(const real *x, ptrdiff_t count) {
    int found = 0;
    for (ptrdiff_t j = 0; j < count; j++) found |= x[j] != x[j];
    return found;
}

static void R(row_scale)(real *x, ptrdiff_t count, real factor) {
    LUCID_LOOP for (ptrdiff_t j = 0; j < count; j++) x[j] *= factor;
}

static void R(row_dropout)(real *x, ptrdiff_t first, ptrdiff_t count, random_key key,
                           uint32_t threshold, real factor) {
    LUCID_LOOP for (ptrdiff_t j = 0; j < count; j++)
        x[j] = random_bits(key, (uint32_t)(first + j)) < threshold ? 0 : x[j] * factor;
}

LUCID_INLINE gemm_operand R(rows_of)(const real *data, ptrdiff_t free_stride, ptrdiff_t depth_stride) {
    return (gemm_operand){data, free_stride, depth_stride, NULL, NULL, NULL};
}

/* The queries of a block; also the keys packed at a time. Under a causal mask, half of the scores
 * on the diagonal are for nothing. */
LUCID_INLINE ptrdiff_t R(block_height)(const attention *s) {
    return s->causal ? QUERIES / 2 : QUERIES;
}

/* Packs rows of x, block by block, as the transposed right operand of a product. */
static void R(pack_rows)(const attention *s, const real *x, ptrdiff_t row, ptrdiff_t rows,
                         ptrdiff_t width, char *packed) {
    const ptrdiff_t height = R(block_height)(s);
    const size_t size = s->engine->packed_size(height, width);
    for (ptrdiff_t j = 0; j < rows; j += height) {
        const gemm_operand b = R(rows_of)(x + j * row, row, 1);
        s->engine->pack_b(LEAST(height, rows - j), width, &b,
                          packed + (size_t)(j / height) * size);
    }
}

/* to[rows][width] = alpha a b^T for the rows `first` .. `first + count` of a packed b. `total` is
 * how many rows there are in all: the last pack may have fewer. */
static void R(by_packed)(const attention *s, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t count,
                         ptrdiff_t total, const gemm_operand *a, ptrdiff_t depth,
                         const char *packed, real *to, ptrdiff_t width, double alpha) {
    const ptrdiff_t height = R(block_height)(s);
    const size_t size = s->engine->packed_size(height, depth);
    const gemm_epilogue epilogue = {alpha, 0, GEMM_IDENTITY, NULL, NULL};
    for (ptrdiff_t j = 0; j < count; j += height) {
        gemm_operand b = {0};
        b.packed = packed + (size_t)((first + j) / height) * size;
        s->engine->product(rows, LEAST(height, total - first - j), depth, a, &b, to + j, width,
                           &epilogue);
    }
}

/* Keys that a query sees, of `count` from `first` on. */
LUCID_INLINE ptrdiff_t R(seen)(const attention *s, ptrdiff_t query, ptrdiff_t first, ptrdiff_t count) {
    if (!s->causal) return count;
    const ptrdiff_t limit = query + 1 - first;
    return limit < 0 ? 0 : LEAST(limit, count);
}

/* The scores of a block of queries from q0 on with keys from j0 on. */
static void R(block_scores)(const attention *s, ptrdiff_t b, ptrdiff_t h, const gemm_operand *q,
                            ptrdiff_t q0, ptrdiff_t rows, ptrdiff_t j0, ptrdiff_t count, ptrdiff_t visible,
                            const char *packed, real *scores, ptrdiff_t width) {
    R(by_packed)(s, rows, j0, count, visible, q, s->width, packed, scores, width, s->scale);
    if (!s->mask.data) return;
    for (ptrdiff_t i = 0; i < rows; i++) {
        const real *mask = HEAD(s->mask, b, h) + (q0 + i) * s->mask.row + j0;
        real *x = scores + i * width;
        LUCID_LOOP for (ptrdiff_t j = 0; j < count; j++) x[j] += mask[j];
    }
}

/* Room for the scores of a block: whole packs of keys. */
LUCID_INLINE ptrdiff_t R(block_width)(ptrdiff_t visible) {
    return LEAST((visible + QUERIES - 1) / QUERIES * QUERIES, KEYS);
}

static void *R(memory)(attention *s, size_t size) {
    void *found = aligned_alloc(64, (size + 127) & ~(size_t)63);
    if (!found) __atomic_store_n(&s->failed, 1, __ATOMIC_RELAXED);
    return found;
}

LUCID_INLINE size_t R(packs)(const attention *s, ptrdiff_t rows, ptrdiff_t width) {
    const ptrdiff_t height = R(block_height)(s);
    return (size_t)((rows + height - 1) / height) * s->engine->packed_size(height, width);
}

/* ---- Forward -------------------------------------------------------------------------------- */

static void R(attend)(void *context, ptrdiff_t index) {
    attention *s = context;
    const ptrdiff_t groups = (s->queries + ATTENTION_GROUP - 1) / ATTENTION_GROUP;
    const ptrdiff_t first = index % groups * ATTENTION_GROUP;
    const ptrdiff_t last = LEAST(s->queries, first + ATTENTION_GROUP);
    const ptrdiff_t h = index / groups % s->heads, b = index / groups / s->heads;
    const ptrdiff_t kv = h / (s->heads / s->kv_heads);
    const ptrdiff_t visible = s->causal ? LEAST(s->keys, last) : s->keys;
    const ptrdiff_t height = R(block_height)(s), width = R(block_width)(visible);
    const real *q = HEAD(s->q, b, h), *k = HEAD(s->k, b, kv), *v = HEAD(s->v, b, kv);
    const size_t packed_size = R(packs)(s, visible, s->width);
    char *const packed = R(memory)(s, packed_size + (size_t)(height * width) * sizeof(real));
    if (!packed) return;
    real *const scores = (real *)(packed + packed_size);
    real most[QUERIES], sum[QUERIES];
    const uint32_t threshold = random_threshold(s->dropout);
    const gemm_epilogue add = {1, 1, GEMM_IDENTITY, NULL, NULL};

    R(pack_rows)(s, k, s->k.row, visible, s->width, packed);
    for (ptrdiff_t q0 = first; q0 < last; q0 += height) {
        const ptrdiff_t rows = LEAST(height, last - q0);
        const ptrdiff_t end = s->causal ? LEAST(s->keys, q0 + rows) : s->keys;
        const gemm_operand queries = R(rows_of)(q + q0 * s->q.row, s->q.row, 1);
        real *const out = HEAD(s->out, b, h) + q0 * s->out.row;
        const ptrdiff_t row0 = (b * s->heads + h) * s->queries + q0;
        for (ptrdiff_t i = 0; i < rows; i++) most[i] = (real)-INFINITY, sum[i] = 0;

        for (ptrdiff_t j0 = 0; j0 < end; j0 += width) {
            const ptrdiff_t count = LEAST(width, end - j0);
            R(block_scores)(s, b, h, &queries, q0, rows, j0, count, visible, packed, scores, width);
            for (ptrdiff_t i = 0; i < rows; i++) {
                real *const x = scores + i * width;
                const ptrdiff_t seen = R(seen)(s, q0 + i, j0, count);
                const ptrdiff_t whole = R(whole_lanes)(x, seen);
                const real here = R(row_max)(x, whole), now = here <= most[i] ? most[i] : here;
                /* Nothing but masked keys so far. (Where there is a number, exp passes NaN on.) */
                if (now == (real)-INFINITY && !R(has_nan)(x, seen)) {
                    memset(x, 0, (size_t)count * sizeof(real));
                    continue;
                }
                const real factor = j0 ? R(exp_negative)(most[i] - now) : 0;
                sum[i] = sum[i] * factor + R(row_exp)(x, whole, now);
                memset(x + seen, 0, (size_t)(count - seen) * sizeof(real));
                if (j0 && factor != 1) R(row_scale)(out + i * s->out.row, s->value_width, factor);
                if (s->dropout > 0)
                    R(row_dropout)(x, j0, seen, random_row_key(s->seed, (uint64_t)(row0 + i)),
                                   threshold, (real)(1 / (1 - s->dropout)));
                most[i] = now;
            }
            const gemm_operand p = R(rows_of)(scores, width, 1);
            const gemm_operand values = R(rows_of)(v + j0 * s->v.row, 1, s->v.row);
            s->engine->product(rows, s->value_width, count, &p, &values, out, s->out.row,
                               j0 ? &add : NULL);
        }
        for (ptrdiff_t i = 0; i < rows; i++) {
            real *const x = out + i * s->out.row;
            if (end == 0) memset(x, 0, (size_t)s->value_width * sizeof(real));
            else if (sum[i] != 0) R(row_scale)(x, s->value_width, 1 / sum[i]);
        }
        /* +inf makes a row without keys probabilities of 0 again in backward. */
        real *const lse = (real *)s->lse + row0;
        LUCID_LOOP for (ptrdiff_t i = 0; i < rows; i++)
            lse[i] = sum[i] == 0 ? (real)INFINITY : most[i] + R(log)(sum[i]);
    }
    free(packed);
}

/* ---- Backward ------------------------------------------------------------------------------- */

/* Of one head of keys. With P the probabilities, M the dropout's 0 or 1 / (1 - p), and dO = g:
 *     dV = (P M)^T dO,  dP = M (dO V^T),  dS = scale P (dP - sum(dO O)),  dK = dS^T Q,  dQ = dS K. */
static void R(attend_backward)(void *context, ptrdiff_t index) {
    attention *s = context;
    const ptrdiff_t b = index / s->kv_heads, kv = index % s->kv_heads;
    const ptrdiff_t share = s->heads / s->kv_heads;
    const ptrdiff_t visible = s->causal ? LEAST(s->keys, s->queries) : s->keys;
    const ptrdiff_t height = R(block_height)(s), width = R(block_width)(visible);
    const real *k = HEAD(s->k, b, kv), *v = HEAD(s->v, b, kv);
    real *const dk = HEAD(s->dk, b, kv), *const dv = HEAD(s->dv, b, kv);
    const size_t keys_size = R(packs)(s, visible, s->width);
    const size_t values_size = R(packs)(s, visible, s->value_width);
    char *const keys = R(memory)(
        s, keys_size + values_size + (size_t)(3 * height * width) * sizeof(real));
    if (!keys) return;
    char *const values = keys + keys_size;
    real *const p = (real *)(values + values_size), *const ds = p + height * width;
    real *const dropped = s->dropout > 0 ? ds + height * width : p;
    const uint32_t threshold = random_threshold(s->dropout);
    const real factor = (real)(1 / (1 - s->dropout)), scale = (real)s->scale;
    const gemm_epilogue add = {1, 1, GEMM_IDENTITY, NULL, NULL};

    for (ptrdiff_t j = 0; j < s->keys; j++) {
        memset(dk + j * s->dk.row, 0, (size_t)s->width * sizeof(real));
        memset(dv + j * s->dv.row, 0, (size_t)s->value_width * sizeof(real));
    }
    R(pack_rows)(s, k, s->k.row, visible, s->width, keys);
    R(pack_rows)(s, v, s->v.row, visible, s->value_width, values);
    for (ptrdiff_t h = kv * share; h < (kv + 1) * share; h++)
        for (ptrdiff_t q0 = 0; q0 < s->queries; q0 += height) {
            const ptrdiff_t rows = LEAST(height, s->queries - q0);
            const ptrdiff_t end = s->causal ? LEAST(s->keys, q0 + rows) : s->keys;
            const real *const q = HEAD(s->q, b, h) + q0 * s->q.row;
            const real *const g = HEAD(s->g, b, h) + q0 * s->g.row;
            const real *const out = HEAD(s->out, b, h) + q0 * s->out.row;
            real *const dq = HEAD(s->dq, b, h) + q0 * s->dq.row;
            const ptrdiff_t row0 = (b * s->heads + h) * s->queries + q0;
            const gemm_operand queries = R(rows_of)(q, s->q.row, 1);
            const gemm_operand queries_right = R(rows_of)(q, 1, s->q.row);
            const gemm_operand gradients = R(rows_of)(g, s->g.row, 1);
            const gemm_operand gradients_right = R(rows_of)(g, 1, s->g.row);
            real delta[QUERIES];
            for (ptrdiff_t i = 0; i < rows; i++)
                delta[i] = R(row_dot)(g + i * s->g.row, out + i * s->out.row, s->value_width);
            if (end == 0)
                for (ptrdiff_t i = 0; i < rows; i++)
                    memset(dq + i * s->dq.row, 0, (size_t)s->width * sizeof(real));

            for (ptrdiff_t j0 = 0; j0 < end; j0 += width) {
                const ptrdiff_t count = LEAST(width, end - j0);
                R(block_scores)(s, b, h, &queries, q0, rows, j0, count, visible, keys, p, width);
                R(by_packed)(s, rows, j0, count, visible, &gradients, s->value_width, values, ds,
                             width, 1);
                for (ptrdiff_t i = 0; i < rows; i++) {
                    real *const x = p + i * width, *const d = ds + i * width;
                    const ptrdiff_t seen = R(seen)(s, q0 + i, j0, count);
                    const ptrdiff_t whole = R(whole_lanes)(x, seen);
                    const real lse = ((const real *)s->lse)[row0 + i], shift = delta[i];
                    LUCID_LOOP for (ptrdiff_t j = 0; j < whole; j++)
                        x[j] = R(exp_negative)(x[j] - lse);
                    if (s->dropout > 0) {
                        const random_key key = random_row_key(s->seed, (uint64_t)(row0 + i));
                        real *const kept = dropped + i * width;
                        memcpy(kept, x, (size_t)seen * sizeof(real));
                        R(row_dropout)(kept, j0, seen, key, threshold, factor);
                        R(row_dropout)(d, j0, seen, key, threshold, factor);
                        memset(kept + seen, 0, (size_t)(count - seen) * sizeof(real));
                    }
                    LUCID_LOOP for (ptrdiff_t j = 0; j < whole; j++)
                        d[j] = scale * x[j] * (d[j] - shift);
                    memset(x + seen, 0, (size_t)(count - seen) * sizeof(real));
                    memset(d + seen, 0, (size_t)(count - seen) * sizeof(real));
                }
                const gemm_operand p_columns = R(rows_of)(dropped, 1, width);
                const gemm_operand ds_columns = R(rows_of)(ds, 1, width);
                const gemm_operand ds_rows = R(rows_of)(ds, width, 1);
                const gemm_operand keys_right = R(rows_of)(k + j0 * s->k.row, 1, s->k.row);
                s->engine->product(count, s->value_width, rows, &p_columns, &gradients_right,
                                   dv + j0 * s->dv.row, s->dv.row, &add);
                s->engine->product(count, s->width, rows, &ds_columns, &queries_right,
                                   dk + j0 * s->dk.row, s->dk.row, &add);
                s->engine->product(rows, s->width, count, &ds_rows, &keys_right, dq, s->dq.row,
                                   j0 ? &add : NULL);
            }
        }
    free(keys);
}

#undef QUERIES
#undef KEYS
#undef LANES
#undef LEAST
#undef HEAD
#undef HALVE
