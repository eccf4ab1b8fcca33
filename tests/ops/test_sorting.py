"""Sorting, searching and counting beyond their rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucid
from lucid import tensor

numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=40)


@given(numbers, st.booleans())
def test_sort_is_stable_in_both_directions(values, descending):
    found = tensor(values).sort(descending=descending)
    order = sorted(range(len(values)), key=lambda i: -values[i] if descending else values[i])
    assert found.indices.tolist() == order
    assert found.values.tolist() == [values[i] for i in order]


@given(numbers, st.data(), st.booleans())
def test_topk_is_the_head_of_the_sorted(values, data, largest):
    k = data.draw(st.integers(0, len(values)))
    x = tensor(values * 3)
    found = x.topk(k, largest=largest)
    assert found.values.tolist() == x.sort(descending=largest).values[:k].tolist()
    assert x[found.indices].tolist() == found.values.tolist()
    assert len(set(found.indices.tolist())) == k


@given(numbers)
def test_unique_puts_together_again(values):
    x = tensor(values)
    distinct, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    assert distinct.tolist() == sorted(set(values))
    assert distinct[inverse].tolist() == values
    assert counts.tolist() == [values.count(v) for v in distinct.tolist()]
    runs, inverse, counts = x.unique_consecutive(return_inverse=True, return_counts=True)
    assert runs[inverse].tolist() == values
    assert counts.sum().item() == len(values)
    assert not (runs[1:] == runs[:-1])._data.any()


@given(numbers)
def test_kth_mode_and_bincount(values):
    x = tensor(values)
    for k in (1, len(values)):
        assert x.kthvalue(k).values.item() == sorted(values)[k - 1]
    most = max(values.count(v) for v in values)
    assert x.mode().values.item() == min(v for v in values if values.count(v) == most)
    assert values[x.mode().indices.item()] == x.mode().values.item()
    assert (x + 5).bincount(minlength=11).tolist() == [values.count(v) for v in range(-5, 6)]


def test_topk_gradient_reaches_the_chosen():
    x = tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]]).requires_grad_()
    (x.topk(2).values * tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0, 10.0], [0.0, 1.0, 10.0]]


def test_the_indices_of_sort_have_no_gradient():
    found = tensor([2.0, 1.0]).requires_grad_().sort()
    assert found.values.requires_grad
    assert not found.indices.requires_grad


def test_nan_is_the_largest():
    x = tensor([2.0, math.nan, 1.0])
    assert x.sort().indices.tolist() == [2, 0, 1]
    assert x.sort(descending=True).indices.tolist() == [1, 0, 2]
    assert x.topk(1).indices.tolist() == [1]


def test_nonzero_forms():
    x = tensor([[0, 1], [2, 0]])
    assert x.nonzero().tolist() == lucid.argwhere(x).tolist() == [[0, 1], [1, 0]]
    assert [i.tolist() for i in x.nonzero(as_tuple=True)] == [[0, 1], [1, 0]]
    assert tensor(3).nonzero().shape == (1, 0)
    assert lucid.zeros(2, 3).nonzero().shape == (0, 2)


def test_searchsorted_with_a_number_and_a_sorter():
    rows = tensor([5, 1, 3])
    assert lucid.searchsorted(rows, 3, sorter=rows.argsort()).item() == 1
    assert lucid.searchsorted(tensor([1, 3, 5]), 3, right=True).item() == 2
    assert lucid.bucketize(3, tensor([1, 3, 5])).item() == 1


def test_histograms_count_the_last_edge():
    x = tensor([0.0, 0.5, 1.0, 1.0])
    assert lucid.histc(x, 2).tolist() == [1.0, 3.0]
    counts, edges = lucid.histogram(x, tensor([0.0, 0.25, 1.0]))
    assert counts.tolist() == [1.0, 3.0]
    assert edges.tolist() == [0.0, 0.25, 1.0]
    weighted = lucid.histogram(x, 1, weight=tensor([1.0, 2.0, 3.0, 4.0]))
    assert weighted.hist.tolist() == [10.0]
    assert lucid.histc(tensor([2.0, 2.0]), 3).tolist() == [0.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.sort(2), IndexError, r"sort: dim must be in \[-1, 0\]"),
        (lambda x: x.topk(4), RuntimeError, r"topk: k must be in \[0, 3\]"),
        (lambda x: x.topk(1.5), TypeError, "topk: k must be an int"),
        (lambda x: x.kthvalue(0), RuntimeError, r"kthvalue: k must be in \[1, 3\]"),
        (lambda x: x.bincount(), RuntimeError, "bincount: x must be a 1-D tensor of integers"),
        (lambda x: tensor([-1]).bincount(), RuntimeError, "smallest -1"),
        (lambda x: x.histc(0), RuntimeError, "histc: bins must be positive"),
        (lambda x: x.histc(2, 3, 1), RuntimeError, "histc: the range's end"),
        (lambda x: x.to(lucid.int64).histogram(3), TypeError, "histogram: x must be a floating"),
        (lambda x: lucid.searchsorted(x, 1, side="up"), RuntimeError, "searchsorted: side must be"),
        (lambda x: lucid.searchsorted(lucid.ones(2, 3), x), RuntimeError, "searchsorted: x must"),
        (lambda x: lucid.bucketize(x, lucid.ones(2, 2)), RuntimeError, "bucketize: boundaries"),
        (lambda x: x.requires_grad_().unique(), RuntimeError, "has no gradient with respect to x"),
        (lambda x: lucid.sort([1, 2]), TypeError, "sort"),
        (lambda x: lucid.zeros(2, 0).mode(), IndexError, "mode: x must have elements"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call(tensor([3.0, 1.0, 2.0]))


def test_inputs_are_left_alone():
    values = np.array([3.0, 1.0, 2.0])
    values.flags.writeable = False
    x = lucid.from_numpy(values)
    for name in ("sort", "argsort", "unique", "mode", "nonzero"):
        getattr(lucid, name)(x)
    assert values.tolist() == [3.0, 1.0, 2.0]
