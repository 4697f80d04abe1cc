"""The chapters of the book, and the keys under which they are executed.

A chapter's key is a hash of what the chapter can reach: its cells, the method (``acelib`` without ``acelib.lab``), the
files of ``acelib.lab`` that its cells import, directly or through others, the files of ``data/`` that its last run
looked for, the claims it judges and its last full run, ``constraints.txt``, the Python version, and
``tools/execute.py``. The rest of ``tools/`` is not part of it.

Nothing heavy is imported here: an unchanged book costs half a second.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tools.finished import read_finished
from tools.imports import Modules

ROOT = Path(__file__).resolve().parents[1]
GENERATED = tuple(
    f"book/{name}"
    for name in ("holds-ace", "holds-paths", "holds-icc", "ledger", "corrections", "paper-items", "status")
)
TRANSIENT = ("papermill", "execution")


def say(text: str) -> None:
    """Print at once, also where the output is a pipe."""
    print(text, flush=True)


# ---------------------------------------------------------------- what there is


def find_chapters(root: Path = ROOT) -> list[Path]:
    """Return the chapters' notebooks in the order of ``_toc.yml``.

    Raises:
        ValueError: if ``_toc.yml`` names a file that does not exist, or leaves out a notebook of ``book/``.
    """
    import yaml

    listed: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            listed.extend(str(node[key]) for key in ("root", "file") if key in node)
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                walk(child)

    walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    found = [root / f"{name}.ipynb" for name in listed if (root / f"{name}.ipynb").exists()]
    pages = {name for name in listed if (root / f"{name}.md").exists()} | set(GENERATED)
    lost = [name for name in listed if name not in pages and root / f"{name}.ipynb" not in found]
    left_out = sorted(set((root / "book").glob("*.ipynb")) - set(found))
    if lost or left_out:
        raise ValueError(
            f"_toc.yml must list what book/ holds, got without a file: {', '.join(lost) or 'none'}; "
            f"notebooks not listed: {', '.join(path.name for path in left_out) or 'none'}; correct _toc.yml"
        )
    return found


def read_notebook(path: Path) -> Any:
    """Return the notebook of a file as a node of ``nbformat``."""
    import nbformat

    return nbformat.read(path, as_version=4)


def title(notebook: Any, default: str = "") -> str:
    """Return the first heading of a notebook without its mark-up signs."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return line[2:].strip()
    return default


def executed_path(path: Path, root: Path) -> Path:
    """Return where the executed copy of a chapter is kept."""
    return root / "_build" / "executed" / path.name


# ---------------------------------------------------------------- keys


def hash_files(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """Return ``{path below root: SHA-256}``, sorted, of the files that exist; compiled and hidden ones do not count."""
    found = {}
    for path in sorted(files):
        below = path.relative_to(root)
        if path.is_file() and "__pycache__" not in below.parts and not any(p.startswith(".") for p in below.parts):
            found[below.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def digest(content: object) -> str:
    """Return the SHA-256 of plain data, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Sources:
    """What the chapters can reach, as hashes taken at one moment: a change during a run belongs to the next one.

    Attributes:
        root: the book's folder.
        chapters: the notebooks in the order of ``_toc.yml``.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root, self.chapters = root, find_chapters(root)
        method = (p for p in _files(root / "acelib") if p.relative_to(root).parts[:2] != ("acelib", "lab"))
        shared = hash_files(root, [*method, root / "constraints.txt", root / "tools/execute.py"])
        laboratory = Modules(root, "acelib.lab", root / "_build/imports.json")
        lab = hash_files(root, _files(root / "acelib/lab"))
        self._data = hash_files(root / "data", _files(root / "data"))
        self._fixed = {}
        for path in self.chapters:
            cells = _cells(path)
            reached = laboratory.reached(source for kind, source, _ in cells if kind == "code")
            used = {name: lab[name] for name in (file.relative_to(root).as_posix() for file in reached)}
            own = [shared, used, self._claims(cells), self._state(f"ledger/{path.stem}.json")]
            self._fixed[path] = digest([cells, *own, list(sys.version_info[:3])])
        laboratory.remember()

    def key(self, path: Path, reads: Iterable[str]) -> str:
        """Return the key of a chapter that looks for these files of ``data/``; an absent one and a folder count too."""
        return digest([self._fixed[path], {name: self._state(name) for name in reads}])

    def is_current(self, path: Path) -> bool:
        """Return whether the executed copy of a chapter is whole and belongs to the present sources."""
        out = executed_path(path, self.root)
        done = read_finished(out.with_suffix(".key"))
        if done is None or done.damage(out.parent):
            return False
        return done.key == self.key(path, json.loads(out.with_suffix(".reads.json").read_text(encoding="utf-8")))

    def damaged(self) -> list[Path]:
        """Return what finished runs left behind and is gone or changed since: the files, chapter by chapter."""
        found = []
        for path in self.chapters:
            out = executed_path(path, self.root)
            done = read_finished(out.with_suffix(".key"))
            found += [out.parent / name for name in done.damage(out.parent)] if done else []
        return found

    def stale(self) -> list[Path]:
        """Return the chapters that must be executed."""
        return [path for path in self.chapters if not self.is_current(path)]

    def _claims(self, cells: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
        """Return the entries of ``book/claims.toml`` whose ids stand in the code of a chapter."""
        path = self.root / "book/claims.toml"
        known = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        code = "\n".join(source for kind, source, _ in cells if kind == "code")
        return {key: entry for key, entry in known.items() if f'"{key}"' in code or f"'{key}'" in code}

    def _state(self, name: str) -> dict[str, str]:
        if name in self._data:
            return {name: self._data[name]}
        folder = "" if name == "." else f"{name}/"
        return {other: value for other, value in self._data.items() if other.startswith(folder)}


def _files(folder: Path) -> Iterator[Path]:
    return folder.rglob("*") if folder.is_dir() else iter(())


def _cells(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Return kind, source and lasting metadata of each cell; outputs and counts are left out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        (
            cell["cell_type"],
            "".join(cell["source"]),
            {name: value for name, value in cell["metadata"].items() if name not in TRANSIENT},
        )
        for cell in cells
    ]
