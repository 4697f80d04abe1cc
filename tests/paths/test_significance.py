"""z-scores, p-values and decisions against the textbook formulas, and the level of the t-test by simulation."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from acelib.paths.significance import Test, adjust, p_values, t_p_values, z_scores


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    y = rng.normal(3, 1, 50)
    return rng.normal(0.1, 0.4, (5, 50)), y


def test_paired_is_the_one_sample_statistic(samples):
    d, y = samples
    z, error = z_scores(torch.from_numpy(d), torch.from_numpy(y))
    assert np.abs(z.numpy() - stats.ttest_1samp(d, 0, axis=1).statistic).max() < 1e-12
    assert np.abs(error.numpy() - stats.sem(d, axis=1)).max() < 1e-12


def test_unpaired_is_welchs_statistic(samples):
    d, y = samples
    z, _ = z_scores(torch.from_numpy(d), torch.from_numpy(y), test="unpaired")
    assert np.abs(z.numpy() - [stats.ttest_ind(y + row, y, equal_var=False).statistic for row in d]).max() < 1e-12


def test_two_sided_p_values(samples):
    z = torch.tensor([-1.959963984540054, 0.0, 2.5758293035489004])
    assert np.abs(p_values(z).numpy() - [0.05, 1.0, 0.01]).max() < 1e-7


def test_no_effect_is_z_zero_and_a_constant_one_is_infinite():
    z, _ = z_scores(torch.tensor([[0.0] * 30, [-0.5] * 30]), torch.zeros(30))
    assert z.tolist() == [0.0, -np.inf] and p_values(z).tolist() == [1.0, 0.0]
    z, _ = z_scores(torch.zeros(1, 30), torch.zeros(30), test="unpaired")
    assert z.tolist() == [0.0]


def test_adjusted_p_values():
    """Holm by hand: 4*.01, then the running maximum of 3*.02, 2*.03, 1*.5; Benjamini-Hochberg: min over p*4/rank."""
    p = torch.tensor([0.03, 0.01, 0.5, 0.02], dtype=torch.float64)
    assert torch.allclose(adjust(p, "holm"), torch.tensor([0.06, 0.04, 0.5, 0.06], dtype=torch.float64))
    assert torch.allclose(adjust(p, "fdr"), torch.tensor([0.04, 0.04, 0.5, 0.04], dtype=torch.float64))
    assert torch.equal(adjust(p, None), p) and len(adjust(p[:0], "holm")) == 0
    near = torch.tensor([0.01, 0.0111, 0.011], dtype=torch.float64)  # 3*.01 exceeds 2*.011 and 1*.0111
    assert torch.allclose(adjust(near, "holm"), torch.tensor([0.03, 0.03, 0.03], dtype=torch.float64))
    assert adjust(torch.tensor([0.9, 0.8]), "holm").max() <= 1


@pytest.mark.parametrize("correction", [None, "holm", "fdr"])
def test_a_decision_is_made_row_by_row_on_adjusted_p_values(correction):
    """Each row of scores is a run of its own: the rule applied to all of them equals the formulas on each."""
    z = torch.from_numpy(np.random.default_rng(1).normal(0, 2.5, (40, 6)))
    rule = Test(0.1, "paired", correction)
    together = rule.decide(z)
    sides = set()
    for r, row in enumerate(z):
        p = torch.from_numpy(2 * stats.norm.sf(row.abs().numpy()))
        significant = adjust(p, correction) < 0.1
        assert torch.equal(together.p[r], p) and torch.equal(together.p_adjusted[r], adjust(p, correction))
        assert torch.equal(together.necessary[r], significant & (row < 0))
        assert torch.equal(together.noisy[r], significant & (row > 0))
        necessary, noisy, neutral = rule.decide(row).roles()
        assert sorted(necessary + noisy + neutral) == list(range(6))
        assert list(necessary) == together.necessary[r].nonzero()[:, 0].tolist()
        sides |= {bool(necessary), bool(noisy), bool(neutral)}
    assert sides == {True, False}


def literal_t(d):
    """The p-value of one node and the least that its inputs allow, step by step as the docstring tells it."""
    values, counts = np.unique(d, return_counts=True)
    unlike = len(d) - counts.max() if counts.max() > 1 else len(d)
    least = min(1.0, 2.0 ** (1 - unlike))
    x = d[d != 0]
    m = len(x)
    if m < 2 or np.ptp(x) == 0:
        return max(least, float(not x.any())), least
    t, skewness = stats.ttest_1samp(x, 0).statistic, stats.skew(x, bias=False) if m > 2 else 0.0
    w = max(0.0, -np.sign(t) * skewness + np.sqrt(6 / m))
    r = w / np.sqrt(m)
    cubic = max(0.0, 3 / r * (1 - (1 - r * abs(t) / 3) ** 3) / 3 - r / 6) if r else abs(t)
    p = max(2 * stats.t.sf(cubic, max(1, min(m / (1 + 0.75 * w**2), m - 1))), 2 * stats.t.sf(abs(t), m - 1))
    return max(p, least), least


LAWS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "exponential": lambda rng, size: rng.exponential(size=size) - 1,
    "lognormal": lambda rng, size: rng.lognormal(size=size) - np.exp(0.5),
    "rare": lambda rng, size: (rng.random(size) < 0.1) - 0.1,
    "rare and skewed": lambda rng, size: (rng.random(size) < 0.1) * rng.exponential(size=size) - 0.1,
    "silent but for a few": lambda rng, size: (rng.random(size) < 0.1) * (rng.exponential(size=size) - 1),
}


@pytest.mark.parametrize("n", [30, 77])
@pytest.mark.parametrize("name", LAWS)
def test_t_equals_its_literal_form(name, n):
    """Shifted both ways, so that skewness lies with and against the decision; 1e-9 of the p-value."""
    rng = np.random.default_rng(n)
    d = LAWS[name](rng, (40, n)) + np.repeat([-0.5, 0.0, 0.0, 0.5], 10)[:, None]
    d[::7] *= -1
    p, least = t_p_values(torch.from_numpy(d))
    truth = np.array([literal_t(row) for row in d])
    assert np.abs(p.numpy() / truth[:, 0] - 1).max() < 1e-9 and np.abs(least.numpy() - truth[:, 1]).max() < 1e-15
    assert torch.allclose(t_p_values(torch.from_numpy(-1e5 * d))[0], p, rtol=1e-9)  # neither unit nor sign matter


@pytest.mark.parametrize("n", [30, 100, 300])
@pytest.mark.parametrize("name", LAWS)
def test_t_holds_its_level_for_skewed_and_rare_differences(name, n):
    """10,000 null nodes: at most 6.5 % below 0.05; families of 100 err in at most 7 % (plus three binomial errors)."""
    p, _ = t_p_values(torch.from_numpy(LAWS[name](np.random.default_rng(0), (10_000, n))))
    assert (p < 0.05).double().mean() <= 0.065
    first = p.view(100, 100).amin(1) < 0.05 / 100  # Holm's first step, under the complete null hypothesis
    assert first.double().mean() <= 0.07 + 3 * (0.07 * 0.93 / 100) ** 0.5


def test_the_z_test_errs_where_the_t_test_does_not():
    d = torch.from_numpy(LAWS["lognormal"](np.random.default_rng(0), (4000, 30)))
    assert (p_values(z_scores(d, d[0])[0]) < 0.05).double().mean() > 0.1


@pytest.mark.parametrize("sign", [-1, 1])
def test_t_finds_what_a_rectified_unit_carries(sign):
    """Differences of one sign: skewness is with the decision, so that every one of 500 planted nodes is found."""
    x = np.random.default_rng(0).normal(size=(500, 100)).clip(0)
    d = torch.from_numpy(sign * x)
    decision = Test(0.05, "t", "holm").judge(z_scores(d, d[0])[0], d)
    assert bool((decision.necessary if sign < 0 else decision.noisy).all()) and not decision.untold.any()


@pytest.mark.parametrize(("correction", "needed"), [(None, 6), ("fdr", 7), ("holm", 8)])
def test_a_node_moved_by_too_few_inputs_is_neutral_and_named(correction, needed):
    """2^(1-k) < 0.05 from k = 6, below 0.05 * 2 / 6 from 7 and 0.05 / 5 from 8; silent nodes are plainly neutral."""
    d = -torch.rand(6, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 5
    for row, k in enumerate((0, 1, needed - 1, needed, 50, 50)):
        d[row, k:] = 0
    d[5] = -1.0  # the same on all inputs
    found = Test(0.05, "t", correction).judge(z_scores(d, d[0])[0], d)
    assert found.roles() == ((3, 4), (), (0, 1, 2, 5))
    assert found.untold.tolist() == [False, True, True, False, False, True]
    noise = 1e-9 * torch.randn(d.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    same = Test(0.05, "t", correction).judge(z_scores(d, d[0])[0], d + noise, rounding=1e-8)
    assert same.roles() == found.roles() and torch.equal(same.untold, found.untold)


def test_rounding_on_silent_inputs_does_not_make_them_count():
    rng = np.random.default_rng(2)
    d = torch.from_numpy(LAWS["silent but for a few"](rng, (50, 200)))
    noise = 1e-9 * torch.from_numpy(rng.normal(size=d.shape))
    p, least = t_p_values(d)
    noisy, _ = t_p_values(d + noise, rounding=1e-8)
    assert (p > least).double().mean() > 0.8 and torch.allclose(noisy, p, rtol=1e-6, atol=0)


def test_a_test_is_frozen_and_refuses_what_does_not_exist():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Test().alpha = 0.1
    for options, message in (
        (dict(alpha=0), "alpha must lie between 0 and 1, got 0"),
        (dict(kind="f"), "test must be one of t, paired, unpaired, got 'f'"),
        (dict(correction="bonferroni"), "correction must be None, 'holm' or 'fdr', got 'bonferroni'"),
    ):
        with pytest.raises(ValueError, match=message):
            Test(**options)


def test_path_interventions_load_no_statistics_and_no_pictures():
    """A tested effect needs neither scipy.stats (slow to import) nor matplotlib, pandas or bars."""
    code = (
        "import sys, torch; from acelib.paths import treatment_effects;"
        "treatment_effects(torch.nn.Linear(3, 2), torch.rand(30, 3), 0, '', correction='holm');"
        "print([m for m in ('scipy.stats', 'matplotlib', 'pandas', 'tqdm.auto') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
