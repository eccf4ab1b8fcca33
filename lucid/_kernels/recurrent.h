/* recurrent.h: what one step of a recurrent cell reads and writes (the cells: recurrent_real.h).
 *
 * A row is one sequence of the batch. With H hidden units, what there is of each gate has rows of
 * (gates of the cell) x H, `stride` apart; rows of `out` are `out_stride` apart; all else has rows
 * of H, one right after the other.
 */
#ifndef LUCID_RECURRENT_H
#define LUCID_RECURRENT_H

#include <stddef.h>

enum { RNN_TANH, RNN_RELU, LSTM, GRU, RECURRENT_KINDS };

typedef struct {
    ptrdiff_t hidden, stride, out_stride;
    void *gates;       /* forward: sums, turned into activations; backward: the activations */
    void *recurrent;   /* GRU: h_before W_hh^T + b_hh, gate by gate like `gates` */
    void *candidate;   /* GRU: the candidate's part of `recurrent`, kept for backward; or NULL */
    const void *h_before;
    void *c;           /* LSTM: the cell state, updated in place */
    void *c_before;    /* LSTM: a copy of the cell state from before the step; or NULL */
    void *out;         /* h, or what an LSTM with a projection projects */

    void *dh;          /* the gradient of `out`; GRU: on return, the direct part of h_before's */
    void *dc;          /* LSTM: the gradient of c, on return that of c_before */
    void *d_input;     /* the gradient of the sums that come from the input */
    void *d_recurrent; /* ... and from h_before: the same memory except for a GRU */
} cell_step;

/* Of rows first .. last the units left .. right. */
typedef void (*cell_function)(const cell_step *step, ptrdiff_t first, ptrdiff_t last,
                              ptrdiff_t left, ptrdiff_t right);
typedef void (*add_function)(void *to, const void *x, ptrdiff_t count);
/* sums [+]= x W + bias, for `count` columns of W: panels that the engine packed one by one, in each
 * all of the depth. bias may be NULL. */
typedef void (*row_function)(const void *panels, const void *x, const void *bias, void *sums,
                             ptrdiff_t count, ptrdiff_t depth, int accumulate);

typedef struct {
    cell_function forward[RECURRENT_KINDS], backward[RECURRENT_KINDS];
    add_function add;
    row_function multiply_row;
} cell_table;

#endif
