"""The tape's compiled classes: how they are made, counted and collected; fields of many tensors."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid._core.tape import (
    Field,
    Memory,
    Variable,
    classes,
    fits,
    memory_of,
    new_node,
    note_writes,
    owns_its_memory,
    wrap,
)

DATA, GRAD = Field("_data"), Field("_grad")


def tensors_with(values):
    """Tensors, every other one a Parameter, whose gradients are ``values``."""
    made = [wrap(np.zeros(1)) if i % 2 else nn.Parameter([0.0]) for i in range(len(values))]
    for tensor, value in zip(made, values, strict=True):
        tensor._grad = value
    return made


# -------------------------------------------------------------------- one field of many tensors


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000])
def test_the_values_come_in_order(count):
    values = [object() for _ in range(count)]
    tensors = tensors_with(values)
    assert GRAD.distinct(tensors) == values
    assert GRAD.values(tensors) == values
    assert Field("_base").distinct(tensors) == []


def test_every_field():
    x = lucid.ones(2, requires_grad=True)
    view, other = x.detach(), lucid.zeros(2)
    x.grad = other
    found = {name: Field(name).values([x, view]) for name in ("_grad", "_base", "_requires_grad")}
    assert found["_grad"] == [other]
    assert found["_base"] == [x]
    assert found["_requires_grad"] == [True, False]
    assert [array is x._data for array in DATA.values([x, view])] == [True, True]
    assert len(DATA.distinct([x, view])) == 1


def test_values_may_repeat_but_none_is_left_out():
    one, two = object(), object()
    assert GRAD.values(tensors_with([one, None, two, one])) == [one, two, one]


@pytest.mark.parametrize("count", [3, 15, 17, 1000])
def test_each_value_comes_once_and_none_not_at_all(count):
    values = [object() for _ in range(count)]
    assert GRAD.distinct(tensors_with([*values, None, *reversed(values)])) == values


@pytest.mark.parametrize("read", [GRAD.distinct, GRAD.values])
@pytest.mark.parametrize("count", [3, 400])
def test_values_that_the_garbage_collector_takes_away_while_they_are_read(read, count):
    class Finalizer:
        def __del__(self):
            for tensor in tensors:
                tensor._grad = None

    tensors = tensors_with([[i] for i in range(count)])
    cycle = Finalizer()
    cycle.itself = cycle
    del cycle
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        found = read(tensors)
    finally:
        gc.set_threshold(*threshold)
    assert found in ([], [[i] for i in range(count)])


def test_equal_values_that_are_not_the_same_object_both_count():
    assert GRAD.distinct(tensors_with([[1], [1]])) == [[1], [1]]


@pytest.mark.parametrize("count", [2, 40])
def test_references_are_counted(count):
    value = object()
    before = sys.getrefcount(value)
    tensors = tensors_with([value] * count)
    found = GRAD.distinct(tensors)
    assert sys.getrefcount(value) == before + count + 1
    del found, tensors
    assert sys.getrefcount(value) == before


@pytest.mark.parametrize("read", [DATA.distinct, DATA.values])
@pytest.mark.parametrize("count", [2, 40])
def test_what_is_no_tensor_is_refused_by_position(read, count):
    with pytest.raises(TypeError, match=rf"object {count} must be a Tensor; got str"):
        read([lucid.ones(1) for _ in range(count)] + ["tensor"])


def test_an_unknown_field():
    with pytest.raises(ValueError, match=r"name must be one of _data, .*; got 'shape'"):
        Field("shape")


def test_classes():
    assert classes([]) == []
    x, p = lucid.ones(1), nn.Parameter([1.0])
    assert classes([x, p, x, 3]) == [lucid.Tensor, nn.Parameter, int]


# -------------------------------------------------------------------- tensors, memory, nodes


def test_a_new_tensor():
    array = np.ones(3)
    made = wrap(array)
    assert type(made) is lucid.Tensor
    assert made._data is array
    assert made._requires_grad is False
    found = [made._node, made._grad, made._memory, made._base, made._view, made._generation]
    assert found == [None] * 5 + [0]
    assert made.__dict__ == {}


def test_what_is_made_is_counted_and_collected():
    array = np.ones(3)
    before = sys.getrefcount(array)
    made = [wrap(array) for _ in range(3)]
    assert sys.getrefcount(array) == before + 3
    made[0].itself = made[0]  # a cycle, which only the garbage collector finds
    made[1]._grad = made[1]
    del made
    gc.collect()
    assert sys.getrefcount(array) == before


def test_a_cycle_through_a_node_is_collected():
    x = lucid.ones(2, requires_grad=True)
    y = x * 2
    node = weakref.ref(y._node)
    y._node.register_hook(lambda g, y=y: None)
    del y
    gc.collect()
    assert node() is None


def test_the_class_is_counted():
    before = sys.getrefcount(lucid.Tensor)
    made = [wrap(np.ones(1)) for _ in range(10)]
    held = sys.getrefcount(lucid.Tensor)
    del made
    assert (held, sys.getrefcount(lucid.Tensor)) == (before + 10, before)


def test_memory_is_shared_with_views_and_counts_writes():
    x = lucid.zeros(4)
    assert x._memory is None
    memory = memory_of(x[1:])
    assert type(memory) is Memory
    assert memory_of(x) is memory
    note_writes([x, x[1:], lucid.zeros(1)])
    assert memory.version == x._version == 2


def test_what_a_tensor_knows_must_be_of_its_kind():
    x = lucid.ones(1)
    for name, value in (("_memory", 1), ("_base", "x"), ("_view", x), ("_generation", None)):
        with pytest.raises(TypeError):
            setattr(x, name, value)
    for refused in (memory_of, note_writes):
        with pytest.raises((TypeError, AttributeError)):
            refused(None)


@pytest.mark.parametrize(
    ("gradient", "fitting"),
    [
        (np.ones((2, 3)), True),
        (np.ones((3, 2)).T, True),
        (np.ones((2, 3), np.float32), False),
        (np.ones((2, 3), ">f8"), False),
        (np.ones((2, 1)), False),
        (np.ones((2, 3, 1)), False),
        (np.ones(()), False),
        (1.0, False),
        (np.float64(1), False),
        (lucid.ones(2, 3, dtype=lucid.float64), True),
        (lucid.ones(2, 3), False),
    ],
)
def test_a_gradient_fits_an_edge(gradient, fitting):
    like = np.zeros((2, 3))
    node = new_node(None, (), (), (), like)
    assert fits(gradient, node) is fitting
    assert fits(gradient, wrap(like)) is fitting


def test_memory_of_its_own():
    array = np.ones((2, 3))
    assert owns_its_memory(array)
    assert not owns_its_memory(array[:])
    assert not owns_its_memory(np.asfortranarray(array))
    array.flags.writeable = False
    assert not owns_its_memory(array)


def test_a_plain_variable_is_no_tensor():
    with pytest.raises(TypeError, match="not safe"):
        object.__new__(lucid.Tensor)
    assert not isinstance(Variable.__new__(Variable), lucid.Tensor)
