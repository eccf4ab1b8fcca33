"""Attention with several heads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lucid._core.op import TENSORS as T
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn import functional as F  # noqa: N812
from lucid.nn import init
from lucid.nn.layers.linear import Linear, new_parameter
from lucid.nn.module import Module
from lucid.nn.parameter import Parameter
from lucid.ops.attention import scaled_dot_product_attention

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    r"""Attention in several projections at once, whose results are joined and projected.

    .. math:: concat(head_1, ..., head_h) W^O, \quad
        head_i = attention(Q W_i^Q, K W_i^K, V W_i^V)

    Args:
        embed_dim: features of the query and of the output.
        num_heads: how many heads; each has ``embed_dim // num_heads`` features.
        dropout: the probability with which an attention weight is dropped in training.
        bias: whether the projections have biases.
        add_bias_kv: a learned key and value are added to the sequences.
        add_zero_attn: a key and a value of zeros are added.
        kdim, vdim: features of key and value; default ``embed_dim``.
        batch_first: sequences are ``(batch, steps, features)``, not ``(steps, batch, features)``.

    Shapes: query ``(L, N, embed_dim)``, key ``(S, N, kdim)``, value ``(S, N, vdim)``, or without
    the batch. Returns the output, of the query's shape, and the weights: ``(N, L, S)``, or of each
    head ``(N, heads, L, S)``, or None.

    The projections of the inputs start by Glorot's uniform rule, their biases as zeros.

    Attributes:
        in_proj_weight: ``(3 * embed_dim, embed_dim)``, of query, key and value one after the other;
            with ``kdim`` or ``vdim`` there are q_proj_weight, k_proj_weight and v_proj_weight.
        in_proj_bias: ``(3 * embed_dim,)``, or None.
        out_proj: the projection of the result.

    Source: Vaswani et al. 2017, "Attention is all you need".

    Example:
        >>> x = lucid.ones(2, 5, 8)
        >>> y, weights = lucid.nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
        >>> y.shape, weights.shape
        ((2, 5, 8), (2, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        caller = "MultiheadAttention"
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"{caller}: embed_dim must be a multiple of num_heads, both positive; "
                f"got {embed_dim} and {num_heads}"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim

        def parameter(wanted: bool, *shape: int) -> Parameter | None:
            return new_parameter(shape, dtype, device, caller) if wanted else None

        same = self._qkv_same_embed_dim
        for name, value in (
            ("in_proj_weight", parameter(same, 3 * embed_dim, embed_dim)),
            ("q_proj_weight", parameter(not same, embed_dim, embed_dim)),
            ("k_proj_weight", parameter(not same, embed_dim, self.kdim)),
            ("v_proj_weight", parameter(not same, embed_dim, self.vdim)),
            ("in_proj_bias", parameter(bias, 3 * embed_dim)),
            ("bias_k", parameter(add_bias_kv, 1, 1, embed_dim)),
            ("bias_v", parameter(add_bias_kv, 1, 1, embed_dim)),
        ):
            self.register_parameter(name, value)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends with ``query`` to ``key`` and ``value``.

        Args:
            query, key, value: see the class.
            key_padding_mask: ``(N, S)`` or ``(S,)``; True where a key is to be ignored, or numbers
                to be added to its scores.
            need_weights: return the weights too; without it, they are never held as a whole.
            attn_mask: ``(L, S)`` or ``(N * heads, L, S)``; True where a query may *not* look, or
                numbers to be added to the scores.
            average_attn_weights: return the mean over heads.
            is_causal: a hint that ``attn_mask`` is the causal one.
        """
        caller = "MultiheadAttention"
        self._check(query, key, value, caller)
        if is_causal and attn_mask is None:
            raise RuntimeError(f"{caller}: is_causal is a hint about attn_mask, which is missing")
        batched = query.ndim == 3
        same = query is key, key is value
        steps = 1 if batched and self.batch_first else 0
        if not batched:
            query, key, value = (T.unsqueeze(x, 1) for x in (query, key, value))
        batch, length = query.shape[1 - steps], query.shape[steps]
        q, k, v = self._projected(query, key, value, same)
        masks = self._masks(attn_mask, key_padding_mask, batch, length, key.shape[steps], q.dtype)
        k, v, masks = self._longer(k, v, masks, steps, batch)
        q, k, v = (self._heads(x, steps) for x in (q, k, v))

        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            mask = _sum(masks)
            scores = T.matmul(T.mul(q, 1 / math.sqrt(self.head_dim)), T.transpose(k, -1, -2))
            weights = T.softmax(scores if mask is None else T.add(scores, mask), -1)
            weights = F.dropout(weights, dropout)
            out = T.matmul(weights, v)
            if average_attn_weights:
                weights = T.mean(weights, 1)
            weights = weights if batched else weights[0]
        else:
            causal = is_causal and len(masks) == 1 and not self._adds_keys
            out = scaled_dot_product_attention(
                q, k, v, None if causal else _sum(masks), dropout, causal
            )
        out = T.permute(out, (0, 2, 1, 3) if steps else (2, 0, 1, 3))
        out = self.out_proj(T.reshape(out, (*out.shape[:2], self.embed_dim)))
        return (out if batched else T.reshape(out, (length, self.embed_dim))), weights

    @property
    def _adds_keys(self) -> bool:
        return self.bias_k is not None or self.add_zero_attn

    def _check(self, query: Tensor, key: Tensor, value: Tensor, caller: str) -> None:
        for name, x, size in (
            ("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim)
        ):  # fmt: skip
            if x.ndim != query.ndim or x.ndim not in (2, 3) or x.shape[-1] != size:
                raise ShapeError(
                    f"{caller}: {name} must have 2 or 3 dimensions, like the query, and {size} "
                    f"features; got {x.shape}"
                )
        if key.shape[:-1] != value.shape[:-1]:
            raise ShapeError(
                f"{caller}: key and value must be alike but for the features; "
                f"got {key.shape} and {value.shape}"
            )
        batch = 0 if self.batch_first else 1
        if query.ndim == 3 and query.shape[batch] != key.shape[batch]:
            raise ShapeError(
                f"{caller}: query and key must have one batch size; "
                f"got {query.shape} and {key.shape}"
            )

    def _projected(
        self, query: Tensor, key: Tensor, value: Tensor, same: tuple[bool, bool]
    ) -> tuple[Tensor, ...]:
        """Query, key and value, projected; in as few products as there are different inputs."""
        size = self.embed_dim
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if weight is not None and all(same):
            return T.split_sizes(F.linear(query, weight, bias), (size, size, size), 2)
        if weight is not None and same[1]:
            w_q, w_kv = T.split_sizes(weight, (size, 2 * size), 0)
            b_q, b_kv = (None, None) if bias is None else T.split_sizes(bias, (size, 2 * size), 0)
            k, v = T.split_sizes(F.linear(key, w_kv, b_kv), (size, size), 2)
            return F.linear(query, w_q, b_q), k, v
        if weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = T.split_sizes(weight, (size, size, size), 0)
        biases = (None,) * 3 if bias is None else T.split_sizes(bias, (size, size, size), 0)
        return tuple(map(F.linear, (query, key, value), weights, biases))

    def _heads(self, x: Tensor, steps: int) -> Tensor:
        """``(batch, heads, steps, head_dim)``: a view."""
        split = T.reshape(x, (*x.shape[:2], self.num_heads, self.head_dim))
        return T.permute(split, (0, 2, 1, 3) if steps else (1, 2, 0, 3))

    def _masks(
        self, attn_mask: Any, padding: Any, batch: int, length: int, keys: int, dtype: Any
    ) -> list[Tensor]:
        """What is to be added to the scores, in their four dimensions."""
        caller = "MultiheadAttention"
        masks = []
        if attn_mask is not None:
            expected = (length, keys), (batch * self.num_heads, length, keys)
            if attn_mask.shape not in expected:
                raise ShapeError(
                    f"{caller}: attn_mask must have shape {expected[0]} or {expected[1]}; "
                    f"got {attn_mask.shape}"
                )
            shape = (1, 1) if attn_mask.ndim == 2 else (batch, self.num_heads)
            masks.append(T.reshape(_added(attn_mask, dtype, caller), (*shape, length, keys)))
        if padding is not None:
            if padding.shape not in ((batch, keys), (keys,) if batch == 1 else (batch, keys)):
                raise ShapeError(
                    f"{caller}: key_padding_mask must have shape {(batch, keys)}; "
                    f"got {padding.shape}"
                )
            masks.append(T.reshape(_added(padding, dtype, caller), (batch, 1, 1, keys)))
        return masks

    def _longer(
        self, k: Tensor, v: Tensor, masks: list[Tensor], steps: int, batch: int
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Keys and values with those of ``add_bias_kv`` and ``add_zero_attn`` at the end."""
        more = []
        shape = (batch, 1, self.embed_dim) if steps else (1, batch, self.embed_dim)
        if self.bias_k is not None:
            more.append([T.broadcast_to(x, shape) for x in (self.bias_k, self.bias_v)])
        if self.add_zero_attn:
            more.append([wrap(np.zeros(shape, k.dtype))] * 2)
        if more:
            k = T.cat([k, *[pair[0] for pair in more]], steps)
            v = T.cat([v, *[pair[1] for pair in more]], steps)
            masks = [F.pad(mask, (0, len(more))) for mask in masks]
        return k, v, masks


def _added(mask: Tensor, dtype: Any, caller: str) -> Tensor:
    """A mask as numbers to be added: -inf where a bool one is True."""
    if mask.dtype.kind == "b":
        return wrap(np.where(mask._data, dtype.type(-np.inf), dtype.type(0)))
    if mask.dtype.kind != "f":
        raise TypeError(f"{caller}: masks must be bool or floating point; got {mask.dtype}")
    return mask if mask.dtype is dtype else T.cast(mask, dtype)


def _sum(masks: list[Tensor]) -> Tensor | None:
    return None if not masks else masks[0] if len(masks) == 1 else T.add(*masks)
