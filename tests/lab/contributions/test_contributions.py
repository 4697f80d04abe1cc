"""Chapter 11's systems against integrals, loops and closed forms, and its rival methods against Captum."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest
import torch

from acelib.intrinsic import LinearModel, intrinsic_contributions
from acelib.lab import contributions as lab
from acelib.lab.contributions.methods import ace_variance
from acelib.lab.networks import mlp


@pytest.mark.parametrize("name", lab.DISGUISES)
def test_disguises_can_be_undone(name):
    """Each map with its inverse is the identity to 1e-9, and all but the first change the noise."""
    (to_p, from_p), (to_e, from_e) = lab.DISGUISES[name]
    u, e = torch.linspace(0.01, 0.99, 50).double(), torch.linspace(-2.99, 3, 50).double()
    assert (from_p(to_p(u)) - u).abs().max() < 1e-9 and (from_e(to_e(e)) - e).abs().max() < 1e-9
    assert name == "as stated" or (to_e(e) - e).abs().max() > 0.5


def test_closed_forms_of_ishigami_against_published_values():
    first, total = lab.ishigami_indices()
    assert np.allclose(first, [0.3139, 0.4424, 0], atol=5e-5)
    assert np.allclose(total, [0.5576, 0.4424, 0.2437], atol=5e-5)


def test_ishigami_and_its_indices_against_a_grid():
    """Averages over a midpoint grid, which is exact for trigonometric polynomials and converges for x⁴ as 1/n²."""
    n = 120
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    y = lab.ishigami(torch.cartesian_prod(u, u, u)).reshape(n, n, n).numpy()
    first, total = lab.ishigami_indices()
    for j in range(3):
        others = tuple(i for i in range(3) if i != j)
        assert abs(y.mean(others).var() / y.var() - first[j]) < 2e-3
        assert abs(y.var(j).mean() / y.var() - total[j]) < 2e-3


def test_g_function_indices_against_a_grid():
    a = [0.0, 1.5]
    n = 2000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    y = lab.g_function(a)(torch.cartesian_prod(u, u)).reshape(n, n).numpy()
    first, total = lab.g_indices(a)
    assert np.allclose([y.mean(1).var(), y.mean(0).var()] / y.var(), first, atol=1e-5)
    assert np.allclose([y.var(0).mean(), y.var(1).mean()] / y.var(), total, atol=1e-5)


def test_random_grid_is_repeatable_and_interacts():
    one, target = lab.random_grid(4)
    two, _ = lab.random_grid(4)
    assert torch.equal(one.sample(20), two.sample(20)) and one.graph.parents == two.graph.parents
    first, total = (intrinsic_contributions(one, target, context=c).shares for c in ("first", "total"))
    assert (total - first).max() > 0.01


def test_share_lost_in_a_linear_chain():
    """Holding the noise of X in X → Y takes 4 of 5 parts of Var(Y); the answer lies within 4 standard errors."""
    chain = LinearModel({"X": [], "Y": ["X"]}, {"Y": {"X": 2.0}})
    share, error = lab.share_lost_when_held(chain, lambda x: x[:, 1:], "X", seed=1)
    assert abs(share - 0.8) < 4 * error + 0.005 and 0 < error < 0.01


def test_complete_graphs():
    assert lab.complete_graph("cab") == {"c": [], "a": ["c"], "b": ["c", "a"]}
    assert lab.complete_graph("cd", "ab") == {"a": [], "b": [], "c": ["a", "b"], "d": ["a", "b", "c"]}


def test_mean_distance_and_its_jackknife():
    shares = np.random.default_rng(1).dirichlet(np.ones(4), size=7)
    pairs = [0.5 * np.abs(shares[i] - shares[j]).sum() for i in range(7) for j in range(i)]
    value, error = lab.mean_distance(shares)
    assert abs(value - np.mean(pairs)) < 1e-12
    left_out = [lab.mean_distance(np.delete(shares, i, 0))[0] for i in range(7)]
    assert abs(error - (6 / 7 * np.sum((left_out - np.mean(left_out)) ** 2)) ** 0.5) < 1e-12


def test_mean_distance_of_two_methods_is_the_difference():
    rng = np.random.default_rng(2)
    one, two = rng.dirichlet(np.ones(3), size=6), rng.dirichlet(np.full(3, 9.0), size=6)
    lead, error = lab.mean_distance(one, two)
    assert abs(lead - (lab.mean_distance(one)[0] - lab.mean_distance(two)[0])) < 1e-12 and error > 0
    assert lab.mean_distance(one, one) == (0.0, 0.0)


# ---------------------------------------------------------------- networks and the methods beside


@pytest.fixture(scope="module")
def table():
    X = torch.randn(300, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    X = X * torch.tensor([1.0, 5, 0.1]) + 3
    return X, 2 * X[:, 0] + 0.4 * (X[:, 1] - 3)


def test_networks_learn_in_the_units_of_the_table(table):
    X, y = table
    one, two = lab.fit_networks(X, y, [0, 1], epochs=60)
    for net in (one, two):
        assert ((net(X)[:, 0] - y).var() / y.var()) < 0.02
    assert (one(X) - two(X)).abs().max() > 1e-3
    assert not any(p.requires_grad for p in one.parameters())


def test_networks_on_their_own_rows(table):
    X, y = table
    rows = torch.stack([torch.arange(150), torch.arange(150, 300)])
    both = lab.fit_networks(X, y, [0, 1], rows=rows, epochs=2)
    same = lab.fit_networks(X, y, [0, 1], rows=rows[:1].expand(2, -1), epochs=2)
    assert torch.allclose(both[0](X), same[0](X), atol=1e-9) and not torch.allclose(both[1](X), same[1](X), atol=1e-6)
    with pytest.raises(ValueError, match="rows must hold one set for each of the 1 seeds, got 2"):
        lab.fit_networks(X, y, [0], rows=rows)


def test_fused_network_is_the_mean(table):
    X, y = table
    networks = lab.fit_networks(X, y, [0, 1, 2], epochs=1)
    mean = torch.stack([net(X) for net in networks]).mean(0)
    assert (lab.fused(networks)(X) - mean).abs().max() < 1e-10


def test_marginal_shapley_against_the_definition():
    net = mlp((3, 4, 1), activation="tanh", seed=0).requires_grad_(False)
    g = torch.Generator().manual_seed(0)
    x, ground = torch.randn(2, 3, generator=g, dtype=torch.float64), torch.randn(5, 3, generator=g, dtype=torch.float64)

    def game(row, members):
        z = ground.clone()
        z[:, list(members)] = row[list(members)]
        return float(net(z).mean())

    found = lab.marginal_shapley(net, x, ground)
    for row, values in zip(x, found, strict=True):
        for j in range(3):
            rest = [i for i in range(3) if i != j]
            total = 0.0
            for members in ([], rest[:1], rest[1:], rest):
                weight = factorial(len(members)) * factorial(2 - len(members)) / factorial(3)
                total += weight * (game(row, [*members, j]) - game(row, members))
            assert abs(total - float(values[j])) < 1e-12


def test_marginal_shapley_against_captum():
    from captum.attr import ShapleyValues

    net = mlp((3, 4, 1), activation="tanh", seed=1).requires_grad_(False)
    x = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    ground = torch.zeros(1, 3, dtype=torch.float64)
    theirs = ShapleyValues(net).attribute(x, baselines=ground)
    assert (lab.marginal_shapley(net, x, ground) - theirs).abs().max() < 1e-6


def test_ace_variance_of_a_linear_model_is_that_of_its_terms(table):
    X, _ = table
    weights = torch.tensor([[1.0], [-2.0], [0.0]], dtype=torch.float64)
    found = ace_variance(lambda z: z @ weights, X)
    assert np.allclose(found, (weights[:, 0] ** 2 * X.var(0, unbiased=False)).numpy(), rtol=1e-6)


def test_global_shares_sum_to_one_and_leave_out_what_is_not_read(table):
    X, y = table
    net = torch.nn.Linear(3, 1, dtype=torch.float64).requires_grad_(False)
    net.weight.copy_(torch.tensor([[1.0, 0.2, 0.0]]))
    shares = lab.global_shares(net, X, X @ net.weight[0] + net.bias, rows=50)
    again = lab.global_shares(net, X, X @ net.weight[0] + net.bias, rows=50)
    assert set(shares) == set(lab.METHODS)
    for name, value in shares.items():
        assert abs(value.sum() - 1) < 1e-12 and abs(value[2]) < 1e-12 and value[:2].min() > 0.3, name
        assert np.array_equal(value, again[name])
