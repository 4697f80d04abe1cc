"""Contexts and orders of contributions and Sobol' indices, against the library's own answer in each of them."""

from __future__ import annotations

import pytest
import torch

from acelib.intrinsic import FiniteNoise, StructuralModel, intrinsic_contributions, sobol_indices

COIN = FiniteNoise([0.0, 1.0], [0.4, 0.6])
TEAM = StructuralModel({"A": [], "B": [], "C": []}, noise={name: COIN for name in "ABC"})


def y(x):
    return x[:, :1] * x[:, 1:2] + 2 * x[:, 2:] * x[:, 1:2]


@pytest.fixture(scope="module")
def shapley():
    return intrinsic_contributions(TEAM, y)


@pytest.mark.parametrize("context", ["first", "total", "shapley"])
def test_contexts_are_those_of_the_library(shapley, context):
    """Exact contributions of three coins in each context."""
    other = intrinsic_contributions(TEAM, y, context=context)
    for j, node in enumerate("ABC"):
        found = shapley.explore().at(context=context, node=node)
        assert found.numbers["share"] == pytest.approx(float(other.shares[j]), abs=1e-12)
        assert f"that {node} adds" in found.said and f"{node} {float(other.shares[j]):.4g}" in found.alt


@pytest.mark.parametrize("order", ["ABC", "CAB", "BCA"])
def test_an_order_is_the_topological_context_along_it(shapley, order):
    other = intrinsic_contributions(TEAM, y, context="topological", order=list(order))
    for j, node in enumerate("ABC"):
        found = shapley.explore().at(context="order", order=", ".join(order), node=node)
        assert found.numbers["share"] == pytest.approx(float(other.shares[j]), abs=1e-12)
        assert f"in the order {', '.join(order)}" in found.said and found.said.endswith("(exact).")


def test_a_result_without_subsets_has_its_own_context_alone():
    own = intrinsic_contributions(TEAM, y, context="topological", method="sampling", num_samples=1024)
    explorer = own.explore()
    if not own.closed:
        assert [value for _, value in explorer.controls[0].choices({})] == ["topological"]
    low, high = own.interval(shares=True)
    found = explorer.at(node="C")
    assert (
        found.numbers["share"] == float(own.shares[2]) and f"{float(low[2]):.4g} to {float(high[2]):.4g}" in found.said
    )


def test_sobol_indices_of_each_output():
    """Against the fields of the result, its intervals, and its closed indices along an order."""
    r = sobol_indices(lambda x: torch.cat([x[:, :1] * x[:, 1:2], x[:, 2:]], 1), num_inputs=3, num_samples=1024)
    explorer = r.explore(names=["u", "v", "w"])
    for output in (0, 1):
        for context in ("first", "total", "shapley"):
            found = explorer.at(output=output, context=context, node="v")
            assert found.numbers["share"] == float(getattr(r, context)[1, output])
            low, high = (float(end[1, output]) for end in r.interval(context))
            assert f"{round(low, 10) + 0.0:.4g} to {round(high, 10) + 0.0:.4g}" in found.said
    along = explorer.at(output=0, context="order", order="v, u, w", node="u").numbers["share"]
    assert along == pytest.approx(float(r.closed[0, 1][0] - r.closed[1,][0]), abs=1e-12)
    with pytest.raises(ValueError, match="names must hold one name for each of the 3 inputs, got 1"):
        r.explore(names=["u"])
