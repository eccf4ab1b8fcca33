/* rows_real.h: copies and parts of short rows, for one `real` type and one vector width.
 *
 * Rows of images are a few vectors long, or less than one: what matters is the rest of a row, and
 * that nothing is called for it. No include guard: included once per type and level.
 */

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
typedef real R(row) __attribute__((vector_size(LUCID_VBYTES)));

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

/* Of two vectors, every second element. */
ALWAYS_INLINE __m512i R(even)(void) {
#if LUCID_DOUBLE
    return _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
#else
    return _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
#endif
}

/* The same where the second vector starts one element early, to end with the last one needed. */
ALWAYS_INLINE __m512i R(even_then_odd)(void) {
#if LUCID_DOUBLE
    return _mm512_set_epi64(15, 13, 11, 9, 6, 4, 2, 0);
#else
    return _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 14, 12, 10, 8, 6, 4, 2, 0);
#endif
}

/* to[i] = from[2 * i] */
ALWAYS_INLINE void R(copy_every_second)(real *to, const real *from, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES, from += 2 * LANES)
        MASKED(storeu)(to + i, MASKED(permutex2var)(MASKED(loadu)(from), R(even_then_odd)(),
                                                    MASKED(loadu)(from + LANES - 1)));
    if (i < count) {
        const ptrdiff_t last = 2 * (count - i) - 1, low = last < LANES ? last : LANES;
        MASKED(mask_storeu)(to + i, MASK(count - i), MASKED(permutex2var)(
            MASKED(maskz_loadu)(MASK(low), from), R(even)(),
            MASKED(maskz_loadu)(MASK(last - low), from + LANES)));
    }
}

/* Lane i is from[i * stride] where begin <= i < end, else that of `other`. Nothing outside of
 * `first` to `last` is read. Away from these ends loads have no masks: some processors fetch memory
 * ahead only for those. */
ALWAYS_INLINE R(row) R(load_some)(const real *from, ptrdiff_t stride, ptrdiff_t begin,
                                  ptrdiff_t end, R(row) other, const real *first,
                                  const real *last) {
    const uint64_t one = 1, lanes = (one << end) - (one << begin);
    const int whole = from >= first && last - from >= 2 * LANES;
    if (begin >= end) return other;
    if (stride == 1)
        return (R(row))(whole ? MASKED(mask_mov)(other, lanes, MASKED(loadu)(from))
                              : MASKED(mask_loadu)(other, lanes, from));
    if (stride == 2) {
        const uint64_t read = (one << (2 * end - 1)) - (one << 2 * begin);
        R(row) low, high;
        if (whole)
            low = MASKED(loadu)(from), high = MASKED(loadu)(from + LANES);
        else
            low = MASKED(maskz_loadu)(read, from),
            high = MASKED(maskz_loadu)(read >> LANES, from + LANES);
        return (R(row))MASKED(mask_mov)(other, lanes,
                                        MASKED(permutex2var)(low, R(even)(), high));
    }
    for (ptrdiff_t i = begin; i < end; i++) other[i] = from[i * stride];
    return other;
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

ALWAYS_INLINE R(row) R(load_some)(const real *from, ptrdiff_t stride, ptrdiff_t begin,
                                  ptrdiff_t end, R(row) other, const real *first,
                                  const real *last) {
    (void)first, (void)last;
    for (ptrdiff_t i = begin; i < end; i++) other[i] = from[i * stride];
    return other;
}

#endif

#undef LANES
