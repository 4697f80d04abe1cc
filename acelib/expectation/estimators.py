"""The three estimators of E[y | do(x_i = a)]: row average, second-order Taylor expansion, cubature.

Each takes the answer of a causal input model and a network, and returns values ``(m, outputs)`` with the covariance
of their sampling error across values ``(outputs, m, m)`` and the number of model rows it cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .._devices import double
from .._directional import twice_differentiable
from .._entrance import Admitted
from .._models import Model, check_output, evaluate
from ..curvature import half_trace
from ..inputs.intervention import Intervention
from .first_layer import shared_rows
from .row_moments import RowMoments
from .truncation import residual_probe

SHARED_FROM = 64  # inputs from which sharing the first layer between values saves more than it costs


@dataclass(frozen=True)
class Estimate:
    """The numbers of an estimator: values, covariance of their errors, cost, and what it knows of single rows."""

    values: Tensor
    covariance: Tensor
    cost: int
    num_rows: int = 0
    spread: Tensor | None = None
    individual: Tensor | None = None
    dropped: tuple[Tensor, Tensor] | None = None


def row_average(
    model: Model,
    answer: Intervention,
    *,
    chunk: int,
    index: Tensor | None,
    groups: Tensor | None,
    progress: bool,
    columns: Sequence[int] | None = None,
) -> Estimate:
    """Return the average of the model over the intervened rows: Eq. 2 with the empirical distribution, exact for them.

    ``columns`` are those of the network's outputs that ``model`` returns, where the answer holds the outputs itself.
    """
    moments = RowMoments(answer.num_rows if index is None else len(index))
    blocks = _whole_blocks(model, answer, chunk, index, columns)
    if progress:
        from tqdm.auto import tqdm

        blocks = tqdm(blocks, desc=f"do({answer.name})", unit="block", leave=False)
    start = 0
    for outputs, weights in blocks:
        stop = start + outputs.shape[1]
        moments.add(outputs, weights, None if groups is None else groups[start:stop])
        start = stop
    return Estimate(
        moments.mean, moments.covariance(), start * len(answer), start, moments.spread(), moments.individual()
    )


def _whole_blocks(
    model: Model, answer: Intervention, chunk: int, index: Tensor | None, columns: Sequence[int] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the outputs ``(m, b, outputs)`` of one row block after another, all values of a block together."""
    if answer.base_rows is not None and answer.base_rows.shape[1] >= SHARED_FROM and len(answer) <= chunk:
        every = answer.base_rows.new_ones(len(answer.base_rows)) if answer.weights is None else answer.weights
        rows, every = (answer.base_rows, every) if index is None else (answer.base_rows[index], every[index])
        size = chunk // len(answer)
        for part, weights in zip(rows.split(size), every.split(size), strict=True):
            out = shared_rows(model, part, answer.columns, answer.values, shape=answer.shape)
            check_output(out.flatten(0, 1), out.shape[0] * out.shape[1])
            yield out, weights
        return
    parts: list[Tensor] = []
    done = 0
    known = answer.outputs(chunk, index)
    for which, rows, weights in answer.rows(chunk, index) if known is None else known:
        if known is None:
            parts.append(evaluate(model, rows.flatten(0, 1), answer.shape).reshape(*rows.shape[:2], -1))
        else:
            parts.append(rows if columns is None else rows[..., list(columns)])
        done += len(which)
        if done == len(answer):
            yield torch.cat(parts), weights
            parts, done = [], 0


def taylor(model: Model, answer: Intervention, *, chunk: int) -> Estimate:
    """Return the second-order expansion around the interventional mean (Eq. 3-4): f(mu) + 1/2 Tr(H Sigma).

    The sampling error is that of the mean, to first order: Var = g^T Sigma g / n with g the gradient at mu.
    """

    def call(x: Tensor) -> Tensor:
        return check_output(model(x.reshape(x.shape[0], *answer.shape)), x.shape[0])

    centre = torch.cat([evaluate(model, mu, answer.shape) for mu in answer.means.split(chunk)])
    flat = Admitted(call, centre.shape[1])  # the network behind it passed the entrance
    curvature = half_trace(flat, answer.means, answer.factor, chunk_size=chunk)  # pinned rows are zero already
    slopes = torch.cat([_gradients(flat, mu) for mu in answer.means.split(chunk)])  # (m, outputs, k)
    factor = answer.factor if answer.factor.ndim == 3 else answer.factor.expand(len(answer), -1, -1)
    rank = factor.shape[-1]
    slopes, values = double(slopes), double(centre) + double(curvature)
    if _own_covariances(answer):
        error = _row_error(slopes, answer, chunk)
    else:
        error = _moment_error(torch.einsum("mok,mkr->omr", slopes, double(factor)), answer)
    dropped = None
    if answer.residual is not None:
        rows, whole = answer.residual
        dropped = residual_probe(flat, answer.means, whole, rows, pinned=answer.pinned, chunk_size=chunk)
    return Estimate(values, error, len(answer) * (rank + 2), dropped=dropped)


def cubature(model: Model, answer: Intervention, *, chunk: int) -> Estimate:
    """Return the average of the model over the 2 R points mu +- sqrt(R) s_r (third-degree spherical-radial cubature).

    It matches mean and covariance like the Taylor expansion, needs no derivatives, and stays within the range of
    the model's outputs. It depends on which square root S of the covariance is taken.
    """
    factor = answer.factor if answer.factor.ndim == 3 else answer.factor.expand(len(answer), -1, -1)
    rank = factor.shape[-1]
    steps = rank**0.5 * factor.transpose(1, 2)  # (m, R, k)
    points = torch.stack([answer.means[:, None] + steps, answer.means[:, None] - steps])
    flat = points.reshape(-1, answer.means.shape[1])
    outputs = double(torch.cat([evaluate(model, rows, answer.shape) for rows in flat.split(chunk)]))
    plus, minus = outputs.reshape(2, len(answer), rank, -1)
    along = ((plus - minus) / (2 * rank**0.5)).permute(2, 0, 1)
    if _own_covariances(answer):  # the slopes g with S^T g = along
        slopes = (torch.linalg.pinv(double(factor).mT) @ along.permute(1, 2, 0)).mT
        error = _row_error(slopes, answer, chunk)
    else:
        error = _moment_error(along, answer)
    return Estimate((plus + minus).mean(1) / 2, error, flat.shape[0])


def _own_covariances(answer: Intervention) -> bool:
    """Return whether each value has a covariance of its own, from rows, so columns of factors do not correspond."""
    return answer.factor.ndim == 3 and answer.num_rows > 0 and answer.num_rows == answer.num_observed


def _row_error(slopes: Tensor, answer: Intervention, chunk: int) -> Tensor:
    """Return the sampling covariance ``(outputs, m, m)`` of g_v^T mu_v over the same rows: ``slopes (m, o, k)``."""
    moments = RowMoments(answer.num_rows)
    parts, done = [], 0
    for which, rows, weights in answer.rows(chunk):
        parts.append(double(rows - answer.means[which, None]) @ slopes[which.to(slopes.device)].mT)
        done += len(which)
        if done == len(answer):
            moments.add(torch.cat(parts), weights)
            parts, done = [], 0
    return moments.covariance()


def _moment_error(along: Tensor, answer: Intervention) -> Tensor:
    """Return the sampling covariance ``(outputs, m, m)`` from the slopes along the factor's columns, ``(o, m, R)``."""
    if answer.num_observed is None:
        return along.new_full((along.shape[0], len(answer), len(answer)), torch.nan)
    return along @ along.transpose(1, 2) / answer.num_observed


def _gradients(model: Model, points: Tensor) -> Tensor:
    """Return d output / d input at each point, ``(m, outputs, k)``, by one backward pass per output."""
    # cuDNN's recurrent kernels have no backward pass in evaluation mode, so the plain ones are used.
    with torch.enable_grad(), twice_differentiable(recurrent=True):
        x = points.detach().requires_grad_(True)
        out = model(x)
        slopes = []
        for o in range(out.shape[1]):
            column = out[:, o].sum()
            g = None
            if column.requires_grad:
                (g,) = torch.autograd.grad(column, x, retain_graph=True, allow_unused=True)
            slopes.append(torch.zeros_like(x) if g is None else g)
    return torch.stack(slopes, dim=1).detach()
