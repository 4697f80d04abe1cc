"""Train the shipped flight networks anew and write them: ``python -m acelib.lab.flights``."""

from __future__ import annotations

import sys
import time

from torch import nn

from acelib.lab import home
from acelib.lab.flights.network import BATCH_SIZE, SEEDS, SHIPPED_FILE, STAGES, train_network
from acelib.lab.landings import load_landings
from acelib.lab.provenance import describe
from acelib.lab.training import save_weights


def main() -> int:
    """Write the checkpoint of the five networks; return the exit status."""
    started, landings = time.time(), load_landings()
    X, networks, losses = landings.scale(landings.X), [], []
    for seed in SEEDS:
        net, history = train_network(X, seed)
        networks.append(net)
        losses.append(history[-1].item())
        print(f"seed {seed}: mean squared error {losses[-1]:.3e} after {len(history)} epochs", flush=True)
    facts = {
        "seeds": list(SEEDS),
        "losses": losses,
        "settings": {"stages": STAGES, "batch_size": BATCH_SIZE},
        "data": "simulated landings, shipped set",
        **describe(seed=0, profile="full", started=started, data=X),
    }
    path = home.data_dir().joinpath(*SHIPPED_FILE)
    save_weights(nn.ModuleList(networks), path, facts)
    print(f"{path.name}, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
