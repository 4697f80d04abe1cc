"""The adapter for Quantus' explain_func contract: ACE saliency and functions, without Quantus installed."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sequence_networks import draw, network
from torch import nn

from acelib import AverageCausalEffect, FeedbackSequences, InputDistribution, LatentPrior
from acelib import quantus as adapter
from acelib.quantus import normalised, quantus_explain


@pytest.fixture
def case():
    """A smooth network of two inputs and two outputs, 120 rows in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2)).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype))
    X = torch.rand(120, 2, generator=generator, dtype=torch.float64)
    return model, X, InputDistribution.fit(X, domain=(0.0, 1.0))


def literal(model, X, x, target):
    """ACE_do(x_i = x[i]) by definition: the mean over rows with column i overwritten, minus its own mean over [0, 1].

    The latter mean over the interval by Gauss-Legendre quadrature with 40 nodes.
    """
    nodes, weights = np.polynomial.legendre.leggauss(40)
    effect = []
    for i in range(2):

        def expectation(value, i=i):
            rows = X.clone()
            rows[:, i] = value
            return model(rows)[:, target].mean().item()

        baseline = sum(w / 2 * expectation((z + 1) / 2) for z, w in zip(nodes, weights, strict=True))
        effect.append(expectation(float(x[i])) - baseline)
    return effect


def test_ace_saliency_by_its_definition(case):
    """Two rows with different targets, against a loop; tolerance 1e-4 for the polynomial regressors."""
    model, X, population = case
    maps = quantus_explain(model, X[:2].numpy(), np.array([1, 0]), explain=population)
    assert isinstance(maps, np.ndarray) and maps.shape == (2, 2) and maps.dtype == np.float64
    assert np.allclose(maps[0], literal(model, X, X[0], 1), atol=1e-4)
    assert np.allclose(maps[1], literal(model, X, X[1], 0), atol=1e-4)
    effect = AverageCausalEffect(model, population)
    assert np.allclose(quantus_explain(model, X[:2].numpy(), np.array([1, 0]), explain=effect), maps, atol=1e-12)


def test_values_beyond_the_domain_count_as_its_end(case, recwarn):
    """A curve is never extrapolated: 1.3 and -0.2 are explained as 1 and 0, and nobody is warned."""
    model, X, population = case
    outside = quantus_explain(model, np.array([[1.3, -0.2]]), 0, explain=population)
    assert np.allclose(outside, quantus_explain(model, np.array([[1.0, 0.0]]), 0, explain=population), atol=1e-12)
    assert not recwarn.list


def test_regressors_are_kept_until_the_network_changes(case, monkeypatch):
    """One fit for many calls; a new one after an edit of a weight in place, for another population or options."""
    model, X, population = case
    made = []

    class Counted(AverageCausalEffect):
        def __init__(self, *args, **options):
            made.append(options)
            super().__init__(*args, **options)

    monkeypatch.setattr(adapter, "AverageCausalEffect", Counted)
    monkeypatch.setattr(adapter, "_effects", {})
    call = dict(model=model, inputs=X[:2].numpy(), targets=np.array([0, 1]))
    first = quantus_explain(**call, explain=population)
    again = quantus_explain(**call, explain=population)
    assert len(made) == 1 and (first == again).all()
    with torch.no_grad():
        model[0].weight[0, 0] += 1
    assert not np.allclose(quantus_explain(**call, explain=population), first) and len(made) == 2
    quantus_explain(**call, explain=population, seed=3)
    assert made[-1] == {"seed": 3} and len(made) == 3
    quantus_explain(**call, explain=InputDistribution.fit(X[:60], domain=(0.0, 1.0)), seed=3)
    assert len(made) == 4


def test_a_function_gets_tensors_in_the_models_type():
    """float64 images of a float32 network; one channel is shared out to three; options are passed on."""
    seen = {}

    def explain(model, inputs, targets, *, scale):
        seen.update(inputs=inputs, targets=targets)
        return scale * inputs[:, :1]

    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    x = np.random.default_rng(0).random((2, 3, 4, 4))
    maps = quantus_explain(model, x, 1, explain=explain, scale=3)
    assert maps.shape == x.shape and np.allclose(maps[:, 2], 3 * x[:, 0], atol=1e-6)
    assert seen["inputs"].dtype == torch.float32 and seen["targets"].tolist() == [1, 1]
    plain = quantus_explain(lambda z: z, np.arange(6).reshape(2, 3), np.array([0, 1]), explain=lambda m, z, t: z)
    assert plain.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_normalised_maps():
    """Each row by its own largest absolute value, sign kept; zeros stay zeros; Quantus' own takes the batch's."""
    maps = torch.tensor([[[1.0, -4.0]], [[0.5, 0.25]], [[0.0, 0.0]]])
    assert normalised(maps).tolist() == [[[0.25, -1.0]], [[1.0, 0.5]], [[0.0, 0.0]]]
    model = nn.Linear(2, 2)
    result = quantus_explain(model, maps[:, 0].numpy(), np.zeros(3, int), explain=lambda m, z, t: z, normalise=True)
    assert result.tolist() == normalised(maps)[:, 0].tolist()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "explain must be given, got None; pass explain_func_kwargs"),
        ({"explain": 3}, TypeError, "explain must be a causal input model or a function"),
        ({"explain": lambda m, x, t: x[:1]}, ValueError, "explain must return the inputs' shape .*got \\(1, 2\\)"),
        ({"explain": lambda m, x, t: x / 0}, ValueError, "NaN or Inf"),
        ({"explain": lambda m, x, t: x, "targets": np.array([0.0, 1.0])}, ValueError, "targets must be 2 integers"),
        ({"explain": lambda m, x, t: x, "targets": np.array([0, 1, 1])}, ValueError, "targets must be 2 integers"),
    ],
)
def test_errors(options, error, message):
    """Each wrong argument gets a sentence that names it."""
    call = dict(model=nn.Linear(2, 2), inputs=np.ones((2, 2), np.float32), targets=np.array([0, 1])) | options
    with pytest.raises(error, match=message):
        quantus_explain(**call)


def test_the_latents_of_a_generator_are_explained():
    """f = z0 + 3 c1 under two equal classes: ACE of z0 is its value; of a class 3/2 for the right one (1e-6)."""
    prior = LatentPrior(1, 2, dtype=torch.float64, draws=20)
    x = np.array([[0.7, 0.0, 1.0], [-1.0, 1.0, 0.0]])
    maps = quantus_explain(lambda z: z[:, :1] + 3 * z[:, 2:], x.astype(np.float64), 0, explain=prior)
    assert np.allclose(maps, [[0.7, 1.5, 1.5], [-1.0, -1.5, -1.5]], atol=1e-6)  # c0 = 0 makes c1 certain


def test_sequences_with_feedback_are_explained():
    """The maps of ``AverageCausalEffect.attribute``, one target per sequence; another network is refused by name."""
    inputs = FeedbackSequences(network("gru", 2, 2), draw(20, 4, 2), target_step=2, domain=(-2.0, 2.0))
    x = draw(2, 3, 2, seed=1).clamp(-2, 2)
    maps = quantus_explain(inputs.model, x.numpy(), np.array([1, 0]), explain=inputs)
    ace = AverageCausalEffect(inputs.model, inputs)
    expected = torch.stack([ace.attribute(x[0], 1).values, ace.attribute(x[1], 0).values])
    assert maps.shape == (2, 3, 2) and np.allclose(maps, expected, atol=1e-12)
    with pytest.raises(ValueError, match="model must be the network that simulates these sequences"):
        quantus_explain(lambda z: z.flatten(1), x.numpy(), 0, explain=inputs)


def test_quantus_takes_it(case):
    """A metric of Quantus calls the adapter by itself, ACE saliency included."""
    quantus = pytest.importorskip("quantus", reason="Quantus is not installed: pip install quantus")
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()
    X = torch.rand(60, 1, 4, 4, generator=generator)
    population = InputDistribution.fit(X, domain=(0.0, 1.0))
    metric = quantus.LocalLipschitzEstimate(nr_samples=2, disable_warnings=True, normalise=False)
    scores = metric(
        model=model,
        x_batch=X[:3].numpy(),
        y_batch=np.array([0, 1, 0]),
        channel_first=True,
        explain_func=quantus_explain,
        explain_func_kwargs={"explain": population},
    )
    # a linear network's ACE is w (x - 1/2): its estimate is at most the largest |w| of the class
    limit = model[1].weight.abs().amax(1).tolist()
    assert len(scores) == 3 and all(0 < s <= limit[t] * 1.01 for s, t in zip(scores, (0, 1, 0), strict=True))


def test_importing_needs_no_quantus():
    """A fresh interpreter that cannot import Quantus imports and calls the adapter."""
    code = (
        "import sys; sys.modules['quantus'] = None\n"
        "import numpy as np; from acelib.quantus import quantus_explain\n"
        "assert quantus_explain(lambda z: z, np.ones((1, 2)), 0, explain=lambda m, z, t: z).sum() == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
