"""Chapters 8 and 9: effects on what a decoder draws."""

from .effects import (
    QUIET,
    DecoderMap,
    PixelEffects,
    Pixels,
    Shuffled,
    class_effects,
    decoded_digits,
    latent_effects,
    map_decoder,
    matching_auc,
)

__all__ = [
    "DecoderMap",
    "PixelEffects",
    "Pixels",
    "QUIET",
    "Shuffled",
    "class_effects",
    "decoded_digits",
    "latent_effects",
    "map_decoder",
    "matching_auc",
]
