/* threads.h: lucid's own pool of worker threads.
 *
 * One job at a time: `count` independent tasks, handed out by an atomic counter to the calling
 * thread and to the workers that it invites. A worker that is slow to wake up costs nothing: once
 * the tasks have run out, invitations nobody took are withdrawn, and the caller waits only for
 * workers that really are inside. Waiting threads sleep, after a spin of a few microseconds that
 * spares back-to-back jobs the wake-up. A call from inside a task, or while another thread has a
 * job running, simply runs its tasks itself.
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
#include <signal.h>
#include <stdatomic.h>

typedef void (*lucid_task)(void *context, Py_ssize_t index);

enum { LUCID_SPINS = 200 };

static struct {
    pthread_mutex_t lock;            /* guards what workers share with the caller, below */
    pthread_cond_t invitation, left; /* an invitation is out; the last worker left the job */
    lucid_task task;
    void *context;
    Py_ssize_t count;
    int workers; /* started so far; only the thread that holds `busy` touches it */
    _Alignas(64) atomic_int threads; /* wanted, the caller included */
    atomic_flag busy;
    atomic_int invited, inside;
    _Alignas(64) atomic_ptrdiff_t next; /* first task nobody took yet */
} lucid_pool;

static inline void lucid_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Before first use, and in a forked child, where the workers of the parent do not exist. */
static void lucid_pool_reset(void) {
    lucid_pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    lucid_pool.invitation = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    lucid_pool.left = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    lucid_pool.workers = 0;
    atomic_store(&lucid_pool.invited, 0);
    atomic_store(&lucid_pool.inside, 0);
    atomic_flag_clear(&lucid_pool.busy);
}

static int lucid_pool_init(int threads) {
    atomic_store(&lucid_pool.threads, threads);
    lucid_pool_reset();
    return pthread_atfork(NULL, NULL, lucid_pool_reset);
}

static void lucid_run_tasks(lucid_task task, void *context, Py_ssize_t count) {
    Py_ssize_t index;
    while ((index = atomic_fetch_add(&lucid_pool.next, 1)) < count) task(context, index);
}

static void *lucid_worker(void *unused) {
    (void)unused;
    for (;;) {
        for (int spin = 0; spin < LUCID_SPINS && !atomic_load(&lucid_pool.invited); spin++)
            lucid_pause();
        pthread_mutex_lock(&lucid_pool.lock);
        while (!atomic_load(&lucid_pool.invited))
            pthread_cond_wait(&lucid_pool.invitation, &lucid_pool.lock);
        atomic_fetch_sub(&lucid_pool.invited, 1);
        atomic_fetch_add(&lucid_pool.inside, 1);
        lucid_task task = lucid_pool.task;
        void *context = lucid_pool.context;
        Py_ssize_t count = lucid_pool.count;
        pthread_mutex_unlock(&lucid_pool.lock);

        lucid_run_tasks(task, context, count);

        pthread_mutex_lock(&lucid_pool.lock);
        if (atomic_fetch_sub(&lucid_pool.inside, 1) == 1) pthread_cond_signal(&lucid_pool.left);
        pthread_mutex_unlock(&lucid_pool.lock);
    }
    return NULL;
}

/* Starts the workers that are missing; fewer if the system refuses. Returns how many there are. */
static int lucid_start_workers(int wanted) {
    if (lucid_pool.workers >= wanted) return wanted;
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (lucid_pool.workers < wanted && !pthread_create(&thread, NULL, lucid_worker, NULL)) {
        pthread_detach(thread);
        lucid_pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return lucid_pool.workers;
}

/* Runs task(context, 0) ... task(context, count - 1) in any order and returns when all are done. */
static void lucid_parallel_for(lucid_task task, void *context, Py_ssize_t count) {
    int threads = atomic_load_explicit(&lucid_pool.threads, memory_order_relaxed);
    if (threads <= 1 || count <= 1 || atomic_flag_test_and_set(&lucid_pool.busy)) {
        for (Py_ssize_t index = 0; index < count; index++) task(context, index);
        return;
    }
    int helpers = lucid_start_workers(count < threads ? (int)count - 1 : threads - 1);

    pthread_mutex_lock(&lucid_pool.lock);
    lucid_pool.task = task;
    lucid_pool.context = context;
    lucid_pool.count = count;
    atomic_store(&lucid_pool.next, 0);
    atomic_store(&lucid_pool.invited, helpers);
    for (int i = 0; i < helpers; i++) pthread_cond_signal(&lucid_pool.invitation);
    pthread_mutex_unlock(&lucid_pool.lock);

    lucid_run_tasks(task, context, count);

    pthread_mutex_lock(&lucid_pool.lock);
    atomic_store(&lucid_pool.invited, 0);
    pthread_mutex_unlock(&lucid_pool.lock);
    for (int spin = 0; spin < LUCID_SPINS && atomic_load(&lucid_pool.inside); spin++)
        lucid_pause();
    pthread_mutex_lock(&lucid_pool.lock);
    while (atomic_load(&lucid_pool.inside))
        pthread_cond_wait(&lucid_pool.left, &lucid_pool.lock);
    pthread_mutex_unlock(&lucid_pool.lock);
    atomic_flag_clear(&lucid_pool.busy);
}

#endif
