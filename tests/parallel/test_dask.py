"""Features, training seeds and blocks of rows of a convolutional network on a Dask cluster of three processes."""

from __future__ import annotations

import os
import pickle
import signal

import pytest
import torch
from parallel_workloads import convolutional, same

from acelib import AverageCausalEffect, InputDistribution
from acelib._pool import Pool

distributed = pytest.importorskip("distributed")
PIXELS = [0, 500, 3000]
OPTIONS = {"method": "monte_carlo", "chunk_size": 256, "rows": 400}


@pytest.fixture(scope="module")
def inputs():
    X = torch.rand(400, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return InputDistribution.fit(X, rank=5)


@pytest.fixture(scope="module")
def networks():
    return [convolutional(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def alone(networks, inputs):
    return AverageCausalEffect(networks, inputs, **OPTIONS).regress(PIXELS, num=6).expectations


@pytest.fixture
def client():
    cluster = distributed.LocalCluster(n_workers=3, processes=True, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as found:
        yield found


@pytest.fixture
def sent_back(monkeypatch):
    """Bytes of all results, and of the sums in them."""
    found = []
    finished = Pool._finished

    def counted(self, task, path, future):
        result, warned = finished(self, task, path, future)
        sums = result.rows.second.nbytes + result.rows.first.nbytes
        found.append((len(pickle.dumps(result)) - result.kept.nbytes, sums))
        return result, warned

    monkeypatch.setattr(Pool, "_finished", counted)
    return found


def test_the_numbers_are_those_of_one_process_and_little_travels(networks, inputs, alone, client, sent_back):
    ace = AverageCausalEffect(networks, inputs, executor=client.get_executor(), **OPTIONS)
    found = ace.regress(PIXELS, num=6).expectations
    for name, e in alone.items():
        same(found[name], e)
    assert len(sent_back) >= 32, "features are cut into blocks of rows"
    travelled, sums = (sum(column) for column in zip(*sent_back, strict=True))
    assert travelled < 3 * sums


def test_a_worker_that_is_killed_changes_nothing(networks, inputs, alone, client, monkeypatch):
    """It is killed when the second result is in, and its tasks go to the others."""
    finished, seen = Pool._finished, []

    def killing(self, task, path, future):
        seen.append(task.name)
        if len(seen) == 3:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        return finished(self, task, path, future)

    monkeypatch.setattr(Pool, "_finished", killing)
    ace = AverageCausalEffect(networks, inputs, executor=client.get_executor(), **OPTIONS)
    found = ace.regress(PIXELS, num=6).expectations
    for name, e in alone.items():
        same(found[name], e)


def test_the_client_itself_is_told_apart(client, inputs, networks):
    with pytest.raises(TypeError, match=r"executor must be a concurrent.futures.Executor, got .*use its get_executor"):
        AverageCausalEffect(networks, inputs, executor=client)
