"""The three estimators of E[y | do(x_i = a)]: row average, second-order Taylor expansion, cubature.

Each takes the answer of a causal input model and a network, and returns values ``(m, outputs)`` with the covariance
of their sampling error across values ``(outputs, m, m)`` and the number of model rows it cost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .._devices import double
from .._entrance import Admitted
from .._maps import slabs, taken
from .._models import Model, check_output, evaluate
from .._saved import compact
from .._waiting import Waiting
from ..curvature import half_trace
from ..inputs.intervention import Intervention
from .curves import Curves
from .first_layer import shared_rows
from .gradients import gradients
from .links import Link
from .moment_errors import Derivatives, Known, cubature_derivatives, moment_error, taylor_derivatives
from .row_moments import RowMoments
from .truncation import residual_probe

SHARED_FROM = 64  # inputs from which sharing the first layer between values saves more than it costs
HELD = 2**21  # numbers of one working array, where there would be more: 16 MB in float64


@dataclass(frozen=True)
class Estimate:
    """The numbers of an estimator: values, covariance of their errors, cost, and what it knows of single rows."""

    values: Tensor
    covariance: Tensor | Curves  # or what it is computed from, with the spread and the individual curves
    cost: int
    num_rows: int = 0
    spread: Tensor | None = None
    individual: Tensor | None = None
    dropped: tuple[Tensor, Tensor] | None = None
    freedom: float | None = None
    skewness: Tensor | None = None

    @property
    def stderr(self) -> Tensor:
        """``(m, outputs)`` standard errors of the values."""
        if isinstance(self.covariance, Curves):
            return self.covariance.stderr
        return self.covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().T

    def resolved(self) -> Estimate:
        """Return the estimate with nothing left to be computed from curves of rows, which it no longer holds."""
        if not isinstance(self.covariance, Curves):
            return self
        covariance, spread, individual = (self.covariance.rest()[name] for name in _REST)
        return replace(self, covariance=covariance, spread=spread, individual=individual)

    def rest(self, width: int) -> dict[str, Any]:
        """Return covariances, spread and individual curves of the first so many outputs, each in memory of its own.

        Where curves hold them, they wait until one of them is read.
        """
        if isinstance(curves := self.covariance, Curves):
            return dict.fromkeys(_REST, Waiting(lambda: _narrowed(curves.rest(), width)))
        parts = (self.covariance, self.spread, self.individual)
        return _narrowed(dict(zip(_REST, parts, strict=True)), width)


_REST = ("covariances", "spread", "individual")


def _narrowed(rest: dict[str, Any], width: int) -> dict[str, Any]:
    """Return the first so many outputs."""
    return {
        name: compact(one if one is None else one[:width] if name == "covariances" else one[..., :width])
        for name, one in rest.items()
    }


def row_average(
    model: Model,
    answer: Intervention,
    *,
    chunk: int,
    index: Tensor | None,
    groups: Tensor | None,
    progress: bool,
    columns: Sequence[int] | None = None,
    link: Link | None = None,
) -> Estimate:
    """Return the average of the model over the intervened rows: Eq. 2 with the empirical distribution, exact for them.

    ``columns`` are those of the network's outputs, after the ``link``, that ``model`` returns; an answer that holds the
    outputs itself holds them before the link.
    """
    order, index, groups = in_groups(index, groups)
    total = answer.num_rows if index is None else len(index)
    moments = None
    blocks = whole_blocks(model, answer, chunk, index, columns, link)
    if progress:
        from tqdm.auto import tqdm

        blocks = tqdm(blocks, desc=f"do({answer.name})", unit="block", leave=False)
    start = 0
    for outputs, weights in blocks:
        if groups is None and moments is None and Curves.serve(outputs, weights, total):
            c = Curves(outputs)
            return Estimate(c.mean, c, total * len(answer), total, freedom=c.freedom, skewness=c.skewness)
        moments = moments or RowMoments(total, order=order)
        stop = start + outputs.shape[1]
        moments.add(outputs, weights, None if groups is None else groups[start:stop])
        start = stop
    assert moments is not None, "there are rows"
    return of_moments(moments, len(answer))


def in_groups(index: Tensor | None, groups: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return order, index and labels with which the rows of a group follow each other; None for the order they have."""
    if groups is None or not bool((groups.diff() < 0).any()):
        return None, index, groups
    order = groups.argsort(stable=True)
    return order, order if index is None else index.to(order.device)[order], groups[order]


def of_moments(moments: RowMoments, count: int) -> Estimate:
    """Return the row average that moments of all rows, at so many values, give."""
    covariance = moments.covariance()
    return Estimate(
        moments.mean,
        covariance,
        moments.count * count,
        moments.count,
        moments.spread(),
        moments.individual(),
        freedom=moments.freedom,
        skewness=moments.skewness(covariance),
    )


def whole_blocks(
    model: Model,
    answer: Intervention,
    chunk: int,
    index: Tensor | None,
    columns: Sequence[int] | None = None,
    link: Link | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the outputs ``(m, b, outputs)`` of one row block after another, all values of a block together."""
    size = max(1, chunk // len(answer))
    if answer.base_rows is not None and answer.base_rows.shape[1] >= SHARED_FROM and len(answer) <= chunk:
        every = answer.base_rows.new_ones(len(answer.base_rows)) if answer.weights is None else answer.weights
        every = every if index is None else every[index]
        for rows, weights in zip(_some(answer.base_rows, index, size), every.split(size), strict=True):
            out = shared_rows(model, rows, answer.columns, answer.values, shape=answer.shape)
            check_output(out.flatten(0, 1), out.shape[0] * out.shape[1])
            yield out, weights
        return
    parts: list[Tensor] = []
    done = 0
    for piece in (None,) if index is None else index.split(size):
        known = answer.outputs(chunk, piece)
        for which, rows, weights in answer.rows(chunk, piece) if known is None else known:
            if known is None:
                parts.append(evaluate(model, rows.flatten(0, 1), answer.shape).reshape(*rows.shape[:2], -1))
            else:
                found = rows if link is None else link(rows.flatten(0, 1)).reshape(*rows.shape[:2], -1)
                parts.append(found if columns is None else found[..., list(columns)])
            done += len(which)
            if done == len(answer):
                yield parts[0] if len(parts) == 1 else torch.cat(parts), weights
                parts, done = [], 0


def _some(table: Tensor, index: Tensor | None, size: int) -> Iterator[Tensor]:
    """Yield rows of a table block by block, all or those of these numbers."""
    if index is None:
        yield from slabs(table, size)
        return
    for part in index.split(size):
        yield taken(table, part, in_memory=True)


def taylor(model: Model, answer: Intervention, *, chunk: int, known: Known | None = None) -> Estimate:
    """Return the second-order expansion around the interventional mean (Eq. 3-4): f(mu) + 1/2 Tr(H Sigma).

    With ``known`` rows the sampling error is that of mean and covariance, see ``moment_errors``. Else it is that of the
    mean in f(mu): Var = g^T Sigma g / n with g the gradient at mu.
    """

    def call(x: Tensor) -> Tensor:
        return check_output(model(x.reshape(x.shape[0], *answer.shape)), x.shape[0])

    parts = [_expanded(model, call, part, chunk) for part in answer.parts(HELD)]
    dropped = None
    if (residual := answer.residual) is not None:
        rows, whole = residual
        flat = Admitted(call, parts[0].values.shape[1])
        dropped = residual_probe(flat, answer.means, whole, rows, pinned=answer.pinned, chunk_size=chunk)
    return _known(call, _combined(answer, parts, chunk, dropped), answer, taylor_derivatives, known, chunk)


def cubature(model: Model, answer: Intervention, *, chunk: int, known: Known | None = None) -> Estimate:
    """Return the average of the model over the 2 R points mu +- sqrt(R) s_r (third-degree spherical-radial cubature).

    It matches mean and covariance like the Taylor expansion, needs no derivatives, and stays within the range of
    the model's outputs. It depends on which square root S of the covariance is taken.

    With ``known`` rows the sampling error is that of mean and covariance, by the gradients at the points, see
    ``moment_errors``. Else it is that of the mean, by differences along the columns of S.
    """

    def call(x: Tensor) -> Tensor:
        return check_output(model(x.reshape(x.shape[0], *answer.shape)), x.shape[0])

    found = _combined(answer, [_averaged(model, part, chunk) for part in answer.parts(HELD)], chunk)
    return _known(call, found, answer, cubature_derivatives, known, chunk)


def _known(
    call: Model, found: Estimate, answer: Intervention, derivatives: Derivatives, known: Known | None, chunk: int
) -> Estimate:
    """Return the estimate with the error of mean and covariance, where rows tell it; else as it is."""
    if known is None:
        return found
    error = moment_error(call, answer, found.values, derivatives, known, chunk, HELD)
    if error is None:
        return found
    return replace(found, covariance=error[0], freedom=error[1], skewness=error[2])


@dataclass(frozen=True)
class _Part:
    """An approximation for b values: ``values (b, outputs)``, ``means (b, k)`` and what it cost in model rows.

    Of the first derivatives it holds ``slopes (b, outputs, k)`` where each value has a covariance of its own, from
    rows; else the sum of their products along the columns of the factor, ``scatter (outputs, b, b)``.
    """

    values: Tensor
    means: Tensor
    cost: int
    slopes: Tensor | None = None
    scatter: Tensor | None = None


def _expanded(model: Model, call: Model, answer: Intervention, chunk: int) -> _Part:
    """Return f(mu) + 1/2 Tr(H Sigma), with the gradients at mu."""
    means, factor = answer.means, answer.factor
    centre = double(torch.cat([evaluate(model, mu, answer.shape) for mu in means.split(chunk)]))
    flat = Admitted(call, centre.shape[1])  # the network behind it passed the entrance
    curvature = double(half_trace(flat, means, factor, chunk_size=chunk))  # pinned rows are zero already
    m, outputs, rank = *centre.shape, factor.shape[-1]
    part = _Part(centre + curvature, means, m * (rank + 2))
    if _own_covariance(answer):
        slopes = [gradients(flat, mu, range(outputs), chunk) for mu in means.split(chunk)]
        return replace(part, slopes=double(torch.cat(slopes)))
    scatter = []
    for some in torch.arange(outputs).split(max(1, HELD // (m * max(1, rank)))):
        along = [
            gradients(flat, mu, some.tolist(), chunk, double(columns))
            for mu, columns in zip(means.split(chunk), _columns(factor, chunk), strict=False)
        ]
        scatter.append(_products(torch.cat(along).transpose(0, 1)))
    return replace(part, scatter=torch.cat(scatter))


def _averaged(model: Model, answer: Intervention, chunk: int) -> _Part:
    """Return the averages over sigma points: some columns of the factor at a time, for all values."""
    means, factor = answer.means, answer.factor
    if not factor.shape[-1]:  # nothing varies: the mean is the only point
        factor = means.new_zeros(means.shape[1], 1)
    m, rank, own = len(means), factor.shape[-1], _own_covariance(answer)
    total, scatter, alongs = torch.zeros(()), torch.zeros(()), []
    for columns in factor.split(max(1, chunk // (2 * m)), -1):
        size = max(1, chunk // (2 * columns.shape[-1]))
        sides = []
        for mu, some in zip(means.split(size), _columns(columns, size), strict=False):
            steps = rank**0.5 * some.mT  # (c, k) or (v, c, k)
            points = torch.stack([mu[:, None] + steps, mu[:, None] - steps])
            rows = points.flatten(0, 2).split(chunk)
            outputs = double(torch.cat([evaluate(model, part, answer.shape) for part in rows]))
            sides.append(outputs.reshape(*points.shape[:3], -1))
        plus, minus = torch.cat(sides, 1)  # (m, c, outputs)
        total = total + (plus + minus).sum(1)
        along = ((plus - minus) / (2 * rank**0.5)).permute(2, 0, 1)
        if own:
            alongs.append(along)
        else:
            scatter = scatter + _products(along)
    part = _Part(total / (2 * rank), means, 2 * m * rank)
    if not own:
        return replace(part, scatter=scatter)
    sizes = max(1, HELD // (4 * factor[0].numel()))
    inverses = (torch.linalg.pinv(double(some).mT) for some in factor.split(sizes))  # g = inverse @ S^T g
    slopes = [p @ a.permute(1, 2, 0) for p, a in zip(inverses, torch.cat(alongs, 2).split(sizes, 1), strict=True)]
    return replace(part, slopes=torch.cat(slopes).mT)


def _columns(factor: Tensor, size: int) -> Iterable[Tensor]:
    """Return the factors of some values after the other; one for all is the same every time."""
    return factor.split(size) if factor.ndim == 3 else itertools.repeat(factor)


def _products(along: Tensor) -> Tensor:
    """Return ``(outputs, m, m)`` products of slopes along directions ``(outputs, m, directions)``."""
    return along @ along.transpose(1, 2)


def _combined(answer: Intervention, parts: list[_Part], chunk: int, dropped: Any = None) -> Estimate:
    """Return the approximation for all values, with the sampling error of the means to first order."""
    values, cost = torch.cat([part.values for part in parts]), sum(part.cost for part in parts)
    if parts[0].scatter is None:
        slopes = torch.cat([part.slopes for part in parts if part.slopes is not None])
        error = _row_error(slopes, torch.cat([part.means for part in parts]), answer, chunk)
    elif answer.num_observed is None:
        error = torch.full_like(parts[0].scatter, torch.nan)
    else:
        error = parts[0].scatter / answer.num_observed
    observed = answer.num_observed
    freedom = observed - 1.0 if observed is not None and 1 < observed < math.inf else None
    return Estimate(values, error, cost, dropped=dropped, freedom=freedom)


def _own_covariance(answer: Intervention) -> bool:
    """Return whether each value has a covariance of its own, from rows, so columns of factors do not correspond."""
    return answer.factor.ndim == 3 and answer.num_rows > 0 and answer.num_rows == answer.num_observed


def _row_error(slopes: Tensor, means: Tensor, answer: Intervention, chunk: int) -> Tensor:
    """Return the sampling covariance ``(outputs, m, m)`` of g_v^T mu_v over the same rows: ``slopes (m, o, k)``."""
    moments = RowMoments(answer.num_rows, keep=1)
    parts, done = [], 0
    for which, rows, weights in answer.rows(chunk):
        parts.append(double(rows - means[which, None]) @ slopes[which.to(slopes.device)].mT)
        done += len(which)
        if done == len(answer):
            moments.add(torch.cat(parts), weights)
            parts, done = [], 0
    return moments.covariance()
