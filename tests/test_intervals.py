"""Student's t, Satterthwaite's number and Hall's transformation, against SciPy, definitions and coverage."""

import numpy as np
import pytest
import torch
from scipy import stats

from acelib import InputDistribution, interventional_expectation
from acelib._intervals import ends, normal_coverage, satterthwaite, student, wilson_ends
from acelib.paths.studies.held_out import wilson


def test_quantiles_are_those_of_students_t():
    freedom = np.array([0.7, 1, 2, 9, 199, np.inf])
    for level in (0.5, 0.95, 0.999):
        assert np.allclose(student(freedom, level), stats.t.ppf((1 + level) / 2, freedom), rtol=1e-9)
    assert normal_coverage(2) == pytest.approx(2 * stats.t.cdf(1.96, 2) - 1)
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match="level must lie between 0 and 1"):
            student(9, level)


def test_satterthwaite_matches_the_moments_of_a_sum():
    """A sum of scaled chi-squared variables: 2 mean² / variance, from 4 × 10⁵ draws, to 2 %."""
    rng = np.random.default_rng(0)
    scales, freedoms = np.array([3.0, 1.0]), (2, 9)
    draws = sum(s * rng.chisquare(f, 400_000) / f for s, f in zip(scales, freedoms, strict=True))
    found = satterthwaite([(np.array([s]), f) for s, f in zip(scales, freedoms, strict=True)])
    assert found.item() == pytest.approx(2 * draws.mean() ** 2 / draws.var(), rel=0.02)
    assert satterthwaite([(np.zeros(2), 3), (np.zeros(2), np.inf)]).tolist() == [np.inf, np.inf]
    each = satterthwaite([(np.array([1.0, 0.0]), 3), (np.array([0.0, 0.0]), np.array([5.0, 9.0]))])
    assert each.tolist() == [3.0, 9.0]


@pytest.mark.parametrize("skewness", [-0.8, -1e-12, 0.0, 1e-6, 0.3, 1.5])
def test_corrected_ends_invert_halls_transformation(skewness):
    """At both ends g(T) = T + k T²/3 + k² T³/27 + k/6 is the quantile of t, to 1e-9; without skewness T is."""
    t = float(student(20, 0.95))
    low, high = ends(np.array(0.0), np.array(1.0), 20, 0.95, np.array(skewness))
    for ratio, quantile in ((-low, t), (-high, -t)):
        g = ratio + skewness * ratio**2 / 3 + skewness**2 * ratio**3 / 27 + skewness / 6
        assert g == pytest.approx(quantile, abs=1e-5 if abs(skewness) < 1e-5 else 1e-9)


@pytest.mark.parametrize("rows", [3, 5, 10])
def test_intervals_of_few_rows_cover_where_the_normal_quantile_does_not(rows):
    """1500 samples of a normal output: Student's t covers 95 ± 2 %."""
    held = short = 0
    draws = torch.randn(1500, rows, 1, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
    for x in draws:
        stderr = x.std() / rows**0.5
        low, high = ends(x.mean().numpy(), stderr.numpy(), rows - 1.0, 0.95)
        held += bool(low <= 0 <= high)
        short += bool(x.mean().abs() <= 1.96 * stderr)
    assert 0.93 < held / 1500 < 0.97 and short / 1500 < 0.935


@pytest.mark.parametrize("case", ["rows", "groups", "weights", "weighted groups"])
def test_degrees_of_freedom_are_the_independent_parts_minus_one(case):
    """Rows or groups, of weighted ones (Σw)² / Σw², over several blocks."""
    g = torch.Generator().manual_seed(0)
    X = torch.randn(40, 2, generator=g, dtype=torch.float64)
    w = torch.rand(40, generator=g, dtype=torch.float64) if "weight" in case else torch.ones(40, dtype=torch.float64)
    labels = torch.arange(40) // 3 if "groups" in case else torch.arange(40)
    totals = torch.zeros(40, dtype=torch.float64).index_add_(0, labels, w)
    inputs = InputDistribution.fit(X, weights=w if "weight" in case else None)
    e = interventional_expectation(
        lambda x: x.prod(1, keepdim=True),
        inputs,
        0,
        [1.0, 2.0],
        groups=labels if "groups" in case else None,
        chunk_size=9,
    )
    assert e.freedom == pytest.approx((totals.sum() ** 2 / totals.square().sum()).item() - 1)
    low, high = e.interval(0.9)
    assert torch.allclose((high - low) / 2, e.stderr * float(student(e.freedom, 0.9)))


def test_a_contrast_of_values_keeps_what_they_share():
    """E[y | do(a)] − E[y | do(b)] of f = x0 + x1: rows cancel. Of f = x0 x1: the mean of x1 times the difference."""
    X = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    e = interventional_expectation(
        lambda x: torch.stack([x.sum(1), x.prod(1)], 1), InputDistribution.fit(X), 0, [1.0, 3.0]
    )
    values, stderr, freedom = e.contrast(torch.tensor([[-1.0, 1.0]], dtype=torch.float64))
    assert torch.allclose(values[0], torch.stack([torch.tensor(2.0).double(), 2 * X[:, 1].mean()]))
    assert stderr[0, 0] < 1e-7 and torch.isclose(stderr[0, 1], 2 * X[:, 1].std() / 50**0.5)
    assert freedom[0, 1].item() == pytest.approx(49)


def test_two_networks_have_one_degree_of_freedom():
    """Networks that say 0 and 2 whatever the rows: 1 ± t of one degree of freedom times √2 / √2."""
    inputs = InputDistribution.fit(torch.arange(8.0, dtype=torch.float64).reshape(4, 2))
    nets = [lambda x, said=said: 0 * x[:, :1] + said for said in (0.0, 2.0)]
    low, high = interventional_expectation(nets, inputs, 0, [1.0]).interval()
    assert [low.item(), high.item()] == pytest.approx([1 - 12.7062, 1 + 12.7062], abs=1e-4)


def test_the_symmetric_error_of_networks_dilutes_the_skewness_of_the_rows():
    """Third moments add and the networks' is 0, so skewness falls with the cube of the rows' part of the error."""
    X = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).exp()
    nets = [lambda x, shift=shift: shift + x[:, 1:] ** 2 for shift in (0.0, 4.0, 8.0)]
    e = interventional_expectation(nets, InputDistribution.fit(X), 0, [1.0])
    rows, between = e.stderr.square().numpy(), np.array([[16 / 3]])
    skewness = e.skewness.numpy() * (rows / (rows + between)) ** 1.5
    freedom = satterthwaite([(rows, 199), (between, 2)])
    expected = ends(e.values.numpy(), np.sqrt(rows + between), freedom, 0.95, skewness)
    assert 0.2 < (rows / between).item() < 5 and skewness.item() > 0.05
    assert np.allclose(np.ravel(e.interval()), np.ravel(expected), rtol=1e-9)


def test_one_row_has_no_interval_and_moments_have_the_normal_one():
    one = InputDistribution.from_moments(torch.zeros(2), torch.eye(2), low=-1, high=1, num_observed=30)
    e = interventional_expectation(lambda x: x.sum(1, keepdim=True), one, 0, [0.0])
    assert e.freedom == 29 and (e.interval()[1] - e.values).item() == pytest.approx(2.04523 * e.stderr.item(), rel=1e-5)


def test_wilson_counts_no_more_rows_than_there_are():
    """Outputs that hardly vary are no events: their error would stand for millions of rows."""
    p, rows = np.array([0.3]), 100
    steady = wilson_ends(p, np.array([1e-4]), rows - 1, rows, 0.95)
    events = wilson_ends(p, np.sqrt(p * (1 - p) / rows), rows - 1, rows, 0.95)
    assert np.allclose(steady, events, rtol=1e-9)
    certain = wilson_ends(p, np.array([1e-4]), np.inf, rows, 0.95)
    assert np.allclose(np.ravel(certain), wilson(30, rows), rtol=1e-9)
