/* rowwise_body.h: the loops of rowwise.pyx: reductions, softmax, class losses, normalisation.
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
 * into a tile with one row per lane. Along a middle axis they take a strip of neighbouring
 * positions at a time, one per lane, and go over the columns in it.
 */
#ifndef LUCID_ROWWISE
#define LUCID_ROWWISE

enum { TILE_ROWS = 32, TILE_COLUMNS = 16, COLUMN_BLOCK = 512, STRIP = 512, SUMMED = 4 };

typedef struct {
    const void *x, *g, *y;     /* x: rows; g: incoming gradient; y: what forward returned */
    const void *weight, *bias; /* one per column, or NULL */
    void *out, *first, *second; /* rows; per-row results (mean and variance; or what is kept) */
    double *cells;             /* per chunk */
    Py_ssize_t columns, inner, chunk;
    double a, b;               /* parameters: divisor, eps, smoothing, scale */
    /* class losses alone */
    const int64_t *target;
    int64_t ignore_index;
    double weight_sum;         /* over the classes */
    Py_ssize_t g_stride;       /* 0: one gradient for all rows */
    /* normalisation alone */
    Py_ssize_t samples, groups; /* groups: the rows of a sample */
    Py_ssize_t block;          /* samples whose gradients of the weights are added up in one cell */
    int own;                   /* whether the statistics are those of x */
    /* softmax and cross-entropy over a middle axis alone */
    Py_ssize_t strip;          /* positions */
} row_args;

typedef struct {
    double first, second;
} lane_sums;

typedef void (*row_loop)(const void *args, Py_ssize_t start, Py_ssize_t stop);

#define ROW_LIST(OP)                                                                              \
    OP(sum) OP(segment_sum) OP(collect) OP(column_sum) OP(amax) OP(amin)                       \
    OP(column_amax) OP(column_amin) OP(argmax) OP(argmin) OP(var_mean)                            \
    OP(softmax) OP(log_softmax) OP(softmax_backward) OP(log_softmax_backward)                     \
    OP(cross_entropy) OP(cross_entropy_backward)                                                  \
    OP(column_softmax) OP(column_log_softmax) OP(column_softmax_backward)                         \
    OP(column_log_softmax_backward) OP(column_cross_entropy) OP(column_cross_entropy_backward)    \
    OP(nll_loss) OP(nll_loss_backward) OP(group_norm) OP(group_norm_backward)                     \
    OP(rms_norm) OP(rms_norm_backward) OP(batch_norm) OP(batch_norm_backward)                     \
    OP(short_batch_norm) OP(short_batch_norm_backward) OP(prelu_backward)

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

/* The sum of the lanes, in float64. Halves of arrays become halves of registers. */
LUCID_INLINE double R(across)(R(vector) v) {
    real x[WIDTH];
    double sum[WIDTH / 2];
    memcpy(x, &v, sizeof x);
    for (int l = 0; l < WIDTH / 2; l++) sum[l] = (double)x[l] + (double)x[l + WIDTH / 2];
    for (int half = (int)WIDTH / 4; half > 0; half /= 2)
        for (int l = 0; l < half; l++) sum[l] += sum[l + half];
    return sum[0];
}

/* The last `count` lanes of a vector, and 0 before. */
LUCID_INLINE R(vector) R(last_lanes)(R(vector) v, Py_ssize_t count) {
    R(mask) lane;
    for (int l = 0; l < WIDTH; l++) lane[l] = l;
    return (R(vector))((R(mask))v & (lane >= (bits)(WIDTH - count)));
}

/* Adds to a sum; what rounding takes from it goes to `lost`. */
LUCID_INLINE void R(add_to)(double *total, double *lost, double value) {
    const double next = *total + value, added = next - *total;
    *lost += (*total - (next - added)) + (value - added);
    *total = next;
}

#define LANES_AT(i)                                                                               \
    const R(vector) a = R(load)(x + (i)), b = R(load)(y + (i)), c = R(load)(z + (i));             \
    (void)a, (void)b, (void)c

/* name(x, y, z, m, n): the sums over i < n of ONE and, if WITH_OTHER, of OTHER, in terms of
 * a = x[i], b = y[i], c = z[i] and m. */
#define LANE_SUMS(name, ONE, WITH_OTHER, OTHER)                                                   \
    LUCID_INLINE lane_sums R(name##_block)(const real *x, const real *y, const real *z, real m,   \
                                           Py_ssize_t count) {                                    \
        lane_sums sums = {0, 0};                                                                  \
        Py_ssize_t i = 0;                                                                         \
        (void)m;                                                                                  \
        if (count < WIDTH) {                                                                      \
            for (; i < count; i++) {                                                              \
                const real a = x[i], b = y[i], c = z[i];                                          \
                (void)b, (void)c;                                                                 \
                sums.first += (double)(ONE);                                                      \
                if (WITH_OTHER) sums.second += (double)(OTHER);                                   \
            }                                                                                     \
            return sums;                                                                          \
        }                                                                                         \
        R(vector) one[4] = {{0}}, other[4] = {{0}};                                               \
        for (; i + 4 * WIDTH <= count; i += 4 * WIDTH)                                            \
            for (int k = 0; k < 4; k++) {                                                         \
                LANES_AT(i + k * WIDTH);                                                          \
                one[k] += (ONE);                                                                  \
                if (WITH_OTHER) other[k] += (OTHER);                                              \
            }                                                                                     \
        for (; i + WIDTH <= count; i += WIDTH) {                                                  \
            LANES_AT(i);                                                                          \
            one[0] += (ONE);                                                                      \
            if (WITH_OTHER) other[0] += (OTHER);                                                  \
        }                                                                                         \
        if (i < count) {                                                                          \
            LANES_AT(count - WIDTH);                                                              \
            one[1] += R(last_lanes)(ONE, count - i);                                              \
            if (WITH_OTHER) other[1] += R(last_lanes)(OTHER, count - i);                          \
        }                                                                                         \
        sums.first = R(across)((one[0] + one[1]) + (one[2] + one[3]));                            \
        if (WITH_OTHER) sums.second = R(across)((other[0] + other[1]) + (other[2] + other[3]));   \
        return sums;                                                                              \
    }                                                                                             \
    static lane_sums R(name)(const real *x, const real *y, const real *z, real m,                 \
                             Py_ssize_t count) {                                                  \
        if (count <= BLOCK) return R(name##_block)(x, y, z, m, count);                            \
        lane_sums total = {0, 0}, lost = {0, 0};                                                  \
        for (Py_ssize_t i = 0; i < count; i += BLOCK) {                                           \
            const lane_sums block = R(name##_block)(x + i, y + i, z + i, m,                       \
                                                    count - i < BLOCK ? count - i : BLOCK);       \
            R(add_to)(&total.first, &lost.first, block.first);                                    \
            if (WITH_OTHER) R(add_to)(&total.second, &lost.second, block.second);                 \
        }                                                                                         \
        if (isfinite(total.first)) total.first += lost.first;                                     \
        if (isfinite(total.second)) total.second += lost.second;                                  \
        return total;                                                                             \
    }

#define LANE_SUM(name, value) LANE_SUMS(name, value, 0, a)
#define LANE_PAIR(name, one, other) LANE_SUMS(name, one, 1, other)

LANE_SUM(lane_sum, a)
LANE_SUM(lane_dot, a * b)
LANE_SUM(lane_dot3, a * b * c)
LANE_PAIR(lane_deviations, a - m, (a - m) * (a - m))
LANE_PAIR(lane_centred, b, (a - m) * b)
LANE_PAIR(lane_centred3, b * c, (a - m) * (b * c))

static double R(total)(const real *x, Py_ssize_t count) {
    return R(lane_sum)(x, x, x, 0, count).first;
}

/* Mean and variance of `count` numbers from the sums of d and d d, where d = x - centre. */
typedef struct {
    double mean, variance;
} R(moments);

LUCID_INLINE R(moments) R(moments_of)(real centre, lane_sums off, double count) {
    const double share = 1 / count, rest = off.first * share;
    const double variance = (off.second - off.first * rest) * share;
    return (R(moments)){(double)centre + rest, variance < 0 ? 0 : variance}; /* NaN stays */
}

/* So many numbers, the mean of which will do for a centre: the square of its distance from the mean
 * of all is at most three times their variance, and so d d loses two bits at worst. */
#define QUARTER(count) (((count) + 3) / 4)

LUCID_INLINE R(moments) R(row_moments)(const real *x, Py_ssize_t count) {
    const real centre = (real)(R(total)(x, QUARTER(count)) / (double)QUARTER(count));
    return R(moments_of)(centre, R(lane_deviations)(x, x, x, centre, count), (double)count);
}

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
    for (Py_ssize_t row = start; row < stop; row += COLUMN_BLOCK) {
        const Py_ssize_t width = stop - row < COLUMN_BLOCK ? stop - row : COLUMN_BLOCK;
        double total[COLUMN_BLOCK];
        memset(total, 0, (size_t)width * sizeof(double));
        for (Py_ssize_t i = 0; i < args->columns; i++)
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
                total[j] += args->cells[i * args->inner + row + j];
        for (Py_ssize_t j = 0; j < width; j++)
            ((real *)args->out)[row + j] = (real)(total[j] / args->a);
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

/* Adds up `count` rows, `step` apart. */
LUCID_INLINE void R(column_totals)(const real *x, Py_ssize_t count, Py_ssize_t step,
                                   Py_ssize_t width, double *total) {
    memset(total, 0, (size_t)width * sizeof(double));
    Py_ssize_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const real *a = x + i * step, *b = a + step, *c = b + step, *d = c + step;
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
            total[j] += ((double)a[j] + (double)b[j]) + ((double)c[j] + (double)d[j]);
    }
    for (; i < count; i++) {
        const real *a = x + i * step;
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) total[j] += (double)a[j];
    }
}

ROW_LOOP(column_sum) {
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(column_block) block = R(nth_column_block)(args, index);
        double total[COLUMN_BLOCK];
        R(column_totals)(block.x, args->columns, args->inner, block.width, total);
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
        const R(moments) m = R(row_moments)((const real *)args->x + row * columns, columns);
        ((real *)args->out)[row] = (real)(m.variance * (double)columns / args->a);
        ((real *)args->first)[row] = (real)m.mean;
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
        const real mean = (real)R(lane_dot)(g, y, g, 0, columns).first;
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

/* Part `index` of the positions of (rows, columns, inner): `at` is where its first column begins,
 * `position` where it begins in (rows, inner). */
typedef struct {
    Py_ssize_t at, position, width;
} R(strip);

LUCID_INLINE R(strip) R(nth_strip)(const row_args *args, Py_ssize_t index) {
    const Py_ssize_t strips = (args->inner + args->strip - 1) / args->strip;
    const Py_ssize_t row = index / strips, from = index % strips * args->strip;
    const Py_ssize_t left = args->inner - from;
    return (R(strip)){
        row * args->columns * args->inner + from,
        row * args->inner + from,
        left < args->strip ? left : args->strip,
    };
}

/* Over the columns c of a strip, in each lane j, the sum of `value`: a few columns are added up in
 * `type`, as in a tile, then in float64 with compensation. `i` is where the element is. */
#define STRIP_SUM(type, sum, value)                                                               \
    do {                                                                                          \
        double lost[STRIP];                                                                       \
        Py_ssize_t from = 0;                                                                      \
        do {                                                                                      \
            const Py_ssize_t to = columns - from < TILE_COLUMNS ? columns : from + TILE_COLUMNS;  \
            type part[STRIP];                                                                     \
            for (Py_ssize_t j = 0; j < width; j++) part[j] = 0;                                   \
            for (Py_ssize_t c = from; c < to; c++)                                                \
                LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) {                               \
                    const Py_ssize_t i = c * inner + j;                                           \
                    part[j] += (value);                                                           \
                }                                                                                 \
            if (from == 0)                                                                        \
                LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)                                 \
                    sum[j] = (double)part[j], lost[j] = 0;                                        \
            else                                                                                  \
                LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) {                               \
                    const double block = (double)part[j];                                         \
                    const double next = sum[j] + block, added = next - sum[j];                    \
                    lost[j] += (sum[j] - (next - added)) + (block - added);                       \
                    sum[j] = next;                                                                \
                }                                                                                 \
        } while ((from += TILE_COLUMNS) < columns);                                               \
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)                                         \
            sum[j] += lost[j] - lost[j] == 0 ? lost[j] : 0;                                       \
    } while (0)

LUCID_INLINE void R(strip_largest)(const real *x, const row_args *args, Py_ssize_t width,
                                   real *most) {
    for (Py_ssize_t j = 0; j < width; j++) most[j] = (real)-INFINITY;
    for (Py_ssize_t c = 0; c < args->columns; c++, x += args->inner)
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) most[j] = EITHER(x[j], >, most[j]);
}

/* Largest value and sum of exp(x - largest) of each position. */
LUCID_INLINE void R(strip_exp_sums)(const real *x, const row_args *args, Py_ssize_t width,
                                    real *most, real *sum) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    double total[STRIP];
    R(strip_largest)(x, args, width, most);
    STRIP_SUM(real, total, R(exp_negative)(x[i] - most[j]));
    LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) sum[j] = (real)total[j];
}

ROW_LOOP(column_softmax) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(strip) strip = R(nth_strip)(args, index);
        const Py_ssize_t width = strip.width;
        const real *x = (const real *)args->x + strip.at;
        real *out = (real *)args->out + strip.at, most[STRIP];
        double sum[STRIP];
        R(strip_largest)(x, args, width, most);
        STRIP_SUM(real, sum, out[i] = R(exp_negative)(x[i] - most[j]));
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) most[j] = (real)(1 / sum[j]);
        for (Py_ssize_t c = 0; c < columns; c++, out += inner)
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) out[j] *= most[j];
    }
}

ROW_LOOP(column_log_softmax) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(strip) strip = R(nth_strip)(args, index);
        const Py_ssize_t width = strip.width;
        const real *x = (const real *)args->x + strip.at;
        real *out = (real *)args->out + strip.at, most[STRIP], sum[STRIP];
        R(strip_exp_sums)(x, args, width, most, sum);
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) sum[j] = R(log)(sum[j]);
        for (Py_ssize_t c = 0; c < columns; c++, x += inner, out += inner)
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) out[j] = (x[j] - most[j]) - sum[j];
    }
}

ROW_LOOP(column_softmax_backward) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(strip) strip = R(nth_strip)(args, index);
        const Py_ssize_t width = strip.width;
        const real *g = (const real *)args->g + strip.at, *y = (const real *)args->y + strip.at;
        real *out = (real *)args->out + strip.at, mean[STRIP];
        double sum[STRIP];
        STRIP_SUM(real, sum, g[i] * y[i]);
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) mean[j] = (real)sum[j];
        for (Py_ssize_t c = 0; c < columns; c++, g += inner, y += inner, out += inner)
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) out[j] = (g[j] - mean[j]) * y[j];
    }
}

ROW_LOOP(column_log_softmax_backward) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(strip) strip = R(nth_strip)(args, index);
        const Py_ssize_t width = strip.width;
        const real *g = (const real *)args->g + strip.at, *y = (const real *)args->y + strip.at;
        real *out = (real *)args->out + strip.at, total[STRIP];
        double sum[STRIP];
        STRIP_SUM(real, sum, g[i]);
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) total[j] = (real)sum[j];
        for (Py_ssize_t c = 0; c < columns; c++, g += inner, y += inner, out += inner)
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
                out[j] = R(fma)(-R(exp_negative)(y[j]), total[j], g[j]);
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

/* The losses of `count` neighbouring positions to `out` (unless NULL), their sum and that of their
 * weights added to the cell. Element (i, c) is x[i * step + c * inner]; `smooth` holds smooth_sum
 * of each position, where there is smoothing. `most` is NULL where x are logarithms of shares
 * already. 0 at a target out of range, which the cell names. */
LUCID_INLINE int R(add_losses)(const row_args *args, const real *x, Py_ssize_t position,
                               Py_ssize_t count, Py_ssize_t step, const real *most,
                               const real *log_sum, const double *smooth, double *cell) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight;
    double losses = 0, weights = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int64_t target = args->target[position + i];
        double loss = 0;
        if (target != args->ignore_index) {
            if (target < 0 || target >= columns) {
                cell[2] = (double)(position + i);
                return 0;
            }
            const double own = weight ? (double)weight[target] : 1;
            const double logit = (double)x[i * step + target * args->inner];
            loss = own * (most ? (double)log_sum[i] + ((double)most[i] - logit) : -logit);
            if (args->a != 0)
                loss = (1 - args->a) * loss + args->a / (double)columns * smooth[i];
            losses += loss;
            weights += own;
        }
        if (args->out) ((real *)args->out)[position + i] = (real)loss;
    }
    cell[0] += losses;
    cell[1] += weights;
    return 1;
}

/* Per row: the loss to `out` (unless NULL), to `first` and `second` what backward needs,
 * the largest logit and 1 / sum(exp(x - largest)). Per chunk: the sums of losses and of their
 * weights, and a row whose target is out of range or -1. */
ROW_LOOP(cross_entropy) {
    const Py_ssize_t columns = args->columns;
    double *cell = args->cells + 3 * (start / args->chunk);
    cell[0] = cell[1] = 0, cell[2] = -1;
    for (Py_ssize_t row = start; row < stop; row += TILE_ROWS) {
        const Py_ssize_t height = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
        const real *x = (const real *)args->x + row * columns;
        real most[TILE_ROWS], sum[TILE_ROWS], log_sum[TILE_ROWS];
        double smooth[TILE_ROWS];
        R(exp_sums)(x, height, columns, most, sum);
        LUCID_LOOP for (int i = 0; i < TILE_ROWS; i++)
            log_sum[i] = R(log)(sum[i]), sum[i] = 1 / sum[i];
        if (args->a != 0)
            for (Py_ssize_t i = 0; i < height; i++)
                smooth[i] =
                    R(smooth_sum)(x + i * columns, args->weight, most[i], log_sum[i], columns);
        if (!R(add_losses)(args, x, row, height, columns, most, log_sum, smooth, cell)) return;
        memcpy((real *)args->first + row, most, (size_t)height * sizeof(real));
        memcpy((real *)args->second + row, sum, (size_t)height * sizeof(real));
    }
}

/* ... and over a middle axis, per position. */
ROW_LOOP(column_cross_entropy) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    const real *weight = args->weight;
    double *cell = args->cells + 3 * (start / args->chunk);
    cell[0] = cell[1] = 0, cell[2] = -1;
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(strip) strip = R(nth_strip)(args, index);
        const Py_ssize_t width = strip.width;
        const real *x = (const real *)args->x + strip.at;
        real *most = (real *)args->first + strip.position;
        real *share = (real *)args->second + strip.position;
        real log_sum[STRIP];
        double smooth[STRIP];
        R(strip_exp_sums)(x, args, width, most, share);
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
            log_sum[j] = R(log)(share[j]), share[j] = 1 / share[j];
        if (args->a != 0)
            STRIP_SUM(double, smooth, (double)(weight ? weight[c] : 1) * ((double)log_sum[j]
                + ((double)most[j] - (double)x[i])));
        if (!R(add_losses)(args, x, strip.position, width, 1, most, log_sum, smooth, cell)) return;
    }
}

/* With s the smoothing, w the weights and p = softmax(x), the gradient of a position's loss is
 *     p ((1 - s) w_target + s/C sum(w)) - (1 - s) w_target [c = target] - s/C w_c,
 * that is, factor exp(x - largest) - own [c = target] - each w_c. Where the target is ignored these
 * are 0. Returns a position whose target is out of range, or -1. */
LUCID_INLINE Py_ssize_t R(slopes)(const row_args *args, Py_ssize_t position, Py_ssize_t count,
                                  real *factor, real *own, real *each) {
    const real *weight = args->weight, *share = (const real *)args->second + position;
    const double spread = args->a / (double)args->columns;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int64_t target = args->target[position + i];
        factor[i] = own[i] = each[i] = 0;
        if (target == args->ignore_index) continue;
        if (target < 0 || target >= args->columns) return position + i;
        const double g = (double)((const real *)args->g)[(position + i) * args->g_stride] * args->b;
        const double weight_own = (1 - args->a) * (weight ? (double)weight[target] : 1);
        factor[i] = (real)(g * (weight_own
            + spread * args->weight_sum) * (double)share[i]);
        own[i] = (real)(g * weight_own);
        each[i] = args->a == 0 ? 0 : (real)(g * spread);
    }
    return -1;
}

/* Per chunk: a row whose target is out of range, or -1. */
ROW_LOOP(cross_entropy_backward) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight;
    double *cell = args->cells + start / args->chunk;
    *cell = -1;
    for (Py_ssize_t row = start; row < stop; row += TILE_ROWS) {
        const Py_ssize_t height = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
        const real *rows = (const real *)args->x + row * columns;
        real *outs = (real *)args->out + row * columns;
        real base[TILE_ROWS] = {0}, factor[TILE_ROWS] = {0}, own[TILE_ROWS], each[TILE_ROWS];
        const Py_ssize_t bad = R(slopes)(args, row, height, factor, own, each);
        if (bad >= 0) {
            *cell = (double)bad;
            return;
        }
        memcpy(base, (const real *)args->first + row, (size_t)height * sizeof(real));
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
            if (args->a != 0)
                for (Py_ssize_t j = 0; j < columns; j++)
                    out[j] -= weight ? each[i] * weight[j] : each[i];
            out[target] -= own[i];
        }
    }
}

ROW_LOOP(column_cross_entropy_backward) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    const real *weight = args->weight;
    double *cell = args->cells + start / args->chunk;
    *cell = -1;
    for (Py_ssize_t index = start; index < stop; index++) {
        const R(strip) strip = R(nth_strip)(args, index);
        const Py_ssize_t width = strip.width;
        const int64_t *target = args->target + strip.position;
        const real *x = (const real *)args->x + strip.at;
        const real *base = (const real *)args->first + strip.position;
        real *out = (real *)args->out + strip.at;
        real factor[STRIP], own[STRIP], each[STRIP];
        bits used[STRIP];
        const Py_ssize_t bad = R(slopes)(args, strip.position, width, factor, own, each);
        if (bad >= 0) {
            *cell = (double)bad;
            return;
        }
        for (Py_ssize_t j = 0; j < width; j++) used[j] = target[j] != args->ignore_index;
        for (Py_ssize_t c = 0; c < columns; c++) {
            const real share = args->a == 0 ? 0 : weight ? weight[c] : 1;
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) {
                const Py_ssize_t i = c * inner + j;
                const real slope =
                    R(exp_negative)(x[i] - base[j]) * factor[j] - each[j] * share;
                out[i] = used[j] ? slope : 0;
            }
        }
        for (Py_ssize_t j = 0; j < width; j++)
            if (used[j]) out[target[j] * inner + j] -= own[j];
    }
}

/* The negative log-likelihood, of the `inner` positions of each row. */
ROW_LOOP(nll_loss) {
    const Py_ssize_t inner = args->inner;
    double *cell = args->cells + 3 * (start / args->chunk);
    cell[0] = cell[1] = 0, cell[2] = -1;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * args->columns * inner;
        if (!R(add_losses)(args, x, row * inner, inner, 1, NULL, NULL, NULL, cell)) return;
    }
}

ROW_LOOP(nll_loss_backward) {
    const Py_ssize_t columns = args->columns, inner = args->inner;
    const real *weight = args->weight, *g = args->g;
    double *cell = args->cells + start / args->chunk;
    *cell = -1;
    for (Py_ssize_t row = start; row < stop; row++) {
        real *out = (real *)args->out + row * columns * inner;
        memset(out, 0, (size_t)(columns * inner) * sizeof(real));
        for (Py_ssize_t position = row * inner; position < (row + 1) * inner; position++, out++) {
            const int64_t target = args->target[position];
            if (target == args->ignore_index) continue;
            if (target < 0 || target >= columns) {
                *cell = (double)position;
                return;
            }
            const double own = weight ? (double)weight[target] : 1;
            out[target * inner] = (real)(-own * (double)g[position * args->g_stride] * args->b);
        }
    }
}

/* --- normalisation ---------------------------------------------------------------------------
 *
 * Kept for backward are mean and variance, in float64. With the mean split into the nearest `real`,
 * which can be subtracted from x without loss where that matters, and the rest, the normal form is
 *     h = (x - centre) rstd + shift. */

typedef struct {
    real centre;
    double rest, rstd;
} R(standard);

LUCID_INLINE R(standard) R(standard_of)(double mean, double variance, double eps) {
    const real centre = (real)mean;
    return (R(standard)){centre, mean - (double)centre, 1 / sqrt(variance + eps)};
}

/* Of the statistics of index i; the mean is 0 where there are no means. */
LUCID_INLINE R(standard) R(kept)(const row_args *args, Py_ssize_t i) {
    return R(standard_of)(args->first ? ((const double *)args->first)[i] : 0,
                          ((const double *)args->second)[i], args->a);
}

LUCID_INLINE void R(keep)(const row_args *args, Py_ssize_t i, R(moments) m) {
    ((double *)args->first)[i] = m.mean;
    ((double *)args->second)[i] = m.variance;
}

/* out = (x - centre) scale + shift. */
LUCID_INLINE void R(rescale)(const real *x, real *out, real centre, real scale, real shift,
                             Py_ssize_t count) {
    LUCID_LOOP for (Py_ssize_t j = 0; j < count; j++)
        out[j] = R(fma)(x[j] - centre, scale, shift);
}

/* Group normalisation: a row has `columns` channels of `inner` elements, and `groups` rows make a
 * sample. Layer normalisation is that of one group, with an element in each channel. */
ROW_LOOP(group_norm) {
    const Py_ssize_t columns = args->columns, inner = args->inner, size = columns * inner;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * size;
        real *out = (real *)args->out + row * size;
        const R(moments) m = R(row_moments)(x, size);
        const R(standard) s = R(standard_of)(m.mean, m.variance, args->a);
        R(keep)(args, row, m);
        const real centre = s.centre, rstd = (real)s.rstd, shift = (real)(-s.rest * s.rstd);
        const Py_ssize_t channel = row % args->groups * columns;
        const real *weight = args->weight ? (const real *)args->weight + channel : NULL;
        const real *bias = args->bias ? (const real *)args->bias + channel : NULL;
        if (inner > 1)
            for (Py_ssize_t c = 0; c < columns; c++) {
                const real scale = weight ? rstd * weight[c] : rstd;
                R(rescale)(x + c * inner, out + c * inner, centre, scale,
                           (weight ? shift * weight[c] : shift) + (bias ? bias[c] : 0), inner);
            }
        else if (weight && bias)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(R(fma)(x[j] - centre, rstd, shift), weight[j], bias[j]);
        else if (weight)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(x[j] - centre, rstd, shift) * weight[j];
        else if (bias)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(x[j] - centre, rstd, shift + bias[j]);
        else
            R(rescale)(x, out, centre, rstd, shift, columns);
    }
}

/* Adds to the sums over samples of g h (for the weight) and of g (for the bias, if there is one),
 * in rows of one element per channel, from `row` on. The products of a few rows, which are rounded
 * to `real` anyway, are added up in it first: to widen each of them would take as long as all the
 * rest. */
LUCID_INLINE void R(add_rows)(const row_args *args, Py_ssize_t row, const int rows,
                              double *weight_sum, double *bias_sum) {
    const Py_ssize_t columns = args->columns, step = args->groups * columns;
    const real *x = (const real *)args->x + row * columns;
    const real *g = (const real *)args->g + row * columns;
    real centre[SUMMED], rstd[SUMMED], shift[SUMMED];
    for (int i = 0; i < rows; i++) {
        const R(standard) s = R(kept)(args, row + i * args->groups);
        centre[i] = bias_sum ? s.centre : 0;
        rstd[i] = (real)s.rstd;
        shift[i] = bias_sum ? (real)(-s.rest * s.rstd) : 0;
    }
    LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) {
        real for_weight = 0;
        double for_bias = 0;
        for (int i = 0; i < rows; i++) {
            const real d = g[i * step + j];
            for_weight += d * R(fma)(x[i * step + j] - centre[i], rstd[i], shift[i]);
            for_bias += (double)d;
        }
        weight_sum[j] += (double)for_weight;
        if (bias_sum) bias_sum[j] += for_bias;
    }
}

/* ... once so many samples, from `start` on, have been walked that are still in the cache, or
 * all. */
LUCID_INLINE void R(add_walked_rows)(const row_args *args, Py_ssize_t start, Py_ssize_t sample,
                                     Py_ssize_t stop, Py_ssize_t group, double *weight_sum,
                                     double *bias_sum) {
    const Py_ssize_t rest = (sample + 1 - start) % SUMMED;
    if (rest == 0)
        R(add_rows)(args, (sample + 1 - SUMMED) * args->groups + group, SUMMED, weight_sum,
                    bias_sum);
    else if (sample + 1 == stop)
        for (Py_ssize_t i = stop - rest; i < stop; i++)
            R(add_rows)(args, i * args->groups + group, 1, weight_sum, bias_sum);
}

/* With h the normal form and d = g w:  rstd (d - mean(d) - h mean(d h)) = d rstd + (x - centre)
 * slope + offset. */
typedef struct {
    real slope, offset;
} R(line);

LUCID_INLINE R(line) R(line_of)(R(standard) s, double d, double dh, double count) {
    const double slope = -dh / count * s.rstd * s.rstd;
    return (R(line)){(real)slope, (real)(-d / count * s.rstd - s.rest * slope)};
}

/* The sum of (x - mean) d rstd from those of d and of (x - centre) d. */
LUCID_INLINE double R(along)(R(standard) s, lane_sums sums) {
    return (sums.second - s.rest * sums.first) * s.rstd;
}

/* out = g scale + (x - centre) slope + offset. */
LUCID_INLINE void R(combine)(const real *x, const real *g, real *out, real centre, real scale,
                             R(line) line, Py_ssize_t count) {
    LUCID_LOOP for (Py_ssize_t j = 0; j < count; j++)
        out[j] = R(fma)(g[j], scale, R(fma)(x[j] - centre, line.slope, line.offset));
}

/* An index is a group of a block of samples. Per block the sums over its samples of g h, one per
 * channel (for the weight), and then of g (for the bias). */
ROW_LOOP(group_norm_backward) {
    const Py_ssize_t columns = args->columns, inner = args->inner, size = columns * inner;
    const Py_ssize_t groups = args->groups, channels = groups * columns;
    for (Py_ssize_t index = start; index < stop; index++) {
        const Py_ssize_t group = index % groups, first = index / groups * args->block;
        const Py_ssize_t last
            = args->samples - first < args->block ? args->samples : first + args->block;
        const real *weight = args->weight ? (const real *)args->weight + group * columns : NULL;
        double *weight_sum = args->cells + 2 * channels * (index / groups) + group * columns;
        double *bias_sum = weight_sum + channels;
        memset(weight_sum, 0, (size_t)columns * sizeof(double));
        memset(bias_sum, 0, (size_t)columns * sizeof(double));
        for (Py_ssize_t sample = first; sample < last; sample++) {
            const Py_ssize_t row = sample * groups + group;
            const real *x = (const real *)args->x + row * size;
            const real *g = (const real *)args->g + row * size;
            real *out = (real *)args->out + row * size;
            const R(standard) s = R(kept)(args, row);
            const real centre = s.centre, rstd = (real)s.rstd;
            if (inner > 1) {
                double d = 0, dh = 0;
                for (Py_ssize_t c = 0; c < columns; c++) {
                    const real *from = x + c * inner, *incoming = g + c * inner;
                    const lane_sums sums = R(lane_centred)(from, incoming, from, centre, inner);
                    const double along = R(along)(s, sums), w = weight ? (double)weight[c] : 1;
                    weight_sum[c] += along;
                    bias_sum[c] += sums.first;
                    d += w * sums.first;
                    dh += w * along;
                }
                const R(line) line = R(line_of)(s, d, dh, (double)size);
                for (Py_ssize_t c = 0; c < columns; c++)
                    R(combine)(x + c * inner, g + c * inner, out + c * inner, centre,
                               weight ? rstd * weight[c] : rstd, line, inner);
                continue;
            }
            const lane_sums sums = weight ? R(lane_centred3)(x, g, weight, centre, columns)
                                          : R(lane_centred)(x, g, g, centre, columns);
            const R(line) line
                = R(line_of)(s, sums.first, R(along)(s, sums), (double)columns);
            if (weight)
                LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                    out[j] = R(fma)(g[j] * weight[j], rstd,
                                    R(fma)(x[j] - centre, line.slope, line.offset));
            else
                R(combine)(x, g, out, centre, rstd, line, columns);
            R(add_walked_rows)(args, first, sample, last, group, weight_sum, bias_sum);
        }
    }
}

ROW_LOOP(rms_norm) {
    const Py_ssize_t columns = args->columns;
    const real *weight = args->weight;
    for (Py_ssize_t row = start; row < stop; row++) {
        const real *x = (const real *)args->x + row * columns;
        real *out = (real *)args->out + row * columns;
        const double square = R(lane_dot)(x, x, x, 0, columns).first / (double)columns;
        const real rstd = (real)R(standard_of)(0, square, args->a).rstd;
        ((double *)args->second)[row] = square;
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
        const R(standard) s = R(kept)(args, row);
        const lane_sums dx = weight ? R(lane_dot3)(x, g, weight, 0, columns)
                                    : R(lane_dot)(x, g, g, 0, columns);
        const real rstd = (real)s.rstd;
        const real slope = R(line_of)(s, 0, dx.first * s.rstd, (double)columns).slope;
        if (weight)
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(g[j] * weight[j], rstd, x[j] * slope);
        else
            LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++)
                out[j] = R(fma)(g[j], rstd, x[j] * slope);
        R(add_walked_rows)(args, start, row, stop, 0, weight_sum, NULL);
    }
}

/* Batch normalisation of (samples, inner channels, columns): a channel at a time, which is a plane
 * of `columns` in each sample. All of it is mostly still in the cache when it is read again. */
#define EACH_PLANE(samples)                                                                     \
    for (Py_ssize_t at = channel * columns; at < (samples) * step; at += step)

typedef struct {
    real scale, shift;
} R(affine);

LUCID_INLINE R(affine) R(affine_of)(const row_args *args, Py_ssize_t channel, R(standard) s) {
    const real *weight = args->weight, *bias = args->bias;
    const double scale = weight ? s.rstd * (double)weight[channel] : s.rstd;
    return (R(affine)){
        (real)scale, (real)((bias ? (double)bias[channel] : 0) - s.rest * scale)};
}

ROW_LOOP(batch_norm) {
    const Py_ssize_t columns = args->columns, step = args->inner * columns;
    const Py_ssize_t samples = args->samples, quarter = QUARTER(samples);
    const real *x = args->x;
    real *out = args->out;
    for (Py_ssize_t channel = start; channel < stop; channel++) {
        if (args->own) {
            double sum = 0;
            EACH_PLANE(quarter) sum += R(total)(x + at, columns);
            const real centre = (real)(sum / (double)(quarter * columns));
            lane_sums off = {0, 0};
            EACH_PLANE(samples) {
                const lane_sums sums = R(lane_deviations)(x + at, x + at, x + at, centre, columns);
                off.first += sums.first, off.second += sums.second;
            }
            R(keep)(args, channel, R(moments_of)(centre, off, (double)(samples * columns)));
        }
        const R(standard) s = R(kept)(args, channel);
        const R(affine) to = R(affine_of)(args, channel, s);
        EACH_PLANE(samples) R(rescale)(x + at, out + at, s.centre, to.scale, to.shift, columns);
    }
}

/* With h the normal form:  rstd weight (g - mean(g) - h mean(g h)), of which the means are left
 * out where the statistics are not those of x. Per channel the sums of g h and of g. */
LUCID_INLINE R(line) R(line_of_channel)(const row_args *args, Py_ssize_t channel, R(standard) s,
                                        lane_sums sums) {
    const double along = R(along)(s, sums);
    const double weight = args->weight ? (double)((const real *)args->weight)[channel] : 1;
    args->cells[channel] = along;
    args->cells[args->inner + channel] = sums.first;
    return R(line_of)(s, weight * sums.first, weight * along,
                      (double)(args->samples * args->columns));
}

ROW_LOOP(batch_norm_backward) {
    const Py_ssize_t columns = args->columns, step = args->inner * columns;
    const Py_ssize_t samples = args->samples;
    const real *x = args->x, *g = args->g;
    real *out = args->out;
    for (Py_ssize_t channel = start; channel < stop; channel++) {
        const R(standard) s = R(kept)(args, channel);
        const real scale = R(affine_of)(args, channel, s).scale;
        lane_sums sums = {0, 0};
        EACH_PLANE(samples) {
            const real *incoming = g + at;
            const lane_sums part = R(lane_centred)(x + at, incoming, x + at, s.centre, columns);
            sums.first += part.first, sums.second += part.second;
            real *to = out + at;
            if (!args->own)
                LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) to[j] = incoming[j] * scale;
        }
        const R(line) line = R(line_of_channel)(args, channel, s, sums);
        if (args->own)
            EACH_PLANE(samples)
                R(combine)(x + at, g + at, out + at, s.centre, scale, line, columns);
    }
}

#undef EACH_PLANE

/* The same where planes are short: by blocks of whole channels, whose elements are columns of
 * (samples, inner * columns). */
#define EACH_BLOCK                                                                                \
    for (Py_ssize_t channel = start, most = COLUMN_BLOCK / args->columns, count; channel < stop   \
         && (count = stop - channel < most ? stop - channel : most, 1); channel += count)

/* Adds the sums over `rows` of d = x - centre and d d or, given g, of g and g d. As in `add_rows`,
 * these are added up in `real` first. */
LUCID_INLINE void R(add_columns)(const real *x, const real *g, const real *centre, const int rows,
                                 Py_ssize_t step, Py_ssize_t width, double *first,
                                 double *second) {
    LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) {
        real one = 0, other = 0;
        for (int i = 0; i < rows; i++) {
            const real d = x[i * step + j] - centre[j], e = g ? g[i * step + j] : d;
            one += e;
            other += e * d;
        }
        first[j] += (double)one;
        second[j] += (double)other;
    }
}

/* ... over all samples. */
LUCID_INLINE void R(sum_columns)(const row_args *args, const real *x, const real *g,
                                 const real *centre, Py_ssize_t width, double *first,
                                 double *second) {
    const Py_ssize_t step = args->inner * args->columns;
    memset(first, 0, (size_t)width * sizeof(double));
    memset(second, 0, (size_t)width * sizeof(double));
    Py_ssize_t i = 0;
    for (; i + SUMMED <= args->samples; i += SUMMED, x += SUMMED * step, g += g ? SUMMED * step : 0)
        R(add_columns)(x, g, centre, SUMMED, step, width, first, second);
    for (; i < args->samples; i++, x += step, g += g ? step : 0)
        R(add_columns)(x, g, centre, 1, step, width, first, second);
}

/* The sum over the columns of channel c of a block. */
LUCID_INLINE double R(folded)(const double *sums, Py_ssize_t c, Py_ssize_t columns) {
    double total = 0;
    for (Py_ssize_t j = c * columns; j < (c + 1) * columns; j++) total += sums[j];
    return total;
}

LUCID_INLINE void R(unfold)(real *values, Py_ssize_t c, Py_ssize_t columns, real value) {
    for (Py_ssize_t j = c * columns; j < (c + 1) * columns; j++) values[j] = value;
}

ROW_LOOP(short_batch_norm) {
    const Py_ssize_t columns = args->columns, step = args->inner * columns;
    const Py_ssize_t samples = args->samples, quarter = QUARTER(samples);
    double first[COLUMN_BLOCK], second[COLUMN_BLOCK];
    real centre[COLUMN_BLOCK], scale[COLUMN_BLOCK], shift[COLUMN_BLOCK];
    EACH_BLOCK {
        const Py_ssize_t width = count * columns;
        const real *x = (const real *)args->x + channel * columns;
        real *out = (real *)args->out + channel * columns;
        if (args->own) {
            R(column_totals)(x, quarter, step, width, first);
            for (Py_ssize_t c = 0; c < count; c++)
                R(unfold)(centre, c, columns, (real)(R(folded)(first, c, columns)
                                                     / (double)(quarter * columns)));
            R(sum_columns)(args, x, NULL, centre, width, first, second);
            for (Py_ssize_t c = 0; c < count; c++) {
                const lane_sums off
                    = {R(folded)(first, c, columns), R(folded)(second, c, columns)};
                R(keep)(args, channel + c, R(moments_of)(centre[c * columns], off,
                                                         (double)(samples * columns)));
            }
        }
        for (Py_ssize_t c = 0; c < count; c++) {
            const R(standard) s = R(kept)(args, channel + c);
            const R(affine) to = R(affine_of)(args, channel + c, s);
            R(unfold)(centre, c, columns, s.centre);
            R(unfold)(scale, c, columns, to.scale);
            R(unfold)(shift, c, columns, to.shift);
        }
        for (Py_ssize_t i = 0; i < samples; i++, x += step, out += step)
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
                out[j] = R(fma)(x[j] - centre[j], scale[j], shift[j]);
    }
}

ROW_LOOP(short_batch_norm_backward) {
    const Py_ssize_t columns = args->columns, step = args->inner * columns;
    double first[COLUMN_BLOCK], second[COLUMN_BLOCK];
    real centre[COLUMN_BLOCK], scale[COLUMN_BLOCK], slope[COLUMN_BLOCK], offset[COLUMN_BLOCK];
    EACH_BLOCK {
        const Py_ssize_t width = count * columns;
        const real *x = (const real *)args->x + channel * columns;
        const real *g = (const real *)args->g + channel * columns;
        real *out = (real *)args->out + channel * columns;
        for (Py_ssize_t c = 0; c < count; c++)
            R(unfold)(centre, c, columns, R(kept)(args, channel + c).centre);
        R(sum_columns)(args, x, g, centre, width, first, second);
        for (Py_ssize_t c = 0; c < count; c++) {
            const R(standard) s = R(kept)(args, channel + c);
            const lane_sums sums = {R(folded)(first, c, columns), R(folded)(second, c, columns)};
            const R(line) line = R(line_of_channel)(args, channel + c, s, sums);
            R(unfold)(scale, c, columns, R(affine_of)(args, channel + c, s).scale);
            R(unfold)(slope, c, columns, line.slope);
            R(unfold)(offset, c, columns, line.offset);
        }
        for (Py_ssize_t i = 0; i < args->samples; i++, x += step, g += step, out += step)
            if (args->own)
                LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
                    out[j] = R(fma)(g[j], scale[j], R(fma)(x[j] - centre[j], slope[j], offset[j]));
            else
                LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) out[j] = g[j] * scale[j];
    }
}

#undef EACH_BLOCK

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

#endif
