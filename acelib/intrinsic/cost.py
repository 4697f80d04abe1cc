"""A word about runs that will take long, after their first block and before they go on."""

from __future__ import annotations

from .._warnings import warn_caller

LONG = 120  # seconds; a run predicted to take more says so


def warn_of_cost(rows: int, done: int, seconds: float, per_sample: int) -> None:
    """Warn where ``rows`` model rows are predicted to take more than ``LONG`` seconds.

    Args:
        rows: model rows of the whole run.
        done: rows of its first block.
        seconds: that these took.
        per_sample: rows for every sample.
    """
    speed = done / max(seconds, 1e-9)
    if rows > LONG * speed:
        warn_caller(
            f"{rows:,} model rows will take about {rows / speed / 60:.0f} minutes at {speed:,.0f} rows a second, "
            f"{per_sample:,} for every sample; a lower num_samples takes less, with a larger error bar, and so does, "
            "where these are Shapley values of all subsets, another context",
            UserWarning,
        )
