"""Moments of parts, merged, are those of all rows: however the rows are cut, weighted, grouped and skewed."""

from __future__ import annotations

import pickle
import random

import pytest
import torch

from acelib.expectation.row_moments import RowMoments


def drawn(seed):
    """Outputs, weights, labels, cuts and the size of a block for one seed."""
    choose, g = random.Random(seed), torch.Generator().manual_seed(seed)
    n, m, o = choose.randint(5, 300), choose.randint(1, 12), choose.randint(1, 3)
    y = torch.randn(m, n, o, generator=g, dtype=torch.float64)
    if choose.random() < 0.5:
        y = y.exp() ** 2
    y += torch.linspace(0, 100, m, dtype=torch.float64)[:, None, None]
    w = torch.rand(n, generator=g, dtype=torch.float64) + 0.1 if choose.random() < 0.5 else torch.ones(n).double()
    groups = choose.choice([0, 0, 2, 5, 50])
    labels = torch.randint(0, groups, (n,), generator=g).sort().values if groups else None
    cuts = sorted(choose.sample(range(1, n), min(n - 1, choose.randint(0, 6))))
    return y, w, labels, [0, *cuts, n], choose.choice([1, 7, 64])


def fed(moments, y, w, labels, start, stop, step):
    for i in range(start, stop, step):
        j = min(i + step, stop)
        moments.add(y[:, i:j], w[i:j], None if labels is None else labels[i:j])
    return moments


def close(found, expected, tolerance=1e-12):
    scale = float(expected.abs().max()) if expected.isfinite().all() else 0.0
    assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


@pytest.mark.parametrize("seed", range(80))
def test_parts_are_merged_to_the_moments_of_all(seed):
    y, w, labels, edges, step = drawn(seed)
    n = y.shape[1]
    whole, merged = fed(RowMoments(n), y, w, labels, 0, n, step), RowMoments(n)
    for start, stop in zip(edges, edges[1:], strict=False):
        wanted = [k for k in merged.wanted if start <= k < stop]
        part = fed(RowMoments.part(n, start, wanted), y, w, labels, start, stop, step).closed()
        merged.merge(pickle.loads(pickle.dumps(part)))
    covariance = whole.covariance()
    close(merged.mean, whole.mean)
    close(merged.covariance(), covariance)
    close(merged.spread(), whole.spread(), 1e-11)
    assert torch.equal(merged.individual(), whole.individual()) and merged.count == n
    assert (merged.freedom is None) == (whole.freedom is None)
    if whole.freedom is not None:
        assert merged.freedom == pytest.approx(whole.freedom, rel=1e-9)
    one, other = ((r.cubes if r.groups is None else r.groups.cubes) for r in (whole, merged))
    if one.step == other.step:  # else a first part of a few rows has decided otherwise which values to look at
        found, expected = merged.skewness(covariance), whole.skewness(covariance)
        assert (found is None) == (expected is None)
        if expected is not None:
            close(found, expected, 1e-9)


def test_what_travels_are_sums():
    """No rows: but for the curves that are shown, a part weighs at most 3 times its sums."""
    y, n = torch.randn(20, 5000, 10, dtype=torch.float64), 10_000
    part = fed(RowMoments.part(n, 5000, []), y, torch.ones(5000).double(), None, 0, 5000, 512).closed()
    sums = part.rows.second.nbytes + part.rows.first.nbytes
    assert len(pickle.dumps(part)) < 3 * sums < y.nbytes / 50
