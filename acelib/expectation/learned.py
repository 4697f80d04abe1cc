"""The error of learning a causal model: how far the answer to the same do() moves between refits of the model.

A refit is asked on the rows of the fit itself, so that their sampling drops out of the difference, and a few hundred of
them are enough. Both errors are taken to be uncorrelated: the one is of noises that the rows happen to have, the other
of mechanisms given these noises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .._devices import double
from .._intervals import satterthwaite
from .._models import Model
from ..inputs.intervention import Intervention
from .curves import Curves
from .estimators import Estimate, whole_blocks
from .links import Link

PAIRED = 500  # rows on which refits are compared with the fit


def with_learning(
    estimate: Estimate,
    model: Model,
    answer: Intervention,
    *,
    chunk: int,
    index: Tensor | None,
    columns: Sequence[int] | None = None,
    link: Link | None = None,
) -> Estimate:
    """Return an estimate whose covariance holds the spread over the variants of its answer, one for each causal model.

    Where the answer is pooled, its values become the mean over them.

    Args:
        estimate: under the first causal model.
        model: the joint model, see ``row_average``.
        answer: with its variants, B of them.
        chunk: most model rows in one call.
        index: numbers of the rows that were averaged; None for all.
        columns: which of the explained outputs ``model`` returns; None for all.
        link: what is applied to outputs that an answer knows.
    """
    numbers = torch.arange(answer.num_rows, device=answer.values.device) if index is None else index
    if not answer.pooled and len(numbers) > PAIRED:
        order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))[:PAIRED]
        numbers = numbers[order.to(numbers.device)]

    def average(one: Intervention) -> Tensor:
        blocks = (double(y).sum(1) for y, _ in whole_blocks(model, one, chunk, numbers, columns, link))
        return torch.stack(list(blocks)).sum(0) / len(numbers)

    curves = torch.stack([average(one) for one in answer.variants])  # (B, m, outputs)
    apart = curves - curves.mean(0)
    learned = torch.einsum("bmo,bno->omn", apart, apart) / (len(curves) - 1)
    curves_of_rows = estimate.covariance
    further = {}
    if isinstance(curves_of_rows, Curves):
        further = curves_of_rows.rest()
        rows = further.pop("covariances")
    else:
        rows = curves_of_rows
    total = rows + learned
    sizes = [part.diagonal(dim1=1, dim2=2).sum(1).cpu().numpy() for part in (rows, learned)]
    freedoms = float("inf") if estimate.freedom is None else estimate.freedom, len(curves) - 1
    skewness = estimate.skewness
    if skewness is not None:  # refits add an error that is about symmetric
        before, after = (part.diagonal(dim1=1, dim2=2).T.clamp_min(0) for part in (rows, total))
        skewness = skewness * torch.where(after > 0, (before / after) ** 1.5, 1.0)
    return replace(
        estimate,
        values=curves.mean(0) if answer.pooled else estimate.values,
        covariance=total,
        cost=estimate.cost + len(curves) * len(numbers) * len(answer),
        freedom=float(satterthwaite(list(zip(sizes, freedoms, strict=True))).min()),
        skewness=skewness,
        **further,
    )
