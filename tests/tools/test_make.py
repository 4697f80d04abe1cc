"""The runner on a tiny book: real papermill, real kernels and one real rendering; the rules of CONTRIBUTING.md."""

import os
import re
import subprocess

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from acelib.lab import ledger
from tools import chapters as build
from tools import stored

CONFIG = """title: Tiny
author: A
only_build_toc_files: true
execute:
  execute_notebooks: 'off'
"""
TOC = """format: jb-book
root: book/index
parts:
  - caption: One
    chapters:
      - file: book/02-two
      - file: book/01-one
  - caption: Back
    chapters:
      - file: book/ledger
      - file: book/status
"""
SAW = "import os; print(os.environ['OMP_NUM_THREADS'], os.path.basename(os.getcwd()))"
READ = "print(open('../data/number.txt').read(), profile, seed)"


def notebook(path, *sources, title="Title"):
    """A chapter: a heading, the parameters cell, a skipped cell, and the given code cells."""
    cells = [
        new_markdown_cell(f"Preface\n\n# {title}"),
        new_code_cell('profile: str = "quick"  # quick or full\nseed: int = 0', metadata={"tags": ["parameters"]}),
        new_code_cell("1 / 0", metadata={"tags": ["skip-execution"]}),
        *[new_code_cell(source) for source in sources],
    ]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": stored.KERNELSPEC}), path)


@pytest.fixture
def root(tmp_path):
    """A book of two chapters with everything that their keys depend on."""
    for folder in ("book/_static", "acelib", "data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    (tmp_path / "acelib/method.py").write_text("x = 1\n")
    (tmp_path / "data/number.txt").write_text("seven")
    (tmp_path / "book/index.md").write_text("# Home\n\n[One](01-one.ipynb)\n")
    notebook(tmp_path / "book/01-one.ipynb", READ, title="The *first*")
    notebook(tmp_path / "book/02-two.ipynb", SAW)
    return tmp_path


@pytest.fixture
def counted(root, monkeypatch):
    """The root, and the chapters that a pretended papermill was asked to execute."""
    asked, failing = [], set()

    def execute(path, *, root):
        asked.append(path.stem)
        if path.stem in failing:
            raise build.ChapterError(f"{path.stem}: cell 3 raised")
        build.write_text(build.executed_path(path, root), path.read_text())

    monkeypatch.setattr(build, "execute", execute)
    return root, asked, failing


def texts(path):
    found = nbformat.read(path, 4)
    return ["".join(out.get("text", "") for out in cell.get("outputs", [])) for cell in found.cells]


# ---------------------------------------------------------------- what there is


def test_chapters_come_in_the_order_of_the_table_of_contents(root):
    assert [path.stem for path in build.chapters(root)] == ["02-two", "01-one"]


def test_a_table_of_contents_that_disagrees_is_refused(root, capsys):
    notebook(root / "book/03-three.ipynb")
    (root / "book/02-two.ipynb").unlink()
    with pytest.raises(ValueError, match=r"without a file: book/02-two; notebooks not listed: 03-three.ipynb"):
        build.chapters(root)
    assert build.main(["book"], root) == 1
    assert "Correct _toc.yml" in capsys.readouterr().out


def test_a_title_is_the_first_heading(root):
    assert build.title(build.read_notebook(root / "book/01-one.ipynb")) == "The *first*"
    assert build.title(new_notebook(cells=[new_markdown_cell("text")]), "name") == "name"


# ---------------------------------------------------------------- one notebook


def test_a_notebook_is_executed_in_its_folder_on_one_thread(root, monkeypatch):
    """The notebook says what it saw; the threads of this very process stay as they were."""
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("NUMEXPR_NUM_THREADS", raising=False)
    out = build.execute(root / "book/02-two.ipynb", root=root)
    assert out == root / "_build/executed/02-two.ipynb"
    assert texts(out)[3] == "1 book\n"
    assert os.environ["OMP_NUM_THREADS"] == "5" and "NUMEXPR_NUM_THREADS" not in os.environ
    assert [path.name for path in out.parent.iterdir()] == ["02-two.ipynb"]


def test_parameters_are_injected_and_unknown_ones_refused(root):
    path, out = root / "book/01-one.ipynb", root / "elsewhere/one.ipynb"
    with pytest.raises(ValueError, match="parameters: sed not known to 01-one.ipynb, expected some of profile, seed"):
        build.execute(path, parameters={"sed": 3}, out=out)
    assert not out.parent.exists(), "refused before anything ran"
    build.execute(path, parameters={"seed": 3}, profile="full", out=out)
    assert "seven full 3\n" in texts(out)


def test_a_failing_cell_is_named_and_its_notebook_kept_apart(root):
    path = root / "book/01-one.ipynb"
    notebook(path, "x = {}", "x['lost']")
    expected = r"(?s)01-one: cell \d raised KeyError: 'lost'\n.*x\['lost'\]"
    with pytest.raises(build.ChapterError, match=expected) as caught:
        build.execute(path, root=root)
    assert "\x1b" not in str(caught.value)
    folder = root / "_build/executed"
    assert [item.name for item in folder.iterdir()] == ["01-one.failed.ipynb"]
    notebook(path, "x = 1")
    build.execute(path, root=root)
    assert [item.name for item in folder.iterdir()] == ["01-one.ipynb"]


def test_a_kernel_that_does_not_start_is_a_failure_too(root, monkeypatch):
    import papermill

    def no_kernel(*_, **__):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(papermill, "execute_notebook", no_kernel)
    with pytest.raises(build.ChapterError, match=r"02-two: the kernel could not run it \(RuntimeError: no kernel\)"):
        build.execute(root / "book/02-two.ipynb", root=root)


# ---------------------------------------------------------------- keys


def test_nothing_changed_nothing_executed(counted):
    root, asked, _ = counted
    assert build.execute_all(root, jobs=1) == [] and asked == ["02-two", "01-one"]
    assert build.execute_all(root, jobs=1) == [] and len(asked) == 2


CHANGES = {
    "package": ("acelib/method.py", "x = 2\n", 4),
    "new file of the package": ("acelib/sub/new.py", "", 4),
    "data": ("data/number.txt", "eight", 4),
    "full results": ("data/ledger/01-one.json", "{}", 4),
    "pins": ("constraints.txt", "torch==2.13.1\n", 4),
    "prose": ("book/index.md", "# House\n", 2),
    "compiled file": ("acelib/__pycache__/method.pyc", "x", 2),
    "hidden file": ("data/.cache", "x", 2),
}


@pytest.mark.parametrize("name, text, total", CHANGES.values(), ids=CHANGES)
def test_what_a_chapter_depends_on_executes_it_again(counted, name, text, total):
    root, asked, _ = counted
    build.execute_all(root, jobs=1)
    build.write_text(root / name, text)
    build.execute_all(root, jobs=1)
    assert len(asked) == total


def test_a_changed_cell_executes_its_own_chapter_and_a_changed_output_none(counted):
    root, asked, _ = counted
    build.execute_all(root, jobs=1)
    path = root / "book/01-one.ipynb"
    content = build.read_notebook(path)
    content.cells[3].outputs = [nbformat.v4.new_output("stream", text="other")]
    content.cells[3].execution_count = 9
    content.cells[3].metadata["execution"] = {"iopub.status.idle": "now"}
    nbformat.write(content, path)
    build.execute_all(root, jobs=1)
    assert len(asked) == 2
    content.cells[3].metadata["tags"] = ["hide-input"]
    nbformat.write(content, path)
    build.execute_all(root, jobs=1)
    content.cells[3].source += "  # touched"
    nbformat.write(content, path)
    build.execute_all(root, jobs=1)
    assert asked[2:] == ["01-one", "01-one"]


def test_a_lost_copy_or_key_is_made_again(counted):
    root, asked, _ = counted
    build.execute_all(root, jobs=1)
    (root / "_build/executed/01-one.ipynb").unlink()
    (root / "_build/executed/02-two.key").unlink()
    build.execute_all(root, jobs=1)
    assert asked[2:] == ["02-two", "01-one"]


def test_a_failure_is_one_until_it_is_mended_and_the_other_chapters_go_on(counted, capsys):
    root, asked, failing = counted
    failing.add("02-two")
    for _ in range(2):
        assert build.main(["book", "--jobs", "1"], root) == 1
        assert "02-two: cell 3 raised" in capsys.readouterr().out
    assert asked == ["02-two", "01-one", "02-two"]
    assert not (root / "_build/html").exists()
    failing.clear()
    assert build.execute_all(root, jobs=1) == []
    assert asked[3:] == ["02-two"]


# ---------------------------------------------------------------- the whole way


def test_a_book_is_executed_rendered_left_alone_and_stored(root, capsys):
    """From nothing to pages, two at a time; then nothing to do; then a warning, which fails as long as it stands."""
    assert build.book(root) == 0
    said = capsys.readouterr().out
    assert "to be executed: 2" in said and re.search(r"executed 01-one in \d", said) and "pages: rendered" in said
    pages = root / "_build/html"
    assert "book/index.html" in (pages / "index.html").read_text()
    assert "seven quick 0" in (pages / "book/01-one.html").read_text()
    assert (pages / "book/ledger.html").exists() and "Versions" in (pages / "book/status.html").read_text()

    assert build.book(root) == 0
    assert "to be executed: 0\npages: unchanged, _build/html/index.html" in capsys.readouterr().out

    (root / "book/index.md").write_text("# Home\n\n[lost](nowhere.md)\n")
    assert build.book(root) == 1
    said = capsys.readouterr().out
    assert "did not render" in said and "nowhere.md" in said and "\x1b" not in said
    assert not (root / "_build/html.key").exists(), "the next call renders, and fails, again"
    assert (pages / "book/01-one.html").exists(), "pages of the last good build stay"

    assert stored.refresh(root) == 0
    assert "stored book/01-one.ipynb" in capsys.readouterr().out
    assert build.main(["refresh"], root) == 0
    assert "unchanged book/01-one.ipynb" in capsys.readouterr().out
    text = (root / "book/01-one.ipynb").read_text()
    assert text.endswith("}\n") and "papermill" not in text and "iopub" not in text and "seven quick 0" in text
    assert build.execute_all(root) == [], "storing outputs does not make a chapter stale"


def test_stored_notebooks_are_rendered_as_they_are(root, tmp_path_factory, capsys, monkeypatch):
    """jupyter-book is pretended: what it is given, and what is done with its answer, is what counts here."""
    given = []

    def jupyter_book(command, **_):
        site, work = command[4], command[6]
        given.append({path.name for path in build.Path(site, "book").iterdir()})
        assert {"-W", "-n", "--keep-going"} <= set(command)
        build.write_text(build.Path(work, "_build/html/index.html"), "made")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(build.subprocess, "run", jupyter_book)
    out = tmp_path_factory.mktemp("out")
    for _ in range(2):  # the second time over the first
        assert build.main(["stored", "--to", str(out)], root) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "html/index.html")] * 2
    assert given[0] == {"_static", "index.md", "01-one.ipynb", "02-two.ipynb", "ledger.md", "status.md"}
    assert not (root / "_build").exists()


def test_pages_that_are_missing_after_all_are_an_error(root, monkeypatch, capsys):
    silent = subprocess.CompletedProcess([], 0, "only this\n", "")
    monkeypatch.setattr(build.subprocess, "run", lambda *_, **__: silent)
    assert build.main(["stored", "--to", str(root / "out")], root) == 1
    assert "only this" in capsys.readouterr().out


# ---------------------------------------------------------------- stored and full


def test_only_current_chapters_are_stored(counted, capsys):
    root, _, _ = counted
    build.execute_all(root, jobs=1)
    before = (root / "book/01-one.ipynb").read_bytes()
    (root / "acelib/method.py").write_text("x = 3\n")
    assert stored.refresh(root) == 1
    assert "02-two, 01-one; run `make book` first" in capsys.readouterr().out
    assert (root / "book/01-one.ipynb").read_bytes() == before


def test_a_stored_notebook_is_the_same_however_it_was_run(tmp_path):
    """Two runs of the same cells, with other ids, timings, widget state and an injected cell, give the same bytes."""

    def run(number):
        cells = [
            new_markdown_cell("text", id=f"m{number}"),
            new_code_cell("1", id=f"a{number}", execution_count=1),
            new_code_cell("1", id=f"b{number}", execution_count=2, metadata={"tags": ["hide-input"]}),
        ]
        for cell in cells:
            cell.metadata.update(papermill={"duration": number}, execution={"iopub.status.idle": str(number)})
            cell.metadata.setdefault("tags", [])
        if number:
            cells.insert(1, new_code_cell("seed = 1", metadata={"tags": ["injected-parameters"]}))
        language = {"name": "python", "version": str(number)}
        metadata = {"papermill": {"duration": number}, "widgets": {"x": number}, "language_info": language}
        path = tmp_path / f"{number}.ipynb"
        nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
        stored.store(path, tmp_path / f"stored{number}.ipynb")
        return (tmp_path / f"stored{number}.ipynb").read_text()

    first, second = run(0), run(1)
    assert first == second and first.endswith("}\n")
    kept = nbformat.reads(first, 4)
    nbformat.validate(kept)
    assert kept.metadata == {"kernelspec": stored.KERNELSPEC, "language_info": stored.LANGUAGE}
    assert [dict(cell.metadata) for cell in kept.cells] == [{}, {}, {"tags": ["hide-input"]}]
    assert len({cell.id for cell in kept.cells}) == 3, "equal cells get ids of their own"


def test_full_runs_write_the_ledger_and_name_what_failed(root, monkeypatch, capsys):
    saved = []

    def execute(path, *, profile, out):
        if path.stem == "01-one":
            raise build.ChapterError("01-one: cell 3 raised")
        build.write_text(out, path.read_text())
        saved.append(profile)
        return out

    monkeypatch.setattr(stored, "execute", execute)
    monkeypatch.setattr(ledger, "save_ledger", lambda notebook, path, *, profile: saved.append((path, profile)))
    assert build.main(["full"], root) == 1
    assert saved == ["full", (root / "data/ledger/02-two.json", "full")]
    assert "01-one: cell 3 raised" in capsys.readouterr().out
    assert build.main(["full", "02-two"], root) == 0
    assert build.main(["full", "05-five"], root) == 1
    assert "chapters: 05-five not known, expected some of 02-two, 01-one" in capsys.readouterr().out
