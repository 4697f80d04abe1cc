"""Counting coverage: the truth of a population in closed form, bands that must be right, and one that must be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acelib.lab.iris import coverage

ALPHAS = torch.linspace(0, 1, 11, dtype=torch.float64)


@pytest.fixture(scope="module")
def result():
    """A population of lines a + b·α: its curve is E[a] + E[b] α."""
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 5000, 1, generator=generator, dtype=torch.float64)
    return a, b, coverage.band_coverage(a + 2 * b * ALPHAS, ALPHAS, rows=200, repetitions=1000, seed=2)


def test_truth_is_the_mean_of_the_population(result):
    a, b, found = result
    assert np.allclose(found.truth, (a.mean() + 2 * b.mean() * ALPHAS).numpy(), atol=1e-12)


def test_sampling_bands_cover_and_bayesian_bands_do_not(result):
    """Lines are fitted exactly, so the sampling band is the classical interval of a mean (95 % at n = 200, and
    1000 repetitions tell it within 2.5 points); the Bayesian band sees no scatter at all."""
    *_, found = result
    for kind in ("sampling", "sampling ace"):
        assert abs(found.mean(kind) - 0.95) < 0.025
    assert found.mean("bayesian") < 0.1 and found.mean("bayesian ace") < 0.1


def test_widths_are_those_of_a_mean(result):
    """The standard error of a + 2bα over 200 rows is sqrt((1 + 4α²)/200); the curves scatter by as much."""
    *_, found = result
    expected = np.sqrt((1 + 4 * found.alphas**2) / 200)
    assert np.allclose(found.widths["sampling"], expected, rtol=0.05)
    assert np.allclose(found.deviation, expected, rtol=0.12)


def test_ace_is_measured_against_the_uniform_baseline(result):
    """At the middle a line equals its average, so both the effect and its error vanish: the band is all rounding."""
    *_, found = result
    assert found.widths["sampling ace"][5] < 1e-6 < found.widths["sampling ace"][0]


def test_error_is_binomial(result):
    *_, found = result
    share = found.mean("sampling")
    assert found.error("sampling") == pytest.approx(np.sqrt(share * (1 - share) / 1000))


def test_same_seed_same_answer():
    curves = torch.randn(300, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    runs = [coverage.band_coverage(curves, ALPHAS, rows=50, repetitions=20, seed=0, max_order=3) for _ in range(2)]
    assert np.array_equal(runs[0].shares["sampling"], runs[1].shares["sampling"])


def test_even_grids_are_refused():
    with pytest.raises(ValueError, match="m odd"):
        coverage.band_coverage(torch.zeros(10, 4, dtype=torch.float64), ALPHAS[:4])


def test_mixture_keeps_shares_moments_and_range():
    """Class shares exactly, class means within five standard errors, everything inside the range of the data."""
    generator = torch.Generator().manual_seed(0)
    X = torch.cat([torch.randn(40, 2, generator=generator), torch.randn(60, 2, generator=generator) + 5]).double()
    y = (torch.arange(100) >= 40).long()
    population = coverage.gaussian_mixture(X, y, 10_000, seed=3)
    assert population.shape == (10_000, 2)
    assert (population >= X.amin(0)).all() and (population <= X.amax(0)).all()
    assert torch.allclose(population[:4000].mean(0), X[:40].mean(0), atol=0.1)
    assert torch.allclose(population[4000:].std(0), X[40:].std(0), atol=0.1)


def test_intervened_sets_one_column():
    """f(x) = x0 + 10 x1 with x1 set to α: x0 + 10 α."""
    rows = torch.tensor([[1.0, 7.0], [2.0, 8.0]], dtype=torch.float64)
    curves = coverage.intervened(lambda x: x[:, 0] + 10 * x[:, 1], rows, 1, torch.tensor([0.0, 1.0]))
    assert curves.tolist() == [[1.0, 11.0], [2.0, 12.0]]
    assert rows[0, 1] == 7.0
