"""The answer to do(feature = values): all that the estimators may see of a causal input model.

For m values an answer holds the interventional means, a factor S of the interventional covariance S S^T, which
coordinates are pinned, and, where the input model has them, rows drawn under the intervention. The same rows serve
every value, feature and target, so differences between values carry little noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from .._devices import double
from .._maps import slabs, taken
from .._models import DEFAULT_CHUNK, Model
from .local import Local
from .support import Neighbourhood, share_off_support

MOST_NUMBERS = 2**20  # in a block of rows of which moments are taken: 8 MB in float64
Block = tuple[Tensor, Tensor, Tensor]  # value numbers (v,), rows (v, b, k) or outputs (v, b, outputs), weights (b,)


class Intervention(ABC):
    """The answer of an input model to ``do(feature, values)``, for m values at once.

    An estimator reads nothing else. Subclasses: ``TableIntervention`` (rows of a table with columns overwritten, or
    moments alone), ``SimulatedIntervention`` (rows simulated under each value), and those of the latents of a generator
    and of sequences with feedback.

    Attributes:
        name: the feature's name, for messages and axes.
        columns: the flattened coordinates that are set.
        values: ``(m, len(columns))`` what they are set to, in the features' units.
        means: ``(m, k)`` interventional means.
        factor: ``(k, R)`` where one serves all values, or ``(m, k, R)``; pinned rows are zero.
        pinned: ``(m, k)`` bool, True for what is set.
        shape: the shape of one input as the model wants it.
        num_rows: rows available under each value; 0 where the input model has only moments.
        num_observed: rows behind the moments; inf where they are known exactly, None where it is unknown.
        base_rows: ``(n, k)`` the rows before the columns are set, where setting them is all that the intervention does;
            then a first layer can be shared between the values. Else None.
        weights: ``(n,)`` weights of ``base_rows``; None where all are 1.
        residual: rows ``(n, k)`` and the truncated factor before the columns are pinned ``(k, R)``, to probe what the
            truncation cut off; None where nothing was.
        groups: ``(num_rows,)`` labels of rows that are not independent draws (one draw with each of its classes); None
            where every row is a draw of its own.
        variants: the same rows and values under other causal models, whose spread is the error of learning; or none.
        pooled: whether the expectation is the mean over the variants.
    """

    name: str
    columns: tuple[int, ...]
    values: Tensor
    means: Tensor
    factor: Tensor
    pinned: Tensor
    shape: tuple[int, ...]
    num_rows: int
    num_observed: float | None
    base_rows: Tensor | None = None
    weights: Tensor | None = None
    residual: tuple[Tensor, Tensor] | None = None
    groups: Tensor | None = None
    variants: Sequence[Intervention] = ()
    pooled: bool = False

    @abstractmethod
    def rows(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield ``(value numbers (v,), rows (v, b, k), weights (b,))`` with v * b <= chunk.

        All values of a block of rows come before the next block (see ``blocks``).

        Args:
            chunk: most rows at a time.
            index: numbers of the rows to yield, in this order; None means all.

        Raises:
            ValueError: if the input model has no rows.
        """

    def outputs(self, chunk: int, index: Tensor | None = None) -> Iterator[Block] | None:
        """Return an iterator of ``(value numbers (v,), outputs (v, b, outputs), weights (b,))`` like ``rows``, or None.

        An answer whose rows were simulated with the network knows its outputs there; None leaves them to the model.
        """
        return None

    def parts(self, most: int) -> Iterator[Intervention]:
        """Yield the answers to some of the values after the other, so that memory stays bounded; here all at once.

        Args:
            most: most numbers in the factors of one part, where each value has a factor of its own; at least one value.
        """
        yield self

    def sharing(self, known: dict[str, Any]) -> Intervention:
        """Return this answer, with what other answers of the same call have computed already; here there is nothing.

        Args:
            known: what the answers of one call keep for each other, in which no network changes; empty at first.
        """
        return self

    def check_models(self, models: list[Any]) -> None:  # noqa: B027  (a subclass may refuse models)
        """Raise a ValueError where the rows belong to another model; rows of data serve any."""

    def local(self) -> Local | None:
        """Return where networks may be linearised around every row, or None where setting the columns does more.

        Here that is ``base_rows``.
        """
        if self.base_rows is None:
            return None
        shape = self.shape

        def follow(model: Model, x: Tensor, _: Tensor) -> Tensor:
            return model(x.reshape(len(x), *shape))

        return Local(self.base_rows, self.columns, follow, self.weights, shape=shape)

    def support(self) -> Tensor:
        """Return the share of intervened rows that leave the data, ``(m,)``; NaN where there is no data to compare."""
        return torch.full((len(self),), torch.nan, dtype=torch.float64)

    def keep_support(self) -> Tensor | Callable[[], Tensor]:
        """Return ``support``, or what computes it later from copies of its own, so that a result need not keep rows.

        Here it is computed at once, since rows may be simulated by something that changes.
        """
        return self.support()

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def alphas(self) -> Tensor:
        """The values as ``(m,)`` for a single coordinate, else ``(m, len(columns))``; float64."""
        values = double(self.values)
        return values[:, 0] if values.shape[1] == 1 else values


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TableIntervention(Intervention):
    """Rows of a table with the columns overwritten (Chattopadhyay et al., 2019, Eq. 2 and Cor. 2.1), or moments alone.

    Attributes:
        mean: ``(k,)`` before the columns are set.
        base_factor: ``(k, R)`` before the columns are set; rows of ``fixed`` columns are zero.
        base_rows: ``(n, k)`` rows before the columns are set, or None.
        observed: ``(N, k)`` data that the rows are compared with, or None.
        fixed: coordinates that earlier interventions have pinned.
        truncated: whether ``base_factor`` leaves out a part of the rows' covariance.
        weights: ``(n,)`` weights of the rows, at least two of them positive, or None.
        space: what ``observed`` and ``base_rows`` give for ``support``, where several answers share it.
    """

    name: str
    columns: tuple[int, ...]
    values: Tensor
    mean: Tensor
    base_factor: Tensor
    shape: tuple[int, ...]
    base_rows: Tensor | None = None
    observed: Tensor | None = None
    num_observed: float | None = None
    fixed: tuple[int, ...] = ()
    truncated: bool = False
    weights: Tensor | None = None
    space: Any = None  # a Neighbourhood, which the reference does not list

    def __repr__(self) -> str:
        return f"TableIntervention(do({self.name}), {len(self)} values, {self.num_rows or 'no'} rows)"

    @cached_property
    def means(self) -> Tensor:
        """``(m, k)`` mean with the columns set."""
        means = self.mean.repeat(len(self), 1)
        means[:, list(self.columns)] = self.values
        return means

    @cached_property
    def factor(self) -> Tensor:
        """``(k, R)`` factor with the rows of the columns zero: one factorisation serves all values and features."""
        factor = self.base_factor.clone()
        factor[list(self.columns)] = 0
        return factor

    @cached_property
    def pinned(self) -> Tensor:
        """``(m, k)`` bool, True for the columns and the fixed coordinates."""
        return _pinned(self.values, self.columns + self.fixed, self.mean.shape[0])

    @property
    def num_rows(self) -> int:
        """Rows available under each value; 0 where there are only moments."""
        return 0 if self.base_rows is None else self.base_rows.shape[0]

    @property
    def residual(self) -> tuple[Tensor, Tensor] | None:
        """The rows and the truncated factor, where the truncation left out a part."""
        if not self.truncated or self.base_rows is None:
            return None
        rows = self.base_rows
        if self.weights is not None:  # rows without weights that have the mean and the covariance of those with
            apart = (rows - self.mean) * self.weights.sqrt()[:, None]
            rows = torch.cat([self.mean + apart, self.mean - apart])
        return rows, self.base_factor

    def rows(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Return an iterator of blocks of rows with the columns overwritten, see ``Intervention.rows``."""
        if self.base_rows is None:
            raise ValueError(
                "method must be 'taylor' or 'cubature' for an input model with moments and no rows to average over; "
                "build it with InputDistribution.fit for an average"
            )
        every = self.base_rows.new_ones(self.num_rows) if self.weights is None else self.weights
        if index is not None:
            return self._overwritten(taken(self.base_rows, index, in_memory=True), every[index], chunk)
        return self._overwritten(self.base_rows, every, chunk)

    def _overwritten(self, chosen: Tensor, every: Tensor, chunk: int) -> Iterator[Block]:
        size, numbers = max(1, chunk // len(self)), torch.arange(len(self), device=chosen.device)
        for rows, weights in zip(slabs(chosen, size), every.split(size), strict=True):
            values = max(1, chunk // rows.shape[0])
            for which, given in zip(numbers.split(values), self.values.split(values), strict=True):
                block = rows.new_empty(len(which), *rows.shape).copy_(rows)  # faster than expand and clone
                for position, column in enumerate(self.columns):
                    block.select(2, column).copy_(given[:, position, None])
                yield which, block, weights

    def support(self) -> Tensor:
        """Return the share of intervened rows that leave the data, ``(m,)``; NaN without rows."""
        later = self.keep_support()
        return later if isinstance(later, Tensor) else later()

    def keep_support(self) -> Tensor | Callable[[], Tensor]:
        """Return what computes ``support`` from at most 500 rows and 2000 observed ones; NaN without rows."""
        if self.base_rows is None or self.observed is None:
            return super().support()
        space = self.space or Neighbourhood(self.observed, self.base_rows, weights=self.weights)
        values = self.values.clone()  # else what the user gave would be a part of the result
        if self.fixed:
            values = torch.cat([values, self.mean[list(self.fixed)].expand(len(self), -1)], dim=1)
        return partial(space.shares, self.columns + self.fixed, values)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SimulatedIntervention(Intervention):
    """Rows simulated under each value, where an intervention changes other inputs too; their moments are the answer's.

    The factor is ``(m, k, R)``, one for each value: with R = n where there are no more rows than inputs, else R = k or
    fewer.

    Attributes:
        num_rows: rows n under each value.
        simulate: ``(values (v, w), index (b,)) -> rows (v, b, k)``: the rows of these numbers under these values of the
            columns. The same random numbers must serve every value.
        observed: ``(N, k)`` data that the rows are compared with, or None.
        fixed: coordinates that earlier interventions have pinned, and that ``simulate`` leaves at their value.
    """

    name: str
    columns: tuple[int, ...]
    values: Tensor
    shape: tuple[int, ...]
    num_rows: int
    simulate: Callable[[Tensor, Tensor], Tensor]
    observed: Tensor | None = None
    fixed: tuple[int, ...] = ()
    variants: Sequence[Intervention] = ()
    pooled: bool = False

    def __repr__(self) -> str:
        return f"SimulatedIntervention(do({self.name}), {len(self)} values, {self.num_rows} rows)"

    @property
    def num_observed(self) -> int:
        """Rows behind the moments, n."""
        return self.num_rows

    @cached_property
    def pinned(self) -> Tensor:
        """``(m, k)`` bool, True for the columns and the fixed coordinates."""
        return _pinned(self.values, self.columns + self.fixed, torch.Size(self.shape).numel())

    @property
    def means(self) -> Tensor:
        """``(m, k)`` means of the simulated rows."""
        return self._moments[0]

    @property
    def factor(self) -> Tensor:
        """``(m, k, R)`` factors of the covariances of the simulated rows (ddof = 0), pinned rows zero."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        return moments_of_rows(self)

    def parts(self, most: int) -> Iterator[Intervention]:
        """Yield the answers to some of the values after the other, see ``Intervention.parts``."""
        return parts_of_values(self, most)

    def rows(self, chunk: int, index: Tensor | None = None) -> Iterator[Block]:
        """Yield the simulated rows in blocks, see ``Intervention.rows``."""
        numbers = torch.arange(self.num_rows, device=self.values.device) if index is None else index
        for which, part in blocks(len(self), numbers, chunk):
            rows = self.simulate(self.values[which], part)
            wanted = (len(which), len(part), self.pinned.shape[1])
            if rows.shape != wanted:
                raise ValueError(f"simulate must return rows (v, b, k) = {wanted}, got {tuple(rows.shape)}")
            if not torch.isfinite(rows).all():
                raise ValueError(f"simulate must return finite rows, got NaN or Inf under do({self.name})")
            yield which, rows, torch.ones(len(part), dtype=rows.dtype, device=rows.device)

    def support(self) -> Tensor:
        """Return the share of simulated rows that leave the data, ``(m,)``; NaN without data."""
        if self.observed is None:
            return super().support()
        return share_off_support(self.observed, self.rows, num_values=len(self), num_rows=self.num_rows)


def blocks(count: int, numbers: Tensor, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield value numbers ``(v,)`` and row numbers ``(b,)`` with v * b <= chunk, row blocks outer, value blocks inner.

    Args:
        count: number of values, m.
        numbers: ``(n,)`` numbers of the rows.
        chunk: most rows at a time; at least one is yielded.

    Example:
        >>> pairs = [(v.tolist(), b.tolist()) for v, b in blocks(2, torch.arange(3), 4)]
        >>> assert pairs == [([0, 1], [0, 1]), ([0, 1], [2])]
    """
    for part in numbers.split(max(1, chunk // count)):
        for which in torch.arange(count, device=numbers.device).split(max(1, chunk // len(part))):
            yield which, part


def parts_of_values(answer: Any, most: int) -> Iterator[Intervention]:
    """Yield copies of an answer with some of its values, or the answer itself where all fit.

    Args:
        answer: a dataclass with rows of its own for each value, whose moments follow from them.
        most: most numbers in the factors of a copy; at least one value.
    """
    k = answer.pinned.shape[1]
    size = max(1, most // (k * min(k, answer.num_rows)))
    for values in answer.values.split(size):
        yield answer if len(values) == len(answer) else replace(answer, values=values)


def moments_of_rows(answer: Intervention) -> tuple[Tensor, Tensor]:
    """Return means ``(m, k)`` and factors ``(m, k, R)`` of an answer's rows (ddof = 0), pinned rows of factors zero.

    Args:
        answer: with rows of weight 1; its ``pinned`` coordinates do not vary.
    """
    m, n, k = len(answer), answer.num_rows, answer.pinned.shape[1]
    like = double(answer.values)
    means, first = like.new_zeros(2, m, k)
    chunk = min(DEFAULT_CHUNK, max(1, MOST_NUMBERS // k))
    for which, rows, _ in answer.rows(chunk):
        means[which.to(like.device)] += double(rows).sum(1) / n
        first[which.to(like.device)] = double(rows[:, 0])
    means = torch.where(answer.pinned.to(like.device), first, means)  # exactly: an average of equal numbers may round
    factor = (answer.values if n <= k else like).new_zeros(m, k, n if n <= k else k)
    start = 0
    for which, rows, weights in answer.rows(chunk):  # a second pass: no cancellation
        centred = (double(rows) - means[which.to(like.device), None]) / n**0.5
        if n <= k:
            factor[which, :, start : start + len(weights)] = centred.mT.to(factor)
        else:
            factor[which.to(like.device)] += centred.mT @ centred
        start += len(weights) if int(which[-1]) == m - 1 else 0
    if n > k:
        factor = _square_roots(factor).to(answer.values)
    return means.to(answer.values), factor.masked_fill_(answer.pinned[..., None], 0)


def _square_roots(covariances: Tensor) -> Tensor:
    """Return factors ``(m, k, R)`` of ``(m, k, k)``, without the columns that are rounding noise under every value."""
    variances, vectors = torch.linalg.eigh(covariances)
    noise = variances[:, -1:] * variances.shape[1] * torch.finfo(variances.dtype).eps
    keep = (variances > noise).any(0)
    keep[-1] = True
    return (vectors * variances.clamp_min(0).sqrt()[:, None])[:, :, keep].flip(2)


def _pinned(values: Tensor, columns: tuple[int, ...], width: int) -> Tensor:
    """Return ``(m, width)`` bool, True for the columns."""
    pinned = torch.zeros(values.shape[0], width, dtype=torch.bool, device=values.device)
    pinned[:, list(columns)] = True
    return pinned
