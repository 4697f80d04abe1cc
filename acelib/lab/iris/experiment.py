"""The networks of the published Iris experiment, one per training seed, and helpers that compare their effects.

The network is the 4-8-3 perceptron with ReLU of Chattopadhyay et al. (2019, Sec. 5.1). ``train_iris`` trains one per
seed, each on its own split. The rest compares effects: the effect of each flower's own values, how alike two rankings
of the features are, and a point on a decision boundary to measure effects from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from acelib.lab.datasets import Dataset, load_iris, train_test_split
from acelib.lab.networks import Probabilities, stacked_mlp, stream
from acelib.lab.training import train
from acelib.results import CausalRegressors

SIZES = (4, 8, 3)
SETTINGS = {"lr": 3e-4, "weight_decay": 1e-4, "batch_size": 1}
TEST_ROWS = 30
SCALES = ("probabilities", "logits")

_SHUFFLED_LABELS = 2  # a stream of its own: PyTorch's CPU generator reads the low 32 bits of a seed and no more


@dataclass(frozen=True, eq=False)
class IrisRun:
    """Networks trained on Iris, one a seed, and their accuracy on held-out flowers.

    Attributes:
        seeds: one per network; a seed decides split, initial weights and order of the rows.
        networks: the networks, ``(batch, 4) -> (batch, 3)`` logits.
        test_accuracy: ``(seeds,)`` share of the 30 held-out flowers that each gets right.
        dataset: all 150 flowers, scaled to [0, 1].
        history: ``(seeds, epochs)`` mean training loss.
    """

    seeds: tuple[int, ...]
    networks: tuple[nn.Module, ...]
    test_accuracy: Tensor
    dataset: Dataset
    history: Tensor

    def models(self, scale: str) -> list[nn.Module]:
        """Return the networks with outputs on a scale: ``"probabilities"`` or ``"logits"``."""
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
        return [Probabilities(net) if scale == "probabilities" else net for net in self.networks]

    def part(self, index: Sequence[int] | slice) -> IrisRun:
        """Return the run of some of the networks, by position."""
        chosen = range(len(self.seeds))[index] if isinstance(index, slice) else list(index)
        return IrisRun(
            tuple(self.seeds[i] for i in chosen),
            tuple(self.networks[i] for i in chosen),
            self.test_accuracy[list(chosen)],
            self.dataset,
            self.history[list(chosen)],
        )


def train_iris(
    seeds: Sequence[int],
    *,
    shuffled: Sequence[int] = (),
    epochs: int = 500,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> tuple[IrisRun, IrisRun | None]:
    """Return the Iris networks of the given seeds, and controls that learnt from shuffled labels (None without any).

    All networks are trained side by side as one stacked batch, each on 120 flowers of its own split.

    Args:
        seeds: one per network, all different.
        shuffled: seeds of the controls, different from ``seeds``: the same training, after the labels of the training
            flowers were dealt out at random.
        epochs: passes through the training flowers.
        progress: show a bar.
        device: where to train, and where the networks and the flowers are put; default: the CPU.

    Raises:
        ValueError: for no seed, or a repeated one.

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
        deal = torch.randperm(len(labels[position]), generator=stream(every[position], _SHUFFLED_LABELS))
        labels[position] = labels[position][deal]
    X = torch.stack([part.X for part, _ in splits])
    stack = stacked_mlp(SIZES, every)
    options = {"epochs": epochs, "progress": progress, "device": device, **SETTINGS}
    result = train(stack, X, torch.stack(labels), **options)
    iris, tests = iris.to(device), [test.to(device) for _, test in splits]
    networks = tuple(net.eval() for net in result.model.unstack())
    with torch.no_grad():
        hits = [(net(test.X).argmax(1) == test.y) for net, test in zip(networks, tests, strict=True)]
    accuracy = torch.stack(hits).cpu().double().mean(1)
    run = IrisRun(tuple(every), networks, accuracy, iris, result.history)
    control = run.part(range(len(seeds), len(every))) if shuffled else None
    return run.part(range(len(seeds))), control


def saliency(curves: CausalRegressors, X: Tensor, classes: Tensor) -> np.ndarray:
    """Return the ``(rows, features)`` effects ACE_do(x_i = X[j, i]) of each flower's own values on ``classes[j]``.

    Args:
        curves: regressors of one network, with the baseline to use.
        X: ``(rows, features)`` flowers.
        classes: ``(rows,)`` the output to explain for each flower.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2.
    """
    effects = np.empty(tuple(X.shape))
    for column in range(X.shape[1]):
        every = np.stack([curves[column, t].ace(X[:, column].numpy()) for t in range(len(curves.targets))])
        effects[:, column] = every[classes.numpy(), np.arange(len(X))]
    return effects


def rank_agreement(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return how alike two saliencies rank the features: (share of rows with the same largest one, mean Kendall τ).

    Features are ranked by the size of their effect, whatever its sign. All rows at once: ``scipy.stats.kendalltau``,
    one row at a time, gives the same τ and takes seconds for the chapter's rows.

    Args:
        first: ``(rows, features)`` effects.
        second: ``(rows, features)`` effects.

    Example:
        >>> a = np.array([[3.0, -2.0, 1.0], [1.0, 2.0, 3.0]])
        >>> assert rank_agreement(a, -a) == (1.0, 1.0)
    """
    first, second = np.abs(first), np.abs(second)
    same = float((first.argmax(1) == second.argmax(1)).mean())
    left, right = np.triu_indices(first.shape[1], 1)
    signs = np.sign(first[:, left] - first[:, right]) * np.sign(second[:, left] - second[:, right])
    return same, float(signs.mean())


def boundary_point(model: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, classes: tuple[int, int]) -> Tensor:
    """Return the ``(features,)`` point between two inputs where a model gives two classes the same output.

    Args:
        model: ``(batch, features) -> (batch, outputs)``.
        start: ``(features,)`` an input at which the first class has the larger output.
        end: ``(features,)`` an input at which the second has.
        classes: the two outputs.

    Raises:
        ValueError: if the larger output is the same at both ends.

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
            f"start and end must lie on different sides of the boundary between outputs {one} and {two}, got leads of "
            f"output {one} of {lead(start):.3g} and {lead(end):.3g}; choose a start where {one} leads"
        )
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if lead(start + middle * (end - start)) > 0 else (low, middle)
    return start + high * (end - start)
