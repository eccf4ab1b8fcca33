"""What a small step costs: the overhead around a microsecond of arithmetic.

    python -m benchmarks.overhead [--cores 1] [--rounds 15]

Also prints the import time above NumPy's and the installed size.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import rounds

TARGETS = {"training step, MLP 8-16-4, batch 32, Adam": 6.0, "add of 8, recorded": 1.8}


def cases(library: str) -> dict[str, Any]:
    if library == "lucid":
        import lucid as lib
        import lucid.nn as nn

        F = nn.functional
        clip = nn.utils.clip_grad_norm
    else:
        import torch as lib
        from torch import nn

        F = nn.functional
        clip = nn.utils.clip_grad_norm_

    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(8, 16)
            self.fc2 = nn.Linear(16, 4)

        def forward(self, x):
            return self.fc2(F.relu(self.fc1(x)))

    model = Tiny()
    optimizer = lib.optim.Adam(model.parameters())
    x, y = lib.randn(32, 8), lib.randint(0, 4, (32,))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        clip(model.parameters(), 1.0)
        optimizer.step()

    a, b = lib.ones(8, requires_grad=True), lib.ones(8)

    def forward_only():
        with lib.no_grad():
            model(x)

    loss = Tiny()(x).sum()
    return {
        "training step, MLP 8-16-4, batch 32, Adam": step,
        "add of 8, recorded": lambda: a + b,
        "mul of 8, recorded": lambda: a * b,
        "add of 8, not recorded": lambda: b + b,
        "exp of 8, recorded": lambda: lib.exp(a),
        "sum of 8, recorded": lambda: a.sum(),
        "b[2:5]": lambda: b[2:5],
        "forward only": forward_only,
        "backward of the loss": lambda: loss.backward(retain_graph=True),
        "clip 4 gradients": lambda: clip(model.parameters(), 1.0),
        "optimizer step": optimizer.step,
    }


def import_time(module: str, repeats: int = 9) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    run = [sys.executable, "-c", code]
    # An installed package has its bytecode.
    env = {name: x for name, x in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return statistics.median(
        float(subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout)
        for _ in range(repeats)
    )


def main() -> None:
    rounds.main("benchmarks.overhead", TARGETS)
    import_time("lucid")  # the files are then in the page cache
    both = [(import_time("numpy", 1), import_time("lucid", 1)) for _ in range(9)]
    above = statistics.median(b - a for a, b in both)
    print(f"\nimport lucid: {above * 1e3:.0f} ms above import numpy (at most 60 ms)")
    import lucid

    folder = Path(lucid.__file__).parent
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.suffix != ".c")
    print(f"installed size: {size / 1e6:.1f} MB (under 10 MB)  [{time.strftime('%Y-%m-%d')}]")


if __name__ == "__main__":
    main()
