"""Every optimizer against PyTorch and against its equation; groups, state, clipping, arguments.

The equations themselves, for every dtype and layout, are tested in tests/kernels.
"""

import copy
import pickle

import numpy as np
import pytest

import lucid
from lucid import Tensor, optim

SHAPES = [(4, 3), (5,), (), (2, 1, 3)]
STEPS = 20

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.5, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "maximize": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 3, "weight_decay": 0.1}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.1), "maximize": True}),
    ("Lion", {"lr": 0.1}),
    ("Lion", {"lr": 0.1, "betas": (0.5, 0.7), "weight_decay": 0.3, "maximize": True}),
]
TORCH_CASES = [case for case in CASES if case[0] != "Lion"]  # PyTorch has none
IDS = [name + "".join(f"-{k}={v}" for k, v in options.items()) for name, options in CASES]
NAMES = sorted({name for name, _ in CASES})


def make_parameters(rng, dtype=np.float32, shapes=SHAPES):
    arrays = [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    return [Tensor(a, requires_grad=True) for a in arrays]


def set_grads(rng, params):
    for p in params:
        p.grad = Tensor(np.asarray(rng.standard_normal(p.shape), p.dtype))


def values(params):
    return [p.detach().numpy().copy() for p in params]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


# ------------------------------------------------------------------- against PyTorch


@pytest.mark.torch
@pytest.mark.parametrize(("name", "options"), TORCH_CASES, ids=IDS[: len(TORCH_CASES)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("f4", 2e-6), ("f8", 1e-13)])
def test_same_as_torch(torch, rng, name, options, dtype, tolerance):
    params = make_parameters(rng, dtype)
    theirs = [torch.nn.Parameter(torch.from_numpy(a)) for a in values(params)]
    ours = getattr(optim, name)(params, **options)
    reference = getattr(torch.optim, name)(theirs, **options)
    if name in ("NAdam", "ASGD"):  # PyTorch keeps mu_product and eta in float32
        tolerance = max(tolerance, 3e-7)
    for step in range(STEPS):
        set_grads(rng, params)
        if step % 7 == 3:
            params[1].grad = None  # its step is then one behind
        for p, q in zip(params, theirs, strict=True):
            q.grad = None if p.grad is None else torch.from_numpy(p.grad.numpy().copy())
        ours.step()
        reference.step()
    for p, q in zip(params, theirs, strict=True):
        np.testing.assert_allclose(
            p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance
        )


@pytest.mark.torch
@pytest.mark.parametrize("name", [n for n in NAMES if n != "Lion"])
def test_defaults_and_state_names_are_those_of_torch(torch, rng, name):
    params = make_parameters(rng)
    theirs = [torch.nn.Parameter(torch.from_numpy(a)) for a in values(params)]
    ours, reference = getattr(optim, name)(params), getattr(torch.optim, name)(theirs)
    set_grads(rng, params)
    for q in theirs:
        q.grad = torch.ones_like(q)
    ours.step()
    reference.step()
    for key, value in ours.state_dict()["param_groups"][0].items():
        assert reference.state_dict()["param_groups"][0][key] == value
    for number, state in reference.state_dict()["state"].items():
        assert set(ours.state_dict()["state"][number]) == set(state)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSprop", "NAdam"])
def test_goes_on_from_a_state_of_torch(torch, rng, name):
    options = {"lr": 0.1, "momentum": 0.9} if name in ("SGD", "RMSprop") else {"lr": 0.1}
    theirs = [torch.nn.Parameter(torch.from_numpy(a)) for a in values(make_parameters(rng))]
    reference = getattr(torch.optim, name)(theirs, **options)

    def step_theirs():
        grads = [np.asarray(rng.standard_normal(q.shape), "f4") for q in theirs]
        for q, g in zip(theirs, grads, strict=True):
            q.grad = torch.from_numpy(g.copy())
        reference.step()
        return grads

    for _ in range(3):
        step_theirs()
    saved = reference.state_dict()
    state = {n: {k: v.numpy() for k, v in s.items()} for n, s in saved["state"].items()}
    params = [Tensor(q.detach().numpy().copy(), requires_grad=True) for q in theirs]
    ours = getattr(optim, name)(params)
    ours.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
    for _ in range(3):
        for p, g in zip(params, step_theirs(), strict=True):
            p.grad = Tensor(g)
        ours.step()
    for p, q in zip(params, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-6, atol=2e-6)


# ------------------------------------------------------------------- against the equations


def test_sgd_equation(rng):
    p = Tensor(rng.standard_normal(6), requires_grad=True)
    theta, buffer = p.detach().numpy().copy(), 0.0
    optimizer = optim.SGD([p], lr=0.1, momentum=0.8, weight_decay=0.2)
    for _ in range(STEPS):
        set_grads(rng, [p])
        buffer = 0.8 * buffer + p.grad.numpy() + 0.2 * theta
        theta = theta - 0.1 * buffer
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), theta, rtol=1e-13)


def test_adamw_equation(rng):
    p = Tensor(rng.standard_normal(6), requires_grad=True)
    theta, m, v = p.detach().numpy().copy(), 0.0, 0.0
    optimizer = optim.AdamW([p], lr=0.1, betas=(0.8, 0.9), weight_decay=0.2)
    for t in range(1, STEPS + 1):
        set_grads(rng, [p])
        g = p.grad.numpy()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        theta = theta * (1 - 0.1 * 0.2)
        theta = theta - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), theta, rtol=1e-12)


def test_rmsprop_equation(rng):
    p = Tensor(rng.standard_normal(6), requires_grad=True)
    theta, v = p.detach().numpy().copy(), 0.0
    optimizer = optim.RMSprop([p], lr=0.1, alpha=0.9)
    for _ in range(STEPS):
        set_grads(rng, [p])
        g = p.grad.numpy()
        v = 0.9 * v + 0.1 * g**2
        theta = theta - 0.1 * g / (np.sqrt(v) + 1e-8)
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), theta, rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_finds_the_minimum(name, options):
    p = Tensor(np.array([1.0, -2.0, 0.5]), requires_grad=True)
    optimizer = getattr(optim, name)([p], **{"lr": 0.05, **options})
    sign = -1 if options.get("maximize") else 1

    def loss():
        return float((p.detach().numpy() ** 2).sum())

    first = loss()
    for _ in range(50):
        p.grad = Tensor(sign * 2 * p.detach().numpy())
        optimizer.step()
    assert loss() < first


def test_complex_parameters_are_pairs_of_reals(rng):
    z = rng.standard_normal((2, 5))
    p = Tensor(z[0] + 1j * z[1], requires_grad=True)
    pair = Tensor(z, requires_grad=True)
    for name, options in CASES:
        a = getattr(optim, name)([p], **options)
        b = getattr(optim, name)([pair], **options)
        g = rng.standard_normal((2, 5))
        p.grad, pair.grad = Tensor(g[0] + 1j * g[1]), Tensor(g)
        a.step()
        b.step()
        out = p.detach().numpy()
        assert_same(pair.detach().numpy(), [out.real, out.imag])


# ------------------------------------------------------------------- what a step does


@pytest.mark.parametrize("name", NAMES)
def test_step_is_in_place_and_seen_by_the_graph(rng, name):
    params = make_parameters(rng)
    arrays = [p._data for p in params]
    optimizer = getattr(optim, name)(params)
    set_grads(rng, params)
    params[1].grad = None
    grads = [None if p.grad is None else p.grad.numpy().copy() for p in params]
    before, versions = values(params), [p._version for p in params]
    optimizer.step()
    for i, p in enumerate(params):
        assert p._data is arrays[i]
        assert p._version == versions[i] + (i != 1)
        assert p.is_leaf
        assert p.requires_grad
        if i != 1:
            np.testing.assert_array_equal(p.grad.numpy(), grads[i])
            assert np.all(p.detach().numpy() != before[i])
    np.testing.assert_array_equal(params[1].detach().numpy(), before[1])
    assert params[1] not in optimizer.state


def test_backward_after_step_says_that_the_parameter_changed():
    p = Tensor([1.0, 2.0], requires_grad=True)
    loss = (p * p).sum()
    p.grad = Tensor([1.0, 1.0])
    optim.SGD([p]).step()
    with pytest.raises(lucid.errors.InPlaceError, match="mul"):
        loss.backward()


def test_closure_runs_with_gradients_and_its_loss_is_returned():
    p = Tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with lucid.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9.0
    assert p.tolist() == [0.0]


@pytest.mark.parametrize("name", NAMES)
def test_grad_scale_multiplies_the_gradients(rng, name):
    a, b = make_parameters(rng, "f8"), make_parameters(np.random.default_rng(0), "f8")
    first, second = getattr(optim, name)(a), getattr(optim, name)(b)
    for _ in range(3):
        set_grads(rng, a)
        for p, q in zip(a, b, strict=True):
            q.grad = Tensor(p.grad.numpy() * 0.25)
        first.step(grad_scale=0.25)
        second.step()
    assert_same(values(a), values(b))


def test_zero_grad(rng):
    params = make_parameters(rng)
    optimizer = optim.SGD(params)
    set_grads(rng, params)
    kept = params[0].grad
    optimizer.zero_grad(set_to_none=False)
    assert params[0].grad is kept
    assert all(not p.grad.numpy().any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def test_parameters_without_gradients_do_nothing(rng):
    params = make_parameters(rng)
    before = values(params)
    optimizer = optim.Adam(params)
    optimizer.step()
    assert_same(values(params), before)
    assert not optimizer.state


def test_read_only_memory_is_refused_before_anything_changes():
    frozen = np.ones(3, "f4")
    frozen.flags.writeable = False
    params = [Tensor([1.0, 1.0], requires_grad=True), lucid._core.tensor.wrap(frozen)]
    for p in params:
        p.grad = Tensor(np.ones(p.shape, "f4"))
    with pytest.raises(ValueError, match=r"sgd: params\[1\] is read-only"):
        optim.SGD(params).step()
    assert params[0].tolist() == [1.0, 1.0]


# ------------------------------------------------------------------- clipping


@pytest.mark.parametrize("name", NAMES)
def test_max_grad_norm_is_clipping_before_the_step(rng, name):
    a, b = make_parameters(rng, "f8"), make_parameters(np.random.default_rng(0), "f8")
    clipping, plain = getattr(optim, name)(a, max_grad_norm=0.5), getattr(optim, name)(b)
    assert clipping.last_grad_norm is None
    for _ in range(3):
        set_grads(rng, a)
        norm = np.sqrt(sum((p.grad.numpy() ** 2).sum() for p in a))
        for p, q in zip(a, b, strict=True):
            q.grad = Tensor(p.grad.numpy() * (0.5 / (norm + 1e-7)))
        kept = [p.grad.numpy().copy() for p in a]
        clipping.step()
        plain.step()
        assert clipping.last_grad_norm == pytest.approx(norm, rel=1e-14)
        assert_same([p.grad.numpy() for p in a], kept)
    for x, y in zip(values(a), values(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def test_max_grad_norm_that_is_not_reached_changes_no_bit(rng):
    a, b = make_parameters(rng), make_parameters(np.random.default_rng(0))
    for params, limit in ((a, float("inf")), (b, None)):
        optimizer = optim.Adam(params, max_grad_norm=limit)
        set_grads(np.random.default_rng(1), params)
        optimizer.step()
    assert_same(values(a), values(b))


def test_max_grad_norm_covers_all_groups_and_grad_scale():
    p, q = Tensor([0.0], requires_grad=True), Tensor([0.0], requires_grad=True)
    groups = [{"params": [p]}, {"params": [q], "lr": 2.0}]
    optimizer = optim.SGD(groups, lr=1.0, max_grad_norm=1.0)
    p.grad, q.grad = Tensor([300.0]), Tensor([400.0])
    optimizer.step(grad_scale=0.01)
    assert optimizer.last_grad_norm == pytest.approx(5.0)
    np.testing.assert_allclose([p.item(), q.item()], [-0.6, -1.6], rtol=1e-6)


def test_gradients_that_are_not_finite_are_named_and_not_clipped():
    p, q = Tensor([0.0, 0.0], requires_grad=True), Tensor([0.0], requires_grad=True)
    optimizer = optim.SGD([("a", p), ("b", q)], lr=1.0, max_grad_norm=1.0)
    p.grad, q.grad = Tensor([np.nan, np.inf]), Tensor([100.0])
    with pytest.warns(RuntimeWarning, match=r"not clipped: a \(1 NaN, 1 inf\)$"):
        optimizer.step()
    assert q.tolist() == [-100.0]
    unnamed = optim.SGD([p, q], max_grad_norm=1.0)
    with pytest.warns(RuntimeWarning, match=r"param_groups\[0\]\['params'\]\[0\]"):
        unnamed.step()


# ------------------------------------------------------------------- groups


def test_groups_have_options_of_their_own():
    a, b, c = (Tensor([1.0], requires_grad=True) for _ in range(3))
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": (p for p in [c]), "maximize": True})
    for p in (a, b, c):
        p.grad = Tensor([1.0])
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [0.9, 0.5, 1.1], rtol=1e-6)


def test_a_changed_option_counts_from_the_next_step():
    p = Tensor([1.0], requires_grad=True)
    p.grad = Tensor([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    assert p.tolist() == [0.75]


def test_named_parameters():
    a, b = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = optim.Adam(iter([("first", a), ("second", b)]))
    assert optimizer.param_groups[0]["param_names"] == ["first", "second"]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(a), id(b)]
    with pytest.raises(ValueError, match="either all params have names or none"):
        optim.Adam([("first", a), b])
    with pytest.raises(ValueError, match="either all groups have parameter names or none"):
        optimizer.add_param_group({"params": [Tensor([1.0], requires_grad=True)]})


def test_the_dicts_given_are_not_changed():
    p = Tensor([1.0], requires_grad=True)
    group = {"params": [p], "lr": 0.5}
    optim.Adam([group])
    assert set(group) == {"params", "lr"}


def test_repr():
    text = repr(optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.5\n")


# ------------------------------------------------------------------- hooks


def test_step_hooks():
    p = Tensor([1.0], requires_grad=True)
    p.grad = Tensor([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    seen = []

    def halve(opt, args, kwargs):
        assert opt is optimizer
        seen.append(p.item())
        return args, {"grad_scale": 0.5 * kwargs["grad_scale"]}

    before = optimizer.register_step_pre_hook(halve)
    after = optimizer.register_step_post_hook(lambda opt, args, kwargs: seen.append(p.item()))
    optimizer.step()
    assert seen == [1.0, 0.75]
    before.remove()
    after.remove()
    optimizer.step()
    assert p.tolist() == [0.25]
    assert len(seen) == 2


def test_state_dict_hooks():
    optimizer = optim.SGD([Tensor([1.0], requires_grad=True)])
    calls = []
    optimizer.register_state_dict_pre_hook(lambda opt: calls.append("pre"))
    optimizer.register_state_dict_post_hook(lambda opt, saved: {**saved, "note": 1})
    saved = optimizer.state_dict()
    assert calls == ["pre"]
    assert saved["note"] == 1

    def second(opt, loaded):
        calls.append("load")
        return {**loaded, "param_groups": [{**loaded["param_groups"][0], "lr": 7.0}]}

    optimizer.register_load_state_dict_pre_hook(second)
    optimizer.register_load_state_dict_pre_hook(lambda *_: calls.append("first"), prepend=True)
    optimizer.register_load_state_dict_post_hook(lambda opt: calls.append("post"))
    optimizer.load_state_dict(saved)
    assert calls == ["pre", "first", "load", "post"]
    assert optimizer.param_groups[0]["lr"] == 7.0


# ------------------------------------------------------------------- saving


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "c8"])
def test_state_dict_goes_on_bit_for_bit(rng, name, options, dtype):
    params = make_parameters(rng, dtype)
    make = getattr(optim, name)
    optimizer = make(params, **options)
    for _ in range(3):
        set_grads(rng, params)
        optimizer.step()
    saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
    others = [Tensor(a, requires_grad=True) for a in values(params)]
    resumed = make(others)  # the options come with the state
    resumed.load_state_dict(saved)
    for _ in range(3):
        set_grads(rng, params)
        for p, q in zip(params, others, strict=True):
            q.grad = p.grad.clone()
        optimizer.step()
        resumed.step()
    assert_same(values(params), values(others))


def test_loading_copies():
    p, q = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    first, second = optim.Adam([p]), optim.Adam([q])
    p.grad = q.grad = Tensor([1.0])
    first.step()
    saved = first.state_dict()
    kept = copy.deepcopy(saved)
    second.load_state_dict(saved)
    second.step()
    assert float(saved["state"][0]["step"]) == 1.0
    assert_same([saved["state"][0]["exp_avg"].numpy()], [kept["state"][0]["exp_avg"].numpy()])


def test_state_dict_layout():
    p, q = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.5}])
    q.grad = Tensor([2.0])
    optimizer.step()
    saved = optimizer.state_dict()
    assert [g["params"] for g in saved["param_groups"]] == [[0], [1]]
    assert saved["param_groups"][1]["lr"] == 0.5
    assert list(saved["state"]) == [1]
    assert isinstance(saved["state"][1]["exp_avg"], Tensor)
    assert saved["state"][1]["step"].shape == ()


def test_states_that_do_not_fit_are_refused_and_nothing_changes():
    p = Tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([p], lr=0.5)
    p.grad = Tensor([1.0, 1.0])
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())

    def refused(match, **changes):
        with pytest.raises(ValueError, match=match):
            optimizer.load_state_dict({**copy.deepcopy(saved), **changes})
        assert optimizer.param_groups[0]["lr"] == 0.5
        assert float(optimizer.state[p]["step"]) == 1.0

    group = saved["param_groups"][0]
    refused(r"must have \[1\] parameters; got \[1, 1\]", param_groups=[group, group])
    refused(r"must have \[1\] parameters; got \[2\]", param_groups=[{**group, "params": [0, 1]}])
    refused("lr must be", param_groups=[{**group, "lr": -1}])
    refused("parameter 5 that is in no group", state={5: {"step": 1.0}})
    state = {0: {**saved["state"][0], "exp_avg": np.zeros(3)}}
    refused(r"parameter 0: exp_avg must have shape \(2,\); got \(3,\)", state=state)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_of_the_optimizer_has_parameters_of_its_own(copied):
    p = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5, momentum=0.9)
    optimizer.register_step_post_hook(lambda *_: None)
    p.grad = Tensor([1.0])
    optimizer.step()
    other = copied(optimizer)
    q = other.param_groups[0]["params"][0]
    assert q is not p
    q.grad = Tensor([1.0])
    other.step()
    assert p.item() == 0.5
    optimizer.step()
    assert q.item() == p.item()


def test_loading_turns_adam_into_adamw_only_if_it_is_one():
    p = Tensor([1.0], requires_grad=True)
    saved = optim.Adam([p]).state_dict()
    optimizer = optim.AdamW([p])
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


# ------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [-1, float("nan"), "1", None, True, [1.0]])
def test_bad_learning_rates(name, bad):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: lr must be a number of at least"):
        getattr(optim, name)([Tensor([1.0], requires_grad=True)], lr=bad)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("SGD", {"momentum": -1}, "SGD: momentum must be a number of at least 0; got -1"),
        ("SGD", {"weight_decay": -1}, "weight_decay"),
        ("SGD", {"dampening": float("nan")}, "dampening"),
        ("SGD", {"nesterov": True}, "nesterov needs a momentum above 0 and no dampening"),
        ("SGD", {"nesterov": True, "momentum": 1, "dampening": 1}, "nesterov"),
        ("SGD", {"max_grad_norm": -1}, "max_grad_norm must be a number of at least 0; got -1"),
        ("Adam", {"betas": (0.9, 1.0)}, r"betas\[1\] .* at least 0 and less than 1; got 1.0"),
        ("Adam", {"betas": (-0.1, 0.9)}, r"betas\[0\]"),
        ("Adam", {"betas": 0.9}, "betas must be a pair of numbers; got 0.9"),
        ("Adam", {"eps": -1}, "eps"),
        ("AdamW", {"weight_decay": -1}, "AdamW: weight_decay"),
        ("Adamax", {"betas": (0.9, 2)}, r"Adamax: betas\[1\]"),
        ("NAdam", {"momentum_decay": -1}, "NAdam: momentum_decay"),
        ("RAdam", {"eps": -1}, "RAdam: eps"),
        ("RMSprop", {"alpha": -1}, "RMSprop: alpha"),
        ("Adagrad", {"lr_decay": -1}, "Adagrad: lr_decay"),
        ("Adagrad", {"initial_accumulator_value": -1}, "initial_accumulator_value"),
        ("Adadelta", {"rho": 1.5}, "rho must be at most 1; got 1.5"),
        ("ASGD", {"t0": float("nan")}, "t0 must be a number; got nan"),
        ("Rprop", {"etas": (0.5, 0.9)}, "etas must be on either side of 1"),
        ("Rprop", {"step_sizes": (1.0,)}, "step_sizes must be a pair"),
        ("Lion", {"betas": (0.9, 1.0)}, r"Lion: betas\[1\]"),
    ],
)
def test_bad_options(name, options, match):
    p = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match=match):
        getattr(optim, name)([p], **options)
    if "max_grad_norm" not in options:  # the same in a group
        with pytest.raises(ValueError, match=match):
            getattr(optim, name)([{"params": [p], **options}])


def test_bad_parameters():
    p = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="SGD: params is empty"):
        optim.SGD([])
    with pytest.raises(ValueError, match="params is empty"):
        optim.SGD(iter([]))
    with pytest.raises(TypeError, match=r"must be an iterable of tensors.*; got Tensor"):
        optim.SGD(p)
    with pytest.raises(TypeError, match=r"must be an iterable of tensors.*; got int"):
        optim.SGD(3)
    with pytest.raises(TypeError, match=r"params\[1\] must be a Tensor; got ndarray"):
        optim.SGD([p, np.ones(3)])
    with pytest.raises(TypeError, match=r"params\[0\] must be of a floating-point.* got int64"):
        optim.SGD([Tensor([1, 2])])
    with pytest.raises(ValueError, match=r"params\[0\] must be a leaf; it was made by <mul"):
        optim.SGD([p * 2])
    with pytest.raises(ValueError, match=r"params\[1\] was given before, in group 0"):
        optim.SGD([p, p])
    with pytest.raises(TypeError, match="must have an order"):
        optim.SGD([{"params": {p}}])
    optimizer = optim.SGD([p])
    with pytest.raises(ValueError, match=r"params\[0\] was given before, in group 0"):
        optimizer.add_param_group({"params": [p]})
    with pytest.raises(TypeError, match="must be a dict with a key 'params'"):
        optimizer.add_param_group([p])
    assert len(optimizer.param_groups) == 1


def test_a_learning_rate_may_be_a_tensor():
    p = Tensor([1.0], requires_grad=True)
    p.grad = Tensor([1.0])
    optim.SGD([p], lr=Tensor(0.5)).step()
    assert p.tolist() == [0.5]


def test_a_step_that_clipping_refuses_leaves_no_state():
    weight = lucid.Tensor([1.0, 2.0], requires_grad=True)
    optimizer = lucid.optim.Adam([weight], max_grad_norm=1.0)
    weight.grad = lucid.Tensor([float("nan"), 1.0])
    with pytest.raises(RuntimeWarning, match="not finite"):
        optimizer.step()  # warnings are errors here
    assert not optimizer.state
    assert weight.tolist() == [1.0, 2.0]


def test_a_group_may_hold_its_parameters_in_a_tuple():
    weight = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.5)
    optimizer.param_groups[0]["params"] = (weight,)
    weight.grad = Tensor([1.0])
    optimizer.step()
    assert weight.tolist() == [0.5]
