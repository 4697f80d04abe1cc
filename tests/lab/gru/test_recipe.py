"""The published recipe: torch's autograd and SGD are the reference for its hand-written steps; what ships is what the
recipe gives."""

from __future__ import annotations

import pytest
import torch

from acelib.lab import gru, home
from acelib.lab.datasets.registry import DataError
from acelib.lab.gru import __main__ as command
from acelib.lab.gru import recipe


def test_steps_are_those_of_torch():
    """nn.GRU, autograd and torch.optim.SGD on the same sequences, one at a time: 200 large steps, to 1e-12."""
    run = gru.train_by_recipe([3], rate=0.5, limit=200, block=100, compiled=False)
    net = gru.SequenceGRU(0)
    net.set_weights(torch.from_numpy(recipe._first_weights(3)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    rng, missed = recipe._stream(3, recipe._SEQUENCES), []
    for _ in range(200):
        length, label = 10 + int(5 * rng.random()), float(rng.random() < 0.5)
        x = torch.tensor([0.2 * rng.standard_normal() for _ in range(length)], dtype=torch.float64)
        x[:3] += 2 * label - 1
        p = net(x[None, :, None])[0, 0]
        missed.append(abs(p.item() - label))
        optimizer.zero_grad()
        ((p - label) ** 2).backward()
        optimizer.step()
    theta = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert torch.allclose(run.weights[0], theta, atol=1e-12, rtol=0)
    assert abs(run.closeness[0] - 1 + sum(missed[100:]) / 100) < 1e-12


def test_training_ends_at_the_goal_or_at_the_limit():
    """A goal that chance reaches ends it after a block; one out of reach, at the last whole block below the limit."""
    easy = gru.train_by_recipe([0, 1], goal=0.1, limit=90, block=20, compiled=False, jobs=2)
    assert easy.steps.tolist() == [20, 20] and easy.learnt.all() and len(easy.networks) == len(easy.untrained) == 2
    hard = gru.train_by_recipe([0], goal=2.0, limit=90, block=20, compiled=False)
    assert hard.steps.tolist() == [90] and not hard.learnt.any() and "0 learnt" in repr(hard)
    assert torch.equal(
        easy.weights[0], gru.train_by_recipe([0], goal=0.1, limit=90, block=20, compiled=False).weights[0]
    )


@pytest.mark.parametrize("wrong", [{"seeds": []}, {"seeds": [-1]}, {"block": 0}, {"block": 60}])
def test_recipe_refuses_bad_arguments(wrong):
    with pytest.raises(ValueError, match="must be .* got"):
        gru.train_by_recipe(**({"seeds": [0], "limit": 50, "block": 50, "compiled": False} | wrong))


def test_compiled_steps_are_the_plain_ones():
    """numba compiles the same lines; the two may differ by rounding only."""
    pytest.importorskip("numba")
    plain, fast = (gru.train_by_recipe([0, 1], limit=500, block=250, compiled=c) for c in (False, True))
    assert torch.allclose(plain.weights, fast.weights, atol=1e-12, rtol=0)


def test_a_shipped_network_comes_back():
    """The seed that learnt soonest, trained again from its first step."""
    pytest.importorskip("numba")
    stored, _ = gru.load_recipe()
    soonest = int(torch.where(stored.learnt, stored.steps, recipe.LIMIT).argmin())
    again = gru.train_by_recipe([stored.seeds[soonest]])
    assert again.steps[0] == stored.steps[soonest]
    assert torch.allclose(again.weights[0], stored.weights[soonest], atol=1e-6, rtol=0)


def test_shipped_networks_are_what_the_file_says():
    """Each network that learnt is right on fresh sequences, and the others say one half; the facts name these."""
    run, facts = gru.load_recipe()
    assert len(run.seeds) == len(set(run.seeds)) == 64 and run.learnt.sum() >= 40
    assert facts["not learnt"] == [s for s, good in zip(run.seeds, run.learnt.tolist(), strict=True) if not good]
    told = {"rate": 1e-3, "goal": 0.9894, "block": 10_000, "limit": 15_000_000, "loss": "mse", "batch_size": 1}
    assert facts["settings"] == told
    assert (run.steps[~run.learnt] == recipe.LIMIT).all() and (run.steps % recipe.BLOCK == 0).all()
    check = gru.imputation_check(run.networks, gru.make_sequences(20_000, seed=7, dtype=torch.float32))
    assert (check.accuracy > 0.99).all() and (check.closeness > 0.985).all()


def test_a_missing_checkpoint_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(home, "data_file", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(DataError, match="python -m acelib.lab.gru"):
        gru.load_recipe()


def test_command_writes_what_load_reads(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(home, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(home, "data_file", lambda *parts: tmp_path.joinpath(*parts))
    monkeypatch.setattr(recipe, "SEEDS", (4, 5))
    monkeypatch.setattr(command, "SEEDS", (4, 5))
    made = gru.train_by_recipe([4, 5], limit=30, block=30, compiled=False)

    def short(seeds, *, jobs, report):
        report(4, 30, 0.5)
        return made

    monkeypatch.setattr(command, "train_by_recipe", short)
    (tmp_path / "checkpoints").mkdir()
    assert command.main(["--jobs", "2"]) == 0 and "0 of 2" in capsys.readouterr().out
    read, facts = gru.load_recipe()
    assert torch.equal(read.weights, made.weights) and facts["not learnt"] == [4, 5] == facts["seeds"]
