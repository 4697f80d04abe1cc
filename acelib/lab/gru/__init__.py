"""Chapter 6: the imputation check on sequences."""

from .imputation import ImputationCheck, final_logits, imputation_check
from .recipe import RecipeRun, load_recipe, train_by_recipe
from .saliency import agreement, integrated_gradients
from .task import LONG, GRURun, SequenceGRU, Sequences, make_sequences, rule_of, stacked_logits, train_grus

__all__ = [
    "GRURun",
    "ImputationCheck",
    "LONG",
    "RecipeRun",
    "SequenceGRU",
    "Sequences",
    "agreement",
    "final_logits",
    "imputation_check",
    "integrated_gradients",
    "load_recipe",
    "make_sequences",
    "rule_of",
    "stacked_logits",
    "train_by_recipe",
    "train_grus",
]
