"""The optimizer steps against their equations, written out in NumPy with float64."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lucid._kernels import optimizers, threads

SHAPES = [(5, 7), (33,), (), (0, 3), (1,), (64, 5)]
LR = 0.1


def regularized(p, g, weight_decay, maximize, grad_scale):
    return (-grad_scale if maximize else grad_scale) * g + weight_decay * p


# Each rule: f(p, g, state, t, **options) -> new p, updating `state` (a dict of float64 arrays) and
# taking the gradient with scale, sign and coupled weight decay already applied.


def sgd(p, g, s, t, lr, momentum=0, dampening=0, nesterov=False):
    if not momentum:
        return p - lr * g
    s["buf"] = g if t == 1 else momentum * s["buf"] + (1 - dampening) * g
    return p - lr * (g + momentum * s["buf"] if nesterov else s["buf"])


def adam(p, g, s, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False):
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g**2
    s["vmax"] = np.maximum(s["vmax"], s["v"])
    v = s["vmax"] if amsgrad else s["v"]
    return p - lr * (s["m"] / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


def adamax(p, g, s, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["u"] = np.maximum(beta2 * s["u"], np.abs(g) + eps)
    return p - lr / (1 - beta1**t) * s["m"] / s["u"]


def nadam(p, g, s, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3):
    def mu(t):
        return beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    product = math.prod(mu(k) for k in range(1, t + 1))
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g**2
    ahead = mu(t + 1) * s["m"] / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
    return p - lr * ahead / (np.sqrt(s["v"] / (1 - beta2**t)) + eps)


def radam(p, g, s, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g**2
    m = s["m"] / (1 - beta1**t)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if length <= 5:
        return p - lr * m
    rectification = math.sqrt(
        (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    )
    return p - lr * m * rectification * math.sqrt(1 - beta2**t) / (np.sqrt(s["v"]) + eps)


def rmsprop(p, g, s, t, lr, alpha=0.99, eps=1e-8, momentum=0, centered=False):
    s["v"] = alpha * s["v"] + (1 - alpha) * g**2
    s["mean"] = alpha * s["mean"] + (1 - alpha) * g
    step = g / (np.sqrt(s["v"] - centered * s["mean"] ** 2) + eps)
    s["buf"] = momentum * s["buf"] + step
    return p - lr * s["buf"]


def adagrad(p, g, s, t, lr, lr_decay=0, eps=1e-10):
    s["sum"] = s["sum"] + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)


def adadelta(p, g, s, t, lr, rho=0.9, eps=1e-6):
    s["v"] = rho * s["v"] + (1 - rho) * g**2
    change = np.sqrt(s["moved"] + eps) / np.sqrt(s["v"] + eps) * g
    s["moved"] = rho * s["moved"] + (1 - rho) * change**2
    return p - lr * change


def asgd(p, g, s, t, lr, lambd=1e-4, alpha=0.75, t0=1e6):
    eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
    mu = 1 / max(1, t - 1 - t0)
    p = p * (1 - lambd * eta) - eta * g
    s["ax"] = s["ax"] + mu * (p - s["ax"])
    return p


def rprop(p, g, s, t, etaminus=0.5, etaplus=1.2, step_size_min=1e-6, step_size_max=50):
    agreement = np.sign(g * s["prev"])
    factor = np.choose(agreement.astype(int) + 1, [etaminus, 1, etaplus])
    s["step"] = np.clip(s["step"] * factor, step_size_min, step_size_max)
    s["prev"] = np.where(agreement < 0, 0, g)
    return p - np.sign(s["prev"]) * s["step"]


def lion(p, g, s, t, lr, beta1=0.9, beta2=0.99):
    step = np.sign(beta1 * s["m"] + (1 - beta1) * g)
    s["m"] = beta2 * s["m"] + (1 - beta2) * g
    return p - lr * step


# name, reference, state arrays and scalars in the kernel's order with their initial values
# ("-" leaves a list out), options of the reference alone, further arguments of both
CASES = {
    "sgd": (sgd, {"-": 0}, {}, {}, {"lr": LR}),
    "sgd-momentum": (sgd, {"buf": None}, {}, {}, {"lr": LR, "momentum": 0.9, "dampening": 0.3}),
    "sgd-nesterov": (sgd, {"buf": None}, {}, {}, {"lr": LR, "momentum": 0.9, "nesterov": True}),
    "adam": (adam, {"m": 0, "v": 0, "-": 0}, {"t": 0}, {}, {"lr": LR, "beta2": 0.9}),
    "adam-amsgrad": (
        adam,
        {"m": 0, "v": 0, "vmax": 0},
        {"t": 0},
        {"amsgrad": True},
        {"lr": LR, "beta1": 0.0, "beta2": 0.5},
    ),
    "adamax": (adamax, {"m": 0, "u": 0}, {"t": 0}, {}, {"lr": LR, "beta1": 0.3, "eps": 0.1}),
    "nadam": (nadam, {"m": 0, "v": 0}, {"mu": 1, "t": 0}, {}, {"lr": LR, "momentum_decay": 1}),
    "radam": (radam, {"m": 0, "v": 0}, {"t": 0}, {}, {"lr": LR, "beta2": 0.95}),
    "rmsprop": (rmsprop, {"v": 0, "-": 0, "--": 0}, {"t": 0}, {}, {"lr": LR, "eps": 0.1}),
    "rmsprop-centered": (
        rmsprop,
        {"v": 0, "mean": 0, "-": 0},
        {"t": 0},
        {"centered": True},
        {"lr": LR, "alpha": 0.8},
    ),
    "rmsprop-momentum": (
        rmsprop,
        {"v": 0, "-": 0, "buf": 0},
        {"t": 0},
        {},
        {"lr": LR, "momentum": 0.9},
    ),
    "rmsprop-both": (
        rmsprop,
        {"v": 0, "mean": 0, "buf": 0},
        {"t": 0},
        {"centered": True},
        {"lr": LR, "momentum": 0.5},
    ),
    "adagrad": (adagrad, {"sum": 0.5}, {"t": 0}, {}, {"lr": LR, "lr_decay": 0.1}),
    "adadelta": (adadelta, {"v": 0, "moved": 0}, {"t": 0}, {}, {"lr": 1.0, "rho": 0.7}),
    "asgd": (asgd, {"ax": 0}, {"eta": LR, "mu": 1, "t": 0}, {}, {"lr": LR, "lambd": 0.1, "t0": 3}),
    "rprop": (rprop, {"prev": 0, "step": LR}, {"t": 0}, {}, {"etaplus": 1.3}),
    "lion": (lion, {"m": 0}, {}, {}, {"lr": LR, "beta1": 0.8}),
}
COUPLED = [name for name in CASES if name.split("-")[0] not in ("rprop", "lion")]
DECOUPLED = ["adam", "adam-amsgrad", "nadam", "radam", "lion"]


def make_state(case, params, scalar_dtype=np.float64):
    """The lists a kernel takes after `params` and `grads`."""
    _, arrays, scalars, _, _ = CASES[case]

    def full(p, v):  # of a complex state, both parts start as v
        return np.full(p.shape, complex(v, v) if p.dtype.kind == "c" else v, p.dtype)

    lists = [
        None if name.startswith("-") else [None if v is None else full(p, v) for p in params]
        for name, v in arrays.items()
    ]
    return lists + [[np.full((), v, scalar_dtype) for _ in params] for v in scalars.values()]


def step(case, params, grads, state, **options):
    kernel = getattr(optimizers, case.split("-")[0])
    kernel(params, grads, *state, **CASES[case][4], **options)


def random_arrays(rng, dtype, shapes=SHAPES):
    def one(shape):
        x = rng.standard_normal(shape)
        return x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x

    return [np.array(one(shape), dtype) for shape in shapes]


def pairs(x):
    """A complex array as the float64 pairs that it is updated as."""
    x = np.asarray(x)
    return np.stack([x.real, x.imag]).astype(float) if x.dtype.kind == "c" else x.astype(float)


def compare(case, dtype, tolerance, layout=lambda x: x, steps=8, **options):
    reference, arrays, _, extra, arguments = CASES[case]
    options = {"weight_decay": 0.0, "maximize": False, "grad_scale": 1.0, **options}
    decoupled = options.get("decoupled", False) or case == "lion"
    if case == "rprop":
        del options["weight_decay"]
    rng = np.random.default_rng(7)
    params = [layout(p) for p in random_arrays(rng, dtype)]
    expected = [pairs(p) for p in params]
    states = [
        {name: np.full(p.shape, v or 0.0) for name, v in arrays.items()}
        | {
            name: np.zeros(p.shape)
            for name in ("m", "v", "vmax", "mean", "buf")
            if name not in arrays
        }
        for p in expected
    ]
    kernel_state = make_state(case, params)
    for t in range(1, steps + 1):
        grads = [layout(g) for g in random_arrays(rng, dtype)]
        before = [g.copy() for g in grads]
        step(case, params, grads, kernel_state, **options)
        for i, g in enumerate(grads):
            np.testing.assert_array_equal(g, before[i])
            p = expected[i]
            weight_decay = options.get("weight_decay", 0.0)
            d = regularized(
                p,
                pairs(g),
                0 if decoupled else weight_decay,
                options["maximize"],
                options["grad_scale"],
            )
            if decoupled:
                p = p * (1 - arguments["lr"] * weight_decay)
            expected[i] = reference(p, d, states[i], t, **extra, **arguments)
    for i, (p, e) in enumerate(zip(params, expected, strict=True)):
        np.testing.assert_allclose(pairs(p), e, rtol=tolerance, atol=tolerance, err_msg=str(i))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("f4", 3e-6), ("f8", 1e-13), ("c8", 3e-6), ("c16", 1e-13)],
)
def test_equations(case, dtype, tolerance):
    compare(case, dtype, tolerance)


@pytest.mark.parametrize("case", CASES)
def test_maximize_and_grad_scale(case):
    compare(case, "f8", 1e-13, maximize=True, grad_scale=0.3)


@pytest.mark.parametrize("case", COUPLED)
def test_weight_decay(case):
    compare(case, "f8", 1e-13, weight_decay=0.2)


@pytest.mark.parametrize("case", DECOUPLED)
def test_decoupled_weight_decay(case):
    options = {} if case == "lion" else {"decoupled": True}
    compare(case, "f8", 1e-13, weight_decay=0.2, **options)


@pytest.mark.parametrize("case", CASES)
def test_float16(case):
    compare(case, "f2", 2e-2, steps=3)


def spread(x):
    """The same values with a gap after every element."""
    wide = np.zeros((*x.shape, 2), x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


LAYOUTS = {
    "fortran": lambda x: x.copy(order="F"),
    "strided": spread,
    "reversed": lambda x: x.copy()[::-1] if x.ndim else x,
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_layouts(case, layout):
    compare(case, "f8", 1e-13, layout=LAYOUTS[layout])


def test_other_layouts_give_the_same_bits():
    rng = np.random.default_rng(1)
    plain, grads = random_arrays(rng, "f4"), random_arrays(rng, "f4")
    gaps = [spread(p) for p in plain]
    same_objects = list(gaps)
    plain_state, gaps_state = make_state("adam", plain), make_state("adam", gaps)
    for _ in range(3):
        step("adam", plain, grads, plain_state)
        step("adam", gaps, [g.copy(order="F") for g in grads], gaps_state)
    assert all(a is b for a, b in zip(gaps, same_objects, strict=True))
    for a, b in zip(plain, gaps, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradient_and_state_of_another_precision():
    p32, p64 = np.ones(9, "f4"), np.ones(9, "f8")
    g = np.linspace(-1, 1, 9)
    optimizers.adam([p32], [g], [np.zeros(9)], [np.zeros(9)], None, [np.zeros(())], LR)
    optimizers.adam([p64], [g], [np.zeros(9)], [np.zeros(9)], None, [np.zeros(())], LR)
    np.testing.assert_array_equal(p32, p64.astype("f4"))


def test_dtypes_may_differ_between_parameters():
    rng = np.random.default_rng(2)
    dtypes = ["f4", "f8", "f2", "c8"]
    together = [random_arrays(rng, d, [(4, 5)])[0] for d in dtypes]
    alone = [p.copy() for p in together]
    grads = [random_arrays(rng, d, [(4, 5)])[0] for d in dtypes]
    step("adam", together, grads, make_state("adam", together))
    for p, g in zip(alone, grads, strict=True):
        step("adam", [p], [g], make_state("adam", [p]))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", CASES)
def test_read_only_gradients_and_no_parameters(case):
    params = [np.ones(3, "f4"), np.ones(3, "f2")]
    grads = [np.ones(3, "f4"), np.ones(3, "f2")]
    for g in grads:
        g.flags.writeable = False
    step(case, params, grads, make_state(case, params))
    assert all(np.all(p != 1) for p in params)
    step(case, [], [], make_state(case, []))


@pytest.mark.parametrize("scalar_dtype", ["f4", "f8"])
def test_steps_are_counted_for_each_parameter(scalar_dtype):
    params = [np.ones(3), np.ones(3)]
    state = make_state("adam", params, scalar_dtype=scalar_dtype)
    state[-1][1][...] = 4
    step("adam", params, [np.ones(3), np.ones(3)], state)
    assert [float(t) for t in state[-1]] == [1, 5]
    late = adam(1.0, 1.0, {"m": 0.0, "v": 0.0, "vmax": 0.0}, 5, LR, beta2=0.9)
    np.testing.assert_allclose(params[1], late, rtol=1e-14)


def test_momentum_starts_as_the_gradient_where_a_buffer_is_missing():
    params = [np.zeros(3), np.zeros(3)]
    grads = [np.ones(3), np.ones(3)]
    buffers = [None, np.full(3, 10.0)]
    kept = buffers[1]
    optimizers.sgd(params, grads, buffers, LR, 0.9, dampening=0.5)
    np.testing.assert_array_equal(buffers[0], 1.0)
    np.testing.assert_array_equal(buffers[1], 9.5)
    assert buffers[1] is kept


@pytest.mark.parametrize("case", CASES)
def test_grad_scale_is_a_gradient_scaled_beforehand_to_the_bit(case):
    rng = np.random.default_rng(3)
    a = random_arrays(rng, "f4")
    b = [p.copy() for p in a]
    state_a, state_b = make_state(case, a), make_state(case, b)
    for _ in range(3):
        grads = random_arrays(rng, "f4")
        step(case, a, grads, state_a, grad_scale=0.37)
        step(case, b, [np.asarray(g * np.float32(0.37)) for g in grads], state_b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("case", CASES)
def test_nan_stays_where_it_is(case):
    params, state_params = [np.ones(40, "f4")], [np.ones(40, "f4")]
    state = make_state(case, params)
    other = make_state(case, state_params)
    for t in range(3):
        g = np.linspace(1, 2, 40, dtype="f4")
        step(case, state_params, [g.copy()], other)
        g[17] = np.nan if t == 1 else g[17]
        step(case, params, [g], state)
    assert np.isnan(params[0][17])
    others = np.arange(40) != 17
    np.testing.assert_array_equal(params[0][others], state_params[0][others])


def test_infinite_parameter_without_weight_decay_spoils_no_state():
    params, m, v = [np.array([np.inf, 1.0])], [np.zeros(2)], [np.zeros(2)]
    optimizers.adam(params, [np.ones(2)], m, v, None, [np.zeros(())], LR)
    assert params[0][0] == np.inf
    assert np.isfinite(m[0]).all()


def test_variance_that_rounding_makes_negative_counts_as_zero():
    p, v, mean = [np.zeros(1)], [np.full(1, 0.99)], [np.ones(1)]
    optimizers.rmsprop(p, [np.ones(1)], v, mean, None, [np.zeros(())], 0.5, eps=2.0)
    assert p[0] == -0.25


@pytest.mark.parametrize("case", CASES)
def test_bits_do_not_depend_on_threads_or_cuts(case):
    size = 3 * (1 << 15) + 77
    rng = np.random.default_rng(4)
    start, grad = rng.standard_normal((2, size), dtype="f4")
    before = threads.get_num_threads()

    def run(n, cuts):
        threads.set_num_threads(n)
        params = [np.array(x) for x in np.split(start, cuts)]
        grads = np.split(grad, cuts)
        state = make_state(case, params)
        for _ in range(2):
            step(case, params, grads, state)
        return np.concatenate(params)

    try:
        whole = run(1, [])
        np.testing.assert_array_equal(whole, run(2, []))
        np.testing.assert_array_equal(whole, run(4, [5, 5, 1000, 40000, size - 1]))
    finally:
        threads.set_num_threads(before)


def test_levels_agree():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_optimizers as t\n"
        "for case in t.CASES: t.compare(case, 'f4', 3e-6); t.compare(case, 'f8', 1e-13)\n"
    )
    for level in ("baseline", "avx2", "avx512"):
        environment = {**os.environ, "LUCID_SIMD": level}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def assert_refused(error, match, params, grads, *state, kernel=optimizers.adam):
    arrays = [
        x for part in (params, grads, *state) if part for x in part if isinstance(x, np.ndarray)
    ]
    before = [x.copy() for x in arrays]
    with pytest.raises(error, match=match):
        kernel(params, grads, *state, LR)
    for x, y in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, y)


def frozen(x):
    x.flags.writeable = False
    return x


BAD = {
    "not an array": (lambda: [1.0, 2.0], TypeError, "must be an ndarray; got list"),
    "shape": (lambda: np.ones(4), ValueError, r"shape of params\[1\], \(3,\); got \(4,\)"),
    "ndim": (lambda: np.ones((3, 1)), ValueError, r"got \(3, 1\)"),
    "int": (lambda: np.ones(3, int), TypeError, "must have dtype float16, .*; got int64"),
    "complex": (lambda: np.ones(3, complex), TypeError, "real or complex .* got complex128"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", [1, 2, 3, 4])
def test_bad_entries_name_their_position_and_change_nothing(bad, place):
    make, error, match = BAD[bad]
    lists = [[np.ones(3), np.ones(3)] for _ in range(5)]
    lists[place][1] = make()
    role = ["params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs"][place]
    steps = [np.zeros(()), np.zeros(())]
    assert_refused(error, rf"^adam: {role}\[1\].*{match}", *lists, steps)


@pytest.mark.parametrize("place", [0, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_read_only_entries_are_refused(place, dtype):
    lists = [[np.ones(3, dtype), np.ones(3, dtype)] for _ in range(5)]
    frozen(lists[place][1])
    assert_refused(ValueError, r"\[1\] is read-only", *lists, [np.zeros(()), np.zeros(())])


@pytest.mark.parametrize("bad", [3, np.zeros(1), np.zeros((), int), frozen(np.zeros(()))])
def test_bad_scalars_are_refused(bad):
    lists = [[np.ones(3), np.ones(3)] for _ in range(4)]
    assert_refused(
        TypeError, r"^adam: steps\[1\] must be a writable 0-d", *lists, None, [np.zeros(()), bad]
    )


@pytest.mark.parametrize("param", [3.0, np.ones(3, int), np.ones(3, object)])
def test_bad_parameters_are_refused(param):
    params = [np.ones(3), param]
    grads = [np.ones(3), np.ones(3)]
    assert_refused(TypeError, r"^sgd: params\[1\]", params, grads, None, kernel=optimizers.sgd)
    buffers = [None, None]
    assert_refused(TypeError, r"^sgd: params\[1\]", params, grads, buffers, kernel=optimizers.sgd)
    assert buffers == [None, None]


def test_lists_of_another_length_are_refused():
    two, three = [np.ones(3)] * 2, [np.ones(3)] * 3
    for kernel, lists in [
        (optimizers.sgd, [two, three, None]),
        (optimizers.sgd, [two, two, [None] * 3]),
        (optimizers.lion, [two, two, three]),
    ]:
        assert_refused(ValueError, "must have 2 entries, one for each of params; got 3", *lists,
                       kernel=kernel)  # fmt: skip
    with pytest.raises(TypeError, match="list"):
        optimizers.sgd(tuple(two), two, None, LR)
