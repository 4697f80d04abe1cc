"""Virtual environments on any system: where their Python lies, how one is made, and the book's own, ``.venv``.

Only the standard library is needed, so that ``python -m tools`` can make the environment it then uses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")
HEADLESS = ("install", "-q", "--no-deps", "--force-reinstall", "-c", "constraints.txt", "opencv-python-headless")
EXTRAS = ".[book,test,metrics]"
INSTALL = (("install", "-q", "-c", "constraints.txt", "-e", EXTRAS), HEADLESS, ("check",))
"""What pip is asked for the book's environment, as in the Makefile, where the reason stands."""


def python_in(folder: Path, *, system: str = os.name) -> Path:
    """Return the Python of a virtual environment.

    Args:
        folder: the environment.
        system: what ``os.name`` says; ``"nt"`` is Windows.

    Example:
        >>> python_in(Path(".venv"), system="nt").as_posix(), python_in(Path(".venv"), system="posix").as_posix()
        ('.venv/Scripts/python.exe', '.venv/bin/python')
    """
    return folder / ("Scripts/python.exe" if system == "nt" else "bin/python")


def runs(command: Sequence[str], version: str) -> bool:
    """Return whether a command is a Python of this version: a name may be there and lead nowhere.

    Args:
        command: the program and its first arguments.
        version: such as ``"3.11"``.
    """
    program = shutil.which(command[0])
    if program is None:
        return False
    ask = [program, *command[1:], "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    run = subprocess.run(ask, capture_output=True, text=True)
    return run.returncode == 0 and run.stdout.strip() == version


def find(versions: Sequence[str] = VERSIONS) -> list[str]:
    """Return the command of a Python of one of these versions: this one, ``python3.11``, ``py -3.11`` …

    Raises:
        ValueError: if there is none.
    """
    if any(runs([sys.executable], version) for version in versions):
        return [sys.executable]
    for version in versions:
        for command in ([f"python{version}"], ["py", f"-{version}"]):
            if runs(command, version):
                return command
    raise ValueError(f"Python {' or '.join(versions)} must be installed, got none; install one, or name it by --python")


def make(folder: Path, base: Sequence[str]) -> Path:
    """Make a virtual environment where there is none, and return its Python.

    Args:
        folder: where; half an environment is removed.
        base: the command of the Python that it is made from.

    Raises:
        ValueError: if it cannot be made.
    """
    if not python_in(folder).exists():
        run = subprocess.run([*base, "-m", "venv", "--clear", str(folder)], capture_output=True, text=True)
        if run.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            said = (run.stderr or run.stdout).strip().splitlines() or ["no reason given"]
            raise ValueError(f"{' '.join(base)} must be able to make an environment, got {said[-1]}; install its venv")
    return python_in(folder)


def stamp(root: Path) -> str:
    """Return what the book's environment depends on: pins and package, without the links of ``make address``."""
    text = "".join((root / name).read_text(encoding="utf-8") for name in ("constraints.txt", "pyproject.toml"))
    return re.sub(r"^# address:.*?^# end of address:[^\n]*\n", "", text, flags=re.MULTILINE | re.DOTALL)


def ready(root: Path) -> Path:
    """Make or bring up to date the environment ``.venv`` and return its Python, as the Makefile does.

    Args:
        root: the book's folder.

    Raises:
        ValueError: if no Python is found, or pip fails.
    """
    folder, wanted = root / ".venv", stamp(root)
    mark = folder / ".ready"
    if python_in(folder).exists() and mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python_in(folder)
    python = make(folder, find())
    print("installing into .venv (minutes the first time)", flush=True)
    for words in INSTALL:
        if subprocess.run([str(python), "-m", "pip", *words], cwd=root).returncode:
            raise ValueError(f"pip {words[0]} must succeed in .venv, got the error above; mend it and try again")
    mark.write_text(wanted, encoding="utf-8", newline="\n")
    return python
