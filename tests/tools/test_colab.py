"""Does the set-up cell fetch the book on Colab and do nothing elsewhere? A false Colab tells."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.address import HOST
from tools.chapters import find_chapters
from tools.colab import TAGS, repository, setup_source, write_setup

ROOT = Path(__file__).resolve().parents[2]
URL = "https://github.com/someone/some-book"


class Fetching:
    """What was asked of git; ``refused`` is what git says where it fails."""

    def __init__(self):
        self.commands, self.environment, self.refused = [], {}, ""

    def run(self, command, *, env, **_):
        self.commands.append(command)
        self.environment = env
        if not self.refused:
            (Path(command[-1]) / "book").mkdir(parents=True)
        return subprocess.CompletedProcess(command, bool(self.refused), "", self.refused)


@pytest.fixture
def false_colab(monkeypatch, tmp_path):
    """google.colab can be imported, a clone makes the book's folder, and ``equip`` only says that it was called."""
    asked = Fetching()
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["google"], "colab", sys.modules["google.colab"], raising=False)
    monkeypatch.setattr(subprocess, "run", asked.run)
    monkeypatch.setattr("acelib.lab.colab.equip", lambda: print("equipped"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return asked


def cell(tmp_path, *address):
    return setup_source(*address).replace("/content", str(tmp_path))


def test_elsewhere_it_does_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "google", None)
    before = os.getcwd(), list(sys.path)
    for url in (URL, "https://github.com/OWNER/some-book"):
        exec(setup_source(url), {})
    assert (os.getcwd(), sys.path) == before


def test_on_colab_it_clones_the_named_version_once(false_colab, tmp_path, capsys):
    for _ in range(2):
        exec(cell(tmp_path, URL, "v1.2"), {})
    (clone,) = false_colab.commands
    assert clone[:2] == ["git", "clone"] and clone[-4:] == ["--branch", "v1.2", URL, f"{tmp_path}/some-book"]
    assert false_colab.environment["GIT_TERMINAL_PROMPT"] == "0", "git must not wait for a password"
    assert os.getcwd() == f"{tmp_path}/some-book/book" and sys.path.count(f"{tmp_path}/some-book") == 1
    assert capsys.readouterr().out == "equipped\nequipped\n"


def test_without_a_public_address_it_says_so_and_fetches_nothing(false_colab, tmp_path):
    with pytest.raises(SystemExit, match=r"^This copy of the book has no public address yet\.$"):
        exec(cell(tmp_path, "https://github.com/OWNER/some-book"), {})
    assert false_colab.commands == []


def test_an_address_that_cannot_be_cloned_ends_in_one_sentence(false_colab, tmp_path):
    """The last line of what git says is its reason."""
    false_colab.refused = "Cloning into 'some-book'...\nfatal: repository not found\n"
    with pytest.raises(SystemExit) as raised:
        exec(cell(tmp_path, URL), {})
    assert str(raised.value) == f"{URL} could not be fetched: fatal: repository not found"


def test_git_itself_gives_that_sentence(tmp_path, monkeypatch):
    """No pretence: git is asked for a repository that is not there."""
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["google"], "colab", sys.modules["google.colab"], raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=rf"^file://{tmp_path}/none could not be fetched: fatal: [^\n]+$"):
        exec(cell(tmp_path, f"file://{tmp_path}/none"), {})


def test_the_address_is_tidied_and_read_from_the_configuration(tmp_path):
    assert setup_source("https://github.com/a/b.git") == setup_source("https://github.com/a/b/") != setup_source("c/d")
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/a/b/\n  branch: v2\n")
    assert repository(tmp_path) == ("https://github.com/a/b", "v2")
    assert repository(ROOT)[0].startswith(HOST)


def test_the_cell_is_written_where_it_differs_and_nothing_else_is_touched(tmp_path):
    """Cells, outputs and ids stay; a chapter without the cell is refused."""
    path = tmp_path / "01-a.ipynb"
    old = new_code_cell("old", metadata={"tags": TAGS})
    before = new_notebook(cells=[new_markdown_cell("# A"), old, new_code_cell("1 + 1", execution_count=3)])
    nbformat.write(before, path)
    assert write_setup([path], "new\nlines") == [path]
    after = nbformat.read(path, 4)
    assert after.cells[1].source == "new\nlines" and after.cells[1].id == old.id
    assert [after.cells[0], after.cells[2]] == [before.cells[0], before.cells[2]]
    assert write_setup([path], "new\nlines") == []
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A")]), path)
    with pytest.raises(ValueError, match=r"01-a\.ipynb must have one cell tagged .*, got 0"):
        write_setup([path], "new")


def test_every_chapter_has_the_same_cell():
    """As the writer leaves it: there is nothing to write."""
    source = setup_source(*repository(ROOT))
    for path in find_chapters(ROOT):
        (found,) = [c for c in nbformat.read(path, 4).cells if c.metadata.get("tags") == TAGS]
        assert found.source == source, f"{path.name}: call `python -m tools.colab`"
    lines = source.splitlines()
    assert len([line for line in lines if line.strip()]) <= 36 and max(map(len, lines)) <= 88
