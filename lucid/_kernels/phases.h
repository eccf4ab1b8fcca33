/* phases.h: work in phases, each of which needs all of the one before, such as time steps.
 *
 * A phase is the same number of blocks every time. Threads claim blocks one by one, their own share
 * first, so that what a block reads at every phase (weights) stays in the cache of one core; who
 * finds nothing left to claim waits for the phase to be done. A share is walked forwards and
 * backwards in turn: where it is larger than the cache, the blocks read last are read first.
 *
 * Nobody waits but for a block that some thread is at work on. So a thread that comes late, or
 * never because the pool is busy, only leaves more blocks to the others; nothing can lock up.
 * Waiting is a spin of some microseconds, as long as a short phase, then a yield to whoever has to
 * finish.
 */
#ifndef LUCID_PHASES_H
#define LUCID_PHASES_H

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include "pause.h"

typedef void (*lucid_phase_task)(void *context, ptrdiff_t phase, ptrdiff_t block);
typedef void (*lucid_phase_pool)(void (*task)(void *, ptrdiff_t), void *context, ptrdiff_t count,
                                 double nanoseconds);

enum { LUCID_PHASE_SPINS = 2000 };

typedef struct {
    lucid_phase_task task;
    void *context;
    ptrdiff_t phases, blocks, members;
    atomic_ptrdiff_t *claimed;       /* of each block: in how many phases somebody took it */
    _Alignas(64) atomic_ptrdiff_t done; /* blocks, over all phases */
} lucid_phases;

static void lucid_join_phases(void *context, ptrdiff_t member) {
    lucid_phases *const p = context;
    const ptrdiff_t first = member * p->blocks / p->members;
    const ptrdiff_t last = (member + 1) * p->blocks / p->members - 1;
    ptrdiff_t phase;
    while ((phase = atomic_load(&p->done) / p->blocks) < p->phases) {
        for (ptrdiff_t i = 0; i < p->blocks; i++) {
            const ptrdiff_t block = (phase % 2 ? last - i + p->blocks : first + i) % p->blocks;
            ptrdiff_t unclaimed = phase;
            if (atomic_compare_exchange_strong(&p->claimed[block], &unclaimed, phase + 1)) {
                p->task(p->context, phase, block);
                atomic_fetch_add(&p->done, 1);
            }
        }
        const ptrdiff_t all = (phase + 1) * p->blocks;
        for (ptrdiff_t spin = 0; atomic_load(&p->done) < all; spin++) {
            if (spin > LUCID_PHASE_SPINS) sched_yield();
            else lucid_pause();
        }
    }
}

/* Runs task(context, phase, block) for all blocks of all phases, on up to `members` threads. To
 * the pool each member is one task, so that it cannot see how long the job lasts before it is
 * over: it has to be told the nanoseconds that one thread would take. */
static void lucid_run_phases(lucid_phase_task task, void *context, ptrdiff_t phases,
                             ptrdiff_t blocks, ptrdiff_t members, double nanoseconds,
                             lucid_phase_pool pool) {
    atomic_ptrdiff_t *claimed = members > 1 ? calloc((size_t)blocks, sizeof *claimed) : NULL;
    if (claimed) {
        lucid_phases p = {.task = task, .context = context, .phases = phases, .blocks = blocks,
                          .members = members, .claimed = claimed};
        pool(lucid_join_phases, &p, members, nanoseconds);
        free(claimed);
        return;
    }
    for (ptrdiff_t phase = 0; phase < phases; phase++)
        for (ptrdiff_t i = 0; i < blocks; i++)
            task(context, phase, phase % 2 ? blocks - 1 - i : i);
}

#endif
