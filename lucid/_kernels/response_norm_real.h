/* response_norm_real.h: local response normalisation for one `real` type.
 *
 * A strip is some of the positions of an image with all their channels, copied together into rows
 * of `width`, a row per channel. There everything is a loop over one run of elements, wherever the
 * rows end: a neighbouring channel is `width` elements away, even if that is one element.
 *
 * The sums of `size` neighbouring rows come from doubling, as powers do from squaring: the sum of
 * 2 n rows is the sums of n and n, that of 2 n + 1 takes one row more. These are about log2(size)
 * passes that only add, and only what lies in the window. A large or infinite element leaves no
 * trace in the windows that do not contain it.
 */
#include "vector_math.h"

/* The power y of all elements of an array; y in two parts, the high one short enough that an
 * exponent times it is exact. */
typedef struct { real whole, high, low, of_zero, of_infinity, of_nan, of_minus_one; } R(exponent);

static R(exponent) R(exponent_of)(double y) {
    const real whole = (real)y;
    const real high = R(real_of)(R(bits_of)(whole) & -((bits)1 << (LUCID_DOUBLE ? 12 : 8)));
    return (R(exponent)){whole, high, (real)(y - high), (real)pow(0, y), (real)pow(INFINITY, y),
                         (real)pow(NAN, y), (real)pow(-1, y)};
}

/* x^y = 2^(y e) (1 + f)^y for |x| = 2^e (1 + f): the exponent's integer part is split off exactly,
 * so that what is left is small, and its rounding, too. For |y| <= 8. */
LUCID_INLINE real R(power)(real x, const R(exponent) *y) {
    const real shift = LUCID_DOUBLE ? 0x1.8p52 : 0x1.8p23f;
    const real ln2 = (real)(LUCID_DOUBLE ? 0x1.62e42fefa39efp-1 : 0x1.62e430p-1);
    real a = R(abs)(x), e, f = R(log_parts)(a, &e);
    real n = y->high * e, shifted = n + shift, part = n - (shifted - shift);
    bits k;
    real p = R(exp_parts)(
        R(fma)(y->whole, f - R(log_rest)(f, 0), R(fma)(y->low, e, part) * ln2), &k);
    k += R(bits_of)(shifted) - R(bits_of)(shift);
    k = k > 2 * BIAS ? 2 * BIAS : k < -2 * BIAS ? -2 * BIAS : k;
    /* Two factors, as in exp. */
    bits half = (bits)((LUCID_UNSIGNED(k + 2 * BIAS + 2)) >> 1) - (BIAS + 1);
    real out = (p + 1) * R(power_of_2)(half) * R(power_of_2)(k - half);
    out = x == 0 ? y->of_zero : a == (real)INFINITY ? y->of_infinity : out;
    out = x < 0 ? out * y->of_minus_one : out;
    return x == x ? out : y->of_nan;
}

/* s = (k + scale s)^-beta. */
static void R(powers)(const response_job *job, real *s, ptrdiff_t count) {
    const real k = (real)job->k, scale = (real)job->scale;
    if (job->beta == 0.75) {
        LUCID_LOOP for (ptrdiff_t i = 0; i < count; i++) {
            const real root = R(sqrt)(R(fma)(scale, s[i], k));
            s[i] = 1 / (root * R(sqrt)(root));
        }
    } else if (job->beta == 0.5) {
        LUCID_LOOP for (ptrdiff_t i = 0; i < count; i++)
            s[i] = 1 / R(sqrt)(R(fma)(scale, s[i], k));
    } else if (fabs(job->beta) <= 8) {
        const R(exponent) y = R(exponent_of)(-job->beta);
        LUCID_LOOP for (ptrdiff_t i = 0; i < count; i++)
            s[i] = R(power)(R(fma)(scale, s[i], k), &y);
    } else
        for (ptrdiff_t i = 0; i < count; i++)
            s[i] = (real)pow(R(fma)(scale, s[i], k), -job->beta);
}

/* Runs over the elements of a strip: `at` is the place in its rows, `i` in the image. */
#define EACH_ELEMENT                                                                        \
    for (ptrdiff_t row = 0, rows = job->strips == 1 ? 1 : job->channels; row < rows; row++) \
        LUCID_LOOP for (ptrdiff_t at = row * width, i = row * job->positions,               \
                        end = at + count / rows; at < end; at++, i++)

/* The sums of `size` rows of q from each one on, as far as there are rows. */
static void R(window_sums)(const real *q, real *sums, ptrdiff_t count, ptrdiff_t width,
                           ptrdiff_t size) {
    ptrdiff_t bit = 1, next = width;
    const real *from = q;
    while (bit <= size / 2) bit *= 2;
    if (bit == 1) memcpy(sums, q, count * sizeof(real));
    while (bit /= 2) {
        const int odd = (size & bit) != 0;
        ptrdiff_t i = 0;
        if (odd)
            LUCID_LOOP for (; i < count - 2 * next; i++)
                sums[i] = from[i] + from[i + next] + q[i + 2 * next];
        LUCID_LOOP for (; i < count - next; i++) sums[i] = from[i] + from[i + next];
        if (from == q) memcpy(sums + i, q + i, (count - i) * sizeof(real));
        from = sums;
        next = 2 * next + odd * width;
    }
}

/* The sums of squares for each channel of a strip. q and s have room for channels + max(before,
 * after) rows. */
static void R(square_sums)(const response_job *job, ptrdiff_t width, const real *x, real *q,
                           real *s) {
    const ptrdiff_t count = job->channels * width, lead = job->before * width;
    memset(q, 0, lead * sizeof(real));
    EACH_ELEMENT q[lead + at] = x[i] * x[i];
    R(window_sums)(q, s, lead + count, width, job->before + 1 + job->after);
}

static void R(forward)(const response_job *job, ptrdiff_t width, const real *x, const real *g,
                       real *out, real *q, real *s) {
    const ptrdiff_t count = job->channels * width;
    R(square_sums)(job, width, x, q, s);
    R(powers)(job, s, count);
    EACH_ELEMENT out[i] = x[i] * s[at];
}

/* With d = k + scale * sum, the gradient is g d^-beta - 2 beta scale x * (the sum of
 * g x d^(-beta - 1) over the channels whose window has this one). */
static void R(backward)(const response_job *job, ptrdiff_t width, const real *x, const real *g,
                        real *out, real *q, real *s) {
    const ptrdiff_t count = job->channels * width, lead = job->after * width;
    const real k = (real)job->k, scale = (real)job->scale;
    const real factor = (real)(2 * job->beta * job->scale);
    R(square_sums)(job, width, x, q, s);
    memset(q, 0, lead * sizeof(real));
    LUCID_LOOP for (ptrdiff_t i = 0; i < count; i++) q[lead + i] = R(fma)(scale, s[i], k);
    R(powers)(job, s, count);
    EACH_ELEMENT {
        const real direct = g[i] * s[at];
        out[i] = direct;
        q[lead + at] = direct * x[i] / q[lead + at];
    }
    if (job->beta == 0) return;
    R(window_sums)(q, s, lead + count, width, job->before + 1 + job->after);
    EACH_ELEMENT out[i] -= factor * x[i] * s[at];
}

typedef void R(strip)(const response_job *job, ptrdiff_t width, const real *x, const real *g,
                      real *out, real *q, real *s);

ALWAYS_INLINE void R(each_strip)(response_job *job, ptrdiff_t task, R(strip) *run) {
    const ptrdiff_t margin = job->before > job->after ? job->before : job->after;
    const ptrdiff_t room = (job->channels + margin) * job->strip;
    ptrdiff_t at = task * job->per_task, end = at + job->per_task;
    real *const buffer = malloc(2 * room * sizeof(real));
    if (!buffer) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    if (end > job->images * job->strips) end = job->images * job->strips;
    for (; at < end; at++) {
        const ptrdiff_t first = at % job->strips * job->strip, rest = job->positions - first;
        const ptrdiff_t place = at / job->strips * job->channels * job->positions + first;
        run(job, rest < job->strip ? rest : job->strip, (const real *)job->x + place,
            job->g ? (const real *)job->g + place : NULL, (real *)job->out + place, buffer,
            buffer + room);
    }
    free(buffer);
}

static void R(forward_task)(void *context, ptrdiff_t task) {
    R(each_strip)(context, task, R(forward));
}

static void R(backward_task)(void *context, ptrdiff_t task) {
    R(each_strip)(context, task, R(backward));
}

static const response_level R(level) = {R(forward_task), R(backward_task)};

#undef EACH_ELEMENT
