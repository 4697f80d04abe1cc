"""The set-up cell that every chapter opens with, so that it finds the book's code on Colab, and the link to it there.

Elsewhere the cell does nothing. On Colab it fetches the book at the version that it names; ``acelib.lab.colab``, which
comes with the book, does the rest. Colab opens converted notebooks (``tools.notebooks``), which lie on a branch of
their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from tools.address import PLACEHOLDER, current

TAGS = ["skip-execution", "nbval-skip", "remove-cell"]
BRANCH = "colab"  # where the converted notebooks lie, under book/

_TEMPLATE = """\
# Set-up for Colab: fetches the book and what is missing there, and says whether
# a GPU is used. Elsewhere it does nothing.
REPOSITORY, VERSION = "{url}", "{branch}"
try:
    import google.colab  # noqa: F401
except ImportError:
    pass
else:
    import os
    import subprocess
    import sys

    if "/{placeholder}/" in REPOSITORY:
        raise SystemExit("This copy of the book has no public address yet.")
    folder = os.path.join("/content", REPOSITORY.rsplit("/", 1)[1])
    if not os.path.isdir(folder):
        fetch = ["git", "clone", "-q", "--depth", "1", "--branch", VERSION]
        done = subprocess.run(
            [*fetch, REPOSITORY, folder],
            capture_output=True,
            text=True,
            env=os.environ | {{"GIT_TERMINAL_PROMPT": "0"}},
        )
        if done.returncode:
            why = done.stderr.strip().rpartition("\\n")[2]
            raise SystemExit(f"{{REPOSITORY}} could not be fetched: {{why}}")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    os.chdir(os.path.join(folder, "book"))
    from acelib.lab.colab import equip

    equip()"""  # as the formatter leaves it at the width of a page


def setup_source(url: str, branch: str = "main") -> str:
    """Return the source of the set-up cell, the same in every chapter.

    Args:
        url: the repository's address, as ``repository.url`` in ``_config.yml``.
        branch: the branch or tag that the cell fetches.

    Example:
        >>> "https://example.org/a/book" in setup_source("https://example.org/a/book")
        True
    """
    tidy = url.rstrip("/").removesuffix(".git")
    return _TEMPLATE.format(url=tidy, branch=branch, placeholder=PLACEHOLDER)


def repository(root: str | os.PathLike) -> tuple[str, str]:
    """Return the repository's address and branch, read from the one place that names them: ``_config.yml`` in ``root``.

    Raises:
        ValueError: if ``_config.yml`` names no repository, or not an address on GitHub.
    """
    import yaml

    config = yaml.safe_load((Path(root) / "_config.yml").read_text(encoding="utf-8"))
    return current(Path(root)), config["repository"].get("branch", "main")


def write_setup(paths: Sequence[Path], source: str) -> list[Path]:
    """Put the set-up cell into chapters in place of theirs and return those that changed; nothing else is touched.

    Args:
        paths: the chapters' files.
        source: what ``setup_source`` returned.

    Raises:
        ValueError: if a chapter does not have one cell with the tags of the set-up cell.
    """
    from acelib.lab.home import write_whole

    changed = []
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        found = [cell for cell in notebook["cells"] if cell["metadata"].get("tags") == TAGS]
        if len(found) != 1:
            raise ValueError(f"{path.name} must have one cell tagged {', '.join(TAGS)}, got {len(found)}; correct it")
        if "".join(found[0]["source"]) != source:
            found[0]["source"] = source.splitlines(keepends=True)
            text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            write_whole(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
            changed.append(path)
    return changed


def main(root: Path | None = None) -> int:
    """Write the set-up cell into every chapter and print those that changed; return 0."""
    from tools.chapters import ROOT, find_chapters, say

    root = ROOT if root is None else root
    for path in write_setup(find_chapters(root), setup_source(*repository(root))):
        say(str(path.relative_to(root)))
    return 0


if __name__ == "__main__":
    main()
