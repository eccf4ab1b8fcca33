"""The kernels that take and add rows at indices, and those on bags of rows, against NumPy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid._backend import bags as backend
from lucid._kernels import indexing
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


# -------------------------------------------------------------------- bags

ROWS, PADDING = 11, 4


class Reference:
    """Bags one row after the other, in float64."""

    def __init__(self, index, bounds, padding, mean):
        self.bags = [
            [(i, index[i]) for i in range(start, stop) if index[i] != padding]
            for start, stop in itertools.pairwise(bounds)
        ]
        self.mean = mean

    def entries(self):
        for b, bag in enumerate(self.bags):
            for i, row in bag:
                yield b, i, row, 1 / len(bag) if self.mean else 1

    def sum(self, table, factor):
        out = np.zeros((len(self.bags), table.shape[1]))
        for b, i, row, share in self.entries():
            out[b] += share * factor[i] * table[row].astype(float)
        return out

    def sum_backward(self, g, factor, rows):
        out = np.zeros((rows, g.shape[1]))
        for b, i, row, share in self.entries():
            out[row] += share * factor[i] * g[b].astype(float)
        return out

    def products(self, g, table, entries):
        out = np.zeros(entries)
        for b, i, row, share in self.entries():
            out[i] = share * (g[b].astype(float) @ table[row].astype(float))
        return out

    def max(self, table):
        place = np.full((len(self.bags), table.shape[1]), -1)
        for b, bag in enumerate(self.bags):
            rows = [row for _, row in bag]
            if rows:
                place[b] = np.array(rows)[table[rows].argmax(0)]
        found = np.take_along_axis(table, np.maximum(place, 0), 0)
        return np.where(place < 0, 0, found), place


def bags_of(rng, sizes, beyond=0):
    """Random entries for bags of ``sizes``, with some behind the last bag."""
    bounds = np.append(0, np.cumsum(sizes)).astype(np.intp)
    return rng.integers(0, ROWS, bounds[-1] + beyond), bounds


def check_bags(rng, dtype, width, index, bounds, padding, rtol, module=indexing):
    table = rng.integers(-9, 10, (ROWS, width)).astype(dtype) / 4  # with equal ones
    g = rng.standard_normal((bounds.size - 1, width)).astype(dtype)
    factor = rng.standard_normal(index.size).astype(dtype)
    close = {"rtol": rtol, "atol": 20 * rtol}
    for mean in (False, True):
        bags = Reference(index, bounds, padding, mean)
        for f in (None, factor):
            given = np.ones(index.size) if f is None else f
            found = module.bag_sum(table, f, index, bounds, mean, padding)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, bags.sum(table, given), **close)
            found = module.bag_sum_backward(g, f, ROWS, index, bounds, mean, padding)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, bags.sum_backward(g, given, ROWS), **close)
        found = module.bag_products(g, table, index, bounds, mean, padding)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, bags.products(g, table, index.size), **close)
    out, place = module.bag_max(table, index, bounds, padding)
    expected, where = bags.max(table)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(place, where)
    expected = np.zeros((ROWS, width))
    for b, j in zip(*np.nonzero(where >= 0), strict=True):
        expected[where[b, j], j] += g[b, j]
    found = module.bag_max_backward(g, place, ROWS)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, **close)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 2e-6), (np.float64, 4e-15)])
@pytest.mark.parametrize("width", [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 130])
@pytest.mark.parametrize("padding", [-1, PADDING])
def test_bags(rng, dtype, rtol, width, padding):
    sizes = [0, 1, 2, 3, 0, 4, 5, 7, 8, 9, 13, 0]
    check_bags(rng, dtype, width, *bags_of(rng, sizes), padding, rtol)
    check_bags(rng, dtype, width, *bags_of(rng, [3, 1], beyond=2), padding, rtol)
    check_bags(rng, dtype, width, *bags_of(rng, [], beyond=2), padding, rtol)
    check_bags(rng, dtype, width, *bags_of(rng, []), padding, rtol)
    check_bags(rng, dtype, width, np.full(5, PADDING), np.array([0, 2, 5]), padding, rtol)


@pytest.mark.parametrize("width", [0, 1, 5, 33])
@pytest.mark.parametrize("padding", [-1, PADDING])
def test_bags_of_float16(rng, width, padding):
    index, bounds = bags_of(rng, [0, 1, 2, 9, 0], beyond=1)
    check_bags(rng, np.float16, width, index, bounds, padding, 2e-3, backend)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bags_with_threads_have_the_same_bits(rng, dtype):
    bounds = np.append(0, np.cumsum(rng.integers(0, 60, 400)))
    index = rng.integers(0, 500, bounds[-1])
    table = rng.standard_normal((500, 200)).astype(dtype)
    g = rng.standard_normal((400, 200)).astype(dtype)
    factor = rng.standard_normal(index.size).astype(dtype)

    def results():
        out, place = indexing.bag_max(table, index, bounds, 3)
        return [
            indexing.bag_sum(table, factor, index, bounds, True, 3),
            indexing.bag_sum_backward(g, factor, 500, index, bounds, True, 3),
            indexing.bag_products(g, table, index, bounds, True, 3),
            out, place, indexing.bag_max_backward(g, place, 500),
        ]  # fmt: skip

    before = lucid.get_num_threads()
    try:
        lucid.set_num_threads(1)
        alone = results()
        lucid.set_num_threads(2)
        for _ in range(5):
            for x, y in zip(results(), alone, strict=True):
                assert x.tobytes() == y.tobytes()
    finally:
        lucid.set_num_threads(before)


def test_bags_in_any_layout(rng):
    index, bounds = bags_of(rng, [2, 0, 5, 4])
    table, g = rng.standard_normal((ROWS, 6)), rng.standard_normal((4, 6))
    factor = rng.standard_normal(index.size)
    plain = indexing.bag_sum(table, factor, index, bounds, False, -1)
    back = indexing.bag_sum_backward(g, factor, ROWS, index, bounds, False, -1)
    each = indexing.bag_products(g, table, index, bounds, False, -1)
    for array in (table, g, factor, index, bounds):
        array.flags.writeable = False
    spaced = [np.repeat(a, 2, -1)[..., ::2] for a in (table, g, factor, index, bounds)]
    for t, x, f, i, b in (
        (table, g, factor, index, bounds),
        spaced,
        (np.asfortranarray(table), np.asfortranarray(g), factor, index.astype(np.int8), bounds),
    ):
        np.testing.assert_array_equal(indexing.bag_sum(t, f, i, b, False, -1), plain)
        np.testing.assert_array_equal(indexing.bag_sum_backward(x, f, ROWS, i, b, False, -1), back)
        np.testing.assert_array_equal(indexing.bag_products(x, t, i, b, False, -1), each)


def test_the_maximum_is_the_first_or_nan():
    nan = np.nan
    table = np.array([[1, 1, 1, -np.inf], [2, nan, nan, -np.inf], [2, 5, nan, -np.inf]])
    for dtype in (np.float16, np.float32, np.float64):
        out, place = backend.bag_max(table.astype(dtype), np.arange(3), np.array([0, 3]), -1)
        np.testing.assert_array_equal(out, [[2, nan, nan, -np.inf]])
        np.testing.assert_array_equal(place, [[1, 1, 1, 0]])


@pytest.mark.parametrize(
    ("index", "bounds"),
    [
        ([0, ROWS], [0, 2]),
        ([-1, 0], [0, 2]),
        ([0, 1], [1, 2]),
        ([0, 1], [0, 3]),
        ([0, 1], [0, 2, 1]),
        ([0, 1], [0, -1, 2]),
        ([], [0, 1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bags_that_do_not_exist_are_refused(dtype, index, bounds):
    table, g = np.ones((ROWS, 3), dtype), np.ones((len(bounds) - 1, 3), dtype)
    bags = np.array(index, np.intp), np.array(bounds)
    with pytest.raises(IndexError, match="bags"):
        backend.bag_sum(table, None, *bags, False, -1)
    with pytest.raises(IndexError, match="bags"):
        backend.bag_sum_backward(g, None, ROWS, *bags, False, -1)
    with pytest.raises(IndexError, match="bags"):
        backend.bag_products(g, table, *bags, False, -1)
    with pytest.raises(IndexError, match="bags"):
        backend.bag_max(table, *bags, -1)


def test_shapes_of_bags_are_checked():
    table, index, bounds = np.ones((3, 2)), np.arange(3), np.array([0, 3])
    for call in (
        lambda: indexing.bag_sum(np.ones(3), None, index, bounds, False, -1),
        lambda: indexing.bag_sum(np.ones((3, 2), int), None, index, bounds, False, -1),
        lambda: indexing.bag_sum(table, np.ones(2), index, bounds, False, -1),
        lambda: indexing.bag_sum(table, None, index[None], bounds, False, -1),
        lambda: indexing.bag_sum(table, None, index, bounds[:0], False, -1),
        lambda: indexing.bag_sum_backward(np.ones((2, 2)), None, 3, index, bounds, False, -1),
        lambda: indexing.bag_products(np.ones((1, 3)), table, index, bounds, False, -1),
        lambda: indexing.bag_max_backward(np.ones((1, 3)), np.zeros((1, 2), int), 3),
        lambda: indexing.bag_max_backward(np.ones(3), np.zeros(3, int), 3),
    ):
        with pytest.raises(ValueError, match="bags"):
            call()


@pytest.mark.skipif("LUCID_SIMD" in os.environ, reason="runs this file at each lower level")
@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_bags_at_each_level(level):
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-k", "bags", __file__],
        cwd=Path(__file__).parents[2], env={**os.environ, "LUCID_SIMD": level},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
