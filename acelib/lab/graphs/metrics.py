"""Is an explanation stable, and is it faithful? Two metrics of Quantus, for any explainer, with error bars.

Stability: the local Lipschitz estimate max_x' ‖map(x) − map(x')‖ / ‖x − x'‖ over noisy copies x' of an image
(Alvarez-Melis and Jaakkola 2018); lower is better, and a map that never changes has 0. Faithfulness: IROF, the area
over the curve of the class probability while the segments of the image are greyed out, the most relevant first (Rieger
and Hansen 2020); higher is better. Both are Quantus' own code, called through its ``explain_func`` contract; every map
is divided by its largest absolute value first, whoever drew it. Images are the samples of the error bars.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from acelib.lab.graphs.explainers import Explainer, fixed_randomness
from acelib.quantus import quantus_explain

INSTALL = "install the metrics with `pip install 'acelib[metrics]'`, and opencv-python-headless where libGL is missing"


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric of several explainers on the same images.

    Attributes:
        metric: Its name.
        values: The score of each image, (images,) float64, by explainer.
        lower_is_better: Whether small scores are good ones.
    """

    metric: str
    values: dict[str, Tensor]
    lower_is_better: bool

    def __repr__(self) -> str:
        rows = (f"{name} {self.mean(name):.3g} ± {self.stderr(name):.2g}" for name in self.order())
        return f"Scores({self.metric}, best first: {', '.join(rows)})"

    def mean(self, name: str) -> float:
        """The mean score of an explainer over the images."""
        return self.values[name].mean().item()

    def stderr(self, name: str) -> float:
        """The standard error of that mean, images being the samples."""
        return (self.values[name].std() / math.sqrt(len(self.values[name]))).item()

    def order(self) -> list[str]:
        """The explainers' names, the best mean first."""
        return sorted(self.values, key=self.mean, reverse=not self.lower_is_better)

    def rank(self, name: str) -> float:
        """The place of an explainer among all, 1 for the best; equal means share their places."""
        sign = 1 if self.lower_is_better else -1
        names = list(self.values)
        return float(rankdata([sign * self.mean(n) for n in names])[names.index(name)])

    def difference(self, first: str, second: str) -> tuple[float, float]:
        """Mean difference first − second over the images, which are the same for both, and its standard error."""
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
    """Local Lipschitz estimates of every explainer as ``Scores``, unit: map per unit of the image.

    Args:
        model: (batch, channels, height, width) -> (batch, classes) logits; Quantus calls it in float32.
        X: Images (n, channels, height, width).
        y: The class that is explained for each, (n,).
        explainers: By name.
        samples: Noisy copies of each image; the estimate is a maximum over them and grows with their number.
        noise: Standard deviation of the noise, in the image's unit. The noise is the same for every explainer.
        normalise: Whether maps are divided by their largest absolute value. Without it the scores of two explainers
            cannot be compared: a map in another unit has another score.
        seed: Of the noise.

    Raises:
        ValueError: ``X`` and ``y`` do not fit, or no explainer is given.
        ImportError: Quantus is not installed.

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
    seed: int = 0,
) -> Scores:
    """IROF of every explainer as ``Scores``: the area over the curve, unit: segments of the image.

    Args:
        model: (batch, channels, height, width) -> (batch, classes) logits.
        X: Images (n, channels, height, width).
        y: The class that is explained for each, (n,).
        explainers: By name. A flat map gives no order; its segments are taken from the bottom right.
        baseline: What a segment is replaced by: ``"mean"`` for the image's mean, or ``"black"``, ``"white"``.
        seed: Of random baselines.

    Raises:
        ValueError: ``X`` and ``y`` do not fit, or no explainer is given.
        ImportError: Quantus is not installed.

    References:
        L. Rieger, L. K. Hansen, IROF: a low resource evaluation metric for explanation methods, 2020.
    """
    quantus = _quantus()
    scores = {}
    for name, call in _calls(model, X, y, {name: _raised(explain) for name, explain in explainers.items()}, True):
        metric = quantus.IROF(perturb_baseline=baseline, normalise=False, disable_warnings=True, return_aggregate=False)
        with fixed_randomness(seed), _silent():
            # one image a call: the mean that fills a segment is then that image's own
            scores[name] = torch.as_tensor(np.asarray(metric(**call, batch_size=1), dtype=float))
    return Scores("IROF", scores, lower_is_better=False)


def rank_correlation(first: Scores, second: Mapping[str, float]) -> tuple[float, list[str]]:
    """Spearman's rank correlation of our mean scores with another list of scores, and the names that both have.

    Args:
        first: Our scores.
        second: Another's score by name; the same sign of better.

    Raises:
        ValueError: Fewer than three names in common.

    Example:
        >>> ours = Scores("IROF", {n: torch.tensor([v, v + 1]) for n, v in zip("abc", (1.0, 2.0, 3.0))}, False)
        >>> assert rank_correlation(ours, {"a": 10, "b": 20, "c": 30, "d": 0}) == (1.0, ["a", "b", "c"])
    """
    names = [name for name in first.values if name in second]
    if len(names) < 3:
        raise ValueError(f"only {len(names)} names are in both lists, expected at least 3")
    ranks = [rankdata([first.mean(n) for n in names]), rankdata([second[n] for n in names])]
    return float(np.corrcoef(ranks)[0, 1]), names


def _calls(
    model: nn.Module, X: Tensor, y: Tensor, explainers: Mapping[str, Explainer], normalise: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments with which a metric of Quantus is called, for each explainer."""
    if not explainers:
        raise ValueError("explainers is empty; give at least one by name")
    if X.ndim != 4 or len(X) != len(y):
        raise ValueError(f"X {tuple(X.shape)} and y {tuple(y.shape)} must be images (n, c, h, w) and n classes")
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
    """The same maps with their minimum at 0: only the order counts, and Quantus refuses maps that are all negative.

    It refuses flat maps too. Those order nothing; their pixels are then taken from the last to the first.
    """

    def explain_raised(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = explain(model, inputs, targets)
        raised = maps - maps.amin((1, 2, 3), keepdim=True)
        ramp = torch.linspace(0, 1, maps[0].numel(), dtype=maps.dtype, device=maps.device).view(maps[:1].shape)
        return torch.where(raised.amax((1, 2, 3), keepdim=True) > 0, raised, ramp)

    return explain_raised


def _quantus() -> Any:
    """The package, imported without a word on the screen."""
    try:
        with _silent():
            import quantus
    except ImportError as error:
        raise ImportError(f"Quantus cannot be imported ({error}); {INSTALL}") from None
    return quantus


@contextmanager
def _silent() -> Iterator[None]:
    """Without what Quantus prints and warns about settings; errors still come through."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
