"""The tape and the backward pass: what every operation relies on."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import lucid
from lucid._core.tensor import wrap
from lucid.errors import GraphFreedError, InPlaceError, NonFiniteError


def leaf(*values, dtype=None):
    return lucid.tensor(list(values), dtype=dtype, requires_grad=True)


# -------------------------------------------------------------------- accumulation


def test_a_tensor_used_twice_gets_both_contributions():
    x = leaf(2.0, 3.0)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]


def test_two_backward_passes_add_up_in_the_same_array():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    before = x.grad
    (x * 3).sum().backward()
    assert x.grad is before
    assert x.grad.tolist() == [5.0, 5.0]


@pytest.mark.parametrize("operation", [lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y])
def test_gradients_own_their_memory(operation):
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    operation(x, y).sum().backward()
    gx, gy = x.grad._data, y.grad._data
    assert not np.shares_memory(gx, gy)
    assert gx.flags.owndata
    assert gx.flags.writeable
    gx += 1
    assert not (gy == gx).all()


@pytest.mark.parametrize("held", [False, True])
def test_a_gradient_is_copied_only_where_somebody_else_holds_it(held):
    seen, keep = [], []

    class Identity(lucid.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            array = np.ones(3, np.float32)
            seen.append(weakref.ref(array))
            keep.extend([array] if held else [])
            return wrap(array)

    x = leaf(1.0, 2.0, 3.0)
    Identity.apply(x).sum().backward()
    assert (x.grad._data is seen[0]()) is not held
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_a_gradient_given_by_the_user_is_not_taken_over():
    x = leaf(1.0, 2.0)
    g = lucid.tensor([1.0, 1.0])
    (x + 0).backward(g)
    x.grad.mul_(5)
    assert g.tolist() == [1.0, 1.0]


def test_broadcasting_is_undone_by_axis():
    x = lucid.ones(3, 1, requires_grad=True)
    y = lucid.ones(4, requires_grad=True)
    z = lucid.tensor(1.0, requires_grad=True)
    (x * y * z).sum().backward()
    assert x.grad.shape == (3, 1)
    assert x.grad.tolist() == [[4.0], [4.0], [4.0]]
    assert y.grad.tolist() == [3.0] * 4
    assert z.grad.shape == ()
    assert z.grad.item() == 12.0


def test_promotion_is_undone():
    x = leaf(1.0, 2.0)
    y = leaf(3.0, 4.0, dtype=lucid.float64)
    out = x * y
    assert out.dtype == lucid.float64
    out.sum().backward()
    assert x.grad.dtype == lucid.float32
    assert y.grad.dtype == lucid.float64


def test_float32_stays_float32():
    x = leaf(1.0, 2.0)
    out = ((x * 2.5 + 1) / 3 - 0.5).sum()
    assert out.dtype == lucid.float32
    out.backward()
    assert x.grad.dtype == lucid.float32


# -------------------------------------------------------------------- depth, freeing, leaks


def test_a_chain_of_100_000_operations_is_built_walked_and_freed():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert x.grad.tolist() == [1.0]
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None


def test_a_deep_chain_is_freed_without_backward_and_with_create_graph():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    (g,) = lucid.autograd.grad(y, x, create_graph=True)
    del y, g


def test_a_finished_step_leaves_nothing_alive():
    x = leaf(1.0, 2.0)
    gc.collect()
    gc.disable()
    try:
        a = x * x
        b = lucid.exp(a)
        c = (b + a).sum()
        nodes = [weakref.ref(t.grad_fn) for t in (a, b, c)]
        tensors = [weakref.ref(t) for t in (a, b, c)]
        c.backward()
        del a, b, c
        # Reference counting alone must do: no cycles for the collector.
        assert [ref() for ref in nodes + tensors] == [None] * 6
    finally:
        gc.enable()


def test_no_memory_grows_over_10_000_steps():
    x = leaf(*([1.0] * 64))
    w = lucid.ones(64)

    def step():
        x.grad = None
        (lucid.exp(x * 0.01) * w).sum().backward()

    for _ in range(100):
        step()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10_000):
            step()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()


def test_only_what_a_rule_needs_is_kept():
    x = leaf(*([1.0] * 1000))
    big = x + 1.0
    array = weakref.ref(big._data)
    total = (big + 2.0).sum()
    del big
    assert array() is None, "add keeps nothing, so the intermediate array is gone"
    total.backward()


def test_an_input_is_kept_only_for_the_gradient_that_needs_it():
    x = leaf(1.0, 2.0)
    w = lucid.tensor([3.0, 4.0])
    values = x * 1.0
    array = weakref.ref(values._data)
    out = values * w  # w needs no gradient, so nobody needs the values
    del values
    assert array() is None
    out.sum().backward()


# -------------------------------------------------------------------- retain, free, roots


def test_a_second_backward_says_what_to_do():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GraphFreedError, match="retain_graph=True"):
        y.backward()


def test_retain_graph_allows_a_second_pass():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_backward_needs_a_gradient_for_more_than_one_element():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"one element; this one has shape \(2,\)"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"must have the tensor's shape \(2,\); got \(3,\)"):
        (x * 2).backward(lucid.ones(3))


def test_backward_without_grad_says_so():
    with pytest.raises(RuntimeError, match="does not require grad"):
        lucid.ones(1).backward()


def test_backward_of_a_leaf_itself():
    x = leaf(3.0)
    x.backward()
    assert x.grad.tolist() == [1.0]


def test_inputs_restricts_where_gradients_go():
    x, y = leaf(1.0), leaf(2.0)
    (x * y).backward(inputs=[x])
    assert x.grad.tolist() == [2.0]
    assert y.grad is None
    with pytest.raises(RuntimeError, match="must not be empty"):
        (x * y).backward(inputs=[])


def test_grad_of_leaves_and_of_intermediate_tensors():
    x = leaf(2.0)
    y = x * x
    z = y * 3.0
    gx, gy = lucid.autograd.grad(z, [x, y])
    assert (gx.tolist(), gy.tolist()) == ([12.0], [3.0])
    assert x.grad is None


def test_grad_of_an_unused_input():
    x, y = leaf(1.0), leaf(2.0)
    with pytest.raises(RuntimeError, match=r"inputs\[1\].*allow_unused=True"):
        lucid.autograd.grad(x * 2.0, [x, y])
    assert lucid.autograd.grad(x * 2.0, [x, y], allow_unused=True)[1] is None
    zeros = lucid.autograd.grad(x * 2.0, [x, y], materialize_grads=True)[1]
    assert zeros.tolist() == [0.0]
    with pytest.raises(RuntimeError, match=r"inputs\[0\] does not require grad"):
        lucid.autograd.grad(x * 2.0, lucid.ones(1))


def test_several_roots():
    x = leaf(1.0, 2.0)
    lucid.autograd.backward([x * 2.0, x * 3.0], [lucid.ones(2), lucid.ones(2)])
    assert x.grad.tolist() == [5.0, 5.0]


def test_create_graph_gives_higher_derivatives():
    x = lucid.tensor(2.0, dtype=lucid.float64, requires_grad=True)
    y = x * x * x * x
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = lucid.autograd.grad(y, x, create_graph=True)
        assert y.item() == expected
    assert not y.requires_grad


def test_second_derivative_through_a_saved_output():
    x = lucid.tensor(0.5, dtype=lucid.float64, requires_grad=True)
    (g,) = lucid.autograd.grad(lucid.exp(x * 2.0), x, create_graph=True)
    (h,) = lucid.autograd.grad(g, x)
    assert h.item() == pytest.approx(4 * np.exp(1.0))


# -------------------------------------------------------------------- modes


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    with lucid.no_grad():
        assert not (x * 2.0).requires_grad
        with lucid.enable_grad():
            assert (x * 2.0).requires_grad
        assert not lucid.is_grad_enabled()
    assert lucid.is_grad_enabled()


def test_modes_as_decorators():
    x = leaf(1.0)

    @lucid.no_grad()
    def first():
        return x * 2.0

    @lucid.no_grad
    def second():
        return x * 2.0

    @lucid.no_grad()
    def numbers():
        inside = lucid.is_grad_enabled()
        yield inside
        yield inside

    assert not first().requires_grad
    assert not second().requires_grad
    for inside in numbers():
        assert not inside
        assert lucid.is_grad_enabled(), "the consumer of a generator is outside its mode"


def test_set_grad_enabled_is_both_a_call_and_a_context():
    with lucid.set_grad_enabled(False):
        assert not lucid.is_grad_enabled()
    assert lucid.is_grad_enabled()
    lucid.set_grad_enabled(False)
    assert not lucid.is_grad_enabled()
    lucid.set_grad_enabled(True)
    assert lucid.is_grad_enabled()


def test_modes_are_restored_after_an_error():
    with pytest.raises(KeyError), lucid.no_grad():
        raise KeyError
    assert lucid.is_grad_enabled()


def test_the_mode_belongs_to_the_thread():
    seen = []
    with lucid.no_grad():
        thread = threading.Thread(target=lambda: seen.append(lucid.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_may_go_backward_at_the_same_time():
    w = leaf(*([1.0] * 50))
    errors = []

    def work(k):
        try:
            for _ in range(100):
                (g,) = lucid.autograd.grad((w * w * float(k)).sum(), w)
                assert g.tolist() == [2.0 * k] * 50
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


# -------------------------------------------------------------------- hooks


def test_tensor_hooks_see_and_replace_gradients():
    x = leaf(1.0, 2.0)
    seen = []
    y = x * 3.0
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad.tolist() == [30.0, 30.0]
    handle.remove()
    handle.remove()


def test_a_leaf_hook_runs_once_on_the_sum():
    x = leaf(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2.0 + x * 3.0).backward()
    assert seen == [5.0]


def test_a_hook_must_keep_the_dtype():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.register_hook(lambda g: g.double())
    with pytest.raises(RuntimeError, match=r"dtype float32; got \(2,\) and float64"):
        y.sum().backward()


def test_a_hook_that_writes_to_the_first_gradient_changes_no_other_backward_pass():
    x = leaf(3.0).sum()
    y = lucid.tensor(3.0, requires_grad=True) * x
    y.register_hook(lambda g: g.mul_(5) and None)
    y.backward()
    z = lucid.tensor(3.0, requires_grad=True)
    (z * 2).backward()
    assert z.grad.item() == 2


def test_a_hook_must_keep_the_shape():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"shape \(2,\) and dtype float32; got \(\) and float32"):
        (x * 2.0).sum().backward()


def test_post_accumulate_hooks():
    x = leaf(1.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.item()))
    (x * 2.0).backward()
    assert seen == [2.0]
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 2.0).register_post_accumulate_grad_hook(print)


def test_retain_grad():
    x = leaf(1.0)
    y = x * 2.0
    y.retain_grad()
    (y * 3.0).backward()
    assert y.grad.tolist() == [3.0]
    assert y.retains_grad


# -------------------------------------------------------------------- in place, versions


def test_backward_after_an_in_place_write_names_operation_tensor_and_versions():
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = y * y
    y.add_(1.0)
    with pytest.raises(InPlaceError, match=r"mul saved its [xy] .* version 0.*version 1"):
        z.sum().backward()


def test_a_saved_output_is_watched_too():
    x = leaf(1.0, 2.0)
    y = lucid.exp(x)
    y.mul_(2.0)
    with pytest.raises(InPlaceError, match="exp saved its out"):
        y.sum().backward()


def test_an_operation_that_keeps_nothing_does_not_mind():
    x = leaf(1.0, 2.0)
    y = x + 1.0
    z = y + 2.0
    y.mul_(5.0)
    (z + y).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_a_leaf_that_requires_grad_is_not_changed_in_place():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="leaf that requires grad"):
        x.add_(1.0)
    with pytest.raises(RuntimeError, match="view of one"):
        x[0].add_(1.0)
    with pytest.raises(RuntimeError, match="leaf that requires grad"):
        x[0] = 1.0
    assert x.tolist() == [1.0, 2.0]
    with lucid.no_grad():
        x.add_(1.0)
    assert x.tolist() == [2.0, 3.0]
    assert x._version == 1


def test_in_place_keeps_the_object_and_its_memory():
    x = lucid.tensor([1.0, 2.0])
    array = x._data
    y = x
    y += 1.0
    assert y is x
    assert x._data is array
    assert array.tolist() == [2.0, 3.0]


def test_in_place_refuses_what_does_not_fit():
    x = lucid.tensor([1, 2])
    with pytest.raises(RuntimeError, match="dtype int64"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match=r"shape \(2, 2\) differs"):
        x.add_(lucid.tensor([[1, 2], [3, 4]]))
    assert x.tolist() == [1, 2]


def test_writing_to_a_view_changes_the_base_and_its_gradient():
    x = leaf(1.0, 2.0, 3.0)
    w = leaf(10.0)
    base = x * 1.0
    view = base[1:]
    view.add_(w)
    assert base.tolist() == [1.0, 12.0, 13.0]
    (base * lucid.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]
    assert w.grad.tolist() == [5.0]


def test_writing_to_the_base_reaches_a_view_taken_before():
    x = leaf(1.0, 2.0, 3.0)
    base = x * 1.0
    view = base[1:]
    base.mul_(2.0)
    assert view.tolist() == [4.0, 6.0]
    view.sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 2.0]


def test_a_view_of_a_plain_tensor_starts_to_require_grad_with_its_base():
    base = lucid.tensor([0.0, 0.0, 0.0])
    view = base[1:]
    w = leaf(2.0)
    base.add_(w)
    assert base.requires_grad
    assert view.requires_grad
    view.sum().backward()
    assert w.grad.tolist() == [2.0]


def test_setitem_with_gradients():
    x = leaf(1.0, 2.0, 3.0)
    v = leaf(5.0)
    y = x * 2.0
    y[1] = v[0]
    assert y.tolist() == [2.0, 5.0, 6.0]
    (y * lucid.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 200.0]
    assert v.grad.tolist() == [10.0]


def test_a_constant_written_over_a_part_stops_its_gradient():
    x = leaf(1.0, 2.0)
    y = x * 2.0
    y[0] = 0.0
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 2.0]


def test_detach_shares_memory_and_version():
    x = leaf(1.0, 2.0)
    y = x * x
    d = x.detach()
    assert d.data_ptr() == x.data_ptr()
    d.add_(1.0)
    assert x.tolist() == [2.0, 3.0]
    with pytest.raises(InPlaceError):
        y.sum().backward()


# -------------------------------------------------------------------- NumPy


def test_numpy_shares_memory_and_writes_are_seen():
    x = lucid.tensor([1.0, 2.0])
    x.numpy()[0] = 7.0
    assert x.tolist() == [7.0, 2.0]


def test_numpy_of_a_tensor_that_requires_grad_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"detach\(\)\.numpy\(\)"):
        leaf(1.0).numpy()
    assert leaf(1.0).numpy(force=True).tolist() == [1.0]


def test_an_array_that_a_graph_needs_is_handed_out_read_only():
    x = leaf(1.0, 2.0)
    c = lucid.tensor([3.0, 4.0])
    loss = (x * c).sum()
    array = c.numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 100.0
    loss.backward()
    assert x.grad.tolist() == [3.0, 4.0]
    c.numpy()[0] = 100.0
    assert c.tolist() == [100.0, 4.0]


@pytest.mark.parametrize("part", [slice(None), slice(1, None)])
def test_a_write_through_an_array_handed_out_before_cannot_falsify(part):
    x = leaf(1.0, 2.0)
    c = lucid.tensor([3.0, 4.0])
    array = c.numpy()[part]
    loss = (x * c).sum()
    array[...] = 100.0
    loss.backward()
    assert x.grad.tolist() == [3.0, 4.0]


def test_a_write_to_memory_from_numpy_cannot_falsify():
    x = leaf(1.0, 2.0)
    array = np.array([3.0, 4.0], np.float32)
    loss = (x * lucid.from_numpy(array)).sum()
    array[...] = 100.0
    loss.backward()
    assert x.grad.tolist() == [3.0, 4.0]


def test_dlpack_shares_memory_both_ways():
    x = lucid.tensor([1.0, 2.0])
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x._data)


def test_array_protocol():
    x = lucid.tensor([1.0, 2.0])
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(x), x._data)
    assert not np.shares_memory(np.array(x), x._data)
    assert memoryview(x.numpy()).format == "f"


def test_arrays_leave_operators_to_tensors():
    x = lucid.tensor([1.0, 2.0])
    out = np.ones(2, np.float32) + x
    assert isinstance(out, lucid.Tensor)
    assert out.tolist() == [2.0, 3.0]


# -------------------------------------------------------------------- Python


def test_scalars():
    x = lucid.tensor(2.5)
    assert float(x) == 2.5
    assert int(x) == 2
    assert bool(x)
    assert f"{x:.2f}" == "2.50"
    assert x.item() == 2.5
    with pytest.raises(RuntimeError, match="one element"):
        lucid.ones(2).item()
    with pytest.raises(RuntimeError, match=r"any\(\) or all\(\)"):
        bool(lucid.ones(2))
    with pytest.raises(TypeError, match="0-d"):
        len(x)
    assert list(range(5))[lucid.tensor(3)] == 3
    with pytest.raises(TypeError, match="integer"):
        range(5)[lucid.tensor(1.5)]


def test_iteration_length_membership():
    x = lucid.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert 3.0 in x
    assert 5.0 not in x


def test_pickle_and_deepcopy():
    x = leaf(1.0, 2.0)
    (x * 2.0).sum().backward()
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert other.tolist() == x.tolist()
        assert other.requires_grad
        assert not np.shares_memory(other._data, x._data)
    assert copy.deepcopy(x).grad.tolist() == [2.0, 2.0]
    for action in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match="mul"):
            action(x * 2.0)


def test_attributes_are_checked():
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match="Tensor or None; got ndarray"):
        x.grad = np.ones(2)
    with pytest.raises(RuntimeError, match=r"shape \(2,\)"):
        x.grad = lucid.ones(3)
    with pytest.raises(RuntimeError, match="floating-point"):
        lucid.tensor([1, 2]).requires_grad_()
    with pytest.raises(RuntimeError, match="only a leaf"):
        (x * 2.0).requires_grad_(False)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([[1, 2], [3]], ValueError, "rectangular"),
        ("text", TypeError, "'text'"),
        ([1, "a"], TypeError, "list with 'a'"),
        (None, TypeError, "None"),
        (object(), TypeError, "object"),
    ],
)
def test_bad_data(data, error, message):
    with pytest.raises(error, match=message):
        lucid.tensor(data)


def test_devices():
    x = lucid.tensor(1.0, device="cpu")
    assert x.device == lucid.device("cpu")
    assert str(x.device) == "cpu"
    with pytest.raises(lucid.errors.DeviceError, match="has the device"):
        lucid.tensor(1.0, device="cuda")


def test_repr():
    assert repr(lucid.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(lucid.tensor([1, 2])) == "tensor([1, 2])"
    assert "dtype=lucid.float64" in repr(lucid.tensor([1.0], dtype=lucid.float64))
    assert "requires_grad=True" in repr(leaf(1.0))
    assert "grad_fn=<mul backward>" in repr(leaf(1.0) * 2.0)


# -------------------------------------------------------------------- anomalies


def test_detect_anomaly_names_the_operation_and_where_it_was_called():
    x = leaf(0.0)
    with lucid.autograd.detect_anomaly():
        y = lucid.log(x * 0.0) * 0.0
        with pytest.raises(NonFiniteError, match=r"(?s)(div|log|mul).*test_engine\.py"):
            y.sum().backward()


def test_without_it_nothing_is_raised():
    x = leaf(0.0)
    (lucid.log(x * 0.0) * 0.0).sum().backward()
    assert np.isnan(x.grad._data).all()


# -------------------------------------------------------------------- Function


class Cube(lucid.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3.0 * x * x


class SumAndDifference(lucid.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, scale):
        ctx.scale = scale
        return (x + y) * scale, (x - y) * scale

    @staticmethod
    def backward(ctx, gs, gd):
        return (gs + gd) * ctx.scale, (gs - gd) * ctx.scale, None


def test_function_first_and_second_order():
    x = lucid.tensor([0.5, 2.0], dtype=lucid.float64, requires_grad=True)
    assert lucid.autograd.gradcheck(Cube.apply, x)
    assert lucid.autograd.gradgradcheck(Cube.apply, x)


def test_function_with_several_outputs_of_which_one_is_used():
    x, y = leaf(1.0), leaf(2.0)
    total, difference = SumAndDifference.apply(x, y, 2.0)
    assert (total.tolist(), difference.tolist()) == ([6.0], [-2.0])
    difference.backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([2.0], [-2.0])


def test_function_saved_tensors_are_watched():
    x = leaf(1.0)
    y = x * 1.0
    z = Cube.apply(y)
    y.add_(1.0)
    with pytest.raises(InPlaceError, match="Cube"):
        z.backward()


def test_function_errors():
    class Wrong(lucid.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2.0

        @staticmethod
        def backward(ctx, g):
            return g, g

    with pytest.raises(RuntimeError, match=r"Wrong\.backward.*1 arguments of forward; got 2"):
        Wrong.apply(leaf(1.0)).backward()


def test_once_differentiable():
    class Once(lucid.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @lucid.autograd.once_differentiable
        def backward(ctx, g):
            return g * 2.0 * ctx.saved_tensors[0]

    x = leaf(3.0)
    Once.apply(x).backward()
    assert x.grad.tolist() == [6.0]
    (g,) = lucid.autograd.grad(Once.apply(x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.backward()


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(lucid.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2.0

        @staticmethod
        def backward(ctx, g):
            return g * 2.1

    x = lucid.tensor([1.0, 2.0], dtype=lucid.float64, requires_grad=True)
    with pytest.raises(lucid.autograd.GradcheckError, match="analytical"):
        lucid.autograd.gradcheck(Wrong.apply, x)
    assert not lucid.autograd.gradcheck(Wrong.apply, x, raise_exception=False)
    with pytest.raises(ValueError, match="float64"):
        lucid.autograd.gradcheck(Wrong.apply, leaf(1.0))


def test_deep_recursion_limit_is_untouched():
    limit = sys.getrecursionlimit()
    x = leaf(1.0)
    y = x
    for _ in range(limit * 3):
        y = y * 1.0
    y.backward()
    assert sys.getrecursionlimit() == limit


def test_an_output_of_several_is_watched_too():
    x = lucid.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    q, r = lucid.linalg.qr(x)
    q.mul_(2.0)
    with pytest.raises(InPlaceError, match="qr"):
        (q.sum() + r.sum()).backward()


def test_a_gradient_that_nobody_else_holds_is_taken_over_without_a_copy(monkeypatch):
    from lucid._core.op import ARRAYS

    made = []
    rule = ARRAYS.mul

    def watched(*args):
        result = rule(*args)
        made.append(result.ctypes.data)
        return result

    monkeypatch.setattr(ARRAYS, "mul", watched)
    x = leaf(1.0, 2.0)
    (x * lucid.tensor([3.0, 4.0])).sum().backward()
    assert x.grad.data_ptr() == made[-1]


# -------------------------------------------------------------------- what must not go unnoticed


class Shaped(lucid.autograd.Function):
    """The identity, with a gradient of ones of some shape."""

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = shape
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return lucid.ones(*ctx.shape), None


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 4), (2, 1, 3), (7, 7)])
@pytest.mark.parametrize("before", [lambda x: x, lucid.exp, lambda x: lucid.softmax(x, 1)])
def test_a_gradient_of_another_shape_is_refused(before, shape):
    x = lucid.randn(2, 3, requires_grad=True)
    out = Shaped.apply(before(x), shape).sum()
    with pytest.raises(RuntimeError, match=r"must have that shape or one that it broadcasts to"):
        out.backward()
    assert x.grad is None


def test_a_gradient_that_the_tensor_broadcasts_to_is_added_up():
    x = lucid.randn(2, 3, requires_grad=True)
    Shaped.apply(x, (4, 2, 3)).sum().backward()
    assert x.grad.tolist() == [[4.0] * 3] * 2


def test_a_rule_must_return_a_gradient_per_input():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    out = lucid.nn.functional.linear(x, y.reshape(1, 2))
    plan = out._node.plan
    rules = plan.rules
    try:
        for wrong in ((1.0,), (1.0, None, None, None)):
            plan.rules = ((-1, lambda F, g, *saved, wrong=wrong: wrong, None),)
            with pytest.raises(RuntimeError, match=rf"each of its 3 inputs; got {len(wrong)}"):
                out.sum().backward(retain_graph=True)
    finally:
        plan.rules = rules


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, a: x * a,
        lambda x, a: a * x,
        lambda x, a: lucid.matmul(x, a),
        lambda x, a: x.clone().mul_(a),
    ],
)
def test_an_array_of_the_users_is_kept_as_it_was(operation):
    x, a = leaf(1.0, 1.0, 1.0), np.ones(3, np.float32)
    y = operation(x, a).sum()
    a[:] = 7
    y.backward()
    assert x.grad.tolist() == [1.0] * 3


def test_retained_gradients_share_no_memory():
    a = leaf(1.0, 2.0) * 1
    b = a + 1
    c = b + 1
    b.retain_grad()
    c.retain_grad()
    c.sum().backward()
    assert b.grad.tolist() == c.grad.tolist() == [1.0, 1.0]
    assert not np.shares_memory(b.grad._data, c.grad._data)


def test_a_step_with_a_function_leaves_nothing_to_the_garbage_collector():
    x = leaf(1.0, 2.0)
    Shaped.apply(x, (2,)).sum().backward()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            Shaped.apply(x, (2,)).sum().backward()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_none_is_called_none():
    with pytest.raises(TypeError, match=r"got None$"):
        lucid.exp(None)
    with pytest.raises(TypeError, match=r"got None$"):
        lucid.addcmul(None, lucid.ones(2), lucid.ones(2))
