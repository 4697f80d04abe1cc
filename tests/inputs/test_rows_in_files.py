"""Rows in a file give the answers of rows in memory, whatever they come as; no pass holds them all.

Tolerance 1e-12 relative: moments are merged block by block, and all else is computed from the same numbers. Blocks are
made small here, so that small tables have many.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from acelib import AverageCausalEffect, InputDistribution, _maps, interventional_expectation
from acelib._maps import RowsFile, place_of
from acelib.inputs import streams
from acelib.inputs.streams import blocks_of

N, K = 700, 5
CLOSE = dict(rtol=1e-12, atol=1e-12)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of some dozens of rows; a copy of more than 40 goes to a file."""
    for module in (_maps, streams):
        monkeypatch.setattr(module, "SLAB", 300)
        monkeypatch.setattr(module, "LARGE", 200)


def table(dtype=torch.float64, shape=(K,), n=N) -> torch.Tensor:
    """Rows of which the third column holds three whole numbers, and the last is skewed."""
    rows = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat = rows.view(n, -1)
    flat[:, 2] = flat[:, 2].round().clamp(-1, 1)
    flat[:, -1] = flat[:, -1].exp()
    return rows.to(dtype)


def saved(folder: Path, rows) -> np.ndarray:
    np.save(folder / "rows.npy", np.asarray(rows))
    return np.load(folder / "rows.npy", mmap_mode="r")


def frame() -> pd.DataFrame:
    rows = table().numpy()
    columns = dict(a=rows[:, 0], b=rows[:, 1].astype(np.float32), level=rows[:, 2].astype(int) + 1, on=rows[:, 3] > 0)
    return pd.DataFrame(columns)


class Lazy:
    """An array that is read by slices, as those of h5py and zarr."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.shape, self.read = rows, rows.shape, []

    def __getitem__(self, at: slice) -> np.ndarray:
        self.read.append(at.stop - at.start)
        return self.rows[at]

    def __array__(self, dtype=None, copy=None):
        raise MemoryError("the whole was asked for")


def dask_array():
    return pytest.importorskip("dask.array").from_array(table().numpy(), chunks=(64, 2))


def dask_frame():
    return pytest.importorskip("dask.dataframe").from_pandas(frame(), npartitions=7)


TABLES = {  # what comes, and the same in memory
    "array": (lambda d: table().numpy(), table, True),
    "tensor": (lambda d: table(), table, True),
    "images": (lambda d: table(shape=(2, 3, 4)), lambda: table(shape=(2, 3, 4)), True),
    "float32": (lambda d: table(torch.float32), lambda: table(torch.float32), True),
    "half": (lambda d: table(torch.float16), lambda: table(torch.float16), True),
    "bfloat16": (lambda d: table(torch.bfloat16), lambda: table(torch.bfloat16).float(), True),
    "whole": (lambda d: table().round().long(), lambda: table().round().long(), True),
    "whole, wide at the end": (lambda d: wide_at_the_end(), lambda: wide_at_the_end(), True),
    "frame": (lambda d: frame(), frame, True),
    "generator": (lambda d: iter(table().split(33)), table, True),
    "frames": (lambda d: (frame()[i : i + 50] for i in range(0, N, 50)), frame, True),
    "loader": (lambda d: DataLoader(TensorDataset(table()), 41), table, True),
    "shuffled": (lambda d: DataLoader(table(), 41, shuffle=True), table, True),
    "columns": (lambda d: np.asfortranarray(table().numpy()), table, True),
    "lazy": (lambda d: Lazy(table().numpy()), table, True),
    "dask array": (lambda d: dask_array(), table, True),
    "dask frame": (lambda d: dask_frame(), frame, True),
    "map": (lambda d: saved(d, table()), table, False),
    "map of images": (lambda d: saved(d, table(shape=(2, 3, 4))), lambda: table(shape=(2, 3, 4)), False),
    "part of a map": (lambda d: saved(d, torch.cat([table(n=9), table()]))[9:], table, False),
    "map of float32": (lambda d: saved(d, table(torch.float32)), lambda: table(torch.float32), False),
    "map of bytes": (lambda d: saved(d, levels_of_grey()), lambda: levels_of_grey(), False),
    "every second of a map": (lambda d: saved(d, table())[::2], lambda: table()[::2], False),
    "columns of a map": (lambda d: saved(d, np.asfortranarray(table().numpy())), table, False),
    "map of torch": (lambda d: torch_map(d), table, False),
}


def wide_at_the_end() -> torch.Tensor:
    whole = table().round().long()
    whole[-1, 0] = 2**24 + 1
    return whole


def levels_of_grey() -> torch.Tensor:
    return (table().abs() * 50).clamp(0, 255).to(torch.uint8)


def torch_map(folder: Path) -> torch.Tensor:
    rows = torch.from_file(str(folder / "rows.bin"), shared=True, size=N * K, dtype=torch.float64).reshape(N, K)
    rows.copy_(table())
    return rows


def network(k: int, dtype: torch.dtype, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(k, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype).eval()


def same_moments(found: InputDistribution, wanted: InputDistribution) -> None:
    eps = 30 * torch.finfo(wanted.mean.dtype).eps if wanted.mean.dtype != torch.float64 else 1e-12
    torch.testing.assert_close(found.mean, wanted.mean, rtol=eps, atol=eps)
    size = float(wanted.covariance.double().abs().max())
    torch.testing.assert_close(found.covariance, wanted.covariance, rtol=30 * eps, atol=30 * eps * size)
    assert (found.shape, found.feature_names, found.num_observed) == (
        wanted.shape,
        wanted.feature_names,
        wanted.num_observed,
    )
    assert repr(found.domain) == repr(wanted.domain)


def ordered(rows: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.unique(rows.double().numpy(), axis=0))


@pytest.mark.parametrize("name", TABLES)
def test_every_kind_of_table_gives_the_moments_and_averages_of_memory(name, tmp_path):
    make, whole, needs_folder = TABLES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant columns and rounded numbers, in both
        found = InputDistribution.fit(make(tmp_path), folder=tmp_path / "kept" if needs_folder else None)
        wanted = InputDistribution.fit(whole())
        assert place_of(found.samples) is not None and place_of(wanted.samples) is None
        assert "in a file" in repr(found)
        same_moments(found, wanted)
        if name == "shuffled":
            assert torch.equal(ordered(found.samples), ordered(wanted.samples))
            return
        assert torch.equal(found.samples, wanted.samples)
        if name in ("half", "bfloat16"):
            return
        net = network(found.num_features, found.mean.dtype)
        values = [found.domain[0].low, found.domain[0].high]
        e, f = (interventional_expectation(net, inputs, 0, values) for inputs in (found, wanted))
    torch.testing.assert_close(e.values, f.values, **CLOSE)
    torch.testing.assert_close(e.stderr, f.stderr, **CLOSE)
    torch.testing.assert_close(e.support, f.support, **CLOSE)


def both(tmp_path, **options) -> tuple[InputDistribution, InputDistribution]:
    found = InputDistribution.fit(table(), folder=tmp_path, **options)
    return found, InputDistribution.fit(table(), **options)


@pytest.mark.parametrize("method", ["monte_carlo", "linearised", "taylor", "cubature", "auto"])
@pytest.mark.parametrize(
    "options", [{}, {"budget": 400}, {"groups": torch.arange(N) % 70}], ids=["plain", "few rows", "groups"]
)
def test_every_estimator_gives_the_same(method, options, tmp_path):
    networks = [network(K, torch.float64, seed) for seed in (0, 1)]
    e, f = (
        interventional_expectation(networks, inputs, "x1", [-1.0, 0.0, 2.0], method=method, **options)
        for inputs in both(tmp_path)
    )
    assert (e.method, e.num_rows, e.cost) == (f.method, f.num_rows, f.cost)
    for name in ("values", "stderr", "covariances", "support", "models"):
        torch.testing.assert_close(getattr(e, name), getattr(f, name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weights", [torch.rand(N) + 0.1, (torch.arange(N) % 3).double()], ids=["all", "with zeros"])
def test_weights_count_as_in_memory(weights, tmp_path):
    found, wanted = both(tmp_path, weights=weights)
    same_moments(found, wanted)
    assert torch.equal(found.observed, wanted.observed)
    e, f = (interventional_expectation(network(K, torch.float64), i, "x0", [0.0, 1.0]) for i in (found, wanted))
    for name in ("values", "stderr", "support"):
        torch.testing.assert_close(getattr(e, name), getattr(f, name), **CLOSE)


def test_pins_regions_and_another_dtype_stay_in_files_and_equal(tmp_path):
    found, wanted = both(tmp_path)
    changes = {
        "pinned": lambda i: i.do({"x1": 0.5}),
        "region": lambda i: i.where({"x0": (0, None)}),
        "region, pinned": lambda i: i.where({"x0": (0, None)}).do({"x1": 0.5, "x3": 1.0}),
        "float32": lambda i: i.to(torch.float32),
    }
    for name, change in changes.items():
        one, other = change(found), change(wanted)
        assert place_of(one.samples) is not None and torch.equal(one.samples, other.samples), name
        assert torch.equal(one.observed, other.observed), name
        same_moments(one, other)
    assert found.to(torch.float32) is found.to(torch.float32)  # no second file


def test_a_small_region_is_held_in_memory(tmp_path):
    found, wanted = both(tmp_path)
    few = found.where(list(range(30)))
    assert place_of(few.samples) is None and torch.equal(few.samples, wanted.where(list(range(30))).samples)


def test_curves_and_attributions_are_the_same(tmp_path):
    found, wanted = (AverageCausalEffect(network(K, torch.float64), i, budget=50_000) for i in both(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = (ace.regress(num=9) for ace in (found, wanted))
        for key, curve in one.curves.items():
            assert abs(curve.baseline - other.curves[key].baseline) < 1e-12
        a, b = (ace.attribute(table()[:3], target=[0, 1, 0]) for ace in (found, wanted))
        torch.testing.assert_close(a.values, b.values, **CLOSE)
        torch.testing.assert_close(a.stderr, b.stderr, rtol=1e-9, atol=1e-12)


def test_what_is_wrong_with_a_block_is_said_and_leaves_no_file(tmp_path):
    bad = table()
    bad[650, 1] = torch.nan
    wrong = {
        "got 1 NaN or Inf of .* in column 1": bad,
        "X must hold batches of one shape": iter([table()[:9], table()[:9, :4]]),
        "weights must be left out for a stream": None,
        "at least 2 rows, got 1": table()[:1],
        r"batches of shape \(b, ...\)": table()[:, 0],
        "no features": table()[:, :0],
        "must be numeric": np.array([["a"] * 3] * 40),
    }
    for says, X in wrong.items():
        with pytest.raises((ValueError, TypeError), match=says):
            if X is None:
                InputDistribution.fit(iter(table().split(50)), folder=tmp_path, weights=torch.rand(N))
            else:
                InputDistribution.fit(X, folder=tmp_path)
        gc.collect()
        assert os.listdir(tmp_path) == [], says
    with pytest.raises(ValueError, match="got 1 NaN"):
        InputDistribution.fit(saved(tmp_path, bad))
    for few in (0, 1):
        with pytest.raises(ValueError, match=f"at least.* 2 rows, got .*{few}"):
            InputDistribution.fit(saved(tmp_path, table()[:few]))


def test_the_file_goes_with_the_last_use_of_its_rows(tmp_path):
    inputs = InputDistribution.fit(table(), folder=tmp_path)
    part = inputs.samples[:5]
    answer = inputs.do("x0", [1.0])
    e = interventional_expectation(network(K, torch.float64), inputs, "x0", [1.0])
    del inputs
    gc.collect()
    assert len(os.listdir(tmp_path)) == 1 and torch.equal(part, table()[:5])
    del answer, part
    gc.collect()
    assert os.listdir(tmp_path) == [] and bool(torch.isfinite(e.support).all())  # a result holds no rows


def test_a_changed_file_is_refused(tmp_path):
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float64, (N, K))
    rows[:] = table().numpy()
    rows.flush()
    inputs = InputDistribution.fit(rows)
    net = network(K, torch.float64)
    interventional_expectation(net, inputs, "x0", [1.0])
    time.sleep(0.02)
    rows[0, 0] = 9.0
    rows.flush()
    with pytest.raises(RuntimeError, match="a file that has changed since: .*rows.npy; fit the input model again"):
        interventional_expectation(net, inputs, "x0", [1.0])


def test_pickles_and_copies_hold_the_rows(tmp_path):
    inputs = InputDistribution.fit(table(), folder=tmp_path)
    again = pickle.loads(pickle.dumps(inputs))
    del inputs
    gc.collect()
    assert torch.equal(again.samples, table()) and os.listdir(tmp_path) == []


def test_lazy_arrays_are_never_asked_for_as_a_whole(tmp_path):
    lazy = Lazy(table().numpy())
    InputDistribution.fit(lazy, folder=tmp_path)
    assert max(lazy.read) <= 300 // K + 1
    assert [len(block) for block in blocks_of(frame())][:2] == [75, 75]


def test_an_unfinished_file_is_removed(tmp_path):
    file = RowsFile(tmp_path)
    file.add(table())
    assert len(os.listdir(tmp_path)) == 1
    del file
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_said_with_the_folder(tmp_path, monkeypatch):
    with open("/dev/full" if os.path.exists("/dev/full") else os.devnull, "wb") as full:
        if full.name == os.devnull:
            pytest.skip("no device that is always full")
        begun = RowsFile._begin

        def begin(self):
            begun(self)
            self.file.close()
            self.file = full

        monkeypatch.setattr(RowsFile, "_begin", begin)
        with pytest.raises(
            OSError, match=f"could not be written to {tmp_path} .No space left on device.; name a folder"
        ):
            InputDistribution.fit(table(n=20_000), folder=tmp_path)
        with pytest.raises(OSError):  # what its buffer holds cannot be written when it is closed
            full.close()
    gc.collect()
    assert os.listdir(tmp_path) == []


MEASURED = """
    import resource, tempfile, torch
    from torch import nn
    import scipy.interpolate, scipy.special
    from acelib import AverageCausalEffect, InputDistribution
    n, k = 400_000, 50
    def blocks():
        generator = torch.Generator().manual_seed(0)
        for _ in range(0, n, 10_000):
            yield torch.randn(10_000, k, generator=generator, dtype=torch.float64)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(k, 4), nn.Tanh(), nn.Linear(4, 1)).double().eval()
    ace = AverageCausalEffect(net, InputDistribution.fit(torch.randn(500, k).double()), method="monte_carlo")
    ace.regress(["x1"], num=5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    inputs = InputDistribution.fit(blocks(), folder=r"FOLDER")
    ace = AverageCausalEffect(net, inputs, method="monte_carlo", rows=n)
    ace.regress(["x0"], num=3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(peak / 1024, n * k * 8 / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is measured as Linux counts it")
def test_memory_stays_below_the_size_of_the_rows(tmp_path):
    """A table of 153 MB, streamed and averaged over, takes less than 100 MB; in memory it would be several tables."""
    code = textwrap.dedent(MEASURED).replace("FOLDER", str(tmp_path))
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    peak, whole = map(float, run.stdout.split())
    assert peak < 100 < whole
