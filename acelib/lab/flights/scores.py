"""Scores of maps, and how well they separate two kinds of landings, with intervals over landings and networks.

The separation is the area under the receiver's curve, AUC = P(score of an anomalous landing > score of a normal one),
ties counting half. Landings are the samples: both kinds are drawn again with replacement, the same draw for every
score, so that differences between scores have intervals too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

NAMED = ("LATG", "LONG", "PTCH", "ROLL")
SECONDS = 7


def block(channels: Sequence[str], lags: Sequence[int]) -> Tensor:
    """Return the boolean cells ``(lags, channels)`` that the paper names: LATG, LONG, PTCH and ROLL up to 7 s before.

    References:
        Chattopadhyay et al. 2019, Sec. 5.3.

    Example:
        >>> assert block(["LATG", "ALT"], [1, 7, 8]).tolist() == [[True, False], [True, False], [False, False]]
    """
    near = torch.tensor([lag <= SECONDS for lag in lags])
    named = torch.tensor([channel in NAMED for channel in channels])
    return near[:, None] & named


def score(maps: Tensor, cells: Tensor) -> Tensor:
    """Return the ``(n,)`` mean size of each map over some cells.

    Args:
        maps: ``(n, lags, channels)``.
        cells: boolean ``(lags, channels)``.
    """
    return maps.abs()[:, cells].mean(1)


def concentration(maps: Tensor, cells: Tensor) -> Tensor:
    """Return the ``(n,)`` ratio of each map's mean size in some cells to that in the others of the same seconds.

    A ratio of 1 is no structure.

    Args:
        maps: ``(n, lags, channels)``.
        cells: boolean ``(lags, channels)``.

    Example:
        >>> cells = torch.tensor([[True, False], [False, False]])
        >>> assert concentration(torch.tensor([[[6.0, 2.0], [9.0, 9.0]]]), cells).item() == 3
    """
    others = cells.any(1)[:, None] & ~cells
    return score(maps, cells) / score(maps, others)


@dataclass(frozen=True, eq=False)
class Separation:
    """The separation of anomalous landings from normal ones by several scores.

    Attributes:
        auc: area under the receiver's curve, by score.
        draws: ``(repeats,)`` bootstrap AUCs by score, the same landings in every score's draw.
        level: nominal coverage of the intervals.
    """

    auc: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    level: float = 0.95

    def interval(self, name: str) -> tuple[float, float]:
        """Return the ends of the interval of one AUC."""
        return self._ends(self.draws[name])

    def difference(self, name: str, other: str) -> tuple[float, float, float]:
        """Return AUC minus the larger of AUC and 1 − AUC of another score, and the ends of its interval.

        A score that is always lower for anomalous landings separates as well as one that is always higher, so the
        other counts as ½ + ``|AUC − ½|``.
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
    """Return the AUC of each score with bootstrap draws over the landings.

    Args:
        scores: ``(n,)`` by name.
        labels: ``(n,)``, 1 for anomalous, 0 for normal.
        level: nominal coverage of the intervals.
        repeats: number of resamples.
        seed: seed of the resamples.

    Raises:
        ValueError: for fewer than two landings of a kind, or scores of another length.

    Example:
        >>> found = separation({"good": torch.tensor([0.0, 1, 2, 3])}, torch.tensor([0, 0, 1, 1]))
        >>> assert found.auc["good"] == 1 and found.interval("good") == (1.0, 1.0)
    """
    labels = np.asarray(labels).astype(bool)
    positive, negative = int(labels.sum()), int((~labels).sum())
    if min(positive, negative) < 2:
        raise ValueError(f"labels must hold at least 2 landings of each kind, got {positive} and {negative}")
    rng = np.random.default_rng(seed)
    up = rng.multinomial(positive, np.full(positive, 1 / positive), size=repeats) / positive
    down = rng.multinomial(negative, np.full(negative, 1 / negative), size=repeats) / negative
    auc, draws = {}, {}
    for name, values in scores.items():
        values = np.asarray(values, dtype=float)
        if values.shape != labels.shape:
            raise ValueError(f"scores[{name!r}] must have shape {labels.shape}, one per landing, got {values.shape}")
        gap = values[labels][:, None] - values[~labels]
        wins = (gap > 0) + 0.5 * (gap == 0)
        auc[name], draws[name] = float(wins.mean()), np.einsum("rp,pn,rn->r", up, wins, down, optimize=True)
    return Separation(auc, draws, level)


def over_networks(values: Sequence[float], draws: Sequence[np.ndarray], *, level: float = 0.95) -> tuple:
    """Return the mean over networks and the ends of its interval, for other networks and for other landings.

    The variance is s²/k + v: s² is that of the k values, v that of their mean over resampled landings, which all
    networks share. Its root times Student's quantile with k − 1 degrees of freedom is the half width, a little wide on
    purpose.

    Args:
        values: one number of each network, k >= 2.
        draws: its ``(repeats,)`` values on resampled landings; the same landings in every network's draw.
        level: nominal coverage.

    Raises:
        ValueError: for fewer than two networks, or draws of another number.

    Example:
        >>> mean, low, high = over_networks([0.6, 0.8], [np.array([0.6, 0.6]), np.array([0.8, 0.8])])
        >>> assert abs(mean - 0.7) < 1e-12 and abs(high - low - 2 * 12.706 * 0.1) < 1e-3
    """
    values, draws = np.asarray(values, float), np.asarray(draws, float)
    if len(values) < 2 or len(values) != len(draws):
        raise ValueError(f"values and draws must be of 2 or more networks, got {len(values)} and {len(draws)}")
    variance = values.var(ddof=1) / len(values) + draws.mean(0).var()
    half = student.ppf((1 + level) / 2, len(values) - 1) * variance**0.5
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)
