"""The commands without ``make``: the same steps as in the Makefile, for Windows and wherever make is not at hand.

``tests/tools/test_commands.py`` holds the two together. A step is what the environment's Python is given; ``WORDS``
stands for what was written behind the command, ``PYTHON`` for that Python.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.chapters import ROOT, say
from tools.venv import ready

LOOPBACK, FRONT = ".ci/loopback.py", "-m tools.front"
BOOK = (LOOPBACK, "-m tools.make book")
LINT = ("-m ruff check .", "-m ruff format --check .", "-m basedpyright --pythonpath PYTHON")
RECIPES: dict[str, tuple[str, ...]] = {
    "book": BOOK,
    "refresh": ("-m tools.make refresh", FRONT),
    "full": ("-m tools.make full WORDS", FRONT),
    "networks": ("-m tools.training WORDS",),
    "bench": ("-m tools.bench",),
    "coverage": ("-m tools.coverage WORDS",),
    "student": ("-m tools.editions student",),
    "instructor": ("-m tools.editions instructor",),
    "lab": ("-m jupyterlab --notebook-dir=book",),
    "lint": LINT,
    "pdf": (*BOOK, "-m tools.pdf"),
    "slides": (*BOOK, "-m tools.slides"),
    "address": ("-m tools.address WORDS",),
    "notebooks": ("-m tools.notebooks WORDS",),
    "hashes": ("-m tools.hashes",),
    "pages": ("-m tools.make stored --to _build/stored",),
    "links": ("-m tools.make stored --to _build/stored", "-m tools.links _build/stored/html"),
    "colab": ("-m tools.environments colab WORDS",),
}
ALONE = {
    **{kind: (f"-m tools.environments {kind} WORDS",) for kind in ("wheel", "floors", "newest")},
    "package": ("-m tools.package WORDS",),
}
"""What needs no environment but its own."""

STAGES = {
    "lint": LINT[0],
    "format": LINT[1],
    "types": LINT[2],
    "unit tests": "-m pytest tests acelib tools --doctest-modules -n 2 --dist loadscope --ignore=tests/notebooks "
    "--ignore=tests/pages --cov --cov-report=term:skip-covered --cov-fail-under=95",
    "stored notebooks (nbval)": "-m pytest book --nbval --nbval-current-env "
    "--nbval-sanitize-with tests/notebooks/sanitize.cfg -n 2 --dist loadscope",
    "notebook tests": "-m pytest tests/notebooks",
    "page tests": "-m pytest tests/pages -n 2 --dist loadscope",
}
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
ONE_THREAD |= {"JUPYTER_PREFER_ENV_PATH": "1"}
LEFTOVERS = ("_build", ".coverage", ".pytest_cache", ".ruff_cache", ".hypothesis")
COMMANDS = {*RECIPES, *ALONE, "test", "clean"}


def helps(root: Path = ROOT) -> dict[str, str]:
    """Return what each command does, in the order and the words of the Makefile.

    Example:
        >>> assert helps()["lint"].startswith("check style")
    """
    lines = re.findall(r"^([a-z]+):[^\n]*## (.*)$", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return {name: said for name, said in lines if name in COMMANDS}


def filled(step: str, python: Path | str, words: Sequence[str]) -> list[str]:
    """Return a step as a command.

    Args:
        step: such as ``"-m tools.coverage WORDS"``.
        python: the Python that takes it.
        words: what was written behind the command.

    Example:
        >>> filled("-m a WORDS", "python", ["b c"])
        ['python', '-m', 'a', 'b c']
    """
    found = [str(python)]
    for word in step.split():
        found += list(words) if word == "WORDS" else [str(python) if word == "PYTHON" else word]
    return found


def run(steps: Sequence[str], python: Path | str, words: Sequence[str], root: Path = ROOT) -> int:
    """Take the steps one after the other up to the first that fails, and return its exit status, or 0."""
    for step in steps:
        if status := subprocess.run(filled(step, python, words), cwd=root).returncode:
            return status
    return 0


def run_stages(python: Path | str, root: Path = ROOT) -> int:
    """Run every stage of the tests, whatever fails before, and return 0, or 1 after naming the stages that failed."""
    failed = [] if run([LOOPBACK], python, [], root) == 0 else ["loopback"]
    for name, step in {} if failed else STAGES.items():
        say(f"\n== {name} ==")
        threads = {} if name in ("lint", "format", "types") else ONE_THREAD
        if subprocess.run(filled(step, python, []), cwd=root, env=os.environ | threads).returncode:
            failed.append(name)
    say(f"\nFAILED: {', '.join(failed)}" if failed else "\nall tests passed")
    return 1 if failed else 0


def clean(root: Path = ROOT) -> int:
    """Remove what the commands made, except the virtual environment, and return 0."""
    for name in LEFTOVERS:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return 0


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run one command and return its exit status; without one, list them all."""
    name, *words = (sys.argv[1:] if arguments is None else arguments) or ["help"]
    if name in ("help", "-h", "--help"):
        for command, said in helps(root).items():
            say(f"  python -m tools {command:10} {said}")
        return 0
    steps = RECIPES.get(name, ALONE.get(name, ()))
    if name not in COMMANDS or (words and not any("WORDS" in step for step in steps)):
        problem = (
            f"{name} takes nothing behind it, got {words}" if name in COMMANDS else f"there is no command {name!r}"
        )
        print(f"{problem}; `python -m tools` lists the commands", file=sys.stderr)
        return 2
    if name == "clean":
        return clean(root)
    if name in ALONE:
        return run(steps, sys.executable, words, root)
    try:
        python = ready(root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return run_stages(python, root) if name == "test" else run(steps, python, words, root)
