/* optimizers_rules.h: the update rules for one dtype `real`, each a plain loop that vectorises.
 *
 * A rule reads and writes elements [start, stop) of one update in a single pass. Options that
 * change which arrays take part are constant arguments of an inlined loop, so that the loop holds
 * no branch; those that only change a value (weight decay, the sign of the gradient) stay in it
 * as coefficients, since memory is the limit and not arithmetic. Comparisons are written so that
 * NaN goes through.
 */
#define INLINE static inline __attribute__((always_inline))
#define COEFFICIENT(name) const real name = (real)u->name

/* A zero weight decay leaves the parameter out: it may be infinite. */
INLINE real RULE(regularized)(real g, real p, real scale, real weight_decay) {
    g *= scale;
    return weight_decay != 0 ? g + weight_decay * p : g;
}
#define GRADIENT(i) RULE(regularized)(g[i], p[i], scale, weight_decay)

/* a + weight (b - a), exact at both ends. */
INLINE real RULE(lerp)(real a, real b, real weight) {
    return weight < (real)0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}

INLINE real RULE(larger)(real a, real b) { return a > b || a != a ? a : b; }

INLINE real RULE(sign)(real x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

#define BEGIN                                                                     \
    real *p = u->param;                                                           \
    const real *g = u->grad;                                                      \
    COEFFICIENT(scale);                                                           \
    COEFFICIENT(weight_decay);                                                    \
    COEFFICIENT(lr)
#define EACH_ELEMENT LUCID_ELEMENTWISE for (ptrdiff_t i = start; i < stop; i++)

static void RULE(sgd)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *momentum = u->state[0];
    COEFFICIENT(beta1);
    COEFFICIENT(gain);
    COEFFICIENT(lookahead);
    if (!momentum) {
        EACH_ELEMENT p[i] -= lr * GRADIENT(i);
    } else if (u->variant) {
        EACH_ELEMENT {
            const real d = GRADIENT(i), average = beta1 * momentum[i] + gain * d;
            momentum[i] = average;
            p[i] -= lr * (d + lookahead * average);
        }
    } else {
        EACH_ELEMENT {
            const real average = beta1 * momentum[i] + gain * GRADIENT(i);
            momentum[i] = average;
            p[i] -= lr * average;
        }
    }
}

INLINE void RULE(adam_loop)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop,
                            const int amsgrad) {
    BEGIN;
    real *first = u->state[0], *second = u->state[1], *largest = u->state[2];
    COEFFICIENT(keep);
    COEFFICIENT(beta2);
    COEFFICIENT(correction);
    COEFFICIENT(eps);
    const real weight1 = (real)(1 - u->beta1), weight2 = (real)(1 - u->beta2);
    EACH_ELEMENT {
        const real d = GRADIENT(i);
        const real m = RULE(lerp)(first[i], d, weight1);
        real v = beta2 * second[i] + weight2 * d * d;
        first[i] = m;
        second[i] = v;
        if (amsgrad) largest[i] = v = RULE(larger)(largest[i], v);
        p[i] = keep * p[i] - lr * m / (real_sqrt(v) * correction + eps);
    }
}

static void RULE(adam)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    if (u->state[2]) RULE(adam_loop)(u, start, stop, 1);
    else RULE(adam_loop)(u, start, stop, 0);
}

static void RULE(adamax)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *first = u->state[0], *infinity = u->state[1];
    COEFFICIENT(beta2);
    COEFFICIENT(eps);
    const real weight1 = (real)(1 - u->beta1);
    EACH_ELEMENT {
        const real d = GRADIENT(i);
        const real m = RULE(lerp)(first[i], d, weight1);
        const real norm = RULE(larger)(beta2 * infinity[i], real_abs(d) + eps);
        first[i] = m;
        infinity[i] = norm;
        p[i] -= lr * m / norm;
    }
}

static void RULE(nadam)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *first = u->state[0], *second = u->state[1];
    COEFFICIENT(keep);
    COEFFICIENT(momentum_lr);
    COEFFICIENT(beta2);
    COEFFICIENT(correction);
    COEFFICIENT(eps);
    const real weight1 = (real)(1 - u->beta1), weight2 = (real)(1 - u->beta2);
    EACH_ELEMENT {
        const real d = GRADIENT(i);
        const real m = RULE(lerp)(first[i], d, weight1);
        const real v = beta2 * second[i] + weight2 * d * d;
        first[i] = m;
        second[i] = v;
        p[i] = keep * p[i] - (lr * d + momentum_lr * m) / (real_sqrt(v) * correction + eps);
    }
}

INLINE void RULE(radam_loop)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop,
                             const int rectified) {
    BEGIN;
    real *first = u->state[0], *second = u->state[1];
    COEFFICIENT(keep);
    COEFFICIENT(beta2);
    COEFFICIENT(eps);
    const real weight1 = (real)(1 - u->beta1), weight2 = (real)(1 - u->beta2);
    EACH_ELEMENT {
        const real d = GRADIENT(i);
        const real m = RULE(lerp)(first[i], d, weight1);
        const real v = beta2 * second[i] + weight2 * d * d;
        first[i] = m;
        second[i] = v;
        p[i] = keep * p[i] - (rectified ? lr * m / (real_sqrt(v) + eps) : lr * m);
    }
}

static void RULE(radam)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    if (u->variant) RULE(radam_loop)(u, start, stop, 1);
    else RULE(radam_loop)(u, start, stop, 0);
}

INLINE void RULE(rmsprop_loop)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop,
                               const int centered, const int with_momentum) {
    BEGIN;
    real *second = u->state[0], *mean = u->state[1], *momentum = u->state[2];
    COEFFICIENT(beta1);
    COEFFICIENT(beta2);
    COEFFICIENT(eps);
    const real weight2 = (real)(1 - u->beta2);
    EACH_ELEMENT {
        const real d = GRADIENT(i);
        real v = beta2 * second[i] + weight2 * d * d;
        second[i] = v;
        if (centered) {
            const real m = RULE(lerp)(mean[i], d, weight2);
            mean[i] = m;
            v -= m * m;
            v = v < 0 ? 0 : v; /* a variance: only rounding can take it below zero */
        }
        const real root = real_sqrt(v) + eps;
        if (with_momentum) {
            const real average = beta1 * momentum[i] + d / root;
            momentum[i] = average;
            p[i] -= lr * average;
        } else {
            p[i] -= lr * d / root;
        }
    }
}

static void RULE(rmsprop)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    if (u->state[1] && u->state[2]) RULE(rmsprop_loop)(u, start, stop, 1, 1);
    else if (u->state[1]) RULE(rmsprop_loop)(u, start, stop, 1, 0);
    else if (u->state[2]) RULE(rmsprop_loop)(u, start, stop, 0, 1);
    else RULE(rmsprop_loop)(u, start, stop, 0, 0);
}

static void RULE(adagrad)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *sum = u->state[0];
    COEFFICIENT(eps);
    EACH_ELEMENT {
        const real d = GRADIENT(i), total = sum[i] + d * d;
        sum[i] = total;
        p[i] -= lr * d / (real_sqrt(total) + eps);
    }
}

static void RULE(adadelta)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *second = u->state[0], *moved = u->state[1];
    COEFFICIENT(beta2);
    COEFFICIENT(eps);
    const real weight2 = (real)(1 - u->beta2);
    EACH_ELEMENT {
        const real d = GRADIENT(i);
        const real v = beta2 * second[i] + weight2 * d * d;
        const real change = real_sqrt(moved[i] + eps) / real_sqrt(v + eps) * d;
        second[i] = v;
        moved[i] = beta2 * moved[i] + weight2 * change * change;
        p[i] -= lr * change;
    }
}

static void RULE(asgd)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *mean = u->state[0];
    COEFFICIENT(keep);
    COEFFICIENT(gain);
    EACH_ELEMENT {
        const real moved = keep * p[i] - lr * GRADIENT(i);
        mean[i] = gain != 1 ? mean[i] + gain * (moved - mean[i]) : moved;
        p[i] = moved;
    }
}

static void RULE(rprop)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *previous = u->state[0], *step = u->state[1];
    COEFFICIENT(beta1);
    COEFFICIENT(beta2);
    COEFFICIENT(lower);
    COEFFICIENT(upper);
    EACH_ELEMENT {
        const real d = GRADIENT(i), agreement = d * previous[i];
        const real factor = agreement > 0 ? beta2 : agreement < 0 ? beta1 : 1 + agreement;
        const real taken = agreement < 0 ? 0 : d;
        real s = step[i] * factor;
        s = s < lower ? lower : s;
        s = s > upper ? upper : s;
        step[i] = s;
        previous[i] = taken;
        p[i] -= RULE(sign)(taken) * s;
    }
    (void)lr;
}

static void RULE(lion)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop) {
    BEGIN;
    real *average = u->state[0];
    COEFFICIENT(keep);
    COEFFICIENT(beta1);
    COEFFICIENT(beta2);
    const real weight1 = (real)(1 - u->beta1), weight2 = (real)(1 - u->beta2);
    EACH_ELEMENT {
        const real d = GRADIENT(i), m = average[i];
        p[i] = keep * p[i] - lr * RULE(sign)(beta1 * m + weight1 * d);
        average[i] = beta2 * m + weight2 * d;
    }
}

#undef INLINE
#undef COEFFICIENT
#undef GRADIENT
#undef BEGIN
#undef EACH_ELEMENT
