"""The worlds of the coverage: that their truths are true, and that a repetition of each subject works."""

import pytest
import torch

from tools.bench import load
from tools.chapters import ROOT
from tools.coverage import worlds
from tools.coverage.case import READINGS
from tools.coverage.run import find, repeat, subject

FILES = find(ROOT)
QUICK = {  # a world whose truth costs next to nothing
    "expectation": "steep classifier, 50 rows",
    "regressors": "kink, polynomial, exact values on a quantile grid",
    "seeds": "expectation, 3 networks, 200 rows",
    "sobol": "Ishigami function, N = 1024",
    "contributions": "linear model fitted to 100 rows",
    "paths": "normal, 100 nodes by Holm, 30 inputs",
    "feedback": "latent of a generator, 50 draws",
}


def test_every_subject_names_its_quantity_once_and_the_truth_of_every_world():
    subjects = [subject(path) for path in FILES.values()]
    assert len({quantity for quantity, _ in subjects}) == len(FILES) >= 10
    for _, cases in subjects:
        for world, case in cases.items():
            assert case.truth.endswith(".") and case.repetitions >= 200, world
            assert "|" not in world and len(world) <= 80, world


@pytest.mark.parametrize("name", QUICK)
def test_a_repetition_works_and_depends_on_its_seed_alone(name):
    case = subject(FILES[name])[1][QUICK[name]]
    found = [{k: v for k, v in repeat(case, [3])[3].items() if k != "seconds"} for _ in range(2)]
    assert found[0] == found[1] and set(found[0]["held"]) <= set(READINGS)
    assert all(0 <= share <= 1 for share in found[0]["held"].values()) and found[0]["values"] >= 1


@pytest.mark.parametrize("k", [1, 2])
def test_the_average_over_normal_inputs_is_that_of_a_large_sample(k):
    """Reference: 200,000 random rows; tolerance five of their standard errors."""
    model, alphas = worlds.network("tanh", k + 1), (-1.0, 0.5)
    exact = worlds.averages(model, alphas, *worlds.normal_grid(k))
    rows = worlds.normal(200_000, k + 1, 0)
    for alpha, value in zip(alphas, exact, strict=True):
        rows[:, 0] = alpha
        outputs = model(rows)[:, 0]
        assert abs(outputs.mean() - value) < 5 * outputs.std() / 200_000**0.5


def test_moments_of_the_grid_are_those_of_the_normal_law():
    """Closed form: E z² = 1, E z⁴ = 3, E exp(1.5 z) = exp(1.125), E ``|z|`` = √(2/π)."""
    nodes, weights = worlds.normal_grid(1)
    z = nodes[:, 0]
    found = [weights @ moment for moment in (z**2, z**4, torch.exp(1.5 * z), z.abs())]
    assert [float(m) for m in found] == pytest.approx([1, 3, 3.0802168, 0.7978846], abs=1e-5)


def test_effects_are_measured_from_the_mean_over_the_domain():
    """Closed form: the mean of a² over [0, 3] is 3; an interpolated curve agrees."""
    assert worlds.effects(lambda a: a**2, [0.0, 2.0], 0, 3).tolist() == pytest.approx([-3, 1], abs=1e-6)
    rest, weights = worlds.normal_grid(1)
    curve = worlds.smooth_curve(lambda x: worlds.column(x[:, 0] ** 2 * (1 + x[:, 1])), 0, 3, rest, weights)
    assert worlds.effects(curve, [0.0, 2.0], 0, 3).tolist() == pytest.approx([-3, 1], abs=1e-6)


def test_known_sobol_indices():
    """Published values of the Ishigami function with a = 7, b = 0.1; two factors by hand."""
    module = load(FILES["sobol"])
    found = module.known(module.ISHIGAMI, 3)
    assert found["first"].tolist() == pytest.approx([0.3139, 0.4424, 0], abs=1e-4)
    assert found["total"].tolist() == pytest.approx([0.5576, 0.4424, 0.2437], abs=1e-4)
    by_hand = module.known(module.product([1.0, 2.0]), 2)  # parts 1, 2 and 1 · 2 of 5
    assert {name: v.tolist() for name, v in by_hand.items()} == {
        "first": [0.2, 0.4],
        "total": [0.6, 0.8],
        "shapley": [0.4, 0.6],
    }


def test_known_contributions():
    """Reference: the same expressions of noises, by brute force on 400,000 draws; tolerance 3 %."""
    module = load(FILES["contributions"])
    a, b, c = worlds.normal(400_000, 3, 1).T
    target = module.interacting(module.mixed().push(torch.stack([a, b, c], 1)))[:, 0]
    assert torch.allclose(target, a**2 / 2 + a * b + 2 * torch.exp(c / 2))
    alone = [float(part.var()) for part in (a**2 / 2, a * b, 2 * torch.exp(c / 2))]
    first, shapley = module.INTERACTING["first"], module.INTERACTING["shapley"]
    assert [first[0], shapley[1] * 2, first[2]] == pytest.approx(alone, rel=0.03)
    assert sum(shapley) == pytest.approx(float(target.var()), rel=0.03)
