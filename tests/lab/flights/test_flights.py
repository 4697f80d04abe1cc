"""The flight chapter's networks, scores and windows, against closed forms, scikit-learn and repetition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from acelib.lab import flights, home
from acelib.lab.datasets.dashlink import CHANNELS, Flight, Parameter
from acelib.lab.datasets.registry import DataError
from acelib.lab.flights import __main__ as command
from acelib.lab.landings import load_landings
from acelib.recurrent import FeedbackSequences

ROWS = torch.Generator().manual_seed(3)
X = torch.rand(12, 9, 17, generator=ROWS, dtype=torch.float64)


@pytest.fixture(scope="module")
def net():
    made = flights.flight_network(1)
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(2)  # effects that are no rounding
    return made


def test_block_score_and_concentration():
    cells = flights.block(CHANNELS, [1, 7, 8])
    assert cells.sum() == 8 and not cells[2].any()
    maps = torch.ones(2, 3, 17)
    maps[1, :2] = torch.where(cells[:2], -5.0, 1.0)
    assert flights.score(maps, cells).tolist() == [1, 5]
    assert flights.concentration(maps, cells).tolist() == [1, 5]


def test_separation_is_the_area_under_the_curve():
    """scikit-learn's AUC, ties included; the interval has the width of Hanley and McNeil's formula within a quarter."""
    rng = np.random.default_rng(0)
    labels = torch.tensor([0] * 80 + [1] * 60)
    values = torch.tensor(np.round(rng.standard_normal(140) + labels.numpy(), 1))
    found = flights.separation({"a": values, "b": -values}, labels)
    auc = roc_auc_score(labels, values)
    assert abs(found.auc["a"] - auc) < 1e-12 and abs(found.auc["b"] - 1 + auc) < 1e-12
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    error = ((auc * (1 - auc) + 59 * (q1 - auc**2) + 79 * (q2 - auc**2)) / 4800) ** 0.5
    low, high = found.interval("a")
    assert abs((high - low) / (2 * 1.96 * error) - 1) < 0.25
    assert np.allclose(found.draws["a"] + found.draws["b"], 1) and found.difference("a", "a") == (0, 0, 0)
    assert np.allclose(found.difference("a", "b"), 0, atol=1e-12)  # b is a read backwards
    assert "a 0." in repr(found)
    with pytest.raises(ValueError, match="at least 2"):
        flights.separation({"a": values}, torch.zeros(140))
    with pytest.raises(ValueError, match="one per landing"):
        flights.separation({"a": values[:3]}, labels)


def test_over_networks_covers_the_mean():
    """Networks and landings both vary: of 400 made-up experiments with five networks 93 to 99 % cover the truth."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(400):
        landings = 0.03 * rng.standard_normal()  # the same for all networks
        values = 0.7 + landings + 0.05 * rng.standard_normal(5)
        draws = values[:, None] + 0.03 * rng.standard_normal(300)
        mean, low, high = flights.over_networks(values, draws)
        hits += low <= 0.7 <= high
        assert abs(mean - values.mean()) < 1e-12 and abs(mean - (low + high) / 2) < 1e-12
    assert 0.93 <= hits / 400 <= 0.99
    with pytest.raises(ValueError, match="2 or more networks, got 1 and 1"):
        flights.over_networks([0.5], [draws[0]])


def test_skill_of_forecasts_that_are_known():
    """No change 0, the truth 1, a forecast of the mean 1 − σ² / 2σ² = 0.5 for white noise; constant channels NaN."""
    noise = torch.randn(400, 30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise[..., 2] = 4

    def knows(x):
        return torch.stack([x[..., 0], noise[:, 1 : x.shape[1] + 1, 1], x[..., 2]], -1), None

    skill = flights.forecast_skill(knows, noise, range(5, 30))
    assert skill[0] == 0 and skill[1] == 1 and skill[2].isnan()
    guess = flights.forecast_skill(lambda x: (0 * x, None), noise, range(5, 30))
    assert abs(guess[0] - 0.5) < 0.02


def test_counted_steps_of_a_roll_out(net):
    """n·m·(lag) simulated steps and n·(steps before) for the past, as the package says."""
    inputs = FeedbackSequences(net, X, target_step=7, domain=(0.0, 1.0))
    with flights.counted_steps(net) as steps:
        list(inputs.do((5, 0), torch.linspace(0, 1, 4).double()).outputs(100_000))
    assert steps == [12 * 4 * 3 + 12 * 5]


def test_training_lowers_the_error_and_repeats():
    data = load_landings()
    part = data.scale(data.X)[:40, :30]
    stages = ((3, 1e-2), (2, 1e-3))
    net, history = flights.train_network(part, 2, stages=stages)
    again, _ = flights.train_network(part, 2, stages=stages)
    assert len(history) == 5 and history[-1] < 0.7 * history[0] and not net.training
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    assert next(net.parameters()).dtype == torch.float64


def test_shipped_networks_forecast_better_than_no_change():
    """On the shipped simulated landings, over all channels and LATG alone: smaller error than 'as this second'."""
    networks, facts = flights.load_networks()
    data = load_landings()
    x = data.scale(data.X)[::10, :61]
    still = (x[:, 1:] - x[:, :-1]).square().mean()
    for net in networks:
        assert (net(x[:, :-1])[0] - x[:, 1:]).square().mean() < 0.9 * still
        assert flights.forecast_skill(net, x, range(31, 61))[CHANNELS.index("LATG")] > 0.1
    assert facts["seeds"] == [0, 1, 2, 3, 4]


def made_up(seconds, name="one.mat"):
    ramp = {c: Parameter(c, np.arange(seconds, dtype=float), 1.0, "G", c, c) for c in CHANNELS}
    return Flight(Path(name), ramp, float(seconds))


def test_windows_of_one_flight_share_no_second_between_groups():
    windows = flights.flight_windows([made_up(1000)], length=61, stride=20)
    used = [set() for _ in windows.groups.unique()]
    for group, x in zip(windows.groups.tolist(), windows.X, strict=True):
        used[group] |= set(x[:, 0].tolist())
        assert x[0, 0] + 60 == x[-1, 0]
    assert len(used) == 4 and not set.intersection(*used[:2]) and not used[1] & used[2]
    assert windows.scale(windows.X).max() == 1 and "4 groups" in repr(windows)


def test_several_flights_are_groups_and_short_ones_are_refused():
    windows = flights.flight_windows([made_up(100), made_up(130)], length=61, stride=20)
    assert windows.groups.tolist() == [0, 0, 1, 1, 1, 1]
    with pytest.raises(DataError, match="flights must last at least 62 s, got 50 s in one.mat"):
        flights.flight_windows([made_up(50)])


def test_flight_files_come_from_the_readers_folder(tmp_path, monkeypatch):
    for name in ("b.mat", "a.mat", "c.txt"):
        (tmp_path / name).touch()
    assert [f.name for f in flights.flight_files(tmp_path)] == ["a.mat", "b.mat"]
    monkeypatch.setenv(flights.FLIGHTS_VARIABLE, str(tmp_path))
    assert len(flights.flight_files()) == 2
    with pytest.raises(DataError, match="folder must hold .mat files"):
        flights.flight_files(tmp_path / "none")


def test_shipped_networks_can_be_made_again(tmp_path, monkeypatch, capsys):
    """``main`` writes what ``load_networks`` reads, with its provenance."""
    few = load_landings().subset(torch.arange(0, 450, 30))
    train = flights.train_network
    monkeypatch.setattr(command, "load_landings", lambda: few)
    monkeypatch.setattr(command, "train_network", lambda X, seed, **_: train(X[:, :20], seed, stages=((1, 1e-2),)))
    monkeypatch.setattr(command, "ProcessPoolExecutor", None)  # one after another unless asked
    monkeypatch.setattr(home, "data_dir", lambda: tmp_path)
    assert command.main([]) == 0
    networks, facts = flights.load_networks()
    assert facts["losses"] and "flight-lstm.safetensors" in capsys.readouterr().out
    again, _ = train(few.scale(few.X)[:, :20], 3, stages=((1, 1e-2),))
    assert all(torch.equal(a, b) for a, b in zip(networks[3].parameters(), again.parameters(), strict=True))


def test_a_missing_checkpoint_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(home, "data_dir", lambda: tmp_path)
    with pytest.raises(DataError, match=r"flight-lstm\.safetensors is missing; restore it .* acelib\.lab\.flights"):
        flights.load_networks()
