"""The masked autoregressive splines of a causal flow, on the nodes themselves or on residuals of linear regressions.

The package zuko has the splines; it is optional and imported where a flow is made or used.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .._optional import optional
from .._process import RandomNumbers


def spline_transform(adjacency: Tensor, hidden: tuple[int, ...], bins: int, generator: torch.Generator) -> nn.Module:
    """Return a masked autoregressive rational-quadratic spline transform with weights drawn from ``generator``.

    Args:
        adjacency: ``(nodes, nodes)`` bool, row = output, column = what it may depend on, true diagonal.
        hidden: widths of the masked network.
        bins: bins of each spline, on [−5, 5]; the identity beyond.
        generator: generator of the initial weights.

    Raises:
        ImportError: if zuko is not installed.
        ValueError: for fewer than two nodes.
    """
    instead = "or use LinearModel, or StructuralModel with given mechanisms"
    flows = optional("zuko.flows.autoregressive", "FlowModel", hint=instead)
    singles = optional("zuko.flows.gaussianization", "FlowModel", hint=instead)
    transforms = optional("zuko.transforms", "FlowModel", hint=instead)
    k = len(adjacency)
    if k == 1:
        raise ValueError("graph must have at least two nodes for a flow, got 1; give its noise to StructuralModel")
    with RandomNumbers(int(torch.randint(2**62, (), generator=generator))):  # zuko takes no generator
        univariate = partial(transforms.MonotonicRQSTransform, slope=1e-3)
        shapes = [torch.Size([bins]), torch.Size([bins]), torch.Size([bins - 1])]
        if int(adjacency.sum()) == k:  # no arrow: a spline of each node alone, which has no network
            alone = singles.ElementWiseTransform(k, univariate=univariate, shapes=shapes)
            for parameter in alone.parameters():
                nn.init.zeros_(parameter)  # the identity; zuko draws wild splines
            return alone
        return flows.MaskedAutoregressiveTransform(
            k,
            adjacency=adjacency,
            univariate=univariate,
            shapes=shapes,
            hidden_features=hidden,
            activation=nn.Tanh,
        )


class ResidualSplines(nn.Module):
    """Splines of the residuals of linear regressions, ``n_j = T_j((x_j − a_j − w_j·pa_j) / s_j; pa_j)``.

    It starts as the linear-normal model: the splines are the identity. A linear mechanism has nothing left to learn.

    Args:
        splines: what ``spline_transform`` returns.
        weights: ``(nodes, nodes)`` coefficients, row = child, column = parent.
        intercepts: ``(nodes,)``.
        deviations: ``(nodes,)`` standard deviations of the residuals.
    """

    splines: Any
    weights: Tensor
    intercepts: Tensor
    deviations: Tensor

    def __init__(self, splines: nn.Module, weights: Tensor, intercepts: Tensor, deviations: Tensor) -> None:
        super().__init__()
        self.splines = splines
        for name, value in (("weights", weights), ("intercepts", intercepts), ("deviations", deviations)):
            self.register_buffer(name, value)
        if isinstance(hyper := getattr(splines, "hyper", None), nn.Sequential):  # none where there is no arrow
            for parameter in hyper[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self) -> Any:
        """Return the transform, from standardised nodes to noises."""
        from zuko.transforms import AutoregressiveTransform

        return AutoregressiveTransform(self._given, getattr(self.splines, "passes", 1))

    def _given(self, x: Tensor) -> Any:
        """Return the transform of every node given the parents among ``x (batch, nodes)``."""
        from torch.distributions.transforms import AffineTransform
        from zuko.transforms import ComposedTransform, DependentTransform

        splines = self.splines.meta(None, x) if hasattr(self.splines, "meta") else self.splines()
        shift = -(x @ self.weights.T + self.intercepts) / self.deviations
        residuals = AffineTransform(shift, (1 / self.deviations).expand_as(shift))
        return DependentTransform(ComposedTransform(residuals, splines.base), 1)


def regressions(rows: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return least-squares weights ``(nodes, nodes)``, intercepts and residual deviations ``(nodes,)`` on the parents.

    Parents may be collinear: the flow is unique all the same. A deviation is at least a thousandth of the node's own.
    """
    k = len(adjacency)
    weights, intercepts = rows.new_zeros(k, k), rows.mean(0)
    deviations = rows.std(0, correction=0)
    for j in range(k):
        parents = [p for p in range(k) if p != j and adjacency[j, p]]
        if parents:
            design = torch.cat([rows.new_ones(len(rows), 1), rows[:, parents]], dim=1)
            solution = torch.linalg.lstsq(design, rows[:, j : j + 1], driver="gelsd").solution[:, 0]
            weights[j, parents], intercepts[j] = solution[1:], solution[0]
            deviations[j] = (rows[:, j] - design @ solution).square().mean().sqrt()
    return weights, intercepts, deviations.clamp_min(1e-3)
