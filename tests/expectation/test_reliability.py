"""Skewed outputs, rare events, and the warnings beside error bars; third moments against a literal loop."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from acelib import ApproximationWarning, AverageCausalEffect, InputDistribution, interventional_expectation
from acelib.expectation.reliability import MISSED, Doubts

VALUES = torch.linspace(-1, 1, 7, dtype=torch.float64)


def rows(n, seed=0, columns=3):
    return torch.randn(n, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mild(x):
    return torch.tanh(x @ x.new_tensor([[0.6, -0.3], [0.5, 0.8], [-0.4, 0.2]]))


def tailed(x):
    return torch.cat([torch.exp(1.2 * x[:, 1:2]) * (2 + x[:, :1]), torch.tanh(x[:, 2:])], dim=1)


def event(x):
    """1 where x1 passes a step that x0 moves: with probability 0.001 to 0.07 for x0 from −1 to 1."""
    return (x[:, 1:2] + 0.8 * x[:, :1] > 2.3).to(x)


def told(call):
    """What a call returns, and its warnings of this kind."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = call()
    return result, [str(w.message) for w in found if "standard error says too little" in str(w.message)]


@pytest.mark.parametrize("chunk", [None, 70, 7])
@pytest.mark.parametrize("case", ["rows", "weights", "groups", "weighted groups"])
def test_skewness_of_an_average_is_that_of_its_contributions(case, chunk):
    """Literal reference: Σ s³ / (Σ s²)^1.5 over the scores s = Σ w (y − mean) of rows or groups, to 1e-8."""
    X, g = rows(120), torch.Generator().manual_seed(3)
    w = torch.rand(120, generator=g).double() + 0.1 if "weight" in case else torch.ones(120).double()
    labels = torch.randint(40, (120,), generator=g) if "groups" in case else torch.arange(120)
    inputs = InputDistribution.fit(X, weights=w if "weight" in case else None, domain=(-3.0, 3.0))
    e = interventional_expectation(
        tailed, inputs, 0, VALUES, groups=labels if "groups" in case else None, chunk_size=chunk
    )
    for i, alpha in enumerate(VALUES):
        Z = X.clone()
        Z[:, 0] = alpha
        y = tailed(Z)
        scores = (
            torch.zeros(120, 2).double().index_add_(0, labels, w[:, None] * (y - (w[:, None] * y).sum(0) / w.sum()))
        )
        k = (scores**3).sum(0) / (scores**2).sum(0) ** 1.5
        assert torch.allclose(e.skewness[i], k, atol=1e-8), (i, e.skewness[i], k)


def test_mild_outputs_have_no_skewness_to_speak_of_and_no_warning():
    for seed in range(20):
        e, said = told(
            lambda s=seed: interventional_expectation(mild, InputDistribution.fit(rows(200, s)), 0, [0.0, 1.0])
        )
        assert e.skewness is None and not said and e.freedom == 199


def test_tails_in_some_rows_of_many_blocks_are_seen_between_the_values_looked_at():
    """Outliers after the first block of 100 values: the skewness of values in between is interpolated."""
    X = rows(4000)
    X[3000:3003, 1] = 400.0
    values = torch.linspace(-1, 1, 100, dtype=torch.float64)
    e, said = told(
        lambda: interventional_expectation(lambda x: x[:, 1:2] * (2 + x[:, :1]), InputDistribution.fit(X), 0, values)
    )
    assert e.skewness.shape == (100, 1) and (e.skewness > 0.5).all() and "long tails or rare events" in said[0]


def repeated(of, n=50, calls=12, columns=50):
    """600 expectations of independent columns, ``of`` them, at n rows each: 50 outputs a call."""
    for seed in range(calls):
        X = rows(n, seed, columns + 1)
        yield told(lambda X=X: interventional_expectation(lambda x: of(x[:, 1:]), InputDistribution.fit(X), 0, [0.0]))[
            0
        ]


@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_intervals_of_long_tails_cover_more(sigma):
    """600 samples of 50 lognormal outputs: at least 2 % more than ± 1.96, and at least 88 %."""
    held, short, truth = [], [], np.exp(sigma**2 / 2)
    for e in repeated(lambda x: (sigma * x).exp()):
        low, high = e.interval()
        held += ((low <= truth) & (truth <= high)).flatten().tolist()
        short += ((e.values - truth).abs() <= 1.96 * e.stderr).flatten().tolist()
    assert len(held) == 600 and np.mean(held) > 0.88 and np.mean(held) - np.mean(short) > 0.02


def test_wilsons_interval_holds_for_rare_events():
    """Reference: the roots of Wilson's quadratic. 600 samples, share 0.02: above 91 %, ± 1.96 below 70 %."""
    held, short, share = [], [], stats.norm.sf(2.0537)
    for e in repeated(lambda x: (x > 2.0537).to(x)):
        low, high = e.interval(method="wilson")
        held += ((low <= share) & (share <= high)).flatten().tolist()
        short += ((e.values - share).abs() <= 1.96 * e.stderr).flatten().tolist()
    assert np.mean(held) > 0.91 and np.mean(short) < 0.7
    q = stats.t.ppf(0.975, 49) ** 2
    for p, s, *ends in torch.stack([e.values, e.stderr, low, high], -1)[0].tolist():
        n = 50 if s == 0 else min(50, p * (1 - p) / s**2)
        assert ends == pytest.approx(sorted(np.roots([1 + q / n, -(2 * p + q / n), p**2]).real), abs=1e-9)


def test_unknown_methods_and_outputs_that_are_no_shares_are_refused():
    e = interventional_expectation(lambda x: 3 + x[:, 1:], InputDistribution.fit(rows(50)), 0, [0.0])
    with pytest.raises(ValueError, match="method must be 'student' for values from"):
        e.interval(method="wilson")
    with pytest.raises(ValueError, match="method must be 'student' or 'wilson', got 'normal'"):
        e.interval(method="normal")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n=12), "it rests on 12 independent rows or groups, with which ± 1.96 of it cover about 92%"),
        (dict(n=200, groups=10), "it rests on 10 independent rows or groups"),
        (dict(n=200, model=[mild, lambda x: 2 * mild(x)]), "it takes the 2 networks as they are"),
        (dict(n=100, model=tailed), r"outputs under do\(x0\) have long tails or rare events"),
        (
            dict(n=60, model=event),
            r"under do\(x0\) no row shows an event at some values, .* reach 0.05",
        ),
    ],
)
def test_one_warning_says_what_makes_the_error_bar_too_small(arguments, message):
    """One warning a call, of an expectation, of all features' regressors, and of both kinds of attribution."""
    n, groups, model = arguments["n"], arguments.get("groups"), arguments.get("model", mild)
    inputs = InputDistribution.fit(rows(n, 5), domain=(-3.0, 3.0))
    labels = None if groups is None else torch.arange(n) % groups
    with pytest.warns(ApproximationWarning, match=message):
        interventional_expectation(model, inputs, 0, VALUES, groups=labels)
    ace = AverageCausalEffect(model, inputs, groups=labels)
    for call in (
        lambda: ace.expectation(0, VALUES),
        lambda: ace.regress(num=9),
        lambda: ace.attribute(inputs.samples[:2], 0, via="direct"),
        lambda: ace.attribute(inputs.samples[:2], 0),
        lambda: ace.attribute(inputs.samples[2:4], 0),
    ):
        assert len(told(call)[1]) == 1 and "interval() uses Student's t" in told(call)[1][0]


def constant(level, n=60, model=None, values=VALUES, **options):
    """The expectation of an output that is the same for all rows and values, and its warnings."""
    inputs = InputDistribution.fit(rows(n), domain=(-3.0, 3.0))
    model = (lambda x: 0 * x[:, :1] + level) if model is None else model
    return told(lambda: interventional_expectation(model, inputs, 0, values, method="monte_carlo", **options))


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_an_event_that_no_row_shows_at_any_value_is_warned_of(level):
    """The rule of three: with 60 rows an event of up to 5 % may be missed; with 300 one of 1 %, which says itself."""
    e, (said,) = constant(level)
    assert "under do(x0) an output is 0, or 1, for every row at all values" in said and "may still reach 0.05" in said
    assert e.skewness is None and "an event with a share below 0.05 may be missed" in repr(e)
    assert e.interval(method="wilson")[1].max() - e.interval(method="wilson")[0].min() > 0.05
    assert constant(level, 299)[1] and not constant(level, 300)[1]
    (said,) = constant(level, 400, groups=torch.arange(400) % 40)[1]
    assert "may still reach 0.075" in said  # of 40 groups


def test_an_event_that_no_row_shows_is_warned_of_beside_others():
    """Outputs of one kind for each class: the second is never seen, the others are."""

    def classes(x):
        return torch.nn.functional.one_hot(2 * (x[:, 1] > 0).long(), 3).to(x)

    assert "an output is 0, or 1" in constant(0, model=classes)[1][0]
    ace = AverageCausalEffect(lambda x: 0 * x[:, :1], InputDistribution.fit(rows(60)))
    assert len(told(lambda: ace.regress(num=9))[1]) == 1


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (lambda x: 0 * x[:, :1] + 0.3, VALUES),  # a constant that is no event
        (lambda x: 0 * x[:, :1] - 1, VALUES),
        (lambda x: x[:, :1], VALUES),
        (lambda x: x[:, :1].relu(), VALUES),
        (lambda x: x[:, :1], [0.0, 1.0]),  # follows the feature
        (lambda x: x[:, :1], [0.0]),
        (lambda x: torch.cat([0 * x[:, :1], x[:, 1:2]], 1), VALUES),  # a dead output beside a number
    ],
)
def test_outputs_that_are_no_events_are_not_warned_of(model, values):
    assert not constant(0, model=model, values=values)[1]


def test_networks_of_a_list_are_counted_where_bands_hold_their_spread():
    ace = AverageCausalEffect([mild, lambda x: 2 * mild(x)], InputDistribution.fit(rows(200)))
    said = told(lambda: ace.regress(num=9))[1]
    assert "it rests on 2 networks, with which ± 1.96 of it cover about 70%" in said[0]
    many = AverageCausalEffect([mild] * 30, InputDistribution.fit(rows(200)))
    assert not told(lambda: many.regress([0], num=9))[1]


def test_doubts_name_some_features_and_the_rows_that_would_do():
    e, _ = told(lambda: interventional_expectation(tailed, InputDistribution.fit(rows(100)), 0, VALUES))
    missed = float((e.skewness**2 / 4).clamp_max(0.5).mean(0).max())
    doubts = Doubts()
    for i in range(6):
        doubts.add(type(e)(**{**vars(e), "feature": f"f{i}"}))
    (reason,) = doubts.reasons(bands=True)
    assert "do(f0), do(f1), do(f2), do(f3) and 2 more" in reason
    assert f"about {float(f'{100 * missed / MISSED:.2g}'):.0f} rows" in reason


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("chunk", [None, 7])
def test_rounding_has_no_skewness(dtype, size, chunk):
    """Rows that agree up to rounding, and groups whose rows cancel but for it: no long tail."""
    X = rows(300).to(dtype)
    X = torch.cat([X, -X])
    pairs, inputs = torch.arange(300).repeat(2), InputDistribution.fit(X, domain=(-3.0, 3.0))

    def agreeing(x):
        return size * (2 + x[:, :1] + x[:, 1:2].exp() - x[:, 1:2].exp() + torch.finfo(dtype).eps * (x[:, 2:] > 2).to(x))

    def cancelling(x):
        return size * x[:, 1:2] ** 3 * (2 + x[:, :1])

    for model, groups in ((agreeing, None), (cancelling, pairs)):
        e, said = told(
            lambda model=model, groups=groups: interventional_expectation(
                model, inputs, 0, VALUES, method="monte_carlo", groups=groups, chunk_size=chunk
            )
        )
        assert e.skewness is None and not said
    assert told(lambda: interventional_expectation(cancelling, inputs, 0, VALUES))[0].skewness is None
