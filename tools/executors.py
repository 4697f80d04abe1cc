"""Who runs the chapters of a full run: this process, some processes of this machine, or a Dask cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import NamedTuple

ADDRESS = ("tcp://", "tls://", "ucx://", "ws://", "wss://")


class Crew(NamedTuple):
    """What runs chapters side by side.

    Attributes:
        executor: any executor; None for one chapter after the other, here.
        threads: that a chapter may use on each worker; None for all.
    """

    executor: Executor | None
    threads: int | None


@contextlib.contextmanager
def crew(name: str, workers: int | None = None) -> Iterator[Crew]:
    """Give the crew of a name to the block, and end what was started for it.

    Args:
        name: "" for this process, "dask" for a cluster of processes on this machine, or the address of the scheduler of
            any Dask cluster that sees this folder, such as "tcp://10.0.0.1:8786".
        workers: processes on this machine; default half as many as there are processors.

    Raises:
        ValueError: for another name, or a scheduler that does not answer.
    """
    if not name:
        yield Crew(None, None)
        return
    if name != "dask" and not name.startswith(ADDRESS):
        raise ValueError(
            f"EXECUTOR must be dask, or the address of a Dask scheduler such as tcp://host:8786, got {name!r}"
        )
    from distributed import Client, LocalCluster

    if name == "dask":
        count = workers or max(1, (os.cpu_count() or 1) // 2)
        options = dict(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None)
        with LocalCluster(**options) as cluster, Client(cluster) as client:
            yield Crew(client.get_executor(), max(1, (os.cpu_count() or 1) // count))
        return
    try:
        client = Client(name, timeout="20s")
    except OSError as error:
        raise ValueError(f"EXECUTOR must be a scheduler that answers, got none at {name} ({error})") from error
    with client:
        yield Crew(client.get_executor(), None)
