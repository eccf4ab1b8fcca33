/* vector_math.h: exp, log, tanh, erf and relatives as straight-line code that compilers vectorise.
 *
 * Each function is a scalar one without a branch, a table or a call: inlined into a plain loop it
 * becomes vector code at every level, and the few elements left over at the end of a loop run
 * through the same operations, so a result never depends on the position of its element. The
 * polynomials are minimax fits of relative error, made for the function they serve. Everything is
 * within 2 ulp and right at +-0, +-inf, NaN and subnormals.
 *
 * Fused multiply-adds are explicit (the build contracts nothing by itself). A level without the
 * instruction multiplies and adds.
 *
 * Included for each real type (each_real.h), hence no include guard.
 */
#include <math.h>
#include <stdint.h>

#ifndef LUCID_VECTOR_MATH
#define LUCID_VECTOR_MATH
#define LUCID_INLINE static inline __attribute__((always_inline))

/* "Iterations are independent": lets an output be the input itself. */
#ifdef __clang__
#define LUCID_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define LUCID_LOOP _Pragma("GCC ivdep")
#endif

/* A polynomial by Horner's rule, the coefficient of x^0 first. */
#define POLY(x, ...)                                                                              \
    R(horner)(x, (const real[]){__VA_ARGS__}, sizeof((real[]){__VA_ARGS__}) / sizeof(real))
#endif

#undef MANTISSA
#undef BIAS
#undef LUCID_UNSIGNED
#undef LN2_HIGH
#undef LN2_LOW
#undef LOG10_2_HIGH
#undef LOG10_2_LOW
#undef ERF_SPLIT
#define MANTISSA (LUCID_DOUBLE ? 52 : 23)
#define BIAS (LUCID_DOUBLE ? 1023 : 127)
#if LUCID_DOUBLE
#define LUCID_UNSIGNED(b) ((uint64_t)(b))
#else
#define LUCID_UNSIGNED(b) ((uint32_t)(b))
#endif
/* In two parts, the high one short enough that an exponent times it is exact. */
#define LN2_HIGH ((real)(LUCID_DOUBLE ? 0x1.62e42fefa3p-1 : 0x1.62ep-1))
#define LN2_LOW ((real)(LUCID_DOUBLE ? 0x1.3de6af278ece6p-42 : 0x1.0bfbe8p-15))
#define LOG10_2_HIGH ((real)(LUCID_DOUBLE ? 0x1.34413509f7p-2 : 0x1.344p-2))
#define LOG10_2_LOW ((real)(LUCID_DOUBLE ? 0x1.3fde623e2566bp-43 : 0x1.3509f8p-18))

LUCID_INLINE real R(fma)(real a, real b, real c) {
#if LUCID_VBYTES > 16 || defined(__aarch64__)
    return LUCID_DOUBLE ? (real)__builtin_fma(a, b, c) : (real)__builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

LUCID_INLINE real R(horner)(real x, const real *coefficients, size_t count) {
    real y = coefficients[count - 1];
#ifdef __clang__
    _Pragma("clang loop unroll(full)")
#else
    _Pragma("GCC unroll 32")
#endif
    for (size_t i = count - 1; i-- > 0;) y = R(fma)(y, x, coefficients[i]);
    return y;
}

LUCID_INLINE bits R(bits_of)(real x) {
    bits b;
    memcpy(&b, &x, sizeof b);
    return b;
}

LUCID_INLINE real R(real_of)(bits b) {
    real x;
    memcpy(&x, &b, sizeof x);
    return x;
}

LUCID_INLINE real R(abs)(real x) {
    return LUCID_DOUBLE ? (real)__builtin_fabs(x) : __builtin_fabsf((float)x);
}

LUCID_INLINE real R(sqrt)(real x) {
    return LUCID_DOUBLE ? (real)__builtin_sqrt(x) : __builtin_sqrtf(x);
}

LUCID_INLINE real R(copysign)(real x, real sign) {
    return LUCID_DOUBLE ? (real)__builtin_copysign(x, sign) : __builtin_copysignf(x, sign);
}

/* Clips from above and lets NaN pass. */
LUCID_INLINE real R(at_most)(real x, real limit) { return x > limit ? limit : x; }

/* 2^k for k in the range of normal numbers. */
LUCID_INLINE real R(power_of_2)(bits k) {
    return R(real_of)((bits)(LUCID_UNSIGNED(k + BIAS) << MANTISSA));
}

/* exp(x) = 2^k (1 + p) with |p| < 0.42: Cody-Waite reduction, p = expm1 of the remainder.
 * Adding 1.5 * 2^mantissa rounds to an integer and leaves it in the low bits. */
LUCID_INLINE real R(exp_parts)(real x, bits *k) {
    const real shift = LUCID_DOUBLE ? 0x1.8p52 : 0x1.8p23f;
    real shifted = R(fma)(x, LUCID_DOUBLE ? 0x1.71547652b82fep+0 : 0x1.715476p+0f, shift);
    real n = shifted - shift;
    *k = R(bits_of)(shifted) - R(bits_of)(shift);
    real r = R(fma)(n, -LN2_HIGH, x);
    r = R(fma)(n, -LN2_LOW, r);
    real q = LUCID_DOUBLE
        ? POLY(r, 0x1.0000000000000p-1, 0x1.5555555555559p-3, 0x1.555555555553ep-5,
               0x1.111111110f673p-7, 0x1.6c16c16c1f274p-10, 0x1.a01a01b0020a8p-13,
               0x1.a01a017b5dcd0p-16, 0x1.71ddf7fe1cf7bp-19, 0x1.27e5369c8be64p-22,
               0x1.af5f68f12b5bdp-26, 0x1.1ee884c7bd76bp-29)
        : POLY(r, 0x1p-1, 0x1.555554p-3, 0x1.5554b0p-5, 0x1.11118ap-7, 0x1.6d7348p-10,
               0x1.a03324p-13);
    return R(fma)(r * r, q, r);
}

/* exp(x) for x <= 0, subnormal results included: 2^k is taken too large, then brought down. */
LUCID_INLINE real R(exp_negative)(real x) {
    const real lowest = LUCID_DOUBLE ? -746 : -104.5f;
    bits k;
    real p = R(exp_parts)(x < lowest ? lowest : x, &k);
    return (p + 1) * R(power_of_2)(k + (LUCID_DOUBLE ? 512 : 64))
         * (LUCID_DOUBLE ? 0x1p-512 : 0x1p-64f);
}

LUCID_INLINE real R(exp)(real x) {
    const real highest = LUCID_DOUBLE ? 710 : 89, lowest = LUCID_DOUBLE ? -746 : -104.5f;
    bits k;
    real p = R(exp_parts)(R(at_most)(x < lowest ? lowest : x, highest), &k);
    /* Two factors, since 2^k itself may be subnormal or too large; the second one rounds once. */
    bits half = (bits)((LUCID_UNSIGNED(k + 2 * BIAS + 2)) >> 1) - (BIAS + 1);
    return (p + 1) * R(power_of_2)(half) * R(power_of_2)(k - half);
}

LUCID_INLINE real R(expm1)(real x) {
    const real highest = LUCID_DOUBLE ? 710 : 89, lowest = LUCID_DOUBLE ? -40 : -20;
    bits k;
    real p = R(exp_parts)(R(at_most)(x < lowest ? lowest : x, highest), &k);
    real half = R(power_of_2)(k - 1);   /* 2^k may be too large where 2^k (1 + p) is not */
    real y = 2 * R(fma)(half, p, half - (real)0.5);
    return R(abs)(x) < (LUCID_DOUBLE ? 0x1p-54 : 0x1p-25f) ? x : y;
}

/* x = 2^e (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), for positive x. */
LUCID_INLINE real R(log_parts)(real x, real *e) {
    const real shift = LUCID_DOUBLE ? 0x1p52 : 0x1p23f;
    const bits root = R(bits_of)(LUCID_DOUBLE ? 0x1.6a09e667f3bcdp-1 : 0x1.6a09e6p-1f);
    int subnormal = x < (LUCID_DOUBLE ? 0x1p-1022 : 0x1p-126f);
    bits b = R(bits_of)(subnormal ? x * shift : x);
    bits biased =
        (bits)((LUCID_UNSIGNED(b) - LUCID_UNSIGNED(root - ((bits)BIAS << MANTISSA))) >> MANTISSA);
    *e = R(real_of)(biased + R(bits_of)(shift)) - (shift + BIAS);
    *e = subnormal ? *e - MANTISSA : *e;
    return R(real_of)((bits)(LUCID_UNSIGNED(b) - (LUCID_UNSIGNED(biased - BIAS) << MANTISSA))) - 1;
}

/* log(1 + f) = f - rest, by the series of atanh in s = f / (2 + f). `rest` is
 * f^2/2 - s (f^2/2 + ..), small beside f, so that its rounding hardly counts. `low` is added
 * where it is lost least. */
LUCID_INLINE real R(log_rest)(real f, real low) {
    real s = f / (2 + f), z = s * s, half_square = (real)0.5 * f * f;
    real series = z * (LUCID_DOUBLE
        ? POLY(z, 0x1.5555555555592p-1, 0x1.999999997fdbbp-2, 0x1.24924941f0fc1p-2,
                0x1.c71c520973e6dp-3, 0x1.74663ee59fe86p-3, 0x1.39a1bad3ac717p-3,
                0x1.2f0563fa812a7p-3)
        : POLY(z, 0x1.55557ap-1, 0x1.995ebap-2, 0x1.31e2e8p-2));
    return half_square - R(fma)(s, half_square + series, low);
}

/* log(0) = -inf, log(negative) = NaN, log(inf) = inf: what the formulas for finite x > 0 miss. */
LUCID_INLINE real R(log_edges)(real x, real y) {
    y = x > 0 ? y : x == 0 ? (real)-INFINITY : (real)NAN;
    return x < (real)INFINITY ? y : x;
}

LUCID_INLINE real R(log)(real x) {
    real e, f = R(log_parts)(x, &e);
    real rest = R(log_rest)(f, e * LN2_LOW);
    return R(log_edges)(x, e * LN2_HIGH - (rest - f));
}

LUCID_INLINE real R(log2)(real x) {
    const real high = LUCID_DOUBLE ? 0x1.71547652b82fep+0 : 0x1.715476p+0f;
    const real low = LUCID_DOUBLE ? 0x1.777d0ffda0d24p-56 : 0x1.4ae0cp-26f;
    real e, f = R(log_parts)(x, &e), l = f - R(log_rest)(f, 0);
    return R(log_edges)(x, R(fma)(l, high, R(fma)(l, low, e)));
}

LUCID_INLINE real R(log10)(real x) {
    const real high = LUCID_DOUBLE ? 0x1.bcb7b1526e50ep-2 : 0x1.bcb7b2p-2f;
    const real low = LUCID_DOUBLE ? 0x1.95355baaafad3p-57 : -0x1.5b2358p-27f;
    real e, f = R(log_parts)(x, &e), l = f - R(log_rest)(f, 0);
    real tail = R(fma)(l, low, e * LOG10_2_LOW);
    real y = R(fma)(e, LOG10_2_HIGH, R(fma)(l, high, tail));
    return R(log_edges)(x, y);
}

LUCID_INLINE real R(log1p)(real x) {
    real u = 1 + x, e, f = R(log_parts)(u, &e);
    real lost = x < 1 ? x - (u - 1) : 1 - (u - x);   /* what 1 + x rounded away */
    f = e == 0 ? x : f;
    real low = R(fma)(e, LN2_LOW, e == 0 ? 0 : lost / u);
    real y = e * LN2_HIGH - (R(log_rest)(f, low) - f);
    y = R(log_edges)(u, y);
    return R(abs)(x) < (LUCID_DOUBLE ? 0x1p-54 : 0x1p-25f) ? x : y;
}

/* h / (1 + h) with h = expm1(2 |x|) / 2; where h is small, h - h^2 / (1 + h) rounds less. */
LUCID_INLINE real R(tanh)(real x) {
    bits k;
    real p = R(exp_parts)(2 * R(at_most)(R(abs)(x), LUCID_DOUBLE ? 20 : 10), &k);
    real half = R(power_of_2)(k - 1), h = R(fma)(half, p, half - (real)0.5), y = h / (1 + h);
    y = h < (real)0.5 ? R(fma)(-h, y, h) : y;
    y = R(abs)(x) < (LUCID_DOUBLE ? 0x1p-28 : 0x1p-13f) ? x : y;   /* h may be subnormal */
    return R(copysign)(y, x);
}

/* With z = exp(-|x|), which cannot overflow, 1 / (1 + z) on the right and z / (1 + z) on the left,
 * each as one minus the other: that rounds less. */
LUCID_INLINE real R(sigmoid)(real x) {
    real z = R(exp_negative)(-R(abs)(x)), largest = x < 0 ? z : 1;
    return R(fma)(-largest, z / (1 + z), largest);
}

#define ERF_SPLIT ((real)0.9)

/* erf(x) for |x| < ERF_SPLIT. */
LUCID_INLINE real R(erf_small)(real x) {
    real z = x * x;
    real p = LUCID_DOUBLE
        ? POLY(z, 0x1.06eba8214db69p-3, -0x1.812746b0379e2p-2, 0x1.ce2f21a0427e1p-4,
                 -0x1.b82ce31271dd2p-6, 0x1.565bcd0a31b93p-8, -0x1.c02db3140b5fcp-11,
                 0x1.f9a30627cd7c1p-14, -0x1.f4cf5935c355cp-17, 0x1.b9b75e535359fp-20,
                 -0x1.5d835f0ccfc6fp-23, 0x1.e29e4bf2d1fd0p-27, -0x1.d24b45758ac8ap-31)
        : POLY(z, 0x1.06eba6p-3, -0x1.8126fap-2, 0x1.ce1dd2p-4, -0x1.b6bee4p-6, 0x1.4876d0p-8,
                -0x1.3f4f84p-11);
    return R(fma)(x, p, x);
}

/* 1 - erf(a) = exp(-q(a)) for a >= ERF_SPLIT, up to where erf(a) rounds to 1. */
LUCID_INLINE real R(erfc_large)(real a) {
    a = R(at_most)(a, LUCID_DOUBLE ? 6 : 4);
    real q = LUCID_DOUBLE
        ? POLY(a, -0x1.dd9bdb06b0a01p-27, 0x1.20dd784307121p+0, 0x1.45f2dc7154a3ap-1,
                 0x1.a4fa4c25d621fp-4, -0x1.39a47f9c14e25p-6, -0x1.748b106123856p-13,
                 0x1.aef921fdce84bp-10, -0x1.118380476a75ap-11, -0x1.858c696208474p-15,
                 0x1.096d67835a51ap-13, -0x1.32824bdb57feep-14, 0x1.d37014cbb4aa5p-16,
                 -0x1.0dda6c83a3684p-17, 0x1.eac8c70794138p-20, -0x1.629cfb20959ebp-22,
                 0x1.9450b4819d9ccp-25, -0x1.648fd97427b74p-28, 0x1.d593fdd4a4976p-32,
                 -0x1.b29df2460455fp-36, 0x1.f81e76f40f27dp-41, -0x1.137ba80ebc4e1p-46)
        : POLY(a, -0x1.8195320p-13, 0x1.212adcp+0, 0x1.4439c0p-1, 0x1.bbf25ap-4, -0x1.9cb110p-6,
                0x1.131a62p-8, -0x1.cd67e8p-12, 0x1.6a11c2p-16);
    return R(exp_negative)(-q);
}

LUCID_INLINE real R(erf)(real x) {
    real a = R(abs)(x), large = 1 - R(erfc_large)(a);
    return R(copysign)(a < ERF_SPLIT ? R(erf_small)(a) : large, x);
}

/* exp(-x^2 / 2) and the standard normal distribution function at x, without cancellation at
 * negative x: there it is exp(-x^2 / 2) erfcx(-x / sqrt(2)) / 2, and the scaled complementary
 * error function t P(t), t = 1 / (1 + c a), is smooth. */
LUCID_INLINE real R(normal)(real x, real *bell) {
    const real c = (real)(LUCID_DOUBLE ? 0x1.3333333333333p-2 : 0x1.666666p-2);
    real a = R(abs)(x) * (real)0x1.6a09e667f3bcdp-1;
    real t = 1 / R(fma)(c, R(at_most)(a, LUCID_DOUBLE ? 27 : 9.5f), 1);
    real half_erfcx = (real)0.5 * t * (LUCID_DOUBLE
        ? POLY(t, 0x1.5aa35937a0ae0p-3, 0x1.5aa3595ddfd3cp-3, 0x1.4b0a0f6c452fep-3,
               0x1.2bd7ddbb6033bp-3, 0x1.fe4521ffd5ee2p-4, 0x1.92ac489ad0faep-4,
               0x1.1d4e3eabc15b8p-4, 0x1.7ea62e2f454dcp-5, 0x1.0f48d902d120cp-7,
               0x1.ab8670f3c9dbcp-5, -0x1.0e9bc5f5ecd00p-3, 0x1.20fa72f70a51bp-2,
               -0x1.060b454f913b3p-1, 0x1.65496c626e3adp-1, -0x1.741bdc3dc4eddp-1,
               0x1.150a0fe134bcdp-1, -0x1.ea46cbe46c1a3p-3, 0x1.1e24770e4373ep-6,
               0x1.8ba9d6673ca99p-5, -0x1.f2907b4b3bed8p-6, 0x1.0f3612fa88f57p-7,
               -0x1.dc3ee81282801p-11)
        : POLY(t, 0x1.9474b4p-3, 0x1.93933cp-3, 0x1.82194ap-3, 0x1.300a1ep-3, 0x1.3a602cp-3,
               0x1.2e54dcp-4, -0x1.9b0dd4p-7, 0x1.5d4de0p-3, -0x1.3c57c6p-3, 0x1.341344p-5));
    *bell = R(exp_negative)((real)-0.5 * x * x);
    real upper = *bell * half_erfcx;
    return x < 0 ? upper : 1 - upper;
}

/* log(1 + exp(x)), through exp(-|x|) so that nothing overflows. */
LUCID_INLINE real R(softplus)(real x) {
    real z = R(exp_negative)(-R(abs)(x));
    int above = z > (real)0.41421356;          /* then 1 + z = 2 (1 + f), else 1 + z = 1 + f */
    real f = above ? (real)0.5 * (z - 1) : z;
    real y = (above ? LN2_HIGH : 0) - (R(log_rest)(f, above ? LN2_LOW : 0) - f);
    return (x > 0 ? x : 0) + y;
}
