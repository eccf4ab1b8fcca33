"""Measuring and clipping gradient norms, against PyTorch and against the machine's memory.

    python -m benchmarks.grad_norm [--cores 2] [--rounds 15] [--only "4 small"]

Clipping is due in every call that is timed: PyTorch's multiplies even where it is not, so anything
else would flatter lucid. To that end every call asks for a norm that is a little smaller than the
last one's; the gradients are drawn anew before each timing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.rounds import Worker, compare, duration, machine, summary, table

SETS = {
    "4 small": [(16, 8), (16,), (4, 16), (4,)],
    "1000 of 100": [(100,)] * 1000,
    "25.6 M": [(159_000,)] * 161,
}
LARGE = "25.6 M"
SHRINK = 0.9999
TARGETS = {
    "4 small, norm": 10, "4 small, clip": 12,
    "1000 of 100, norm": 40, "1000 of 100, clip": 40,
    "25.6 M, norm": 1.2, "25.6 M, clip": 1.1,
    "25.6 M, norm p=1": 4, "25.6 M, clip p=1": 2.5,
    "25.6 M, norm p=inf": 15, "25.6 M, clip p=inf": 8,
    "25.6 M, norm p=3": 15, "25.6 M, clip p=3": 8,
}  # fmt: skip
READ = "25.6 M, plain read (NumPy in both)"
READ_PASSES = (READ, "25.6 M, norm", "25.6 M, norm p=1", "25.6 M, norm p=inf")
PAIRS = [  # of one worker: (slow, fast, at least, from how many cores on)
    ("SGD: clip, then step", "SGD: max_grad_norm", 1.25, 1),
    ("AdamW: clip, then step", "AdamW: max_grad_norm", 1.25, 1),
    *((f"{name}: one thread", f"{name}: two threads", 1.0, 2) for name in SETS if name != LARGE),
    (f"{LARGE}: one thread", f"{LARGE}: two threads", 1.6, 2),
]


class Gradients:
    """Parameters with gradients, in either library, that can be set back.

    The gradients are laid out the same way for both, one behind the other in one block: where an
    allocator happens to put them is worth up to 15 % of the bandwidth.
    """

    def __init__(self, library: str, shapes: list[tuple[int, ...]]) -> None:
        rng = np.random.default_rng(0)
        self.fresh = [rng.standard_normal(shape, np.float32) for shape in shapes]
        starts = np.cumsum([0] + [-(-x.size // 16) * 16 for x in self.fresh])  # of cache lines
        block = np.empty(starts[-1] + 16, np.float32)
        block = block[-(block.ctypes.data // 4) % 16 :]
        places = zip(starts, self.fresh, strict=False)
        self.arrays = [block[start : start + x.size].reshape(x.shape) for start, x in places]
        self.reset()
        self.norm = math.sqrt(sum(float((x.astype(float) ** 2).sum()) for x in self.fresh))
        if library == "torch":
            import torch

            self.parameters: list[Any] = [torch.nn.Parameter(torch.zeros(s)) for s in shapes]
            self.grads: list[Any] = [torch.from_numpy(x) for x in self.arrays]
        else:
            import lucid
            from lucid._core.tensor import wrap

            self.parameters = [lucid.nn.Parameter(lucid.zeros(*s)) for s in shapes]
            # As backward leaves them: no NumPy code has seen their memory, unlike from_numpy's.
            self.grads = [wrap(x) for x in self.arrays]
        for parameter, grad in zip(self.parameters, self.grads, strict=True):
            parameter.grad = grad
            held = grad.numpy() if library == "torch" else parameter.grad._data
            if not np.shares_memory(held, block):
                raise RuntimeError(f"{library} has copied the gradients")

    def reset(self) -> None:
        for array, fresh in zip(self.arrays, self.fresh, strict=True):
            array[...] = fresh


def always_due(gradients: Gradients, clip: Callable[[float], Any], norm: float) -> tuple[Any, Any]:
    """A setup and a call, which clips every time it is called."""
    limit = norm / 2

    def setup() -> None:
        nonlocal limit
        gradients.reset()
        limit = norm / 2

    def run() -> None:
        nonlocal limit
        limit *= SHRINK
        clip(limit)

    return setup, run


def cases(library: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if library == "torch":
        from torch.nn.utils import clip_grad_norm_ as clip
        from torch.nn.utils import get_total_norm
    else:
        from lucid.nn.utils import clip_grad_norm as clip
        from lucid.nn.utils import get_total_norm
    for name, shapes in SETS.items():
        gradients = Gradients(library, shapes)
        parameters, grads = gradients.parameters, gradients.grads
        for p in (2.0, 1.0, math.inf, 3.0):
            of_p = "" if p == 2 else f" p={p:g}"
            norm = float(get_total_norm(grads, p))
            found[f"{name}, norm{of_p}"] = lambda grads=grads, p=p: get_total_norm(grads, p)
            found[f"{name}, clip{of_p}"] = always_due(
                gradients, lambda limit, ps=parameters, p=p: clip(ps, limit, p), norm
            )
    words = [x.view(np.int64) for x in gradients.arrays]
    found[READ] = lambda: [np.bitwise_or.reduce(x) for x in words]
    if library == "lucid":
        found |= optimizers(gradients) | threads()
    return found


def optimizers(gradients: Gradients) -> dict[str, Any]:
    """Clipping by the optimizer, and before it."""
    import lucid

    found = {}
    parameters = gradients.parameters
    for name, make in (("SGD", lucid.optim.SGD), ("AdamW", lucid.optim.AdamW)):
        optimizer = make(parameters, lr=1e-9)  # one for both cases: its state is large

        def with_limit(limit: float, optimizer: Any = optimizer) -> None:
            optimizer.max_grad_norm = limit
            optimizer.step()

        def after_clipping(limit: float, optimizer: Any = optimizer) -> None:
            lucid.nn.utils.clip_grad_norm(parameters, limit)
            optimizer.max_grad_norm = None
            optimizer.step()

        found[f"{name}: max_grad_norm"] = always_due(gradients, with_limit, gradients.norm)
        found[f"{name}: clip, then step"] = always_due(gradients, after_clipping, gradients.norm)
    return found


def threads() -> dict[str, Any]:
    import lucid

    found = {}
    for name, shapes in SETS.items():
        grads = Gradients("lucid", shapes).grads
        for count, word in ((1, "one thread"), (2, "two threads")):
            found[f"{name}: {word}"] = (
                lambda count=count: lucid.set_num_threads(count),
                lambda grads=grads: lucid.nn.utils.get_total_norm(grads),
            )
    return found


def pairs(module: str, cores: int, rounds: int, only: str) -> list[str]:
    """The rows of what is compared within lucid."""
    worker = Worker(module, "lucid", cores)
    lines = []
    for slow, fast, target, least_cores in PAIRS:
        if cores < least_cores or (only not in slow and only not in fast):
            continue
        times = []
        for turn in range(rounds + 1):
            order = (slow, fast) if turn % 2 else (fast, slow)
            timed = {name: worker.time(name) for name in order}
            times.append((timed[fast], timed[slow]))
        r = summary(times[1:])
        verdict = f"{target:g}x" + ("" if round(r["ratio"], 2) >= target else " **missed**")
        lines.append(
            f"| {slow} | {duration(r['theirs'])} | {fast} | {duration(r['ours'])} "
            f"| {r['ratio']:.2f}x ({r['low']:.2f} to {r['high']:.2f}) | {verdict} |"
        )
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    worker.process.wait()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=1, help="how many cores both are pinned to")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    module = "benchmarks.grad_norm"
    print(machine())
    print(f"{options.cores} core(s), {options.rounds} rounds\n")
    results = compare(module, options.cores, options.rounds, options.only)
    print(table(results, TARGETS if options.cores == 1 else None))
    reads = [r for r in results if r["case"] in READ_PASSES]
    if reads:
        size = 4 * sum(math.prod(shape) for shape in SETS[LARGE])
        best = min(r["ours"] for r in reads)
        print(f"\nBest read bandwidth seen: {size / best / 1e9:.1f} GB/s. Share of it reached:")
        for r in reads:
            print(f"* {r['case']}: {best / r['ours']:.0%}")
    rows = pairs(module, options.cores, options.rounds, options.only)
    if rows:
        print("\n| lucid alone | | | | ratio (quartiles) | at least |\n" + "| --- " * 6 + "|")
        print("\n".join(rows))


if __name__ == "__main__":
    main()
