"""What does the row average cost beside scikit-learn's brute-force partial dependence, and beside the approximations?

All cases do the same work: every feature of Iris, 100 values each, over all 150 rows, for one output of a small
network in float64. scikit-learn computes one output a pass; acelib computes all three.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import load_iris
from sklearn.inspection import partial_dependence

from acelib import AverageCausalEffect, InputDistribution, interventional_expectation
from acelib.lab.networks import mlp

VALUES = 100

ratios = {
    "scikit-learn brute force / acelib row average": ("scikit-learn brute force", "row average"),
    "Taylor / row average": ("Taylor", "row average"),
    "direct evaluation / regressors, 150 flowers": ("attribute direct", "attribute via regressors"),
}
expect = {"scikit-learn brute force / acelib row average": "at least 5"}


class Network(RegressorMixin, BaseEstimator):
    """One output of a torch network as a scikit-learn estimator."""

    def __init__(self, net=None):
        self.net = net

    def fit(self, X, y=None):
        """Do nothing: the network is given."""
        self.fitted_ = True
        return self

    def predict(self, X):
        """Return the first output for every row."""
        with torch.no_grad():
            return self.net(torch.from_numpy(np.ascontiguousarray(X)))[:, 0].numpy()


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``."""
    X = torch.from_numpy(load_iris().data)
    X = (X - X.amin(0)) / (X.amax(0) - X.amin(0))
    net = mlp((4, 8, 3), activation="relu", output="softmax").eval()
    inputs, oracle, table = InputDistribution.fit(X), Network(net).fit(X), X.numpy()
    values = torch.linspace(0, 1, VALUES, dtype=torch.float64)
    options = dict(method="brute", grid_resolution=VALUES, percentiles=(0, 1))
    fitted = AverageCausalEffect(net, inputs)
    fitted.cached()

    def sweep(method: str) -> Callable[[], object]:
        return lambda: [interventional_expectation(net, inputs, i, values, method=method) for i in range(4)]

    grid = {i: table[:, [i]].min() + np.linspace(0, 1, VALUES) for i in range(4)}
    return {
        "row average": sweep("monte_carlo"),
        "Taylor": sweep("taylor"),
        "cubature": sweep("cubature"),
        "scikit-learn brute force": lambda: [
            partial_dependence(oracle, table, [i], custom_values={i: grid[i]}, **options) for i in range(4)
        ],
        "attribute via regressors": lambda: fitted.attribute(X, 0),
        "attribute direct": lambda: fitted.attribute(X, 0, via="direct"),
    }
