"""Chromium without a window: every host but this machine is blocked. It prints the pages, and the tests drive it."""

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
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextlib.contextmanager
def chromium(*, seconds: int = 600, files: bool = False, log: bool = False) -> Iterator[Any]:
    """Open the browser and give its driver; it is closed at the end.

    Args:
        seconds: how long one step may take.
        files: whether a page that is a file may read other files.
        log: whether to keep a log of what the pages ask for.

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
            "Chromium, its driver and selenium are needed, got not all of them; "
            "run `apt-get install chromium chromium-driver`"
        )
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if files:
            options.add_argument("--allow-file-access-from-files")
        if log:
            options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            browser.command_executor.client_config.timeout = seconds
            browser.set_page_load_timeout(seconds)
            browser.set_script_timeout(seconds)
            yield browser
        finally:
            browser.quit()
