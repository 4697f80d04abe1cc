"""How is the conditional β-VAE trained? Adam on the mean loss of a batch, safe to interrupt, the seed deciding all.

An epoch is a new permutation of the rows in whole batches; rows left over wait for the next one. Order and noise come
from generators of their own, whose state is kept with weights and moments after an epoch, so that a killed training
goes on to the same weights. On the command line, ``python -m acelib.lab.vae.training --beta 10 --seeds 0 1`` trains
on MNIST, which comes through the download registry, and writes the checkpoints.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from acelib.lab import home
from acelib.lab.datasets import Dataset, fingerprint, load_mnist
from acelib.lab.datasets.registry import DataError
from acelib.lab.provenance import describe
from acelib.lab.shipping import source_facts
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
    _Record,
    find_checkpoint,
    latent_kl,
    load_vae,
    reconstruction_loss,
    stream,
)

BATCH_SIZE = 64
PROFILES = {"quick": (300, 6_000), "full": (20_000, None)}  # iterations, and how many of the training images
_ORDER_STREAM, _NOISE_STREAM, _TEST_STREAM = 13, 14, 15
_MAIN = Recipe(10.0, 0)  # ships with its encoder; the others that ship are decoders alone
SHIPPED = (
    *(Recipe(10.0, seed) for seed in range(5)),
    Recipe(4.0, 0),
    Recipe(1.0, 0),
    Recipe(10.0, 0, 1e-3),  # as many steps, ten times as large: its idle latents have come to rest
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
) -> TrainResult:
    """A trained copy of the model, with its mean loss in each epoch as history; the same arguments, the same weights.

    Args:
        model: The network to train; left as it is.
        X: Images (n, pixels) in [0, 1], float32.
        y: Digits (n,), integers from 0 to 9.
        beta: Weight of the KL divergence.
        iterations: Optimiser steps in all.
        lr: Learning rate of Adam.
        batch_size: Images a step.
        seed: Of the order of the images and of the noise.
        checkpoint: File that keeps the state of the training; a call that finds one goes on from there.
        resume: Whether to use a state that is there; False starts anew and replaces it.
        checkpoint_every: Seconds between two writes of that file; 0 writes after every epoch.
        progress: Whether to show a bar on standard error.

    Raises:
        ValueError: An argument that does not fit, or a state made with other settings.
        RuntimeError: The loss became NaN or infinite.

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
    model = copy.deepcopy(model)
    flat = FlatParameters(model)
    state = TrainingState(model, FlatAdam(flat, lr), [stream(seed, _ORDER_STREAM), stream(seed, _NOISE_STREAM)])
    classes = torch.eye(CLASSES, dtype=X.dtype)[y]
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
) -> list[TrainedVae]:
    """The conditional β-VAEs of these recipes, trained on MNIST, measured and written as checkpoints.

    A call that was killed goes on from the last state when it is made again. Weights are rounded to float16 for the
    file, and everything that is measured on the test images is measured with the rounded weights.

    Args:
        recipes: Their beta, seed and learning rate; by default those that ship with the book.
        profile: ``"full"`` for 20,000 steps on all images, ``"quick"`` for 300 on the first 6,000.
        data: Training and test part with X (n, height, width) in [0, 1]; by default MNIST, through the registry.
        folder: Where checkpoints are written; by default ``data/checkpoints`` for those that ship with the book,
            ``_build/checkpoints`` for others and ``_build/checkpoints-quick`` for a quick run.
        states: Where the state of an unfinished training is kept; by default ``_build/training``.
        resume: Whether to use such a state; False starts anew.
        progress: Whether to show a bar a network.

    Raises:
        ValueError: An unknown profile, or a recipe that does not fit.
        DataError: MNIST cannot be had.

    References:
        Chattopadhyay et al. 2019, Sec. 5.4.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}, expected 'quick' or 'full'")
    for recipe in recipes:
        if not recipe.beta >= 0 or recipe.seed < 0 or not recipe.lr > 0:
            raise ValueError(f"recipes holds {recipe}, expected beta >= 0, seed >= 0 and lr > 0")
    rows = PROFILES[profile][1]
    states = home.build_dir() / "training" if states is None else Path(states)
    source = source_facts(data)
    learn, test = data or (load_mnist("train", dtype=torch.float32), load_mnist("test", dtype=torch.float32))
    learn = learn.subset(torch.arange(min(rows or len(learn), len(learn))))
    source["fingerprint"] = {"training": learn.fingerprint, "test": test.fingerprint}
    return [_trained(recipe, learn, test, source, profile, folder, states, resume, progress) for recipe in recipes]


def _trained(
    recipe: Recipe,
    learn: Dataset,
    test: Dataset,
    source: dict,
    profile: str,
    folder: str | Path | None,
    states: Path,
    resume: bool,
    progress: bool,
) -> TrainedVae:
    """Train, measure and write one network."""
    started = time.time()
    settings = {"beta": float(recipe.beta), "seed": recipe.seed, "lr": recipe.lr, "batch_size": BATCH_SIZE}
    settings["iterations"] = PROFILES[profile][0]
    result = train_vae(
        ConditionalVae(pixels=learn.X[0].numel(), seed=recipe.seed),
        learn.X.flatten(1),
        learn.y,
        **settings,
        checkpoint=states / f"{recipe.name}-{profile}.safetensors",
        resume=resume,
        progress=progress,
    )
    facts = describe(seed=recipe.seed, profile=profile, started=started)
    facts |= {"data": source, "settings": {"optimizer": "adam", **settings}, "steps": result.steps}
    facts["seconds"] = round(result.seconds, 1)
    record = finished_record(result.model, learn, test, facts, with_encoder=recipe == _MAIN or recipe not in SHIPPED)
    place = _place(recipe, profile) if folder is None else Path(folder)
    save_weights(record, place / f"{recipe.name}.safetensors", facts)
    return load_vae(recipe.name, folder=place)


def finished_record(
    model: ConditionalVae, learn: Dataset, test: Dataset, facts: dict, *, with_encoder: bool = True
) -> _Record:
    """Weights rounded to float16 with the statistics that belong to them; ``facts`` gains shape and test losses."""
    for network in (model.encoder, model.decoder):
        network.half().float()  # rounds in place: what is measured below is what is stored
    record = _Record(model, with_encoder=with_encoder)
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
    """KL (n, L) and reconstruction loss (n,) at one draw of z for each test image, float64."""
    noise, kl, losses = stream(seed, _TEST_STREAM), [], []
    for x, y in zip(test.X.flatten(1).split(1000), test.y.split(1000), strict=True):
        epsilon = torch.randn(len(x), model.latents, generator=noise)
        logits, mean, log_variance = model(x.float(), torch.eye(CLASSES)[y], epsilon)
        kl.append(latent_kl(mean.double(), log_variance.double()))
        losses.append(reconstruction_loss(logits.double(), x.double()))
    return torch.cat(kl), torch.cat(losses)


def load_or_train(beta: float, seed: int, *, lr: float = LR, progress: bool = False) -> TrainedVae:
    """The network of this β and seed as ``TrainedVae``: from its checkpoint, or trained on MNIST where there is none.

    Args:
        beta: Weight of the KL divergence.
        seed: Of the training.
        lr: Learning rate of the training.
        progress: Whether to show a bar while it trains.

    Raises:
        DataError: There is no checkpoint, and MNIST cannot be had.

    Example:
        >>> assert load_or_train(10, 0).seed == 0
    """
    recipe = Recipe(beta, seed, lr)
    if find_checkpoint(recipe.name).is_file():
        return load_vae(recipe.name)
    return train_checkpoints([recipe], progress=progress)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line and print what came of it; returns the exit status.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(prog="vae_training", description="Train the book's conditional β-VAEs on MNIST.")
    parser.add_argument("--beta", nargs="+", type=float, help="weights of the KL divergence; default: all that ship")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds for each beta; default: 0")
    parser.add_argument("--lr", type=float, default=LR, help=f"learning rate; default: {LR:g}")
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--restart", action="store_true", help="do not go on from an unfinished training")
    chosen = parser.parse_args(arguments)
    recipes = SHIPPED
    if chosen.beta:
        recipes = [Recipe(beta, seed, chosen.lr) for beta in chosen.beta for seed in chosen.seeds]
    try:
        for recipe in recipes:
            (vae,) = train_checkpoints([recipe], profile=chosen.profile, resume=not chosen.restart, progress=True)
            facts = vae.provenance["test"]
            print(f"{vae}; test ELBO {facts['elbo']:.2f} nats, {vae.provenance['seconds']} s", flush=True)
    except (ValueError, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _epoch(state: TrainingState, X: Tensor, classes: Tensor, settings: dict) -> Tensor:
    """Whole batches of one new order, or as many as are left to do; returns their mean loss (1,)."""
    model, optimizer, size = state.model, state.optimizer, settings["batch_size"]
    order, noise = state.generators
    steps = min(len(X) // size, settings["iterations"] - optimizer.steps)
    losses = []
    for rows in torch.randperm(len(X), generator=order)[: steps * size].split(size):
        x, c = X[rows], classes[rows]
        epsilon = torch.randn(size, model.latents, generator=noise, dtype=X.dtype)
        logits, mean, log_variance = model(x, c, epsilon)
        kl = latent_kl(mean, log_variance).sum(1)
        loss = (reconstruction_loss(logits, x) + settings["beta"] * kl).mean()
        optimizer.flat.grad.zero_()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean()[None]


def _check(X: Tensor, y: Tensor, numbers: dict) -> None:
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(f"X is {tuple(X.shape)} and y {tuple(y.shape)}, expected (n, pixels) and (n,); flatten images")
    if X.min() < 0 or X.max() > 1 or not X.isfinite().all():
        raise ValueError("X holds values outside [0, 1], expected grey values there; divide by the largest")
    if y.dtype != torch.long or y.min() < 0 or y.max() >= CLASSES:
        raise ValueError(f"y is {y.dtype} from {y.min()} to {y.max()}, expected integers (torch.long) from 0 to 9")
    for name in ("iterations", "batch_size"):
        if numbers[name] < 1:
            raise ValueError(f"{name} is {numbers[name]}, expected at least 1")
    if numbers["batch_size"] > len(X):
        raise ValueError(f"batch_size is {numbers['batch_size']} for {len(X)} rows, expected no more than there are")
    if not numbers["lr"] > 0 or not numbers["beta"] >= 0:
        raise ValueError(f"lr is {numbers['lr']} and beta {numbers['beta']}, expected lr > 0 and beta >= 0")


def _place(recipe: Recipe, profile: str) -> Path:
    if profile != "full":
        return home.build_dir() / "checkpoints-quick"  # apart, so that nobody takes it for a network that is trained
    base = home.data_dir() if recipe in SHIPPED else home.build_dir()
    return base / "checkpoints"


if __name__ == "__main__":
    sys.exit(main())
