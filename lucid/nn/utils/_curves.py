"""How a :class:`~lucid.nn.utils.GradientMonitor` shows its curves: a line of text, SVG, matplotlib.

While training, a notebook gets a small SVG picture, which takes a millisecond or two to write and
needs no library; the full picture is matplotlib's.
"""

from __future__ import annotations

import html
import math
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lucid._extras import require

Columns = dict[str, np.ndarray]

SHARE = 0.01  # of the time, for live display: half of what is promised
SECONDS = 0.5  # from one update to the next, at least
SECONDS_IN_A_LOG = 30.0  # where every update is a new line
BARS = "▁▂▃▄▅▆▇█"


def condensed(values: np.ndarray, length: int) -> np.ndarray:
    """At most ``length`` values: the largest of each stretch, so that no spike gets lost."""
    if len(values) <= length:
        return values
    starts = np.arange(length) * len(values) // length
    return np.fmax.reduceat(values, starts)


def logarithms(values: np.ndarray) -> np.ndarray:
    """Of base 10; NaN for what has none."""
    good = np.isfinite(values) & (values > 0)
    return np.log10(values, out=np.full(len(values), np.nan), where=good)


def sparkline(values: np.ndarray, length: int = 24) -> str:
    """Positive numbers as a line of bars, on a logarithmic scale; "!" where one is not finite."""
    values = condensed(values, length)
    logs = logarithms(values)
    known = logs[~np.isnan(logs)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    places = (logs - low) / max(high - low, 0.1) * (len(BARS) - 1)
    return "".join(
        "!" if not math.isfinite(value) else BARS[0] if math.isnan(place) else BARS[round(place)]
        for value, place in zip(values.tolist(), places.tolist(), strict=True)
    )


# -------------------------------------------------------------------- SVG

WIDTH, HEIGHT, LEFT, GAP = 640, 110, 56, 22  # of a panel, of the space for numbers


def svg(title: str, history: Columns, spikes: list[int]) -> str:
    """The loss and the gradient norm over the steps, as HTML."""
    panels = []
    if "loss" in history:
        panels.append(("loss", {"#1f77b4": history["loss"]}))
    if "norm" in history:
        curves = {"#ff7f0e": history["norm"]}
        if "max_norm" in history:
            curves = {"#2ca02c": history["clipped_norm"], "#888": history["max_norm"]} | curves
        panels.append(("gradient norm", curves))
    steps = history.get("step", np.zeros(0))
    body = [
        part
        for place, (name, curves) in enumerate(panels)
        for part in _panel(place * (HEIGHT + GAP), name, steps, curves, spikes)
    ]
    height = len(panels) * (HEIGHT + GAP)
    return (
        f'<div style="font-family:monospace;white-space:pre">{html.escape(title)}</div>'
        f'<svg width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="10" '
        f'fill="#888">{"".join(body)}</svg>'
    )


def _panel(
    top: int, name: str, steps: np.ndarray, curves: dict[str, np.ndarray], spikes: list[int]
) -> list[str]:
    """One pair of axes, the vertical one logarithmic."""
    logs = {color: logarithms(values) for color, values in curves.items()}
    known = np.concatenate([values[~np.isnan(values)] for values in logs.values()])
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    if high - low < 0.1:
        low, high = low - 0.05, high + 0.05
    across = (WIDTH - LEFT - 4) / max(steps[-1], 1.0)

    def height(values: np.ndarray) -> np.ndarray:
        return top + GAP + (high - values) / (high - low) * (HEIGHT - GAP)

    bottom = top + HEIGHT
    parts = [
        f'<text x="{LEFT}" y="{top + GAP - 6}">{name}</text>',
        f'<text x="{LEFT - 4}" y="{top + GAP + 8}" text-anchor="end">{10**high:.2g}</text>',
        f'<text x="{LEFT - 4}" y="{bottom}" text-anchor="end">{10**low:.2g}</text>',
        f'<text x="{WIDTH - 4}" y="{bottom + 12}" text-anchor="end">step {steps[-1]:.0f}</text>',
        f'<path d="M{LEFT},{top + GAP}V{bottom}H{WIDTH - 4}" stroke="#888" fill="none"/>',
    ]
    for step in spikes:
        x = LEFT + across * step
        parts.append(f'<path d="M{x:.1f},{top + GAP}V{bottom}" stroke="#d62728" opacity=".3"/>')
    for color, values in logs.items():
        values = condensed(values, WIDTH)
        there = np.flatnonzero(~np.isnan(values))
        xs = LEFT + across * steps[-1] * there / max(len(values) - 1, 1)
        points = zip(xs.tolist(), height(values[there]).tolist(), strict=True)
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" stroke="{color}" fill="none"/>')
    return parts


# -------------------------------------------------------------------- while training


class Live:
    """Shows ``what`` again and again, seldom enough to cost at most a set share of the time."""

    def __init__(self, what: Any) -> None:
        self._what = what
        self._next = 0.0
        self._shown = False
        self._show, self._seconds = self._way()

    def _way(self) -> tuple[Callable[[], None], float]:
        """How to show it here, and how often at most."""
        ipython = sys.modules.get("IPython")  # a notebook has imported it
        shell = None if ipython is None else ipython.get_ipython()
        if hasattr(shell, "kernel"):
            self._handle: Any = None
            return self._show_in_notebook, SECONDS
        if sys.stderr.isatty():
            return self._show_in_terminal, SECONDS
        return self._show_in_log, SECONDS_IN_A_LOG

    def update(self) -> None:
        """Shows it if enough time has passed since the last time."""
        now = time.perf_counter()
        if now >= self._next:
            self._show()
            self._shown = True
            end = time.perf_counter()
            self._next = end + max(self._seconds, (end - now) / SHARE)

    def finish(self) -> None:
        """Shows the last state."""
        self._show()
        if self._show == self._show_in_terminal:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def _show_in_notebook(self) -> None:
        if self._handle is None:
            display = require("IPython.display", "viz", "live display").display
            self._handle = display(self._what, display_id=True)
        else:
            self._handle.update(self._what)

    def _show_in_terminal(self) -> None:
        columns = shutil.get_terminal_size().columns
        sys.stderr.write("\r" + repr(self._what)[: columns - 1] + "\x1b[K")  # clears what is left
        sys.stderr.flush()

    def _show_in_log(self) -> None:
        sys.stderr.write(repr(self._what) + "\n")
        sys.stderr.flush()


# -------------------------------------------------------------------- matplotlib


def draw(history: Columns, modules: Columns, spikes: list[int], path: str | Path | None) -> Any:
    """The loss, the norm and a map of the modules' norms, as a matplotlib figure."""
    loss = "loss" in history
    heights = [2.0] * (1 + loss) + [min(0.6 + 0.16 * len(modules), 5.0) + 0.6]
    size = (9.0, sum(heights))
    if path is None:
        pyplot = require("matplotlib.pyplot", "viz", "GradientMonitor.plot")
        figure = pyplot.figure(figsize=size, layout="constrained")
    else:  # a figure of our own leaves pyplot and its windows alone
        matplotlib_figure = require("matplotlib.figure", "viz", "GradientMonitor.plot")
        figure = matplotlib_figure.Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    steps = history["step"]

    if loss:
        there = ~np.isnan(history["loss"])
        axes[0].plot(steps[there], history["loss"][there], color="tab:blue", linewidth=0.9)
        axes[0].set_ylabel("loss")
        if (history["loss"][there] > 0).all():
            axes[0].set_yscale("log")
    norms = axes[-2]
    norms.plot(steps, history["norm"], color="tab:orange", linewidth=0.9, label="norm")
    if "max_norm" in history:
        clipped_norm = history["clipped_norm"]
        norms.plot(steps, clipped_norm, color="tab:green", linewidth=0.9, label="after clipping")
        norms.plot(steps, history["max_norm"], "k:", linewidth=0.9, label="max_norm")
    if np.nanmax(history["norm"], initial=0.0) > 0:
        norms.set_yscale("log")
    norms.set_ylabel("gradient norm")
    for place, step in enumerate(spikes):
        label = None if place else "spike"
        norms.axvline(step, color="tab:red", alpha=0.4, linewidth=0.8, label=label)
    norms.legend(frameon=False, ncols=4, fontsize="small", loc="upper right")
    for each in axes[:-1]:
        each.grid(alpha=0.3)

    table = np.array([logarithms(values) for values in modules.values()])
    half = steps[1] / 2 if len(steps) > 1 else 0.5
    image = axes[-1].imshow(
        np.ma.masked_invalid(table), aspect="auto", interpolation="nearest", cmap="viridis",
        extent=(-half, steps[-1] + half, len(modules) - 0.5, -0.5),
    )  # fmt: skip
    every = -(-len(modules) // 32)
    axes[-1].set_yticks(range(0, len(modules), every), list(modules)[::every], fontsize="small")
    axes[-1].set_xlabel("step")
    figure.colorbar(image, ax=axes[-1], label="log$_{10}$ of the norm", pad=0.01)
    if path is not None:
        figure.savefig(path, dpi=110)
    return figure
