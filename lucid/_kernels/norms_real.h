/* norms_real.h: the passes over float32 or float64 that lie side by side; norms_body.h includes it
 * for each, with `real`, `bits_t` (the unsigned integer of that size), MAGNITUDE (all its bits but
 * the sign) and INFINITE (the bits of inf).
 */
#define REAL(name) LUCID_NAME(LUCID_JOIN(name, real))

/* The last n < GROUP elements. Those that fill no row go to its last lanes: they are read together
 * with the ones in front, of which there are `before`, and those are masked away. */
INLINE void REAL(rest)(const real *x, Py_ssize_t n, Py_ssize_t before, lucid_power power,
                       const lucid_job *job, vd *total) {
    real padded[LUCID_LANES] = {0};
    for (int part = 0; part < PARTS; part++) total[part] = (vd){0};
    for (; n >= LUCID_LANES; n -= LUCID_LANES, x += LUCID_LANES, before += LUCID_LANES)
        for (int part = 0; part < PARTS; part++)
            total[part] += LUCID_NAME(term)(REAL(load)(x + part * WIDTH), power, job);
    if (n == 0) return;
    const uint64_t *mask = LUCID_NAME(last_lanes) + n;
    const Py_ssize_t in_front = LUCID_LANES - n;
    if (before < in_front) {
        for (Py_ssize_t i = 0; i < n; i++) padded[in_front + i] = x[i];
        x = padded;
    } else {
        x -= in_front;
    }
    for (int part = 0; part < PARTS; part++) {
        vu kept = (vu)LUCID_NAME(load_double)((const double *)mask + part * WIDTH);
        vd v = REAL(load)(x + part * WIDTH);
        total[part] += LUCID_NAME(term)((vd)((vu)v & kept), power, job);
    }
}

INLINE void REAL(sum)(const real *x, Py_ssize_t n, lucid_power power, const lucid_job *job,
                      lucid_sum *sum) {
    vd high[PARTS], low[PARTS], total[PARTS];
    for (int part = 0; part < PARTS; part++) {
        high[part] = LUCID_NAME(load_double)(sum->high + part * WIDTH);
        low[part] = LUCID_NAME(load_double)(sum->low + part * WIDTH);
    }
    for (Py_ssize_t done = 0; done < n; done += GROUP) {
        const real *group = x + done;
        if (n - done < GROUP) {
            REAL(rest)(group, n - done, done, power, job, total);
        } else {
            for (int line = 0; line < (int)(GROUP * sizeof(real)); line += 64)
                __builtin_prefetch((const char *)group + PREFETCH + line);
            for (int part = 0; part < PARTS; part++) {
                vd row[ROWS];
                for (int i = 0; i < ROWS; i++)
                    row[i] = REAL(load)(group + i * LUCID_LANES + part * WIDTH);
                LUCID_NAME(terms)(row, power, job);
                total[part] = ((row[0] + row[1]) + (row[2] + row[3])) +
                              ((row[4] + row[5]) + (row[6] + row[7]));
            }
        }
        for (int part = 0; part < PARTS; part++) { /* lucid_add, a vector at a time */
            vd next = high[part] + total[part], gain = next - high[part];
            low[part] += (high[part] - (next - gain)) + (total[part] - gain);
            high[part] = next;
        }
    }
    for (int part = 0; part < PARTS; part++) {
        memcpy(sum->high + part * WIDTH, &high[part], sizeof(vd));
        memcpy(sum->low + part * WIDTH, &low[part], sizeof(vd));
    }
}

static void REAL(add)(const real *x, Py_ssize_t n, lucid_power power, const lucid_job *job,
                      lucid_sum *sum) {
    switch (power) {
        case LUCID_SIGNED: REAL(sum)(x, n, LUCID_SIGNED, job, sum); break;
        case LUCID_ONE: REAL(sum)(x, n, LUCID_ONE, job, sum); break;
        case LUCID_TWO: REAL(sum)(x, n, LUCID_TWO, job, sum); break;
        case LUCID_THREE: REAL(sum)(x, n, LUCID_THREE, job, sum); break;
        default: REAL(sum)(x, n, LUCID_ANY, job, sum);
    }
}

static void REAL(max)(const real *x, Py_ssize_t n, lucid_result *result) {
    bits_t max = 0;
    real value;
    double wide;
    uint64_t bits;
    for (Py_ssize_t i = 0; i < n; i++) {
        bits_t b;
        memcpy(&b, x + i, sizeof b);
        b &= MAGNITUDE;
        max = b > max ? b : max;
    }
    memcpy(&value, &max, sizeof value);
    wide = value;
    memcpy(&bits, &wide, sizeof bits);
    if (bits > result->max) result->max = bits;
}

static void REAL(count)(const real *x, Py_ssize_t n, lucid_result *result) {
    int nans = 0, infs = 0; /* a piece is far smaller than an int can count */
    for (Py_ssize_t i = 0; i < n; i++) {
        bits_t b;
        memcpy(&b, x + i, sizeof b);
        b &= MAGNITUDE;
        nans += b > INFINITE;
        infs += b == INFINITE;
    }
    result->nans += nans;
    result->infs += infs;
}

/* All of it while the piece is in the first-level cache. */
static void REAL(look)(const real *x, Py_ssize_t n, lucid_result *result) {
    lucid_result here = {.max = 0};
    int zeros = 0;
    REAL(max)(x, n, &here);
    if (here.max >= 0x7ff0000000000000) REAL(count)(x, n, result);
    if (here.max > result->max) result->max = here.max;
    for (Py_ssize_t i = 0; i < n; i++) zeros += x[i] == 0;
    result->zeros += zeros;
}

/* In double, so that the product of a float32 element is rounded from 53 bits to 24. */
static void REAL(scale)(real *x, Py_ssize_t n, double factor) {
    for (Py_ssize_t i = 0; i < n; i++) x[i] = (real)(x[i] * factor);
}

static void REAL(clamp)(real *x, Py_ssize_t n, double bound) {
    const real limit = (real)bound;
    for (Py_ssize_t i = 0; i < n; i++) {
        real v = x[i] > limit ? limit : x[i]; /* a NaN is not larger: it stays */
        x[i] = v < -limit ? -limit : v;
    }
}

static void REAL(measure)(const lucid_job *job, const real *x, Py_ssize_t n,
                          lucid_result *result) {
    switch (job->op) {
        case LUCID_SUM: REAL(add)(x, n, job->power, job, &result->powers); return;
        case LUCID_MAX: REAL(max)(x, n, result); return;
        case LUCID_COUNT: REAL(count)(x, n, result); return;
        default: break;
    }
    while (n > 0) {
        Py_ssize_t step = n < LUCID_STAGE ? n : LUCID_STAGE;
        REAL(add)(x, step, LUCID_TWO, job, &result->powers);
        REAL(add)(x, step, LUCID_SIGNED, job, &result->plain);
        REAL(look)(x, step, result);
        x += step;
        n -= step;
    }
}

#undef REAL
#undef real
#undef bits_t
#undef MAGNITUDE
#undef INFINITE
