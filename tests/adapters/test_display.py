"""Curves of estimators against scikit-learn's own partial dependence, and what the display draws."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from acelib import Categories, InputDistribution
from acelib.adapters import EffectDisplay

pytest.importorskip("sklearn")
from sklearn import ensemble, inspection, linear_model, pipeline, preprocessing  # noqa: E402

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(100, 4)), columns=["age", "mass", "dose", "time"])
SCORE = (X["age"] * X["mass"] - X["dose"]).to_numpy()


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("named", [True, False], ids=["frame", "array"])
def test_curves_are_those_of_scikit_learn(named):
    """Its brute-force average at the same values, to rounding; drawn with bands, a panel for each feature."""
    table = X if named else X.to_numpy()
    model = ensemble.RandomForestClassifier(10, random_state=0).fit(table, np.where(SCORE > 0, "yes", "no"))
    features = ["age", "dose"] if named else [0, 2]
    shown = EffectDisplay.from_estimator(model, table, features, num=7)
    assert shown.target == "yes" and shown.axes_.shape == (1, 2) and shown.figure_ is shown.axes_[0, 0].figure
    for panel, e, feature in zip(shown.axes_[0], shown.expectations.values(), features, strict=True):
        own = inspection.partial_dependence(
            model, table, [feature], custom_values={feature: e.alphas.numpy()}, method="brute", kind="average"
        )
        np.testing.assert_allclose(e.values[:, 1], own["average"][0], atol=1e-12)
        assert panel.get_ylabel() == "average of yes" and len(panel.collections) >= 1
        line = max(panel.lines, key=lambda one: one.get_zorder())
        np.testing.assert_allclose(line.get_ydata(), e.values[:, 1])


def test_other_axes_and_models():
    model = linear_model.Ridge().fit(X, SCORE)
    figure, axes = plt.subplots(1, 2)
    shown = EffectDisplay.from_estimator(model, X, ["age", "mass"], ax=axes, num=5, ice=0)
    assert shown.figure_ is figure and list(shown.axes_) == list(axes)
    figure, ax = plt.subplots()
    assert shown.plot(ax=axes) is shown and EffectDisplay.from_estimator(model, X, "age", ax=ax).figure_ is figure
    many = EffectDisplay.from_estimator(model, X, list(X), num=5)
    assert many.axes_.shape == (2, 3) and [one is None for one in many.axes_.ravel()] == [False] * 4 + [True] * 2
    net = torch.nn.Linear(4, 3).double()
    by_net = EffectDisplay.from_estimator(net, InputDistribution.fit(X), ["dose"], target=2, num=5)
    assert by_net.output == 2 and by_net.target == "2"


def test_a_frame_of_words_and_columns_in_another_order():
    frame = X[["mass", "age"]].assign(place=rng.choice(["sea", "land"], 100))
    make = pipeline.make_pipeline(
        pipeline.make_pipeline(preprocessing.FunctionTransformer(lambda t: t[["age"]].assign(sea=t["place"] == "sea"))),
        linear_model.LinearRegression(),
    )
    make.fit(frame, SCORE)
    shown = EffectDisplay.from_estimator(make, frame, ["place"], categories=Categories.of(frame), num=5)
    assert [text.get_text() for text in shown.axes_[0, 0].get_xticklabels()] == ["land", "sea"]
    ridge = linear_model.Ridge().fit(X, SCORE)
    turned = EffectDisplay.from_estimator(ridge, X[["time", "dose", "mass", "age"]], ["dose"], num=3)
    plain = EffectDisplay.from_estimator(ridge, X, ["dose"], num=3)
    assert torch.allclose(turned.expectations["dose"].values, plain.expectations["dose"].values)


def test_wrong_calls_end_in_one_sentence():
    many = linear_model.LogisticRegression().fit(X, rng.choice(["a", "b", "c"], 100))
    with pytest.raises(ValueError, match=r"target must name one of the outputs \['a', 'b', 'c'\], got None"):
        EffectDisplay.from_estimator(many, X, ["age"])
    with pytest.raises(ValueError, match="use effect_surface for a pair"):
        EffectDisplay.from_estimator(many, X, [("age", "mass")], target="a")
    with pytest.raises(ValueError, match="feature must be one of the 4 inputs"):
        EffectDisplay.from_estimator(many, X, ["weight"], target="a")
    with pytest.raises(ValueError, match="ax must be one for each of the 2 features, got 1"):
        EffectDisplay.from_estimator(many, X, ["age", "mass"], target="a", ax=plt.subplots()[1])
