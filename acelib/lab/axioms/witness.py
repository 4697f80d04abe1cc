"""The search for a witness: random cases until one violates the axiom; and the worst of many, where none should."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from acelib.lab.networks import stream

from .kinds import Draw
from .method import Attribute

BEYOND = 0.01  # what a witness must show; the outputs are of the size of one


@dataclass(frozen=True)
class Witness:
    """A case that violates an axiom, and the number under which it is drawn again.

    Attributes:
        number: of the case among those of its seed.
        gap: by how much it violates the axiom.
        case: the arguments of the axiom: network, inputs, population, and what else it asks for.
    """

    number: int
    gap: float
    case: Mapping[str, Any]


def search(
    method: Attribute, gap: Callable[..., float], draw: Draw, *, tries: int = 50, seed: int = 0, beyond: float = BEYOND
) -> Witness | None:
    """Return the first of so many random cases in which an axiom is violated, None where there is none.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        gap: an axiom, ``(method, **case) -> float``.
        draw: what draws a case from a generator.
        tries: most cases that are looked at.
        seed: with a case's number it decides the case.
        beyond: gaps up to here do not count.

    Example:
        >>> from acelib.lab.axioms import AXIOMS
        >>> constant = lambda net, x, rows: 0 * x  # nothing to anyone
        >>> axiom = AXIOMS["completeness"]
        >>> found = search(constant, axiom.gap, axiom.kinds["additive"])
        >>> assert found.number == 0 and found.gap == axiom.gap(constant, **found.case)
    """
    for number in range(tries):
        case = draw(stream(seed, number))
        found = gap(method, **case)
        if found > beyond:
            return Witness(number, found, case)
    return None


def largest_gap(method: Attribute, gap: Callable[..., float], draw: Draw, *, tries: int = 50, seed: int = 0) -> float:
    """Return the largest gap of so many random cases: zero, up to rounding, where the axiom holds.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        gap: an axiom, ``(method, **case) -> float``.
        draw: what draws a case from a generator.
        tries: how many cases.
        seed: as for ``search``.

    Example:
        >>> from acelib.lab.axioms import AXIOMS
        >>> constant = lambda net, x, rows: 0 * x
        >>> axiom = AXIOMS["dummy"]
        >>> assert largest_gap(constant, axiom.gap, axiom.kinds["unread"], tries=5) == 0
    """
    return max(gap(method, **draw(stream(seed, number))) for number in range(tries))
