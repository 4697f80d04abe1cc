"""The environments of ``make wheel``, ``floors``, ``newest`` and ``colab``: what pip is asked, and what runs where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acelib.lab import colab
from tools import environments
from tools.chapters import ROOT


@pytest.fixture
def frame(tmp_path):
    """A small project with needs, pins and Colab's list, and a test of its own."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "acelib"\ndependencies = ["torch>=2.5", "numpy>=2.0"]\n[project.optional-dependencies]\n'
        'frame = ["pandas>=2.2.2"]\nquantus = ["quantus>=0.6", "numpy<2.4"]\nlab = ["acelib[frame]", "captum>=0.9"]\n'
    )
    names = (
        "torch==2.13.0",
        "pytest==9.2.0",
        "pytest-randomly==5.1.0",
        "hypothesis==6.1",
        "nbclient==0.11.0",
        "opencv-python-headless==5",
    )
    (tmp_path / "constraints.txt").write_text("# pins\n" + "\n".join(names))
    for name in ("tools", "tests/lab", "tests/jets"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tools/colab.txt").write_text("# list\ntorch==2.11.0\nnumpy==2.1.3\n")
    (tmp_path / "tests/lab/test_a.py").write_text("raise SystemExit('not about the method')")
    return tmp_path


TOOLS = ["pytest==9.2.0", "pytest-randomly==5.1.0", "hypothesis==6.1", "nbclient==0.11.0"]


def test_what_each_environment_asks_for(frame):
    """Reference: written out by hand from the small project."""
    wanted = ["torch>=2.5", "numpy>=2.0", "pandas>=2.2.2", "captum>=0.9"]
    assert environments.needs(["lab", "frame"], frame) == wanted
    pins = ["-c", str(frame / "constraints.txt")]
    assert environments.requirements("wheel", (), frame) == [*wanted, "quantus>=0.6", "numpy<2.4", *TOOLS, *pins]
    lowest = ["torch==2.5", "numpy==2.0", "pandas==2.2.2", "captum==0.9", "quantus==0.6"]
    assert environments.requirements("floors", (), frame) == lowest + TOOLS
    assert environments.requirements("newest", (), frame) == [
        *wanted,
        "pytest",
        "pytest-randomly",
        "hypothesis",
        "nbclient",
    ]
    assert environments.requirements("colab", (), frame) == ["torch==2.11.0", "numpy==2.1.3"]
    other = environments.requirements("floors", ["torch==2.13.0"], frame)
    assert other == [*lowest[1:], *TOOLS, "torch==2.13.0"]


def test_every_bound_of_the_project_has_a_floor():
    """All of the method's and the laboratory's needs; those without a lower bound are bounded above and there twice."""
    wanted = environments.needs(["lab", "quantus"])
    floors = environments.lowest(wanted)
    assert len(floors) == len(wanted) - 1 and all("==" in need for need in floors)
    assert {need.split("=")[0] for need in floors} >= {"torch", "numpy", "pandas", "zuko", "quantus", "scikit-learn"}


@pytest.fixture
def asked(frame, monkeypatch):
    """What is asked of pip and pytest, and what pip refuses."""
    words, refused = [], []

    def pip(python, *rest):
        words.append(" ".join(rest))
        if rest[0] in refused:
            raise ValueError(f"pip {rest[0]} must succeed")

    monkeypatch.setattr(environments, "pip", pip)
    monkeypatch.setattr(environments, "make", lambda folder, base: folder / "bin/python")
    monkeypatch.setattr(environments, "build_wheel", lambda *_, **__: Path("a.whl"))
    return words, refused


def test_the_wheel_comes_last_and_all_is_checked(frame, asked):
    """Without its needs, which are there already: pip check says whether they fit what the wheel declares."""
    words, _ = asked
    environments.install("floors", ["python"], (), frame)
    assert words[0].startswith("install -q torch==2.5 numpy==2.0") and words[-1] == "check"
    assert words[1] == "install -q --no-deps --force-reinstall a.whl" and "opencv-python-headless==5" in words[2]
    words.clear()
    environments.install("newest", ["python"], (), frame)
    assert "--upgrade" in words[0] and len(words) == 3
    words.clear()
    environments.install("colab", ["python"], (), frame)
    assert words == ["install -q torch==2.11.0 numpy==2.1.3"], "no wheel, and older needs are the point"


def stand_in(folder, place):
    """A Python that finds the package at ``place``, and for pytest says where it runs and on what."""
    python = folder / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then echo {place}; exit; fi\n'
        f'echo "$@ | $(pwd) | $PYTHONPATH | $ACELIB_HOME | $(ls tests)" > {folder}/said; exit 3\n'
    )
    python.chmod(0o755)
    return python


def test_the_tests_run_where_no_source_is_in_sight(frame, monkeypatch):
    """The status is theirs; the folder is gone afterwards; tests of the book and of the sources are left out."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = frame / "_build/environments/floors"
    python = stand_in(folder, folder / "lib/acelib/__init__.py")
    assert environments.run_tests(python, ["-x"], frame) == 3
    words, place, path, home, tests = (folder / "said").read_text().strip().split(" | ")
    assert words == "-m pytest tests -x" and path == "" and home == str(frame) and tests == "jets"
    assert not Path(place).exists() and frame not in Path(place).parents
    environments.run_tests(python, ["tests/jets", "-x"], frame)
    assert (folder / "said").read_text().startswith("-m pytest tests/jets -x |")


def test_sources_in_sight_are_refused(frame):
    folder = frame / "_build/environments/floors"
    with pytest.raises(ValueError, match=r"acelib must be that of .*floors, got /elsewhere/acelib/__init__\.py"):
        environments.run_tests(stand_in(folder, "/elsewhere/acelib/__init__.py"), (), frame)
    assert not (folder / "said").exists()


def test_chapters_are_run_with_colabs_python(frame, monkeypatch):
    given = []

    def run(command, *, cwd, env):
        given.append((command, cwd, env["ACELIB_COLAB"]))
        return subprocess.CompletedProcess(command, 5)

    monkeypatch.setattr(environments.subprocess, "run", run)
    assert environments.run_chapters(Path("colab/python"), ["-x"], frame) == 5
    ((command, cwd, python),) = given
    assert command[0] == sys.executable and command[-2:] == ["tests/notebooks/test_colab_simulation.py", "-x"]
    assert cwd == frame and python == os.path.join("colab", "python")


def test_one_command_does_it_all(frame, asked, monkeypatch, capsys):
    words, refused = asked
    ran = []
    monkeypatch.setattr(environments, "run_tests", lambda python, rest, root: ran.append((python, rest)) or 0)
    line = ["floors", "--python", "python3.11", "--instead", "torch==2.13.0", "--pytest", "tests/jets", "-x"]
    assert environments.main(line, frame) == 0
    assert ran[0][1] == ["tests/jets", "-x"] and "torch==2.13.0" in words[0]
    refused += ["check"]
    assert environments.main(line, frame) == 1
    assert capsys.readouterr().err == "pip check must succeed\n" and len(ran) == 1


def test_pip_that_fails_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="^pip no-such-command must succeed"):
        environments.pip(Path(sys.executable), "no-such-command")


def test_colabs_list_is_what_the_set_up_cell_counts_on():
    """Each line a pin, all that ``equip`` does not replace, and scikit-learn too old, which it does."""
    listed = dict(line.split("==") for line in environments.requirements("colab"))
    assert set(colab.KEPT) <= set(listed)
    assert listed["scikit-learn"].startswith("1.6.")
