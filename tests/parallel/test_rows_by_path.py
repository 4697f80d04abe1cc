"""Rows in a file are not sent to workers: each of them opens the file."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import parallel_workloads as work
import pytest
import torch

from acelib import InputDistribution, interventional_expectation
from acelib._maps import place_of
from acelib._shipping import pack

VALUES = [-1.0, 0.5, 2.0]


def test_a_content_names_the_file_instead_of_holding_its_rows(tmp_path):
    rows = work.rows(20_000)
    for network in (work.network, lambda x: x[:, :1].tanh()):  # by pickle, and by cloudpickle
        held, on_disk = InputDistribution.fit(rows), InputDistribution.fit(rows, folder=tmp_path)
        assert len(pack((network, on_disk))) < 20_000 < rows.numel() * 8 < len(pack((network, held)))


def test_processes_of_their_own_open_the_file_and_give_the_same(tmp_path):
    inputs = InputDistribution.fit(iter(work.rows().split(250)), folder=tmp_path)
    here = interventional_expectation(work.network, inputs, "x0", VALUES)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = interventional_expectation(work.network, inputs, "x0", VALUES, executor=pool)
        pinned = interventional_expectation(work.network, inputs.do({"x1": 0.0}), "x0", VALUES, executor=pool)
    torch.testing.assert_close(there.values, here.values, rtol=1e-12, atol=0)
    torch.testing.assert_close(there.stderr, here.stderr, rtol=1e-12, atol=0)
    wanted = interventional_expectation(work.network, inputs.do({"x1": 0.0}), "x0", VALUES)
    torch.testing.assert_close(pinned.values, wanted.values, rtol=1e-12, atol=0)
    assert len(os.listdir(tmp_path)) == 1, "a worker that ends leaves the file where it is"


@pytest.mark.parametrize("change", ["gone", "longer"])
def test_a_worker_that_does_not_find_the_rows_says_so(change, tmp_path):
    inputs = InputDistribution.fit(work.rows(), folder=tmp_path)
    place = place_of(inputs.samples)
    assert place is not None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        ask = lambda: interventional_expectation(work.network, inputs, "x0", VALUES, executor=pool)  # noqa: E731
        if change == "gone":
            data = pack((work.network, inputs))
            os.rename(place.path, tmp_path / "elsewhere")
            with pytest.raises(RuntimeError, match=r"a file that every worker sees.*fit\(X, folder=...\)"):
                pool.submit(unpacked, data).result()
            os.rename(tmp_path / "elsewhere", place.path)
        else:
            with open(place.path, "ab") as file:
                file.write(b"more")
            with pytest.raises(RuntimeError, match="a file that has changed since"):
                ask()


def unpacked(data: bytes):
    return pickle.loads(data)[1].num_features
