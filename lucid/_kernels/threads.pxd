# threads.pxd: for sibling kernels, `from lucid._kernels.threads cimport parallel_for`.
#
# Whether other threads are worth calling is the pool's affair (threads.h). A kernel cuts its work
# into tasks of some 5 to 20 us: the caller has to finish one before it can tell. Where tasks are
# long and few, the kernel says what it expects of all of them together: `parallel_for_lasting`,
# in nanoseconds of one thread; the right order of magnitude will do. Bits must not depend on the
# number of threads, so a task is a fixed block of the work, never "the share of thread i".

ctypedef void (*task_t)(void* context, Py_ssize_t index) noexcept nogil

cdef int num_threads() noexcept nogil
cdef void parallel_for(task_t task, void* context, Py_ssize_t count) noexcept nogil
cdef void parallel_for_lasting(
    task_t task, void* context, Py_ssize_t count, double nanoseconds) noexcept nogil


cdef inline void run_tasks(task_t task, void* job, Py_ssize_t tasks, bint brief) noexcept:
    """`parallel_for` without the interpreter lock; a brief job is over before that pays."""
    cdef Py_ssize_t index
    if brief:
        for index in range(tasks):
            task(job, index)
    else:
        with nogil:
            parallel_for(task, job, tasks)
