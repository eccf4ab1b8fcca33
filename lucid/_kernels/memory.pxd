cimport numpy as cnp
from numpy cimport ndarray

# From this many elements on, an array's memory comes from the pool.
cdef enum:
    POOLED = 16384

cdef ndarray pooled(int ndim, cnp.npy_intp* shape, int type_number, bint fortran)
