/* recurrent_real.h: the point-wise part of one step of each recurrent cell, and its derivative;
 * and the product of a single sequence's state with weights.
 *
 * The cells are plain loops over one row at a time, which stays in the L1 cache between them. Gates
 * lie in the order of PyTorch's weights: i f g o in an LSTM, r z n in a GRU.
 *
 * No include guard: included once per type and level.
 */
#include "vector_math.h"

#define CELL(name)                                                                        \
    static void R(name)(const cell_step *restrict s, ptrdiff_t first, ptrdiff_t last,     \
                        ptrdiff_t left, ptrdiff_t right)
#define ROW(field) ((real *)s->field + row * s->hidden + left)
#define OUT ((real *)s->out + row * s->out_stride + left)
#define GATES(field) ((real *)s->field + row * s->stride + left)
#define EACH_ROW for (ptrdiff_t row = first; row < last; row++)
#define EACH_UNIT LUCID_LOOP for (ptrdiff_t j = 0; j < units; j++)

static void R(add)(void *to, const void *x, ptrdiff_t count) {
    real *sum = to;
    const real *term = x;
    LUCID_LOOP for (ptrdiff_t i = 0; i < count; i++) sum[i] += term[i];
}

LUCID_INLINE void R(sigmoid_of)(real *x, ptrdiff_t count) {
    LUCID_LOOP for (ptrdiff_t i = 0; i < count; i++) x[i] = R(sigmoid)(x[i]);
}

LUCID_INLINE void R(tanh_of)(real *x, ptrdiff_t count) {
    LUCID_LOOP for (ptrdiff_t i = 0; i < count; i++) x[i] = R(tanh)(x[i]);
}

/* ---- h' = tanh(sums) or relu(sums) ---------------------------------------------------------- */

CELL(rnn_tanh_forward) {
    const ptrdiff_t units = right - left;
    EACH_ROW {
        real *h = GATES(gates), *out = OUT;
        EACH_UNIT out[j] = h[j] = R(tanh)(h[j]);
    }
}

CELL(rnn_tanh_backward) {
    const ptrdiff_t units = right - left;
    EACH_ROW {
        const real *h = GATES(gates), *dh = ROW(dh);
        real *d = GATES(d_input);
        EACH_UNIT d[j] = dh[j] * (1 - h[j] * h[j]);
    }
}

CELL(rnn_relu_forward) {
    const ptrdiff_t units = right - left;
    EACH_ROW {
        real *h = GATES(gates), *out = OUT;
        EACH_UNIT out[j] = h[j] = h[j] < 0 ? 0 : h[j];
    }
}

CELL(rnn_relu_backward) {
    const ptrdiff_t units = right - left;
    EACH_ROW {
        const real *h = GATES(gates), *dh = ROW(dh);
        real *d = GATES(d_input);
        EACH_UNIT d[j] = h[j] > 0 ? dh[j] : 0;
    }
}

/* ---- c' = f c + i g,  h' = o tanh(c') ------------------------------------------------------- */

CELL(lstm_forward) {
    const ptrdiff_t hidden = s->hidden, units = right - left;
    EACH_ROW {
        real *i = GATES(gates), *f = i + hidden, *g = f + hidden, *o = g + hidden;
        real *c = ROW(c), *out = OUT;
        R(sigmoid_of)(i, units);
        R(sigmoid_of)(f, units);
        R(tanh_of)(g, units);
        R(sigmoid_of)(o, units);
        if (s->c_before) memcpy(ROW(c_before), c, (size_t)units * sizeof(real));
        EACH_UNIT {
            c[j] = R(fma)(f[j], c[j], i[j] * g[j]);
            out[j] = o[j] * R(tanh)(c[j]);
        }
    }
}

/* c' and tanh(c') are computed again: cheaper than fetching them. `out` becomes h' again. */
CELL(lstm_backward) {
    const ptrdiff_t hidden = s->hidden, units = right - left;
    EACH_ROW {
        const real *i = GATES(gates), *f = i + hidden, *g = f + hidden, *o = g + hidden;
        const real *c_before = ROW(c_before), *dh = ROW(dh);
        real *di = GATES(d_input), *df = di + hidden, *dg = df + hidden, *d_o = dg + hidden;
        real *dc = ROW(dc);
        if (s->out) {
            real *out = OUT;
            EACH_UNIT out[j] = o[j] * R(tanh)(R(fma)(f[j], c_before[j], i[j] * g[j]));
        }
        EACH_UNIT {
            const real t = R(tanh)(R(fma)(f[j], c_before[j], i[j] * g[j]));
            const real d = R(fma)(dh[j] * o[j], 1 - t * t, dc[j]);
            d_o[j] = dh[j] * t * (o[j] * (1 - o[j]));
            di[j] = d * g[j] * (i[j] * (1 - i[j]));
            df[j] = d * c_before[j] * (f[j] * (1 - f[j]));
            dg[j] = d * i[j] * (1 - g[j] * g[j]);
            dc[j] = d * f[j];
        }
    }
}

/* ---- h' = (1 - z) n + z h with n = tanh(input + r * recurrent) ------------------------------ */

CELL(gru_forward) {
    const ptrdiff_t hidden = s->hidden, units = right - left;
    EACH_ROW {
        real *r = GATES(gates), *z = r + hidden, *n = z + hidden, *out = OUT;
        const real *recurrent = GATES(recurrent), *candidate = recurrent + 2 * hidden;
        const real *h = ROW(h_before);
        EACH_UNIT r[j] = R(sigmoid)(r[j] + recurrent[j]);
        EACH_UNIT z[j] = R(sigmoid)(z[j] + recurrent[hidden + j]);
        if (s->candidate) memcpy(ROW(candidate), candidate, (size_t)units * sizeof(real));
        EACH_UNIT {
            n[j] = R(tanh)(R(fma)(r[j], candidate[j], n[j]));
            out[j] = R(fma)(z[j], h[j] - n[j], n[j]);
        }
    }
}

CELL(gru_backward) {
    const ptrdiff_t hidden = s->hidden, units = right - left;
    EACH_ROW {
        const real *r = GATES(gates), *z = r + hidden, *n = z + hidden;
        const real *candidate = ROW(candidate), *h = ROW(h_before);
        real *dh = ROW(dh), *dr = GATES(d_input), *dz = dr + hidden, *dn = dz + hidden;
        real *recurrent = GATES(d_recurrent);
        EACH_UNIT {
            const real d = dh[j] * (1 - z[j]) * (1 - n[j] * n[j]);
            dn[j] = d;
            recurrent[2 * hidden + j] = d * r[j];
            recurrent[j] = dr[j] = d * candidate[j] * (r[j] * (1 - r[j]));
            recurrent[hidden + j] = dz[j] = dh[j] * (h[j] - n[j]) * (z[j] * (1 - z[j]));
            dh[j] *= z[j];
        }
    }
}

/* ---- One row times packed weights ------------------------------------------------------------ */

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
#define COLUMNS (2 * LANES) /* of a panel that the engine packs */
#define vec R(vec)
typedef real vec __attribute__((vector_size(LUCID_VBYTES)));
typedef real R(vec_at) __attribute__((vector_size(LUCID_VBYTES), aligned(sizeof(real)), may_alias));

/* The engine's tile takes panel by panel, and of one row there are then but two sums at a time,
 * which wait for their own last addition. Two panels at once keep up with the cache. */
static void R(multiply_row)(const void *panels, const void *x, const void *bias, void *sums,
                            ptrdiff_t count, ptrdiff_t depth, int accumulate) {
    const real *const state = x, *const terms = bias;
    real *const to = sums;
    for (ptrdiff_t j = 0; j < count; j += 2 * COLUMNS) {
        const real *a = (const real *)panels + j * depth;
        const real *b = j + COLUMNS < count ? a + COLUMNS * depth : a;
        vec t[4] = {{0}};
        for (ptrdiff_t p = 0; p < depth; p++, a += COLUMNS, b += COLUMNS) {
            t[0] += *(const R(vec_at) *)a * state[p];
            t[1] += *(const R(vec_at) *)(a + LANES) * state[p];
            t[2] += *(const R(vec_at) *)b * state[p];
            t[3] += *(const R(vec_at) *)(b + LANES) * state[p];
        }
        real total[2 * COLUMNS];
        memcpy(total, t, sizeof total);
        for (ptrdiff_t i = 0; i < 2 * COLUMNS && j + i < count; i++) {
            if (accumulate) total[i] += to[j + i];
            to[j + i] = terms ? total[i] + terms[j + i] : total[i];
        }
    }
}

static const cell_table R(cells) = {
    {R(rnn_tanh_forward), R(rnn_relu_forward), R(lstm_forward), R(gru_forward)},
    {R(rnn_tanh_backward), R(rnn_relu_backward), R(lstm_backward), R(gru_backward)},
    R(add),
    R(multiply_row),
};

#undef CELL
#undef ROW
#undef OUT
#undef GATES
#undef EACH_ROW
#undef EACH_UNIT
#undef LANES
#undef COLUMNS
#undef vec
