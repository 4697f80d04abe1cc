"""What does the row average cost beside scikit-learn's brute-force partial dependence, and beside the approximations?

All cases do the same work: every feature of Iris, 100 values each, over all 150 rows, for the three class
probabilities of a 4-8-3 ReLU network in float64. scikit-learn gets the network as a classifier, which is how it
computes several classes in one pass; wrapped as a regressor it is cheaper but knows a single output. acelib's average
has its standard errors and keeps what its covariance across values, the spread and the individual curves are computed
from when they are read; another case reads them all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import partial_dependence

from acelib import AverageCausalEffect, Expectation, InputDistribution, SupportWarning, interventional_expectation
from acelib.lab.datasets import load_iris
from acelib.lab.networks import mlp

VALUES = 100

ratios = {
    "scikit-learn classifier / row average, 3 outputs": ("scikit-learn classifier, 3 outputs", "row average"),
    "scikit-learn regressor, 1 output / row average, 3 outputs": ("scikit-learn regressor, 1 output", "row average"),
    "scikit-learn classifier / row average, all read": ("scikit-learn classifier, 3 outputs", "row average, all read"),
    "scikit-learn regressor, 1 output / row average, all read": (
        "scikit-learn regressor, 1 output",
        "row average, all read",
    ),
    "Taylor / row average": ("Taylor", "row average"),
    "direct evaluation / regressors, 150 flowers": ("attribute direct", "attribute via regressors"),
}
expect = {
    "scikit-learn classifier / row average, 3 outputs": "at least 8",
    "scikit-learn regressor, 1 output / row average, 3 outputs": "at least 2",
}


class _Network(BaseEstimator):
    """A torch network behind scikit-learn's interface; there is nothing to fit."""

    def __init__(self, net=None):
        self.net = net

    def fit(self, X, y):
        """Note the classes."""
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        """Return the outputs for every row."""
        with torch.no_grad():
            return self.net(torch.from_numpy(np.ascontiguousarray(X))).numpy()


class Classifier(ClassifierMixin, _Network):
    """All three outputs at once."""

    def predict(self, X):
        """Return the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(1)]


class Regressor(RegressorMixin, _Network):
    """The first output."""

    def predict(self, X):
        """Return the first output."""
        return self.predict_proba(X)[:, 0]


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``."""
    iris = load_iris()
    net = mlp((4, 8, 3), output="softmax").eval()
    inputs, table, y = InputDistribution.fit(iris.X, domain=(0.0, 1.0)), iris.X.numpy(), iris.y.numpy()
    values = torch.linspace(0, 1, VALUES, dtype=torch.float64)
    options = dict(method="brute", grid_resolution=VALUES, percentiles=(0, 1))
    fitted = AverageCausalEffect(net, inputs)
    fitted.cached()
    warnings.filterwarnings("ignore", category=SupportWarning)  # far values cost what near ones do

    def sweep(method: str) -> Callable[[], list[Expectation]]:
        return lambda: [interventional_expectation(net, inputs, i, values, method=method) for i in range(4)]

    def brute(estimator: _Network) -> Callable[[], object]:
        estimator.fit(table, y)
        grids = [{i: values.numpy()} for i in range(4)]
        return lambda: [partial_dependence(estimator, table, [*g], custom_values=g, **options) for g in grids]

    return {
        "row average": sweep("monte_carlo"),
        "row average, all read": lambda: [(e.covariances, e.spread, e.individual) for e in sweep("monte_carlo")()],
        "Taylor": sweep("taylor"),
        "cubature": sweep("cubature"),
        "scikit-learn classifier, 3 outputs": brute(Classifier(net)),
        "scikit-learn regressor, 1 output": brute(Regressor(net)),
        "attribute via regressors": lambda: fitted.attribute(iris.X, 0),
        "attribute direct": lambda: fitted.attribute(iris.X, 0, via="direct"),
    }
