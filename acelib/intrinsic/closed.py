"""Variances of subsets of inputs from the statistics of the plans of ``pickfreeze``."""

from __future__ import annotations

from torch import Tensor

from .games import allocate
from .pickfreeze import Replicates


def shapley_values(run: Replicates, k: int) -> Tensor:
    """Return Shapley variances ``(R, k, outputs)`` from the run of a ``subsets_plan``.

    They are made from differences of D alone, so that their sum, D of all noises, can be held against Var(Y).
    """
    table = -run.statistics.flip(1).transpose(0, 1)
    return allocate(table, "shapley", range(k)).transpose(0, 1)


def closed_values(run: Replicates) -> Tensor:
    """Return the closed variances ``(2^k, R, outputs)`` of all subsets, from the run of a ``subsets_plan``."""
    # the complement of subset b is 2^k - 1 - b
    return closed_from_rest(run.variance[None], run.statistics.flip(1).transpose(0, 1), run.statistics[:, -1])


def first_and_total(run: Replicates, k: int) -> tuple[Tensor, Tensor]:
    """Return first-order and total variances ``(R, k, outputs)`` from the run of a ``first_total_plan``."""
    rest = run.statistics[:, k + 1 :].transpose(0, 1)
    first = closed_from_rest(run.variance[None], rest, run.statistics[:, 0])
    return first.transpose(0, 1), run.statistics[:, 1 : k + 1]


def closed_from_rest(variance: Tensor, rest: Tensor, everything: Tensor) -> Tensor:
    """Return closed variances ``(subsets, R, outputs)`` of subsets u from Jansen's D of the complements.

    ``Var − D_rest`` is precise for a large index and poor for a small one; ``D_all − D_rest``, whose two terms share
    their noise, the other way round. For an additive normal Y the best mix gives the second the weight (1 − S)², with
    S the index. D_all − Var has mean 0, so any weight leaves the estimate unbiased.

    Args:
        variance: ``(1, R, outputs)``.
        rest: ``(subsets, R, outputs)`` D of the complements.
        everything: ``(R, outputs)`` D of all noises.
    """
    plain = variance - rest
    share = (plain.mean(1, keepdim=True) / variance.mean(1, keepdim=True)).nan_to_num(0.0).clamp(0, 1)
    return plain + (1 - share).square() * (everything - variance)
