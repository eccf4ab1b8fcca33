"""The tape: a node per recorded operation, and what is known of the memory that nodes keep.

A node is younger than the nodes it depends on, so sorting by age (``Node.seq``) is a topological
order: the backward pass needs no recursion and no dependency counts.

An edge says where a gradient goes: the :class:`Node` that made a tensor, the leaf tensor itself,
or ``None`` where no gradient is wanted.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from lucid._kernels.slots import Maker
from lucid.errors import GraphFreedError, InPlaceError

next_seq = itertools.count().__next__


class Memory:
    """One block of memory, shared by a tensor and its views.

    ``version`` counts the in-place writes. A node that keeps the block's contents remembers the
    version it saw, and holds this object: that something besides the tensor refers to it is how
    ``numpy()`` knows that a graph still needs the contents. ``exported`` holds weak references
    to the writable NumPy arrays that were handed out (True: the memory came from outside), through
    which a write could pass unseen; a node then keeps a copy.
    """

    __slots__ = ("exported", "version")

    version: int
    exported: Any

    def is_exported(self) -> bool:
        """Whether somebody can still write to the block without lucid seeing it."""
        if self.exported is None or self.exported is True:
            return bool(self.exported)
        self.exported = [ref for ref in self.exported if ref() is not None] or None
        return self.exported is not None


new_memory = Maker(Memory, version=0, exported=None)
"""A block that nobody has written to yet."""


class Freed:
    """Stands in for what a node kept once backward has used it."""


FREED: Any = Freed()


class Node:
    """One recorded operation.

    Attributes:
        plan: the operation's gradient rules for the inputs that need a gradient.
        inputs: an edge per input.
        saved: what the rules need, in the order the plan gives.
        versions: ``(memory, version)`` for each saved tensor, checked before use.
        seq: the age; larger is younger.
        shape, dtype: of the output, and so of the gradient that arrives.
        hooks: functions that see, and may replace, the arriving gradient.
        trace: where the operation was called, in anomaly mode.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "dtype",
        "hooks",
        "inputs",
        "plan",
        "saved",
        "seq",
        "shape",
        "versions",
    )

    plan: Any
    inputs: tuple[Any, ...]
    saved: tuple[Any, ...]
    versions: tuple[tuple[Memory, int], ...]
    seq: int
    shape: Any
    dtype: Any
    hooks: list[Any] | None

    trace: str | None = None

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.plan.op.name

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that gradients go on to, in PyTorch's form."""
        return tuple((edge, 0) for edge in self.inputs)

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Calls ``hook(gradient)`` with the gradient of this node's output during backward."""
        if self.hooks is None:
            self.hooks = []
        return RemovableHandle(self.hooks, hook)

    def refuse(self) -> None:
        """Raises what is wrong with what the node kept: it was freed, or written to since."""
        if self.saved is FREED:
            raise GraphFreedError(
                f"backward: the tensors that {self.name} saved were freed by an earlier backward "
                "pass through this graph; call the first one with retain_graph=True to go through "
                "it twice, or compute the loss again"
            )
        for (memory, version), tracked in zip(self.versions, self.plan.tracked, strict=True):
            if memory.version != version:
                raise InPlaceError(
                    f"backward: {self.name} saved its {tracked[2]} (of shape "
                    f"{np.shape(self.saved[tracked[0]])}) at version {version}, but an in-place "
                    f"operation has since written to it: it is at version {memory.version}. "
                    "Use the out-of-place operation, or write to a clone()"
                )

    def __repr__(self) -> str:
        return f"<{self.name} backward>"


new_node = Maker(
    Node, "plan", "inputs", "saved", "versions", "seq", "shape", "dtype", hooks=None
)  # fmt: skip


class Output:
    """One of the results of an operation with several; gathers the gradient for its node."""

    __slots__ = ("__weakref__", "dtype", "hooks", "index", "node", "seq", "shape")

    def __init__(self, node: Node, index: int, array: np.ndarray) -> None:
        self.node = node
        self.index = index
        self.seq = next_seq()
        self.shape = array.shape
        self.dtype = array.dtype
        self.hooks: list[Any] | None = None

    trace = None
    register_hook = Node.register_hook

    @property
    def inputs(self) -> tuple[Node]:
        return (self.node,)

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return ((self.node, self.index),)

    def __repr__(self) -> str:
        return f"<{self.name} backward, output {self.index}>"


class RemovableHandle:
    """Takes a hook out again: ``handle.remove()``, or at the end of a ``with`` block."""

    __slots__ = ("_hook", "_hooks")

    def __init__(self, hooks: list[Any], hook: Any, first: bool = False) -> None:
        if not callable(hook):
            raise TypeError(f"register_hook: hook must be callable; got {type(hook).__name__}")
        self._hooks, self._hook = hooks, hook
        hooks.insert(0 if first else len(hooks), hook)

    def remove(self) -> None:
        """Removes the hook; a second call does nothing."""
        for i, hook in enumerate(self._hooks):
            if hook is self._hook:
                del self._hooks[i]
                break
        self._hooks = []

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
