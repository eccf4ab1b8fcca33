/* rowwise_body.h: the loops of rowwise.pyx: reductions, softmax, cross-entropy, normalisation.
 *
 * Every loop has the same signature: the arguments in one struct, and a range of rows, so that one
 * dispatcher can run any of them whole or in chunks on several threads. What is summed over rows
 * (a loss, the gradient of a weight) goes to a cell per chunk; the caller adds the cells in order.
 * Chunks are fixed by the shape, so results do not depend on the number of threads.
 *
 * Sums add four vectors of lanes over a block of a few thousand bytes, 16 additions in each lane,
 * and go on in float64 with compensation from block to block.
 *
 * Rows of a few columns would leave most of a register empty; softmax and cross-entropy gather them
 * into a tile with one row per lane.
 */
#ifndef LUCID_ROWWISE
#define LUCID_ROWWISE

enum { TILE_ROWS = 32, TILE_COLUMNS = 16, COLUMN_BLOCK = 512, SUMMED = 4 };

typedef struct {
    const void *x, *g, *y;     /* x: rows; g: incoming gradient; y: what forward returned */
    const void *weight, *bias; /* one per column, or NULL */
    void *out, *first, *second; /* rows; per-row results (mean, rstd; or kept statistics) */
    double *cells;             /* per chunk */
    Py_ssize_t columns, inner, chunk;
    double a, b;               /* parameters: divisor, eps, smoothing, scale */
    /* cross-entropy alone */
    const int64_t *target;
    int64_t ignore_index;
    double weight_sum;         /* over the classes */
    Py_ssize_t g_stride;       /* 0: one gradient for all rows */
    /* batch normalisation alone */
    Py_ssize_t samples;
    int own;                   /* whether the statistics are those of x */
} row_args;

typedef void (*row_loop)(const void *args, Py_ssize_t start, Py_ssize_t stop);

#define ROW_LIST(OP)                                                                              \
    OP(sum) OP(segment_sum) OP(collect) OP(column_sum) OP(amax) OP(amin)                       \
    OP(column_amax) OP(column_amin) OP(argmax) OP(argmin) OP(var_mean)                            \
    OP(softmax) OP(log_softmax) OP(softmax_backward) OP(log_softmax_backward)                     \
OP(cross_entropy) OP(cross_entropy_backward) OP(layer_norm) OP(layer_norm_backward)           \
    OP(rms_norm) OP(rms_norm_backward) OP(batch_norm) OP(batch_norm_backward)                     \
    OP(prelu_backward)

#define ENUM_ROW(name) ROW_##name,
enum { ROW_LIST(ENUM_ROW) ROW_COUNT };

/* The float32 loop of operation i at 2i, the float64 one at 2i + 1. */
#define PAIR_ROW(name) LUCID_NAME(row_##name##_f32), LUCID_NAME(row_##name##_f64),
#define ROW_LOOP(name)                                                                            \
    LUCID_INLINE void R(name##_rows)(const row_args *args, Py_ssize_t start, Py_ssize_t stop);    \
    static void R(row_##name)(const void *args, Py_ssize_t start, Py_ssize_t stop) {              \
        R(name##_rows)(args, start, stop);                                                        \
    }                                                                                             \
    LUCID_INLINE void R(name##_rows)(const row_args *args, Py_ssize_t start, Py_ssize_t stop)
#endif

#ifndef LUCID_REAL_BODY /* once per level */

#define LUCID_REAL_BODY "rowwise_body.h"
#include "each_real.h"
static const row_loop LUCID_NAME(row_loops)[] = {ROW_LIST(PAIR_ROW)};

#else /* once per level and real type */

#include "vector_math.h"

#undef WIDTH
#undef BLOCK
#define WIDTH ((Py_ssize_t)(LUCID_VBYTES / sizeof(real)))
#define BLOCK (64 * WIDTH)

typedef real R(vector) __attribute__((vector_size(LUCID_VBYTES)));
typedef bits R(mask) __attribute__((vector_size(LUCID_VBYTES)));

LUCID_INLINE R(vector) R(load)(const real *x) {
    R(vector) v;
    memcpy(&v, x, sizeof v);
    return v;
}

/* name(x, y, z, m, n): the sum over i < n of `value`, in terms of a = x[i], b = y[i],
 * c = z[i] and m. */
#define LANE_SUM(name, value)                                                                     \
    LUCID_INLINE double R(name##_block)(const real *x, const real *y, const real *z, real m,      \
                                        Py_ssize_t count) {                                       \
        double total = 0;                                                                         \
        (void)m;                                                                                  \
        Py_ssize_t i = 0;                                                                         \
        if (count >= WIDTH) {                                                                     \
            R(vector) lanes[4] = {{0}};                                                           \
            for (; i + 4 * WIDTH <= count; i += 4 * WIDTH)                                        \
                for (int k = 0; k < 4; k++) {                                                     \
                    const Py_ssize_t at = i + k * WIDTH;                                          \
                    const R(vector) a = R(load)(x + at), b = R(load)(y + at), c = R(load)(z + at); \
                    (void)b, (void)c;                                                             \
                    lanes[k] += (value);                                                          \
                }                                                                                 \
            for (; i + WIDTH <= count; i += WIDTH) {                                              \
                const R(vector) a = R(load)(x + i), b = R(load)(y + i), c = R(load)(z + i);       \
                (void)b, (void)c;                                                                 \
                lanes[0] += (value);                                                              \
            }                                                                                     \
            lanes[0] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);                             \
            double part[4] = {0};                                                                 \
            for (int l = 0; l < WIDTH; l++) part[l & 3] += (double)lanes[0][l];                   \
            total = (part[0] + part[1]) + (part[2] + part[3]);                                    \
        }                                                                                         \
        for (; i < count; i++) {                                                                  \
            const real a = x[i], b = y[i], c = z[i];                                              \
            (void)b, (void)c;                                                                     \
            total += (double)(value);                                                             \
        }                                                                                         \
        return total;                                                                             \
    }                                                                                             \
    static double R(name)(const real *x, const real *y, const real *z, real m, Py_ssize_t count) { \
        if (count <= BLOCK) return R(name##_block)(x, y, z, m, count);                            \
        double total = 0, lost = 0;                                                               \
        for (Py_ssize_t i = 0; i < count; i += BLOCK) {                                           \
            const double block = R(name##_block)(x + i, y + i, z + i, m,                          \
                                                 count - i < BLOCK ? count - i : BLOCK);          \
            const double next = total + block, added = next - total;                              \
            lost += (total - (next - added)) + (block - added);                                   \
            total = next;                                                                         \
        }                                                                                         \
        return isfinite(total) ? total + lost : total;                                            \
    }

LANE_SUM(lane_sum, a)
LANE_SUM(lane_dot, a * b)
LANE_SUM(lane_dot3, a * b * c)
LANE_SUM(lane_squares, (a - m) * (a - m))
LANE_SUM(lane_centred_dot, (a - m) * b)
LANE_SUM(lane_centred_dot3, (a - m) * b * c)

static double R(total)(const real *x, Py_ssize_t count) { return R(lane_sum)(x, x, x, 0, count); }

/* The one that is greater (less), or NaN. */
#define EITHER(v, BETTER, best) ((((v)BETTER(best)) | ((v) != (v))) ? (v) : (best))

/* The largest or smallest value; NaN wins. */
#define EXTREME(name, BETTER)                                                                  \
    LUCID_INLINE R(vector) R(name##_of)(R(vector) v, R(vector) best) {                            \
        const R(mask) better = (R(mask))((v BETTER best) | (v != v));                          \
        return (R(vector))((better & (R(mask))v) | (~better & (R(mask))best));                    \
    }                                                                                             \
    static real R(name)(const real *x, Py_ssize_t count) {                                        \
        real best = x[0];                                                                         \
        Py_ssize_t i = 1;                                                                         \
        if (count >= WIDTH) {                                                                     \
            R(vector) lanes[4] = {R(load)(x), R(load)(x), R(load)(x), R(load)(x)};                \
            for (i = WIDTH; i + 4 * WIDTH <= count; i += 4 * WIDTH)                               \
                for (int k = 0; k < 4; k++)                                                       \
                    lanes[k] = R(name##_of)(R(load)(x + i + k * WIDTH), lanes[k]);                \
            for (; i + WIDTH <= count; i += WIDTH)                                                \
                lanes[0] = R(name##_of)(R(load)(x + i), lanes[0]);                                \
            lanes[0] = R(name##_of)(lanes[0], lanes[1]);                                          \
            lanes[1] = R(name##_of)(lanes[2], lanes[3]);                                          \
            lanes[0] = R(name##_of)(lanes[0], lanes[1]);                                          \
            real four[4];                                                                         \
            for (int l = 0; l < 4; l++) four[l] = lanes[0][l % WIDTH];                            \
            for (int l = 4; l < WIDTH; l++)                                                       \
                four[l & 3] = EITHER(lanes[0][l], BETTER, four[l & 3]);                        \
            four[0] = EITHER(four[0], BETTER, four[1]);                                        \
            four[2] = EITHER(four[2], BETTER, four[3]);                                        \
            best = EITHER(four[0], BETTER, four[2]);                                           \
        }                                                                                         \
        for (; i < count; i++) best = EITHER(x[i], BETTER, best);                              \
        return best;                                                                              \
    }

EXTREME(largest, >)
EXTREME(smallest, <)

/* --- reductions ------------------------------------------------------------------------------ */

ROW_LOOP(sum) {
    const real *x = args->x;
    for (Py_ssize_t row = start; row < stop; row++)
        ((real *)args->out)[row] =
            (real)(R(total)(x + row * args->columns, args->columns) / args->a);
}

/* One long row, a segment per chunk. */
ROW_LOOP(segment_sum) {
    args->cells[start / args->chunk] = R(total)((const real *)args->x + start, stop - start);
}

/* The cells of all chunks added up: `columns` chunks of `inner` cells,
 * each of which is a row here. */
ROW_LOOP(collect) {
    for (Py_ssize_t row = start; row < stop; row++) {
        double total = 0;
        for (Py_ssize_t i = 0; i < args->columns; i++) total += args->cells[i * args->inner + row];
        ((real *)args->out)[row] = (real)(total / args->a);
    }
}

/* Over the middle axis of (rows, columns, inner), a block of the inner axis at a time. */
typedef struct {
    const real *x;
    real *out;
    Py_ssize_t width;
} R(column_block);

static R(column_block) R(nth_column_block)(const row_args *args, Py_ssize_t index) {
    const Py_ssize_t blocks = (args->inner + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
    const Py_ssize_t row = index / blocks, from = index % blocks * COLUMN_BLOCK;
    const Py_ssize_t left = args->inner - from;
    return (R(column_block)){
        (const real *)args->x + row * args->columns * args->inner + from,
        (real *)args->out + row * args->inner + from,
        left < COLUMN_BLOCK ? left : COLUMN_BLOCK,
    };
}

ROW_LOOP(column_sum) {
    const Py_ssize_t count = args->columns, inner = args->inner;
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(column_block) block = R(nth_column_block)(args, index);
        double total[COLUMN_BLOCK] = {0};
        Py_ssize_t i = 0;
        for (; i + 4 <= count; i += 4) {
            const real *a = block.x + i * inner, *b = a + inner, *c = b + inner, *d = c + inner;
            LUCID_LOOP for (Py_ssize_t j = 0; j < block.width; j++)
                total[j] += ((double)a[j] + (double)b[j]) + ((double)c[j] + (double)d[j]);
        }
        for (; i < count; i++) {
            const real *a = block.x + i * inner;
            LUCID_LOOP for (Py_ssize_t j = 0; j < block.width; j++) total[j] += (double)a[j];
        }
        LUCID_LOOP for (Py_ssize_t j = 0; j < block.width; j++)
            block.out[j] = (real)(total[j] / args->a);
    }
}

#define EXTREME_ROWS(name, extreme)                                                               \
    ROW_LOOP(name) {                                                                              \
        for (Py_ssize_t row = start; row < stop; row++)                                           \
            ((real *)args->out)[row] =                                                            \
                R(extreme)((const real *)args->x + row * args->columns, args->columns);           \
    }

EXTREME_ROWS(amax, largest)
EXTREME_ROWS(amin, smallest)

#define EXTREME_COLUMNS(name, BETTER)                                                             \
    ROW_LOOP(name) {                                                                              \
        for (Py_ssize_t index = start; index < stop; index++) {                                   \
            const R(column_block) block = R(nth_column_block)(args, index);                       \
            const real *x = block.x;                                                              \
            memcpy(block.out, x, (size_t)block.width * sizeof(real));                             \
            for (Py_ssize_t i = 1; i < args->columns; i++) {                                      \
                x += args->inner;                                                                 \
                LUCID_LOOP for (Py_ssize_t j = 0; j < block.width; j++)                           \
                    block.out[j] = EITHER(x[j], BETTER, block.out[j]);                            \
            }                                                                                     \
        }                                                                                         \
    }

EXTREME_COLUMNS(column_amax, >)
EXTREME_COLUMNS(column_amin, <)

/* Where the first value equal to `wanted`, or the first NaN, is: a block at a time. */
static int64_t R(find)(const real *x, real wanted, Py_ssize_t count) {
    Py_ssize_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        bits found = 0;
        for (Py_ssize_t j = i; j < i + BLOCK; j++) found |= (x[j] == wanted) | (x[j] != x[j]);
        if (found) break;
    }
    while (x[i] != wanted && x[i] == x[i]) i++;
    return i;
}

#define EXTREME_INDEX(name, extreme)                                                              \
    ROW_LOOP(name) {                                                                              \
        for (Py_ssize_t row = start; row < stop; row++) {                                         \
            const real *x = (const real *)args->x + row * args->columns;                          \
            ((int64_t *)args->out)[row] = R(find)(x, R(extreme)(x, args->columns), args->columns); \
        }                                                                                         \
    }

EXTREME_INDEX(argmax, largest)
EXTREME_INDEX(argmin, smallest)

/* The squares of deviations over args->a, and the mean. */
ROW_LOOP(var_mean) {
    const Py_ssize_t columns = args->columns;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * columns;
        const double mean = R(total)(x, columns) / (double)columns;
        ((real *)args->first)[row] = (real)mean;
        ((real *)args->out)[row] = (real)(R(lane_squares)(x, x, x, (real)mean, columns) / args->a);
    }
}

/* --- softmax --------------------------------------------------------------------------------- */

typedef real R(tile)[TILE_COLUMNS][TILE_ROWS];

LUCID_INLINE void R(gather)(const real *rows, Py_ssize_t height, Py_ssize_t columns, R(tile) tile) {
    for (Py_ssize_t i = 0; i < height; i++)
        for (Py_ssize_t j = 0; j < columns; j++) tile[j][i] = rows[i * columns + j];
    for (Py_ssize_t i = height; i < TILE_ROWS; i++)
        for (Py_ssize_t j = 0; j < columns; j++) tile[j][i] = 0;
}

LUCID_INLINE void R(scatter)(real *rows, Py_ssize_t height, Py_ssize_t columns, R(tile) tile) {
    for (Py_ssize_t i = 0; i < height; i++)
        for (Py_ssize_t j = 0; j < columns; j++) rows[i * columns + j] = tile[j][i];
}

/* Leaves exp(x - largest) in the tile. */
LUCID_INLINE void R(tile_exp)(R(tile) tile, Py_ssize_t columns, real *most, real *sum) {
    LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++) most[i] = tile[0][i], sum[i] = 0;
    for (Py_ssize_t j = 1; j < columns; j++)
        LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++)
            most[i] = EITHER(tile[j][i], >, most[i]);
    for (Py_ssize_t j = 0; j < columns; j++)
        LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++) {
            tile[j][i] = R(exp_negative)(tile[j][i] - most[i]);
            sum[i] += tile[j][i];
        }
}

/* The sum of exp(x - most) over a row that need not be kept. */
static double R(exp_sum)(const real *x, real most, Py_ssize_t columns) {
    real buffer[BLOCK];
    double total = 0;
    for (Py_ssize_t from = 0; from < columns; from += BLOCK) {
        const Py_ssize_t width = columns - from < BLOCK ? columns - from : BLOCK;
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
            buffer[j] = R(exp_negative)(x[from + j] - most);
        total += R(total)(buffer, width);
    }
    return total;
}

/* Largest value and sum of exp(x - largest) of up to TILE_ROWS rows. */
static void R(exp_sums)(const real *rows, Py_ssize_t height, Py_ssize_t columns, real *most,
                        real *sum) {
    if (columns <= TILE_COLUMNS) {
        R(tile) tile;
        R(gather)(rows, height, columns, tile);
        R(tile_exp)(tile, columns, most, sum);
        return;
    }
    for (Py_ssize_t i = 0; i < height; i++) {
        most[i] = R(largest)(rows + i * columns, columns);
        sum[i] = (real)R(exp_sum)(rows + i * columns, most[i], columns);
    }
    for (Py_ssize_t i = height; i < TILE_ROWS; i++) most[i] = 0, sum[i] = 1;
}

ROW_LOOP(softmax) {
    const Py_ssize_t columns = args->columns;
    if (columns > TILE_COLUMNS) {
        for (Py_ssize_t row = start; row < stop; row++) {
            const real *x = (const real *)args->x + row * columns;
            real *out = (real *)args->out + row * columns;
            const real most = R(largest)(x, columns);
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(exp_negative)(x[j] - most);
            const real share = (real)(1 / R(total)(out, columns));
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] *= share;
        }
        return;
    }
    for (Py_ssize_t row = start; row < stop; row += TILE_ROWS) {
        const Py_ssize_t height = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
        R(tile) tile;
        real most[TILE_ROWS], sum[TILE_ROWS];
        R(gather)((const real *)args->x + row * columns, height, columns, tile);
        R(tile_exp)(tile, columns, most, sum);
        LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++) sum[i] = 1 / sum[i];
        for (Py_ssize_t j = 0; j < columns; j++)
            LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++) tile[j][i] *= sum[i];
        R(scatter)((real *)args->out + row * columns, height, columns, tile);
    }
}

ROW_LOOP(log_softmax) {
    const Py_ssize_t columns = args->columns;
    for (Py_ssize_t row = start; row < stop; row += TILE_ROWS) {
        const Py_ssize_t height = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
        const real *x = (const real *)args->x + row * columns;
        real *out = (real *)args->out + row * columns;
        real most[TILE_ROWS], sum[TILE_ROWS];
        R(exp_sums)(x, height, columns, most, sum);
        LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++) sum[i] = R(log)(sum[i]);
        for (Py_ssize_t i = 0; i < height; i++)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[i * columns + j] = (x[i * columns + j] - most[i]) - sum[i];
    }
}

ROW_LOOP(softmax_backward) {
    const Py_ssize_t columns = args->columns;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *g = (const real *)args->g + row * columns,
            *y = (const real *)args->y + row * columns;
        real *out = (real *)args->out + row * columns;
        const real mean = (real)R(lane_dot)(g, y, g, 0, columns);
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = (g[j] - mean) * y[j];
    }
}

ROW_LOOP(log_softmax_backward) {
    const Py_ssize_t columns = args->columns;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *g = (const real *)args->g + row * columns,
            *y = (const real *)args->y + row * columns;
        real *out = (real *)args->out + row * columns;
        const real total = (real)R(total)(g, columns);
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
            out[j] = R(fma)(-R(exp_negative)(y[j]), total, g[j]);
    }
}

/* --- cross-entropy --------------------------------------------------------------------------- */

/* The sum of w (log_sum + most - x) over a row: C times what label smoothing adds. */
static double R(smooth_sum)(const real *x, const real *weight, real most, real log_sum,
                            Py_ssize_t columns) {
    double total = 0;
    for (Py_ssize_t j = 0; j < columns; j++)
        total += (double)(weight ? weight[j] : 1) * ((double)log_sum
            + ((double)most - (double)x[j]));
    return total;
}

/* Per row: the loss to `out` (unless NULL), to `first` and `second` what backward needs,
 * the largest logit and 1 / sum(exp(x - largest)). Per chunk: the sums of losses and of their
 * weights, and a row whose target is out of range or -1. */
ROW_LOOP(cross_entropy) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight;
    real *most = args->first, *share = args->second, *out = args->out;
    double *cell = args->cells + 3 * (start / args->chunk), loss_sum = 0, weight_sum = 0;
    for (Py_ssize_t row = start; row < stop; row += TILE_ROWS) {
        const Py_ssize_t height = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
        const real *rows = (const real *)args->x + row * columns;
        real largest[TILE_ROWS], sum[TILE_ROWS], log_sum[TILE_ROWS];
        double tile_loss = 0, tile_weight = 0;
        R(exp_sums)(rows, height, columns, largest, sum);
        LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++)
            log_sum[i] = R(log)(sum[i]), sum[i] = 1 / sum[i];
        for (Py_ssize_t i = 0; i < height; i++) {
            const int64_t target = args->target[row + i];
            const real *x = rows + i * columns;
            double loss = 0;
            if (target != args->ignore_index) {
                if (target < 0 || target >= columns) {
                    cell[2] = (double)(row + i);
                    return;
                }
                const double own = weight ? (double)weight[target] : 1;
                loss = own * ((double)log_sum[i] + ((double)largest[i] - (double)x[target]));
                if (args->a != 0)
                    loss = (1 - args->a) * loss
                         + args->a / (double)columns
                             * R(smooth_sum)(x, weight, largest[i], log_sum[i], columns);
                tile_loss += loss;
                tile_weight += own;
            }
            if (out) out[row + i] = (real)loss;
            most[row + i] = largest[i];
            share[row + i] = sum[i];
        }
        loss_sum += tile_loss;
        weight_sum += tile_weight;
    }
    cell[0] = loss_sum;
    cell[1] = weight_sum;
    cell[2] = -1;
}

/* With s the smoothing, w the weights and p = softmax(x), the gradient of a row's loss is
 *     p ((1 - s) w_target + s/C sum(w)) - (1 - s) w_target [c = target] - s/C w_c.
 * Per chunk: a row whose target is out of range, or -1. */
ROW_LOOP(cross_entropy_backward) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight, *most = args->first, *share = args->second;
    const double spread = args->a / (double)columns;
    args->cells[start / args->chunk] = -1;
    for (Py_ssize_t row = start; row < stop; row += TILE_ROWS) {
        const Py_ssize_t height = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
        const real *rows = (const real *)args->x + row * columns;
        real *outs = (real *)args->out + row * columns;
        real factor[TILE_ROWS] = {0}, base[TILE_ROWS] = {0}, own[TILE_ROWS], each[TILE_ROWS];
        for (Py_ssize_t i = 0; i < height; i++) {
            const int64_t target = args->target[row + i];
            if (target == args->ignore_index) continue;
            if (target < 0 || target >= columns) {
                args->cells[start / args->chunk] = (double)(row + i);
                return;
            }
            const double g = (double)((const real *)args->g)[(row + i) * args->g_stride] * args->b;
            const double weight_own = (1 - args->a) * (weight ? (double)weight[target] : 1);
            base[i] = most[row + i];
            factor[i] = (real)(g * (weight_own
                + spread * args->weight_sum) * (double)share[row + i]);
            own[i] = (real)(g * weight_own);
            each[i] = (real)(g * spread);
        }
        if (columns <= TILE_COLUMNS) {
            R(tile) tile;
            R(gather)(rows, height, columns, tile);
            for (Py_ssize_t j = 0; j < columns; j++)
                LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++)
                    tile[j][i] = R(exp_negative)(tile[j][i] - base[i]) * factor[i];
            R(scatter)(outs, height, columns, tile);
        }
        for (Py_ssize_t i = 0; i < height; i++) {
            const real *x = rows + i * columns;
            real *out = outs + i * columns;
            const int64_t target = args->target[row + i];
            if (target == args->ignore_index) {
                memset(out, 0, (size_t)columns * sizeof(real));
                continue;
            }
            if (columns > TILE_COLUMNS)
                LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                    out[j] = R(exp_negative)(x[j] - base[i]) * factor[i];
            if (spread != 0)
                for (Py_ssize_t j = 0; j < columns; j++)
                    out[j] -= weight ? each[i] * weight[j] : each[i];
            out[target] -= own[i];
        }
    }
}

/* --- normalisation --------------------------------------------------------------------------- */

ROW_LOOP(layer_norm) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight, *bias = args->bias;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * columns;
        real *out = (real *)args->out + row * columns;
        const real mean = (real)(R(total)(x, columns) / (double)columns);
        const double variance = R(lane_squares)(x, x, x, mean, columns) / (double)columns;
        const real rstd = (real)(1 / sqrt(variance + args->a));
        ((real *)args->first)[row] = mean;
        ((real *)args->second)[row] = rstd;
        if (weight && bias)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)((x[j] - mean) * rstd, weight[j], bias[j]);
        else if (weight)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = (x[j] - mean) * rstd * weight[j];
        else if (bias)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(x[j] - mean, rstd, bias[j]);
        else
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = (x[j] - mean) * rstd;
    }
}

/* Adds to the sums over rows of g h (for the weight) and of g (for the bias, if there is one), with
 * h = (x - mean) rstd. The products of a few rows, which are rounded to `real` anyway, are added up
 * in it first: to widen each of them would take as long as all the rest. */
LUCID_INLINE void R(add_rows)(const row_args *args, Py_ssize_t row, const int rows,
                              double *weight_sum, double *bias_sum) {
    const Py_ssize_t columns = args->columns;
    const real *x = (const real *)args->x + row * columns;
    const real *g = (const real *)args->g + row * columns;
    const real *means = args->first, *rstd = (const real *)args->second + row;
    real mean[SUMMED];
    for (int i = 0; i < rows; i++) mean[i] = bias_sum ? means[row + i] : 0;
    LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) {
        real for_weight = 0;
        double for_bias = 0;
        for (int i = 0; i < rows; i++) {
            const real d = g[i * columns + j];
            for_weight += d * ((x[i * columns + j] - mean[i]) * rstd[i]);
            for_bias += (double)d;
        }
        weight_sum[j] += (double)for_weight;
        if (bias_sum) bias_sum[j] += for_bias;
    }
}

/* ... once so many rows have been walked that are still in the cache, or all. */
LUCID_INLINE void R(add_walked_rows)(const row_args *args, Py_ssize_t start, Py_ssize_t row,
                                     Py_ssize_t stop, double *weight_sum, double *bias_sum) {
    const Py_ssize_t rest = (row + 1 - start) % SUMMED;
    if (rest == 0)
        R(add_rows)(args, row + 1 - SUMMED, SUMMED, weight_sum, bias_sum);
    else if (row + 1 == stop)
        for (Py_ssize_t i = stop - rest; i < stop; i++)
            R(add_rows)(args, i, 1, weight_sum, bias_sum);
}

/* With h = (x - mean) rstd and d = g w:  rstd (d - mean(d) - h mean(d h)).
 * Per chunk: the sums over rows of g h (for the weight) and of g (for the bias). */
ROW_LOOP(layer_norm_backward) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight;
    double *weight_sum = args->cells + 2 * columns * (start / args->chunk);
    double *bias_sum = weight_sum + columns;
    memset(weight_sum, 0, 2 * (size_t)columns * sizeof(double));
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * columns,
            *g = (const real *)args->g + row * columns;
        real *out = (real *)args->out + row * columns;
        const real mean = ((const real *)args->first)[row],
            rstd = ((const real *)args->second)[row];
        const double d = weight ? R(lane_dot)(g, weight, g, 0, columns) : R(total)(g, columns);
        const double dh = (double)rstd * (weight ? R(lane_centred_dot3)(x, g, weight, mean, columns)
                                                 : R(lane_centred_dot)(x, g, g, mean, columns));
        const real offset = (real)(-d / (double)columns * (double)rstd);
        const real slope = (real)(-dh / (double)columns * (double)rstd * (double)rstd);
        if (weight)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(g[j] * weight[j], rstd, R(fma)(x[j] - mean, slope, offset));
        else
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(g[j], rstd, R(fma)(x[j] - mean, slope, offset));
        R(add_walked_rows)(args, start, row, stop, weight_sum, bias_sum);
    }
}

/* Batch normalisation of (samples, inner channels, columns): a channel at a time, which is a plane
 * of `columns` in each sample. All of it is mostly still in the cache when it is read again. */
#define EACH_PLANE                                                                              \
    for (Py_ssize_t at = channel * columns; at < args->samples * step; at += step)

ROW_LOOP(batch_norm) {
    const Py_ssize_t columns = args->columns, step = args->inner * columns;
    const double count = (double)(args->samples * columns);
    const real *x = args->x, *weight = args->weight, *bias = args->bias;
    real *out = args->out, *means = args->first, *rstds = args->second;
    for (Py_ssize_t channel = start; channel < stop; channel++) {
        if (args->own) {
            double sum = 0, squares = 0;
            EACH_PLANE sum += R(total)(x + at, columns);
            means[channel] = (real)(sum / count);
            EACH_PLANE squares += R(lane_squares)(x + at, x + at, x + at, means[channel], columns);
            args->cells[channel] = squares / count;
            rstds[channel] = (real)(1 / sqrt(squares / count + args->a));
        }
        const real mean = means[channel], scale = rstds[channel] * (weight ? weight[channel] : 1);
        const real shift = bias ? bias[channel] : 0;
        EACH_PLANE {
            const real *from = x + at;
            real *to = out + at;
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                to[j] = R(fma)(from[j] - mean, scale, shift);
        }
    }
}

/* With h = (x - mean) rstd:  rstd weight (g - mean(g) - h mean(g h)), of which the means are left
 * out where the statistics are not those of x. Per channel the sums of g h and of g. */
ROW_LOOP(batch_norm_backward) {
    const Py_ssize_t columns = args->columns, step = args->inner * columns;
    const double count = (double)(args->samples * columns);
    const real *x = args->x, *g = args->g, *weight = args->weight;
    const real *means = args->first, *rstds = args->second;
    real *out = args->out;
    for (Py_ssize_t channel = start; channel < stop; channel++) {
        const real mean = means[channel], rstd = rstds[channel];
        double sum = 0, along = 0;
        EACH_PLANE {
            sum += R(total)(g + at, columns);
            along += R(lane_centred_dot)(x + at, g + at, g + at, mean, columns);
        }
        along *= (double)rstd;
        args->cells[2 * channel] = along;
        args->cells[2 * channel + 1] = sum;
        const real scale = rstd * (weight ? weight[channel] : 1);
        const real slope = args->own ? (real)(-along / count * (double)rstd) * scale : 0;
        const real offset = args->own ? (real)(-sum / count) * scale : 0;
        EACH_PLANE {
            const real *from = x + at, *incoming = g + at;
            real *to = out + at;
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                to[j] = R(fma)(incoming[j], scale, R(fma)(from[j] - mean, slope, offset));
        }
    }
}

#undef EACH_PLANE

/* g where x > 0, else weight g, the rows taking the `inner` weights in turn. Per row the sum of
 * g x where that is not so: its part of the weight's gradient. */
ROW_LOOP(prelu_backward) {
    const Py_ssize_t columns = args->columns;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * columns;
        const real *g = (const real *)args->g + row * columns;
        const real weight = ((const real *)args->weight)[row % args->inner];
        real *out = (real *)args->out + row * columns, part[BLOCK];
        double sum = 0;
        for (Py_ssize_t j = 0; j < columns; j += BLOCK) {
            const Py_ssize_t count = columns - j < BLOCK ? columns - j : BLOCK;
            LUCID_LOOP for (Py_ssize_t k = 0; k < count; k++) {
                const int positive = x[j + k] > 0;
                out[j + k] = positive ? g[j + k] : weight * g[j + k];
                part[k] = positive ? 0 : x[j + k] * g[j + k];
            }
            sum += R(total)(part, count);
        }
        args->cells[row] = sum;
    }
}

ROW_LOOP(rms_norm) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * columns;
        real *out = (real *)args->out + row * columns;
        const double square = R(lane_dot)(x, x, x, 0, columns) / (double)columns;
        const real rstd = (real)(1 / sqrt(square + args->a));
        ((real *)args->second)[row] = rstd;
        if (weight)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = x[j] * rstd * weight[j];
        else
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = x[j] * rstd;
    }
}

/* With h = x rstd and d = g w:  rstd (d - h mean(d h)). Per chunk: the sum over rows of g h. */
ROW_LOOP(rms_norm_backward) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight;
    double *weight_sum = args->cells + columns * (start / args->chunk);
    memset(weight_sum, 0, (size_t)columns * sizeof(double));
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * columns,
            *g = (const real *)args->g + row * columns;
        real *out = (real *)args->out + row * columns;
        const real rstd = ((const real *)args->second)[row];
        const double dh = (double)rstd * (weight ? R(lane_dot3)(x, g, weight, 0, columns)
                                                 : R(lane_dot)(x, g, g, 0, columns));
        const real slope = (real)(-dh / (double)columns * (double)rstd * (double)rstd);
        if (weight)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(g[j] * weight[j], rstd, x[j] * slope);
        else
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(g[j], rstd, x[j] * slope);
        R(add_walked_rows)(args, start, row, stop, weight_sum, NULL);
    }
}

#endif
