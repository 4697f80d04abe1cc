"""The search for a split: shares, thresholds, subsets and permutations against loops over rows."""

import itertools

import pytest
import torch

from acelib import FiniteSet, Interval
from acelib.interactions.search import (
    Judged,
    best_splits,
    centred_curves,
    crossed,
    explained,
    folds,
    judged_split,
    permuted_best,
    pooled_share,
)
from acelib.interactions.splits import MOST_THRESHOLDS, splits_of

F64 = torch.float64
EPS = torch.finfo(F64).eps
ANY = Interval(-9.0, 9.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(n=40, m=6, seed=0, *, weighted=False, groups=None):
    """Return an input, outputs ``(m, n)`` that depend on it, their curves, and the weights."""
    x = torch.rand(n, generator=generator(seed), dtype=F64)
    noise = torch.randn(m, n, generator=generator(seed + 1), dtype=F64)
    outputs = torch.linspace(0, 1, m, dtype=F64)[:, None] * (3 * x) + noise
    w = 0.5 + torch.rand(n, generator=generator(seed + 2), dtype=F64) if weighted else torch.ones(n, dtype=F64)
    return x, outputs, centred_curves(outputs, w, groups, EPS), w


def spread(outputs, w):
    """Return the variance of centred curves, averaged over the values, by loops."""
    centred = outputs - outputs.mean(0)
    means = [float(row @ w / w.sum()) for row in centred]
    parts = [float((row - mean) ** 2 @ w / w.sum()) for row, mean in zip(centred, means, strict=True)]
    return sum(parts) / len(parts)


def literal(outputs, w, first):
    """Return the share that a split explains, by its definition."""
    parts = [float(w[side].sum() / w.sum()) * spread(outputs[:, side], w[side]) for side in (first, ~first)]
    return 1 - sum(parts) / spread(outputs, w)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_share_of_every_threshold_is_the_reduction_of_spread(weighted):
    x, outputs, curves, w = drawn(weighted=weighted)
    splits = splits_of("x", x, ANY)
    assert len(splits.conditions) == 39 and curves.total == pytest.approx(spread(outputs, w))
    found = explained(splits, curves.table[:, None], curves.total, 1e-9)[:, 0]
    for number, (left, right) in enumerate(splits.conditions):
        first = x <= left[1]
        assert torch.equal(splits.first(number), first) and torch.equal(~first, x >= right[0])
        assert float(found[number]) == pytest.approx(literal(outputs, w, first))
    allowed = explained(splits, curves.table[:, None], curves.total, 0.25)[:, 0] > 0
    for number, (left, _) in enumerate(splits.conditions):
        share = float(w[x <= left[1]].sum() / w.sum())
        assert bool(allowed[number]) == (min(share, 1 - share) >= 0.25)


def test_the_best_split_is_the_best_of_a_loop():
    x, outputs, curves, w = drawn(weighted=True)
    splits = splits_of("x", x, ANY)
    best, which = best_splits([splits], curves, 0.2)
    held = [x <= left[1] for left, _ in splits.conditions]
    allowed = [f for f in held if min(w[f].sum(), w[~f].sum()) >= 0.2 * w.sum()]
    assert float(best[0]) == pytest.approx(max(literal(outputs, w, f) for f in allowed))
    assert literal(outputs, w, held[int(which[0])]) == pytest.approx(float(best[0]))


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_a_finite_set_has_all_its_subsets(count):
    x = (torch.arange(40) % count).double()
    splits = splits_of("x", x, FiniteSet(range(count)))
    assert len(splits.conditions) == 2 ** (count - 1) - 1
    for number, (inside, outside) in enumerate(splits.conditions):
        assert 0 in inside and inside | outside == set(range(count)) and outside and not inside & outside
        assert torch.equal(splits.first(number), torch.isin(x, torch.tensor(sorted(inside)).double()))
    assert len(set(splits.conditions)) == len(splits.conditions)


def test_many_values_have_thresholds_and_each_against_the_rest():
    x = (torch.arange(60) % 12).double()
    sides = [inside for inside, _ in splits_of("x", x, FiniteSet(range(12))).conditions]
    assert sides == [frozenset(range(i + 1)) for i in range(11)] + [frozenset({i}) for i in range(1, 11)]
    more = splits_of("x", (torch.arange(60) % 20).double(), FiniteSet(range(20)))
    assert [left for left, _ in more.conditions] == [(None, i + 0.5) for i in range(19)]


def test_thresholds_are_at_quantiles_and_between_values():
    x = torch.rand(5000, generator=generator(), dtype=F64) ** 3
    splits = splits_of("x", x, ANY)
    assert len(splits.conditions) == MOST_THRESHOLDS
    shares = torch.tensor([float((x <= left[1]).double().mean()) for left, _ in splits.conditions])
    assert float((shares - torch.arange(1, MOST_THRESHOLDS + 1) / (MOST_THRESHOLDS + 1)).abs().max()) < 1e-3
    tied = torch.cat([torch.zeros(400), torch.arange(1, 201)]).double()
    assert {left[1] for left, _ in splits_of("x", tied, ANY).conditions} >= {0.5}
    single = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    assert splits_of("x", torch.tensor([1.0, float(single)]), ANY) is None  # no number lies between them
    assert splits_of("x", torch.ones(5), ANY) is None


@pytest.mark.parametrize("grouped", [False, True])
def test_judged_shares_have_no_bias_and_honest_errors(grouped):
    """A given split of normal curves: 400 draws of 30 rows; share 1 − E d² within / E d², by the closed form.

    The means of the sides are ± 1 and the noise has variance 1: share 1/2. With groups rows are repeated in threes.
    """
    found = []
    for seed in range(400):
        side = (torch.arange(30) % 2).double()
        y = (2 * side - 1) + torch.randn(30, generator=generator(seed), dtype=F64)
        repeats = 3 if grouped else 1
        outputs = torch.stack([y, -y]).repeat_interleave(repeats, 1)
        labels = torch.arange(30).repeat_interleave(repeats)
        curves = centred_curves(outputs, torch.ones(30 * repeats, dtype=F64), labels, EPS)
        found.append(pooled_share([judged_split(side.bool().repeat_interleave(repeats), curves)]))
    shares, errors = torch.tensor(found, dtype=F64).T
    assert abs(float(shares.mean()) - 0.5) < 0.02
    assert float(errors.mean() / shares.std()) == pytest.approx(1, abs=0.12)


def test_a_side_of_no_row_or_one_explains_nothing():
    _, _, curves, _ = drawn()
    none, one = judged_split(torch.ones(40, dtype=torch.bool), curves), judged_split(torch.arange(40) == 3, curves)
    assert isinstance(none, Judged) and pooled_share([none])[0] == 0
    assert one.apart[3] == one.squares[3]


def test_the_whole_search_explains_nothing_of_noise_on_rows_that_did_not_choose():
    """The mean over 200 draws is 0 within its error or below; in the rows that chose it is far above."""
    judged, chosen = [], []
    for seed in range(200):
        x = torch.rand(60, generator=generator(seed), dtype=F64)
        y = torch.randn(60, generator=generator(1000 + seed), dtype=F64)
        curves = centred_curves(torch.stack([y, -y]), torch.ones(60, dtype=F64), None, EPS)
        splits = [splits_of("x", x, ANY)]
        judged.append(float(crossed(splits, curves, 0.1, generator(9000 + seed)).shares[-1]))
        chosen.append(float(best_splits(splits, curves, 0.1)[0][0]))
    judged, chosen = torch.tensor(judged), torch.tensor(chosen)
    assert -0.03 < float(judged.mean()) < 2 * float(judged.std()) / 200**0.5
    assert float(chosen.mean()) > 0.06


def test_folds_are_fifths_of_whole_groups():
    fold = folds(torch.arange(100), generator())
    assert fold.bincount().tolist() == [20] * 5
    labels = torch.arange(30).repeat_interleave(torch.randint(1, 9, (30,), generator=generator()))
    fold = folds(labels, generator())
    assert all(len(fold[labels == g].unique()) == 1 for g in range(30))
    assert int(fold.bincount().min()) > 0.5 * len(labels) / 5


def test_a_permutation_is_a_permutation():
    """Of four rows there are 24: every permuted best is among those of a loop, and all of them come."""
    x, y = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=F64), torch.tensor([1.0, 2.0, 4.0, 9.0], dtype=F64)
    w, outputs = torch.ones(4, dtype=F64), torch.stack([y, -y])
    curves, splits = centred_curves(outputs, w, None, EPS), [splits_of("x", x, ANY)]
    null = permuted_best(splits, curves, 0.25, 400, generator())
    held = [x <= left[1] for left, _ in splits[0].conditions]
    possible = {
        round(max(literal(outputs[:, list(p)], w, f) for f in held), 9) for p in itertools.permutations(range(4))
    }
    assert {round(float(share), 9) for share in null} == possible


def test_a_permutation_moves_whole_groups():
    """Candidates and curves that are equal within groups: groups of one size leave every sum one over whole groups."""
    labels = torch.tensor([2, 0, 1, 2, 0, 1])
    x, y = labels.double(), torch.tensor([4.0, 1.0, 2.0])[labels].double()
    outputs, w = torch.stack([y, -y]), torch.ones(6, dtype=F64)
    curves, splits = centred_curves(outputs, w, labels, EPS), [splits_of("x", x, ANY)]
    null = permuted_best(splits, curves, 0.1, 100, generator())
    values = torch.tensor([1.0, 2.0, 4.0], dtype=F64)
    held = [torch.tensor([True, False, False]), torch.tensor([True, True, False])]
    each = [
        max(literal(torch.stack([values[list(p)], -values[list(p)]]), w[:3], f) for f in held)
        for p in itertools.permutations(range(3))
    ]
    assert {round(float(share), 9) for share in null} == {round(share, 9) for share in each}


def test_the_permutation_test_keeps_its_level():
    """Curves that are independent of three candidates, 400 draws of 60 rows: 5 % within 2.5 standard errors."""
    finds = 0
    for seed in range(400):
        x = torch.rand(60, 3, generator=generator(seed), dtype=F64)
        y = torch.randn(60, generator=generator(1000 + seed), dtype=F64)
        curves = centred_curves(torch.stack([y, -y]), torch.ones(60, dtype=F64), None, EPS)
        splits = [splits_of(str(i), x[:, i].contiguous(), ANY) for i in range(3)]
        null = permuted_best(splits, curves, 0.1, 39, generator(5000 + seed))
        finds += int((null >= best_splits(splits, curves, 0.1)[0].max()).sum()) < 2
    assert abs(finds / 400 - 0.05) < 2.5 * (0.05 * 0.95 / 400) ** 0.5


def test_groups_keep_the_level_and_rows_do_not():
    """Candidate and slope are shared within 24 groups of unequal sizes: by rows most draws would find something."""
    finds = {"groups": 0, "rows": 0}
    for seed in range(150):
        labels = torch.arange(24).repeat_interleave(torch.randint(2, 8, (24,), generator=generator(seed)))
        x = torch.rand(24, generator=generator(1000 + seed), dtype=F64)[labels]
        y = torch.randn(24, generator=generator(2000 + seed), dtype=F64)[labels]
        for kind in finds:
            groups = labels if kind == "groups" else None
            curves = centred_curves(torch.stack([y, -y]), torch.ones(len(y), dtype=F64), groups, EPS)
            splits = [splits_of("x", x, ANY)]
            null = permuted_best(splits, curves, 0.1, 39, generator(3000 + seed))
            finds[kind] += int((null >= best_splits(splits, curves, 0.1)[0].max()).sum()) < 2
    assert finds["groups"] <= 17 and finds["rows"] > 40


def test_the_error_of_a_pooled_share_is_that_of_a_ratio():
    """Against leaving out each of 400 rows in turn, whose distances from both means go together: to 3 %."""
    squares = 1 + torch.rand(400, generator=generator(), dtype=F64).square() * 9
    apart = squares * torch.rand(400, generator=generator(1), dtype=F64)
    curves = centred_curves(torch.randn(3, 400, generator=generator(2), dtype=F64), torch.ones(400).double(), None, EPS)
    share, error = pooled_share([Judged(apart, squares, curves)])
    out = 1 - (apart.sum() - apart) / (squares.sum() - squares)
    jackknife = ((out - out.mean()).square().sum() * 399 / 400).sqrt().item()
    assert share == pytest.approx(1 - (apart.sum() / squares.sum()).item()) and error == pytest.approx(
        jackknife, rel=0.03
    )
