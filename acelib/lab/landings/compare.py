"""Range, spread and lag-1 autocorrelation of a recorded rollout beside those of simulated ones, channel by channel.

For a channel x at 1 Hz the statistics are min, max, standard deviation and the lag-1 autocorrelation
r = Σ (x_t − x̄)(x_{t+1} − x̄) / Σ (x_t − x̄)².
One real rollout is compared with the spread of each statistic over many simulated ones: it is "inside" when it lies
between their 2.5 % and 97.5 % quantiles, to half a recorder's step; 5 % of the simulated ones lie outside themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acelib.lab.datasets.dashlink import CHANNELS, Flight
from acelib.lab.landings.sensors import STEPS
from acelib.lab.landings.simulate import Landings

STATISTICS = ("min", "max", "sd", "autocorrelation")
QUANTILES = (0.025, 0.5, 0.975)
RELATIVE = ("ALT", "MH", "WD", "TAT")  # read from their first value: elevation, runway and weather are its own


def rollout_statistics(flight: Flight) -> dict[str, float]:
    """Return the statistics of a recorded rollout, by keys such as ``latg-sd``.

    A constant channel has no autocorrelation. ALT, MH, WD and TAT are taken relative to their first value, headings
    are unwrapped.

    Args:
        flight: a recorded flight; its first 100 s after touchdown are read at 1 Hz, held.

    Raises:
        DataError: if the flight lacks a channel, or does not cover the 100 s.
    """
    window = flight.window(0, 100, CHANNELS)
    return {
        _key(channel, name): float(value)
        for channel in CHANNELS
        for name, value in zip(STATISTICS, _statistics(channel, window[channel][None])[:, 0], strict=True)
        if not np.isnan(value)
    }


def compare_rollout(statistics: Mapping[str, float], landings: Landings) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the statistics of a real rollout beside those of simulated ones, by channel, as plain JSON data.

    Each channel has ``real`` (a number, or None where a constant channel has no autocorrelation), ``simulated`` (the
    quantiles 2.5 %, 50 % and 97.5 % over the landings) and ``inside``, each by the names of the four statistics.

    Args:
        statistics: of the real rollout, from ``rollout_statistics`` or from file.
        landings: simulated ones, of the kinds that are to be compared.

    Example:
        >>> from acelib.lab.landings import compare_rollout, simulate_landings
        >>> table = compare_rollout({"gs-min": 0.0}, simulate_landings(20))
        >>> assert table["GS"]["inside"]["min"] and table["GS"]["real"]["max"] is None
    """
    result = {}
    for channel in landings.channels:
        spread = _statistics(channel, landings[channel].cpu().numpy())
        result[channel] = {"real": {}, "simulated": {}, "inside": {}}
        for name, values in zip(STATISTICS, spread, strict=True):
            value, quantiles = statistics.get(_key(channel, name)), _quantiles(values)
            result[channel]["real"][name] = value
            result[channel]["simulated"][name] = quantiles
            slack = STEPS[channel] / 2 if name in ("min", "max") else 1e-9  # recorded values differ by whole steps
            result[channel]["inside"][name] = _inside(value, quantiles, slack)
    return result


def _key(channel: str, statistic: str) -> str:
    return f"{channel.lower().replace('_', '')}-{statistic}"


def _statistics(channel: str, x: np.ndarray) -> np.ndarray:
    """Return the four statistics ``(4, n)`` of series ``(n, times)``."""
    if channel in ("MH", "WD"):
        x = np.unwrap(x, period=360, axis=1)
    if channel in RELATIVE:
        x = x - x[:, :1]
    centred = x - x.mean(1, keepdims=True)
    square = (centred**2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(square > 1e-12, (centred[:, 1:] * centred[:, :-1]).sum(1) / square, np.nan)
    return np.stack([x.min(1), x.max(1), x.std(1), correlation])


def _quantiles(values: np.ndarray) -> list[float] | None:
    known = values[~np.isnan(values)]
    return [float(q) for q in np.quantile(known, QUANTILES)] if len(known) else None


def _inside(value: float | None, quantiles: list[float] | None, slack: float) -> bool:
    if quantiles is None or value is None:
        return quantiles is None and value is None
    return bool(quantiles[0] - slack <= value <= quantiles[-1] + slack)
