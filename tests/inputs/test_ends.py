"""The errors of a sample's ends, against laws whose extremes are known and against what repeated samples scatter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from acelib import InputDistribution, Interval
from acelib.inputs.ends import INDICES, PRIOR, end_errors, sample_ranges

LAWS = {
    "uniform": lambda r, size: r.random(size),
    "normal": lambda r, size: r.normal(size=size),
    "exponential": lambda r, size: r.exponential(size=size),
    "lognormal": lambda r, size: np.exp(r.normal(size=size)),
    "t3": lambda r, size: r.standard_t(3, size),
    "rain": lambda r, size: r.gamma(0.6, size=size) * (r.random(size) < 0.3),
    "rounded": lambda r, size: np.round(r.normal(size=size), 1),
}


def draws(law: str, count: int, times: int, seed: int = 0) -> torch.Tensor:
    """``(times, count)`` samples of a law."""
    return torch.from_numpy(LAWS[law](np.random.default_rng(seed), (times, count)))


def by_hand(x: list[float], larger: float) -> tuple[float, float]:
    """Std and reach of the largest of distinct values, or of more rows: the docstring of the module, term by term."""
    x = sorted(x, reverse=True)
    j = min(len(x) - 1, 16)
    z = [i * (x[i - 1] - x[i]) for i in range(1, j + 1)]
    weights, stds, reaches = [], [], []
    for xi in INDICES:
        c = [math.exp(gammaln(i - xi) - gammaln(i)) for i in range(1, j + 1)]
        a = sum(zi / ci for zi, ci in zip(z, c, strict=True)) / j
        loglik = sum(-math.log(a * ci) - zi / (a * ci) for zi, ci in zip(z, c, strict=True))
        weights.append(math.exp(loglik - 0.5 * ((xi - PRIOR[0]) / PRIOR[1]) ** 2))
        a *= larger**xi  # the next step scales by the power of the tail index
        xi = xi if abs(xi) > 1e-4 else 1e-4  # the limit at 0
        shown = min(max((-0.3 - xi) / 0.1, 0.0), 1.0)
        g1, g2 = math.gamma(1 - xi), math.gamma(1 - 2 * xi)
        stds.append(a * math.sqrt((g2 - g1**2) / xi**2 + shown * (g1 / xi) ** 2))
        reaches.append((1 - shown) * a * (100**xi - 1) / xi)
    std = math.exp(np.average(np.log(stds), weights=weights))
    return std, float(np.average(reaches, weights=weights))


@pytest.mark.parametrize("count", [2, 5, 20, 90])
@pytest.mark.parametrize("law", ["uniform", "normal", "t3"])
def test_errors_are_those_of_the_formulae(law, count):
    """Against the literal sums, for both ends, of these rows and of seven times as many, to 1e-6."""
    x = draws(law, count, 1)
    for largest, larger in ((True, 1.0), (False, 1.0), (True, 7.0)):
        found = [float(v[0]) for v in end_errors(x, larger, largest=largest)]
        assert np.allclose(found, by_hand((x[0] if largest else -x[0]).tolist(), larger), rtol=1e-6)


def test_either_end_has_its_own_error_and_reach():
    """The lower end of an exponential law is sharp, the upper one is not."""
    x = draws("exponential", 80, 3)
    low, high = (np.array(end_errors(x, largest=largest)).T.tolist() for largest in (False, True))
    found = sample_ranges(x.T)
    assert [[one.low_std, one.low_reach] for one in found] == low and low[0] < high[0]
    assert [[one.high_std, one.high_reach] for one in found] == high


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("count", [500, 3000])
def test_errors_are_the_scatter_of_repeated_samples(law, count):
    """Two samples differ by more than 1.96 joint errors in about 5 % of pairs: at most 9 % (400 pairs, s.e. 1.1 %)."""
    x = draws(law, count, 800)
    for largest in (True, False):
        ends = (x.amax(1) if largest else x.amin(1)).numpy()
        std, _ = end_errors(x, largest=largest)
        joint = np.hypot(std[::2], std[1::2])
        assert (np.abs(ends[::2] - ends[1::2]) > 1.96 * joint + 1e-12).mean() <= 0.09
        scatter = (np.quantile(ends, 0.84) - np.quantile(ends, 0.16)) / 2  # robust: those of t3 have heavy tails
        # where a sample shows its end, the error is the distance from it, √2 times the standard deviation or more
        most = 2.6 if law == "uniform" else 2.0
        assert scatter <= 1.3 * np.median(std) and np.median(std) <= most * scatter + 1e-9


@pytest.mark.parametrize("power", [1.0, 0.5, 1.5])
def test_an_end_that_shows_is_within_the_error(power):
    """Of laws on [0, 1] with density ~ (1 − x)^(1/power − 1) at the upper end: 1.96 errors reach it in 80 % or more."""
    x = 1 - draws("uniform", 1000, 500) ** power
    std, reach = end_errors(x)
    short = 1 - x.amax(1).numpy()
    assert (short <= 1.96 * std).mean() > 0.8
    assert np.median(reach) < np.median(std)  # nothing to speak of lies beyond


@pytest.mark.parametrize("law", ["normal", "exponential", "t3"])
def test_a_law_without_an_end_reaches_on(law):
    """The mean maximum of 100 times as many rows lies about one reach farther: within a factor of 2 in the median."""
    few, many = draws(law, 200, 400), draws(law, 20_000, 40, seed=1)
    grown = float(many.amax(1).median() - few.amax(1).median())
    reach = np.median(end_errors(few)[1])
    assert grown / 2 < reach < 2 * grown


def test_units_shifts_and_order_do_not_matter():
    """The errors of c x + d are c times those of x; exact up to rounding."""
    x = draws("normal", 60, 3)
    std, reach = end_errors(x)
    for scale in (1e-9, 1e9):
        moved = end_errors(scale * x.flip(1))
        assert np.allclose(moved[0], scale * std, rtol=1e-6) and np.allclose(moved[1], scale * reach, rtol=1e-6)
    assert np.allclose(end_errors(x + 5)[0], std, rtol=1e-6)
    assert np.allclose(end_errors(-x, largest=False)[0], std)
    assert np.allclose(end_errors(x.float())[0], std, rtol=1e-3)


def test_ends_that_keep_coming_are_certain():
    """Zeros of dry days, constants and clipped values."""
    rain = draws("rain", 400, 2)
    assert (end_errors(rain, largest=False)[0] == 0).all() and (end_errors(rain)[0] > 0).all()
    assert (end_errors(torch.full((2, 9), 3.0))[0] == 0).all()
    assert (end_errors(draws("normal", 300, 2).clamp(-0.5, 0.5))[0] == 0).all()
    assert end_errors(torch.zeros(3, 1))[0].tolist() == [0, 0, 0]


def test_dependent_rows_count_as_their_groups():
    """Rows that come ten times are as good as one: the errors are exactly those of the groups' extremes."""
    x = draws("normal", 80, 3).T
    groups = torch.arange(80).repeat(10)
    noisy = x.repeat(10, 1) - torch.linspace(0, 1, 10, dtype=x.dtype).repeat_interleave(80)[:, None]
    found, plain = sample_ranges(noisy, groups=groups), sample_ranges(x)
    assert [one.high_std for one in found] == pytest.approx([one.high_std for one in plain])
    assert str(found[0]) == "range of 800 rows in 80 groups"
    naive = sample_ranges(x.repeat(10, 1))
    assert all(a.high_std < b.high_std for a, b in zip(naive, found, strict=True))


@pytest.mark.parametrize("law", ["exponential", "uniform"])
def test_a_stream_is_judged_by_the_rows_that_are_kept(law):
    """A reservoir of 500 of 5000 rows gives the errors of the 5000: within a factor of 2 in the median."""
    X = draws(law, 5000, 20).T
    kept = InputDistribution.fit(iter(X.split(250)), max_rows=500)
    whole = InputDistribution.fit(X)
    ratio = [a.origin.high_std / b.origin.high_std for a, b in zip(kept.domain, whole.domain, strict=True)]
    assert 0.5 < np.median(ratio) < 2 and kept.domain[0].origin.rows == 5000
    assert kept.domain == whole.domain


def test_only_what_the_sample_says_has_an_origin():
    """Named domains, finite sets and moments are certain; equality is that of the ends."""
    X = torch.stack([torch.linspace(0, 1, 40), torch.arange(40.0) % 2, torch.linspace(2, 5, 40) ** 2], dim=1)
    inputs = InputDistribution.fit(X, ["a", "b", "c"], domain={"c": (0, 30)})
    assert inputs.domain[0] == Interval(0.0, 1.0) and str(inputs.domain[0].origin) == "range of 40 rows"
    assert not hasattr(inputs.domain[1], "origin") and inputs.domain[2].origin is None
    assert repr(inputs.domain[0]) == "Interval(low=0.0, high=1.0, range of 40 rows)"
    assert "domain: 1 of 2 named, else range of 40 rows" in repr(inputs)
    assert "domain: named" in repr(InputDistribution.fit(X, domain=(0, 30)))
    assert "domain: range of 40 rows" in repr(InputDistribution.fit(X[:, [0, 2]]))
    moments = InputDistribution.from_moments(X.mean(0), torch.eye(3), low=0, high=1)
    assert all(domain.origin is None for domain in moments.domain)


def test_weights_do_not_change_a_range_but_rows_without_weight_are_no_rows():
    """The range is that of the rows: twice the weight is no second row."""
    X = draws("normal", 50, 2).T
    weights = torch.arange(50.0)
    weighed = InputDistribution.fit(X, weights=weights)
    assert weighed.domain[0].origin == InputDistribution.fit(X[1:]).domain[0].origin
