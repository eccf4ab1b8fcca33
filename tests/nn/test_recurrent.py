"""Recurrent networks against PyTorch, and against a recurrence written in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid._core.tensor import wrap

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
