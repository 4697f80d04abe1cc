"""Labels in colour have the contrast of WCAG, lines keep theirs: the formula of the guidelines is the reference."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from acelib import plots
from acelib.plots import ink


@pytest.mark.parametrize(("color", "ratio"), [("#0072B2", 5.19), ("#777777", 4.48), ("#FF0000", 3.998), ("black", 21)])
def test_contrast_is_that_of_the_guidelines(color, ratio):
    """Known ratios on white, as contrast checkers print them."""
    assert ink.contrast(color) == pytest.approx(ratio, abs=0.01)


def test_labels_are_darkened_and_lines_are_not(tmp_path):
    with plots.style():
        figure, ax = plt.subplots()
    for i, color in enumerate(plots.COLORS):
        (line,) = ax.plot([0, 1], [i, i], color=color, label=color)
        text = ax.text(0, i, "label", color=color)
        figure.savefig(tmp_path / "figure.png")
        assert to_hex(line.get_color()) == to_hex(color) and ink.contrast(text.get_color()) >= 4.5
    white = ax.text(0, 0, "on a bar", color="white")
    legend = ax.legend(labelcolor="linecolor")
    figure.savefig(tmp_path / "figure.png")
    assert white.get_color() == "white" and all(ink.contrast(t.get_color()) >= 4.5 for t in legend.get_texts())
