# threads.pxd: for sibling kernels, `from lucid._kernels.threads cimport parallel_for`.
#
# From what size on threads pay is each kernel's own affair; bits must not depend on their number,
# so a task is a fixed block of the work, never "the share of thread i".

ctypedef void (*task_t)(void* context, Py_ssize_t index) noexcept nogil

cdef int num_threads() noexcept nogil
cdef void parallel_for(task_t task, void* context, Py_ssize_t count) noexcept nogil
