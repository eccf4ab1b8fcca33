"""Padding and packing of sequences."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
from lucid._core.tensor import wrap
from lucid.nn.utils import rnn


def batch(rng, lengths=(2, 4, 1, 4)):
    return [rng.standard_normal((n, 3)) for n in lengths]


@pytest.mark.torch
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("side", ["right", "left"])
def test_pad_sequence_as_pytorch(torch, rng, batch_first, side):
    arrays = batch(rng)
    expected = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(a) for a in arrays], batch_first, 7.0, side
    )
    found = rnn.pad_sequence([wrap(a) for a in arrays], batch_first, 7.0, side)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    back = rnn.unpad_sequence(rnn.pad_sequence([wrap(a) for a in arrays]), [2, 4, 1, 4])
    for got, want in zip(back, arrays, strict=True):
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.torch
@pytest.mark.parametrize("batch_first", [True, False])
def test_pack_and_unpack_as_pytorch(torch, rng, batch_first):
    arrays, lengths = batch(rng), [2, 4, 1, 4]
    padded = rnn.pad_sequence([wrap(a) for a in arrays], batch_first)
    expected = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(padded.numpy().copy()), lengths, batch_first, False
    )
    found = rnn.pack_padded_sequence(padded, wrap(np.array(lengths)), batch_first, False)
    assert found._fields == ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
    np.testing.assert_array_equal(found.batch_sizes.numpy(), expected.batch_sizes.numpy())
    order = found.sorted_indices.numpy()
    np.testing.assert_array_equal(np.array(lengths)[order], sorted(lengths, reverse=True))
    np.testing.assert_array_equal(np.argsort(order), found.unsorted_indices.numpy())
    again, ends = rnn.pad_packed_sequence(found, batch_first, -1.0, 6)
    assert ends.tolist() == lengths
    theirs = torch.nn.utils.rnn.pad_packed_sequence(expected, batch_first, -1.0, 6)[0]
    np.testing.assert_array_equal(again.numpy(), theirs.numpy())


def test_round_trip_carries_gradients(rng):
    tensors = [lucid.tensor(a, requires_grad=True) for a in batch(rng)]
    parts = rnn.unpack_sequence(rnn.pack_sequence(tensors, enforce_sorted=False))
    weights = [rng.standard_normal(t.shape) for t in tensors]
    sum((p * wrap(w)).sum() for p, w in zip(parts, weights, strict=True)).backward()
    for part, t, w in zip(parts, tensors, weights, strict=True):
        np.testing.assert_array_equal(part.detach().numpy(), t.detach().numpy())
        np.testing.assert_array_equal(t.grad.numpy(), w)


def test_conversion(rng):
    packed = rnn.pack_sequence([lucid.tensor(rng.standard_normal((2, 3)))])
    assert packed.float().data.dtype == lucid.float32
    assert packed.double() is packed
    assert packed.cpu() is packed
    assert packed.sorted_indices is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: rnn.pack_padded_sequence(x, [1, 3]), RuntimeError, "enforce_sorted=False"),
        (lambda x: rnn.pack_padded_sequence(x, [5, 3]), ValueError, r"in \[1, 4\]"),
        (lambda x: rnn.pack_padded_sequence(x, [3, 0]), ValueError, r"in \[1, 4\]"),
        (lambda x: rnn.pack_padded_sequence(x, [3]), ValueError, "2 entries; got 1"),
        (lambda x: rnn.pack_padded_sequence(x, [3.0, 1.0]), ValueError, "list of ints"),
        (lambda x: rnn.pad_sequence([]), ValueError, "must not be empty"),
        (lambda x: rnn.pad_sequence([x], padding_side="top"), ValueError, "'right' or 'left'"),
        (
            lambda x: rnn.pad_packed_sequence(rnn.pack_padded_sequence(x, [4, 1]), total_length=3),
            ValueError,
            "at least 4",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(lucid.zeros(4, 2, 3))
