"""What the kernels were built with and what this process uses of it."""

cdef extern from "levels.h" nogil:
    int lucid_level()

cdef extern from *:
    """
    #ifdef LUCID_MULTIVERSION
    #define LUCID_IS_MULTIVERSION 1
    #else
    #define LUCID_IS_MULTIVERSION 0
    #endif
    """
    bint LUCID_IS_MULTIVERSION

LEVELS = ("baseline", "avx2", "avx512")
level = LEVELS[lucid_level()]
multiversion = bool(LUCID_IS_MULTIVERSION)
