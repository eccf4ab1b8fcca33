"""The norm kernels against PyTorch's clipping and against the machine's memory, one core.

    taskset -c 0 python benchmarks/grad_norm_kernels.py [--quick]

Every contender runs once in every round, in alternating order, and the medians of the per-round
ratios are printed: on a shared machine only those mean something. The read limit is the best rate
that any of the plain passes (NumPy's bitwise-or reduction of the same bytes, the kernel's own
integer maximum) reached in the run.
"""

import argparse
import math
import statistics
import time

import numpy as np

from lucid._kernels import norms, threads

SETS = {
    "4 small": [(16, 8), (16,), (4, 16), (4,)],
    "1000 of 100": [(100,)] * 1000,
    "161 of 159,000": [(159_000,)] * 161,
}


def seconds(function, calls):
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def alternate(contenders, rounds, calls):
    """Per contender, its times over the rounds."""
    times = {name: [] for name in contenders}
    for function in contenders.values():
        function()
    for turn in range(rounds):
        order = list(contenders.items())
        for name, function in order if turn % 2 else reversed(order):
            times[name].append(seconds(function, calls))
    return times


def ratio(slow, fast):
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def torch_rivals(arrays):
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    parameters = [torch.nn.Parameter(torch.zeros(array.shape)) for array in arrays]
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.grad = torch.from_numpy(array.copy())
    gradients = [parameter.grad for parameter in parameters]
    return (
        lambda p: torch.nn.utils.get_total_norm(gradients, p),
        lambda p: torch.nn.utils.clip_grad_norm_(parameters, 1e-3, p),
    )


def clip(arrays, p):
    norm, _ = norms.total_norm(arrays, p)
    norms.scale(arrays, 1.0 if norm == 0.0 else 0.999999)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few rounds")
    quick = parser.parse_args().quick
    threads.set_num_threads(1)
    rng = np.random.default_rng(0)
    for title, shapes in SETS.items():
        arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
        size = sum(array.nbytes for array in arrays)
        large = size > 1e7
        rounds = (3 if quick else 11) if large else (11 if quick else 51)
        calls = 1 if large else max(1, 20_000 // (len(arrays) + 100))
        rivals = torch_rivals(arrays)
        print(f"{title}: {size / 4e6:.3g} M float32")
        limit = 0.0
        if large:
            words = [array.view(np.int64) for array in arrays]
            plain = {
                "numpy or": lambda words=words: [np.bitwise_or.reduce(w) for w in words],
                "p=inf": lambda arrays=arrays: norms.total_norm(arrays, math.inf),
                "p=2": lambda arrays=arrays: norms.total_norm(arrays, 2.0),
            }
            times = alternate(plain, 2 * rounds, 1)
            limit = size / min(map(min, times.values()))
            print(f"  read limit {limit / 1e9:.1f} GB/s", end="")
            print(*(f"; {name} {size / min(t) / limit:.0%}" for name, t in times.items()), sep="")
        for p in (2.0, 1.0, math.inf, 3.0, 2.5):
            contenders = {
                "norm": lambda p=p, arrays=arrays: norms.total_norm(arrays, p),
                "clip": lambda p=p, arrays=arrays: clip(arrays, p),
            }
            if rivals:
                contenders["torch norm"] = lambda p=p, rivals=rivals: rivals[0](p)
                contenders["torch clip"] = lambda p=p, rivals=rivals: rivals[1](p)
            times = alternate(contenders, rounds, calls)
            best = min(times["norm"])
            line = f"  p={p:<4g} norm {best * 1e6:10.2f} us"
            if rivals:
                line += f"  torch/lucid {ratio(times['torch norm'], times['norm']):6.2f}"
            line += f"   clip {min(times['clip']) * 1e6:10.2f} us"
            if rivals:
                line += f"  torch/lucid {ratio(times['torch clip'], times['clip']):6.2f}"
            if limit:
                line += f"   read at {size / best / limit:.0%} of the limit"
            print(line, flush=True)
        if threads._usable_cpus() > 1:
            one = lambda arrays=arrays: norms.total_norm(arrays, 2.0)  # noqa: E731
            two = lambda arrays=arrays: with_two(arrays)  # noqa: E731
            times = alternate({"one": one, "two": two}, rounds, calls)
            print(f"  two threads: {ratio(times['one'], times['two']):.2f} times one")


def with_two(arrays):
    threads.set_num_threads(2)
    norms.total_norm(arrays, 2.0)
    threads.set_num_threads(1)


if __name__ == "__main__":
    main()
