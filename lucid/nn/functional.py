"""Neural-network functions without state: activations, losses, similarities."""

from __future__ import annotations

from typing import Any

from lucid._core.tensor import Tensor
from lucid.ops import neural
from lucid.ops.matrix import linear
from lucid.ops.neural import log_softmax, softmax
from lucid.ops.pointwise import relu

__all__ = ["cross_entropy", "linear", "log_softmax", "relu", "softmax"]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Cross-entropy between logits and target classes: :math:`-w_t \log \mathrm{softmax}(x)_t`.

    Args:
        input: logits ``(N, C)``, ``(N, C, d1, ...)`` or, for one sample, ``(C,)``.
        target: class indices ``(N,)``, ``(N, d1, ...)`` or 0-d; or probabilities in the shape of
            ``input``.
        weight: a factor for each class, shape ``(C,)``.
        ignore_index: a target that counts for nothing (class indices only).
        reduction: "mean" (over the weights of the targets that count), "sum" or "none".
        label_smoothing: in [0, 1]; how much of the probability is spread over all classes.

    Raises:
        ShapeError: the shapes do not fit together.
        IndexError: a target is no class.

    Example:
        >>> x = lucid.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> loss = lucid.nn.functional.cross_entropy(x, lucid.tensor([0, 0]))
        >>> round(loss.item(), 4)
        1.1269
    """
    return neural.cross_entropy_loss(
        input, target, weight, ignore_index, label_smoothing, reduction
    )
