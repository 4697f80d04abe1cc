"""Does "run all" on Colab give the book's numbers? Three chapters are run under Colab's versions, from a fresh clone.

Needs a Python with those versions (``tools/colab.txt``), named by ``ACELIB_COLAB``; ``make colab`` makes one. The
set-up cell runs as it does there, with a stand-in for ``google.colab``, a folder in place of ``/content`` and a local
repository in place of the address; it installs into that Python. The reference are the stored records and claims,
within their tolerances.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import nbformat
import pytest

from acelib.lab.ledger import collect
from conftest import explain
from tools.chapters import ROOT
from tools.colab import repository
from tools.plain import Book, plain_notebook

COLAB = os.environ.get("ACELIB_COLAB", "")
CHAPTERS = os.environ.get("ACELIB_COLAB_CHAPTERS", "").split() or [
    "01-attribution-bias",
    "03-interventional-expectation",
    "04-causal-regressors",
]

pytestmark = pytest.mark.skipif(not COLAB, reason="ACELIB_COLAB names no Python with Colab's versions")


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def remote(tmp_path_factory) -> Path:
    """A repository with the present files as the one commit of its branch, in place of the public one."""
    folder = tmp_path_factory.mktemp("remote") / "causal-attribution-book"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    git(folder, "init", "-q", "-b", repository(ROOT)[1])
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", "all")
    return folder


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> Path:
    """What stands for ``/content``, with the stand-in for ``google.colab`` and a kernel of Colab's Python."""
    folder = tmp_path_factory.mktemp("content")
    for name in ("google", "google/colab"):
        (folder / "modules" / name).mkdir(parents=True)
        (folder / "modules" / name / "__init__.py").write_text("")
    kernel = folder / "jupyter/kernels/colab"
    kernel.mkdir(parents=True)
    command = [COLAB, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Colab", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    return folder


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_run_all_gives_the_stored_numbers(chapter, remote, content, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("JUPYTER_PATH", str(content / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(content / "modules"))
    book = Book.read(ROOT)
    notebook = plain_notebook(book, chapter)
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    local = setup.source.replace(repository(ROOT)[0], f"file://{remote}").replace('"/content"', f'"{content}"')
    setup.source = local
    place = {"metadata": {"path": str(content)}}
    NotebookClient(notebook, kernel_name="colab", timeout=900, skip_cells_with_tag="none", resources=place).execute()
    problems = compared(nbformat.from_dict(book.chapters[chapter]), notebook)
    assert not problems, "\n".join(problems)


def compared(stored, new) -> list[str]:
    """Return what differs by more than its tolerance, and print how much was compared."""
    problems, count = [], 0
    for kind, number, before, after in zip(
        ("record", "claim"), ("value", "numbers"), collect(stored), collect(new), strict=True
    ):
        found = {item["id"]: item for item in after}
        problems += [f"{kind} {item['id']!r} is missing" for item in before if item["id"] not in found]
        pairs = [(item, found[item["id"]]) for item in before if item["id"] in found]
        problems += [said for old, now in pairs if (said := explain(kind, number, old, now))]
        count += len(pairs)
    print(f"{count} records and claims compared, {len(problems)} outside")
    return problems
