"""Every schedule against PyTorch, and against its closed form."""

import math
import pickle

import numpy as np
import pytest

from lucid import Tensor, optim
from lucid.optim import lr_scheduler as schedules

# name, how to make it from (module, optimizer), optimizer
CASES = {
    "StepLR": lambda s, o: s.StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=4),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.9, total_iters=7),
    "LinearLR-default": lambda s, o: s.LinearLR(o),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=9, power=2.0),
    "PolynomialLR-default": lambda s, o: s.PolynomialLR(o),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, T_max=6, eta_min=0.01),
    "CosineAnnealingLR-long": lambda s, o: s.CosineAnnealingLR(o, T_max=40),
    "WarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, eta_min=0.01),
    "WarmRestarts-longer": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda t: 1 / (1 + t)),
    "LambdaLR-groups": lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 + t]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda t: 1 / (1 + t)),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, max_lr=0.5, total_steps=22),
    "OneCycleLR-linear": lambda s, o: s.OneCycleLR(
        o, max_lr=[0.5, 0.7], epochs=11, steps_per_epoch=2, anneal_strategy="linear", pct_start=0.4
    ),
    "OneCycleLR-three-phases": lambda s, o: s.OneCycleLR(
        o, max_lr=0.5, total_steps=22, three_phase=True, div_factor=4.0
    ),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.1, 0.5, step_size_up=3),
    "CyclicLR-2": lambda s, o: s.CyclicLR(
        o, [0.1, 0.2], [0.5, 0.6], step_size_up=3, step_size_down=5, mode="triangular2"
    ),
    "CyclicLR-exp": lambda s, o: s.CyclicLR(
        o, 0.1, 0.5, step_size_up=3, mode="exp_range", gamma=0.9
    ),
    "CyclicLR-function": lambda s, o: s.CyclicLR(
        o, 0.1, 0.5, step_size_up=3, scale_fn=lambda x: 1 / x, cycle_momentum=False
    ),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingLR(o, 10), s.ExponentialLR(o, 0.9)],
        milestones=[4, 14],
    ),
    "SequentialLR-others": lambda s, o: s.SequentialLR(
        o,
        [s.ConstantLR(o, 0.1, 2), s.PolynomialLR(o, 5), s.CosineAnnealingWarmRestarts(o, 3)],
        milestones=[3, 9],
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9), s.StepLR(o, 4, 0.5)]
    ),
}
RATES = (0.4, 0.8)


def make_optimizer(name="SGD"):
    groups = [{"params": [Tensor([1.0], requires_grad=True)], "lr": lr} for lr in RATES]
    return optim.SGD(groups, momentum=0.9) if name == "SGD" else optim.Adam(groups)


def run(optimizer, scheduler, steps=20):
    """Rates and momenta of the groups, at the beginning and after each step."""
    out = []
    for _ in range(steps):
        groups = optimizer.param_groups
        momenta = [g["betas"][0] if "betas" in g else g["momentum"] for g in groups]
        assert scheduler.get_last_lr() == [g["lr"] for g in groups]
        out.append([g["lr"] for g in groups] + momenta)
        optimizer.step()
        scheduler.step()
    return np.array(out)


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_same_as_torch(torch, case, name):
    ours = make_optimizer(name)
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in RATES]
    options = {"momentum": 0.9} if name == "SGD" else {}
    theirs = getattr(torch.optim, name)(groups, **options)
    make = CASES[case]
    np.testing.assert_allclose(
        run(ours, make(schedules, ours)),
        run(theirs, make(torch.optim.lr_scheduler, theirs)),
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.torch
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "cooldown": 2, "factor": 0.5, "min_lr": [0.1, 0.05]},
        {"mode": "max", "patience": 0, "threshold": 0.1, "threshold_mode": "abs"},
        {"mode": "max", "patience": 1, "threshold": 0.5},
        {"patience": 1, "threshold": 0.3, "threshold_mode": "abs", "min_lr": 0.2, "eps": 0.3},
    ],
)
def test_plateau_same_as_torch(torch, rng, options):
    ours = make_optimizer()
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in RATES]
    theirs = torch.optim.SGD(groups)
    a = schedules.ReduceLROnPlateau(ours, **options)
    b = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for value in rng.uniform(0.5, 2, size=40):
        a.step(value)
        b.step(value)
        assert a.get_last_lr() == pytest.approx(b.get_last_lr(), rel=1e-14)
        assert a.in_cooldown == b.in_cooldown
        assert a.best == b.best


# The closed forms: (t, rate of the optimizer) -> rate.
CLOSED = {
    "StepLR": lambda t, lr: lr * 0.5 ** (t // 3),
    "MultiStepLR": lambda t, lr: lr * 0.3 ** ((t >= 2) + 2 * (t >= 5) + (t >= 9)),
    "ConstantLR": lambda t, lr: lr * (0.25 if t < 4 else 1),
    "LinearLR": lambda t, lr: lr * (0.1 + 0.8 * min(t, 7) / 7),
    "ExponentialLR": lambda t, lr: lr * 0.9**t,
    "PolynomialLR": lambda t, lr: lr * (1 - min(t, 9) / 9) ** 2,
    "CosineAnnealingLR": lambda t, lr: 0.01 + (lr - 0.01) * (1 + math.cos(math.pi * t / 6)) / 2,
    "WarmRestarts": lambda t, lr: 0.01 + (lr - 0.01) * (1 + math.cos(math.pi * (t % 4) / 4)) / 2,
    "LambdaLR": lambda t, lr: lr / (1 + t),
    "MultiplicativeLR": lambda t, lr: lr / math.factorial(t + 1),
    "CyclicLR": lambda t, lr: 0.1 + 0.4 * (1 - abs(t % 6 / 3 - 1)),
    "ChainedScheduler": lambda t, lr: lr * (0.1 if t < 5 else 1) * 0.9**t * 0.5 ** (t // 4),
}


@pytest.mark.parametrize("case", CLOSED)
def test_closed_form(case):
    optimizer = make_optimizer()
    found = run(optimizer, CASES[case](schedules, optimizer))[:, :2]
    expected = [[CLOSED[case](t, lr) for lr in RATES] for t in range(20)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_one_cycle_reaches_its_peak_and_its_end():
    optimizer = make_optimizer()
    scheduler = schedules.OneCycleLR(optimizer, max_lr=1.0, total_steps=11, pct_start=0.3)
    found = run(optimizer, scheduler, 11)
    assert found[0, 0] == pytest.approx(1 / 25)
    assert found[:, 0].max() == pytest.approx(1.0, rel=0.05)
    assert found[-1, 0] == pytest.approx(1 / 25 / 1e4)
    assert found[0, 2] == 0.95
    assert found[-1, 2] == pytest.approx(0.95)
    with pytest.raises(ValueError, match="OneCycleLR: the schedule has 11 steps; this is step 12"):
        scheduler.step()


def test_warm_restarts_go_to_any_epoch():
    optimizer = make_optimizer()
    scheduler = schedules.CosineAnnealingWarmRestarts(optimizer, 2, T_mult=2)
    for epoch, share in [(0.5, 0.25), (1, 0.5), (2, 0.0), (4, 0.5), (6, 0.0), (10, 0.5), (3, 0.25)]:
        scheduler.step(epoch)
        assert scheduler.last_epoch == math.floor(epoch)
        expected = RATES[0] * (1 + math.cos(math.pi * share)) / 2
        assert scheduler.get_last_lr()[0] == pytest.approx(expected)
    optimizer.step()
    scheduler.step()
    assert scheduler.last_epoch == 4
    with pytest.raises(ValueError, match="epoch must be a number of at least 0; got -1"):
        scheduler.step(-1)


@pytest.mark.parametrize("case", CASES)
def test_state_dict_goes_on(case):
    optimizer = make_optimizer()
    scheduler = CASES[case](schedules, optimizer)
    run(optimizer, scheduler, 5)
    saved, options = pickle.loads(pickle.dumps((scheduler.state_dict(), optimizer.state_dict())))
    resumed_optimizer = make_optimizer()
    resumed = CASES[case](schedules, resumed_optimizer)
    resumed_optimizer.load_state_dict(options)
    resumed.load_state_dict(saved)
    assert resumed.get_last_lr() == scheduler.get_last_lr()
    np.testing.assert_array_equal(
        run(resumed_optimizer, resumed, 15), run(optimizer, scheduler, 15)
    )


def test_state_of_a_plateau_goes_on():
    optimizers = [make_optimizer(), make_optimizer()]
    first, second = (schedules.ReduceLROnPlateau(o, patience=2) for o in optimizers)
    for value in (1.0, 2.0, 2.0):
        first.step(value)
    second.load_state_dict(first.state_dict())
    for scheduler in (first, second):
        scheduler.step(2.0)
        assert scheduler.get_last_lr() == pytest.approx([0.04, 0.08])


class Decay:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, t):
        return self.rate**t


def test_state_of_a_callable_object_is_kept():
    optimizer = make_optimizer()
    saved = schedules.LambdaLR(optimizer, [Decay(0.5), lambda t: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"rate": 0.5}, None]
    other = schedules.LambdaLR(optimizer, [Decay(0.9), lambda t: 1.0])
    other.load_state_dict(saved)
    assert other.lr_lambdas[0].rate == 0.5


@pytest.mark.parametrize("case", ["ExponentialLR", "CosineAnnealingLR", "LambdaLR", "LinearLR"])
def test_last_epoch_goes_on_with_the_rates_of_the_optimizer(case):
    make = {
        "ExponentialLR": lambda o, **k: schedules.ExponentialLR(o, 0.9, **k),
        "CosineAnnealingLR": lambda o, **k: schedules.CosineAnnealingLR(o, 12, **k),
        "LambdaLR": lambda o, **k: schedules.LambdaLR(o, lambda t: 1 / (1 + t), **k),
        "LinearLR": lambda o, **k: schedules.LinearLR(o, 0.1, total_iters=12, **k),
    }[case]
    optimizer = make_optimizer()
    scheduler = make(optimizer)
    run(optimizer, scheduler, 5)
    other = make_optimizer()
    other.load_state_dict(optimizer.state_dict())
    resumed = make(other, last_epoch=scheduler.last_epoch - 1)
    assert resumed.last_epoch == scheduler.last_epoch
    np.testing.assert_allclose(run(other, resumed, 5), run(optimizer, scheduler, 5), rtol=1e-12)
    with pytest.raises(KeyError, match=r"param_groups\[0\] must have an 'initial_lr'"):
        make(make_optimizer(), last_epoch=3)


def test_step_before_the_optimizer_warns():
    optimizer = make_optimizer()
    scheduler = schedules.ExponentialLR(optimizer, 0.5)
    with pytest.warns(UserWarning, match="scheduler.step.. was called before optimizer.step"):
        scheduler.step()


def test_a_schedule_of_ones_own():
    class Halving(schedules.LRScheduler):
        def get_lr(self):
            return [lr * 0.5**self.last_epoch for lr in self.base_lrs]

    optimizer = make_optimizer()
    assert run(optimizer, Halving(optimizer), 3)[:, 0].tolist() == [0.4, 0.2, 0.1]
    with pytest.raises(NotImplementedError, match="get_lr"):
        schedules.LRScheduler(optimizer)


def test_nested_sequences():
    def make(o):
        chain = schedules.ChainedScheduler(
            [schedules.ExponentialLR(o, 0.5), schedules.ConstantLR(o, 0.1, 2)]
        )
        return schedules.SequentialLR(o, [schedules.StepLR(o, 2, 0.5), chain], milestones=[3])

    optimizer = make_optimizer()
    found = run(optimizer, make(optimizer), 7)[:, 0] / RATES[0]
    np.testing.assert_allclose(found, [1, 1, 0.5, 0.1, 0.05, 0.25, 0.125])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda o: schedules.StepLR(None, 3),
            TypeError,
            "optimizer must be an Optimizer; got None",
        ),
        (lambda o: schedules.StepLR(o, 0), ValueError, "step_size must be an int of at least 1"),
        (lambda o: schedules.StepLR(o, 1.5), ValueError, "got 1.5"),
        (lambda o: schedules.ExponentialLR(o, -1), ValueError, "gamma"),
        (lambda o: schedules.ConstantLR(o, 2), ValueError, "factor must be at most 1; got 2"),
        (lambda o: schedules.ConstantLR(o, 0), ValueError, "factor must be above 0"),
        (lambda o: schedules.LinearLR(o, 0), ValueError, "start_factor must be above 0"),
        (lambda o: schedules.LinearLR(o, 0.5, 1.5), ValueError, "end_factor must be at most 1"),
        (lambda o: schedules.CosineAnnealingLR(o, 0), ValueError, "T_max must be an int"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 must be an int"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 1, 0), ValueError, "T_mult"),
        (lambda o: schedules.LambdaLR(o, 3), TypeError, "must be a function .* got int"),
        (lambda o: schedules.LambdaLR(o, [abs]), ValueError, "must have 2 entries.*; got 1"),
        (lambda o: schedules.OneCycleLR(o, 1.0), ValueError, "either total_steps or both"),
        (lambda o: schedules.OneCycleLR(o, 1.0, 0), ValueError, "total_steps must be an int"),
        (lambda o: schedules.OneCycleLR(o, 1.0, 9, pct_start=2), ValueError, "pct_start"),
        (
            lambda o: schedules.OneCycleLR(o, 1.0, 9, anneal_strategy="exp"),
            ValueError,
            "anneal_strategy must be one of",
        ),
        (lambda o: schedules.CyclicLR(o, 0.1, 1.0, mode="up"), ValueError, "mode must be one of"),
        (lambda o: schedules.CyclicLR(o, [0.1], 1.0), ValueError, "base_lr must have 2 entries"),
        (lambda o: schedules.SequentialLR(o, [], []), ValueError, "at least one; got none"),
        (
            lambda o: schedules.SequentialLR(o, [schedules.StepLR(o, 1)], [3]),
            ValueError,
            "milestones must have 0 entries",
        ),
        (
            lambda o: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(o)]),
            TypeError,
            r"schedulers\[0\] must be a scheduler whose step\(\) takes no metric",
        ),
        (
            lambda o: schedules.ChainedScheduler(
                [schedules.StepLR(o, 1), schedules.StepLR(make_optimizer(), 1)]
            ),
            ValueError,
            r"schedulers\[1\] belongs to another optimizer",
        ),
        (lambda o: schedules.ReduceLROnPlateau(o, factor=1.0), ValueError, "less than 1; got 1.0"),
        (lambda o: schedules.ReduceLROnPlateau(o, mode="up"), ValueError, "mode must be one of"),
        (lambda o: schedules.ReduceLROnPlateau(o, min_lr=[1]), ValueError, "min_lr must have 2"),
    ],
)
def test_bad_arguments(make, error, match):
    optimizer = make_optimizer()
    with pytest.raises(error, match=match):
        make(optimizer)
    assert [g["lr"] for g in optimizer.param_groups] == list(RATES)


def test_momentum_cannot_be_cycled_where_there_is_none():
    optimizer = optim.Adagrad([Tensor([1.0], requires_grad=True)])
    with pytest.raises(ValueError, match="needs an optimizer with momentum or betas; got Adagrad"):
        schedules.CyclicLR(optimizer, 0.1, 1.0)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match="'last_epoch' is missing"):
        schedules.StepLR(make_optimizer(), 1).load_state_dict({"gamma": 1})
