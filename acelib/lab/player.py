"""Precomputed pictures under a slider, drawn by hand; ``acelib.explore`` makes its own."""

from acelib.explore.frames import Player, player

__all__ = ["Player", "player"]
