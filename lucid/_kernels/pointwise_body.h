/* pointwise_body.h: the loops of pointwise.pyx, one short expression per operation.
 *
 * The lists below are the whole content: name and value of every operation, from which the
 * enumeration, a loop for each real type and level, and the tables of function pointers follow.
 *
 *     unary     result = f(x), with up to two parameters a, b
 *     binary    result = f(x, y), row by row: an operand steps through its row or stays, and moves
 *               by its own stride from row to row, which covers scalars and broadcasting
 *     gradient  result = f(g, x), g the incoming gradient, x what the forward pass kept
 *
 * Those that are hardly more than a load and a store come first.
 */
#ifndef LUCID_POINTWISE_LISTS
#define LUCID_POINTWISE_LISTS

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
    OP(exp, R(exp)(x))                                                                            \
    OP(expm1, R(expm1)(x))                                                                        \
    OP(log, R(log)(x))                                                                            \
    OP(log1p, R(log1p)(x))                                                                        \
    OP(log2, R(log2)(x))                                                                          \
    OP(log10, R(log10)(x))                                                                        \
    OP(tanh, R(tanh)(x))                                                                          \
    OP(sigmoid, R(sigmoid)(x))                                                                    \
    OP(erf, R(erf)(x))                                                                            \
    OP(elu, x > 0 ? x : a * R(expm1)(x))                                                          \
    OP(softplus, x * a > b ? x : R(softplus)(x * a) / a)                                           \
    OP(silu, x * R(sigmoid)(x))                                                                   \
    OP(gelu, R(gelu)(x))                                                                          \
    OP(gelu_tanh, x * R(sigmoid)(R(gelu_slope)(x)))

#define BINARY_LIST(OP)                                                                           \
    OP(add, x + y)                                                                                \
    OP(sub, x - y)                                                                                \
    OP(mul, x * y)                                                                                \
    OP(div, x / y)                                                                                \
    OP(maximum, ((x > y) | (x != x)) ? x : y)                                                     \
    OP(minimum, ((x < y) | (x != x)) ? x : y)

#define GRADIENT_LIST(OP)                                                                         \
    OP(relu, x <= 0 ? 0 : g)                                                                      \
    OP(leaky_relu, x > 0 ? g : a * g)                                                             \
    OP(tanh, g * (1 - x * x))                                                                     \
    OP(sigmoid, g * (x * (1 - x)))                                                                \
    OP(silu, R(silu_gradient)(g, x))                                                              \
    OP(gelu, R(gelu_gradient)(g, x))                                                              \
    OP(gelu_tanh, R(gelu_tanh_gradient)(g, x))

#define ENUM_UNARY(name, value) UNARY_##name,
#define ENUM_BINARY(name, value) BINARY_##name,
#define ENUM_GRADIENT(name, value) GRADIENT_##name,
enum { UNARY_LIST(ENUM_UNARY) UNARY_COUNT };
enum { BINARY_LIST(ENUM_BINARY) BINARY_COUNT };
enum { GRADIENT_LIST(ENUM_GRADIENT) GRADIENT_COUNT };

/* How the operands of `binary` move within a row. */
enum { BOTH_STEP, X_STEPS, Y_STEPS };

typedef struct {
    const void *x, *y;    /* y: right operand, or incoming gradient */
    void *out;
    double a, b;          /* parameters */
    int steps;            /* binary alone, as the rest */
    Py_ssize_t columns, x_stride, y_stride; /* of a row, and from row to row; no columns: one row */
} point_args;

/* Elements start to stop, of a binary operation with columns rows start to stop. */
typedef void (*point_loop)(const void *args, Py_ssize_t start, Py_ssize_t stop);

#define UNARY_LOOP(name, value)                                                                   \
    static void R(unary_##name)(const void *context, Py_ssize_t start, Py_ssize_t stop) {         \
        const point_args *args = context;                                                         \
        const real *in = args->x, a = (real)args->a, b = (real)args->b;                           \
        real *out = args->out;                                                                    \
        (void)a, (void)b;                                                                         \
        LUCID_LOOP for (Py_ssize_t i = start; i < stop; i++) {                                    \
            const real x = in[i];                                                                 \
            out[i] = (value);                                                                     \
        }                                                                                         \
    }

#define GRADIENT_LOOP(name, value)                                                                \
    static void R(gradient_##name)(const void *context, Py_ssize_t start, Py_ssize_t stop) {      \
        const point_args *args = context;                                                         \
        const real *in = args->x, *gradient = args->y, a = (real)args->a, b = (real)args->b;      \
        real *out = args->out;                                                                    \
        (void)a, (void)b;                                                                         \
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
static const point_loop LUCID_NAME(axpy_loops)[] = {PAIR(axpy)};

#else /* once per level and real type */

#include "vector_math.h"

/* tanh(u) / 2 + 1/2 = sigmoid(2u), with u = sqrt(2 / pi) (x + 0.044715 x^3). */
LUCID_INLINE real R(gelu_slope)(real x) {
    return (real)1.5957691216057308 * x * R(fma)((real)0.044715, x * x, 1);
}

LUCID_INLINE real R(silu_gradient)(real g, real x) {
    real s = R(sigmoid)(x);
    return g * (s * R(fma)(x, 1 - s, 1));
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

#endif
