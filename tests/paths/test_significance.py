"""z-scores and adjusted p-values against the textbook formulas, computed with numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from acelib.paths.significance import adjust, p_values, z_scores


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
