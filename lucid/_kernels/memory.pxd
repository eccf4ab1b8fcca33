cimport numpy as cnp
from numpy cimport ndarray

cdef ndarray pooled(int ndim, cnp.npy_intp* shape, int type_number, bint fortran)
