"""The exceptions that lucid raises beyond Python's own.

Each is a subclass of the built-in exception that PyTorch raises in its place, so that
``except RuntimeError`` goes on working.
"""

__all__ = [
    "DeviceError",
    "FileFormatError",
    "GraphFreedError",
    "InPlaceError",
    "LinAlgError",
    "MissingExtraError",
    "NonFiniteError",
    "ShapeError",
]


class ShapeError(ValueError, RuntimeError):
    """Shapes do not fit together. (PyTorch raises ``RuntimeError`` here, NumPy ``ValueError``.)"""


class DeviceError(RuntimeError):
    """A device that this build does not have."""


class GraphFreedError(RuntimeError):
    """Backward a second time through a graph whose saved tensors were freed."""


class InPlaceError(RuntimeError):
    """An in-place write that would falsify a gradient."""


class NonFiniteError(RuntimeError):
    """A NaN or an infinity where it was declared an error."""


class LinAlgError(RuntimeError, ValueError):
    """A matrix that is singular, not positive definite, or on which a decomposition failed."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class FileFormatError(ValueError):
    """A file that is truncated, damaged or not of the expected format."""
