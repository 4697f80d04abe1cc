"""The set-up cell that every chapter opens with, so that it finds the book's code on Colab.

Elsewhere the cell does nothing; on Colab it fetches the version that the chapter's own link names and never touches
torch or numpy.
"""

from __future__ import annotations

import os
from pathlib import Path

from tools.address import current

TAGS = ["skip-execution", "nbval-skip", "remove-cell"]

_TEMPLATE = """\
# Set-up for Colab: fetches the book and the packages that are missing there. Elsewhere it does nothing.
REPOSITORY, VERSION = "{url}", "{branch}"
try:
    import google.colab  # noqa: F401
except ImportError:
    pass
else:
    import importlib.util
    import os
    import subprocess
    import sys

    folder = os.path.join("/content", REPOSITORY.rsplit("/", 1)[1])
    if not os.path.isdir(folder):
        subprocess.run(
            [
                "git",
                "clone",
                "--depth",
                "1",
                "--branch",
                VERSION,
                REPOSITORY,
                folder,
            ],
            check=True,
        )
    needed = [
        "captum",
        "safetensors",
        "pooch",
        "platformdirs",
        "zuko",
        "SALib",
        "multiprocess",
        "dill",
        "quantus",
    ]
    missing = [
        name for name in needed if importlib.util.find_spec(name) is None
    ]
    if missing:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                *missing,
            ],
            check=True,
        )
    if folder not in sys.path:
        sys.path.insert(0, folder)
    os.chdir(os.path.join(folder, "book"))"""  # as the formatter leaves it at the width of a page


def setup_source(url: str, branch: str = "main") -> str:
    """Return the source of the set-up cell, the same in every chapter.

    Args:
        url: the repository's address, as ``repository.url`` in ``_config.yml``.
        branch: the branch or tag that the chapters' Colab links name.

    Example:
        >>> "https://example.org/a/book" in setup_source("https://example.org/a/book")
        True
    """
    return _TEMPLATE.format(url=url.rstrip("/").removesuffix(".git"), branch=branch)


def repository(root: str | os.PathLike) -> tuple[str, str]:
    """Return the repository's address and branch, read from the one place that names them: ``_config.yml`` in ``root``.

    Raises:
        ValueError: if ``_config.yml`` names no repository, or not an address on GitHub.
    """
    import yaml

    config = yaml.safe_load((Path(root) / "_config.yml").read_text(encoding="utf-8"))
    return current(Path(root)), config["repository"].get("branch", "main")
