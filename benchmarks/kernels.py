"""Element-wise and row-wise kernels against PyTorch on one core, in alternating rounds.

    taskset -c 0 python benchmarks/kernels.py

Only the ratio counts (above 1: lucid is faster); it is the median over the rounds.
"""

import statistics
import time

import numpy as np
import torch
from torch.nn import functional

from lucid._kernels import pointwise, rowwise, threads

ROUNDS, SECONDS = 60, 3e-4


def timed(function, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def compare(name, ours, theirs):
    repeats = [max(1, int(SECONDS / min(timed(f, 3) for _ in range(3)))) for f in (ours, theirs)]
    rounds = [(timed(ours, repeats[0]), timed(theirs, repeats[1])) for _ in range(ROUNDS)]
    best = [min(column) * 1e6 for column in zip(*rounds, strict=True)]
    ratio = statistics.median(b / a for a, b in rounds)
    print(f"{name:32} lucid {best[0]:9.2f} us   torch {best[1]:9.2f} us   {ratio:6.2f}x")


def elementwise(size, dtype):
    x = np.random.default_rng(0).normal(size=size).astype(dtype)
    y = np.abs(x) + dtype(0.1)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    label = f"{np.dtype(dtype).name} {size}"
    compare(f"add {label}", lambda: pointwise.add(x, y), lambda: a + b)
    compare(f"add number {label}", lambda: pointwise.add(x, 2.0), lambda: a + 2.0)
    for name in ("exp", "tanh", "sigmoid", "erf", "expm1"):
        kernel, function = getattr(pointwise, name), getattr(torch, name)
        compare(f"{name} {label}", lambda k=kernel: k(x), lambda f=function: f(a))
    for name in ("log", "log1p", "log2"):
        kernel, function = getattr(pointwise, name), getattr(torch, name)
        compare(f"{name} {label}", lambda k=kernel: k(y), lambda f=function: f(b))
    for name in ("relu", "gelu", "silu", "softplus", "elu"):
        kernel, function = getattr(pointwise, name), getattr(functional, name)
        compare(f"{name} {label}", lambda k=kernel: k(x), lambda f=function: f(a))
    compare(
        f"gelu_backward {label}",
        lambda: pointwise.gelu_backward(y, x), lambda: torch.ops.aten.gelu_backward(b, a),
    )  # fmt: skip


def rows(shape, dtype):
    random = np.random.default_rng(0)
    x, target = random.normal(size=shape).astype(dtype), random.integers(0, shape[1], shape[0])
    weight = np.ones(shape[1], dtype)
    a, classes, ones = torch.from_numpy(x), torch.from_numpy(target), torch.from_numpy(weight)
    label = f"{np.dtype(dtype).name} {shape[0]}x{shape[1]}"
    compare(f"add bias {label}", lambda: pointwise.add(x, weight), lambda: a + ones)
    for name in ("sum", "amax"):
        kernel, function = getattr(rowwise, name), getattr(torch, name)
        for axis in (0, 1):
            compare(
                f"{name} axis {axis} {label}",
                lambda k=kernel, axis=axis: k(x, axis),
                lambda f=function, axis=axis: f(a, axis),
            )
    for name in ("softmax", "log_softmax"):
        kernel, function = getattr(rowwise, name), getattr(torch, name)
        compare(f"{name} {label}", lambda k=kernel: k(x), lambda f=function: f(a, -1))
    compare(
        f"cross_entropy {label}",
        lambda: rowwise.cross_entropy(x, target), lambda: functional.cross_entropy(a, classes),
    )  # fmt: skip
    compare(
        f"layer_norm {label}",
        lambda: rowwise.layer_norm(x, weight, weight),
        lambda: functional.layer_norm(a, shape[1:], ones, ones),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    threads.set_num_threads(1)
    with torch.no_grad():
        for real in (np.float32, np.float64):
            for count in (8, 1000, 32_768):
                elementwise(count, real)
            for size in ((32, 4), (128, 64), (512, 1000)):
                rows(size, real)
