"""Where an average hides an interaction: regional effects, and the surface of two inputs set at once."""

from .regional import regional_effects
from .results import RegionalEffects
from .surface import EffectSurface, effect_surface

__all__ = ["EffectSurface", "RegionalEffects", "effect_surface", "regional_effects"]
