"""Conditions on rows: the input model of a region is that of its rows alone, but for domain, names and support.

The reference is ``InputDistribution.fit`` on the chosen rows, and averages written out over them.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import cube, network
from sequence_networks import draw
from sequence_networks import network as sequence_network

from acelib import (
    AverageCausalEffect,
    FeedbackSequences,
    InputDistribution,
    InputModel,
    LatentPrior,
    interventional_expectation,
)


def table(n=60, seed=0):
    X = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    X[:, 2] = (4 * X[:, 2]).floor()
    return X


def fitted(X=None, **options):
    X = table() if X is None else X
    return InputDistribution.fit(X, feature_names=["a", "b", "c"], **options)


X = table()
CONDITIONS = {
    "interval": ({"b": (0.2, 0.7)}, (X[:, 1] >= 0.2) & (X[:, 1] <= 0.7)),
    "open below": ({"b": (None, 0.7)}, X[:, 1] <= 0.7),
    "open above, by number": ({1: (0.2, None)}, X[:, 1] >= 0.2),
    "both ends are included": ({"b": (float(X[3, 1]), float(X[7, 1]))}, None),
    "a set": ({"c": {0, 2}}, (X[:, 2] == 0) | (X[:, 2] == 2)),
    "a frozen set and an interval": ({"c": frozenset({1, 3}), "a": (0.5, None)}, None),
    "one value": ({"c": 3}, X[:, 2] == 3),
    "a tensor of values": ({"c": torch.tensor([3, 1])}, X[:, 2] % 2 == 1),
    "truth values": (X[:, 0] > 0.5, X[:, 0] > 0.5),
    "a list of truth values": ((X[:, 0] > 0.5).tolist(), X[:, 0] > 0.5),
    "a series": (pd.Series((X[:, 0] > 0.5).numpy()), X[:, 0] > 0.5),
    "row numbers in any order": (np.array([9, 2, 30]), torch.isin(torch.arange(60), torch.tensor([2, 9, 30]))),
    "a function": (lambda rows: rows[:, 0] < rows[:, 1], X[:, 0] < X[:, 1]),
}


def held_by(name):
    condition, held = CONDITIONS[name]
    if name == "both ends are included":
        held = (X[:, 1] >= X[3, 1]) & (X[:, 1] <= X[7, 1])
        if not held.any():
            condition, held = {"b": (float(X[7, 1]), float(X[3, 1]))}, (X[:, 1] >= X[7, 1]) & (X[:, 1] <= X[3, 1])
        assert held[3] and held[7]
    if held is None:
        held = (X[:, 2] % 2 == 1) & (X[:, 0] >= 0.5)
    return condition, held


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_region_has_its_rows_and_their_moments(name):
    condition, held = held_by(name)
    whole = fitted()
    region, alone = whole.where(condition), fitted(X[held])
    assert torch.equal(whole.row_numbers(condition), held.nonzero()[:, 0])
    assert torch.equal(region.samples, X[held]) and region.num_observed == int(held.sum())
    assert torch.allclose(region.mean, alone.mean) and torch.allclose(region.covariance, alone.covariance)
    assert region.domain == whole.domain and region.feature_names == whole.feature_names
    assert torch.equal(region.observed, whole.observed) and len(whole.samples) == 60  # the parent stays as it was


def test_the_average_over_a_region_is_that_over_its_rows():
    """Written out; and support compares with all data, so that a region of the data alone is on it."""
    net, held = network(3), X[:, 1] > 0.5
    e = interventional_expectation(net, fitted(), "a", [0.1, 0.9], where={"b": (0.5, None)})
    rows = X[held].clone()
    for value, found in zip((0.1, 0.9), e.values, strict=True):
        rows[:, 0] = value
        assert torch.allclose(net(rows).mean(0), found)
    assert e == interventional_expectation(net, fitted().where(held), "a", [0.1, 0.9])
    assert e.num_rows == int(held.sum())
    parent = fitted().do("a", [0.1]).space
    assert torch.equal(fitted().where(held).do("a", [0.1]).space.observed, parent.observed)


@pytest.mark.parametrize("method", ["taylor", "cubature", "linearised"])
def test_every_method_takes_a_region(method):
    net, held = network(3), X[:, 1] > 0.5
    e = interventional_expectation(net, fitted(), "a", [0.1, 0.9], where=held, method=method)
    alone = interventional_expectation(net, fitted(X[held], domain=(0.0, 4.0)), "a", [0.1, 0.9], method=method)
    assert torch.allclose(e.values, alone.values) and torch.allclose(e.stderr, alone.stderr, rtol=1e-6)


def test_groups_hold_a_label_for_every_row():
    labels, held = torch.arange(60) // 3, X[:, 1] > 0.4
    e = interventional_expectation(network(3), fitted(), 0, [0.1, 0.9], where=held, groups=labels)
    alone = interventional_expectation(network(3), fitted(X[held]), 0, [0.1, 0.9], groups=labels[held])
    assert torch.equal(e.values, alone.values) and torch.equal(e.stderr, alone.stderr)


def test_weights_are_those_of_the_rows():
    weights, held = 1.0 + torch.arange(60) % 4, X[:, 1] > 0.4
    region, alone = fitted(weights=weights).where(held), fitted(X[held], weights=weights[held])
    assert torch.allclose(region.weights, alone.weights) and torch.allclose(region.mean, alone.mean)
    assert region.num_observed == pytest.approx(alone.num_observed)
    assert fitted(weights=weights).where(weights == 2).weights is None  # all alike
    with pytest.raises(ValueError, match="positive for two rows"):
        fitted(weights=torch.tensor([0.0] * 5 + [1.0] * 55)).where([1, 2, 7])


def test_regions_nest_and_pins_stay():
    inputs = fitted()
    twice = inputs.where({"b": (0.3, None)}).where({"a": (None, 0.6)})
    assert torch.equal(twice.samples, X[(X[:, 1] >= 0.3) & (X[:, 0] <= 0.6)])
    pinned = inputs.do({"c": 0.1}).where({"b": (0.3, None)})
    assert torch.equal(pinned.samples, inputs.where({"b": (0.3, None)}).do({"c": 0.1}).samples)
    assert pinned.mean[2] == 0.1 and bool((pinned.factor[2] == 0).all()) and pinned.fixed == (2,)


def test_a_truncated_factor_keeps_its_rank_and_images_their_shape():
    assert fitted(rank=2).where({"b": (0.3, None)}).factor.shape == (3, 2)
    images = torch.rand(20, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    region = InputDistribution.fit(images).where(lambda x: x.mean((1, 2, 3)) > 0.5)
    assert region.shape == (1, 3, 3) and torch.equal(region.samples, images[images.mean((1, 2, 3)) > 0.5].flatten(1))


def test_values_as_they_are_typed_are_found_in_single_precision():
    rows = torch.tensor([[0.1, 0.0], [0.1, 1.0], [0.7, 2.0]])
    inputs = InputDistribution.fit(rows)
    sums = InputDistribution.fit(torch.tensor([[0.3], [0.3], [0.4]], dtype=torch.float64))
    assert sums.row_numbers({"x0": 0.1 + 0.2}).tolist() == [0, 1]
    assert inputs.row_numbers({"x0": 0.1}).tolist() == inputs.row_numbers({"x0": (None, 0.1)}).tolist() == [0, 1]


def test_effects_over_a_region():
    inputs = cube().where({"b": (0.5, None)})
    curve = AverageCausalEffect(lambda x: (x[:, 0] * x[:, 1])[:, None], inputs).regress(["a"], num=5)["a", 0]
    mean = float(inputs.samples[:, 1].mean())
    assert curve.ace([1.0])[0] - curve.ace([0.0])[0] == pytest.approx(mean)


def test_sequences_of_a_region():
    inputs = FeedbackSequences(sequence_network("gru", 2, 2), draw(30, 4, 2), target_step=2)
    region = inputs.where({"x0[0]": (0.0, None)})
    held = inputs.samples[:, 0] >= 0
    assert torch.equal(region.samples, inputs.samples[held]) and torch.equal(region.kept, inputs.kept[held])
    assert torch.allclose(region.mean, inputs.samples[held].mean(0)) and region.domain == inputs.domain
    few, every = (interventional_expectation(i.model, i, (1, 0), [0.2, 0.5]) for i in (region, inputs))
    assert torch.allclose(few.individual, every.individual[:, held]) and few.num_rows == int(held.sum())
    assert torch.equal(region.do((1, 0), [0.2]).space.observed, inputs.do((1, 0), [0.2]).space.observed)
    assert torch.equal(region.to(torch.float32).samples, region.samples.float())


class Odd(InputModel):
    feature_names, shape, domain, fixed = ("a",), (1,), fitted().domain[:1], ()
    samples = torch.rand(5, 1)
    mean = samples.mean(0)

    def answer(self, columns, values, name): ...

    def pin(self, pins): ...


@pytest.mark.parametrize(
    "inputs, condition, error, says",
    [
        (fitted(), {"b": (2.0, 3.0)}, ValueError, "condition must hold for at least 2 rows, got 0 of 60; widen it"),
        (fitted(), [4], ValueError, "at least 2 rows, got 1 of 60"),
        (fitted(), {}, ValueError, "condition must name at least one input"),
        (fitted(), {"bb": (0, 1)}, ValueError, "feature must be one of the 3 names"),
        (fitted(), {("a", "b"): (0, 1)}, ValueError, "condition must name single inputs, got a, b"),
        (fitted(), {"b": (1, 0)}, ValueError, r"condition of 'b' must be a pair \(low, high\)"),
        (fitted(), {"b": (0, 1, 2)}, ValueError, r"condition of 'b' must be a pair"),
        (fitted(), {"b": ("x", None)}, ValueError, r"condition of 'b' must be a pair"),
        (fitted(), {"b": (float("nan"), None)}, ValueError, r"condition of 'b' must be a pair"),
        (fitted(), {"b": set()}, ValueError, "condition of 'b' must hold at least one value"),
        (fitted(), {"b": {"x"}}, TypeError, "condition of 'b'"),
        (fitted(), torch.ones(59, dtype=torch.bool), ValueError, r"one truth value per row, \(60,\), got \(59,\)"),
        (fitted(), [1, 60], ValueError, "numbers of rows from 0 to 59, got 60"),
        (fitted(), [1, -1], ValueError, "numbers of rows from 0 to 59, got -1"),
        (fitted(), torch.ones(60, dtype=torch.long), ValueError, "each row once"),
        (fitted(), [0.5, 1.0], TypeError, "condition must be a mapping"),
        (fitted(), "b > 1", TypeError, "condition must be a mapping"),
        (fitted(), 3, TypeError, "condition must be a mapping"),
        (fitted(), None, TypeError, "condition must be a mapping"),
        (fitted().do({"b": 0.5}), {"b": (0, 1)}, ValueError, r"'b', which do\(\) has pinned; use where\(\) before do"),
        (LatentPrior(2, 2), {"z0": (0, 1)}, ValueError, r"inputs must have rows for a condition .* LatentPrior"),
        (Odd(), [0, 1], ValueError, "rows that can be chosen for a condition, got Odd; override keep_rows"),
    ],
)
def test_a_condition_that_cannot_be_met_is_one_sentence(inputs, condition, error, says):
    with pytest.raises(error, match=says):
        inputs.where(condition)
