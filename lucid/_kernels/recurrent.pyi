"""One layer of a recurrent network in one direction; see the head of recurrent.pyx.

``kind`` is 0 for RNN with tanh, 1 for RNN with relu, 2 for LSTM, 3 for GRU. ``x`` has shape
(steps, batch, inputs), or (rows, inputs) with ``sizes``, the number of rows of each step, falling,
as an array of numpy.intp. All arrays have one dtype, float32 or float64.
"""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def forward(
    kind: int,
    x: Array,
    h0: Array | None,
    c0: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    w_hr: Array | None,
    sizes: Array | None,
    reverse: bool,
    keep: bool,
    /,
) -> tuple[Array, Array, Array | None, tuple[Array | None, ...] | None]:
    """Outputs, last h, last c (of an LSTM), and with ``keep`` what `backward` needs."""

def backward(
    kind: int,
    gy: Array | None,
    gh: Array | None,
    gc: Array | None,
    w_ih: Array,
    w_hh: Array,
    w_hr: Array | None,
    kept: tuple[Array | None, ...],
    sizes: Array | None,
    reverse: bool,
    need_x: bool,
    need_weights: bool,
    need_biases: bool,
    /,
) -> tuple[Array | None, ...]:
    """Gradients of x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr; None where not needed."""
