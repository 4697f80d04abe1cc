"""Do maps tell two kinds of landings apart? Scores of maps, and their separation with intervals over the landings.

The separation is the area under the receiver's curve, AUC = P(score of an anomalous landing > score of a normal one),
ties counting half. Landings are the samples: both kinds are drawn again with replacement, the same draw for every
score, so that differences between scores have intervals too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NAMED = ("LATG", "LONG", "PTCH", "ROLL")
SECONDS = 7


def block(channels: Sequence[str], lags: Sequence[int]) -> Tensor:
    """Which cells (lags, channels) the paper names: LATG, LONG, PTCH and ROLL up to 7 s before.

    References:
        Chattopadhyay et al. 2019, Sec. 5.3.

    Example:
        >>> assert block(["LATG", "ALT"], [1, 7, 8]).tolist() == [[True, False], [True, False], [False, False]]
    """
    near = torch.tensor([lag <= SECONDS for lag in lags])
    named = torch.tensor([channel in NAMED for channel in channels])
    return near[:, None] & named


def score(maps: Tensor, cells: Tensor) -> Tensor:
    """Mean size of each map over some cells, (n,).

    Args:
        maps: (n, lags, channels).
        cells: Truth values (lags, channels).
    """
    return maps.abs()[:, cells].mean(1)


def concentration(maps: Tensor, cells: Tensor) -> Tensor:
    """How many times larger a map is in some cells than in the others of the same seconds, (n,); 1 is no structure.

    Args:
        maps: (n, lags, channels).
        cells: Truth values (lags, channels).

    Example:
        >>> cells = torch.tensor([[True, False], [False, False]])
        >>> assert concentration(torch.tensor([[[6.0, 2.0], [9.0, 9.0]]]), cells).item() == 3
    """
    others = cells.any(1)[:, None] & ~cells
    return score(maps, cells) / score(maps, others)


def median_interval(
    values: Tensor, *, level: float = 0.95, repeats: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """The median of (n,) values and the ends of its percentile bootstrap interval.

    Example:
        >>> median, low, high = median_interval(torch.arange(101.0))
        >>> assert median == 50 and 30 < low < 50 < high < 70
    """
    values = np.asarray(values, dtype=float)
    drawn = values[np.random.default_rng(seed).integers(len(values), size=(repeats, len(values)))]
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(np.median(values)), float(low), float(high)


@dataclass(frozen=True, eq=False)
class Separation:
    """How well several scores tell anomalous landings from normal ones.

    Attributes:
        auc: By score.
        draws: Bootstrap AUCs (repeats,) by score, the same landings in every score's draw.
        level: Nominal coverage of the intervals.
    """

    auc: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    level: float = 0.95

    def interval(self, name: str) -> tuple[float, float]:
        """The ends of the interval of one AUC."""
        return self._ends(self.draws[name])

    def difference(self, name: str, other: str) -> tuple[float, float, float]:
        """AUC of one score minus that of another, read in its better direction, and the ends of its interval.

        A score that is always lower for anomalous landings separates as well as one that is always higher, so the
        other counts as ½ + |AUC − ½|.
        """
        return (
            self.auc[name] - 0.5 - abs(self.auc[other] - 0.5),
            *self._ends(self.draws[name] - 0.5 - np.abs(self.draws[other] - 0.5)),
        )

    def _ends(self, draws: np.ndarray) -> tuple[float, float]:
        low, high = np.quantile(draws, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)

    def __repr__(self) -> str:
        rows = (f"{n} {a:.3f} [{self.interval(n)[0]:.3f}, {self.interval(n)[1]:.3f}]" for n, a in self.auc.items())
        return f"Separation({', '.join(rows)})"


def separation(
    scores: Mapping[str, Tensor], labels: Tensor, *, level: float = 0.95, repeats: int = 2000, seed: int = 0
) -> Separation:
    """The AUC of each score with bootstrap draws over the landings.

    Args:
        scores: By name, each (n,).
        labels: 1 for anomalous, 0 for normal (n,).
        level: Nominal coverage of the intervals.
        repeats: Resamples.
        seed: Of the resamples.

    Raises:
        ValueError: Fewer than two landings of a kind, or scores of another length.

    Example:
        >>> found = separation({"good": torch.tensor([0.0, 1, 2, 3])}, torch.tensor([0, 0, 1, 1]))
        >>> assert found.auc["good"] == 1 and found.interval("good") == (1.0, 1.0)
    """
    labels = np.asarray(labels).astype(bool)
    positive, negative = int(labels.sum()), int((~labels).sum())
    if min(positive, negative) < 2:
        raise ValueError(f"labels holds {positive} anomalous and {negative} normal landings, expected at least 2 each")
    rng = np.random.default_rng(seed)
    up = rng.multinomial(positive, np.full(positive, 1 / positive), size=repeats) / positive
    down = rng.multinomial(negative, np.full(negative, 1 / negative), size=repeats) / negative
    auc, draws = {}, {}
    for name, values in scores.items():
        values = np.asarray(values, dtype=float)
        if values.shape != labels.shape:
            raise ValueError(f"scores {name!r} has shape {values.shape}, expected {labels.shape}, one per landing")
        gap = values[labels][:, None] - values[~labels]
        wins = (gap > 0) + 0.5 * (gap == 0)
        auc[name], draws[name] = float(wins.mean()), np.einsum("rp,pn,rn->r", up, wins, down, optimize=True)
    return Separation(auc, draws, level)
