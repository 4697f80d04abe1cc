"""Do the claims about Iris hold? The published experiment over many training seeds, its claims as inequalities.

The network is the 4-8-3 perceptron with ReLU of Chattopadhyay et al. (2019, Sec. 5.1). ``train_iris`` trains one per
seed, each on its own split, ``iris_curves`` fits the causal regressors of all of them under one estimator, and
``count_claims`` says for how many seeds each statement about the curves holds. A statement is an inequality on a curve
a(α), sampled over the domain of α from low to high; it was written down before the networks were trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from acelib.expectation import Expectation, interventional_expectation
from acelib.inputs.distribution import InputDistribution
from acelib.lab.datasets import Dataset, load_iris, train_test_split
from acelib.lab.networks import Probabilities, stacked_mlp
from acelib.lab.training import train
from acelib.regressors import FAMILIES, Regressor
from acelib.results import CausalRegressors

SIZES = (4, 8, 3)
SETTINGS = {"lr": 3e-4, "weight_decay": 1e-4, "batch_size": 1}
TEST_ROWS = 30
SCALES = ("probabilities", "logits")
MARGIN = 0.1  # share of a curve's range by which a peak must rise above the ends
SLACK = 0.05  # share of a curve's range that a monotone curve may move the wrong way
MIDDLE = (0.2, 0.8)  # where a peak counts as moderate, in shares of the domain

_SHUFFLED_LABELS = 2  # keeps the generator of shuffled labels apart from the others


@dataclass(frozen=True, eq=False)
class IrisRun:
    """Networks trained on Iris, one a seed, and how well each does on the flowers it never saw.

    Attributes:
        seeds: One per network; a seed decides split, initial weights and order of the rows.
        networks: The networks, (batch, 4) -> (batch, 3) logits.
        test_accuracy: Share of the 30 held-out flowers that each gets right, (seeds,).
        dataset: All 150 flowers, scaled to [0, 1].
        history: Mean training loss of each seed and epoch, (seeds, epochs).
    """

    seeds: tuple[int, ...]
    networks: tuple[nn.Module, ...]
    test_accuracy: Tensor
    dataset: Dataset
    history: Tensor

    def models(self, scale: str) -> list[nn.Module]:
        """The networks with outputs on the given scale: ``"probabilities"`` or ``"logits"``."""
        if scale not in SCALES:
            raise ValueError(f"scale is {scale!r}, expected one of {', '.join(SCALES)}")
        return [Probabilities(net) if scale == "probabilities" else net for net in self.networks]

    def part(self, index: Sequence[int] | slice) -> IrisRun:
        """The run of some of the networks, by position."""
        chosen = range(len(self.seeds))[index] if isinstance(index, slice) else list(index)
        return IrisRun(
            tuple(self.seeds[i] for i in chosen),
            tuple(self.networks[i] for i in chosen),
            self.test_accuracy[list(chosen)],
            self.dataset,
            self.history[list(chosen)],
        )


def train_iris(
    seeds: Sequence[int], *, shuffled: Sequence[int] = (), epochs: int = 500, progress: bool = False
) -> tuple[IrisRun, IrisRun | None]:
    """Iris networks of the given seeds, and controls that learnt from shuffled labels (None without any).

    All networks are trained side by side as one stacked batch, each on 120 flowers of its own split.

    Args:
        seeds: One per network, all different.
        shuffled: Seeds of the controls, different from ``seeds``: the same training, after the labels of the training
            flowers were dealt out at random.
        epochs: Passes through the training flowers.
        progress: Whether to show a bar.

    Raises:
        ValueError: No seed, or a repeated one.

    References:
        Chattopadhyay et al. 2019, Sec. 5.1: Adam at 3e-4, weight decay 1e-4, batches of one flower, 500 epochs.

    Example:
        >>> run, control = train_iris([0, 1], epochs=2)
        >>> assert len(run.networks) == 2 and run.test_accuracy.shape == (2,) and control is None
    """
    iris = load_iris()
    every = [*seeds, *shuffled]
    splits = [train_test_split(iris, TEST_ROWS, seed=seed) for seed in every]
    labels = [part.y for part, _ in splits]
    for position in range(len(seeds), len(every)):
        generator = torch.Generator().manual_seed(every[position] + (_SHUFFLED_LABELS << 32))
        labels[position] = labels[position][torch.randperm(len(labels[position]), generator=generator)]
    X = torch.stack([part.X for part, _ in splits])
    stack = stacked_mlp(SIZES, every)
    result = train(stack, X, torch.stack(labels), epochs=epochs, progress=progress, **SETTINGS)
    networks = tuple(net.eval() for net in result.model.unstack())
    with torch.no_grad():
        hits = [(net(test.X).argmax(1) == test.y) for net, (_, test) in zip(networks, splits, strict=True)]
    accuracy = torch.stack(hits).double().mean(1)
    run = IrisRun(tuple(every), networks, accuracy, iris, result.history)
    control = run.part(range(len(seeds), len(every))) if shuffled else None
    return run.part(range(len(seeds))), control


@dataclass(frozen=True, eq=False)
class IrisCurves:
    """The causal regressors of every network under one estimator.

    Attributes:
        method: Of the estimator: ``"monte_carlo"`` or ``"taylor"``.
        scale: Of the outputs: ``"probabilities"`` or ``"logits"``.
        features: Names of the inputs.
        targets: Names of the classes.
        curves: The regressors by (feature, target), one per seed.
        expectations: What they were fitted to, by feature; ``models`` holds each seed's values, (seeds, num, classes).
    """

    method: str
    scale: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    curves: Mapping[tuple[str, str], Sequence[Regressor]]
    expectations: Mapping[str, Expectation]

    def __getitem__(self, key: tuple[str, str]) -> Sequence[Regressor]:
        return self.curves[key]

    def ace(self, feature: str, target: str, num: int = 101) -> np.ndarray:
        """ACE of every seed at ``num`` values equally spaced over the domain, (seeds, num)."""
        first = self.curves[feature, target][0]
        alphas = np.linspace(first.low, first.high, num)
        return np.stack([curve.ace(alphas) for curve in self.curves[feature, target]])


def iris_curves(
    run: IrisRun,
    *,
    method: str = "monte_carlo",
    scale: str = "probabilities",
    num: int = 100,
    family: str = "polynomial",
) -> IrisCurves:
    """The causal regressors of every seed, feature and class, from all 150 flowers, as ``IrisCurves``.

    Args:
        run: Trained networks.
        method: ``"monte_carlo"`` for the average over the flowers, ``"taylor"`` for the second-order expansion.
        scale: ``"probabilities"`` or ``"logits"``.
        num: Interventional values a feature, equally spaced over its domain.
        family: ``"polynomial"`` or ``"spline"``.

    Example:
        >>> run, _ = train_iris([0], epochs=1)
        >>> assert iris_curves(run, num=10).ace("petal width [cm]", "setosa").shape == (1, 101)
    """
    inputs = InputDistribution.fit(run.dataset.X, feature_names=run.dataset.feature_names)
    targets, models = run.dataset.target_names, run.models(scale)
    curves, expectations = {}, {}
    for feature, domain in zip(inputs.feature_names, inputs.domain, strict=True):
        alphas = domain.grid(num)
        # one model at a time: each seed's curve then has the covariance of its own sampling errors
        each = [interventional_expectation(model, inputs, feature, alphas, method=method) for model in models]
        expectations[feature] = interventional_expectation(models, inputs, feature, alphas, method=method)
        for t, target in enumerate(targets):
            values = np.stack([e.values[:, t].numpy() for e in each])
            errors = np.stack([e.covariance(t).numpy() for e in each])
            fit = FAMILIES[family].fit_many
            curves[feature, target] = tuple(
                fit(alphas.numpy(), values, covariance=errors, low=domain.low, high=domain.high)
            )
    return IrisCurves(method, scale, inputs.feature_names, targets, curves, expectations)


def falling(curve: np.ndarray) -> bool:
    """Small values raise the output and large values lower it: a(low) > 0 > a(high), and a hardly ever rises.

    All its rises together stay below 5 % of its range.

    Args:
        curve: ACE at values from low to high, (num,).

    Example:
        >>> assert falling(np.array([0.3, 0.1, -0.2])) and not falling(np.array([0.3, -0.3, 0.2, -0.2]))
    """
    return bool(curve[0] > 0 > curve[-1] and np.diff(curve).clip(0).sum() <= SLACK * np.ptp(curve))


def rising(curve: np.ndarray) -> bool:
    """Large values raise the output and small values lower it: the mirror image of ``falling``.

    Args:
        curve: ACE at values from low to high, (num,).

    Example:
        >>> assert rising(np.array([-0.2, 0.1, 0.3]))
    """
    return falling(curve[::-1])


def peaked(curve: np.ndarray) -> bool:
    """Moderate values raise the output: the largest ACE is positive and lies in the middle of the domain.

    It lies between 20 % and 80 % of the way, and above both ends by more than 10 % of the range.

    Args:
        curve: ACE at equally spaced values from low to high, (num,).

    Example:
        >>> assert peaked(np.array([-0.3, 0.2, -0.1])) and not peaked(np.array([0.2, 0.1, -0.3]))
    """
    where = int(np.argmax(curve))
    inside = MIDDLE[0] <= where / (len(curve) - 1) <= MIDDLE[1]
    above = curve[where] - max(curve[0], curve[-1]) > MARGIN * np.ptp(curve)
    return bool(inside and above and curve[where] > 0)


CLAIMS: dict[str, tuple[str, str, Callable[[np.ndarray], bool]]] = {
    "setosa: small petal length": ("petal length [cm]", "setosa", falling),
    "setosa: small petal width": ("petal width [cm]", "setosa", falling),
    "versicolor: moderate petal length": ("petal length [cm]", "versicolor", peaked),
    "versicolor: moderate petal width": ("petal width [cm]", "versicolor", peaked),
    "virginica: large petal length": ("petal length [cm]", "virginica", rising),
    "virginica: large petal width": ("petal width [cm]", "virginica", rising),
    "setosa gains with sepal width": ("sepal width [cm]", "setosa", rising),
    "virginica loses with sepal width": ("sepal width [cm]", "virginica", falling),
}
"""The statements of Sec. 5.1: feature, class, inequality on the ACE."""


def claim_table(curves: IrisCurves) -> np.ndarray:
    """Which claim holds for which seed, bool (claims, seeds), in the order of ``CLAIMS``.

    Args:
        curves: The regressors of every seed.
    """
    return np.array([[test(a) for a in curves.ace(feature, target)] for feature, target, test in CLAIMS.values()])


def count_claims(curves: IrisCurves) -> dict[str, int]:
    """For how many seeds each claim holds, by the names of ``CLAIMS``.

    Args:
        curves: The regressors of every seed.

    Example:
        >>> run, _ = train_iris([0], epochs=1)
        >>> assert set(count_claims(iris_curves(run, num=10)).values()) <= {0, 1}
    """
    return {name: int(held.sum()) for name, held in zip(CLAIMS, claim_table(curves), strict=True)}


def crossing(first: np.ndarray, second: np.ndarray, alphas: np.ndarray) -> float:
    """The smallest α at which ``first`` stops being the larger of two curves, by interpolation; NaN if it never does.

    Args:
        first: One curve, (num,).
        second: The other curve, (num,).
        alphas: Their values, increasing, (num,).

    Example:
        >>> x = np.linspace(0, 1, 5)
        >>> assert abs(crossing(1 - x, x, x) - 0.5) < 1e-12
    """
    gap = first - second
    falls = np.flatnonzero((gap[:-1] > 0) & (gap[1:] <= 0))
    if falls.size == 0:
        return float("nan")
    i = falls[0]
    return float(alphas[i] + (alphas[i + 1] - alphas[i]) * gap[i] / (gap[i] - gap[i + 1]))


def saliency(curves: CausalRegressors, X: Tensor, classes: Tensor) -> np.ndarray:
    """The effect of every flower's own values on its class, ACE_do(x_i = X[j, i]) on ``classes[j]``, (rows, features).

    Args:
        curves: Regressors of one network, with the baseline to use.
        X: Flowers, (rows, features).
        classes: The output to explain for each flower, (rows,).

    References:
        Chattopadhyay et al. 2019, Sec. 5.2.
    """
    effects = np.empty(tuple(X.shape))
    for column in range(X.shape[1]):
        every = np.stack([curves[column, t].ace(X[:, column].numpy()) for t in range(len(curves.targets))])
        effects[:, column] = every[classes.numpy(), np.arange(len(X))]
    return effects


def rank_agreement(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """How alike two saliencies rank the features of each row: (share with the same largest feature, mean Kendall τ).

    Features are ranked by the size of their effect, whatever its sign.

    Args:
        first: Effects, (rows, features).
        second: Effects, (rows, features).

    Example:
        >>> a = np.array([[3.0, -2.0, 1.0], [1.0, 2.0, 3.0]])
        >>> assert rank_agreement(a, -a) == (1.0, 1.0)
    """
    first, second = np.abs(first), np.abs(second)
    same = float((first.argmax(1) == second.argmax(1)).mean())
    left, right = np.triu_indices(first.shape[1], 1)
    signs = np.sign(first[:, left] - first[:, right]) * np.sign(second[:, left] - second[:, right])
    return same, float(signs.mean())


def boundary_point(model: nn.Module, start: Tensor, end: Tensor, classes: tuple[int, int]) -> Tensor:
    """The point between two inputs where the network cannot decide between two classes, (features,).

    Args:
        model: (batch, features) -> (batch, outputs).
        start: An input at which the first class has the larger output, (features,).
        end: An input at which the second has, (features,).
        classes: The two outputs.

    Raises:
        ValueError: The network does not change its mind between the two.

    Example:
        >>> model = lambda x: torch.cat([1 - x, x], 1)
        >>> start, end = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        >>> point = boundary_point(model, start, end, (0, 1))
        >>> assert abs(point.item() - 0.5) < 1e-9
    """
    one, two = classes

    def lead(point: Tensor) -> float:
        with torch.no_grad():
            out = model(point[None])[0]
        return float(out[one] - out[two])

    if not lead(start) > 0 > lead(end):
        raise ValueError(
            f"start and end must lie on different sides of the boundary between outputs {one} and {two}, but the lead "
            f"of {one} is {lead(start):.3g} at the start and {lead(end):.3g} at the end"
        )
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if lead(start + middle * (end - start)) > 0 else (low, middle)
    return start + high * (end - start)
