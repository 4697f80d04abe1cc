"""A decoder under a reader's hand: a slider for each latent draws the image, beside it the effect of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ..expectation import interventional_expectation
from ..plots.house_style import style
from .curves import short
from .drawing import Scene
from .explorer import Control, Explorer, State, View

if TYPE_CHECKING:
    from .._models import Model
    from ..expectation import Expectation
    from ..inputs import LatentPrior

POSITIONS = 13  # of each latent, over its domain


def explore_decoder(decode: Model, latents: LatentPrior, *, shape: Sequence[int], seed: int | None = None) -> Explorer:
    """Return a decoder with a slider for each latent, a list of classes and the effect map of the chosen latent.

    Left the image that is decoded where the sliders stand. Right E[x | do(z = a)] − E[x | do(z = 0)] of the chosen
    latent at its slider, pixel by pixel, in the chosen class and with all other latents left to chance. The sentence
    gives the pixel that moves most, with its standard error.

    Args:
        decode: the decoder, ``(batch, latents) -> (batch, pixels)``.
        latents: the law of its latents.
        shape: ``(height, width)`` of the image.
        seed: seed of a subset of the draws, where not all fit the budget.

    Raises:
        ValueError: where there are no normal latents.

    References:
        Chattopadhyay et al. (2019), Sec. 5.4.

    Example:
        >>> from acelib import LatentPrior
        >>> prior = LatentPrior(2, 0, draws=100, dtype=torch.float64)
        >>> plane = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
        >>> found = explore_decoder(lambda z: z @ plane.T, prior, shape=(2, 2)).at(effect="z0", z0=1.5)
        >>> assert (found.numbers["row"], found.numbers["column"]) == (1, 1) and abs(found.numbers["effect"] - 3) < 1e-9
    """
    names = [name for name in latents.feature_names if name.startswith("z")]
    classes = [name for name in latents.feature_names if name.startswith("c")]
    if not names:
        raise ValueError("latents must hold normal ones to move, got classes alone")
    grid = latents.domain[0].grid(POSITIONS)

    @cache
    def effects(latent: str, category: str | None) -> Expectation:
        given = latents if category is None else latents.do({category: 1})
        return interventional_expectation(decode, given, latent, grid, seed=seed)

    @cache
    def scene(latent: str, category: str | None) -> Scene:
        values = effects(latent, category).values.cpu().numpy()
        return _scene(latent, shape, float(np.abs(values - values[POSITIONS // 2]).max()) or 1.0)

    def draw(state: State, advance: Any) -> View:
        latent, category = state["effect"], state.get("category")
        z = latents.mean.new_zeros(1, len(latents.feature_names))
        for i, name in enumerate(latents.feature_names):
            z[0, i] = state[name] if name in names else float(name == category)
        with torch.no_grad():
            image = decode(z).reshape(tuple(shape)).cpu().numpy()  # pyright: ignore[reportCallIssue]
        advance(0.2)
        e = effects(latent, category)
        advance(0.8)
        at = int((grid - state[latent]).abs().argmin())
        weights = torch.zeros(1, POSITIONS, dtype=torch.float64)
        weights[0, POSITIONS // 2] -= 1
        weights[0, at] += 1
        effect, error, _ = (part[0] for part in e.contrast(weights))
        most = int(effect.abs().argmax())
        row, column = divmod(most, shape[1])
        within = "" if category is None else f" in class {category}"
        said = (
            f"do({latent} = {state[latent]:.4g}){within} changes pixel row {row}, column {column} most, by "
            f"{short(float(effect[most]))} ± {float(error[most]):.2g} from {latent} = 0."
        )
        if at == POSITIONS // 2:
            said = f"The effect of {latent} is measured from {latent} = 0, where it stands; move {latent}."
        alt = f"Left the decoded image{within}, right the map of the effect of {latent} at {state[latent]:.4g}."
        base = scene(latent, category)
        picture = base.png(lambda: _maps(base, image, effect.numpy().reshape(tuple(shape))))
        return View(picture, said, alt, {"effect": float(effect[most]), "row": row, "column": column})

    steps = [(f"{value:+.1f}" if value else "0", value) for value in grid.tolist()]
    controls = [Control("category", "class", [(name, name) for name in classes], 0, "list")] if classes else []
    controls.append(Control("effect", "effect map of", [(name, name) for name in names], 0, "list"))
    starts = [POSITIONS - 4, *[POSITIONS // 2] * (len(names) - 1)]  # one that is moved, so that there is an effect
    controls += [
        Control(name, f"{name} (standard deviations)", steps, start) for name, start in zip(names, starts, strict=True)
    ]
    return Explorer("explore decoder", controls, draw, main=names[0], frames=POSITIONS)


def _scene(latent: str, shape: Sequence[int], limit: float) -> Scene:
    """Return empty axes for the image and the map, with the map's scale, which is the same for all values."""
    with style():
        figure = Figure(figsize=(6.6, 3.0))
        left, right = figure.subplots(1, 2)
        left.imshow(np.zeros(tuple(shape)), cmap="gray_r", vmin=0, vmax=1)
        shown = right.imshow(np.zeros(tuple(shape)), cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(shown, ax=right, label="effect")
        left.set(xticks=[], yticks=[], title="decoded")
        right.set(xticks=[], yticks=[], title=f"effect of {latent}, from 0")
        for ax in (left, right):
            ax.spines[:].set_visible(False)
        return Scene(figure)


def _maps(scene: Scene, image: np.ndarray, effect: np.ndarray) -> list[Any]:
    """Return the image and the map as artists on the axes of a scene."""
    left, right = scene.canvas.figure.axes[:2]
    low, high = right.images[0].get_clim()
    maps = right.imshow(effect, cmap="RdBu_r", vmin=low, vmax=high)
    return [left.imshow(image, cmap="gray_r", vmin=0, vmax=1), maps]
