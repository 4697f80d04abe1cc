"""How many rows, which ones, and which belong together: rows=, budget=, seed= and groups= in every form."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from acelib import InputDistribution, LatentPrior, interventional_expectation
from acelib.expectation.estimate import subset

X = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
INPUTS = InputDistribution.fit(X, feature_names=list("abc"), domain=(-9, 9))


def model(x):
    return torch.tanh(x[:, :1] * x[:, 1:2] + x[:, 2:])


def literal(index, alpha, column=0):
    rows = X[index].clone()
    rows[:, column] = alpha
    return model(rows).mean()


@pytest.mark.parametrize("method", ["auto", "monte_carlo", "taylor", "cubature"])
def test_a_number_of_rows_goes_before_the_budget(method):
    """The first rows of one seeded permutation, for every feature, number of values, budget and method."""
    index = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:150]
    for column, alphas in ((0, [0.5]), (2, [0.5, -1.0, 0.3, 2.0])):
        for budget in (1, 200, 10**6):
            e = interventional_expectation(model, INPUTS, column, alphas, method=method, budget=budget, rows=150)
            average = e.values if e.check is None else e.check.reference
            assert (e.num_rows or e.check.num_rows) == 150
            for value, alpha in zip(average[:, 0], alphas, strict=True):
                assert torch.allclose(value, literal(index, alpha, column), atol=1e-12)


def test_without_it_the_budget_decides_as_before():
    """400 rows while they fit, else a part of the same permutation, at least 100; "monte_carlo" takes all."""
    for budget, count, expected in ((800, 2, 400), (600, 2, 300), (1, 2, 100)):
        e = interventional_expectation(model, INPUTS, 0, [0.5] * count, budget=budget)
        assert e.num_rows == expected
    assert interventional_expectation(model, INPUTS, 0, [0.5], method="monte_carlo", budget=1).num_rows == 400


def test_more_rows_than_there_are_means_all():
    e = interventional_expectation(model, INPUTS, 0, [0.5], rows=10**9)
    assert e.num_rows == 400 and torch.allclose(e.values[0, 0], literal(slice(None), 0.5), atol=1e-12)


def test_rows_of_groups_and_of_draws():
    """Whole groups until the next would be too many; whole draws of a prior with their classes."""
    groups = np.repeat(np.arange(40), 10)
    e = interventional_expectation(model, INPUTS, 0, [0.5], groups=groups, rows=129)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:12]
    assert e.num_rows == 120
    assert torch.allclose(e.values[0, 0], literal(np.isin(groups, order.numpy()), 0.5), atol=1e-12)
    prior = LatentPrior(2, 3, draws=100, dtype=torch.float64)
    assert interventional_expectation(lambda z: z.sum(1, keepdim=True), prior, 0, [1.0], rows=32).num_rows == 30


def test_moments_have_no_rows_to_count():
    moments = InputDistribution.from_moments(INPUTS.mean, INPUTS.factor, low=-9, high=9)
    e = interventional_expectation(model, moments, 0, [0.5], method="cubature", rows=50)
    assert e.num_rows == 0


@pytest.mark.parametrize(
    "number", [150, 150.0, np.int64(150), np.float32(150), torch.tensor(150), np.array(150), Decimal(150)]
)
def test_numbers_of_any_kind(number):
    options = dict(rows=number), dict(budget=number, seed=np.int64(0)), dict(budget=number, seed=torch.tensor(0))
    for each in options:
        assert interventional_expectation(model, INPUTS, np.int64(0), [np.float32(0.5)], **each).num_rows == 150


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(rows=1), ValueError, "rows must be at least 2"),
        (dict(rows=0), ValueError, "rows must be at least 2"),
        (dict(rows=10.5), ValueError, "rows must be a whole number"),
        (dict(rows="all"), TypeError, "rows must be a whole number, .*got 'all'"),
        (dict(rows=True), TypeError, "rows must be a whole number"),
        (dict(rows=float("nan")), ValueError, "rows must be a whole number"),
        (dict(rows=float("inf")), ValueError, "rows must be a whole number"),
        (dict(budget=0), ValueError, "budget must be positive"),
        (dict(budget=1.5), ValueError, "budget must be a whole number"),
        (dict(budget=None), TypeError, "budget must be a whole number"),
        (dict(seed=1.5), TypeError, "seed must be an integer"),
        (dict(seed=2**70, rows=100), ValueError, "seed must .*64 bits"),
    ],
)
def test_what_is_no_number(options, error, message):
    with pytest.raises(error, match=message):
        interventional_expectation(model, INPUTS, 0, [0.5], **options)


NUMBER = np.repeat(np.arange(40), 10)
TEXT = np.array([f"flight-{i:03d}" for i in NUMBER])
LABELS = {
    "texts": TEXT,
    "a list of texts": TEXT.tolist(),
    "objects": TEXT.astype(object),
    "bytes": TEXT.astype("S"),
    "a series": pd.Series(TEXT),
    "a series with another index": pd.Series(TEXT, index=range(900, 1300)),
    "categories": pd.Categorical(TEXT),
    "a series of categories": pd.Series(TEXT, dtype="category"),
    "nullable": pd.Series(NUMBER).astype("Int64"),
    "dates": pd.date_range("2020", periods=40).repeat(10),
    "pairs": [(int(i) // 2, "ab"[i % 2]) for i in NUMBER],
    "of several kinds": [int(i) if i % 2 else f"n{i}" for i in NUMBER],
    "floats": NUMBER - 0.5,
    "a list": NUMBER.tolist(),
    "a list of tensors": list(torch.from_numpy(NUMBER)),
    "a list of numpy's": list(NUMBER),
    "torch": torch.from_numpy(NUMBER),
    "torch floats": torch.from_numpy(NUMBER) / 3,
    "torch uint64": torch.from_numpy(NUMBER).to(torch.uint64),
    "small integers": NUMBER.astype("int8"),
    "an index": pd.Index(TEXT),
    "in another order": (NUMBER * 7) % 40,
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(kind):
    """Errors are literally those between the means of 40 groups of 10 rows."""
    e = interventional_expectation(model, INPUTS, 0, [0.5], groups=LABELS[kind])
    rows = X.clone()
    rows[:, 0] = 0.5
    means = model(rows).reshape(40, 10).mean(1)
    assert e.stderr.item() == pytest.approx(float(means.std() / 40**0.5), rel=1e-10)


def test_texts_and_numbers_in_the_same_order_draw_the_same_groups():
    index = subset(INPUTS.do(0, [0.5]), 1, 0, torch.from_numpy(NUMBER))
    for groups in (TEXT, pd.Series(TEXT), NUMBER):
        e = interventional_expectation(model, INPUTS, 0, [0.5], groups=groups, budget=1)
        assert torch.allclose(e.values[0, 0], literal(index, 0.5), atol=1e-12)


MISSING = {
    "NaN": np.where(NUMBER == 3, np.nan, NUMBER),
    "NaN of torch": torch.from_numpy(np.where(NUMBER == 3, np.nan, NUMBER)),
    "None": [None if i == 3 else str(i) for i in NUMBER],
    "NaN among texts": [float("nan") if i == 3 else str(i) for i in NUMBER],
    "NA": pd.Series(NUMBER).astype("Int64").mask(NUMBER == 3),
    "NA among objects": [pd.NA if i == 3 else int(i) for i in NUMBER],
    "NaT among objects": np.array([pd.NaT if i == 3 else int(i) for i in NUMBER], dtype=object),
    "texts of pandas": pd.Series(TEXT).mask(NUMBER == 3),
    "categories": pd.Categorical([None if t == "flight-003" else t for t in TEXT]),
    "NaT": pd.Series(pd.date_range("2020", periods=40).repeat(10)).mask(NUMBER == 3).to_numpy(),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_labels_are_no_group(kind):
    with pytest.raises(ValueError, match="groups must hold a label for every row, got 10 missing"):
        interventional_expectation(model, INPUTS, 0, [0.5], groups=MISSING[kind])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (NUMBER[:9], r"one label per row, \(400,\), got \(9,\)"),
        (TEXT[:, None], r"got \(400, 1\)"),
        ("flight", r"got \(\)"),
        (np.zeros(400), "a single group"),
        (["one"] * 400, "a single group"),
    ],
)
def test_bad_labels(groups, message):
    """Of another number, of another shape, or all the same."""
    with pytest.raises(ValueError, match=message):
        interventional_expectation(model, INPUTS, 0, [0.5], groups=groups)


def test_labels_that_are_lists():
    with pytest.raises(TypeError, match="groups must hold texts, numbers or tuples"):
        interventional_expectation(model, INPUTS, 0, [0.5], groups=[[int(i)] for i in NUMBER])


def test_groups_of_all_sizes_are_taken_while_their_rows_fit():
    """Of groups with 1 to 27 rows as many, in a drawn order, as 60 rows hold: the next one would not fit."""
    labels = torch.arange(27).repeat_interleave(torch.arange(1, 28))
    inputs = InputDistribution.fit(X[: len(labels)])
    taken = [len(subset(inputs.do(0, [0.0]), 1, seed, labels, rows=60)) for seed in range(30)]
    assert all(60 - 27 < count <= 60 for count in taken) and len(set(taken)) > 5
