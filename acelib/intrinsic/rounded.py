"""Columns whose values repeat, for models of continuous variables: rounded ones are spread, others are refused.

A density has no atoms. On values that repeat, maximum likelihood puts ever higher spikes there, and says nothing of the
law. A variable that was only rounded, on a grid fine beside its deviation, is continuous again once every value is
spread evenly over its step h; this adds h²/12 to its variance, at most 1 % for h up to 0.35 deviations. Two values, a
few grades, or a value that many rows share are no rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._warnings import ApproximationWarning, warn_caller
from .graph import CausalGraph

FEW = 0.02  # share of the rows that one value of a continuous column may hold
STEP = 0.35  # deviations between neighbours on a grid that counts as rounding
ATOM = 0.2  # share of the rows that one value of such a grid may hold


def spread_rounded(X: Tensor, graph: CausalGraph) -> Tensor:
    """Return the columns ``(n, nodes)``, rounded ones spread evenly over their step by seeded draws.

    Raises:
        ValueError: for columns of few values, or with a value that many rows share.

    Warns:
        ApproximationWarning: which names the rounded columns.
    """
    X, generator = X.clone(), torch.Generator().manual_seed(0)
    refused, spread = [], []
    for j, node in enumerate(graph.nodes):
        values, counts = X[:, j].unique(return_counts=True)
        share = int(counts.max()) / len(X)
        if int(counts.max()) <= max(5, FEW * len(X)):
            continue
        step = _step(values)
        if step is None or share > ATOM or step > STEP * float(X[:, j].std()):
            refused.append(f"{node!r} ({len(values)} distinct values, one in {share:.0%} of the rows)")
            continue
        X[:, j] += step * (torch.rand(len(X), generator=generator, dtype=X.dtype) - 0.5)
        spread.append(f"{node!r} (step {step:.3g})")
    if refused:
        raise ValueError(
            f"X must have continuous columns for a flow, got {', '.join(refused)}; use LinearModel with "
            "noise='empirical', or StructuralModel with FiniteNoise for these nodes, or leave them out of the graph"
        )
    if spread:
        warn_caller(
            f"a flow is for continuous variables: the rounded values of {', '.join(spread)} are spread evenly over "
            "their step, which adds up to 1 % to their variance",
            ApproximationWarning,
        )
    return X


def _step(values: Tensor) -> float | None:
    """Return the step of the grid that sorted distinct values lie on; None where they lie on none."""
    if len(values) < 2:
        return None
    gaps = values.diff()
    step = float(gaps.min())
    grid = (values - values[0]) / step
    slack = 1e-6 + 4 * torch.finfo(values.dtype).eps * float(values.abs().max()) / step
    whole = (grid - grid.round()).abs() <= slack * grid.clamp_min(1.0)
    return step if bool(whole.all()) and slack < 0.1 else None
