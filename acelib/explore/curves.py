"""Curves under a reader's hand: an expectation, or the regressors of a network, read off at a value."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from .._names import chosen
from .._warnings import SupportWarning
from ..plots.curves import plot_expectation, plot_regressor
from ..plots.house_style import ORANGE, as_text, shade_off_support, style
from .drawing import Scene
from .explorer import Control, Explorer, Option, State, View

if TYPE_CHECKING:
    from ..expectation import Expectation
    from ..results import CausalRegressors

STEPS = 101  # positions of a slider over an interval


def explore_expectation(
    e: Expectation, *, ice: int = 30, unit: str = "", outputs: Sequence[str] | None = None
) -> Explorer:
    """Return E[y | do(x = a)] with a slider over the values a and a list of the outputs.

    The sentence gives the expectation with its 95 % interval and the share of rows that leave the data there.

    Args:
        e: an expectation over values of one coordinate.
        ice: at most this many individual curves.
        unit: unit of the values, shown beside the slider.
        outputs: names of the outputs, in words; those of the expectation where None.

    Raises:
        ValueError: if several coordinates were set at once, so that there is no single axis, or for another number of
            names.

    Example:
        >>> import torch
        >>> from acelib import InputDistribution, interventional_expectation
        >>> X = torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> inputs = InputDistribution.fit(X, domain=(0.0, 1.0))
        >>> e = interventional_expectation(lambda x: x.sum(1, keepdim=True), inputs, 0, [0.0, 0.5, 1.0])
        >>> assert explore_expectation(e).at(value=0.5).numbers["expectation"] == float(e.values[1, 0])
    """
    if e.alphas.ndim != 1:
        raise ValueError(
            f"e must be over one coordinate, got do({e.feature}) with {e.alphas.shape[1]} coordinates at once"
        )
    order = np.argsort(e.alphas.cpu().numpy(), kind="stable")
    alphas, support = (t.cpu().numpy()[order] for t in (e.alphas, e.support))
    values, low, high = (t.cpu().numpy()[order] for t in (e.values, *e.interval()))
    count = values.shape[1]
    names = [output_words(str(name)) for name in outputs or e.target_names or range(count)]
    if len(names) != count:
        raise ValueError(f"outputs must hold one name for each of the {count} outputs, got {len(names)}")

    @cache
    def scene(output: int) -> Scene:
        with style(), quiet():
            figure = Figure()
            plot_expectation(e, output=output, ax=figure.subplots(), ice=ice)
            figure.axes[0].set_ylabel(f"E[{as_text(names[output])} | do({as_text(e.feature)})]")
            return Scene(figure)

    def draw(state: State, advance: Any) -> View:
        value, output = state["value"], state.get("output", 0)
        place = int(np.flatnonzero(alphas == value)[0])
        y, ends = float(values[place, output]), (float(low[place, output]), float(high[place, output]))
        at = f"do({e.feature} = {short(value)}{unit and ' ' + unit})"
        said = f"E[{names[output]} | {at}] = {short(y)}{between(*ends)}{off_the_data(support[place])}."
        alt = (
            f"Curve of the expectation of {names[output]} against {e.feature} with its band and individual curves, "
            f"from {short(values[0, output])} at {short(alphas[0])} to {short(values[-1, output])} at "
            f"{short(alphas[-1])}, marked at {short(value)}."
        )
        picture = scene(output).png(lambda: mark(scene(output), value, y, *ends))
        return View(picture, said, alt, {"expectation": y, "low": ends[0], "high": ends[1]})

    slider = Control("value", f"{e.feature} set to{unit and f' ({unit})'}", numbered(alphas), len(alphas) // 2)
    listed = Control("output", "output", [(name, i) for i, name in enumerate(names)], 0, "list")
    return Explorer(f"explore {e.feature}", [listed, slider] if len(names) > 1 else [slider], draw)


def explore_regressors(
    curves: CausalRegressors, *, feature: str | None = None, target: str | None = None, ice: int = 12
) -> Explorer:
    """Return the causal regressors with lists of features and targets and a slider over the feature's interval.

    The sentence gives the average causal effect with its 95 % interval.

    Args:
        curves: what ``AverageCausalEffect.regress`` returned.
        feature: name of the feature to begin with; the first where None.
        target: name of the target to begin with; the first where None.
        ice: at most this many individual curves, centred at the baseline, where the expectations are still there.

    Raises:
        ValueError: for a feature or target that is not there.

    Example:
        >>> import torch
        >>> from acelib import AverageCausalEffect, InputDistribution
        >>> X = torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> inputs = InputDistribution.fit(X, ["age", "dose"], domain=(0.0, 1.0))
        >>> curves = AverageCausalEffect(lambda x: x.sum(1, keepdim=True), inputs).regress(num=10)
        >>> found = explore_regressors(curves).at(feature="dose", value=1.0)
        >>> assert abs(found.numbers["ace"] - 0.5) < 1e-9
    """

    @cache
    def scene(feature: str, target: str) -> Scene:
        return Scene(regressor_figure(curves, feature, target, ice=ice))

    def options(state: State) -> Sequence[Option]:
        curve = curves[state["feature"], state["target"]]
        return numbered(curve.alphas if curve.family == "table" else np.linspace(curve.low, curve.high, STEPS))

    def draw(state: State, advance: Any) -> View:
        feature, target, value = state["feature"], state["target"], state["value"]
        curve = curves[feature, target]
        ace, (low, high) = float(curve.ace([value])[0]), (float(end[0]) for end in curve.interval([value]))
        share = np.nan if curve.support is None else nearest_share(curve.support, value)
        effect = f"ACE on {output_words(target)} of do({feature} = {short(value)}) = {short(ace)}"
        said = f"{effect}{between(low, high)}{off_the_data(share)}."
        alt = (
            f"Curve of the average causal effect of {feature} on {output_words(target)} from {curve.low:.4g} to "
            f"{curve.high:.4g} with its band and individual curves, marked at {short(value)}."
        )
        advance(0.5)
        picture = scene(feature, target).png(lambda: mark(scene(feature, target), value, ace, low, high))
        return View(picture, said, alt, {"ace": ace, "low": low, "high": high})

    first = [
        0 if name is None else chosen(name, every, kind)
        for name, every, kind in ((feature, curves.features, "feature"), (target, curves.targets, "target"))
    ]
    controls = [
        Control("feature", "feature", [(name, name) for name in curves.features], first[0], "list"),
        Control("target", "output", [(output_words(name), name) for name in curves.targets], first[1], "list"),
        Control("value", "the feature set to", options, STEPS // 2),
    ]
    return Explorer(f"explore {curves.features[first[0]]}", controls, draw)


def regressor_figure(
    curves: CausalRegressors, feature: str, target: str, *, ice: int, reach: float | None = None, size: Any = None
) -> Figure:
    """Return a figure of one curve with its band and individual curves.

    These are measured from the baseline, as the curve is; on a given scale each from its own mean, as their heights
    would take more room than all effects.

    Args:
        curves: the regressors.
        feature: name of the feature.
        target: name of the target.
        ice: at most this many individual curves, where the expectations are still there.
        reach: the largest effect on the axis, either side; None lets the curve decide.
        size: width and height in inches.
    """
    curve, e = curves[feature, target], curves.expectations.get(feature)
    with style(), quiet():
        figure = Figure(figsize=size)
        ax = figure.subplots()
        if curve.support is not None:
            shade_off_support(ax, *curve.support)
        if e is not None and e.individual is not None and curve.family != "table":
            some = np.unique(np.linspace(0, e.individual.shape[1] - 1, ice).round().astype(int))
            lines = e.individual[:, some, curves.targets.index(target)].cpu()
            lines = lines - (curve.baseline if reach is None else lines.mean(0))
            ax.plot(e.alphas.cpu(), lines, color="0.5", alpha=0.3, lw=0.7, zorder=0)
        plot_regressor(curve, ax=ax)
        ax.set(xlabel=as_text(feature), ylabel=f"ACE on {as_text(output_words(target))}")
        if reach is not None:
            ax.set_ylim(-reach, reach)
    return figure


def numbered(values: Any) -> list[Option]:
    """Return numbers as options, with four digits, or more where two would read the same.

    Example:
        >>> assert [text for text, _ in numbered([1.0, -1e-17, -1.0])] == ["-1", "0", "1"]
    """
    values = np.unique(np.asarray(values, dtype=float)).tolist()
    least = 1e-12 * max(abs(values[0]), abs(values[-1]))  # what is smaller is a 0 that was computed

    def texts(digits: int) -> list[str]:
        return [f"{v if abs(v) > least else 0.0:.{digits}g}" for v in values]

    digits = next((d for d in range(4, 17) if len(set(texts(d))) == len(values)), 17)
    return list(zip(texts(digits), values, strict=True))


def mark(scene: Scene, x: float, y: float, low: float, high: float) -> list[Any]:
    """Return the artists that mark a value, its point and its interval on the axes of a scene."""
    ax = scene.canvas.figure.axes[0]
    artists = [ax.axvline(x, color=ORANGE, lw=1.2, ls="--"), *ax.plot(x, y, "o", color=ORANGE, ms=7)]
    return artists + ([] if np.isnan(low) else ax.plot([x, x], [low, high], color=ORANGE, lw=3))


def between(low: float, high: float) -> str:
    """Return the words for a 95 % interval; none where it is not known."""
    return "" if np.isnan(low) else f" (95 % interval {short(low)} to {short(high)})"


def short(value: float) -> str:
    """Return a number with four digits; one that only rounding keeps from 0 is 0, on every processor.

    Example:
        >>> assert (short(0.123456), short(-1e-15), short(12345.6)) == ("0.1235", "0", "1.235e+04")
    """
    return f"{round(value, 10) + 0.0:.4g}"


def output_words(name: str) -> str:
    """Return the name of an output, or "output 0" where its name is its number."""
    return f"output {name}" if name.isdigit() else name


def off_the_data(share: float) -> str:
    """Return the words for the share of intervened rows that leave the data; none where it is not known."""
    return "" if np.isnan(share) else f"; {share:.0%} of the rows leave the data here"


def nearest_share(support: np.ndarray, value: float) -> float:
    """Return the share of rows off the data at the value nearest to this one, of those in ``support``, ``(2, v)``."""
    return float(support[1, np.abs(support[0] - value).argmin()])


def quiet() -> Any:
    """Return a context without warnings of support: the sentence and the shading of the picture say it."""
    return warnings.catch_warnings(action="ignore", category=SupportWarning)
