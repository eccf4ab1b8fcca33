"""Where arrays are computed with: the one place that looks at what kind of array a tensor holds.

``B`` is the namespace of routines that :mod:`lucid.ops` calls: compiled kernels where
:mod:`lucid._backend.cpu` has them, otherwise plain NumPy (:mod:`lucid._backend.reference`). What a
kernel does not take (other dtypes) it hands to NumPy itself, or the module beside it here does.
"""

from typing import Any

from lucid._backend import cpu

B: Any = cpu

__all__ = ["B"]
