/* rows_real.h: copies of short rows, for one `real` type and one vector width.
 *
 * Rows of images are a few vectors long, or less than one: what matters is the rest of a row, and
 * that nothing is called for it. No include guard: included once per type and level.
 */

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))

#if LUCID_VBYTES == 64

#if LUCID_DOUBLE
#define MASKED(operation) _mm512_##operation##_pd
#define MASK(count) ((__mmask8)(((uint32_t)1 << (count)) - 1))
#else
#define MASKED(operation) _mm512_##operation##_ps
#define MASK(count) ((__mmask16)(((uint32_t)1 << (count)) - 1))
#endif

ALWAYS_INLINE void R(copy)(real *to, const real *from, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES) MASKED(storeu)(to + i, MASKED(loadu)(from + i));
    if (i < count)
        MASKED(mask_storeu)(to + i, MASK(count - i), MASKED(maskz_loadu)(MASK(count - i), from + i));
}

ALWAYS_INLINE void R(clear)(real *to, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES) MASKED(storeu)(to + i, MASKED(setzero)());
    if (i < count) MASKED(mask_storeu)(to + i, MASK(count - i), MASKED(setzero)());
}

/* to[i] = from[2 * i] */
ALWAYS_INLINE void R(copy_every_second)(real *to, const real *from, ptrdiff_t count) {
#if LUCID_DOUBLE
    const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
#else
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
#endif
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const ptrdiff_t left = count - i < LANES ? count - i : LANES, last = 2 * left - 1;
        const ptrdiff_t low = last < LANES ? last : LANES;
        MASKED(mask_storeu)(to + i, MASK(left), MASKED(permutex2var)(
            MASKED(maskz_loadu)(MASK(low), from + 2 * i), even,
            MASKED(maskz_loadu)(MASK(last - low), from + 2 * i + low)));
    }
}

#undef MASKED
#undef MASK

#else

ALWAYS_INLINE void R(copy)(real *to, const real *from, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) to[i] = from[i];
}

ALWAYS_INLINE void R(clear)(real *to, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) to[i] = 0;
}

ALWAYS_INLINE void R(copy_every_second)(real *to, const real *from, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) to[i] = from[2 * i];
}

#endif

#undef LANES
