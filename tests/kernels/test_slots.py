"""Reading a slot of many objects."""

from __future__ import annotations

import sys

import pytest

from lucid._kernels.slots import Slot, types


class Point:
    __slots__ = ("x", "y")

    def __init__(self, x, y=None):
        self.x, self.y = x, y


class Pixel(Point):
    __slots__ = ()


X, Y = Slot(Point.x), Slot(Point.y)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000])
def test_the_values_come_in_order(count):
    values = [object() for _ in range(count)]
    points = [Pixel(v) if i % 2 else Point(v) for i, v in enumerate(values)]
    assert X.distinct(points) == values
    assert Y.distinct(points) == []


@pytest.mark.parametrize("count", [3, 15, 17, 1000])
def test_each_value_comes_once_and_none_not_at_all(count):
    values = [object() for _ in range(count)]
    points = [Point(v) for v in (*values, None, *reversed(values))]
    assert X.distinct(points) == values


def test_equal_values_that_are_not_the_same_object_both_count():
    assert X.distinct([Point([1]), Point([1])]) == [[1], [1]]


def test_a_slot_that_was_never_set_is_left_out():
    assert X.distinct([Point.__new__(Point), Point(1)]) == [1]


@pytest.mark.parametrize("count", [2, 40])
def test_references_are_counted(count):
    value = object()
    before = sys.getrefcount(value)
    points = [Point(value) for _ in range(count)]
    found = X.distinct(points)
    assert sys.getrefcount(value) == before + count + 1
    del found, points
    assert sys.getrefcount(value) == before


def test_increment():
    points = [Point(0), Pixel(10**20), Point(255)]
    X.increment(points)
    X.increment(points)
    assert [p.x for p in points] == [2, 10**20 + 2, 257]


def test_a_slot_that_was_never_set_cannot_be_incremented():
    with pytest.raises(AttributeError, match="object 1 was never set"):
        X.increment([Point(1), Point.__new__(Point)])


@pytest.mark.parametrize("read", [X.distinct, X.increment])
@pytest.mark.parametrize("count", [2, 40])
def test_another_class_is_refused_by_position(read, count):
    with pytest.raises(TypeError, match=rf"object {count} must be a Point; got str"):
        read([Point(1) for _ in range(count)] + ["point"])


@pytest.mark.parametrize("not_a_slot", [Point, Point.__init__, 3, type.__dict__["__dictoffset__"]])
def test_only_slots_can_be_read(not_a_slot):
    with pytest.raises(TypeError, match="must be a slot"):
        Slot(not_a_slot)


def test_types():
    assert types([]) == []
    assert types([Point(1), Pixel(1), Point(2), 3]) == [Point, Pixel, int]
