"""The package as others install it: ``make wheel``, ``floors``, ``newest`` and ``colab``.

Each has an environment of its own in ``_build/environments``. The first three build the wheel, install it there with
the pins, with the lowest version that ``pyproject.toml`` allows of everything, or with the newest of everything, and
run the method's tests from a folder that cannot see the sources. The last runs chapters with what Colab brings.

Which build of torch pip takes is the user's own choice, as everywhere; ``--instead torch==2.13.0`` takes a version of
one's own.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.chapters import ROOT, say
from tools.hashes import pins
from tools.package import build_wheel
from tools.venv import VERSIONS, find, make

TOOLS = ("pytest", "pytest-randomly", "hypothesis", "nbclient")
SOURCES = ("lab", "tools", "notebooks", "pages", "benchmarks", "coverage")
SOURCES += ("test_house.py", "test_project.py", "test_public.py", "test_optional.py", "test_explored_in_browser.py")
SOURCES += ("test_report_in_browser.py",)
"""Tests of the book, of the press and of the sources; the rest of ``tests/`` is about the method."""


class Kind(NamedTuple):
    """An environment: the Python versions it may have, the extras of the package in it, and how versions are chosen."""

    versions: tuple[str, ...]
    extras: tuple[str, ...]
    choice: str


KINDS = {
    "wheel": Kind(VERSIONS, ("lab", "quantus"), "pinned"),
    "floors": Kind(VERSIONS[:1], ("lab", "quantus"), "lowest"),
    "newest": Kind(VERSIONS[::-1], ("lab",), "newest"),  # Quantus asks for an older NumPy
    "colab": Kind(("3.13",), (), "listed"),
}


def needs(extras: Sequence[str] = (), root: Path = ROOT) -> list[str]:
    """Return what the package asks for, with some of its extras and those that these name.

    Args:
        extras: names of extras.
        root: the folder with ``pyproject.toml``.

    Example:
        >>> assert "zuko>=1.3" in needs(["lab"]) and not any("acelib" in need for need in needs(["lab"]))
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def of(extra: str) -> Iterator[str]:
        for need in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[(.*)\]", need)
            yield from (inner for name in own[1].split(",") for inner in of(name)) if own else [need]

    return list(dict.fromkeys([*project["dependencies"], *(need for extra in extras for need in of(extra))]))


def lowest(wanted: Sequence[str]) -> list[str]:
    """Return each need at its lower bound; upper bounds alone are left out, as the bound below holds them.

    Args:
        wanted: needs such as ``"torch>=2.5"``.

    Example:
        >>> lowest(["numpy>=2.0", "jupyter-book>=1.0.4,<2", "numpy<2.4"])
        ['numpy==2.0', 'jupyter-book==1.0.4']
    """
    return [re.sub(r">=([\d.]+).*", r"==\1", need) for need in wanted if ">=" in need]


def requirements(kind: str, instead: Sequence[str] = (), root: Path = ROOT) -> list[str]:
    """Return what pip is asked for in an environment, apart from the wheel.

    Args:
        kind: one of ``KINDS``.
        instead: ``name==version`` in place of what the kind would take.
        root: the book's folder.
    """
    _, extras, choice = KINDS[kind]
    if choice == "listed":
        lines = (root / "tools/colab.txt").read_text(encoding="utf-8").splitlines()
        wanted = [line for line in lines if line and not line.startswith("#")]
    else:
        wanted, pinned = needs(extras, root), pins(root)
        wanted = lowest(wanted) if choice == "lowest" else wanted
        wanted += TOOLS if choice == "newest" else [f"{name}=={pinned[name]}" for name in TOOLS]
    replaced = {re.split("[=<>]", one)[0]: one for one in instead}
    if choice == "pinned":
        wanted += ["-c", str(root / "constraints.txt")]
    return [need for need in wanted if re.split("[=<>]", need)[0] not in replaced] + list(replaced.values())


def install(kind: str, base: Sequence[str], instead: Sequence[str] = (), root: Path = ROOT) -> Path:
    """Make an environment, install what it holds and return its Python.

    Args:
        kind: one of ``KINDS``.
        base: the command of the Python that it is made from.
        instead: ``name==version`` in place of what the kind would take.
        root: the book's folder.

    Raises:
        ValueError: if it cannot be made or pip fails.
    """
    folder = root / "_build/environments" / kind
    python = make(folder, base)
    say(f"{kind}: installing into {folder.relative_to(root)} (minutes the first time)")
    upgrade = ["--upgrade"] if KINDS[kind].choice == "newest" else []
    pip(python, "install", "-q", *upgrade, *requirements(kind, instead, root))
    if kind != "colab":
        wheel = build_wheel(root / "_build/package", python, root=root)
        pip(python, "install", "-q", "--no-deps", "--force-reinstall", str(wheel))
        if "quantus" in KINDS[kind].extras:  # without a system's libGL, as in the Makefile
            headless = f"opencv-python-headless=={pins(root)['opencv-python-headless']}"
            pip(python, "install", "-q", "--no-deps", "--force-reinstall", headless)
        pip(python, "check")
    return python


def pip(python: Path, *words: str) -> None:
    """Ask the pip of an environment, or raise a ValueError where it fails."""
    if subprocess.run([str(python), "-m", "pip", *words]).returncode:
        raise ValueError(f"pip {words[0]} must succeed, got the error above; mend it and try again")


def run_tests(python: Path, words: Sequence[str] = (), root: Path = ROOT) -> int:
    """Run the method's tests in a folder without the sources, and return the exit status.

    Args:
        python: the Python of an environment that holds the wheel.
        words: more for pytest; files or folders of ``tests/`` in place of all.
        root: the book's folder, where the data lie that some tests read.

    Raises:
        ValueError: if that Python finds the package elsewhere than in its environment.
    """
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    clean |= {"ACELIB_HOME": str(root)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        ignored = shutil.ignore_patterns("__pycache__", *SOURCES)
        shutil.copytree(root / "tests", folder / "tests", ignore=ignored)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -q --import-mode=importlib\npythonpath = tests\n")
        ask = "import acelib, pathlib; print(pathlib.Path(acelib.__file__).resolve())"
        run = subprocess.run([str(python), "-c", ask], cwd=folder, env=clean, capture_output=True, text=True)
        found = run.stdout.strip() or run.stderr.strip()[-500:]
        if python.parents[1].resolve() not in Path(found).parents:
            raise ValueError(f"acelib must be that of {python.parents[1]}, got {found}; remove that folder, try again")
        say(f"testing {Path(found).parent}")
        chosen = words if any(not word.startswith("-") for word in words) else ["tests", *words]
        return subprocess.run([str(python), "-m", "pytest", *chosen], cwd=folder, env=clean).returncode


def run_chapters(python: Path, words: Sequence[str] = (), root: Path = ROOT) -> int:
    """Run chapters with this Python as Colab would, from the Python that runs this, and return the exit status."""
    command = [sys.executable, "-m", "pytest", "-s", "tests/notebooks/test_colab_simulation.py", *words]
    return subprocess.run(command, cwd=root, env=os.environ | {"ACELIB_COLAB": str(python)}).returncode


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Make an environment, run its tests, and return their exit status, or 1 with the reason in one sentence."""
    parser = argparse.ArgumentParser(prog="environments", description="Test the package as others install it.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--python", help="the Python that the environment is made from")
    parser.add_argument("--instead", nargs="+", default=[], metavar="NAME==VERSION", help="in place of what is chosen")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="the rest is for pytest")
    chosen = parser.parse_args(arguments)
    try:
        base = [chosen.python] if chosen.python else find(KINDS[chosen.kind].versions)
        python = install(chosen.kind, base, chosen.instead, root)
        return (run_chapters if chosen.kind == "colab" else run_tests)(python, chosen.pytest, root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
