"""The digits that come with lucid."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

import lucid
from lucid.datasets import load_digits


def test_all():
    images, labels = load_digits(return_tensors=False, split=False)
    assert images.shape == (1797, 8, 8)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 1)
    assert (images * 16 % 1 == 0).all()
    # as the data's own description counts them
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert labels[:10].tolist() == list(range(10))


def test_split():
    digits = load_digits()
    assert [x.shape for x in digits] == [(1438, 8, 8), (1438,), (359, 8, 8), (359,)]
    assert all(isinstance(x, lucid.Tensor) for x in digits)
    rows = np.concatenate([digits.train_images.numpy(), digits.test_images.numpy()])
    rows = rows.reshape(1797, 64)
    images, labels = load_digits(return_tensors=False, split=False)
    found = np.concatenate([digits.train_labels.numpy(), digits.test_labels.numpy()])
    assert sorted(map(tuple, np.c_[rows, found])) == sorted(
        map(tuple, np.c_[images.reshape(1797, 64), labels])
    )
    assert np.bincount(digits.test_labels.numpy()).min() > 20


def test_the_split_is_fixed():
    first, second = load_digits(), load_digits()
    assert first.test_labels.tolist() == second.test_labels.tolist()
    assert first.test_labels[:8].tolist() == [2, 8, 2, 6, 6, 7, 1, 9]
    assert load_digits(seed=1).test_labels.tolist() != first.test_labels.tolist()
    first.test_images[:] = 0.0
    assert second.test_images.numpy().any()
    assert load_digits().test_images.numpy().any()


def test_it_leaves_numpys_random_state_alone():
    before = np.random.get_state()[1].copy()
    load_digits()
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_it_is_small():
    assert len(files("lucid.datasets").joinpath("digits.npz").read_bytes()) < 60_000


def test_missing_extra():
    from lucid._extras import require
    from lucid.errors import MissingExtraError

    assert require("json", "viz", "x").__name__ == "json"
    with pytest.raises(MissingExtraError, match=r"A picture needs no_such_package.*\[viz\]"):
        require("no_such_package.part", "viz", "A picture")
