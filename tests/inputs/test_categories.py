"""Columns of categories: against one-hot tables written by pandas, and effects counted by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from acelib import AverageCausalEffect, Categories, InputDistribution, interventional_expectation

FRAME = pd.DataFrame(
    {
        "mass": [1.0, 2.0, 4.0, 3.0, 2.5, 1.5],
        "place": ["sea", "land", None, "sea", "sky", "land"],
        "old": [True, False, True, True, False, False],
        "grade": pd.Categorical(["low", "high", "low", "low", "high", "low"], categories=["low", "mid", "high"]),
    }
)
CATEGORIES = Categories.of(FRAME)


def network(width, outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 5), nn.Tanh(), nn.Linear(5, outputs)).double().eval()


def test_levels_are_found_and_missing_ones_are_a_level():
    assert CATEGORIES.names == ("mass", "place", "old", "grade")
    assert CATEGORIES.levels == {"place": ("land", "sea", "sky", "missing"), "grade": ("low", "mid", "high")}
    assert CATEGORIES.level("place", 3.0) == "missing" and "land | sea | sky | missing" in repr(CATEGORIES)
    assert {name: d.values for name, d in CATEGORIES.domain.items()} == {"place": (0, 1, 2, 3), "grade": (0, 1, 2)}
    assert Categories.of(FRAME, ["old"]).levels == {"old": ("False", "True")}
    assert Categories.of(FRAME[["mass"]]).levels == {} and "no categories" in repr(Categories.of(FRAME[["mass"]]))


def test_the_one_hot_table_is_that_of_pandas():
    """``get_dummies`` of the same columns in the same order, missing entries filled first."""
    table = CATEGORIES.encode(FRAME)
    filled = FRAME.assign(place=FRAME["place"].fillna("missing"))
    expected = []
    for name in FRAME:
        if name in CATEGORIES.levels:
            hot = pd.get_dummies(filled[name]).reindex(columns=list(CATEGORIES.levels[name]), fill_value=False)
            expected.append(hot.to_numpy(dtype=float))
        else:
            expected.append(FRAME[[name]].to_numpy(dtype=float))
    wide = CATEGORIES.one_hot(table)
    assert np.array_equal(wide.numpy(), np.hstack(expected)) and wide.shape[1] == len(CATEGORIES.wide)
    assert CATEGORIES.wide[:3] == ("mass", "place=land", "place=sea")
    assert np.array_equal(CATEGORIES.code(wide).numpy(), table.to_numpy(dtype=float))


def test_the_effect_of_a_category_is_an_average_over_rows_with_one_level():
    """Every row with the whole one-hot group overwritten, by hand; the regressor is a table over the levels."""
    table, net = CATEGORIES.encode(FRAME), network(9)
    inputs = InputDistribution.fit(table, domain=CATEGORIES.domain | {"mass": (0.0, 5.0)})
    curves = AverageCausalEffect(CATEGORIES.before(net), inputs).regress(["place"])
    wide, expected = CATEGORIES.one_hot(table), []
    for level in range(4):
        rows = wide.clone()
        rows[:, 1:5] = torch.eye(4, dtype=torch.float64)[level]
        expected.append(net(rows).mean())
    expected = torch.stack(expected).detach()
    assert curves["place", 0].family == "table"
    assert np.allclose(curves["place", 0].ace(np.arange(4.0)), expected - expected.mean(), atol=1e-12)


def test_a_group_that_is_one_hot_already():
    """Columns in the network's order; codes and one-hot rows are each other's inverse on random tables."""
    columns = ["a", "p", "q", "b", "u", "v", "w"]
    categories = Categories.of_one_hot(columns, {"two": ["p", "q"], "three": ["u", "v", "w"]})
    assert categories.names == ("a", "two", "b", "three")
    generator = torch.Generator().manual_seed(0)
    codes = torch.rand(50, 4, generator=generator)
    codes[:, 1] = torch.randint(2, (50,), generator=generator)
    codes[:, 3] = torch.randint(3, (50,), generator=generator)
    assert torch.equal(categories.code(categories.one_hot(codes)), codes)


@pytest.mark.parametrize("method", ["auto", "monte_carlo", "linearised"])
def test_every_average_takes_them(method):
    """Also the linear step, which has no slope along levels and leaves them to the rows that correct it."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.cat([torch.randn(400, 1, generator=generator), torch.randint(3, (400, 1), generator=generator)], 1)
    categories = Categories.of_one_hot(["x", "a", "b", "c"], {"place": ["a", "b", "c"]})
    inputs = InputDistribution.fit(codes.double(), feature_names=categories.names, domain=categories.domain)
    net = categories.before(network(4))
    truth = interventional_expectation(net, inputs, "place", [0.0, 1.0, 2.0], method="monte_carlo")
    found = interventional_expectation(net, inputs, "place", [0.0, 1.0, 2.0], method=method, rows=None)
    assert bool(((found.values - truth.values).abs() <= 4 * found.stderr + 1e-12).all())
    x = interventional_expectation(net, inputs, "x", [-1.0, 1.0], method=method)
    assert x.values.shape == (2, 1)


def test_a_network_in_training_mode_stays_so():
    """The entrance refuses a network that acts at random; the module before it hides nothing."""
    net = nn.Sequential(nn.Linear(9, 4), nn.Dropout(), nn.Linear(4, 1)).double()
    inputs = InputDistribution.fit(CATEGORIES.encode(FRAME), domain=CATEGORIES.domain)
    with pytest.raises(ValueError, match="training mode"):
        AverageCausalEffect(CATEGORIES.before(net), inputs)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("frame must be a data frame", lambda: Categories.of(np.zeros((2, 2)))),
        ("columns must name columns", lambda: Categories.of(FRAME, ["size"])),
        ("none or equal ones for 'a'", lambda: Categories(("a",), {"a": ("x", "x")})),
        ("which is no column", lambda: Categories(("a",), {"b": ("x", "y")})),
        ("got none for \\['place'\\]", lambda: CATEGORIES.encode(FRAME.drop(columns="place"))),
        ("got \\['moon'\\]", lambda: CATEGORIES.encode(FRAME.assign(place="moon"))),
        ("table must be \\(rows, 4\\)", lambda: CATEGORIES.one_hot(torch.zeros(2, 3))),
        ("in 'place', got 0.5", lambda: CATEGORIES.one_hot(torch.tensor([[1.0, 0.5, 0.0, 0.0]]))),
        ("wide must be \\(rows, 9\\)", lambda: CATEGORIES.code(torch.zeros(2, 3))),
        ("exactly one 1 in the columns of 'place'", lambda: CATEGORIES.code(torch.zeros(2, 9))),
        ("lie together", lambda: Categories.of_one_hot(["p", "a", "q"], {"two": ["p", "q"]})),
        ("of columns of the table", lambda: Categories.of_one_hot(["a"], {"two": ["p", "q"]})),
        ("one of a category's levels", lambda: CATEGORIES.level("place", 4)),
        ("one of a category's levels", lambda: CATEGORIES.level("mass", 0)),
    ],
)
def test_wrong_arguments_get_one_sentence(match, call):
    with pytest.raises((ValueError, TypeError), match=match):
        call()
