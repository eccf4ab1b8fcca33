"""The pool of large arrays: reused, bounded, switched off, and never in anybody's way."""

from __future__ import annotations

import numpy as np
import pytest

import lucid


@pytest.fixture(autouse=True)
def _clean():
    before = lucid.memory.stats()["limit"]
    lucid.memory.clear()
    yield
    lucid.memory.set_limit(before)


def big():
    return lucid.ones(256, 256) @ lucid.ones(256, 256)


def test_a_dropped_block_is_used_again():
    x = big()
    hits = lucid.memory.stats()["hits"]
    address = x.data_ptr()
    del x
    assert lucid.memory.stats()["cached"] >= 256 * 256 * 4
    y = big()
    assert y.data_ptr() == address
    assert lucid.memory.stats()["hits"] == hits + 1


def test_arrays_own_their_memory_and_are_aligned():
    x = big()
    assert x._data.flags.owndata
    assert x.data_ptr() % 64 == 0


def test_views_keep_the_block():
    x = big()
    row = x.numpy()[3]
    used = lucid.memory.stats()["in_use"]
    del x
    assert lucid.memory.stats()["in_use"] == used
    assert (row == 256).all()
    del row
    assert lucid.memory.stats()["in_use"] < used


def test_the_limit_holds():
    lucid.memory.set_limit(300_000)
    arrays = [big() for _ in range(4)]
    del arrays
    assert lucid.memory.stats()["cached"] <= 300_000
    lucid.memory.set_limit(0)
    assert lucid.memory.stats()["cached"] == 0
    used = lucid.memory.stats()["in_use"]
    x = big()
    assert lucid.memory.stats()["in_use"] == used, "switched off"
    del x


def test_the_workspace_of_products_is_counted_and_cleared():
    x = lucid.ones(2000, 300)
    y = x @ lucid.ones(300, 100)  # several blocks of rows share one packed operand
    assert lucid.memory.stats()["workspace"] >= 300 * 100 * 4
    lucid.memory.clear()
    assert lucid.memory.stats()["workspace"] == 0
    assert (x @ lucid.ones(300, 100)).numpy().tobytes() == y.numpy().tobytes()


def test_contents_are_right_for_every_size_class():
    for n in (16_384, 16_385, 20_000, 32_768, 40_961, 65_536, 1 << 20, (1 << 20) + 1):
        x = lucid.full((n,), 2.0)
        y = x + x
        assert y.shape == (n,)
        assert (y.numpy() == 4.0).all()


def test_numpy_arrays_are_left_alone():
    before = lucid.memory.stats()
    x = np.ones((512, 512), np.float32) + 1
    assert lucid.memory.stats() == before
    del x


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_bad_limits(size, error):
    with pytest.raises(error):
        lucid.memory.set_limit(size)
