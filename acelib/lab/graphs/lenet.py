"""Which network do the explanatory graphs explain? LeNet, on two sets of handwritten digits brought to 32×32 pixels.

The network of Ahmad et al. (2023, Sec. 5): six maps of 5×5, maximum pooling, sixteen maps of 5×5, maximum pooling, then
120, 84 and 10 neurons, with ReLU; after LeCun et al. (1998), whose pooling and squashing were other ones. On the 8×8
digits it is trained on the spot in a few seconds, in float64, so that every processor trains the same network. On MNIST
it is trained by ``python -m acelib.lab.graphs.lenet`` and ships as a checkpoint.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib.lab import home, shipping
from acelib.lab.datasets import Dataset, load_digits8, load_mnist, train_test_split
from acelib.lab.datasets.registry import DataError
from acelib.lab.provenance import describe
from acelib.lab.training import load_shipped, save_weights, train

SIDE = 32  # pixels of an image's side
HELD_OUT = 597  # of the 1797 8×8 digits, kept for testing
DIGITS = {"epochs": 20, "lr": 2e-3, "batch_size": 32}
MNIST = {"lr": 1e-3, "batch_size": 64}
PROFILES = {"quick": (1, 3_000), "full": (4, None)}  # epochs, and how many of the training images
CHECKPOINT = "mnist-lenet.safetensors"


@dataclass(frozen=True, eq=False)
class TrainedLeNet:
    """A trained LeNet, in evaluation mode, with the images it never saw.

    Attributes:
        model: (batch, 1, 32, 32) -> (batch, 10) logits.
        train: The images it learnt from, (n, 1, 32, 32) in [0, 1]; None for the shipped network.
        test: Images kept apart; None for the shipped network.
        accuracy: Share of the test images that it gets right.
        provenance: Seed, settings and, for the shipped network, versions, device, data and seconds.
    """

    model: nn.Sequential
    train: Dataset | None
    test: Dataset | None
    accuracy: float
    provenance: dict

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.model.parameters())
        data = "MNIST" if self.test is None else self.test.name
        return f"TrainedLeNet({count} parameters, {self.accuracy:.2%} right on {data})"


def lenet(*, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """An untrained LeNet, (batch, 1, 32, 32) -> (batch, 10) logits, with layers conv1, conv2, fc1, fc2 and fc3.

    Args:
        seed: Of the weights, uniform in ±1/√fan_in; 0 is a seed.
        dtype: Of the parameters; the same seed gives the same weights up to rounding.

    References:
        Ahmad et al. 2023, Sec. 5; LeCun et al. 1998, Fig. 2.

    Example:
        >>> model = lenet(seed=1)
        >>> assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 10) and model.fc1.in_features == 16 * 5 * 5
    """
    generator = torch.Generator().manual_seed(seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, (fan_in, maps) in enumerate(((1, 6), (6, 16)), start=1):
        layers[f"conv{index}"] = nn.utils.skip_init(nn.Conv2d, fan_in, maps, 5, dtype=dtype)
        layers[f"relu{index}"] = nn.ReLU()  # one module each: guided backpropagation hooks them
        layers[f"pool{index}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    for index, (fan_in, neurons) in enumerate(((400, 120), (120, 84), (84, 10)), start=1):
        layers[f"fc{index}"] = nn.utils.skip_init(nn.Linear, fan_in, neurons, dtype=dtype)
        if index < 3:
            layers[f"relu{index + 2}"] = nn.ReLU()
    for layer in layers.values():
        for parameter in layer.parameters():
            bound = 1 / math.sqrt(layer.weight[0].numel())
            drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data = ((2 * drawn - 1) * bound).to(dtype)
    return nn.Sequential(layers)


def enlarge(X: Tensor) -> Tensor:
    """Images (n, height, width) as (n, 1, 32, 32), same dtype: 8×8 drawn larger, 28×28 in a frame of zeros.

    Args:
        X: Images of 8×8 pixels, which are interpolated bilinearly, or of 28×28, which get a frame of 2 pixels.

    Raises:
        ValueError: Images of another size.

    Example:
        >>> assert enlarge(torch.ones(2, 8, 8)).shape == enlarge(torch.ones(2, 28, 28)).shape == (2, 1, 32, 32)
    """
    if X.shape[1:] == (8, 8):
        return F.interpolate(X[:, None], size=SIDE, mode="bilinear", align_corners=False)
    if X.shape[1:] == (28, 28):
        return F.pad(X[:, None], (2, 2, 2, 2))
    raise ValueError(f"X has shape {tuple(X.shape)}, expected (n, 8, 8) or (n, 28, 28)")


def digits32(*, seed: int = 1) -> tuple[Dataset, Dataset]:
    """The 8×8 digits at 32×32, (training, test): 1200 and 597 images, float64 in [0, 1], every class in its share.

    Args:
        seed: Of the split.

    Example:
        >>> learn, test = digits32()
        >>> assert learn.X.shape == (1200, 1, 32, 32) and len(test) == 597
    """
    learn, test = train_test_split(load_digits8(), HELD_OUT, seed=seed, stratified=True)
    return _at_32(learn), _at_32(test)


def mnist32(split: str) -> Dataset:
    """MNIST at 32×32: X (60000, 1, 32, 32) for ``"train"``, (10000, 1, 32, 32) for ``"test"``, float32 in [0, 1].

    Args:
        split: ``"train"`` or ``"test"``.

    Raises:
        ValueError: No such split.
        DataError: MNIST cannot be had.
    """
    return _at_32(load_mnist(split, dtype=torch.float32))


def train_digits(*, seed: int = 0, epochs: int = DIGITS["epochs"], progress: bool = False) -> TrainedLeNet:
    """LeNet trained on the 8×8 digits at 32×32 as ``TrainedLeNet``: float64, a few seconds, repeatable.

    Args:
        seed: Of initial weights and order of the images; the split stays the same.
        epochs: Passes through the 1200 training images.
        progress: Whether to show a bar.

    Example:
        >>> net = train_digits(epochs=1)
        >>> assert net.accuracy > 0.5 and net.model.fc3.weight.dtype == torch.float64
    """
    learn, test = digits32()
    settings = {**DIGITS, "epochs": epochs, "seed": seed}
    model = train(lenet(seed=seed, dtype=torch.float64), learn.X, learn.y, **settings, progress=progress).model.eval()
    return TrainedLeNet(model, learn, test, accuracy(model, test.X, test.y), {"settings": settings})


def load_lenet(*, folder: str | Path | None = None) -> TrainedLeNet:
    """The LeNet trained on MNIST as ``TrainedLeNet``, float32; needs no image.

    Args:
        folder: Where the checkpoint is; by default those that ship with the book.

    Raises:
        DataError: The checkpoint is missing or not what it should be.

    Example:
        >>> net = load_lenet()
        >>> assert net.accuracy > 0.98 and not net.model.training
    """
    model = lenet()
    remedy = "restore it from the repository, or make it again by `python -m acelib.lab.graphs.lenet`"
    path = home.data_file("checkpoints", CHECKPOINT) if folder is None else Path(folder) / CHECKPOINT
    facts = load_shipped(model, path, remedy)
    return TrainedLeNet(model.eval(), None, None, facts["accuracy"], facts)


def train_mnist(
    *,
    profile: str = "full",
    seed: int = 0,
    data: tuple[Dataset, Dataset] | None = None,
    folder: str | Path | None = None,
    states: str | Path | None = None,
    resume: bool = True,
    progress: bool = False,
) -> TrainedLeNet:
    """LeNet trained on MNIST with Adam and written as a checkpoint; a killed call goes on from its last epoch.

    Args:
        profile: ``"full"`` for 4 epochs of all images, ``"quick"`` for one epoch of the first 3,000.
        seed: Of initial weights and order of the images.
        data: Training and test part with X (n, 28, 28) in [0, 1]; by default MNIST, through the download registry.
        folder: Where the checkpoint is written; by default ``data/checkpoints``, or ``_build/checkpoints`` when quick.
        states: Where the state of an unfinished training is kept; by default ``_build/training``.
        resume: Whether to use such a state; False starts anew.
        progress: Whether to show a bar.

    Raises:
        ValueError: An unknown profile.
        DataError: MNIST cannot be had.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}, expected 'quick' or 'full'")
    (epochs, rows), started = PROFILES[profile], time.time()
    folder, states = _folder(folder, profile), home.build_dir() / "training" if states is None else Path(states)
    learn, test = data or (load_mnist("train", dtype=torch.float32), load_mnist("test", dtype=torch.float32))
    learn = learn.subset(torch.arange(min(rows or len(learn), len(learn))))
    source = shipping.source_facts(data) | {"fingerprint": {"training": learn.fingerprint, "test": test.fingerprint}}
    learn, test = _at_32(learn), _at_32(test)
    settings = {**MNIST, "epochs": epochs, "seed": seed}
    result = train(
        lenet(seed=seed),
        learn.X,
        learn.y,
        **settings,
        checkpoint=states / f"lenet-{profile}.safetensors",
        checkpoint_every=0,
        resume=resume,
        progress=progress,
    )
    model = result.model.eval()
    facts = describe(seed=seed, profile=profile, started=started)
    facts |= {"data": source, "settings": {"optimizer": "adam", **settings}, "steps": result.steps}
    facts |= {"seconds": round(result.seconds, 1), "accuracy": accuracy(model, test.X, test.y)}
    save_weights(model, folder / CHECKPOINT, facts)
    return TrainedLeNet(model, learn, test, facts["accuracy"], facts)


@torch.no_grad()
def accuracy(model: nn.Module, X: Tensor, y: Tensor, *, batch_size: int = 1000) -> float:
    """Share of the images X (n, 1, 32, 32) whose largest logit is that of their class y (n,), between 0 and 1.

    Args:
        model: (batch, 1, 32, 32) -> (batch, classes).
        X: Images.
        y: Their classes.
        batch_size: Images a call.

    Example:
        >>> assert accuracy(lambda X: X.flatten(1)[:, :2], torch.eye(2).view(2, 1, 1, 2), torch.tensor([0, 1])) == 1
    """
    batches = zip(X.split(batch_size), y.split(batch_size), strict=True)
    return sum(int((model(x).argmax(1) == t).sum()) for x, t in batches) / len(y)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line and print what came of it; returns the exit status.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(prog="lenet", description="Train the book's LeNet on MNIST and write it.")
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--restart", action="store_true", help="do not go on from an unfinished training")
    chosen = parser.parse_args(arguments)
    try:
        net = train_mnist(profile=chosen.profile, resume=not chosen.restart, progress=True)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{net}, {net.provenance['seconds']} s")
    return 0


def _at_32(data: Dataset) -> Dataset:
    names = tuple(f"r{r}c{c}" for r in range(SIDE) for c in range(SIDE))
    return Dataset(f"{data.name} at 32×32", enlarge(data.X), data.y, names, data.target_names, source=data.source)


def _folder(folder: str | Path | None, profile: str) -> Path:
    base = home.data_dir() if profile == "full" else home.build_dir()
    return base / "checkpoints" if folder is None else Path(folder)


if __name__ == "__main__":
    sys.exit(main())
