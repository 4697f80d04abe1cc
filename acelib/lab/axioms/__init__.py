"""Chapter 5: the axioms of attribution as functions, cases to ask them in, and the search for a witness."""

from .algebra import formula
from .cells import CELLS, VERDICTS, Cell
from .completeness import completeness_gap
from .dummy import dummy_gap
from .implementation import implementation_gap
from .input_shift import shift_gap
from .kinds import AXIOMS, Axiom, perceptron
from .method import Method, attributions
from .populations import draw_decimals, exchangeable, mirrored
from .rewriting import added, clamp_twins, compensated, linear, rewritten, with_detour
from .sensitivity import sensitivity_gap
from .symmetry import symmetry_gap
from .witness import Witness, largest_gap, search

__all__ = [
    "AXIOMS",
    "CELLS",
    "VERDICTS",
    "Axiom",
    "Cell",
    "Method",
    "Witness",
    "added",
    "attributions",
    "clamp_twins",
    "compensated",
    "completeness_gap",
    "draw_decimals",
    "dummy_gap",
    "exchangeable",
    "formula",
    "implementation_gap",
    "largest_gap",
    "linear",
    "mirrored",
    "perceptron",
    "rewritten",
    "search",
    "sensitivity_gap",
    "shift_gap",
    "symmetry_gap",
    "with_detour",
]
