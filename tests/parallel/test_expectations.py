"""Expectations by workers are those of one process, and say where they failed; finished parts are kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import torch
from parallel_workloads import FAILS_ABOVE, Counting, failing, network, rows, same

from acelib import AverageCausalEffect, InputDistribution, LatentPrior, interventional_expectation
from acelib.expectation import shared_out

VALUES = torch.linspace(-2, 2, 7)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", ["independent", "groups in order", "groups in any order"])
@pytest.mark.parametrize("worker", ["processes", "threads", "here"])
def test_one_feature_in_blocks_of_rows(processes, weighted, kind, worker, tmp_path):
    X = rows()
    weights = torch.rand(len(X), generator=torch.Generator().manual_seed(1)) + 0.1 if weighted else None
    groups = {"independent": None, "groups in order": torch.arange(len(X)) // 7}.get(kind, torch.arange(len(X)) % 400)
    inputs = InputDistribution.fit(X, weights=weights)
    how = {"processes": processes, "threads": ThreadPoolExecutor(3), "here": None}[worker]
    found = interventional_expectation(network, inputs, 0, VALUES, groups=groups, executor=how, parts=tmp_path)
    same(found, interventional_expectation(network, inputs, 0, VALUES, groups=groups))
    assert len(list(tmp_path.glob("*.part"))) == shared_out.TASKS


OPTIONS = [{}, {"method": "linearised", "rows": 50}, {"method": "taylor"}, {"method": "cubature"}, {"rows": 40}]
OPTIONS += [{"budget": 20_000}, {"link": "softmax"}, {"chunk_size": 100, "method": "monte_carlo"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_all_features_by_every_method(processes, options):
    X = rows(1000)
    inputs = InputDistribution.fit(X, domain=(-3.0, 3.0))
    alone = AverageCausalEffect(network, inputs, **options)
    together = AverageCausalEffect(network, inputs, executor=processes, **options)
    expected, found = (ace.regress(num=12, refine=3) for ace in (alone, together))
    for name, e in expected.expectations.items():
        same(found.expectations[name], e, 1e-11)
    for via in ("regressors", "direct"):
        one, other = (ace.attribute(X[:4], [0, 1, 1, 0], via=via) for ace in (alone, together))
        assert torch.allclose(other.values, one.values, rtol=1e-9, atol=1e-10)
        assert torch.allclose(other.stderr, one.stderr, rtol=1e-7, atol=1e-8)  # a root, of 0 in places


def test_the_number_of_blocks_says_nothing(monkeypatch):
    inputs, pool = InputDistribution.fit(rows()), ThreadPoolExecutor(2)
    whole = interventional_expectation(network, inputs, 1, VALUES)
    for count in (1, 2, 5, 100):
        monkeypatch.setattr(shared_out, "TASKS", count)
        same(interventional_expectation(network, inputs, 1, VALUES, executor=pool), whole)


def test_latents_are_shared_out_too():
    prior = LatentPrior(continuous=2, categories=3, dtype=torch.float64)
    same(
        interventional_expectation(network, prior, 0, VALUES, executor=ThreadPoolExecutor(2)),
        interventional_expectation(network, prior, 0, VALUES),
    )


def test_an_error_names_feature_and_rows(processes):
    X = rows(500)
    inputs = InputDistribution.fit(X)
    with pytest.raises(RuntimeError, match=r"OverflowError: too large for this network \(do\(x0\), rows 0 to \d+\)"):
        values = [0.0, 2 * FAILS_ABOVE]
        interventional_expectation(failing, inputs, 0, values, executor=processes)


def test_what_workers_warn_of_is_told_once(processes):
    inputs = InputDistribution.from_moments(torch.zeros(2), torch.eye(2), low=-1.0, high=1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        AverageCausalEffect(network, inputs, executor=processes).regress(num=5)
    assert sum("approximated from its moments" in str(w.message) for w in caught) <= inputs.num_features


class Lost(Executor):
    """An executor whose second worker dies."""

    def __init__(self):
        self.sent = 0

    def submit(self, call, *args):
        from concurrent.futures.process import BrokenProcessPool

        self.sent += 1
        future = Future()
        if self.sent > 1:
            future.set_exception(BrokenProcessPool("a process died"))
        else:
            future.set_result(call(*args))
        return future


def test_a_lost_worker_is_told():
    inputs = InputDistribution.fit(rows(500))
    with pytest.raises(RuntimeError, match=r"a worker ended before its work was done, at do\(x0\), rows"):
        interventional_expectation(network, inputs, 0, VALUES, executor=Lost())


@pytest.mark.parametrize("wrong", ["processes", 2, object()])
def test_what_is_no_executor_is_refused(wrong):
    with pytest.raises(TypeError, match="executor must be a concurrent.futures.Executor, got"):
        AverageCausalEffect(network, InputDistribution.fit(rows(50)), executor=wrong)


def test_an_interrupt_cancels_what_has_not_begun():
    """The iterator is left after its first result, as an interrupt leaves it."""
    pool, inputs = ThreadPoolExecutor(1), InputDistribution.fit(rows())
    calls = []

    def slow(x):
        calls.append(len(x))
        time.sleep(0.01)
        return network(x)

    class Stop(Exception):
        pass

    def stopping(x):
        if len(calls) > 10:
            raise KeyboardInterrupt
        return slow(x)

    with pytest.raises(KeyboardInterrupt):
        interventional_expectation(stopping, inputs, 0, VALUES, executor=pool)
    pool.shutdown()
    assert len(calls) < 16


def counted(log):
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [line.split(" ", 1)[1] for line in lines]


def test_nothing_is_computed_twice_after_a_kill(tmp_path):
    """A process is killed in the middle of its work; the next one takes up every part that was finished."""
    log, folder = tmp_path / "calls", tmp_path / "parts"
    script = textwrap.dedent(
        f"""
        import os, signal, sys, threading
        from concurrent.futures import ProcessPoolExecutor
        from pathlib import Path
        from acelib import AverageCausalEffect, InputDistribution
        from parallel_workloads import Counting, rows
        if __name__ == "__main__":
            kill = len(sys.argv) > 1
            def watch():
                while len(list(Path({str(folder)!r}).glob("*.part"))) < 12:
                    pass
                os.kill(os.getpid(), signal.SIGKILL)
            if kill:
                threading.Thread(target=watch, daemon=True).start()
            inputs = InputDistribution.fit(rows())
            with ProcessPoolExecutor(2) as pool:
                ace = AverageCausalEffect(Counting({str(log)!r}), inputs, executor=pool, parts={str(folder)!r})
                ace.regress([0, 1], [0], num=6)
        """
    )
    path = tmp_path / "run.py"
    path.write_text(script)
    here = os.path.dirname(os.path.dirname(__file__))
    env = os.environ | {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}
    with (tmp_path / "said").open("w") as said:
        options = dict(env=env, stdout=said, stderr=said, start_new_session=True)
        first = subprocess.Popen([sys.executable, str(path), "kill"], **options)
        assert first.wait(120) == -signal.SIGKILL, (tmp_path / "said").read_text()
    time.sleep(1.0)  # workers end their last task
    with contextlib.suppress(ProcessLookupError):
        os.killpg(first.pid, signal.SIGKILL)  # they would wait for ever for the next one
    kept = len(list(folder.glob("*.part")))
    before = counted(log)
    assert 12 <= kept < shared_out.TASKS
    second = subprocess.run([sys.executable, str(path)], env=env, capture_output=True, text=True, timeout=120)
    assert second.returncode == 0, second.stderr
    assert len(list(folder.glob("*.part"))) == shared_out.TASKS
    after = counted(log)[len(before) :]
    again = set(before) & set(after)
    # a task whose result was not kept yet, one for each of the two workers, is all that may come again
    assert len(again) <= 2 and len(after) == len(set(after))


def test_a_damaged_part_is_computed_again_and_other_questions_have_other_parts(tmp_path):
    log, folder = tmp_path / "calls", tmp_path / "parts"
    inputs, options = InputDistribution.fit(rows()), {"parts": folder}
    net = Counting(str(log))
    whole = interventional_expectation(net, inputs, 0, VALUES, **options)
    done = len(counted(log))
    same(interventional_expectation(net, inputs, 0, VALUES, **options), whole)
    assert len(counted(log)) == done
    some = sorted(folder.glob("*.part"))[:3]
    for path, text in zip(some, (b"", b"no part", some[0].read_bytes()[:100]), strict=True):
        path.write_bytes(text)
    same(interventional_expectation(net, inputs, 0, VALUES, **options), whole)
    assert len(counted(log)) == done + 3
    interventional_expectation(net, inputs, 0, VALUES + 1e-9, **options)
    interventional_expectation(net, InputDistribution.fit(rows(seed=1)), 0, VALUES, **options)
    assert len(counted(log)) == 3 * done + 3


def test_a_part_is_never_unpickled(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    inputs, folder = InputDistribution.fit(rows()), tmp_path / "parts"
    whole = interventional_expectation(network, inputs, 0, VALUES, parts=folder)
    for path in folder.glob("*.part"):
        path.write_bytes(pickle.dumps({"result": Evil()}))
    same(interventional_expectation(network, inputs, 0, VALUES, parts=folder), whole)
    assert not (tmp_path / "harm").exists()
