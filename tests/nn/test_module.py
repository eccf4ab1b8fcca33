"""Module: registration, traversal, state, hooks, copies, containers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lucid
import lucid.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.scale = nn.Parameter(lucid.ones(4))
        self.register_buffer("mean", lucid.zeros(4))
        self.scratch = nn.Buffer(lucid.zeros(1), persistent=False)
        self.nothing = None

    def forward(self, x):
        return self.inner(self.first(x)) * self.scale + self.mean


NAMES = ["scale", "first.weight", "first.bias", "inner.0.weight", "inner.0.bias"]


# -------------------------------------------------------------------- registration


def test_names_in_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [name for name, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert [name for name, _ in net.named_buffers()] == ["mean", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "inner", "inner.0", "inner.1"]
    assert [name for name, _ in net.named_children()] == ["first", "inner"]
    assert list(net.children()) == [net.first, net.inner]
    assert len(list(net.modules())) == 5
    assert len(list(net.buffers())) == 2
    assert list(net.parameters(recurse=False)) == [net.scale]


def test_a_member_lives_once_in_the_instance():
    net = Net()
    assert net.__dict__["scale"] is net.scale is net._parameters["scale"]
    assert set(net._modules) == {"first", "inner"}
    assert set(net._buffers) == {"mean", "scratch"}
    with pytest.raises(TypeError):
        net._parameters["scale"] = None


def test_shared_members_are_yielded_once():
    net = Net()
    net.again = net.first
    net.tied = net.scale
    assert len(list(net.parameters())) == 5
    assert len(list(net.named_parameters(remove_duplicate=False))) == 8
    assert len(list(net.named_modules(remove_duplicate=False))) == 6
    assert "again.weight" in net.state_dict()


def test_reassignment_keeps_the_names_in_step():
    net = Net()
    net.scale = nn.Parameter(lucid.zeros(4))
    assert [name for name, _ in net.named_parameters()] == NAMES
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    net.scale = nn.Parameter(lucid.ones(4))
    assert [name for name, _ in net.named_parameters()] == NAMES
    net.mean = lucid.ones(4)
    assert net.state_dict()["mean"].tolist() == [1, 1, 1, 1]
    net.mean = nn.Parameter(lucid.ones(4))
    assert "mean" in dict(net.named_parameters())
    assert "mean" not in dict(net.named_buffers())
    del net.first
    assert not hasattr(net, "first")
    assert "first" not in dict(net.named_children())
    net.first = 3
    assert net.first == 3


def test_wrong_assignments_say_what_was_expected():
    net = Net()
    with pytest.raises(TypeError, match=r"Net\.scale: is a parameter and must be a Parameter"):
        net.scale = lucid.ones(4)
    with pytest.raises(TypeError, match=r"Net\.mean: is a buffer and must be a Tensor"):
        net.mean = 3
    with pytest.raises(TypeError, match=r"Net\.first: is a submodule"):
        net.first = "x"
    with pytest.raises(TypeError, match=r"Parameter or None; got Tensor: wrap it"):
        net.register_parameter("w", lucid.ones(2))
    with pytest.raises(TypeError, match="must be a Module"):
        net.add_module("m", 3)
    with pytest.raises(TypeError, match="must be a Tensor"):
        net.register_buffer("b", [1.0])
    with pytest.raises(TypeError, match="name must be a str"):
        net.register_buffer(3, None)
    for name in ("", "a.b", "forward", "nothing"):
        with pytest.raises(KeyError):
            net.register_parameter(name, None)
    with pytest.raises(AttributeError, match="fc9"):
        net.fc9  # noqa: B018


def test_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.size = 3
            self.weight = nn.Parameter(lucid.ones(2))

    with pytest.raises(
        AttributeError, match=r"Early: call super\(\).__init__\(\) before .*'weight'"
    ):
        Early()


def test_not_implemented():
    with pytest.raises(NotImplementedError, match="Module: forward is not implemented"):
        nn.Module()(1)


def test_paths():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("inner.0") is net.inner[0]
    assert net.get_parameter("inner.0.bias") is net.inner[0].bias
    assert net.get_buffer("mean") is net.mean
    with pytest.raises(
        AttributeError, match=r"'inner' .Sequential. has no submodule '7'; it has 0, 1"
    ):
        net.get_submodule("inner.7")
    with pytest.raises(AttributeError, match="get_parameter"):
        net.get_parameter("mean")
    with pytest.raises(AttributeError, match="get_buffer"):
        net.get_buffer("scale")
    net.set_submodule("inner.1", nn.Tanh())
    assert isinstance(net.inner[1], nn.Tanh)
    with pytest.raises(AttributeError):
        net.set_submodule("inner.9", nn.Tanh())
    with pytest.raises(ValueError, match="empty"):
        net.set_submodule("", nn.Tanh())


# -------------------------------------------------------------------- what is done with all


def test_train_eval_apply_requires_grad():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.inner.train()
    assert net.inner[0].training
    assert not net.first.training
    with pytest.raises(ValueError, match="bool"):
        net.train("yes")
    seen = []
    assert net.apply(seen.append) is net
    assert seen[-1] is net
    assert seen.index(net.inner[0]) < seen.index(net.inner)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_zero_grad():
    net = Net()
    net(lucid.ones(2, 3)).sum().backward()
    gradient = net.scale.grad
    net.zero_grad(set_to_none=False)
    assert net.scale.grad is gradient
    assert not gradient.numpy().any()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_conversion():
    net = Net()
    net.register_buffer("count", lucid.tensor(3))
    net(lucid.ones(2, 3)).sum().backward()
    scale = net.scale
    assert net.double() is net
    assert net.scale is scale
    assert scale.dtype == scale.grad.dtype == net.mean.dtype == lucid.float64
    assert net.count.dtype == lucid.int64
    assert net(lucid.ones(2, 3, dtype=lucid.float64)).dtype == lucid.float64
    assert net.half().scale.dtype == lucid.float16
    assert net.float().scale.dtype == lucid.float32
    assert net.to("cpu").to(lucid.float64).scale.dtype == lucid.float64
    assert net.to("cpu", lucid.float32).scale.dtype == lucid.float32
    assert net.to(lucid.ones(1, dtype=lucid.float64)).scale.dtype == lucid.float64
    assert net.to(dtype="float32").scale.dtype == lucid.float32
    assert net.cpu().type(lucid.float64).count.dtype == lucid.float64
    with pytest.raises(TypeError, match="floating point"):
        net.to(lucid.int64)
    with pytest.raises(RuntimeError, match="cuda"):
        net.to("cuda")
    with pytest.raises(TypeError, match="'dtpye'"):
        net.to(dtpye=lucid.float32)


# -------------------------------------------------------------------- state


def test_state_dict_layout_and_sharing():
    net = Net()
    state = net.state_dict()
    assert list(state) == ["scale", "mean", *NAMES[1:]]
    assert not any(t.requires_grad for t in state.values())
    assert np.shares_memory(state["scale"]._data, net.scale._data)
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert list(net.inner.state_dict(prefix="x.")) == ["x.0.weight", "x.0.bias"]
    mine = {}
    assert net.state_dict(destination=mine) is mine


@pytest.mark.torch
def test_same_keys_as_torch(torch):
    def build(nn):
        return nn.Sequential(
            nn.Linear(3, 4), nn.ModuleList([nn.PReLU(), nn.Bilinear(2, 3, 4)]),
            nn.ModuleDict({"a": nn.LayerNorm(3), "b": nn.Embedding(3, 2)}),
        )  # fmt: skip

    ours, theirs = build(nn).state_dict(), build(torch.nn).state_dict()
    assert list(ours) == list(theirs)
    assert [v.shape for v in ours.values()] == [tuple(v.shape) for v in theirs.values()]


def test_load_copies_in_place():
    net, other = Net(), Net()
    memory = net.scale._data
    version = net.scale._version
    result = net.load_state_dict(other.state_dict())
    assert result == ([], [])
    assert result.missing_keys == []
    assert repr(result) == "<All keys matched successfully>"
    assert net.scale._data is memory
    assert net.scale._version > version
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a._data, b._data)
        assert a is not b
    net.load_state_dict({k: v.numpy().astype(np.float64) for k, v in other.state_dict().items()})
    assert net.scale.dtype == lucid.float32


def test_load_lists_every_problem_and_changes_nothing():
    net = Net()
    before = [p._data.copy() for p in net.parameters()]
    state = {k: v * 0 - 5 for k, v in net.state_dict().items()}
    del state["first.bias"]
    state["scale"] = lucid.ones(7)
    state["mean"] = "x"
    state["inner.0.bias"] = lucid.ones(4, dtype=lucid.complex64)
    state["more"] = lucid.ones(1)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    for part in (
        r"scale: must have shape (4,); got (7,)",
        "mean: must be a Tensor or an array; got str",
        "inner.0.bias: must be real",
        "missing keys: 'first.bias'",
        "unexpected keys: 'more'",
    ):
        assert part in message
    for p, b in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(p._data, b)
    with pytest.raises(TypeError, match="mapping"):
        net.load_state_dict([1])


def test_load_not_strict():
    net = Net()
    result = net.load_state_dict({"scale": lucid.zeros(4), "x": lucid.ones(1)}, strict=False)
    assert result.unexpected_keys == ["x"]
    assert len(result.missing_keys) == 5
    assert not net.scale._data.any()


def test_load_assign():
    net = Net()
    state = {k: v.to(lucid.float64) for k, v in net.state_dict().items()}
    net.scale.requires_grad_(False)
    net.load_state_dict(state, assign=True)
    assert isinstance(net.scale, nn.Parameter)
    assert net.scale.dtype == lucid.float64
    assert not net.scale.requires_grad
    assert net.first.weight.requires_grad
    assert np.shares_memory(net.scale._data, state["scale"]._data)
    assert net.mean is state["mean"]


def test_extra_state():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    model = nn.Sequential(Counting(), nn.Linear(1, 1))
    model[0].count = 5
    state = model.state_dict()
    assert list(state) == ["0._extra_state", "1.weight", "1.bias"]
    fresh = nn.Sequential(Counting(), nn.Linear(1, 1))
    fresh.load_state_dict(state)
    assert fresh[0].count == 5


def test_state_hooks():
    net, calls = nn.Linear(1, 1), []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: calls.append(("pre", prefix, keep)))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop(prefix + "bias"))

    def rename(module, state, prefix, meta, strict, missing, unexpected, errors):
        state["weight"] = state.pop("old")
        state["bias"] = lucid.zeros(1)

    net.register_load_state_dict_pre_hook(rename)
    net.register_load_state_dict_post_hook(lambda m, keys: calls.append(keys))
    assert list(net.state_dict()) == ["weight"]
    given = {"old": lucid.tensor([[7.0]])}
    net.load_state_dict(given)
    assert list(given) == ["old"]
    assert net.weight.item() == 7
    assert calls == [("pre", "", False), ([], [])]


def test_copies_and_pickles():
    net = Net()
    net.tied = net.scale
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(again.state_dict()) == list(net.state_dict())
        assert isinstance(again.scale, nn.Parameter)
        assert isinstance(again.scratch, nn.Buffer)
        assert not again.scratch.persistent
        assert again.tied is again.scale
        assert again.scale is not net.scale
        x = lucid.ones(2, 3)
        np.testing.assert_array_equal(again(x).detach().numpy(), net(x).detach().numpy())


# -------------------------------------------------------------------- hooks


def test_forward_hooks():
    layer, calls = nn.Identity(), []
    x = lucid.ones(2)
    a = layer.register_forward_pre_hook(lambda m, args: calls.append("a"))
    b = layer.register_forward_pre_hook(lambda m, args: args[0] * 2)
    c = layer.register_forward_hook(lambda m, args, out: out + args[0])
    assert layer(x).tolist() == [4, 4]
    layer.register_forward_pre_hook(lambda m, args: calls.append("first"), prepend=True)
    layer(x)
    assert calls == ["a", "first", "a"]
    for handle in (a, b, c):
        handle.remove()
    assert layer(x) is x
    with layer.register_forward_hook(lambda m, args, out: 5):
        assert layer(x) == 5
    assert layer(x) is x


def test_hooks_with_kwargs_and_errors():
    class Add(nn.Module):
        def forward(self, x, y=0):
            if y is None:
                raise ValueError("no")
            return x + y

    layer, seen = Add(), []
    layer.register_forward_pre_hook(lambda m, a, k: (a, {"y": 10}) if k else None, with_kwargs=True)
    layer.register_forward_hook(lambda m, a, k, out: seen.append(k), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    assert layer(1) == 1
    assert layer(1, y=2) == 11
    assert seen == [{}, 1, {"y": 10}, 11]
    with pytest.raises(ValueError, match="no"):
        layer(1, None)
    assert seen[-1] is None
    for register in (
        layer.register_forward_pre_hook, layer.register_forward_hook,
        layer.register_full_backward_hook, layer.register_full_backward_pre_hook,
        layer.register_state_dict_post_hook,
    ):  # fmt: skip
        with pytest.raises(TypeError, match="hook must be callable; got int"):
            register(3)
    layer.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="pre-hook: must return None or the tuple"):
        layer(1)


@pytest.mark.torch
def test_backward_hooks_as_torch(torch):
    def run(library, wrap):
        layer = library.nn.Linear(2, 3)
        with library.no_grad():
            for p in layer.parameters():
                p[...] = 1.5
        seen = []
        layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
        layer.register_full_backward_hook(
            lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist()))
        )
        layer.register_full_backward_hook(lambda m, gi, go: (gi[0] + 1,))
        x = wrap([[1.0, 2.0]])
        x.requires_grad_()
        (layer(x) * wrap([1.0, 2.0, 3.0])).sum().backward()
        return seen, x.grad.tolist(), layer.weight.grad.tolist()

    assert run(lucid, lucid.tensor) == run(torch, torch.tensor)


def test_backward_hooks_with_several_outputs_and_none():
    class Two(nn.Module):
        def forward(self, x, flag, y):
            return x * 2, "text", y * 3

    layer, seen = Two(), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    x, y = lucid.ones(2, requires_grad=True), lucid.ones(2, requires_grad=True)
    out = layer(x, True, y)
    assert out[1] == "text"
    out[0].sum().backward()
    (gi, go) = seen.pop()
    assert gi[0].tolist() == [2, 2]
    assert gi[1] is gi[2] is None
    assert go[0].tolist() == [1, 1]
    assert go[1] is go[2] is None
    assert y.grad is None


def test_backward_hook_where_no_input_needs_a_gradient():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(lucid.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]
    with lucid.no_grad():
        layer(lucid.ones(1, 2))
    assert len(seen) == 1


def test_wrong_result_of_a_backward_hook():
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(lambda m, gi, go: (lucid.ones(7),))
    with pytest.raises(
        RuntimeError, match="full backward hook: a gradient must be a Tensor of shape"
    ):
        layer(lucid.ones(1, 2, requires_grad=True)).sum().backward()


# -------------------------------------------------------------------- parameters


def test_parameter_shares_and_is_a_leaf():
    x = lucid.ones(3)
    p = nn.Parameter(x)
    assert p.requires_grad
    assert p.is_leaf
    assert np.shares_memory(p._data, x._data)
    with lucid.no_grad():
        p[0] = 5
    assert x.tolist() == [5, 1, 1]
    made = nn.Parameter(lucid.ones(2, requires_grad=True) * 2)
    assert made.is_leaf
    assert nn.Parameter([1.0, 2.0]).tolist() == [1, 2]
    assert type(p + 1) is lucid.Tensor
    assert repr(p) == "Parameter containing:\ntensor([5., 1., 1.], requires_grad=True)"
    assert repr(nn.Buffer(lucid.ones(1))) == "Buffer containing:\ntensor([1.])"
    with pytest.raises(RuntimeError, match="floating"):
        nn.Parameter(lucid.tensor([1]))
    assert nn.Parameter(lucid.tensor([1]), requires_grad=False).tolist() == [1]
    for again in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(again) is nn.Parameter
        assert again.requires_grad


# -------------------------------------------------------------------- containers


def test_sequential():
    layers = [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert model[-1] is layers[2]
    assert list(model) == layers
    part = model[1:]
    assert isinstance(part, nn.Sequential)
    assert list(part) == layers[1:]
    assert list(part._modules) == ["1", "2"]
    model.append(nn.Tanh()).insert(0, nn.Identity()).extend([nn.ReLU()])
    assert [type(m).__name__ for m in model] == [
        "Identity", "Linear", "ReLU", "Linear", "Tanh", "ReLU",
    ]  # fmt: skip
    assert list(model._modules) == list("012345")
    assert isinstance(model.pop(0), nn.Identity)
    assert list(model._modules) == list("01234")
    del model[3:]
    assert list(model) == layers
    model[1] = nn.Tanh()
    assert isinstance(model[1], nn.Tanh)
    named = nn.Sequential({"a": nn.ReLU(), "b": nn.Tanh()})
    assert named.a is named[0]
    del named[0]
    assert list(named._modules) == ["b"]
    assert len(model + nn.Sequential(nn.ReLU())) == 4
    with pytest.raises(IndexError, match=r"Sequential: index must be in \[-3, 2\]; got 3"):
        model[3]
    with pytest.raises(TypeError, match="Module"):
        nn.Sequential(3)
    with pytest.raises(TypeError, match="item 0 must be a Module"):
        model.insert(0, 3)
    assert len(model) == 3


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    layers += [nn.ReLU()]
    assert len(layers) == 3
    assert isinstance(layers[:2], nn.ModuleList)
    assert list(layers[1:]._modules) == ["0", "1"]
    with pytest.raises(NotImplementedError):
        layers(1)
    table = nn.ModuleDict({"a": nn.Linear(1, 1)})
    table["b"] = nn.ReLU()
    table.update([("c", nn.Tanh())])
    assert list(table) == list(table.keys()) == ["a", "b", "c"]
    assert "b" in table
    assert len(table) == 3
    assert list(table.state_dict()) == ["a.weight", "a.bias"]
    assert isinstance(table.pop("b"), nn.ReLU)
    assert [k for k, _ in table.items()] == ["a", "c"]
    assert len(list(table.values())) == 2
    with pytest.raises(KeyError):
        table["training"]
    with pytest.raises(KeyError, match="keys"):
        table["keys"] = nn.ReLU()
    table.clear()
    assert len(table) == 0


def test_parameter_list_and_dict():
    values = nn.ParameterList([lucid.ones(2), nn.Parameter(lucid.zeros(1))])
    values.append(lucid.ones(3))
    assert all(isinstance(p, nn.Parameter) for p in values)
    assert list(values.state_dict()) == ["0", "1", "2"]
    assert len(values[1:]) == 2
    assert values.pop(0).shape == (2,)
    assert [p.shape for p in values] == [(1,), (3,)]
    with pytest.raises(IndexError, match="ParameterList"):
        values[2]
    table = nn.ParameterDict({"a": lucid.ones(2)})
    table["b"] = nn.Parameter(lucid.ones(3))
    assert list(table.state_dict()) == ["a", "b"]
    assert table.get("x", 5) == 5
    assert table.setdefault("a") is table["a"]
    del table["a"]
    assert list(table) == ["b"]
    with pytest.raises(KeyError, match="training"):
        table["training"] = lucid.ones(1)
    again = pickle.loads(pickle.dumps(values))
    assert len(again) == 2


@pytest.mark.torch
def test_repr_as_torch(torch):
    def build(library):
        nn = library.nn
        return nn.Sequential(
            nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Dropout(0.1)),
            nn.ModuleDict({"a": nn.Identity()}), nn.Flatten(), nn.Sequential(),
        )  # fmt: skip

    assert repr(build(lucid)) == repr(build(torch))
