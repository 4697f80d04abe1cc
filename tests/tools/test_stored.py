"""What is stored of a run: the same bytes however it was run, and only from chapters that are current."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tiny_book import write

from acelib.lab import ledger
from tools import execute, make, stored


def test_only_current_chapters_are_stored(counted, capsys):
    root = counted.root
    counted.run()
    before = (root / "book/01-one.ipynb").read_bytes()
    (root / "acelib/method.py").write_text("x = 3\n")
    assert stored.refresh(root) == 1
    assert "02-two, 01-one; run `make book` first" in capsys.readouterr().out
    assert (root / "book/01-one.ipynb").read_bytes() == before


def test_an_edited_copy_is_not_stored(counted, capsys):
    """A number that somebody typed into ``_build/executed`` never reaches ``book/``."""
    counted.run()
    copy = counted.root / "_build/executed/01-one.ipynb"
    copy.write_text(copy.read_text().replace("number", "umbern"))
    before = (counted.root / "book/01-one.ipynb").read_bytes()
    assert stored.refresh(counted.root) == 1
    assert "or damaged: 01-one; run `make book` first" in capsys.readouterr().out
    assert (counted.root / "book/01-one.ipynb").read_bytes() == before


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

    def pretended(path, *, profile, out):
        if path.stem == "01-one":
            raise execute.ChapterError("01-one: cell 3 raised")
        write(out, path.read_text())
        saved.append(profile)
        return out

    monkeypatch.setattr(stored, "execute_notebook", pretended)
    monkeypatch.setattr(ledger, "save_ledger", lambda notebook, path, *, profile: saved.append((path, profile)))
    assert make.main(["full"], root) == 1
    assert saved == ["full", (root / "data/ledger/02-two.json", "full")]
    assert "01-one: cell 3 raised" in capsys.readouterr().out
    assert make.main(["full", "02-two"], root) == 0
    assert make.main(["full", "05-five"], root) == 1
    assert "chapters must be some of 02-two, 01-one, got 05-five" in capsys.readouterr().out
