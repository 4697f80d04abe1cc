"""The result of a search for regions: the split that explains the spread of the curves, its error, and the curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .._intervals import ends
from .._optional import optional
from .._saved import Result
from ..expectation.result import Expectation

LEVEL = 0.05  # of the permutation test


@dataclass(frozen=True, eq=False, repr=False)
class RegionalEffects(Result):
    """The effect of an input in the two regions that explain most of the spread between its individual curves.

    Attributes:
        feature: the input whose effect differs between rows.
        target: number of the output.
        by: the input that splits the rows; None where all curves are the same, so that there is nothing to split.
        conditions: what the rows of either region satisfy, as ``inputs.where`` takes it; ``()`` without a split.
        overall: E[y | do(feature = value)] over all rows that were searched.
        regions: the same over the rows of either region, with errors of the rows for this split.
        share: share of the spread that a split found on four fifths of the rows explains on the last fifth, in turn:
            about 0 where there is nothing to find, and below that of the best split by what it takes to find it.
        stderr: its standard error.
        freedom: its degrees of freedom.
        folds: the condition of the first side of the split that each four fifths chose.
        candidates: names of the K inputs that could split.
        best: ``(K,)`` largest share that a split of each explains in the very rows that chose it; it grows with the
            number of splits, and is for comparison with ``line``.
        shares: ``(K,)`` share of each candidate's own split, chosen on four fifths and judged on the last.
        shares_stderr: ``(K,)`` their standard errors.
        null: ``(B,)`` largest share over all candidates after each permutation of their values.
        spreads: standard deviation of the centred curves, averaged over the values in squares: of all rows, and within
            either region; in the unit of the output.
        num_rows: rows that were searched.
        cost: model rows evaluated.

    A share is the reduction of the curves' variance, averaged over the values, with each curve centred at its own mean.
    The regions' curves have the errors of their rows with the split as it is: that the same rows have chosen it makes
    them differ a little too much. ``share`` does not have this bias.

    Example:
        >>> import torch
        >>> from acelib import InputDistribution, regional_effects
        >>> X = 2 * torch.rand(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
        >>> found = regional_effects(lambda x: x[:, :1] * x[:, 1:2] + x[:, 2:], InputDistribution.fit(X), "x0")
        >>> low, high = found.regions
        >>> assert found.by == "x1" and found.found() and low.values[-1] < 0 < high.values[-1]
    """

    feature: str
    target: int
    by: str | None
    conditions: tuple[dict[str, Any], ...]
    overall: Expectation
    regions: tuple[Expectation, ...]
    share: float
    stderr: float
    freedom: float
    folds: tuple[dict[str, Any], ...]
    candidates: tuple[str, ...]
    best: Tensor
    shares: Tensor
    shares_stderr: Tensor
    null: Tensor = field(repr=False)
    spreads: tuple[float, ...]
    num_rows: int
    cost: int

    @property
    def p_values(self) -> Tensor:
        """``(K,)`` how often a permuted search finds as large a share anywhere: adjusted for all candidates and splits.

        (1 + number of permutations that do) / (1 + permutations), so that a test at a level keeps it.
        """
        slack = 1 - 1e-9  # of rounding, where equal shares are summed in another order
        reached = (self.null[:, None] >= self.best * slack).sum(0)
        return (1 + reached).double() / (1 + len(self.null))

    @property
    def p_value(self) -> float:
        """That of the split; 1 where there is none."""
        return 1.0 if self.by is None else float(self.p_values[self.candidates.index(self.by)])

    @property
    def line(self) -> float:
        """The share that 5 % of the permuted searches exceed at most: below it, a candidate's ``best`` is chance."""
        if not len(self.null):
            return 0.0
        rank = len(self.null) - int(LEVEL * (1 + len(self.null)))
        return float(self.null.sort().values[min(len(self.null) - 1, max(0, rank))])

    @property
    def sides(self) -> tuple[str, ...]:
        """What the rows of either region satisfy, in words: "x1 <= 0.5", "x1 >= 0.5", or "x1 in {0, 2}"."""
        return tuple(f"{name} {_said(side)}" for condition in self.conditions for name, side in condition.items())

    def found(self, level: float = LEVEL) -> bool:
        """Return whether the split is more than chance: whether its p-value is at most ``level``."""
        return self.p_value <= level

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return both ends of the interval of Student's t for ``share``.

        It is for shares well above 0, where the error is normal; whether there is one at all, says the p-value. It
        covers the average share of the splits of ``folds``, about 94 % of the time from 200 rows on and 90 % of the
        time with 60 to 100; the best split of all explains a little more.

        Raises:
            ValueError: if the level is not between 0 and 1.
        """
        low, high = ends(self.share, self.stderr, self.freedom, level)
        return float(low), float(high)

    def __repr__(self) -> str:
        head = f"RegionalEffects(do({self.feature}) on output {self.target}, {self.num_rows} rows"
        if self.by is None:
            return f"{head}: all rows have the same curve, so no input splits it)"
        others = [name for name in {next(iter(fold)): 0 for fold in self.folds} if name != self.by]
        disagreed = f", parts of the rows chose {' and '.join(others)}" if others else ""
        return (
            f"{head}: {' against '.join(self.sides)}, which explains {self.share:.1%} ± {self.stderr:.1%} of the "
            f"spread of {self.spreads[0]:.3g}, p = {self.p_value:.3g} for {len(self.candidates)} candidates{disagreed})"
        )

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per candidate: best and judged share, standard error, p-value."""
        pd = optional("pandas", "a data frame")
        return pd.DataFrame(
            {
                "candidate": list(self.candidates),
                "best": self.best.cpu().numpy(),
                "share": self.shares.cpu().numpy(),
                "stderr": self.shares_stderr.cpu().numpy(),
                "p_value": self.p_values.cpu().numpy(),
            }
        )

    def plot(self, **options: Any) -> Any:
        """Draw the curves of both regions, and the share of each candidate beside the permutations; return the figure.

        A warning names values at which most of a region's rows leave the data.
        """
        from .. import plots

        return plots.plot_regions(self, **options)


def _said(condition: Any) -> str:
    """Return what the values on one side of a split satisfy, in words."""
    if isinstance(condition, tuple):
        low, high = condition
        return f"<= {high:.4g}" if low is None else f">= {low:.4g}"
    values = sorted(condition)
    return "in {" + ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if len(values) > 6 else "") + "}"
