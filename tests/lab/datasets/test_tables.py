"""The shipped tables against counts and values of their publications, and curves on them against scikit-learn's."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import partial_dependence

from acelib import Categories, InputDistribution, interventional_expectation
from acelib.lab.datasets import load_gapminder, load_penguins
from acelib.lab.home import data_file
from acelib.lab.networks import mlp


def test_penguins():
    """Against the counts that the publications give: 152 Adelie, 68 Chinstrap, 124 Gentoo, and what is missing."""
    table = load_penguins()
    assert table["species"].value_counts().to_dict() == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    missing = {"sex": 11} | dict.fromkeys(["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"], 2)
    assert {name: count for name, count in table.isna().sum().items() if count} == missing
    assert set(table["island"][table["species"] == "Chinstrap"]) == {"Dream"}
    assert table.iloc[0].tolist() == ["Adelie", "Torgersen", 39.1, 18.7, 181, 3750, "male", 2007]


def test_gapminder():
    """Twelve years of each of 142 countries in five continents, in order; nothing is missing."""
    table = load_gapminder()
    assert not table.isna().any().any() and table["continent"].nunique() == 5
    years = table.groupby("country", sort=False)["year"].apply(list)
    assert len(years) == 142 and all(one == list(range(1952, 2008, 5)) for one in years)
    assert table.groupby("country")["continent"].nunique().eq(1).all()
    assert table.iloc[0].tolist() == ["Afghanistan", "Asia", 1952, 28.801, 8425333, 779.4453145]


@pytest.mark.parametrize(
    ("name", "digest"),
    [("penguins", "f204db2c753b0937"), ("gapminder", "9859ce5cbcc146ef")],
)
def test_the_files_are_those_that_were_published(name, digest):
    assert hashlib.sha256(data_file("tables", f"{name}.csv").read_bytes()).hexdigest()[:16] == digest


class OneOutput(RegressorMixin, BaseEstimator):
    """One output of a network in the form that scikit-learn expects."""

    def __init__(self, net, output):
        self.net, self.output = net, output

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.net(torch.as_tensor(X)).detach().numpy()[:, self.output]


def penguins():
    """Coded penguins with sizes, and a network with three outputs on their one-hot columns."""
    frame = load_penguins().dropna(subset="body_mass_g").drop(columns="species")
    categories = Categories.of(frame)
    table = categories.encode(frame)
    return categories, table, 3


def countries():
    """Coded countries, and a network with one output on their one-hot columns."""
    world = load_gapminder()
    frame = pd.DataFrame(
        {
            "continent": world["continent"],
            "year": world["year"].astype(float),
            "log population": np.log10(world["pop"]),
            "log income": np.log10(world["gdpPercap"]),
        }
    )
    categories = Categories.of(frame)
    return categories, categories.encode(frame), 1


@pytest.mark.parametrize("tables", [penguins, countries])
def test_curves_of_both_tables_agree_with_scikit_learn(tables):
    """Against ``partial_dependence(kind="both")`` on the same 50 rows: averages and single curves, gap below 1e-10."""
    categories, table, outputs = tables()
    wide = categories.one_hot(table)
    net = mlp((wide.shape[1], 8, outputs), activation="tanh", seed=0).eval()
    mean, std = wide.mean(0), wide.std(0)
    coded = categories.before(lambda x: net((x - mean) / std))
    inputs = InputDistribution.fit(table, domain=categories.domain)
    assert inputs.samples is not None
    for i, name in enumerate(table.columns):
        values = inputs.domain[i].grid(5).tolist()
        mine = interventional_expectation(coded, inputs, name, values, where=list(range(50)))
        assert mine.individual is not None and mine.individual.shape[1] == 50
        for output in range(outputs):
            theirs = partial_dependence(
                OneOutput(coded, output),
                inputs.samples[:50].numpy(),
                [i],
                custom_values={i: np.asarray(values)},
                kind="both",
                method="brute",
            )
            assert np.abs(mine.values[:, output].numpy() - theirs["average"][0]).max() < 1e-10
            assert np.abs(mine.individual[:, :, output].T.numpy() - theirs["individual"][0]).max() < 1e-10
