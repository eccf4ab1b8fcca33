"""The transformer: encoder, decoder, and both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn import functional as F  # noqa: N812
from lucid.nn import init
from lucid.nn.layers.attention import MultiheadAttention
from lucid.nn.layers.container import ModuleList
from lucid.nn.layers.dropout import Dropout
from lucid.nn.layers.linear import Linear
from lucid.nn.layers.normalization import LayerNorm
from lucid.nn.module import Module

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


def _activation(activation: Any, caller: str) -> Callable[[Tensor], Tensor]:
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"{caller}: activation must be 'relu' or 'gelu'; got {activation!r}")
    return F.relu if activation == "relu" else F.gelu


def _causal_mask(size: int, dtype: Any) -> np.ndarray:
    return np.where(np.tri(size, dtype=bool), 0.0, -np.inf).astype(dtype)


def _is_causal(mask: Tensor | None, given: bool | None, size: int) -> bool:
    """Whether the mask forbids looking ahead and nothing else."""
    if given is not None or mask is None:
        return bool(given)
    return mask.shape == (size, size) and bool(
        np.array_equal(mask._data, _causal_mask(size, mask.dtype))
    )


class _Layer(Module):
    """What the layers of encoder and decoder share.

    Args:
        d_model: features of the input and the output.
        nhead: heads of the attention.
        dim_feedforward: features between the two linear maps.
        dropout: the probability of dropout, everywhere.
        activation: "relu", "gelu" or a function, between the linear maps.
        layer_norm_eps: for the normalisations.
        batch_first: sequences are ``(batch, steps, features)``, not ``(steps, batch, features)``.
        norm_first: normalise before each block (Xiong et al. 2020), not after adding it.
        bias: whether linear maps and normalisations have biases.
    """

    _decodes = False
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        decodes = self._decodes
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, batch_first=batch_first, **made
        )
        if decodes:
            self.multihead_attn = MultiheadAttention(
                d_model, nhead, dropout, batch_first=batch_first, **made
            )
        self.linear1 = Linear(d_model, dim_feedforward, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **made)
        self.norm_first = norm_first
        for i in range(1, 4 if decodes else 3):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, **made))
        for i in range(1, 4 if decodes else 3):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation, type(self).__name__)

    def _residual(
        self, x: Tensor, norm: Module, block: Callable[..., Tensor], *args: Any
    ) -> Tensor:
        """The input and what a block makes of it, added; normalised before or after."""
        if self.norm_first:
            return x + block(norm(x), *args)
        return norm(x + block(x, *args))

    def _self_attention(self, x: Tensor, mask: Any, padding: Any, causal: bool) -> Tensor:
        out, _ = self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=causal
        )
        return self.dropout1(out)

    def _feed_forward(self, x: Tensor) -> Tensor:
        x = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return self._last_dropout(x)

    def _last_dropout(self, x: Tensor) -> Tensor:
        return (self.dropout3 if self._decodes else self.dropout2)(x)


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear maps; around each a residual connection and a normalisation.

    The arguments are d_model, nhead, dim_feedforward (features between the linear maps), dropout,
    activation ("relu", "gelu" or a function), layer_norm_eps, batch_first, norm_first (normalise
    before each block, not after it) and bias.

    Source: Vaswani et al. 2017, "Attention is all you need".

    Example:
        >>> layer = lucid.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        >>> layer(lucid.ones(3, 5, 8)).shape
        (3, 5, 8)
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        x = self._residual(
            src, self.norm1, self._self_attention, src_mask, src_key_padding_mask, is_causal
        )
        return self._residual(x, self.norm2, self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to an encoder's output, then two linear maps.

    Around each is a residual connection and a normalisation. The arguments are those of
    :class:`TransformerEncoderLayer`.

    Example:
        >>> layer = lucid.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
        >>> layer(lucid.ones(3, 5, 8), lucid.ones(3, 7, 8)).shape
        (3, 5, 8)
    """

    _decodes = True

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        x = self._residual(
            tgt, self.norm1, self._self_attention, tgt_mask, tgt_key_padding_mask, tgt_is_causal
        )
        x = self._residual(
            x, self.norm2, self._memory_attention, memory, memory_mask, memory_key_padding_mask,
            memory_is_causal,
        )  # fmt: skip
        return self._residual(x, self.norm3, self._feed_forward)

    def _memory_attention(
        self, x: Tensor, memory: Tensor, mask: Any, padding: Any, causal: bool
    ) -> Tensor:
        out, _ = self.multihead_attn(
            x, memory, memory, attn_mask=mask, key_padding_mask=padding, need_weights=False,
            is_causal=causal,
        )  # fmt: skip
        return self.dropout2(out)


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer: is copied ``num_layers`` times, with its initial values.
        num_layers: how many layers.
        norm: a normalisation of the result, or None.
        enable_nested_tensor, mask_check: for PyTorch's sake; they change nothing.

    Example:
        >>> layer = lucid.nn.TransformerEncoderLayer(8, 2, 16)
        >>> lucid.nn.TransformerEncoder(layer, 2)(lucid.ones(5, 3, 8)).shape
        (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        causal = _is_causal(mask, is_causal, _steps(self.layers, src))
        for layer in self.layers:
            src = layer(
                src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal
            )
        return src if self.norm is None else self.norm(src)


def _steps(layers: Any, x: Tensor) -> int:
    batch_first = len(layers) and x.ndim == 3 and layers[0].self_attn.batch_first
    return x.shape[1 if batch_first else 0]


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer: is copied ``num_layers`` times, with its initial values.
        num_layers: how many layers.
        norm: a normalisation of the result, or None.

    Example:
        >>> layer = lucid.nn.TransformerDecoderLayer(8, 2, 16)
        >>> lucid.nn.TransformerDecoder(layer, 2)(lucid.ones(5, 3, 8), lucid.ones(7, 3, 8)).shape
        (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(decoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        causal = _is_causal(tgt_mask, tgt_is_causal, _steps(self.layers, tgt))
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                causal, memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder of one sequence, and a decoder that makes another from it.

    All weight matrices start by Glorot's uniform rule.

    Args:
        d_model: features.
        nhead: heads of the attention.
        num_encoder_layers, num_decoder_layers: how many layers.
        dim_feedforward: features between the two linear maps of a layer.
        dropout: the probability of dropout.
        activation: "relu", "gelu" or a function.
        custom_encoder, custom_decoder: modules to be used instead.
        layer_norm_eps, batch_first, norm_first, bias: see :class:`TransformerEncoderLayer`.

    Shapes: src ``(S, N, d_model)`` and tgt ``(T, N, d_model)``, or ``(N, S, d_model)`` and
    ``(N, T, d_model)`` with ``batch_first``; the output is like tgt.

    Source: Vaswani et al. 2017, "Attention is all you need".

    Example:
        >>> model = lucid.nn.Transformer(8, 2, 1, 1, 16)
        >>> model(lucid.ones(5, 3, 8), lucid.ones(7, 3, 8)).shape
        (7, 3, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        made = {"bias": bias, "device": device, "dtype": dtype}
        settings = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first,
        )  # fmt: skip
        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            self.encoder = TransformerEncoder(
                TransformerEncoderLayer(*settings, **made),
                num_encoder_layers,
                LayerNorm(d_model, layer_norm_eps, **made),
            )
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            self.decoder = TransformerDecoder(
                TransformerDecoderLayer(*settings, **made),
                num_decoder_layers,
                LayerNorm(d_model, layer_norm_eps, **made),
            )
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ShapeError(
                f"Transformer: src and tgt must have one batch size; "
                f"got {src.shape} and {tgt.shape}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"Transformer: src and tgt must have d_model = {self.d_model} features; "
                f"got {src.shape} and {tgt.shape}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask ``(sz, sz)``: 0 up to the diagonal, -inf after it.

        Example:
            >>> lucid.nn.Transformer.generate_square_subsequent_mask(2)
            tensor([[  0., -inf],
                    [  0.,   0.]])
        """
        wanted = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, "mask")
        return wrap(_causal_mask(sz, wanted))
