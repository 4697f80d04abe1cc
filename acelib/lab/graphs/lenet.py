"""LeNet, the network whose explanatory graphs chapter 10 draws, on two sets of digits brought to 32×32 pixels.

The network of Ahmad et al. (2023, Sec. 5): six maps of 5×5, maximum pooling, sixteen maps of 5×5, maximum pooling, then
120, 84 and 10 neurons, with ReLU; after LeCun et al. (1998), whose pooling and squashing were other ones. On the 8×8
digits it is trained on the spot in a few seconds, in float64, so that every processor trains the same network. On MNIST
it is trained by ``python -m acelib.lab.graphs.lenet`` and ships as a checkpoint.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib.lab import home
from acelib.lab.datasets import Dataset, load_digits8, load_mnist, train_test_split
from acelib.lab.datasets.registry import DataError
from acelib.lab.shipping import accuracy, checkpoint_folder, prepare
from acelib.lab.training import load_shipped, save_weights, train

SIDE = 32  # pixels of an image's side
HELD_OUT = 597  # of the 1797 8×8 digits, kept for testing
DIGITS = {"epochs": 20, "lr": 2e-3, "batch_size": 32}
MNIST = {"lr": 1e-3, "batch_size": 64}
PROFILES = {"quick": (1, 3_000), "full": (4, None)}  # epochs, and how many of the training images
CHECKPOINT = "mnist-lenet.safetensors"
SIBLINGS = (1, 2, 3)  # seeds of the shipped networks beside the first
SIBLING_EPOCHS = 2


@dataclass(frozen=True, eq=False)
class TrainedLeNet:
    """A trained LeNet, in evaluation mode, with the images it never saw.

    Attributes:
        model: ``(batch, 1, 32, 32) -> (batch, 10)`` logits.
        train: images it learnt from, ``(n, 1, 32, 32)`` in [0, 1]; None for the shipped network.
        test: images kept apart; None for the shipped network.
        accuracy: share of the test images that it gets right.
        provenance: seed, settings and, for the shipped network, versions, device, data and seconds.
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


def untrained_lenet(*, seed: int = 0, channels: int = 1, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Return an untrained LeNet, ``(batch, channels, 32, 32) -> (batch, 10)`` logits: conv1, conv2, fc1, fc2, fc3.

    Args:
        seed: seed of the weights, uniform in ±1/√fan_in.
        channels: channels of the images, 3 for colours.
        dtype: dtype of the parameters; the same seed gives the same weights up to rounding.

    References:
        Ahmad et al. 2023, Sec. 5; LeCun et al. 1998, Fig. 2.

    Example:
        >>> model = untrained_lenet(seed=1)
        >>> assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 10) and model.fc1.in_features == 16 * 5 * 5
    """
    generator = torch.Generator().manual_seed(seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, (fan_in, maps) in enumerate(((channels, 6), (6, 16)), start=1):
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
    """Return images ``(n, height, width)`` as ``(n, 1, 32, 32)``: 8×8 interpolated, 28×28 in a frame of zeros.

    Args:
        X: images of 8×8 pixels, which are interpolated bilinearly, or of 28×28, which get a frame of 2 pixels.

    Raises:
        ValueError: for images of another size.

    Example:
        >>> assert enlarge(torch.ones(2, 8, 8)).shape == enlarge(torch.ones(2, 28, 28)).shape == (2, 1, 32, 32)
    """
    if X.shape[1:] == (8, 8):
        return F.interpolate(X[:, None], size=SIDE, mode="bilinear", align_corners=False)
    if X.shape[1:] == (28, 28):
        return F.pad(X[:, None], (2, 2, 2, 2))
    raise ValueError(f"X must be (n, 8, 8) or (n, 28, 28), got {tuple(X.shape)}")


def digits32(*, seed: int = 1) -> tuple[Dataset, Dataset]:
    """Return the 8×8 digits at 32×32 as training and test part: 1200 and 597 images, float64, stratified.

    Args:
        seed: seed of the split.

    Example:
        >>> learn, test = digits32()
        >>> assert learn.X.shape == (1200, 1, 32, 32) and len(test) == 597
    """
    learn, test = train_test_split(load_digits8(), HELD_OUT, seed=seed, stratified=True)
    return _at_32(learn), _at_32(test)


def mnist32(split: str, *, device: torch.device | str | None = None) -> Dataset:
    """Return MNIST at 32×32, float32 in [0, 1]: 60000 images for ``"train"``, 10000 for ``"test"``.

    Args:
        split: ``"train"`` or ``"test"``.
        device: where the images are put; default: the CPU.

    Raises:
        ValueError: for another split.
        DataError: if MNIST cannot be had.
    """
    return _at_32(load_mnist(split, dtype=torch.float32, device=device))


def train_digits(
    *,
    seed: int = 0,
    epochs: int = DIGITS["epochs"],
    progress: bool = False,
    device: torch.device | str | None = None,
) -> TrainedLeNet:
    """Train LeNet on the 8×8 digits at 32×32, in float64 and a few seconds; the same seed, the same weights.

    Args:
        seed: seed of initial weights and order of the images; the split stays the same.
        epochs: passes through the 1200 training images.
        progress: whether to show a bar.
        device: where to train, and where network and images are put; default: the CPU.

    Example:
        >>> net = train_digits(epochs=1)
        >>> assert net.accuracy > 0.5 and net.model.fc3.weight.dtype == torch.float64
    """
    learn, test = (part.to(device) for part in digits32())
    settings = {**DIGITS, "epochs": epochs, "seed": seed}
    start = untrained_lenet(seed=seed, dtype=torch.float64)
    model = train(start, learn.X, learn.y, **settings, progress=progress, device=device).model.eval()
    return TrainedLeNet(model, learn, test, accuracy(model, test.X, test.y), {"settings": settings})


def load_lenet(
    *, seed: int = 0, folder: str | Path | None = None, device: torch.device | str | None = None
) -> TrainedLeNet:
    """Return a LeNet trained on MNIST as ``TrainedLeNet``, float32; needs no image.

    Args:
        seed: 0 for the network of the chapter, or one of ``SIBLINGS``, which learnt for two epochs in place of four.
        folder: folder of the checkpoint; default that of the book.
        device: where the network is put; default: the CPU.

    Raises:
        DataError: if the checkpoint is missing or not what it should be.

    Example:
        >>> net = load_lenet()
        >>> assert net.accuracy > 0.98 and not net.model.training
    """
    model = untrained_lenet()
    remedy = "restore it from the repository, or make it again by `python -m acelib.lab.graphs.lenet`"
    path = home.data_file("checkpoints", _file(seed)) if folder is None else Path(folder) / _file(seed)
    facts = load_shipped(model, path, remedy)
    return TrainedLeNet(model.eval().to(device), None, None, facts["accuracy"], facts)


def train_mnist(
    *,
    profile: str = "full",
    seed: int = 0,
    epochs: int | None = None,
    data: tuple[Dataset, Dataset] | None = None,
    folder: str | Path | None = None,
    states: str | Path | None = None,
    resume: bool = True,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> TrainedLeNet:
    """Train LeNet on MNIST with Adam and write its checkpoint; a killed call resumes from its last epoch.

    Args:
        profile: ``"full"`` for 4 epochs of all images, ``"quick"`` for one epoch of the first 3,000.
        seed: seed of initial weights and order of the images.
        epochs: passes through the images; those of the profile where None.
        data: training and test part with X ``(n, 28, 28)`` in [0, 1]; default MNIST, through the download registry.
        folder: folder of the checkpoint; default ``data/checkpoints``, or ``_build/checkpoints`` when quick.
        states: folder of the state of an unfinished training; default ``_build/training``.
        resume: whether to use such a state; False starts anew.
        progress: whether to show a bar.
        device: where to train, and where network and images are put; default: the CPU.

    Raises:
        ValueError: for an unknown profile.
        DataError: if MNIST cannot be had.
    """
    options = {"data": data, "states": states, "resume": resume, "progress": progress, "device": device}
    training = prepare(profile, PROFILES, **options)
    learn, test = _at_32(training.learn), _at_32(training.test)
    settings = {**MNIST, "epochs": epochs or training.length, "seed": seed}
    name = Path(_file(seed)).stem.removeprefix("mnist-")
    result, facts = training.run(
        train, untrained_lenet(seed=seed), learn.X, learn.y, name=name, settings=settings, checkpoint_every=0
    )
    model = result.model.eval()
    facts["accuracy"] = accuracy(model, test.X, test.y)
    save_weights(model, checkpoint_folder(profile, folder) / _file(seed), facts)
    return TrainedLeNet(model.to(device), learn.to(device), test.to(device), facts["accuracy"], facts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line, print the network and return the exit status.

    Args:
        arguments: arguments of the command line.
    """
    parser = argparse.ArgumentParser(prog="lenet", description="Train the book's LeNet on MNIST and write it.")
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument(
        "--siblings", action="store_true", help=f"seeds {SIBLINGS} in place of 0, {SIBLING_EPOCHS} epochs"
    )
    parser.add_argument("--restart", action="store_true", help="do not resume an unfinished training")
    parser.add_argument("--device", help="where to train, such as cuda; default: the CPU")
    chosen = parser.parse_args(arguments)
    options = {"profile": chosen.profile, "resume": not chosen.restart, "progress": True, "device": chosen.device}
    try:
        for seed in SIBLINGS if chosen.siblings else (0,):
            net = train_mnist(seed=seed, epochs=SIBLING_EPOCHS if chosen.siblings else None, **options)
            print(f"{net}, {net.provenance['seconds']} s")
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _file(seed: int) -> str:
    """Return the name of a network's checkpoint."""
    return CHECKPOINT if seed == 0 else f"mnist-lenet-s{seed}.safetensors"


def _at_32(data: Dataset) -> Dataset:
    """Return the data set with its images at 32×32."""
    names = tuple(f"r{r}c{c}" for r in range(SIDE) for c in range(SIDE))
    return Dataset(f"{data.name} at 32×32", enlarge(data.X), data.y, names, data.target_names, source=data.source)


if __name__ == "__main__":
    sys.exit(main())
