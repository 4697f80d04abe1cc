"""The choice of ``method="auto"``: all rows where they fit the budget, else what has the least error for its price.

Plain rows beside the linear step corrected on drawn rows: a trial on a few rows says how much each varies. Its rows and
inputs depend on the seed alone, and the price of the slopes is shared by all features of a call, so that the choice
does not depend on which of them are asked for.
"""

from __future__ import annotations

from typing import NamedTuple

from .._entrance import admit
from ..inputs.local import Local
from .networks import Networks, probe_rows
from .pilot import Pilot

FEWEST = 30  # rows that must be left to correct the linear step


class Choice(NamedTuple):
    """What "auto" does, and why.

    Attributes:
        method: "monte_carlo" or "linearised".
        rows: rows that are averaged, or whose price the correction has.
        reason: why.
    """

    method: str
    rows: int
    reason: str


def linear_rows(networks: Networks, local: Local, columns: int, rows: int, budget: int) -> int:
    """Return how many rows are left to correct the linear step when its price is shared by all features and values.

    Args:
        networks: the networks.
        local: the coordinates at the rows.
        columns: how many outputs are expanded.
        rows: rows for each feature and value that the budget has.
        budget: model rows in all.
    """
    slopes = len(local.rows) * len(networks.bare) * (1 + 2 * columns)
    return int(rows * (1 - slopes / budget))


def without_linear(local: Local | None) -> str | None:
    """Return why no linear step can be taken from these coordinates, or None where it can."""
    if local is None:
        return "setting it is not all that the intervention does to a row"
    return None if local.rows.is_floating_point() else "the inputs are no floating numbers"


def differentiable(networks: Networks) -> bool:
    """Return whether the networks can be differentiated, each of them asked on two rows."""
    try:
        for model in networks.given:
            admit(model, probe_rows(networks.inputs), networks.inputs.shape, derivatives=True)
    except Exception:  # noqa: BLE001  (a network may refuse to be differentiated in any way it likes)
        return False
    return True


def choice(trial: Pilot, rows: int, left: int, every: int, *, effects: bool = False) -> Choice:
    """Return the better of plain rows and the linear step, as estimates of what the rows are a sample of.

    Args:
        trial: what a pilot says.
        rows: plain rows that the budget has for each feature and value.
        left: rows that are left to correct the linear step.
        every: rows that it is taken at.
        effects: whether the error of effects counts, for regressors, or that of the expectations.
    """
    own = trial.effects if effects else trial.plain
    plain, linear = (own / rows) ** 0.5, (own / every + trial.best.error**2 / left) ** 0.5
    ratio = linear / max(plain, 1e-300)
    said = f"in a trial the linear step left {ratio:.2g} times the error of plain rows for the same price"
    return Choice("linearised", left, said) if linear < plain else Choice("monte_carlo", rows, said)
