"""The values that an input may be given: an interval or a finite set per feature.

The uniform distribution over the domain is the default law of interventions (Chattopadhyay et al., 2019, Sec. 4.3):
it sets the baseline, the grid of a causal regressor and the limit beyond which a value is an extrapolation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .._warnings import ConstantFeatureWarning, warn_caller
from .ends import SampleRange


@dataclass(frozen=True)
class Interval:
    """All values from ``low`` to ``high``, in the feature's unit.

    Attributes:
        low, high: the ends.
        origin: the sample whose range it is, with the errors of its ends; None where the interval was named, and so is
            certain. Intervals with the same ends are equal wherever they come from.

    Example:
        >>> assert Interval(0.0, 2.0).outside(torch.tensor([1.5, 3.0])).tolist() == [3.0]
    """

    low: float
    high: float
    origin: SampleRange | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        origin = "" if self.origin is None else f", {self.origin}"
        return f"Interval(low={self.low}, high={self.high}{origin})"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"low and high must be finite with low <= high, got ({self.low}, {self.high})")

    @property
    def width(self) -> float:
        """high - low; 0 for a constant feature."""
        return self.high - self.low

    def outside(self, values: Tensor) -> Tensor:
        """Return those of ``values (m,)`` that lie outside; their own rounding is forgiven."""
        slack = 10 * torch.finfo(values.dtype).eps * max(self.width, abs(self.low), abs(self.high))
        low, high = self.low - slack, self.high + slack
        if not len(values):
            return values
        least, most = values.aminmax()
        if float(least) >= low and float(most) <= high:
            return values[:0]
        return values[(values < low) | (values > high)]

    def grid(self, num: int, kind: str = "uniform") -> Tensor:
        """Return ``(num,)`` float64 values from low to high, equally spaced or Chebyshev points of the second kind."""
        if kind not in ("uniform", "chebyshev"):
            raise ValueError(f"grid must be 'uniform' or 'chebyshev', got {kind!r}")
        if self.width == 0 or num == 1:
            return torch.tensor([(self.low + self.high) / 2], dtype=torch.float64)
        if kind == "uniform":
            return torch.linspace(self.low, self.high, num, dtype=torch.float64)
        angles = torch.linspace(math.pi, 0.0, num, dtype=torch.float64)
        points = (self.low + self.high) / 2 + self.width / 2 * torch.cos(angles)
        points[0], points[-1] = self.low, self.high  # cos(pi) rounds
        return points


class FiniteSet:
    """A finite set of admissible values; effects over it are a table, not a polynomial.

    Args:
        values: one or more finite numbers, in any order.

    Example:
        >>> FiniteSet((1.0, 0.0)).values
        (0.0, 1.0)
    """

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[float]) -> None:
        self._values = tuple(sorted({float(v) for v in values}))
        if not self._values or not all(math.isfinite(v) for v in self._values):
            raise ValueError(f"values must hold at least one number, all finite, got {self._values}")

    def __repr__(self) -> str:
        return f"FiniteSet(values={self.values})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FiniteSet) and self.values == other.values

    def __hash__(self) -> int:
        return hash(self.values)

    @property
    def values(self) -> tuple[float, ...]:
        """The values, each once, ascending."""
        return self._values

    @property
    def low(self) -> float:
        """The smallest value."""
        return self.values[0]

    @property
    def high(self) -> float:
        """The largest value."""
        return self.values[-1]

    @property
    def width(self) -> float:
        """high - low; 0 for a constant feature."""
        return self.high - self.low

    def outside(self, values: Tensor) -> Tensor:
        """Return those of ``values (m,)`` that are not in the set; their own rounding is forgiven."""
        slack = 10 * torch.finfo(values.dtype).eps * max(self.width, abs(self.low), abs(self.high))
        return values[((values[:, None] - values.new_tensor(self.values)).abs() > slack).all(1)]

    def grid(self, num: int = 0, kind: str = "uniform") -> Tensor:
        """Return all values of the set, float64; ``num`` and ``kind`` do not matter."""
        return torch.tensor(self.values, dtype=torch.float64)


Domain = Interval | FiniteSet


def as_domain(spec: Any, name: str) -> Domain:
    """Return an Interval for a pair ``(low, high)``, a FiniteSet for a set, and domains as they are."""
    if isinstance(spec, Interval | FiniteSet):
        return spec
    if isinstance(spec, set | frozenset) or (isinstance(spec, tuple) and len(spec) == 2):
        try:
            numbers = [float(value) for value in spec]
        except (TypeError, ValueError):
            numbers = None
        if numbers is not None:
            return Interval(numbers[0], numbers[1]) if isinstance(spec, tuple) else FiniteSet(numbers)
    raise ValueError(f"domain of {name!r} must be a pair (low, high) or a set of values, got {spec!r}")


def as_domains(
    spec: Any,
    names: Sequence[str],
    low: Tensor,
    high: Tensor,
    sets: Mapping[int, FiniteSet] | None = None,
    origins: Callable[[], Sequence[SampleRange]] | None = None,
) -> tuple[Domain, ...]:
    """Return one domain per feature from a user's ``domain=`` argument; where none is given, that of the sample.

    Args:
        spec: None, one pair or set for all features, a mapping from names to pairs or sets, or one per feature.
        names: k names.
        low, high: ``(k,)`` range of the sample.
        sets: the columns whose sample is a finite set, by number; the others have their range.
        origins: gives the origin of each range, where some feature has it as domain.
    """
    known: Sequence[SampleRange | None] = [None] * len(names)
    if origins is not None and (spec is None or isinstance(spec, Mapping)):
        known = origins()
    ends = zip(low.tolist(), high.tolist(), known, strict=True)
    default: list[Domain] = [Interval(a, b, origin) for a, b, origin in ends]
    for column, values in (sets or {}).items():
        default[column] = values
    if spec is None:
        return tuple(default)
    if isinstance(spec, Mapping):
        unknown = [key for key in spec if key not in names]
        if unknown:
            raise ValueError(f"domain must name features out of {list(names)[:20]}, got {unknown}")
        return tuple(as_domain(spec[n], n) if n in spec else d for n, d in zip(names, default, strict=True))
    pair = isinstance(spec, tuple) and len(spec) == 2 and all(getattr(v, "ndim", 0) == 0 for v in spec)
    pair = pair and all(hasattr(v, "__float__") for v in spec)
    if pair or isinstance(spec, set | frozenset | Interval | FiniteSet):
        return tuple(as_domain(spec, n) for n in names)
    if isinstance(spec, list | tuple) and len(spec) == len(names):
        return tuple(as_domain(s, n) for s, n in zip(spec, names, strict=True))
    raise ValueError(
        f"domain must be a pair (low, high), a set, a mapping from names, or one of these for each of the "
        f"{len(names)} features, got {type(spec).__name__}"
    )


def warn_constant(names: Sequence[str], domains: Sequence[Domain]) -> None:
    """Warn once of the features whose domain is a single value, by name."""
    constant = [name for name, domain in zip(names, domains, strict=True) if domain.width == 0]
    if constant:
        shown = ", ".join(constant[:10]) + (f" and {len(constant) - 10} more" if len(constant) > 10 else "")
        warn_caller(
            f"constant features have effect 0 unless domain gives them an interval: {shown}", ConstantFeatureWarning
        )


def described(domains: Sequence[Domain]) -> str:
    """Return where the intervals come from: "domain: named", "domain: range of 500 rows", or which share is named."""
    intervals = [domain for domain in domains if isinstance(domain, Interval)]
    named = sum(interval.origin is None for interval in intervals)
    origins = list(dict.fromkeys(str(i.origin) for i in intervals if i.origin is not None))
    some = [f"{named} of {len(intervals)} named, else"] if 0 < named < len(intervals) else []
    return "domain: " + (" ".join(some + origins) if origins else "named")
