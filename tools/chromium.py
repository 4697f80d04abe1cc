"""Chromium without a window: every host but this machine is blocked. It prints the pages, and the tests drive it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
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


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVER_FOLDER = "CHROMEWEBDRIVER"  # where hosted runners say that theirs lies


def pair() -> tuple[str | None, str | None]:
    """Return a browser and the driver, None for what is missing.

    Where there are several browsers, it is the one of the driver's major version: a driver opens no other.
    """
    driver = shutil.which("chromedriver") or shutil.which("chromedriver", path=os.environ.get(DRIVER_FOLDER, ""))
    found = [program for program in map(shutil.which, BROWSERS) if program]
    if driver and len(found) > 1:
        wanted = _major(driver)
        found = [program for program in found if _major(program) == wanted] or found
    return found[0] if found else None, driver


def _major(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    return (re.findall(r"\b(\d+)\.\d+", said) or [""])[0]


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
    program, driver = pair()
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
