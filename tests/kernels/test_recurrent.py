"""The recurrent kernels against the same recurrence in recorded operations, in float64.

The networks of `lucid.nn` are compared with PyTorch in tests/nn; here are the sizes at which work
is cut into blocks, what lies in memory in another order, and the phases.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid._core.op import TENSORS
from lucid._kernels import cpu
from lucid._kernels import recurrent as kernel
from lucid.ops.recurrent import GATES, KINDS, recurrent_layer, unrolled

STEPS = 6


@pytest.fixture(autouse=True)
def keep_num_threads():
    before = lucid.get_num_threads()
    yield
    lucid.set_num_threads(before)


def problem(rng, kind, inputs, hidden, batch, projected=0, lengths=None, bias=True):
    """Float64 inputs in the order of `recurrent_layer`, with the sizes of the steps or None."""
    width, out = GATES[kind] * hidden, projected or hidden
    sizes = None
    shape = (STEPS, batch, inputs)
    if lengths is not None:
        sizes = np.array([sum(n > t for n in lengths) for t in range(max(lengths))], np.intp)
        shape = (int(sizes.sum()), inputs)
    scale = hidden**-0.5
    arrays = [
        rng.standard_normal(shape),
        rng.standard_normal((batch, out)),
        rng.standard_normal((batch, hidden)) if kind == "lstm" else None,
        rng.uniform(-scale, scale, (width, inputs)),
        rng.uniform(-scale, scale, (width, out)),
        rng.uniform(-scale, scale, width) if bias else None,
        rng.uniform(-scale, scale, width) if bias else None,
        rng.uniform(-scale, scale, (projected, hidden)) if projected else None,
    ]
    return arrays, sizes


def ran(function, arrays, dtype, by_sequence=False):
    """Outputs and gradients; the loss weighs every output differently."""
    leaves = [None if a is None else lucid.tensor(a.astype(dtype)) for a in arrays]
    if by_sequence:
        leaves[0] = lucid.tensor(np.ascontiguousarray(arrays[0].swapaxes(0, 1), dtype))
    for leaf in leaves:
        if leaf is not None:
            leaf.requires_grad_()
    inputs = list(leaves)
    if by_sequence:
        inputs[0] = leaves[0].transpose(0, 1)
    outs = [out for out in function(inputs) if out is not None]
    shown = [outs[0].transpose(0, 1) if by_sequence else outs[0], *outs[1:]]
    if by_sequence:
        assert shown[0].is_contiguous()
    weigh = np.random.default_rng(5)
    for i, out in enumerate(shown):
        order = (1, 0, 2) if by_sequence and i == 0 else tuple(range(out.ndim))
        weights = weigh.standard_normal([out.shape[d] for d in order]).transpose(order)
        (out * lucid.tensor(np.ascontiguousarray(weights, dtype))).sum().backward(retain_graph=True)
    gradients = [leaf.grad.numpy() for leaf in leaves if leaf is not None]
    if by_sequence:
        gradients[0] = gradients[0].swapaxes(0, 1)
    return [*(out.detach().numpy() for out in outs), *gradients]


CASES = [
    # inputs, hidden, batch, projected, lengths
    (3, 1, 1, 0, None),
    (5, 64, 7, 0, None),
    (5, 67, 1, 0, None),
    (5, 130, 2, 0, None),
    (4, 65, 49, 0, None),
    (4, 7, 97, 0, None),
    (4, 66, 5, 0, [4, 4, 2, 1, 1]),
    (4, 5, 53, 0, [6] * 2 + [3] * 47 + [1] * 4),
    # more rows than wait for a product
    (3, 6, 203, 0, None),
    (3, 5, 300, 0, [6] * 250 + [5] * 20 + [2] * 30),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_as_in_recorded_operations(rng, case, kind, reverse, dtype):
    check(rng, case, kind, reverse, dtype)


@pytest.mark.parametrize(
    "case",
    [(3, 70, 2, 1, None), (3, 70, 5, 65, None), (3, 9, 203, 4, None), (3, 70, 3, 66, [3, 2, 2])],
    ids=str,
)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_projection_as_in_recorded_operations(rng, case, reverse, dtype):
    check(rng, case, "lstm", reverse, dtype)


def check(rng, case, kind, reverse, dtype):
    arrays, sizes = problem(rng, kind, *case)
    expected = ran(
        lambda inputs: unrolled(TENSORS, kind, sizes, reverse, *inputs), arrays, np.float64
    )
    limit = 2e-5 if dtype == np.float32 else 1e-12
    for threads in (1, 3):
        lucid.set_num_threads(threads)
        found = ran(
            lambda inputs: recurrent_layer(*inputs[:3], inputs[3:], kind, sizes, reverse),
            arrays, dtype,
        )  # fmt: skip
        for got, want in zip(found, expected, strict=True):
            assert got.dtype == dtype
            np.testing.assert_allclose(got, want, rtol=limit, atol=limit * np.abs(want).max())


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("hidden", [6, 70])
def test_outputs_lie_in_memory_as_the_input_does(rng, kind, hidden):
    arrays, _ = problem(rng, kind, 3, hidden, 5)

    def layer(inputs):
        return recurrent_layer(*inputs[:3], inputs[3:], kind)

    for a, b in zip(
        ran(layer, arrays, np.float32), ran(layer, arrays, np.float32, True), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64, ">f8"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_of_another_dtype_lying_batch_first(rng, given, dtype):
    """A raw pointer may read them as they lie only if they have the kernel's own dtype."""
    arrays, _ = problem(rng, "gru", 3, 5, batch=4)
    arrays = [None if a is None else a.astype(dtype) for a in arrays]
    x, h, _, w_ih, w_hh, b_ih, b_hh, w_hr = arrays
    *_, kept = kernel.forward(
        KINDS["gru"], x, h, None, w_ih, w_hh, b_ih, b_hh, w_hr, None, False, True
    )
    gy = rng.standard_normal((4, STEPS, 5)).astype(given).swapaxes(0, 1)

    def gradients(gy):
        return kernel.backward(
            KINDS["gru"], gy, None, None, w_ih, w_hh, w_hr, kept, None, False, True, True, True
        )

    expected = gradients(np.ascontiguousarray(gy, dtype))
    for result, wanted in zip(gradients(gy), expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("case", [(16, 200, 1), (16, 200, 8), (8, 130, 150)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(rng, kind, case, dtype):
    arrays, _ = problem(rng, kind, *case)
    found = []
    for threads in (1, 2, 5):
        lucid.set_num_threads(threads)
        found.append(
            ran(lambda inputs: recurrent_layer(*inputs[:3], inputs[3:], kind), arrays, dtype)
        )
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


def test_without_gradients_as_with(rng):
    arrays, _ = problem(rng, "lstm", 4, 70, 3)
    inputs = [None if a is None else lucid.tensor(a) for a in arrays]
    kept = recurrent_layer(*[t.requires_grad_() for t in inputs[:3]], inputs[3:], "lstm")
    with lucid.no_grad():
        for a, b in zip(kept, recurrent_layer(*inputs[:3], inputs[3:], "lstm"), strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b.numpy())


@pytest.mark.parametrize(("phases", "blocks"), [(0, 3), (3, 0), (1, 1), (40, 1), (300, 2), (50, 7)])
@pytest.mark.parametrize("members", [1, 2, 3, 8])
def test_phases(phases, blocks, members):
    lucid.set_num_threads(members)
    for _ in range(5):
        assert kernel._visits(phases, blocks, min(members, blocks)) == [1] * (phases * blocks)


def test_phases_where_the_pool_gives_no_threads():
    lucid.set_num_threads(1)
    assert kernel._visits(30, 5, 3) == [1] * 150


def test_phases_from_several_threads():
    lucid.set_num_threads(3)

    def job(_):
        return all(kernel._visits(50, 4, 3) == [1] * 200 for _ in range(20))

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(job, range(8)))


@pytest.mark.skipif("LUCID_SIMD" in os.environ, reason="runs this file at each lower level")
@pytest.mark.parametrize("level", cpu.LEVELS[: cpu.LEVELS.index(cpu.level)])
def test_lower_levels(level):
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).parents[2], env={**os.environ, "LUCID_SIMD": level},
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
