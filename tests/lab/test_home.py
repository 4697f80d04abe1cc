"""The book's root is found from where one stands, then from the package, then from ACELIB_HOME; files appear whole."""

from pathlib import Path

import pytest

from acelib.lab import home


@pytest.fixture
def away(tmp_path, monkeypatch):
    """Stand in a folder outside any book, with a package that lies outside any book too."""
    folder = tmp_path / "away" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(home, "__file__", str(tmp_path / "site" / "acelib" / "lab" / "home.py"))
    monkeypatch.delenv("ACELIB_HOME", raising=False)
    return folder


def _book(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_toc.yml").write_text("format: jb-book\n")
    return folder


def test_nearest_folder_upwards_wins(away):
    """Both the current folder's parents hold a table of contents: the nearer one is the home."""
    _book(away.parent.parent)
    assert home.root() == away.parent.parent
    _book(away.parent)
    assert home.root() == away.parent
    assert home.data_dir() == away.parent / "data"
    assert home.build_dir() == away.parent / "_build"


def test_package_folder_is_second(away, tmp_path, monkeypatch):
    """Outside the book, the package's own place leads to it, before the environment variable."""
    _book(tmp_path / "site")
    monkeypatch.setenv("ACELIB_HOME", str(_book(tmp_path / "named")))
    assert home.root() == tmp_path / "site"


def test_environment_variable_is_last(away, tmp_path, monkeypatch):
    """The variable serves an installed package."""
    monkeypatch.setenv("ACELIB_HOME", str(_book(tmp_path / "named")))
    assert home.root() == (tmp_path / "named").resolve()


@pytest.mark.parametrize("named", [None, "nowhere"])
def test_error_says_what_was_tried(away, monkeypatch, named):
    """One sentence: the file that is looked for, the state of the variable, the remedy."""
    if named:
        monkeypatch.setenv("ACELIB_HOME", named)
    expected = "ACELIB_HOME=nowhere holds none" if named else "ACELIB_HOME is not set"
    with pytest.raises(RuntimeError, match=f"no _toc.yml in .*{expected}; .*set ACELIB_HOME"):
        home.root()


def test_this_repository_is_found():
    """Without any preparation, the tests stand in the book itself."""
    assert (home.root() / "acelib" / "lab" / "home.py").is_file()


def test_a_shipped_file_is_noted_whether_it_exists_or_not(away, tmp_path, monkeypatch):
    """Each look-up is a line of the named file, below ``data/``, in order; without the variable nothing is."""
    _book(away.parent)
    notes = tmp_path / "notes"
    assert home.data_file("ledger", "a.json") == away.parent / "data" / "ledger" / "a.json"
    assert not notes.exists()
    monkeypatch.setenv("ACELIB_NOTE_READS", str(notes))
    home.data_file("ledger", "a.json")
    home.data_file("benchmarks.json")
    home.data_file("ledger")
    assert notes.read_text().splitlines() == ["ledger/a.json", "benchmarks.json", "ledger"]
