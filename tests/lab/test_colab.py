"""What a chapter gets on Colab: packages that are missing, a sentence where one is too old, and a word on the GPU."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib

import nbformat
import pytest
from packaging.requirements import Requirement

from acelib.lab import colab
from tools.chapters import ROOT, find_chapters


@pytest.fixture
def session(monkeypatch):
    """A session with these versions; pip only notes what it is asked for and fails with what ``says`` holds."""
    found = {name: "99.0" for name in (*colab.KEPT, *colab.INSTALLED, *colab.THEIRS)}
    asked, says = [], []

    def version(name):
        if name not in found:
            raise colab.metadata.PackageNotFoundError(name)
        return found[name]

    def run(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, bool(says), "", "\n".join(says))

    monkeypatch.setattr(colab.metadata, "version", version)
    monkeypatch.setattr(colab.subprocess, "run", run)
    return found, asked, says


def test_only_what_is_missing_or_too_old_is_installed_as_pinned(session, capsys):
    """Without its dependencies, so that nothing that a session may have loaded is replaced."""
    found, asked, _ = session
    colab.equip()
    assert asked == [] and "installed: nothing" in capsys.readouterr().out
    del found["captum"]
    found["scikit-learn"] = "1.6.1"
    colab.equip()
    pins = ["-c", str(ROOT / "constraints.txt")]
    assert asked == [[sys.executable, "-m", "pip", "install", "-q", "--no-deps", *pins, "scikit-learn", "captum"]]
    assert "installed: scikit-learn, captum." in capsys.readouterr().out
    assert not set(colab.KEPT) & {*colab.INSTALLED, *colab.THEIRS} and {"torch", "numpy"} <= set(colab.KEPT)


@pytest.mark.parametrize(("version", "here"), [("2.4.1+cu121", "2.4.1+cu121"), (None, "none")])
def test_what_is_never_replaced_must_be_new_enough(session, version, here):
    found, asked, _ = session
    del found["torch"]
    if version:
        found["torch"] = version
    with pytest.raises(SystemExit) as raised:
        colab.equip()
    said = f"This chapter needs torch 2.5 or later (here: {here}); choose a newer runtime, or run the book at home."
    assert str(raised.value) == said and asked == []


def test_a_failure_of_pip_is_one_sentence(session):
    found, _, says = session
    del found["zuko"]
    says += ["Collecting", "ERROR: no network"]
    with pytest.raises(SystemExit, match=r"^pip could not install zuko: ERROR: no network$"):
        colab.equip()


def test_bounds_are_those_of_the_package():
    """Reference: pyproject.toml, read here by another way."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = ("frame", "flow", "captum", "salib", "sklearn", "lab")
    needs = [*project["dependencies"], *(need for extra in own for need in extras[extra])]
    bounds = colab.lower_bounds()
    for name in (*colab.KEPT, "scikit-learn", "captum", "zuko"):
        assert f"{name}>={bounds[name]}" in needs
    assert colab.lower_bounds()["scikit-learn"] == "1.7", "partial_dependence takes custom_values from there on"


def test_what_is_installed_finds_all_that_it_needs():
    """Reference: the needs that the installed packages declare; what Colab brings itself is listed here."""
    brought = {"packaging", "requests", "opencv-python", "scikit-image"}
    known = {name.lower() for name in (*colab.KEPT, *colab.INSTALLED, *colab.THEIRS)} | brought
    for name in (*colab.INSTALLED, *colab.THEIRS):
        needs = [Requirement(text) for text in colab.metadata.requires(name) or []]
        here = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
        assert {need.name.lower() for need in here} <= known, name
        for need in here:
            if need.name in colab.THEIRS:
                assert need.specifier.contains(colab.THEIRS[need.name]) or colab.THEIRS[need.name] == "0", need


@pytest.mark.parametrize(
    ("found", "bound", "old"),
    [("1.6.1", "1.7", True), ("1.10", "1.7", False), ("2.0.0rc1", "2.0", False), ("2.13.0+cpu", "2.13", False)],
)
def test_versions_are_compared_as_numbers(monkeypatch, found, bound, old):
    monkeypatch.setattr(colab.metadata, "version", lambda _: found)
    assert colab.too_old("x", bound) == old


def test_the_chapters_that_compute_on_a_gpu_are_the_ones_it_names(monkeypatch):
    """Reference: the cells that ask for ``compute_device``."""
    import torch

    assert "No GPU" in colab.device_sentence() or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    asking = []
    for number, path in enumerate(find_chapters(ROOT), 1):
        cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        if any(getattr(node, "id", "") == "compute_device" for cell in cells for node in ast.walk(ast.parse(cell))):
            asking.append(str(number))
    assert f"chapters {', '.join(asking[:-1])} and {asking[-1]} compute on it" in colab.device_sentence()
    assert colab.device_sentence().startswith("GPU: Tesla T4.")
