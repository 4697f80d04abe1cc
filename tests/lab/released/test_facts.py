"""The facts on file are well formed; where a reader names a clone, every one of them is computed again."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from acelib.lab import flights, gru, released
from acelib.lab.networks import stream
from acelib.lab.released import Fact, facts, flight_facts, iris_facts, read_off, sequence_facts

named = pytest.mark.skipif(not released.is_named(), reason=f"{released.VARIABLE} names no clone")


@pytest.fixture(scope="module")
def whole():
    return released.stored()


# ---------------------------------------------------------------- the file


def test_the_file_says_where_its_facts_come_from(whole):
    assert whole["address"] == released.ADDRESS and whole["commit"] == released.COMMIT
    assert re.fullmatch(r"[0-9a-f]{40}", whole["commit"]) and whole["files"] == released.FILES
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in whole["files"].values())
    assert whole["read"] == [vars(reading) for reading in read_off.READ] and whole["earlier"] == read_off.EARLIER
    assert whole["made"]["versions"].keys() >= {"torch", "numpy"}


def test_every_fact_is_finite_and_has_tolerance_words_and_files(whole):
    found = released.recorded()
    assert len(found) > 100
    for name, fact in found.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert math.isfinite(fact.value) and math.isfinite(fact.tol) and fact.tol >= 0 and fact.what
        assert fact.tol > 0 or isinstance(fact.value, int)
        assert fact.files and set(fact.files) <= set(whole["files"])
    assert {name.split("-")[0] + "-" for name in found} == set(released.GROUPS)
    assert all(released.recorded(prefix) for prefix in released.GROUPS)


def test_the_facts_say_what_the_chapters_say():
    """The inequalities behind the sentences: a new file that contradicts the prose fails here."""
    value = {name: fact.value for name, fact in released.recorded().items()}
    assert value["iris-taylor-low"] < -4 and value["iris-taylor-high"] > 5
    assert 0 <= value["iris-rows-low"] and value["iris-rows-high"] < 1
    assert value["iris-taylor-own-largest"] == 6 and value["iris-rows-own-largest"] == 5
    assert value["iris-taylor-length-versicolor"] > 0 > value["iris-rows-length-versicolor"]
    assert value["gru-flips-0"] > 1000 > 100 > value["gru-flips-1"] > 1 > value["gru-flips-2"] >= 0
    assert round(value["gru-closeness"], 2) == 98.94 and value["gru-wrong"] == 0 and value["gru-majority"] == 8
    assert value["gru-spike"] > 500 and value["gru-baseline"] > 5 and value["gru-taylor-ace-2"] < -4
    assert value["gru-mean-ace-2"] < 0.001 < 0.05 < value["gru-mean-ig-2"]
    assert all(15 < value[f"flight-tau-{name}"] < 26 for name in ("landings", "noise", "untrained"))


def test_differences_are_named():
    old = {"a": Fact(1.0, 0.1, "s", "a time", ("x",)), "b": Fact(2, 0, "", "a count", ("x",))}
    assert facts.differences(old, old) == [] and facts.differences({}, old) == []
    new = {"a": Fact(math.nan, 0.1, "s", "a time", ()), "b": Fact(3, 0, "", "a count", ()), "c": old["b"]}
    assert facts.differences(new, old) == ["a is nan s, on file 1 s", "b is 3, on file 2", "c is 2, not on file"]
    assert facts.table(old) == "1 s  a time\n  2  a count"


# ---------------------------------------------------------------- the parts, without the clone


def test_the_split_and_the_tree():
    """30 flowers are held out; the cuts are those of a one-dimensional search for the largest gain of entropy."""
    Z, y, order = iris_facts.flowers()
    assert sorted(order) == list(range(150)) and Z.shape == (150, 4)
    low, high = iris_facts.tree_cuts(Z, y, order)
    rows = order[:120]
    x, k = Z[rows, 3].numpy(), y[rows].numpy()
    assert (k[x <= low] == 0).all() and (k[x > low] > 0).all()  # setosa stands alone

    def entropy(part):
        p = np.bincount(part) / max(len(part), 1)
        return -sum(q * math.log(q) for q in p if q > 0) * len(part)

    rest = x > low
    gains = {c: entropy(k[rest & (x <= c)]) + entropy(k[rest & (x > c)]) for c in np.unique(x[rest])[:-1]}
    best = min(gains, key=gains.__getitem__)
    assert best <= high < min(x[x > best])


def test_the_determinant_of_a_network_with_fewer_hidden_units_is_rounding():
    """A literal loop gives the same seconds, and in float64 the rank is at most 15."""
    net = flights.flight_network(3)
    x = torch.rand(2, 101, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = flight_facts.determinant_horizon(net, x)
    single = flights.flight_network(3).float()
    for row, tau in zip(x, found, strict=True):
        J = torch.autograd.functional.jacobian(lambda z: single(z[None])[0][0, 100], row.float())
        expected = next(100 - t for t in range(100, 0, -1) if abs(np.linalg.det(J[:, t].double().numpy())) <= 1e-150)
        assert abs(tau - expected) <= 1  # noise, taken by another route
    J = torch.autograd.functional.jacobian(lambda z: net(z[None])[0][0, 100], x[0])
    assert np.linalg.matrix_rank(J[:, 100].numpy(), tol=1e-12) <= 15


def test_a_dictionary_of_python_2():
    """Against CPython 2.7.18: the first five keys that it gave, and colliding whole numbers in the order they came."""
    assert flight_facts.python2_order([3.0, 1.0, 2.0]) == [1.0, 2.0, 3.0]
    assert flight_facts.python2_order([8.0, 0.0]) == [8.0, 0.0]  # both want slot 0 of 8; the second is pushed to 1
    keys = np.linspace(0, 1, 100).tolist()
    order = flight_facts.python2_order(keys)
    assert sorted(order) == keys and [round(99 * key) for key in order[:5]] == [0, 99, 29, 62, 23]


def test_redrawn_signals_follow_their_definition():
    """Against torch's own GRU, one sequence after another, with the same draws; the memory is short, so many change."""
    net, changed = gru.SequenceGRU(0).eval().requires_grad_(False), torch.zeros(3, dtype=torch.int64)
    net.set_weights(torch.tensor([0, 0, 2.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 5.0, 0], dtype=torch.float64))
    sequences = gru.make_sequences(60, seed=5, lengths=(10, 11))
    generator = stream(1, 4)
    for length in (10, 11):
        x, labels = sequences.of_length(length)
        for i in range(3):
            drawn = 0.2 * torch.randn(len(x), 3, generator=generator)
            for row, label, noise in zip(x, labels, drawn, strict=True):
                signal = [noise[j] + (0 if j == i else 1 if label else -1) for j in range(3)]
                other = torch.cat([torch.stack(signal).double(), row[3:]])
                changed[i] += (net(row[None, :, None]) > 0.5).item() != (net(other[None, :, None]) > 0.5).item()
    assert torch.equal(sequence_facts.redrawn_flips(net, sequences, 1), changed) and changed.min() > 0


# ---------------------------------------------------------------- the released networks themselves


@named
def test_every_file_is_the_recorded_one_and_holds_what_was_read_off():
    for name in released.FILES:
        released.released_file(name)
    for reading in read_off.READ:
        assert reading.token in released.released_file(reading.file).read_text(encoding="utf-8"), reading.what


@named
@pytest.mark.parametrize("prefix", released.GROUPS)
def test_facts_can_be_computed_again(prefix):
    """Each within its own tolerance; facts about the public flight only where that can be had."""
    assert released.differences(released.compute(prefix), released.recorded(prefix)) == []
