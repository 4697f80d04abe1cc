"""Fidelity of explanatory graphs of a small residual network on photographs, CIFAR-10.

A ResNet-18 of few channels (He et al. 2016) learns from a fifth of CIFAR-10. For some classes its explanatory graph is
made from training images that it reads correctly, the top share of each layer's necessary nodes is masked, and the
accuracy of the class on test images is compared with masking as many random nodes, or those with the largest ``|w a|``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acelib.lab.datasets import Dataset, load_cifar10
from acelib.lab.graphs.resnet import ResNet18
from acelib.lab.shipping import accuracy
from acelib.lab.training import train
from acelib.paths import correctly_classified, explanatory_graph, fidelity

SETTINGS = {"lr": 2e-3, "batch_size": 64}
RANKINGS = ("necessary", "random", "largest")


@dataclass(frozen=True, eq=False)
class CifarStudy:
    """What masking does to some classes of a residual network, on test images.

    Attributes:
        accuracy: share of all test images that the network gets right.
        classes: classes that were masked, one after the other.
        untouched: accuracy on each of them before, ``(classes,)``.
        own: accuracy on each of them with its nodes masked, ``(classes,)`` by ranking.
        others: accuracy on the other classes meanwhile, ``(classes,)`` by ranking.
        necessary: share of all nodes that are necessary, ``(classes,)``.
        seconds: seconds that the graph of each class took, ``(classes,)``.
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
    learn: Dataset,
    *,
    width: int = 16,
    epochs: int = 8,
    seed: int = 0,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> nn.Module:
    """Train a residual network, ``(batch, 3, height, width) -> (batch, classes)`` logits, in evaluation mode.

    Args:
        learn: images ``(n, 3, height, width)``, float32 in [0, 1], and their classes.
        width: channels of the first stage.
        epochs: passes through the images.
        seed: seed of weights and order.
        progress: whether to show a bar.
        device: where to train, and where the network stays; default: where the images are.
    """
    network = ResNet18(width=width, classes=len(learn.target_names), seed=seed)
    options = {"epochs": epochs, "seed": seed, "progress": progress, "device": device or learn.X.device, **SETTINGS}
    return train(network, learn.X, learn.y, **options).model.eval()


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
    device: torch.device | str | None = None,
) -> CifarStudy:
    """Return what masking necessary nodes does to a residual network on CIFAR-10.

    Args:
        classes: classes whose nodes are masked.
        share: share of the necessary nodes of each layer that is masked, the largest effects first.
        images: training images of a class behind its graph, read correctly; at least 30.
        width: channels of the network's first stage.
        epochs: passes of its training.
        draws: random choices of nodes.
        seed: seed of weights, order and choices.
        data: training and test part, float32; default the first batch of CIFAR-10 and the first 1,000 test images.
        progress: whether to show bars.
        device: where to train and to mask; default: the CPU.

    Raises:
        DataError: if CIFAR-10 cannot be had.
        ValueError: for a class with fewer than 30 correctly read images.

    References:
        Ahmad et al. 2023, Fig. 10, on networks pretrained on ImageNet, which this one is not.
    """
    parts = data or [load_cifar10(s, partial=True, dtype=torch.float32) for s in ("train", "test")]
    learn, test = (part.to(device) for part in parts)
    model = train_residual(learn, width=width, epochs=epochs, seed=seed, progress=progress)
    rows = []
    for target in classes:
        chosen = correctly_classified(model, learn.X, learn.y, target, limit=images)
        started = time.perf_counter()
        graph = explanatory_graph(model, chosen, target, test="paired", seed=seed, progress=progress)
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
