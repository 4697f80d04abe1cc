"""The repository's address: one source, every mention carried along, and every byte back again."""

import json
import shutil

import pytest
import yaml
from bs4 import BeautifulSoup
from tiny_book import CONFIG, write, write_book

from tools import address, pages
from tools.chapters import ROOT, find_chapters
from tools.colab import setup_source

SLUG = "some-one/some.book"
NEW = address.HOST + SLUG


@pytest.fixture
def small(tmp_path):
    """A project with its address in all the forms that occur."""
    (tmp_path / "_config.yml").write_text("title: T\nrepository:\n  branch: main\n  url: https://github.com/me/mine\n")
    (tmp_path / "README.md").write_text(
        "git clone https://github.com/me/mine.git\nsee https://github.com/me/mine.\n[x](https://github.com/me/mine/tree/main)\n"
        "https://colab.research.google.com/github/me/mine/blob/main/book/a.ipynb\ngit@github.com:me/mine.git\n"
        "https://raw.githubusercontent.com/me/mine/main/x\nnot ours: https://github.com/me/mine2 https://github.com/me/mine.js\n"
    )
    (tmp_path / "book").mkdir()
    (tmp_path / "book/a.ipynb").write_text('{"source": "REPOSITORY = \\"https://github.com/me/mine\\""}\r\n')
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/x.py").write_text("https://github.com/me/mine")
    (tmp_path / "picture.png").write_bytes(b"\x89\xffhttps://github.com/me/mine")
    return tmp_path


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_form_changes_and_goes_back_to_the_same_bytes(small, capsys):
    """Reference: the texts written out by hand; only our own address changes, and the way back restores all bytes."""
    before = contents(small)
    assert address.main([NEW], small) == 0
    text = (small / "README.md").read_text()
    assert text.splitlines() == [
        f"git clone {NEW}.git",
        f"see {NEW}.",
        f"[x]({NEW}/tree/main)",
        f"https://colab.research.google.com/github/{SLUG}/blob/main/book/a.ipynb",
        f"git@github.com:{SLUG}.git",
        f"https://raw.githubusercontent.com/{SLUG}/main/x",
        "not ours: https://github.com/me/mine2 https://github.com/me/mine.js",
    ]
    assert address.current(small) == NEW
    assert NEW in (small / "book/a.ipynb").read_text()
    assert (small / ".venv/x.py").read_text() == "https://github.com/me/mine"
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["README.md", "book/a.ipynb", "_config.yml", f"3 files now name {NEW}"]
    assert [path.name for path in address.change("https://github.com/me/mine", small)][-1] == "_config.yml"
    assert contents(small) == before


@pytest.mark.parametrize(
    "url",
    [
        "",
        "me/mine",
        "http://github.com/me/mine",
        "https://github.com/me",
        "https://github.com/a/b/c",
        "https://example.org/a/b",
        "https://github.com/a b/c",
        "https://github.com/-a/c",
    ],
)
def test_another_form_is_refused_before_anything_changes(small, url, capsys):
    before = contents(small)
    assert address.main([url], small) == 1
    assert "URL must be https://github.com/owner/name" in capsys.readouterr().err
    assert contents(small) == before


def test_no_argument_is_refused(small, capsys):
    assert address.main([], small) == 1
    assert "make address URL=" in capsys.readouterr().err


def test_a_config_without_an_address_says_so(tmp_path):
    (tmp_path / "_config.yml").write_text("title: T\nurl: https://github.com/me/mine\n")
    with pytest.raises(ValueError, match="`url:` under `repository:`, got none"):
        address.current(tmp_path)


def test_the_project_itself_keeps_no_old_address(tmp_path):
    """On a copy of the project: after a change no text file has the old address; going back restores all bytes."""
    for path in address.text_files(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    before, old = contents(tmp_path), address.current(tmp_path)
    changed = {path.relative_to(tmp_path).as_posix() for path in address.change(NEW, tmp_path)}
    assert {"README.md", "CITATION.cff", "_config.yml", "book/index.md"} <= changed
    slug = old.removeprefix(address.HOST).encode()
    assert [path for path in address.text_files(tmp_path) if slug in path.read_bytes()] == []
    address.change(old, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("url", ["https://github.com/OWNER/some-book", NEW])
def test_what_needs_an_address_is_there_with_one_and_not_without(tmp_path, url):
    """On a copy of the project, where this is or becomes the address: README, front page and citation, set-up cells."""
    for path in address.text_files(ROOT):
        write(tmp_path / path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    address.change(url, tmp_path)
    public = url == NEW
    for file in ("README.md", "book/index.md", "CITATION.cff"):
        assert (url in (tmp_path / file).read_text()) == public, file
    readme = (tmp_path / "README.md").read_text()
    assert (f"git clone {url} attribution-book" in readme) == public
    assert ("public address follows here" in readme) != public
    assert yaml.safe_load((tmp_path / "CITATION.cff").read_text()).get("repository-code") == (url if public else None)
    for path in find_chapters(tmp_path):
        assert json.dumps(setup_source(url).splitlines(keepends=True)[2])[1:-1] in path.read_text(encoding="utf-8")


BUTTONS = """repository:
  url: https://github.com/me/mine
  branch: main
launch_buttons:
  colab_url: https://colab.research.google.com
html:
  use_repository_button: true
  use_issues_button: true
"""


def test_buttons_come_and_go_with_the_address(tmp_path):
    """A tiny book, rendered with an address and without: Colab opens the converted notebook; else no link is left."""
    root = write_book(tmp_path)
    write(root / "_config.yml", CONFIG + BUTTONS)
    chapters = {path.stem: path for path in find_chapters(root)}

    def links():
        made = pages.render(chapters, root=root, out=tmp_path / "out")
        page = BeautifulSoup((made / "book/01-one.html").read_text(encoding="utf-8"), "html.parser")
        assert "{glue" not in (made / "_sources/book/01-one.ipynb").read_text(encoding="utf-8")
        return [link["href"] for link in page.select('a[href*="github"]')]

    there = links()
    assert "https://github.com/me/mine" in there
    assert any(link.startswith("https://github.com/me/mine/issues/new?") for link in there)
    colab = "https://colab.research.google.com/github/me/mine/blob/colab/book/01-one.ipynb"
    assert [link for link in there if "colab" in link] == [colab]
    address.change("https://github.com/OWNER/mine", root)
    assert links() == []


def test_a_passage_says_what_the_address_allows():
    """Only marked passages change, and going back gives the same text."""
    text = "a\n<!-- address: cite -->\n<!-- end of address: cite -->\nhttps://example.org\n"
    without = address.with_passages(text, "book/index.md", "https://github.com/OWNER/x")
    public = address.with_passages(without, "book/index.md", NEW)
    assert "follows" in without and NEW in public and "follows" not in public
    assert address.with_passages(public, "book/index.md", "https://github.com/OWNER/x") == without
    assert address.with_passages(text, "other.md", NEW) == text
