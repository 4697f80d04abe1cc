"""The commands without make: the same names, words and steps as in the Makefile, in the same order."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tools import commands
from tools.chapters import ROOT

ONLY_MAKE = {"help"}  # `python -m tools` alone


def targets():
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_make_and_python_have_the_same_commands():
    assert targets() - ONLY_MAKE == commands.COMMANDS == set(commands.helps())


def test_they_are_listed_with_the_words_of_the_makefile():
    """By a Python that has nothing installed: -S and -I leave the standard library."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tools.commands import main; main(['help'])"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    made = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    wanted = [line.split("make ", 1)[1].split() for line in made.splitlines()]
    assert [line.split("tools ", 1)[1].split() for line in run.stdout.splitlines()] == wanted[1:]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """What make would do for each command, where the environment is ready."""
    folder = tmp_path_factory.mktemp("planned")
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / ".venv").mkdir()
    (folder / ".venv/.ready").write_text("")

    def plan(name):
        command = ["make", "-n", "--no-print-directory", name, "PYTHON=python"]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
        return " ".join(said.replace("\\\n", " ").split())

    return plan


@pytest.mark.parametrize("name", sorted(commands.RECIPES | commands.ALONE))
def test_the_steps_are_those_of_make(name, planned):
    """Every step stands in the recipe, in this order; ruff is a program there and a module here."""
    said, place = planned(name), 0
    steps = (commands.RECIPES | commands.ALONE)[name]
    for step in steps:
        wanted = step.replace("-m ruff", "ruff").replace(" WORDS", "").replace("PYTHON", ".venv/bin/python")
        place = said.find(wanted, place)
        assert place >= 0, f"{wanted} is not in: {said}"
    assert len(re.findall(r"-m (?:tools|jupyterlab|basedpyright)\b|ruff |\.ci/", said)) == len(steps)


def test_the_stages_of_the_tests_are_those_of_make(planned):
    said = planned("test")
    found = re.findall(r'stage "([^"]*)" (.*?)(?=; |$)', said)
    assert [name for name, _ in found] == list(commands.STAGES)
    for name, words in found:
        wanted = commands.STAGES[name].replace("-m ruff", "ruff").replace("PYTHON", ".venv/bin/python")
        assert words.removeprefix(".venv/bin/python ").removeprefix(".venv/bin/") == wanted, name
    for name, value in commands.ONE_THREAD.items():
        assert f"{name}={value}" in said


@pytest.fixture
def taken(monkeypatch):
    """The commands that are run, in place of running them; those that hold ``refused`` fail."""
    asked, refused = [], []

    def run(command, **_):
        asked.append(" ".join(map(str, command)))
        return subprocess.CompletedProcess(command, int(any(word in asked[-1] for word in refused)))

    monkeypatch.setattr(commands.subprocess, "run", run)
    monkeypatch.setattr(commands, "ready", lambda root: "python")
    return asked, refused


def test_words_behind_a_command_reach_its_step(taken):
    asked, _ = taken
    assert commands.main(["full", "04-causal-regressors"]) == 0
    assert asked == ["python -m tools.make full 04-causal-regressors", "python -m tools.front"]
    asked.clear()
    assert commands.main(["floors", "--instead", "torch==2.13.0"]) == 0
    assert asked == [f"{sys.executable} -m tools.environments floors --instead torch==2.13.0"]


def test_a_step_that_fails_ends_the_command(taken):
    asked, refused = taken
    refused += ["loopback"]
    assert commands.main(["book"]) == 1 and asked == ["python .ci/loopback.py"]
    asked.clear()
    assert commands.main(["test"]) == 1 and asked == ["python .ci/loopback.py"]


def test_a_stage_that_fails_does_not_hide_the_others(taken, capsys):
    asked, refused = taken
    refused += ["--nbval", "ruff format"]
    assert commands.main(["test"]) == 1
    assert len(asked) == 8 and " tests/pages " in asked[-1]
    assert "FAILED: format, stored notebooks (nbval)" in capsys.readouterr().out
    refused.clear()
    assert commands.main(["test"]) == 0 and "all tests passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said", [(["bok"], "no command 'bok'"), (["lint", "x"], "lint takes nothing behind it")]
)
def test_other_words_are_refused(taken, words, said, capsys):
    asked, _ = taken
    assert commands.main(words) == 2 and said in capsys.readouterr().err and asked == []


def test_an_environment_that_cannot_be_made_is_one_sentence(taken, monkeypatch, capsys):
    def nothing(root):
        raise ValueError("Python 3.11 must be installed")

    monkeypatch.setattr(commands, "ready", nothing)
    assert commands.main(["book"]) == 1 and capsys.readouterr().err == "Python 3.11 must be installed\n"


def test_clean_removes_what_was_made_and_keeps_the_environment(tmp_path):
    for name in ("_build/html", ".venv/bin", "book"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".coverage").write_text("")
    assert commands.main(["clean"], tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".venv", "book"]
    (recipe,) = re.findall(r"^\trm -rf (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tuple(recipe.split()) == commands.LEFTOVERS
