"""The Iris experiment: the chapter's inequalities on curves whose answer is plain, rank agreement against SciPy, the
boundary of a linear classifier in closed form, and a short training run. The training itself is tested elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from acelib import AverageCausalEffect, InputDistribution
from acelib.lab import iris
from acelib.lab.datasets import load_iris, train_test_split
from acelib.lab.iris import experiment, figures
from acelib.lab.iris.experiment import _SHUFFLED_LABELS, SETTINGS
from acelib.lab.networks import mlp, stream
from acelib.lab.training import train

CHAPTER = Path(__file__).resolve().parents[3] / "book" / "04-causal-regressors.ipynb"
GRID = np.linspace(0, 1, 101)


@pytest.fixture(scope="module")
def criteria():
    """``falling``, ``rising``, ``peaked`` and ``readings`` as the chapter's own cells define them."""
    cells = ["".join(cell["source"]) for cell in json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]]
    names = {"np": np}
    for start in ("def falling(", "grid = np.linspace("):
        (source,) = [source for source in cells if source.startswith(start)]
        exec(source, names)
    return SimpleNamespace(**{name: names[name] for name in ("falling", "rising", "peaked", "readings")})


@pytest.fixture(scope="module")
def short():
    """Two networks and two controls after three passes: enough for shapes and bookkeeping."""
    return iris.train_iris([3, 4], shuffled=[13, 14], epochs=3)


@pytest.fixture(scope="module")
def curves(short):
    run, _ = short
    inputs = InputDistribution.fit(run.dataset.X, feature_names=run.dataset.feature_names)
    names = run.dataset.target_names
    return [AverageCausalEffect(m, inputs, target_names=names).regress(num=12) for m in run.models("probabilities")]


def test_falling_and_rising_know_lines_wiggles_and_signs(criteria):
    """A line through zero falls; wiggles up to 5 % of the range are let pass; a curve that keeps its sign does not."""
    assert criteria.falling(0.5 - GRID) and not criteria.rising(0.5 - GRID)
    assert criteria.rising(GRID - 0.5) and not criteria.falling(GRID - 0.5)
    wiggle = 0.5 - GRID + 0.001 * np.cos(101 * np.pi * GRID)
    assert not criteria.falling(wiggle + 0.02 * np.cos(100 * np.pi * GRID))
    assert criteria.falling(0.5 - GRID + np.where(np.isclose(GRID, 0.5), 0.045, 0.0))
    assert not criteria.falling(1.5 - GRID) and not criteria.falling(-0.5 - GRID)


@pytest.mark.parametrize("top, expected", [(0.1, False), (0.25, True), (0.5, True), (0.75, True), (0.9, False)])
def test_a_peak_counts_in_the_middle_only(criteria, top, expected):
    """A tent with its top at a known place, 0.6 high."""
    tent = 0.3 - np.abs(GRID - top)
    assert criteria.peaked(tent) is expected


def test_a_peak_must_be_positive_and_stand_above_both_ends(criteria):
    tent = 0.3 - np.abs(GRID - 0.5)
    assert not criteria.peaked(tent - 0.4)
    shoulder = np.where(GRID > 0.5, np.maximum(tent, 0.28), tent)  # the right end is only 0.02 lower
    assert not criteria.peaked(shoulder)


def test_readings_of_a_curve_whose_third_is_positive_in_part(criteria):
    """Small is [0, 1/3): the line 0.2 − α has mean 0.2 − 1/6 > 0 there, is positive on 60 % of it and not on all."""
    found = criteria.readings(0.2 - GRID, "small")
    assert found == {"on the whole": True, "at most values": True, "at every value": False, "end to end": True}
    found = criteria.readings(0.4 - GRID, "small")
    assert all(found.values())
    found = criteria.readings(0.3 - np.abs(GRID - 0.1), "moderate")  # peaks at 0.1: its middle third is −0.1 on average
    assert not any(found.values())
    spiked = np.where(GRID < 0.1, 3.0, -0.5)  # a spike at the end carries the whole third
    assert criteria.readings(spiked, "small")["on the whole"]
    assert not criteria.readings(spiked, "small")["at most values"]


def test_rank_agreement_equals_kendalls_tau_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30, 5))
    same, tau = iris.rank_agreement(first, second)
    slow = [kendalltau(np.abs(a), np.abs(b)).statistic for a, b in zip(first, second, strict=True)]
    assert tau == pytest.approx(np.mean(slow), abs=1e-12)
    assert same == np.mean([np.abs(a).argmax() == np.abs(b).argmax() for a, b in zip(first, second, strict=True)])


def test_boundary_point_of_a_linear_classifier():
    """w·x = 1 with w = (1, 2) cuts the segment from 0 to (1, 1) at a third."""
    weight = torch.tensor([[0.0, 1.0], [0.0, 2.0]], dtype=torch.float64)

    def model(x):
        return x @ weight + torch.tensor([1.0, 0.0], dtype=torch.float64)

    start, end = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    point = iris.boundary_point(model, start, end, (0, 1))
    assert torch.allclose(point, torch.full((2,), 1 / 3, dtype=torch.float64), atol=1e-12)
    with pytest.raises(ValueError, match="different sides"):
        iris.boundary_point(model, end, start, (0, 1))


def test_each_seed_is_trained_as_if_alone(short):
    """The second of the stacked networks equals the one trained by itself on its own split."""
    run, _ = short
    part, held = train_test_split(run.dataset, 30, seed=4)
    alone = train(mlp((4, 8, 3), seed=4), part.X, part.y, epochs=3, seed=4, **SETTINGS).model
    assert torch.allclose(run.networks[1](run.dataset.X), alone(run.dataset.X), atol=1e-10)
    assert run.test_accuracy[1] == (alone(held.X).argmax(1) == held.y).double().mean()


def test_controls_learn_other_labels(short):
    """Same bookkeeping, other seeds; each control has its own weights."""
    run, control = short
    assert run.seeds == (3, 4) and control.seeds == (13, 14)
    assert run.history.shape == control.history.shape == (2, 3)
    assert not torch.equal(control.networks[0][0].weight, control.networks[1][0].weight)
    shuffled, _ = iris.train_iris([13], epochs=3)
    assert not torch.allclose(shuffled.networks[0](run.dataset.X), control.networks[0](run.dataset.X))


def test_models_and_scales(short):
    run, _ = short
    with torch.no_grad():
        p = run.models("probabilities")[0](run.dataset.X)
    assert torch.allclose(p.sum(1), torch.ones(150, dtype=torch.float64))
    assert run.models("logits")[0] is run.networks[0]
    with pytest.raises(ValueError, match="scale must be one of probabilities, logits, got 'odds'"):
        run.models("odds")
    assert run.part([1]).seeds == (4,)


def test_saliency_is_the_effect_of_each_flowers_own_value(short):
    """Entry by entry, in a loop."""
    run, _ = short
    inputs = InputDistribution.fit(run.dataset.X, feature_names=run.dataset.feature_names)
    curves = AverageCausalEffect(run.models("probabilities")[0], inputs).regress(num=10)
    flowers, classes = run.dataset.X[::40], run.dataset.y[::40]
    effects = iris.saliency(curves, flowers, classes)
    for row, column in np.ndindex(*effects.shape):
        expected = curves[column, int(classes[row])].ace(float(flowers[row, column]))
        assert effects[row, column] == pytest.approx(float(expected), abs=1e-12)


def test_seeds_that_differ_give_other_weights_splits_and_orders():
    """PyTorch's CPU generator reads the low 32 bits of a seed; the chapter's seeds stay far below."""
    seeds = [0, 1, 2, 500, 1000]
    run, _ = iris.train_iris(seeds, epochs=1)
    weights = [net[0].weight for net in run.networks]
    tests = [tuple(train_test_split(run.dataset, 30, seed=seed)[1].X.flatten().tolist()) for seed in seeds]
    assert len(set(tests)) == len(seeds)
    assert all(not torch.allclose(a, b, atol=1e-3) for i, a in enumerate(weights) for b in weights[:i])


def test_controls_deal_labels_from_a_stream_of_their_own(monkeypatch):
    """Not from the generator of the split: seed + (2 << 32) would be the same one, bit for bit."""
    seen = []

    def stop(stack, X, y, **_):
        seen.append(y)
        raise StopIteration

    monkeypatch.setattr(experiment, "train", stop)
    with pytest.raises(StopIteration):
        iris.train_iris([0], shuffled=[7])
    part, _ = train_test_split(load_iris(), 30, seed=7)
    deal = torch.randperm(120, generator=stream(7, _SHUFFLED_LABELS))
    shared = torch.randperm(120, generator=torch.Generator().manual_seed(7 + (_SHUFFLED_LABELS << 32)))
    assert torch.equal(seen[0][1], part.y[deal]) and not torch.equal(seen[0][1], part.y[shared])
    assert torch.equal(shared, torch.randperm(120, generator=torch.Generator().manual_seed(7)))


def test_class_panels_show_every_feature_and_the_trees_regions(curves):
    figure = figures.class_panels(curves, (0.3, 0.7), "ACE")
    assert [ax.get_title() for ax in figure.axes] == list(curves[0].targets)
    alphas = np.linspace(0, 1, 201)
    for t, (ax, (low, high)) in enumerate(zip(figure.axes, ((0, 0.3), (0.3, 0.7), (0.7, 1)), strict=True)):
        assert (ax.patches[0].get_x(), ax.patches[0].get_x() + ax.patches[0].get_width()) == pytest.approx((low, high))
        for i, line in enumerate(ax.lines[:4]):
            assert np.allclose(line.get_ydata(), curves[0][i, t].ace(alphas))
    plt.close("all")


def test_reading_map_prints_its_counts():
    rows = {"a": {"on the whole": 2, "end to end": 0}, "b": {"on the whole": 1, "end to end": 2}}
    figure = figures.reading_map({"one": rows, "other": rows}, 2)
    assert [text.get_text() for text in figure.axes[1].texts] == ["2", "0", "1", "2"]
    assert figure.axes[0].get_title() == "one, of 2"
    plt.close("all")
