"""Who answers do()? The input distribution of a feed-forward network.

In a feed-forward network seen as a structural causal model, an intervened input is d-separated from the others, so
do(x_i = a) changes x_i and nothing else (Chattopadhyay et al., 2019, Prop. 2 and Cor. 2.1): the means stay except
mu_i = a, the covariance stays except that row and column i become 0. With the covariance held as S S^T, that is
row i of S set to 0, and one factorisation serves every feature.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .._checks import as_float_tensor, as_values
from .._checks import feature_names as check_names
from .._warnings import ExtrapolationWarning
from .domain import Domain, Interval, as_domains, warn_constant
from .intervention import Intervention, overwrite_rows
from .moments import factorise_rows, factorise_stream, is_batches
from .support import off_support

Feature = str | int | Sequence[str | int]


@dataclass(frozen=True, repr=False)
class InputDistribution:
    """Moments and rows of a network's inputs; answers do(feature, values) by Cor. 2.1.

    Attributes:
        mean: ``(k,)`` of the flattened inputs.
        factor: ``(k, R)`` with covariance ``factor @ factor.T`` (ddof = 0).
        domain: an Interval or a FiniteSet per feature.
        samples: ``(n, k)`` rows, or None where only moments are known.
        feature_names: k names.
        shape: the shape of one input as the model wants it.
        num_observed: rows behind the moments, None where unknown.
        explained: share of the variance that ``factor`` holds (below 1 where ``rank`` truncated it).

    Example:
        >>> X = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 2.0]], dtype=torch.float64)
        >>> inputs = InputDistribution.fit(X, feature_names=["a", "b"])
        >>> answer = inputs.do("a", [0.0, 4.0])
        >>> assert answer.means.tolist() == [[0.0, 2.0], [4.0, 2.0]]
        >>> assert answer.factor[0].abs().max() == 0  # a no longer varies
    """

    mean: Tensor
    factor: Tensor
    domain: tuple[Domain, ...]
    samples: Tensor | None
    feature_names: tuple[str, ...]
    shape: tuple[int, ...]
    num_observed: int | None = None
    explained: float = 1.0
    fixed: tuple[int, ...] = ()
    observed: Tensor | None = field(default=None)

    @classmethod
    def fit(
        cls,
        X: Any,
        feature_names: Iterable[str] | None = None,
        rank: int | float | None = None,
        domain: Any = None,
        *,
        max_rows: int = 10_000,
        seed: int | None = 0,
    ) -> InputDistribution:
        """Return the input distribution of a table, a tensor of inputs, or a stream of batches.

        Args:
            X: ``(n, *shape)`` tensor, array or data frame, n >= 2; or an iterable of such batches (of the first
                element of each, where batches are tuples), which streams the moments and keeps a reservoir of rows.
            feature_names: one per flattened input; a data frame brings its own.
            rank: keep this many columns of the factor, or, for a float below 1, as many as explain that share of
                the variance. None keeps all.
            domain: ``(low, high)``, a set of values, a mapping from names to these, or one per feature; default is
                the range of the samples.
            max_rows: size of the reservoir for a stream.
            seed: of the reservoir.

        Raises:
            TypeError: if X is not numeric.
            ValueError: for fewer than two rows, NaN or Inf, wrong names, rank or domain.
        """
        if feature_names is None and hasattr(X, "columns"):
            feature_names = [str(c) for c in X.columns]
        if is_batches(X):
            parts = factorise_stream(X, rank=rank, max_rows=max_rows, seed=seed)
        else:
            parts = factorise_rows(as_float_tensor(X, "X"), rank=rank)
        names = check_names(feature_names, parts.mean.shape[0])
        domains = as_domains(domain, names, parts.low, parts.high)
        warn_constant(names, domains, stacklevel=3)
        return cls(
            parts.mean,
            parts.factor,
            domains,
            parts.rows,
            names,
            parts.shape,
            parts.count,
            parts.explained,
            observed=parts.rows,
        )

    @classmethod
    def from_moments(
        cls,
        mean: Any,
        factor: Any,
        *,
        low: Any,
        high: Any,
        feature_names: Iterable[str] | None = None,
        shape: Sequence[int] | None = None,
        num_observed: int | None = None,
    ) -> InputDistribution:
        """Return an input distribution without rows, from shipped statistics.

        Args:
            mean: ``(k,)``, or the shape of one input.
            factor: ``(k, R)`` with covariance ``factor @ factor.T``.
            low, high: ends of each feature's domain; numbers or ``(k,)``.
            feature_names: k names.
            shape: of one input; default is the shape of ``mean``.
            num_observed: rows behind the moments; with it Taylor and cubature get standard errors.

        Raises:
            ValueError: if the shapes do not fit together or low exceeds high.
        """
        mean = as_float_tensor(mean, "mean")
        shape = tuple(mean.shape if shape is None else shape)
        mean = mean.reshape(-1)
        k = mean.shape[0]
        factor = as_float_tensor(factor, "factor", dtype=mean.dtype, device=mean.device)
        if factor.ndim != 2 or factor.shape[0] != k:
            raise ValueError(f"factor must have shape (k, R) = ({k}, R), got {tuple(factor.shape)}")
        if torch.Size(shape).numel() != k:
            raise ValueError(f"shape {shape} does not hold the {k} entries of mean")
        ends = [as_float_tensor(e, n, dtype=torch.float64).reshape(-1) for e, n in ((low, "low"), (high, "high"))]
        if any(e.numel() not in (1, k) for e in ends):
            raise ValueError(f"low and high must be numbers or have {k} entries each")
        lows, highs = (e.expand(k).tolist() for e in ends)
        domains = tuple(Interval(a, b) for a, b in zip(lows, highs, strict=True))
        return cls(mean, factor, domains, None, check_names(feature_names, k), shape, num_observed)

    def __repr__(self) -> str:
        rows = "no rows" if self.samples is None else f"{self.samples.shape[0]} rows"
        names = ", ".join(self.feature_names[:6]) + (", ..." if self.num_features > 6 else "")
        return (
            f"InputDistribution({self.num_features} features ({names}), {rows}, rank {self.factor.shape[1]}, "
            f"{self.explained:.1%} of the variance, {self.mean.dtype}, {self.mean.device})"
        )

    @property
    def num_features(self) -> int:
        """Number of flattened inputs, k."""
        return self.mean.shape[0]

    @property
    def covariance(self) -> Tensor:
        """``(k, k)`` covariance, factor @ factor.T."""
        return self.factor @ self.factor.T

    @property
    def low(self) -> Tensor:
        """``(k,)`` lower ends of the domains, float64."""
        return torch.tensor([d.low for d in self.domain], dtype=torch.float64)

    @property
    def high(self) -> Tensor:
        """``(k,)`` upper ends of the domains, float64."""
        return torch.tensor([d.high for d in self.domain], dtype=torch.float64)

    def to(self, target: str | torch.device | torch.dtype) -> InputDistribution:
        """Return the same distribution on another device or in another floating dtype."""
        moved = {n: getattr(self, n) for n in ("mean", "factor", "samples", "observed")}
        return replace(self, **{n: None if t is None else t.to(target) for n, t in moved.items()})

    def feature(self, feature: Feature) -> tuple[int, ...]:
        """Return the flattened coordinates of a name, an index, or a tuple of them.

        Raises:
            ValueError: for an unknown name (with the nearest ones) or an index out of range.
        """
        if isinstance(feature, tuple | list):
            columns = tuple(c for f in feature for c in self.feature(f))
            if not columns or len(set(columns)) != len(columns):
                raise ValueError(f"feature {feature!r} must name at least one input, each once")
            return columns
        if isinstance(feature, str):
            return (_position(feature, self.feature_names),)
        index = int(feature)
        if not -self.num_features <= index < self.num_features:
            raise ValueError(f"feature index {index} is out of range for {self.num_features} features")
        return (index % self.num_features,)

    def label(self, feature: Feature) -> str:
        """Return the feature's name, names joined by a comma for several."""
        return ", ".join(self.feature_names[c] for c in self.feature(feature))

    def do(self, feature: Feature | Mapping[Feature, float], values: Any = None) -> Any:
        """Answer an intervention.

        ``do(feature, values)`` returns the Intervention for all m values, ``(m,)`` or ``(m, w)`` for w coordinates.
        ``do({feature: value, ...})`` pins those inputs and returns an InputDistribution again, so interventions
        can be nested.

        Raises:
            ValueError: for unknown features, NaN, empty or misshapen values, or a feature that is pinned already.
        """
        if isinstance(feature, Mapping):
            if values is not None:
                raise ValueError("do() takes either a mapping or a feature with values, not both")
            return self._pin(feature)
        if values is None:
            raise ValueError("do(feature, values) needs values; do({feature: value}) returns a pinned distribution")
        columns, values = self._check(feature, values)
        means = self.mean.repeat(values.shape[0], 1)
        means[:, list(columns)] = values
        factor = self.factor.clone()
        factor[list(columns)] = 0
        pinned = torch.zeros_like(means, dtype=torch.bool)
        pinned[:, list(columns + self.fixed)] = True
        rows = None if self.samples is None else overwrite_rows(self.samples, columns, values)
        support = None
        if self.samples is not None:
            observed, samples = self.observed, self.samples
            every = columns + self.fixed
            wanted = torch.cat([values, self.mean[list(self.fixed)].expand(values.shape[0], -1)], dim=1)

            def support() -> Tensor:
                return off_support(observed, samples, every, wanted)

        return Intervention(
            name=self.label(feature),
            columns=columns,
            values=values,
            means=means,
            factor=factor,
            pinned=pinned,
            shape=self.shape,
            num_rows=0 if self.samples is None else self.samples.shape[0],
            num_observed=self.num_observed,
            base_rows=self.samples,
            residual=None if self.samples is None or self.explained > 1 - 1e-9 else (self.samples, self.factor),
            row_source=rows,
            support_source=support,
        )

    def _check(self, feature: Feature, values: Any) -> tuple[tuple[int, ...], Tensor]:
        columns = self.feature(feature)
        again = [self.feature_names[c] for c in columns if c in self.fixed]
        if again:
            raise ValueError(f"feature {again} is already pinned by an earlier do(); start from the original inputs")
        values = as_values(values, len(columns), dtype=self.mean.dtype, device=self.mean.device)
        for position, column in enumerate(columns):
            domain, name = self.domain[column], self.feature_names[column]
            outside = domain.outside(values[:, position])
            if len(outside):
                warnings.warn(
                    f"{len(outside)} of {values.shape[0]} values for {name!r} lie outside its domain "
                    f"[{domain.low:g}, {domain.high:g}], e.g. {outside[0]:g}: the network extrapolates there",
                    ExtrapolationWarning,
                    stacklevel=4,
                )
        return columns, values

    def _pin(self, pins: Mapping[Feature, float]) -> InputDistribution:
        if not pins:
            raise ValueError("do({}) pins nothing; name at least one feature")
        result = self
        for feature, value in pins.items():
            columns, values = result._check(feature, [value] if not isinstance(value, list | tuple) else value)
            if values.shape[0] != 1:
                raise ValueError(f"do({{{feature!r}: ...}}) pins one value per input, got {values.shape[0]}")
            index = list(columns)
            mean, factor = result.mean.clone(), result.factor.clone()
            mean[index], factor[index] = values[0], 0
            samples = result.samples
            if samples is not None:
                samples = samples.clone()
                samples[:, index] = values[0]
            result = replace(result, mean=mean, factor=factor, samples=samples, fixed=result.fixed + columns)
        return result


def _position(name: str, names: Sequence[str]) -> int:
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, n=3) or list(names[:6])
    raise ValueError(f"feature {name!r} is not there; did you mean {', '.join(map(repr, close))}?")
