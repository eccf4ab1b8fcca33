"""Look-up tables."""

from __future__ import annotations

from typing import Any, Self

from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn import functional as F  # noqa: N812
from lucid.nn import init
from lucid.nn.layers.linear import new_parameter
from lucid.nn.module import Module
from lucid.nn.parameter import Parameter

__all__ = ["Embedding"]


class Embedding(Module):
    """A row of numbers for each of a number of entries.

    Shapes: input ``(...)`` of integers, output ``(..., embedding_dim)``.

    The rows start standard normal; that of ``padding_idx`` as zeros.

    Args:
        num_embeddings: how many entries.
        embedding_dim: the size of a row.
        padding_idx: an entry whose row is not trained.
        max_norm: the rows used are first scaled down, in place, to this norm.
        norm_type: the order of that norm.
        scale_grad_by_freq: divide each row's gradient by how often the entry occurs.
        sparse: not available.

    Attributes:
        weight: shape ``(num_embeddings, embedding_dim)``.

    Example:
        >>> lucid.nn.Embedding(10, 3)(lucid.tensor([[1, 2], [4, 4]])).shape
        (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if sparse:
            raise NotImplementedError(
                "Embedding: sparse gradients are not available; use sparse=False"
            )
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx must be in [{-num_embeddings}, {num_embeddings - 1}]; "
                    f"got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = new_parameter(shape, dtype, device, "Embedding")
            self.reset_parameters()
        else:
            if _weight.shape != shape:
                raise ShapeError(f"Embedding: weight must have shape {shape}; got {_weight.shape}")
            self.weight = Parameter(_weight)
        self.weight.requires_grad_(not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A look-up table with the rows of ``embeddings``, whose memory it shares.

        Args:
            embeddings: a matrix.
            freeze: do not train it.
            padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: as for the constructor.
        """
        if embeddings.ndim != 2:
            raise ShapeError(
                f"Embedding: embeddings must have 2 dimensions; got shape {embeddings.shape}"
            )
        entries, size = embeddings.shape
        return cls(
            entries,
            size,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight=embeddings,
            _freeze=freeze,
        )

    def reset_parameters(self) -> None:
        """Draws the initial values again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight._data[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        if self.max_norm is not None:
            parts.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq:
            parts.append("scale_grad_by_freq=True")
        return ", ".join(parts)
