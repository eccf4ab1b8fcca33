"""Scaled dot-product attention: against NumPy, PyTorch and the composed form, blocks and edges."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid._backend import B
from lucid._core.op import TENSORS
from lucid._core.tensor import wrap
from lucid.nn import functional as F  # noqa: N812
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
    composed_attention(TENSORS, *tensors, wide, scale, causal, None, 0.0).backward(
        wrap(g.astype(np.float64))
    )
    for got, want in zip(found, tensors, strict=True):
        np.testing.assert_allclose(got, want.grad.numpy(), **close)


def tensors(rng, *shape, dtype=np.float64):
    return [wrap(x).requires_grad_() for x in operands(rng, *shape, dtype)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(rng, dtype):
    q, k, v = operands(rng, 2, 4, 2, 700, 300, 16, 16, dtype)

    def run(threads):
        lucid.set_num_threads(threads)
        out, lse = B.attention_forward(q, k, v, None, 0.25, True, 0.1, 3)
        return [out, lse, *B.attention_backward(out, q, k, v, None, out, lse, 0.25, True, 0.1, 3)]

    before = lucid.get_num_threads()
    try:
        for a, b in zip(run(1), run(2), strict=True):
            np.testing.assert_array_equal(a, b)
    finally:
        lucid.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("causal", [False, True])
def test_dropout_is_that_of_its_mask(rng, dtype, causal):
    q, k, v = operands(rng, 2, 4, 2, 70, 600, 8, 5, dtype)
    kept = B.attention_dropout_mask(2, 4, 70, 600, 0.3, 11)
    assert abs(kept.mean() - 0.7) < 0.01
    assert abs(np.corrcoef(kept[..., :-1].ravel(), kept[..., 1:].ravel())[0, 1]) < 0.02
    assert (kept != B.attention_dropout_mask(2, 4, 70, 600, 0.3, 12)).mean() > 0.4
    out, lse = B.attention_forward(q, k, v, None, 0.3, causal, 0.3, 11)
    close = {"rtol": 2e-4, "atol": 3e-5} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(out, reference(q, k, v, None, causal, 0.3, kept / 0.7), **close)
    found = B.attention_backward(out, q, k, v, None, out, lse, 0.3, causal, 0.3, 11)
    wide = [wrap(x.astype(np.float64)).requires_grad_() for x in (q, k, v)]
    composed = composed_attention(TENSORS, *wide, None, 0.3, causal, kept, 0.3)
    composed.backward(wrap(out.astype(np.float64)))
    for got, want in zip(found, wide, strict=True):
        np.testing.assert_allclose(got, want.grad.numpy(), **close)


def test_dropout_follows_the_generator(rng):
    q, k, v = tensors(rng, 1, 2, 2, 4, 4, 3, 3)
    once, again = (
        F.scaled_dot_product_attention(q, k, v, dropout_p=0.5, generator=lucid.Generator(5))
        for _ in range(2)
    )
    assert lucid.equal(once, again)
    assert lucid.autograd.gradgradcheck(
        lambda *x: F.scaled_dot_product_attention(*x, dropout_p=0.5, generator=lucid.Generator(5)),
        [q, k, v],
    )
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).detach().numpy().any()


def test_query_without_keys_gets_zeros(rng):
    q, k, v = tensors(rng, 1, 1, 1, 3, 4, 2, 2)
    mask = lucid.tensor([[True] * 4, [False] * 4, [False, True, True, False]])
    out = F.scaled_dot_product_attention(q, k, v, mask)
    assert not out.detach().numpy()[0, 0, 1].any()
    out.sum().backward()
    assert np.isfinite(q.grad.numpy()).all()
    assert not q.grad.numpy()[0, 0, 1].any()
    assert lucid.autograd.gradgradcheck(
        lambda *x: F.scaled_dot_product_attention(*x, mask), [q, k, v]
    )


def test_nan_stays_in_its_row(rng):
    q, k, v = operands(rng, 1, 1, 1, 5, 5, 4, 4, np.float32)
    q[0, 0, 2, 1] = np.nan
    out, _ = B.attention_forward(q, k, v, None, 1.0, True)
    assert np.isnan(out[0, 0, 2]).all()
    assert np.isfinite(np.delete(out, 2, axis=2)).all()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("shapes", "kwargs"),
    [
        ([(3, 4), (5, 4), (5, 2)], {}),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 2)], {"is_causal": True}),
        ([(2, 2, 2, 3, 4), (2, 2, 2, 5, 4), (2, 2, 2, 5, 2)], {"scale": 0.7}),
        ([(2, 1, 3, 4), (1, 3, 5, 4), (2, 3, 5, 2)], {}),
        ([(2, 6, 3, 4), (2, 3, 5, 4), (2, 3, 5, 4)], {"enable_gqa": True}),
    ],
)
@pytest.mark.parametrize("mask", ["none", "bool", "float"])
def test_shapes_and_masks_as_pytorch(torch, rng, shapes, kwargs, mask):
    if kwargs.get("is_causal") and mask != "none":
        return
    arrays = [rng.standard_normal(s) for s in shapes]
    given = {"bool": rng.random((3, 5)) < 0.6, "float": rng.standard_normal((3, 5))}.get(mask)
    if mask == "bool":
        given[:, 0] = True
    their = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    our = [lucid.tensor(a, requires_grad=True) for a in arrays]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *their, None if given is None else torch.from_numpy(given), **kwargs
    )
    found = F.scaled_dot_product_attention(*our, None if given is None else wrap(given), **kwargs)
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12
    )
    g = rng.standard_normal(found.shape)
    found.backward(wrap(g))
    expected.backward(torch.from_numpy(g))
    for got, want in zip(our, their, strict=True):
        np.testing.assert_allclose(got.grad.numpy(), want.grad.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("shapes", "kwargs", "error", "message"),
    [
        ([(3, 4), (5, 3), (5, 4)], {}, RuntimeError, "agree in the last dimension"),
        ([(2, 3, 4), (3, 5, 4), (3, 5, 4)], {}, ValueError, "must broadcast"),
        ([(3, 4), (5, 4), (5, 4)], {"dropout_p": 2.0}, ValueError, "probability"),
        (
            [(1, 3, 2, 4), (1, 2, 2, 4), (1, 2, 2, 4)],
            {"enable_gqa": True},
            RuntimeError,
            "multiple",
        ),
        ([(4,), (5, 4), (5, 4)], {}, RuntimeError, "at least 2 dimensions"),
    ],
)
def test_errors(shapes, kwargs, error, message):
    with pytest.raises(error, match=message):
        F.scaled_dot_product_attention(*[lucid.zeros(*s) for s in shapes], **kwargs)
    x = lucid.zeros(3, 4)
    with pytest.raises(RuntimeError, match="attn_mask must be None"):
        F.scaled_dot_product_attention(x, x, x, lucid.zeros(3, 3), is_causal=True)
    with pytest.raises(RuntimeError, match="must broadcast to"):
        F.scaled_dot_product_attention(x, x, x, lucid.zeros(2, 3))
    with pytest.raises(TypeError, match="bool or floating"):
        F.scaled_dot_product_attention(x, x, x, lucid.zeros(3, 3, dtype=lucid.int64))


@pytest.mark.skipif("LUCID_SIMD" in os.environ, reason="runs at each lower level")
@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_lower_levels(level):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not torch",
         "tests/ops/test_attention.py", "tests/test_ops.py", "tests/nn/test_recurrent.py",
         "-k", "kernel or recurrent and numpy or threads or dropout"],
        cwd=root, env={**os.environ, "LUCID_SIMD": level}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
