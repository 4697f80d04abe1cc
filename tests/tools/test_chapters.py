"""The chapters and their keys: on a tiny book, what a change executes again; on the real one, what chapters reach."""

import json
import re

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from tiny_book import write, write_notebook

from tools import chapters
from tools.imports import Modules

ONE, TWO = ["01-one"], ["02-two"]
BOTH = TWO + ONE


def test_chapters_come_in_the_order_of_the_table_of_contents(root):
    assert [path.stem for path in chapters.find_chapters(root)] == BOTH


def test_a_table_of_contents_that_disagrees_is_refused(root):
    write_notebook(root / "book/03-three.ipynb")
    (root / "book/02-two.ipynb").unlink()
    with pytest.raises(ValueError, match=r"without a file: book/02-two; notebooks not listed: 03-three.ipynb; correct"):
        chapters.find_chapters(root)


def test_a_title_is_the_first_heading(root):
    assert chapters.title(chapters.read_notebook(root / "book/01-one.ipynb")) == "The *first*"
    assert chapters.title(new_notebook(cells=[new_markdown_cell("text")]), "name") == "name"


def test_nothing_changed_nothing_executed(counted):
    assert counted.run() == (BOTH, []) and counted.run() == ([], [])


CHANGES = {
    "method": ("acelib/method.py", "x = 2\n", BOTH),
    "new file of the method": ("acelib/sub/new.py", "", BOTH),
    "pins": ("constraints.txt", "torch==2.13.1\n", BOTH),
    "the runner": ("tools/execute.py", "x = 1", BOTH),
    "its own package": ("acelib/lab/iris/experiment.py", "def run():\n    pass\n", TWO),
    "a file beside its code": ("acelib/lab/iris/style.css", "x", TWO),
    "reached by a lazy import of a lazy import": ("acelib/lab/shared.py", "x = 1", TWO),
    "the laboratory's own file": ("acelib/lab/__init__.py", "x = 1", BOTH),
    "imported by one": ("acelib/lab/home.py", "x = 1", ONE),
    "a package that no chapter imports": ("acelib/lab/flights/__init__.py", "x = 1", []),
    "a new file that nothing imports": ("acelib/lab/iris/new.py", "x = 1", []),
    "data that one reads": ("data/number.txt", "eight", ONE),
    "data that one looked for in vain": ("data/absent.txt", "", ONE),
    "a file in a folder that one listed": ("data/ledger/03-three.json", "{}", ONE),
    "a chapter's own full run": ("data/ledger/02-two.json", "{}", BOTH),
    "a claim that one judges": ("book/claims.toml", '[t-a]\nwhy = "x"\n', ONE),
    "a claim that none judges": ("book/claims.toml", '[t-b]\nwhy = "x"\n', []),
    "data that nothing reads": ("data/benchmarks.json", "[]", []),
    "the press": ("tools/bench.py", "x = 1", []),
    "the keys' own program": ("tools/chapters.py", "x = 1", []),
    "prose": ("book/index.md", "# House\n", []),
    "compiled file": ("acelib/__pycache__/method.pyc", "x", []),
    "hidden file": ("data/ledger/.cache", "x", []),
}


@pytest.mark.parametrize("name, text, again", CHANGES.values(), ids=CHANGES)
def test_a_change_executes_the_chapters_that_can_reach_it(counted, name, text, again):
    counted.run()
    write(counted.root / name, text)
    assert counted.run() == (again, [])
    assert counted.run() == ([], [])


def test_a_file_that_goes_counts_like_one_that_changes(counted):
    counted.run()
    (counted.root / "data/number.txt").unlink()
    assert counted.run()[0] == ONE
    (counted.root / "acelib/lab/iris/style.css").unlink()
    assert counted.run()[0] == TWO


def test_a_change_during_a_run_belongs_to_the_next_one(counted, monkeypatch):
    """The key holds what stood there before the run: what was read may have been the old content."""
    genuine = counted.execute_notebook

    def and_change(path, *, root):
        genuine(path, root=root)
        write(root / "data/number.txt", f"seen by {len(counted.asked)}")

    monkeypatch.setattr("tools.execute.execute_notebook", and_change)
    assert counted.run()[0] == BOTH
    assert counted.run()[0] == ONE


def test_a_changed_cell_executes_its_own_chapter_and_a_changed_output_none(counted):
    counted.run()
    path = counted.root / "book/01-one.ipynb"
    content = chapters.read_notebook(path)
    content.cells[3].outputs = [nbformat.v4.new_output("stream", text="other")]
    content.cells[3].execution_count = 9
    content.cells[3].metadata["execution"] = {"iopub.status.idle": "now"}
    nbformat.write(content, path)
    assert counted.run()[0] == []
    content.cells[3].metadata["tags"] = ["hide-input"]
    nbformat.write(content, path)
    assert counted.run()[0] == ONE
    content.cells[3].source += "  # touched"
    nbformat.write(content, path)
    assert counted.run()[0] == ONE


@pytest.mark.parametrize("suffix", [".ipynb", ".key", ".reads.json"])
def test_a_lost_copy_key_or_list_of_reads_is_made_again(counted, suffix):
    counted.run()
    (counted.root / "_build/executed/01-one").with_suffix(suffix).unlink()
    assert counted.run()[0] == ONE


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def edit(path):
    path.write_bytes(path.read_bytes().replace(b"number", b"umbern").replace(b'"key": "', b'"key": "0'))


@pytest.mark.parametrize("change", [cut, empty, edit])
@pytest.mark.parametrize("suffix", [".ipynb", ".reads.json", ".key"])
def test_a_damaged_copy_key_or_list_of_reads_is_named_and_made_again(counted, suffix, change, capsys):
    counted.run()
    change((counted.root / "_build/executed/01-one").with_suffix(suffix))
    capsys.readouterr()
    assert counted.run() == (ONE, [])
    named = "gone or changed since it was made, so its chapter is executed again: _build/executed/01-one" + suffix
    assert named in capsys.readouterr().out or (suffix, change) == (".key", edit), "another key: made again silently"
    assert counted.run() == ([], []) and "gone" not in capsys.readouterr().out


def test_a_failure_is_one_until_it_is_mended_and_the_other_chapters_go_on(counted):
    counted.failing.add("02-two")
    assert counted.run() == (BOTH, ["02-two: cell 3 raised"])
    assert counted.run() == (TWO, ["02-two: cell 3 raised"])
    counted.failing.clear()
    assert counted.run() == (TWO, [])


def test_a_chapter_that_ran_and_then_fails_stays_a_failure(counted):
    """The copy of the run that went well is still there, so the key alone tells that the edited chapter has not run."""
    counted.run()
    counted.failing.add("02-two")
    write(counted.root / "acelib/lab/iris/experiment.py", "def run():\n    pass\n")
    assert counted.run() == counted.run() == (TWO, ["02-two: cell 3 raised"])


def test_a_run_that_is_killed_before_its_key_leaves_none(counted, monkeypatch):
    """Else the old key would belong to the new copy, and hold again once the edit is taken back."""
    counted.run()
    name = counted.root / "acelib/lab/iris/experiment.py"
    before, genuine = name.read_text(), counted.execute_notebook
    write(name, "x = 1")

    def killed(path, *, root):
        genuine(path, root=root)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tools.execute.execute_notebook", killed)
        counted.run()
    write(name, before)
    assert counted.run()[0] == TWO


def test_cells_that_are_no_python_reach_the_whole_laboratory(counted):
    write_notebook(counted.root / "book/01-one.ipynb", "%matplotlib inline")
    counted.run()
    write(counted.root / "acelib/lab/flights/__init__.py", "x = 1")
    assert counted.run()[0] == ONE


def test_what_the_imports_are_is_remembered_and_a_broken_memory_is_none(counted):
    """The same files are reached with the memory, without it, and with one that was cut short."""
    counted.run()
    memory = counted.root / "_build/imports.json"
    assert "acelib.lab.shared" in str(json.loads(memory.read_text()))
    memory.write_text(memory.read_text()[:-9])
    assert counted.run()[0] == []
    assert json.loads(memory.read_text())


# ---------------------------------------------------------------- the real book


@pytest.fixture(scope="module")
def reached():
    """{chapter: the packages and files of the laboratory that it reaches}, by the imports of its cells alone."""
    lab, found = Modules(chapters.ROOT, "acelib.lab"), {}
    for path in chapters.find_chapters():
        cells = [cell.source for cell in chapters.read_notebook(path).cells if cell.cell_type == "code"]
        files = lab.reached(cells)
        found[path.stem] = {path.relative_to(chapters.ROOT / "acelib/lab").parts[0] for path in files}
    return found


OWN = {
    "iris": "04",
    "gru": "04 06 07",  # through the reader of released networks, as flights and landings
    "flights": "04 06 07",
    "landings": "04 06 07",
    "scaling": "03 08",
    "vae": "08 09",
    "decoder": "08 09",
    "graphs": "10",
    "contributions": "11",
}


@pytest.mark.parametrize("package", OWN)
def test_only_its_chapters_reach_an_experiment(reached, package):
    assert " ".join(stem[:2] for stem, names in reached.items() if package in names) == OWN[package]


def test_every_chapter_reaches_what_it_records_with(reached):
    assert reached, "book/ holds no chapter"
    for stem, names in reached.items():
        assert {"ledger.py", "claims", "provenance.py", "__init__.py"} <= names, stem


WRITERS = {"home.py", "shipping.py", "graphs/excerpt.py", "graphs/lenet.py", "gru/recipe.py", "vae/training.py"}


def test_shipped_files_are_looked_up_where_it_is_noted():
    """A path below ``data/`` that a chapter or the laboratory builds by itself would be missing in the chapter's key.

    ``data_dir`` is left to the programs that make what ships.
    """
    by_hand = re.compile(r"data_dir|[\"'](\.\./)?data/[a-z]+[^\"']*\.(json|npz|safetensors)[\"']")
    for path in chapters.find_chapters():
        for cell in chapters.read_notebook(path).cells:
            assert cell.cell_type != "code" or not by_hand.search(cell.source), f"{path.name}: {cell.source[:200]}"
    lab = chapters.ROOT / "acelib/lab"
    readers = [path for path in lab.rglob("*.py") if path.name != "__main__.py"]
    assert {path.relative_to(lab).as_posix() for path in readers if by_hand.search(path.read_text())} <= WRITERS
