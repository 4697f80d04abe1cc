"""How fast is the imputation check on a million sequences? Clean pass and three imputed passes of one GRU(1, 1).

``imputation check`` groups the sequences by length, starts every imputed pass from the clean state before it, and runs
the recursion on vectors that fit into the cache. ``padded GRU`` is the plain way to the same counts: nn.GRU in float32
on sequences padded to the longest, the last state of each picked out, four passes. Both include the drawing of the
imputed values. Nothing here asserts a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from acelib.lab.gru import SequenceGRU, imputation_check, make_sequences
from acelib.lab.gru.task import SPREAD

SEQUENCES, POSITIONS, BLOCK = 1_000_000, (0, 1, 2), 20_000

ratios = {"padded GRU / imputation check": ("padded GRU", "imputation check")}
expect = {"padded GRU / imputation check": "at least 3"}


def cases() -> dict[str, Callable[[], torch.Tensor]]:
    """Returns ``{name: callable}``; each call gives the changed predictions, ``(positions,)``."""
    sequences = make_sequences(SEQUENCES, seed=0, dtype=torch.float32)
    network = SequenceGRU(0, dtype=torch.float32).eval()

    def padded() -> torch.Tensor:
        generator, counts = torch.Generator().manual_seed(0), torch.zeros(len(POSITIONS), dtype=torch.int64)
        with torch.inference_mode():
            for x, lengths in zip(sequences.values.split(BLOCK), sequences.lengths.split(BLOCK), strict=True):
                clean = network(x[..., None], lengths)[:, 0] > 0.5
                for k, position in enumerate(POSITIONS):
                    other = x.clone()
                    other[:, position] = SPREAD * torch.randn(len(x), generator=generator)
                    counts[k] += ((network(other[..., None], lengths)[:, 0] > 0.5) != clean).sum()
        return counts

    return {
        "imputation check": lambda: imputation_check(network, sequences, POSITIONS).counts[0],
        "padded GRU": padded,
    }
