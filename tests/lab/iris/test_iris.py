"""The Iris experiment: the chapter's inequalities on curves whose answer is plain, rank agreement against SciPy, the
boundary of a linear classifier in closed form, and a short training run. The training itself is tested elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from acelib import AverageCausalEffect, InputDistribution
from acelib.lab import iris
from acelib.lab.datasets import train_test_split
from acelib.lab.iris import figures
from acelib.lab.iris.experiment import SETTINGS
from acelib.lab.networks import mlp
from acelib.lab.training import train

CHAPTER = Path(__file__).resolve().parents[3] / "book" / "04-causal-regressors.ipynb"
GRID = np.linspace(0, 1, 101)


@pytest.fixture(scope="module")
def criteria():
    """``falling``, ``rising`` and ``peaked`` as the chapter's own cell defines them."""
    cells = ["".join(cell["source"]) for cell in json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]]
    (source,) = [source for source in cells if source.startswith("def falling(")]
    exec(source, names := {"np": np})
    return SimpleNamespace(**{name: names[name] for name in ("falling", "rising", "peaked")})


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


def test_crossing_of_two_lines_and_of_lines_that_do_not_meet():
    """1 − x and x/2 meet at 2/3."""
    assert iris.crossing(1 - GRID, GRID / 2, GRID) == pytest.approx(2 / 3, abs=1e-12)
    assert np.isnan(iris.crossing(GRID - 2, GRID, GRID))
    assert iris.crossing(np.cos(3 * np.pi * GRID), 0 * GRID, GRID) == pytest.approx(1 / 6, abs=1e-3)  # the first of two


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


def test_figures_show_what_they_say(curves):
    import matplotlib.pyplot as plt

    figure = figures.figure_of(curves, "ACE")
    assert [ax.get_xlabel().split(",")[0] for ax in figure.axes] == [figures.plain(f) for f in curves[0].features]
    counts = {"a": 2, "b": 0}
    grid = figures.count_map({"one on logits": counts, "other": counts}, 2)
    assert [t.get_text() for t in grid.axes[0].texts] == ["2/2", "2/2", "0/2", "0/2"]
    assert [t.get_text() for t in grid.axes[0].get_yticklabels()] == ["a", "b"]
    plt.close("all")
