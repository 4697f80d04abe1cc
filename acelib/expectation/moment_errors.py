"""The sampling error of estimators that read a mean and a covariance, both taken from rows: the delta method.

With mean m and factor L, S = L Lᵀ, of n rows, Taylor and cubature are functions T(m, L). One row more, at m + δ with
δ = L z, moves the mean along δ and the factor along L (W ∘ z zᵀ − ½). So its influence on T is, to first order in 1/n,

    ψ = ∂T/∂m · δ + zᵀ (W ∘ B) z − ½ tr B,    B = Lᵀ ∂T/∂L,

and the error of T is that of an average of ψ over the rows, with their weights and groups. For Taylor the first term
holds third derivatives of the network, since the mean is also where the curvature is taken, and B is Lᵀ H L; for
cubature both are sums of the gradients at its points. W is ½ where only L Lᵀ matters, as for Taylor. Cubature also
feels how the columns of L turn: for eigenvectors with eigenvalues λ it is W_jk = λ_k / (λ_k − λ_j) beside the diagonal.
Where the factor is truncated, the part of a row beyond its span moves the mean only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .._devices import double
from .._directional import missing_operation, twice_differentiable
from .._entrance import admit, two_rows
from .._models import DIFFERENTIATED_CHUNK, Model, check_output
from .._warnings import ApproximationWarning, warn_caller
from ..inputs.intervention import Intervention, TableIntervention
from .row_moments import ROUNDED, RowMoments

FEWEST = 100  # rows that tell the error bar, at least: they know it within about 7 %
PRICE = 10  # model rows that a row costs with the derivatives of one output
NUMBERS = 2**21  # in the influences of all rows, and in the rows that they are taken of: 16 MB each in float64
PRODUCTS = 2**33  # in the quadratic forms of all rows: seconds on one core
ORTHOGONAL = 1e-5  # of the largest eigenvalue, within which the columns of a factor are eigenvectors

Parts = Iterator[tuple[slice, int, Tensor, Tensor]]  # points, an output, ∂T/∂m (p, k), ∂T/∂L (p, k, R)
Derivatives = Callable[[Model, Tensor, Tensor, int, int], Parts]


class Known(NamedTuple):
    """What is asked of the rows: whose error, and by how much work.

    Attributes:
        index: numbers of the rows that tell the error; None means all.
        groups: labels of these rows, or None.
        outputs: the first so many outputs of the model need an error.
        budget: model rows that the derivatives may cost.
    """

    index: Tensor | None
    groups: Tensor | None
    outputs: int
    budget: int


def enough_rows(answer: Intervention, outputs: int) -> int:
    """Return how many rows tell the error of all values and outputs in bounded time and memory, at least 100.

    Args:
        answer: the answer of an input model.
        outputs: number of outputs.

    Example:
        >>> from acelib import InputDistribution
        >>> answer = InputDistribution.fit(torch.rand(500, 3), domain=(0, 1)).do(0, [0.2, 0.7])
        >>> assert enough_rows(answer, 1) > 500
    """
    first = _one(answer)
    curves, k, rank = len(answer) * outputs, first.means.shape[1], first.factor.shape[-1]
    return max(FEWEST, min(NUMBERS // max(curves, k), PRODUCTS // max(1, curves * rank * rank)))


def moment_error(
    model: Model, answer: Intervention, values: Tensor, derivatives: Derivatives, known: Known, chunk: int, most: int
) -> tuple[Tensor, float | None, Tensor | None] | None:
    """Return covariance ``(outputs, m, m)``, degrees of freedom and skewness of an estimate; None where it is unknown.

    None is returned without rows, for moments that are known exactly or from an unknown number of rows, and, with a
    warning, where the derivatives are missing or would cost more than the budget.

    Args:
        model: ``(batch, k) -> (batch, outputs)``.
        answer: means, factors and rows.
        values: ``(m, outputs)`` the estimate.
        derivatives: ``taylor_derivatives`` or ``cubature_derivatives``.
        known: whose error is asked.
        chunk: most model rows at a time.
        most: most numbers in the factors of one part, where each value has one of its own.
    """
    observed = answer.num_observed
    if not answer.num_rows or observed is None or observed == float("inf"):
        return None
    first = _one(answer)
    cost = PRICE * len(answer) * first.factor.shape[-1] * known.outputs
    reason = _reason_against(model, first.means, cost, known.budget)
    found = None
    if reason is None:
        try:
            count = answer.num_rows if known.index is None else len(known.index)
            numbers = max(
                1, most // max(1, count // first.means.shape[1])
            )  # as many in the rows of a part as in factors
            influences = _influences(model, answer.parts(numbers), count, derivatives, known, chunk)
            found = _moments(influences, answer, torch.finfo(first.means.dtype).eps * values.abs(), known)
            if not bool(torch.isfinite(found[0]).all()) and answer.num_rows > 1:
                found, reason = None, "the network has derivatives that are not finite"
        except RuntimeError as error:
            name = missing_operation(error)
            if name is None:
                raise
            reason = f"the derivatives of {name} are missing"
    if reason is not None:
        warn_caller(
            "the standard error leaves out that of the covariance, which is estimated from the rows as the mean is: "
            f"{reason}; use method='monte_carlo' for an error bar that holds",
            ApproximationWarning,
        )
    return found


def taylor_derivatives(model: Model, points: Tensor, factor: Tensor, outputs: int, chunk: int) -> Parts:
    """Yield the derivatives of f(m) + ½ Tr(H L Lᵀ) with respect to m and L, for some points and one output at a time.

    Three reverse passes: the gradient, its products with the columns of L, and the slope of the curvature along them.

    Args:
        model: ``(batch, k) -> (batch, outputs)``.
        points: ``(m, k)`` means.
        factor: ``(k, R)`` or ``(m, k, R)``, pinned rows zero, R > 0.
        outputs: the first so many outputs are differentiated.
        chunk: most rows at a time; a point with a direction counts as one.

    Example:
        >>> x, one = torch.tensor([[2.0]]), torch.tensor([[3.0]])
        >>> _, _, mean, root = next(taylor_derivatives(lambda x: x**3, x, one, 1, 10))  # T = m³ + 3 m L²
        >>> assert mean.item() == 3 * 4 + 3 * 9 and root.item() == 6 * 2 * 3
    """
    rank = factor.shape[-1]
    q, p = min(rank, chunk), max(1, chunk // rank)
    for i in range(0, len(points), p):
        some, columns = points[i : i + p], factor.mT if factor.ndim == 2 else factor[i : i + p].mT
        first = [torch.zeros(()) for _ in range(outputs)]
        second: list[list[Tensor]] = [[] for _ in range(outputs)]
        for r in range(0, rank, q):
            v = columns[..., r : r + q, :].expand(len(some), -1, -1)
            x = some.repeat_interleave(v.shape[1], 0).requires_grad_()
            out, flat = check_output(model(x.clone()), len(x)), v.flatten(0, 1)
            for o in range(outputs):
                slope = _slope(out[:, o], x, graph=True)
                bend = _slope((slope * flat).sum(1), x, graph=True)
                third = _slope((bend * flat).sum(1), x)
                part = third.unflatten(0, v.shape[:2]).detach().sum(1) / 2
                first[o] = first[o] + part + (slope.detach().unflatten(0, v.shape[:2])[:, 0] if r == 0 else 0)
                second[o].append(bend.detach().unflatten(0, v.shape[:2]))
        for o in range(outputs):
            yield slice(i, i + len(some)), o, first[o], torch.cat(second[o], 1).mT


def cubature_derivatives(model: Model, points: Tensor, factor: Tensor, outputs: int, chunk: int) -> Parts:
    """Yield the derivatives of the average over m ± √R l_r with respect to m and L, as ``taylor_derivatives`` does.

    Example:
        >>> x, one = torch.tensor([[2.0]]), torch.tensor([[3.0]])
        >>> _, _, mean, root = next(cubature_derivatives(lambda x: x**3, x, one, 1, 10))  # T = m³ + 3 m L²
        >>> assert mean.item() == 3 * 4 + 3 * 9 and root.item() == 6 * 2 * 3
    """
    rank = factor.shape[-1]
    size = max(1, chunk // 2)
    q, p = min(rank, size), max(1, size // rank)
    for i in range(0, len(points), p):
        some, columns = points[i : i + p], factor.mT if factor.ndim == 2 else factor[i : i + p].mT
        first = [torch.zeros(()) for _ in range(outputs)]
        second: list[list[Tensor]] = [[] for _ in range(outputs)]
        for r in range(0, rank, q):
            steps = rank**0.5 * columns[..., r : r + q, :].expand(len(some), -1, -1)
            sides = torch.stack([some[:, None] + steps, some[:, None] - steps])
            x = sides.flatten(0, 2).requires_grad_()
            out = check_output(model(x.clone()), len(x))
            for o in range(outputs):
                plus, minus = _slope(out[:, o], x, keep=True).unflatten(0, sides.shape[:3])
                first[o] = first[o] + (plus + minus).sum(1) / (2 * rank)
                second[o].append((plus - minus) / (2 * rank**0.5))
        for o in range(outputs):
            yield slice(i, i + len(some)), o, first[o], torch.cat(second[o], 1).mT


def _slope(column: Tensor, x: Tensor, *, graph: bool = False, keep: bool = True) -> Tensor:
    """Return the gradient ``(batch, k)`` of a column of outputs, each with respect to its own row; 0 for a constant."""
    if not column.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(column.sum(), x, create_graph=graph, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


def _reason_against(model: Model, means: Tensor, cost: int, budget: int) -> str | None:
    """Return why the derivatives at means ``(m, k)`` and others are not taken; None where they are."""
    if cost > budget:
        return f"its derivatives would cost {cost} model rows, more than the budget of {budget}"
    try:
        admit(model, two_rows(means, means[0]), means.shape[1:], derivatives=True)
    except ValueError:
        return "the network carries no gradient to its inputs"
    return None


def _influences(
    model: Model, parts: Iterable[Intervention], count: int, derivatives: Derivatives, known: Known, chunk: int
) -> Tensor:
    """Return ψ ``(m, n, outputs)`` of the ``count`` rows that tell the error, from the parts of an answer."""
    found = []
    for part in parts:
        means, factor = part.means, double(part.factor)
        apart, z, turning = _departures(part, known.index, chunk)
        psi = apart.new_zeros(len(means), count, known.outputs)
        with torch.inference_mode(False), torch.enable_grad(), twice_differentiable(recurrent=True):
            given = model, means.clone(), part.factor.clone(), known.outputs, min(chunk, DIFFERENTIATED_CHUNK)
            for values, o, by_mean, by_root in derivatives(*given) if factor.shape[-1] else ():
                roots = factor if factor.ndim == 2 else factor[values]
                B = roots.mT @ double(by_root.detach())  # (p, R, R)
                for v, (g, b) in enumerate(zip(double(by_mean.detach()), B, strict=True), start=values.start):
                    d, s, w = (t[v if len(t) > 1 else 0] for t in (apart, z, turning))
                    psi[v, :, o] = d @ g + ((s @ (w * b)) * s).sum(1) - b.trace() / 2
        found.append(psi.detach())
    return torch.cat(found)


def _one(answer: Intervention) -> Intervention:
    """Return the answer for the first value: means and factors of all values may be too large to hold."""
    return next(iter(answer.parts(1)))


def _inverse(factor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the pseudo-inverses ``(.., R, k)`` of factors; what is rounding of their own dtype counts as zero."""
    return torch.linalg.pinv(factor, rtol=max(factor.shape[-2:]) * torch.finfo(dtype).eps)


def _departures(part: Intervention, index: Tensor | None, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return δ of the rows ``(v, n, k)``, pinned ones 0, their z ``(v, n, R)`` and W ``(v, R, R)``.

    There is one of them, v = 1, for all values of a table.
    """
    assert part.num_observed is not None
    if isinstance(part, TableIntervention) and part.base_rows is not None:
        rows = part.base_rows if index is None else part.base_rows[index]
        apart, root = (double(rows) - double(part.mean))[None], double(part.base_factor)[None]  # before it is pinned
    else:
        means, blocks, done = double(part.means), [], []
        for which, rows, _ in part.rows(chunk, index):
            done.append(double(rows) - means[which.to(means.device), None])
            if int(which[-1]) == len(part) - 1:
                blocks.append(torch.cat(done))
                done = []
        apart, root = torch.cat(blocks, 1), double(part.factor)
        root = root[None] if root.ndim == 2 else root
    z = apart @ _inverse(root, part.factor.dtype).mT
    held = part.pinned[: len(apart), None].to(apart.device)
    return apart.masked_fill(held, 0), z, turning(root, part.num_observed)


def turning(root: Tensor, observed: float) -> Tensor:
    """Return W ``(v, R, R)`` for factors ``(v, k, R)``: ½, and of eigenvectors what they turn by.

    Equal eigenvalues would turn without bounds; their columns turn by the standard deviation of half a radian, about
    that of all angles from -45 to 45 degrees, after which they have changed places.
    """
    products = root.mT @ root
    size = products.diagonal(dim1=1, dim2=2)
    beside = products - size.diag_embed()
    gap = size[:, None, :] - size[:, :, None]
    turn = (size[:, None, :] + size[:, :, None]) * gap
    turn = turn / (gap.square() + size[:, None, :] * size[:, :, None] / observed).clamp_min(torch.finfo(gap.dtype).tiny)
    apart = beside.abs().amax((1, 2)) <= ORTHOGONAL * size.amax(1)
    return 0.5 + 0.5 * turn.where(apart[:, None, None], 0)


def _moments(
    psi: Tensor, answer: Intervention, rounding: Tensor, known: Known
) -> tuple[Tensor, float | None, Tensor | None]:
    """Return covariance, degrees of freedom and skewness of the mean of ψ over all rows behind the moments.

    ``rounding`` ``(m, outputs)`` is what the estimate may be off by in its own precision.
    """
    count, index, groups = psi.shape[1], known.index, known.groups
    weights = psi.new_ones(count)
    if answer.weights is not None:
        weights = double(answer.weights if index is None else answer.weights[index]).to(psi.device)
    if groups is not None:  # the rows of a group must follow each other
        order = groups.argsort(stable=True).to(psi.device)
        psi, weights, groups = psi[:, order], weights[order], groups.to(psi.device)[order]
    moments = RowMoments(count, keep=1)
    moments.add(psi, weights, groups)
    covariance = moments.covariance()
    skewness = moments.skewness(covariance)
    if skewness is not None:  # where nothing varies, rounding is left, whose skewness says nothing
        stderr = covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().T
        skewness = skewness.where(stderr > ROUNDED * rounding[:, : known.outputs].to(stderr), 0)
    told = float(weights.sum() ** 2 / weights.square().sum())
    assert answer.num_observed is not None
    share = told / answer.num_observed  # the rows at hand may be some of those behind the moments
    return covariance * share, moments.freedom, None if skewness is None else skewness * share**0.5
