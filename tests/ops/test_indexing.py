"""Indexing: the whole grammar by hypothesis, writing, gradients of repeated indices, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lucid
from lucid.errors import ShapeError

SHAPE = (3, 4, 2)


def keys():
    basic = hnp.basic_indices(SHAPE, allow_newaxis=True, allow_ellipsis=True)
    integers = hnp.integer_array_indices(
        SHAPE, result_shape=hnp.array_shapes(max_dims=2, max_side=3)
    )
    masks = hnp.arrays(np.bool_, SHAPE)
    mixed = st.tuples(
        hnp.arrays(np.int64, st.integers(1, 4), elements=st.integers(-3, 2)),
        st.sampled_from([slice(None), slice(None, None, -2), 1, None]),
    )
    rows = hnp.arrays(np.int64, st.integers(0, 5), elements=st.integers(-3, 2))
    return st.one_of(basic, integers, masks, mixed, rows)


@settings(max_examples=150, deadline=None)
@given(keys())
def test_reading_and_its_gradient(key):
    array = np.arange(24.0).reshape(SHAPE)
    x = lucid.tensor(array, requires_grad=True)
    out = x[key]
    np.testing.assert_array_equal(out.detach().numpy(), array[key])
    weights = np.cos(np.arange(out.numel())).reshape(out.shape)
    (out * lucid.tensor(weights)).sum().backward()
    expected = np.zeros(SHAPE)
    np.add.at(expected, key, weights)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(keys())
def test_writing_and_its_gradient(key):
    array = np.arange(24.0).reshape(SHAPE)
    leaf = lucid.tensor(array, requires_grad=True)
    value = lucid.tensor(100.0, dtype=lucid.float64, requires_grad=True)
    x = leaf * 1
    x[key] = value
    expected = array.copy()
    expected[key] = 100
    np.testing.assert_array_equal(x.detach().numpy(), expected)
    x.sum().backward()
    kept = np.ones(SHAPE)
    kept[key] = 0
    np.testing.assert_array_equal(leaf.grad.numpy(), kept)
    assert value.grad.item() == array[key].size


def test_tensors_lists_and_ranges_index():
    x = lucid.arange(12).reshape(3, 4)
    assert x[lucid.tensor([2, 0]), lucid.tensor(1)].tolist() == [9, 1]
    assert x[[0, 2]].tolist() == x[range(0, 3, 2)].tolist() == x[::2].tolist()
    assert x[lucid.tensor([True, False, True])].tolist() == x[::2].tolist()
    assert x[[True, False, True], 0].tolist() == [0, 8]
    assert x[[]].shape == (0, 4)
    assert x[True].shape == (1, 3, 4)
    assert x[lucid.tensor(1) :].shape == (2, 4)
    assert x[np.int64(1), np.array(2)].item() == 6
    assert x[..., None].shape == (3, 4, 1)


def test_repeated_indices_add_up():
    x = lucid.zeros(3, 2, requires_grad=True)
    x[[0, 0, 2, 0]].sum().backward()
    assert x.grad.tolist() == [[3, 3], [0, 0], [1, 1]]


def test_an_index_changed_after_the_call_does_not_change_the_gradient():
    index = lucid.tensor([0, 1])
    x = lucid.zeros(3, requires_grad=True)
    results = x[index].sum() + x.gather(0, index).sum() + lucid.index_select(x, 0, index).sum()
    index[0] = 2
    results.backward()
    assert x.grad.tolist() == [3, 3, 0]


def test_values_of_setitem():
    x = lucid.zeros(2, 3)
    x[0] = 1
    x[1] = lucid.tensor([1, 2, 3])
    x[:, 0] = np.array([7.0, 8.0])
    x[None, 1, 1:] = lucid.tensor([[5.0, 6.0]])
    assert x.tolist() == [[7, 1, 1], [8, 5, 6]]
    n = lucid.zeros(2, dtype=lucid.int64)
    n[0] = 2.7
    assert n.tolist() == [2, 0]
    x[x > 5] = 0.0
    assert x.tolist() == [[0, 1, 1], [0, 5, 0]]
    x[1:] = x[:1]
    x[0, 1:] = x[0, :2]
    assert x.tolist() == [[0, 0, 1], [0, 1, 1]]


def test_a_value_with_more_dimensions_gets_a_gradient_of_its_shape():
    x = lucid.zeros(2, 3)
    value = lucid.ones(1, 1, 3, requires_grad=True)
    x[0] = value
    (x * 2).sum().backward()
    assert value.grad.tolist() == [[[2, 2, 2]]]


def test_in_place_forms_agree_with_the_others():
    index = lucid.tensor([[0, 1], [2, 0]])
    line = lucid.tensor([2, 0])
    source = lucid.tensor([[1.0, 2.0], [3.0, 4.0]])
    wide = lucid.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for name, args in {
        "scatter": (1, index, source),
        "scatter_add": (1, index, source),
        "index_add": (0, line, wide),
        "index_copy": (0, line, wide),
        "index_fill": (0, line, 7.0),
        "index_put": ((line, line), lucid.tensor([8.0, 9.0])),
        "masked_scatter": (lucid.tensor([True, False, True]), lucid.arange(6.0)),
    }.items():
        x = lucid.ones(3, 3)
        expected = getattr(x, name)(*args)
        out = getattr(x, name + "_")(*args)
        assert out is x
        assert x.tolist() == expected.tolist() != [[1.0] * 3] * 3, name


def test_in_place_gradients_on_a_view():
    leaf = lucid.zeros(3, 3, requires_grad=True)
    source = lucid.ones(2, requires_grad=True)
    base = leaf * 1
    base[1].index_add_(0, lucid.tensor([0, 0]), source)
    base.t()[2].scatter_(0, lucid.tensor([1, 2]), source * 3)
    (base * lucid.arange(9.0).reshape(3, 3)).sum().backward()
    assert base.tolist() == [[0, 0, 0], [2, 0, 3], [0, 0, 3]]
    assert leaf.grad.tolist() == [[0, 1, 2], [3, 4, 0], [6, 7, 0]]
    assert source.grad.tolist() == [3 + 3 * 5, 3 + 3 * 8]


def test_put_():
    x = lucid.arange(6.0).reshape(2, 3).clone()
    x.t().put_(lucid.tensor([1, -1]), lucid.tensor([10.0, 20.0]))
    assert x.tolist() == [[0, 1, 2], [10, 4, 20]]
    x.put_(lucid.tensor([0, 0]), lucid.tensor([1.0, 1.0]), accumulate=True)
    assert x[0, 0].item() == 2


def test_scatter_takes_the_part_of_src_that_the_index_covers():
    src = lucid.ones(2, 3, requires_grad=True)
    lucid.scatter_add(lucid.zeros(2, 3), 1, lucid.tensor([[0, 1]]), src).sum().backward()
    assert src.grad.tolist() == [[1, 1, 0], [0, 0, 0]]


def test_scatter_with_reduce():
    x, index = lucid.full((3,), 2.0), lucid.tensor([0, 0, 2])
    src = lucid.tensor([3.0, 4.0, 5.0])
    assert x.scatter(0, index, src, reduce="add").tolist() == [9, 2, 7]
    assert x.scatter(0, index, src, reduce="multiply").tolist() == [24, 2, 10]
    assert x.scatter_(0, index, 3.0, reduce="multiply") is x
    assert x.tolist() == [18, 2, 6]


def test_ties_of_scatter_reduce_share_the_gradient():
    x = lucid.tensor([1.0], requires_grad=True)
    src = lucid.tensor([1.0, 1.0, 0.0], requires_grad=True)
    x.scatter_reduce(0, lucid.tensor([0, 0, 0]), src, "amax").sum().backward()
    np.testing.assert_allclose(
        [*x.grad.tolist(), *src.grad.tolist()], [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6
    )


X = lucid.zeros(2, 3)
ERRORS = {
    "out of range": (lambda: X[2], IndexError, r"getitem: index 2 .* shape \(2, 3\)"),
    "rows out of range": (lambda: X[[0, 5]], IndexError, "getitem: index 5"),
    "too many": (lambda: X[0, 0, 0], IndexError, "too many indices"),
    "float": (lambda: X[1.0], IndexError, "got float"),
    "float tensor": (lambda: X[lucid.ones(2)], IndexError, "integer or bool; got float32"),
    "mask shape": (lambda: X[lucid.tensor([True])], IndexError, "boolean index"),
    "setitem shape": (lambda: X.__setitem__(0, lucid.ones(2)), ShapeError, "value does not fit"),
    "setitem range": (lambda: X.__setitem__(5, 1.0), IndexError, "setitem: index 5"),
    "setitem complex": (lambda: X.__setitem__(0, 1j), RuntimeError, "complex"),
    "gather range": (lambda: X.gather(1, lucid.tensor([[3]])), IndexError, r"\[0, 3\)"),
    "gather negative": (lambda: X.gather(1, lucid.tensor([[-1]])), IndexError, "got -1"),
    "gather dims": (lambda: X.gather(1, lucid.tensor([0])), ShapeError, "as many dimensions"),
    "gather size": (
        lambda: X.gather(1, lucid.zeros(3, 1, dtype=lucid.int64)),
        ShapeError,
        "larger",
    ),
    "gather float": (lambda: X.gather(1, lucid.ones(1, 1)), IndexError, "must hold integers"),
    "scatter src": (
        lambda: X.scatter(1, lucid.tensor([[0, 1]]), lucid.ones(1, 1)),
        ShapeError,
        "src",
    ),
    "scatter dtype": (
        lambda: X.scatter(1, lucid.tensor([[0]]), lucid.ones(1, 1, dtype=lucid.float64)),
        RuntimeError,
        "dtype float32",
    ),
    "scatter reduce": (
        lambda: X.scatter(1, lucid.tensor([[0]]), 1.0, reduce="mean"),
        ValueError,
        '"add" or "multiply"',
    ),
    "scatter_reduce": (
        lambda: X.scatter_reduce(1, lucid.tensor([[0]]), X, "median"),
        ValueError,
        "amin",
    ),
    "index_select": (lambda: X.index_select(1, lucid.tensor([3])), IndexError, "index_select"),
    "index_add": (
        lambda: X.index_add(0, lucid.tensor([0]), lucid.ones(3)),
        ShapeError,
        r"\(1, 3\)",
    ),
    "take": (lambda: X.take(lucid.tensor([6])), IndexError, r"\[-6, 6\)"),
    "masked_select": (lambda: X.masked_select(lucid.ones(2, 3)), RuntimeError, "mask must be bool"),
    "masked_scatter": (
        lambda: X.masked_scatter(lucid.ones(3, dtype=lucid.bool), lucid.ones(2)),
        ShapeError,
        "6 in the mask",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
    assert not X._data.any()


@pytest.mark.parametrize("key", [np.s_[:, ::2], np.s_[::-1, :50], np.s_[...], np.s_[None, 1:]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_large_values_written_to_slices(key, dtype):
    x = np.arange(20_000.0).reshape(100, 200)
    expected, out = x.copy(), lucid.tensor(x)
    value = -x[key].astype(dtype)
    expected[key] = value[::-1]
    out[key] = lucid.tensor(value).flip(0)
    np.testing.assert_array_equal(out.numpy(), expected)
    with pytest.raises(ShapeError, match="setitem"):
        out[3, 4] = lucid.tensor(x)
    with pytest.raises(ShapeError, match="setitem"):
        out[:50] = lucid.tensor(x)
    np.testing.assert_array_equal(out.numpy(), expected)
