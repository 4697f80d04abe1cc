"""Chapter 6: the imputation check on sequences."""

from .imputation import ImputationCheck, final_logits, imputation_check
from .saliency import agreement, integrated_gradients
from .task import LONG, GRURun, SequenceGRU, Sequences, make_sequences, rule_of, stacked_logits, train_grus

__all__ = [
    "GRURun",
    "ImputationCheck",
    "LONG",
    "SequenceGRU",
    "Sequences",
    "agreement",
    "final_logits",
    "imputation_check",
    "integrated_gradients",
    "make_sequences",
    "rule_of",
    "stacked_logits",
    "train_grus",
]
