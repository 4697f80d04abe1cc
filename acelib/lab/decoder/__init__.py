"""Chapters 8 and 9: effects on what a decoder draws."""

from .effects import (
    QUIET,
    DecoderMap,
    PixelEffects,
    Shuffled,
    class_effects,
    decoded_digits,
    latent_effects,
    map_decoder,
    matching_signs,
)
from .figures import draw_decoder_model, montage, show_montage
from .shape import Shape, measure_shapes

__all__ = [
    "DecoderMap",
    "PixelEffects",
    "QUIET",
    "Shape",
    "Shuffled",
    "class_effects",
    "decoded_digits",
    "draw_decoder_model",
    "latent_effects",
    "map_decoder",
    "matching_signs",
    "measure_shapes",
    "montage",
    "show_montage",
]
