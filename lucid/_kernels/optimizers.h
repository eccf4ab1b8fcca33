/* optimizers.h: the work item of the optimizer kernels and the table of their update rules. */
#ifndef LUCID_OPTIMIZERS_H
#define LUCID_OPTIMIZERS_H

#include <math.h>
#include <stddef.h>

/* One parameter's update. The arrays are contiguous, of one dtype and one size. A coefficient has
 * the meaning of its name; a rule reads those it needs and the others are unset. */
typedef struct lucid_update {
    void *param;
    const void *grad;
    void *state[3];      /* in the order of the rule; NULL where an option leaves one out */
    ptrdiff_t start;     /* where its elements begin in the concatenation of all parameters */
    ptrdiff_t size;
    double scale;        /* multiplies the gradient; negative to maximize */
    double weight_decay; /* times the parameter, is added to the gradient */
    double keep;         /* multiplies the parameter: decoupled weight decay */
    double lr;           /* the learning rate, with every correction that all elements share */
    double momentum_lr;  /* NAdam: the same for its first average */
    double beta1, beta2; /* decay rates of the averages; SGD, RMSprop: momentum in beta1 */
    double gain;         /* SGD: the gradient's share in the momentum; ASGD: the average's mu */
    double lookahead;    /* SGD: Nesterov's momentum */
    double correction;   /* multiplies the root of the second moment */
    double eps;
    double lower, upper; /* Rprop: bounds of the step sizes */
    int variant;         /* SGD: nesterov; RAdam: rectified */
    void (*apply)(const struct lucid_update *u, ptrdiff_t start, ptrdiff_t stop);
} lucid_update;

typedef void (*lucid_rule)(const lucid_update *u, ptrdiff_t start, ptrdiff_t stop);

enum {
    LUCID_SGD, LUCID_ADAM, LUCID_ADAMAX, LUCID_NADAM, LUCID_RADAM, LUCID_RMSPROP, LUCID_ADAGRAD,
    LUCID_ADADELTA, LUCID_ASGD, LUCID_RPROP, LUCID_LION, LUCID_RULES
};

/* Says that no iteration reads what another wrote, which holds for elementwise updates. */
#ifdef __clang__
#define LUCID_ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define LUCID_ELEMENTWISE _Pragma("GCC ivdep")
#endif

#define LUCID_BODY "optimizers_body.h"
#include "each_level.h"

#endif
