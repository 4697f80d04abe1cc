"""Quantus' local Lipschitz estimate and IROF through our adapter, against the formulas written out."""

import importlib
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from acelib.lab.graphs import metrics as M
from acelib.lab.graphs.explainers import by_captum, constant, fixed_randomness

pytest.importorskip("quantus", reason="the metrics need Quantus: pip install quantus")


@pytest.fixture(scope="module")
def case() -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """A small smooth convolutional network and four images of 32×32."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 100, 3)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5)
    return model, torch.rand(4, 1, 32, 32, generator=generator), torch.tensor([0, 1, 2, 1])


def test_local_lipschitz_is_its_formula(case):
    """max over noisy copies of ‖map − map'‖ / ‖x − x'‖, maps divided by their largest |value|, with Quantus' noise.

    Quantus draws numpy's normal numbers, all images of a batch at once; tolerance 1e-5 for its float32 inputs.
    """
    model, X, y = case
    saliency = by_captum("Saliency")
    scores = M.local_lipschitz(model, X, y, {"Saliency": saliency, "same": constant}, samples=4, noise=0.2, seed=3)

    def normal(maps):
        return (maps / maps.abs().amax((1, 2, 3), keepdim=True)).double().flatten(1)

    base, ratios = normal(saliency(model, X, y)), []
    with fixed_randomness(3):
        for _ in range(4):
            noise = np.random.normal(0, 0.2, size=(4, 1024)).reshape(4, 1, 32, 32)
            near = (X.numpy() + noise).astype(np.float32)
            moved = normal(saliency(model, torch.from_numpy(near), y))
            gap = np.linalg.norm((near - X.numpy()).reshape(4, -1), axis=1)
            ratios.append((moved - base).norm(dim=1) / torch.from_numpy(gap))
    assert torch.allclose(scores.values["Saliency"], torch.stack(ratios).amax(0), rtol=1e-4)
    assert scores.values["same"].abs().max() == 0 and scores.order() == ["same", "Saliency"]
    assert scores.rank("same") == 1 and "same 0 ± 0" in repr(scores)


def test_normalisation_takes_the_unit_away(case):
    """Maps in a unit ten times as large: the same score when normalised, ten times the score when not."""
    model, X, y = case
    saliency = by_captum("Saliency")
    pair = {"one": saliency, "ten": lambda *a: 10 * saliency(*a)}
    fair = M.local_lipschitz(model, X, y, pair, samples=2)
    raw = M.local_lipschitz(model, X, y, pair, samples=2, normalise=False)
    assert torch.allclose(fair.values["one"], fair.values["ten"], rtol=1e-5)
    assert torch.allclose(10 * raw.values["one"], raw.values["ten"], rtol=1e-5)


def test_irof_is_its_formula(case):
    """Segments greyed by the image's mean, most relevant first: number of segments minus the trapezoid of p/p0."""
    from quantus.helpers.utils import get_superpixel_segments

    model, X, y = case
    explain = by_captum("InputXGradient")
    scores = M.irof(model, X, y, {"a": explain})
    for i in range(2):
        x, total = X[i : i + 1].numpy().copy(), []
        relevance = explain(model, X[i : i + 1], y[i : i + 1])[0, 0].double().numpy()
        relevance = relevance / np.abs(relevance).max()
        segments = get_superpixel_segments(np.moveaxis(x[0], 0, -1).astype(float), "slic")
        count = len(np.unique(segments))
        order = np.argsort([-relevance[segments == s].mean() for s in range(count)])

        def probability(x, i=i):
            return torch.softmax(model(torch.from_numpy(x)), 1)[0, y[i]].item()

        first = probability(x)
        for s in order:
            x = np.where(segments == s, x.mean(), x).astype(np.float32)
            total.append(probability(x) / first)
        assert scores.values["a"][i].item() == pytest.approx(count - np.trapezoid(total), abs=1e-3)


def test_irof_tells_a_right_map_from_its_opposite(case):
    """With a class that feeds on the upper half only: pointing there scores higher than pointing away."""
    _, X, y = case
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2, bias=False)).eval()
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].weight[0, :512] = 0.02 * (X.mean(0).flatten()[:512] - 0.5)
    top = torch.zeros(1, 1, 32, 32)
    top[..., :16, :] = 1
    model[1].weight.data[0] = (X[0] - X[0].mean()).flatten() * top.flatten() / 40
    pair = {"right": lambda m, x, t: x * top, "wrong": lambda m, x, t: x * (1 - top)}
    scores = M.irof(model, X[:1], torch.tensor([0]), pair)
    assert scores.mean("right") > scores.mean("wrong") and scores.order()[0] == "right" and scores.rank("wrong") == 2


def test_irof_takes_maps_that_are_negative_throughout(case):
    """Only the order of the segments counts: a map lowered below 0 everywhere has the same score."""
    model, X, y = case
    explain = by_captum("InputXGradient")
    ramp = torch.arange(1024.0).view(1, 1, 32, 32)
    pair = {"as it is": explain, "lowered": lambda *a: explain(*a) - 100}
    pair |= {"flat": lambda m, x, t: torch.zeros_like(x), "ramp": lambda m, x, t: ramp.expand_as(x)}
    scores = M.irof(model, X[:2], y[:2], pair)
    assert torch.allclose(scores.values["flat"], scores.values["ramp"])  # a flat map orders nothing: bottom right first
    assert torch.allclose(scores.values["as it is"], scores.values["lowered"], atol=0.05)


def test_scores_summaries():
    """Mean, standard error, ties and paired differences by hand."""
    a, b = torch.tensor([1.0, 3.0]).double(), torch.tensor([2.0, 2.0]).double()
    s = M.Scores("x", {"a": a, "b": b, "c": a + 1}, lower_is_better=True)
    assert s.mean("a") == 2 and s.stderr("a") == pytest.approx(1.0)
    assert s.rank("a") == s.rank("b") == 1.5 and s.rank("c") == 3
    assert s.difference("c", "a") == (1.0, 0.0) and s.difference("a", "b") == (0.0, pytest.approx(1.0))


def test_nothing_is_printed_or_drawn(case, capsys):
    """Neither output nor warning, and the global random numbers go on as if nothing had been."""
    model, X, y = case
    before = np.random.get_state()[1].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        M.local_lipschitz(model, X, y, {"s": constant}, samples=1)
        M.irof(model, X[:1], y[:1], {"s": constant})
    printed = capsys.readouterr()
    assert printed.out == printed.err == "" and (np.random.get_state()[1] == before).all()


def test_errors(case, monkeypatch):
    """No explainer, images and classes that do not fit, and a missing Quantus are said in a sentence."""
    model, X, y = case
    with pytest.raises(ValueError, match="explainers must hold at least one by name, got none"):
        M.irof(model, X, y, {})
    with pytest.raises(ValueError, match="X and y must be images"):
        M.local_lipschitz(model, X, y[:2], {"s": constant})

    def without(name):
        raise ImportError("libGL.so.1 is missing")

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ImportError, match=r"cannot be imported \(libGL.so.1 is missing\); .* opencv-python-headless"):
        M.irof(model, X, y, {"s": constant})


def test_irof_equals_quantus_own(case):
    """The batched steps give the scores of Quantus' class, one image a call; tolerance 1e-3 segments for float32."""
    import quantus

    from acelib.quantus import quantus_explain

    model, X, y = case
    ours = M.irof(model, X, y, {"a": by_captum("InputXGradient")}).values["a"]
    metric = quantus.IROF(perturb_baseline="mean", normalise=False, disable_warnings=True, return_aggregate=False)
    explain = M._raised(by_captum("InputXGradient"))
    theirs = metric(
        model=model,
        x_batch=X.numpy(),
        y_batch=y.numpy(),
        channel_first=True,
        softmax=True,
        batch_size=1,
        explain_func=quantus_explain,
        explain_func_kwargs={"explain": explain, "normalise": True},
        device="cpu",
    )
    assert torch.allclose(ours, torch.as_tensor(np.asarray(theirs, dtype=float)), atol=1e-3)


def test_areas_over_and_under_add_up_to_the_segments(case):
    """Their sum is the same whole number for every explainer, and the better one has less under its curve."""
    model, X, y = case
    pair = {"a": by_captum("InputXGradient"), "b": constant}
    over, under = (M.irof(model, X[:2], y[:2], pair, area=area) for area in ("over", "under"))
    sums = {name: over.values[name] + under.values[name] for name in pair}
    assert torch.allclose(sums["a"], sums["b"]) and torch.allclose(sums["a"], sums["a"].round())
    assert over.order() == under.order() and under.lower_is_better
    with pytest.raises(ValueError, match="baseline and area must be"):
        M.irof(model, X, y, pair, area="beside")
