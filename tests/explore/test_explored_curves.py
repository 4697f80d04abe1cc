"""Curves under a slider: the numbers and words are the library's own answers at the same place."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from acelib import AverageCausalEffect, FiniteSet, InputDistribution, SupportWarning, interventional_expectation
from acelib.explore.curves import regressor_figure

X = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def two(x):
    return torch.stack([x[:, 0] * x[:, 1], 3 * x[:, 0] ** 2 - x[:, 1]], dim=1)


@pytest.fixture(scope="module")
def expectation():
    inputs = InputDistribution.fit(X, ["a", "b"], domain=(0.0, 1.0))
    return interventional_expectation(two, inputs, "a", torch.tensor([1.0, 0.0, 0.25, 0.5], dtype=torch.float64))


@pytest.fixture(scope="module")
def curves():
    domain = {"a": (0.0, 1.0), "b": FiniteSet([0.0, 0.5, 1.0])}
    inputs = InputDistribution.fit(torch.column_stack([X[:, 0], (2 * X[:, 1]).round() / 2]), ["a", "b"], domain=domain)
    return AverageCausalEffect(two, inputs, target_names=["rent", "1"]).regress(num=11)


def test_an_expectation_is_read_off_in_the_order_of_its_values(expectation):
    """Against ``values``, ``interval`` and ``support`` of the same value, though they were given unsorted."""
    explorer = expectation.explore(unit="m")
    low, high = expectation.interval()
    assert [text for text, _ in explorer.controls[1].choices({})] == ["0", "0.25", "0.5", "1"]
    for row, value in enumerate(expectation.alphas.tolist()):
        for output in (0, 1):
            found = explorer.at(value=value, output=output)
            ends = float(low[row, output]), float(high[row, output])
            assert found.numbers == {"expectation": expectation.values[row, output], "low": ends[0], "high": ends[1]}
    share = f"{float(expectation.support[0]):.0%} of the rows leave the data here."
    found = explorer.at(value=1.0, output="output 1")
    assert found.said.startswith("E[output 1 | do(a = 1 m)] = ") and found.said.endswith(share)
    assert "marked at 1." in found.alt and found.picture != explorer.at(value=0.5, output=1).picture


def test_a_single_output_has_no_list(expectation):
    inputs = InputDistribution.fit(X, domain=(0.0, 1.0))
    e = interventional_expectation(lambda x: two(x)[:, :1], inputs, 0, [0.0, 1.0])
    explorer = e.explore(outputs=["price"])
    assert [control.name for control in explorer.controls] == ["value"]
    assert explorer.at(value=1.0).said.startswith("E[price | do(x0 = 1)] = ")
    with pytest.raises(ValueError, match="outputs must hold one name for each of the 2 outputs, got 1"):
        expectation.explore(outputs=["price"])


def test_several_coordinates_at_once_are_refused():
    inputs = InputDistribution.fit(X, domain=(0.0, 1.0))
    e = interventional_expectation(two, inputs, (0, 1), [[0.0, 1.0]])
    with pytest.raises(ValueError, match="e must be over one coordinate, got .* 2 coordinates at once"):
        e.explore()


def test_curves_are_read_off_anywhere_on_their_interval(curves):
    """Against ``ace`` and ``interval`` of the regressor, for a polynomial and a table."""
    explorer = curves.explore()
    for feature, value in (("a", 0.37), ("a", 1.0), ("b", 0.5)):
        for target in ("rent", "1"):
            curve, found = curves[feature, target], explorer.at(feature=feature, target=target, value=value)
            low, high = curve.interval([value])
            assert found.numbers == {"ace": curve.ace([value])[0], "low": low[0], "high": high[0]}
    assert explorer.at(feature="a", target="1", value=1.0).said.startswith("ACE on output 1 of do(a = 1) = ")
    assert [v for _, v in explorer.controls[2].choices({"feature": "b", "target": "1"})] == [0.0, 0.5, 1.0]
    assert len(explorer.controls[2].choices({"feature": "a", "target": "1"})) == 101


def test_curves_begin_where_they_are_told(curves):
    explorer = curves.explore(feature="b", target="1")
    assert explorer.at(value=0.5) is explorer.at(feature="b", target="1", value=0.5) and explorer.name == "explore-b"
    with pytest.raises(ValueError, match="feature must be one of .* got 'c'"):
        curves.explore(feature="c")


def test_curves_without_their_expectations_have_a_band_and_no_individual_lines(curves, tmp_path):
    again = type(curves).load(curves.save(tmp_path / "curves.json"))
    at = dict(feature="a", target="rent", value=0.37)
    assert again.explore().at(**at).numbers == curves.explore().at(**at).numbers
    assert again.explore().at(**at).picture != curves.explore().at(**at).picture


@pytest.mark.filterwarnings("ignore::acelib.SupportWarning")
def test_the_rows_that_leave_are_those_at_the_value_marked():
    """All at three times the data's range, hardly any in its middle."""
    inputs = InputDistribution.fit(X, ["a", "b"], domain=(0.0, 3.0))
    explorer = AverageCausalEffect(two, inputs).regress(["a"], num=7).explore()
    middle, end = (explorer.at(target="0", value=value).said.split("; ")[-1] for value in (0.51, 3.0))
    assert end == "100% of the rows leave the data here." and float(middle.split("%")[0]) < 30


def test_individual_curves_are_measured_as_the_curve_is(curves):
    """From the baseline, or on a given scale each from its own mean."""
    curve, individual = curves["a", "1"], curves.expectations["a"].individual[:, 0, 1]
    for reach, start in ((None, curve.baseline), (5.0, individual.mean())):
        line = regressor_figure(curves, "a", "1", ice=3, reach=reach).axes[0].lines[0]
        assert np.allclose(line.get_ydata(), individual - start)


def test_leaving_the_data_is_said_and_not_warned():
    """At values ten times the data's range every row leaves them."""
    inputs = InputDistribution.fit(X, ["a", "b"], domain=(0.0, 10.0))
    e = interventional_expectation(two, inputs, "a", np.linspace(0, 10, 11))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SupportWarning)
        found = e.explore().at(value=10.0, output=0)
    assert found.said.endswith("100% of the rows leave the data here.")
