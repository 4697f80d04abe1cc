"""All facts about the released networks, one group for each of the three chapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acelib.lab.released.facts import Fact
from acelib.lab.released.flight_facts import flight_facts
from acelib.lab.released.iris_facts import iris_facts
from acelib.lab.released.sequence_facts import sequence_facts

GROUPS: dict[str, Callable[..., dict[str, Fact]]] = {
    "iris-": iris_facts,
    "gru-": sequence_facts,
    "flight-": flight_facts,
}
"""Start of the facts' names to the function that computes them."""


def compute(prefix: str, *, folder: str | Path | None = None) -> dict[str, Fact]:
    """Return the facts of one group, computed on the released networks.

    Args:
        prefix: one of ``GROUPS``.
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if no folder is named, or a file is missing or another one.
        ValueError: for another prefix.
    """
    if prefix not in GROUPS:
        raise ValueError(f"prefix must be one of {', '.join(GROUPS)}, got {prefix!r}")
    return GROUPS[prefix](folder)
