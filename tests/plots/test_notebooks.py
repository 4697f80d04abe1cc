"""Figures of a notebook: pixels are counted, and compared with what Matplotlib draws itself at 200 dots per inch."""

import io
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure
from PIL import Image

from acelib import plots
from acelib.plots.notebooks import draw_sharp


def test_a_figure_has_twice_the_pixels_and_looks_the_same():
    """A map in many colours: no pixel of the small file is far from that of the whole one, and white stays white."""
    with plots.style():
        figure, ax = plt.subplots(figsize=(4, 3))
    ax.imshow(np.random.default_rng(0).random((8, 8)), cmap="RdBu_r")
    ax.text(0, 0, "average", color=plots.AMBER)
    png, size = draw_sharp(figure)
    plain = print_figure(figure, fmt="png", dpi=200)
    small, whole = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int) for data in (png, plain))
    assert small.shape == whole.shape and abs(whole.shape[1] - 2 * size["width"]) <= 1
    assert np.abs(small - whole).mean() < 1 and np.quantile(np.abs(small - whole), 0.999) <= 16
    assert (small[0] == 255).all() and len(png) < len(plain) / 2


def test_an_empty_figure_is_not_shown():
    assert draw_sharp(Figure()) is None


def test_the_style_sharpens_the_figures_of_a_notebook_only(monkeypatch):
    """In a shell with inline figures the PNG of a figure is ours; with another backend it is not."""
    shell = InteractiveShell()
    png = shell.display_formatter.formatters["image/png"]
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    with matplotlib.rc_context():
        plots.use_style()
        assert Figure not in png.type_printers
        monkeypatch.setattr(matplotlib, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
        plots.use_style()
    assert png.lookup_by_type(Figure) is draw_sharp
