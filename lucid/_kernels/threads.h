/* threads.h: lucid's own pool of worker threads.
 *
 * One job at a time: `count` independent tasks, handed out by an atomic counter to the calling
 * thread and to the workers that join it. Joining and leaving are one atomic operation each, so a
 * worker that is awake costs a job next to nothing, but waking one up costs both sides tens of
 * microseconds (an interrupt to another processor, in a virtual machine by way of its host). Hence
 *
 * - workers stay awake, and callers wait awake for the workers still inside, for about as long as
 *   a wake-up costs, and then sleep: at most twice the cost of the best choice, without knowing
 *   when the next job comes. A worker without work keeps yielding its processor, so that on a
 *   busy machine it falls behind everybody else and the caller works alone, rather than waiting
 *   for a worker that has lost its processor in the middle of a task;
 * - a caller starts on its own, and calls sleeping workers once the work since they could have
 *   been awake, with what is left of the job, is worth a wake-up. How long the job takes is
 *   predicted by its tasks so far, and before the first one by the kernel, if it knows: without
 *   that, a job of a few long tasks is half done before anybody is called. Small models therefore
 *   run as on one thread;
 * - nobody waits for a worker that is slow to wake up: a job is closed once its tasks have run
 *   out, and the caller waits only for workers that have joined it.
 *
 * A call from inside a task, or while another thread has a job running, simply runs its tasks
 * itself.
 *
 * Why not OpenMP: libgomp's workers spin for milliseconds, it reads the environment, and its pool
 * hangs in a forked child. Here the child forgets the pool and starts its own at first use.
 * Workers are started at first use, never touch Python and block all signals, so that signals go
 * to the interpreter's threads; they sleep until the process ends.
 */
#ifndef LUCID_THREADS_H
#define LUCID_THREADS_H

#include <Python.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include "pause.h"

typedef void (*lucid_task)(void *context, Py_ssize_t index);

enum {
    LUCID_PAUSES = 50, /* between two looks at the clock: about a microsecond */
    /* Of lucid_pool.state: how many workers may still join the job, and how many are inside. */
    LUCID_PLACE = 1,
    LUCID_INSIDE = 1 << 16,
    LUCID_PLACES = LUCID_INSIDE - 1,
};

static struct {
    /* Written by the thread that holds `busy`, while the job is closed and nobody is inside. */
    lucid_task task;
    void *context;
    Py_ssize_t count;
    int workers;            /* started so far */
    int64_t finished, lone; /* end of the last job; time in jobs since workers could be awake */
    pthread_mutex_t lock;   /* held to fall asleep, and to be sure that nobody is about to */
    pthread_cond_t opened, left; /* a job is open; the last worker left it */
    _Alignas(64) atomic_int threads; /* wanted, the caller included */
    atomic_int wake_up; /* nanoseconds that waking a worker costs, both sides together */
    atomic_flag busy;
    atomic_int sleepers, waiting; /* workers asleep; whether the caller is */
    _Alignas(64) atomic_int state;
    _Alignas(64) atomic_ptrdiff_t next; /* first task nobody took yet */
} lucid_pool;

static inline int64_t lucid_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int lucid_is_open(void) { return (atomic_load(&lucid_pool.state) & LUCID_PLACES) != 0; }
static int lucid_is_empty(void) { return atomic_load(&lucid_pool.state) < LUCID_INSIDE; }

/* Waits until `happened`, first awake, yielding or not, and then asleep: `asleep` counts who
 * sleeps on `signal`. */
static void lucid_await(int (*happened)(void), int yielding, atomic_int *asleep,
                        pthread_cond_t *signal) {
    if (happened()) return;
    const int64_t until = lucid_now() + lucid_pool.wake_up;
    do {
        for (int i = 0; i < LUCID_PAUSES; i++) {
            if (happened()) return;
            lucid_pause();
        }
        if (yielding) sched_yield();
    } while (lucid_now() < until);
    pthread_mutex_lock(&lucid_pool.lock);
    atomic_fetch_add(asleep, 1);
    while (!happened()) pthread_cond_wait(signal, &lucid_pool.lock);
    atomic_fetch_sub(asleep, 1);
    pthread_mutex_unlock(&lucid_pool.lock);
}

/* Wakes sleepers after something has happened. One that has just looked and not seen it holds the
 * lock until it can hear the signal. */
static void lucid_wake(pthread_cond_t *signal, int count) {
    pthread_mutex_lock(&lucid_pool.lock);
    pthread_mutex_unlock(&lucid_pool.lock);
    while (count-- > 0) pthread_cond_signal(signal);
}

/* Before first use, and in a forked child, where the workers of the parent do not exist. */
static void lucid_pool_reset(void) {
    lucid_pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    lucid_pool.opened = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    lucid_pool.left = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    lucid_pool.workers = 0;
    atomic_store(&lucid_pool.sleepers, 0);
    atomic_store(&lucid_pool.waiting, 0);
    atomic_store(&lucid_pool.state, 0);
    atomic_flag_clear(&lucid_pool.busy);
}

static int lucid_pool_init(int threads) {
    atomic_store(&lucid_pool.threads, threads);
    atomic_store(&lucid_pool.wake_up, 100000);
    lucid_pool_reset();
    return pthread_atfork(NULL, NULL, lucid_pool_reset);
}

static int lucid_join(void) {
    int state = atomic_load(&lucid_pool.state);
    while (state & LUCID_PLACES)
        if (atomic_compare_exchange_weak(&lucid_pool.state, &state,
                                         state - LUCID_PLACE + LUCID_INSIDE))
            return 1;
    return 0;
}

static void *lucid_worker(void *unused) {
    (void)unused;
    for (;;) {
        if (!lucid_join()) {
            lucid_await(lucid_is_open, 1, &lucid_pool.sleepers, &lucid_pool.opened);
            continue;
        }
        Py_ssize_t index;
        while ((index = atomic_fetch_add(&lucid_pool.next, 1)) < lucid_pool.count)
            lucid_pool.task(lucid_pool.context, index);
        atomic_fetch_sub(&lucid_pool.state, LUCID_INSIDE);
        if (atomic_load(&lucid_pool.waiting)) lucid_wake(&lucid_pool.left, 1);
    }
    return NULL;
}

/* Starts the workers that are missing; fewer if the system refuses. */
static void lucid_start_workers(int wanted) {
    if (lucid_pool.workers >= wanted) return;
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (lucid_pool.workers < wanted && !pthread_create(&thread, NULL, lucid_worker, NULL)) {
        pthread_detach(thread);
        lucid_pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Whether to call for help before the task `index` of a job begun at `start`. */
static int lucid_worth_calling(int64_t start, Py_ssize_t index, int places, double estimate) {
    const Py_ssize_t count = lucid_pool.count;
    if (!atomic_load_explicit(&lucid_pool.sleepers, memory_order_relaxed) &&
        lucid_pool.workers >= places)
        return 0;
    if (count - index < 2 || !lucid_is_open()) return 0;
    const double expected = index ? (double)(lucid_now() - start) * count / index : estimate;
    return lucid_pool.lone + expected >= lucid_pool.wake_up;
}

/* Runs task(context, 0) ... task(context, count - 1) in any order and returns when all are done.
 * `estimate`: the nanoseconds that one thread would take, roughly, or 0 where nobody knows. */
static void lucid_parallel_for(lucid_task task, void *context, Py_ssize_t count,
                               double estimate) {
    const int threads = atomic_load_explicit(&lucid_pool.threads, memory_order_relaxed);
    if (threads <= 1 || count <= 1 || atomic_flag_test_and_set(&lucid_pool.busy)) {
        for (Py_ssize_t index = 0; index < count; index++) task(context, index);
        return;
    }
    const int places = count < threads ? (int)count - 1 : threads - 1;
    const int64_t start = lucid_now();
    if (start - lucid_pool.finished > lucid_pool.wake_up) lucid_pool.lone = 0;
    lucid_pool.task = task;
    lucid_pool.context = context;
    lucid_pool.count = count;
    atomic_store(&lucid_pool.next, 0);
    atomic_store(&lucid_pool.state, places * LUCID_PLACE);

    int called = 0;
    Py_ssize_t index;
    while ((index = atomic_fetch_add(&lucid_pool.next, 1)) < count) {
        if (!called && lucid_worth_calling(start, index, places, estimate)) {
            lucid_start_workers(places);
            lucid_wake(&lucid_pool.opened, places);
            called = 1;
        }
        task(context, index);
    }

    atomic_fetch_and(&lucid_pool.state, ~LUCID_PLACES);
    lucid_await(lucid_is_empty, 0, &lucid_pool.waiting, &lucid_pool.left);
    lucid_pool.finished = lucid_now();
    lucid_pool.lone = called ? 0 : lucid_pool.lone + lucid_pool.finished - start;
    atomic_flag_clear(&lucid_pool.busy);
}

#endif
