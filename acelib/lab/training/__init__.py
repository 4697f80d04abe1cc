"""Training: seeded, stacked, resumable; checkpoints."""

from .checkpoint import load_shipped, load_weights, save_weights
from .loop import TrainResult, train

__all__ = ["TrainResult", "load_shipped", "load_weights", "save_weights", "train"]
