"""Training of the conditional β-VAE: Adam on the mean loss of a batch, resumable, and determined by the seed.

An epoch is a new permutation of the rows in whole batches; rows left over wait for the next one. Order and noise come
from generators of their own, whose state is kept with weights and moments after an epoch, so that a killed training
continues to the same weights. On the command line, ``python -m acelib.lab.vae --beta 10 --seeds 0 1`` trains on MNIST,
which comes through the download registry, and writes the checkpoints.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from acelib.lab import home
from acelib.lab.datasets import Dataset, fingerprint
from acelib.lab.datasets.registry import DataError
from acelib.lab.networks import stream
from acelib.lab.shipping import MnistTraining, prepare
from acelib.lab.training import (
    FlatAdam,
    FlatParameters,
    TrainingState,
    TrainResult,
    run_epochs,
    save_weights,
)
from acelib.lab.vae.model import (
    CLASSES,
    LR,
    ConditionalVae,
    Recipe,
    TrainedVae,
    VaeRecord,
    latent_kl,
    load_vae,
    reconstruction_loss,
)

BATCH_SIZE = 64
PROFILES = {"quick": (300, 6_000), "full": (20_000, None)}  # iterations, and how many of the training images
_ORDER_STREAM, _NOISE_STREAM, _TEST_STREAM = 13, 14, 15
_MAIN = Recipe(10.0, 0)  # ships with its encoder; the others that ship are decoders alone
SHIPPED = (
    *(Recipe(10.0, seed) for seed in range(5)),
    *(Recipe(beta, seed) for beta in (4.0, 1.0) for seed in range(5)),
    Recipe(10.0, 0, 1e-3),  # ten times the learning rate: its idle latents have come to rest
)


def train_vae(
    model: ConditionalVae,
    X: Tensor,
    y: Tensor,
    *,
    beta: float,
    iterations: int = 20_000,
    lr: float = LR,
    batch_size: int = 64,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = True,
    checkpoint_every: float = 30.0,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> TrainResult:
    """Train a copy of the model and return it with its mean loss in each epoch; the same arguments, the same weights.

    Args:
        model: the network to train; left as it is.
        X: images (n, pixels) in [0, 1], float32.
        y: digits ``(n,)``, integers from 0 to 9.
        beta: weight of the KL divergence.
        iterations: optimiser steps in all.
        lr: learning rate of Adam.
        batch_size: images a step.
        seed: seed of the order of the images and of the noise.
        checkpoint: file that keeps the state of the training; a call that finds one resumes from it.
        resume: whether to use such a state; False starts anew and replaces it.
        checkpoint_every: seconds between two writes of that file; 0 writes after every epoch.
        progress: whether to show a bar on standard error.
        device: where to train, and where the trained model stays; default: where ``X`` is. Order and noise are drawn on
            the CPU, the same for every device.

    Raises:
        ValueError: for an argument that does not fit, or a state made with other settings.
        RuntimeError: if the loss becomes NaN or infinite.

    References:
        Kingma and Welling 2014; Higgins et al. 2017, Eq. 4.

    Example:
        >>> X, y = torch.rand(64, 16, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 10
        >>> model = ConditionalVae(pixels=16, latents=2, hidden=(8,))
        >>> result = train_vae(model, X, y, beta=1, iterations=20, lr=0.01, batch_size=16)
        >>> assert result.steps == 20 and result.history[-1] < result.history[0]
    """
    numbers = {"beta": float(beta), "iterations": iterations, "lr": lr, "batch_size": batch_size}
    _check(X, y, numbers)
    settings = {**numbers, "seed": seed, "initial weights": fingerprint(*model.state_dict().values())}
    settings |= {"parameters": {name: list(p.shape) for name, p in model.state_dict().items()}}
    settings["data"] = fingerprint(X, y)
    device = X.device if device is None else device
    model, X, y = copy.deepcopy(model).to(device), X.to(device), y.to(device)
    flat = FlatParameters(model)
    state = TrainingState(model, FlatAdam(flat, lr), [stream(seed, _ORDER_STREAM), stream(seed, _NOISE_STREAM)])
    classes = torch.eye(CLASSES, dtype=X.dtype, device=X.device)[y]
    run_epochs(
        state,
        lambda: _epoch(state, X, classes, settings),
        done=lambda: state.optimizer.steps,
        total=iterations,
        unit="step",
        settings=settings,
        checkpoint=checkpoint,
        resume=resume,
        checkpoint_every=checkpoint_every,
        progress=progress,
    )
    flat.release()
    return TrainResult(model, torch.cat(state.history), state.seconds, state.optimizer.steps)


def train_checkpoints(
    recipes: Sequence[Recipe] = SHIPPED,
    *,
    profile: str = "full",
    data: tuple[Dataset, Dataset] | None = None,
    folder: str | Path | None = None,
    states: str | Path | None = None,
    resume: bool = True,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> list[TrainedVae]:
    """Train the conditional β-VAEs of these recipes on MNIST, measure them and write their checkpoints.

    A call that was killed resumes from the last state when it is repeated. Weights are rounded to float16 for the
    file, and everything that is measured on the test images is measured with the rounded weights.

    Args:
        recipes: beta, seed and learning rate of each; default those that ship with the book.
        profile: ``"full"`` for 20,000 steps on all images, ``"quick"`` for 300 on the first 6,000.
        data: training and test part with X ``(n, height, width)`` in [0, 1]; default MNIST, through the registry.
        folder: folder of the checkpoints; default ``data/checkpoints`` for those that ship with the book,
            ``_build/checkpoints`` for others and ``_build/checkpoints-quick`` for a quick run.
        states: folder of the states of unfinished trainings; default ``_build/training``.
        resume: whether to use such a state; False starts anew.
        progress: whether to show a bar a network.
        device: where to train, and where the networks that come back are; default: the CPU. They are measured on the
            CPU, whatever trained them.

    Raises:
        ValueError: for an unknown profile, or a recipe that does not fit.
        DataError: if MNIST cannot be had.

    References:
        Chattopadhyay et al. 2019, Sec. 5.4.
    """
    for recipe in recipes:
        if not recipe.beta >= 0 or recipe.seed < 0 or not recipe.lr > 0:
            raise ValueError(f"recipes must have beta >= 0, seed >= 0 and lr > 0, got {recipe}")
    options = {"data": data, "states": states, "resume": resume, "progress": progress, "device": device}
    training = prepare(profile, PROFILES, **options)
    return [_train_recipe(recipe, training, folder) for recipe in recipes]


def _train_recipe(recipe: Recipe, training: MnistTraining, folder: str | Path | None) -> TrainedVae:
    """Train, measure and write one network."""
    learn, test = training.learn, training.test
    settings = {"beta": float(recipe.beta), "seed": recipe.seed, "lr": recipe.lr, "batch_size": BATCH_SIZE}
    settings["iterations"] = training.length
    model = ConditionalVae(pixels=learn.X[0].numel(), seed=recipe.seed)
    result, facts = training.run(train_vae, model, learn.X.flatten(1), learn.y, name=recipe.name, settings=settings)
    with_encoder = recipe == _MAIN or recipe not in SHIPPED
    record = finished_record(result.model, learn, test, facts, with_encoder=with_encoder)
    place = _place(recipe, training.profile) if folder is None else Path(folder)
    save_weights(record, place / f"{recipe.name}.safetensors", facts)
    return load_vae(recipe.name, folder=place, device=training.device)


def finished_record(
    model: ConditionalVae, learn: Dataset, test: Dataset, facts: dict, *, with_encoder: bool = True
) -> VaeRecord:
    """Return weights rounded to float16 with their statistics; ``facts`` gains shape and test losses."""
    for network in (model.encoder, model.decoder):
        network.half().float()  # rounds in place: what is measured below is what is stored
    record = VaeRecord(model, with_encoder=with_encoder)
    facts["shape"] = list(test.X.shape[1:])
    kl, losses = _test_losses(model, test, facts["seed"])
    record.kl, record.kl_stderr = kl.mean(0), kl.std(0) / len(kl) ** 0.5
    total = losses + kl.sum(1)
    facts["test"] = {"rows": len(test), "reconstruction": losses.mean().item(), "kl": kl.sum(1).mean().item()}
    facts["test"] |= {"elbo": -total.mean().item(), "elbo_stderr": (total.std() / len(kl) ** 0.5).item()}
    wide = learn.X.flatten(1)
    # sums in float64: thousands of float32 terms would lose digits
    record.class_means = torch.stack([wide[learn.y == digit].double().mean(0) for digit in range(CLASSES)]).float()
    record.class_frequencies = torch.bincount(learn.y, minlength=CLASSES).double() / len(learn)
    record.decoder.half()
    if record.encoder is not None:
        record.encoder.half()
    return record


@torch.no_grad()
def _test_losses(model: ConditionalVae, test: Dataset, seed: int) -> tuple[Tensor, Tensor]:
    """Return KL ``(n, L)`` and reconstruction loss ``(n,)`` at one draw of z for each test image, float64."""
    noise, kl, losses = stream(seed, _TEST_STREAM), [], []
    for x, y in zip(test.X.flatten(1).split(1000), test.y.split(1000), strict=True):
        epsilon = torch.randn(len(x), model.latents, generator=noise)
        logits, mean, log_variance = model(x.float(), torch.eye(CLASSES)[y], epsilon)
        kl.append(latent_kl(mean.double(), log_variance.double()))
        losses.append(reconstruction_loss(logits.double(), x.double()))
    return torch.cat(kl), torch.cat(losses)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line, print the networks and return the exit status.

    Args:
        arguments: arguments of the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m acelib.lab.vae", description="Train the book's conditional β-VAEs on MNIST."
    )
    parser.add_argument("--beta", nargs="+", type=float, help="weights of the KL divergence; default: all that ship")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds for each beta; default: 0")
    parser.add_argument("--lr", type=float, default=LR, help=f"learning rate; default: {LR:g}")
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--restart", action="store_true", help="do not resume an unfinished training")
    parser.add_argument("--device", help="where to train, such as cuda; default: the CPU")
    chosen = parser.parse_args(arguments)
    recipes = SHIPPED
    if chosen.beta:
        recipes = [Recipe(beta, seed, chosen.lr) for beta in chosen.beta for seed in chosen.seeds]
    try:
        for recipe in recipes:
            options = {"profile": chosen.profile, "resume": not chosen.restart, "device": chosen.device}
            (vae,) = train_checkpoints([recipe], progress=True, **options)
            facts = vae.provenance["test"]
            print(f"{vae}; test ELBO {facts['elbo']:.2f} nats, {vae.provenance['seconds']} s", flush=True)
    except (ValueError, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _epoch(state: TrainingState, X: Tensor, classes: Tensor, settings: dict) -> Tensor:
    """Train on whole batches of one new order, or as many as are left to do; return their mean loss ``(1,)``."""
    model, optimizer, size = state.model, state.optimizer, settings["batch_size"]
    order, noise = state.generators
    steps = min(len(X) // size, settings["iterations"] - optimizer.steps)
    losses = []
    for rows in torch.randperm(len(X), generator=order)[: steps * size].to(X.device).split(size):
        x, c = X[rows], classes[rows]
        epsilon = torch.randn(size, model.latents, generator=noise, dtype=X.dtype).to(X.device)
        logits, mean, log_variance = model(x, c, epsilon)
        kl = latent_kl(mean, log_variance).sum(1)
        loss = (reconstruction_loss(logits, x) + settings["beta"] * kl).mean()
        optimizer.flat.grad.zero_()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean()[None]


def _check(X: Tensor, y: Tensor, numbers: dict) -> None:
    """Raise ValueError for images, digits or numbers that do not fit."""
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(
            f"X and y must be (n, pixels) and (n,), got {tuple(X.shape)} and {tuple(y.shape)}; flatten images"
        )
    if X.min() < 0 or X.max() > 1 or not X.isfinite().all():
        raise ValueError(f"X must hold grey values in [0, 1], got {X.min():g} to {X.max():g}; divide by the largest")
    if y.dtype != torch.long or y.min() < 0 or y.max() >= CLASSES:
        raise ValueError(f"y must hold integers (torch.long) from 0 to 9, got {y.dtype} from {y.min()} to {y.max()}")
    for name in ("iterations", "batch_size"):
        if numbers[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {numbers[name]}")
    if numbers["batch_size"] > len(X):
        raise ValueError(f"batch_size must be at most {len(X)}, the number of rows, got {numbers['batch_size']}")
    if not numbers["lr"] > 0:
        raise ValueError(f"lr must be positive, got {numbers['lr']}")
    if not numbers["beta"] >= 0:
        raise ValueError(f"beta must be at least 0, got {numbers['beta']}")


def _place(recipe: Recipe, profile: str) -> Path:
    """Return the folder of a network's checkpoint."""
    if profile != "full":
        return home.build_dir() / "checkpoints-quick"  # apart, so that it is not taken for a fully trained network
    base = home.data_dir() if recipe in SHIPPED else home.build_dir()
    return base / "checkpoints"
