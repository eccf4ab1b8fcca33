/* pointwise_body.h: the loops of pointwise.pyx, one short expression per operation.
 *
 * The lists below are the whole content: name and value of every operation, from which the
 * enumeration, a loop for each real type and level, and the tables of function pointers follow.
 *
 *     unary     result = f(x), with up to three parameters a, b, c
 *     binary    result = f(x, y), row by row: an operand steps through its row or stays, and moves
 *               by its own stride from row to row, which covers scalars and broadcasting
 *     gradient  result = f(g, x), g the incoming gradient, x what the forward pass kept
 *
 * Those that are hardly more than a load and a store come first.
 */
#ifndef LUCID_POINTWISE_LISTS
#define LUCID_POINTWISE_LISTS
#include "random.h"

#define UNARY_LIST(OP)                                                                            \
    OP(neg, -x)                                                                                   \
    OP(abs, R(abs)(x))                                                                            \
    OP(square, x * x)                                                                             \
    OP(cube, x * x * x)                                                                           \
    OP(sqrt, R(sqrt)(x))                                                                          \
    OP(rsqrt, 1 / R(sqrt)(x))                                                                     \
    OP(reciprocal, 1 / x)                                                                         \
    OP(relu, x <= 0 ? 0 : x)                                                                      \
    OP(leaky_relu, x > 0 ? x : a * x)                                                             \
    OP(threshold, x <= a ? b : x)                                                                 \
    OP(hardtanh, R(clamp)(x, a, b))                                                               \
    OP(hardsigmoid, R(clamp)(x + 3, 0, 6) / 6)                                                    \
    OP(hardswish, x * (R(clamp)(x + 3, 0, 6) / 6))                                                \
    OP(hardshrink, (x >= -a) & (x <= a) ? 0 : x)                                                  \
    OP(softshrink, x - R(clamp)(x, -a, a))                                                        \
    OP(huber, b * R(huber)(R(abs)(x), a))                                                         \
    OP(softsign, x / (1 + R(abs)(x)))                                                             \
    OP(exp, R(exp)(x))                                                                            \
    OP(expm1, R(expm1)(x))                                                                        \
    OP(log, R(log)(x))                                                                            \
    OP(log1p, R(log1p)(x))                                                                        \
    OP(log2, R(log2)(x))                                                                          \
    OP(log10, R(log10)(x))                                                                        \
    OP(tanh, R(tanh)(x))                                                                          \
    OP(sigmoid, R(sigmoid)(x))                                                                    \
    OP(erf, R(erf)(x))                                                                            \
    OP(tanhshrink, R(tanhshrink)(x))                                                              \
    OP(elu, x > 0 ? b * x : a * b * R(expm1)(c * x))                                              \
    OP(softplus, x * a > b ? x : R(softplus)(x * a) / a)                                          \
    OP(log_sigmoid, -R(softplus)(-x))                                                             \
    OP(silu, x * R(sigmoid)(x))                                                                   \
    OP(mish, R(mish)(x))                                                                          \
    OP(gelu, R(gelu)(x))                                                                          \
    OP(gelu_tanh, x * R(sigmoid)(R(gelu_slope)(x)))

#define BINARY_LIST(OP)                                                                           \
    OP(add, x + y)                                                                                \
    OP(sub, x - y)                                                                                \
    OP(mul, x * y)                                                                                \
    OP(div, x / y)                                                                                \
    OP(maximum, ((x > y) | (x != x)) ? x : y)                                                     \
    OP(minimum, ((x < y) | (x != x)) ? x : y)                                                     \
    OP(prelu, x > 0 ? x : y * x)

#define GRADIENT_LIST(OP)                                                                         \
    OP(relu, x <= 0 ? 0 : g)                                                                      \
    OP(leaky_relu, x > 0 ? g : a * g)                                                             \
    OP(threshold, x <= a ? 0 : g)                                                                 \
    OP(hardtanh, (x <= a) | (x >= b) ? 0 : g)                                                     \
    OP(hardsigmoid, (x > -3) & (x < 3) ? g / 6 : 0)                                               \
    OP(hardswish, x <= -3 ? 0 : x < 3 ? g * R(fma)(x, (real)(1.0 / 3), (real)0.5) : g)            \
    OP(shrink, (x >= -a) & (x <= a) ? 0 : g)                                                      \
    OP(softsign, R(softsign_gradient)(g, x))                                                      \
    OP(tanh, g * (1 - x * x))                                                                     \
    OP(tanhshrink, g * R(square)(R(tanh)(x)))                                                     \
    OP(sigmoid, g * (x * (1 - x)))                                                                \
    OP(elu, g * (x > 0 ? b : a * b * c * R(exp)(c * x)))                                          \
    OP(softplus, x * a > b ? g : g * R(sigmoid)(x * a))                                           \
    OP(log_sigmoid, g * R(sigmoid)(-x))                                                           \
    OP(silu, R(silu_gradient)(g, x))                                                              \
    OP(mish, R(mish_gradient)(g, x))                                                              \
    OP(gelu, R(gelu_gradient)(g, x))                                                              \
    OP(gelu_tanh, R(gelu_tanh_gradient)(g, x))

/* Loops that are none of the three kinds. */
#define OTHER_LIST(OP) OP(axpy) OP(glu) OP(glu_backward) OP(dropout) OP(rrelu)

#define ENUM_UNARY(name, value) UNARY_##name,
#define ENUM_BINARY(name, value) BINARY_##name,
#define ENUM_GRADIENT(name, value) GRADIENT_##name,
#define ENUM_OTHER(name) OTHER_##name,
enum { UNARY_LIST(ENUM_UNARY) UNARY_COUNT };
enum { BINARY_LIST(ENUM_BINARY) BINARY_COUNT };
enum { GRADIENT_LIST(ENUM_GRADIENT) GRADIENT_COUNT };
enum { OTHER_LIST(ENUM_OTHER) OTHER_COUNT };

/* How the operands of `binary` move within a row. */
enum { BOTH_STEP, X_STEPS, Y_STEPS };

typedef struct {
    const void *x, *y;    /* y: right operand, or incoming gradient */
    void *out;
    double a, b, c;       /* parameters */
    Py_ssize_t columns;   /* of a row; none: one row (binary), glu's half, dropout's group */
    int steps;            /* binary alone, as are the strides from row to row */
    Py_ssize_t x_stride, y_stride;
    uint64_t seed;        /* of random bits, and below what they mean "dropped" */
    uint32_t threshold;
} point_args;

/* Elements start to stop, of a binary operation with columns rows start to stop. */
typedef void (*point_loop)(const void *args, Py_ssize_t start, Py_ssize_t stop);

#define UNARY_LOOP(name, value)                                                                   \
    static void R(unary_##name)(const void *context, Py_ssize_t start, Py_ssize_t stop) {         \
        const point_args *args = context;                                                         \
        const real *in = args->x, a = (real)args->a, b = (real)args->b, c = (real)args->c;        \
        real *out = args->out;                                                                    \
        (void)a, (void)b, (void)c;                                                                \
        LUCID_LOOP for (Py_ssize_t i = start; i < stop; i++) {                                    \
            const real x = in[i];                                                                 \
            out[i] = (value);                                                                     \
        }                                                                                         \
    }

#define GRADIENT_LOOP(name, value)                                                                \
    static void R(gradient_##name)(const void *context, Py_ssize_t start, Py_ssize_t stop) {      \
        const point_args *args = context;                                                         \
        const real *in = args->x, *gradient = args->y;                                            \
        const real a = (real)args->a, b = (real)args->b, c = (real)args->c;                       \
        real *out = args->out;                                                                    \
        (void)a, (void)b, (void)c;                                                                \
        LUCID_LOOP for (Py_ssize_t i = start; i < stop; i++) {                                    \
            const real x = in[i], g = gradient[i];                                                \
            out[i] = (value);                                                                     \
        }                                                                                         \
    }

#define BINARY_ROW(x_, y_, value)                                                                 \
    LUCID_LOOP for (Py_ssize_t i = 0; i < columns; i++) {                                         \
        const real x = x_, y = y_;                                                                \
        out[i] = (value);                                                                         \
    }

#define BINARY_LOOP(name, value)                                                                  \
    static void R(binary_##name)(const void *context, Py_ssize_t start, Py_ssize_t stop) {        \
        const point_args *args = context;                                                         \
        const Py_ssize_t rows = args->columns ? stop - start : 1;                                 \
        const Py_ssize_t columns = args->columns ? args->columns : stop - start;                  \
        const Py_ssize_t x_stride = args->columns ? args->x_stride : args->steps != Y_STEPS;      \
        const Py_ssize_t y_stride = args->columns ? args->y_stride : args->steps != X_STEPS;      \
        const real *left = (const real *)args->x + start * x_stride;                              \
        const real *right = (const real *)args->y + start * y_stride;                             \
        real *out = (real *)args->out + start * (args->columns ? columns : 1);                    \
        for (Py_ssize_t row = 0; row < rows; row++) {                                             \
            const real one = *left, other = *right;                                               \
            if (args->steps == BOTH_STEP) BINARY_ROW(left[i], right[i], value)                    \
            else if (args->steps == X_STEPS) BINARY_ROW(left[i], other, value)                    \
            else BINARY_ROW(one, right[i], value)                                                 \
            left += x_stride, right += y_stride, out += columns;                                  \
        }                                                                                         \
    }

/* Tables hold the float32 loop of operation i at 2i, the float64 one at 2i + 1. */
#define PAIR(name) LUCID_NAME(name##_f32), LUCID_NAME(name##_f64),
#define PAIR_UNARY(name, value) PAIR(unary_##name)
#define PAIR_BINARY(name, value) PAIR(binary_##name)
#define PAIR_GRADIENT(name, value) PAIR(gradient_##name)
#endif /* LUCID_POINTWISE_LISTS */

#ifndef LUCID_REAL_BODY /* once per level: go over the real types, then collect their loops */

#define LUCID_REAL_BODY "pointwise_body.h"
#include "each_real.h"

static const point_loop LUCID_NAME(unary_loops)[] = {UNARY_LIST(PAIR_UNARY)};
static const point_loop LUCID_NAME(binary_loops)[] = {BINARY_LIST(PAIR_BINARY)};
static const point_loop LUCID_NAME(gradient_loops)[] = {GRADIENT_LIST(PAIR_GRADIENT)};
static const point_loop LUCID_NAME(other_loops)[] = {OTHER_LIST(PAIR)};

#else /* once per level and real type */

#include "vector_math.h"

/* Lets NaN pass. */
LUCID_INLINE real R(clamp)(real x, real low, real high) {
    return R(at_most)(x < low ? low : x, high);
}

LUCID_INLINE real R(huber)(real size, real limit) {
    real near = R(at_most)(size, limit);
    return near * (size - (real)0.5 * near);
}

LUCID_INLINE real R(square)(real x) { return x * x; }

LUCID_INLINE real R(softsign_gradient)(real g, real x) {
    real r = 1 / (1 + R(abs)(x));
    return g * r * r;
}

/* tanh(u) / 2 + 1/2 = sigmoid(2u), with u = sqrt(2 / pi) (x + 0.044715 x^3). */
LUCID_INLINE real R(gelu_slope)(real x) {
    return (real)1.5957691216057308 * x * R(fma)((real)0.044715, x * x, 1);
}

LUCID_INLINE real R(silu_gradient)(real g, real x) {
    real s = R(sigmoid)(x);
    return g * (s * R(fma)(x, 1 - s, 1));
}

/* x - tanh(x); x^3 (1/3 - ..) where the difference would cancel. */
LUCID_INLINE real R(tanhshrink)(real x) {
    real z = x * x;
    real p = LUCID_DOUBLE
        ? POLY(z, 0x1.5555555555555p-2, -0x1.111111111110bp-3, 0x1.ba1ba1ba1b236p-5,
               -0x1.664f4882a23dep-6, 0x1.226e355a6b493p-7, -0x1.d6d3d03d3d978p-9,
               0x1.7da35b7b74bb5p-10, -0x1.3557cd8b8a35cp-11, 0x1.f578807972deap-13,
               -0x1.966255815d1ebp-14, 0x1.4903fc6e49b75p-15, -0x1.096aff31044a1p-16,
               0x1.a79f88ce3ce7fp-18, -0x1.496b91cfb1f2dp-19, 0x1.e6fcb8b527a23p-21,
               -0x1.4afda2629d603p-22, 0x1.8e47be75098a1p-24, -0x1.976e439ac4b9fp-26,
               0x1.533d06e930a29p-28, -0x1.b4aa04ba04f77p-31, 0x1.94720fb2a50bcp-34,
               -0x1.dd29ede2d0654p-38, 0x1.0c484d01f8279p-42)
        : POLY(z, 0x1.555556p-2, -0x1.111100p-3, 0x1.ba168ep-5, -0x1.66069cp-6, 0x1.204df8p-7,
               -0x1.c3b8e4p-9, 0x1.45d70cp-10, -0x1.8af154p-12, 0x1.652a2ep-14, -0x1.9b5e14p-17,
               0x1.b9d060p-21);
    return z < (real)2.25 ? x * z * p : x - R(tanh)(x);
}

/* tanh(log(1 + e)) = n / (n + 2) with e = exp(x), n = e (e + 2); from x = 20 on it rounds to 1. */
LUCID_INLINE real R(mish)(real x) {
    real e = R(exp)(R(at_most)(x, 20)), n = R(fma)(e, e, 2 * e);
    return x * (n / (n + 2));
}

LUCID_INLINE real R(mish_gradient)(real g, real x) {
    real low = R(at_most)(x, 20), e = R(exp)(low), n = R(fma)(e, e, 2 * e), r = 1 / (n + 2);
    return g * (n * r + low * (4 * e * (1 + e) * r * r));
}

LUCID_INLINE real R(gelu)(real x) {
    real bell;
    return x * R(normal)(x, &bell);
}

LUCID_INLINE real R(gelu_gradient)(real g, real x) {
    real bell, below = R(normal)(x, &bell);
    return g * R(fma)(x * bell, (real)0.3989422804014327, below);
}

LUCID_INLINE real R(gelu_tanh_gradient)(real g, real x) {
    real s = R(sigmoid)(R(gelu_slope)(x));
    real slope = (real)1.5957691216057308 * R(fma)((real)(3 * 0.044715), x * x, 1);
    return g * R(fma)(x * s * (1 - s), slope, s);
}

UNARY_LIST(UNARY_LOOP)
BINARY_LIST(BINARY_LOOP)
GRADIENT_LIST(GRADIENT_LOOP)

/* out += a x */
static void R(axpy)(const void *context, Py_ssize_t start, Py_ssize_t stop) {
    const point_args *args = context;
    const real *x = args->x, a = (real)args->a;
    real *out = args->out;
    LUCID_LOOP for (Py_ssize_t i = start; i < stop; i++) out[i] = R(fma)(a, x[i], out[i]);
}

/* Over the results start to stop of a gated linear unit, a piece of a row at a time: its first
 * element in `out`, and in x (rows of two halves, values and gates) the values'. */
#define EACH_PIECE(i, x_at, count)                                                                \
    for (Py_ssize_t i = start, count, x_at; i < stop; i += count)                                 \
        if (x_at = i + i / columns * columns, count = columns - i % columns,                      \
            count = count < stop - i ? count : stop - i, 1)

static void R(glu)(const void *context, Py_ssize_t start, Py_ssize_t stop) {
    const point_args *args = context;
    const Py_ssize_t columns = args->columns;
    EACH_PIECE(i, at, count) {
        const real *x = (const real *)args->x + at, *gate = x + columns;
        real *out = (real *)args->out + i;
        LUCID_LOOP for (Py_ssize_t j = 0; j < count; j++) out[j] = x[j] * R(sigmoid)(gate[j]);
    }
}

static void R(glu_backward)(const void *context, Py_ssize_t start, Py_ssize_t stop) {
    const point_args *args = context;
    const Py_ssize_t columns = args->columns;
    EACH_PIECE(i, at, count) {
        const real *x = (const real *)args->x + at, *gate = x + columns;
        const real *g = (const real *)args->y + i;
        real *out = (real *)args->out + at, *out_gate = out + columns;
        LUCID_LOOP for (Py_ssize_t j = 0; j < count; j++) {
            const real s = R(sigmoid)(gate[j]), open = g[j] * s;
            out[j] = open;
            out_gate[j] = open * (1 - s) * x[j];
        }
    }
}

/* The elements that share the high half of their place, and with it the key. */
#define EACH_KEY(i, stop, key, end)                                                               \
    for (Py_ssize_t end; i < (stop); i = end)                                                     \
        if (end = (Py_ssize_t)(((uint64_t)i | 0xffffffffu) + 1), end = end < (stop) ? end : (stop), \
            key = random_row_key(args->seed, (uint64_t)i >> 32), 1)

/* a x + b, or c where dropped: each element, or groups of `columns` elements, by one draw. */
static void R(dropout)(const void *context, Py_ssize_t start, Py_ssize_t stop) {
    const point_args *args = context;
    const real *x = args->x, a = (real)args->a, b = (real)args->b, c = (real)args->c;
    const uint32_t threshold = args->threshold;
    const Py_ssize_t group = args->columns;
    real *out = args->out;
    random_key key;
    if (group == 1) {
        EACH_KEY(start, stop, key, end)
            LUCID_LOOP for (Py_ssize_t i = start; i < end; i++)
                out[i] = random_bits(key, (uint32_t)i) < threshold ? c : R(fma)(a, x[i], b);
        return;
    }
    for (Py_ssize_t i = start, end; i < stop; i = end) {
        const Py_ssize_t place = i / group;
        end = (place + 1) * group < stop ? (place + 1) * group : stop;
        key = random_row_key(args->seed, (uint64_t)place >> 32);
        const int dropped = random_bits(key, (uint32_t)place) < threshold;
        LUCID_LOOP for (Py_ssize_t j = i; j < end; j++) out[j] = dropped ? c : R(fma)(a, x[j], b);
    }
}

/* y where x > 0, else y times a slope drawn from [a, b). */
static void R(rrelu)(const void *context, Py_ssize_t start, Py_ssize_t stop) {
    const point_args *args = context;
    const real *x = args->x, *y = args->y, a = (real)args->a;
    const real width = (real)((args->b - args->a) * 0x1p-24);
    real *out = args->out;
    random_key key;
    EACH_KEY(start, stop, key, end)
        LUCID_LOOP for (Py_ssize_t i = start; i < end; i++) {
            const real step = (real)(int32_t)(random_bits(key, (uint32_t)i) >> 8);
            out[i] = x[i] > 0 ? y[i] : y[i] * R(fma)(width, step, a);
        }
}

#endif
