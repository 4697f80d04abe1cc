"""The prior of a generator's latents, which answers do() exactly where the inputs are drawn from it.

A decoder x = g(z, c) is a structural causal model whose causes are known exactly: z ~ N(0, I) and a one-hot class c
with given frequencies, all independent of each other but for the constraint sum(c) = 1 (Chattopadhyay et al., 2019,
Sec. 5.4). do(z_k = a) sets one latent and draws the rest anew; do(c_k = 1) makes the class k; do(c_k = 0) leaves the
other classes with their frequencies, renormalised, so that a class is always chosen. Only z is drawn: the classes are
enumerated with their probabilities, and the same draws serve every value, every feature and every output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._checks import as_count, as_float_tensor, as_generator
from .base import InputModel
from .domain import FiniteSet, Interval
from .intervention import Block, Intervention, blocks
from .local import Local


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LatentIntervention(Intervention):
    """The answer of a LatentPrior: known moments, and each draw of z beside every class that is possible.

    Attributes:
        draws: ``(n, continuous)`` draws of z with the pins set, the same under every value.
        classes: ``(m, slots)`` numbers of the classes beside each draw under each value: all that are possible under
            some value; a value that fixes the class has it in all slots.
        slot_weights: ``(slots,)`` weights of the rows.
        one_hot: ``(max(1, categories), categories)`` the classes as inputs.
        num_observed: inf, because the moments are known.
    """

    name: str
    columns: tuple[int, ...]
    values: Tensor
    means: Tensor
    factor: Tensor
    pinned: Tensor
    shape: tuple[int, ...]
    draws: Tensor
    classes: Tensor
    slot_weights: Tensor
    one_hot: Tensor
    num_observed: float = math.inf

    def __repr__(self) -> str:
        return f"LatentIntervention(do({self.name}), {len(self)} values, {len(self.draws)} draws, {self.num_rows} rows)"

    @property
    def num_rows(self) -> int:
        """Rows under each value: one for each draw and slot."""
        return len(self.draws) * len(self.slot_weights)

    @cached_property
    def groups(self) -> Tensor | None:
        """``(num_rows,)`` number of each row's draw; None where a draw has a single row."""
        slots = len(self.slot_weights)
        return torch.arange(self.num_rows, device=self.values.device) // slots if slots > 1 else None

    def local(self) -> Local | None:
        """Return the draws beside their classes, where only normal latents are set: a class changes the others too."""
        if max(self.columns) >= self.draws.shape[1]:
            return None
        numbers, slots = torch.arange(self.num_rows, device=self.values.device), len(self.slot_weights)
        rows = torch.cat([self.draws[numbers // slots], self.one_hot[self.classes[0]][numbers % slots]], dim=1)
        return Local(rows, self.columns, lambda model, x, _: model(x), self.slot_weights.repeat(len(self.draws)))

    def rows(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield the draws beside their classes in blocks, see ``Intervention.rows``."""
        slots, latents = len(self.slot_weights), self.draws.shape[1]
        numbers = torch.arange(self.num_rows) if index is None else index
        for which, part in blocks(len(self), numbers.to(self.values.device), chunk):
            z, slot = self.draws[part // slots], part % slots
            c = self.one_hot[self.classes[which][:, slot]]
            block = torch.cat([z.expand(len(which), *z.shape), c], dim=2)
            for position, column in enumerate(self.columns):
                if column < latents:
                    block[:, :, column] = self.values[which, position, None]
            yield which, block, self.slot_weights[slot]


class LatentPrior(InputModel):
    """Latents z ~ N(0, I) and a one-hot class; answers do(feature, values) with sum(c) = 1 always kept.

    The coordinates are ``z0 ... z{continuous-1}`` and then ``c0 ... c{categories-1}``, ``(batch, k)`` in this order.

    Args:
        continuous: number of normal latents.
        categories: number of classes; 0 for a generator without classes.
        probabilities: ``(categories,)`` of the classes, summing to 1; None for equal ones.
        draws: how many z are drawn for a row average. A draw with all its classes is one independent unit: the
            answer's ``groups`` say which rows belong to it.
        seed: seed of these draws; None means 0.
        reach: the domain of every z is [-reach, reach], in standard deviations.
        dtype: dtype of means and rows; None means torch's default dtype.
        device: device of means and rows.
        pins: pairs (column, value) set by earlier interventions; ``do({...})`` adds to them.

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

    samples = None  # there is no data: rows are drawn, one set for each intervention

    def __init__(
        self,
        continuous: int = 10,
        categories: int = 10,
        probabilities: Any = None,
        *,
        draws: int = 500,
        seed: int | None = 0,
        reach: float = 3.0,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        pins: tuple[tuple[int, float], ...] = (),
    ) -> None:
        for name, size in (("continuous", continuous), ("categories", categories)):
            if int(size) != size or size < 0:
                raise ValueError(f"{name} must be a number of latents, 0 or more, got {size}")
        if not continuous + categories:
            raise ValueError("continuous and categories must hold at least one latent, got 0 and 0")
        continuous, categories = int(continuous), int(categories)
        draws = as_count(draws, "draws", "for an error bar", minimum=2)
        if not (math.isfinite(reach) and reach > 0):
            raise ValueError(f"reach must be a positive number of standard deviations, got {reach}")
        self.continuous, self.categories = continuous, categories
        self.probabilities = _probabilities(probabilities, categories)
        self.draws, self.seed, self.reach, self.pins = draws, seed, reach, pins
        self.dtype, self.device = dtype or torch.get_default_dtype(), torch.device(device)
        self.feature_names = tuple([f"z{i}" for i in range(continuous)] + [f"c{i}" for i in range(categories)])
        self.domain = (Interval(-reach, reach),) * continuous + (FiniteSet((0.0, 1.0)),) * categories
        self.shape = (continuous + categories,)
        chosen = any(c >= continuous and value == 1 for c, value in pins)  # then all classes are known
        self.fixed = tuple(c for c in range(self.shape[0]) if c in dict(pins) or (chosen and c >= continuous))

    def __repr__(self) -> str:
        pins = ", ".join(f"{self.feature_names[c]} = {v:g}" for c, v in self.pins)
        return (
            f"LatentPrior({self.continuous} normal latents, {self.categories} classes, {self.draws} draws"
            + (f", do({pins})" if pins else "")
            + f", {self.dtype}, {self.device})"
        )

    @cached_property
    def normals(self) -> Tensor:
        """``(draws, continuous)`` the draws of z before any is set: common random numbers for every intervention."""
        drawn = torch.randn(self.draws, self.continuous, generator=as_generator(self.seed), dtype=torch.float64)
        return drawn.to(self.dtype).to(self.device)

    @cached_property
    def mean(self) -> Tensor:
        """``(k,)`` mean of the latents: 0 for z, the frequencies for c, what is pinned where it is pinned."""
        return self._means(dict(self.pins), self._law(dict(self.pins)))

    @cached_property
    def factor(self) -> Tensor:
        """``(k, k)`` factor S with covariance S Sᵀ; rows of pinned latents are 0."""
        return self._factor(dict(self.pins), self._law(dict(self.pins)))

    @property
    def covariance(self) -> Tensor:
        """``(k, k)`` covariance, factor @ factor.T."""
        return self.factor @ self.factor.T

    def to(self, target: str | torch.device | torch.dtype) -> LatentPrior:
        """Return the same prior on another device or in another floating dtype."""
        return self._replaced(**{"dtype" if isinstance(target, torch.dtype) else "device": target})

    def check_values(self, columns: tuple[int, ...], values: Tensor) -> None:
        """Warn of z outside its domain, and raise a ValueError where a class latent is set to other than 0 or 1."""
        for column, given in zip(columns, values.unbind(1), strict=True):
            outside = self.domain[column].outside(given)
            if column >= self.continuous and len(outside):
                name = self.feature_names[column]
                raise ValueError(f"values for {name!r} must be 0 or 1, got {outside[0]:g}: a class is chosen or not")
        super().check_values(columns, values)

    def answer(self, columns: tuple[int, ...], values: Tensor, name: str) -> LatentIntervention:
        """Return the answer to setting the columns, with sum(c) = 1 kept.

        Raises:
            ValueError: for two classes at once, or no class left.
        """
        pins, laws = dict(self.pins), self._laws(columns, values)
        means = torch.stack([self._means(pins, law) for law in laws])
        means[:, list(columns)] = values
        pinned = torch.zeros(means.shape, dtype=torch.bool, device=self.device)
        pinned[:, [*columns, *pins]] = True
        pinned[:, self.continuous :] |= (laws == 1).any(1, keepdim=True).to(self.device)
        pins |= dict.fromkeys(columns, 0.0)
        same = bool((laws == laws[0]).all())
        factors = [self._factor(pins, law) for law in (laws[:1] if same else laws)]
        classes, weights = self._slots(laws)
        return LatentIntervention(
            name=name,
            columns=columns,
            values=values,
            means=means,
            factor=factors[0] if same else torch.stack(factors),
            pinned=pinned,
            shape=self.shape,
            draws=self._draws(columns),
            classes=classes.to(self.device),
            slot_weights=weights.to(values),
            one_hot=torch.eye(max(1, self.categories), self.categories, dtype=values.dtype, device=self.device),
        )

    def pin(self, pins: Mapping[int, float]) -> LatentPrior:
        """Return the prior in which these latents keep their values: ``do({"c8": 1})`` is the generator of eights.

        Raises:
            ValueError: for two classes at once, or no class left.
        """
        result = self._replaced(pins=self.pins + tuple(pins.items()))
        result._law(dict(result.pins))  # a class must be left
        return result

    def _replaced(self, **changes: Any) -> LatentPrior:
        """Return the same prior with some arguments changed."""
        names = ("continuous", "categories", "probabilities", "draws", "seed", "reach", "dtype", "device", "pins")
        return LatentPrior(**{name: getattr(self, name) for name in names} | changes)

    def _law(self, pins: Mapping[int, float]) -> Tensor:
        """Return the probabilities of the classes ``(categories,)`` under these pins, float64."""
        classes = {column - self.continuous: value for column, value in pins.items() if column >= self.continuous}
        chosen = [c for c, value in classes.items() if value == 1]
        if len(chosen) > 1:
            names = " and ".join(f"c{c}" for c in chosen)
            raise ValueError(
                f"values must choose at most one class, the class is one-hot, got {names} set to 1 at once"
            )
        law = self.probabilities.clone()
        if chosen:
            law[:] = 0
            law[chosen[0]] = 1
        elif classes:
            law[list(classes)] = 0
            if not law.sum() > 0:
                names = ", ".join(f"c{c}" for c in classes)
                raise ValueError(
                    f"values must leave a class with positive probability, got {names} set to 0, which leave no class; "
                    "set one of the others to 1 instead"
                )
            law /= law.sum()
        return law

    def _laws(self, columns: tuple[int, ...], values: Tensor) -> Tensor:
        """Return the class probabilities under each of m values, ``(m, categories)``: one-hot, or the same for all."""
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
        """Return diag(1 or 0) for z; diag(√p)(I - √p √pᵀ) for the class, whose square is diag(p) - p pᵀ."""
        free = torch.tensor([float(c not in pins) for c in range(self.continuous)], dtype=torch.float64)
        root = law.sqrt()
        block = root[:, None] * (torch.eye(len(law), dtype=torch.float64) - root[:, None] * root)
        block[(law == 0) | (law == 1)] = 0  # certain: exactly, not to rounding
        return torch.block_diag(free.diag(), block).to(self.dtype).to(self.device)

    def _slots(self, laws: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classes beside each draw under each value, ``(m, slots)``, and the weights of the slots.

        The slots are the classes that are possible under some value; a value that fixes the class has it in all.
        """
        open_laws = laws[(laws < 1).all(1)]
        weights = torch.ones(1, dtype=torch.float64)
        if not self.categories:
            return torch.zeros(len(laws), 1, dtype=torch.long), weights
        slots = torch.zeros(1, dtype=torch.long)
        if len(open_laws):
            slots = open_laws[0].nonzero()[:, 0]
            weights = open_laws[0][slots] * len(slots)
        fixed = (laws == 1).any(1, keepdim=True)
        return torch.where(fixed, laws.argmax(1)[:, None], slots), weights

    def _draws(self, columns: tuple[int, ...]) -> Tensor:
        """Return the draws of z with the pins set; two equal ones where no z is left to chance: the error is 0."""
        pins = {column: value for column, value in self.pins if column < self.continuous}
        left = self.continuous - len(pins) - sum(c < self.continuous for c in columns)
        draws = (self.normals if left else self.normals.new_zeros(2, self.continuous)).clone()
        for column, value in pins.items():
            draws[:, column] = value
        return draws


def _probabilities(given: Any, categories: int) -> Tensor:
    """Return the class probabilities ``(categories,)``, float64 on the CPU."""
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
