"""Regional effects: planted interactions in closed form, their control, and what the call accepts and refuses."""

import copy
import warnings

import pytest
import torch
from helpers import network
from sequence_networks import draw
from sequence_networks import network as sequence_network

from acelib import (
    FeedbackSequences,
    InputDistribution,
    LatentPrior,
    RegionalEffects,
    interventional_expectation,
    regional_effects,
)

F64 = torch.float64
SQUARE = (-1.0, 1.0)


@pytest.fixture(autouse=True)
def calm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def uniform(n=400, k=4, seed=0):
    """Return independent inputs, uniform on [−1, 1]."""
    return 2 * torch.rand(n, k, generator=torch.Generator().manual_seed(seed), dtype=F64) - 1


def fitted(X, **options):
    return InputDistribution.fit(X, **{"domain": SQUARE, **options})


def product(x):
    """x0 · x1, and what no region of x1 or x2 explains: x0 · x3 / 2."""
    return (x[:, 0] * (x[:, 1] + x[:, 3] / 2) + x[:, 2] ** 2)[:, None]


def additive(x):
    return (x[:, 0] ** 2 + x[:, 1] + x[:, 2].sin())[:, None]


def slope(e):
    return float((e.values[-1] - e.values[0]) / (e.alphas[-1] - e.alphas[0]))


def test_a_product_has_two_regions_with_slopes_of_their_own():
    """In a region the slope is the mean of x1 + x3 / 2 over its rows; overall it is that over all rows."""
    X = uniform()
    found = regional_effects(product, fitted(X), "x0")
    assert found.by == "x1" and found.found() and found.p_value == 1 / 200
    cut = found.conditions[0]["x1"][1]
    assert found.conditions == ({"x1": (None, cut)}, {"x1": (cut, None)}) and abs(cut) < 0.3
    for e, held in zip(found.regions, (X[:, 1] <= cut, X[:, 1] >= cut), strict=True):
        assert slope(e) == pytest.approx(float((X[held, 1] + X[held, 3] / 2).mean())) and e.num_rows == int(held.sum())
    assert slope(found.overall) == pytest.approx(float((X[:, 1] + X[:, 3] / 2).mean()))
    assert found.sides == (f"x1 <= {cut:.4g}", f"x1 >= {cut:.4g}")


def test_regions_are_those_of_where():
    """Both expectations to the last bit, with support, errors and individual curves."""
    inputs, net = fitted(uniform(), domain=None), network(4)
    found = regional_effects(net, inputs, "x0", target=1)
    for condition, e in zip(found.conditions, found.regions, strict=True):
        again = interventional_expectation(net, inputs.where(condition), "x0", e.alphas, outputs=[1])
        assert torch.equal(e.values, again.values) and torch.equal(e.stderr, again.stderr)
        assert torch.equal(e.support, again.support) and torch.equal(e.individual, again.individual)
    assert found.spreads[0] == pytest.approx(float(found.overall.spread.square().mean() * 399 / 400) ** 0.5)
    inside = [e.num_rows / 400 * s**2 for e, s in zip(found.regions, found.spreads[1:], strict=True)]
    assert 1 - sum(inside) / found.spreads[0] ** 2 == pytest.approx(float(found.best.max()))


def test_the_share_of_a_product():
    """Uniform x1 cut at 0: (1/4) / (1/3 + 1/12) = 3/5, less what it takes to find 0; x2 explains nothing."""
    found = regional_effects(product, fitted(uniform(2000)), "x0", candidates=["x1", "x2"])
    assert abs(found.share - 0.6) < 3 * found.stderr < 0.06
    low, high = found.interval()
    assert low < 0.6 < high and low < found.share < high
    assert abs(float(found.shares[1])) < 0.01 and float(found.p_values[1]) > 0.05
    assert float(found.best[1]) < 2 * found.line < float(found.best[0])


def test_of_an_additive_function_there_is_nothing_to_split():
    for dtype in (F64, torch.float32):
        found = regional_effects(lambda x: additive(x) + 1000, fitted(uniform().to(dtype)), "x0")
        assert found.by is None and found.share == 0 and found.stderr == 0 and found.p_value == 1
        assert not found.found() and found.regions == () and found.conditions == () and found.line == 0
        assert bool((found.p_values == 1).all()) and "same curve" in repr(found)


def test_planted_interactions_are_found_and_nothing_else():
    """200 repetitions of 400 rows: x1 in at least 95 %; candidates without a part in it in at most 7 %.

    The planted interaction explains a third of the spread; the rest is of x4 and x5, which are no candidates.
    """

    def planted(x):
        rest = x[:, 5] * x[:, 4] + torch.sin(9 * x[:, 5])
        return (x[:, 0] * (x[:, 1] + 0.8 * rest) + x[:, 2] ** 2)[:, None]

    hits, false = 0, 0
    for seed in range(200):
        inputs = fitted(uniform(400, 6, seed))
        options = dict(seed=seed, permutations=99)
        found = regional_effects(planted, inputs, 0, [-1.0, 0.0, 1.0], candidates=["x1", "x2", "x3"], **options)
        hits += found.found() and found.by == "x1"
        false += regional_effects(planted, inputs, 0, [-1.0, 1.0], candidates=["x2", "x3"], **options).found()
    assert hits >= 190 and false <= 14


def test_the_error_of_the_share_covers():
    """A partner of 0 and 1 that splits in one way: share 0.21 / (0.21 + 0.64 / 3), 300 repetitions of 200 rows."""
    truth, held, shares, errors = 0.21 / (0.21 + 0.64 / 3), 0, [], []
    for seed in range(300):
        X = uniform(200, 4, seed)
        X[:, 1] = (X[:, 1] > 0.4).double()
        inputs = fitted(X, domain={"x0": SQUARE, "x1": {0, 1}})
        model = lambda x: (x[:, 0] * (x[:, 1] + 0.8 * x[:, 3]))[:, None]  # noqa: E731
        found = regional_effects(model, inputs, 0, [-1.0, 1.0], candidates=["x1", "x2"], seed=seed, permutations=19)
        low, high = found.interval()
        held += low <= truth <= high
        shares.append(found.share)
        errors.append(found.stderr)
    assert 0.90 <= held / 300 <= 0.98
    assert abs(float(torch.tensor(shares).mean()) - truth) < 0.02
    assert float(torch.tensor(errors).mean()) == pytest.approx(float(torch.tensor(shares).std()), rel=0.15)


def test_the_true_partner_wins_over_one_that_goes_with_it():
    """x2 is correlated with x1 by 0.7 and is found too: the null is independence of the curves."""
    wins, both = 0, 0
    for seed in range(20):
        X = uniform(300, 4, seed)
        X[:, 2] = 0.7 * X[:, 1] + 0.714 * X[:, 2]
        found = regional_effects(product, fitted(X, domain=(-2.0, 2.0)), "x0", candidates=["x1", "x2"], seed=seed)
        wins += found.by == "x1"
        both += float(found.p_values.max()) <= 0.05
    assert wins == 20 and both == 20


def test_a_category_splits_by_its_subset():
    """Codes 0 to 4, of which 1 and 4 turn the effect round."""
    X = uniform(300)
    X[:, 1] = torch.arange(300) % 5
    inputs = fitted(X, domain={"x0": SQUARE, "x1": set(range(5))})
    found = regional_effects(lambda x: (x[:, 0] * (1 - 2 * (x[:, 1] % 3 == 1).double()))[:, None], inputs, "x0")
    assert found.conditions == ({"x1": {0, 2, 3}}, {"x1": {1, 4}}) and found.share == pytest.approx(1)
    assert found.stderr < 1e-9 and found.sides == ("x1 in {0, 2, 3}", "x1 in {1, 4}")
    assert [slope(e) for e in found.regions] == pytest.approx([1, -1])


def test_whole_weights_are_repeated_rows_where_these_are_groups():
    X = uniform(80)
    w = 1 + torch.arange(80) % 3
    repeated, groups = X.repeat_interleave(w, 0), torch.arange(80).repeat_interleave(w)
    weighted = regional_effects(product, fitted(X, weights=w), "x0", candidates=["x1"])
    literal = regional_effects(product, fitted(repeated), "x0", candidates=["x1"], groups=groups)
    assert float(weighted.best) == pytest.approx(float(literal.best)) and weighted.conditions == literal.conditions
    assert weighted.spreads == pytest.approx(literal.spreads)
    for one, other in zip(weighted.regions, literal.regions, strict=True):
        assert torch.allclose(one.values, other.values) and torch.allclose(one.stderr, other.stderr)


def test_groups_stay_whole():
    """Every row five times: with groups the errors are those of a fifth of the rows, without they are too small."""
    X, groups = uniform(60).repeat_interleave(5, 0), torch.arange(60).repeat_interleave(5)
    alone = regional_effects(product, fitted(X), "x0", candidates=["x1", "x2"])
    whole = regional_effects(product, fitted(X), "x0", candidates=["x1", "x2"], groups=groups)
    assert whole.stderr > 1.5 * alone.stderr and whole.freedom == pytest.approx(55) and alone.freedom > 250
    assert torch.equal(whole.best, alone.best) and whole.line > 2 * alone.line
    assert whole.overall.freedom == 59 and sum(e.freedom + 1 for e in whole.regions) == pytest.approx(60)
    texts = regional_effects(
        product, fitted(X), "x0", candidates=["x1", "x2"], groups=[f"g{int(g):03}" for g in groups]
    )
    assert texts == whole


def test_a_list_of_networks_is_split_by_its_mean_and_keeps_its_spread():
    """Each network has an interaction of its own with x2, which the mean has not."""
    nets = [lambda x, s=s: product(x) + s * x[:, :1] * (1 + x[:, 2:3]) for s in (-1.0, 0.0, 1.0)]
    found = regional_effects(nets, fitted(uniform()), "x0")
    alone = regional_effects(product, fitted(uniform()), "x0")
    assert found.conditions == alone.conditions and found.share == pytest.approx(alone.share)
    assert float(found.p_values[1]) > 0.05 and alone.regions[0].model_spread is None
    held = fitted(uniform()).where(found.conditions[0]).samples
    assert float(found.regions[0].model_spread[-1]) == pytest.approx(float(1 + held[:, 2].mean()))


def test_one_of_several_outputs_and_links():
    X = uniform()
    many = lambda x: torch.cat([additive(x), product(x)], 1)  # noqa: E731
    found = regional_effects(many, fitted(X), "x0", target=1)
    alone = regional_effects(product, fitted(X), "x0")
    assert found.target == 1 and found.share == pytest.approx(alone.share) and found.by == "x1"
    assert regional_effects(many, fitted(X), "x0", target=0).by is None
    linked = regional_effects(additive, fitted(X), "x0", link="sigmoid")
    assert linked.by == "x1" and linked.regions[0].values.max() < 1  # a sigmoid of a sum interacts


def test_the_seed_decides_and_chunks_do_not():
    inputs = fitted(uniform())
    found = regional_effects(product, inputs, "x0", seed=0)
    assert found == regional_effects(product, inputs, "x0")
    small = regional_effects(product, inputs, 0, chunk_size=999)
    assert torch.equal(small.null, found.null) and torch.allclose(small.regions[0].values, found.regions[0].values)
    other = regional_effects(product, inputs, "x0", seed=1)
    assert not torch.equal(found.null, other.null) and found.conditions == other.conditions
    few = regional_effects(product, inputs, "x0", rows=100)
    assert few.num_rows == 100 == sum(e.num_rows for e in few.regions) and few.cost == 3 * 25 * 100
    assert regional_effects(product, inputs, "x0", budget=25 * 120).num_rows == 120


def test_a_region_may_be_split_again():
    """x0 (x1 + [x1 > 0] x2): within x1 > 0 the rest is told apart by x2."""
    inputs = fitted(uniform(800))
    model = lambda x: (x[:, 0] * (3 * x[:, 1].sign() + (x[:, 1] > 0) * x[:, 2]))[:, None]  # noqa: E731
    first = regional_effects(model, inputs, "x0")
    second = regional_effects(model, inputs.where(first.conditions[1]), "x0")
    assert first.by == "x1" and second.by == "x2" and second.found()


def test_sequences_with_feedback():
    inputs = FeedbackSequences(sequence_network("gru", 2, 2), draw(60, 4, 2), target_step=2)
    found = regional_effects(inputs.model, inputs, (1, 0), target=0)
    assert set(found.candidates) == set(inputs.feature_names) - {"x0[1]"}
    assert sum(e.num_rows for e in found.regions) == 60 and 0 < found.best.max() < 1
    curves = found.overall
    again = interventional_expectation(inputs.model, inputs, (1, 0), curves.alphas, outputs=[0])
    assert torch.equal(again.values, curves.values)


def test_pinned_and_constant_inputs_are_no_candidates():
    X = uniform()
    X[:, 2] = 0.5
    found = regional_effects(product, fitted(X).do({"x3": 0.5}), "x0")
    assert found.candidates == ("x1",) and abs(slope(found.overall) - 0.25 - float(X[:, 1].mean())) < 1e-9


def test_what_it_says_and_what_it_holds():
    found = regional_effects(product, fitted(uniform()), "x0")
    said = repr(found)
    assert said.startswith("RegionalEffects(do(x0) on output 0, 400 rows: x1 <= ") and "p = 0.005" in said
    frame = found.to_frame()
    assert list(frame.columns) == ["candidate", "best", "share", "stderr", "p_value"] and len(frame) == 3
    assert frame.set_index("candidate").loc["x1", "p_value"] == found.p_value
    assert isinstance(found, RegionalEffects) and copy.deepcopy(found) == found
    assert len(found.folds) == 5 and all(set(fold) == {"x1"} for fold in found.folds)
    split = copy.copy(found)
    vars(split)["folds"] = ({"x3": (None, 0.1)}, *found.folds[1:])
    assert "parts of the rows chose x3" in repr(split)


def test_the_line_is_passed_by_one_permutation_in_twenty():
    found = regional_effects(product, fitted(uniform()), "x0", permutations=99)
    assert int((found.null > found.line).sum()) == 4 and len(found.null) == 99
    for share in (found.line * 1.0001, found.line * 0.9999):
        vars(found)["best"] = torch.tensor([share, 0.0, 0.0], dtype=F64)
        assert bool(found.p_values[0] <= 0.05) == (share > found.line)


X = uniform(60)


@pytest.mark.parametrize(
    "call, error, says",
    [
        (lambda: regional_effects(product, X, 0), TypeError, "inputs must be a causal input model"),
        (lambda: regional_effects(product, fitted(X), (0, 1)), ValueError, "feature must be a single input"),
        (lambda: regional_effects(product, fitted(X), 0, [0.5]), ValueError, "values must hold at least two, got 1"),
        (lambda: regional_effects(product, fitted(X[:19]), 0), ValueError, "at least 20 rows .* got 19"),
        (
            lambda: regional_effects(product, fitted(X), 0, groups=torch.arange(60) // 4),
            ValueError,
            "at least 20 groups .* got 15",
        ),
        (lambda: regional_effects(product, fitted(X), 0, candidates=[0, 1]), ValueError, "other inputs, got 'x0'"),
        (lambda: regional_effects(product, fitted(X), 0, candidates=[]), ValueError, "features must be a list"),
        (lambda: regional_effects(product, fitted(X), 0, least=0.6), ValueError, "least must be a share"),
        (lambda: regional_effects(product, fitted(X), 0, permutations=9), ValueError, "permutations must be at least"),
        (lambda: regional_effects(network(4), fitted(X), 0), ValueError, "target must name one of the 3 outputs"),
        (lambda: regional_effects(product, fitted(X), 0, target=1), ValueError, "target must be one of the 1 outputs"),
        (
            lambda: regional_effects(product, LatentPrior(4, 0, dtype=F64), 0),
            ValueError,
            "inputs must have rows for a condition",
        ),
        (
            lambda: regional_effects(product, fitted(torch.cat([X[:, :1], 0 * X[:, 1:]], 1)), 0),
            ValueError,
            "candidates must hold an input that varies",
        ),
        (
            lambda: regional_effects(
                product, fitted(torch.cat([X[:, :1], torch.eye(60, 3, dtype=F64)], 1), domain=(0.0, 1.0)), 0
            ),
            ValueError,
            "10% of the rows on either side",
        ),
    ],
)
def test_what_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()


@pytest.mark.parametrize(("rows", "groups", "said"), [(199, None, "199 rows"), (400, 2, "200 groups"), (400, 4, "100")])
def test_a_share_of_few_rows_says_what_its_interval_covers(rows, groups, said):
    """The record of coverage: about 87 to 90 % below 200 independent rows or groups, and then a warning says so."""
    X = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = None if groups is None else torch.arange(rows) // groups
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = regional_effects(
            lambda x: x[:, :1] * x[:, 1:2].sign(), InputDistribution.fit(X), "x0", groups=labels, permutations=19
        )
    texts = [str(one.message) for one in caught if "interval covers about 87" in str(one.message)]
    assert found.by == "x1" and len(texts) == (0 if said == "200 groups" else 1)
    assert not texts or said in texts[0]
