"""The sampling error of Taylor and cubature, whose mean and covariance come from rows: closed forms and a jackknife."""

import pytest
import torch
from helpers import correlated
from sequence_networks import draw
from torch import nn

from acelib import (
    ApproximationWarning,
    AverageCausalEffect,
    FeedbackSequences,
    InputDistribution,
    InputModel,
    interventional_expectation,
)
from acelib.expectation import moment_errors
from acelib.expectation.estimate import subset
from acelib.inputs import SimulatedIntervention

# Variances have long tails, and few rows say little: what the warnings say is tested elsewhere.
pytestmark = pytest.mark.filterwarnings(
    "ignore:the standard error says too little", "ignore::acelib.SupportWarning", "ignore::acelib.ExtrapolationWarning"
)

ALPHAS = [-1.0, 0.0, 2.0]
METHODS = pytest.mark.parametrize("method", ["taylor", "cubature"])
MIX = torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.7, 0.0], [-0.2, 0.2, 0.4]], dtype=torch.float64)
ACTIVATIONS = {"tanh": torch.tanh, "gelu": nn.functional.gelu, "softplus": nn.functional.softplus, "relu": torch.relu}


def square(x):
    return x[:, 1:2] ** 2


def quadratic(x):
    """Two outputs that a second-order expansion describes in full, so that each row's influence is its output."""
    return torch.stack([x[:, 1] ** 2 + x[:, 0] * x[:, 1] + x[:, 2], x.prod(1) - 2 * x[:, 2] ** 2 * x[:, 0] ** 3], 1)


def bent(kind, gain=0.7):
    generator = torch.Generator().manual_seed(5)
    first = gain * torch.randn(3, 6, generator=generator, dtype=torch.float64) / 3**0.5
    shift, last = torch.randn(7, 6, generator=generator, dtype=torch.float64).split([1, 6])
    return lambda x: ACTIVATIONS[kind](x @ first + shift / 2) @ last[:, :2]


def rows(n, seed=0):
    """Correlated rows of three inputs, whose variances along the eigenvectors differ by a factor of two or more."""
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) @ MIX.T + 0.3


def fit(X, **options):
    return InputDistribution.fit(X, domain=(-9, 9), **options)


@METHODS
def test_the_error_of_a_variance_in_closed_form(method):
    """For f = x² the estimate is x̄² + s², and its influence 2 x̄ (x - x̄) + (x - x̄)² - s²; to 1e-12."""
    X = correlated(50, 3) + 0.4
    d = X[:, 1] - X[:, 1].mean()
    influence = 2 * X[:, 1].mean() * d + d.square() - d.square().mean()
    e = interventional_expectation(square, fit(X), 0, ALPHAS, method=method)
    assert torch.allclose(e.covariance(), (influence.square().sum() / 49 / 50).expand(3, 3), rtol=1e-12)
    assert e.freedom == 49
    alone = interventional_expectation(square, fit(X), 1, ALPHAS, method=method)  # nothing that matters is left free
    assert alone.stderr.max() < 1e-15 and alone.skewness is None


@METHODS
@pytest.mark.parametrize("kind", ["plain", "weights", "groups", "both", "list", "outputs", "pinned", "pair", "float32"])
def test_for_a_quadratic_network_it_is_the_error_of_the_row_average(kind, method):
    """Covariances, degrees of freedom and intervals to 1e-9, 1e-4 in float32: every row counts as its own output."""
    X, model, feature, options, values = rows(300), quadratic, 0, {}, ALPHAS
    weights = torch.exp(0.5 * X[:, 1]) * (torch.arange(300) % 7 > 0) if kind in ("weights", "both") else None
    inputs = fit(X, weights=weights)
    if kind in ("groups", "both"):
        options["groups"] = torch.arange(300) % 40
    elif kind == "list":
        model = [quadratic, lambda x: quadratic(x) + x[:, 2:] ** 2]
    elif kind == "outputs":
        options["outputs"] = [1]
    elif kind == "pinned":
        inputs = inputs.do({1: 0.5})
    elif kind == "pair":
        feature, values = (0, 2), [[-1.0, 0.5], [2.0, 0.0]]
    elif kind == "float32":
        inputs = inputs.to(torch.float32)
    options |= dict(feature=feature, values=values)
    right = interventional_expectation(model, inputs, **options, method="monte_carlo")
    e = interventional_expectation(model, inputs, **options, method=method)
    slack = 1e-4 if kind == "float32" else 1e-9
    assert torch.allclose(e.values, right.values, rtol=slack)
    assert torch.allclose(e.covariances, right.covariances, rtol=slack, atol=slack * float(right.covariances.max()))
    assert e.freedom == pytest.approx(right.freedom)
    for one, other in zip(e.interval(), right.interval(), strict=True):
        assert torch.allclose(one, other, rtol=10 * slack, atol=10 * slack)


def literal(method, net, X, feature, values, weights):
    """The estimates ``(c, m, outputs)`` from moments with weights ``(c, n)``: whole Hessians, or points."""
    w = weights / weights.sum(1, keepdim=True)
    means = w @ X
    apart = X - means[:, None]
    covariances = (w[..., None] * apart).mT @ apart
    sizes, vectors = torch.linalg.eigh(covariances)
    roots = vectors * sizes.sqrt()[:, None]
    roots[:, feature] = 0
    found = []
    for value in values:
        m = means.clone()
        m[:, feature] = value
        if method == "taylor":
            hessians = torch.func.vmap(torch.func.hessian(lambda x: net(x[None])[0]))(m)
            found.append(net(m) + (hessians * (roots @ roots.mT)[:, None]).sum((2, 3)) / 2)
        else:
            steps = 3**0.5 * roots.mT
            points = torch.cat([m[:, None] + steps, m[:, None] - steps], 1)
            found.append(net(points.flatten(0, 1)).unflatten(0, points.shape[:2]).mean(1))
    return torch.stack(found, 1)


@METHODS
@pytest.mark.parametrize("kind", ["plain", "weights", "groups"])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "softplus"])
def test_it_is_the_error_of_a_jackknife(activation, kind, method):
    """Leaving out one row, or group, after the other; both are right to first order in 1/n, so to 4 %."""
    n, net, values = 240, bent(activation), [-0.5, 1.0]
    X, weights, labels = rows(n, 3), torch.ones(n, dtype=torch.float64), torch.arange(n)
    if kind == "weights":
        weights = torch.exp(0.4 * X[:, 2])
    if kind == "groups":
        labels = torch.arange(n) // 2
    without = labels != labels.unique()[:, None]
    found = literal(method, net, X, 0, values, weights * without)
    found, count = found - found.mean(0), len(without)
    expected = torch.einsum("gvo,gwo->ovw", found, found) * (count - 1) / count
    options = dict(groups=labels) if kind == "groups" else {}
    e = interventional_expectation(
        net, fit(X, weights=weights if kind == "weights" else None), 0, values, method=method, **options
    )
    assert torch.allclose(e.values, literal(method, net, X, 0, values, weights[None])[0], rtol=1e-10)
    assert torch.allclose(e.covariances, expected, rtol=0.04, atol=0.04 * float(expected.abs().max()))


def test_cubature_feels_how_eigenvectors_turn():
    """A jackknife of a strongly bent network; to 4 %. Without the turn of the columns one error is off by 13 %."""
    net, X, values = bent("tanh", 2.5), rows(240, 3), [-0.5, 1.0]
    found = literal("cubature", net, X, 0, values, 1 - torch.eye(240, dtype=torch.float64))
    expected = (found - found.mean(0)).square().sum(0) * 239 / 240
    e = interventional_expectation(net, fit(X), 0, values, method="cubature")
    assert torch.allclose(e.stderr.square(), expected, rtol=0.04)


@METHODS
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_it_is_the_standard_deviation_over_new_tables(activation, method):
    """Of 100 tables of 200 rows, whose own standard deviation is known within 7 %; to 20 %."""
    values, errors = [], []
    for seed in range(100):
        e = interventional_expectation(bent(activation), fit(rows(200, seed)), 0, [-0.5, 1.0], method=method, rows=10)
        values.append(e.values)
        errors.append(e.stderr)
    ratio = torch.stack(errors).square().mean(0).sqrt() / torch.stack(values).std(0)
    assert ratio.min() > 0.8 and ratio.max() < 1.2


def test_a_relu_network_has_the_error_of_its_slope():
    """Flat pieces: Taylor is f(μ), and its error that of the mean, gᵀ Σ g over n - 1; to 1e-12."""
    X, net = rows(80), bent("relu")
    e = interventional_expectation(net, fit(X), 0, [0.4], method="taylor")
    m = X.mean(0)
    m[0] = 0.4
    slope = torch.func.jacrev(lambda x: net(x[None])[0])(m)
    slope[:, 0] = 0
    assert torch.allclose(e.stderr[0].square(), (slope @ torch.cov(X.T) @ slope.T).diagonal() / 80, rtol=1e-12)


class Doubled(InputModel):
    """Rows that are simulated: the second input follows the first, so that each value has a covariance of its own."""

    def __init__(self, X):
        self.X, self.samples, self.mean, self.shape = X, X, X.mean(0), (3,)
        self.feature_names, self.domain, self.fixed = ("a", "b", "c"), fit(X).domain, ()

    def answer(self, columns, values, name):
        def simulate(given, index):
            found = self.X[index].repeat(len(given), 1, 1)
            found[:, :, list(columns)] = given[:, None]
            found[:, :, 1] *= 1 + found[:, :, 0].square()
            return found

        return SimulatedIntervention(
            name=name, columns=columns, values=values, shape=(3,), num_rows=len(self.X), simulate=simulate
        )

    def pin(self, pins):
        raise NotImplementedError


@METHODS
@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("n", [3, 120])
def test_a_covariance_for_each_value(n, groups, method):
    """Each value has its own rows, with fewer of them than inputs and with more; the row average's error to 1e-9."""
    inputs, options = Doubled(rows(n)), dict(groups=torch.arange(n) // 2) if groups else {}
    right = interventional_expectation(quadratic, inputs, 0, ALPHAS, method="monte_carlo", **options)
    e = interventional_expectation(quadratic, inputs, 0, ALPHAS, method=method, **options)
    assert torch.allclose(e.covariances, right.covariances, rtol=1e-9, atol=1e-9 * float(right.covariances.max()))


class Summed(nn.Module):
    """y_t = (s_t, s_t²), s_t a sum over the steps until then: quadratic in its inputs."""

    def forward(self, x, state=None):
        start = x.new_zeros(1, len(x), 1) if state is None else state
        s = start[0] + 0.3 * x.sum(2).cumsum(1)
        return torch.stack([s, s.square()], dim=2), s[None, :, -1:]


@METHODS
def test_sequences_with_feedback(method):
    inputs = FeedbackSequences(Summed(), draw(60, 5, 2, seed=6), target_step=3)
    right = interventional_expectation(inputs.model, inputs, (3, 0), ALPHAS, method="monte_carlo")
    e = interventional_expectation(inputs.model, inputs, (3, 0), ALPHAS, method=method)
    assert torch.allclose(e.covariances, right.covariances, rtol=1e-9)


@METHODS
def test_curves_and_attributions_have_it_too(method):
    """For a quadratic network bands and effects are those of the row average; to 1e-6."""
    X = rows(200)
    found = []
    for way in (method, "monte_carlo"):
        ace = AverageCausalEffect(quadratic, fit(X), method=way)
        curve = ace.regress(["x2"], num=12)["x2", 0]
        found.append((curve.estimate(torch.tensor([0.2, 1.0]))[1], ace.attribute(X[:3], target=0).stderr))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(torch.as_tensor(one), torch.as_tensor(other), rtol=1e-6, atol=1e-9)


@METHODS
@pytest.mark.parametrize("groups", [False, True])
def test_many_rows_are_told_by_some(groups, method, monkeypatch):
    """With 400 of 4000 rows, whole groups where there are any, the error is that of all within 15 %."""
    inputs, options = fit(rows(4000)), dict(groups=torch.arange(4000) // 4) if groups else {}
    whole = interventional_expectation(bent("tanh"), inputs, 0, [0.5], method=method, **options)
    monkeypatch.setattr(moment_errors, "NUMBERS", 1200)
    answer = inputs.do(0, [0.5])
    assert moment_errors.enough_rows(answer, 2) == 400 == len(subset(answer, 1, None, None, 400))
    some = interventional_expectation(bent("tanh"), inputs, 0, [0.5], method=method, **options)
    assert torch.equal(some.values, whole.values) and not torch.equal(some.stderr, whole.stderr)
    assert torch.allclose(some.stderr, whole.stderr, rtol=0.15)
    assert some.freedom == (99 if groups else 399)


def test_a_stream_keeps_some_rows_and_counts_all():
    """Rows in the reservoir tell the error, the number of all divides it: within 15 % of the table's."""
    X = rows(4000)
    stream = InputDistribution.fit(iter(X.split(500)), domain=(-9, 9), max_rows=500)
    found = [interventional_expectation(bent("tanh"), one, 0, [0.5], method="taylor") for one in (stream, fit(X))]
    assert torch.allclose(found[0].stderr, found[1].stderr, rtol=0.15)


@METHODS
@pytest.mark.parametrize("observed", [None, 300])
def test_moments_alone_have_the_error_of_the_mean(observed, method):
    """Without rows nobody knows how far the covariance is off: gᵀ Σ g / n, or NaN where n is unknown."""
    known = fit(rows(300))
    inputs = InputDistribution.from_moments(known.mean, known.factor, low=-9, high=9, num_observed=observed)
    e = interventional_expectation(square, inputs, 0, [0.0], method=method)
    expected = 4 * known.mean[1] ** 2 * known.covariance[1, 1] / 300
    assert e.stderr.isnan().all() if observed is None else torch.allclose(e.stderr.square(), expected)


class Halved(torch.autograd.Function):
    """A square whose first derivative is all it has."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, seed):
        return 2 * seed * ctx.saved_tensors[0]


@pytest.mark.parametrize("reason", ["numpy", "no_grad", "budget"])
@METHODS
def test_a_warning_says_where_it_is_left_out(reason, method):
    """What is left is the error of the mean alone, as without rows."""

    def by_numpy(x):
        return torch.from_numpy(x.detach().numpy()[:, 1:2] ** 2)

    def hidden(x):
        with torch.no_grad():
            return square(x)

    if reason != "budget" and method == "taylor":
        return  # Taylor refuses them
    model = {"numpy": by_numpy, "no_grad": hidden, "budget": square}[reason]
    said = "no gradient" if reason != "budget" else "cost 30 model rows, more than the budget of 29"
    with pytest.warns(ApproximationWarning, match=f"leaves out that of the covariance.*{said}"):
        options = dict(budget=29) if reason == "budget" else {}
        e = interventional_expectation(model, fit(rows(90)), 0, [0.0], method=method, **options)
    inputs = fit(rows(90))
    assert torch.allclose(e.stderr.square(), 4 * inputs.mean[1] ** 2 * inputs.covariance[1, 1] / 90)


def test_cubature_needs_one_derivative():
    """A network that torch differentiates once has the whole error; to 1e-12."""
    X = rows(90)
    e = interventional_expectation(lambda x: Halved.apply(x)[:, 1:2], fit(X), 0, [0.0], method="cubature")
    right = interventional_expectation(square, fit(X), 0, [0.0], method="cubature")
    assert torch.allclose(e.stderr, right.stderr, rtol=1e-12)


def test_equal_eigenvalues_turn_their_vectors_within_bounds():
    """Closed form for an identity of n rows: a half and √n / 2 for columns apart by 1 / √n; far apart λ / (λ - λ')."""
    same = moment_errors.turning(torch.eye(2, dtype=torch.float64)[None], 100)
    assert torch.equal(same, torch.full((1, 2, 2), 0.5, dtype=torch.float64))
    apart = moment_errors.turning(torch.diag(torch.tensor([10.0, 1.0], dtype=torch.float64))[None], 1e12)
    expected = torch.tensor([[0.5, -1 / 99], [100 / 99, 0.5]], dtype=torch.float64)
    assert torch.allclose(apart[0], expected, rtol=1e-9)
    oblique = moment_errors.turning(torch.tensor([[[1.0, 1.0], [0.0, 1.0]]], dtype=torch.float64), 100)
    assert bool((oblique == 0.5).all())
