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

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """A matrix with a row for each entry, and what all look-ups in it share."""

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        _weight: Tensor | None,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if sparse:
            raise NotImplementedError(
                f"{name}: sparse gradients are not available; use sparse=False"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = F.padding_row(padding_idx, num_embeddings, name)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = new_parameter(shape, dtype, device, name)
            self.reset_parameters()
        else:
            if _weight.shape != shape:
                raise ShapeError(f"{name}: weight must have shape {shape}; got {_weight.shape}")
            self.weight = Parameter(_weight)

    @classmethod
    def _pretrained(cls, embeddings: Tensor, freeze: bool, **options: Any) -> Self:
        if embeddings.ndim != 2:
            raise ShapeError(
                f"{cls.__name__}: embeddings must have 2 dimensions; got shape {embeddings.shape}"
            )
        entries, size = embeddings.shape
        table = cls(num_embeddings=entries, embedding_dim=size, _weight=embeddings, **options)
        table.weight.requires_grad_(not freeze)
        return table

    def reset_parameters(self) -> None:
        """Draws the initial values again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight._data[self.padding_idx] = 0

    def _limits(self) -> list[str]:
        """The part of extra_repr about norms and gradients."""
        parts = []
        if self.max_norm is not None:
            parts.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq:
            parts.append("scale_grad_by_freq=True")
        return parts


class Embedding(_Table):
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
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight,
            device,
            dtype,
        )
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
        return cls._pretrained(
            embeddings,
            freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

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
        return ", ".join(parts + self._limits())


class EmbeddingBag(_Table):
    """The sum, the mean or the maxima of a number of rows: of a bag of entries.

    Shapes: input ``(bags, n)``, or ``(k,)`` with offsets ``(bags,)``; output
    ``(bags, embedding_dim)``. See :func:`lucid.nn.functional.embedding_bag`.

    The rows start standard normal; that of ``padding_idx`` as zeros.

    Args:
        num_embeddings: how many entries.
        embedding_dim: the size of a row.
        max_norm: the rows used are first scaled down, in place, to this norm.
        norm_type: the order of that norm.
        scale_grad_by_freq: divide each row's gradient by how often the entry occurs; not for "max".
        mode: "sum", "mean" or "max".
        sparse: not available.
        include_last_offset: offsets end with the end of the last bag.
        padding_idx: an entry that counts for nothing, and whose row is not trained.

    Attributes:
        weight: shape ``(num_embeddings, embedding_dim)``.

    Example:
        >>> bags = lucid.nn.EmbeddingBag(10, 3)
        >>> bags(lucid.tensor([1, 2, 4, 4, 7]), lucid.tensor([0, 2])).shape
        (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        F.check_bag_mode(mode, scale_grad_by_freq, "EmbeddingBag")
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight,
            device,
            dtype,
        )
        self.mode = mode
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A table with the rows of ``embeddings``, whose memory it shares.

        Args:
            embeddings: a matrix.
            freeze: do not train it.
            max_norm, norm_type, scale_grad_by_freq, mode, sparse, include_last_offset, padding_idx:
                as for the constructor.
        """
        return cls._pretrained(
            embeddings,
            freeze,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}", *self._limits()]
        parts.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        return ", ".join(parts)
