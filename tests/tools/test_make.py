"""The commands: a tiny book executed, rendered and stored, with real papermill and one real rendering."""

import errno
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_book import write, write_notebook

from tools import chapters, execute, make, pages, stored


def test_a_book_is_executed_rendered_left_alone_and_stored(root, capsys):
    """From nothing to pages, two at a time; then nothing to do; then a warning, which fails as long as it stands."""
    assert make.book(root) == 0
    said = capsys.readouterr().out
    assert "to be executed: 2" in said and re.search(r"executed 01-one in \d", said) and "pages: rendered" in said
    html = root / "_build/html"
    assert "book/index.html" in (html / "index.html").read_text()
    assert "seven quick 0" in (html / "book/01-one.html").read_text()
    reads = json.loads((root / "_build/executed/01-one.reads.json").read_text())
    assert reads == ["absent.txt", "ledger", "number.txt"]
    assert (html / "book/ledger.html").exists() and "Versions" in (html / "book/status.html").read_text()

    assert make.book(root) == 0
    assert "to be executed: 0\npages: unchanged, _build/html/index.html" in capsys.readouterr().out

    (root / "book/index.md").write_text("# Home\n\n[lost](nowhere.md)\n")
    assert make.book(root) == 1
    said = capsys.readouterr().out
    assert "did not render" in said and "nowhere.md" in said and "\x1b" not in said
    assert not (root / "_build/html.key").exists(), "the next call renders, and fails, again"
    assert (html / "book/01-one.html").exists(), "pages of the last good build stay"

    assert stored.refresh(root) == 0
    assert "stored book/01-one.ipynb" in capsys.readouterr().out
    assert make.main(["refresh"], root) == 0
    said = capsys.readouterr().out
    assert "unchanged book/01-one.ipynb" in said and "noted the pictures: data/pictures.json" in said
    assert json.loads((root / "data/pictures.json").read_text()) == {"02-two": {}, "01-one": {}}
    text = (root / "book/01-one.ipynb").read_text()
    assert text.endswith("}\n") and "papermill" not in text and "iopub" not in text and "seven quick 0" in text
    assert execute.execute_all(chapters.Sources(root)) == [], "storing outputs does not make a chapter stale"


def test_stored_notebooks_are_rendered_as_they_are(root, tmp_path_factory, capsys, monkeypatch):
    """jupyter-book is pretended: what it is given, and what is done with its answer, is what counts here."""
    given = []

    def jupyter_book(command, **_):
        site, work = command[4], command[6]
        given.append({path.name for path in Path(site, "book").iterdir()})
        assert {"-W", "-n", "--keep-going"} <= set(command)
        write(Path(work, "_build/html/index.html"), "made")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pages.subprocess, "run", jupyter_book)
    out = tmp_path_factory.mktemp("out")
    for _ in range(2):  # the second time over the first
        assert make.main(["stored", "--to", str(out)], root) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "html/index.html")] * 2
    assert given[0] == {"_static", "index.md", "01-one.ipynb", "02-two.ipynb", "ledger.md", "status.md"}
    assert not (root / "_build").exists()


def test_pages_that_are_missing_after_all_are_an_error(root, monkeypatch, capsys):
    silent = subprocess.CompletedProcess([], 0, "only this\n", "")
    monkeypatch.setattr(pages.subprocess, "run", lambda *_, **__: silent)
    assert make.main(["stored", "--to", str(root / "out")], root) == 1
    assert "only this" in capsys.readouterr().out


@pytest.fixture
def rendered(counted, monkeypatch):
    """The counted book, and how often its pages were rendered."""
    calls = []

    def render(notebooks, *, root):
        calls.append(sorted(notebooks))
        names = "index book/01-one book/02-two book/03-three book/index book/status".split()
        for name in [*(f"{name}.html" for name in names), "_static/style.css"]:
            write(root / "_build/html" / name, "made")

    monkeypatch.setattr(pages, "render", render)
    return counted, calls


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:2])


DAMAGES = {
    "no page left": ("html/book", remove, "book/01-one.html, book/02-two.html, book/03-three.html and 2 more"),
    "a page lost": ("html/book/02-two.html", remove, "book/02-two.html"),
    "a page cut": ("html/book/02-two.html", cut, "book/02-two.html"),
    "the style lost": ("html/_static", remove, "_static/style.css"),
    "the entrance lost": ("html/index.html", remove, "index.html"),
    "the key cut": ("html.key", cut, "html.key"),
}


@pytest.mark.parametrize("name, damage, said", DAMAGES.values(), ids=DAMAGES)
def test_damaged_pages_are_named_and_rendered_again(rendered, name, damage, said, capsys):
    """Never "unchanged" over damage; a page that somebody put there beside them is left alone."""
    book, calls = rendered
    assert make.book(book.root, jobs=1) == 0
    write(book.root / "_build/html/slides/01-one.html", "a deck")
    damage(book.root / "_build" / name)
    capsys.readouterr()
    assert make.book(book.root, jobs=1) == 0 and len(calls) == 2
    printed = capsys.readouterr().out
    assert "pages: rendered" in printed
    assert f"changed in _build/html since it was rendered: {said}; all pages are" in printed
    assert make.book(book.root, jobs=1) == 0 and len(calls) == 2 and "pages: unchanged" in capsys.readouterr().out


CHANGES = {
    "a page": ("book/index.md", "# House", 1),
    "the style": ("book/_static/book.css", "a {}", 1),
    "a full run": ("data/ledger/02-two.json", "{}", 1),
    "what prints the ledger": ("tools/ledger_page.py", "x = 1", 1),
    "the reference's docstrings": ("acelib/lab/flights/__init__.py", "x = 1", 1),
    "versions": ("constraints.txt", "torch==2.13.1", 1),
    "the rest of the press": ("tools/bench.py", "x = 1", 0),
    "data": ("data/benchmarks.json", "[]", 0),
}


@pytest.mark.parametrize("name, text, again", CHANGES.values(), ids=CHANGES)
def test_a_change_renders_the_pages_that_are_made_from_it(rendered, name, text, again):
    book, calls = rendered
    assert make.main(["book", "--jobs", "1"], book.root) == make.book(book.root, jobs=1) == 0
    assert calls == [["01-one", "02-two"]]
    write(book.root / name, text)
    assert make.book(book.root, jobs=1) == 0
    assert len(calls) == 1 + again


def test_an_unchanged_book_imports_nothing_heavy(rendered):
    """In a process of its own; half a second would not do for torch, nbformat or papermill."""
    book, _ = rendered
    make.book(book.root, jobs=1)
    program = (
        "import sys; from pathlib import Path; from tools.make import main; main(['book'], Path(sys.argv[1]));"
        "print(sorted({'torch', 'numpy', 'nbformat', 'papermill', 'acelib', 'asyncio'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(book.root)], cwd=chapters.ROOT, capture_output=True, text=True, check=True
    )
    assert "pages: unchanged" in run.stdout and run.stdout.splitlines()[-1] == "[]"


def test_a_failing_chapter_leaves_the_pages_and_fails_the_command(rendered, capsys):
    book, calls = rendered
    book.failing.add("02-two")
    assert make.book(book.root, jobs=1) == 1
    said = capsys.readouterr().out
    assert "FAILED   02-two" in said and "02-two: cell 3 raised" in said and "were not rendered" in said
    assert calls == []


def test_a_full_disk_is_said_in_one_sentence_and_the_pages_stay(rendered, monkeypatch, capsys):
    book, calls = rendered
    assert make.main(["book", "--jobs", "1"], book.root) == 0
    before = (book.root / "_build/html/index.html").read_text()
    (book.root / "_build/html/book/01-one.html").unlink()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "render.log")

    with monkeypatch.context() as patched:
        patched.setattr(pages, "render", full)
        assert make.main(["book"], book.root) == 1
    said = capsys.readouterr().out
    assert "the disk is full" in said and "make room, and run it again" in said
    assert (book.root / "_build/html/index.html").read_text() == before
    assert make.main(["book"], book.root) == 0 and len(calls) == 2  # rendered once there was room again


def test_a_table_of_contents_that_disagrees_fails_the_command(root, capsys):
    write_notebook(root / "book/03-three.ipynb")
    assert make.main(["book"], root) == 1
    assert "notebooks not listed: 03-three.ipynb" in capsys.readouterr().out
