"""The probe of a truncated factor against the dropped trace, computed from the whole covariance in closed form."""

import pytest
import torch

from acelib.expectation.truncation import residual_probe

F64 = torch.float64
K = 6


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


ROWS = draw(80, K) @ draw(K, K, seed=1)
A = draw(K, K, seed=2)
SIGMA = (ROWS - ROWS.mean(0)).T @ (ROWS - ROWS.mean(0)) / len(ROWS)
VALUES, VECTORS = torch.linalg.eigh(SIGMA)
FACTOR = VECTORS.flip(1) * VALUES.flip(0).sqrt()


def quadratic(x):
    return (x @ A * x).sum(1, keepdim=True)


@pytest.mark.parametrize("feature", [None, 2])
def test_dropped_trace_of_a_quadratic(feature):
    """½ Tr((A + Aᵀ)(Σ − SSᵀ)) with row and column of the feature at zero; within 4 standard errors of 2000 probes."""
    left = SIGMA - FACTOR[:, :2] @ FACTOR[:, :2].T
    if feature is not None:
        left[feature] = left[:, feature] = 0
    estimate, error = residual_probe(quadratic, ROWS[:2], FACTOR[:, :2], ROWS, feature=feature, probes=2000)
    expected = (A * left).sum()
    assert estimate.shape == error.shape == (2, 1)
    assert ((estimate - expected).abs() < 4 * error).all() and (error < 0.2 * expected.abs().clamp_min(1)).all()


def test_a_whole_factor_leaves_nothing():
    estimate, error = residual_probe(quadratic, ROWS[:2], FACTOR, ROWS, probes=3)
    assert estimate.abs().max() < 1e-10 and error.abs().max() < 1e-10


def test_seeds():
    """None and 0 are the same seed; another one gives other directions."""
    first, same, other = (residual_probe(quadratic, ROWS[:1], FACTOR[:, :1], ROWS, seed=s)[0] for s in (None, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_errors():
    with pytest.raises(ValueError, match="probes must be at least 2, got 1"):
        residual_probe(quadratic, ROWS[:1], FACTOR, ROWS, probes=1)
    with pytest.raises(ValueError, match="factor and rows must have shapes"):
        residual_probe(quadratic, ROWS[:1], FACTOR, ROWS[:, :3])
