"""A real browser at a real JupyterLab: a slider is moved by its keys, and picture and number follow.

Where Chromium, its driver or selenium is missing the test skips and says so, as the page tests do.
"""

from __future__ import annotations

import pytest
import torch
from chromium import browser  # noqa: F401  (a fixture)
from explore.jupyterlab import jupyterlab, press, run_notebook, seen

from acelib import InputDistribution, interventional_expectation

pytest.importorskip("jupyterlab")
pytest.importorskip("ipywidgets")

CELL = """
import torch
from acelib import InputDistribution, interventional_expectation

X = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
inputs = InputDistribution.fit(X, ["a", "b"], domain=(0.0, 1.0))
values = torch.linspace(0, 1, 11)
interventional_expectation(lambda x: x.prod(1, keepdim=True), inputs, "a", values).explore(outputs=["y"])
"""


def expected():
    """What the cell shows, computed here."""
    X = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = InputDistribution.fit(X, ["a", "b"], domain=(0.0, 1.0))
    e = interventional_expectation(lambda x: x.prod(1, keepdim=True), inputs, "a", torch.linspace(0, 1, 11))
    return e, e.explore(outputs=["y"])


def test_a_slider_moves_the_picture_and_the_number(browser, tmp_path):  # noqa: F811
    """Three keys to the right, one to the left: a = 0.7; against the expectation of 0.7 computed here."""
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    e, explorer = expected()
    with jupyterlab(tmp_path) as address:
        run_notebook(browser, address, tmp_path, [CELL])
        first = seen(browser)
        assert first["said"] == explorer.at().said and first["alt"] == explorer.at().alt
        press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
        value = float(e.alphas[7])
        WebDriverWait(browser, 60).until(lambda b: seen(b)["said"] == explorer.at(value=value).said)
        then = seen(browser)
        assert f"= {float(e.values[7, 0]):.4g} (95 %" in then["said"]
        assert then["alt"] == explorer.at(value=value).alt and then["source"] != first["source"]
        assert then["width"] == 640
        assert browser.find_elements("css selector", ".jp-OutputArea .acelib-player") == [], (
            "the widget, not its player"
        )
