"""Train the shipped flight networks anew and write them: ``python -m acelib.lab.flights``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from torch import Tensor, nn

from acelib.lab import home
from acelib.lab.flights.network import BATCH_SIZE, LENGTH, SEEDS, SHIPPED_FILE, STAGES, train_network
from acelib.lab.landings import load_landings
from acelib.lab.provenance import describe
from acelib.lab.training import save_weights
from acelib.recurrent import Recurrent


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
    if asked.jobs > 1:
        with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
            trained = list(pool.map(partial(_train, X, device), SEEDS))
    else:
        trained = [_train(X, device, seed) for seed in SEEDS]
    networks, losses = [net for net, _ in trained], [loss for _, loss in trained]
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


def _train(X: Tensor, device: str | None, seed: int) -> tuple[Recurrent, float]:
    """Return the network of one seed, and its last mean squared error."""
    torch.set_num_threads(1)
    net, history = train_network(X, seed, device=device)
    print(f"seed {seed}: mean squared error {history[-1].item():.3e} after {len(history)} epochs", flush=True)
    return net, history[-1].item()


if __name__ == "__main__":
    sys.exit(main())
