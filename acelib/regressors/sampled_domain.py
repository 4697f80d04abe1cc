"""The error of a baseline over the range of a sample, whose ends would lie elsewhere in another sample.

The baseline b is the mean of a curve f over U(l, h), so that

    ∂b/∂h = (f(h) − b) / (h − l),    ∂b/∂l = (b − f(l)) / (h − l)

The ends of a sample are asymptotically independent of each other, and of its averages where variances are finite (Chow
and Teugels, The sum and the maximum of i.i.d. random variables, 1978). So their errors (``acelib.inputs.ends``) add to
the variance of b, and of all effects that are measured from it, ``(∂b/∂h)² var h + (∂b/∂l)² var l``.

These error bars cover what samples of one size say. A law without ends has no range that a sample could estimate: with
more rows the range grows and the baseline drifts. Where that drift, in a sample of 100 times as many rows, is no small
matter beside the error bar, ``warn_drift`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from .._checks import as_labels
from .._warnings import ApproximationWarning, warn_caller
from ..inputs.domain import Domain, Interval
from ..inputs.ends import sample_ranges

if TYPE_CHECKING:
    from ..expectation.result import Expectation
    from .base import Regressor

DRIFT = 0.5  # of the error bar: then 1.96 of them still cover 92 % with the drift
VISIBLE = 0.01  # of the curve's range: less is of no account where the error bar is mostly of something else
VALUES = 9  # at most so many of the asked values are looked at

Curve = TypeVar("Curve", bound="Regressor")


def end_error(low: Any, high: Any, width: float, low_std: float, high_std: float) -> Any:
    """Return the standard error of baselines from the ends of their interval.

    Args:
        low, high: effects at the ends, f(l) − b and f(h) − b, of any shape.
        width: h − l.
        low_std, high_std: standard errors of the ends.

    Example:
        >>> assert end_error(-1.0, 1.0, 2.0, 0.0, 0.1) == 0.05
    """
    return np.hypot(np.multiply(low, low_std), np.multiply(high, high_std)) / (width or 1.0)


def ends_error(domain: Domain, ends: np.ndarray) -> np.ndarray:
    """Return the standard errors ``(targets,)`` of baselines with effects ``(2, targets)`` at the ends of a domain."""
    origin = domain.origin if isinstance(domain, Interval) else None
    if origin is None:
        return np.zeros(ends.shape[1])
    return end_error(ends[0], ends[1], domain.width, origin.low_std, origin.high_std)


def grouped(domain: Domain, values: Tensor, groups: Any) -> Domain:
    """Return the domain of a feature with errors of its ends from independent groups of dependent rows.

    Args:
        domain: of the feature; certain ones stay as they are.
        values: ``(n,)`` the feature in the rows.
        groups: ``(n,)`` labels of the rows.
    """
    if not isinstance(domain, Interval) or domain.origin is None:
        return domain
    return replace(domain, origin=sample_ranges(values[:, None], groups=as_labels(groups, len(values)))[0])


def over_sample(curves: Sequence[Curve], domain: Interval) -> Sequence[Curve]:
    """Return curves over a domain, with the errors of its ends where it is the range of a sample."""
    origin = domain.origin
    if origin is None:
        return curves
    ends = dict(low_std=origin.low_std, high_std=origin.high_std, domain_rows=origin.rows)
    return [replace(curve, **ends) for curve in curves]


def effects_of(e: Expectation, weights: Tensor, domain: Domain) -> tuple[tuple[Tensor, ...], float]:
    """Return ACE, errors, degrees of freedom and baselines ``(d, targets)`` of d values, and their ``drift``.

    Args:
        e: expectations at the d values and then at the nodes of the quadrature of the baseline, which begin and end
            with the ends of the domain.
        weights: ``(nodes,)`` of the quadrature.
        domain: of the feature.
    """
    count = len(e.values) - len(weights)
    contrast = torch.eye(len(e.values), dtype=torch.float64)
    contrast[:, count:] -= weights
    effects, std, freedom = e.contrast(contrast)
    over = effects[count:].numpy()
    std = (std[:count].square() + torch.from_numpy(ends_error(domain, over[[0, -1]]) ** 2)).sqrt()
    moved = drift(domain, over[[0, -1]], np.ptp(over, axis=0), std.numpy())
    baseline = (weights.to(e.values) @ e.values[count:]).double().cpu().expand(count, -1)
    return (effects[:count], std, freedom[:count], baseline), moved


def drift(domain: Domain, ends: np.ndarray, span: np.ndarray, std: np.ndarray) -> float:
    """Return by how many standard errors effects drift, the largest over the targets; 0 where that is no matter.

    Args:
        domain: of the feature.
        ends: ``(2, targets)`` effects at its ends.
        span: ``(targets,)`` range of the curves.
        std: ``(values, targets)`` standard errors of the effects that are asked for.
    """
    origin = domain.origin if isinstance(domain, Interval) else None
    if origin is None or domain.width == 0:
        return 0.0
    moved = np.abs(ends[0] * origin.low_reach + ends[1] * origin.high_reach) / domain.width
    part = ends_error(domain, ends)
    total = np.sqrt((std**2).mean(axis=0))
    small = (moved < VISIBLE * span) & (part**2 < total**2 / 2)
    share = np.where(moved > 0, moved / np.maximum(total, 1e-300), 0.0)
    return float(np.where(small | (share <= DRIFT), 0.0, share).max(initial=0.0))


def drift_of(domain: Domain, curves: Sequence[Regressor], std: np.ndarray | None = None) -> float:
    """Return ``drift`` of the curves of one feature, at some of their values, or where effects have errors ``std``."""
    if not isinstance(domain, Interval) or domain.origin is None:
        return 0.0
    sampled = np.array([curve.domain_std > 0 for curve in curves])
    if not sampled.any():
        return 0.0
    ends = np.array([curve.end_effects for curve in curves]).T * sampled
    span = np.array([np.ptp(curve.expectations) for curve in curves])
    if std is None:
        some = curves[0].alphas[np.linspace(0, curves[0].alphas.size - 1, VALUES).round().astype(int)]
        std = np.stack([curve.ace(some, return_std=True)[1] for curve in curves], axis=1)
    return drift(domain, ends, span, std)


def warn_drift(drifts: Mapping[str, float], domains: Mapping[str, Domain]) -> None:
    """Warn once of the features whose effects drift with the size of the sample, by name.

    Args:
        drifts: by how many standard errors the effects of each feature drift; 0 where they do not.
        domains: the domains of these features.
    """
    names = [name for name in drifts if drifts[name] > 0]
    if not names:
        return
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    warn_caller(  # the same words in every call about the same features, so that loops do not fill the screen
        f"effects of {', '.join(map(repr, names[:10]))}{more} are measured from a mean over the "
        f"{getattr(domains[names[0]], 'origin', None)}, which grows with the sample: with 100 times as many rows they "
        f"would move by more than {DRIFT:g} standard errors. The error bars hold for samples of this size alone; name "
        f"the domain that you mean in InputDistribution.fit, domain={{{names[0]!r}: (low, high)}}",
        ApproximationWarning,
    )
