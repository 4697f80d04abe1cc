"""Indices, contributions and graphs by workers are those of one process, and finished parts are not computed again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from acelib.intrinsic import LinearModel, intrinsic_contributions, sobol_indices
from acelib.paths import explanatory_graph

CHAIN = LinearModel({"X": [], "Y": ["X"], "Z": ["Y"]}, {"Y": {"X": 2.0}, "Z": {"Y": 3.0}})
TWO_CLASSES = {"measure": "entropy", "categorical": "softmax"}


def indices(model, **options):
    found = sobol_indices(model, num_inputs=5, num_samples=2048, chunk_size=1024, **options)
    return torch.cat([found.first, found.first_stderr, found.total, found.total_stderr, found.variance[None]])


def contributions(model, measured=None, **options):
    options |= dict(method="sampling", num_samples=2048, chunk_size=1024)
    found = intrinsic_contributions(CHAIN, model, **(measured or {}), **options)
    return torch.cat([found.contributions, found.stderr])


def entropies(model, **options):
    return contributions(model, TWO_CLASSES, **options)


class Counted:
    """A function of rows that counts those it was asked for."""

    def __init__(self):
        self.rows = []

    def __call__(self, x):
        self.rows.append(len(x))
        return torch.stack([x[:, 0] + x[:, 1] * x[:, 2], x[:, 2]], 1)


@pytest.mark.parametrize("ask", [indices, contributions, entropies])
def test_numbers_of_workers_and_kept_parts(ask, tmp_path):
    alone = ask(Counted())
    assert torch.allclose(ask(Counted(), executor=ThreadPoolExecutor(2)), alone, rtol=1e-9, atol=1e-12)
    first, second = Counted(), Counted()
    one, other = (ask(model, parts=tmp_path) for model in (first, second))
    assert torch.allclose(one, alone, rtol=1e-9, atol=1e-12) and torch.equal(other, one)
    assert sum(second.rows) < sum(first.rows) / 4, "but for the entrance and what decides on a surrogate"


def test_a_graph_by_workers_is_the_graph(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    X = torch.randn(200, 12)
    alone = explanatory_graph(net, X, 1, chunk_size=900)
    for options in ({"executor": ThreadPoolExecutor(2)}, {"parts": tmp_path}, {"parts": tmp_path}):
        assert explanatory_graph(net, X, 1, chunk_size=900, **options) == alone
