"""Where is the book? The folders that chapters read from and write to, found from wherever a notebook runs.

A chapter runs in ``book/``, a test at the root, and a Colab notebook wherever its set-up cell left it. All of them
have to find the same ``data/``. The root of the book is the folder that holds its table of contents, ``_toc.yml``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from acelib._saved import write_whole

__all__ = ["MARKER", "VARIABLE", "build_dir", "data_dir", "home", "write_whole"]

MARKER = "_toc.yml"
VARIABLE = "ACELIB_HOME"


def home() -> Path:
    """The root folder of the book, an absolute path: the nearest folder upwards that holds ``_toc.yml``.

    The search starts at the current folder, then at the folder of this package; the environment variable
    ``ACELIB_HOME`` comes last, for a package that was installed away from the book.

    Returns:
        The folder that holds ``_toc.yml``.

    Raises:
        RuntimeError: None of the three leads to a folder with ``_toc.yml``.

    Example:
        >>> from acelib.lab import home
        >>> assert home.home().is_absolute()
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
    """The folder ``data/`` of the book: what ships with it, read by every profile."""
    return home() / "data"


def build_dir() -> Path:
    """The folder ``_build/`` of the book: what a quick run may write, safe to delete."""
    return home() / "_build"


def _candidates() -> Iterator[Path]:
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        yield start
        yield from start.parents
