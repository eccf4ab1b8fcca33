"""Sequences of different lengths: padded to one tensor, or packed step by step without padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lucid._core.op import TENSORS as T
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """A batch of sequences without padding: the elements of the first step, of the second, ...

    Made by :func:`pack_padded_sequence` and :func:`pack_sequence`, taken and returned by
    recurrent layers.

    Attributes:
        data: the elements ``(sum of lengths, ...)``.
        batch_sizes: how many sequences reach each step, as int64.
        sorted_indices: the order, longest first, in which the sequences lie in ``data``; or None.
        unsorted_indices: the inverse of it.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with ``data`` of another dtype or device; see :meth:`lucid.Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._replace(data=data)

    def cpu(self) -> PackedSequence:
        """Itself."""
        return self

    def float(self) -> PackedSequence:
        """The same with ``data`` as float32."""
        return self.to(np.float32)

    def double(self) -> PackedSequence:
        """The same with ``data`` as float64."""
        return self.to(np.float64)

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes ``permutation``."""
    return None if permutation is None else wrap(np.argsort(permutation._data, kind="stable"))


def _lengths(lengths: Any, caller: str) -> np.ndarray:
    array = np.asarray(lengths._data if isinstance(lengths, Tensor) else lengths)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ShapeError(
            f"{caller}: lengths must be a list of ints, one for each sequence; got shape "
            f"{array.shape}, dtype {array.dtype}"
        )
    return array.astype(np.int64)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch of sequences.

    Args:
        input: ``(steps, batch, ...)``, or ``(batch, steps, ...)`` with ``batch_first``.
        lengths: of each sequence, at least 1.
        enforce_sorted: the sequences come longest first; without it they are sorted here.

    Raises:
        ShapeError: a length is below 1 or above the number of steps, or their number is wrong.
        RuntimeError: they are not sorted although they should be.

    Example:
        >>> from lucid.nn.utils.rnn import pack_padded_sequence
        >>> packed = pack_padded_sequence(lucid.tensor([[1, 2, 3], [4, 0, 0]]), [3, 1], True)
        >>> packed.data, packed.batch_sizes
        (tensor([1, 4, 2, 3]), tensor([2, 1, 1]))
    """
    caller = "pack_padded_sequence"
    counts = _lengths(lengths, caller)
    if input.ndim < 2:
        raise ShapeError(f"{caller}: input must have at least 2 dimensions; got {input.shape}")
    batch, steps = input.shape[:2] if batch_first else input.shape[1::-1]
    if len(counts) != batch:
        raise ShapeError(f"{caller}: lengths must have {batch} entries; got {len(counts)}")
    if batch == 0 or counts.min() < 1 or counts.max() > steps:
        raise ShapeError(
            f"{caller}: lengths must be in [1, {steps}], the steps of input {input.shape}; "
            f"got {counts.tolist()}"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-counts, kind="stable")
        counts = counts[order]
    elif (np.diff(counts) > 0).any():
        raise RuntimeError(
            f"{caller}: lengths must fall; got {counts.tolist()}. Pass enforce_sorted=False"
        )
    sizes = (counts > np.arange(counts[0])[:, None]).sum(1)
    step = np.repeat(np.arange(len(sizes)), sizes)
    row = np.concatenate([np.arange(size) for size in sizes])
    row = row if order is None else order[row]
    data = input[(row, step) if batch_first else (step, row)]
    sorted_indices = None if order is None else wrap(order)
    return PackedSequence(
        data, wrap(sizes.astype(np.int64)), sorted_indices, invert_permutation(sorted_indices)
    )


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`pack_padded_sequence`: the padded batch and the lengths.

    Args:
        sequence: packed sequences.
        batch_first: return ``(batch, steps, ...)``.
        padding_value: what follows the end of a sequence.
        total_length: pad to this length; default: to the longest.

    Raises:
        ValueError: ``total_length`` is less than the longest length.
    """
    sizes = sequence.batch_sizes._data
    steps = len(sizes)
    if total_length is not None and total_length < steps:
        raise ValueError(
            f"pad_packed_sequence: total_length must be at least {steps}, the longest length; "
            f"got {total_length}"
        )
    lengths = (sizes > np.arange(sizes[0])[:, None]).sum(1)
    starts = np.cumsum(sizes) - sizes
    time = np.arange(total_length or steps)
    exists = time < lengths[:, None]  # (batch, steps)
    place = np.where(exists, starts[np.minimum(time, steps - 1)] + np.arange(sizes[0])[:, None], 0)
    if sequence.unsorted_indices is not None:
        order = sequence.unsorted_indices._data
        exists, place, lengths = exists[order], place[order], lengths[order]
    if not batch_first:
        exists, place = exists.T, place.T
    padded = sequence.data[place]
    missing = ~exists.reshape(exists.shape + (1,) * (padded.ndim - 2))
    return T.masked_fill(padded, wrap(missing), padding_value), wrap(lengths.astype(np.int64))


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences ``(length, ...)`` of different lengths as one tensor ``(steps, batch, ...)``.

    Args:
        sequences: the sequences, alike in all dimensions but the first.
        batch_first: return ``(batch, steps, ...)``.
        padding_value: what fills up the shorter ones.
        padding_side: "right" or "left".

    Example:
        >>> from lucid.nn.utils.rnn import pad_sequence
        >>> pad_sequence([lucid.tensor([1, 2, 3]), lucid.tensor([4])], batch_first=True)
        tensor([[1, 2, 3],
                [4, 0, 0]])
    """
    if padding_side not in ("right", "left"):
        raise ValueError(
            f"pad_sequence: padding_side must be 'right' or 'left'; got {padding_side!r}"
        )
    found = list(sequences)
    if not found:
        raise ValueError("pad_sequence: sequences must not be empty")
    steps = max(x.shape[0] for x in found)
    padded = []
    for x in found:
        missing = steps - x.shape[0]
        if missing:
            filler = wrap(np.full((missing, *x.shape[1:]), padding_value, x.dtype))
            x = T.cat([x, filler] if padding_side == "right" else [filler, x], 0)
        padded.append(x)
    return T.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch, each in its own length."""
    counts = _lengths(lengths, "unpad_sequence")
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [padded_sequences[i, : int(count)] for i, count in enumerate(counts)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences ``(length, ...)``; see :func:`pack_padded_sequence`."""
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of :func:`pack_sequence`: each sequence in its own length."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
