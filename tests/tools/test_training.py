"""The programs that train what ships: which there are, and that any crew runs them and says how each ended."""

from __future__ import annotations

import importlib
import inspect

import pytest

from acelib.lab.vae import SHIPPED, Recipe
from tools import training
from tools.chapters import ROOT

PRINTS = ("platform",)
FAILS = ("acelib.no_such_module",)


def test_every_program_is_there_and_the_recipes_of_the_vaes_are_those_that_ship():
    known = training.programs()
    for family, programs in known.items():
        assert programs, family
        for module, *words in programs:
            found = importlib.import_module(module if module != "acelib.lab.vae" else "acelib.lab.vae.training")
            assert not words or "add_argument" in inspect.getsource(found), module
    found = [Recipe(float(beta), int(seed), float(lr)) for _, _, beta, _, seed, _, lr in known["vae"]]
    assert found == list(SHIPPED)


@pytest.mark.parametrize("executor", ["", "dask"])
def test_programs_run_on_any_crew_and_a_failure_is_named(executor, capsys, monkeypatch):
    if executor:
        pytest.importorskip("distributed")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert training.train([PRINTS, FAILS, PRINTS], executor=executor) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["platform", "FAILED acelib.no_such_module", "platform"]
    assert "No module named" in lines[1]
    assert training.train([PRINTS], executor="") == 0


def test_a_program_gets_the_threads_of_its_worker_and_the_folder(tmp_path):
    (tmp_path / "shown.py").write_text("import os; print(os.getcwd(), os.environ['OMP_NUM_THREADS'])")
    done, said = training.run_program(("shown",), tmp_path, 3)
    assert done and said.startswith(f"shown: {tmp_path} 3 (")


def test_other_names_and_executors_are_refused(capsys, monkeypatch):
    assert training.main(["vea"]) == 1
    assert "names must be some of mnist, lenet, vae, flights, gru, got vea" in capsys.readouterr().err
    monkeypatch.setenv("EXECUTOR", "threads")
    assert training.main(["gru"]) == 1
    assert "EXECUTOR must be dask, or the address" in capsys.readouterr().err


def test_a_worker_that_is_gone_is_told():
    from concurrent.futures import Future

    lost: Future = Future()
    lost.set_exception(OSError("no route"))
    assert training._result(PRINTS, lost) == (False, "platform: OSError: no route")
