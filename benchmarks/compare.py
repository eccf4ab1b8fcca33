"""Training steps, inference and single operations against PyTorch, next to the machine's limits.

    python -m benchmarks.compare [--cores 1] [--rounds 15] [--only MLP]

A training step is zero_grad, forward, cross_entropy, backward, clip_grad_norm to 1.0 and AdamW
(PyTorch's with ``fused=True``), in float32. "of peak" is the share of the machine's multiply-add
peak that the products of a row's arithmetic reach, all cores together, or of its bandwidth that
the bytes which an operation has to read and write at least reach (above 100 %: they stay in a
cache). Both limits are measured in the same run.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from typing import Any

from benchmarks import rounds
from benchmarks.models import MODELS

STEPS = {
    "MLP 8-16-4": 8.0,
    "MLP 64-64-64-4": 5.0,
    "MLP 12 layers of 128": 3.0,
    "MLP 784-512-256-10": 2.0,
    "CNN 1x28x28": 1.8,
    "ResNet-20 3x32x32": 1.3,
    "LSTM 256": 1.1,
    "GRU 256": 1.8,
    "GPT 192x4": 1.8,
}
"""Of a training step: how many times PyTorch's speed at least."""

INFERENCE_BATCHES = (1, 8)


def step_name(model: str) -> str:
    return f"step: {model}, batch {MODELS[model].batch}"


def inference_name(model: str, batch: int) -> str:
    return f"inference: {model}, batch {batch}"


# -------------------------------------------------------------------- cases


def cases(library: str) -> dict[str, Any]:
    if library == "lucid":
        import lucid as lib
        from lucid import nn

        clip, settings = nn.utils.clip_grad_norm, {}
    else:
        import torch as lib
        from torch import nn

        clip, settings = nn.utils.clip_grad_norm_, {"fused": True}
    F = nn.functional

    found: dict[str, Any] = {}
    for name, row in MODELS.items():
        try:
            model = row.make(nn, F, lib)
        except AttributeError as missing:
            print(f"skipped in {library}: {name} ({missing})", file=sys.stderr)
            continue
        optimizer = lib.optim.AdamW(model.parameters(), lr=1e-3, **settings)
        found[step_name(name)] = _step(
            model, optimizer, F.cross_entropy, clip, *row.data(lib, row.batch)
        )
        for batch in INFERENCE_BATCHES:
            found[inference_name(name, batch)] = _inference(
                row.make(nn, F, lib).eval(), lib.no_grad, row.data(lib, batch)[0]
            )
    for name, (make, *_) in OPERATIONS.items():
        try:
            found[f"op: {name}"] = _there_and_back(*make(lib, F))
        except AttributeError as missing:
            print(f"skipped in {library}: {name} ({missing})", file=sys.stderr)
    return found


def _step(model: Any, optimizer: Any, cross_entropy: Any, clip: Any, x: Any, y: Any) -> Any:
    def step():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        clip(model.parameters(), 1.0)
        optimizer.step()

    return step


def _inference(model: Any, no_grad: Any, x: Any) -> Any:
    def forward():
        with no_grad():
            model(x)

    return forward


# -------------------------------------------------------------------- single operations


def _there_and_back(function: Any, inputs: tuple[Any, ...]) -> Any:
    """Forward and backward with a gradient that is given."""
    for x in inputs:
        x.requires_grad_()
    out = function(*inputs)
    gradient = out.detach() * 0 + 1

    def run():
        for x in inputs:
            x.grad = None
        function(*inputs).backward(gradient)

    return run


def _one(function: str, *shape: int) -> Any:
    return lambda lib, F: (
        getattr(lib, function, None) or getattr(F, function),
        (lib.randn(*shape),),
    )


MEGA = 1 << 20
# By name: what makes ``(function, inputs)``; elements that have to be read or written at least,
# forward and backward; multiply-adds of both.
OPERATIONS: dict[str, tuple[Any, int, int]] = {
    "GELU 256x4096": (_one("gelu", 256, 4096), 5 * MEGA, 0),
    "softmax 512x1000": (
        lambda lib, F: (lambda x: F.softmax(x, -1), (lib.randn(512, 1000),)), 5 * 512_000, 0
    ),
    "layer_norm 1024x768": (
        lambda lib, F: (
            lambda x, w, b: F.layer_norm(x, (768,), w, b),
            (lib.randn(1024, 768), lib.ones(768), lib.zeros(768)),
        ),
        5 * 1024 * 768, 0,
    ),
    "tanh 1024x1024": (_one("tanh", 1024, 1024), 5 * MEGA, 0),
    "exp-sum 1024x1024": (
        lambda lib, F: (lambda x: x.exp().sum(), (lib.randn(1024, 1024),)), 5 * MEGA, 0
    ),
    "broadcast add 1024x1024 + 1024": (
        lambda lib, F: (lambda x, y: x + y, (lib.randn(1024, 1024), lib.randn(1024))), 4 * MEGA, 0
    ),
    "strided index 1024x1024[:, ::2]": (
        lambda lib, F: (lambda x: x[:, ::2] * 2, (lib.randn(1024, 1024),)), 3 * MEGA, 0
    ),
    "bmm 48x128x32": (
        lambda lib, F: (lib.bmm, (lib.randn(48, 128, 32), lib.randn(48, 32, 128))),
        0, 3 * 48 * 128 * 32 * 128,
    ),
    "conv1d 16x64x256, 64 of 3": (
        lambda lib, F: (
            lambda x, w, b: F.conv1d(x, w, b, padding=1),
            (lib.randn(16, 64, 256), lib.randn(64, 64, 3), lib.randn(64)),
        ),
        0, 3 * 16 * 256 * 64 * 64 * 3,
    ),
}  # fmt: skip


# -------------------------------------------------------------------- limits


def limits(cores: int) -> tuple[float, float]:
    """Multiply-adds and bytes read per second, all cores together, the best of several tries."""
    import numpy as np

    from lucid._kernels import gemm, norms, threads

    threads.set_num_threads(1)  # each core runs the whole loop in a thread of this module's own
    blocks = [np.ones(1 << 25, np.float32) for _ in range(cores)]

    def fma(_: int) -> int:
        return gemm.fma_peak(1_000_000)

    def read(core: int) -> int:
        norms.total_norm([blocks[core]], 2.0)
        return blocks[core].nbytes

    def best(loop: Any) -> float:
        return max(_together(loop, cores) for _ in range(20))

    return best(fma), best(read)


def _together(loop: Any, cores: int) -> float:
    """What ``loop(core)`` says it did, on each core at the same time, per second."""
    done = [0] * cores

    def run(core: int) -> None:
        done[core] = loop(core)

    workers = [threading.Thread(target=run, args=(core,)) for core in range(cores)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.perf_counter() - start)


def shares(seconds: dict[str, float], fma: float, bandwidth: float) -> dict[str, str]:
    """Per case the share of the limit that applies."""
    work = {step_name(name): row.step_flops() // 2 for name, row in MODELS.items()}
    for name, row in MODELS.items():
        for batch in INFERENCE_BATCHES:
            work[inference_name(name, batch)] = row.work * batch
    work |= {f"op: {name}": adds for name, (_, _, adds) in OPERATIONS.items() if adds}
    moved = {f"op: {name}": 4 * count for name, (_, count, _) in OPERATIONS.items() if count}
    return {
        name: f"{work[name] / taken / fma:.0%} of FMA"
        if name in work
        else f"{moved[name] / taken / bandwidth:.0%} of memory"
        for name, taken in seconds.items()
    }


TARGETS = {
    **{step_name(name): target for name, target in STEPS.items()},
    **{inference_name(name, batch): 1.2 for name in MODELS for batch in INFERENCE_BATCHES},
    **{f"op: {name}": 1.0 for name in OPERATIONS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=1, help="how many cores both are pinned to")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    print(rounds.machine())
    print(f"{options.cores} core(s), {options.rounds} rounds", flush=True)
    rounds.pin(options.cores)
    before = limits(options.cores)
    results = rounds.compare("benchmarks.compare", options.cores, options.rounds, options.only)
    fma, bandwidth = (max(pair) for pair in zip(before, limits(options.cores), strict=True))
    print(f"FMA peak {2e-9 * fma:.0f} GF/s, read bandwidth {1e-9 * bandwidth:.0f} GB/s\n")
    extra = shares({r["case"]: r["ours"] for r in results}, fma, bandwidth)
    print(rounds.table(results, TARGETS, ("of peak", extra)))


if __name__ == "__main__":
    main()
