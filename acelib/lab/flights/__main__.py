"""Train the shipped flight networks anew and write them: ``python -m acelib.lab.flights``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from torch import nn

from acelib.lab import home
from acelib.lab.flights.network import BATCH_SIZE, LENGTH, SEEDS, SHIPPED_FILE, STAGES, train_network
from acelib.lab.landings import load_landings
from acelib.lab.provenance import describe
from acelib.lab.training import save_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the checkpoint of the five networks; return the exit status.

    Args:
        arguments: arguments of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m acelib.lab.flights", description=__doc__)
    parser.add_argument("--device", help="where to train, such as cuda; default: the CPU")
    parser.add_argument("--jobs", type=int, default=1, help="networks trained at once, each in a process of its own")
    asked = parser.parse_args(arguments)
    started, landings, device = time.time(), load_landings(), asked.device
    X = landings.scale(landings.X)[:, :LENGTH]
    one = partial(train_network, X, device=device)
    if asked.jobs > 1:
        with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
            trained = list(pool.map(one, SEEDS))
    else:
        trained = [one(seed) for seed in SEEDS]
    networks, losses = [net for net, _ in trained], [history[-1].item() for _, history in trained]
    for seed, (_, history) in zip(SEEDS, trained, strict=True):
        print(f"seed {seed}: mean squared error {history[-1].item():.3e} after {len(history)} epochs")
    facts = {
        "seeds": list(SEEDS),
        "losses": losses,
        "settings": {"stages": STAGES, "batch_size": BATCH_SIZE, "length": LENGTH},
        "data": "simulated landings, shipped set",
        **describe(seed=0, profile="full", started=started, data=X, device=device),
    }
    path = home.data_dir().joinpath(*SHIPPED_FILE)
    save_weights(nn.ModuleList(networks), path, facts)
    print(f"{path.name}, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
