"""Two libraries against each other on the same cores, in alternating rounds.

Absolute times on a shared machine mean nothing. So each library runs in a process of its own, both
pinned to the same cores; a round times a case in one and at once in the other, and what is
reported is the median of the per-round ratios (and their quartiles).

A benchmark module has ``cases(library) -> {name: callable}`` with ``library`` "lucid" or
"torch", and calls `main`. A value may also be ``(setup, callable)``: ``setup()`` runs untimed
before each timing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SLICE = 0.03
"""Seconds per timing: long enough to drown the timer, short enough for rounds to share weather."""

PAUSE = 0.02
"""Seconds before each timing: the threads of the other library may spin for that long after its."""


def pin(cores: int) -> None:
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, usable[-cores:])


def set_threads(library: str, cores: int) -> None:
    module = importlib.import_module(library)
    module.set_num_threads(cores)


def worker(module: str, library: str, cores: int) -> None:
    """Answers ``name count`` lines on standard input with seconds per call."""
    pin(cores)
    set_threads(library, cores)
    cases = importlib.import_module(module).cases(library)
    print(json.dumps(list(cases)), flush=True)
    for line in sys.stdin:
        name, count = json.loads(line)
        case = cases[name]
        setup, run = case if isinstance(case, tuple) else (None, case)
        if setup is not None:
            setup()
        start = time.perf_counter()
        for _ in range(count):
            run()
        print((time.perf_counter() - start) / count, flush=True)


class Worker:
    """A library in a process of its own."""

    def __init__(self, module: str, library: str, cores: int) -> None:
        threads = {
            name: str(cores)
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rounds", "--worker", module, library, str(cores)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, **threads, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))},
        )  # fmt: skip
        self.cases = json.loads(self._read())
        self.counts: dict[str, int] = {}

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the benchmark's worker process has ended; see its error above")
        return line

    def time(self, name: str, count: int | None = None) -> float:
        assert self.process.stdin is not None
        if count is None and name not in self.counts:
            seconds = min(self.time(name, 1) for _ in range(3))
            self.counts[name] = max(1, round(SLICE / seconds))
        time.sleep(PAUSE)
        self.process.stdin.write(json.dumps([name, count or self.counts[name]]) + "\n")
        self.process.stdin.flush()
        return float(self._read())


def compare(
    module: str,
    cores: int,
    rounds: int,
    only: str = "",
    libraries: tuple[str, str] = ("lucid", "torch"),
) -> list[dict[str, Any]]:
    """Per case: median seconds in each library, and the median and quartiles of the ratio."""
    ours, theirs = (Worker(module, library, cores) for library in libraries)
    results = []
    for name in ours.cases:
        if only not in name or name not in theirs.cases:
            continue
        pairs = []
        for i in range(rounds + 1):
            if i % 2:
                b, a = theirs.time(name), ours.time(name)
            else:
                a, b = ours.time(name), theirs.time(name)
            pairs.append((a, b))
        results.append({"case": name, **summary(pairs[1:])})
    for w in (ours, theirs):
        assert w.process.stdin is not None
        w.process.stdin.close()
        w.process.wait()
    return results


def summary(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Of rounds ``(ours, theirs)``: the medians, and median and quartiles of theirs / ours."""
    ratios = sorted(b / a for a, b in pairs)
    return {
        "ours": statistics.median(a for a, _ in pairs),
        "theirs": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "low": ratios[len(ratios) // 4],
        "high": ratios[-1 - len(ratios) // 4],
    }


def duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def table(
    results: list[dict[str, Any]],
    targets: dict[str, float] | None = None,
    extra: tuple[str, dict[str, str]] | None = None,
) -> str:
    """The results as a table in Markdown; ``extra``: a last column's title and texts."""
    header = ["case", "lucid", "PyTorch", "ratio (quartiles)", "at least"]
    rows = [[*header, extra[0]] if extra else header]
    rows.append(["---"] * len(rows[0]))
    for r in results:
        target = (targets or {}).get(r["case"])
        verdict = "" if target is None else f"{target:g}x"
        if target is not None and r["ratio"] < target:
            verdict += " **missed**"
        row = [
            r["case"],
            duration(r["ours"]),
            duration(r["theirs"]),
            f"{r['ratio']:.2f}x ({r['low']:.2f} to {r['high']:.2f})",
            verdict,
        ]
        rows.append([*row, extra[1].get(r["case"], "")] if extra else row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machine() -> str:
    """One line on where and with what the numbers were made."""
    import numpy

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(
            line.split(":", 1) for line in info.read_text().splitlines()[:30] if ":" in line
        )
        clean = {key.strip(): value.strip() for key, value in fields.items()}
        cpu = f"{clean.get('model name', cpu)} (family {clean.get('cpu family', '?')})"
    try:
        import torch

        version = torch.__version__
    except ImportError:
        version = "not installed"
    return (
        f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"NumPy {numpy.__version__}, PyTorch {version}; {time.strftime('%Y-%m-%d')}"
    )


def main(module: str, targets: dict[str, float] | None = None) -> None:
    parser = argparse.ArgumentParser(description=importlib.import_module(module).__doc__)
    parser.add_argument("--cores", type=int, default=1, help="how many cores both are pinned to")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    print(machine())
    print(f"{options.cores} core(s), {options.rounds} rounds\n")
    print(table(compare(module, options.cores, options.rounds, options.only), targets))


if __name__ == "__main__":
    assert sys.argv[1] == "--worker"
    worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))
