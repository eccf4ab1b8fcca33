"""MultiheadAttention and the transformer against PyTorch, for every constructor option."""

from __future__ import annotations

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid._core.tensor import wrap

pytestmark = pytest.mark.torch

N, L, S, E, H = 3, 5, 7, 8, 2


def copied(torch, theirs, ours):
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        for p in theirs.parameters():  # biases and gains start as constants: make them count
            p.add_(0.1 * torch.randn_like(p))
    ours.load_state_dict({k: wrap(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    return theirs, ours


def leaves(torch, arrays):
    return (
        [torch.from_numpy(a.copy()).requires_grad_() for a in arrays],
        [lucid.tensor(a, requires_grad=True) for a in arrays],
    )


def agree(torch, rng, theirs, ours, expected, found, their, our):
    for got, want in zip(found, expected, strict=True):
        if want is None:
            assert got is None
            continue
        assert got.shape == tuple(want.shape)
        np.testing.assert_allclose(
            got.detach().numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-11
        )
    ends = [(g, w) for g, w in zip(found, expected, strict=True) if w is not None]
    gradients = [rng.standard_normal(g.shape) for g, _ in ends]
    lucid.autograd.backward([g for g, _ in ends], [wrap(d) for d in gradients])
    torch.autograd.backward([w for _, w in ends], [torch.from_numpy(d) for d in gradients])
    pairs = [
        *zip(our, their, strict=True),
        *zip(ours.parameters(), theirs.parameters(), strict=True),
    ]
    for got, want in pairs:
        np.testing.assert_allclose(got.grad.numpy(), want.grad.numpy(), rtol=1e-8, atol=1e-10)


ATTENTION = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True, "batch_first": True},
    {"add_bias_kv": True, "add_zero_attn": True},
    {"kdim": 6, "vdim": 10},
    {"kdim": 6, "bias": False, "batch_first": True},
]


@pytest.mark.parametrize("options", ATTENTION, ids=str)
@pytest.mark.parametrize("need_weights", [True, False, "each head"])
@pytest.mark.parametrize("mask", ["none", "bool", "float", "heads", "padding", "both"])
def test_multihead_attention(torch, rng, options, need_weights, mask):
    theirs, ours = copied(
        torch,
        torch.nn.MultiheadAttention(E, H, dtype=torch.float64, **options),
        nn.MultiheadAttention(E, H, dtype=lucid.float64, **options),
    )
    sizes = [(L, N, E), (S, N, options.get("kdim", E)), (S, N, options.get("vdim", E))]
    if options.get("batch_first"):
        sizes = [(b, a, c) for a, b, c in sizes]
    their, our = leaves(torch, [rng.standard_normal(s) for s in sizes])
    kwargs = {"need_weights": bool(need_weights), "average_attn_weights": need_weights is not True}
    masks = {}
    seen = rng.random((L, S)) < 0.4
    seen[:, 0] = False
    ends = np.arange(S) >= np.array([[7], [4], [1]])
    if mask in ("bool", "both"):
        masks["attn_mask"] = seen
    elif mask == "float":
        masks["attn_mask"] = rng.standard_normal((L, S))
    elif mask == "heads":
        masks["attn_mask"] = rng.standard_normal((N * H, L, S))
    if mask in ("padding", "both"):
        masks["key_padding_mask"] = ends
    expected = theirs(*their, **kwargs, **{k: torch.from_numpy(v) for k, v in masks.items()})
    found = ours(*our, **kwargs, **{k: wrap(v) for k, v in masks.items()})
    agree(torch, rng, theirs, ours, expected, found, their, our)


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"add_bias_kv": True}], ids=str)
@pytest.mark.parametrize("which", ["self", "memory", "unbatched"])
def test_shared_inputs(torch, rng, options, which):
    theirs, ours = copied(
        torch,
        torch.nn.MultiheadAttention(E, H, dtype=torch.float64, **options),
        nn.MultiheadAttention(E, H, dtype=lucid.float64, **options),
    )
    shapes = [(L, E), (S, E)] if which == "unbatched" else [(N, L, E), (N, S, E)]
    their, our = leaves(torch, [rng.standard_normal(s) for s in shapes[: 1 + (which != "self")]])
    if which == "memory" and not options.get("batch_first"):
        their, our = leaves(torch, [rng.standard_normal(s) for s in [(L, N, E), (S, N, E)]])

    def run(network, x):
        return network(x[0], x[-1], x[-1], need_weights=which == "unbatched")

    agree(torch, rng, theirs, ours, run(theirs, their), run(ours, our), their, our)


LAYERS = [
    {},
    {"batch_first": True, "norm_first": True},
    {"activation": "gelu", "bias": False},
    {"layer_norm_eps": 0.1, "norm_first": True},
]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.parametrize("kind", ["encoder", "decoder", "both"])
@pytest.mark.parametrize("mask", ["none", "causal", "padding"])
def test_transformer(torch, rng, options, kind, mask):
    def build(library, dtype):
        if kind == "both":
            return library.Transformer(
                E, H, num_encoder_layers=2, num_decoder_layers=1, dim_feedforward=11, dropout=0.0,
                dtype=dtype, **options,
            )  # fmt: skip
        name = kind.capitalize()
        layer = getattr(library, f"Transformer{name}Layer")(
            E, H, 11, dropout=0.0, dtype=dtype, **options
        )
        norm = library.LayerNorm(E, dtype=dtype)
        return getattr(library, f"Transformer{name}")(layer, 2, norm)

    theirs, ours = copied(torch, build(torch.nn, torch.float64), build(nn, lucid.float64))
    shapes = [(S, N, E), (L, N, E)]
    if options.get("batch_first"):
        shapes = [(N, S, E), (N, L, E)]
    if kind == "decoder":
        shapes.reverse()
    if kind == "encoder":
        shapes = shapes[:1]
    their, our = leaves(torch, [rng.standard_normal(s) for s in shapes])
    masks = {}
    if mask == "causal":
        key, size = {"encoder": ("mask", S), "decoder": ("tgt_mask", L), "both": ("tgt_mask", L)}[
            kind
        ]
        masks[key] = np.where(np.tri(size, dtype=bool), 0.0, -np.inf)
    elif mask == "padding":
        key = "memory_key_padding_mask" if kind == "decoder" else "src_key_padding_mask"
        masks[key] = np.arange(S) >= np.array([[7], [4], [1]])
    expected = theirs(*their, **{k: torch.from_numpy(v) for k, v in masks.items()})
    found = ours(*our, **{k: wrap(v) for k, v in masks.items()})
    agree(torch, rng, theirs, ours, [expected], [found], their, our)
