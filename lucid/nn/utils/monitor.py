"""Watching the gradients of a training run: a record in bounded memory, spikes, pictures.

A monitor costs one pass over the gradients per step, in which the norm of every parameter is taken
by one kernel call. What it records goes three ways:

* into a table with a fixed number of rows: when it is full, every second row is dropped, and from
  then on every second step is recorded. So it always covers the whole run, evenly;
* into a window of the last steps with every step in it, for how often clipping is due and for
  spikes;
* into the streams (JSON lines, TensorBoard) that were asked for, every step.
"""

from __future__ import annotations

import csv
import io
import json
import math
import operator
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from lucid._backend import B
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.nn.module import Module
from lucid.nn.utils._curves import Live, draw, sparkline, svg
from lucid.nn.utils.grad import CLIP_EPS, _limit, _members, _split, clip_grad_norm
from lucid.nn.utils.report import root_sum_square

__all__ = ["GradientMonitor", "Spike"]

WARM_UP = 20  # steps before anything counts as a spike
LEAST_SPREAD = 0.1  # of the logarithm of a norm: steady norms make no spikes of small changes
RELEVANT = 0.1  # a module is blamed only if its norm is at least this part of the largest
MAD_TO_SIGMA = 1.4826  # the standard deviation of a normal distribution in units of its MAD
KEPT_SPIKES = 1000

MODULE = "norm of "  # what the columns of the modules' norms begin with
OWN_NAMES = ("step", "norm", "clipped_norm", "coefficient", "max_norm")


Stream = Callable[[int, dict[str, float], dict[str, float]], None]
"""Called with a step, its numbers and the norms of the modules."""


class Spike(NamedTuple):
    """A norm far out of the range of the steps before it, or not finite."""

    step: int
    module: str  #: the module that stands out most
    norm: float  #: that module's norm
    usual: float  #: its median over the window before
    score: float  #: robust z-score: distance from the median of the logarithm, in spreads


class _Table:
    """Rows of named numbers, at most ``capacity``, that cover all steps evenly."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.stride = 1
        self.rows = 0
        self.names: dict[str, int] = {}
        self.values = np.empty((0, 0))

    def add(self, step: int, names: Iterable[str], numbers: list[float]) -> None:
        """A new row, if the step is one that is kept."""
        if step % self.stride:
            return
        if self.rows == self.capacity:
            kept = self.values[: self.rows : 2].copy()
            self.rows, self.stride = len(kept), 2 * self.stride
            self.values[: self.rows] = kept
            if step % self.stride:
                return
        if self.rows == len(self.values):
            length = min(self.capacity, max(64, 2 * self.rows))
            more = np.empty((length - self.rows, self.values.shape[1]))
            self.values = np.concatenate([self.values, more])
        self.values[self.rows] = np.nan
        self.rows += 1
        self.complete(step, names, numbers)

    def complete(self, step: int, names: Iterable[str], numbers: list[float]) -> None:
        """More numbers for the last row, if it is that of the step."""
        if step % self.stride:
            return
        places = [self.names.setdefault(name, len(self.names)) for name in names]
        new = len(self.names) - self.values.shape[1]
        if new:
            more = np.full((len(self.values), new), np.nan)
            self.values = np.concatenate([self.values, more], axis=1)
        self.values[self.rows - 1, places] = numbers

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[: self.rows, self.names[name]].copy()


class _Window:
    """The last norms of everything, and which are out of range: a robust z-score each.

    Norms vary by factors, so it is their logarithms that are compared, with the median and the
    median absolute deviation (MAD), which spikes themselves hardly move. Both are taken anew every
    tenth of a window.
    """

    def __init__(self, length: int, width: int) -> None:
        self.logs = np.zeros((length, width))
        self.count = 0
        self.median = np.full(width, np.nan)
        self.spread = np.full(width, np.nan)

    def scores(self, norms: np.ndarray) -> np.ndarray:
        """How many spreads each norm is above its median; then the norms enter the window.

        NaN as long as there are too few to compare with.
        """
        logs = np.log(np.maximum(norms, 1e-300))
        scores = (logs - self.median) / self.spread
        length = len(self.logs)
        self.logs[self.count % length] = logs
        self.count += 1
        if self.count >= min(WARM_UP, length) and self.count % max(1, length // 10) == 0:
            known = self.logs[: min(self.count, length)]
            self.median = np.median(known, axis=0)
            deviation = np.median(np.abs(known - self.median), axis=0)
            self.spread = np.maximum(MAD_TO_SIGMA * deviation, LEAST_SPREAD)
        return scores


class GradientMonitor:
    """Records gradient norms during training, finds spikes, and shows them.

    Attached to an optimizer it records every step by itself::

        with GradientMonitor(model, max_norm=1.0).attach(optimizer) as monitor:
            for x, y in batches:
                optimizer.zero_grad()
                loss = loss_function(model(x), y)
                loss.backward()
                optimizer.step()
                monitor.log(loss=loss)
        monitor.plot("gradients.png")

    Without an optimizer, call :meth:`clip` where ``clip_grad_norm`` would be called, or
    :meth:`record` to measure only.

    Args:
        model: a Module, or whatever else ``clip_grad_norm`` takes. Norms are recorded per module,
            which is what is before the last dot of a parameter's name.
        max_norm: clip to this 2-norm. None: do not clip, except where the optimizer has a
            ``max_grad_norm``, which is recorded then.
        capacity: the number of steps that are kept, evenly spread over the run.
        window: the number of last steps that clip frequency and spikes refer to.
        threshold: the robust z-score from which a norm is a spike.
        on_spike: called with every :class:`Spike`; one that lasts for several steps is reported
            at the first.
        live: show the curves while training, in a Jupyter notebook as a picture that is updated
            in place, in a terminal as one line. Takes at most 2 % of the time.

    Attributes:
        steps: how many steps were recorded.
        clipped_steps: in how many of them clipping was due.
        spikes: the last 1000 spikes.

    Example:
        >>> model = lucid.nn.Linear(2, 1)
        >>> monitor = lucid.nn.utils.GradientMonitor(model, max_norm=0.5)
        >>> for _ in range(3):
        ...     model.zero_grad()
        ...     model(lucid.tensor([[3.0, 4.0]])).sum().backward()
        ...     norm = monitor.clip()
        >>> monitor.history["clipped_norm"].round(4).tolist()
        [0.5, 0.5, 0.5]
        >>> monitor.clip_frequency
        1.0
    """

    def __init__(
        self,
        model: Any,
        max_norm: Any = None,
        *,
        capacity: int = 2048,
        window: int = 100,
        threshold: float = 6.0,
        on_spike: Callable[[Spike], Any] | None = None,
        live: bool = False,
    ) -> None:
        for name, value, least in (("capacity", capacity, 2), ("window", window, 2)):
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"GradientMonitor: {name} must be an int of at least {least}; got {value!r}"
                )
        self.max_norm = None if max_norm is None else _limit(max_norm, "GradientMonitor")
        self.window = window
        self.threshold = _limit(threshold, "GradientMonitor", "threshold")
        self.on_spike = on_spike
        self.steps = 0
        self.clipped_steps = 0
        self.spikes: deque[Spike] = deque(maxlen=KEPT_SPIKES)
        self._model = model
        self._pairs = None if isinstance(model, Module) else _named(model)
        self._modules: list[str] = []
        self._tensors: list[Tensor] = []
        self._owners = np.empty(0, np.intp)  # of each tensor, its module
        self._table = _Table(capacity)
        self._due: deque[bool] = deque(maxlen=window)
        self._range = _Window(window, 1)
        self._last: dict[str, float] = {}  # of the last step, all but the modules
        self._pending: dict[str, float] = {}  # logged for the next step
        self._alarmed: tuple[int, str] | None = None  # the last step with a spike, and its module
        self._streams: list[Stream] = []
        self._files: list[TextIO] = []
        self._attached: list[Callable[[], None]] = []
        self._live = Live(self) if live else None
        if self._pairs is not None:
            self._arrange(self._pairs)

    # ---------------------------------------------------------------- recording

    def _parameters(self) -> list[Tensor]:
        """The parameters as they are now; keeps up with the modules that they are in."""
        if self._pairs is not None:
            return self._tensors
        tensors = list(self._model.parameters())
        known = self._tensors
        if len(tensors) != len(known) or any(map(operator.is_not, tensors, known)):
            self._arrange(list(self._model.named_parameters()))
        return tensors

    def _arrange(self, pairs: list[tuple[str, Tensor]]) -> None:
        """Which parameter belongs to which module."""
        modules: dict[str, int] = {}
        owners = [
            modules.setdefault(name.rpartition(".")[0] or name, len(modules)) for name, _ in pairs
        ]
        self._tensors = [tensor for _, tensor in pairs]
        self._owners = np.array(owners, np.intp)
        if list(modules) != self._modules:
            self._modules = list(modules)
            self._range = _Window(self.window, 1 + len(modules))

    def _module_norms(self) -> np.ndarray:
        """The norm of each module's own gradients."""
        tensors = self._parameters()
        norms = np.zeros(len(tensors))
        there = [place for place, tensor in enumerate(tensors) if tensor._grad is not None]
        grads = [tensor._grad._data for tensor in tensors if tensor._grad is not None]
        norms[there] = B.norms.norms(grads, 2.0)
        largest = norms.max(initial=0.0)
        scale = largest if 0 < largest < math.inf else 1.0  # squares must not overflow
        with np.errstate(over="ignore"):
            squares = np.bincount(self._owners, (norms / scale) ** 2, len(self._modules))
        return scale * np.sqrt(squares)

    def record(self) -> Tensor:
        """Records the gradients as they are now as one step, and changes nothing.

        Returns:
            Their norm, a 0-d float64 tensor.
        """
        modules = self._module_norms()
        norm = root_sum_square(modules.tolist())
        self._record(norm, norm, 1.0, self.max_norm, modules)
        return wrap(np.array(norm))

    def clip(self, *, nonfinite: str = "warn") -> Tensor:
        """Clips the gradients to ``max_norm`` in place, and records that as one step.

        Args:
            nonfinite: what to do about NaN and inf, as for :func:`clip_grad_norm`.

        Returns:
            The norm from before, a 0-d float64 tensor.
        """
        modules = self._module_norms()
        limit = math.inf if self.max_norm is None else self.max_norm
        model = self._model if self._pairs is None else self._pairs
        norm = clip_grad_norm(model, limit, nonfinite=nonfinite)
        if nonfinite == "zero" and not np.isfinite(modules).all():
            self._record(norm.item(), 0.0, 0.0, self.max_norm, modules)
        else:
            self._record_clipped(norm.item(), self.max_norm, modules)
        return norm

    def attach(self, optimizer: Any) -> GradientMonitor:
        """Records every step of ``optimizer`` from now on, and lets it clip to ``max_norm``.

        The clipping is the optimizer's own (``max_grad_norm``), which writes no gradient.

        Returns:
            The monitor itself.
        """
        if not hasattr(optimizer, "max_grad_norm"):
            raise TypeError(
                "GradientMonitor.attach: optimizer must be one of lucid.optim; "
                f"got {type(optimizer).__name__}"
            )
        before = optimizer.max_grad_norm
        if self.max_norm is not None:
            optimizer.max_grad_norm = self.max_norm
        handle = optimizer.register_step_post_hook(self._after_step)

        def take_off() -> None:
            handle.remove()
            if self.max_norm is not None:
                optimizer.max_grad_norm = before

        self._attached.append(take_off)
        return self

    def _after_step(self, optimizer: Any, args: Any, kwargs: dict[str, Any]) -> None:
        # After the step, since a closure computes the gradients during it. They are still what
        # the step began with: the optimizer folds clipping into the update.
        modules = self._module_norms()
        if optimizer.max_grad_norm is not None:
            norm = optimizer.last_grad_norm
            self._record_clipped(norm, float(optimizer.max_grad_norm), modules)
        else:
            norm = abs(kwargs["grad_scale"]) * root_sum_square(modules.tolist())
            self._record_clipped(norm, None, modules)

    def _record_clipped(self, norm: float, limit: float | None, modules: np.ndarray) -> None:
        if limit is None or not limit < norm < math.inf:
            self._record(norm, norm, 1.0, limit, modules)
        else:
            coefficient = limit / (norm + CLIP_EPS)
            self._record(norm, norm * coefficient, coefficient, limit, modules)

    def _record(
        self,
        norm: float,
        clipped_norm: float,
        coefficient: float,
        limit: float | None,
        modules: np.ndarray,
    ) -> None:
        step = self.steps
        self.steps += 1
        self.clipped_steps += coefficient < 1
        self._due.append(coefficient < 1)
        last = {"norm": norm, "clipped_norm": clipped_norm, "coefficient": coefficient}
        if limit is not None:
            last["max_norm"] = limit
        self._last = last | self._pending
        self._pending = {}
        sizes = modules.tolist()
        if step % self._table.stride == 0:
            names = ["step", *self._last, *(MODULE + name for name in self._modules)]
            self._table.add(step, names, [step, *self._last.values(), *sizes])
        for stream in self._streams:
            stream(step, self._last, dict(zip(self._modules, sizes, strict=True)))
        self._look_for_spikes(step, norm, modules)
        if self._live is not None:
            self._live.update()

    def _look_for_spikes(self, step: int, norm: float, modules: np.ndarray) -> None:
        """Finds a spike of the norm, or of any module that matters for it."""
        seen = self._range
        finite = np.isfinite(modules)
        if not finite.all():
            first = int(np.argmin(finite))
            usual = math.exp(seen.median[1 + first])
            self._alarm(Spike(step, self._modules[first], float(modules[first]), usual, math.inf))
            return
        medians = seen.median
        scores = seen.scores(np.concatenate([[norm], modules]))
        if not (scores >= self.threshold).any():
            return
        relevant = modules >= RELEVANT * modules.max(initial=0.0)
        blamed = int(np.argmax(np.where(relevant, scores[1:], -math.inf)))
        score = max(scores[0], scores[1 + blamed])
        if score >= self.threshold:
            usual = math.exp(medians[1 + blamed])
            name, size = self._modules[blamed], float(modules[blamed])
            self._alarm(Spike(step, name, size, usual, float(score)))

    def _alarm(self, spike: Spike) -> None:
        goes_on = self._alarmed == (spike.step - 1, spike.module)
        self._alarmed = (spike.step, spike.module)
        if goes_on:
            return
        self.spikes.append(spike)
        if self.on_spike is not None:
            self.on_spike(spike)

    def log(self, **values: Any) -> None:
        """Adds numbers to the record of the current step: ``log(loss=loss, lr=0.1)``.

        May be called before or after the step is recorded: numbers that the last step has already
        are the next one's. In a JSONL file what comes after the step has a line of its own.
        """
        numbers = {}
        for name, value in values.items():
            if name in OWN_NAMES:
                raise ValueError(
                    f"GradientMonitor.log: {name} is recorded by the monitor itself; "
                    "give it another name"
                )
            try:
                numbers[name] = float(value.item() if isinstance(value, Tensor) else value)
            except (TypeError, ValueError):
                raise TypeError(
                    f"GradientMonitor.log: {name} must be a number or a 0-d tensor; got {value!r}"
                ) from None
        if self.steps == 0 or not self._last.keys().isdisjoint(numbers):
            self._pending |= numbers
            return
        self._last |= numbers
        self._table.complete(self.steps - 1, numbers, list(numbers.values()))
        for stream in self._streams:
            stream(self.steps - 1, numbers, {})

    # ---------------------------------------------------------------- what was recorded

    @property
    def clip_frequency(self) -> float:
        """The share of the last ``window`` steps in which clipping was due."""
        return sum(self._due) / max(len(self._due), 1)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The steps that are kept, by column.

        "step", "norm", "clipped_norm", "coefficient", "max_norm" if there was one, and what was
        logged; NaN where there is nothing.
        """
        table = self._table
        return {name: table[name] for name in table.names if not name.startswith(MODULE)}

    @property
    def module_norms(self) -> dict[str, np.ndarray]:
        """By module, the norm of its gradients at the steps that are kept."""
        table = self._table
        return {
            name.removeprefix(MODULE): table[name]
            for name in table.names
            if name.startswith(MODULE)
        }

    def to_csv(self, path: str | Path | None = None) -> str:
        """The steps that are kept, as text; also written to a file if ``path`` is given."""
        columns = self.history | {MODULE + name: x for name, x in self.module_norms.items()}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        for step, *row in zip(*(x.tolist() for x in columns.values()), strict=True):
            writer.writerow([int(step), *("" if math.isnan(x) else x for x in row)])
        text = out.getvalue()
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    # ---------------------------------------------------------------- streams

    def to_jsonl(self, path: str | Path) -> GradientMonitor:
        """Writes every step from now on to a file, one JSON object a line.

        The file is appended to and flushed with every line, so that a crash of the program loses
        nothing. NaN and infinity, which JSON does not have, are written as the strings "NaN",
        "Infinity" and "-Infinity", which ``float`` reads.

        Returns:
            The monitor itself.
        """
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        self._files.append(file)
        end = file.seek(0, io.SEEK_END)
        if end:
            with open(path, "rb") as existing:
                existing.seek(end - 1)
                if existing.read(1) != b"\n":  # a crash left half a line
                    file.write("\n")

        def write(step: int, values: dict[str, float], modules: dict[str, float]) -> None:
            line: dict[str, Any] = {"step": step, **{k: _plain(x) for k, x in values.items()}}
            if modules:
                line["modules"] = {k: _plain(x) for k, x in modules.items()}
            file.write(json.dumps(line) + "\n")
            file.flush()

        self._streams.append(write)
        return self

    def to_tensorboard(self, writer: Any, *, modules: bool = False) -> GradientMonitor:
        """Hands every step from now on to ``writer.add_scalar(tag, value, step)``.

        Args:
            writer: a ``SummaryWriter``, of PyTorch or of tensorboardX, or anything like it.
            modules: also the norm of every module.

        Returns:
            The monitor itself.
        """
        if not callable(getattr(writer, "add_scalar", None)):
            raise TypeError(
                "GradientMonitor.to_tensorboard: writer must have a method add_scalar(tag, value, "
                f"step); got {type(writer).__name__}"
            )

        def write(step: int, values: dict[str, float], norms: dict[str, float]) -> None:
            for name, value in values.items():
                tag = f"gradient/{name}" if name in OWN_NAMES else name
                writer.add_scalar(tag, value, step)
            if modules:
                for name, value in norms.items():
                    writer.add_scalar(f"gradient norm/{name}", value, step)

        self._streams.append(write)
        return self

    def close(self) -> None:
        """Leaves the optimizers, ends the streams, and brings the live display up to date."""
        for take_off in self._attached:
            take_off()
        self._attached.clear()
        self._streams.clear()
        for file in self._files:
            file.close()
        self._files.clear()
        if self._live is not None:
            self._live.finish()

    def __enter__(self) -> GradientMonitor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---------------------------------------------------------------- showing

    def __repr__(self) -> str:
        if not self.steps:
            return "GradientMonitor: no steps yet"
        parts = [f"step {self.steps}"]
        if "loss" in self._last:
            parts.append(f"loss {self._last['loss']:.4g}")
        parts.append(f"norm {self._last['norm']:.3g} {sparkline(self._table['norm'])}")
        if "max_norm" in self._last:
            parts.append(f"clipped {self.clip_frequency:.0%} (max {self._last['max_norm']:g})")
        if self.spikes:
            last = self.spikes[-1]
            parts.append(f"{len(self.spikes)} spikes, last at {last.step} in {last.module}")
        return " | ".join(parts)

    def _repr_html_(self) -> str:
        return svg(repr(self), self.history, [spike.step for spike in self.spikes])

    def plot(self, path: str | Path | None = None) -> Any:
        """Draws the loss (if it was logged), the norm with the threshold, and a map of all modules.

        Args:
            path: where to save the picture; its ending says in which format.

        Returns:
            The matplotlib figure; without ``path`` one of pyplot's, which a notebook shows.

        Raises:
            MissingExtraError: matplotlib is not installed.
            ValueError: no step was recorded.
        """
        if not self.steps:
            raise ValueError("GradientMonitor.plot: no step was recorded")
        return draw(self.history, self.module_norms, [spike.step for spike in self.spikes], path)


def _named(parameters: Any) -> list[tuple[str, Tensor]]:
    """``(name, tensor)`` pairs, each tensor once; one without a name is called by its position."""
    pairs: dict[int, tuple[str, Tensor]] = {}
    for place, member in enumerate(_members(parameters, "GradientMonitor")):
        name, tensor = _split(member, place, "GradientMonitor")
        pairs.setdefault(id(tensor), (name or f"parameters[{place}]", tensor))
    return list(pairs.values())


def _plain(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
