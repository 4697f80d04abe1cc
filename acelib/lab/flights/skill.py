"""How much better a network forecasts each channel than the sentence "the next second is like this one".

The skill of one-second forecasts x̂_t of a channel is 1 − Σ (x̂_t − x_t)² / Σ (x_{t−1} − x_t)² over landings and seconds:
1 for perfect forecasts, 0 for those that are no better than no change, below 0 for worse ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def forecast_skill(network: Callable, X: Tensor, seconds: Iterable[int]) -> Tensor:
    """Return the ``(channels,)`` skill of one-second forecasts against no change, NaN for channels that never change.

    Args:
        network: ``(n, steps, channels) -> (n, steps, channels)`` and a state; step t forecasts second t + 1.
        X: ``(n, seconds, channels)`` recorded values on the network's scale.
        seconds: the seconds whose values are forecast, from 1.

    References:
        Murphy, Skill scores based on the mean square error, Monthly Weather Review 116, 1988.

    Example:
        >>> import torch
        >>> from acelib.lab.flights import forecast_skill
        >>> X = torch.tensor([[[0.0], [2.0], [3.0]]])
        >>> assert abs(forecast_skill(lambda x: (x + 1, None), X, [1, 2]).item() - 0.8) < 1e-6
    """
    later = torch.as_tensor(list(seconds))
    with torch.no_grad():
        forecast = network(X[:, : int(later.max())])[0][:, later - 1]
    error = (forecast - X[:, later]).square().sum((0, 1))
    still = (X[:, later - 1] - X[:, later]).square().sum((0, 1))
    return torch.where(still > 0, 1 - error / still, torch.nan)
