"""A table of the gradients of a model: what each parameter and each module got."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lucid._backend import B
from lucid.nn.utils.grad import _members, _split, _warn_of_nothing

__all__ = ["GradientReport", "GradientStats", "grad_report"]


class GradientStats(NamedTuple):
    """What is known of the gradient of a parameter, of a module, or of the whole model."""

    size: int  #: elements
    norm: float  #: 2-norm
    largest: float  #: largest absolute value
    mean: float  #: of complex elements the modulus of their mean
    zeros: float  #: share of elements that are exactly 0
    nans: int  #: elements that are NaN
    infs: int  #: elements that are infinite
    weight_norm: float  #: 2-norm of the values that the gradient belongs to

    @property
    def ratio(self) -> float:
        """Gradient norm / weight norm: how large a step of learning rate 1 is for the weights."""
        if self.weight_norm == 0:
            return math.inf if self.norm else 0.0
        return self.norm / self.weight_norm


def root_sum_square(norms: list[float]) -> float:
    """The norm of a whole from those of its parts: NaN if any is, else inf if any is."""
    return math.nan if any(map(math.isnan, norms)) else math.hypot(*norms)


def largest_of(values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else max(values, default=0.0)


def together(parts: list[GradientStats]) -> GradientStats:
    """The statistics of several parameters as if they were one."""
    size = sum(part.size for part in parts)
    return GradientStats(
        size=size,
        norm=root_sum_square([part.norm for part in parts]),
        largest=largest_of([part.largest for part in parts]),
        mean=sum(part.mean * part.size for part in parts) / max(size, 1),
        zeros=sum(part.zeros * part.size for part in parts) / max(size, 1),
        nans=sum(part.nans for part in parts),
        infs=sum(part.infs for part in parts),
        weight_norm=root_sum_square([part.weight_norm for part in parts]),
    )


def ancestors(name: str) -> Iterator[str]:
    """The modules that a parameter is in: ``a.b.weight`` is in ``a`` and in ``a.b``."""
    for place, letter in enumerate(name):
        if letter == ".":
            yield name[:place]


COLUMNS = ("norm", "largest", "mean", "zeros", "nans", "infs", "weight_norm", "ratio")
TITLES = ("norm", "max |g|", "mean", "zeros", "NaN", "inf", "weights", "norm/weights")


class GradientReport:
    """What :func:`grad_report` found; prints as a table, and shows as one in a notebook.

    Attributes:
        parameters: by name, the :class:`GradientStats` of each parameter that has a gradient.
        modules: by path, those of each submodule, with everything below it.
        total: those of the whole model.
        without_grad: the names of the parameters that have no gradient.
    """

    def __init__(
        self,
        parameters: dict[str, GradientStats],
        shapes: dict[str, tuple[int, ...]],
        without_grad: list[str],
    ) -> None:
        self.parameters = parameters
        self.without_grad = without_grad
        self.total = together(list(parameters.values()))
        inside: dict[str, list[GradientStats]] = {}
        for name, stats in parameters.items():
            for path in ancestors(name):
                inside.setdefault(path, []).append(stats)
        self.modules = {path: together(parts) for path, parts in inside.items()}
        self._shapes = shapes

    def _rows(self) -> Iterator[tuple[str, str, GradientStats]]:
        """``(kind, name, stats)`` of all rows: modules before what is in them, the total last."""
        shown = set()
        for name, stats in self.parameters.items():
            for path in ancestors(name):
                if path not in shown:
                    shown.add(path)
                    yield "module", path, self.modules[path]
            yield "parameter", name, stats
        yield "total", "total", self.total

    def _cells(self) -> Iterator[tuple[str, list[str]]]:
        """``(kind, the texts of a row)``; names are cut to their last part and indented."""
        for kind, name, stats in self._rows():
            depth = name.count(".")
            label = "  " * depth + (name.rpartition(".")[2] if depth else name)
            shape = str(self._shapes[name]) if kind == "parameter" else f"{stats.size:,}"
            numbers = [_text(column, getattr(stats, column)) for column in COLUMNS]
            yield kind, [label, shape, *numbers]

    def __repr__(self) -> str:
        header = ["gradient of", "shape", *TITLES]
        rows = [header, *(texts for _, texts in self._cells())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                text.ljust(width) if place < 2 else text.rjust(width)
                for place, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        lines.insert(1, "-" * len(lines[0]))
        lines.insert(-1, lines[1])
        return "\n".join(lines + self._footnotes())

    def _footnotes(self) -> list[str]:
        if not self.without_grad:
            return []
        return [f"no gradient ({len(self.without_grad)}): {', '.join(self.without_grad)}"]

    def _repr_html_(self) -> str:
        def row(tag: str, texts: list[str], style: str = "") -> str:
            cells = "".join(
                f'<{tag} style="text-align:{"left" if place < 2 else "right"};white-space:pre">'
                f"{html.escape(text)}</{tag}>"
                for place, text in enumerate(texts)
            )
            return f'<tr style="{style}">{cells}</tr>'

        styles = {"module": "font-weight:bold", "total": "font-weight:bold;border-top:1px solid"}
        lines = ["<table>", row("th", ["gradient of", "shape", *TITLES])]
        for (kind, _, stats), (_, texts) in zip(self._rows(), self._cells(), strict=True):
            alarm = ";color:#c00" if stats.nans or stats.infs else ""
            lines.append(row("td", texts, styles.get(kind, "") + alarm))
        notes = [f"<p>{html.escape(note)}</p>" for note in self._footnotes()]
        return "\n".join([*lines, "</table>", *notes])

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and numbers, with the keys of this object's attributes."""

        def plain(stats: GradientStats) -> dict[str, float]:
            return {**stats._asdict(), "ratio": stats.ratio}

        return {
            "parameters": {name: plain(stats) for name, stats in self.parameters.items()},
            "modules": {path: plain(stats) for path, stats in self.modules.items()},
            "total": plain(self.total),
            "without_grad": list(self.without_grad),
        }

    def to_csv(self, path: str | Path | None = None) -> str:
        """The table with full precision, as text; also written to a file if ``path`` is given."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["kind", "name", "size", *COLUMNS])
        for kind, name, stats in self._rows():
            numbers = [getattr(stats, column) for column in COLUMNS]
            writer.writerow([kind, name, stats.size, *numbers])
        text = out.getvalue()
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


def _text(column: str, value: float) -> str:
    if column in ("nans", "infs"):
        return f"{value:,}"
    return f"{value:.1%}" if column == "zeros" else f"{value:.3g}"


def grad_report(parameters: Any) -> GradientReport:
    """What is in the gradients, per parameter, per module and in total; changes nothing.

    Norm, largest absolute value, mean, zeros, NaN and inf are found in one pass over the
    gradients. A parameter that is used in two places counts once, under its first name.

    Args:
        parameters: a Module, a tensor, an iterable of tensors or ``(name, tensor)`` pairs. Without
            names there is no table per module.

    Returns:
        A :class:`GradientReport`: ``print`` it, let a notebook show it, or take ``to_dict()`` and
        ``to_csv()``.

    Raises:
        TypeError: something is not a tensor; its position is named.

    Example:
        >>> w = lucid.tensor([3.0, 4.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> print(lucid.nn.utils.grad_report([("w", w)]))
        gradient of  shape  norm  max |g|  mean  zeros  NaN  inf  weights  norm/weights
        -------------------------------------------------------------------------------
        w            (2,)     10        8     7   0.0%    0    0        5             2
        -------------------------------------------------------------------------------
        total        2        10        8     7   0.0%    0    0        5             2
    """
    found: dict[int, tuple[str, Any]] = {}
    without_grad = []
    names: set[str] = set()
    for place, member in enumerate(_members(parameters, "grad_report")):
        name, tensor = _split(member, place, "grad_report")
        if not name or name in names:
            name = f"{name or 'parameters'}[{place}]"
        names.add(name)
        if tensor._grad is None:
            without_grad.append(name)
        else:
            found.setdefault(id(tensor._grad._data), (name, tensor))
    if not found:
        _warn_of_nothing("grad_report")
    entries = list(found.values())
    table = B.norms.stats([tensor._grad._data for _, tensor in entries]).tolist()
    weight_norms = B.norms.norms([tensor._data for _, tensor in entries], 2.0).tolist()
    parameters = {}
    for (name, _), row, weight_norm in zip(entries, table, weight_norms, strict=True):
        norm, largest, mean, zeros, nans, infs, size = row
        share = zeros / size if size else 0.0
        parameters[name] = GradientStats(
            int(size), norm, largest, mean, share, int(nans), int(infs), weight_norm
        )
    shapes = {name: tensor.shape for name, tensor in entries}
    return GradientReport(parameters, shapes, without_grad)
