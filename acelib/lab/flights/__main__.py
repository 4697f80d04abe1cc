"""Train the shipped flight networks anew and write them: ``python -m acelib.lab.flights``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from torch import nn

from acelib.lab import home
from acelib.lab.flights.network import BATCH_SIZE, SEEDS, SHIPPED_FILE, STAGES, train_network
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
    device = parser.parse_args(arguments).device
    started, landings = time.time(), load_landings()
    X, networks, losses = landings.scale(landings.X), [], []
    for seed in SEEDS:
        net, history = train_network(X, seed, device=device)
        networks.append(net)
        losses.append(history[-1].item())
        print(f"seed {seed}: mean squared error {losses[-1]:.3e} after {len(history)} epochs", flush=True)
    facts = {
        "seeds": list(SEEDS),
        "losses": losses,
        "settings": {"stages": STAGES, "batch_size": BATCH_SIZE},
        "data": "simulated landings, shipped set",
        **describe(seed=0, profile="full", started=started, data=X, device=device),
    }
    path = home.data_dir().joinpath(*SHIPPED_FILE)
    save_weights(nn.ModuleList(networks), path, facts)
    print(f"{path.name}, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
