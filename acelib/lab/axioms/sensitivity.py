"""Sensitivity (a): what alone separates an input from the baseline gets credit where the output differs."""

from __future__ import annotations

from torch import Tensor, nn

from .method import Attribute, attributions, output


def sensitivity_gap(
    method: Attribute, net: nn.Module, start: Tensor, value: float, rows: Tensor, feature: int
) -> float:
    """Return the change of the output that gets no credit, 0 where it gets some.

    Two inputs differ in one feature alone. A ``Method`` with a baseline starts there, as the axiom says. Any other
    starts at ``start``, and is asked for less: it may be silent at one of the two inputs, but not at both.

    Args:
        method: ``(net, x, rows) -> (batch, k)``.
        net: the network.
        start: ``(k,)`` the input from which the feature is changed, for methods without a baseline.
        value: what the feature is changed to.
        rows: ``(n, k)`` the population.
        feature: index of the feature.

    References:
        Sundararajan et al. (2017), Sec. 2.1, Sensitivity(a); Chattopadhyay et al. (2019), Sec. 4.1, axiom (ii).

    Example:
        >>> import torch
        >>> clipped = lambda x: x.clamp(0, 1)
        >>> slope = lambda net, x, rows: ((x > 0) & (x < 1)).double()
        >>> start = torch.tensor([-1.0])
        >>> assert sensitivity_gap(slope, clipped, start, 2.0, start[None], 0) == 1  # flat at both ends
        >>> assert sensitivity_gap(slope, clipped, start, 0.5, start[None], 0) == 0
    """
    baseline, silence = getattr(method, "baseline", None), getattr(method, "tolerance", 1e-9)
    ends = (start if baseline is None else baseline(rows)).repeat(2, 1)
    ends[1, feature] = value
    before, after = output(net, ends)
    silent = bool((attributions(method, net, ends, rows)[:, feature].abs() <= silence).all())
    return float((after - before).abs()) if silent else 0.0
