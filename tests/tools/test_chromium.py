"""Which browser is opened: the one that its driver opens, on a desk or on a hosted runner. Programs are pretended."""

from __future__ import annotations

import pytest

from tools import chromium


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder that is all of the path, and a way to put a program of some version there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMEWEBDRIVER", raising=False)

    def put(name, said, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (folder / name).chmod(0o755)
        return str(folder / name)

    return put


def test_nothing_is_there(programs):
    assert chromium.pair() == (None, None)


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_one_browser_is_taken_as_it_is(programs, name):
    """Its version is not even asked for."""
    browser, driver = programs(name, "nothing"), programs("chromedriver", "ChromeDriver 1.0")
    assert chromium.pair() == (browser, driver)


def test_of_several_the_drivers_own_is_taken(programs):
    """On a hosted runner a newer Chromium may lie beside the Chrome that the driver belongs to."""
    programs("chromium-browser", "Chromium 143.0.7444.0")
    chrome = programs("google-chrome", "Google Chrome 142.0.7444.59 ")
    driver = programs("chromedriver", "ChromeDriver 142.0.7444.59 (abc-refs/branch-heads/7444_45@{#4})")
    assert chromium.pair() == (chrome, driver)
    first = programs("chromium", "Chromium 130.0.1")
    programs("chromedriver", "ChromeDriver 99.0.1")
    assert chromium.pair() == (first, driver), "where none fits, the driver will say so"


def test_the_driver_of_a_hosted_runner_is_found(programs, tmp_path, monkeypatch):
    driver = programs("chromedriver", "ChromeDriver 142.0.1", tmp_path / "driver")
    assert chromium.pair() == (None, None)
    monkeypatch.setenv("CHROMEWEBDRIVER", str(tmp_path / "driver"))
    assert chromium.pair() == (None, driver)
