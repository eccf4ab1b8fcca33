"""The kernels that take and add rows at indices, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from lucid._kernels.indexing import add_rows, take_rows


def check(out, index, values):
    expected = out.copy()
    np.add.at(expected, index, values)
    before = index.copy(), values.copy()
    add_rows(out, index, values)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(index, before[0])
    np.testing.assert_array_equal(values, before[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.complex64])
@pytest.mark.parametrize("row", [(), (1,), (3,), (17, 2), (0,)])
@pytest.mark.parametrize("count", [0, 1, 5, 400])
def test_against_numpy(rng, dtype, row, count):
    out = rng.standard_normal((7, *row)).astype(dtype)
    values = rng.standard_normal((count, *row)).astype(dtype)
    check(out, rng.integers(-7, 7, count), values)


def test_any_layout(rng):
    index, values = rng.integers(0, 5, 6), rng.standard_normal((6, 4))
    for kind in (
        np.asfortranarray,
        lambda a: np.repeat(a, 2, 1)[:, ::2],
        lambda a: a[::-1].copy()[::-1],
    ):
        check(np.ones((5, 4)), index, kind(values))
        check(kind(np.ones((5, 4))).copy(order="K"), index, values)
    check(np.ones((5, 4))[:, ::2], index, values[:, ::2])
    check(np.ones((5, 4)), index.astype(np.int32), values)
    check(np.ones((5, 4)), np.repeat(index, 2)[::2], values)
    values.flags.writeable = index.flags.writeable = False
    check(np.ones((5, 4)), index, values)


@pytest.mark.parametrize("bad", [5, -6])
def test_an_index_out_of_range_changes_nothing(bad):
    out = np.zeros((5, 2))
    with pytest.raises(IndexError, match=r"\[-5, 5\)"):
        add_rows(out, np.array([0, bad]), np.ones((2, 2)))
    assert not out.any()


@pytest.mark.parametrize(
    ("out", "index", "values"),
    [
        ((), (1,), (1,)),
        ((3,), (2,), (1,)),
        ((3, 2), (2,), (2, 3)),
        ((3,), (2, 1), (2,)),
        ((3,), (2,), (2, 1)),
    ],
)
def test_shapes_are_checked(out, index, values):
    with pytest.raises(ValueError, match="add_rows"):
        add_rows(np.zeros(out), np.zeros(index, np.intp), np.zeros(values))


def test_a_read_only_target_is_refused():
    out = np.zeros((3, 2), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        add_rows(out, np.array([0]), np.ones((1, 2), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.complex64])
@pytest.mark.parametrize("row", [(), (3,), (17, 2), (0,)])
@pytest.mark.parametrize("places", [(), (0,), (5,), (2, 3), (300, 40)])
def test_take_rows(rng, dtype, row, places):
    x, index = rng.standard_normal((7, *row)).astype(dtype), rng.integers(0, 7, places)
    index = np.asarray(index)
    found = take_rows(x, index)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, x[index])
    np.testing.assert_array_equal(take_rows(x[::-1], index.astype(np.int32)), x[::-1][index])


@pytest.mark.parametrize("wrong", [-1, 7])
@pytest.mark.parametrize("step", [1, -1])
def test_take_rows_refuses(wrong, step):
    x = np.ones((7, 2))[::step]
    with pytest.raises(IndexError):
        take_rows(x, np.array([0, wrong]))
