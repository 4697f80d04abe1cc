"""Streaming moments of model outputs over rows: mean, sampling covariance across values, spread of the ICE curves.

Each row (or group of dependent rows) contributes one whole curve over the values, so the sampling errors at
different values are correlated. With weights w_r and groups g the estimator is the ratio sum_r w_r y_r / sum_r w_r and
its covariance is G / (G - 1) * sum_g s_g s_g^T / (sum w)^2 with s_g = sum_{r in g} w_r (y_r - mean): the sample
covariance over n for independent, equally weighted rows, the cluster-robust one for groups.
"""

from __future__ import annotations

import torch
from torch import Tensor

KEPT_ROWS = 50  # individual curves that are remembered for pictures

class RowMoments:
    """Accumulates outputs ``(m, b, outputs)`` block by block, shifted by a first mean against cancellation."""

    def __init__(self, dtype: torch.dtype, total: int, keep: int = KEPT_ROWS) -> None:
        self.dtype = dtype
        self.wanted = torch.linspace(0, max(0, total - 1), min(keep, total)).round().long()
        self.shift: Tensor | None = None
        self.count, self.weight = 0, 0.0
        self.kept: list[Tensor] = []
        self.groups: dict[int, tuple[Tensor, float]] = {}

    def add(self, outputs: Tensor, weights: Tensor, groups: Tensor | None = None) -> None:
        """Take in the outputs of b rows under all m values."""
        y, w = outputs.to(self.dtype), weights.to(self.dtype)
        if self.shift is None:
            m, _, o = y.shape
            self.shift = (y * w[:, None]).sum(1) / w.sum()
            self.first = torch.zeros(m, o, dtype=self.dtype, device=y.device)
            self.square_weight = 0.0
            self.first_square, self.centred, self.centred_square = (torch.zeros_like(self.first) for _ in range(3))
            self.second = torch.zeros(o, m, m, dtype=self.dtype, device=y.device)
        mine = self.wanted[(self.wanted >= self.count) & (self.wanted < self.count + y.shape[1])] - self.count
        if len(mine):
            self.kept.append(y[:, mine.to(y.device)])
        d = y - self.shift[:, None]
        self.count += y.shape[1]
        self.weight += float(w.sum())
        self.first += torch.einsum("mbo,b->mo", d, w)
        curves = d - d.mean(0)  # individual curves, centred over the values
        self.centred += torch.einsum("mbo,b->mo", curves, w)
        self.centred_square += torch.einsum("mbo,b->mo", curves.square(), w)
        if groups is None:
            self.square_weight += float(w.square().sum())
            scaled = d * w[:, None]
            self.first_square += torch.einsum("mbo,b->mo", scaled, w)
            scaled = scaled.permute(2, 0, 1)
            self.second += scaled @ scaled.transpose(1, 2)
            return
        for g in groups.unique().tolist():
            mask = groups == g
            total, weight = self.groups.get(g, (0.0, 0.0))
            self.groups[g] = total + torch.einsum("mbo,b->mo", d[:, mask], w[mask]), weight + float(w[mask].sum())

    @property
    def mean(self) -> Tensor:
        """``(m, outputs)`` weighted mean over rows."""
        return self.shift + self.first / self.weight

    def covariance(self) -> Tensor:
        """``(outputs, m, m)`` sampling covariance of the mean; NaN where one row or group leaves it unknown."""
        delta = self.first / self.weight
        if self.groups:
            count = len(self.groups)
            scores = torch.stack([total - weight * delta for total, weight in self.groups.values()])
            scatter = torch.einsum("gmo,gno->omn", scores, scores)
        else:
            count = self.count
            cross = torch.einsum("mo,no->omn", self.first_square, delta)
            scatter = self.second - cross - cross.transpose(1, 2)
            scatter += self.square_weight * torch.einsum("mo,no->omn", delta, delta)
        if count < 2:
            return torch.full_like(self.second, torch.nan)
        return scatter * (count / (count - 1) / self.weight**2)

    def spread(self) -> Tensor:
        """``(m, outputs)`` standard deviation over rows of the individual curves, each centred over the values."""
        mean = self.centred / self.weight
        variance = (self.centred_square / self.weight - mean.square()).clamp_min(0)
        return (variance * (self.count / max(1, self.count - 1))).sqrt()

    def individual(self) -> Tensor:
        """``(m, r, outputs)`` outputs of at most ``keep`` rows, evenly spaced: tables are often sorted by class."""
        return torch.cat(self.kept, dim=1)
