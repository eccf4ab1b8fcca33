"""Rows of lucid.ops.recurrent and lucid.ops.attention."""

from __future__ import annotations

import numpy as np

from lucid.ops.attention import attention, scaled_dot_product_attention
from lucid.ops.recurrent import recurrent, recurrent_layer
from tests.opsamples import Sample, real


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _recurrent(x, h, *rest, kind="rnn_tanh", batch_sizes=None, reverse=False):
    """Step by step, as the equations are written."""
    c, rest = (rest[0], rest[1:]) if kind == "lstm" else (None, rest)
    w_ih, w_hh, b_ih, b_hh, w_hr = (*rest, *[None] * (5 - len(rest)))
    steps = len(x) if batch_sizes is None else len(batch_sizes)
    sizes = [h.shape[0]] * steps if batch_sizes is None else list(batch_sizes)
    starts = np.cumsum([0, *sizes])
    rows = x.reshape(-1, x.shape[-1])
    y = np.zeros((len(rows), h.shape[1]))
    h, c = h.copy(), None if c is None else c.copy()
    for t in range(steps)[:: -1 if reverse else 1]:
        n, here = sizes[t], slice(starts[t], starts[t] + sizes[t])
        a = rows[here] @ w_ih.T + (0 if b_ih is None else b_ih)
        b = h[:n] @ w_hh.T + (0 if b_hh is None else b_hh)
        if kind == "lstm":
            i, f, g, o = np.split(a + b, 4, -1)
            c[:n] = _sigmoid(f) * c[:n] + _sigmoid(i) * np.tanh(g)
            out = _sigmoid(o) * np.tanh(c[:n])
            out = out if w_hr is None else out @ w_hr.T
        elif kind == "gru":
            (r, z, m), (hr, hz, hm) = np.split(a, 3, -1), np.split(b, 3, -1)
            z = _sigmoid(z + hz)
            out = (1 - z) * np.tanh(m + _sigmoid(r + hr) * hm) + z * h[:n]
        else:
            out = np.tanh(a + b) if kind == "rnn_tanh" else np.maximum(a + b, 0)
        h[:n] = y[here] = out
    y = y.reshape(*x.shape[:-1], -1)
    return (y, h) if c is None else (y, h, c)


def _layer(x, h, *rest, kind="rnn_tanh", batch_sizes=None, reverse=False):
    c, rest = (rest[0], rest[1:]) if kind == "lstm" else (None, rest)
    sizes = None if batch_sizes is None else np.array(batch_sizes, np.intp)
    weights = (*rest, *[None] * (5 - len(rest)))
    return recurrent_layer(x, h, c, weights, kind, sizes, reverse)


def _plain(x, h, *rest, kind="rnn_tanh"):
    """The operation itself, which leaves nothing for backward: that makes it again."""
    return recurrent(x, h, None, *rest, None, kind)


def _row(kind, shape, hidden, bias=True, out=None, call=_layer, batch=None, **kwargs):
    gates = {"lstm": 4, "gru": 3}.get(kind, 1)
    out_size, batch = out or hidden, batch or shape[1]
    shapes = [shape, (batch, out_size)] + ([(batch, hidden)] if kind == "lstm" else [])
    shapes += [(gates * hidden, shape[-1]), (gates * hidden, out_size)]
    shapes += [(gates * hidden,)] * (2 if bias else 0)
    shapes += [(out, hidden)] if out else []
    inputs = tuple(real(s, -1, 1) for s in shapes)
    # float16 rounds at every step, and sums of products in float32 differ in their order.
    return Sample(
        "recurrent", inputs, {"kind": kind, **kwargs}, numpy=_recurrent, call=call, dtypes="d",
        tolerance=16,
    )  # fmt: skip


def _weights(q, k, mask, scale, causal):
    scores = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _attended(q, k, v, mask=None, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        k, v = (np.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    return _weights(q, k, mask, scale, is_causal) @ v


_SDPA = "nn.functional.scaled_dot_product_attention"


def _attention_row(*inputs, dtypes="f", **kwargs):
    return Sample(
        "attention", inputs, kwargs, numpy=_attended, torch=_SDPA, dtypes=dtypes,
        call=scaled_dot_product_attention, tolerance=4,  # sums of products, then of exponentials
    )  # fmt: skip


SAMPLES = [
    _row("rnn_tanh", (3, 2, 3), 4),
    _row("rnn_tanh", (2, 2, 3), 3, call=_plain),
    _row("rnn_relu", (3, 2, 3), 4, bias=False, reverse=True),
    _row("lstm", (3, 2, 3), 3),
    _row("lstm", (2, 1, 2), 4, out=2, reverse=True),
    _row("lstm", (6, 2), 3, batch=3, batch_sizes=(3, 2, 1), reverse=True),
    _row("gru", (3, 2, 3), 3, reverse=True),
    _row("gru", (6, 2), 3, bias=False, batch=3, batch_sizes=(3, 2, 1)),
    _attention_row((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 3)),
    _attention_row((1, 2, 4, 3), (1, 2, 4, 3), (1, 2, 4, 3), is_causal=True, scale=0.5),
    _attention_row((1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2), enable_gqa=True),
    # The mask is an input here: with its gradient.
    _attention_row((2, 3, 4), (2, 5, 4), (2, 5, 3), (3, 5)),
    Sample(
        "attention", ((2, 2, 3, 4), (2, 1, 4, 4), (2, 1, 4, 2)), {},
        numpy=lambda q, k, v: _weights(q, k, None, 1.0, False) @ v, call=attention, dtypes="d",
        tolerance=4,  # as above
    ),
]  # fmt: skip
