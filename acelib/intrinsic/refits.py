"""Answers of a list of fits, and the error of learning of a single one from refits that cost little.

A refit is evaluated at the points of the fit itself: sampling errors drop out of their difference, so that each needs a
few points only. Every scrambling has a refit of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from .._warnings import ApproximationWarning, warn_caller
from .answer import Answer
from .job import Job
from .learning import Deviations, of_pairs, of_refits, of_rows
from .linear import LinearModel
from .sandwich import influence

REFITS = 32  # their standard deviation is known to an eighth
SHARE = 8  # the main run has so many times the points of all refits
INNER = 64  # mixtures behind an inner mean of the entropy of a refit


def sampled_answers(jobs: Sequence[Job]) -> list[Answer]:
    """Return the sampled answer of every job; the time of all is predicted after the first block."""
    return [job.sampled(runs=0 if place else len(jobs)) for place, job in enumerate(jobs)]


def error_of_learning(
    jobs: Sequence[Job], answers: Sequence[Answer], weights: Tensor | None
) -> tuple[Deviations | None, int]:
    """Return the deviations behind the error of learning, None where there is none that is known, and model rows.

    Args:
        jobs: one for each causal model.
        answers: theirs.
        weights: ``(nodes,)`` of a target that is linear in the nodes; None for another.
    """
    scm = jobs[0].what.scm
    if len(jobs) > 1:
        return of_refits(answers), 0
    if not isinstance(scm, LinearModel) or scm.fitted is None:
        return None, 0
    if answers[0].method == "closed form" and weights is not None:
        return of_rows(influence(scm, weights), scm.fitted.count), 0
    try:
        refits = scm.refits(REFITS, seed=jobs[0].seed)
    except ValueError as error:
        warn_caller(f"the error bar leaves out the error of learning: {error}", ApproximationWarning)
        return None, 0
    few = replace(jobs[0], scramblings=REFITS, num_samples=-(-jobs[0].num_samples // SHARE), progress=False)
    if few.measure == "entropy":
        few = replace(few, num_samples=jobs[0].num_samples, inner_samples=min(INNER, few.inner_samples))
    own, others = few.sampled(runs=0), few.sampled(refits, runs=0)
    return of_pairs(others, own, len(scm.fitted.rows) / scm.fitted.count), own.num_rows + others.num_rows
