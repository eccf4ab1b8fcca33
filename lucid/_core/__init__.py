"""What everything stands on: dtypes, devices, the tape, the Tensor and the op record.

Nothing in here knows a single operation; those live in :mod:`lucid.ops`.
"""
