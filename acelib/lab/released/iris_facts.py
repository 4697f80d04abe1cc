"""Facts about the released Iris network: its curves by two estimators, the tree's cuts, the sentences of Sec. 5.1.

The flowers are scaled and split as the released notebooks do it. Two estimators of E[p | do(x_i = α)] are compared: the
second-order formula on probabilities (Eq. 3-4), with the covariance divided by n − 1 as there, and the average over the
150 flowers. A sentence about small, moderate or large values is read as the mean effect over that third of the axis.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acelib import ApproximationWarning, InputDistribution, half_trace, interventional_expectation
from acelib._optional import optional
from acelib.lab.datasets import load_iris
from acelib.lab.networks import Probabilities
from acelib.lab.released.facts import Fact
from acelib.lab.released.networks import IRIS, released_iris

NUM, TEST_ROWS = 1000, 30
ESTIMATORS = {"taylor": "second-order formula", "rows": "average over the flowers"}
PETALS = {"length": 2, "width": 3}
CLASSES = ("setosa", "versicolor", "virginica")
_ACE, _TRAIN, _TREE = "Codes/Iris/ACE.ipynb", "Codes/Iris/train.ipynb", "Codes/Iris/decision_tree.py"


def iris_facts(folder: str | Path | None = None) -> dict[str, Fact]:
    """Return the facts about the released Iris network.

    Args:
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if the network's file is missing or another one.

    References:
        Chattopadhyay et al. 2019, Sec. 5.1 and Fig. 2.
    """
    net, (Z, y, order) = released_iris(folder), flowers()
    wrong = (net(Z).argmax(1) != y)[order]
    train, test = int(wrong[:-TEST_ROWS].sum()), int(wrong[-TEST_ROWS:].sum())
    facts = {
        "iris-train-errors": Fact(train, 0, "of 120 flowers", "errors on the training flowers", (IRIS, _TRAIN)),
        "iris-test-errors": Fact(test, 0, "of 30 flowers", "errors on the flowers held out", (IRIS, _TRAIN)),
    }
    cuts = tree_cuts(Z, y, order)
    for name, cut in zip(("low", "high"), cuts, strict=True):
        what = f"{name}er cut of petal width in the tree"
        facts[f"iris-cut-{name}"] = Fact(cut, 1e-4, "of the scaled range", what, (_TREE,))
    curves = expectations(Probabilities(net).eval(), Z)
    for estimator, values in curves.items():
        facts |= {f"iris-{estimator}-{name}": fact for name, fact in _sentences(values, cuts, ESTIMATORS[estimator])}
    return facts


def flowers() -> tuple[Tensor, Tensor, np.ndarray]:
    """Return the flowers ``(150, 4)``, scaled by the range of the training ones, their classes, and the shuffled order.

    Example:
        >>> Z, y, order = flowers()
        >>> assert Z[order[:120]].min() == 0 and Z[order[:120]].max() == 1 and Z.min() < 0
    """
    iris = load_iris(scaled=False)
    order = np.random.RandomState(1).choice(len(iris.X), len(iris.X), replace=False)
    training = iris.X[order[:-TEST_ROWS]]
    low, high = training.amin(0), training.amax(0)
    return (iris.X - low) / (high - low), iris.y, order


def tree_cuts(Z: Tensor, y: Tensor, order: np.ndarray) -> tuple[float, float]:
    """Return the two cuts of petal width of a tree with three leaves, on the scaled axis.

    Args:
        Z: ``(150, 4)`` scaled flowers.
        y: ``(150,)`` classes.
        order: the shuffled order; the last 30 are held out.
    """
    rows = order[:-TEST_ROWS]
    tree = optional("sklearn.tree", "the tree of the flowers").DecisionTreeClassifier(
        criterion="entropy", max_leaf_nodes=3, random_state=0
    )
    fitted = tree.fit(Z[rows].numpy(), np.eye(3)[y[rows].numpy()]).tree_
    inner = fitted.feature >= 0
    assert set(fitted.feature[inner]) == {PETALS["width"]}
    low, high = sorted(fitted.threshold[inner].tolist())
    return low, high


def expectations(model: torch.nn.Module, Z: Tensor) -> dict[str, np.ndarray]:
    """Return E[p | do(x_i = α)], ``(4 features, 1000 values of α from 0 to 1, 3 classes)``, by both estimators."""
    alphas, inputs = torch.linspace(0, 1, NUM, dtype=torch.float64), InputDistribution.fit(Z)
    factor = inputs.factor * (len(Z) / (len(Z) - 1)) ** 0.5
    found: dict[str, list[np.ndarray]] = {name: [] for name in ESTIMATORS}
    for i in range(Z.shape[1]):
        points = inputs.mean.repeat(NUM, 1)
        points[:, i] = alphas
        found["taylor"].append((model(points) + half_trace(model, points, factor, feature=i)).numpy())
        with warnings.catch_warnings():  # of standard errors, which are not used
            warnings.simplefilter("ignore", ApproximationWarning)
            rows = interventional_expectation(model, inputs, i, alphas, method="monte_carlo")
        found["rows"].append(rows.values.numpy())
    return {name: np.stack(values) for name, values in found.items()}


def _sentences(E: np.ndarray, cuts: tuple[float, float], how: str) -> Iterator[tuple[str, Fact]]:
    """Yield name and fact for one estimator's expectations ``(4, NUM, 3)``."""
    files, alphas = (IRIS, _ACE), np.linspace(0, 1, NUM)
    ace, largest = E - E.mean(1, keepdims=True), 0

    def fact(value: float, what: str, unit: str = "probability") -> Fact:
        return Fact(float(value), 1e-3, unit, f"{what}, {how}", files)

    for name, part in (("", E), *((f"{petal}-", E[i]) for petal, i in PETALS.items())):
        of = f"petal {name[:-1]}" if name else "four features"
        yield f"{name}low", fact(part.min(), f"least E[p | do(α)] of {of}")
        yield f"{name}high", fact(part.max(), f"largest E[p | do(α)] of {of}")
    for petal, i in PETALS.items():
        for k, species in enumerate(CLASSES):
            thirds = [ace[i, (3 * alphas >= t) & (3 * alphas <= t + 1), k].mean() for t in range(3)]
            largest += int(np.argmax(thirds)) == k
            words = ("small", "moderate", "large")[k]
            yield f"{petal}-{species}", fact(thirds[k], f"mean ACE of {words} petal {petal} on {species}")
    what = f"cases in which the class's own third has the largest mean ACE, {how}"
    yield "own-largest", Fact(largest, 0, "of 6", what, files)
    for k, species in enumerate(CLASSES):
        inside = np.digitize(alphas, cuts, right=True) == k
        yield f"region-{species}", fact(ace[3, inside, k].mean(), f"mean ACE of petal width on {species} in its region")
    for k in (0, 2):
        gap = ace[1, alphas >= 0.5, k].mean() - ace[1, alphas < 0.5, k].mean()
        yield f"sepal-width-{CLASSES[k]}", fact(gap, f"wide minus narrow sepals, mean ACE on {CLASSES[k]}")
    peak = alphas[ace[2, :, 1].argmax()]
    yield "length-versicolor-peak", fact(peak, "petal length that favours versicolor most", "of the scaled range")
    for at in (0, 25, 50, 75, 100):
        value = np.interp(at / 100, alphas, ace[2, :, 1])
        yield f"length-versicolor-at-{at}", fact(value, f"ACE of petal length {at / 100:g} on versicolor")
    for k in (0, 2):
        for at in (0, 100):
            value = np.interp(at / 100, alphas, ace[3, :, k])
            yield f"width-{CLASSES[k]}-at-{at}", fact(value, f"ACE of petal width {at / 100:g} on {CLASSES[k]}")
