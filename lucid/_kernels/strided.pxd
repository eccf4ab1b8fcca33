# strided.pxd: for sibling kernels whose loops need contiguous memory.

from numpy cimport ndarray

cdef ndarray contiguous(ndarray x, int type_number)
cdef ndarray real_contiguous(x)
cdef ndarray restored(ndarray out, x)
