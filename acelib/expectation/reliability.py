"""What a reader should know of an error bar before trusting ± 1.96 of it: few rows, groups or networks, skewed outputs.

± 1.96 standard errors cover 93 to 97 % of the time where at least 30 independent rows, groups or networks stand behind
them and the average is hardly skewed. Below that one warning a call says so and names what holds. Nothing is computed
for it but a few comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .._intervals import FEW, MISSED, rests_on
from .._warnings import ApproximationWarning, warn_caller
from .result import Expectation

RARE = 0.01  # share of an event from which it matters that no row shows it at any value
NAMED = 4  # interventions that a warning names


class Doubts:
    """What the expectations of one call give reason to doubt; it keeps none of them.

    Args:
        found: expectations of one network or list on the same inputs; ``add`` takes further ones.

    Example:
        >>> from acelib import InputDistribution, interventional_expectation
        >>> X = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
        >>> e = interventional_expectation(lambda x: x.prod(1, keepdim=True), InputDistribution.fit(X), 0, [0.5])
        >>> assert not Doubts([e]).reasons(bands=True)
    """

    def __init__(self, found: Iterable[Expectation] = ()) -> None:
        self.independent, self.networks = float(FEW), FEW
        self.tails: dict[str, float] = {}  # skewed ones, with the rows that would do
        self.silent: dict[str, float] = {}  # those that miss events at some values, with their rows
        self.blank: dict[str, float] = {}  # those that may miss one at all values, with their rows
        for e in found:
            self.add(e)

    def add(self, e: Expectation) -> None:
        """Note what one expectation gives reason to doubt."""
        if e.freedom is not None and e.freedom + 1 < self.independent:
            self.independent = e.freedom + 1
        if e.models is not None:
            self.networks = min(self.networks, len(e.models))
        if e.skewness is not None:
            missed = float((e.skewness**2 / 4).clamp_max(0.5).mean(0).max())
            if missed > MISSED:
                rows = 0 if e.method == "linearised" else e.num_rows
                rows = rows or 1 + (e.freedom or 0)  # of moments the independent ones, of linear steps about the drawn
                self.tails[e.feature] = rows * missed / MISSED  # k² falls like 1 / n
        if _misses_events(e):
            self.silent[e.feature] = e.num_rows
        if _never_varies(e):
            self.blank[e.feature] = _independent(e)

    def reasons(self, *, bands: bool) -> list[str]:
        """Return them as clauses; ``bands`` says whether the errors are those of curves, which count the networks."""
        found = []
        if self.independent < FEW:
            found.append(rests_on(self.independent, "independent rows or groups"))
        if self.networks < FEW and bands:
            found.append(rests_on(self.networks, "networks"))
        elif self.networks < FEW:
            found.append(
                f"it takes the {self.networks} networks as they are, while interval() has how far their mean may be "
                "from that over all training seeds"
            )
        if self.tails and self.independent >= FEW:
            rows = float(f"{max(self.tails.values()):.2g}")
            found.append(
                f"outputs under {_named(self.tails)} have long tails or rare events, so that ± 1.96 of it cover too "
                f"little and miss on one side; that takes about {rows:.0f} rows or more"
            )
        if self.silent:
            found.append(
                f"under {_named(self.silent)} no row shows an event at some values, whose share may still reach "
                f"{3 / min(self.silent.values()):.2g}; interval(method='wilson') of an expectation holds there"
            )
        if self.blank:
            found.append(
                f"under {_named(self.blank)} an output is 0, or 1, for every row at all values: if it marks an event, "
                f"its share may still reach {3 / min(self.blank.values()):.2g}; interval(method='wilson') of an "
                "expectation holds there"
            )
        return found

    def warn(self, *, bands: bool) -> None:
        """Warn once where ± 1.96 standard errors cover too little."""
        if self.independent < FEW or self.networks < FEW or self.tails or self.silent or self.blank:
            remedy = "interval() uses Student's t"
            remedy += " and corrects for skewed outputs" if self.tails and not bands else ""
            text = "; ".join(self.reasons(bands=bands))
            warn_caller(f"the standard error says too little: {text}; {remedy}", ApproximationWarning)


def told(e: Expectation) -> Expectation:
    """Return the expectation after the warning that it may need."""
    sound = e.models is None and e.skewness is None and e.freedom is not None and e.freedom >= FEW
    if not sound or _misses_events(e) or _never_varies(e):
        Doubts([e]).warn(bands=False)
    return e


def _misses_events(e: Expectation) -> bool:
    """Return whether an output takes two values, as an event does, and all rows agree at some values, not at all."""
    if not e.num_rows or float(e.stderr.min()) != 0 or e.individual is None:  # in this order: the curves may wait
        return False
    some = (e.stderr == 0).any(0) & (e.stderr > 0).any(0)
    return any(len(torch.unique(e.individual[..., i])) == 2 for i in some.nonzero()[:, 0].tolist())


def _never_varies(e: Expectation) -> bool:
    """Return whether outputs that look like events never vary, and rows are too few to say that none is there.

    Such a network gives 0 or 1 for each row and value, in every output, and one of them is the same throughout. One
    value is not enough to tell: an output that follows the feature is the same for all rows as well.
    """
    if not e.num_rows or float(e.stderr.min()) != 0 or e.individual is None or len(e.alphas) < 2:
        return False
    if 3 / _independent(e) <= RARE or not bool(((e.individual == 0) | (e.individual == 1)).all()):
        return False
    return bool(((e.stderr == 0) & (e.values == e.values[:1]) & ((e.values == 0) | (e.values == 1))).all(0).any())


def _independent(e: Expectation) -> float:
    """Return the independent rows or groups, of weighted rows their effective number."""
    return e.num_rows if e.freedom is None else min(e.num_rows, e.freedom + 1)


def _named(features: Iterable[str]) -> str:
    names = [f"do({name})" for name in features]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
