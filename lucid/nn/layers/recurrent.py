"""Recurrent networks and their cells."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lucid._core.op import TENSORS as T
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn import functional as F  # noqa: N812
from lucid.nn import init
from lucid.nn.layers.linear import new_parameter
from lucid.nn.module import Module
from lucid.nn.parameter import Parameter
from lucid.nn.utils.rnn import PackedSequence
from lucid.ops.recurrent import GATES, recurrent_layer

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]


def _draw(module: Module, hidden_size: int) -> None:
    bound = 1 / hidden_size**0.5 if hidden_size else 0.0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNBase(Module):
    """What :class:`RNN`, :class:`LSTM` and :class:`GRU` share; their arguments are these.

    Args:
        input_size: features of an element of the input.
        hidden_size: features of the state.
        num_layers: how many layers, each on the outputs of the one before.
        bias: whether there are biases.
        batch_first: input and output are ``(batch, steps, features)``, not
            ``(steps, batch, features)``; states are not affected.
        dropout: the probability of dropout between layers, in training.
        bidirectional: a second set of weights runs from the end to the start; outputs are joined.
        proj_size: of an LSTM: project the state to so many features.

    Shapes: input ``(steps, batch, input_size)`` or, of one sequence, ``(steps, input_size)``, or a
    :class:`~lucid.nn.utils.rnn.PackedSequence`; states ``(layers * directions, batch, features)``
    or without the batch, zeros if not given.

    All weights start uniform in :math:`\\pm 1/\\sqrt{\\text{hidden\\_size}}`.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_hr_l0: of layer 0, from the
            input, from the state, and the projection; with ``_reverse`` of the other direction.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        caller = type(self).__name__
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"{caller}: dropout must be a probability in [0, 1]; got {dropout!r}")
        for name, value in (("hidden_size", hidden_size), ("num_layers", num_layers)):
            if value <= 0:
                raise ValueError(f"{caller}: {name} must be at least 1; got {value}")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{caller}: proj_size must be less than hidden_size = {hidden_size}; "
                f"got {proj_size}"
            )
        if dropout and num_layers == 1:
            warnings.warn(
                f"{caller}: dropout is applied between layers, and there is only one", stacklevel=3
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        width = GATES[mode.lower()] * hidden_size
        out = proj_size or hidden_size
        self._names: list[list[str | None]] = []
        for layer in range(num_layers):
            features = input_size if layer == 0 else out * (2 if bidirectional else 1)
            for direction in ("", "_reverse") if bidirectional else ("",):
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (width, features),
                    "weight_hh": (width, out),
                }
                if bias:
                    shapes |= {"bias_ih": (width,), "bias_hh": (width,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {kind: f"{kind}_l{layer}{direction}" for kind in shapes}
                for kind, shape in shapes.items():
                    setattr(self, names[kind], new_parameter(shape, dtype, device, caller))
                self._names.append([names.get(kind) for kind in _WEIGHTS])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the initial values again."""
        _draw(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Does nothing: kept for PyTorch's sake."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names if name] for names in self._names]

    def forward(self, input: Any, hx: Any = None) -> Any:
        packed = input if isinstance(input, PackedSequence) else None
        sizes = None
        if packed is not None:
            x = packed.data
            sizes = packed.batch_sizes._data.astype(np.intp)
            self._check(x, 2)
            batched, batch = True, int(sizes[0])
        else:
            x = input
            self._check(x, x.ndim if x.ndim == 2 else 3)
            batched = x.ndim == 3
            if not batched:
                x = T.reshape(x, (x.shape[0], 1, x.shape[1]))
            elif self.batch_first:
                x = T.transpose(x, 0, 1)
            batch = x.shape[1]
        order = None if packed is None else packed.sorted_indices
        h, c = self._states(hx, batched, batch, order, x.dtype)
        y, h_n, c_n = self._layers(x, h, c, sizes)
        if packed is not None:
            back = packed.unsorted_indices
            y = packed._replace(data=y)
            if back is not None:
                h_n, c_n = (None if s is None else s[:, back] for s in (h_n, c_n))
        elif not batched:
            y = T.reshape(y, (y.shape[0], y.shape[2]))
            h_n, c_n = (None if s is None else s[:, 0] for s in (h_n, c_n))
        elif self.batch_first:
            y = T.transpose(y, 0, 1)
        return y, h_n if c_n is None else (h_n, c_n)

    def _check(self, x: Tensor, ndim: int) -> None:
        if x.ndim != ndim or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: input must have 2 or 3 dimensions, the last one of "
                f"input_size = {self.input_size}; got {x.shape}"
            )

    def _states(
        self, hx: Any, batched: bool, batch: int, order: Tensor | None, dtype: Any
    ) -> tuple[Tensor, Tensor | None]:
        """The initial h and c, with a batch dimension, in the order of the sequences."""
        caller, count = type(self).__name__, len(self._names)
        with_c = self.mode == "LSTM"
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: 1 + with_c]
        if hx is None:
            zeros = [wrap(np.zeros((count, batch, size), dtype)) for size in sizes]
            return zeros[0], zeros[1] if with_c else None
        if with_c and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise TypeError(f"{caller}: hx must be a pair (h_0, c_0); got {type(hx).__name__}")
        states = []
        for name, state, size in zip(("h_0", "c_0"), hx if with_c else (hx,), sizes, strict=False):
            expected = (count, batch, size) if batched else (count, size)
            if state.shape != expected:
                raise ShapeError(f"{caller}: {name} must have shape {expected}; got {state.shape}")
            state = state if batched else T.reshape(state, (count, 1, size))
            states.append(state if order is None else state[:, order])
        return states[0], states[1] if with_c else None

    def _layers(self, x: Tensor, h: Tensor, c: Tensor | None, sizes: Any) -> tuple[Any, Any, Any]:
        directions = 2 if self.bidirectional else 1
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = F.dropout(x, self.dropout)
            outs = []
            for i in range(layer * directions, (layer + 1) * directions):
                weights = [None if name is None else getattr(self, name) for name in self._names[i]]
                out, *states = recurrent_layer(
                    x, h[i], None if c is None else c[i], weights, self.mode.lower(), sizes,
                    bool(i % directions),
                )  # fmt: skip
                outs.append(out)
                last.append(tuple(states))
            x = outs[0] if directions == 1 else T.cat(outs, -1)
        ends = [T.stack(states, 0) for states in zip(*last, strict=True)]
        return x, ends[0], ends[1] if c is not None else None

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False),
            ("dropout", 0.0), ("bidirectional", False),
        ):  # fmt: skip
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class RNN(RNNBase):
    r"""Elman's network: :math:`h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})`.

    The arguments are those of :class:`RNNBase`, and ``nonlinearity``, "tanh" or "relu".

    Returns the outputs of the last layer for all steps, and the last states of all layers.

    Source: Elman 1990, "Finding structure in time".

    Example:
        >>> y, h = lucid.nn.RNN(3, 5)(lucid.zeros(7, 2, 3))
        >>> y.shape, h.shape
        ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _check_nonlinearity(nonlinearity, "RNN")
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, device=device, dtype=dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity


def _check_nonlinearity(name: str, caller: str) -> None:
    if name not in ("tanh", "relu"):
        raise ValueError(f"{caller}: nonlinearity must be 'tanh' or 'relu'; got {name!r}")


class LSTM(RNNBase):
    r"""Long short-term memory: gates decide what a cell state forgets, takes in and shows.

    .. math::
        i, f, o = \sigma(W x_t + b + W' h_{t-1} + b'), \quad g = \tanh(W x_t + b + W' h_{t-1} + b')

        c_t = f c_{t-1} + i g, \quad h_t = o \tanh(c_t)

    The arguments are those of :class:`RNNBase`; gates lie in the weights in the order i, f, g, o.

    Returns the outputs of the last layer for all steps, and ``(h_n, c_n)`` of all layers.

    Sources: Hochreiter & Schmidhuber 1997, "Long short-term memory"; Sak, Senior & Beaufays 2014,
    "Long short-term memory based recurrent neural network architectures" (``proj_size``).

    Example:
        >>> y, (h, c) = lucid.nn.LSTM(3, 5, num_layers=2)(lucid.zeros(7, 2, 3))
        >>> y.shape, h.shape, c.shape
        ((7, 2, 5), (2, 2, 5), (2, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip


class GRU(RNNBase):
    r"""Gated recurrent unit: one gate mixes the old state with a candidate, one resets it.

    .. math::
        r, z = \sigma(W x_t + b + W' h_{t-1} + b'), \quad
        n = \tanh(W_n x_t + b_n + r (W'_n h_{t-1} + b'_n)), \quad
        h_t = (1 - z) n + z h_{t-1}

    The arguments are those of :class:`RNNBase`; gates lie in the weights in the order r, z, n.

    Returns the outputs of the last layer for all steps, and the last states of all layers.

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation".

    Example:
        >>> y, h = lucid.nn.GRU(3, 5, bidirectional=True, batch_first=True)(lucid.zeros(2, 7, 3))
        >>> y.shape, h.shape
        ((2, 7, 10), (2, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip


class RNNCellBase(Module):
    """What the cells, one step of a network of one layer, share; their arguments are these.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases.

    Shapes: input ``(batch, input_size)`` or ``(input_size,)``, states ``(batch, hidden_size)`` or
    ``(hidden_size,)``, zeros if not given.

    All weights start uniform in :math:`\\pm 1/\\sqrt{\\text{hidden\\_size}}`.

    Attributes:
        weight_ih, weight_hh, bias_ih, bias_hh: from the input and from the state.
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        width, caller = num_chunks * hidden_size, type(self).__name__
        self.weight_ih = new_parameter((width, input_size), dtype, device, caller)
        self.weight_hh = new_parameter((width, hidden_size), dtype, device, caller)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(
                name, new_parameter((width,), dtype, device, caller) if bias else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the initial values again."""
        _draw(self, self.hidden_size)

    def _step(self, kind: str, input: Tensor, *states: Tensor | None) -> list[Tensor]:
        """The states after the step."""
        caller = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{caller}: input must have 1 or 2 dimensions, the last one of input_size = "
                f"{self.input_size}; got {input.shape}"
            )
        batched = input.ndim == 2
        batch = input.shape[0] if batched else 1
        shape = (*input.shape[:-1], self.hidden_size)
        before: list[Tensor] = []
        for state in states:
            if state is None:
                state = wrap(np.zeros((batch, self.hidden_size), input.dtype))
            elif state.shape != shape:
                raise ShapeError(f"{caller}: states must have shape {shape}; got {state.shape}")
            before.append(state if batched else T.reshape(state, (1, self.hidden_size)))
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, None)
        x = T.reshape(input, (1, batch, self.input_size))
        h, c = before if len(before) == 2 else (before[0], None)
        _, *after = recurrent_layer(x, h, c, weights, kind)
        return after if batched else [T.reshape(state, (self.hidden_size,)) for state in after]

    def extra_repr(self) -> str:
        bias = "" if self.bias else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{bias}"


class RNNCell(RNNCellBase):
    r"""One step of :class:`RNN`: :math:`h' = \tanh(W_{ih} x + b_{ih} + W_{hh} h + b_{hh})`.

    The arguments are those of :class:`RNNCellBase`, and ``nonlinearity``, "tanh" or "relu".

    Example:
        >>> lucid.nn.RNNCell(3, 5)(lucid.zeros(2, 3)).shape
        (2, 5)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        _check_nonlinearity(nonlinearity, "RNNCell")
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(f"rnn_{self.nonlinearity}", input, hx)[0]

    def extra_repr(self) -> str:
        given = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + given


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: takes and returns a pair ``(h, c)``.

    The arguments are those of :class:`RNNCellBase`.

    Example:
        >>> h, c = lucid.nn.LSTMCell(3, 5)(lucid.zeros(2, 3))
        >>> h.shape, c.shape
        ((2, 5), (2, 5))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        h, c = self._step("lstm", input, *((None, None) if hx is None else hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`.

    The arguments are those of :class:`RNNCellBase`.

    Example:
        >>> lucid.nn.GRUCell(3, 5)(lucid.zeros(2, 3)).shape
        (2, 5)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("gru", input, hx)[0]
