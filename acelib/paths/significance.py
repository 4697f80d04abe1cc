"""Is an effect more than chance? Two-sided z-tests over the inputs (Eq. 1), paired or unpaired.

The same inputs are evaluated with and without the intervention, so the right test is the paired one: it divides the
mean difference by its own standard error. The unpaired test treats the two sets of predictions as independent
samples and ignores that most of their variance is common. Many nodes are tested at once; Holm's procedure bounds the
chance of any false find in a layer, that of Benjamini and Hochberg the share of false ones among the finds.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats
from torch import Tensor

TESTS = ("paired", "unpaired")
CORRECTIONS = (None, "holm", "fdr")
MIN_INPUTS = 30  # below this a z-test's normal law for the mean is a bold assumption


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
    return torch.from_numpy(np.atleast_1d(2 * stats.norm.sf(np.abs(z.cpu().numpy()))))


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
        return torch.from_numpy(stats.false_discovery_control(p.numpy(), method="bh"))
    order = torch.argsort(p)
    scaled = (p[order] * torch.arange(len(p), 0, -1)).clamp(max=1).cummax(0).values
    return torch.empty_like(p).scatter(0, order, scaled)


def check_options(alpha: float, test: str, correction: str | None) -> None:
    """Raise a ValueError for a level, test or correction that does not exist."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}; the usual level is 0.05")
    if test not in TESTS:
        raise ValueError(f"test must be one of {', '.join(TESTS)}, got {test!r}")
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be None, 'holm' or 'fdr', got {correction!r}")
