"""Effects as an explanation of SHAP: its numbers, its base in closed form, and that SHAP draws it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from acelib import Attribution, AverageCausalEffect, InputDistribution

shap = pytest.importorskip("shap")
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(200, 3, generator=GENERATOR, dtype=torch.float64)
INPUTS = InputDistribution.fit(X, feature_names=["age", "mass", "dose"], domain=(-5.0, 5.0))
WEIGHTS = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.0]], dtype=torch.float64)


def additive(x):
    return torch.cat([x @ WEIGHTS + 0.2 * (x**2) @ WEIGHTS.flip(0) + 4], 1)


def effects(net=additive, inputs=INPUTS, **options):
    return AverageCausalEffect(net, inputs, target_names=["low", "high"], **options)


@pytest.mark.parametrize("via", ["regressors", "direct"])
@pytest.mark.parametrize("target", ["high", [0, 1, 1, 0, 1]], ids=["one", "each"])
def test_an_additive_network_is_base_plus_values(via, target):
    """f(x) = base + Σ ACE for base = E[y] + Σ (b_i - E[y]), for one target and for one of each row."""
    found = effects().attribute(X[:5], target, via=via)
    each = torch.tensor([1] * 5 if target == "high" else target)
    mean = additive(X).mean(0)[each]
    shown = found.to_shap(mean=mean)
    answers = additive(X[:5])[torch.arange(5), each]
    assert np.allclose(shown.base_values + shown.values.sum(1), answers, atol=1e-6)
    assert np.allclose(shown.values, found.values) and np.allclose(shown.data, X[:5])
    assert np.allclose(shown.error_std, found.stderr) and shown.feature_names == ["age", "mass", "dose"]


@pytest.mark.parametrize("via", ["regressors", "direct"])
def test_the_baselines_are_those_of_the_curves(via):
    """Each is the curve's average over the domain: effect + baseline is the expectation."""
    ace = effects()
    found = ace.attribute(X[:4], [0, 1, 0, 1], via=via)
    for row, target in enumerate([0, 1, 0, 1]):
        for i in range(3):
            moved = X.clone()
            moved[:, i] = X[row, i]
            expected = additive(moved)[:, target].mean()
            assert float(found.values[row, i] + found.baseline[row, i]) == pytest.approx(float(expected), abs=1e-6)
    assert np.allclose(found.to_shap().base_values, found.baseline.mean(1))


def test_a_single_row_and_pinned_inputs():
    pinned = INPUTS.do({"mass": 0.0})
    found = effects(inputs=pinned).attribute(X[0], "low")
    shown = found.to_shap(mean=float(additive(pinned.samples)[:, 0].mean()))
    assert (
        shown.values.shape == (2,) and shown.feature_names == ["age", "dose"] and isinstance(shown.base_values, float)
    )
    held = X[:1].clone()
    held[0, 1] = 0
    assert shown.base_values + shown.values.sum() == pytest.approx(float(additive(held)[0, 0]), abs=1e-6)


@pytest.mark.parametrize(
    "draw",
    [
        lambda shown: shap.plots.beeswarm(shown, show=False),
        lambda shown: shap.plots.waterfall(shown[0], show=False),
        lambda shown: shap.plots.scatter(shown[:, "mass"], show=False),
        lambda shown: shap.plots.bar(shown, show=False),
        lambda shown: shap.plots.heatmap(shown, show=False),
        lambda shown: shap.plots.violin(shown, show=False),
    ],
    ids="beeswarm waterfall scatter bar heatmap violin".split(),
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_shap_draws_it(draw):
    draw(effects().attribute(X[:30], "high").to_shap())
    labels = [text.get_text() for ax in plt.gcf().axes for text in [*ax.get_yticklabels(), ax.xaxis.label]]
    assert any("mass" in label for label in labels)
    plt.close("all")


def test_an_image_is_flat_and_a_saved_one_too(tmp_path):
    images = torch.rand(60, 1, 2, 2, generator=GENERATOR)
    found = AverageCausalEffect(lambda x: x.flatten(1).sum(1, keepdim=True), InputDistribution.fit(images)).attribute(
        images[:3]
    )
    assert found.to_shap().values.shape == (3, 4)
    again = Attribution.load(found.save(tmp_path / "a.json"))
    assert again == found and np.array_equal(again.to_shap().values, found.to_shap().values)


def test_wrong_calls_end_in_one_sentence():
    found = effects().attribute(X[:5], "low")
    with pytest.raises(ValueError, match="mean must be one number, or one for each of the 5 rows, got 2"):
        found.to_shap(mean=[1.0, 2.0])
    plain = Attribution(torch.zeros(2, 3), torch.zeros(2, 3), "y", "direct")
    with pytest.raises(ValueError, match="attribution must have its baselines"):
        plain.to_shap()
