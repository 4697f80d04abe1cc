"""How like a real rollout are the simulated ones? Range, spread and lag-1 autocorrelation, channel by channel.

For a channel x at 1 Hz the statistics are min, max, standard deviation and the lag-1 autocorrelation
r = Σ (x_t − x̄)(x_{t+1} − x̄) / Σ (x_t − x̄)².
One real rollout is compared with the spread of each statistic over many simulated ones: it is "inside" when it lies
between their 2.5 % and 97.5 % quantiles, to half a recorder's step; 5 % of the simulated ones lie outside themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acelib.lab.landings.sensors import STEPS

if TYPE_CHECKING:
    from acelib.lab.datasets.dashlink import Flight
    from acelib.lab.landings.simulate import Landings

STATISTICS = ("min", "max", "sd", "autocorrelation")
QUANTILES = (0.025, 0.5, 0.975)
RELATIVE = ("ALT", "MH", "WD", "TAT")  # read from their first value: elevation, runway and weather are its own


def compare_rollout(flight: Flight, landings: Landings) -> dict[str, dict]:
    """Statistics of a real rollout beside those of simulated ones, by channel, as plain JSON data.

    Args:
        flight: A recorded flight; its first 100 s after touchdown are read at 1 Hz, held.
        landings: Simulated ones, of the kinds that are to be compared.

    Returns:
        For each channel ``real`` (a number, or None where a constant channel has no autocorrelation), ``simulated``
        (the quantiles 2.5 %, 50 % and 97.5 % over the landings) and ``inside``, each by the names of the four
        statistics. ALT, MH, WD and TAT are taken relative to their first value, headings are unwrapped.

    Raises:
        DataError: The flight lacks a channel, or does not cover the 100 s.

    Example:
        >>> from acelib.lab.landings import compare_rollout, simulate_landings
        >>> landings = simulate_landings(20)
        >>> class Same:
        ...     def window(self, start, stop, channels):
        ...         return {channel: landings[channel][0].numpy() for channel in channels}
        >>> assert compare_rollout(Same(), landings)["GS"]["inside"]["min"]
    """
    window = flight.window(0, 100, landings.channels)
    result = {}
    for channel in landings.channels:
        real = _statistics(channel, np.asarray(window[channel])[None])[:, 0]
        spread = _statistics(channel, landings[channel].numpy())
        result[channel] = {"real": {}, "simulated": {}, "inside": {}}
        for name, value, values in zip(STATISTICS, real, spread, strict=True):
            quantiles = _quantiles(values)
            result[channel]["real"][name] = _plain(value)
            result[channel]["simulated"][name] = quantiles
            slack = STEPS[channel] / 2 if name in ("min", "max") else 1e-9  # recorded values differ by whole steps
            result[channel]["inside"][name] = _inside(value, quantiles, slack)
    return result


def _statistics(channel: str, x: np.ndarray) -> np.ndarray:
    """The four statistics (4, n) of series (n, times)."""
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


def _inside(value: float, quantiles: list[float] | None, slack: float) -> bool:
    if quantiles is None or np.isnan(value):
        return quantiles is None and bool(np.isnan(value))
    return bool(quantiles[0] - slack <= value <= quantiles[-1] + slack)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
