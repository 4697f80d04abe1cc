"""Two-sided z-tests of many nodes' effects over the inputs, paired or unpaired (Eq. 1).

The same inputs are evaluated with and without the intervention, so the right test is the paired one: it divides the
mean difference by its own standard error. The unpaired test treats the two sets of predictions as independent
samples and ignores that most of their variance is common. Many nodes are tested at once; Holm's procedure bounds the
chance of any false find in a layer, that of Benjamini and Hochberg the share of false ones among the finds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

KINDS = ("paired", "unpaired")
CORRECTIONS = (None, "holm", "fdr")
MIN_INPUTS = 30  # with fewer the normal approximation of the z-test is unreliable


@dataclass(frozen=True)
class Decision:
    """The decision of a test on the nodes of a layer.

    Attributes:
        p: ``(..., nodes)`` two-sided p-values.
        p_adjusted: ``(..., nodes)`` p-values adjusted for the nodes tested together.
        necessary: ``(..., nodes)`` boolean: the effect is significant and negative.
        noisy: ``(..., nodes)`` boolean: the effect is significant and positive.
    """

    p: Tensor
    p_adjusted: Tensor
    necessary: Tensor
    noisy: Tensor

    def roles(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return the necessary, noisy and neutral nodes of one layer."""
        masks = (self.necessary, self.noisy, ~(self.necessary | self.noisy))
        necessary, noisy, neutral = (tuple(mask.nonzero()[:, 0].tolist()) for mask in masks)
        return necessary, noisy, neutral


@dataclass(frozen=True)
class Test:
    """A two-sided z-test of all nodes of a layer together.

    Attributes:
        alpha: its level.
        kind: "paired" or "unpaired".
        correction: None, "holm" or "fdr", for the number of nodes tested together.

    Raises:
        ValueError: for a level, a kind or a correction that does not exist.

    Example:
        >>> decision = Test(0.05, "paired", "holm").decide(torch.tensor([-3.0, 0.0, 2.0]))
        >>> assert decision.roles() == ((0,), (), (1, 2))  # 2 * 0.0455 exceeds the level
    """

    alpha: float = 0.05
    kind: str = "paired"
    correction: str | None = None

    __test__ = False  # pytest would collect a class of this name

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}; the usual level is 0.05")
        if self.kind not in KINDS:
            raise ValueError(f"test must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.correction not in CORRECTIONS:
            raise ValueError(f"correction must be None, 'holm' or 'fdr', got {self.correction!r}")

    def scores(self, differences: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Return the z-scores and standard errors ``(nodes,)`` of mean differences, see ``z_scores``."""
        return z_scores(differences, observed, test=self.kind)

    def decide(self, z: Tensor) -> Decision:
        """Return the p-values and roles of nodes with z-scores ``(nodes,)``, or of each row of ``(runs, nodes)``."""
        p = p_values(z.flatten()).reshape(z.shape)
        adjusted = adjust(p, self.correction) if p.ndim == 1 else torch.stack([adjust(r, self.correction) for r in p])
        significant = adjusted < self.alpha
        return Decision(p, adjusted, significant & (z < 0), significant & (z > 0))


def z_scores(differences: Tensor, observed: Tensor, *, test: str = "paired") -> tuple[Tensor, Tensor]:
    """Return the z-scores and standard errors ``(nodes,)`` of the mean differences.

    A node whose differences are all 0 gets z = 0; a constant difference other than 0 gets an infinite z when paired.

    Args:
        differences: ``(nodes, n)`` output with the intervention minus output without, input by input.
        observed: ``(n,)`` output without.
        test: "paired" or "unpaired".

    References:
        Ahmad et al. (2023), Eq. 1.

    Example:
        >>> z, error = z_scores(torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.zeros(2))
        >>> assert z.tolist() == [2.0, 0.0] and error[0] == 1.0
    """
    d, y, n = differences.double(), observed.double(), differences.shape[1]
    if test == "paired":
        error = d.std(1) / n**0.5
    else:
        error = ((d + y).var(1) / n + y.var() / n).sqrt()
    mean = d.mean(1)
    z = torch.where(d.eq(0).all(1), torch.zeros_like(mean), mean / error)
    return z, error


def p_values(z: Tensor) -> Tensor:
    """Return the two-sided p-values of ``z`` under the standard normal law, same shape.

    Example:
        >>> assert abs(p_values(torch.tensor([1.959964])).item() - 0.05) < 1e-6
    """
    return torch.from_numpy(np.atleast_1d(2 * ndtr(-np.abs(z.cpu().double().numpy()))))


def adjust(p: Tensor, correction: str | None) -> Tensor:
    """Return p-values ``(nodes,)`` adjusted for the number of nodes tested together.

    Args:
        p: raw p-values.
        correction: None leaves them; "holm" (family-wise error), "fdr" (Benjamini and Hochberg).

    References:
        Holm (1979); Benjamini and Hochberg (1995).

    Example:
        >>> assert torch.allclose(adjust(torch.tensor([0.01, 0.04]), "holm"), torch.tensor([0.02, 0.04]))
    """
    if correction is None or not len(p):
        return p.clone()
    if correction == "fdr":
        from scipy.stats import false_discovery_control

        return torch.from_numpy(false_discovery_control(p.numpy(), method="bh"))
    order = torch.argsort(p)
    scaled = (p[order] * torch.arange(len(p), 0, -1)).clamp(max=1).cummax(0).values
    return torch.empty_like(p).scatter(0, order, scaled)
