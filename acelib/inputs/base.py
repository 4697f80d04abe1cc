"""The causal input model: what answers ``do(feature, values)``.

The estimators see the answer, an ``Intervention``, and never where it came from, so a new kind of input is a subclass
of ``InputModel`` with two methods and touches no estimator.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self, overload

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .._checks import as_index, as_values
from .._tables import by_name, is_frame
from .._warnings import ExtrapolationWarning, warn_caller
from .conditions import rows_of
from .domain import Domain, FiniteSet
from .intervention import Intervention

Feature = str | int | Sequence[Any]  # a name, an index, or several of them


class InputModel(ABC):
    """A causal model of a network's inputs; ``do`` answers interventions on its k flattened coordinates.

    To make one of your own, set the attributes below and write ``answer`` and ``pin``; names, indices, the reading of
    values and the warning of extrapolation are here. ``answer`` returns an ``Intervention``, most easily a
    ``SimulatedIntervention`` or a ``TableIntervention`` of ``acelib.inputs``. Three more methods may be overridden:
    ``check_values``, to refuse values that have no meaning, ``read_values``, where ``mean`` is costly to ask, and
    ``keep_rows``, behind ``where``.

    Attributes:
        feature_names: k names of the flattened coordinates.
        domain: an Interval or a FiniteSet per coordinate.
        shape: the shape of one input as the model wants it.
        mean: ``(k,)`` mean of the inputs, in their dtype and on their device.
        samples: ``(n, k)`` rows, or None where there are none.
        fixed: the coordinates that earlier interventions have pinned, ``()`` at first.

    References:
        Chattopadhyay et al. (2019), Sec. 3 (causal models of networks) and Cor. 2.1.

    Example:
        >>> from functools import partial
        >>> from acelib import InputModel, Interval, interventional_expectation
        >>> from acelib.inputs import SimulatedIntervention
        >>> class Chain(InputModel):  # x1 = 2 x0 + noise, so that setting x0 moves x1 too
        ...     feature_names, shape, domain = ("x0", "x1"), (2,), (Interval(-9.0, 9.0),) * 2
        ...     def __init__(self, rows, fixed=()):
        ...         self.samples, self.mean, self.fixed = rows, rows.mean(0), fixed
        ...     def simulate(self, columns, values, index=slice(None)):
        ...         rows = self.samples[index].repeat(len(values), 1, 1)
        ...         noise = rows[..., 1] - 2 * rows[..., 0]  # stays as it is, whatever is set
        ...         rows[..., list(columns)] = values[:, None]
        ...         if 1 not in columns + self.fixed:
        ...             rows[..., 1] = 2 * rows[..., 0] + noise
        ...         return rows
        ...     def answer(self, columns, values, name):
        ...         rows = dict(num_rows=len(self.samples), simulate=partial(self.simulate, columns), fixed=self.fixed)
        ...         return SimulatedIntervention(name=name, columns=columns, values=values, shape=self.shape, **rows)
        ...     def pin(self, pins):
        ...         rows = self.simulate(tuple(pins), torch.tensor([list(pins.values())]))[0]
        ...         return Chain(rows, self.fixed + tuple(pins))
        >>> inputs = Chain(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))  # the noise is 1 and -1
        >>> total = interventional_expectation(lambda x: x.sum(1, keepdim=True), inputs, "x0", [1.0, 3.0])
        >>> assert total.values[:, 0].tolist() == [3.0, 9.0]  # 1 + 2 and 3 + 6
        >>> direct = inputs.do({"x1": 0.0}).do("x0", [1.0, 3.0])
        >>> assert direct.means.tolist() == [[1.0, 0.0], [3.0, 0.0]]  # x1 is held: what is left is the direct effect
    """

    # Only annotated: a property or a value here would become the default of a field in a subclass that is a dataclass.
    feature_names: tuple[str, ...]
    domain: tuple[Domain, ...]
    shape: tuple[int, ...]
    mean: Tensor
    samples: Tensor | None
    fixed: tuple[int, ...]

    @abstractmethod
    def answer(self, columns: tuple[int, ...], values: Tensor, name: str) -> Intervention:
        """Return the answer to setting coordinates to each of m values.

        Called by ``do(feature, values)`` after all checks.

        Args:
            columns: w coordinates, distinct and not in ``fixed``.
            values: ``(m, w)`` finite, in the dtype and on the device of the inputs.
            name: the feature's name, for messages and axes.
        """

    @abstractmethod
    def pin(self, pins: Mapping[int, float]) -> Self:
        """Return an input model of the same kind in which these coordinates keep these values.

        Called by ``do({feature: value})`` after all checks.

        Args:
            pins: values by coordinate, at least one; the coordinates are not in ``fixed``, and belong there afterwards.
        """

    def check_values(self, columns: tuple[int, ...], values: Tensor) -> None:
        """Warn of values outside their domains; a subclass may also refuse values that have no meaning.

        Args:
            columns: w coordinates.
            values: ``(m, w)``.
        """
        for column, given in zip(columns, values.unbind(1), strict=True):
            domain = self.domain[column]
            outside = domain.outside(given)
            if len(outside):
                warn_caller(
                    f"{len(outside)} of {len(given)} values for {self.feature_names[column]!r} lie outside its domain "
                    f"{_shown(domain)}, e.g. {outside[0]:g}: the network extrapolates there",
                    ExtrapolationWarning,
                )

    def keep_rows(self, index: Tensor) -> Self:
        """Return an input model of the same kind with these rows alone.

        Called by ``where`` after all checks. Names, shape, domain, and the data that intervened rows are compared with
        stay; moments are those of these rows.

        Args:
            index: ``(b,)`` ascending numbers of at least two of the rows.

        Raises:
            ValueError: here, where a subclass has no such answer.
        """
        raise ValueError(
            f"inputs must have rows that can be chosen for a condition, got {type(self).__name__}; override keep_rows"
        )

    def quick_support(self, column: int, values: Tensor) -> Tensor | None:
        """Return about the share of rows that leave the data with a coordinate at each of a few values, or None.

        It decides about warnings, and takes next to no time. None, as here, leaves it undecided: where rows have to be
        simulated, or in many dimensions. ``Expectation.support`` is the number itself.

        Args:
            column: the coordinate.
            values: ``(m,)`` float64 on the CPU.
        """
        return None

    def read_values(self, values: Any, width: int) -> Tensor:
        """Return values as ``(m, width)``, checked, in the dtype and on the device of ``mean``.

        Args:
            values: numbers, an array, a tensor, a series or a data frame.
            width: number of coordinates that are set together.
        """
        return as_values(values, width, dtype=self.mean.dtype, device=self.mean.device)

    @property
    def num_features(self) -> int:
        """Number of flattened inputs, k."""
        return len(self.feature_names)

    @property
    def low(self) -> Tensor:
        """``(k,)`` lower ends of the domains, float64."""
        return torch.tensor([d.low for d in self.domain], dtype=torch.float64)

    @property
    def high(self) -> Tensor:
        """``(k,)`` upper ends of the domains, float64."""
        return torch.tensor([d.high for d in self.domain], dtype=torch.float64)

    def feature(self, feature: Feature) -> tuple[int, ...]:
        """Return the flattened coordinates of a name, an index, or a tuple of them.

        Raises:
            TypeError: if it is something else.
            ValueError: for an unknown name (with the nearest ones), an index out of range, or one named twice.
        """
        if isinstance(feature, tuple | list):
            columns = tuple(c for f in feature for c in self.feature(f))
            if not columns or len(set(columns)) != len(columns):
                raise ValueError(f"feature must name at least one input, each once, got {feature!r}")
            return columns
        if isinstance(feature, str):
            return (_position(feature, self.feature_names),)
        index = as_index(feature)
        if index is None:
            raise TypeError(f"feature must be a name, an index or a tuple of them, got {feature!r}")
        if not -self.num_features <= index < self.num_features:
            name = f"; {str(index)!r} is a name, as text" if str(index) in self.feature_names else ""
            raise ValueError(
                f"feature must be an index below {self.num_features}, got {index}: it is out of range{name}"
            )
        return (index % self.num_features,)

    def label(self, feature: Feature) -> str:
        """Return the feature's name, names joined by a comma for several."""
        return ", ".join(self.feature_names[c] for c in self.feature(feature))

    def row_numbers(self, condition: Any) -> Tensor:
        """Return the ascending numbers ``(b,)`` of the rows that satisfy a condition, see ``where``."""
        return rows_of(condition, self)

    def where(self, condition: Any) -> Self:
        """Return the input model of the rows that satisfy a condition: a region of the inputs.

        Names, domain and the data that intervened rows are compared with stay, so that curves over different regions
        compare; moments and averages are those of these rows. It is a choice of rows that were observed, not an
        intervention: inputs that go with the condition differ between regions too.

        Args:
            condition: a mapping from features to pairs (low, high), both included and None for an open end, or to sets
                of values or a value, which must all hold; or truth values ``(n,)``, one for each row; or numbers of
                rows; or a function ``(n, *shape) -> (n,)`` of the rows.

        Raises:
            TypeError: for a condition of another kind.
            ValueError: for fewer than two such rows, an input that ``do`` has pinned, or an input model whose rows
                cannot be chosen.

        Example:
            >>> from acelib import InputDistribution
            >>> X = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 2.0]], dtype=torch.float64)
            >>> high = InputDistribution.fit(X).where({"x1": (2.0, None)})
            >>> assert high.samples.tolist() == X[1:].tolist() and high.domain[0].low == 0
        """
        return self.keep_rows(self.row_numbers(condition))

    @overload
    def do(self, feature: Mapping[Any, Any], values: None = None) -> Self: ...
    @overload
    def do(self, feature: Feature, values: Any) -> Intervention: ...
    def do(self, feature: Feature | Mapping[Any, Any], values: Any = None) -> Intervention | Self:
        """Return the answer to an intervention, or the input model after it.

        ``do(feature, values)`` returns the Intervention for all m values, ``(m,)`` or ``(m, w)`` for w coordinates.
        ``do({feature: value, ...})`` pins those inputs and returns an input model again, so that interventions nest.

        Args:
            feature: a name, an index, a tuple of them, or a mapping from these to one value each.
            values: what the feature is set to.

        Raises:
            ValueError: for unknown features, NaN, empty or misshapen values, or a feature that is pinned already.
        """
        if isinstance(feature, Mapping):
            if values is not None:
                raise ValueError("values must be left out where feature is a mapping, which holds its own")
            return self.pin(self._read_pins(feature))
        if values is None:
            raise ValueError("values must be given for do(feature, values); do({feature: value}) pins an input instead")
        columns, values = self._read(feature, values)
        return self.answer(columns, values, self.label(feature))

    def _read_pins(self, pins: Mapping[Any, Any]) -> dict[int, float]:
        """Return checked values by coordinate."""
        if not pins:
            raise ValueError("feature must be a mapping with at least one feature, got {}")
        chosen: dict[int, float] = {}
        for feature, value in pins.items():
            many = isinstance(value, list | tuple | Tensor) or hasattr(value, "iloc")
            columns, values = self._read(feature, value if many else [value])
            if values.shape[0] != 1:
                raise ValueError(f"do({{{feature!r}: ...}}) must hold one value per input, got {values.shape[0]}")
            twice = [self.feature_names[c] for c in columns if c in chosen]
            if twice:
                raise ValueError(f"feature must set each input once in one do(), got {twice} twice")
            chosen |= dict(zip(columns, values[0].tolist(), strict=True))
        return chosen

    def _read(self, feature: Feature, values: Any) -> tuple[tuple[int, ...], Tensor]:
        """Return coordinates and checked values ``(m, w)``."""
        columns = self.feature(feature)
        again = [self.feature_names[c] for c in columns if c in self.fixed]
        if again:
            raise ValueError(
                f"feature must not be pinned by an earlier do(), got {again}; use the original input model"
            )
        values = by_name(values, [self.feature_names[c] for c in columns], self.feature_names)
        values = self.read_values(values, len(columns))
        self.check_values(columns, values)
        return columns, values


def check_input_model(inputs: Any) -> None:
    """Raise a TypeError where ``inputs`` is no causal input model, which says what to pass instead."""
    if isinstance(inputs, InputModel):
        return
    hint = ""
    if isinstance(inputs, type):
        hint = "; this is the class itself, call its fit(X)"
    elif isinstance(inputs, Dataset):
        hint = "; pass InputDistribution.fit(DataLoader(X, batch_size=256)) with your data set as X"
    elif isinstance(inputs, Tensor | DataLoader | list | tuple) or hasattr(inputs, "__array__") or is_frame(inputs):
        hint = "; pass InputDistribution.fit(X) with your data as X"
    elif callable(inputs):
        hint = "; a model comes first, the inputs second"
    raise TypeError(
        f"inputs must be a causal input model such as InputDistribution.fit(X), got {type(inputs).__name__}; "
        f"a kind of your own is a subclass of acelib.InputModel{hint}"
    )


def _shown(domain: Domain) -> str:
    """Return a domain for a message: the ends of an interval, or the first values of a finite set."""
    if isinstance(domain, FiniteSet):
        return (
            "{" + ", ".join(f"{value:g}" for value in domain.values[:12]) + (", ..." * (len(domain.values) > 12)) + "}"
        )
    return f"[{domain.low:g}, {domain.high:g}]"


def _position(name: str, names: Sequence[str]) -> int:
    """Return the position of a name, or raise a ValueError that holds the nearest ones."""
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, n=3) or list(names[:6])
    meant = ", ".join(map(repr, close))
    raise ValueError(f"feature must be one of the {len(names)} names, got {name!r}; did you mean {meant}?")
