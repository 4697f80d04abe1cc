"""The MNIST networks that the book explains, and what it keeps of MNIST without the images.

Four trained networks ship as checkpoints: perceptrons 784-512-256-128-64-10 with tanh, GELU and ReLU, as in the timing
experiment of Chattopadhyay et al. (2019, Sec. 4.6: MNIST, 4 hidden layers), and a small convolutional network. Beside
them stand the statistics of the 60,000 training images x in [0, 1]: their mean μ, a factor S of rank 50 with
Cov ≈ S Sᵀ, and the mean image of each digit. No image itself is stored. ``python -m acelib.lab.mnist`` trains the
networks again; MNIST then comes through the download registry.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from acelib import ConstantFeatureWarning, InputDistribution
from acelib.lab import home, shipping
from acelib.lab.datasets import Dataset
from acelib.lab.datasets.registry import DataError
from acelib.lab.networks import mlp
from acelib.lab.provenance import describe
from acelib.lab.training import load_shipped, save_weights, train

NAMES = ("tanh", "gelu", "relu", "conv")
SIZES = (784, 512, 256, 128, 64, 10)
RANK = 50
SETTINGS = {"lr": 1e-3, "batch_size": 128}
PROFILES = {"quick": (1, 6_000), "full": (5, None)}  # epochs, and how many of the training images


@dataclass(frozen=True, eq=False)
class MnistMoments:
    """Statistics of the MNIST training images, pixels in [0, 1], row by row from the top left.

    Attributes:
        mean: the mean image, ``(784,)``, float32.
        factor: ``(784, 50)`` with covariance about ``factor @ factor.T``; orthogonal columns, the largest first.
        class_means: the mean image of each digit, ``(10, 784)``.
        explained: share of the total variance that ``factor`` holds.
        provenance: seed, versions, data and seconds of the computation.
    """

    mean: Tensor
    factor: Tensor
    class_means: Tensor
    explained: float
    provenance: dict


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network trained on MNIST, with what its explanation needs.

    Attributes:
        name: one of ``NAMES``.
        model: ``(batch, 1, 28, 28) -> (batch, 10)`` logits, float32, in evaluation mode.
        mean: the mean training image, ``(784,)``.
        factor: ``(784, 50)`` with covariance of the training images about ``factor @ factor.T``.
        class_means: the mean training image of each digit, ``(10, 784)``.
        explained: share of the variance that ``factor`` holds.
        accuracy: share of the 10,000 test images that the network gets right.
        provenance: seed, settings, versions, device, hashes of the data and seconds of the training.
    """

    name: str
    model: nn.Sequential
    mean: Tensor
    factor: Tensor
    class_means: Tensor
    explained: float
    accuracy: float
    provenance: dict

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.model.parameters())
        return (
            f"Pretrained({self.name}: {count} parameters, test accuracy {self.accuracy:.2%}; rank "
            f"{self.factor.shape[1]} holds {self.explained:.1%} of the variance)"
        )


def network(name: str, *, seed: int = 0) -> nn.Sequential:
    """Return an untrained network of one of the four architectures, ``(batch, 1, 28, 28) -> (batch, 10)`` logits.

    The convolutional one is 8 maps of 5×5, maximum pooling, 16 maps of 5×5, maximum pooling, 64 neurons, with GELU:
    curved everywhere, and smooth except where two pixels of a pool change places.

    Args:
        name: one of ``NAMES``.
        seed: seed of the initial weights, float32, uniform in ±1/√fan_in.

    Raises:
        ValueError: for another architecture.

    Example:
        >>> assert network("conv")(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    """
    _check(name)
    generator = torch.Generator().manual_seed(seed)
    if name != "conv":
        return nn.Sequential(nn.Flatten(), *mlp(SIZES, activation=name, generator=generator, dtype=torch.float32))
    maps = [_convolution(1, 8, generator), nn.GELU(), nn.MaxPool2d(2)]  # 28 -> 24 -> 12
    maps += [_convolution(8, 16, generator), nn.GELU(), nn.MaxPool2d(2)]  # 12 -> 8 -> 4
    head = mlp((16 * 4 * 4, 64, 10), activation="gelu", generator=generator, dtype=torch.float32)
    return nn.Sequential(*maps, nn.Flatten(), *head)


def mnist_moments(*, folder: str | Path | None = None, device: torch.device | str | None = None) -> MnistMoments:
    """Return mean, factor of rank 50 and class means of the MNIST training images; needs no image.

    Args:
        folder: folder of the checkpoints; default: those that ship with the book.
        device: where the tensors are put; default: the CPU.

    Raises:
        DataError: if the file is missing or not what it should be.

    Example:
        >>> moments = mnist_moments()
        >>> inputs = InputDistribution.from_moments(moments.mean, moments.factor, low=0, high=1, shape=(1, 28, 28))
        >>> assert inputs.num_features == 784 and 0.8 < moments.explained < 1
    """
    holder = _Statistics()
    provenance = _read(holder, "inputs", folder)
    holder, explained = holder.to(device), provenance["explained"]
    return MnistMoments(holder.mean, holder.factor, holder.class_means, explained, provenance)


def load_pretrained(
    name: str, *, folder: str | Path | None = None, device: torch.device | str | None = None
) -> Pretrained:
    """Return one of the networks trained on MNIST, with the statistics of its inputs; needs no image.

    Args:
        name: ``"tanh"``, ``"gelu"``, ``"relu"`` or ``"conv"``.
        folder: folder of the checkpoints; default: those that ship with the book.
        device: where network and statistics are put; default: the CPU.

    Raises:
        ValueError: for another network.
        DataError: if a checkpoint is missing or not what it should be.

    References:
        Chattopadhyay et al. 2019, Sec. 4.6, for the size of the perceptrons.

    Example:
        >>> net = load_pretrained("tanh")
        >>> logits = net.model(net.class_means.view(10, 1, 28, 28))
        >>> assert (logits.argmax(1) == torch.arange(10)).sum() >= 9
    """
    model = network(name)
    provenance = _read(model, name, folder)
    known = mnist_moments(folder=folder, device=device)
    return Pretrained(
        name,
        model.eval().to(device),
        known.mean,
        known.factor,
        known.class_means,
        known.explained,
        provenance["accuracy"],
        provenance,
    )


def train_networks(
    names: Sequence[str] = NAMES,
    *,
    profile: str = "full",
    seed: int = 0,
    data: tuple[Dataset, Dataset] | None = None,
    folder: str | Path | None = None,
    states: str | Path | None = None,
    resume: bool = True,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> dict[str, Pretrained]:
    """Train the networks with Adam, write them and the statistics of the inputs, and return the networks by name.

    A call that was killed resumes from the last finished epoch when it is made again.

    Args:
        names: some of ``NAMES``.
        profile: ``"full"`` for 5 epochs of all images, ``"quick"`` for one epoch of the first 6,000.
        seed: seed of the initial weights and the order of the images.
        data: training and test part with X (n, 28, 28) in [0, 1]; default: MNIST, through the download registry.
        folder: folder of the checkpoints; default ``data/checkpoints``, or ``_build/checkpoints`` for a quick run.
        states: folder for the state of an unfinished training; default ``_build/training``.
        resume: whether to use such a state; False starts anew.
        progress: whether to show a bar a network.
        device: where to train, and where the networks that come back are; default: the CPU.

    Raises:
        ValueError: for an unknown name or profile.
        DataError: if MNIST cannot be had.
    """
    for name in names:
        _check(name)
    options = {"data": data, "states": states, "resume": resume, "progress": progress, "device": device}
    training = shipping.prepare(profile, PROFILES, **options)
    folder = shipping.checkpoint_folder(profile, folder)
    _save_moments(training, folder)
    test = training.test
    for name in names:
        settings = {**SETTINGS, "epochs": training.length, "seed": seed}
        result, facts = training.run(
            train,
            network(name, seed=seed),
            training.learn.X[:, None],
            training.learn.y,
            name=f"mnist-{name}",
            settings=settings,
            checkpoint_every=0,
        )
        facts["accuracy"] = shipping.accuracy(result.model.eval(), test.X[:, None], test.y)
        save_weights(result.model, _path(name, folder), facts)
    return {name: load_pretrained(name, folder=folder, device=device) for name in names}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line, print the networks and return the exit status."""
    parser = argparse.ArgumentParser(prog="mnist", description="Train the book's MNIST networks and write them.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--restart", action="store_true", help="do not resume an unfinished training")
    parser.add_argument("--device", help="where to train, such as cuda; default: the CPU")
    chosen = parser.parse_args(arguments)
    try:
        options = {"profile": chosen.profile, "resume": not chosen.restart, "device": chosen.device}
        trained = train_networks(chosen.names or NAMES, progress=True, **options)
    except (ValueError, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    for net in trained.values():
        print(f"{net}, {net.provenance['seconds']} s")
    return 0


class _Statistics(nn.Module):
    """The statistics of the inputs as buffers, so that they are written and checked like a network's weights."""

    def __init__(self, mean: Tensor | None = None, factor: Tensor | None = None, class_means: Tensor | None = None):
        super().__init__()
        self.register_buffer("mean", torch.zeros(784) if mean is None else mean)
        self.register_buffer("factor", torch.zeros(784, RANK) if factor is None else factor)
        self.register_buffer("class_means", torch.zeros(10, 784) if class_means is None else class_means)


def _save_moments(training: shipping.MnistTraining, folder: Path) -> None:
    started, learn = time.time(), training.learn
    wide = learn.X.flatten(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantFeatureWarning)  # 67 pixels at the rim are 0 in every image
        inputs = InputDistribution.fit(wide, rank=RANK)
    # sums in float64: thousands of float32 terms would lose digits
    class_means = torch.stack([wide[learn.y == digit].double().mean(0) for digit in range(10)]).float()
    facts = describe(seed=None, profile=training.profile, started=started)
    facts |= {"data": training.source, "rank": RANK, "explained": inputs.explained, "rows": len(learn)}
    save_weights(_Statistics(inputs.mean, inputs.factor, class_means), _path("inputs", folder), facts)


def _convolution(inputs: int, outputs: int, generator: torch.Generator) -> nn.Conv2d:
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, 5)  # draws nothing from the global generator
    bound = 1 / math.sqrt(inputs * 25)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def _read(module: nn.Module, name: str, folder: str | Path | None) -> dict:
    """Fill the module from a checkpoint and return its provenance."""
    remedy = "restore it from the repository, or make it again by `python -m acelib.lab.mnist`"
    return load_shipped(module, _path(name, folder), remedy)


def _path(name: str, folder: str | Path | None) -> Path:
    file = f"mnist-{name}.safetensors"
    return home.data_file("checkpoints", file) if folder is None else Path(folder) / file


def _check(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")


if __name__ == "__main__":
    sys.exit(main())
