"""The book's folders and the shipped files in them, found from wherever a notebook runs.

A chapter runs in ``book/``, a test at the root, and a Colab notebook wherever its set-up cell left it. All of them
have to find the same ``data/``. The root of the book is the folder that holds its table of contents, ``_toc.yml``.

Every shipped file is looked up by ``data_file``, which can note what was looked for: that is how `make book` knows
which files of ``data/`` a chapter depends on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from acelib._saved import write_whole

__all__ = ["MARKER", "NOTES", "VARIABLE", "build_dir", "data_dir", "data_file", "root", "write_whole"]

MARKER = "_toc.yml"
VARIABLE = "ACELIB_HOME"
NOTES = "ACELIB_NOTE_READS"


def root() -> Path:
    """Return the absolute path of the book's root: the nearest folder upwards that holds ``_toc.yml``.

    The search starts at the current folder, then at the folder of this package; the environment variable
    ``ACELIB_HOME`` comes last, for a package that was installed away from the book.

    Raises:
        RuntimeError: if none of the three leads to a folder with ``_toc.yml``.

    Example:
        >>> from acelib.lab import home
        >>> assert home.root().is_absolute()
    """
    for folder in _candidates():
        if (folder / MARKER).is_file():
            return folder
    named = os.environ.get(VARIABLE)
    if named and (Path(named).expanduser() / MARKER).is_file():
        return Path(named).expanduser().resolve()
    tried = f"{VARIABLE}={named} holds none" if named else f"{VARIABLE} is not set"
    raise RuntimeError(
        f"the book's folder was not found: no {MARKER} in {Path.cwd()} or above it, none above the acelib package, and "
        f"{tried}; start inside the book's repository or set {VARIABLE} to its root folder"
    )


def data_dir() -> Path:
    """Return the folder ``data/`` of the book, which holds what ships with it; to read from it use ``data_file``."""
    return root() / "data"


def data_file(*parts: str) -> Path:
    """Return the path of a shipped file, whether or not it exists, and note that it was looked for.

    Where the environment variable ``ACELIB_NOTE_READS`` names a file, the path below ``data/`` is appended to it as one
    line. A folder stands for everything in it.

    Args:
        parts: names of the folders below ``data/`` and of the file.

    Example:
        >>> assert data_file("ledger", "04-causal-regressors.json").is_file()
    """
    notes = os.environ.get(NOTES)
    if notes:
        with open(notes, "a", encoding="utf-8") as file:
            file.write(Path(*parts).as_posix() + "\n")
    return data_dir().joinpath(*parts)


def build_dir() -> Path:
    """Return the folder ``_build/`` of the book, which a quick run may write to; it is safe to delete."""
    return root() / "_build"


def _candidates() -> Iterator[Path]:
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        yield start
        yield from start.parents
