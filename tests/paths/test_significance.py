"""z-scores, adjusted p-values and decisions against the textbook formulas, computed with numpy and scipy."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from acelib.paths.significance import Test, adjust, p_values, z_scores


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


def test_a_test_is_frozen_and_refuses_what_does_not_exist():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Test().alpha = 0.1
    for options, message in (
        (dict(alpha=0), "alpha must lie between 0 and 1, got 0"),
        (dict(kind="t"), "test must be one of paired, unpaired, got 't'"),
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
