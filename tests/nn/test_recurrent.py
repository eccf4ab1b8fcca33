"""Recurrent networks against PyTorch, and against a recurrence written in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid._core.tensor import wrap
from lucid.nn.utils import rnn as sequences

NETWORKS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bias": False}),
    ("RNN", {"bidirectional": True, "batch_first": True}),
    ("LSTM", {}),
    ("LSTM", {"bias": False}),
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 3}),
    ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("GRU", {}),
    ("GRU", {"bias": False, "batch_first": True}),
    ("GRU", {"num_layers": 3, "bidirectional": True}),
]
INPUT, HIDDEN = 4, 6


def names(cases):
    return [f"{name}({','.join(f'{k}={v}' for k, v in kwargs.items())})" for name, kwargs in cases]


networks = pytest.mark.parametrize(("name", "kwargs"), NETWORKS, ids=names(NETWORKS))


def limits(dtype):
    return {"rtol": 2e-4, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-11}


def states_of(kwargs, name, batch, rng, dtype):
    count = kwargs.get("num_layers", 1) * (2 if kwargs.get("bidirectional") else 1)
    shapes = [(count, *batch, kwargs.get("proj_size") or HIDDEN)]
    if name == "LSTM":
        shapes.append((count, *batch, HIDDEN))
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def flat(result):
    y, states = result
    data = y.data if hasattr(y, "batch_sizes") else y
    return [data, *(states if isinstance(states, tuple) else (states,))]


def pair(torch, name, kwargs, dtype=np.float64):
    """A network of PyTorch's and one of lucid's with its checkpoint."""
    kind = torch.float32 if dtype == np.float32 else torch.float64
    theirs = getattr(torch.nn, name)(INPUT, HIDDEN, dtype=kind, **kwargs)
    ours = getattr(nn, name)(INPUT, HIDDEN, dtype=dtype, **kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: wrap(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    return theirs, ours


def compare(torch, theirs, ours, expected, found, their_inputs, our_inputs, rng, dtype):
    gradients = [rng.standard_normal(tuple(x.shape)).astype(dtype) for x in expected]
    for got, want in zip(found, expected, strict=True):
        assert got.shape == tuple(want.shape)
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), **limits(dtype))
    torch.autograd.backward(expected, [torch.from_numpy(g) for g in gradients])
    lucid.autograd.backward(found, [wrap(g) for g in gradients])
    for got, want in zip(our_inputs, their_inputs, strict=True):
        np.testing.assert_allclose(got.grad.numpy(), want.grad.numpy(), **limits(dtype))
    for (key, got), want in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(
            got.grad.numpy(), want.grad.numpy(), err_msg=key, **limits(dtype)
        )


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@networks
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "states"])
def test_outputs_and_gradients_as_pytorch(torch, rng, name, kwargs, dtype, given):
    theirs, ours = pair(torch, name, kwargs, dtype)
    shape = (11, 5, INPUT) if kwargs.get("batch_first") else (5, 11, INPUT)
    arrays = [rng.standard_normal(shape).astype(dtype)]
    if given:
        arrays += states_of(kwargs, name, (11,), rng, dtype)
    their = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    our = [lucid.tensor(a, requires_grad=True) for a in arrays]

    def run(network, inputs):
        states = tuple(inputs[1:]) if name == "LSTM" else inputs[-1]
        return flat(network(inputs[0], states) if given else network(inputs[0]))

    compare(torch, theirs, ours, run(theirs, their), run(ours, our), their, our, rng, dtype)


LENGTHS = [5, 2, 4, 1, 4]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@networks
@pytest.mark.parametrize("ordered", [True, False])
def test_packed_sequences_as_pytorch(torch, rng, name, kwargs, ordered):
    kwargs = {k: v for k, v in kwargs.items() if k != "batch_first"}
    theirs, ours = pair(torch, name, kwargs)
    lengths = sorted(LENGTHS, reverse=True) if ordered else LENGTHS
    arrays = [rng.standard_normal((5, len(lengths), INPUT))]
    arrays += states_of(kwargs, name, (len(lengths),), rng, np.float64)
    their = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    our = [lucid.tensor(a, requires_grad=True) for a in arrays]

    def run(network, library, inputs):
        packed = library.pack_padded_sequence(inputs[0], lengths, enforce_sorted=ordered)
        y, states = network(packed, tuple(inputs[1:]) if name == "LSTM" else inputs[1])
        padded, ends = library.pad_packed_sequence(y, total_length=7)
        assert ends.tolist() == lengths
        return [padded, *(states if name == "LSTM" else (states,))]

    expected, found = run(theirs, torch.nn.utils.rnn, their), run(ours, sequences, our)
    compare(torch, theirs, ours, expected, found, their, our, rng, np.float64)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "kwargs"), [("LSTM", {"num_layers": 2}), ("GRU", {"bidirectional": True})]
)
def test_one_sequence_without_batch_as_pytorch(torch, rng, name, kwargs):
    theirs, ours = pair(torch, name, kwargs)
    arrays = [rng.standard_normal((5, INPUT)), *states_of(kwargs, name, (), rng, np.float64)]
    their = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    our = [lucid.tensor(a, requires_grad=True) for a in arrays]

    def run(network, inputs):
        return flat(network(inputs[0], tuple(inputs[1:]) if name == "LSTM" else inputs[1]))

    compare(torch, theirs, ours, run(theirs, their), run(ours, our), their, our, rng, np.float64)


CELLS = [
    ("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu", "bias": False}), ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}), ("GRUCell", {}),
]  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize(("name", "kwargs"), CELLS, ids=names(CELLS))
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("given", [False, True])
def test_cells_as_pytorch(torch, rng, name, kwargs, batch, given):
    theirs, ours = pair(torch, name, kwargs)
    arrays = [rng.standard_normal((*batch, INPUT))]
    if given:
        arrays += [rng.standard_normal((*batch, HIDDEN)) for _ in range(1 + (name == "LSTMCell"))]
    their = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    our = [lucid.tensor(a, requires_grad=True) for a in arrays]

    def run(cell, inputs):
        hx = (tuple(inputs[1:]) if name == "LSTMCell" else inputs[1]) if given else None
        out = cell(inputs[0], hx)
        return list(out) if isinstance(out, tuple) else [out]

    compare(torch, theirs, ours, run(theirs, their), run(ours, our), their, our, rng, np.float64)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_float16_is_close_to_float32(rng, name):
    wide = getattr(nn, name)(INPUT, HIDDEN)
    half = getattr(nn, name)(INPUT, HIDDEN)
    half.load_state_dict(wide.state_dict())
    half.to(lucid.float16)
    x = rng.standard_normal((4, 3, INPUT)).astype(np.float16)
    y = half(wrap(x))[0]
    assert y.dtype == lucid.float16
    y.sum().backward()
    np.testing.assert_allclose(
        y.detach().numpy(), wide(wrap(x.astype(np.float32)))[0].detach().numpy(), atol=0.01
    )


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_second_derivative_where_the_state_depends_on_the_input(rng, name):
    network = getattr(nn, name)(2, 3, dtype=lucid.float64)
    x = lucid.tensor(rng.standard_normal((3, 2, 2)), requires_grad=True)

    def function(x):
        h = (x.sum(0) @ wrap(np.ones((2, 3)))).tanh().unsqueeze(0)
        y, _ = network(x, (h, h * 0.5) if name == "LSTM" else h)
        return y

    assert lucid.autograd.gradcheck(function, [x])
    assert lucid.autograd.gradgradcheck(function, [x])


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(rng, name, dtype):
    network = getattr(nn, name)(24, 200, dtype=dtype)
    x = rng.standard_normal((6, 70, 24)).astype(dtype)

    def run(threads):
        lucid.set_num_threads(threads)
        network.zero_grad()
        t = lucid.tensor(x, requires_grad=True)
        y, _ = network(t)
        (y * y).sum().backward()
        return [
            y.detach().numpy(),
            t.grad.numpy(),
            *[p.grad.numpy().copy() for p in network.parameters()],
        ]

    before = lucid.get_num_threads()
    try:
        one, two = run(1), run(2)
    finally:
        lucid.set_num_threads(before)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_only_between_layers_in_training():
    lucid.manual_seed(1)
    network = nn.LSTM(INPUT, HIDDEN, num_layers=2, dropout=0.5)
    x = lucid.randn(3, 2, INPUT)
    assert not lucid.equal(network(x)[0], network(x)[0])
    network.eval()
    assert lucid.equal(network(x)[0], network(x)[0])
    with pytest.warns(UserWarning, match="only one"):
        nn.GRU(INPUT, HIDDEN, dropout=0.5)


def test_starts_uniform():
    network = nn.LSTM(30, 100, num_layers=2)
    for value in network.parameters():
        assert 0.09 < np.abs(value.detach().numpy()).max() <= 0.1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size must be less than hidden_size"),
        (lambda: nn.LSTM(3, 0), ValueError, "hidden_size must be at least 1"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "'tanh' or 'relu'; got 'sin'"),
        (lambda: nn.GRU(3, 4, dropout=2), ValueError, r"dropout must be a probability"),
        (
            lambda: nn.GRU(3, 4)(lucid.zeros(5, 2, 7)),
            ValueError,
            r"input_size = 3; got \(5, 2, 7\)",
        ),
        (lambda: nn.GRU(3, 4)(lucid.zeros(0, 2, 3)), RuntimeError, "at least one step"),
        (
            lambda: nn.GRU(3, 4)(lucid.zeros(5, 2, 3), lucid.zeros(1, 3, 4)),
            RuntimeError,
            r"h_0 must have shape \(1, 2, 4\); got \(1, 3, 4\)",
        ),
        (lambda: nn.LSTM(3, 4)(lucid.zeros(5, 2, 3), lucid.zeros(1, 2, 4)), TypeError, "a pair"),
        (lambda: nn.LSTMCell(3, 4)(lucid.zeros(2, 5)), RuntimeError, "input_size = 3"),
        (
            lambda: nn.LSTM(3, 4)(lucid.zeros(5, 2, 3, dtype=lucid.float64)),
            RuntimeError,
            "one dtype",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_batch_of_no_sequences():
    y, h = nn.GRU(3, 4)(lucid.zeros(5, 0, 3))
    assert y.shape == (5, 0, 4)
    assert h.shape == (1, 0, 4)
