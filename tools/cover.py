"""What does the book show, in one picture? The causal regressors of one Iris network, drawn for the README.

``python -m tools.cover`` draws it again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from acelib.attribution import AverageCausalEffect
from acelib.inputs.distribution import InputDistribution
from acelib.lab.iris import train_iris

PICTURE = Path(__file__).resolve().parents[1] / "book" / "_static" / "readme.png"


def draw(path: Path, *, epochs: int = 500, seed: int = 0) -> Path:
    """The path of a PNG with one panel per species: the effect of each measurement on its probability, with bands.

    Args:
        path: The file to write.
        epochs: Passes through the training flowers.
        seed: Of the network.
    """
    run, _ = train_iris([seed], epochs=epochs)
    names = [name.removesuffix(" [cm]") for name in run.dataset.feature_names]
    inputs = InputDistribution.fit(run.dataset.X, feature_names=names)
    figure = AverageCausalEffect(run.models("probabilities")[0], inputs).regress(num=100).plot(ice=0)
    for ax, name in zip(figure.axes, run.dataset.target_names, strict=True):
        ax.set_title(f"probability of {name}", loc="left")
    temporary = path.with_suffix(".tmp.png")
    figure.savefig(temporary, dpi=110, facecolor="white", bbox_inches="tight", metadata={"Software": None})
    os.replace(temporary, path)
    return path


if __name__ == "__main__":
    print(draw(PICTURE))
    sys.exit(0)
