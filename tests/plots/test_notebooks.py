"""Figures of a notebook: pixels are counted, and compared with what Matplotlib draws itself at 200 dots per inch."""

import base64
import io
import sys

import matplotlib
import matplotlib.pyplot as plt
import nbclient
import nbformat
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


def test_the_style_leaves_other_shells_alone(monkeypatch):
    """Without inline figures, as in a terminal, IPython's form of a figure is not touched."""
    shell = InteractiveShell()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    with matplotlib.rc_context():
        plots.use_style()
    assert Figure not in shell.display_formatter.formatters["image/png"].type_printers


def test_a_kernel_shows_sharp_figures_from_the_first_one_on():
    """A real kernel: the backend that it loads with the first figure leaves our form in place."""
    style = "import matplotlib.pyplot as plt\nfrom acelib import plots\nplots.use_style()"
    cells = [nbformat.v4.new_code_cell(code) for code in (style, "plt.subplots();", "plt.subplots();")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    for cell in cells[1:]:
        (shown,) = cell.outputs
        picture = Image.open(io.BytesIO(base64.b64decode(shown.data["image/png"])))
        assert picture.mode == "P" and abs(picture.width - 2 * shown.metadata["image/png"]["width"]) <= 1
