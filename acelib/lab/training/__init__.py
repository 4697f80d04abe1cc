"""Training: seeded, stacked, resumable; checkpoints."""

from .checkpoint import TrainingState, load_shipped, load_state, load_weights, save_state, save_weights
from .loop import TrainResult, run_epochs, train
from .optimizers import FlatAdam, FlatDescent, FlatParameters

__all__ = [
    "FlatAdam",
    "FlatDescent",
    "FlatParameters",
    "TrainResult",
    "TrainingState",
    "load_shipped",
    "load_state",
    "load_weights",
    "run_epochs",
    "save_state",
    "save_weights",
    "train",
]
