"""Reading a slot of many objects."""

from __future__ import annotations

import gc
import sys

import pytest

from lucid._kernels.slots import Maker, Slot, classes


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


def test_values_may_repeat_but_none_is_left_out():
    one, two = object(), object()
    points = [Point(v) for v in (one, None, two, one)]
    assert X.values([*points, Point.__new__(Point)]) == [one, two, one]


@pytest.mark.parametrize("count", [3, 15, 17, 1000])
def test_each_value_comes_once_and_none_not_at_all(count):
    values = [object() for _ in range(count)]
    points = [Point(v) for v in (*values, None, *reversed(values))]
    assert X.distinct(points) == values


@pytest.mark.parametrize("read", [X.distinct, X.values])
@pytest.mark.parametrize("count", [3, 400])
def test_values_that_the_garbage_collector_takes_away_while_they_are_read(read, count):
    class Finalizer:
        def __del__(self):
            for point in points:
                point.x = None

    points = [Point([i]) for i in range(count)]
    cycle = Finalizer()
    cycle.itself = cycle
    del cycle
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        found = read(points)
    finally:
        gc.set_threshold(*threshold)
    assert found in ([], [[i] for i in range(count)])


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
    counters = [Point(0), Pixel(10**20), Point(255)]
    owners = [Point(None), *(Point(None, c) for c in counters), Point.__new__(Point)]
    X.increment(owners, Y)
    X.increment(owners, Y)
    assert [c.x for c in counters] == [2, 10**20 + 2, 257]


def test_what_was_never_set_cannot_be_incremented():
    with pytest.raises(AttributeError, match="object 1 was never set"):
        X.increment([Point(1, Point(1)), Point(1, Point.__new__(Point))], Y)


def test_what_is_incremented_must_have_the_slot():
    with pytest.raises(TypeError, match="object 0 must be a Point; got int"):
        X.increment([Point(1, 2)], Y)


@pytest.mark.parametrize("read", [X.distinct, X.values, lambda points: X.increment(points, Y)])
@pytest.mark.parametrize("count", [2, 40])
def test_another_class_is_refused_by_position(read, count):
    with pytest.raises(TypeError, match=rf"object {count} must be a Point; got str"):
        read([Point(1) for _ in range(count)] + ["point"])


@pytest.mark.parametrize("not_a_slot", [Point, Point.__init__, 3, type.__dict__["__dictoffset__"]])
def test_only_slots_can_be_read(not_a_slot):
    with pytest.raises(TypeError, match="must be a slot"):
        Slot(not_a_slot)


def test_classes():
    assert classes([]) == []
    assert classes([Point(1), Pixel(1), Point(2), 3]) == [Point, Pixel, int]


def test_a_maker_sets_what_it_is_given_and_what_is_always_the_same():
    make = Maker(Pixel, "x", y=7)
    made = make("left")
    assert type(made) is Pixel
    assert (made.x, made.y) == ("left", 7)
    made.y = 8
    assert make("right").y == 7


def test_what_a_maker_makes_is_counted_and_collected():
    value = object()
    before = sys.getrefcount(value)
    made = [Maker(Point, "x", y=value)(value) for _ in range(3)]
    assert sys.getrefcount(value) == before + 6
    made[0].y = made[0]  # a cycle, which only the garbage collector finds
    del made
    gc.collect()
    assert sys.getrefcount(value) == before


def test_the_class_is_counted():
    before = sys.getrefcount(Point)
    made = [Maker(Point, "x", y=None)(i) for i in range(10)]
    assert sys.getrefcount(Point) == before + len(made)
    del made
    slots = [Slot(Point.x) for _ in range(10)]
    del slots
    assert sys.getrefcount(Point) == before


def test_a_maker_wants_all_values():
    with pytest.raises(TypeError, match="expected 2 values for a Point; got 1"):
        Maker(Point, "x", "y")(1)


@pytest.mark.parametrize("name", ["z", "__init__"])
def test_a_maker_knows_only_slots(name):
    with pytest.raises((AttributeError, TypeError)):
        Maker(Point, name)
