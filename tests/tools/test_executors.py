"""Full runs side by side: on a cluster of this machine, or any other by its address."""

import pytest
from tiny_book import texts, write_book, write_notebook

from tools import make
from tools.executors import crew

PROVENANCE = "from acelib.lab.provenance import provenance\nprovenance(profile=profile, seed=seed)"
distributed = pytest.importorskip("distributed")


@pytest.mark.parametrize("name", ["threads", "10.0.0.1:8786", "http://host", "$(touch owned)"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="EXECUTOR must be dask, or the address of a Dask scheduler"), crew(name):
        pass


def test_nobody_is_asked_for_where_nothing_is_said():
    with crew("") as (executor, threads):
        assert executor is None and threads is None


def test_chapters_run_on_a_cluster_and_what_fails_is_named(tmp_path, monkeypatch, capsys):
    """Two real chapters, one of which fails, by the address of a scheduler; a worker gives each its own kernel."""
    root = write_book(tmp_path / "book")
    monkeypatch.setenv("PYTHONPATH", str(make.ROOT))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv("EXECUTOR", cluster.scheduler_address)
        write_notebook(root / "book/01-one.ipynb", "1 / 0")
        write_notebook(root / "book/02-two.ipynb", "print('ran as', profile)", PROVENANCE)
        assert make.main(["full"], root) == 1
    said = capsys.readouterr().out
    assert "full 02-two in" in said and "ZeroDivisionError" in said and "01-one" in said
    assert (root / "data/ledger/02-two.json").exists() and not (root / "data/ledger/01-one.json").exists()
    assert "ran as full\n" in texts(root / "_build/full/02-two.ipynb")


def test_a_cluster_of_this_machine_shares_out_its_processors():
    with crew("dask", workers=1) as (executor, threads):
        assert executor is not None and executor.submit(pow, 2, 5).result() == 32 and threads >= 1


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    client = distributed.Client

    monkeypatch.setattr(distributed, "Client", lambda name, timeout: client(name, timeout="0.5s"))
    with (
        pytest.raises(ValueError, match="EXECUTOR must be a scheduler that answers, got none"),
        crew("tcp://127.0.0.1:9"),
    ):
        pass
