"""Do the promises made on LeNet hold for a residual network on photographs? Fidelity on CIFAR-10, in small.

A ResNet-18 of few channels (He et al. 2016) learns from a fifth of CIFAR-10. For some classes its explanatory graph is
made from training images that it reads correctly, the top share of each layer's necessary nodes is masked, and the
accuracy of the class on test images is compared with masking as many random nodes, or those with the largest |w a|.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acelib.lab.datasets import Dataset, load_cifar10
from acelib.lab.graphs.lenet import accuracy
from acelib.lab.graphs.resnet import ResNet18
from acelib.lab.training import train
from acelib.paths import correctly_classified, explanatory_graph, fidelity

SETTINGS = {"lr": 2e-3, "batch_size": 64}
RANKINGS = ("necessary", "random", "largest")


@dataclass(frozen=True, eq=False)
class CifarStudy:
    """What masking does to some classes of a residual network, on test images.

    Attributes:
        accuracy: Share of all test images that the network gets right.
        classes: The classes that were masked, one after the other.
        untouched: Accuracy on each of them before, (classes,).
        own: By ranking, accuracy on each of them with its nodes masked, (classes,).
        others: By ranking, accuracy on the other classes meanwhile, (classes,).
        necessary: Share of all nodes that are necessary, for each class, (classes,).
        seconds: Seconds that the graph of each class took, (classes,).
    """

    accuracy: float
    classes: tuple[int, ...]
    untouched: Tensor
    own: dict[str, Tensor]
    others: dict[str, Tensor]
    necessary: Tensor
    seconds: Tensor

    def __repr__(self) -> str:
        rows = ", ".join(f"{ranking} {values.mean():.2f}" for ranking, values in self.own.items())
        before = self.untouched.mean()
        return f"CifarStudy({self.accuracy:.1%} right; classes {self.classes}: {before:.2f} before, {rows})"


def train_residual(
    learn: Dataset, *, width: int = 16, epochs: int = 8, seed: int = 0, progress: bool = False
) -> nn.Module:
    """A trained residual network, (batch, 3, height, width) -> (batch, classes) logits, in evaluation mode.

    Args:
        learn: Images (n, 3, height, width), float32 in [0, 1], and their classes.
        width: Channels of the first stage.
        epochs: Passes through the images.
        seed: Of weights and order.
        progress: Whether to show a bar.
    """
    network = ResNet18(width=width, classes=len(learn.target_names), seed=seed)
    return train(network, learn.X, learn.y, epochs=epochs, seed=seed, progress=progress, **SETTINGS).model.eval()


def cifar_study(
    *,
    classes: Sequence[int] = (0, 1, 2),
    share: float = 0.2,
    images: int = 30,
    width: int = 16,
    epochs: int = 8,
    draws: int = 3,
    seed: int = 0,
    data: tuple[Dataset, Dataset] | None = None,
    progress: bool = False,
) -> CifarStudy:
    """Fidelity of explanatory graphs of a residual network on CIFAR-10 as ``CifarStudy``.

    Args:
        classes: Whose nodes are masked.
        share: Of the necessary nodes of each layer, the largest effects first.
        images: Training images of a class behind its graph, read correctly; at least 30.
        width: Channels of the network's first stage.
        epochs: Of its training.
        draws: Random choices of nodes.
        seed: Of weights, order and choices.
        data: Training and test part, float32; by default the first batch of CIFAR-10 and the first 1,000 test images.
        progress: Whether to show bars.

    Raises:
        DataError: CIFAR-10 cannot be had.
        ValueError: A class with fewer than 30 correctly read images.

    References:
        Ahmad et al. 2023, Fig. 10, on networks pretrained on ImageNet, which this one is not.
    """
    learn, test = data or tuple(load_cifar10(s, partial=True, dtype=torch.float32) for s in ("train", "test"))
    model = train_residual(learn, width=width, epochs=epochs, seed=seed, progress=progress)
    rows = []
    for target in classes:
        chosen = correctly_classified(model, learn.X, learn.y, target, limit=images)
        started = time.perf_counter()
        graph = explanatory_graph(model, chosen, target, seed=seed, progress=progress)
        seconds = time.perf_counter() - started
        nodes = sum(layer.num_nodes for layer in graph.layers)
        part = sum(len(layer.necessary) for layer in graph.layers) / nodes
        cut = fidelity(model, graph, test.X, test.y, shares=(0.0, share), draws=draws, seed=seed, chunk_size=250)
        rows.append((seconds, part, cut))
    last = {
        side: {r: torch.stack([getattr(c, side)[r][1] for *_, c in rows]).double() for r in RANKINGS}
        for side in ("own", "others")
    }
    untouched = torch.stack([cut.own["necessary"][0] for *_, cut in rows]).double()
    seconds, parts = (torch.tensor([row[i] for row in rows], dtype=torch.float64) for i in (0, 1))
    overall = accuracy(model, test.X, test.y, batch_size=250)
    return CifarStudy(overall, tuple(classes), untouched, last["own"], last["others"], parts, seconds)
