"""Estimators as models, against their own predictions, named, in the inputs' dtype, without a word of the library."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from acelib import AverageCausalEffect, Categories, InputDistribution, as_model, half_trace, interventional_expectation

sklearn = pytest.importorskip("sklearn")
from sklearn import compose, ensemble, linear_model, multiclass, multioutput, neighbors, pipeline, preprocessing, svm  # noqa: E402

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(120, 3)), columns=["age", "body mass", "dose"])
SCORE = X["age"] - X["body mass"] * X["dose"] + 0.3 * rng.normal(size=120)
WORDS = pd.Series(np.where(SCORE > 0.4, "high", np.where(SCORE > -0.4, "middle", "low")))
TWO = np.where(SCORE > 0, "yes", "no")


def lightgbm(name, **options):
    return getattr(pytest.importorskip("lightgbm"), name)(n_estimators=5, verbosity=-1, min_child_samples=5, **options)


FITTED = {
    "three classes": (lambda: linear_model.LogisticRegression(), WORDS, ("high", "low", "middle")),
    "two classes": (lambda: ensemble.RandomForestClassifier(8, random_state=0), TWO, ("no", "yes")),
    "numbers as classes": (lambda: neighbors.KNeighborsClassifier(), (SCORE > 0).astype(int), ("0", "1")),
    "scores of two classes": (lambda: svm.SVC(), TWO, ("yes",)),
    "scores of three": (lambda: svm.LinearSVC(), WORDS, ("high", "low", "middle")),
    "a regressor": (lambda: ensemble.GradientBoostingRegressor(n_estimators=5), SCORE, ("0",)),
    "two regressors": (
        lambda: multioutput.MultiOutputRegressor(linear_model.Ridge()),
        np.column_stack([SCORE, -SCORE]),
        ("0", "1"),
    ),
    "two classifiers": (
        lambda: ensemble.RandomForestClassifier(8, random_state=0),
        np.column_stack([WORDS, TWO]),
        ("0=high", "0=low", "0=middle", "1=no", "1=yes"),
    ),
    "a pipeline": (
        lambda: pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
        WORDS,
        ("high", "low", "middle"),
    ),
    "boosting of LightGBM": (lambda: lightgbm("LGBMClassifier"), WORDS, ("high", "low", "middle")),
    "regression of LightGBM": (lambda: lightgbm("LGBMRegressor"), SCORE, ("0",)),
}


@pytest.mark.parametrize("named", [True, False], ids=["frame", "array"])
@pytest.mark.parametrize("make, y, names", FITTED.values(), ids=FITTED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_average_is_that_of_its_own_predictions(make, y, names, named, dtype):
    """E[f | do(dose = a)] is the mean of the estimator's own answers for the table with that column set."""
    table = X if named else X.to_numpy()
    estimator = make().fit(table, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as "X does not have valid feature names"
        model = as_model(estimator)
        inputs = InputDistribution.fit(table, domain=(-5, 5)).to(dtype)
        found = interventional_expectation(model, inputs, 2, [-1.0, 0.5])
        ace = AverageCausalEffect(model, inputs)
    assert model(inputs.samples).dtype == dtype and ace.target_names == names
    assert found.target_names in ((), names)
    for place, a in enumerate([-1.0, 0.5]):
        moved = X.astype(np.float32 if dtype == torch.float32 else float)
        moved["dose"] = a
        moved = moved.astype(float) if named else moved.to_numpy(float)
        method = next(m for m in ("predict_proba", "decision_function", "predict") if hasattr(estimator, m))
        own = getattr(estimator, method)(moved)
        own = np.concatenate(own, axis=1) if isinstance(own, list) else np.asarray(own).reshape(len(X), -1)
        np.testing.assert_allclose(found.values[place], own.mean(0), atol=1e-6 if dtype == torch.float32 else 1e-12)


def test_a_prediction_of_classes_is_a_share_of_each():
    estimator = linear_model.LogisticRegression().fit(X, WORDS)
    shares = as_model(estimator, "predict")(torch.tensor(X.to_numpy())).mean(0)
    predicted = estimator.predict(X)
    assert shares.tolist() == pytest.approx([(predicted == name).mean() for name in ("high", "low", "middle")])


def test_a_prediction_of_several_truth_values_stays_as_it_is():
    """Multilabel classifiers predict a column for each label."""
    truths = np.stack([SCORE > 0, SCORE > 0.5], 1).astype(int)
    estimator = multiclass.OneVsRestClassifier(linear_model.LogisticRegression()).fit(X, truths)
    rows = torch.tensor(X.to_numpy())
    assert np.array_equal(as_model(estimator, "predict")(rows), estimator.predict(X))
    assert np.allclose(as_model(estimator)(rows), estimator.predict_proba(X))


@pytest.mark.filterwarnings("error")
def test_a_method_is_that_of_its_estimator():
    """With the columns' names, which the method alone does not tell."""
    estimator = linear_model.LogisticRegression().fit(X, TWO)
    model = as_model(estimator.predict_proba)
    assert model.named_columns == tuple(X) and model.target_names == ("no", "yes")
    assert np.allclose(model(torch.tensor(X.to_numpy())), estimator.predict_proba(X))


def test_a_function_answers_in_place_of_a_method():
    estimator = linear_model.LogisticRegression().fit(X, TWO)
    odds = as_model(estimator, lambda table: estimator.decision_function(table))
    plain = as_model(estimator, "decision_function")
    rows = torch.tensor(X.to_numpy())
    assert torch.equal(odds(rows), plain(rows)) and odds(rows).shape == (120, 1)
    assert as_model(np.sin)(rows).numpy() == pytest.approx(np.sin(X.to_numpy()))
    named = as_model(lambda frame: frame["dose"] - frame["age"], columns=X.columns)
    assert named(rows)[:, 0].numpy() == pytest.approx((X["dose"] - X["age"]).to_numpy())


def test_columns_in_another_order_are_refused_and_named_ones_are_put_in_order():
    """A table in another order would be answered without a word, and wrongly."""
    estimator = ensemble.RandomForestRegressor(5, random_state=0).fit(X, SCORE)
    other = X[["dose", "age", "body mass"]]
    inputs = InputDistribution.fit(other, domain=(-5, 5))
    with pytest.raises(ValueError, match=r"inputs must have the columns of the model in its order, \['age', 'body"):
        interventional_expectation(as_model(estimator), inputs, "dose", [0.0])
    found = interventional_expectation(as_model(estimator, columns=other.columns), inputs, "dose", [0.3])
    assert float(found.values) == pytest.approx(estimator.predict(X.assign(dose=0.3)).mean())
    with pytest.raises(ValueError, match="columns must be those that RandomForestRegressor was fitted on"):
        as_model(estimator, columns=["age", "body mass", "weight"])


def test_a_pipeline_on_words_is_asked_about_words():
    """The average under do(place = sea) is that of its predictions for the frame of words, missing ones included."""
    frame = X.assign(place=rng.choice(["sea", "land", "hill"], 120)).astype({"place": object})
    frame.loc[:9, "place"] = np.nan
    hot = compose.make_column_transformer(
        (preprocessing.OneHotEncoder(), ["place"]), remainder=preprocessing.StandardScaler()
    )
    estimator = pipeline.make_pipeline(hot, linear_model.LogisticRegression()).fit(frame, TWO)
    categories = Categories.of(frame)
    inputs = InputDistribution.fit(categories.encode(frame), domain=categories.domain | {"age": (-5, 5)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = as_model(estimator, categories=categories)
        found = interventional_expectation(model, inputs, "place", list(range(4)))
    for code, level in enumerate(["hill", "land", "sea", np.nan]):
        own = estimator.predict_proba(frame.assign(place=[level] * 120).astype({"place": object})).mean(0)
        assert found.values[code].tolist() == pytest.approx(own.tolist())


def test_a_black_box_says_that_it_has_no_derivative():
    """Wherever one is needed; a derivative that is silently 0 would be wrong."""
    model = as_model(linear_model.LinearRegression().fit(X, SCORE))
    inputs = InputDistribution.fit(X, domain=(-5, 5))
    for method in ("taylor", "linearised"):
        with pytest.raises(ValueError, match="must carry a gradient"):
            options = {"rows": 10} if method == "linearised" else {}
            interventional_expectation(model, inputs, "dose", [0.0], method=method, **options)
    rows = torch.tensor(X.to_numpy())
    with pytest.raises(RuntimeError, match="computes no derivative"):
        torch.func.jvp(model, (rows,), (rows,))
    with pytest.raises((ValueError, RuntimeError), match="gradient|derivative"):
        half_trace(model, rows[:2], torch.eye(3, dtype=torch.float64))
    many = InputDistribution.fit(pd.concat([X] * 5), domain=(-5, 5))
    few = interventional_expectation(model, many, "dose", np.linspace(-1, 1, 20), budget=4000)
    assert few.method == "monte_carlo" and "no derivatives" in few.reason


def test_a_model_travels():
    estimator = ensemble.RandomForestClassifier(5, random_state=0).fit(X, WORDS)
    model, rows = as_model(estimator), torch.tensor(X.to_numpy())
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(rows), model(rows)) and again.target_names == model.target_names


def test_a_refit_is_seen():
    """Regressors are kept while the estimator is as it was, and no longer."""
    estimator = linear_model.LinearRegression().fit(X, SCORE)
    ace = AverageCausalEffect(as_model(estimator), InputDistribution.fit(X, domain=(-5, 5)))
    before = ace.attribute(X.iloc[0]).values
    estimator.fit(X, -SCORE)
    assert torch.allclose(ace.attribute(X.iloc[0]).values, -before, atol=1e-9)


def test_wrong_calls_end_in_one_sentence():
    inputs = InputDistribution.fit(X, domain=(-5, 5))
    fresh = linear_model.LinearRegression()
    with pytest.raises(TypeError, match=r"got LinearRegression; use acelib.as_model\(model\)$"):
        interventional_expectation(fresh, inputs, 0, [0.0])
    with pytest.raises(ValueError, match="LinearRegression must answer a table of shape .*NotFittedError"):
        interventional_expectation(as_model(fresh), inputs, 0, [0.0])
    with pytest.raises(ValueError, match=r"method must be one of \['predict'\].*'predict_proba' of LinearRegression"):
        as_model(fresh, "predict_proba")
    with pytest.raises(TypeError, match="model must be an estimator with predict"):
        as_model(3)
    with pytest.raises(ValueError, match="columns must be left out for a torch network"):
        as_model(torch.nn.Linear(3, 1), columns=["a"])
    with pytest.raises(TypeError, match=r"got ndarray; use acelib.as_model\(model\)"):
        interventional_expectation(lambda x: x.numpy(), inputs, 0, [0.0])
    with pytest.raises(ValueError, match="inputs must have the 3 columns"):
        as_model(fresh.fit(X, SCORE))(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="use method='predict_proba'"):
        as_model(lambda table: np.array(["a"] * len(table)))(torch.zeros(2, 3))
