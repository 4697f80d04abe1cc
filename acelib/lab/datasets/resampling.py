"""Channels recorded at different rates, brought to common times: held, averaged or interpolated, without NaN.

Sample i of a channel was taken at i / rate. At time t, "hold" gives x[max{i : i/rate ≤ t, x[i] valid}], "mean" the
average of the valid x[i] with t − 1/new < i/rate ≤ t, and "linear" the line through the valid neighbours of t. Neither
of the first two looks at anything later than t, so a network trained on them cannot see the future.
"""

from __future__ import annotations

import numpy as np

_EPSILON = 1e-9  # seconds: times that are equal but for rounding are equal
_TURN = 360.0


def resample(
    data: np.ndarray,
    rate: float,
    times: np.ndarray,
    new_rate: float,
    *,
    how: str = "hold",
    circular: bool = False,
    switch: bool = False,
) -> np.ndarray:
    """Return the values ``(times,)`` of one channel at the given times.

    Before the first valid sample the first valid one is taken, after the last valid one the last.

    Args:
        data: samples ``(N,)``, NaN where there is no value; at least one is valid.
        rate: rate of the samples in Hz; sample i was taken at i / rate.
        times: the wanted times ``(times,)`` in seconds.
        new_rate: rate of the wanted times in Hz; the length of an average is 1 / new_rate.
        how: ``"hold"``, ``"mean"`` or ``"linear"``. Where an average has no valid sample, the last valid one is held.
        circular: whether the values are degrees that jump from 180 to −180.
        switch: whether the values are 0 or 1, which are held in every case.

    Raises:
        ValueError: for an unknown ``how``, or no valid sample.

    Example:
        >>> import numpy as np
        >>> from acelib.lab.datasets.resampling import resample
        >>> x = np.array([0.0, np.nan, 4.0, 6.0])
        >>> assert resample(x, 2.0, np.array([0.5, 1.5]), 1.0).tolist() == [0, 6]
        >>> assert resample(x, 2.0, np.array([0.5, 1.5]), 1.0, how="mean").tolist() == [0, 5]
        >>> assert resample(x, 2.0, np.array([0.5, 1.25]), 1.0, how="linear").tolist() == [2, 5]
    """
    if how not in ("hold", "mean", "linear"):
        raise ValueError(f"how must be 'hold', 'mean' or 'linear', got {how!r}")
    valid = np.flatnonzero(~np.isnan(data))
    if len(valid) == 0:
        raise ValueError("data must hold at least one sample that is not NaN, got none")
    taken, values = valid / rate, data[valid]
    if how == "hold" or switch:
        return _hold(taken, values, times)
    if circular:
        values = np.unwrap(values, period=_TURN)
    if how == "linear":
        result = np.interp(times, taken, values)
    else:
        result = _mean(taken, values, times, 1 / new_rate)
    return (result + _TURN / 2) % _TURN - _TURN / 2 if circular else result


def _hold(taken: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    return values[np.maximum(np.searchsorted(taken, times + _EPSILON, side="right") - 1, 0)]


def _mean(taken: np.ndarray, values: np.ndarray, times: np.ndarray, length: float) -> np.ndarray:
    first = np.searchsorted(taken, times - length + _EPSILON, side="right")
    end = np.searchsorted(taken, times + _EPSILON, side="right")
    total = np.concatenate([[0.0], np.cumsum(values - values[0])])  # relative to the first: sums stay small
    count = end - first
    mean = (total[end] - total[first]) / np.maximum(count, 1) + values[0]
    return np.where(count > 0, mean, _hold(taken, values, times))
