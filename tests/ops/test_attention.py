"""Scaled dot-product attention: against NumPy, PyTorch and the composed form, blocks and edges."""

from __future__ import annotations

import numpy as np
import pytest

from lucid._backend import B
from lucid._core.tensor import wrap
from lucid.ops.attention import composed_attention


def reference(q, k, v, mask=None, causal=False, scale=None, kept=1.0):
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    share = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, share, 1), np.repeat(v, share, 1)
    scores = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = scores + mask
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    with np.errstate(all="ignore"):
        p = np.exp(scores - scores.max(-1, keepdims=True, initial=-1e300))
        p = np.where(np.isneginf(scores).all(-1, keepdims=True), 0, p / p.sum(-1, keepdims=True))
    return (p * kept) @ v


def operands(rng, batch, heads, kv_heads, queries, keys, width, value_width, dtype):
    shapes = [(batch, heads, queries, width), (batch, kv_heads, keys, width),
              (batch, kv_heads, keys, value_width)]  # fmt: skip
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


SHAPES = [
    # batch, heads, kv_heads, queries, keys, width, value_width
    (2, 3, 3, 5, 7, 4, 4),
    (1, 1, 1, 1, 1, 1, 1),
    (1, 2, 2, 1, 130, 16, 3),
    (2, 4, 2, 130, 67, 32, 24),
    (1, 2, 1, 64, 64, 32, 32),
    (1, 1, 1, 67, 600, 8, 5),
    (1, 1, 1, 600, 600, 8, 5),
    (1, 1, 1, 200, 1100, 300, 7),
    (2, 1, 1, 3, 0, 4, 4),
    (2, 2, 2, 0, 3, 4, 4),
    (0, 2, 2, 3, 3, 4, 4),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_against_reference_and_composed_gradient(rng, shape, causal, dtype):
    q, k, v = operands(rng, *shape, dtype)
    mask = None
    if not causal and shape[4]:
        mask = rng.standard_normal((shape[0], shape[1], shape[3], shape[4])).astype(dtype)
        mask[..., ::3] = -np.inf
    scale = 0.3
    close = {"rtol": 2e-4, "atol": 3e-5} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-11}
    out, lse = B.attention_forward(q, k, v, mask, scale, causal)
    if shape[4]:
        np.testing.assert_allclose(out, reference(q, k, v, mask, causal, scale), **close)
    else:
        assert not out.any()
    g = rng.standard_normal(out.shape).astype(dtype)
    found = B.attention_backward(g, q, k, v, mask, out, lse, scale, causal)
    tensors = [wrap(x.astype(np.float64)).requires_grad_() for x in (q, k, v)]
    wide = None if mask is None else mask.astype(np.float64)
    if not shape[4]:
        assert not any(x.any() for x in found)
        return
    from lucid._core.op import TENSORS

    composed_attention(TENSORS, *tensors, wide, scale, causal, None, 0.0).backward(
        wrap(g.astype(np.float64))
    )
    for got, want in zip(found, tensors, strict=True):
        np.testing.assert_allclose(got, want.grad.numpy(), **close)
