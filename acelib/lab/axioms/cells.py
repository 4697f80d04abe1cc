"""The table of methods and axioms: for each cell the kinds in which it holds, those in which it fails, and why.

A proof is one sentence, with kinds in which no case may violate the axiom; a witness is found in the other kinds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """What is said of one method and one axiom.

    Attributes:
        holds: kinds in which no case violates it.
        fails: kinds in which the search finds a witness.
        reason: why, in one sentence.
        on_average: of the kinds in which a single answer fails, those in which the average over the method's own random
            draws holds.
    """

    holds: tuple[str, ...]
    fails: tuple[str, ...]
    reason: str
    on_average: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``."""
        if self.on_average:
            return "on average"
        if not self.fails:
            return "holds"
        if self.fails == ("on a kink",):
            return "holds off kinks"
        return "holds when" if self.holds else "fails"


VERDICTS = ("holds", "holds off kinks", "holds when", "on average", "fails")
"""Without a condition; where no unit sits on its kink; in some kinds; over many draws; in none."""


def _cell(holds: str, fails: str, reason: str, on_average: str = "") -> Cell:
    """Return a cell from kinds, joined by commas, and a reason."""
    some, none, mean = (tuple(kinds.split(", ")) if kinds else () for kinds in (holds, fails, on_average))
    return Cell(some, none, reason, mean)


_COMPLETENESS = {
    "gradient": (
        "",
        "interacting, additive, without biases",
        "A slope is no amount: slopes of f = 2x add up to 2 at every x.",
    ),
    "gradient × input": (
        "without biases",
        "interacting, additive",
        "Where twice the input gives twice the output, Euler's theorem makes the sum f(x).",
    ),
    "DeepLIFT": (
        "interacting, additive, without biases",
        "",
        "Each unit hands on the difference of its output from that at the baseline, no more and no less.",
    ),
    "LRP": (
        "without biases",
        "interacting, additive",
        "A layer without biases hands on all the relevance it gets; a bias keeps its share.",
    ),
    "IG, zero": (
        "interacting, additive, without biases",
        "",
        "The fundamental theorem of calculus along the path.",
    ),
    "IG, mean": ("interacting, additive", "", "The fundamental theorem of calculus along the path."),
    "IG, corner": ("interacting, additive", "", "The fundamental theorem of calculus along the path."),
    "occlusion": (
        "additive",
        "interacting",
        "Each input is taken away alone, so that an interaction is counted once for each input in it.",
    ),
    "Shapley sampling": (
        "interacting, additive, without biases",
        "",
        "The changes along any order of the inputs add up to the whole, and so do their averages.",
    ),
    "ACE, average": (
        "additive",
        "interacting, without biases",
        "Where f is a sum of functions of one input, the effect of each is its own function less a constant.",
    ),
    "ACE, Taylor": (
        "additive",
        "interacting, without biases",
        "As for the average: of a sum the mean term moves with the input set, and the curvature term does not.",
    ),
    "ACE, linearised": (
        "",
        "interacting, additive, without biases",
        "Each input has its own drawn rows, so that sums are right on average over the draws where the average's are.",
        "additive",
    ),
}

_SENSITIVITY_IS_SUM = (
    "The other inputs are at the baseline and get nothing, so that completeness gives it all the change."
)
_SENSITIVITY = {
    "gradient": (
        "monotone, cancelling",
        "saturated",
        "A gradient is zero wherever the function is flat; where the slope is never zero it is not silent.",
    ),
    "gradient × input": (
        "monotone, cancelling",
        "saturated",
        "It is zero where the gradient is; where the slope is never zero it is silent at x = 0 alone.",
    ),
    "DeepLIFT": ("monotone, saturated, cancelling", "", _SENSITIVITY_IS_SUM),
    "LRP": (
        "monotone, cancelling",
        "saturated",
        "On units of ReLU it is gradient × input, which is zero where the function is flat.",
    ),
    "IG, zero": ("monotone, saturated, cancelling", "", _SENSITIVITY_IS_SUM),
    "IG, mean": ("monotone, saturated, cancelling", "", _SENSITIVITY_IS_SUM),
    "IG, corner": ("monotone, saturated, cancelling", "", _SENSITIVITY_IS_SUM),
    "occlusion": (
        "monotone, saturated, cancelling",
        "",
        "To take it away is to go to the baseline, so that its credit is the change.",
    ),
    "Shapley sampling": ("monotone, saturated, cancelling", "", _SENSITIVITY_IS_SUM),
    "ACE, average": (
        "monotone, saturated",
        "cancelling",
        "Where all individual effects have one sign they cannot cancel, so that the average effect is not zero.",
    ),
    "ACE, Taylor": (
        "monotone, saturated",
        "cancelling",
        "It is silent where the mean input's change and that of the curvature term cancel, or are both zero.",
    ),
    "ACE, linearised": (
        "monotone, saturated",
        "cancelling",
        "It estimates what the average gives, and is the average where it may draw all rows, as in the witness.",
    ),
}

_ONLY_VALUES = "It asks for outputs alone, and those do not change."
_OFF_KINKS = "Where no unit sits on its kink, derivatives are those of the function, whatever computes it."
_SINGLE = "The path may run along a kink of a unit; where none does, gradients are those of the function."
_LAYERS = "It asks each unit for its own difference quotient, so that a detour through other units shows."
_LRP = "On units of ReLU it is gradient × input, off their kinks; other rules of LRP fail sooner, see the text."
_CURVATURE = "Curvatures are those of the function unless a unit sits on its kink at the mean input."
_SLOPES = "Slopes are those of the function unless a row sits on a kink; there its drawn rows mend it on average."
_DUMMY = {
    "gradient": ("unread, read and cancelled", "on a kink", _OFF_KINKS),
    "gradient × input": ("unread, read and cancelled", "on a kink", _OFF_KINKS),
    "DeepLIFT": ("unread", "read and cancelled, on a kink", _LAYERS),
    "LRP": ("unread, read and cancelled", "on a kink", _LRP),
    "IG, zero": ("unread, read and cancelled", "on a kink", _SINGLE),
    "IG, mean": ("unread, read and cancelled", "on a kink", _SINGLE),
    "IG, corner": ("unread, read and cancelled", "on a kink", _SINGLE),
    "occlusion": ("unread, read and cancelled, on a kink", "", _ONLY_VALUES),
    "Shapley sampling": ("unread, read and cancelled, on a kink", "", _ONLY_VALUES),
    "ACE, average": ("unread, read and cancelled, on a kink", "", _ONLY_VALUES),
    "ACE, Taylor": ("unread, read and cancelled", "on a kink", _CURVATURE),
    "ACE, linearised": ("unread, read and cancelled", "on a kink", _SLOPES),
}
_IMPLEMENTATION = {
    "gradient": ("rearranged, clamped", "on a kink", _OFF_KINKS),
    "gradient × input": ("rearranged, clamped", "on a kink", _OFF_KINKS),
    "DeepLIFT": ("rearranged", "clamped, on a kink", _LAYERS),
    "LRP": ("rearranged, clamped", "on a kink", _LRP),
    "IG, zero": ("rearranged, clamped", "on a kink", _SINGLE),
    "IG, mean": ("rearranged, clamped", "on a kink", _SINGLE),
    "IG, corner": ("rearranged, clamped", "on a kink", _SINGLE),
    "occlusion": ("rearranged, clamped, on a kink", "", _ONLY_VALUES),
    "Shapley sampling": ("rearranged, clamped, on a kink", "", _ONLY_VALUES),
    "ACE, average": ("rearranged, clamped, on a kink", "", _ONLY_VALUES),
    "ACE, Taylor": ("rearranged, clamped", "on a kink", _CURVATURE),
    "ACE, linearised": ("rearranged, clamped", "on a kink", _SLOPES),
}
_SWAP = "Swapping the two columns changes neither function nor population, and turns one effect into the other."
_SYMMETRY = {
    "gradient": ("tied, untied, other marginals", "on a kink", _OFF_KINKS),
    "gradient × input": ("tied, untied, other marginals", "on a kink", _OFF_KINKS),
    "DeepLIFT": ("tied, other marginals", "untied, on a kink", _LAYERS),
    "LRP": ("tied, untied, other marginals", "on a kink", _LRP),
    "IG, zero": ("tied, untied, other marginals", "on a kink", _SINGLE),
    "IG, mean": (
        "tied, untied",
        "other marginals, on a kink",
        "The axiom asks for a baseline with equal values, and a mean has them where the two columns' means are equal.",
    ),
    "IG, corner": (
        "tied, untied",
        "other marginals, on a kink",
        "The axiom asks for a baseline with equal values, and a corner has them where the two columns' lows are equal.",
    ),
    "occlusion": ("tied, untied, other marginals, on a kink", "", "Taking away the one or the other is the same."),
    "Shapley sampling": (
        "on a kink",
        "tied, untied, other marginals",
        "All orders together are symmetric and a sample of 25 is not; of inputs that change nothing any will do.",
        "tied, untied, other marginals",
    ),
    "ACE, average": ("tied, untied, on a kink", "other marginals", _SWAP),
    "ACE, Taylor": ("tied, untied", "other marginals, on a kink", _SWAP),
    "ACE, linearised": (
        "",
        "tied, untied, other marginals, on a kink",
        "Each input has its own drawn rows, so that the two are equal on average over draws where the average's are.",
        "tied, untied",
    ),
}

_AT_ZERO = "Zero stays where it is when the inputs move; with a baseline that moves along it would hold."
_INPUT = {
    "gradient": ("rows move, rows stay", "", "A constant has no slope, and it looks at nothing but slopes."),
    "gradient × input": ("", "rows move, rows stay", "The input is a factor of it."),
    "DeepLIFT": ("", "rows move, rows stay", _AT_ZERO),
    "LRP": ("", "rows move, rows stay", "It starts from the shares of the inputs themselves, which have moved."),
    "IG, zero": ("", "rows move, rows stay", _AT_ZERO),
    "IG, mean": ("rows move", "rows stay", "The mean of the rows moves along if they do."),
    "IG, corner": ("rows move", "rows stay", "The least values of the rows move along if they do."),
    "occlusion": ("", "rows move, rows stay", _AT_ZERO),
    "Shapley sampling": ("", "rows move, rows stay", _AT_ZERO),
    "ACE, average": (
        "rows move",
        "rows stay",
        "Rows and domain move along, so that every average is of the same outputs.",
    ),
    "ACE, Taylor": ("rows move", "rows stay", "Mean and domain move along, and the covariance stays."),
    "ACE, linearised": ("rows move", "rows stay", "Rows and domain move along, and the slopes stay."),
}

CELLS: dict[str, dict[str, Cell]] = {
    axiom: {name: _cell(*parts) for name, parts in cells.items()}
    for axiom, cells in {
        "completeness": _COMPLETENESS,
        "sensitivity": _SENSITIVITY,
        "dummy": _DUMMY,
        "implementation": _IMPLEMENTATION,
        "symmetry": _SYMMETRY,
        "input invariance": _INPUT,
    }.items()
}
"""Axiom -> method -> cell."""
