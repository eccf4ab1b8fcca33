"""NumPy arrays on the CPU: the reference routines, overridden by kernels where there is one."""

from lucid._backend.reference import *  # noqa: F403
