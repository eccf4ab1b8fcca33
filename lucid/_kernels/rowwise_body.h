/* rowwise_body.h: the loops of rowwise.pyx: reductions, softmax, cross-entropy.
 *
 * Sums run in float64: float32 values are widened (exactly) as they are loaded, float64 values are
 * added in blocks whose totals are combined with compensation. A row is summed in four vectors of
 * lanes, which then fold in a fixed order.
 *
 * Softmax-like rows go through their maximum, one exponential each, and a sum. Rows shorter than a
 * few vectors are gathered into a tile with one row per lane first, so that they too use whole
 * registers.
 */
#ifndef LUCID_ROWWISE
#define LUCID_ROWWISE

enum { BLOCK = 512, TILE_ROWS = 32, TILE_COLUMNS = 32, COLUMN_BLOCK = 512 };

typedef struct {
    const int64_t *target;
    const void *weight;        /* one per class, or NULL for ones */
    int64_t ignore_index;
    double smoothing;
    double weight_sum;         /* over the classes */
} class_loss;

typedef struct {
    void (*sum)(const void *x, void *out, Py_ssize_t outer, Py_ssize_t count, Py_ssize_t inner,
                double divisor);
    void (*softmax)(const void *x, void *out, Py_ssize_t rows, Py_ssize_t columns);
    void (*log_softmax)(const void *x, void *out, Py_ssize_t rows, Py_ssize_t columns);
    void (*softmax_backward)(const void *g, const void *y, void *out, Py_ssize_t rows,
                             Py_ssize_t columns);
    void (*log_softmax_backward)(const void *g, const void *y, void *out, Py_ssize_t rows,
                                 Py_ssize_t columns);
    Py_ssize_t (*cross_entropy)(const void *x, const class_loss *loss, void *each, void *kept,
                                double *totals, Py_ssize_t rows, Py_ssize_t columns);
    Py_ssize_t (*cross_entropy_backward)(const void *x, const class_loss *loss, const void *g,
                                         Py_ssize_t g_stride, double scale, const void *kept,
                                         void *out, Py_ssize_t rows, Py_ssize_t columns);
} row_loops;
#endif

#ifndef LUCID_REAL_BODY

typedef double LUCID_NAME(lanes) __attribute__((vector_size(LUCID_VBYTES)));
#define LANES ((Py_ssize_t)(LUCID_VBYTES / sizeof(double)))

#define LUCID_REAL_BODY "rowwise_body.h"
#include "each_real.h"

#define LOOPS(suffix)                                                                             \
    {LUCID_NAME(sum_##suffix), LUCID_NAME(softmax_##suffix), LUCID_NAME(log_softmax_##suffix),    \
     LUCID_NAME(softmax_backward_##suffix), LUCID_NAME(log_softmax_backward_##suffix),            \
     LUCID_NAME(cross_entropy_##suffix), LUCID_NAME(cross_entropy_backward_##suffix)}
static const row_loops LUCID_NAME(rows)[2] = {LOOPS(f32), LOOPS(f64)};
#undef LOOPS
#undef LANES

#else

#include "vector_math.h"

typedef LUCID_NAME(lanes) R(wide);
/* As many values as `wide` has lanes. */
typedef real R(narrow) __attribute__((vector_size(LUCID_VBYTES / sizeof(double) * sizeof(real))));

LUCID_INLINE R(wide) R(widened)(const real *x) {
    R(narrow) values;
    memcpy(&values, x, sizeof values);
    return __builtin_convertvector(values, R(wide));
}

/* The sum of up to BLOCK values. */
static double R(block_sum)(const real *x, Py_ssize_t count) {
    Py_ssize_t i = 0;
    double total = 0;
    if (count >= 4 * LANES) {
        R(wide) a = {0}, b = {0}, c = {0}, d = {0};
        for (; i + 4 * LANES <= count; i += 4 * LANES) {
            a += R(widened)(x + i);
            b += R(widened)(x + i + LANES);
            c += R(widened)(x + i + 2 * LANES);
            d += R(widened)(x + i + 3 * LANES);
        }
        a = (a + b) + (c + d);
        for (int lane = 0; lane < LANES; lane++) total += a[lane];
    }
    for (; i < count; i++) total += x[i];
    return total;
}

static double R(row_sum)(const real *x, Py_ssize_t count) {
    if (LUCID_DOUBLE == 0) return R(block_sum)(x, count);
    double total = 0, lost = 0;
    for (Py_ssize_t i = 0; i < count; i += BLOCK) {
        double block = R(block_sum)(x + i, count - i < BLOCK ? count - i : BLOCK);
        double next = total + block, kept = next - total;
        lost += (total - (next - kept)) + (block - kept);
        total = next;
    }
    return isfinite(total) ? total + lost : total;
}

/* Sums over the middle axis of (outer, count, inner), divided by `divisor`. */
static void R(sum)(const void *x_, void *out_, Py_ssize_t outer, Py_ssize_t count, Py_ssize_t inner,
                   double divisor) {
    const real *x = x_;
    real *out = out_;
    if (inner == 1) {
        for (Py_ssize_t row = 0; row < outer; row++)
            out[row] = (real)(R(row_sum)(x + row * count, count) / divisor);
        return;
    }
    for (; outer > 0; outer--, x += count * inner, out += inner) {
        for (Py_ssize_t start = 0; start < inner; start += COLUMN_BLOCK) {
            double total[COLUMN_BLOCK] = {0};
            Py_ssize_t width = inner - start < COLUMN_BLOCK ? inner - start : COLUMN_BLOCK, i = 0;
            for (; i + 4 <= count; i += 4) {
                const real *a = x + i * inner + start, *b = a + inner, *c = b + inner, *d = c + inner;
                LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
                    total[j] += ((double)a[j] + (double)b[j]) + ((double)c[j] + (double)d[j]);
            }
            for (; i < count; i++) {
                const real *a = x + i * inner + start;
                LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) total[j] += (double)a[j];
            }
            LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++)
                out[start + j] = (real)(total[j] / divisor);
        }
    }
}

/* The largest value, NaN passed over. */
static real R(row_max)(const real *x, Py_ssize_t count) {
    enum { WIDTH = 4 * LUCID_VBYTES / sizeof(real) };
    real most = -INFINITY;
    Py_ssize_t i = 0;
    if (count >= WIDTH) {
        real lane[WIDTH];
        memcpy(lane, x, sizeof lane);
        for (i = WIDTH; i + WIDTH <= count; i += WIDTH)
            LUCID_LOOP for (int l = 0; l < WIDTH; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        for (int l = 0; l < WIDTH; l++) most = lane[l] > most ? lane[l] : most;
    }
    for (; i < count; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static void R(softmax)(const void *x_, void *out_, Py_ssize_t rows, Py_ssize_t columns) {
    const real *x = x_;
    real *out = out_;
    for (; rows > 0; rows--, x += columns, out += columns) {
        const real most = R(row_max)(x, columns);
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = R(exp)(x[j] - most);
        const real share = (real)(1 / R(row_sum)(out, columns));
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] *= share;
    }
}

/* The sum of exp(x - most) over a row that need not be kept. */
static double R(exp_sum)(const real *x, real most, Py_ssize_t columns) {
    real buffer[BLOCK];
    double total = 0;
    for (Py_ssize_t start = 0; start < columns; start += BLOCK) {
        const Py_ssize_t width = columns - start < BLOCK ? columns - start : BLOCK;
        LUCID_LOOP for (Py_ssize_t j = 0; j < width; j++) buffer[j] = R(exp)(x[start + j] - most);
        total += R(block_sum)(buffer, width);
    }
    return total;
}

static void R(log_softmax)(const void *x_, void *out_, Py_ssize_t rows, Py_ssize_t columns) {
    const real *x = x_;
    real *out = out_;
    for (; rows > 0; rows--, x += columns, out += columns) {
        const real most = R(row_max)(x, columns);
        const real log_sum = R(log)((real)R(exp_sum)(x, most, columns));
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = (x[j] - most) - log_sum;
    }
}

static void R(softmax_backward)(const void *g_, const void *y_, void *out_, Py_ssize_t rows,
                                Py_ssize_t columns) {
    const real *g = g_, *y = y_;
    real *out = out_;
    for (; rows > 0; rows--, g += columns, y += columns, out += columns) {
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = g[j] * y[j];
        const real total = (real)R(row_sum)(out, columns);
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = (g[j] - total) * y[j];
    }
}

static void R(log_softmax_backward)(const void *g_, const void *y_, void *out_, Py_ssize_t rows,
                                    Py_ssize_t columns) {
    const real *g = g_, *y = y_;
    real *out = out_;
    for (; rows > 0; rows--, g += columns, y += columns, out += columns) {
        const real total = (real)R(row_sum)(g, columns);
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = g[j] - R(exp)(y[j]) * total;
    }
}

/* The sum of weight (log_sum + most - x) over a row: what label smoothing adds, times C. */
static double R(smooth_sum)(const real *x, const real *weight, real most, real log_sum,
                            Py_ssize_t columns) {
    double total = 0;
    for (Py_ssize_t j = 0; j < columns; j++)
        total += (double)(weight ? weight[j] : 1) * ((double)log_sum + ((double)most - (double)x[j]));
    return total;
}

/* Losses per row to `each` (unless NULL), their sum and the sum of their weights to `totals`, and
 * what backward needs to `kept`: (2, rows), the largest logit and 1 / sum(exp(x - largest)).
 * Returns the first row whose target is out of range, or -1. */
static Py_ssize_t R(cross_entropy)(const void *x_, const class_loss *loss, void *each_, void *kept_,
                                   double *totals, Py_ssize_t rows, Py_ssize_t columns) {
    const real *x = x_, *weight = loss->weight;
    real *each = each_, *most = kept_, *share = most + rows;
    double loss_sum = 0, weight_sum = 0;
    for (Py_ssize_t start = 0; start < rows; start += TILE_ROWS) {
        const Py_ssize_t height = rows - start < TILE_ROWS ? rows - start : TILE_ROWS;
        const real *block = x + start * columns;
        real sum[TILE_ROWS], log_sum[TILE_ROWS], largest[TILE_ROWS];
        if (columns <= TILE_COLUMNS) {
            real tile[TILE_COLUMNS][TILE_ROWS] = {{0}};
            for (Py_ssize_t i = 0; i < height; i++)
                for (Py_ssize_t j = 0; j < columns; j++) tile[j][i] = block[i * columns + j];
            for (int i = 0; i < TILE_ROWS; i++) largest[i] = tile[0][i], sum[i] = 0;
            for (Py_ssize_t j = 1; j < columns; j++)
                for (int i = 0; i < TILE_ROWS; i++)
                    largest[i] = tile[j][i] > largest[i] ? tile[j][i] : largest[i];
            for (Py_ssize_t j = 0; j < columns; j++)
                for (int i = 0; i < TILE_ROWS; i++) sum[i] += R(exp)(tile[j][i] - largest[i]);
        } else {
            for (int i = 0; i < TILE_ROWS; i++) sum[i] = 1, largest[i] = 0;
            for (Py_ssize_t i = 0; i < height; i++) {
                largest[i] = R(row_max)(block + i * columns, columns);
                sum[i] = (real)R(exp_sum)(block + i * columns, largest[i], columns);
            }
        }
        for (int i = 0; i < TILE_ROWS; i++) log_sum[i] = R(log)(sum[i]), sum[i] = 1 / sum[i];
        for (Py_ssize_t i = 0; i < height; i++) {
            const int64_t target = loss->target[start + i];
            const real *row = block + i * columns;
            double value = 0;
            if (target != loss->ignore_index) {
                if (target < 0 || target >= columns) return start + i;
                const double own = weight ? (double)weight[target] : 1;
                value = own * ((double)log_sum[i] + ((double)largest[i] - (double)row[target]));
                if (loss->smoothing != 0)
                    value = (1 - loss->smoothing) * value
                          + loss->smoothing / (double)columns
                              * R(smooth_sum)(row, weight, largest[i], log_sum[i], columns);
                loss_sum += value;
                weight_sum += own;
            }
            if (each) each[start + i] = (real)value;
            most[start + i] = largest[i];
            share[start + i] = sum[i];
        }
    }
    totals[0] = loss_sum;
    totals[1] = weight_sum;
    return -1;
}

/* With s the smoothing, w the weights and p = softmax(x), the gradient of a row's loss is
 *     p ((1 - s) w_target + s/C sum(w)) - (1 - s) w_target [c = target] - s/C w_c. */
static Py_ssize_t R(cross_entropy_backward)(const void *x_, const class_loss *loss, const void *g_,
                                            Py_ssize_t g_stride, double scale, const void *kept_,
                                            void *out_, Py_ssize_t rows, Py_ssize_t columns) {
    const real *x = x_, *weight = loss->weight, *g = g_, *kept = kept_;
    real *out = out_;
    const double spread = loss->smoothing / (double)columns;
    for (Py_ssize_t i = 0; i < rows; i++, g += g_stride, x += columns, out += columns) {
        const int64_t target = loss->target[i];
        if (target == loss->ignore_index) {
            memset(out, 0, (size_t)columns * sizeof(real));
            continue;
        }
        if (target < 0 || target >= columns) return i;
        const double upstream = (double)*g * scale;
        const double own = (1 - loss->smoothing) * (weight ? (double)weight[target] : 1);
        const real most = kept[i];
        const real share = (real)(upstream * (own + spread * loss->weight_sum) * (double)kept[rows + i]);
        LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] = R(exp)(x[j] - most) * share;
        if (spread != 0) {
            const real each = (real)(upstream * spread);
            if (weight)
                LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] -= each * weight[j];
            else
                LUCID_LOOP for (Py_ssize_t j = 0; j < columns; j++) out[j] -= each;
        }
        out[target] -= (real)(upstream * own);
    }
    return -1;
}

#endif
