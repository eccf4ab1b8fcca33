"""Gradient norms and clipping: the contract, its edges, and PyTorch's functions."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lucid
import lucid.nn as nn
from lucid.nn.utils import (
    AutoClip,
    adaptive_clip_grad,
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_norm_by_group,
    clip_grad_norm_per_parameter,
    clip_grad_value,
    clip_grad_value_,
    clip_grads_with_norm_,
    clipped,
    get_total_norm,
    grad_norm,
)

inf, nan = math.inf, math.nan


def parameter(gradient, dtype=np.float32):
    gradient = np.asarray(gradient, dtype)
    p = nn.Parameter(lucid.tensor(np.ones_like(gradient)))
    p.grad = lucid.tensor(gradient)
    return p


def parameters(*gradients, dtype=np.float32):
    return [parameter(g, dtype) for g in gradients]


def reference(arrays, p):
    values = [abs(complex(v)) for a in arrays for v in np.asarray(a).ravel()]
    if p == inf:
        return max(values, default=0.0)
    largest = max(values, default=0.0)
    if largest == 0:
        return 0.0
    return largest * math.fsum((v / largest) ** p for v in values) ** (1 / p)


# -------------------------------------------------------------------- measuring


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    p=st.sampled_from([1, 2.0, inf, "inf", 3, 0.5, 2.5]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.complex64, np.complex128]),
    exponent=st.integers(-4, 4),
)
def test_norm_of_anything(sizes, p, dtype, exponent):
    rng = np.random.default_rng(sum(sizes))
    arrays = []
    for size in sizes:
        values = rng.standard_normal(size) * 10.0**exponent
        if np.dtype(dtype).kind == "c":
            values = values + 1j * rng.standard_normal(size)
        arrays.append(values.astype(dtype))
    members = parameters(*arrays, dtype=dtype)
    found = get_total_norm(members, p)
    assert found.dtype == lucid.float64
    assert found.shape == ()
    expected = reference(arrays, inf if p == "inf" else p)
    assert found.item() == pytest.approx(expected, rel=1e-12, abs=0)
    assert grad_norm(members, norm_type=p).item() == found.item()
    for member, array in zip(members, arrays, strict=True):
        np.testing.assert_array_equal(member.grad.numpy(), array)


@pytest.mark.parametrize(
    ("dtype", "value", "count"),
    [(np.float16, 300, 1000), (np.float32, 1e30, 1000), (np.float32, 1e-40, 10),
     (np.float64, 1e200, 100), (np.float64, 1e-200, 100)],
)  # fmt: skip
def test_no_overflow_or_underflow(dtype, value, count):
    members = parameters(np.full(count, value), dtype=dtype)
    exact = float(np.asarray(value, dtype))
    assert get_total_norm(members).item() == pytest.approx(exact * math.sqrt(count), rel=1e-14)
    clip_grad_norm(members, 1.0)
    clipped_norm = get_total_norm(members).item()
    assert clipped_norm <= 1.001
    assert np.isfinite(members[0].grad.numpy()).all()


def test_what_is_measured():
    gradient = lucid.tensor([3.0, 4.0])
    assert get_total_norm(gradient).item() == 5  # the tensor itself
    assert get_total_norm([gradient, gradient * 0]).item() == 5
    leaf = lucid.tensor([1.0, 1.0], requires_grad=True)
    leaf.grad = gradient
    assert get_total_norm([leaf]).item() == 5  # its gradient
    frozen = nn.Parameter(lucid.ones(3), requires_grad=False)
    assert get_total_norm([leaf, frozen]).item() == 5  # a parameter stands for its gradient
    assert get_total_norm([leaf, gradient]).item() == 5  # the same memory counts once
    assert get_total_norm([leaf, lucid.tensor([12.0])]).item() == 13


def test_ways_to_give_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model(lucid.ones(5, 3)).sum().backward()
    expected = get_total_norm(list(model.parameters())).item()
    assert expected > 0
    for given_as in (
        model,
        model.parameters(),
        model.named_parameters(),
        tuple(model.parameters()),
        {id(p): p for p in model.parameters()}.values(),
        [*model.parameters(), *model.parameters()],  # twice counts once
        [*model.parameters(), nn.Parameter(lucid.ones(2))],  # without a gradient
    ):
        assert get_total_norm(given_as).item() == expected
    model[0].weight.grad = None
    assert get_total_norm(model.named_parameters()).item() < expected


def test_result_is_like_a_float():
    norm = get_total_norm(lucid.tensor([3.0, 4.0]))
    assert float(norm) == 5.0
    assert f"{norm:.2f}" == "5.00"
    assert norm > 4
    assert str(norm.device) == "cpu"


@pytest.mark.parametrize("function", [get_total_norm, grad_norm, lambda x: clip_grad_norm(x, 1.0)])
def test_nothing_gives_zero_and_a_warning(function):
    for nothing in ([], iter(()), [nn.Parameter(lucid.ones(2))]):
        with pytest.warns(UserWarning, match="nothing to measure"):
            assert function(nothing).item() == 0


# -------------------------------------------------------------------- clipping


def test_clip_formula_and_place():
    members = parameters([3.0, 0.0], [[4.0]], dtype=np.float64)
    gradients = [p.grad for p in members]
    memory = [g._data for g in gradients]
    view = memory[0][:1]
    before = clip_grad_norm(members, 1.0)
    assert before.item() == 5
    factor = 1 / (5 + 1e-7)
    assert members[0].grad.tolist() == [3 * factor, 0]
    assert members[1].grad.tolist() == [[4 * factor]]
    for p, gradient, array in zip(members, gradients, memory, strict=True):
        assert p.grad is gradient
        assert p.grad._data is array
    assert view[0] == 3 * factor


@pytest.mark.parametrize("limit", [5.0, 6, inf, lucid.tensor(7.0), 8 + 0j, np.float32(9)])
def test_no_bit_changes_where_no_clipping_is_due(limit):
    members = parameters([3.0, -0.0], [4.0])
    version = members[0].grad._version
    assert clip_grad_norm(members, limit).item() == 5
    assert members[0].grad._version == version
    assert np.signbit(members[0].grad.numpy()[1])
    assert members[1].grad.tolist() == [4]


def test_clip_to_zero_and_with_eps():
    members = parameters([3.0], [4.0], dtype=np.float64)
    clip_grad_norm(members, 2.5, eps=5.0)
    assert members[0].grad.tolist() == [0.75]
    clip_grad_norm(members, 0)
    assert members[0].grad.tolist() == members[1].grad.tolist() == [0]


@pytest.mark.parametrize("p", [1, 2, 3, 0.5, inf, "inf"])
def test_clip_by_any_norm(p):
    rng = np.random.default_rng(0)
    members = parameters(rng.standard_normal(30), rng.standard_normal((4, 5)))
    before = get_total_norm(members, p).item()
    assert clip_grad_norm(members, before / 3, norm_type=p).item() == before
    assert get_total_norm(members, p).item() == pytest.approx(before / 3, rel=1e-6)


def test_tied_parameters_are_scaled_once():
    p = parameter([3.0, 4.0])
    assert clip_grad_norm([p, p], 1.0).item() == 5
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)
    a, b = parameters([3.0], [3.0])
    b.grad = a.grad
    assert clip_grad_norm([a, b], 1.0).item() == 3


def test_strided_and_broadcast_gradients():
    p = nn.Parameter(lucid.ones(3, 4))
    p.grad = lucid.tensor(np.arange(12.0, dtype=np.float32).reshape(4, 3)).transpose(0, 1)
    norm = clip_grad_norm(p, 1.0).item()
    assert norm == pytest.approx(math.sqrt(sum(i * i for i in range(12))))
    assert get_total_norm(p).item() == pytest.approx(1, rel=1e-6)


def test_clip_counts_as_an_in_place_write():
    p = parameter([3.0, 4.0])
    x = lucid.ones(2, requires_grad=True)
    loss = (x * p.grad).sum()
    clip_grad_norm(p, 1.0)
    with pytest.raises(lucid.errors.InPlaceError):
        loss.backward()


# -------------------------------------------------------------------- non-finite gradients


def spoilt():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for p in model.parameters():
        p.grad = lucid.ones(*p.shape)
    model[1].weight.grad[0, 0] = nan
    model[1].weight.grad[1, 1] = -inf
    model[1].bias.grad[0] = inf
    return model, [p.grad.numpy().copy() for p in model.parameters()]


def unchanged(model, before):
    return all(
        np.array_equal(p.grad.numpy(), b, equal_nan=True)
        for p, b in zip(model.parameters(), before, strict=True)
    )


def test_default_policy_warns_by_name_and_touches_nothing():
    model, before = spoilt()
    with pytest.warns(
        UserWarning, match=r"1\.weight \(2, 2\): 1 NaN, 1 inf.*1\.bias.*0 NaN, 1 inf"
    ):
        assert math.isnan(clip_grad_norm(model, 1e-3).item())
    assert unchanged(model, before)
    with pytest.warns(UserWarning, match=r"parameters\[2\]"):
        clip_grad_norm(model.parameters(), 1e-3)


def test_policy_raise():
    model, before = spoilt()
    for kwargs in ({"nonfinite": "raise"}, {"error_if_nonfinite": True}):
        with pytest.raises(lucid.errors.NonFiniteError, match=r"clip_grad_norm: .*1\.weight"):
            clip_grad_norm(model, 1e-3, **kwargs)
    assert unchanged(model, before)


def test_policy_skip():
    model, before = spoilt()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip_grad_norm(model, 1e-3, nonfinite="skip")
    assert unchanged(model, before)


def test_policy_zero():
    model, _ = spoilt()
    arrays = [p.grad._data for p in model.parameters()]
    clip_grad_norm(model, 1e-3, nonfinite="zero")
    assert not any(a.any() for a in arrays)
    assert all(p.grad._data is a for p, a in zip(model.parameters(), arrays, strict=True))


def test_policy_propagate():
    model, _ = spoilt()
    clip_grad_norm(model, 1e-3, nonfinite="propagate")
    assert all(np.isnan(p.grad.numpy()).all() for p in model.parameters())
    members = parameters([inf, 1.0], [2.0])
    assert clip_grad_norm(members, 1.0, nonfinite="propagate").item() == inf
    assert math.isnan(members[0].grad.numpy()[0])
    assert members[0].grad.tolist()[1:] == members[1].grad.tolist() == [0.0]


def test_measuring_reports_without_touching():
    model, before = spoilt()
    assert math.isnan(get_total_norm(model).item())
    with pytest.raises(lucid.errors.NonFiniteError, match=r"get_total_norm: .*1\.weight"):
        get_total_norm(model, error_if_nonfinite=True)
    with pytest.warns(UserWarning, match=r"grad_norm: .*1\.weight"):
        grad_norm(model, nonfinite="warn")
    with pytest.raises(ValueError, match="only measures"):
        get_total_norm(model, nonfinite="zero")
    assert unchanged(model, before)


# -------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize("function", [clip_grad_norm, clip_grad_norm_per_parameter])
@pytest.mark.parametrize(
    ("limit", "error"),
    [(-1.0, ValueError), (nan, ValueError), (True, TypeError), ("1", TypeError), (None, TypeError),
     (1 + 1j, TypeError), (lucid.ones(2), TypeError), (-inf, ValueError)],
)  # fmt: skip
def test_wrong_max_norm(function, limit, error):
    members = parameters([3.0, 4.0])
    with pytest.raises(error, match=rf"{function.__name__}: max_norm"):
        function(members, limit)
    assert members[0].grad.tolist() == [3, 4]


@pytest.mark.parametrize(
    "function", [get_total_norm, grad_norm, lambda x, p: clip_grad_norm(x, 1.0, p)]
)
@pytest.mark.parametrize(
    ("p", "error"),
    [(0, ValueError), (-1, ValueError), (nan, ValueError), (-inf, ValueError), (True, TypeError),
     ("fro", TypeError), (None, TypeError)],
)  # fmt: skip
def test_wrong_norm_type(function, p, error):
    members = parameters([3.0, 4.0])
    with pytest.raises(error, match="norm_type"):
        function(members, p)
    assert members[0].grad.tolist() == [3, 4]


@pytest.mark.parametrize(
    "function",
    [get_total_norm, grad_norm, lambda x: clip_grad_norm(x, 1.0), lambda x: clip_grad_norm_(x, 1.0),
     lambda x: clip_grad_value(x, 1.0), lambda x: clip_grad_norm_per_parameter(x, 1.0),
     lambda x: adaptive_clip_grad(x), AutoClip(), lambda x: clipped(x, 1.0)],
)  # fmt: skip
def test_what_is_no_tensor(function):
    good = parameter([3.0])
    with pytest.raises(TypeError, match=r"parameters\[1\] must be a Tensor; got ndarray"):
        function([good, np.ones(2)])
    assert good.grad.tolist() == [3]
    with pytest.raises(TypeError):
        function(3)


def test_read_only_memory():
    members = parameters([3.0], [4.0])
    members[1].grad._data.flags.writeable = False
    for clip in (clip_grad_norm, clip_grad_value, clip_grad_norm_per_parameter, clip_grad_norm_):
        with pytest.raises(ValueError, match="read-only"):
            clip(members, 0.5)
        assert members[0].grad.tolist() == [3]
    with pytest.raises(ValueError, match="nonfinite must be one of"):
        clip_grad_norm(members, 1.0, nonfinite="ignore")
    with pytest.raises(ValueError, match="eps"):
        clip_grad_norm(members, 1.0, eps=-1.0)


# -------------------------------------------------------------------- the wider toolkit


def test_clip_value():
    members = parameters([-3.0, 0.5, nan], [2.0])
    assert clip_grad_value(members, 1.0) is None
    np.testing.assert_array_equal(members[0].grad.numpy(), [-1, 0.5, nan])
    assert members[1].grad.tolist() == [1]
    with pytest.raises(ValueError, match="clip_grad_value: clip_value"):
        clip_grad_value(members, -1)


def test_per_parameter():
    members = parameters([3.0, 4.0], [0.5], dtype=np.float64)
    norms = clip_grad_norm_per_parameter(members, 1.0)
    assert norms.tolist() == [5.0, 0.5]
    np.testing.assert_allclose(members[0].grad.numpy(), [0.6, 0.8], rtol=1e-7)
    assert members[1].grad.tolist() == [0.5]
    members = parameters([3.0, nan], [9.0])
    with pytest.warns(UserWarning, match="not finite"):
        clip_grad_norm_per_parameter(members, 1.0)
    assert members[1].grad.tolist() == [9]


def test_by_group():
    a, b, c = parameters([3.0, 4.0], [6.0, 8.0], [1.0], dtype=np.float64)
    norms = clip_grad_norm_by_group([{"params": [a], "max_norm": 1.0}, {"params": [b, c]}], 2.0)
    np.testing.assert_allclose(norms.numpy(), [5, math.sqrt(101)], rtol=1e-15)
    assert get_total_norm(a).item() == pytest.approx(1)
    assert get_total_norm([b, c]).item() == pytest.approx(2)
    norms = clip_grad_norm_by_group({"one": [a], "rest": iter([b, c])}, 10.0)
    assert norms.tolist() == pytest.approx([1, 2])
    a.grad = lucid.tensor([9.0, 0.0], dtype=lucid.float64)
    c.grad = lucid.tensor([inf], dtype=lucid.float64)
    with pytest.warns(UserWarning, match="not finite"):
        clip_grad_norm_by_group([[a], [b, c]], 1.0)
    assert a.grad.tolist() == [9, 0]
    with pytest.raises(TypeError, match=r"groups\[0\] has no max_norm"):
        clip_grad_norm_by_group([[a]])
    with pytest.raises(TypeError, match=r"groups\[0\] is a dict"):
        clip_grad_norm_by_group([{}], 1.0)


def test_clipped_returns_new_tensors():
    grads = [lucid.tensor([3.0, 0.0]), None, lucid.tensor([[4.0]])]
    out = clipped(grads, 1.0)
    assert out[1] is None
    np.testing.assert_allclose(out[0].numpy(), [0.6, 0], rtol=1e-6)
    np.testing.assert_allclose(out[2].numpy(), [[0.8]], rtol=1e-6)
    assert grads[0].tolist() == [3, 0]
    same = clipped(grads, 10.0)
    assert same[0].tolist() == [3, 0]
    assert not np.shares_memory(same[0]._data, grads[0]._data)


def test_adaptive_clipping_of_units():
    rng = np.random.default_rng(0)
    weight, gradient = rng.standard_normal((5, 7)), rng.standard_normal((5, 7))
    weight[0] = 0
    gradient[1] *= 1e-3
    p = nn.Parameter(lucid.tensor(weight))
    p.grad = lucid.tensor(gradient)
    norm = adaptive_clip_grad(p, 0.1, eps=1e-2)
    assert norm.item() == pytest.approx(np.linalg.norm(gradient))
    largest = 0.1 * np.maximum(np.linalg.norm(weight, axis=1), 1e-2)
    unit = np.linalg.norm(gradient, axis=1)
    expected = gradient * np.where(unit > largest, largest / unit, 1)[:, None]
    np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(p.grad.numpy()[1], gradient[1])


@pytest.mark.parametrize(
    ("shape", "axis", "axes"),
    [((), None, ()), ((6,), None, (0,)), ((4, 3, 2, 2), None, (1, 2, 3)), ((4, 3), 0, (0,)),
     ((4, 3), (0, 1), (0, 1)), ((4, 3), -1, (1,))],
)  # fmt: skip
def test_adaptive_clipping_axes(shape, axis, axes):
    rng = np.random.default_rng(0)
    weight, gradient = (
        np.asarray(rng.standard_normal(shape)),
        np.asarray(rng.standard_normal(shape)),
    )
    p = nn.Parameter(lucid.tensor(weight))
    p.grad = lucid.tensor(gradient)
    adaptive_clip_grad(p, 0.01, axis=axis)
    unit = np.sqrt((p.grad.numpy() ** 2).sum(axis=axes))
    largest = 0.01 * np.sqrt((weight**2).sum(axis=axes))
    np.testing.assert_allclose(unit, largest, rtol=1e-12)


def test_adaptive_clipping_errors_and_extremes():
    p = nn.Parameter(lucid.tensor([1e200, 1e200], dtype=lucid.float64))
    p.grad = lucid.tensor([3e200, 4e200], dtype=lucid.float64)
    adaptive_clip_grad(p, 0.1)
    assert get_total_norm(p).item() == pytest.approx(0.1 * math.sqrt(2) * 1e200)
    with pytest.raises(IndexError, match="axis 1"):
        adaptive_clip_grad(p, axis=1)
    with pytest.raises(ValueError, match="clip_factor"):
        adaptive_clip_grad(p, -0.1)


def test_autoclip_takes_the_percentile():
    rng = np.random.default_rng(0)
    clip, history = AutoClip(25), []
    for _ in range(50):
        p = parameter(rng.standard_normal(3), np.float64)
        history.append(np.linalg.norm(p.grad.numpy()))
        assert clip(p).item() == pytest.approx(history[-1])
        assert clip.max_norm == pytest.approx(np.percentile(history, 25), rel=1e-12)
        assert get_total_norm(p).item() <= clip.max_norm * (1 + 1e-9)


def test_autoclip_window_state_and_nan():
    clip = AutoClip(50, window=3)
    for value in (100.0, 1.0, 2.0, 3.0):
        clip(parameter([value]))
    assert clip.max_norm == 2
    p = parameter([nan])
    with pytest.warns(UserWarning, match="not finite"):
        clip(p)
    assert clip.max_norm == 2
    again = AutoClip(50, window=3)
    again.load_state_dict(clip.state_dict())
    assert again.max_norm == 2
    again(parameter([30.0]))
    assert again.max_norm == 3
    with pytest.raises(ValueError, match="percentile"):
        AutoClip(101)
    with pytest.raises(ValueError, match="window"):
        AutoClip(window=0)


# -------------------------------------------------------------------- PyTorch's functions


def both(torch, gradients, dtype=np.float32):
    ours, theirs = parameters(*gradients, dtype=dtype), []
    for g in gradients:
        p = torch.nn.Parameter(
            torch.ones(np.shape(g), dtype=torch.tensor(np.zeros(1, dtype)).dtype)
        )
        p.grad = torch.tensor(np.asarray(g, dtype))
        theirs.append(p)
    return ours, theirs


def agree(ours, theirs, rtol=1e-5):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=rtol)


GRADIENTS = ([3.0, -1.0, 0.0], [[2.0, 0.5], [0.0, -4.0]])


@pytest.mark.torch
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [2, 1, inf, "inf", 3, 0.5, 0, -1, -inf, -2.0])
@pytest.mark.parametrize("limit", [0.5, 100, 0, -1.0, inf])
def test_clip_grad_norm_as_torch(torch, p, limit, dtype):
    ours, theirs = both(torch, GRADIENTS, dtype)
    expected = torch.nn.utils.clip_grad_norm_(theirs, limit, p)
    found = clip_grad_norm_(ours, limit, p)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    agree(ours, theirs)


@pytest.mark.torch
@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize("limit", [1.0, inf])
def test_non_finite_values_as_torch(torch, bad, limit):
    ours, theirs = both(torch, ([1.0, bad], [2.0]))
    expected = torch.nn.utils.clip_grad_norm_(theirs, limit)
    np.testing.assert_equal(clip_grad_norm_(ours, limit).numpy(), expected.numpy())
    agree(ours, theirs)
    with pytest.raises(RuntimeError, match="not finite"):
        clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)


@pytest.mark.torch
def test_the_other_functions_as_torch(torch):
    for limit in (1.5, 0.0, -1.0, inf):
        ours, theirs = both(torch, GRADIENTS)
        assert torch.nn.utils.clip_grad_value_(theirs, limit) is None
        assert clip_grad_value_(ours, limit) is None
        agree(ours, theirs)
    for total in (0.5, 7.0, nan, inf):
        ours, theirs = both(torch, GRADIENTS)
        torch.nn.utils.clip_grads_with_norm_(theirs, 1.0, torch.tensor(total))
        assert clip_grads_with_norm_(ours, 1.0, lucid.tensor(total)) is None
        agree(ours, theirs)
    for p in (2, 1, inf, 0, -1, -inf):
        arrays = [np.asarray(g, np.float32) for g in GRADIENTS]
        expected = torch.nn.utils.get_total_norm([torch.tensor(a) for a in arrays], p)
        found = get_total_norm([lucid.tensor(a) for a in arrays], p)
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.torch
def test_nothing_as_torch(torch):
    expected = torch.nn.utils.clip_grad_norm_([], 1.0)
    found = clip_grad_norm_([], 1.0)
    assert found.item() == expected.item() == 0
    assert found.dtype == lucid.float32
    with pytest.warns(UserWarning, match="exhausted"):
        clip_grad_norm_(iter(()), 1.0)


def test_pytorch_names_without_the_overflow():
    members = parameters(*np.full((1000, 1), 1e30))
    assert clip_grad_norm_(members, 1.0).item() == pytest.approx(math.sqrt(1000) * 1e30, rel=1e-6)
    total = np.concatenate([p.grad.numpy() for p in members])
    assert np.linalg.norm(total.astype(np.float64)) == pytest.approx(1, rel=1e-5)


def test_util_is_utils():
    import lucid.nn.util as util

    assert util is nn.utils is nn.util
    assert nn.util.clip_grad_norm is clip_grad_norm


@pytest.mark.parametrize(
    "clip",
    [
        lambda ps: nn.utils.clip_grad_norm(ps, 2.5),
        lambda ps: nn.utils.clip_grad_norm_(ps, 2.5),
        lambda ps: nn.utils.clip_grad_norm_per_parameter(ps, 2.5),
        lambda ps: nn.utils.clip_grad_norm_by_group([ps], 2.5),
    ],
)
def test_gradients_that_share_their_memory_count_and_are_scaled_once(clip):
    first, second = (lucid.nn.Parameter([0.0, 0.0]) for _ in range(2))
    first.grad = lucid.tensor([3.0, 4.0])
    second.grad = first.grad.detach()
    norms = clip([first, second])
    assert norms.reshape(-1).tolist() == [5.0]
    np.testing.assert_allclose(first.grad.numpy(), [1.5, 2.0], rtol=1e-6)
