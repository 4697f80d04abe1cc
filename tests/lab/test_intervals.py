"""Intervals against the definition of Clopper and Pearson, SciPy, and counted coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, bootstrap

from acelib.lab.intervals import bootstrap_interval, clopper_pearson


def test_clopper_pearson_inverts_the_binomial_tails():
    """The ends are the shares at which so few, or so many, have probability 2.5 %."""
    for count, num in ((0, 50), (3, 50), (50, 50), (9, 1_000_000)):
        low, high = clopper_pearson(count, num)
        assert low == 0 if count == 0 else abs(binom.sf(count - 1, num, low) - 0.025) < 1e-9
        assert high == 1 if count == num else abs(binom.cdf(count, num, high) - 0.025) < 1e-9


def test_clopper_pearson_of_arrays_is_scipys_one_by_one():
    """SciPy's root finding agrees with the quantile of the beta distribution to 1e-6."""
    counts = np.array([[0, 3], [17, 40]])
    for index in np.ndindex(2, 2):
        expected = binomtest(int(counts[index]), 40).proportion_ci(0.9, method="exact")
        assert np.allclose(clopper_pearson(counts, 40, level=0.9)[index], [expected.low, expected.high], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((5, 4), r"counts must lie in 0\.\.num with num at least 1, got 5\.\.5 of 4"),
        ((-1, 4), "counts must lie in"),
        ((0, 0), "counts must lie in"),
    ],
)
def test_clopper_pearson_refuses_bad_counts(arguments, words):
    with pytest.raises(ValueError, match=words):
        clopper_pearson(*arguments)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 1"):
        clopper_pearson(1, 4, level=1)


def test_bootstrap_interval_covers():
    """The percentile interval of 40 values covers about 94 %: the bound is five standard errors below."""
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(rng.normal(size=40), repeats=400, seed=i) for i in range(200)]
    assert sum(low <= 0 <= high for _, low, high in intervals) >= 176


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_bootstrap_interval_is_scipys_but_for_the_draws(statistic):
    """Ends from 20 000 resamples of either stream differ by less than a tenth of the width."""
    values = np.random.default_rng(1).exponential(size=60)
    center, low, high = bootstrap_interval(values, statistic=statistic, repeats=20_000)
    theirs = bootstrap((values,), statistic, method="percentile", n_resamples=20_000, random_state=1)
    assert center == statistic(values)
    ends = theirs.confidence_interval
    assert np.allclose([low, high], [ends.low, ends.high], atol=0.1 * (high - low))


def test_bootstrap_interval_needs_two_values():
    with pytest.raises(ValueError, match=r"values must have shape \(n,\) with n at least 2, got \(1,\)"):
        bootstrap_interval([1.0])
