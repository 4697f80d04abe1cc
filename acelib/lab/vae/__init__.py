"""Chapters 8 and 9: conditional beta-VAEs."""

from .model import (
    ACTIVE,
    HIDDEN,
    LR,
    ConditionalVae,
    Pixels,
    Recipe,
    TrainedVae,
    VaeRecord,
    find_checkpoint,
    from_record,
    latent_kl,
    load_vae,
    reconstruction_loss,
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
    "VaeRecord",
    "find_checkpoint",
    "from_record",
    "latent_kl",
    "load_vae",
    "reconstruction_loss",
    "train_small_vae",
]
