"""Chapters 8 and 9: conditional beta-VAEs."""

from .model import (
    ACTIVE,
    HIDDEN,
    LR,
    ConditionalVae,
    Pixels,
    Recipe,
    TrainedVae,
    find_checkpoint,
    latent_kl,
    load_vae,
    reconstruction_loss,
    stream,
    trained,
)

__all__ = [
    "ACTIVE",
    "ConditionalVae",
    "HIDDEN",
    "LR",
    "Pixels",
    "Recipe",
    "TrainedVae",
    "find_checkpoint",
    "latent_kl",
    "load_vae",
    "reconstruction_loss",
    "stream",
    "trained",
]
