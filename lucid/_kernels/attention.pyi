"""Scaled dot-product attention; see the head of attention.pyx.

``q`` (batch, heads, queries, width), ``k`` (batch, kv_heads, keys, width), ``v`` (batch, kv_heads,
keys, value_width); kv_heads divides heads. ``mask`` is added to the scores and has their shape
(strides may be 0). All have one dtype, float32 or float64.
"""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def forward(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    scale: float,
    causal: bool,
    dropout: float = 0.0,
    seed: int = 0,
    /,
) -> tuple[Array, Array]:
    """The output, and the log-sum-exp of each row of scores."""

def backward(
    g: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    out: Array,
    lse: Array,
    scale: float,
    causal: bool,
    dropout: float = 0.0,
    seed: int = 0,
    /,
) -> tuple[Array, Array, Array]:
    """Gradients of q, k and v."""

def dropout_mask(
    batch: int, heads: int, queries: int, keys: int, dropout: float, seed: int, /
) -> Array:
    """Which probabilities dropout with this seed leaves in: bool (batch, heads, queries, keys)."""
