"""The comparison of a real rollout with simulated ones, against series whose statistics are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import real

from acelib.lab.datasets.dashlink import CHANNELS, Flight, Parameter, load_dashlink
from acelib.lab.landings import compare_rollout, rollout_statistics
from acelib.lab.landings import simulate_landings as simulate
from acelib.lab.landings.compare import QUANTILES, STATISTICS


@pytest.fixture(scope="module")
def normal():
    """Forty normal landings that take the first exit."""
    return simulate(40, seed=1, parameters={"exit_after": 0.0})


def recorded(X: np.ndarray) -> Flight:
    """Return a flight that touches down at 10 s and whose 1 Hz samples from there on are given."""
    parameters = {}
    for i, name in enumerate(CHANNELS):
        data = np.concatenate([np.full(10, X[0, i]), X[:, i], X[-1:, i]])
        if name.startswith("MSQT"):
            data[:10] = 1
        parameters[name] = Parameter(name, data, 1.0, "", name, name)
    return Flight(Path("made-up.mat"), parameters, 112.0)


def test_compare_statistics(normal):
    """Minimum, maximum, spread and autocorrelation of series with known ones; a heading through 180° has no jump."""
    t = np.arange(101)
    X = np.zeros((101, 17))
    X[:, 3] = (-1.0) ** t  # CAS: alternating, r₁ = −1 but for the odd number of samples
    X[:, 7] = (170 + t + 180) % 360 - 180  # MH: turning by 1° a second, through 180°
    table = compare_rollout(rollout_statistics(recorded(X)), normal)
    cas, heading, switch = table["CAS"]["real"], table["MH"]["real"], table["MSQT_1"]
    centred = X[:, 3] - X[:, 3].mean()
    expected = np.dot(centred[1:], centred[:-1]) / np.dot(centred, centred)
    assert cas["min"] == -1 and cas["max"] == 1 and abs(cas["autocorrelation"] - expected) < 1e-12
    assert abs(cas["sd"] - X[:, 3].std()) < 1e-12
    assert abs(heading["max"] - 100) < 1e-9 and abs(heading["min"]) < 1e-9 and heading["autocorrelation"] > 0.9
    assert switch["real"]["autocorrelation"] is None and switch["inside"]["autocorrelation"]
    assert not table["CAS"]["inside"]["min"] and not table["LATG"]["inside"]["autocorrelation"]
    assert set(table) == set(CHANNELS) and set(cas) == set(STATISTICS) and len(QUANTILES) == 3
    assert json.loads(json.dumps(table)) == table


def test_compare_with_itself(normal):
    """About 95 % of the statistics of the simulated landings themselves lie inside: 5 % outside by construction."""
    share = []
    for i in range(0, 40, 4):
        table = compare_rollout(rollout_statistics(recorded(normal.X[i].numpy())), normal)
        share += [inside for row in table.values() for inside in row["inside"].values()]
    assert 0.85 < np.mean(share) <= 1


@real
def test_real_rollout():
    """At least four in five statistics of the real rollout lie inside the spread of the simulated ones."""
    early = simulate(200, seed=0, parameters={"exit_after": 0.0})  # the real one took the first exit
    table = compare_rollout(rollout_statistics(load_dashlink()), early)
    inside = [value for row in table.values() for value in row["inside"].values()]
    assert len(inside) == 68 and np.mean(inside) > 0.8
