"""The trainings on MNIST whose networks ship with the book: their images, where these come from, and their facts.

Every such training takes the same steps: check the profile, get the images or as many of them as the profile wants,
train with a state on disk, describe the run, write the weights. ``prepare`` does the first two and
``MnistTraining.run`` the next two; the weights are written by ``acelib.lab.training.save_weights``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from acelib.lab import home
from acelib.lab.datasets import Dataset, load_mnist, registry
from acelib.lab.provenance import describe
from acelib.lab.training import TrainResult

_FILES = tuple(
    f"mnist/{part}-ubyte.gz"
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
)


@dataclass(frozen=True, eq=False)
class MnistTraining:
    """What a training on MNIST needs beside its network.

    Attributes:
        profile: ``"full"`` or ``"quick"``.
        length: epochs or steps of this profile.
        learn: training images, as many as the profile takes.
        test: test images.
        source: where the images come from, with their checksums and fingerprints.
        states: folder for the states of unfinished trainings.
        resume: whether such a state is used.
        progress: whether a bar is shown.
        device: where it trains; None means the CPU.
    """

    profile: str
    length: int
    learn: Dataset
    test: Dataset
    source: dict
    states: Path
    resume: bool
    progress: bool
    device: torch.device | str | None = None

    def run(
        self,
        trainer: Callable[..., TrainResult],
        model: nn.Module,
        X: Tensor,
        y: Tensor,
        *,
        name: str,
        settings: Mapping,
        **options: object,
    ) -> tuple[TrainResult, dict]:
        """Train the model and return the result, on the CPU, and its facts: versions, device, data, settings, seconds.

        Args:
            trainer: ``acelib.lab.training.train`` or a function that is called like it.
            model: the network to train.
            X: its inputs (n, …).
            y: the digits (n,).
            name: name of the state's file, without profile and ending.
            settings: arguments of ``trainer`` that decide the result, ``seed`` among them; kept in the facts.
            options: further arguments of ``trainer``.
        """
        started = time.time()
        state = self.states / f"{name}-{self.profile}.safetensors"
        where = {"checkpoint": state, "resume": self.resume, "progress": self.progress, "device": self.device}
        result = trainer(model, X, y, **settings, **where, **options)
        facts = describe(seed=settings["seed"], profile=self.profile, started=started, device=self.device)
        facts |= {"data": self.source, "settings": {"optimizer": "adam", **settings}, "steps": result.steps}
        return replace(result, model=result.model.cpu()), facts | {"seconds": round(result.seconds, 1)}


def prepare(
    profile: str,
    profiles: Mapping[str, tuple[int, int | None]],
    *,
    data: tuple[Dataset, Dataset] | None = None,
    states: str | Path | None = None,
    resume: bool = True,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> MnistTraining:
    """Return the images, their source and the folders of a training at a profile, as ``MnistTraining``.

    Args:
        profile: one of ``profiles``.
        profiles: for each profile the epochs or steps, and how many training images it takes (None for all).
        data: training and test part with X (n, 28, 28) in [0, 1]; default: MNIST, through the download registry.
        states: folder for the state of an unfinished training; default ``_build/training``.
        resume: whether to use such a state; False starts anew.
        progress: whether to show a bar.
        device: where to train; default: the CPU.

    Raises:
        ValueError: for an unknown profile.
        DataError: if MNIST cannot be had.
    """
    if profile not in profiles:
        raise ValueError(f"profile must be {' or '.join(map(repr, profiles))}, got {profile!r}")
    length, rows = profiles[profile]
    source = source_facts(data)
    learn, test = data or (load_mnist("train", dtype=torch.float32), load_mnist("test", dtype=torch.float32))
    learn = learn.subset(torch.arange(min(rows or len(learn), len(learn))))
    source["fingerprint"] = {"training": learn.fingerprint, "test": test.fingerprint}
    states = home.build_dir() / "training" if states is None else Path(states)
    return MnistTraining(profile, length, learn, test, source, states, resume, progress, device)


def source_facts(data: tuple[Dataset, Dataset] | None = None) -> dict:
    """Return where the images come from, with the checksums of MNIST's files unless other ``data`` are given."""
    if data is not None:
        return {"source": data[0].source}
    entries = {name: registry.entry(name) for name in _FILES}
    first = entries[_FILES[0]]
    facts = {key: first[key] for key in ("title", "source", "licence", "citation")}
    return {**facts, "sha256": {name: known["sha256"] for name, known in entries.items()}}


def checkpoint_folder(profile: str, folder: str | Path | None = None) -> Path:
    """Return ``folder``, else ``data/checkpoints`` for the full profile and ``_build/checkpoints`` for others."""
    base = home.data_dir() if profile == "full" else home.build_dir()
    return base / "checkpoints" if folder is None else Path(folder)


@torch.no_grad()
def accuracy(model: Callable[[Tensor], Tensor], X: Tensor, y: Tensor, *, batch_size: int = 1000) -> float:
    """Return the share of the rows X (n, …) whose largest output is that of their class y (n,), between 0 and 1.

    Args:
        model: (batch, …) -> (batch, classes).
        X: the inputs.
        y: their classes.
        batch_size: rows a call.

    Example:
        >>> assert accuracy(lambda X: X.flatten(1)[:, :2], torch.eye(2).view(2, 1, 1, 2), torch.tensor([0, 1])) == 1
    """
    batches = zip(X.split(batch_size), y.split(batch_size), strict=True)
    return sum(int((model(x).argmax(1) == t).sum()) for x, t in batches) / len(y)
