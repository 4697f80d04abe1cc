"""E[y | do(x_i = a)]: against a literal loop, scikit-learn's partial dependence, closed forms and coverage."""

import numpy as np
import pytest
import torch
from helpers import correlated, network, table
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import partial_dependence
from torch import nn

from acelib import ApproximationWarning, InputDistribution, interventional_expectation
from acelib.expectation.estimate import subset
from acelib.expectation.row_moments import RowMoments
from acelib.expectation.truncation import residual_probe


class Oracle(RegressorMixin, BaseEstimator):
    """One output of a torch network behind scikit-learn's estimator interface."""

    def __init__(self, net=None, output=0):
        self.net, self.output = net, output

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        with torch.no_grad():
            return self.net(torch.from_numpy(np.ascontiguousarray(X)))[:, self.output].numpy()


@pytest.mark.parametrize("name", ["iris", "cancer"])
def test_the_row_average_is_brute_force_partial_dependence(name):
    """scikit-learn's partial_dependence(method="brute") is an independent implementation of Eq. 2 (1e-12)."""
    X = table(name)
    net, inputs = network(X.shape[1]), InputDistribution.fit(X)
    for feature in (0, X.shape[1] - 1):
        options = dict(method="brute", kind="both", grid_resolution=30, percentiles=(0, 1))
        oracle = partial_dependence(Oracle(net, 1).fit(X), X.numpy(), [feature], **options)
        e = interventional_expectation(net, inputs, feature, oracle["grid_values"][0], method="monte_carlo")
        assert np.abs(e.values[:, 1].numpy() - oracle["average"][0]).max() < 1e-12
        curves = e.individual[:, :, 1].T.numpy()
        rows = torch.linspace(0, len(X) - 1, 50).round().long().numpy()
        assert np.abs(curves - oracle["individual"][0][rows]).max() < 1e-12


def literal(net, X, feature, values):
    """Curves (m, n, outputs) by a loop over values, one column overwritten at a time."""
    curves = []
    for value in values:
        rows = X.clone()
        rows[:, feature] = value
        curves.append(net(rows).detach())
    return torch.stack(curves)


@pytest.mark.parametrize("chunk", [1, 13, 50_000])
def test_values_errors_and_spread_equal_a_literal_loop(chunk):
    """Mean, standard error, covariance over n and the spread of centred curves, by numpy on all curves (1e-13)."""
    X = correlated(60, 3)
    net, values = network(3), torch.tensor([-1.0, 0.0, 0.7], dtype=torch.float64)
    curves = literal(net, X, 2, values)
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    e = interventional_expectation(net, inputs, 2, values, chunk_size=chunk)
    assert torch.allclose(e.values, curves.mean(1), atol=1e-14)
    for o in range(3):
        expected = np.cov(curves[:, :, o].numpy()) / 60
        assert np.allclose(e.covariance(o).numpy(), expected, atol=1e-15)
        assert np.allclose(e.stderr[:, o].square().numpy(), np.diag(expected), atol=1e-15)
    centred = curves - curves.mean(0)
    assert torch.allclose(e.spread, centred.std(1), atol=1e-12)
    kept = torch.linspace(0, 59, 50).round().long()
    assert torch.allclose(e.individual, curves[:, kept], atol=1e-14)
    assert (e.method, e.num_rows, e.cost, e.check) == ("monte_carlo", 60, 180, None)


def test_groups_give_the_cluster_robust_error():
    """Duplicated rows as groups of two carry the error of the unique rows; as independent rows they would not."""
    X = correlated(50, 2)
    net, values = network(2), [0.0, 0.5]
    single = interventional_expectation(net, InputDistribution.fit(X, domain=(-9, 9)), 0, values)
    doubled = InputDistribution.fit(X.repeat_interleave(2, 0), domain=(-9, 9))
    labels = [f"flight {i // 2}" for i in range(100)]
    labels = np.unique(labels, return_inverse=True)[1]
    grouped = interventional_expectation(net, doubled, 0, values, groups=labels, chunk_size=37)
    for o in range(3):
        assert torch.allclose(grouped.covariance(o), single.covariance(o), rtol=1e-10)
    naive = interventional_expectation(net, doubled, 0, values)
    assert (naive.stderr < 0.75 * grouped.stderr).all()


def test_taylor_is_exact_for_a_quadratic_with_population_moments():
    """For f = x'Ax + b'x the second-order expansion equals the row average (1e-13), for every feature."""
    X = correlated(30, 4)
    generator = torch.Generator().manual_seed(3)
    A = torch.randn(4, 4, generator=generator, dtype=torch.float64)

    def quadratic(x):
        return torch.stack([(x @ A * x).sum(1), x @ A[0]], dim=1)

    inputs = InputDistribution.fit(X, domain=(-9, 9))
    for feature in range(4):
        e = interventional_expectation(quadratic, inputs, feature, [-1.0, 2.0], method="taylor")
        assert e.check.error.abs().max() < 1e-13
        assert e.check.num_rows == 30 and e.num_rows == 0 and e.cost == 2 * 6


def test_the_error_of_an_approximation_is_it_minus_the_reference():
    """b⁴ over b = ±1: the rows average 1, where Taylor has 0 + ½ · 12 · 0² = 0, so it is 1 too low."""
    X = torch.tensor([[0.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    e = interventional_expectation(lambda x: x[:, 1:] ** 4, inputs, 0, [0.5], method="taylor")
    assert (e.values.item(), e.check.reference.item(), e.check.error.item()) == pytest.approx((0, 1, -1), abs=1e-12)


def test_cubature_is_exact_for_a_quadratic_and_stays_in_range():
    """Third-degree cubature integrates quadratics exactly; an average of probabilities stays in [0, 1]."""
    X = correlated(30, 3)
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    e = interventional_expectation(lambda x: (x**2).sum(1, keepdim=True), inputs, 0, [1.0], method="cubature")
    assert abs(e.check.error.item()) < 1e-13
    p = interventional_expectation(network(3, gain=20.0), inputs, 0, [0.0, 1.0], method="cubature", chunk_size=3)
    assert p.values.min() >= 0 and p.values.max() <= 1


@pytest.mark.parametrize("method", ["taylor", "cubature"])
def test_moment_estimators_know_the_error_of_a_linear_mean(method):
    """For f = w'x the error is that of the mean of the other inputs: w' Sigma_do w / (n - 1), exactly."""
    X = correlated(40, 3)
    w = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    e = interventional_expectation(lambda x: x @ w, inputs, 1, [0.0, 3.0], method=method)
    kept = w.clone()
    kept[1] = 0
    expected = (kept.T @ inputs.covariance @ kept).item() / 39
    assert torch.allclose(e.covariance(), torch.full((2, 2), expected, dtype=torch.float64), rtol=1e-10)


def test_taylor_of_a_relu_network_has_no_curvature():
    """On the logits of a ReLU network the correction is exactly 0, so Taylor is f(mu)."""
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    inputs = InputDistribution.fit(correlated(30, 3), domain=(-9, 9))
    e = interventional_expectation(net, inputs, 0, [0.3], method="taylor")
    assert torch.equal(e.values, net(inputs.do(0, [0.3]).means).detach())


def test_auto_averages_all_rows_then_a_seeded_subset():
    X = correlated(3000, 2)
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    net = network(2)
    full = interventional_expectation(net, inputs, 0, [0.0, 1.0])
    assert full.num_rows == 3000
    part = interventional_expectation(net, inputs, 0, [0.0, 1.0], budget=1000)
    again = interventional_expectation(net, inputs, 1, [0.0, 1.0], budget=1000, seed=0)
    assert part.num_rows == again.num_rows == 500
    least = interventional_expectation(net, inputs, 0, [0.0, 1.0], budget=1)
    assert least.num_rows == 100
    index = subset(inputs.do(0, [0.0, 1.0]), 1000, 0)
    assert torch.equal(subset(inputs.do(1, [0.0, 1.0]), 1000, None), index)  # the same rows for every feature
    assert not torch.equal(subset(inputs.do(0, [0.0, 1.0]), 1000, 1), index)
    assert torch.allclose(part.values, literal(net, X[index], 0, [0.0, 1.0]).mean(1), atol=1e-14)
    assert interventional_expectation(net, inputs, 0, [0.0, 1.0], budget=1, method="monte_carlo").num_rows == 3000


def test_a_subset_takes_whole_groups():
    """A seeded subset of grouped rows holds every row of its groups, and its error is cluster-robust (by a loop)."""
    X = correlated(400, 2)
    inputs, net = InputDistribution.fit(X, domain=(-9, 9)), network(2)
    labels = torch.arange(400) % 100
    e = interventional_expectation(net, inputs, 0, [0.0], budget=122, groups=labels)
    assert e.num_rows == 120
    index = subset(inputs.do(0, [0.0]), 122, None, labels)
    chosen = labels[index].unique()
    assert len(chosen) == 30 and torch.equal(index, torch.isin(labels, chosen).nonzero()[:, 0])
    y = literal(net, X[index], 0, [0.0])[0, :, 0]
    sums = [(y[labels[index] == g] - y.mean()).sum().item() for g in chosen]
    expected = sum(s * s for s in sums) * 30 / 29 / 120**2
    assert e.covariance()[0, 0].item() == pytest.approx(expected, rel=1e-10)
    few = subset(inputs.do(0, [0.0]), 1, None, torch.arange(400) // 200)
    assert len(few) == 400  # two groups at least, or there is no error between them


def test_the_relative_error_of_a_flat_reference():
    inputs = InputDistribution.fit(correlated(30, 2), domain=(-9, 9))

    def model(x):
        return torch.stack([x[:, 1] ** 4, torch.ones(len(x), dtype=x.dtype)], dim=1)

    e = interventional_expectation(model, inputs, 0, [0.0, 1.0], method="taylor")
    assert e.check.relative.tolist() == [torch.inf, 0.0]


def test_moments_alone_give_an_approximation_with_a_warning():
    fitted = InputDistribution.fit(correlated(50, 2))
    inputs = InputDistribution.from_moments(fitted.mean, fitted.factor, low=-3, high=3)
    with pytest.warns(ApproximationWarning, match="no rows"):
        e = interventional_expectation(network(2), inputs, 0, [0.0])
    assert e.method == "cubature" and e.check is None and e.stderr.isnan().all()
    assert e.spread is None and e.individual is None and e.support.isnan().all()
    counted = InputDistribution.from_moments(fitted.mean, fitted.factor, low=-3, high=3, num_observed=50)
    e = interventional_expectation(network(2), counted, 0, [0.0], method="taylor")
    assert e.stderr.isfinite().all() and len(e.to_frame()) == 3
    with pytest.raises(ValueError, match="no rows"):
        interventional_expectation(network(2), inputs, 0, [0.0], method="monte_carlo")


@pytest.mark.parametrize("method", ["monte_carlo", "taylor", "cubature"])
def test_a_list_of_models_gives_their_mean_and_spread(method):
    """Values are those of the mean network; the spread is the sample standard deviation over models."""
    nets = [network(3, seed=s) for s in range(4)]
    inputs = InputDistribution.fit(correlated(50, 3), domain=(-9, 9))
    e = interventional_expectation(nets, inputs, 0, [0.0, 1.0], method=method)
    single = [interventional_expectation(n, inputs, 0, [0.0, 1.0], method=method).values for n in nets]
    assert torch.allclose(e.values, torch.stack(single).mean(0), atol=1e-13)
    assert torch.allclose(e.model_spread, torch.stack(single).std(0), atol=1e-13)

    def mean_net(x):
        return torch.stack([n(x) for n in nets]).mean(0)

    whole = interventional_expectation(mean_net, inputs, 0, [0.0, 1.0], method=method)
    assert torch.allclose(e.stderr, whole.stderr, atol=1e-13)
    if method == "taylor":
        assert torch.allclose(e.check.error, whole.check.error, atol=1e-12)


def test_chosen_outputs_and_a_single_model():
    inputs = InputDistribution.fit(correlated(50, 3), domain=(-9, 9))
    net = network(3)
    some = interventional_expectation(net, inputs, 0, [0.0], outputs=[2, 0])
    every = interventional_expectation([net], inputs, 0, [0.0])
    assert torch.allclose(some.values, every.values[:, [2, 0]]) and every.model_spread is None


def test_images_are_folded_back_for_the_model():
    X = correlated(20, 12).reshape(20, 1, 3, 4)
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)).double()
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    for method in ("monte_carlo", "taylor", "cubature"):
        e = interventional_expectation(net, inputs, 5, [0.0], method=method)
        assert e.values.shape == (1, 2)


def test_float32_inputs_are_accumulated_in_float64():
    X = correlated(5000, 2).float()
    e = interventional_expectation(network(2).float(), InputDistribution.fit(X, domain=(-9, 9)), 0, [0.0])
    assert e.values.dtype == torch.float64
    exact = interventional_expectation(network(2), InputDistribution.fit(X.double(), domain=(-9, 9)), 0, [0.0])
    assert torch.allclose(e.values, exact.values, atol=1e-6)


def test_nominal_intervals_cover():
    """95 % intervals of the row average cover the exact value 93-97 % of the time, averaged over a (n = 200).

    f(a, b) = exp(a b / 2) with b ~ N(0, 1): E[f | do(a)] = exp(a^2 / 8). 2000 independent tables, all at once: each is
    a block of 200 rows of one long table, averaged through the library.
    """
    repetitions, n, alphas = 2000, 200, torch.linspace(-1, 1, 7, dtype=torch.float64)
    b = torch.randn(repetitions, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = torch.exp(alphas**2 / 8)
    hits = torch.zeros(7, dtype=torch.float64)

    def model(x):
        return torch.exp(x[:, :1] * x[:, 1:] / 2)

    for rows in b:
        X = torch.stack([torch.linspace(-1, 1, n, dtype=torch.float64), rows], dim=1)
        e = interventional_expectation(model, InputDistribution.fit(X), 0, alphas)
        hits += ((e.values[:, 0] - exact).abs() <= 1.96 * e.stderr[:, 0] + 1e-12).double()
    share = hits / repetitions
    assert 0.93 <= share[[0, 1, 2, 4, 5, 6]].mean() <= 0.97  # at a = 0 the error is exactly 0


def test_frames_and_reprs_say_what_is_inside():
    inputs = InputDistribution.fit(correlated(50, 3), feature_names=["a", "b", "c"], domain=(-9, 9))
    e = interventional_expectation(network(3), inputs, "b", [0.0, 1.0], method="taylor")
    frame = e.to_frame()
    assert list(frame.columns) == ["alpha", "output", "values", "stderr", "spread", "support"] and len(frame) == 6
    assert frame["values"][4] == e.values[1, 1].item() and frame["alpha"].tolist() == [0.0] * 3 + [1.0] * 3
    assert "do(b), 2 values, taylor" in repr(e) and "against 50 rows" in repr(e.check)
    joint = interventional_expectation(network(3), inputs, ("a", "b"), [[0.0, 1.0]])
    assert joint.to_frame()["alpha"][0] == (0.0, 1.0)


def test_progress_bars_go_to_stderr(capsys):
    inputs = InputDistribution.fit(correlated(50, 2), domain=(-9, 9))
    interventional_expectation(network(2), inputs, 0, [0.0], progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and "do(x0)" in captured.err


def test_bad_calls_say_what_to_do():
    inputs = InputDistribution.fit(correlated(30, 3), domain=(-9, 9))
    net = network(3)

    def refuse(message, model=net, feature=0, values=(0.0,), error=ValueError, **options):
        with pytest.raises(error, match=message):
            interventional_expectation(model, inputs, feature, list(values), **options)

    refuse("method must be one of", method="exact")
    refuse("budget must be positive", budget=0)
    refuse("chunk_size must be positive", chunk_size=0)
    refuse("got an empty list", model=[])
    refuse("must be a torch callable", model="net", error=TypeError)
    refuse("one label per row", groups=[0, 1])
    refuse("single group", groups=[0] * 30)
    refuse("append .unsqueeze", model=lambda x: x[:, 0])
    refuse("must return a tensor", model=lambda x: (x, x), error=TypeError)
    refuse("floating dtype", model=lambda x: x.long())
    refuse("finite outputs, got NaN or Inf", model=lambda x: x / 0)
    refuse(r"equally many outputs each, got \[3, 1\]", model=[lambda x: x, lambda x: x[:, :1]])
    refuse(
        "dtype of the inputs, torch.float64, got torch.bfloat16 parameters", model=nn.Linear(3, 1, dtype=torch.bfloat16)
    )
    refuse("device of the inputs, cpu, got meta", model=nn.Linear(3, 1, device="meta"))
    refuse(
        "evaluation mode, got Dropout '1' in training mode", model=nn.Sequential(nn.Linear(3, 2), nn.Dropout()).double()
    )
    refuse("training mode", model=nn.BatchNorm1d(3).double())


def test_weighted_rows_follow_the_ratio_estimator():
    """Means sum(w y) / sum(w) and their covariance, written out with numpy over all rows; blocks of other weights."""
    generator = np.random.default_rng(0)
    y, w = generator.normal(size=(2, 9, 1)), np.concatenate([np.ones(4), generator.uniform(0.2, 3, 5)])
    moments = RowMoments(9)
    for rows in (slice(0, 4), slice(4, 7), slice(7, 9)):
        moments.add(torch.from_numpy(y[:, rows]), torch.from_numpy(w[rows]))
    mean = (w * y[..., 0]).sum(1) / w.sum()
    scores = w * (y[..., 0] - mean[:, None])
    assert np.allclose(moments.mean[:, 0], mean)
    assert np.allclose(moments.covariance()[0], scores @ scores.T * 9 / 8 / w.sum() ** 2)
    curves = y[..., 0] - y[..., 0].mean(0)
    spread = np.sqrt((w * (curves - (w * curves).sum(1, keepdims=True) / w.sum()) ** 2).sum(1) / w.sum() * 9 / 8)
    assert np.allclose(moments.spread()[:, 0], spread)


def test_the_error_of_a_single_row_is_unknown():
    moments = RowMoments(1)
    moments.add(torch.ones(2, 1, 1), torch.ones(1))
    assert moments.covariance().isnan().all() and moments.individual().shape == (2, 1, 1)


@pytest.mark.parametrize("kind", ["linear", "convolution", "list"])
@pytest.mark.parametrize("chunk", [40, 1000])
def test_many_inputs_share_the_first_layer_and_change_nothing(kind, chunk):
    """From 64 inputs on the first layer is shared between the values; the curves are the literal loop's (1e-12)."""
    X = correlated(30, 81)
    if kind == "convolution":
        X = X.reshape(30, 1, 9, 9)
        net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(147, 2)).double()
    else:
        net = [network(81, seed=s) for s in range(2)] if kind == "list" else network(81)
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    e = interventional_expectation(net, inputs, 40, [-1.0, 0.0, 2.0], chunk_size=chunk)
    rows = X.reshape(30, 81).clone()
    for value, found, error in zip((-1.0, 0.0, 2.0), e.values, e.stderr, strict=True):
        rows[:, 40] = value
        models = net if isinstance(net, list) else [net]
        y = torch.stack([m(rows.reshape(X.shape)) for m in models]).mean(0).detach()
        assert torch.allclose(found, y.mean(0), atol=1e-12)
        assert torch.allclose(error, y.std(0) / 30**0.5, atol=1e-12)


def test_a_truncated_factor_reports_what_it_leaves_out():
    """For a quadratic the dropped term is known: the full expansion minus the truncated one (within 5 errors)."""
    X = correlated(200, 6)
    A = torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 3.0], dtype=torch.float64))

    def quadratic(x):
        return ((x @ A) * x).sum(1, keepdim=True)

    inputs = [InputDistribution.fit(X, rank=r, domain=(-9, 9)) for r in (None, 2)]
    full, part = (interventional_expectation(quadratic, i, 2, [1.0], method="taylor") for i in inputs)
    assert full.check.dropped is None and part.check.dropped_stderr.item() > 0
    missing = (full.values - part.values).item()
    answer = inputs[1].do(2, [1.0])
    wired, _ = residual_probe(quadratic, answer.means, inputs[1].factor, X, feature=2)  # the factor before it is pinned
    assert torch.allclose(part.check.dropped, wired, atol=1e-12)
    assert abs(part.check.dropped.item() - missing) < 5 * part.check.dropped_stderr.item()


def test_shared_layers_follow_the_subset_and_its_groups():
    """With many inputs, too, a budget averages exactly the seeded whole groups (literal loop, 1e-12)."""
    X, net, labels = correlated(400, 81), network(81), torch.arange(400) % 100
    inputs = InputDistribution.fit(X, domain=(-9, 9))
    e = interventional_expectation(net, inputs, 40, [0.0, 1.0], budget=244, groups=labels)
    index = subset(inputs.do(40, [0.0, 1.0]), 244, None, labels)
    assert e.num_rows == len(index) == 120
    y = literal(net, X[index], 40, [0.0, 1.0])
    assert torch.allclose(e.values, y.mean(1), atol=1e-12)
    sums = torch.stack([(y - y.mean(1, keepdim=True))[:, labels[index] == g].sum(1) for g in labels[index].unique()])
    assert torch.allclose(e.stderr, (sums.square().sum(0) * 30 / 29).sqrt() / 120, atol=1e-12)


def test_the_spread_of_parallel_curves_is_zero():
    """To the square root of rounding, however far apart the curves lie."""
    X = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 300.0]], dtype=torch.float64)
    e = interventional_expectation(lambda x: x[:, :1] ** 2 + 3 * x[:, 1:], InputDistribution.fit(X), 0, [0.0, 0.3, 0.9])
    assert e.spread.max() < 1e-5 and e.stderr.min() > 1
