"""Simulated landings against closed forms of mechanics, symmetry, literal re-simulation and the regulations."""

import json

import numpy as np
import pytest
import torch

from acelib.lab import home
from acelib.lab.datasets.dashlink import CHANNELS
from acelib.lab.datasets.registry import DataError
from acelib.lab.landings import __main__ as command
from acelib.lab.landings import (
    join_landings,
    load_landings,
    save_landings,
    state_effect,
)
from acelib.lab.landings import simulate as module
from acelib.lab.landings import simulate_landings as simulate
from acelib.lab.landings.draw import RATE, braking_friction, draw
from acelib.lab.landings.effect import PUSHES
from acelib.lab.landings.model import DT, KNOT, G, advance, start
from acelib.lab.landings.sensors import STEPS, measure

QUIET = dict.fromkeys(
    "headwind crosswind gustiness calm drag lift rolling idle reverse crab offset roll slope pilot_noise patchiness "
    "unevenness roughness bank level strip_grip exit_after roll_speed".split(),
    0.0,
) | {"grip": 1.0, "brake_delay": 0.0, "sink": 0.0}


@pytest.fixture(scope="module")
def normal():
    """Forty normal landings."""
    return simulate(40, seed=1)


@pytest.fixture(scope="module")
def slippery():
    """Forty slippery ones."""
    return simulate(40, kind="slippery", seed=1)


def run(seconds: float, num: int = 2, kind: str = "normal", **replaced) -> tuple[dict, dict]:
    """States (steps + 1, n) by name of quiet landings, every step, and what acted in each step."""
    draws = draw(num, kind, 0, 0, QUIET | replaced)
    state, states, acts = start(draws), [], []
    for step in range(int(seconds * RATE) + 1):
        states.append(dict(state))
        acts.append(advance(state, draws, step))
    return ({k: np.stack([s[k] for s in rows]) for k in rows[0]} for rows in (states, acts))


def test_stopping_distance():
    """v² / (2a) between two instants of steady braking; the Euler step adds exactly DT (v₁ − v₂) / 2."""
    states, _ = run(24, brake_demand=0.2, runway=0, speed=120, exit_speed=0)
    first, last = 14 * RATE, 22 * RATE  # fourteen seconds: the brakes' lag of 0.6 s is over to 1e-10
    v1, v2, a = states["u"][first], states["u"][last], 0.2 * G
    expected = (v1**2 - v2**2) / (2 * a) + DT * (v1 - v2) / 2
    assert (v1 > 30).all() and (v2 > 13).all()
    np.testing.assert_allclose(states["x"][last] - states["x"][first], expected, rtol=1e-6)
    np.testing.assert_allclose(v1 - v2, a * 8, rtol=1e-6)


def test_friction_limits_the_brakes():
    """On a slippery runway above 80 kt μ = 0.05: a = μ g (0.9 − 0.24 μ), whatever is demanded, by moments by hand."""
    states, acts = run(12, kind="slippery", speed=160, brake_demand=0.4, exit_speed=0)
    steady = slice(6 * RATE, 12 * RATE)
    assert (states["u"][steady] > 0.8 * 100 * KNOT).all()
    np.testing.assert_allclose(acts["braking"][steady], 0.05 * G * (0.9 - 0.24 * 0.05), rtol=1e-9)
    np.testing.assert_allclose(np.diff(states["u"], axis=0)[steady] / DT, -acts["braking"][steady], rtol=1e-6)


def test_drag_alone():
    """v' = −k v² gives v = v₀ / (1 + k v₀ t); the first-order step is within 0.2 % at 20 s."""
    states, _ = run(20, drag=3e-4, brake_delay=1e9, speed=110)
    v0 = 110 * KNOT
    np.testing.assert_allclose(states["u"][-1], v0 / (1 + 3e-4 * v0 * 20), rtol=2e-3)


def test_energy():
    """The work of all forces along the path is the kinetic energy lost, forward and sideways, to 1 %, with wind."""
    states, acts = run(10, drag=3e-4, rolling=0.015, crosswind=8.0, headwind=5.0, brake_demand=0.18, lift=0.1)
    u, v = states["u"], states["v"]
    work = (DT * (acts["fx"] * u + acts["fy"] * v))[:-1].sum(0)
    lost = (u[-1] ** 2 + v[-1] ** 2 - u[0] ** 2 - v[0] ** 2) / 2
    np.testing.assert_allclose(work, lost, rtol=0.01)


def test_skid_in_the_frame_of_the_ground():
    """Where nothing turns, velocity changes by the rotated forces alone; (r DT)² u / 2 + … < 0.03 m/s is the step's."""
    draws = draw(1, "slippery", 0, 0, QUIET)
    state = start(draws)
    state["u"], state["v"], state["r"] = np.array([40.0]), np.array([5.0]), np.array([0.3])
    for step in range(2 * RATE):
        before = dict(state)
        act = advance(state, draws, step)
        old, new = (_over_ground(s["u"], s["v"], s["psi"]) for s in (before, state))
        force = _over_ground(act["fx"], act["fy"], before["psi"])
        np.testing.assert_allclose(new - old, DT * force, atol=0.03)


def _over_ground(forward: np.ndarray, right: np.ndarray, psi: np.ndarray) -> np.ndarray:
    return np.stack([forward * np.cos(psi) - right * np.sin(psi), forward * np.sin(psi) + right * np.cos(psi)])


def test_uneven_friction_turns():
    """More friction under the right gear turns the nose to the right: r' = t (F_right − F_left) / k²."""
    draws = draw(1, "slippery", 0, 0, QUIET | {"unevenness": 0.5, "brake_demand": 0.4})
    draws.uneven[:] = 1.0  # the same everywhere: right half above, left half below
    state = start(draws)
    state["brake"] = np.array([4.0])  # pressed fully, from before
    act = advance(state, draws, 0)
    mu = braking_friction(np.array(2), start(draws)["u"])
    load = G  # the wings bear nothing, the nose is still up
    np.testing.assert_allclose(act["yaw"], 2.4 * (0.5 * mu * load) / 40, rtol=1e-9)


def test_strip_under_one_gear():
    """A dry strip under the right gear turns the nose right by t (F_right − F_left) / k², and only while it lasts."""
    strip = {"strip_time": 5.0, "strip_length": 2.0, "strip_grip": 0.3, "runway": 2, "brake_demand": 0.4}
    for side in (1.0, -1.0):
        _, acts = run(8, kind="slippery", speed=120, **strip, strip_side=side)
        yaw = acts["yaw"][:, 0] * side
        assert np.abs(yaw[: 5 * RATE]).max() < 1e-12 and yaw[5 * RATE] > 0.02
        braking = acts["braking"][:, 0]
        assert braking[5 * RATE + 8] > 2 * braking[5 * RATE - 1] and braking[7 * RATE + 1] < 1.1 * braking[5 * RATE - 1]
    draws = draw(1, "slippery", 0, 0, QUIET | strip | {"strip_side": 1.0, "strip_time": 0.0})
    state = start(draws)
    state["brake"] = np.array([4.0])  # pressed fully, from before
    slow = braking_friction(np.array(2), state["u"])
    yaw = advance(state, draws, 0)["yaw"]  # the wings bear nothing, the nose is still up
    np.testing.assert_allclose(yaw, 2.4 * (min(0.3 * G, 4.0) - slow * G) / 2 / 40, rtol=1e-9)


def test_strip_is_the_cause():
    """Without the strip the same landing is the same to its second, and LATG differs by hundredths of g after it."""
    one, other = (simulate(40, kind="slippery", seed=2, parameters=p) for p in (None, {"strip_grip": 0.0}))
    first = one.parameters["strip_time"].floor().long()
    seconds = torch.arange(101)
    before = seconds[None] <= first[:, None] - 1
    assert torch.equal(one.X[before], other.X[before])
    effect = (one["LATG"] - other["LATG"]).abs()[:, 53:61].amax(1)
    assert effect.median() > 0.03 and (simulate(9)["LATG"] == simulate(9, parameters={"strip_time": 9.0})["LATG"]).all()


def test_mirror():
    """Wind, offset and exit mirrored: y, heading, side force and yaw change sign, everything else stays."""
    wind = {"crosswind": 8.0, "crab": 0.3, "offset": 2.0, "side": 1.0, "patchiness": 0.3}
    here, _ = run(60, drag=3e-4, **wind)
    there, _ = run(60, drag=3e-4, **wind | {"crosswind": -8.0, "offset": -2.0, "side": -1.0})
    for name in ("y", "psi", "v", "r", "steer", "phi"):
        np.testing.assert_allclose(here[name], -there[name], atol=1e-8)
    for name in ("x", "u", "theta", "brake"):
        np.testing.assert_allclose(here[name], there[name], atol=1e-8)
    assert np.abs(here["psi"]).max() > 0.2


def test_wind_from_the_left():
    """It blows the aircraft to the right and, as a weathercock, turns its nose to the left."""
    _, acts = run(0, crosswind=10.0)
    assert (acts["fy"][0] > 0).all() and (acts["yaw"][0] < 0).all()


def test_regulations():
    """Wet: 0.8 × the polynomial of 14 CFR 25.109(c)(1) for 200 psi; slippery: 0.08 to 0.05 of AC 25-32; dry: 0.4."""
    at = np.array([0.0, 50, 100]) * KNOT
    wet = 0.8 * np.array([0.692, -0.0331 / 8 + 0.252 / 4 - 0.658 / 2 + 0.692, -0.0331 + 0.252 - 0.658 + 0.692])
    np.testing.assert_allclose(braking_friction(np.array(1), at), wet, rtol=1e-12)
    np.testing.assert_allclose(braking_friction(np.array(2), at), [0.08, 0.065, 0.05], rtol=1e-12)
    np.testing.assert_allclose(braking_friction(np.array(0), at), 0.4)


def test_normal_rollout(normal):
    """Never backwards; slower at every second from 3 s until it rolls; a turn's side force is u r / g."""
    u, r = normal.truth["u"], normal.truth["r"]
    assert (u >= 0).all() and (normal.truth["x"][:, 5] > 200).all()
    braking = u[:, 3:] > normal.parameters["roll_speed"][:, None] * KNOT + 4
    assert (u[:, 3:].diff(dim=1)[braking[:, 1:]] < 0).all()
    turning = r.abs() > 0.05
    assert turning.sum() > 100
    error = normal["LATG"][turning] - (u * r / G)[turning]
    assert error.abs().mean() < 0.012  # 0.003 g of noise, and a turn that begins or ends
    assert set(normal.runway) == {"dry", "wet"}
    on_runway = normal.truth["psi"][:, :71].abs().amax(1) < 0.15  # at most the crab at touchdown
    assert on_runway.all() and (normal.truth["y"][:, 10:71].abs() < 5).all() and (u[:, 60] > 10).all()
    assert (normal.truth["psi"][:, -1].abs() > 0.3).float().mean() > 0.9  # and leave it in the end


def test_slippery_is_later_and_longer(normal, slippery):
    """Brakes only after the delay; faster at 15, 30 and 45 s than the same draws of weather on normal runways."""
    delay = slippery.parameters["brake_delay"]
    seconds = torch.arange(101)
    assert (slippery.truth["brake"][seconds[None] < delay[:, None]] == 0).all() and (delay >= 28).all()
    assert (normal.parameters["brake_delay"] <= 4).all()
    for second in (15, 30, 45):
        gap = slippery.truth["u"][:, second].mean() - normal.truth["u"][:, second].mean()
        assert gap > 5
    assert (slippery.truth["u"] >= 0).all() and set(slippery.runway) == {"slippery"}
    steep = [part["LONG"][:, 42:54].diff(dim=1).abs().quantile(0.95) for part in (normal, slippery)]
    assert steep[1] > 1.2 * steep[0]  # patches of friction: deceleration comes and goes


def test_records(normal, slippery):
    """Whole numbers of the recorder's steps, limits of the instruments, and signs where they are sure."""
    both = join_landings(normal, slippery)
    steps = both.X / torch.tensor([STEPS[name] for name in CHANNELS], dtype=torch.float64)
    assert (steps - steps.round()).abs().max() < 1e-6
    assert both.channels == CHANNELS and both.X.shape == (80, 101, 17) and both.X.dtype == torch.float64
    for name, floor in (("CAS", 30), ("GS", 50.5)):
        assert ((both[name] == 0) | (both[name] >= floor)).all()
        gone = (both[name] == 0).int().cummax(1).values.bool()
        assert (both[name][gone] == 0).float().mean() > 0.95  # a gust brings it back
    assert (both["MH"] >= -180).all() and (both["MH"] < 180).all() and both["WS"].min() >= 0
    assert (both["MSQT_1"] == 0).all() and (both["NSQT"][:, 0] == 1).all() and (both["NSQT"][:, 10:] == 0).all()
    assert ((both["VRTG"] > 0.7) & (both["VRTG"] < 1.8)).all() and both["LATG"].abs().max() < 0.7
    late = slice(90, 101)  # taxiing: the wind computer takes 100 knots for granted
    assert (both["WS"][:, late].mean(1) - (100 - both.truth["u"][:, late].mean(1) / KNOT)).abs().max() < 3


def test_seeds(normal):
    """The same landings from the same seed, however many are drawn and wherever one begins; others from another."""
    again = simulate(3, seed=1, first=2)
    scale = torch.tensor([STEPS[name] for name in CHANNELS], dtype=torch.float64)
    assert ((again.X - normal.X[2:5]).abs() / scale).max() <= 1.001
    assert torch.equal(again.parameters["crosswind"], normal.parameters["crosswind"][2:5])
    assert torch.equal(again.X, simulate(3, seed=1, first=2).X)
    assert (simulate(3, seed=0, first=2)["LATG"] - again["LATG"]).abs().max() > 0.005


def test_blocks(monkeypatch):
    """Landings simulated block by block are those simulated at once, replaced parameters going along."""
    delays = np.array([1.0, 5.0, 9.0])
    whole = simulate(3, seed=4, parameters={"brake_delay": delays})
    monkeypatch.setattr(module, "_BLOCK", 2)
    parts = simulate(3, seed=4, parameters={"brake_delay": delays})
    np.testing.assert_allclose(parts.truth["u"], whole.truth["u"], atol=1e-9)
    assert parts.parameters["brake_delay"].tolist() == delays.tolist()


def test_counterfactual_keeps_the_noise():
    """Another delay of the brakes changes nothing before the earlier of the two."""
    one, other = (simulate(4, kind="slippery", seed=6, parameters={"brake_delay": d}) for d in (12.0, 20.0))
    assert torch.equal(one.X[:, :12], other.X[:, :12])
    assert (one.truth["u"][:, 18] < other.truth["u"][:, 18]).all()


def test_shipped():
    """The shipped file is what the command makes: within one step of the recorder in all but a few values."""
    shipped = load_landings()
    assert shipped.labels.tolist() == [0] * 300 + [1] * 150 and shipped.provenance["simulated"] is True
    file = home.data_dir() / "landings" / "simulated.npz"
    assert file.stat().st_size < 1_500_000
    scale = torch.tensor([STEPS[name] for name in CHANNELS], dtype=torch.float64)
    for kind, first, at in (("normal", 280, 280), ("slippery", 130, 430)):
        again = simulate(20, kind=kind, seed=0, first=first)
        steps = (again.X - shipped.X[at : at + 20]).abs() / scale
        assert (steps > 1.001).float().mean() < 1e-3  # rounding, and a switch that falls a step of time later
        np.testing.assert_allclose(shipped.parameters["grip"][at : at + 20], again.parameters["grip"])


def test_scale():
    """0 and 1 at the extremes of the whole set, also for a part of it; constant channels become 0 and come back."""
    shipped = load_landings()
    part = shipped.subset(shipped.labels == 1)
    scaled = shipped.scale(shipped.X)
    assert scaled.min() == 0 and scaled.max() == 1
    assert (scaled.amax((0, 1)) == 1).sum() == 15 and (shipped["MSQT_1"] == 0).all()
    torch.testing.assert_close(part.low + part.scale(part.X) * (part.high - part.low), part.X)
    assert torch.equal(part.low, shipped.low) and len(part) == 150 and "150 slippery" in repr(part)
    assert torch.equal(part["LATG"], shipped["LATG"][300:])


def test_command(monkeypatch, tmp_path, capsys):
    """The command writes a set with its provenance, into the data folder."""
    monkeypatch.setattr(command, "SHIPPED", {"normal": 2, "slippery": 1})
    monkeypatch.setattr(home, "data_dir", lambda: tmp_path)
    assert command.main() == 0 and "2 normal, 1 slippery" in capsys.readouterr().out
    written = load_landings()
    assert written.provenance["seed"] == 0 and "versions" in written.provenance
    assert json.dumps(dict(written.provenance))
    assert [path.name for path in (tmp_path / "landings").iterdir()] == ["simulated.npz"]


def test_save_and_load(normal, tmp_path):
    """What is written comes back, without the truth; a damaged or missing file is named."""
    save_landings(normal, tmp_path / "a.npz")
    back = load_landings(tmp_path / "a.npz")
    torch.testing.assert_close(back.X, normal.X, rtol=0, atol=1e-9)
    assert back.parameters.keys() == normal.parameters.keys() and not back.truth and back.provenance["kind"] == "normal"
    with pytest.raises(DataError, match="b.npz are missing"):
        load_landings(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:5000])
    with pytest.raises(DataError, match="c.npz holds no simulated landings"):
        load_landings(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num": 0}, "num must be at least 1, got 0"),
        ({"num": 1, "kind": "icy"}, "kind must be 'normal' or 'slippery', got 'icy'"),
        ({"num": 1, "parameters": {"brakes": 1}}, "parameters must be among bank, brake_delay.* got 'brakes'"),
    ],
)
def test_bad_landings(arguments, words):
    """One sentence that names what was wrong."""
    with pytest.raises(ValueError, match=words):
        simulate(**arguments)


def test_unknown_channel(normal):
    """A channel that is not simulated."""
    with pytest.raises(ValueError, match="channel must be one of ALT, .* got 'RALT'"):
        normal["RALT"]


@pytest.mark.parametrize("cause", ["MH", "LONG", "WD"])
def test_state_effect_literally(cause):
    """Against two complete simulations of each landing, one of them pushed by hand."""
    effect = state_effect([cause], [2, 3], num=2, time=15, seed=3)
    for row, lag in enumerate((2, 3)):
        for column in range(2):
            readings = [_literal(cause, lag, 15, column, pushed) for pushed in (False, True)]
            np.testing.assert_allclose(effect.values[row, 0, column], readings[1] - readings[0], atol=1e-12)
    assert (effect.values != 0).all()


def _literal(cause: str, lag: int, time: int, number: int, pushed: bool) -> float:
    """LATG at one second of one landing, pushed or not."""
    draws = draw(1, "slippery", 3, number)
    state, name, size = start(draws), *PUSHES[cause][:2]
    for step in range(time * RATE + 1):
        force = None
        if pushed and name in ("fx", "fy", "fz") and time - lag - 1 < step / RATE <= time - lag:
            force = {name: np.array([size])}
        elif pushed and name in state and step == (time - lag) * RATE:
            state[name] = state[name] + size
        before = dict(state)
        act = advance(state, draws, step, force)
    return float(measure(before, act, draws, time)["LATG"][0])


def test_state_effect_by_structure():
    """Readings alone move nothing; a push is forgotten faster on a dry runway, where the tyres grip."""
    effects = {kind: state_effect(num=20, lags=(1, 4, 8), kind=kind, time=25) for kind in ("normal", "slippery")}
    for effect in effects.values():
        for name in ("ALT", "AOA1", "AOA2", "TAT", "MSQT_1", "MSQT_2", "NSQT"):
            assert (effect.values[:, CHANNELS.index(name)] == 0).all()
        assert effect.size.shape == effect.mean.shape == effect.stderr.shape == (3, 17)
        assert effect.sizes[CHANNELS.index("MH")] == 1 and effect.units[CHANNELS.index("WD")] == "KNOTS"
    fading = {kind: effect.size[2, 7] / effect.size[0, 7] for kind, effect in effects.items()}
    assert CHANNELS[7] == "MH" and "on LATG at 25 s" in repr(effects["normal"])
    assert fading["slippery"] > fading["normal"]
    turned = state_effect(["MH"], [1], num=2, time=10, target="MH").values
    assert ((turned > 0) & (turned < 2)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"causes": ["SPEED"]}, "must be among ALT, .* got 'SPEED'"),
        ({"target": "G"}, "must be among ALT, .* got 'G'"),
        ({"lags": [0]}, "whole seconds from 1"),
        ({"lags": []}, "whole seconds from 1"),
        ({"time": 10}, "time must be a whole second above the longest lag 10"),
        ({"time": 101}, "up to 100"),
        ({"num": 0}, "num must be at least 1, got 0"),
        ({"kind": "icy"}, "kind must be one of normal, slippery, got 'icy'"),
    ],
)
def test_bad_effects(arguments, words):
    """One sentence before anything is simulated."""
    with pytest.raises(ValueError, match=words):
        state_effect(**arguments)
