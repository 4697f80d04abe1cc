"""The picture in the README: the causal regressors of one Iris network.

``python -m tools.cover`` draws it again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from acelib.attribution import AverageCausalEffect
from acelib.inputs.distribution import InputDistribution
from acelib.lab.home import write_whole
from acelib.lab.iris import train_iris
from tools.chapters import ROOT

PICTURE = ROOT / "book" / "_static" / "readme.png"


def draw(path: Path, *, epochs: int = 500, seed: int = 0) -> Path:
    """Draw one panel per species, the effect of each measurement on its probability with bands; return the PNG's path.

    Args:
        path: the file to write.
        epochs: passes through the training flowers.
        seed: seed of the network.
    """
    run, _ = train_iris([seed], epochs=epochs)
    names = list(run.dataset.feature_names)
    inputs = InputDistribution.fit(run.dataset.X, feature_names=names, domain=(0.0, 1.0))
    figure = AverageCausalEffect(run.models("probabilities")[0], inputs).regress(num=100).plot(ice=0)
    for ax, name in zip(figure.axes, run.dataset.target_names, strict=True):
        ax.set_title(f"probability of {name}", loc="left")
    options = dict(dpi=110, facecolor="white", bbox_inches="tight", metadata={"Software": None})
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png", **options))
    return path


if __name__ == "__main__":
    print(draw(PICTURE))
    sys.exit(0)
