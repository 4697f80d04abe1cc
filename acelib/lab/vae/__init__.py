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
from .small import train_small_vae
from .training import SHIPPED

__all__ = [
    "ACTIVE",
    "ConditionalVae",
    "HIDDEN",
    "LR",
    "Pixels",
    "Recipe",
    "SHIPPED",
    "TrainedVae",
    "find_checkpoint",
    "latent_kl",
    "load_vae",
    "reconstruction_loss",
    "stream",
    "train_small_vae",
    "trained",
]
