"""Can everybody read a report? axe, contrast in light and dark, narrow screens, and no request, in a real browser."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from accessibility import AXE, FAINT, script
from chromium import browser, opened
from helpers import network
from network_files import exported

__all__ = ["browser"]

LONG = "a name without end " * 9
WIDE = "return [document.documentElement.scrollWidth, innerWidth, document.body.scrollWidth]"
DRAWN = "return [...document.images].every(image => image.complete && image.naturalWidth > 100)"
STUCK = """
return [...document.querySelectorAll('.table')].filter(e => e.scrollWidth > e.clientWidth && e.tabIndex !== 0).length
"""


@pytest.fixture(scope="module")
def reports(made, tmp_path_factory):
    """Two reports: Iris, and 30 columns with long and foreign names under many warnings."""
    from acelib.command import main

    folder = tmp_path_factory.mktemp("reports")
    exported(network(30, 2), 30, folder / "wide.pt2")
    rows = pd.DataFrame(np.random.default_rng(0).standard_t(3, size=(60, 30)))
    rows.columns = [LONG, "größe 身長", "x" * 90, *(f"column {i}" for i in range(27))]
    rows.to_csv(folder / "wide.csv", index=False)
    wide = [str(folder / "wide.pt2"), str(folder / "wide.csv"), "--values", "9"]
    iris = [str(made / "iris.pt2"), str(made / "numbers.csv"), "--outputs", "setosa,versicolor,virginica"]
    for name, words in (("iris", iris), ("wide", wide)):
        assert main(["effects", *words, "--out", str(folder / name), "--quiet"]) == 0
    return {name: (folder / name / "report.html").as_uri() for name in ("iris", "wide")}


@pytest.mark.parametrize("name", ["iris", "wide"])
def test_a_report_can_be_read_by_everybody(browser, reports, name):
    """No violation of axe at levels A and AA, contrast, no page wider than its screen, pictures drawn."""
    found = {}
    for dark in (False, True):
        page = opened(browser, reports[name], dark=dark)
        assert page.execute_script(DRAWN)
        found[f"faint, dark {dark}"] = page.execute_script(FAINT)
    page.execute_script(script())
    found["axe"] = page.execute_async_script(AXE)
    for width in (320, 390, 1280):
        page = opened(browser, reports[name], width=width)
        whole, seen, body = page.execute_script(WIDE)
        found[f"wide {width}"] = [] if max(whole, body) <= seen + 1 else [whole, body]
        found[f"stuck {width}"] = page.execute_script(STUCK) or []
    assert {what: wrong for what, wrong in found.items() if wrong} == {}


def test_a_report_asks_for_nothing(browser, reports):
    browser.get_log("performance")
    opened(browser, reports["iris"])
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked and not [url for url in asked if not re.match(r"data:|about:|chrome", url) and url != reports["iris"]]
