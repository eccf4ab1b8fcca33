/* norms_body.h: one read (or read-write) pass over a piece of one array; see each_level.h.
 *
 * Sums. Eight rows of LUCID_LANES elements become one row by a fixed tree of seven additions, and
 * that row is added to the lanes' high + low pairs without an error. So only the roundings of the
 * terms and of three additions are left, however many elements there are, at a cost that hides
 * behind the memory: about one operation per vector more than a plain sum. Vector width decides
 * only how many lanes one instruction works on, never the bits: the tree is the same at each level.
 * (Only |v|^p of general p uses fused multiply-adds where there are any; elsewhere the compiler may
 * not contract, which -std=c11 or the pragma below sees to.)
 *
 * float32 and float64 that lie side by side are read where they are. Everything else (float16,
 * strided, complex magnitudes, scaled) passes through a small buffer of float64 on the stack.
 *
 * Largest elements are found among bit patterns, which order like the magnitudes and put NaN above
 * inf above all numbers, so non-finite values cost nothing to find.
 */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#ifdef LUCID_MULTIVERSION
#include <immintrin.h>
#endif

#define vd LUCID_NAME(vd) /* doubles, one register */
#define vu LUCID_NAME(vu) /* their bits */
#define vf LUCID_NAME(vf) /* as many floats */
#define INLINE static inline __attribute__((always_inline))
#define WIDTH (LUCID_VBYTES / 8)
#define PARTS (LUCID_LANES / WIDTH)
#define ROWS 8
#define GROUP (ROWS * LUCID_LANES)
#define PREFETCH 4096 /* bytes ahead; measured */

typedef double vd __attribute__((vector_size(LUCID_VBYTES)));
typedef uint64_t vu __attribute__((vector_size(LUCID_VBYTES)));
typedef float vf __attribute__((vector_size(LUCID_VBYTES / 2)));

/* a * b + c, rounded once where the level has the instruction. Only |v|^p of general p uses it. */
#if LUCID_VBYTES == 64
#define MADD(a, b, c) ((vd)_mm512_fmadd_pd((a), (vd){0} + (b), (c)))
#elif LUCID_VBYTES == 32
#define MADD(a, b, c) ((vd)_mm256_fmadd_pd((a), (vd){0} + (b), (c)))
#else
#define MADD(a, b, c) ((a) * (b) + (c))
#endif

/* ---- |v|^p ------------------------------------------------------------------------------- */

INLINE vu LUCID_NAME(choose)(vu mask, vu yes, vu no) { return (mask & yes) | (~mask & no); }

/* x^p for x >= 0 is 2^(p (k + log2 m)) with x = 2^k m and m in [sqrt(1/2), sqrt(2)). p k is exact
 * through p_high, so what is left is the error of log2 m, at most about 2^-53, times p: after the
 * p-th root no more than one bit. In two steps, because a loop over a few vectors for each keeps
 * more of these long chains of operations in flight than one loop over both. */
INLINE vd LUCID_NAME(log2_of)(vd x, vd *exponent) {
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcd, fraction = 0x000fffffffffffff;
    vu tiny = (vu)(x < 0x1p-1022);
    vu bits = LUCID_NAME(choose)(tiny, (vu)(x * 0x1p54), (vu)x);
    vu above = bits - sqrt_half;
    vd m = (vd)(bits - (above & ~fraction));
    vd k = (vd)(((above + ((uint64_t)1100 << 52)) >> 52) | 0x4330000000000000) - (0x1p52 + 1100.0);
    *exponent = k - (vd)(tiny & (vu)((vd){0} + 54.0));

    vd s = (m - 1.0) / (m + 1.0), z = s * s;
    vd z2 = z * z; /* Estrin's scheme: shorter chains than Horner's */
    vd t = MADD(z, 0x1.2776c50ef68acp-1, (vd){0} + 0x1.ec709dc3a0401p-1);
    vd t2 = MADD(z, 0x1.484b091070dabp-2, (vd){0} + 0x1.a61762b5449cfp-2);
    vd t4 = MADD(z, 0x1.c4fe6cc6d6fd0p-3, (vd){0} + 0x1.0c9e94a9a4c4ap-2);
    t4 = MADD(z2, 0x1.afe74b82f4e57p-3, t4);
    t = MADD(z2 * z2, t4, MADD(z2, t2, t));
    return MADD(s, MADD(z, t, (vd){0} + 0x1.777d0ffda0d24p-55), s * 0x1.71547652b82fep+1);
}

/* The power, given k and t = log2 m of x; NaN and inf come back as they are. */
INLINE vd LUCID_NAME(exp2_of)(vd x, vd k, vd t, const lucid_job *job) {
    const double shift = 0x1.8p52; /* adding it rounds to whole numbers */
    vd whole = job->p_high * k, rest = MADD(k, job->p_low, t * job->p), y = whole + rest;
    vd n = y + shift;
    vd f = (whole - (n - shift)) + rest;
    vd f2 = f * f, f4 = f2 * f2;
    vd e = MADD(f, 0x1.62e42fefa39efp-1, (vd){0} + 1.0);
    vd e2 = MADD(f, 0x1.c6b08d704a0c2p-5, (vd){0} + 0x1.ebfbdff82c598p-3);
    vd e4 = MADD(f, 0x1.5d87fe78a5276p-10, (vd){0} + 0x1.3b2ab6fba1ddap-7);
    vd e6 = MADD(f, 0x1.ffcbfc670dce6p-17, (vd){0} + 0x1.430913096fdb5p-13);
    vd e8 = MADD(f, 0x1.b524fae624087p-24, (vd){0} + 0x1.62bfd4776f20bp-20);
    vd e10 = MADD(f, 0x1.e9d3fe4047b38p-32, (vd){0} + 0x1.e6063f7a40c36p-28);
    e8 = MADD(f2, e10, e8);
    e4 = MADD(f4, e8, MADD(f2, e6, e4));
    e = MADD(f2, MADD(f2, e4, e2), e);
    vu result = (vu)e + ((vu)n << 52);

    const vu inf = (vu){0} + 0x7ff0000000000000;
    result &= (vu)(y > -1021.0) & (vu)(x > 0.0);
    result = LUCID_NAME(choose)((vu)(y > 1023.0), inf, result);
    return (vd)LUCID_NAME(choose)((vu)(x <= DBL_MAX), result, (vu)x);
}

INLINE vd LUCID_NAME(term)(vd v, lucid_power power, const lucid_job *job) {
    vd size = (vd)((vu)v & 0x7fffffffffffffff);
    switch (power) {
        case LUCID_SIGNED: return v;
        case LUCID_ONE: return size;
        case LUCID_TWO: return v * v;
        case LUCID_THREE: return v * v * size;
        default: {
            vd k, t = LUCID_NAME(log2_of)(size, &k);
            return LUCID_NAME(exp2_of)(size, k, t, job);
        }
    }
}

/* row[i] = term(row[i]) for all of them. */
INLINE void LUCID_NAME(terms)(vd *row, lucid_power power, const lucid_job *job) {
    vd k[ROWS], t[ROWS];
    if (power == LUCID_ANY) {
        for (int i = 0; i < ROWS; i++) {
            row[i] = LUCID_NAME(term)(row[i], LUCID_ONE, job);
            t[i] = LUCID_NAME(log2_of)(row[i], &k[i]);
        }
        for (int i = 0; i < ROWS; i++) row[i] = LUCID_NAME(exp2_of)(row[i], k[i], t[i], job);
    } else {
        for (int i = 0; i < ROWS; i++) row[i] = LUCID_NAME(term)(row[i], power, job);
    }
}

/* ---- passes over float32 or float64 that lie side by side -------------------------------- */

INLINE vd LUCID_NAME(load_float)(const float *x) {
#if LUCID_VBYTES == 64 /* GCC makes four instructions of a convertvector of this width */
    return (vd)_mm512_cvtps_pd(_mm256_loadu_ps(x));
#elif LUCID_VBYTES == 32
    return (vd)_mm256_cvtps_pd(_mm_loadu_ps(x));
#else
    vf narrow;
    memcpy(&narrow, x, sizeof narrow);
    return __builtin_convertvector(narrow, vd);
#endif
}

INLINE vd LUCID_NAME(load_double)(const double *x) {
    vd wide;
    memcpy(&wide, x, sizeof wide);
    return wide;
}

static const uint64_t LUCID_NAME(last_lanes)[2 * LUCID_LANES] = {0, 0, 0, 0, 0, 0, 0, 0,
                                                                 ~0ull, ~0ull, ~0ull, ~0ull,
                                                                 ~0ull, ~0ull, ~0ull, ~0ull};


#define real float
#define bits_t uint32_t
#define MAGNITUDE 0x7fffffff
#define INFINITE 0x7f800000
#include "norms_real.h"

#define real double
#define bits_t uint64_t
#define MAGNITUDE 0x7fffffffffffffff
#define INFINITE 0x7ff0000000000000
#include "norms_real.h"

/* ---- float16 ----------------------------------------------------------------------------- */

INLINE float LUCID_NAME(widen)(uint16_t half) {
    uint32_t size = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t normal = size + (112u << 23) + (size >= (31u << 23) ? 112u << 23 : 0);
    uint32_t raised = size + (113u << 23); /* a subnormal, plus 2^-14 */
    float value, subnormal;
    memcpy(&subnormal, &raised, sizeof value);
    subnormal -= 0x1p-14f;
    memcpy(&raised, &subnormal, sizeof value);
    normal = (size < (1u << 23) ? raised : normal) | sign;
    memcpy(&value, &normal, sizeof value);
    return value;
}

/* Rounds a double to float16, once and to even: adding and subtracting 2^52 quanta of the result
 * leaves a whole number of them. */
INLINE uint16_t LUCID_NAME(narrow)(double wide) {
    const uint64_t exponent = 0x7ff0000000000000, smallest = (uint64_t)(1023 - 14) << 52;
    uint64_t bits, magic_bits;
    double magic, size;
    float exact;
    uint32_t half, sign;
    memcpy(&bits, &wide, sizeof bits);
    sign = (uint32_t)(bits >> 48) & 0x8000;
    bits &= ~((uint64_t)1 << 63);
    memcpy(&size, &bits, sizeof size);
    magic_bits = bits & exponent;
    magic_bits = (magic_bits < smallest ? smallest : magic_bits) + ((uint64_t)42 << 52);
    memcpy(&magic, &magic_bits, sizeof magic);
    exact = (float)(size < 0x1p17 ? (size + magic) - magic : 0x1p17);
    memcpy(&half, &exact, sizeof half);
    half = (half - (112u << 23)) >> 13;
    half = exact < 0x1p-14f ? (uint32_t)(int32_t)(exact * 0x1p24f) : half;
    half = exact >= 0x1p16f ? 0x7c00 : half;
    half = bits > exponent ? 0x7e00 : half;
    return (uint16_t)(half | sign);
}

static void LUCID_NAME(scale_half)(uint16_t *x, Py_ssize_t n, double factor) {
    for (Py_ssize_t i = 0; i < n; i++)
        x[i] = LUCID_NAME(narrow)(LUCID_NAME(widen)(x[i]) * factor);
}

static void LUCID_NAME(clamp_half)(uint16_t *x, Py_ssize_t n, double bound) {
    const uint16_t limit = LUCID_NAME(narrow)(bound);
    for (Py_ssize_t i = 0; i < n; i++) {
        uint16_t size = x[i] & 0x7fff;
        x[i] = (x[i] & 0x8000) | (size > limit && size <= 0x7c00 ? limit : size);
    }
}

/* ---- everything else becomes float64 in a small buffer ----------------------------------- */

/* |re + im i| without overflow or underflow on the way; an inf beside a number or an inf is inf. */
INLINE double LUCID_NAME(modulus)(double re, double im) {
    re = fabs(re);
    im = fabs(im);
    double large = re > im ? re : im, small = re > im ? im : re;
    double ratio = small == large ? 1.0 : small / large;
    return large * sqrt(1.0 + ratio * ratio);
}

/* NaN if a part is, else the larger one: finite exactly if both parts are, where a modulus may
 * overflow. */
INLINE double LUCID_NAME(larger_part)(double re, double im) {
    re = fabs(re);
    im = fabs(im);
    return im != im || re < im ? im : re;
}

/* Elements start ... start + count as doubles over the job's divisor. Returns how many doubles. */
static Py_ssize_t LUCID_NAME(stage)(const lucid_job *job, const lucid_view *view, Py_ssize_t start,
                                    Py_ssize_t count, lucid_form form, double *out) {
    double gathered[2 * LUCID_STAGE];
    const double divisor = job->divisor;
    const int is_complex = view->kind >= LUCID_C64;
    const char *source = view->data + start * lucid_itemsize[view->kind];
    if (view->axes) {
        lucid_copy(view, start, count, (char *)gathered, 0);
        source = (const char *)gathered;
    }
    const Py_ssize_t n = is_complex ? 2 * count : count;
    switch (view->kind) {
        case LUCID_F16:
            for (Py_ssize_t i = 0; i < n; i++) {
                uint16_t half;
                memcpy(&half, source + 2 * i, sizeof half);
                out[i] = LUCID_NAME(widen)(half);
            }
            break;
        case LUCID_F32:
        case LUCID_C64:
            for (Py_ssize_t i = 0; i < n; i++) {
                float single;
                memcpy(&single, source + 4 * i, sizeof single);
                out[i] = single;
            }
            break;
        default: memcpy(out, source, (size_t)n * sizeof *out);
    }
    if (divisor != 1.0)
        for (Py_ssize_t i = 0; i < n; i++) out[i] /= divisor;
    if (!is_complex || form == LUCID_PARTS) return n;
    if (form == LUCID_LARGER_PART)
        for (Py_ssize_t i = 0; i < count; i++)
            out[i] = LUCID_NAME(larger_part)(out[2 * i], out[2 * i + 1]);
    else if (view->kind == LUCID_C64 && divisor == 1.0)
        for (Py_ssize_t i = 0; i < count; i++)
            out[i] = sqrt(out[2 * i] * out[2 * i] + out[2 * i + 1] * out[2 * i + 1]);
    else
        for (Py_ssize_t i = 0; i < count; i++)
            out[i] = LUCID_NAME(modulus)(out[2 * i], out[2 * i + 1]);
    return count;
}

static void LUCID_NAME(measure_staged)(const lucid_job *job, const lucid_view *view,
                                       Py_ssize_t start, Py_ssize_t count, lucid_result *result) {
    double staged[2 * LUCID_STAGE];
    const lucid_form form = job->op == LUCID_COUNT ? LUCID_LARGER_PART
                            : job->power == LUCID_TWO ? LUCID_PARTS : LUCID_MODULUS;
    while (count > 0) {
        Py_ssize_t step = count < LUCID_STAGE ? count : LUCID_STAGE;
        Py_ssize_t n = LUCID_NAME(stage)(job, view, start, step, form, staged);
        switch (job->op) {
            case LUCID_SUM:
                LUCID_NAME(add_double)(staged, n, job->power, job, &result->powers);
                break;
            case LUCID_MAX: LUCID_NAME(max_double)(staged, n, result); break;
            case LUCID_COUNT: LUCID_NAME(count_double)(staged, n, result); break;
            default:
                LUCID_NAME(add_double)(staged, n, LUCID_TWO, job, &result->powers);
                LUCID_NAME(add_double)(staged, n, LUCID_SIGNED, job, &result->plain);
                if (n != step) {
                    LUCID_NAME(stage)(job, view, start, step, LUCID_MODULUS, staged);
                    LUCID_NAME(max_double)(staged, step, result);
                    LUCID_NAME(stage)(job, view, start, step, LUCID_LARGER_PART, staged);
                }
                LUCID_NAME(look_double)(staged, step, result);
        }
        start += step;
        count -= step;
    }
}


static void LUCID_NAME(change)(const lucid_job *job, lucid_kind kind, char *x, Py_ssize_t n) {
    const double factor = job->factor;
    const int scale = job->op == LUCID_SCALE;
    if (job->op == LUCID_ZERO) {
        memset(x, 0, (size_t)(n * lucid_itemsize[kind]));
        return;
    }
    if (kind >= LUCID_C64) n *= 2;
    if (kind == LUCID_F16)
        (scale ? LUCID_NAME(scale_half) : LUCID_NAME(clamp_half))((uint16_t *)x, n, factor);
    else if (kind == LUCID_F32 || kind == LUCID_C64)
        (scale ? LUCID_NAME(scale_float) : LUCID_NAME(clamp_float))((float *)x, n, factor);
    else
        (scale ? LUCID_NAME(scale_double) : LUCID_NAME(clamp_double))((double *)x, n, factor);
}

/* ---- what norms.h calls ------------------------------------------------------------------ */

INLINE void LUCID_NAME(clear)(lucid_op op, lucid_result *result) {
    const vd zero = {0};
    for (int i = 0; i < LUCID_LANES; i += WIDTH) {
        memcpy(result->powers.high + i, &zero, sizeof zero);
        memcpy(result->powers.low + i, &zero, sizeof zero);
        if (op == LUCID_STATS) {
            memcpy(result->plain.high + i, &zero, sizeof zero);
            memcpy(result->plain.low + i, &zero, sizeof zero);
        }
    }
    result->max = 0;
    result->zeros = result->nans = result->infs = 0;
}

INLINE void LUCID_NAME(merge_sums)(lucid_sum *into, const lucid_sum *from) {
    for (int i = 0; i < LUCID_LANES; i++) {
        lucid_add(&into->high[i], &into->low[i], from->high[i]);
        into->low[i] += from->low[i];
    }
}

static void LUCID_NAME(merge)(lucid_op op, lucid_result *into, const lucid_result *from) {
    if (op == LUCID_SUM || op == LUCID_STATS)
        LUCID_NAME(merge_sums)(&into->powers, &from->powers);
    if (op == LUCID_SUM) return;
    if (op == LUCID_STATS) LUCID_NAME(merge_sums)(&into->plain, &from->plain);
    if (from->max > into->max) into->max = from->max;
    into->zeros += from->zeros;
    into->nans += from->nans;
    into->infs += from->infs;
}

static void LUCID_NAME(run_piece)(const lucid_job *job, const lucid_view *view, Py_ssize_t start,
                                  Py_ssize_t count, lucid_result *result) {
    char *x = view->data + start * lucid_itemsize[view->kind];
    const lucid_kind kind = view->kind;
    if (job->op >= LUCID_SCALE) {
        double gathered[2 * LUCID_STAGE];
        if (!view->axes) {
            LUCID_NAME(change)(job, kind, x, count);
            return;
        }
        while (count > 0) {
            Py_ssize_t step = count < LUCID_STAGE ? count : LUCID_STAGE;
            lucid_copy(view, start, step, (char *)gathered, 0);
            LUCID_NAME(change)(job, kind, (char *)gathered, step);
            lucid_copy(view, start, step, (char *)gathered, 1);
            start += step;
            count -= step;
        }
        return;
    }
    LUCID_NAME(clear)(job->op, result);
    /* The sum of squares of complex elements is that of their parts. */
    const int parts = job->op == LUCID_SUM && job->power == LUCID_TWO && kind >= LUCID_C64;
    const int plain = !view->axes && job->divisor == 1.0 && (kind < LUCID_C64 || parts);
    if (plain && (kind == LUCID_F32 || kind == LUCID_C64))
        LUCID_NAME(measure_float)(job, (const float *)x, count << parts, result);
    else if (plain && kind != LUCID_F16)
        LUCID_NAME(measure_double)(job, (const double *)x, count << parts, result);
    else
        LUCID_NAME(measure_staged)(job, view, start, count, result);
}

static const lucid_level_t LUCID_NAME(level)[1] = {{LUCID_NAME(run_piece), LUCID_NAME(merge)}};

#undef vd
#undef vu
#undef vf
#undef INLINE
#undef WIDTH
#undef PARTS
#undef ROWS
#undef GROUP
#undef PREFETCH
#undef MADD
