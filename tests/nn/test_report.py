"""grad_report: the numbers against NumPy, and the ways to show them."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.nn.utils import grad_report


@pytest.fixture
def model():
    lucid.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 5)), nn.Linear(5, 2)
    )
    model(lucid.randn(6, 3)).square().sum().backward()
    return model


def test_numbers(model):
    report = grad_report(model)
    assert list(report.parameters) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        stats = report.parameters[name]
        g = parameter.grad.numpy().astype(np.float64)
        w = parameter.detach().numpy().astype(np.float64)
        assert stats.size == g.size
        assert stats.norm == pytest.approx(np.linalg.norm(g), rel=1e-14)
        assert stats.largest == np.abs(g).max()
        assert stats.mean == pytest.approx(g.mean(), rel=1e-12)
        assert stats.zeros == (g == 0).mean()
        assert (stats.nans, stats.infs) == (0, 0)
        assert stats.weight_norm == pytest.approx(np.linalg.norm(w), rel=1e-14)
        assert stats.ratio == pytest.approx(np.linalg.norm(g) / np.linalg.norm(w), rel=1e-13)


def test_modules_and_total(model):
    report = grad_report(model)
    assert list(report.modules) == ["0", "1", "1.1", "2"]
    assert report.modules["1"] == report.modules["1.1"]
    every = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()]).astype(float)
    inner = np.concatenate([p.grad.numpy().ravel() for p in model[1].parameters()]).astype(float)
    for stats, g in ((report.total, every), (report.modules["1"], inner)):
        assert stats.size == g.size
        assert stats.norm == pytest.approx(np.linalg.norm(g), rel=1e-14)
        assert stats.largest == np.abs(g).max()
        assert stats.mean == pytest.approx(g.mean(), rel=1e-9)
        assert stats.zeros == pytest.approx((g == 0).mean())


def test_nothing_changes(model):
    before = [p.grad.numpy().copy() for p in model.parameters()]
    versions = [p.grad._version for p in model.parameters()]
    repr(grad_report(model))
    for p, g, version in zip(model.parameters(), before, versions, strict=True):
        assert (p.grad.numpy() == g).all()
        assert p.grad._version == version


def test_nonfinite_elements_are_counted_where_they_are(model):
    model[2].bias.grad.numpy()[:] = [math.nan, math.inf]
    report = grad_report(model)
    assert (report.parameters["2.bias"].nans, report.parameters["2.bias"].infs) == (1, 1)
    assert (report.modules["2"].nans, report.modules["2"].infs) == (1, 1)
    assert (report.total.nans, report.total.infs) == (1, 1)
    assert math.isnan(report.total.norm)
    assert math.isnan(report.total.largest)
    assert report.modules["0"].nans == 0
    assert math.isfinite(report.modules["0"].norm)


def test_inf_alone_makes_the_norm_inf(model):
    model[2].bias.grad.numpy()[0] = math.inf
    assert grad_report(model).total.norm == math.inf


def test_norms_beyond_the_squares_of_float64():
    pairs = []
    for name in ("m.a", "m.b"):
        w = lucid.zeros(2, dtype=lucid.float64, requires_grad=True)
        w.grad = lucid.full((2,), 1e200, dtype=lucid.float64)
        pairs.append((name, w))
    report = grad_report(pairs)
    assert report.total.norm == pytest.approx(2e200, rel=1e-14)
    assert report.modules["m"].norm == report.total.norm
    assert report.total.ratio == math.inf


def test_what_may_be_given(model):
    named = grad_report(model.named_parameters())
    assert named.parameters == grad_report(model).parameters
    nameless = grad_report(model.parameters())
    assert list(nameless.parameters)[:2] == ["parameters[0]", "parameters[1]"]
    assert nameless.modules == {}
    assert nameless.total == named.total
    single = grad_report(model[0].weight)
    assert single.total == named.parameters["0.weight"]


def test_a_parameter_counts_once_and_names_stay_apart(model):
    w, v = model[0].weight, model[2].weight
    report = grad_report([("w", w), ("again", w), ("w", v)])
    assert list(report.parameters) == ["w", "w[2]"]


def test_without_gradients(model):
    model[0].zero_grad()
    report = grad_report(model)
    assert report.without_grad == ["0.weight", "0.bias"]
    assert repr(report).endswith("no gradient (2): 0.weight, 0.bias")
    with pytest.warns(UserWarning, match="grad_report: there is nothing to measure"):
        empty = grad_report([])
    assert empty.total.norm == 0
    assert empty.total.ratio == 0
    assert "total" in repr(empty)


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"grad_report: parameters\[1\] must be a Tensor; got str"):
        grad_report([lucid.ones(2), "w"])
    with pytest.raises(TypeError, match="grad_report: parameters must be"):
        grad_report(3)


def test_every_dtype():
    for dtype in (lucid.float16, lucid.float32, lucid.float64, lucid.complex64, lucid.complex128):
        w = lucid.ones(2, dtype=dtype, requires_grad=True)
        w.grad = lucid.tensor([3.0, 4.0], dtype=dtype)
        stats = grad_report(w).total
        assert (stats.norm, stats.largest, stats.mean) == (5.0, 4.0, 3.5)


def test_the_table_is_aligned(model):
    lines = repr(grad_report(model)).splitlines()
    assert len({len(line) for line in lines}) == 1
    titles = "gradient of shape norm max |g| mean zeros NaN inf weights norm/weights"
    assert lines[0].split() == titles.split()
    assert sum("weight " in line for line in lines) == 3
    assert lines[-1].startswith("total")


def test_html(model):
    model[2].bias.grad.numpy()[0] = math.nan
    text = grad_report(model)._repr_html_()
    assert text.count("<tr") == text.count("</tr>") == 1 + 6 + 4 + 1
    assert text.count("color:#c00") == 3  # the bias, its module and the total
    w = lucid.ones(1, requires_grad=True)
    w.grad = lucid.ones(1)
    assert "<b>" not in grad_report([("<b>", w)])._repr_html_()


def test_dict_and_csv(model, tmp_path):
    report = grad_report(model)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["parameters"]["0.weight"]["norm"] == report.parameters["0.weight"].norm
    assert plain["total"]["ratio"] == report.total.ratio
    text = report.to_csv(tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text() == text == report.to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["kind"] for row in rows].count("module") == 4
    assert float(rows[-1]["norm"]) == report.total.norm  # every digit is there
