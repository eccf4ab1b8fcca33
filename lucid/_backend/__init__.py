"""Where arrays are computed with: the one place that looks at what kind of array a tensor holds.

``B`` is the namespace of routines that :mod:`lucid.ops` calls. Each is plain NumPy in
:mod:`lucid._backend.reference`, and a compiled kernel where :mod:`lucid._backend.cpu` has one.
"""

from typing import Any

from lucid._backend import cpu

B: Any = cpu

__all__ = ["B"]
