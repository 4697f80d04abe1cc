"""Who answers do() when the inputs are the latents of a generator? The prior they are drawn from.

A decoder x = g(z, c) is a structural causal model whose causes are known exactly: z ~ N(0, I) and a one-hot class c
with given frequencies, all independent of each other but for the constraint sum(c) = 1 (Chattopadhyay et al., 2019,
Sec. 5.4). do(z_k = a) sets one latent and draws the rest anew; do(c_k = 1) makes the class k; do(c_k = 0) leaves the
other classes with their frequencies, renormalised, so that a class is always chosen. Only z is drawn: the classes are
enumerated with their probabilities, and the same draws serve every value, every feature and every output.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._checks import as_float_tensor, as_values
from .._warnings import ExtrapolationWarning
from .distribution import Feature, InputDistribution
from .domain import Domain, FiniteSet, Interval
from .intervention import Block, Intervention, RowSource


@dataclass(frozen=True, repr=False, eq=False)
class LatentPrior:
    """Latents z ~ N(0, I) and a one-hot class; answers do(feature, values) with sum(c) = 1 always kept.

    The coordinates are ``z0 ... z{continuous-1}`` and then ``c0 ... c{categories-1}``, ``(batch, k)`` in this order.

    Attributes:
        continuous: number of normal latents.
        categories: number of classes; 0 for a generator without classes.
        probabilities: ``(categories,)`` of the classes, summing to 1; None for equal ones.
        draws: how many z are drawn for a row average. A draw with all its classes is one independent unit: the
            answer's ``groups`` say which rows belong to it.
        seed: of these draws; None and 0 are the same draws.
        reach: the domain of every z is [-reach, reach], in standard deviations.
        dtype: of means and rows; default torch's default dtype.
        device: of means and rows.
        pins: pairs (column, value) set by earlier interventions.

    Raises:
        ValueError: for negative sizes, no latent at all, probabilities that are no distribution, or too few draws.

    References:
        Chattopadhyay et al. (2019), Sec. 5.4.

    Example:
        >>> prior = LatentPrior(continuous=2, categories=3, probabilities=[0.2, 0.3, 0.5], dtype=torch.float64)
        >>> answer = prior.do("c2", [0, 1])
        >>> expected = torch.tensor([[0, 0, 0.4, 0.6, 0], [0, 0, 0, 0, 1]], dtype=torch.float64)
        >>> assert torch.allclose(answer.means, expected)  # do(c2 = 0): the others by their frequencies
        >>> assert prior.do({"c2": 1}).do("z0", [-1.0, 1.0]).num_rows == 500  # the class is known: a row for each draw
    """

    continuous: int = 10
    categories: int = 10
    probabilities: Any = None
    _: KW_ONLY
    draws: int = 500
    seed: int | None = 0
    reach: float = 3.0
    dtype: torch.dtype | None = None
    device: Any = "cpu"
    pins: tuple[tuple[int, float], ...] = ()

    samples = None  # there is no data: rows are drawn, one set for each intervention
    feature = InputDistribution.feature  # names, indices and tuples mean the same for every input model
    label = InputDistribution.label
    low = InputDistribution.low
    high = InputDistribution.high
    covariance = InputDistribution.covariance

    def __post_init__(self) -> None:
        sizes = {"continuous": self.continuous, "categories": self.categories}
        for name, size in sizes.items():
            if int(size) != size or size < 0:
                raise ValueError(f"{name} must be a number of latents, 0 or more, got {size}")
        if not sum(sizes.values()):
            raise ValueError("continuous and categories are both 0; a generator needs at least one latent")
        if self.draws < 2:
            raise ValueError(f"draws must be at least 2, for an error bar, got {self.draws}")
        if not (math.isfinite(self.reach) and self.reach > 0):
            raise ValueError(f"reach must be a positive number of standard deviations, got {self.reach}")
        object.__setattr__(self, "dtype", self.dtype or torch.get_default_dtype())
        object.__setattr__(self, "device", torch.device(self.device))
        object.__setattr__(self, "probabilities", _probabilities(self.probabilities, self.categories))

    def __repr__(self) -> str:
        pins = ", ".join(f"{self.feature_names[c]} = {v:g}" for c, v in self.pins)
        return (
            f"LatentPrior({self.continuous} normal latents, {self.categories} classes, {self.draws} draws"
            + (f", do({pins})" if pins else "")
            + f", {self.dtype}, {self.device})"
        )

    @property
    def num_features(self) -> int:
        """Number of inputs of the generator, k = continuous + categories."""
        return self.continuous + self.categories

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input, ``(k,)``."""
        return (self.num_features,)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """``z0 ...`` and then ``c0 ...``, k names."""
        return tuple(f"z{i}" for i in range(self.continuous)) + tuple(f"c{i}" for i in range(self.categories))

    @cached_property
    def domain(self) -> tuple[Domain, ...]:
        """[-reach, reach] for each z, {0, 1} for each c."""
        return (Interval(-self.reach, self.reach),) * self.continuous + (FiniteSet((0.0, 1.0)),) * self.categories

    @cached_property
    def normals(self) -> Tensor:
        """``(draws, continuous)`` the draws of z before any is set: common random numbers for every intervention."""
        generator = torch.Generator().manual_seed(0 if self.seed is None else self.seed)
        drawn = torch.randn(self.draws, self.continuous, generator=generator, dtype=torch.float64)
        return drawn.to(self.dtype).to(self.device)

    @cached_property
    def mean(self) -> Tensor:
        """``(k,)`` mean of the latents: 0 for z, the frequencies for c, what is pinned where it is pinned."""
        return self._means(dict(self.pins), self._law(dict(self.pins)))

    @cached_property
    def factor(self) -> Tensor:
        """``(k, k)`` factor S with covariance S Sᵀ; rows of pinned latents are 0."""
        return self._factor(dict(self.pins), self._law(dict(self.pins)))

    def to(self, target: str | torch.device | torch.dtype) -> LatentPrior:
        """Return the same prior on another device or in another floating dtype."""
        return replace(self, **{"dtype" if isinstance(target, torch.dtype) else "device": target})

    def do(self, feature: Feature | Mapping[Feature, float], values: Any = None) -> Any:
        """Answer an intervention.

        ``do(feature, values)`` returns the Intervention for all m values, ``(m,)`` or ``(m, w)`` for w latents.
        ``do({feature: value, ...})`` sets those latents and returns a LatentPrior again: ``do({"c8": 1})`` is the
        generator of eights.

        Raises:
            ValueError: for unknown features, NaN or empty values, a class latent set to something else than 0 or 1,
                two classes at once, no class left, or a latent that is set already.
        """
        if isinstance(feature, Mapping):
            if values is not None:
                raise ValueError("do() takes either a mapping or a feature with values, not both")
            return self._pin(feature)
        if values is None:
            raise ValueError("do(feature, values) needs values; do({feature: value}) returns a pinned prior")
        columns, values = self._check(feature, values)
        pins, laws = dict(self.pins), self._laws(columns, values)
        means = torch.stack([self._means(pins, law) for law in laws])
        means[:, list(columns)] = values
        pinned = torch.zeros(means.shape, dtype=torch.bool, device=self.device)
        pinned[:, [*columns, *pins]] = True
        pinned[:, self.continuous :] |= (laws == 1).any(1, keepdim=True).to(self.device)
        pins |= dict.fromkeys(columns, 0.0)
        same = bool((laws == laws[0]).all())
        factors = [self._factor(pins, law) for law in (laws[:1] if same else laws)]
        source, number, groups = self._rows(columns, values, laws)
        return Intervention(
            name=self.label(feature),
            columns=columns,
            values=values,
            means=means,
            factor=factors[0] if same else torch.stack(factors),
            pinned=pinned,
            shape=self.shape,
            num_rows=number,
            num_observed=math.inf,  # the moments are known, not estimated
            groups=groups,
            row_source=source,
        )

    def _law(self, pins: Mapping[int, float]) -> Tensor:
        """Probabilities of the classes ``(categories,)`` under these pins, float64."""
        classes = {column - self.continuous: value for column, value in pins.items() if column >= self.continuous}
        chosen = [c for c, value in classes.items() if value == 1]
        if len(chosen) > 1:
            names = " and ".join(f"c{c}" for c in chosen)
            raise ValueError(f"values set {names} to 1 at once; the class is one-hot, so at most one of them can be 1")
        law = self.probabilities.clone()
        if chosen:
            law[:] = 0
            law[chosen[0]] = 1
        elif classes:
            law[list(classes)] = 0
            if not law.sum() > 0:
                raise ValueError(
                    f"values set {', '.join(f'c{c}' for c in classes)} to 0 and leave no class with positive "
                    "probability; set one of the others to 1 instead"
                )
            law /= law.sum()
        return law

    def _laws(self, columns: tuple[int, ...], values: Tensor) -> Tensor:
        """The class probabilities under each of m values, ``(m, categories)``: one-hot, or the same for all."""
        pins = dict(self.pins)
        if max(columns) < self.continuous:
            return self._law(pins).expand(len(values), -1)
        return torch.stack([self._law(pins | dict(zip(columns, row, strict=True))) for row in values.tolist()])

    def _means(self, pins: Mapping[int, float], law: Tensor) -> Tensor:
        mean = torch.cat([torch.zeros(self.continuous, dtype=torch.float64), law])
        for column, value in pins.items():
            if column < self.continuous:
                mean[column] = value
        return mean.to(self.dtype).to(self.device)

    def _factor(self, pins: Mapping[int, float], law: Tensor) -> Tensor:
        """diag(1 or 0) for z; diag(√p)(I - √p √pᵀ) for the class, whose square is diag(p) - p pᵀ."""
        free = torch.tensor([float(c not in pins) for c in range(self.continuous)], dtype=torch.float64)
        root = law.sqrt()
        block = root[:, None] * (torch.eye(len(law), dtype=torch.float64) - root[:, None] * root)
        block[(law == 0) | (law == 1)] = 0  # certain: exactly, not to rounding
        return torch.block_diag(free.diag(), block).to(self.dtype).to(self.device)

    def _rows(self, columns: tuple[int, ...], values: Tensor, laws: Tensor) -> tuple[RowSource, int, Tensor | None]:
        """A source of rows, how many there are under each value, and which belong to one draw of z.

        Each draw of z stands beside every class that is possible under some value; a value that fixes the class has
        it in all of these rows.
        """
        open_laws = laws[(laws < 1).all(1)]
        slots = open_laws[0].nonzero()[:, 0] if len(open_laws) and self.categories else torch.zeros(1, dtype=torch.long)
        number = len(slots)
        weights = torch.ones(1, dtype=torch.float64)
        chosen = slots.expand(len(values), -1)
        if self.categories:
            fixed = (laws == 1).any(1)
            chosen = torch.where(fixed[:, None], laws.argmax(1)[:, None], slots)  # (m, number)
            weights = open_laws[0][slots] * number if len(open_laws) else weights
        one_hot = torch.eye(self.categories, dtype=self.dtype, device=self.device)
        weights = weights.to(self.dtype).to(self.device)
        chosen = chosen.to(self.device)
        draws = self._draws(columns)

        def source(chunk: int, index: Tensor | None = None) -> Iterator[Block]:
            rows = torch.arange(len(draws) * number) if index is None else index
            for part in rows.to(self.device).split(max(1, chunk // len(values))):
                z, slot = draws[part // number], part % number
                for which in torch.arange(len(values), device=self.device).split(max(1, chunk // len(part))):
                    c = one_hot[chosen[which][:, slot]] if self.categories else z.new_zeros(len(which), len(z), 0)
                    block = torch.cat([z.expand(len(which), *z.shape), c], dim=2)
                    for position, column in enumerate(columns):
                        if column < self.continuous:
                            block[:, :, column] = values[which, position, None]
                    yield which, block, weights[slot]

        groups = torch.arange(len(draws) * number, device=self.device) // number if number > 1 else None
        return source, len(draws) * number, groups

    def _draws(self, columns: tuple[int, ...]) -> Tensor:
        """The draws of z with the pins set; two equal ones where no z is left to chance, so that the error is 0."""
        pins = {column: value for column, value in self.pins if column < self.continuous}
        left = self.continuous - len(pins) - sum(c < self.continuous for c in columns)
        draws = (self.normals if left else self.normals.new_zeros(2, self.continuous)).clone()
        for column, value in pins.items():
            draws[:, column] = value
        return draws

    def _check(self, feature: Feature, values: Any) -> tuple[tuple[int, ...], Tensor]:
        columns = self.feature(feature)
        pins = dict(self.pins)
        decided = any(c >= self.continuous and v == 1 for c, v in self.pins)
        again = [self.feature_names[c] for c in columns if c in pins or (decided and c >= self.continuous)]
        if again:
            raise ValueError(f"feature {again} is already set by an earlier do(); start from the original prior")
        values = as_values(values, len(columns), dtype=self.dtype, device=self.device)
        for position, column in enumerate(columns):
            outside = self.domain[column].outside(values[:, position])
            if not len(outside):
                continue
            name = self.feature_names[column]
            if column >= self.continuous:
                raise ValueError(
                    f"values for {name!r} must be 0 or 1, got {outside[0]:g}: a class is chosen or it is not"
                )
            warnings.warn(
                f"{len(outside)} of {values.shape[0]} values for {name!r} lie outside its domain [{-self.reach:g}, "
                f"{self.reach:g}], e.g. {outside[0]:g}: the generator extrapolates there",
                ExtrapolationWarning,
                stacklevel=4,
            )
        return columns, values

    def _pin(self, pins: Mapping[Feature, float]) -> LatentPrior:
        if not pins:
            raise ValueError("do({}) pins nothing; name at least one feature")
        added: dict[int, float] = {}
        for feature, value in pins.items():
            columns, values = self._check(feature, [value] if not isinstance(value, list | tuple) else value)
            if values.shape[0] != 1:
                raise ValueError(f"do({{{feature!r}: ...}}) pins one value per input, got {values.shape[0]}")
            twice = [self.feature_names[c] for c in columns if c in added]
            if twice:
                raise ValueError(f"feature {twice} is set twice in one do()")
            added |= dict(zip(columns, values[0].tolist(), strict=True))
        result = replace(self, pins=self.pins + tuple(added.items()))
        result._law(dict(result.pins))  # a class must be left
        return result


def _probabilities(given: Any, categories: int) -> Tensor:
    """The class probabilities ``(categories,)``, float64 on the CPU."""
    if given is None:
        return torch.full((categories,), 1 / max(1, categories), dtype=torch.float64)
    p = as_float_tensor(given, "probabilities", dtype=torch.float64, device="cpu").reshape(-1)
    if p.shape != (categories,):
        raise ValueError(f"probabilities must hold one number for each of the {categories} classes, got {len(p)}")
    if bool((p < 0).any()) or abs(float(p.sum()) - 1) > 1e-4:
        raise ValueError(
            f"probabilities must be at least 0 and sum to 1, got a sum of {float(p.sum()):g}; divide counts by their "
            "total"
        )
    return p / p.sum()
