"""Whether regressors that are kept for later calls give what direct evaluations give; a warning where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from .._warnings import ApproximationWarning, warn_caller
from ..expectation.result import Expectation
from ..inputs.domain import Domain, Interval
from .values import checked_values

CHECKED_VALUES = 32  # direct evaluations that cached regressors are compared with
CHECK_LIMIT = 0.05  # of the range of the feature's own curve
CHECK_FLOOR = 0.005  # of the range of the target's largest curve: less is of no account
ROUNDING = 64  # units of the outputs' last place within which a curve counts as flat


def values_to_check(
    columns: Sequence[int], domains: Sequence[Domain], asked: Mapping[int, Tensor], generator: Generator
) -> dict[int, Tensor]:
    """Return the values at which features are evaluated once more, by column; none for tables and constants.

    Args:
        columns: of the features that have regressors.
        domains: of all features.
        asked: values that were asked for, by column; some of them are among the checked ones.
        generator: draws the others, and the features where there are many.
    """
    candidates = [c for c in columns if isinstance(domains[c], Interval) and domains[c].width > 0]
    if not candidates:
        return {}
    order = torch.randperm(len(candidates), generator=generator)[:CHECKED_VALUES].tolist()
    count = max(1, CHECKED_VALUES // len(candidates))
    chosen = sorted(candidates[i] for i in order)
    return {c: checked_values(domains[c], count, asked.get(c), generator) for c in chosen}


def warn_of_misses(
    curves: Any, checked: Mapping[int, Tensor], answers: Mapping[int, Expectation], names: Sequence[str], eps: float
) -> None:
    """Warn where regressors are off direct values by more than 5 % of a curve's range.

    Args:
        curves: regressors of all targets, ``curves[column, target]``, with the expectations they were fitted to.
        checked: the values by column.
        answers: the expectations there.
        names: of all features.
        eps: the rounding of the outputs.
    """
    if not checked:
        return
    known = curves.expectations.values()
    spans = torch.stack([e.values.amax(0) - e.values.amin(0) for e in known]).cpu().double()
    noise = ROUNDING * eps * torch.stack([e.values.abs().amax(0) for e in known]).cpu().double().amax(0)
    missed: dict[str, float] = {}
    for column, values in checked.items():
        direct = answers[column].values.cpu()
        fitted = [torch.as_tensor(curves[column, t].predict(values)) for t in range(direct.shape[1])]
        error = (torch.stack(fitted, dim=1) - direct).abs().amax(0)
        span = spans[curves.feature_index.index(column)]
        share = error / span.clamp_min(torch.finfo(torch.float64).tiny)
        counts = (error > noise) & (error > CHECK_FLOOR * spans.amax(0)) & (share > CHECK_LIMIT)
        if counts.any():
            missed[names[column]] = float(share[counts].max())
    if missed:
        first, *others = sorted(missed, key=lambda name: missed[name], reverse=True)
        more = f", and those of {', '.join(map(repr, others[:6]))} by more than {CHECK_LIMIT:.0%}" if others else ""
        warn_caller(
            f"the cached regressor of {first!r} misses a direct value by {missed[first]:.1%} of the range{more}; "
            "use via='direct', or regress with more values, a higher max_order or family='spline'",
            ApproximationWarning,
        )
