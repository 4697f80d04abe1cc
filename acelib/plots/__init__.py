"""Every picture of causal effects, in one house style: white background, colour-blind-safe, labelled directly."""

from .curves import plot_attribution, plot_expectation, plot_regressor, plot_regressors
from .style import (
    BAND,
    COLORS,
    LINESTYLES,
    OFF_SUPPORT,
    STYLE,
    label_line,
    own_axes,
    shade_off_support,
    style,
    use_style,
    warn_off_support,
)

__all__ = [
    "BAND",
    "COLORS",
    "LINESTYLES",
    "OFF_SUPPORT",
    "STYLE",
    "label_line",
    "own_axes",
    "plot_attribution",
    "plot_expectation",
    "plot_regressor",
    "plot_regressors",
    "shade_off_support",
    "style",
    "use_style",
    "warn_off_support",
]
