/* rows_real.h: copies and parts of short rows, for one `real` type and one vector width.
 *
 * Rows of images are a few vectors long, or less than one: what matters is the rest of a row, and
 * that nothing is called for it. No include guard: included once per type and level.
 */

#define LANES ((ptrdiff_t)(LUCID_VBYTES / sizeof(real)))
typedef real R(row) __attribute__((vector_size(LUCID_VBYTES)));
typedef real R(row_at) __attribute__((vector_size(LUCID_VBYTES), aligned(sizeof(real)), may_alias));
typedef bits R(row_bits) __attribute__((vector_size(LUCID_VBYTES)));

/* Of two vectors, every second element, from the first one or the second one on. */
#if LUCID_VBYTES == 64 && !LUCID_DOUBLE
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif LUCID_VBYTES == 64 || LUCID_VBYTES == 32 && !LUCID_DOUBLE
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15
#elif LUCID_VBYTES == 32 || !LUCID_DOUBLE
#define EVENS 0, 2, 4, 6
#define ODDS 1, 3, 5, 7
#else
#define EVENS 0, 2
#define ODDS 1, 3
#endif
ALWAYS_INLINE R(row) R(evens)(R(row) x, R(row) y) { return SHUFFLE(R(row_bits), x, y, EVENS); }
ALWAYS_INLINE R(row) R(odds)(R(row) x, R(row) y) { return SHUFFLE(R(row_bits), x, y, ODDS); }
#undef EVENS
#undef ODDS

/* The number of each lane. */
ALWAYS_INLINE R(row_bits) R(lanes)(void) {
    R(row_bits) lanes;
    for (int l = 0; l < LANES; l++) lanes[l] = l;
    return lanes;
}

#if LUCID_VBYTES == 64

#if LUCID_DOUBLE
#define TWICE 0, 0, 1, 1, 2, 2, 3, 3
#define MASKED(operation) _mm512_##operation##_pd
#define MASK(count) ((__mmask8)(((uint32_t)1 << (count)) - 1))
#else
#define TWICE 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
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

/* Every second element, where the second vector starts one element early, to end with the last one
 * needed. */
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
        const R(row) x = MASKED(maskz_loadu)(MASK(low), from);
        const R(row) y = MASKED(maskz_loadu)(MASK(last - low), from + LANES);
        MASKED(mask_storeu)(to + i, MASK(count - i), R(evens)(x, y));
    }
}

/* to[2 * i] = from[i] */
ALWAYS_INLINE void R(copy_to_every_second)(real *to, const real *from, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i += LANES / 2) {
        const ptrdiff_t left = count - i < LANES / 2 ? count - i : LANES / 2;
        const R(row) x = MASKED(maskz_loadu)(MASK(left), from + i);
        MASKED(mask_storeu)(to + 2 * i, MASK(2 * left) & 0x5555,
                            SHUFFLE(R(row_bits), x, x, TWICE));
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
        return (R(row))MASKED(mask_mov)(other, lanes, R(evens)(low, high));
    }
    for (ptrdiff_t i = begin; i < end; i++) other[i] = from[i * stride];
    return other;
}

#undef TWICE
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

ALWAYS_INLINE void R(copy_to_every_second)(real *to, const real *from, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) to[2 * i] = from[i];
}

ALWAYS_INLINE R(row) R(load_some)(const real *from, ptrdiff_t stride, ptrdiff_t begin,
                                  ptrdiff_t end, R(row) other, const real *first,
                                  const real *last) {
    if (stride <= 2 && from >= first && last - from >= 2 * LANES) {
        R(row) x = *(const R(row_at) *)from;
        if (stride == 2) x = R(evens)(x, *(const R(row_at) *)(from + LANES));
        const R(row_bits) inside = (R(lanes)() >= (bits)begin) & (R(lanes)() < (bits)end);
        return (R(row))((inside & (R(row_bits))x) | (~inside & (R(row_bits))other));
    }
    for (ptrdiff_t i = begin; i < end; i++) other[i] = from[i * stride];
    return other;
}

#endif

#undef LANES
