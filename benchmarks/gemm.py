"""Sweep of matrix products: lucid's engine against NumPy's BLAS and the machine's FMA peak.

    python benchmarks/gemm.py                        # the best level, float32
    python benchmarks/gemm.py --levels all --dtype float64 --threads 2

The two take turns, round by round; printed is the median over the rounds of the time ratio
(above 1: lucid is faster), and the best rate seen of lucid as a share of the peak of one core,
measured in the same run. One thread is timed by its own CPU time, so that other users of the
machine disturb less. Each level runs in a process of its own, against a BLAS that is told to
use the same instruction set (OPENBLAS_CORETYPE), so that like is compared with like.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

CORETYPES = {"baseline": "Prescott", "avx2": "Haswell", "avx512": "SkylakeX"}

SQUARE = [
    ((n, n), (n, n)) for n in (16, 24, 32, 48, 64, 96, 100, 128, 192, 256, 384, 512, 1024, 2048)
]
THIN = [
    ((8192, 16), (16, 16)),
    ((8192, 64), (64, 32)),
    ((16, 4096), (4096, 16)),
    ((64, 4096), (4096, 64)),
    ((512, 32), (32, 512)),
    ((8, 512), (512, 512)),
    ((4, 1024), (1024, 1024)),
    ((32, 784), (784, 512)),
]
VECTORS = [
    ((64,), (64,)),
    ((4096,), (4096,)),
    ((1, 64), (64, 64)),
    ((1, 512), (512, 512)),
    ((1, 2048), (2048, 2048)),
    ((64, 64), (64,)),
    ((512, 512), (512,)),
    ((2048, 2048), (2048,)),
    ((1000, 10), (10,)),
    ((512, 1), (1, 512)),
]
BATCHED = [
    ((128, 32, 32), (128, 32, 32)),
    ((48, 128, 32), (48, 32, 128)),
    ((48, 128, 128), (48, 128, 32)),
    ((32, 64, 64), (32, 64, 64)),
    ((8, 12, 64, 48), (8, 1, 48, 64)),
    ((64, 32, 64), (64, 16)),
]
# (m, in, out): x(m, in) @ w(out, in)^T
TRANSPOSED = [
    (32, 8, 16),
    (1, 512, 512),
    (8, 784, 512),
    (32, 64, 64),
    (64, 128, 128),
    (128, 784, 512),
]


def cases(np, dtype):
    rng = np.random.default_rng(0)

    def array(shape):
        return rng.standard_normal(shape).astype(dtype)

    for group in (SQUARE, THIN, VECTORS, BATCHED):
        for a, b in group:
            yield f"{a} @ {b}", array(a), array(b)
    for m, k, n in TRANSPOSED:
        yield f"({m}, {k}) @ ({n}, {k})^T", array((m, k)), array((n, k)).T
        yield f"({m}, {n})^T @ ({m}, {k})", array((m, n)).T, array((m, k))


def seconds(clock, function, a, b, repeats):
    start = clock()
    for _ in range(repeats):
        function(a, b)
    return (clock() - start) / repeats


def measure(options):
    import numpy as np

    from lucid._kernels import cpu, gemm, threads

    threads.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    double = options.dtype == "float64"
    peak = 0.0
    for _ in range(20):
        start = clock()
        count = gemm.fma_peak(200_000, double)
        peak = max(peak, count / (clock() - start))
    print(
        f"\n{cpu.level}, {options.dtype}, {options.threads} thread(s), FMA peak of one core "
        f"{2e-9 * peak:.0f} GF/s, NumPy {np.__version__} OPENBLAS_CORETYPE="
        f"{os.environ['OPENBLAS_CORETYPE']}"
    )
    print(f"{'':42}{'GF/s':>8}{'of peak':>9}{'time':>13}{'vs NumPy':>10}")
    for name, a, b in cases(np, options.dtype):
        if options.only and options.only not in name:
            continue
        product = gemm.matmul(a, b)
        work = product.size * a.shape[-1]
        repeats = max(1, int(options.seconds / max(seconds(clock, gemm.matmul, a, b, 3), 1e-7)))
        ratios, best = [], float("inf")
        for _ in range(options.rounds):
            ours = seconds(clock, gemm.matmul, a, b, repeats)
            ratios.append(seconds(clock, np.matmul, a, b, repeats) / ours)
            best = min(best, ours)
        flag = "" if median(ratios) >= 0.95 else "  <"
        print(
            f"{name:42}{2e-9 * work / best:8.1f}{work / best / peak:9.0%}{1e6 * best:10.2f} us"
            f"{median(ratios):10.2f}{flag}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", default="avx512", help="comma-separated, or 'all'")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.01, help="per measurement")
    parser.add_argument("--only", default="", help="only the shapes whose name contains this")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measure(options)
        return
    levels = CORETYPES if options.levels == "all" else options.levels.split(",")
    for level in levels:
        environment = {
            **os.environ,
            "LUCID_SIMD": level,
            "OPENBLAS_CORETYPE": CORETYPES[level],
            "OPENBLAS_NUM_THREADS": str(options.threads),
        }
        environment.pop("OPENBLAS_L2_SIZE", None)
        subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--here"], env=environment, check=True
        )


if __name__ == "__main__":
    main()
