"""Weights of the rows: whole ones are repeated rows in every value; errors are those of the ratio estimator.

References are literal: the table with its rows repeated, and sums written out over rows.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation
from acelib.expectation.estimate import subset

METHODS = ("monte_carlo", "taylor", "cubature")


def data(n=40, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, k, generator=generator, dtype=torch.float64)
    return x @ torch.randn(k, k, generator=generator, dtype=torch.float64)


def model(x):
    return torch.stack([torch.tanh(x.sum(1)), x[:, 0] * x[:, -1] ** 2], dim=1)


def whole_weights(n=40, seed=1):
    return torch.randint(0, 4, (n,), generator=torch.Generator().manual_seed(seed)).double()


@settings(deadline=None, max_examples=30)
@given(n=st.integers(6, 40), k=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_whole_weights_are_repeated_rows_in_moments(n, k, seed):
    """Mean, covariance and range, for tall and wide tables, rows of weight 0 among them."""
    x, w = data(n, k, seed), whole_weights(n, seed)
    w[:2] = torch.tensor([1.0, 2.0])
    inputs, repeated = InputDistribution.fit(x, weights=w), InputDistribution.fit(x.repeat_interleave(w.long(), 0))
    assert torch.allclose(inputs.mean, repeated.mean, atol=1e-12)
    assert torch.allclose(inputs.covariance, repeated.covariance, atol=1e-11)
    assert [(d.low, d.high) for d in inputs.domain] == [(d.low, d.high) for d in repeated.domain]
    assert inputs.explained == pytest.approx(1.0) and len(inputs.samples) == n
    assert inputs.num_observed == pytest.approx(float(w.sum() ** 2 / (w**2).sum()))


@pytest.mark.parametrize("k", [3, 70])  # from 64 inputs on the first layer is shared between the values
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [None, 7])
def test_whole_weights_are_repeated_rows_in_every_value(method, k, chunk):
    """Values, spread, the check against rows and what a pin leaves, to 1e-9."""
    x, w = data(40, k), whole_weights()
    layer = torch.nn.Linear(k, 2).double()
    net = torch.nn.Sequential(layer, torch.nn.Tanh())
    both = InputDistribution.fit(x, weights=w), InputDistribution.fit(x.repeat_interleave(w.long(), 0))
    for change in (lambda i: i, lambda i: i.do({1: 0.5})):
        options = dict(method=method, chunk_size=chunk)
        one, other = (interventional_expectation(net, change(i), 0, [-0.5, 1.0, 0.2], **options) for i in both)
        assert torch.allclose(one.values, other.values, atol=1e-9)
        if method != "monte_carlo":
            assert torch.allclose(one.check.reference, other.check.reference, atol=1e-9)


@pytest.mark.parametrize("groups", [None, torch.arange(40) // 4])
def test_the_error_is_that_of_the_ratio_estimator(groups):
    """Literally G / (G - 1) sum_g (sum_{r in g} w (y - mean))^2 / (sum w)^2, rows of weight 0 absent; to 1e-12."""
    x, w = data(), whole_weights()
    inputs = InputDistribution.fit(x, weights=3 * w)
    e = interventional_expectation(model, inputs, 0, [0.4, -1.0], groups=groups)
    for v, alpha in enumerate([0.4, -1.0]):
        rows = x.clone()
        rows[:, 0] = alpha
        y = model(rows)
        mean = (w[:, None] * y).sum(0) / w.sum()
        scores = w[:, None] * (y - mean)
        labels = torch.arange(40) if groups is None else groups
        present = labels[w > 0].unique()
        sums = torch.stack([scores[labels == g].sum(0) for g in present])
        variance = len(present) / (len(present) - 1) * sums.square().sum(0) / w.sum() ** 2
        assert torch.allclose(e.values[v], mean, atol=1e-12)
        assert torch.allclose(e.stderr[v], variance.sqrt(), atol=1e-12)
    assert e.num_rows == int((w > 0).sum())


def test_moments_have_an_effective_number_of_rows():
    """For a linear function Taylor's error is that of its weighted mean, a ratio, and so that of the row average."""
    x, w = data(200), torch.rand(200, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slope = torch.tensor([[1.0], [2.0], [-1.0]], dtype=torch.float64)
    inputs = InputDistribution.fit(x, weights=w)
    for method in ("taylor", "cubature"):
        e = interventional_expectation(lambda z: z @ slope, inputs, 0, [0.0], method=method)
        y = x[:, 1:] @ slope[1:, 0]
        mean = (w * y).sum() / w.sum()
        squares = (w**2 * (y - mean) ** 2).sum() * 200 / 199
        assert e.stderr.item() == pytest.approx(float(squares.sqrt() / w.sum()), rel=1e-9)
        assert e.freedom == pytest.approx(float(w.sum() ** 2 / (w**2).sum()) - 1)


def test_the_error_bar_covers():
    """200 draws of 100 rows whose weights depend on x: 95 % intervals hold the weighted expectation in 88 to 99 %."""
    hit = 0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(100, 2, generator=generator, dtype=torch.float64)
        w = torch.exp(0.5 * x[:, 1])  # makes x1 ~ N(0.5, 1), so that E[x0 x1] is 0.5 at x0 = 1
        e = interventional_expectation(
            lambda z: z[:, :1] * z[:, 1:], InputDistribution.fit(x, domain=(-9, 9), weights=w), 0, [1.0]
        )
        hit += abs(e.values.item() - 0.5) < 1.96 * e.stderr.item()
    assert 176 <= hit <= 198


@pytest.mark.parametrize("scale", [1.0, 7.0, 1e-200, 1e307])
def test_only_ratios_of_weights_matter(scale):
    x, w = data(), 0.1 + torch.rand(40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    one, other = (InputDistribution.fit(x, weights=each) for each in (w, scale * w))
    assert torch.allclose(one.weights, other.weights, rtol=1e-12) and one.weights.mean().item() == pytest.approx(1.0)
    e, f = (interventional_expectation(model, i, 0, [0.3]) for i in (one, other))
    assert torch.allclose(e.values, f.values, rtol=1e-12) and torch.allclose(e.stderr, f.stderr, rtol=1e-9)


def test_equal_weights_are_none():
    """To the last bit the numbers of a fit without weights."""
    x = data()
    plain, equal = InputDistribution.fit(x), InputDistribution.fit(x, weights=np.full(40, 0.3))
    assert equal.weights is None and torch.equal(plain.factor, equal.factor) and repr(plain) == repr(equal)


def test_a_subset_is_drawn_among_the_rows_that_count():
    """Seeded, without rows of weight 0, the same for every feature; groups stay together."""
    x, w = data(500), whole_weights(500)
    inputs = InputDistribution.fit(x, weights=w)
    index = subset(inputs.do(0, [0.0]), 100, 0)
    assert len(index) == 100 and bool((w[index] > 0).all()) and len(index.unique()) == 100
    assert torch.equal(index, subset(inputs.do(1, [0.0, 1.0]), 100, 0)) and torch.equal(
        subset(inputs.do(0, [0.0]), 10**6, 0), w.nonzero()[:, 0]
    )
    labels = torch.arange(500) // 5
    grouped = subset(inputs.do(0, [0.0]), 100, 0, labels)
    assert bool((w[grouped] > 0).all()) and len(grouped) <= 100
    for g in labels[grouped].unique():
        assert set(((labels == g) & (w > 0)).nonzero()[:, 0].tolist()) <= set(grouped.tolist())
    e = interventional_expectation(model, inputs, 0, [0.3], rows=150)
    chosen = subset(inputs.do(0, [0.3]), 1, 0, None, 150)
    rows = x[chosen].clone()
    rows[:, 0] = 0.3
    assert torch.allclose(e.values[0], (w[chosen, None] * model(rows)).sum(0) / w[chosen].sum(), atol=1e-12)


def test_weights_follow_to_another_dtype_and_into_blocks():
    x, w = data(), whole_weights()
    inputs = InputDistribution.fit(x, weights=w).to(torch.float32)
    assert inputs.mean.dtype == inputs.weights.dtype == torch.float32
    assert torch.allclose(inputs.weights.double(), w / w.mean())
    given = torch.cat([weights for _, _, weights in inputs.do({1: 0.0}).do(0, [0.0]).rows(7)])
    assert torch.equal(given, inputs.weights)
    assert "40 rows with weights, worth" in repr(inputs)


def test_support_is_a_weighted_share():
    """On a line only the far half leaves it; without its weight no row does."""
    line = torch.linspace(0, 1, 100, dtype=torch.float64)
    x = torch.stack([line, line], dim=1)
    near, far = (line < 0.5).double(), (line >= 0.5).double()
    shares = [InputDistribution.fit(x, weights=1e-9 + w).do(0, [0.0]).support().item() for w in (near, far)]
    assert shares[0] < shares[1] and shares[1] == pytest.approx(1.0)
    plain = InputDistribution.fit(x).do(0, [0.0]).support().item()
    assert plain == pytest.approx(sum(shares) / 2, abs=0.01)


def test_a_truncated_factor_is_probed_with_weights():
    """The rows of the probe have the weighted mean and covariance without weights, to 1e-12."""
    x, w = data(60), whole_weights(60)
    inputs, full = InputDistribution.fit(x, rank=1, weights=w), InputDistribution.fit(x, weights=w)
    rows, factor = inputs.do(0, [0.0]).residual
    assert torch.allclose(rows.mean(0), full.mean, atol=1e-12) and torch.equal(factor, inputs.factor)
    assert torch.allclose(torch.cov(rows.T, correction=0), full.covariance, atol=1e-12)
    e = interventional_expectation(lambda z: (z**2).sum(1, keepdim=True), inputs, 0, [0.0], method="taylor")
    assert e.check.dropped.item() > 0


def test_rows_without_weight_are_no_data():
    """A cloud of weight 0: going there leaves the data, and the share is the same as without the cloud."""
    x = data(200, 2)
    cloud = torch.cat([x, x + 50.0])
    w = (torch.arange(400) < 200).double()
    one, other = InputDistribution.fit(cloud, weights=w, domain=(-99, 99)), InputDistribution.fit(x, domain=(-99, 99))
    alphas = [0.0, 50.0, 1.0]
    pinned = {1: 50.0}
    assert torch.equal(one.do(0, alphas).support(), other.do(0, alphas).support())
    assert one.do(pinned).do(0, [50.0]).support().item() == 1.0


def test_effects_with_weights_are_those_of_repeated_rows():
    x, w = torch.rand(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5)), whole_weights()
    effects = []
    for inputs in (
        InputDistribution.fit(x, domain=(0.0, 1.0), weights=w),
        InputDistribution.fit(x.repeat_interleave(w.long(), 0), domain=(0.0, 1.0)),
    ):
        effects.append(AverageCausalEffect(lambda z: z[:, :1] * z[:, 1:], inputs).attribute(x[0], via="direct").values)
    assert torch.allclose(*effects, atol=1e-9)


GIVEN = {
    "series": lambda w, f: pd.Series(w, index=f.index),
    "array": lambda w, f: np.array(w),
    "list": lambda w, f: list(w),
    "integers": lambda w, f: np.array(w, dtype=int),
    "float32": lambda w, f: torch.tensor(w, dtype=torch.float32),
    "a column": lambda w, f: f.assign(w=w)["w"],
}


@pytest.mark.parametrize("kind", GIVEN)
def test_weights_of_any_kind(kind):
    frame = pd.DataFrame(data().numpy(), columns=list("abc"), index=np.arange(40) + 7)
    w = whole_weights().tolist()
    assert torch.allclose(
        InputDistribution.fit(frame, weights=GIVEN[kind](w, frame)).weights * 1.0, torch.tensor(w).double() / np.mean(w)
    )


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1.0] * 39, ValueError, r"one number per row, \(40,\), got \(39,\)"),
        (np.ones((40, 1)), ValueError, r"got \(40, 1\)"),
        ([-1.0] + [1.0] * 39, ValueError, "1 negative"),
        ([0.0] * 40, ValueError, "0 positive"),
        ([1.0] + [0.0] * 39, ValueError, "positive for two rows"),
        ([np.nan] + [1.0] * 39, ValueError, "weights must be finite"),
        (["w"] * 40, TypeError, "weights must be numeric, got text"),
        (pd.Series(1.0, index=range(5, 45)), ValueError, "index of X"),
    ],
)
def test_bad_weights(weights, error, message):
    with pytest.raises(error, match=message):
        InputDistribution.fit(pd.DataFrame(data().numpy(), columns=list("abc")), weights=weights)


def test_a_stream_takes_no_weights():
    with pytest.raises(ValueError, match="weights must be left out for a stream"):
        InputDistribution.fit(iter([data()]), weights=[1.0] * 40)


def test_a_baseline_over_data_is_weighted():
    """Whole weights count rows: the same baseline, and the same error, as with the rows repeated."""
    X = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.arange(30) % 4
    net = lambda x: torch.tanh(x[:, :1]) * x[:, 1:]  # noqa: E731
    domain = (-4.0, 4.0)
    weighted, repeated = (
        AverageCausalEffect(net, inputs).regress(num=20, baseline="data")
        for inputs in (
            InputDistribution.fit(X, weights=weights, domain=domain),
            InputDistribution.fit(X.repeat_interleave(weights, dim=0), domain=domain),
        )
    )
    for key in weighted:
        assert weighted[key].baseline == pytest.approx(repeated[key].baseline, abs=1e-12)
        assert weighted[key].baseline_misfit == pytest.approx(repeated[key].baseline_misfit, abs=1e-12)
    for wrong in ([1.0], [-1.0] * 30, [0.0] * 30):
        with pytest.raises(ValueError, match="a weight from 0 up for each of its 30 values"):
            weighted["x0", 0].with_baseline(("data", X[:, 0], wrong))
