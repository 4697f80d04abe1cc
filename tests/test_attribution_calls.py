"""Attributions as people ask for them: names, targets by row, pinned inputs, rows and budgets, checks, huge outputs."""

import itertools

import numpy as np
import pytest
import torch
from helpers import correlated, cube, network, product
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acelib import (
    ApproximationWarning,
    Attribution,
    AverageCausalEffect,
    InputDistribution,
    LatentPrior,
    interventional_expectation,
    quantus_explain,
)


@pytest.fixture
def inputs():
    return cube()


# Names, targets and rows as people have them

NAMES = ["age", "dose", "weight", "salt"]


def frame_of(X):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X.numpy(), columns=NAMES[: X.shape[1]])


def weighted(x):
    return x @ x.new_tensor([[1.0, 2.0], [10.0, 0.0], [100.0, -5.0]])


def slopes(x, target):
    """The effects of ``weighted`` on [0, 1]: slope times distance from the middle."""
    return torch.tensor([[1.0, 2.0], [10.0, 0.0], [100.0, -5.0]], dtype=torch.float64)[:, target] * (x - 0.5)


@pytest.fixture
def named():
    X = torch.rand(80, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return AverageCausalEffect(weighted, InputDistribution.fit(frame_of(X), domain=(0.0, 1.0))), X


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("form", ["frame", "row", "one column"])
def test_frames_and_their_rows_go_by_name(named, order, form):
    ace, X = named
    moved = frame_of(X).iloc[:, list(order)]
    if form == "frame":
        assert torch.allclose(ace.attribute(moved.iloc[5:9], 0).values, slopes(X[5:9], 0), atol=1e-5)
    elif form == "row":
        assert torch.allclose(ace.attribute(moved.iloc[5], 1).values, slopes(X[5], 1), atol=1e-5)
    else:
        with pytest.raises(ValueError, match="x must have"):
            ace.attribute(moved[NAMES[order[0]]], 0)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f.drop(columns="dose"), r"got none of \['dose'\]"),
        (lambda f: f.assign(height=1.0), r"unknown \['height'\]"),
        (lambda f: f.rename(columns={"dose": "Dose"}), r"got none of \['dose'\] and unknown \['Dose'\]"),
        (lambda f: f[["age", "age", "dose"]], r"got \['age'\] more than once"),
        (lambda f: f.iloc[0].drop("age"), r"got none of \['age'\]"),
    ],
)
def test_frames_with_other_columns_are_refused(named, change, message):
    ace, X = named
    with pytest.raises(ValueError, match=message):
        ace.attribute(change(frame_of(X)), 0)


def test_frames_go_by_position_where_one_side_has_no_names(named):
    """Inputs fitted without names, a frame without names, and arrays; names 0, 1, 2 are names on both sides."""
    pandas = pytest.importorskip("pandas")
    ace, X = named
    unnamed = AverageCausalEffect(weighted, InputDistribution.fit(X, domain=(0.0, 1.0)))
    backwards = frame_of(X).iloc[:3, ::-1]
    expected = slopes(torch.as_tensor(backwards.to_numpy().copy()), 0)
    assert torch.allclose(unnamed.attribute(backwards, 0).values, expected, atol=1e-5)
    bare = pandas.DataFrame(X[:3].numpy())
    for x in (bare, X[:3], X[:3].numpy(), X[:3].tolist()):
        assert torch.allclose(ace.attribute(x, 0).values, slopes(X[:3], 0), atol=1e-5)
    numbered = AverageCausalEffect(weighted, InputDistribution.fit(bare, domain=(0.0, 1.0)))
    assert torch.allclose(numbered.attribute(bare[[2, 0, 1]], 0).values, slopes(X[:3], 0), atol=1e-5)
    assert numbered.attribute(pandas.Series(X[0].numpy()), 1).values[1].abs() < 1e-5


@pytest.mark.parametrize("via", ["regressors", "direct"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-2, 1), min_size=1, max_size=6), st.sampled_from(range(7)))
def test_a_target_for_each_row(inputs, via, targets, form):
    """Any mixture, in any form: row by row the attribution of that row alone on that target."""
    ace = AverageCausalEffect(product, inputs, target_names=["ab", "sum"])
    x = inputs.samples[: len(targets)]
    names = [["ab", "sum"][t] for t in targets]
    given_ = [
        targets,
        tuple(targets),
        np.array(targets),
        torch.tensor(targets),
        names,
        [np.int64(t) for t in targets],
        [torch.tensor(t) for t in targets],
    ][form]
    found = ace.attribute(x, given_, via)
    assert found.target == (names[0] if len(names) == 1 else tuple(names)) and found.shape == x.shape
    for i, t in enumerate(targets):
        alone = ace.attribute(x[i], t, via)
        assert torch.allclose(found.values[i], alone.values, atol=1e-9) and alone.target == names[i]
        assert torch.allclose(found.stderr[i], alone.stderr, atol=1e-9)


def test_one_target_in_every_form(inputs):
    ace, x = AverageCausalEffect(product, inputs), inputs.samples[0]
    right = ace.attribute(x, 1).values
    for target in ("1", -1, np.int64(1), np.int8(-1), torch.tensor(1), torch.tensor([1]), np.array(1), [1], ["1"]):
        found = ace.attribute(x, target)
        assert torch.equal(found.values, right) and found.target == "1"
    for target, message in [
        (True, "got True"),
        (1.0, "got 1.0"),
        (2, "one of the 2 outputs .* by name or index, got 2"),
        (-3, "got -3"),
        (torch.tensor(True), "got tensor"),
        ([0, 1], "one for each of the 1 rows of x, got 2"),
        ([], "for each of the 1 rows of x, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            ace.attribute(x, target)
    with pytest.raises(ValueError, match="got 'summ'; did you mean 'sum'"):
        AverageCausalEffect(product, inputs, target_names=["ab", "sum"]).attribute(x, "summ")


def test_features_and_targets_of_regress_in_every_form(inputs):
    ace = AverageCausalEffect(product, inputs, target_names=["ab", "sum"])
    right = ace.regress(["b"], ["sum"], num=5)
    assert right[1, 1] is right["b", "sum"] is right[np.int64(1), torch.tensor(1)] is right["b"]
    for feature in ("b", 1, -2, np.int64(1), torch.tensor(1), [torch.tensor(1)], np.array([1]), {"b"}, ("b",)):
        for target in ("sum", 1, -1, np.int64(1), torch.tensor(1), np.array([1])):
            curves = ace.regress(feature, target, num=5)
            assert curves == right and curves.feature_index == (1,) and curves.target_index == (1,)
    every = ace.regress(num=5)
    assert every[-1, -1] is every["c", "sum"] and every[-3, 0] is every["a", "ab"]
    for key in ((True, 0), (-4, 0), (1.0, 0), ("b", "other"), (3, 0)):
        with pytest.raises(KeyError, match="must be one of"):
            every[key]
    with pytest.raises(KeyError, match="got -1"):
        right[-1, 1]
    with pytest.raises(ValueError, match="targets must be at least one, each given once"):
        ace.regress(targets=[])


def test_an_attribution_keeps_names_and_inputs(named, tmp_path):
    ace, X = named
    found = ace.attribute(frame_of(X).iloc[:2], [1, 0], features=["dose", "age"])
    assert found.features == ("age", "dose", "weight") and torch.equal(found.x, X[:2])
    frame = found.to_frame()
    assert list(frame.columns) == ["row", "feature", "target", "x", "value", "stderr"] and len(frame) == 6
    assert frame["row"].tolist() == [0, 0, 0, 1, 1, 1] and frame["target"].tolist() == ["1"] * 3 + ["0"] * 3
    assert frame["feature"].tolist() == list(found.features) * 2 and frame["x"].tolist() == X[:2].flatten().tolist()
    assert np.allclose(frame["value"], found.values.flatten(), equal_nan=True) and frame["value"].isna().sum() == 2
    assert np.allclose(frame["stderr"], found.stderr.flatten(), equal_nan=True)
    assert "a target for each of 2 rows: 1, 0" in repr(found) and "nan" not in repr(found)
    again = Attribution.load(found.save(tmp_path / "found.json"))
    assert again == found and again.to_frame().equals(frame) and repr(again) == repr(found)
    plain = Attribution(torch.zeros(2, 3), torch.zeros(2, 3), "y", "direct")  # as an earlier version made it
    assert plain.to_frame()["feature"].tolist() == [f"x{i}" for i in range(6)]


# Pinned inputs


@pytest.mark.parametrize("via", ["regressors", "direct"])
@pytest.mark.parametrize("pins", [{"a": 1.0}, {"b": 0.2, "c": 0.0}, {0: 0.5}])
def test_pinned_inputs_leave_the_rest_to_explain(inputs, via, pins):
    """f = ab + c under do: slopes by hand from the pins; pinned inputs have no effect, NaN, and no curve."""
    ace = AverageCausalEffect(lambda x: x[:, :1] * x[:, 1:2] + x[:, 2:], inputs.do(pins))
    mean = inputs.do(pins).mean
    slope = torch.stack([mean[1], mean[0], torch.ones_like(mean[0])])
    x = torch.tensor([0.9, 0.7, 0.6], dtype=torch.float64)
    expected = slope * (x - 0.5)
    expected[[inputs.feature(f)[0] for f in pins]] = torch.nan
    found = ace.attribute(x, via=via)
    assert torch.allclose(found.values, expected, atol=1e-6, equal_nan=True) and "nan" not in repr(found)
    free = tuple(n for n, e in zip("abc", expected.tolist(), strict=True) if e == e)
    assert ace.regress(num=5).features == free
    pinned = next(iter(pins))
    for call in (lambda: ace.regress([pinned], num=5), lambda: ace.attribute(x, via=via, features=[pinned])):
        with pytest.raises(ValueError, match="must not be pinned by an earlier do"):
            call()
    maps = quantus_explain(ace.models[0], x[None].numpy(), 0, explain=ace.inputs)
    assert np.allclose(maps[0], expected.nan_to_num(0.0), atol=1e-6)


def test_everything_pinned_is_an_error(inputs):
    ace = AverageCausalEffect(product, inputs.do({"a": 0.1, "b": 0.1, "c": 0.1}))
    with pytest.raises(ValueError, match="at least one input free"):
        ace.regress()


def test_a_pinned_class_leaves_the_latents():
    prior = LatentPrior(2, 3, dtype=torch.float64, draws=20).do({"c1": 1})
    ace = AverageCausalEffect(lambda x: x[:, :1] + x[:, 3:4], prior)
    assert ace.regress(num=5).features == ("z0", "z1")


# Rows and budgets


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(4)), st.integers(1, 4), st.sampled_from([None, 2, 150, 10**6]))
def test_a_feature_gets_the_same_rows_whatever_else_is_asked(order, count, rows):
    X = correlated(900, 4)
    inputs = InputDistribution.fit(X, domain=(-3, 3))
    ace = AverageCausalEffect(network(4), inputs, budget=9_000, rows=rows)
    every = ace.regress(num=10)
    some = ace.regress(order[:count], num=10)
    assert {e.num_rows for e in every.expectations.values()} == {min(900, rows or 225)}
    for feature in some.features:
        assert some.expectations[feature] == every.expectations[feature]
        assert all(some[feature, t] == every[feature, t] for t in range(3))
    assert ace.expectation(order[0], [0.0, 1.0]).num_rows == min(900, rows or 900)


def test_rows_of_pinned_inputs_count_the_free_ones_only():
    inputs = InputDistribution.fit(correlated(900, 4), domain=(-3, 3)).do({"x0": 0.0, "x3": 1.0})
    curves = AverageCausalEffect(network(4), inputs, budget=9_000).regress(["x1"], num=10)
    assert curves.expectations["x1"].num_rows == 450


@pytest.mark.parametrize("rows", [0, 1, -5, 2.5, "many", True])
def test_rows_must_be_a_number(inputs, rows):
    with pytest.raises((TypeError, ValueError), match="rows must be"):
        AverageCausalEffect(product, inputs, rows=rows)


# The check of kept curves


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9, 1e-300, 3e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.filterwarnings("error")
def test_constant_outputs_have_no_effect_and_no_warning(inputs, value, dtype):
    """A constant, also one that moves by rounding, beside an output that varies."""

    def model(x):
        return torch.stack([x[:, 0], x.new_full((len(x),), value) * (1 + x[:, 1] * torch.finfo(dtype).eps)], dim=1)

    ace = AverageCausalEffect(model, inputs.to(dtype))
    found = ace.attribute(inputs.samples[:2], 1)
    assert found.values.abs().max() <= 1e-5 * abs(value) and found.stderr.isfinite().all()


def test_the_check_names_each_feature_at_the_values_asked_for(inputs):
    """A narrow bump that random values miss is found where it is asked for; a small curve by its own range."""

    def model(x):
        bump = 0.2 * ((x[:, :1] - 0.31).abs() < 0.02).double()
        return bump + 0.1 * (x[:, 1:2] > 0.5).double() + x[:, 2:]

    x = torch.tensor([0.31, 0.49, 0.5], dtype=torch.float64)
    with pytest.warns(
        ApproximationWarning, match="of '[ab]' misses a direct value .*of the range, and those of '[ab]'"
    ):
        AverageCausalEffect(model, inputs).attribute(x)


@pytest.mark.filterwarnings("error")
def test_a_curve_of_no_account_is_not_named(inputs):
    AverageCausalEffect(lambda x: x[:, :1] + 1e-3 * (x[:, 1:2] > 0.5).double(), inputs).attribute(inputs.samples[:5])


@pytest.mark.parametrize("size", [1e141, 1e160, 1e300, -1e200])
def test_outputs_whose_squares_overflow_are_refused(inputs, size):
    for call in (
        lambda: AverageCausalEffect(lambda x: x[:, :1] * size, inputs).attribute(inputs.samples[0]),
        lambda: interventional_expectation(lambda x: x[:, :1] * size, inputs, 0, [1.0], method="taylor"),
    ):
        with pytest.raises(ValueError, match="outputs up to 1e\\+140, .*divide them by a constant"):
            call()
    ok = AverageCausalEffect(lambda x: x[:, :1] * 1e130, inputs).attribute(torch.full((3,), 0.75, dtype=torch.float64))
    assert ok.values[0].item() == pytest.approx(0.25e130, rel=1e-5) and ok.stderr.isfinite().all()
