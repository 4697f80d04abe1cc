"""Chapter 6: the imputation check on sequences."""

from .imputation import ImputationCheck, clopper_pearson, final_logits, imputation_check
from .saliency import (
    PAPER,
    Attributions,
    agreement,
    attributions,
    bootstrap_interval,
    integrated_gradients,
    paper_factors,
    taylor_curve,
    taylor_map,
)
from .task import LOSSES, SETTINGS, GRURun, SequenceGRU, Sequences, make_sequences, rule_of, stacked_logits, train_grus

__all__ = [
    "Attributions",
    "GRURun",
    "ImputationCheck",
    "LOSSES",
    "PAPER",
    "SETTINGS",
    "SequenceGRU",
    "Sequences",
    "agreement",
    "attributions",
    "bootstrap_interval",
    "clopper_pearson",
    "final_logits",
    "imputation_check",
    "integrated_gradients",
    "make_sequences",
    "paper_factors",
    "rule_of",
    "stacked_logits",
    "taylor_curve",
    "taylor_map",
    "train_grus",
]
