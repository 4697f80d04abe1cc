"""From the numbers of one causal model, or of a list of fits, to a result with its error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .answer import Answer
from .error_bars import degrees_of_sum, mean_and_stderr, ratio_and_stderr
from .games import subset_of
from .job import Job
from .learning import Deviations
from .pickfreeze import sizes
from .results import Closed, IntrinsicContributions

OnData = tuple[float, float] | tuple[None, None]


def present(
    job: Job, answers: Sequence[Answer], learned: Deviations | None, on_data: OnData, further_rows: int
) -> IntrinsicContributions:
    """Return the mean over fits and replicates; errors of sampling and of learning are added as independent ones.

    Args:
        job: the options.
        answers: one for each causal model, from the same points, so that their sampling errors are one.
        learned: the error of learning; None where there is none, or where it is not known.
        on_data: variance or entropy of the target on the data, and its standard error.
        further_rows: model rows evaluated for the error of learning and on the data.
    """
    own = torch.stack([a.contributions[..., 0] for a in answers]).mean(0)
    whole = torch.stack([a.total[:, 0] for a in answers]).mean(0)
    method, each = answers[0].method, [a.contributions for a in answers]
    scramblings = len(own) if method == "sampling" else 0
    sampled = _Sampled(mean_and_stderr(own), ratio_and_stderr(own, whole[:, None]), whole, scramblings)
    (contributions, stderr), (shares, shares_stderr) = sampled.values, sampled.shares
    totals = mean_and_stderr(whole), mean_and_stderr(whole - own.sum(1))
    (uncertainty, uncertainty_stderr), (residual, residual_stderr) = totals
    found: dict[str, Any] = dict.fromkeys(("fit_stderr", "degrees", "shares_degrees", "uncertainty_degrees"))
    if learned is not None:
        stderr, found["degrees"], found["fit_stderr"] = sampled.with_error(stderr, learned, learned.contributions)
        moved = (learned.contributions - shares * learned.total[:, None]) / uncertainty
        shares_stderr, found["shares_degrees"], _ = sampled.with_error(shares_stderr, learned, moved)
        uncertainty_stderr, freedom, _ = sampled.with_error(uncertainty_stderr, learned, learned.total)
        found["uncertainty_degrees"] = float(freedom)
        left = learned.total - learned.contributions.sum(1)
        residual_stderr = sampled.with_error(residual_stderr, learned, left)[0]
    tables = [a.closed[..., 0] for a in answers if a.closed is not None]
    closed = _closed(job, torch.stack(tables).mean(0), sampled, learned) if len(tables) == len(answers) else ({}, {})
    return IntrinsicContributions(
        nodes=job.what.scm.nodes,
        target="label" if job.measure == "entropy" else job.what.name,
        measure=job.measure,
        context=job.context,
        contributions=contributions,
        stderr=stderr,
        shares=shares,
        shares_stderr=shares_stderr,
        uncertainty=float(uncertainty),
        uncertainty_stderr=float(uncertainty_stderr),
        residual=float(residual),
        residual_stderr=float(residual_stderr),
        order=job.names,
        method=method,
        num_samples=sizes(job.num_samples, job.scramblings) * scramblings,
        num_rows=sum(a.num_rows for a in answers) + further_rows,
        scramblings=scramblings,
        closed=closed[0],
        closed_stderr=closed[1],
        models=torch.stack(each).mean((0, 1))[:, 1:].T.contiguous() if job.groups > 1 else None,
        fits=torch.stack([one[..., 0].mean(0) for one in each]) if len(each) > 1 else None,
        data_uncertainty=on_data[0],
        data_uncertainty_stderr=on_data[1],
        kurtosis=max((a.kurtosis for a in answers if a.kurtosis is not None), default=None),
        **found,
    )


class _Sampled:
    """Estimates with the errors of their sampling, to which that of learning is added."""

    def __init__(
        self, values: tuple[Tensor, Tensor], shares: tuple[Tensor, Tensor], whole: Tensor, scramblings: int
    ) -> None:
        self.values, self.shares, self.whole, self.scramblings = values, shares, whole, scramblings

    def with_error(self, stderr: Tensor, learned: Deviations, deviations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the error of sampling and learning, its degrees of freedom, and the part of learning."""
        part, degrees = learned.error(deviations)
        own = torch.full_like(stderr, max(self.scramblings - 1, 1))
        return torch.hypot(stderr, part), degrees_of_sum(stderr, own, part, degrees), part


def _closed(job: Job, table: Tensor, sampled: _Sampled, learned: Deviations | None) -> tuple[Closed, Closed]:
    """Return closed indices of all subsets, and their errors, from replicates ``(R, 2^k)``."""
    nodes = job.what.scm.nodes
    names = [tuple(nodes[j] for j in subset_of(bits, job.k)) for bits in range(2**job.k)]
    value, stderr = ratio_and_stderr(table, sampled.whole[:, None])
    if learned is not None and learned.closed is not None:
        moved = (learned.closed - value * learned.total[:, None]) / sampled.whole.mean()
        stderr = sampled.with_error(stderr, learned, moved)[0]
    return dict(zip(names, value.tolist(), strict=True)), dict(zip(names, stderr.tolist(), strict=True))
