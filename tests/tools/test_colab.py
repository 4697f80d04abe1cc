"""Does the set-up cell fetch the book on Colab and do nothing elsewhere? A false Colab tells."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tools.colab import repository, setup_source

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def false_colab(monkeypatch, tmp_path):
    """google.colab can be imported; commands are noted, and a clone makes the book's folder."""
    commands = []

    def run(command, check):
        commands.append(command)
        if command[0] == "git":
            (Path(command[-1]) / "book").mkdir(parents=True)

    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["google"], "colab", sys.modules["google.colab"], raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return commands


def test_elsewhere_it_does_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "google", None)
    before = os.getcwd(), list(sys.path)
    exec(setup_source("https://github.com/someone/some-book"), {})
    assert (os.getcwd(), sys.path) == before


def test_on_colab_it_clones_the_named_version_once(false_colab, tmp_path):
    source = setup_source("https://github.com/someone/some-book", "v1.2").replace("/content", str(tmp_path))
    for _ in range(2):
        exec(source, {})
    (clone,) = [command for command in false_colab if command[0] == "git"]
    assert clone[:6] == ["git", "clone", "--depth", "1", "--branch", "v1.2"]
    assert clone[6:] == ["https://github.com/someone/some-book", f"{tmp_path}/some-book"]
    assert os.getcwd() == f"{tmp_path}/some-book/book" and sys.path.count(f"{tmp_path}/some-book") == 1


def test_it_installs_only_what_is_missing_and_never_torch_or_numpy(false_colab, monkeypatch, tmp_path):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "captum" else object())
    exec(setup_source("https://github.com/someone/some-book").replace("/content", str(tmp_path)), {})
    (install,) = [command for command in false_colab if "install" in command]
    assert install == [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "captum"]
    source = setup_source("https://github.com/someone/some-book")
    assert "torch" not in source and "numpy" not in source


def test_the_address_is_tidied_and_read_from_the_configuration(tmp_path):
    assert setup_source("https://github.com/a/b.git") == setup_source("https://github.com/a/b/") != setup_source("c/d")
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/a/b/\n  branch: v2\n")
    assert repository(tmp_path) == ("https://github.com/a/b", "v2")
    assert repository(ROOT)[0].startswith("https://github.com/")
