"""A small conditional β-VAE, trained in seconds on digits that come with scikit-learn.

The conditional β-VAE of ``acelib.lab.vae`` in small, 74-128-64-8 and 14-64-128-64, trained on the 8×8 digits that come
with scikit-learn: no download, no checkpoint. Its loss is the one of the large network; with 64 pixels in place of 784
the reconstruction weighs less, so that a smaller β leaves as much to the latents.
"""

from __future__ import annotations

import time

import torch

from acelib.lab.datasets import Dataset, load_digits8, train_test_split
from acelib.lab.provenance import describe
from acelib.lab.vae.model import ConditionalVae, TrainedVae, from_record
from acelib.lab.vae.training import finished_record, train_vae

SIZES = {"pixels": 64, "latents": 4, "hidden": (128, 64)}
SETTINGS = {"lr": 1e-3, "batch_size": 64}


def train_small_vae(
    *,
    seed: int = 0,
    beta: float = 1,
    iterations: int = 4000,
    data: tuple[Dataset, Dataset] | None = None,
    progress: bool = False,
    device: torch.device | str | None = None,
) -> TrainedVae:
    """Train a conditional β-VAE with 4 latents on the 8×8 digits.

    The same arguments give the same weights on one machine; weights are rounded to float16 as in the checkpoints.

    Args:
        seed: seed of initial weights, order of the images and noise.
        beta: weight of the KL divergence.
        iterations: optimiser steps, of 64 images each.
        data: training and test part with X ``(n, 8, 8)`` in [0, 1]; default 1437 and 360 of the 8×8 digits.
        progress: whether to show a bar on standard error.
        device: where to train, and where the networks stay; default: the CPU.

    Raises:
        ValueError: for an argument that does not fit.

    Example:
        >>> vae = train_small_vae(iterations=50)
        >>> assert vae.shape == (8, 8) and vae.latents == 4
    """
    started = time.time()
    learn, test = train_test_split(load_digits8(), 360, seed=1, stratified=True) if data is None else data
    settings = {**SETTINGS, "beta": float(beta), "iterations": iterations, "seed": seed}
    model = ConditionalVae(**SIZES, seed=seed)
    result = train_vae(model, learn.X.flatten(1).float(), learn.y, **settings, progress=progress, device=device)
    facts = describe(seed=seed, profile="quick", started=started, device=device)
    source = {"source": learn.source, "fingerprint": {"training": learn.fingerprint, "test": test.fingerprint}}
    facts |= {"data": source, "settings": {"optimizer": "adam", **settings}, "steps": result.steps}
    facts |= {"seconds": round(result.seconds, 1)}
    record = finished_record(result.model.cpu(), learn, test, facts)
    record.decoder.float(), record.encoder.float()
    return from_record(record, f"digits-vae-b{beta:g}-s{seed}", facts, device=device)


__all__ = ["train_small_vae"]
