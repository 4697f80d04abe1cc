"""The chapters as notebooks for Jupyter and Colab: ``make notebooks``.

They are made from the stored chapters in seconds and are not kept beside them: what is made from a file is no second
file to keep in step. Colab opens them from the branch ``colab`` of the repository, which holds them and nothing else;
``make notebooks BRANCH=colab`` commits them there without touching the branch that is checked out.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, say
from tools.plain import Book, plain_notebook

FOLDER = "_build/notebooks"


def write_notebooks(book: Book, out: Path) -> list[Path]:
    """Write every chapter as a plain notebook into ``book/`` under a folder and return the files.

    Args:
        book: the chapters.
        out: the folder; notebooks that an earlier call left there are removed.
    """
    import nbformat

    from acelib.lab.home import write_whole

    folder = out / "book"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.ipynb"):
        if path.stem not in book.chapters:
            path.unlink()
    paths = []
    for chapter in book.chapters:
        text = nbformat.writes(plain_notebook(book, chapter)).rstrip("\n") + "\n"
        paths.append(folder / f"{chapter}.ipynb")
        write_whole(paths[-1], lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    return paths


def commit(paths: list[Path], out: Path, branch: str, root: Path = ROOT) -> bool:
    """Store notebooks in a commit as all that a branch holds, and return whether it changed.

    Neither the index nor the files of the branch that is checked out are touched.

    Args:
        paths: the notebooks.
        out: the folder that stands for the top of the branch.
        branch: its name; it is made where there is none.
        root: the repository.

    Raises:
        ValueError: if the branch is checked out or holds anything else, or git refuses.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = {"GIT_INDEX_FILE": str(Path(scratch, "index")), "GIT_WORK_TREE": str(out)}
        if _git(root, {}, "symbolic-ref", "-q", "HEAD", check=False) == f"refs/heads/{branch}":
            raise ValueError(f"BRANCH must be one that is not checked out, got {branch!r}; name another")
        _git(root, place, "add", "-f", "--", *(str(path) for path in paths))
        tree = _git(root, place, "write-tree")
    before = _git(root, {}, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", check=False)
    held = _git(root, {}, "ls-tree", "-r", "--name-only", before).splitlines() if before else []
    others = [name for name in held if not re.fullmatch(r"book/[^/]+\.ipynb", name)]
    if others:
        raise ValueError(f"BRANCH must hold notebooks alone, got {branch!r} with {others[0]}; name another")
    if before and _git(root, {}, "rev-parse", f"{before}^{{tree}}") == tree:
        return False
    source = _git(root, {}, "rev-parse", "--short", "HEAD", check=False) or "the first commit"
    message = f"Write the chapters of {source} for Jupyter and Colab"
    parents = ["-p", before] if before else []
    _git(root, {}, "update-ref", f"refs/heads/{branch}", _git(root, {}, "commit-tree", tree, *parents, "-m", message))
    return True


def _git(root: Path, place: Mapping[str, str], *words: str, check: bool = True) -> str:
    where = {"GIT_DIR": _directory(root), **place}
    run: Any = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, env=os.environ | where)
    if run.returncode and check:
        raise ValueError(f"git {words[0]} must work in {root.name}, got {run.stderr.strip()}; see to it and try again")
    return "" if run.returncode else run.stdout.strip()


def _directory(root: Path) -> str:
    run = subprocess.run(["git", "rev-parse", "--absolute-git-dir"], cwd=root, capture_output=True, text=True)
    if run.returncode:
        raise ValueError(f"the book must lie in a git repository for BRANCH, got {run.stderr.strip()}; clone it")
    return run.stdout.strip()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write the notebooks, commit them where a branch is named, and return 0, or 1 with the reason in one sentence."""
    parser = argparse.ArgumentParser(prog="notebooks", description="Write the chapters for Jupyter and Colab.")
    parser.add_argument("--to", default=str(root / FOLDER), help="the folder")
    parser.add_argument("--branch", default="", help="commit them as all that this branch holds")
    chosen = parser.parse_args(arguments)
    out = Path(chosen.to).resolve()
    try:
        paths = write_notebooks(Book.read(root), out)
        say(f"{len(paths)} notebooks in {out / 'book'}")
        if chosen.branch:
            changed = commit(paths, out, chosen.branch, root)
            say(f"branch {chosen.branch}: {f'changed; git push origin {chosen.branch}' if changed else 'unchanged'}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
