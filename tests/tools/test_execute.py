"""One notebook at a time, with real papermill and real kernels."""

import os
from pathlib import Path

import pytest
from tiny_book import texts, write, write_notebook

from acelib.lab import home
from tools import execute


def test_a_notebook_is_executed_in_its_folder_on_one_thread(root, monkeypatch):
    """The notebook says what it saw; the threads of this very process stay as they were."""
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("NUMEXPR_NUM_THREADS", raising=False)
    out = execute.execute_notebook(root / "book/02-two.ipynb", root=root)
    assert out == root / "_build/executed/02-two.ipynb"
    assert texts(out)[3] == "1 book\n"
    assert os.environ["OMP_NUM_THREADS"] == "5" and "NUMEXPR_NUM_THREADS" not in os.environ
    assert [path.name for path in out.parent.iterdir()] == ["02-two.ipynb"]


def test_parameters_are_injected_and_unknown_ones_refused(root):
    path, out = root / "book/01-one.ipynb", root / "elsewhere/one.ipynb"
    with pytest.raises(ValueError, match="parameters .*01-one.ipynb, profile, seed, got sed"):
        execute.execute_notebook(path, parameters={"sed": 3}, out=out)
    assert not out.parent.exists(), "refused before anything ran"
    with execute.noted_reads() as reads:
        execute.execute_notebook(path, parameters={"seed": 3}, profile="full", out=out)
    assert "seven full 3 False []\n" in texts(out)
    assert reads == ["absent.txt", "ledger", "number.txt"], "what the kernel looked for, found or not"
    assert execute.NOTES == home.NOTES and home.NOTES not in os.environ


def test_a_failing_cell_is_named_and_its_notebook_kept_apart(root):
    path = root / "book/01-one.ipynb"
    write_notebook(path, "x = {}", "x['lost']")
    expected = r"(?s)01-one: cell \d raised KeyError: 'lost'\n.*x\['lost'\]"
    with pytest.raises(execute.ChapterError, match=expected) as caught:
        execute.execute_notebook(path, root=root)
    assert "\x1b" not in str(caught.value)
    folder = root / "_build/executed"
    assert [item.name for item in folder.iterdir()] == ["01-one.failed.ipynb"]
    write_notebook(path, "x = 1")
    execute.execute_notebook(path, root=root)
    assert [item.name for item in folder.iterdir()] == ["01-one.ipynb"]


def test_a_cell_that_never_ends_is_stopped_and_named(root, monkeypatch):
    """After one second here; what was executed before it is kept apart, and the copy of an earlier run stays."""
    monkeypatch.setenv("ACELIB_CELL_SECONDS", "1")
    path = root / "book/01-one.ipynb"
    write_notebook(path, "print('before')", "endless = True\nwhile endless:\n    pass")
    write(root / "_build/executed/01-one.ipynb", "an earlier run")
    words = r"01-one: cell 4 \(`endless = True`\) took more than 1 s and was stopped; .* ACELIB_CELL_SECONDS hold more"
    with pytest.raises(execute.ChapterError, match=words):
        execute.execute_notebook(path, root=root)
    folder = root / "_build/executed"
    assert sorted(item.name for item in folder.iterdir()) == ["01-one.failed.ipynb", "01-one.ipynb"]
    assert texts(folder / "01-one.failed.ipynb")[3] == "before\n"
    assert (folder / "01-one.ipynb").read_text() == "an earlier run"


LIMITS = [("quick", None, 1200), ("full", None, 86400), ("quick", "", 1200), ("full", "7", 7), ("quick", "0", None)]


@pytest.mark.parametrize("profile, said, limit", LIMITS)
def test_the_limit_of_a_cell(root, monkeypatch, profile, said, limit):
    given = []

    def papermill_run(source, target, **options):
        given.append(options["execution_timeout"])
        write_notebook(Path(target))

    monkeypatch.setattr("papermill.execute_notebook", papermill_run)
    monkeypatch.delenv("ACELIB_CELL_SECONDS", raising=False)
    if said is not None:
        monkeypatch.setenv("ACELIB_CELL_SECONDS", said)
    execute.execute_notebook(root / "book/01-one.ipynb", profile=profile, root=root)
    assert given == [limit]


@pytest.mark.parametrize("said", ["an hour", "-1", "1.5"])
def test_a_limit_that_is_no_number_is_refused(root, monkeypatch, said):
    monkeypatch.setenv("ACELIB_CELL_SECONDS", said)
    with pytest.raises(ValueError, match=f"ACELIB_CELL_SECONDS must be a whole number of seconds, .* got '{said}'"):
        execute.execute_notebook(root / "book/01-one.ipynb", root=root)
    assert not (root / "_build").exists(), "refused before anything ran"


def test_a_kernel_that_does_not_start_is_a_failure_too(root, monkeypatch):
    import papermill

    def no_kernel(*_, **__):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(papermill, "execute_notebook", no_kernel)
    with pytest.raises(execute.ChapterError, match=r"02-two: the kernel could not run it \(RuntimeError: no kernel\)"):
        execute.execute_notebook(root / "book/02-two.ipynb", root=root)
