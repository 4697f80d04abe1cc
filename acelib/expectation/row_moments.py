"""Streaming moments of model outputs over rows: mean, sampling covariance across values, spread of the ICE curves.

Each row (or group of dependent rows) contributes one whole curve over the values, so the sampling errors at
different values are correlated. With weights w_r and groups g the estimator is the ratio sum_r w_r y_r / sum_r w_r and
its covariance is G / (G - 1) * sum_g s_g s_g^T / (sum w)^2 with s_g = sum_{r in g} w_r (y_r - mean): the sample
covariance over n for independent, equally weighted rows, the cluster-robust one for groups.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from .._devices import double

KEPT_ROWS = 50  # individual curves that are remembered for pictures


class _Sums:
    """Weighted sums of deviations d ``(outputs, m, b)``: of weights, of d, and of d d^T ``(outputs, m, m)``."""

    def __init__(self) -> None:
        self.weight, self.first, self.second = 0.0, torch.zeros(()), torch.zeros(())

    def add(self, d: Tensor, w: Tensor) -> None:
        scaled = d * w
        self.weight += float(w.sum())
        self.first = self.first + scaled.sum(2)
        self.second = self.second + scaled @ d.transpose(1, 2)

    def scatter(self, mean: Tensor) -> Tensor:
        """Return the sum of weight * (d - mean)(d - mean)^T, ``(outputs, m, m)``."""
        cross = self.first[:, :, None] * mean[:, None, :]
        return self.second - cross - cross.transpose(1, 2) + self.weight * mean[:, :, None] * mean[:, None, :]


class RowMoments:
    """Moments of outputs ``(m, b, outputs)`` taken in block by block, shifted by a first mean against cancellation."""

    def __init__(self, total: int, keep: int = KEPT_ROWS) -> None:
        self.count = 0
        self.wanted = torch.linspace(0, max(0, total - 1), min(keep, total)).round().long()
        self.kept: list[Tensor] = []
        self.shift: Tensor | None = None
        self.rows = _Sums()
        self.squares: _Sums | None = None  # the same sums with squared weights, once a weight differs from 1
        self.groups: tuple[Tensor, Tensor, Tensor] | None = None  # labels (g,), scores (g, outputs, m), weights (g,)

    def add(self, outputs: Tensor, weights: Tensor, groups: Tensor | None = None) -> None:
        """Add the outputs of b rows under all m values."""
        y, w = double(outputs), double(weights)
        if self.shift is None:
            self.shift = (y * w[:, None]).sum(1) / w.sum()
        mine = self.wanted[(self.wanted >= self.count) & (self.wanted < self.count + y.shape[1])] - self.count
        if len(mine):
            self.kept.append(y[:, mine.to(y.device)])
        self.count += y.shape[1]
        d = (y - self.shift[:, None]).permute(2, 0, 1)
        if self.squares is None and not bool((w == 1).all()):
            self.squares = copy.copy(self.rows)
        self.rows.add(d, w)
        if self.squares is not None:
            self.squares.add(d, w.square())
        if groups is not None:
            parts = groups.to(y.device), (d * w).permute(2, 0, 1), w
            if self.groups is not None:
                parts = map(torch.cat, zip(self.groups, parts, strict=True))
            self.groups = _by_label(*parts)

    @property
    def offset(self) -> Tensor:
        """``(outputs, m)`` weighted mean of the deviations from the shift."""
        return self.rows.first / self.rows.weight

    @property
    def mean(self) -> Tensor:
        """``(m, outputs)`` weighted mean over rows."""
        assert self.shift is not None, "add rows first"
        return self.shift + self.offset.T

    def covariance(self) -> Tensor:
        """Return the ``(outputs, m, m)`` sampling covariance of the mean; NaN where there is one row or group."""
        if self.groups is not None:
            labels, totals, weights = self.groups
            count = len(labels)
            scores = totals - weights[:, None, None] * self.offset
            scatter = torch.einsum("gom,gon->omn", scores, scores)
        else:
            count = self.count
            scatter = (self.squares or self.rows).scatter(self.offset)
        if count < 2:
            return torch.full_like(scatter, torch.nan)
        return scatter * (count / (count - 1) / self.rows.weight**2)

    def spread(self) -> Tensor:
        """Return the ``(m, outputs)`` standard deviation over rows of the curves, each centred over the values."""
        scatter = self.rows.scatter(self.offset)
        centred = scatter - scatter.mean(1, keepdim=True)
        centred = centred - centred.mean(2, keepdim=True)
        variance = centred.diagonal(dim1=1, dim2=2).clamp_min(0) / self.rows.weight
        return (variance * (self.count / max(1, self.count - 1))).sqrt().T

    def individual(self) -> Tensor:
        """Return the ``(m, r, outputs)`` outputs of at most ``keep`` rows, spread evenly: tables are often sorted."""
        return torch.cat(self.kept, dim=1)


def _by_label(labels: Tensor, scores: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sorted labels with the sums under each: scores ``(g, outputs, m)`` and weights ``(g,)``."""
    labels, place = labels.unique(return_inverse=True)
    summed = scores.new_zeros(len(labels), *scores.shape[1:]).index_add_(0, place, scores)
    return labels, summed, weights.new_zeros(len(labels)).index_add_(0, place, weights)
