"""Second derivatives of operations that are one large kernel each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lucid._core.engine import grad


def composed_gradients(
    F: Any,
    composed: Callable[..., Any],
    inputs: Sequence[Any],
    g: Sequence[Any],
    need: Sequence[bool],
) -> tuple[Any, ...]:
    """Gradients with a graph: those of the same function written in recorded operations.

    Args:
        F: the recorded operations.
        composed: the function, of the inputs; returns a tuple.
        inputs: tensors, or None.
        g: the gradient of each output, or None.
        need: which inputs need a gradient.
    """
    # Of copies, because one input may have been made from another.
    copies = [None if t is None else F.clone(t) for t in inputs]
    ends = [(out, d) for out, d in zip(composed(*copies), g, strict=False) if d is not None]
    wanted = [i for i in range(len(copies)) if need[i]]
    found = grad(
        [out for out, _ in ends], [copies[i] for i in wanted], [d for _, d in ends],
        create_graph=True, allow_unused=True,
    )  # fmt: skip
    gradients = dict(zip(wanted, found, strict=True))
    return tuple([gradients.get(i) for i in range(len(copies))])
