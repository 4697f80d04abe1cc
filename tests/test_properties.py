"""Properties that must hold for any network and any table (hypothesis)."""

import torch
from helpers import correlated, network
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation

SEEDS = st.integers(0, 10_000)
METHODS = st.sampled_from(["monte_carlo", "taylor", "cubature"])
VALUES = [-0.5, 0.0, 1.0]
few = settings(max_examples=15, deadline=None)


def expect(model, X, feature, values=VALUES, method="monte_carlo"):
    return interventional_expectation(model, InputDistribution.fit(X, domain=(-99, 99)), feature, values, method=method)


@few
@given(seed=SEEDS, shift=st.floats(-5, 5), method=METHODS)
def test_shifting_an_input_and_its_values_changes_nothing(seed, shift, method):
    """A constant added to all inputs and taken off in the network leaves expectations and errors (1e-9)."""
    X, net = correlated(30, 3, seed=seed), network(3, seed=seed)
    plain = expect(net, X, 1, method=method)
    moved = expect(lambda x: net(x - shift), X + shift, 1, [v + shift for v in VALUES], method)
    assert torch.allclose(plain.values, moved.values, atol=1e-9)
    assert torch.allclose(plain.stderr, moved.stderr, atol=1e-9)


@few
@given(seed=SEEDS, order=st.permutations([0, 1, 2, 3]), method=st.sampled_from(["monte_carlo", "taylor"]))
def test_permuting_the_features_permutes_the_effects(seed, order, method):
    X, net = correlated(30, 4, seed=seed), network(4, seed=seed)
    inverse = [order.index(i) for i in range(4)]
    mixed = expect(lambda x: net(x[:, inverse]), X[:, order], order.index(2), method=method)
    assert torch.allclose(expect(net, X, 2, method=method).values, mixed.values, atol=1e-9)


@few
@given(seed=SEEDS, scale=st.floats(-4, 4), offset=st.floats(-4, 4), method=METHODS)
def test_expectations_are_affine_in_the_output(seed, scale, offset, method):
    X, net = correlated(30, 3, seed=seed), network(3, seed=seed)
    plain = expect(net, X, 0, method=method)
    scaled = expect(lambda x: scale * net(x) + offset, X, 0, method=method)
    assert torch.allclose(scaled.values, scale * plain.values + offset, atol=1e-9)
    assert torch.allclose(scaled.stderr, abs(scale) * plain.stderr, atol=1e-9)


@few
@given(seed=SEEDS, scale=st.floats(0.1, 4), offset=st.floats(-4, 4))
def test_effects_ignore_an_offset_and_scale_with_the_output(seed, scale, offset):
    X, net = correlated(30, 2, seed=seed), network(2, seed=seed)
    inputs = InputDistribution.fit(X)
    plain = AverageCausalEffect(net, inputs).attribute(X[0], 1, via="direct")
    moved = AverageCausalEffect(lambda x: scale * net(x) + offset, inputs).attribute(X[0], 1, via="direct")
    assert torch.allclose(moved.values, scale * plain.values, atol=1e-9)


@few
@given(seed=SEEDS, ignored=st.integers(0, 2), method=METHODS)
def test_an_ignored_input_has_no_effect(seed, ignored, method):
    """The dummy property: a network that never reads an input gives a flat curve and no spread."""
    X, net = correlated(30, 3, seed=seed), network(3, seed=seed)
    first = net[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight[:, ignored] = 0
    e = expect(net, X, ignored, method=method)
    assert (e.values - e.values[0]).abs().max() < 1e-12
    assert e.spread.max() < 1e-7
