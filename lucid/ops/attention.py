"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.grad_mode import mode
from lucid._core.op import TENSORS, fused_rule, operation, recorded
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops._checks import check_floating
from lucid.ops._composed import composed_gradients
from lucid.ops.random import draw_seed

Array = np.ndarray


def _blocked(mask: Any, causal: bool, queries: int, keys: int, dtype: Any) -> Array | None:
    """What is added to the scores: the mask, and -inf where causality forbids to look."""
    if not causal:
        return mask
    later = np.where(np.tri(queries, keys, dtype=bool), 0.0, -np.inf).astype(dtype)
    return later if mask is None else mask + later


def composed_attention(
    F: Any, q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, kept: Any, dropout: float
) -> Any:
    """The operation with all its scores at once, in operations of ``F``.

    Args:
        mask: an array, or a tensor with a gradient, or None.
        kept: which probabilities dropout leaves in, or None.
    """
    batch, heads, queries, width = q.shape
    kv_heads, keys = k.shape[1:3]
    if heads != kv_heads:  # so many heads of queries share one of keys
        share = heads // kv_heads
        k, v = (F.reshape(x, (batch, kv_heads, 1, *x.shape[2:])) for x in (k, v))
        q = F.reshape(q, (batch, kv_heads, share, queries, width))
    scores = F.matmul(F.mul(q, scale), F.transpose(k, -1, -2))
    scores = F.reshape(scores, (batch, heads, queries, keys))
    dead = None
    if isinstance(mask, Tensor):
        scores = F.add(scores, mask)
        mask = None
    mask = _blocked(mask, causal, queries, keys, q.dtype)
    if mask is not None:
        dead = np.isneginf(mask).all(-1, keepdims=True) if keys else np.False_
        scores = F.add(scores, _constant(F, np.where(dead, mask.dtype.type(0), mask)))
    p = F.softmax(scores, -1, None)
    if dead is not None and dead.any():  # a query without keys gets zeros
        p = F.mul(p, _constant(F, (~dead).astype(q.dtype)))
    if kept is not None:
        p = F.mul(p, _constant(F, (kept / (1 - dropout)).astype(q.dtype)))
    if heads != kv_heads:
        p = F.reshape(p, (batch, kv_heads, share, queries, keys))
    return F.reshape(F.matmul(p, v), (batch, heads, queries, v.shape[-1]))


def _constant(F: Any, array: Array) -> Any:
    return wrap(array) if F is TENSORS else array


@operation(3)
def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Any = None,
    scale: float = 1.0,
    causal: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
    lse: Any = None,
) -> Array:
    r"""Mean of values, weighted by how queries and keys agree: :math:`softmax(s\,q k^\top + m)\,v`.

    The core of :func:`scaled_dot_product_attention`.

    Args:
        q: ``(batch, heads, queries, width)``.
        k: ``(batch, kv_heads, keys, width)``; each head of keys serves as many heads of queries.
        v: ``(batch, kv_heads, keys, value_width)``.
        mask: an array added to the scores ``(batch, heads, queries, keys)``.
        scale: a factor for the scores.
        causal: query i sees the keys up to i.
        dropout: the probability with which a weight is dropped.
        seed: where dropout's random bits come from.
        lse: what forward leaves for backward; not to be given.
    """
    return B.attention_forward(q, k, v, mask, scale, causal, dropout, seed)[0]


def _attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Any, scale: float, causal: bool, dropout: float,
    seed: int,
) -> Tensor:  # fmt: skip
    """:func:`attention` recorded together with what its kernel leaves for backward."""
    arrays = (q._data, k._data, v._data)
    out, lse = B.attention_forward(*arrays, mask, scale, causal, dropout, seed)
    attributes = (mask, scale, causal, dropout, seed, lse)
    return recorded(attention.op, (q, k, v), arrays, attributes, out)


@attention.gradient
def _rule(
    F: Any, g: Any, q: Any, k: Any, v: Any, out: Any, mask: Any, scale: float, causal: bool,
    dropout: float, seed: int, lse: Any, need: Any,
) -> Any:  # fmt: skip
    return F.attention_backward(g, q, k, v, mask, out, lse, scale, causal, dropout, seed, need)


def _backward(
    g: Array, q: Array, k: Array, v: Array, mask: Any, out: Array, lse: Any, *settings: Any
) -> Any:
    if lse is None:
        lse = B.attention_forward(q, k, v, mask, *settings[:-1])[1]
    return B.attention_backward(g, q, k, v, mask, out, lse, *settings[:-1])


def _backward_composed(
    F: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, out: Any, lse: Any, scale: float,
    causal: bool, dropout: float, seed: int, need: Any,
) -> Any:  # fmt: skip
    shape = (*q.shape[:3], k.shape[2])
    kept = B.attention_dropout_mask(*shape, dropout, seed) if dropout else None

    def function(q: Any, k: Any, v: Any) -> Any:
        return (composed_attention(F, q, k, v, mask, scale, causal, kept, dropout),)

    return composed_gradients(F, function, (q, k, v), (g,), need)


fused_rule("attention_backward", _backward, _backward_composed)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    generator: Any = None,
) -> Tensor:
    r"""Mean of values, weighted by how queries and keys agree.

    .. math:: softmax(s\, q k^\top + m)\, v

    The scores are never held as a whole: a block at a time is made, used and forgotten, in
    backward too. A query that no key is left for gets zeros.

    Args:
        query: ``(..., queries, width)``.
        key: ``(..., keys, width)``.
        value: ``(..., keys, value_width)``.
        attn_mask: broadcasts to ``(..., queries, keys)``; bool, True where a query may look, or
            numbers to be added to the scores.
        dropout_p: the probability with which a weight is dropped, whatever the mode.
        is_causal: query i sees the keys up to i; not together with a mask.
        scale: the factor s; default :math:`1/\sqrt{width}`.
        enable_gqa: ``query`` may have several times as many heads (dimension -3) as the others.
        generator: where dropout's random numbers come from.

    Raises:
        ShapeError: the shapes do not fit together.
        RuntimeError: dtypes differ, or both a mask and ``is_causal`` are given.

    Sources: Vaswani et al. 2017, "Attention is all you need"; Dao et al. 2022, "FlashAttention".

    Example:
        >>> x = lucid.ones(1, 2, 3, 4)
        >>> lucid.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True).shape
        (1, 2, 3, 4)
    """
    caller = "scaled_dot_product_attention"
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{caller}: {name} must be a Tensor; got {type(x).__name__}")
        if x.ndim < 2:
            raise ShapeError(f"{caller}: {name} must have at least 2 dimensions; got {x.shape}")
        if x.dtype is not query.dtype:
            raise RuntimeError(
                f"{caller}: query, key and value must have one dtype; got {query.dtype}, "
                f"{key.dtype} and {value.dtype}"
            )
    check_floating(query, caller, "query")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"{caller}: query and key must agree in the last dimension, key and value in the last "
            f"but one; got {query.shape}, {key.shape} and {value.shape}"
        )
    if is_causal and attn_mask is not None:
        raise RuntimeError(f"{caller}: attn_mask must be None with is_causal=True")
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"{caller}: dropout_p must be a probability in [0, 1]; got {dropout_p}")
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0

    q, k, v, batch = _four_dimensions(query, key, value, enable_gqa, caller)
    rows = (*batch, query.shape[-2])
    mask = _mask(attn_mask, (*rows, key.shape[-2]), q, k, caller)
    seed = draw_seed(generator, caller) if 0 < dropout_p < 1 else 0
    if dropout_p == 1:
        q, dropout_p, v = q, 0.0, TENSORS.mul(v, 0.0)
    with_kernel = q.dtype in (dtypes.float32, dtypes.float64)
    if isinstance(mask, Tensor) or not with_kernel:
        shape = (*q.shape[:3], k.shape[2])
        kept = B.attention_dropout_mask(*shape, dropout_p, seed) if dropout_p else None
        out = composed_attention(TENSORS, q, k, v, mask, scale, is_causal, kept, dropout_p)
    else:
        out = _attention(q, k, v, mask, scale, is_causal, dropout_p, seed)
    shape = (*rows, value.shape[-1])
    return out if out.shape == shape else TENSORS.reshape(out, shape)


def _four_dimensions(
    query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool, caller: str
) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    """The operands as (batch, heads, rows, columns), and the result's leading dimensions."""
    if query.ndim == key.ndim == value.ndim == 4 and (
        query.shape[:2] == key.shape[:2] == value.shape[:2]
    ):
        return query, key, value, query.shape[:2]
    leading = [x.shape[:-2] for x in (query, key, value)]
    if enable_gqa:
        if min(map(len, leading)) < 1 or leading[1][-1] != leading[2][-1] or (
            leading[0][-1] % max(leading[1][-1], 1)
        ):  # fmt: skip
            raise ShapeError(
                f"{caller}: with enable_gqa, the heads of query must be a multiple of those of key "
                f"and value; got {query.shape}, {key.shape} and {value.shape}"
            )
        heads = [x[-1] for x in leading]
        leading = [x[:-1] for x in leading]
    try:
        batch = np.broadcast_shapes(*leading)
    except ValueError:
        raise ShapeError(
            f"{caller}: the leading dimensions must broadcast; got {query.shape}, {key.shape} and "
            f"{value.shape}"
        ) from None
    flat = []
    for i, x in enumerate((query, key, value)):
        own = (heads[i],) if enable_gqa else ()
        if x.shape[:-2] != batch + own:
            x = TENSORS.broadcast_to(x, (*batch, *own, *x.shape[-2:]))
        if enable_gqa or len(batch) < 2:
            shape = (math.prod(batch), *(own or (1,)), *x.shape[-2:])
        else:
            shape = (math.prod(batch[:-1]), batch[-1], *x.shape[-2:])
        flat.append(x if x.shape == shape else TENSORS.reshape(x, shape))
    return flat[0], flat[1], flat[2], batch + ((heads[0],) if enable_gqa else ())


def _mask(mask: Any, shape: tuple[int, ...], q: Tensor, k: Tensor, caller: str) -> Any:
    """The mask as numbers, of the scores' shape: an array, or a tensor if it has a gradient."""
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.dtype.kind not in "bf":
        raise TypeError(
            f"{caller}: attn_mask must be a bool or floating-point Tensor; "
            f"got {mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}"
        )
    full = (*q.shape[:3], k.shape[2])
    try:
        if mask._requires_grad and mode.recording:
            return TENSORS.reshape(TENSORS.broadcast_to(TENSORS.cast(mask, q.dtype), shape), full)
        array = mask._data
        if array.dtype.kind == "b":
            array = np.where(array, q.dtype.type(0), q.dtype.type(-np.inf))
        elif array.dtype is not q.dtype:
            array = array.astype(q.dtype)
        if array.shape[-1:] != shape[-1:]:
            array = np.broadcast_to(array, (*array.shape[:-1], shape[-1])).copy()
        return np.broadcast_to(array, shape).reshape(full)
    except ValueError:
        raise ShapeError(
            f"{caller}: attn_mask must broadcast to {shape}; got {mask.shape}"
        ) from None


FUNCTIONS: tuple[str, ...] = ()
METHODS: tuple[str, ...] = ()
