"""Stability and faithfulness of explanations: two metrics of Quantus, for any explainer, with error bars.

Stability: the local Lipschitz estimate max_x' ‖map(x) − map(x')‖ / ‖x − x'‖ over noisy copies x' of an image
(Alvarez-Melis and Jaakkola 2018); lower is better, and a map that never changes has 0. Faithfulness: IROF, the area
over the curve of the class probability while the segments of the image are greyed out, the most relevant first (Rieger
and Hansen 2020); higher is better. The first is Quantus' own code, called through its ``explain_func`` contract; the
second follows Quantus step by step, in batches. Every map is divided by its largest absolute value first. Images are
the samples of the error bars.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from acelib._optional import optional
from acelib.lab.graphs.explainers import Explainer, fixed_randomness
from acelib.quantus import quantus_explain

FILLINGS = {"mean": np.mean, "black": np.min, "white": np.max}  # what a segment of an image is filled with


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric of several explainers on the same images.

    Attributes:
        metric: name of the metric.
        values: score of each image by explainer, ``(images,)`` float64.
        lower_is_better: whether small scores are good ones.
    """

    metric: str
    values: dict[str, Tensor]
    lower_is_better: bool

    def __repr__(self) -> str:
        rows = (f"{name} {self.mean(name):.3g} ± {self.stderr(name):.2g}" for name in self.order())
        return f"Scores({self.metric}, best first: {', '.join(rows)})"

    def mean(self, name: str) -> float:
        """Return the mean score of an explainer over the images."""
        return self.values[name].mean().item()

    def stderr(self, name: str) -> float:
        """Return the standard error of that mean, images being the samples."""
        return (self.values[name].std() / math.sqrt(len(self.values[name]))).item()

    def order(self) -> list[str]:
        """Return the explainers' names, the best mean first."""
        return sorted(self.values, key=self.mean, reverse=not self.lower_is_better)

    def rank(self, name: str) -> float:
        """Return the place of an explainer among all, 1 for the best; equal means share their places."""
        sign = 1 if self.lower_is_better else -1
        names = list(self.values)
        return float(rankdata([sign * self.mean(n) for n in names])[names.index(name)])

    def difference(self, first: str, second: str) -> tuple[float, float]:
        """Return the mean difference first − second over the images, the same for both, and its standard error."""
        gap = self.values[first] - self.values[second]
        return gap.mean().item(), (gap.std() / math.sqrt(len(gap))).item()


def local_lipschitz(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    explainers: Mapping[str, Explainer],
    *,
    samples: int = 10,
    noise: float = 0.1,
    normalise: bool = True,
    seed: int = 0,
) -> Scores:
    """Return the local Lipschitz estimates of every explainer, unit: map per unit of the image.

    Args:
        model: ``(batch, channels, height, width) -> (batch, classes)`` logits; Quantus calls it in float32.
        X: images ``(n, channels, height, width)``.
        y: class that is explained for each, ``(n,)``.
        explainers: explainers by name.
        samples: noisy copies of each image; the estimate is a maximum over them and grows with their number.
        noise: standard deviation of the noise, in the image's unit. The noise is the same for every explainer.
        normalise: whether maps are divided by their largest absolute value. Without it the scores of two explainers
            cannot be compared: a map in another unit has another score.
        seed: seed of the noise.

    Raises:
        ValueError: if ``X`` and ``y`` do not fit, or no explainer is given.
        ImportError: if Quantus is not installed.

    References:
        D. Alvarez-Melis, T. S. Jaakkola, On the robustness of interpretability methods, 2018, Eq. 2.
    """
    quantus = _quantus()
    scores = {}
    for name, call in _calls(model, X, y, explainers, normalise):
        metric = quantus.LocalLipschitzEstimate(
            nr_samples=samples, perturb_std=noise, normalise=False, disable_warnings=True, return_aggregate=False
        )
        with fixed_randomness(seed), _silent():
            scores[name] = torch.as_tensor(np.asarray(metric(**call, batch_size=len(X)), dtype=float))
    return Scores("local Lipschitz estimate", scores, lower_is_better=True)


def irof(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    explainers: Mapping[str, Explainer],
    *,
    baseline: str = "mean",
    area: str = "over",
) -> Scores:
    """Return IROF of every explainer, the area over the curve, unit: segments of the image.

    The steps are those of Quantus, with its segments; all steps of an image go through the network together, which is
    many times faster. A segment takes the mean of the image as it stands, the segments before it already filled.

    Args:
        model: ``(batch, channels, height, width) -> (batch, classes)`` logits.
        X: images ``(n, channels, height, width)``.
        y: class that is explained for each, ``(n,)``.
        explainers: explainers by name. A flat map gives no order; its segments are taken from the bottom right.
        baseline: value that replaces a segment: ``"mean"`` for the image's mean, or ``"black"``, ``"white"``.
        area: ``"over"`` the curve, higher is better, or ``"under"`` it, lower is better.

    Raises:
        ValueError: if ``X`` and ``y`` do not fit, no explainer is given, or an option is unknown.
        ImportError: if Quantus is not installed.

    References:
        L. Rieger, L. K. Hansen, IROF: a low resource evaluation metric for explanation methods, 2020.
    """
    if baseline not in FILLINGS or area not in ("over", "under"):
        raise ValueError(
            f"baseline and area must be one of {', '.join(FILLINGS)} and over or under, got {baseline!r} and {area!r}"
        )
    _check(X, y, explainers)
    segment, pictures = _quantus().helpers.utils.get_superpixel_segments, X.cpu().numpy()
    segments = [segment(np.moveaxis(x, 0, -1).astype("double"), "slic") for x in pictures]
    scores = {}
    for name, explain in explainers.items():
        maps = quantus_explain(model, pictures, y.cpu().numpy(), explain=_raised(explain), normalise=True)
        rows = zip(pictures, y.tolist(), maps.sum(1), segments, strict=True)
        scores[name] = torch.tensor([_area(model, *row, FILLINGS[baseline], area, X.device) for row in rows]).double()
    return Scores(f"IROF, area {area}", scores, lower_is_better=area == "under")


def _area(
    model: nn.Module,
    x: np.ndarray,
    target: int,
    relevance: np.ndarray,
    segments: np.ndarray,
    fill: Callable[[np.ndarray], Any],
    area: str,
    device: torch.device,
) -> float:
    """Return the area over or under the curve p / p0 as the segments of one image are filled, by the trapezoid rule."""
    count = len(np.unique(segments))
    means = [relevance[segments == s].mean() for s in range(count)]
    steps, now = [x], x
    for s in np.argsort([-m for m in means]):
        now = np.where(segments == s, fill(now), now).astype(np.float32)
        steps.append(now)
    with torch.no_grad():
        p = torch.softmax(model(torch.from_numpy(np.stack(steps)).to(device)), dim=1)[:, target].double()
    under = float(torch.trapezoid(p[1:] / p[0]))
    return under if area == "under" else count - under


def _check(X: Tensor, y: Tensor, explainers: Mapping[str, Explainer]) -> None:
    if not explainers:
        raise ValueError("explainers must hold at least one by name, got none")
    if X.ndim != 4 or len(X) != len(y):
        raise ValueError(
            f"X and y must be images (n, c, h, w) and n classes, got {tuple(X.shape)} and {tuple(y.shape)}"
        )


def _calls(
    model: nn.Module, X: Tensor, y: Tensor, explainers: Mapping[str, Explainer], normalise: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each explainer's name and the arguments with which a metric of Quantus is called."""
    _check(X, y, explainers)
    for name, explain in explainers.items():
        options = {"explain": explain, "normalise": normalise}
        yield (
            name,
            dict(
                model=model,
                x_batch=X.cpu().numpy(),
                y_batch=y.cpu().numpy(),
                channel_first=True,
                softmax=True,
                explain_func=quantus_explain,
                explain_func_kwargs=options,
                device=str(X.device),
            ),
        )


def _raised(explain: Explainer) -> Explainer:
    """Return an explainer of the same maps with their minimum at 0, for Quantus refuses maps that are all negative.

    Only the order of the segments counts. Quantus refuses flat maps too; their pixels are taken from the last to the
    first.
    """

    def explain_raised(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = explain(model, inputs, targets)
        raised = maps - maps.amin((1, 2, 3), keepdim=True)
        ramp = torch.linspace(0, 1, maps[0].numel(), dtype=maps.dtype, device=maps.device).view(maps[:1].shape)
        return torch.where(raised.amax((1, 2, 3), keepdim=True) > 0, raised, ramp)

    return explain_raised


def _quantus() -> Any:
    """Return the package, imported with its output silenced."""
    with _silent():
        return optional("quantus", "a metric", hint="where libGL is missing, install opencv-python-headless over it")


@contextmanager
def _silent() -> Iterator[None]:
    """Hide what Quantus prints and warns about settings; errors are still raised."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
