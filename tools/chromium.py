"""Chromium without a window and without a network, for printing; the same browser that the page tests drive."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--allow-file-access-from-files",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


@contextlib.contextmanager
def chromium(*, seconds: int = 600) -> Iterator[Any]:
    """Open the browser and give its driver; it is closed at the end.

    Args:
        seconds: how long one step may take.

    Raises:
        RuntimeError: if Chromium, its driver or selenium is missing.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        driver = None
    if not program or not driver:
        raise RuntimeError(
            "printing needs Chromium, its driver and selenium, got not all of them; "
            "run `apt-get install chromium chromium-driver`"
        )
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            browser.command_executor.client_config.timeout = seconds
            browser.set_page_load_timeout(seconds)
            browser.set_script_timeout(seconds)
            yield browser
        finally:
            browser.quit()
