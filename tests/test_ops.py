"""Every row of tests/opsamples: values, dtypes, layouts, gradients of both orders."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import lucid
from lucid._core.op import OPS
from lucid._core.tensor import Tensor, wrap
from tests.opsamples import DTYPES, Sample, all_samples

SAMPLES = all_samples()
DECLARED = frozenset(OPS)  # before other tests declare operations of their own
DIFFERENTIABLE = [s for s in SAMPLES if s.grad]

# What is used only by gradient rules or by the machinery, and is reached through other rows.
INTERNAL = {"cast", "spread", "sum_to", "take_view", "write_view", "put", "getitem", "setitem"}


def rows(samples):
    return pytest.mark.parametrize("sample", samples, ids=str)


def run(sample: Sample, tensors: list[Tensor]) -> Any:
    call = sample.call or getattr(lucid, sample.name)
    return call(tensors, **sample.kwargs) if sample.variadic else call(*tensors, **sample.kwargs)


def outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def tolerance(dtype: Any, sample: Sample) -> dict[str, float]:
    scale = sample.tolerance
    if np.dtype(dtype).kind not in "fc":
        return {"rtol": 0, "atol": 0}
    eps = float(np.finfo(dtype).eps)
    return {"rtol": 16 * eps * scale, "atol": 16 * eps * scale}


def dtype_cases(samples: list[Sample]) -> Any:
    cases = [(s, d) for s in samples for kind in s.dtypes for d in DTYPES[kind]]
    return pytest.mark.parametrize(
        ("sample", "dtype"), cases, ids=[f"{s}-{np.dtype(d).name}" for s, d in cases]
    )


def test_every_operation_has_a_row():
    missing = DECLARED - {s.name for s in SAMPLES} - INTERNAL
    assert not missing, f"no row in tests/opsamples for: {', '.join(sorted(missing))}"


@dtype_cases([s for s in SAMPLES if s.numpy is not None])
def test_value_against_numpy(sample, dtype):
    arrays = sample.arrays(dtype)
    found = outputs(run(sample, [wrap(a.copy()) for a in arrays]))
    with np.errstate(all="ignore"):
        # The reference is computed in more precision than the operation under test.
        wide = {np.float16: np.float64, np.float32: np.float64, np.complex64: np.complex128}
        exact = [
            a if sample.is_fixed(i) else a.astype(wide.get(dtype, dtype))
            for i, a in enumerate(arrays)
        ]
        expected = sample.numpy(exact, **sample.kwargs) if sample.variadic else sample.numpy(
            *exact, **sample.kwargs
        )  # fmt: skip
    for got, want in zip(found, outputs(expected), strict=True):
        assert isinstance(got, Tensor)
        assert got.shape == np.shape(want)
        assert type(got._data) is np.ndarray
        np.testing.assert_allclose(
            got._data, np.asarray(want).astype(got.dtype), **tolerance(got.dtype, sample)
        )
        if np.dtype(dtype).kind in "fc" and got.dtype.kind in "fc":
            assert got.dtype.itemsize in (np.dtype(dtype).itemsize, np.dtype(dtype).itemsize // 2)


def torch_function(torch: Any, sample: Sample) -> Any:
    if callable(sample.torch):
        return sample.torch
    return functools.reduce(getattr, sample.torch.split("."), torch)


@pytest.mark.torch
@dtype_cases([s for s in SAMPLES if s.torch is not None])
def test_value_dtype_and_gradient_against_torch(torch, sample, dtype):
    arrays = sample.arrays(dtype)
    theirs = [torch.from_numpy(a.copy()) for a in arrays]
    ours = [wrap(a.copy()) for a in arrays]
    differentiate = sample.grad and np.dtype(dtype).kind in "fc" and dtype is not np.float16
    if differentiate:
        for x, t in zip(ours, theirs, strict=True):
            if x.dtype.kind in "fc":
                x.requires_grad_()
                t.requires_grad_()
    function = torch_function(torch, sample)
    try:
        expected = outputs(
            function(theirs, **sample.kwargs)
            if sample.variadic
            else function(*theirs, **sample.kwargs)
        )
    except (RuntimeError, NotImplementedError) as error:
        if "not implemented for" in str(error):
            pytest.skip(str(error))
        raise
    found = outputs(run(sample, ours))
    limits = tolerance(dtype if np.dtype(dtype).kind in "fc" else np.float32, sample)
    for got, want in zip(found, expected, strict=True):
        assert tuple(got.shape) == tuple(want.shape)
        assert str(got.dtype) == str(want.dtype).removeprefix("torch.")
        np.testing.assert_allclose(
            got._data, want.detach().resolve_conj().resolve_neg().numpy(), **limits
        )
    if not differentiate:
        return
    rng = np.random.default_rng(1)
    pairs = [(g, w) for g, w in zip(found, expected, strict=True) if w.requires_grad]
    assert [g.requires_grad for g in found] == [w.requires_grad for w in expected]
    gradients = [np.asarray(rng.standard_normal(g.shape)).astype(g.dtype) for g, _ in pairs]
    lucid.autograd.backward([g for g, _ in pairs], [wrap(g) for g in gradients])
    torch.autograd.backward([w for _, w in pairs], [torch.from_numpy(g) for g in gradients])
    limits = {k: 8 * v for k, v in limits.items()}
    for x, t in zip(ours, theirs, strict=True):
        if t.requires_grad and t.grad is not None:
            assert x.grad is not None
            np.testing.assert_allclose(x.grad._data, t.grad.resolve_conj().numpy(), **limits)
        elif x.grad is not None:
            assert not x.grad._data.any()


def layouts(a: np.ndarray) -> dict[str, np.ndarray]:
    """The same values in other memory: Fortran order, strided, reversed, offset, read-only."""
    if a.ndim == 0:
        frozen = a.copy()
        frozen.flags.writeable = False
        return {"read-only": frozen}
    spaced = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    spaced[tuple(slice(None, None, 2) for _ in a.shape)] = a
    reversed_ = np.ascontiguousarray(a[tuple(slice(None, None, -1) for _ in a.shape)])
    frozen = a.copy()
    frozen.flags.writeable = False
    unaligned = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    unaligned[...] = a
    return {
        "fortran": np.asfortranarray(a),
        "strided": spaced[tuple(slice(None, None, 2) for _ in a.shape)],
        "reversed": reversed_[tuple(slice(None, None, -1) for _ in a.shape)],
        "read-only": frozen,
        "unaligned": unaligned,
    }


@rows([s for s in SAMPLES if s.layouts])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts_give_the_same_and_inputs_stay_untouched(sample, dtype):
    arrays = sample.arrays(dtype if sample.dtypes[0] in "fdc" else DTYPES[sample.dtypes[0]][0])
    plain = [wrap(a.copy()) for a in arrays]
    differentiate = sample.grad and arrays[0].dtype.kind in "fc"

    def result_and_gradients(tensors):
        if differentiate:
            for x in tensors:
                x._requires_grad = x.dtype.kind in "fc"
        found = outputs(run(sample, tensors))
        ends = [x for x in found if x.requires_grad]
        if ends:
            lucid.autograd.backward(ends, [wrap(np.ones(x.shape, x.dtype)) for x in ends])
        return [x._data for x in found], [None if x.grad is None else x.grad._data for x in tensors]

    expected, gradients = result_and_gradients(plain)
    variants = [layouts(a) for a in arrays]
    limits = tolerance(dtype, sample)
    for kind in set().union(*variants):
        inputs = [v.get(kind, a.copy()) for v, a in zip(variants, arrays, strict=True)]
        copies = [a.copy() for a in inputs]
        found, found_gradients = result_and_gradients([wrap(a) for a in inputs])
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, want, err_msg=kind, **limits)
        for got, want in zip(found_gradients, gradients, strict=True):
            if want is not None:
                np.testing.assert_allclose(got, want, err_msg=kind, **limits)
        for before, after in zip(copies, inputs, strict=True):
            np.testing.assert_array_equal(before, after, err_msg=kind)


def smooth_inputs(sample: Sample) -> tuple[Any, list[Tensor]]:
    """The call as a function of its floating-point inputs alone, and those inputs in float64."""
    kind = np.complex128 if sample.dtypes == "c" else np.float64
    tensors = [wrap(a) for a in sample.arrays(kind, seed=2)]
    moving = [i for i, x in enumerate(tensors) if x.dtype.kind in "fc"]

    def function(*free):
        full = list(tensors)
        for i, x in zip(moving, free, strict=True):
            full[i] = x
        return tuple(
            x for x in outputs(run(sample, full)) if x.dtype.kind in "fc" and x.requires_grad
        )

    return function, [tensors[i].requires_grad_() for i in moving]


@rows(DIFFERENTIABLE)
def test_first_order_gradient(sample):
    function, inputs = smooth_inputs(sample)
    assert lucid.autograd.gradcheck(function, inputs)


@rows([s for s in DIFFERENTIABLE if s.second])
def test_second_order_gradient(sample):
    function, inputs = smooth_inputs(sample)
    assert lucid.autograd.gradgradcheck(function, inputs)


@rows([s for s in DIFFERENTIABLE if len(s.inputs) > 1])
def test_each_input_alone_gets_the_same_gradient(sample):
    arrays = sample.arrays(np.float64)
    together = [wrap(a.copy()) for a in arrays]
    moving = [i for i, x in enumerate(together) if x.dtype.kind in "fc"]

    def gradients(tensors, which):
        for i in which:
            tensors[i].requires_grad_()
        ends = [x for x in outputs(run(sample, tensors)) if x.requires_grad]
        lucid.autograd.backward(ends, [wrap(np.ones(x.shape, x.dtype)) for x in ends])
        return [None if x.grad is None else x.grad._data for x in tensors]

    expected = gradients(together, moving)
    for i in moving:
        found = gradients([wrap(a.copy()) for a in arrays], [i])
        if expected[i] is not None:
            np.testing.assert_allclose(found[i], expected[i], rtol=1e-13, atol=1e-13)
        assert all(g is None for j, g in enumerate(found) if j != i)
