"""The causal flow: golden contributions with learned mechanisms, its graph enforced, densities and abduction."""

import math
import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
from intrinsic_systems import GOLDEN, TRIANGLE, outcome, synthetic
from scipy.stats import norm

from acelib import ApproximationWarning
from acelib.intrinsic import CausalGraph, CausalModel, FlowModel, LinearModel, intrinsic_contributions
from acelib.intrinsic.splines import spline_transform

F64 = torch.float64


@pytest.fixture(scope="module")
def learned():
    """Trained on 16384 rows of the synthetic system; about 5 s on one free thread."""
    return FlowModel.fit(synthetic().sample(16_384, seed=0), TRIANGLE, epochs=10, batch_size=512)


def transform(adjacency):
    return spline_transform(adjacency, (16,), 8, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("context", ["topological", "shapley", "total"])
def test_learned_contributions(learned, context):
    """Shares within 0.03 of the golden values by quadrature."""
    r = intrinsic_contributions(learned, outcome, context=context, num_samples=2**13)
    assert (r.shares - torch.tensor(GOLDEN[context])).abs().max() < 0.03
    assert float(r.shares_stderr.max()) < 0.01 and abs(r.uncertainty - 0.419779) < 0.03


def test_likelihood_and_history(learned):
    """Mean negative log-likelihood of fresh rows within 0.08 nats of the truth, ln(2π e 0.1): the entropy of two
    normal noises and of a uniform, whose edges a smooth density cannot follow.
    """
    truth = math.log(2 * math.pi * math.e * 0.1)
    fresh = float(-learned.log_prob(synthetic().sample(20_000, seed=9)).mean())
    assert truth - 0.02 < fresh < truth + 0.08
    assert len(learned.history) == 10 and learned.history[-1] < learned.history[0]
    assert abs(learned.history[-1] - fresh) < 0.05 and "nats" in repr(learned)


def test_density_integrates_to_one(learned):
    """p(r | p, q) integrated over r by the trapezoid rule, to 1e-3."""
    r = torch.linspace(-8, 8, 4001, dtype=F64)
    rows = torch.stack([torch.full_like(r, 0.5), torch.full_like(r, 1.0), r], dim=1)
    joint = learned.log_prob(rows).exp()
    pair = FlowModel.log_prob(learned, rows[:1])  # p(p, q, r) at one r, to divide the marginal out
    noise = learned.abduct(rows[:1])[0]
    jacobian = learned.jacobian(rows[:1])[0].diagonal()
    marginal = math.exp(sum(norm.logpdf(noise[:2].numpy())) + float(jacobian[:2].log().sum()))
    assert abs(float(torch.trapezoid(joint, r)) / marginal - 1) < 1e-3
    assert abs(float(pair) - math.log(marginal) - norm.logpdf(float(noise[2])) - float(jacobian[2].log())) < 1e-9


def test_abduction_undoes_push(learned):
    """Noise to data and back to 1e-6; on training data the noises are close to independent normals."""
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(500, 3, generator=g, dtype=F64)
    assert (learned.abduct(learned.push(noise)) - noise).abs().max() < 1e-6
    found = learned.abduct(synthetic().sample(20_000, seed=3))
    assert found.mean(0).abs().max() < 0.1 and (found.std(0) - 1).abs().max() < 0.1
    assert abs(np.corrcoef(found.numpy().T) - np.eye(3)).max() < 0.1
    assert learned.push(noise.float()).dtype == torch.float32 and isinstance(learned, CausalModel)
    assert torch.equal(learned.sample(10, seed=4), learned.sample(10, seed=4)) and learned.nodes == ("P", "Q", "R")


def test_jacobian_is_that_of_finite_differences_and_follows_the_graph():
    """Central differences to 1e-6; exact zeros where the graph has no arrow."""
    graph = CausalGraph({"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"]})
    model = FlowModel(graph, transform(graph.adjacency()), torch.tensor([1.0, 0, 0, 0]), torch.tensor([2.0, 1, 1, 1]))
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=F64)
    jacobian = model.jacobian(rows)
    for j in range(4):
        step = torch.zeros(4, dtype=F64)
        step[j] = 1e-5
        difference = (model.abduct(rows + step) - model.abduct(rows - step)) / 2e-5
        assert (jacobian[:, :, j] - difference).abs().max() < 1e-6
    assert jacobian[:, ~graph.adjacency()].abs().max() == 0


def test_a_transposed_mask_is_caught():
    """The same network with its mask transposed: the Jacobian names the arrows that run the wrong way."""
    graph = CausalGraph(TRIANGLE)
    FlowModel(graph, transform(graph.adjacency()))
    with pytest.raises(ValueError, match="noise of 'P' depends on 'Q', which is no parent of it.*mask transposed"):
        FlowModel(graph, transform(graph.adjacency().T))


def test_a_missing_or_an_extra_arrow_is_caught():
    graph = CausalGraph(TRIANGLE)
    without, chain = graph.adjacency(), CausalGraph({"P": [], "Q": ["P"], "R": ["Q"]})
    with pytest.raises(ValueError, match="noise of 'R' depends on 'P', which is no parent"):
        FlowModel(chain, transform(without))
    with pytest.raises(ValueError, match="noise of 'R' cannot depend on 'P'"):
        FlowModel(graph, transform(chain.adjacency()))


def test_training_is_seeded_and_leaves_the_global_generator_alone():
    rows = synthetic().sample(200)
    before = torch.random.get_rng_state()
    with pytest.warns(ApproximationWarning, match="after 2 epochs of 200 rows.*below that of LinearModel"):
        a, b, c = (FlowModel.fit(rows, TRIANGLE, epochs=2, seed=s) for s in (0, 0, 1))
        assert FlowModel.fit(rows, TRIANGLE, epochs=2, seed=None).history == a.history
    assert a.history == b.history and a.history != c.history
    assert torch.equal(torch.random.get_rng_state(), before)
    one, two, other = (FlowModel.fit(rows, TRIANGLE, steps=50, seed=s) for s in (0, None, 1))
    assert one.history == two.history != other.history


def test_another_graph_gives_other_contributions():
    """Trained on the same rows along the reverse order R, Q, P: what P had on its own is now R's."""
    rows = synthetic().sample(2_000, seed=0)
    reverse = {"P": ["Q", "R"], "Q": ["R"], "R": []}
    r = intrinsic_contributions(FlowModel.fit(rows, reverse, epochs=6), outcome, num_samples=2**10)
    assert float((r.shares - torch.tensor(GOLDEN["shapley"])).abs().max()) > 0.2


def test_bad_tables_and_a_missing_package(monkeypatch):
    rows = synthetic().sample(200)
    with pytest.raises(ValueError, match="at least 100 rows to learn mechanisms from, got 50"):
        FlowModel.fit(rows[:50], TRIANGLE)
    with pytest.raises(ValueError, match="must vary in every column, got constant \\['Q'\\]"):
        FlowModel.fit(rows * torch.tensor([1.0, 0.0, 1.0]), TRIANGLE)
    with pytest.raises(ValueError, match="at least two nodes"):
        FlowModel.fit(rows[:, :1], {"P": []})
    monkeypatch.setitem(sys.modules, "zuko.flows.autoregressive", None)
    with pytest.raises(ImportError, match="pip install zuko"):
        FlowModel.fit(rows, TRIANGLE)


def linear_chain(n, seed):
    """X, Y = 2X + N, Z = 3Y + N: contributions to Z are 36, 9 and 1."""
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=F64)
    x, y = noise[:, 0], 2 * noise[:, 0] + noise[:, 1]
    return torch.stack([x, y, 3 * y + noise[:, 2]], dim=1)


CHAIN = {"X": [], "Y": ["X"], "Z": ["Y"]}


@pytest.mark.parametrize(("n", "seed"), [(500, 0), (1000, 1), (2000, 2)])
def test_small_tables_are_learned_at_the_defaults(n, seed):
    """Contributions within 20 % of the truth: five standard errors of a variance from 400 rows are 35 %, these draws
    lie within 12 %. No warning, and a likelihood as high as that of the true kind of model, to 0.01 nats.
    """
    rows = linear_chain(n, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = FlowModel.fit(rows, CHAIN)
    found = intrinsic_contributions(model, None, target="Z", num_samples=2**11)
    assert (found.contributions / torch.tensor([36.0, 9.0, 1.0]) - 1).abs().max() < 0.2
    assert float(model.log_prob(rows).mean()) > LinearModel.fit(rows, CHAIN).log_likelihood(rows) - 0.01


def test_curved_mechanisms_are_learned_until_held_out_rows_are_no_likelier():
    """Shares within 0.05 of the golden ones, fresh rows within 0.1 nats of the truth, from 2000 rows; it stops itself,
    and the history ends at the weights that were kept: the best on the rows held out.
    """
    model = FlowModel.fit(synthetic().sample(2_000, seed=0), TRIANGLE)
    r = intrinsic_contributions(model, outcome, num_samples=2**11)
    assert (r.shares - torch.tensor(GOLDEN["shapley"])).abs().max() < 0.05
    fresh = float(-model.log_prob(synthetic().sample(20_000, seed=9)).mean())
    assert abs(fresh - math.log(2 * math.pi * math.e * 0.1)) < 0.1
    assert model.history[-1] == min(model.history) < model.history[0] and len(model.history) < 100
    noise = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    assert (model.abduct(model.push(noise)) - noise).abs().max() < 1e-6
    assert pickle.loads(pickle.dumps(model)).push(noise).equal(model.push(noise))


def test_training_starts_as_the_linear_normal_model():
    """The first held-out loss is that of least squares on the other rows, to 1e-9: nothing later can be below it."""
    rows = linear_chain(300, 3) + torch.tensor([5.0, 0.0, -2.0])
    order = torch.Generator().manual_seed(0)
    torch.randint(2**62, (), generator=order)  # the seed of the initial weights
    order = torch.randperm(300, generator=order)
    linear = LinearModel.fit(rows[order[60:]], CHAIN)
    first = FlowModel.fit(rows, CHAIN, steps=1).history[0]
    assert abs(first + linear.log_likelihood(rows[order[:60]])) < 1e-9


@pytest.mark.parametrize("options", [{}, {"epochs": 40}])
@pytest.mark.parametrize("k", [2, 5])
def test_independent_nodes_are_a_graph(k, options):
    """No arrow: a sum's contributions are the variances, within 25 %; no node tells of another."""
    rows = torch.randn(800, k, generator=torch.Generator().manual_seed(k), dtype=F64) * torch.arange(1.0, k + 1)
    model = FlowModel.fit(rows, {f"x{i}": [] for i in range(k)}, **options)
    r = intrinsic_contributions(model, lambda x: x.sum(1, keepdim=True), num_samples=2**10)
    assert (r.contributions / torch.arange(1.0, k + 1) ** 2 - 1).abs().max() < 0.25
    assert model.jacobian(rows[:9])[:, ~torch.eye(k, dtype=torch.bool)].abs().max() == 0


def test_collinear_parents_have_a_flow():
    """A node that is twice another, as parents of a third: no error, and the third's noise is its own, to 20 %."""
    a, e = linear_chain(500, 4)[:, 0], torch.randn(500, generator=torch.Generator().manual_seed(5), dtype=F64)
    rows = torch.stack([a, 2 * a, a + e], dim=1)
    model = FlowModel.fit(rows, {"a": [], "b": ["a"], "c": ["a", "b"]}, steps=200)
    found = intrinsic_contributions(model, None, target="c", num_samples=2**10).contributions
    assert abs(float(found[2]) - 1) < 0.2 and abs(float(found[0]) - 1) < 0.2


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"steps": 0}, {"batch_size": 0}])
def test_a_fit_needs_steps(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 1, got 0"):
        FlowModel.fit(linear_chain(100, 0), CHAIN, **wrong)


@pytest.mark.parametrize("k", [2, 7, 11])
@pytest.mark.parametrize("edges", [True, False])
def test_rows_go_through_a_flow_in_blocks(k, edges, monkeypatch):
    """However many rows a call has, the splines see few: at most 2^18 parameters; blocks give the same to 1e-12."""
    graph = CausalGraph({f"x{i}": [f"x{i - 1}"] if edges and i else [] for i in range(k)})
    model = FlowModel(graph, transform(graph.adjacency()))
    noise = torch.randn(20_000, k, generator=torch.Generator().manual_seed(0), dtype=F64)
    seen = []
    call = type(model.transform).forward

    def counted(self, *given):
        made = call(self, *given)
        forward, backward = made.call_and_ladj, made._inverse
        made.call_and_ladj = lambda x: (seen.append(len(x)), forward(x))[1]
        made._inverse = lambda y: (seen.append(len(y)), backward(y))[1]
        return made

    monkeypatch.setattr(type(model.transform), "forward", counted)
    rows = model.push(noise)
    density = model.log_prob(rows)
    assert sum(seen) == (1 + edges) * len(noise)  # the inverse of independent splines is not that method
    assert max(seen) * k * (23 if edges else 16) <= 2**18
    monkeypatch.setattr("acelib.intrinsic.training.BLOCK", 2**30)
    assert (model.push(noise[:999]) - rows[:999]).abs().max() < 1e-12
    assert (model.log_prob(rows[:999]) - density[:999]).abs().max() < 1e-12
    assert (model.abduct(rows) - noise).abs().max() < 1e-5


@pytest.mark.parametrize(("seconds", "said"), [(0.001, False), (100.0, True)])
def test_long_runs_say_so_before_they_go_on(seconds, said, monkeypatch):
    """A clock that advances by ``seconds`` a look: 2^14 · 2^7 rows in 128 blocks are 0.1 s, or 213 minutes."""
    clock = iter(range(10**6))
    monkeypatch.setattr("acelib.intrinsic.pickfreeze.time.perf_counter", lambda: seconds * next(clock))
    model = LinearModel({f"x{i}": [] for i in range(7)}, {})
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        intrinsic_contributions(model, lambda x: x.sum(1, keepdim=True).sin())
    messages = [str(w.message) for w in seen]
    assert len(messages) == said and all("2,097,152 model rows will take about 213 minutes" in m for m in messages)
    assert all(w.filename == __file__ for w in seen)
