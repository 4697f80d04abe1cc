"""Chromium without a window for the tests of the pages: every host but this machine is blocked.

Where Chromium, its driver or selenium is missing the tests skip and say so; ``ACELIB_BROWSER=required`` makes that a
failure.
"""

from __future__ import annotations

import contextlib
import functools
import os
from http.server import SimpleHTTPRequestHandler

import pytest
from serving import Quiet, serving

from tools.chromium import chromium

DRAWN = """
return document.readyState === 'complete' &&
       (!document.querySelector('article .math') || document.querySelectorAll('mjx-container').length > 0);
"""


def _unavailable(reason: str):
    if os.environ.get("ACELIB_BROWSER") == "required":
        pytest.fail(f"ACELIB_BROWSER=required, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    """Chromium with a profile of its own and a log of what it asks for."""
    with contextlib.ExitStack() as stack:
        try:
            chrome = stack.enter_context(chromium(seconds=110, log=True))
        except RuntimeError as error:
            _unavailable(str(error))
        yield chrome


@pytest.fixture(scope="module")
def address(site):
    """Where this machine serves the pages; a canvas may not read pictures of file:// pages."""

    class Pages(Quiet, SimpleHTTPRequestHandler):
        pass

    with serving(functools.partial(Pages, directory=str(site))) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def open_page(browser, address):
    """Opens a page in a window or phone of some width, light or dark, and waits until its equations are drawn."""

    def open_one(path: str, *, base: str = address, **options):
        return opened(browser, f"{base}/{path}", **options)

    return open_one


def opened(browser, url: str, *, width: int = 1280, dark: bool = False):
    """Return the browser with a page open and its equations drawn."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": theme})
    browser.get(url)
    wait(browser, DRAWN, "the page and its equations")
    return browser


def wait(browser, script: str, what: str, seconds: float = 30):
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        return WebDriverWait(browser, seconds).until(lambda b: b.execute_script(script))
    except TimeoutException:
        pytest.fail(f"waited {seconds} s for {what}")
