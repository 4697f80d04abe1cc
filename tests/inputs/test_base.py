"""The base of all input models: a model of one's own against closed forms; what it checks, warns of and refuses."""

import numpy as np
import pytest
import torch

from acelib import (
    ApproximationWarning,
    AverageCausalEffect,
    ExtrapolationWarning,
    FiniteSet,
    InputDistribution,
    InputModel,
    Interval,
    LatentPrior,
    interventional_expectation,
    quantus_explain,
)
from acelib.inputs import Intervention, SimulatedIntervention, TableIntervention
from acelib.recurrent import FeedbackSequences

VALUES = [-1.0, 0.5, 2.0]


class Chain(InputModel):
    """x0, x1 = 2 x0 + noise, x2 = x1² / 4 + noise: an intervention carries on to what comes after."""

    feature_names, shape, domain = ("x0", "x1", "x2"), (3,), (Interval(-3.0, 3.0),) * 3

    def __init__(self, rows, fixed=()):
        self.samples, self.mean, self.fixed = rows, rows.mean(0), fixed

    def simulate(self, columns, values, index=slice(None)):
        rows = self.samples[index].repeat(len(values), 1, 1)
        noise = [rows[..., 1] - 2 * rows[..., 0], rows[..., 2] - rows[..., 1] ** 2 / 4]
        rows[..., list(columns)] = values[:, None]
        if 1 not in columns + self.fixed:
            rows[..., 1] = 2 * rows[..., 0] + noise[0]
        if 2 not in columns + self.fixed:
            rows[..., 2] = rows[..., 1] ** 2 / 4 + noise[1]
        return rows

    def answer(self, columns, values, name):
        return SimulatedIntervention(
            name=name,
            columns=columns,
            values=values,
            shape=self.shape,
            num_rows=len(self.samples),
            simulate=lambda values, index: self.simulate(columns, values, index),
            observed=self.samples,
            fixed=self.fixed,
        )

    def pin(self, pins):
        values = self.mean.new_tensor([list(pins.values())])
        return Chain(self.simulate(tuple(pins), values)[0], self.fixed + tuple(pins))


def chain(n=40, seed=0):
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x0 = noise[:, 0]
    x1 = 2 * x0 + 0.5 * noise[:, 1]
    return Chain(torch.stack([x0, x1, x1**2 / 4 + 0.1 * noise[:, 2]], dim=1))


def total(x):
    return x.sum(1, keepdim=True)


def literal(inputs, alpha):
    """The outputs of ``total`` under do(x0 = alpha), row by row with plain numbers."""
    out = []
    for x0, x1, x2 in inputs.samples.tolist():
        y1 = 2 * alpha + (x1 - 2 * x0)
        out.append(alpha + y1 + y1**2 / 4 + (x2 - x1**2 / 4))
    return np.array(out)


# ---------------------------------------------------------------- a model of one's own


@pytest.mark.parametrize("chunk", [None, 1, 7, 50])
def test_the_total_effect_of_a_chain(chunk):
    """Mean and standard error of the literal loop, to 1e-12, in blocks of any size."""
    inputs = chain()
    e = interventional_expectation(total, inputs, "x0", VALUES, chunk_size=chunk)
    for value, found, error in zip(VALUES, e.values[:, 0], e.stderr[:, 0], strict=True):
        y = literal(inputs, value)
        assert abs(float(found) - y.mean()) < 1e-12 and abs(float(error) - y.std(ddof=1) / 40**0.5) < 1e-12
    assert e.method == "monte_carlo" and e.num_rows == 40 and e.feature == "x0"


@pytest.mark.parametrize("n", [2, 3, 40])
@pytest.mark.parametrize("feature", ["x0", "x1", ("x0", "x2")])
def test_moments_are_those_of_the_simulated_rows(n, feature):
    """Means and covariances by numpy (ddof = 0), with fewer and with more rows than inputs; pinned ones are exact."""
    inputs = chain(n)
    width = len(inputs.feature(feature))
    values = torch.tensor([[0.1, 0.3], [-0.7, 1.1]], dtype=torch.float64)[:, :width]
    answer = inputs.do(feature, values)
    rows = inputs.simulate(answer.columns, values).numpy()
    for v in range(2):
        assert np.abs(answer.means[v].numpy() - rows[v].mean(0)).max() < 1e-13
        assert np.abs((answer.factor[v] @ answer.factor[v].T).numpy() - np.cov(rows[v].T, ddof=0)).max() < 1e-13
    assert torch.equal(answer.means[:, list(answer.columns)], values)
    assert not answer.factor[answer.pinned].any() and answer.pinned.sum(1).tolist() == [width] * 2
    assert answer.num_rows == answer.num_observed == n and f"{n} rows" in repr(answer)


@pytest.mark.parametrize("method", ["taylor", "cubature"])
def test_second_order_estimators_are_exact_on_a_quadratic_output(method):
    """x0 + x1 + x2 is linear in the simulated rows, so both equal the row average, and so do their errors (1e-10)."""
    inputs = chain()
    rows = interventional_expectation(total, inputs, "x0", VALUES)
    other = interventional_expectation(total, inputs, "x0", VALUES, method=method)
    assert (other.values - rows.values).abs().max() < 1e-10
    assert (other.covariance() - rows.covariance()).abs().max() < 1e-10


def test_pins_leave_the_direct_effect():
    """With x1 and x2 held, do(x0) changes the sum by what x0 changes; pins nest in any order and are taken together."""
    inputs = chain()
    nested = inputs.do({"x1": 0.5}).do({"x2": 1.0})
    assert nested.fixed == (1, 2) and not inputs.fixed
    assert torch.equal(nested.samples, inputs.do({"x2": 1.0, "x1": 0.5}).samples)
    e = interventional_expectation(total, nested, "x0", VALUES)
    assert torch.allclose(e.values[:, 0], torch.tensor(VALUES, dtype=torch.float64) + 1.5, atol=1e-14)
    assert e.stderr.max() < 1e-14
    partly = inputs.do({("x1",): [0.5]}).do("x0", VALUES)
    assert partly.pinned.tolist() == [[True, True, False]] * 3
    assert torch.allclose(partly.means[:, 2], 0.0625 + (inputs.samples[:, 2] - inputs.samples[:, 1] ** 2 / 4).mean())


def test_support_of_simulated_rows():
    """Against distances of all pairs written out; a chain that is followed stays near the data, a broken one leaves."""
    inputs = chain(60)
    answer = inputs.do("x0", [0.0, 1.0])
    data = inputs.samples / inputs.samples.std(0, correction=0)
    limit = torch.quantile(
        ((data[:, None] - data[None]).norm(dim=2) + torch.diag(torch.full((60,), torch.inf))).min(1).values, 0.99
    )
    rows = inputs.simulate((0,), answer.values) / inputs.samples.std(0, correction=0)
    expected = [float(((r[:, None] - data[None]).norm(dim=2).min(1).values > limit).double().mean()) for r in rows]
    assert answer.support().tolist() == expected
    broken = InputDistribution.fit(inputs.samples, domain=(-3.0, 3.0)).do("x0", [0.0, 1.0])
    assert broken.support().mean() > 2 * answer.support().mean()


def test_curves_saliency_and_quantus_take_any_input_model():
    """Of a linear chain output the ACE of x1 is known: α + α²/4 minus its mean over [-3, 3], 3/4, to 1e-6."""
    inputs = chain()
    ace = AverageCausalEffect(total, inputs)
    grid = torch.linspace(-3, 3, 7, dtype=torch.float64)
    curve = ace.regress(["x1"], num=20)["x1"]
    assert curve.order == 2 and torch.allclose(curve.ace(grid), grid + grid**2 / 4 - 0.75, atol=1e-6)
    x = torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    effect = ace.attribute(x, features=["x1"], via="direct").values[0]
    assert abs(float(effect[1]) - (2 + 1 - 0.75)) < 1e-9 and effect[[0, 2]].isnan().all()
    maps = quantus_explain(total, x.numpy(), 0, explain=inputs)
    assert maps.shape == (1, 3) and abs(maps[0, 1] - 2.25) < 1e-6 and abs(maps[0, 2] + 1) < 1e-6


def test_a_simulation_of_the_wrong_shape_or_nan_is_named():
    inputs = chain()
    options = dict(name="x0", columns=(0,), values=torch.zeros(2, 1), shape=(3,), num_rows=40)
    short = SimulatedIntervention(simulate=lambda values, index: inputs.samples[index][None], **options)
    with pytest.raises(ValueError, match=r"simulate must return rows \(v, b, k\) = \(2, 40, 3\), got \(1, 40, 3\)"):
        next(short.rows(1000))
    lost = SimulatedIntervention(simulate=lambda v, i: torch.full((len(v), len(i), 3), torch.nan), **options)
    with pytest.raises(ValueError, match=r"got NaN or Inf under do\(x0\)"):
        next(lost.rows(1000))
    assert lost.support().isnan().all()


def test_what_must_be_written_is_said():
    """A subclass without both methods cannot be made, nor can the bare answer."""
    with pytest.raises(TypeError, match="answer"):
        type("Half", (InputModel,), {"pin": lambda self, pins: self})()
    with pytest.raises(TypeError, match="pin"):
        type("Other", (InputModel,), {"answer": lambda self, columns, values, name: None})()
    with pytest.raises(TypeError, match="rows"):
        Intervention()
    for kind in (InputDistribution, LatentPrior, FeedbackSequences):
        assert issubclass(kind, InputModel)
    assert isinstance(InputDistribution.fit(chain().samples).do(0, [0.0]), TableIntervention)


# ---------------------------------------------------------------- reading


def test_names_values_and_pins_that_are_wrong():
    """One sentence each, before the answer is asked."""
    inputs = chain()
    for call, error, message in [
        (lambda: inputs.do("y", VALUES), ValueError, "feature must be one of the 3 names, got 'y'; did you mean"),
        (lambda: inputs.do(3, VALUES), ValueError, "index below 3, got 3"),
        (lambda: inputs.do(1.5, VALUES), TypeError, "a name, an index or a tuple of them, got 1.5"),
        (lambda: inputs.do(("x0", 0), [VALUES[:2]]), ValueError, r"each once, got \('x0', 0\)"),
        (lambda: inputs.do("x0", [[1.0, 2.0]]), ValueError, r"shape \(m,\) or \(m, 1\)"),
        (lambda: inputs.do("x0"), ValueError, "values must be given"),
        (lambda: inputs.do({}), ValueError, "at least one feature, got {}"),
        (lambda: inputs.do({"x0": 1.0, 0: 2.0}), ValueError, r"once in one do\(\), got \['x0'\] twice"),
        (lambda: inputs.do({"x0": [1.0, 2.0]}), ValueError, "one value per input, got 2"),
        (lambda: inputs.do({"x0": 1.0}).do("x0", [1.0]), ValueError, r"pinned by an earlier do\(\), got \['x0'\]"),
    ]:
        with pytest.raises(error, match=message):
            call()
    assert inputs.feature(np.int64(-1)) == inputs.feature(torch.tensor(2)) == (2,) and inputs.num_features == 3
    assert inputs.low.tolist() == [-3] * 3 and inputs.high.tolist() == [3] * 3 and inputs.label((0, "x2")) == "x0, x2"
    assert inputs.do({0: torch.tensor(1.0)}).samples[:, 0].unique().tolist() == [1.0]


@pytest.mark.parametrize("inputs", [[[0.0, 1.0]], torch.rand(5, 2), lambda x: x])
def test_something_else_than_an_input_model_is_refused(inputs):
    message = rf"inputs must be a causal input model .*got {type(inputs).__name__}; a kind of your own is a subclass"
    with pytest.raises(TypeError, match=message):
        interventional_expectation(total, inputs, 0, [0.0])
    with pytest.raises(TypeError, match=message):
        AverageCausalEffect(total, inputs)


@pytest.mark.parametrize(
    "ask",
    [
        lambda i: i.do("x0", [5.0]),
        lambda i: i.do({"x0": 5.0}),
        lambda i: interventional_expectation(total, i, "x0", [5.0]),
        lambda i: AverageCausalEffect(total, i).expectation("x0", [5.0]),
        lambda i: AverageCausalEffect(total, i).attribute([5.0, 0.0, 0.0], via="direct"),
    ],
)
@pytest.mark.parametrize("kind", [chain, lambda: InputDistribution.fit(chain().samples, domain=(-3.0, 3.0))])
def test_the_warning_of_extrapolation_points_at_the_callers_line(kind, ask):
    """However many functions of the package lie between: the warning is reported in this file."""
    with pytest.warns(
        ExtrapolationWarning, match=r"1 of .* values for 'x0' lie outside its domain \[-3, 3\]"
    ) as caught:
        ask(kind())
    assert {w.filename for w in caught} == {__file__}


def test_other_warnings_point_at_the_callers_line():
    fitted = chain()
    bare = InputDistribution.from_moments(fitted.mean, torch.eye(3, dtype=torch.float64), low=-3, high=3)
    with pytest.warns(ApproximationWarning, match="no rows") as caught:
        interventional_expectation(total, bare, 0, [0.0])
    assert caught[0].filename == __file__


class Coin(InputModel):
    """One input that is 0 or 1; other values have no meaning and are refused."""

    feature_names, domain, shape, samples, fixed = ("coin",), (FiniteSet((0.0, 1.0)),), (1,), None, ()
    mean = torch.tensor([0.5], dtype=torch.float64)

    def check_values(self, columns, values):
        if len(self.domain[0].outside(values[:, 0])):
            raise ValueError("values of 'coin' must be 0 or 1")

    def answer(self, columns, values, name):
        none = self.mean.new_zeros(1, 0)
        return TableIntervention(
            name=name, columns=columns, values=values, mean=self.mean, base_factor=none, shape=(1,), num_observed=9
        )

    def pin(self, pins):
        raise NotImplementedError


def test_values_without_meaning_may_be_refused_and_moments_may_do():
    """A subclass decides about values; an answer of moments alone is averaged by the estimators that need no rows."""
    with pytest.raises(ValueError, match="'coin' must be 0 or 1"):
        Coin().do("coin", [0.5])
    e = interventional_expectation(lambda x: 3 * x, Coin(), "coin", [0, 1], method="taylor")
    assert e.values[:, 0].tolist() == [0.0, 3.0] and e.stderr.max() == 0 and e.support.isnan().all()
    assert "no rows" in repr(Coin().do(0, [1]))
