"""Recurrent layers: one layer in one direction, over a batch of sequences.

Each is one operation: a kernel for the whole sequence and one for the whole way back through time.
Second derivatives, and dtypes without a kernel, go through the same recurrence written in other
operations. The networks of several layers are in :mod:`lucid.nn`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucid._backend import B
from lucid._core import dtype as dtypes
from lucid._core.grad_mode import mode
from lucid._core.op import TENSORS, edges_of, fused_rule, operation, recorded
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.ops._composed import composed_gradients

Array = np.ndarray

KINDS = {"rnn_tanh": 0, "rnn_relu": 1, "lstm": 2, "gru": 3}
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}


# -------------------------------------------------------------------- the recurrences


def _rnn_step(F: Any, kind: str, sums: Any, h: Any, c: Any, recurrent: Any) -> Any:
    sums = F.add(sums, recurrent)
    return F.tanh(sums) if kind == "rnn_tanh" else F.relu(sums), None


def _lstm_step(F: Any, kind: str, sums: Any, h: Any, c: Any, recurrent: Any) -> Any:
    i, f, g, o = _parts(F.add(sums, recurrent), 4)
    c = F.add(F.mul(F.sigmoid(f), c), F.mul(F.sigmoid(i), F.tanh(g)))
    return F.mul(F.sigmoid(o), F.tanh(c)), c


def _gru_step(F: Any, kind: str, sums: Any, h: Any, c: Any, recurrent: Any) -> Any:
    (r, z, n), (hr, hz, hn) = _parts(sums, 3), _parts(recurrent, 3)
    r, z = F.sigmoid(F.add(r, hr)), F.sigmoid(F.add(z, hz))
    n = F.tanh(F.add(n, F.mul(r, hn)))
    return F.add(n, F.mul(z, F.sub(h, n))), None


_STEPS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": _rnn_step, "rnn_relu": _rnn_step, "lstm": _lstm_step, "gru": _gru_step,
}  # fmt: skip


def _parts(x: Any, count: int) -> list[Any]:
    size = x.shape[-1] // count
    return [x[..., i * size : (i + 1) * size] for i in range(count)]


def unrolled(
    F: Any,
    kind: str,
    sizes: Any,
    reverse: bool,
    x: Any,
    h: Any,
    c: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    w_hr: Any,
) -> tuple[Any, Any, Any]:
    """The layer step by step in operations of ``F``; the arguments are those of the operations.

    Returns outputs, last h, last c (None but for an LSTM).
    """
    step = _STEPS[kind]
    sums = F.linear(x, w_ih, b_ih)
    steps = range(len(x)) if sizes is None else range(len(sizes))
    starts: Any = None if sizes is None else np.cumsum(sizes) - sizes
    outs = []
    for t in reversed(steps) if reverse else steps:
        if sizes is None:
            now, before, cell = sums[t], h, c
        else:
            count = int(sizes[t])
            now = sums[int(starts[t]) : int(starts[t]) + count]
            before, cell = h[:count], None if c is None else c[:count]
        out, cell = step(F, kind, now, before, cell, F.linear(before, w_hh, b_hh))
        if w_hr is not None:
            out = F.linear(out, w_hr, None)
        outs.append(out)
        if sizes is None or count == len(h):
            h, c = out, cell
        else:  # the states of the sequences that are not in this step stay
            h = F.cat([out, h[count:]], 0)
            c = None if c is None else F.cat([cell, c[count:]], 0)
    if reverse:
        outs.reverse()
    return (F.stack(outs, 0) if sizes is None else F.cat(outs, 0)), h, c


# -------------------------------------------------------------------- the operation


def _check(
    kind: str, sizes: Any, x: Array, h: Array, c: Any, w_ih: Array, w_hh: Array, b_ih: Any,
    b_hh: Any, w_hr: Any,
) -> None:  # fmt: skip
    if x.ndim != (3 if sizes is None else 2):
        raise ShapeError(
            f"{kind}: x must have shape {'(steps, batch, in)' if sizes is None else '(rows, in)'}; "
            f"got {x.shape}"
        )
    if len(x) == 0 and sizes is None:
        raise ShapeError(f"{kind}: x must have at least one step; got shape {x.shape}")
    batch = x.shape[1] if sizes is None else int(sizes[0])
    width = w_hh.shape[0]
    hidden = width // GATES[kind]
    out = hidden if w_hr is None else w_hr.shape[0]
    wanted = (
        ("h0", h, (batch, out)),
        ("c0", c, (batch, hidden)),
        ("w_ih", w_ih, (width, x.shape[-1])),
        ("w_hh", w_hh, (width, out)),
        ("b_ih", b_ih, (width,)),
        ("b_hh", b_hh, (width,)),
        ("w_hr", w_hr, (out, hidden)),
    )
    for name, array, shape in wanted:
        if array is None:
            continue
        if array.shape != shape:
            raise ShapeError(f"{kind}: {name} must have shape {shape}; got {array.shape}")
        if array.dtype is not x.dtype:
            raise RuntimeError(
                f"{kind}: all tensors must have one dtype; got {x.dtype} (x) and {array.dtype} "
                f"({name})"
            )
    if sizes is not None and int(np.sum(sizes)) != len(x):
        raise ShapeError(
            f"{kind}: batch_sizes must add up to the {len(x)} rows of x; got {int(np.sum(sizes))}"
        )


@operation(8)
def recurrent(
    x: Array,
    h0: Array,
    c0: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    w_hr: Array | None,
    kind: str = "rnn_tanh",
    batch_sizes: Any = None,
    reverse: bool = False,
    kept: Any = None,
) -> tuple[Array, ...]:
    r"""One layer of a recurrent network in one direction.

    With :math:`a = W_{ih} x_t + b_{ih}` and :math:`b = W_{hh} h_{t-1} + b_{hh}`, gate by gate:

    * RNN: :math:`h_t = \tanh(a + b)`, or the rectifier of it.
    * LSTM: :math:`c_t = \sigma(a_f + b_f)\, c_{t-1} + \sigma(a_i + b_i) \tanh(a_g + b_g)` and
      :math:`h_t = \sigma(a_o + b_o) \tanh(c_t)`, which :math:`W_{hr}` may project.
    * GRU: :math:`n = \tanh(a_n + \sigma(a_r + b_r)\, b_n)` and
      :math:`h_t = (1 - z) n + z h_{t-1}` with :math:`z = \sigma(a_z + b_z)`.

    Args:
        x: ``(steps, batch, in)``; with ``batch_sizes`` the rows ``(rows, in)`` of all steps.
        h0: ``(batch, out)``, the state before the first step; ``out`` is ``hidden`` or what
            ``w_hr`` projects to.
        c0: ``(batch, hidden)``, of an LSTM; else None.
        w_ih, w_hh: ``(gates * hidden, in)`` and ``(gates * hidden, out)``.
        b_ih, b_hh: ``(gates * hidden,)`` or None.
        w_hr: ``(out, hidden)`` of an LSTM with a projection, or None.
        kind: "rnn_tanh", "rnn_relu", "lstm" or "gru".
        batch_sizes: how many sequences each step has, never more than the step before.
        reverse: go from the last step to the first.
        kept: what forward leaves for backward; not to be given.

    Returns:
        the outputs of all steps, the last h, and of an LSTM the last c.

    Sources: Elman 1990, "Finding structure in time"; Hochreiter & Schmidhuber 1997, "Long
    short-term memory"; Sak, Senior & Beaufays 2014 (projection); Cho et al. 2014, "Learning phrase
    representations using RNN encoder-decoder" (GRU, with the reset gate after the product).
    """
    _check(kind, batch_sizes, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr)
    return _forward(kind, x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, reverse, False)[0]


def _forward(kind: str, *args: Any) -> tuple[tuple[Array, ...], Any]:
    y, h, c, kept = B.recurrent_forward(KINDS[kind], *args)
    return (y, h) if c is None else (y, h, c), kept


def recurrent_layer(
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    weights: Sequence[Any],
    kind: str,
    batch_sizes: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, ...]:
    """:func:`recurrent` recorded together with what its kernel leaves for backward."""
    inputs: tuple[Any, ...] = (x, h0, c0, *weights)
    arrays: list[Any] = [None if t is None else t._data for t in inputs]
    _check(kind, batch_sizes, *arrays)
    if arrays[0].dtype not in (dtypes.float32, dtypes.float64):
        found = unrolled(TENSORS, kind, batch_sizes, reverse, *inputs)
        return found if found[2] is not None else found[:2]
    wanted = mode.recording and any(edge is not None for edge in edges_of(inputs))
    outs, kept = _forward(kind, *arrays, batch_sizes, reverse, wanted)
    return recorded(recurrent.op, inputs, arrays, (kind, batch_sizes, reverse, kept), outs)


@recurrent.gradient
def _rule(
    F: Any, g: Any, x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any,
    kind: str, batch_sizes: Any, reverse: bool, kept: Any, need: Any,
) -> Any:  # fmt: skip
    inputs = (x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr)
    return F.recurrent_backward(g, inputs, kind, batch_sizes, reverse, kept, need)


def _gradients(
    g: Any, inputs: Any, kind: str, sizes: Any, reverse: bool, kept: Any, need: Any
) -> tuple[Any, ...]:
    w_ih, w_hh, w_hr = inputs[3], inputs[4], inputs[7]
    if kept is None:
        kept = _forward(kind, *inputs, sizes, reverse, True)[1]
    gy, gh, gc = [*g, None][:3]
    needs = need[0], need[3] or need[4] or need[7], need[5] or need[6]
    return B.recurrent_backward(
        KINDS[kind], gy, gh, gc, w_ih, w_hh, w_hr, kept, sizes, reverse, *needs
    )


def _gradients_composed(
    F: Any, g: Any, inputs: Any, kind: str, sizes: Any, reverse: bool, kept: Any, need: Any
) -> tuple[Any, ...]:
    """The derivative of the recurrence written in operations."""

    def layer(*tensors: Any) -> tuple[Any, ...]:
        return unrolled(F, kind, sizes, reverse, *tensors)

    return composed_gradients(F, layer, inputs, g, need)


fused_rule("recurrent_backward", _gradients, _gradients_composed)

FUNCTIONS: tuple[str, ...] = ()
METHODS: tuple[str, ...] = ()
