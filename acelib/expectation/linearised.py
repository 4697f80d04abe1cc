"""The linearised estimator: all rows by their slopes, and what these miss by the network itself on a few drawn rows.

With h(r, a) the linear step at row r and y(r, a) the network there, the row average of y is that of h, known for all
rows, plus that of y - h, which a few rows estimate without bias: a control variate, or two-level Monte Carlo. The rows
are drawn with replacement with known probabilities (see ``expansion``), so that the error of the second part is the
standard error of a mean of independent draws. Where h explains little its coefficient is fitted on other draws.

With many values of one input most drawn rows are answered at a few of them, and a spline runs between: a third level,
whose own error the rows that are answered at all values correct.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .._devices import double
from .._intervals import satterthwaite
from .._maps import release
from .._models import Model
from ..inputs.intervention import Intervention
from ..inputs.local import Local
from .estimators import Estimate, whole_blocks
from .expansion import Expansion
from .pilot import Pilot
from .plan import Plan
from .row_moments import KEPT_ROWS, RowMoments, spread_of
from .skewness import NOTABLE

FOLDS = 4  # of the draws: the coefficient of a fold comes from the others
EXPLAINED = 0.5  # of the variance that h must take from y before its coefficient is 1
SLACK = 1e-9  # of a covariance's trace: smaller negative eigenvalues are rounding


def linearised(
    model: Model,
    answer: Intervention,
    local: Local,
    expansion: Expansion,
    *,
    draws: int,
    seed: int | None,
    chunk: int,
    groups: Tensor | None,
    columns: Sequence[int] | None,
    at_knots: Callable[[Tensor], Intervention],
    trial: Pilot | None = None,
) -> Estimate:
    """Return the average over all rows by slopes, corrected on drawn rows; unbiased for the average over the rows.

    Args:
        model: the explained network, link included, whose outputs are ``columns`` of it.
        answer: what the columns are set to.
        local: the same columns as coordinates of the rows.
        expansion: the same networks around the rows of the answer.
        draws: the price of the correction: as many model rows as so many rows cost under all values.
        seed: seed of the draws; the same for every feature.
        chunk: most model rows in one call.
        groups: ``(N,)`` labels of dependent rows of the answer.
        columns: which of the explained outputs ``model`` returns; None for all.
        at_knots: the answer at a few of the values ``(q, w)``, where most drawn rows are answered.
        trial: what a pilot says of the networks' first layers; None: they are not followed.

    References:
        Owen, Monte Carlo theory, methods and examples, Sec. 8.9 (control variates) and 9.1 (importance sampling);
        Peherstorfer, Willcox and Gunzburger, Optimal model management for multifidelity Monte Carlo estimation, SIAM
        Journal on Scientific Computing 38, 2016; Giles, Multilevel Monte Carlo methods, Acta Numerica 24, 2015.
    """
    plan = Plan.of(expansion, answer.values, draws, trial)
    knots = plan.knots
    few = answer.values if knots is None else answer.values[knots.places]
    chosen, worth, fair = expansion.drawn(plan.whole + plan.short + plan.far, seed)
    last, rest = slice(plan.whole), slice(0 if knots is None else plan.whole, plan.whole + plan.short)
    first = slice(plan.whole + plan.short, None)

    def known(at: Intervention, part: slice) -> tuple[Tensor, int]:
        """Return what the network answers on some of the draws ``(m, draws, outputs)``, and on how many rows."""
        distinct, place = chosen[part].unique(return_inverse=True)
        blocks = whole_blocks(model, at, chunk, expansion.numbers(distinct), columns, expansion.link)
        return torch.cat([double(y) for y, _ in blocks], 1)[:, place], len(distinct)

    def linear(part: slice) -> Tensor:
        """Return what the linear step says of some of the draws."""
        distinct, place = chosen[part].unique(return_inverse=True)
        return double(_picked(expansion.predicted(local.columns, few, distinct), expansion, columns))[:, place]

    y, rows = known(answer, last)
    cost, fine = expansion.cost + len(answer) * rows, y
    if knots is not None:
        fine, rows = known(at_knots(few), rest)
        cost += len(few) * rows
    steps, coarse = [], linear(first if plan.far else rest)
    if plan.far:
        distinct, place = chosen[rest.start :].unique(return_inverse=True)
        found = expansion.explained(plan.around(expansion, distinct).moved(local.columns, few))
        found, count = double(_picked(found, expansion, columns))[:, place], rest.stop - rest.start
        steps.append(Step(coarse, found[:, count:], worth[first]))
        coarse = found[:, :count]
        cost += plan.around(expansion, distinct).cost + round(plan.price * len(few) * len(distinct))
    steps.append(Step(coarse, fine, worth[rest]))
    level = _Level.of(expansion, local.columns, few, groups, columns, chunk)
    values = level.mean
    for step in steps:
        values = step.taken(values)
    more = torch.stack([step.more for step in steps]).sum(0)
    over_rows = _added(level.covariance, more, steps[0].own, level.size)
    own = _added(level.own, more, steps[0].own)
    drawn, aparts = [step.covariance for step in steps], [step.apart for step in steps]
    if knots is not None:
        steps.append(Step(knots.between(y[knots.places]), y, worth[last]))
        values = steps[-1].taken(knots.between(values))
        over_rows, own, *drawn = (knots.weights @ c @ knots.weights.mT for c in (over_rows, own, *drawn))
        drawn.append(steps[-1].covariance)
        aparts = [*(knots.weights @ apart for apart in aparts), steps[-1].apart]
        wider = _wider(own, steps[-1].more)
        over_rows, own = wider * over_rows, wider * own
    covariance = over_rows + sum(drawn)
    sizes = [part.diagonal(dim1=1, dim2=2).sum(1).cpu().numpy() for part in (over_rows, *drawn)]
    freedoms = level.freedom, *(step.freedom.cpu().numpy() for step in steps)
    return Estimate(
        values,
        covariance,
        cost,
        expansion.num_rows,
        spread_of(own),
        y[:, fair[last].nonzero()[:KEPT_ROWS, 0]],
        freedom=float(satterthwaite(list(zip(sizes, freedoms, strict=True))).min()),
        skewness=_skewness(aparts, covariance),
    )


def _wider(own: Tensor, more: Tensor) -> Tensor:
    """Return the factor ``(outputs, 1, 1)`` by which curves vary more over rows than the splines through their knots.

    Args:
        own: ``(outputs, m, m)`` covariance of the splines of single rows.
        more: what the curves' exceeds it by, as drawn rows tell: good for a factor, too uncertain for a matrix.
    """
    whole, missed = (t.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] for t in (own, more))
    return (1 + missed / whole.clamp_min(torch.finfo(own.dtype).tiny)).clamp(0.5, 2)


class Step:
    """From the average of coarse curves to that of finer ones, by both on the same drawn rows.

    Args:
        coarse: ``(m, draws, outputs)`` curves whose average over all rows is known, or estimated on other draws.
        fine: the finer curves of the same rows.
        worth: ``(draws,)`` weights of the draws.
    """

    def __init__(self, coarse: Tensor, fine: Tensor, worth: Tensor) -> None:
        self.coarse, self.fine, self.worth, self.draws = coarse, fine, worth, len(worth)

    def taken(self, mean: Tensor) -> Tensor:
        """Return the average of the fine curves, ``(m, outputs)``, from that of the coarse ones."""
        beta = _coefficients(self.fine, self.coarse, self.worth)
        # each draw is an estimate of the whole: beta times the coarse mean, and the weighted rest
        each = beta * mean[:, None] + self.worth[:, None] * (self.fine - beta * self.coarse)
        values = each.mean(1)
        self.apart = (each - values[:, None]).permute(2, 0, 1)
        shares = self.worth / self.draws
        pairs = ((self.fine, values), (self.coarse, mean))
        centred = [(t - centre[:, None]).permute(2, 0, 1) for t, centre in pairs]
        self.own, linear = ((t * shares) @ t.mT for t in centred)
        self.more = self.own - linear  # how much wider the fine curves spread over rows than the coarse ones
        return values

    @property
    def covariance(self) -> Tensor:
        """``(outputs, m, m)`` of the error that the draws of this step bring."""
        return self.apart @ self.apart.mT / (self.draws * (self.draws - 1))

    @property
    def freedom(self) -> Tensor:
        """``(outputs,)`` degrees of freedom of ``covariance``, mean over the values of their reciprocals.

        An estimated variance has the relative variance ``2 / f`` with f degrees of freedom. That of n draws has
        ``2 / (n - 1) + e / n`` with e their kurtosis less 3: a few draws of large weight carry the variance.

        References:
            Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 2, 1946.
        """
        square = self.apart.square()
        mean = square.mean(2, keepdim=True).clamp_min(torch.finfo(square.dtype).tiny)
        excess = ((square / mean).square().mean(2) - 3).clamp_min(0)
        return 1 / (1 / (self.draws - 1) + excess / (2 * self.draws)).mean(1)


@dataclass(frozen=True)
class _Level:
    """The average of the linear step over all rows.

    Attributes:
        mean: ``(m, outputs)``.
        covariance: ``(outputs, m, m)`` its sampling covariance.
        own: ``(outputs, m, m)`` covariance of single rows.
        freedom: degrees of freedom of ``covariance``.
    """

    mean: Tensor
    covariance: Tensor
    own: Tensor
    freedom: float

    @property
    def size(self) -> Tensor:
        """``(outputs, 1, 1)`` how large the covariance of the average is in units of that of the rows."""
        whole, own = (t.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] for t in (self.covariance, self.own))
        least = 1 / (self.freedom + 1)
        return torch.where(own > 0, whole / own.clamp_min(torch.finfo(own.dtype).tiny), least)

    @classmethod
    def of(
        cls,
        expansion: Expansion,
        at: Sequence[int],
        values: Tensor,
        groups: Tensor | None,
        columns: Sequence[int] | None,
        chunk: int,
    ) -> _Level:
        n, m = expansion.num_rows, len(values)
        labels = None if groups is None else groups if expansion.index is None else groups[expansion.index]
        order = None if labels is None else labels.argsort(stable=True)
        moments = RowMoments(n, keep=1, skewed=False)
        straight = expansion.link is None  # then two curves hold all: the value at 0 and the slope
        basis = torch.cat([torch.ones_like(double(values[:, :1])), double(values)], 1) if straight else None
        size = max(1, chunk if straight else chunk // m)
        for part in (slice(i, i + size) for i in range(0, n, size)) if order is None else order.split(size):
            curves = _lines(expansion, at, part) if straight else expansion.predicted(at, values, part)
            weights = expansion.weights[part] * n
            moments.add(_picked(curves, expansion, columns), weights, None if labels is None else labels[part])
            release(expansion.own)
        mean, covariance, own = moments.mean, moments.covariance(), moments.own_covariance()
        if basis is not None:
            mean, covariance, own = basis @ mean, basis @ covariance @ basis.T, basis @ own @ basis.T
        return cls(mean, covariance, own, float("inf") if moments.freedom is None else moments.freedom)


def _lines(expansion: Expansion, at: Sequence[int], part: Tensor | slice) -> Tensor:
    """Return the linear steps of some rows as their value at 0 and their slopes, ``(1 + w, b, outputs)``."""
    slopes = [expansion.slopes[column][..., part] for column in at]  # w of (S, outputs, b)
    start = expansion.centres[..., part].clone()
    for slope, column in zip(slopes, at, strict=True):
        start -= slope * expansion.own[part, column]
    return expansion.explained(torch.stack([start, *slopes], 2))


def _picked(outputs: Tensor, expansion: Expansion, columns: Sequence[int] | None) -> Tensor:
    """Return the explained outputs that are wanted of each block: of the mean, and of each of several networks."""
    if columns is None or expansion.link is None:  # without a link only those were expanded
        return outputs
    networks = len(expansion.centres)
    width = outputs.shape[-1] // (1 if networks == 1 else networks + 1)
    wanted = torch.as_tensor(list(columns), device=outputs.device)
    return outputs.unflatten(-1, (-1, width))[..., wanted].flatten(-2)


def _coefficients(y: Tensor, h: Tensor, worth: Tensor) -> Tensor:
    """Return the coefficient of h for each draw, ``(draws, outputs)``, from the other folds alone.

    It is 1 where h takes at least half of the variance of y, else the one of least variance between 0 and 1.
    """
    draws = y.shape[1]
    fold = torch.arange(draws, device=y.device) % FOLDS
    inside = torch.nn.functional.one_hot(fold, FOLDS).to(y)  # (draws, folds)
    others, count = 1 - inside, (1 - inside).sum(0)
    a, b = (worth[:, None] * t for t in (y, h))
    a, b = (t - t.mean(1, keepdim=True) for t in (a, b))  # against cancellation
    means = [t.mT @ others for t in (a, b)]  # (m, outputs, folds)

    def sums(one: Tensor, other: Tensor, firsts: Tensor, seconds: Tensor) -> Tensor:
        """Return the sum of products about the means over the draws of the other folds, ``(outputs, folds)``."""
        return (one * other).sum(0).mT @ others - (firsts * seconds).sum(0) / count.clamp_min(1)

    aa, bb, ab = sums(a, a, means[0], means[0]), sums(b, b, means[1], means[1]), sums(a, b, *means)
    least = ab / bb.clamp_min(torch.finfo(b.dtype).tiny)
    enough = (aa - 2 * ab + bb <= EXPLAINED * aa) | (count < 8)
    return torch.where(enough, torch.ones_like(least), least.clamp(0, 1)).T[fold]


def _added(covariance: Tensor, more: Tensor, own: Tensor, size: Tensor | float = 1.0) -> Tensor:
    """Return a covariance ``(outputs, m, m)`` of linear curves as that of the network's.

    The difference is without bias but may leave no covariance; there that of the drawn rows alone takes its place.

    Args:
        covariance: of single linear curves, or of their average.
        more: how much the covariance of the network's curves exceeds that of the linear ones.
        own: the covariance of the network's curves by drawn rows alone.
        size: how large the covariance is in units of single curves, ``(outputs, 1, 1)`` or a number.
    """
    found = covariance + size * more
    diagonal = covariance.diagonal(dim1=1, dim2=2) + (size * own).diagonal(dim1=1, dim2=2)
    slack = torch.diag_embed(SLACK * diagonal.sum(1, keepdim=True).expand_as(diagonal))
    whole = torch.linalg.cholesky_ex(found + slack + torch.finfo(slack.dtype).tiny).info == 0
    return torch.where(whole[:, None, None], found, size * own)


def _skewness(aparts: Sequence[Tensor], covariance: Tensor) -> Tensor | None:
    """Return the ``(m, outputs)`` skewness of the estimate, None for little.

    Args:
        aparts: ``(outputs, m, draws)`` for each step the deviations of what each draw says.
        covariance: ``(outputs, m, m)`` of the estimate.
    """
    variance = covariance.diagonal(dim1=1, dim2=2)
    third = torch.stack([apart.pow(3).sum(2) / apart.shape[2] ** 3 for apart in aparts]).sum(0)
    found = (third / variance.clamp_min(torch.finfo(variance.dtype).tiny).pow(1.5)).clamp(-1, 1).T
    return found if float(found.abs().max()) > NOTABLE else None
