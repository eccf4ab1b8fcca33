# gemm.pxd: the matrix-product engine for other kernels. `gemm_f32.product(...)` and its siblings
# are described in gemm.h.

cdef extern from "gemm.h" nogil:
    ctypedef void (*gemm_packer)(
        const gemm_operand* operand, Py_ssize_t first, Py_ssize_t count, Py_ssize_t depth_first,
        Py_ssize_t depth, Py_ssize_t width, void* panel) noexcept nogil

    ctypedef struct gemm_operand:
        const void* data
        Py_ssize_t free_stride, depth_stride
        gemm_packer pack
        const void* context
        const void* packed

    int GEMM_IDENTITY, GEMM_RELU

    ctypedef struct gemm_epilogue:
        double alpha
        int accumulate, activation
        const void* row_bias
        const void* column_bias

    ctypedef struct gemm_engine:
        void (*product)(
            Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const gemm_operand* a, const gemm_operand* b,
            void* c, Py_ssize_t c_stride, const gemm_epilogue* epilogue) noexcept nogil
        void (*pack_b)(
            Py_ssize_t n, Py_ssize_t k, const gemm_operand* b, void* packed) noexcept nogil
        size_t (*packed_size)(Py_ssize_t n, Py_ssize_t k) noexcept nogil
        double (*peak)(Py_ssize_t steps, double factor) noexcept nogil
        double nanoseconds


cdef gemm_engine gemm_f32, gemm_f64


cdef inline gemm_operand strided(
    const void* data, Py_ssize_t free_stride, Py_ssize_t depth_stride
) noexcept nogil:
    cdef gemm_operand operand
    operand.data = data
    operand.free_stride = free_stride
    operand.depth_stride = depth_stride
    operand.pack = NULL
    operand.context = NULL
    operand.packed = NULL
    return operand
