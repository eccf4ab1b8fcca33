"""Small data sets that come with lucid."""

from lucid.datasets.digits import load_digits

__all__ = ["load_digits"]
