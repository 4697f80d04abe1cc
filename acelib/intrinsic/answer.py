"""The numbers of one causal model before they are averaged into a result."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Answer:
    """Contributions from R replicates: R scramblings, or two equal ones for an exact method.

    The first group is the network, or the mean of several; the others are each of them.

    Attributes:
        contributions: ``(R, k, groups)``.
        total: ``(R, groups)`` the variance or entropy of the target.
        method: "sampling", "enumeration" or "closed form".
        num_rows: model rows evaluated.
        closed: ``(R, 2^k, groups)`` what each subset of the noises explains, by its bits; None where not all are known.
        kurtosis: kurtosis of the target, whose variance was sampled; None for other methods and the entropy.
    """

    contributions: Tensor
    total: Tensor
    method: str
    num_rows: int
    closed: Tensor | None = None
    kurtosis: float | None = None


def certain(values: Tensor) -> Tensor:
    """Return two equal replicates: a value whose standard error is 0."""
    return values.double().expand(2, *values.shape)
