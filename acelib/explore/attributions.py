"""The saliency of an input under a reader's hand: choose a pixel, see its effect and the curve it is read off."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ..attribution import AverageCausalEffect
from ..plots.house_style import ORANGE, as_text, style
from .curves import between, mark, nearest_share, off_the_data, output_words, quiet, regressor_figure, short
from .drawing import Scene, beside
from .explorer import Control, Explorer, Option, State, View

if TYPE_CHECKING:
    from ..results import Attribution, CausalRegressors

HEIGHT = 3.4  # inches of both pictures


def explore_attribution(
    found: Attribution,
    curves: CausalRegressors | AverageCausalEffect | None = None,
    *,
    shape: Sequence[int] | None = None,
    ice: int = 20,
) -> Explorer:
    """Return an attribution with sliders over row and column, or a list of the inputs of a table.

    The sentence gives the effect of the chosen input with its 95 % interval. With ``curves`` the curve of that input is
    drawn beside the map, with its band, the individual curves that it averages, and grey where rows leave the data.

    Args:
        found: what ``AverageCausalEffect.attribute`` returned.
        curves: the regressors it was read off, or the ``AverageCausalEffect`` that made it: then the curve of an input
            is computed when it is first chosen.
        shape: ``(height, width)`` or ``(channels, height, width)`` of an image whose inputs are flat.
        ice: at most this many individual curves.

    Raises:
        ValueError: for a shape of another size.

    Example:
        >>> import torch
        >>> from acelib import AverageCausalEffect, InputDistribution
        >>> X = torch.rand(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> ace = AverageCausalEffect(lambda x: x.sum(1, keepdim=True), InputDistribution.fit(X, domain=(0.0, 1.0)))
        >>> found = ace.attribute(X[0])
        >>> corner = explore_attribution(found, ace, shape=(2, 2)).at(row=1, column=0)
        >>> assert corner.numbers["ace"] == float(found.values[2])
    """
    count, shape = len(found.rows), _image_shape(found, shape)
    values, low, high = (t.reshape(count, -1).cpu().numpy() for t in (found.values, *found.interval()))
    x = None if found.x is None else found.x.reshape(count, -1).cpu().numpy()
    targets = [found.target] * count if isinstance(found.target, str) else list(found.target)
    scene_of = cache(lambda image: _map_scene(values[image].reshape(shape), targets[image]))
    curve_of = None if curves is None or x is None else _Curves(found, curves, ice)

    def draw(state: State, advance: Any) -> View:
        image, place = state.get("image", 0), _place(state, shape)
        i, target = int(np.ravel_multi_index(place, shape)), targets[image]
        effect, *ends = (float(table[image, i]) for table in (values, low, high))
        at = np.nan if x is None else float(x[image, i])
        base, where = scene_of(image), _where(found.names[i], place, shape)
        alt, share = f"Effects of all inputs on {output_words(target)}, with {where} marked", np.nan
        pictures = [base.pixels(lambda: _marked(base, place))]
        if curve_of is not None:
            scene, share = curve_of.scene(i, target), curve_of.share(i, target, at)
            advance(0.8)
            pictures.append(scene.pixels(lambda: mark(scene, at, effect, *ends)))
            alt += f"; beside it the curve of its effect with band and individual curves, marked at {at:.4g}"
        value = "" if np.isnan(at) else f" = {at:.4g}"
        said = f"ACE on {output_words(target)} of do({found.names[i]}{value}), {where}: {short(effect)}"
        numbers = {"ace": effect, "low": ends[0], "high": ends[1]}
        return View(beside(*pictures), f"{said}{between(*ends)}{off_the_data(share)}.", f"{alt}.", numbers)

    return Explorer(
        "explore attribution", _controls(found, shape, values[0]), draw, main="column" if shape[1:] else None
    )


class _Curves:
    """The curves beside a map, one scene for each input and target, computed when they are first asked for."""

    def __init__(self, found: Attribution, curves: CausalRegressors | AverageCausalEffect, ice: int) -> None:
        self.found, self.given, self.ice = found, curves, ice
        self.scene, self._of, self._reach = cache(self._scene), cache(self._regressed), cache(self._largest)

    def share(self, i: int, target: str, value: float) -> float:
        """Return the share of rows that leave the data at a value; NaN where it is unknown."""
        support = self._of(i)[self.found.names[i], target].support
        return np.nan if support is None else nearest_share(support, value)

    def _regressed(self, i: int) -> CausalRegressors:
        if not isinstance(self.given, AverageCausalEffect):
            return self.given
        with quiet():
            return self.given.regress([self.found.names[i]], num=17)

    def _scene(self, i: int, target: str) -> Scene:
        name, size = self.found.names[i], (4.2, HEIGHT)
        return Scene(regressor_figure(self._of(i), name, target, ice=self.ice, reach=self._reach(target), size=size))

    def _largest(self, target: str) -> float | None:
        """Return the largest effect of any input, with some room, so that all curves are drawn to one scale."""
        if isinstance(self.given, AverageCausalEffect):
            return None  # the others are not known
        column, largest = self.given.targets.index(target), 0.0
        for name, e in self.given.expectations.items():
            effects = e.values[:, column] - self.given[name, target].baseline
            largest = max(largest, float(effects.abs().max()))
        return 1.3 * largest or None


def _image_shape(found: Attribution, shape: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one explained input, or the given one."""
    k, count = len(found.names), len(found.rows)
    if shape is None:
        own = tuple(found.shape) if count == 1 and found.values[0].numel() != k else tuple(found.shape[1:])
        return own if np.prod(own, dtype=int) == k and len(own) in (2, 3) else (k,)
    if np.prod(shape, dtype=int) != k or len(shape) not in (2, 3):
        raise ValueError(
            f"shape must be (height, width) or (channels, height, width) of {k} inputs, got {tuple(shape)}"
        )
    return tuple(shape)


def _controls(found: Attribution, shape: tuple[int, ...], values: np.ndarray) -> list[Control]:
    """Return the controls of an attribution; they start at the largest effect of the first image."""
    start = np.unravel_index(int(np.nanargmax(np.abs(values))), shape)
    images = [(f"number {i}", i) for i in range(len(found.rows))]
    controls = [Control("image", "explained input", images, 0, "list")] if len(images) > 1 else []
    if len(shape) == 1:
        return [*controls, Control("input", "input", [(name, i) for i, name in enumerate(found.names)], int(start[0]))]
    words = ("channel", "row", "column")[-len(shape) :]
    for word, size, at in zip(words, shape, start, strict=True):
        if word != "channel" or size > 1:
            controls.append(Control(word, f"{word} (pixel)" if word != "channel" else word, _counted(size), int(at)))
    return controls


def _counted(size: int) -> list[Option]:
    return [(str(i), i) for i in range(size)]


def _place(state: State, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 1:
        return (state["input"],)
    return tuple(state.get(word, 0) for word in ("channel", "row", "column")[-len(shape) :])


def _where(name: str, place: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return the words for the place of an input."""
    if len(shape) == 1:
        return name
    channel = f", channel {place[0]}" if len(shape) > 2 and shape[0] > 1 else ""
    return f"row {place[-2]}, column {place[-1]}{channel}"


def _map_scene(values: np.ndarray, target: str) -> Scene:
    """Return the map of the effects, the sum over channels, or bars for a table."""
    with style():
        figure = Figure(figsize=(3.9, HEIGHT))
        ax = figure.subplots()
        if values.ndim == 1:
            ax.barh(np.arange(len(values)), values, color="0.6")
            ax.set(ylabel="input", xlabel=f"ACE on {as_text(output_words(target))}")
            ax.invert_yaxis()
        else:
            image = values.reshape(-1, *values.shape[-2:]).sum(0)
            limit = float(np.nanmax(np.abs(image), initial=0)) or 1.0
            shown = ax.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
            figure.colorbar(shown, ax=ax, label=f"ACE on {as_text(output_words(target))}")
            ax.set(xlabel="column", ylabel="row")
        return Scene(figure)


def _marked(scene: Scene, place: tuple[int, ...]) -> list[Any]:
    """Return the artists that mark an input on its map."""
    ax = scene.canvas.figure.axes[0]
    if len(place) == 1:
        return [ax.axhspan(place[0] - 0.5, place[0] + 0.5, color=ORANGE, alpha=0.3)]
    row, column = place[-2:]
    return ax.plot(column, row, "s", mfc="none", mec="black", ms=11, mew=2)
