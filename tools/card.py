"""The picture on the front page, in the README and on social cards: two houses, one question too many answers.

``python -m tools.card`` draws it again, 1200 × 630 pixels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from acelib.attribution import AverageCausalEffect
from acelib.inputs.distribution import InputDistribution
from acelib.lab.home import write_whole
from tools.chapters import ROOT

CARD = ROOT / "book" / "_static" / "card.png"
HOUSES = torch.tensor([[3.0, 5.0], [3.0, 100.0]], dtype=torch.float64)  # floor area, price of a unit of area
START = 2.0  # the reference of both methods


def credits_of_the_area(rows: int = 1000, seed: int = 0) -> dict[str, list[tuple[float, float]]]:
    """Return what the area is credited with in the two houses, and the standard errors, by method.

    Integrated gradients of ``f(a, b) = a b`` from (2, 2) are ``(a - 2) (2 + b) / 2``; the average causal effect is
    taken over a sample of houses, from an area of 2.

    Args:
        rows: houses in the sample.
        seed: of the sample.

    Example:
        >>> [round(value, 1) for value, _ in credits_of_the_area()["integrated gradients"]]
        [3.5, 51.0]
    """
    generator = torch.Generator().manual_seed(seed)
    top = torch.tensor([10.0, 100.0], dtype=torch.float64)
    sample = top * torch.rand(rows, 2, generator=generator, dtype=torch.float64)
    inputs = InputDistribution.fit(sample, feature_names=["a", "b"], domain={"a": (0.0, 10.0), "b": (0.0, 100.0)})
    effects = AverageCausalEffect(lambda x: x[:, :1] * x[:, 1:], inputs, method="monte_carlo").regress(features=["a"])
    curve = effects["a", 0].with_baseline(START)
    value, error = curve.ace(HOUSES[:, 0].tolist(), return_std=True)
    path = [((a - START) * (START + b) / 2, 0.0) for a, b in HOUSES.tolist()]
    averaged = list(zip(map(float, value), map(float, error), strict=True))
    return {"integrated gradients": path, "average causal effect": averaged}


def draw_card(path: Path, *, rows: int = 1000) -> Path:
    """Draw the card and return the path of the PNG.

    Args:
        path: the file to write.
        rows: houses in the sample.
    """
    from matplotlib.figure import Figure

    from acelib.plots import BLUE, GREEN

    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    figure.text(0.05, 0.89, "What would the output have been,", fontsize=27, weight="bold")
    figure.text(0.05, 0.81, "had one input been different?", fontsize=27, weight="bold")
    figure.text(0.05, 0.72, "How much of a house's price is due to its floor area, 3 in both?", fontsize=17)
    axes = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.1, right=0.97, top=0.58, bottom=0.14, wspace=0.08)
    for ax, (name, pairs), colour in zip(axes, credits_of_the_area(rows).items(), (BLUE, GREEN), strict=True):
        values, errors = zip(*pairs, strict=True)
        ax.bar([0, 1], values, width=0.55, color=colour)
        for place, (value, error) in enumerate(pairs):
            if error:
                ax.errorbar(place, value, 1.96 * error, ecolor="black", capsize=6)
            ax.text(place, value + 1.96 * error + 1.5, f"{value:.1f}", ha="center", fontsize=17)
        ax.set_title(f"{name}: {'one answer' if errors[0] else 'two answers'}", fontsize=17, pad=10)
        ax.set_xticks([0, 1], ["the cheap house", "the dear house"], fontsize=16)
        ax.set_ylim(0, 66)
        ax.tick_params(axis="y", labelsize=13)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("thousand euros", fontsize=15)
    options = dict(dpi=100, facecolor="white", metadata={"Software": None})
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png", **options))
    return path


if __name__ == "__main__":
    print(draw_card(CARD))
    sys.exit(0)
