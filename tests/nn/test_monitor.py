"""GradientMonitor: what it records and shows, the memory it needs, the spikes it finds."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import tracemalloc
import types

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.errors import MissingExtraError
from lucid.nn.utils import GradientMonitor, _curves, get_total_norm


def make_model():
    lucid.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def backward(model, factor=1.0):
    model.zero_grad()
    loss = (factor * model(lucid.randn(5, 3))).square().mean()
    loss.backward()
    return loss


class Fake:
    """Two modules with one gradient element each, set to any norm."""

    def __init__(self, names=("a.w", "b.w")):
        self.pairs = []
        for name in names:
            w = lucid.zeros(1, dtype=lucid.float64, requires_grad=True)
            w.grad = lucid.zeros(1, dtype=lucid.float64)
            self.pairs.append((name, w))

    def set(self, *norms):
        for (_, w), norm in zip(self.pairs, norms, strict=True):
            w.grad.numpy()[0] = norm


# -------------------------------------------------------------------- recording


def test_measuring_changes_nothing():
    model = make_model()
    backward(model)
    before = [p.grad.numpy().copy() for p in model.parameters()]
    monitor = GradientMonitor(model)
    norm = monitor.record()
    assert norm.dtype == lucid.float64
    assert norm.item() == pytest.approx(get_total_norm(model).item(), rel=1e-14)
    for p, g in zip(model.parameters(), before, strict=True):
        assert (p.grad.numpy() == g).all()
    assert monitor.history["norm"].tolist() == [norm.item()]
    assert monitor.history["coefficient"].tolist() == [1.0]
    assert monitor.clip_frequency == 0


def test_norms_of_modules():
    model = make_model()
    backward(model)
    monitor = GradientMonitor(model)
    monitor.record()
    assert list(monitor.module_norms) == ["0", "2"]
    for name, (norm,) in monitor.module_norms.items():
        assert norm == pytest.approx(get_total_norm(model[int(name)]).item(), rel=1e-14)


def test_clip():
    model = make_model()
    backward(model, 10.0)
    norm = get_total_norm(model).item()
    monitor = GradientMonitor(model, max_norm=0.5)
    assert monitor.clip().item() == norm
    after = get_total_norm(model).item()
    assert after == pytest.approx(0.5, rel=1e-6)
    history = monitor.history
    assert history["norm"].tolist() == [norm]
    assert history["clipped_norm"][0] == pytest.approx(after, rel=1e-6)
    assert history["coefficient"].tolist() == [0.5 / (norm + 1e-7)]
    assert history["max_norm"].tolist() == [0.5]
    assert (monitor.steps, monitor.clipped_steps, monitor.clip_frequency) == (1, 1, 1.0)


def test_clip_without_a_limit_only_measures():
    model = make_model()
    backward(model)
    norm = get_total_norm(model).item()
    monitor = GradientMonitor(model)
    assert monitor.clip().item() == norm
    assert get_total_norm(model).item() == norm


@pytest.mark.parametrize("limit", [None, 0.3])
def test_attached_to_an_optimizer(limit):
    """It records what the optimizer does, and changes no bit of the training."""
    weights = []
    for watched in (False, True):
        model = make_model()
        optimizer = lucid.optim.SGD(model.parameters(), lr=0.1, max_grad_norm=limit)
        monitor = GradientMonitor(model)
        if watched:
            monitor.attach(optimizer)
        norms = []
        lucid.manual_seed(5)
        for _ in range(4):
            backward(model)
            norms.append(get_total_norm(model).item())
            optimizer.step()
        weights.append([p.detach().numpy().copy() for p in model.parameters()])
    for a, b in zip(*weights, strict=True):
        assert (a == b).all()
    np.testing.assert_allclose(monitor.history["norm"], norms, rtol=1e-14)
    clipped = norms if limit is None else np.minimum(norms, limit)
    np.testing.assert_allclose(monitor.history["clipped_norm"], clipped, rtol=1e-6)
    assert ("max_norm" in monitor.history) == (limit is not None)


def test_its_max_norm_is_the_optimizer_s_while_attached():
    model = make_model()
    optimizer = lucid.optim.SGD(model.parameters(), lr=0.1, max_grad_norm=7.0)
    with GradientMonitor(model, max_norm=0.01).attach(optimizer) as monitor:
        assert optimizer.max_grad_norm == 0.01
        before = [p.detach().numpy().copy() for p in model.parameters()]
        backward(model)
        optimizer.step()
        moved = math.dist(
            np.concatenate([x.ravel() for x in before]),
            np.concatenate([p.detach().numpy().ravel() for p in model.parameters()]),
        )
        assert moved == pytest.approx(0.1 * 0.01, rel=1e-3)
        assert monitor.clipped_steps == 1
    assert optimizer.max_grad_norm == 7.0
    backward(model)
    optimizer.step()
    assert monitor.steps == 1


def test_closures_and_grad_scale():
    model = make_model()
    optimizer = lucid.optim.SGD(model.parameters(), lr=0.1)
    monitor = GradientMonitor(model).attach(optimizer)
    optimizer.step(lambda: backward(model))  # there is no gradient before the step
    norm = get_total_norm(model).item()
    optimizer.step(grad_scale=0.25)
    np.testing.assert_allclose(monitor.history["norm"], [norm, norm / 4], rtol=1e-14)


def test_parameters_that_come_later():
    model = make_model()
    backward(model)
    monitor = GradientMonitor(model)
    monitor.record()
    model.append(nn.Linear(2, 2))
    backward(model)
    monitor.record()
    assert list(monitor.module_norms) == ["0", "2", "3"]
    first, second = monitor.module_norms["3"]
    assert math.isnan(first)
    assert second > 0


def test_module_norms_beyond_the_squares_of_float64():
    fake = Fake(("m.a", "m.b"))
    fake.set(3e200, 4e200)
    monitor = GradientMonitor(fake.pairs)
    assert monitor.record().item() == pytest.approx(5e200, rel=1e-14)
    assert monitor.module_norms["m"][0] == pytest.approx(5e200, rel=1e-14)


def test_a_parameter_that_is_given_twice_counts_once():
    fake = Fake()
    fake.set(3.0, 4.0)
    assert GradientMonitor(fake.pairs + fake.pairs).record().item() == 5.0
    monitor = GradientMonitor(tensor for _, tensor in fake.pairs)
    assert monitor.record().item() == 5.0
    assert list(monitor.module_norms) == ["parameters[0]", "parameters[1]"]


@pytest.mark.parametrize("before", [True, False])
def test_the_loss_belongs_to_its_step(before):
    fake = Fake()
    monitor = GradientMonitor(fake.pairs)
    for i in range(5):
        fake.set(i + 1, 0)
        if before:
            monitor.log(loss=lucid.tensor(float(i)))
        monitor.record()
        if not before:
            monitor.log(loss=i)
    assert monitor.history["norm"].tolist() == [1, 2, 3, 4, 5]
    assert monitor.history["loss"].tolist() == [0, 1, 2, 3, 4]


def test_a_value_that_is_logged_late():
    fake = Fake()
    monitor = GradientMonitor(fake.pairs)
    monitor.record()
    monitor.record()
    monitor.log(accuracy=0.5)
    first, second = monitor.history["accuracy"]
    assert math.isnan(first)
    assert second == 0.5


def test_clip_frequency_is_that_of_the_window():
    fake = Fake()
    monitor = GradientMonitor(fake.pairs, max_norm=1.0, window=10)
    for norm in [5.0] * 10 + [0.5] * 7 + [2.0] * 3:
        fake.set(norm, 0)
        monitor.clip()
    assert monitor.clip_frequency == 0.3
    assert monitor.clipped_steps == 13


@pytest.mark.parametrize(
    ("policy", "after"), [("skip", math.nan), ("zero", 0.0), ("propagate", math.nan)]
)
def test_clip_with_nonfinite_gradients(policy, after):
    fake = Fake()
    fake.set(math.nan, 1.0)
    monitor = GradientMonitor(fake.pairs, max_norm=0.5)
    monitor.clip(nonfinite=policy)
    np.testing.assert_equal(monitor.history["clipped_norm"], [after])
    other = fake.pairs[1][1].grad.item()
    np.testing.assert_equal(other, {"skip": 1.0, "zero": 0.0, "propagate": math.nan}[policy])
    fake.set(math.nan, 1.0)
    with pytest.warns(UserWarning, match=r"a\.w"):
        monitor.clip()


def test_wrong_arguments():
    model = make_model()
    for wrong in ({"max_norm": -1.0}, {"capacity": 1}, {"window": 1.5}, {"threshold": -1}):
        with pytest.raises(ValueError, match="GradientMonitor: " + next(iter(wrong))):
            GradientMonitor(model, **wrong)
    with pytest.raises(TypeError, match=r"GradientMonitor: parameters\[0\] must be a Tensor"):
        GradientMonitor([1])
    monitor = GradientMonitor(model)
    with pytest.raises(TypeError, match=r"GradientMonitor\.log: loss must be a number"):
        monitor.log(loss="high")
    with pytest.raises(ValueError, match=r"GradientMonitor\.log: norm is recorded by"):
        monitor.log(norm=1.0)
    with pytest.raises(TypeError, match=r"GradientMonitor\.attach: optimizer must be"):
        monitor.attach(model)
    with pytest.raises(TypeError, match="to_tensorboard: writer must have a method add_scalar"):
        monitor.to_tensorboard("runs")
    with pytest.raises(ValueError, match="no step was recorded"):
        monitor.plot()


# -------------------------------------------------------------------- memory


@pytest.mark.parametrize("capacity", [2, 7, 16])
def test_what_is_kept_covers_the_run_evenly(capacity):
    fake = Fake()
    monitor = GradientMonitor(fake.pairs, capacity=capacity)
    for i in range(1000):
        fake.set(i, 0)
        monitor.log(loss=2 * i)
        monitor.record()
        steps = monitor.history["step"]
        assert len(steps) <= capacity
        assert len(steps) > capacity // 2 or i < capacity
        assert len(set(np.diff(steps))) <= 1
        assert steps[0] == 0
        assert len(steps) < 2 or steps[-1] + np.diff(steps)[0] > i  # up to the last step
    assert (monitor.history["norm"] == steps).all()
    assert (monitor.history["loss"] == 2 * steps).all()
    assert (monitor.module_norms["a"] == steps).all()


def test_memory_is_bounded():
    """100,000 steps; spikes among them, which are recorded too."""
    fake = Fake()
    monitor = GradientMonitor(fake.pairs, max_norm=1.0, capacity=256)

    def run(steps):
        for i in range(steps):
            fake.set(1.0, 1000.0 if i % 50 == 49 else 1.0)
            modules = monitor._module_norms()
            monitor._record_clipped(float(modules.max()), 1.0, modules)
            monitor.log(loss=1.0)

    tracemalloc.start()
    try:
        run(2000)
        before = tracemalloc.get_traced_memory()[0]
        run(1000)
        tracemalloc.stop()  # it takes most of the time
        run(96_000)
        tracemalloc.start()
    finally:
        tracemalloc.stop()
    assert before < 300_000
    assert monitor.steps == 99_000
    assert len(monitor.history["step"]) <= 256
    assert monitor._table.values.nbytes <= 256 * 16 * 8
    assert len(monitor.spikes) == 1000
    assert len(monitor._due) == 100


# -------------------------------------------------------------------- spikes


def steady(rng, steps, spread):
    return np.exp(spread * rng.standard_normal(steps))


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.1, 1.0])
def test_no_false_alarms(rng, spread):
    """Steady noise, with a slow trend in it, has no spikes."""
    steps = 3000
    trend = np.exp(np.linspace(0, 3, steps))
    fake = Fake()
    monitor = GradientMonitor(fake.pairs)
    for a, b in zip(trend * steady(rng, steps, spread), steady(rng, steps, spread), strict=True):
        fake.set(a, b)
        monitor.record()
    assert not monitor.spikes


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_spikes_are_found_with_their_module(rng, spread):
    fake = Fake(("a.w", "b.w", "c.w"))
    seen = []
    monitor = GradientMonitor(fake.pairs, on_spike=seen.append)
    wanted = {500: 1, 800: 2, 801: 0}
    noise = steady(rng, 3 * 1000, spread).reshape(1000, 3)
    for i, norms in enumerate(noise):
        if i in wanted:
            norms[wanted[i]] *= 30
        fake.set(*norms)
        monitor.record()
    assert [(spike.step, spike.module) for spike in seen] == [(500, "b"), (800, "c"), (801, "a")]
    assert list(monitor.spikes) == seen
    for spike in seen:
        assert spike.norm == noise[spike.step, wanted[spike.step]]
        assert spike.usual == pytest.approx(1, rel=0.15)
        assert spike.score > 6


def test_a_module_spikes_before_the_total_does():
    """A small module that grows to the size of the others is named; one that stays small is not."""
    fake = Fake(("large.w", "small.w", "tiny.w"))
    monitor = GradientMonitor(fake.pairs)
    for i in range(200):
        fake.set(1.0, 0.5 if i == 150 else 0.01, 0.01 if i == 100 else 1e-6)
        monitor.record()
    assert [(spike.step, spike.module) for spike in monitor.spikes] == [(150, "small")]


def test_nonfinite_gradients_are_spikes_at_once():
    fake = Fake()
    monitor = GradientMonitor(fake.pairs)
    fake.set(1.0, math.inf)
    monitor.record()
    (spike,) = monitor.spikes
    assert spike.module == "b"
    assert spike.score == math.inf
    for _ in range(100):
        fake.set(1.0, 1.0)
        monitor.record()
    assert len(monitor.spikes) == 1


def test_a_spike_that_lasts_is_reported_once():
    fake = Fake()
    monitor = GradientMonitor(fake.pairs)
    for i in range(400):
        fake.set(1.0, math.nan if i > 350 else 50.0 if i >= 100 else 1.0)
        monitor.record()
    assert [(spike.step, spike.module) for spike in monitor.spikes] == [(100, "b"), (351, "b")]


# -------------------------------------------------------------------- files


def test_csv(tmp_path):
    fake = Fake()
    monitor = GradientMonitor(fake.pairs)
    for i in range(3):
        fake.set(i, 1)
        monitor.record()
    monitor.log(loss=0.1)
    text = monitor.to_csv(tmp_path / "gradients.csv")
    assert (tmp_path / "gradients.csv").read_text() == text == monitor.to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert [float(row["norm of a"]) for row in rows] == [0, 1, 2]
    assert [row["loss"] for row in rows] == ["", "", "0.1"]
    assert float(rows[2]["norm"]) == monitor.history["norm"][2]


def test_jsonl_is_there_after_every_step(tmp_path):
    path = tmp_path / "gradients.jsonl"
    fake = Fake()
    monitor = GradientMonitor(fake.pairs, max_norm=1.0, capacity=2).to_jsonl(path)
    for i in range(20):
        fake.set(i, math.inf if i == 7 else 0)
        monitor.log(loss=i / 2)
        if i == 7:
            with pytest.warns(UserWarning, match="not finite"):
                monitor.clip()
        else:
            monitor.clip()
        lines = [json.loads(line) for line in path.read_text().splitlines()]  # not closed yet
        assert [line["step"] for line in lines] == list(range(i + 1))
    assert lines[5]["norm"] == 5
    assert lines[5]["loss"] == 2.5
    assert lines[5]["modules"] == {"a": 5, "b": 0}
    assert lines[7]["norm"] == "Infinity"
    assert "NaN" not in path.read_text()
    monitor.log(accuracy=0.5)
    assert json.loads(path.read_text().splitlines()[-1]) == {"step": 19, "accuracy": 0.5}
    monitor.close()
    monitor.record()
    assert len(path.read_text().splitlines()) == 21


def test_jsonl_goes_on_after_a_crash(tmp_path):
    path = tmp_path / "gradients.jsonl"
    path.write_text('{"step": 0}\n{"step": 1, "no')
    with GradientMonitor(Fake().pairs).to_jsonl(path) as monitor:
        monitor.record()
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"step": 0}', '{"step": 1, "no']
    assert json.loads(lines[2])["step"] == 0


def test_tensorboard():
    calls = []
    writer = types.SimpleNamespace(add_scalar=lambda *call: calls.append(call))
    fake = Fake()
    monitor = GradientMonitor(fake.pairs, max_norm=1.0).to_tensorboard(writer, modules=True)
    fake.set(3.0, 4.0)
    monitor.clip()
    monitor.log(loss=0.5)
    assert {tag: (value, step) for tag, value, step in calls} == {
        "gradient/norm": (5.0, 0),
        "gradient/clipped_norm": (pytest.approx(1.0), 0),
        "gradient/coefficient": (pytest.approx(0.2), 0),
        "gradient/max_norm": (1.0, 0),
        "gradient norm/a": (3.0, 0),
        "gradient norm/b": (4.0, 0),
        "loss": (0.5, 0),
    }


# -------------------------------------------------------------------- showing


def recorded(steps=300, loss=True, **options):
    fake = Fake()
    monitor = GradientMonitor(fake.pairs, **options)
    rng = np.random.default_rng(0)
    for i in range(steps):
        fake.set(*steady(rng, 2, 0.3) * (100 if i == 200 else 1))
        monitor.record()
        if loss:
            monitor.log(loss=1 / (i + 1))
    return monitor


def test_repr():
    monitor = GradientMonitor(Fake().pairs)
    assert repr(monitor) == "GradientMonitor: no steps yet"
    assert "<div" in monitor._repr_html_()
    text = repr(recorded(max_norm=1.0))
    assert text.startswith("step 300 | loss 0.003333 | norm ")
    assert "clipped 0% (max 1)" in text
    assert "1 spikes, last at 200 in" in text
    assert "\n" not in text


def test_sparkline():
    assert _curves.sparkline(np.array([1.0, 10.0, 100.0])) == "▁▅█"
    assert _curves.sparkline(np.array([1.0, math.nan, 0.0, 10.0])) == "▁!▁█"
    assert _curves.sparkline(np.ones(5)) == "▁▁▁▁▁"
    assert _curves.sparkline(np.full(3, math.nan)) == "!!!"
    assert _curves.sparkline(np.zeros(3)) == "▁▁▁"
    spike = np.ones(10_000)
    spike[7777] = 5
    assert _curves.sparkline(spike).count("█") == 1


@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"loss": False}])
@pytest.mark.parametrize("steps", [1, 2, 300])
def test_svg_is_well_formed(options, steps):
    from xml.etree import ElementTree

    html = recorded(steps, **options)._repr_html_()
    (svg,) = ElementTree.fromstring(f"<all>{html}</all>").iter("svg")
    curves = list(svg.iter("polyline"))
    assert len(curves) == (options.get("loss", True)) + (3 if "max_norm" in options else 1)
    for curve in curves:
        for point in curve.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= _curves.WIDTH
            assert 0 <= y <= float(svg.get("height"))


def test_svg_with_nothing_finite():
    fake = Fake()
    fake.set(math.nan, math.nan)
    monitor = GradientMonitor(fake.pairs)
    monitor.record()
    assert "nan" not in monitor._repr_html_().split("<svg")[1]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot_to_a_file(tmp_path, ending):
    pytest.importorskip("matplotlib")
    pyplot_before = sys.modules.get("matplotlib.pyplot")
    figure = recorded(max_norm=1.0).plot(tmp_path / f"gradients.{ending}")
    assert (tmp_path / f"gradients.{ending}").stat().st_size > 5000
    assert sys.modules.get("matplotlib.pyplot") is pyplot_before
    loss, norm, heat, _ = figure.axes
    assert loss.get_ylabel() == "loss"
    assert [line.get_label() for line in norm.lines][:3] == ["norm", "after clipping", "max_norm"]
    assert [text.get_text() for text in heat.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("steps", [1, 2])
def test_plot_of_a_short_run(tmp_path, steps):
    pytest.importorskip("matplotlib")
    recorded(steps, loss=False).plot(tmp_path / "short.png")
    fake = Fake()
    fake.set(math.nan, 0.0)
    monitor = GradientMonitor(fake.pairs)
    monitor.record()
    monitor.log(loss=math.nan)
    monitor.plot(tmp_path / "nothing-finite.png")


def test_plot_without_a_path_is_pyplot_s():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = recorded().plot()
    assert plt.fignum_exists(figure.number)
    plt.close(figure)


def test_plot_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    real = __import__("importlib").import_module

    def missing(name, *args):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib")
        return real(name, *args)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"\[viz\]"):
        recorded().plot("picture.png")


# -------------------------------------------------------------------- live display


class Clock:
    """A clock that goes on by itself in a step of training, and by ``cost`` in a display."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(_curves.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def fake_notebook(monkeypatch, clock, cost):
    """Puts the parts of IPython that are used into its place; returns what is displayed."""
    shown = []

    class Handle:
        def update(self, thing):
            clock.now += cost
            shown.append(thing._repr_html_())

    def display(thing, display_id):
        assert display_id is True
        Handle().update(thing)
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.__path__ = []
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


@pytest.mark.parametrize("cost", [1e-4, 0.2, 1.0])
def test_live_in_a_notebook_takes_a_small_share_of_the_time(monkeypatch, clock, cost):
    shown = fake_notebook(monkeypatch, clock, cost)
    fake = Fake()
    start = clock.now
    with GradientMonitor(fake.pairs, live=True) as monitor:
        for _ in range(6000):
            fake.set(1.0, 1.0)
            clock.now += 0.05
            monitor.record()
        seen = len(shown)
        assert 2 <= seen <= (clock.now - start) / _curves.SECONDS + 1
        assert (seen - 1) * cost < 0.02 * (clock.now - start)
    assert len(shown) == seen + 1  # the last state
    assert "step 6000" in shown[-1]


def test_live_with_the_real_ipython(monkeypatch, capsys):
    """A shell with a kernel's display publisher gets one display and updates of it."""
    pytest.importorskip("IPython")
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.kernel = object()
    publisher = CapturingDisplayPublisher()
    monkeypatch.setattr(shell, "display_pub", publisher)
    try:
        with recorded(3, live=True):
            pass
    finally:
        InteractiveShell.clear_instance()
    first, last = publisher.outputs[0], publisher.outputs[-1]
    assert "<svg" in first["data"]["text/html"]
    assert not first.get("update")
    assert last["update"]
    assert first["transient"]["display_id"] == last["transient"]["display_id"]


def test_live_in_a_terminal(monkeypatch, clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    fake = Fake()
    with GradientMonitor(fake.pairs, live=True) as monitor:
        for _ in range(10):
            clock.now += 0.2
            monitor.record()
    text = sys.stderr.getvalue()
    assert text.endswith("\n")
    lines = text.rstrip("\n").split("\r")[1:]
    assert 3 <= len(lines) <= 6
    for line in lines:
        assert line.endswith("\x1b[K")
        assert len(line.removesuffix("\x1b[K")) < 40


def test_live_in_a_log(monkeypatch, clock, capsys):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    fake = Fake()
    with GradientMonitor(fake.pairs, live=True) as monitor:
        for _ in range(100):
            clock.now += 1.0
            monitor.record()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" | ")[0] for line in lines] == [
        "step 1", "step 31", "step 61", "step 91", "step 100",
    ]  # fmt: skip
