/* optimizers_body.h: the update rules of one level, float and double from one source. */
#define RULE(name) LUCID_NAME(LUCID_JOIN(name, real))

#define real float
#define real_sqrt sqrtf
#define real_abs fabsf
#include "optimizers_rules.h"
#undef real
#undef real_sqrt
#undef real_abs

#define real double
#define real_sqrt sqrt
#define real_abs fabs
#include "optimizers_rules.h"
#undef real
#undef real_sqrt
#undef real_abs

#define BOTH(name) {LUCID_NAME(name##_float), LUCID_NAME(name##_double)}
static const lucid_rule LUCID_NAME(lucid_rules)[LUCID_RULES][2] = {
    [LUCID_SGD] = BOTH(sgd),           [LUCID_ADAM] = BOTH(adam),
    [LUCID_ADAMAX] = BOTH(adamax),     [LUCID_NADAM] = BOTH(nadam),
    [LUCID_RADAM] = BOTH(radam),       [LUCID_RMSPROP] = BOTH(rmsprop),
    [LUCID_ADAGRAD] = BOTH(adagrad),   [LUCID_ADADELTA] = BOTH(adadelta),
    [LUCID_ASGD] = BOTH(asgd),         [LUCID_RPROP] = BOTH(rprop),
    [LUCID_LION] = BOTH(lion),
};
#undef BOTH
#undef RULE
