"""The DASHlink loader on a made-up file of that structure, on damaged ones, and on the real flight if it is there."""

import math
import time

import numpy as np
import pytest
import scipy.io
from helpers import real

from acelib.lab import datasets
from acelib.lab.datasets import registry
from acelib.lab.datasets.dashlink import CHANNELS, CODES, FLIGHT, load_dashlink
from acelib.lab.datasets.registry import DataError
from acelib.lab.datasets.resampling import resample

SECONDS = 200


def struct(data, rate, units="", description="MADE UP", alpha="A") -> np.ndarray:
    """One variable as the recorder's files have it: a (1, 1) struct, units an empty array where there are none."""
    text = np.array([units]) if units else np.zeros((0, 0))
    value = {"data": np.asarray(data)[:, None], "Rate": np.uint8(rate) if rate >= 1 else float(rate)}
    value |= {"Units": text, "Description": np.array([description]), "Alpha": np.array([alpha])}
    outer = np.empty((1, 1), dtype=[(name, object) for name in value])
    for name, field in value.items():
        outer[0, 0][name] = field
    return outer


def switch(*ones: tuple[float, float], rate: float = 2) -> np.ndarray:
    """0 and 1 as bytes, 1 in the given spans of seconds."""
    t = np.arange(SECONDS * rate) / rate
    return sum((((t >= a) & (t < b)).astype(np.uint8) for a, b in ones), np.zeros(len(t), np.uint8))


def flight_variables() -> dict[str, np.ndarray]:
    """Take-off at 20 s (gear loaded, then up), gear down at 90 s, a bounce, touchdown of the later gear at 121 s."""
    t4, t8 = np.arange(SECONDS * 4) / 4, np.arange(SECONDS * 8) / 8
    lateral = np.sin(t4)
    lateral[[3, 4, 5, 400]] = CODES["LATG"]
    vertical = np.ones(SECONDS * 8)
    vertical[16] = CODES["VRTG"]
    oil = np.full(SECONDS, 80, np.int16)
    oil[::7] = -390
    variables = {
        "LATG": struct(lateral, 4, "G", "LATERAL ACCELERATION", "LATG"),
        "VRTG": struct(vertical, 8, "G"),
        "OIT_1": struct(oil, 1, "DEG", alpha="OIT.1"),
        "ALT": struct(np.arange(SECONDS * 4) % 250, 4, "FEET"),
        "CAS": struct(np.where(t4 < 120, 150, np.maximum(150 - 3 * (t4 - 120), 0)), 4, "KNOTS"),
        "MH": struct((170 + 4 * t4 + 180) % 360 - 180, 4, "DEG"),
        "PTCH": struct(t8, 8, "<units>"),
        "TAT": struct(np.arange(SECONDS // 4, dtype=np.uint8), 0.25, "DEG"),
        "MSQT_1": struct(switch((20, 24), (90, 118), (119, 120)), 2),
        "MSQT_2": struct(switch((20.5, 24.5), (89.5, 121)), 2),
    }
    for name in CHANNELS:
        variables.setdefault(name, struct(np.zeros(SECONDS), 1))
    return variables


@pytest.fixture
def write(tmp_path):
    """Write variables to a file of the test's own."""

    def to_file(variables: dict, name: str = "flight.mat"):
        scipy.io.savemat(tmp_path / name, variables, do_compression=True)
        return tmp_path / name

    return to_file


@pytest.fixture
def flight(write):
    """The made-up flight, loaded."""
    return load_dashlink(write(flight_variables()))


def test_structure(flight):
    """Names, float64 in the recorded units, rates, times from 0, and texts, also where the file has empty arrays."""
    assert set(flight) == set(flight_variables()) and len(flight) == len(flight.parameters) and "LATG" in flight
    assert flight.duration == SECONDS and all(flight[name].data.dtype == np.float64 for name in flight)
    latg = flight["LATG"]
    assert (latg.units, latg.description, latg.alpha, latg.rate) == ("G", "LATERAL ACCELERATION", "LATG", 4)
    assert latg.times[:3].tolist() == [0, 0.25, 0.5] and len(latg) == 800
    assert flight["MSQT_1"].units == "" and flight["PTCH"].units == "units" and flight["OIT_1"].alpha == "OIT.1"
    assert "LATG [G]: 800 samples at 4 Hz" in repr(latg) and "200 s" in repr(flight)
    assert datasets.load_dashlink is load_dashlink


def test_invalid_codes(flight, write):
    """Each sensor's own code is NaN and nothing else is; narrow integers do not wrap; other codes can be given."""
    assert np.flatnonzero(np.isnan(flight["LATG"].data)).tolist() == [3, 4, 5, 400] and flight["LATG"].missing == 0.005
    assert np.isnan(flight["VRTG"].data).sum() == 1 and np.isnan(flight["OIT_1"].data).sum() == math.ceil(SECONDS / 7)
    assert flight["ALT"].data.max() == 249 and (np.diff(flight["ALT"].data) == -249).sum() == 3
    assert not any(np.isnan(flight[name].data).any() for name in flight if name not in ("LATG", "VRTG", "OIT_1"))
    single = flight_variables()
    single["LATG"][0, 0]["data"] = single["LATG"][0, 0]["data"].astype(np.float32)  # as real files have it
    assert np.isnan(load_dashlink(write(single))["LATG"].data).sum() == 4
    raw = load_dashlink(write(flight_variables()), codes={"ALT": 17})
    assert raw["LATG"].data.min() == pytest.approx(-1.0833) and np.isnan(raw["ALT"].data).sum() == 4


def test_touchdown(flight, write):
    """The last step of the later gear; not the take-off, not the bounce."""
    assert flight.touchdown == 121
    one = flight_variables()
    del one["MSQT_2"]
    assert load_dashlink(write(one)).touchdown == 120


def test_no_touchdown(write):
    """A flight that never lands, one that ends in the air, and one without switches each say so."""
    never = flight_variables() | {name: struct(switch(), 2) for name in ("MSQT_1", "MSQT_2")}
    with pytest.raises(DataError, match="no touchdown: neither main gear's squat switch ever steps from 1 to 0"):
        _ = load_dashlink(write(never)).touchdown
    t = np.arange(SECONDS * 4) / 4
    climbing = flight_variables() | {name: struct(switch((20, 24)), 2) for name in ("MSQT_1", "MSQT_2")}
    climbing["CAS"] = struct(np.minimum(100 + t, 250), 4, "KNOTS")
    with pytest.raises(DataError, match=r"gains speed .* at 24 s; the recording ends before the landing"):
        _ = load_dashlink(write(climbing)).touchdown
    del climbing["CAS"]
    assert load_dashlink(write(climbing)).touchdown == 24  # nothing to tell it by
    bare = flight_variables()
    del bare["MSQT_1"], bare["MSQT_2"]
    with pytest.raises(DataError, match="parameter 'MSQT_1' is missing .* did you mean NSQT"):
        _ = load_dashlink(write(bare)).touchdown


def test_window(flight):
    """Times since touchdown, both ends included, channels in the order asked, each at its value of that second."""
    window = flight.window(-2, 3, ["PTCH", "ALT", "TAT"])
    assert window.times.tolist() == [-2, -1, 0, 1, 2, 3] and window.X.shape == (6, 3)
    assert window.channels == ("PTCH", "ALT", "TAT") and window.units == ("units", "FEET", "DEG")
    assert window["PTCH"].tolist() == [119, 120, 121, 122, 123, 124]
    assert window["ALT"].tolist() == [(4 * s) % 250 for s in range(119, 125)]
    assert window["TAT"].tolist() == [29, 30, 30, 30, 30, 31]  # held between samples four seconds apart
    assert "6 times from -2 to 3 s, 3 channels" in repr(window)
    assert flight.window(0, 60).X.shape == (61, 17) and flight.window(0, 60).channels == CHANNELS
    assert flight.window(0, 1, ["PTCH"], rate=8).X[:, 0].tolist() == [121 + i / 8 for i in range(9)]


def test_how(flight):
    """Held, averaged and interpolated values of ramps, around missing samples, and of a heading through 180°."""
    ramp = flight.window(2, 3, ["PTCH", "MSQT_1"], how="mean", since="start")
    assert ramp["PTCH"].tolist() == [np.mean([2 - i / 8 for i in range(8)]), np.mean([3 - i / 8 for i in range(8)])]
    held = flight.window(0, 2, ["LATG"], rate=4, since="start")["LATG"]
    assert held[2] == held[3] == held[5] == np.sin(0.5) and held[6] == np.sin(1.5)  # 3 to 5 are missing
    line = flight.window(0, 2, ["LATG"], rate=4, how="linear", since="start")["LATG"]
    np.testing.assert_allclose(line[3:6], np.sin(0.5) + (np.sin(1.5) - np.sin(0.5)) * np.array([1, 2, 3]) / 4)
    averaged = flight.window(1, 2, ["LATG"], how="mean", since="start")["LATG"]
    assert averaged[0] == pytest.approx(np.mean(np.sin([0.25, 0.5])))  # of 0.25, 0.5, 0.75 and 1 s, two are missing
    heading = flight.window(2, 3, ["MH"], how="mean", since="start")["MH"]  # 175 to 178, then 179 to −178
    np.testing.assert_allclose(heading, [176.5, -179.5])
    assert flight.window(24, 25, ["MSQT_1"], how="linear", rate=4, since="start")["MSQT_1"].tolist() == [0] * 5
    assert flight.window(23.75, 24, ["MSQT_1"], how="mean", rate=4, since="start")["MSQT_1"].tolist() == [1, 0]


def test_resample_against_a_loop():
    """Every mode against a literal loop over the samples, with a third of them missing; causal but for the lines."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal(64)
    data[rng.random(64) < 0.34] = np.nan
    data[0] = 1.0
    times = np.arange(1, 15) * 0.5
    held, mean = [], []
    for t in times:
        known = [data[i] for i in range(64) if i / 8 <= t and not np.isnan(data[i])]
        inside = [data[i] for i in range(64) if t - 0.5 < i / 8 <= t and not np.isnan(data[i])]
        held.append(known[-1])
        mean.append(np.mean(inside) if inside else known[-1])
    np.testing.assert_array_equal(resample(data, 8, times, 2), held)
    np.testing.assert_allclose(resample(data, 8, times, 2, how="mean"), mean, atol=1e-12)
    later = data.copy()
    later[33:] = 99.0
    for how in ("hold", "mean"):
        before, after = (resample(x, 8, times[times <= 4], 2, how=how) for x in (data, later))
        np.testing.assert_allclose(before, after, atol=1e-12)
    known = ~np.isnan(data)
    expected = np.interp(times, np.flatnonzero(known) / 8, data[known])
    np.testing.assert_allclose(resample(data, 8, times, 2, how="linear"), expected)
    gap = np.array([1.0, np.nan, np.nan, np.nan, 5.0])
    assert resample(gap, 1, np.array([2.0]), 2, how="mean").tolist() == [1.0]  # nothing within half a second


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"channels": ["LATGG"]}, DataError, "parameter 'LATGG' is missing in flight.mat.*did you mean LATG"),
        ({"channels": ["QQ"]}, DataError, "parameter 'QQ' is missing .* there are "),
        ({"stop": 100}, DataError, "ask for 121 to 221 s of flight.mat, which covers 0 to 200 s"),
        ({"start": -122}, DataError, "ask for -1 to"),
        ({"start": 5}, ValueError, "stop must be at or after start, got 1 and 5"),
        ({"rate": 0}, ValueError, "rate must be a positive number .* got 0"),
        ({"since": "landing"}, ValueError, "since must be 'touchdown' or 'start', got 'landing'"),
        ({"how": "nearest"}, ValueError, "how must be 'hold', 'mean' or 'linear', got 'nearest'"),
    ],
)
def test_bad_windows(flight, arguments, error, words):
    """One sentence that names the argument and what would do."""
    with pytest.raises(error, match=words):
        flight.window(**{"start": 0, "stop": 1} | arguments)


def test_missing_parameters(flight, write):
    """The names most like it, and how many there are; a window's own channels likewise; nothing valid at all."""
    with pytest.raises(DataError, match=r"'latg' is missing in flight.mat, which holds \d+ parameters of 186; did you"):
        flight["latg"]
    with pytest.raises(DataError, match="'ALT' is missing in this window; did you mean LATG"):
        flight.window(0, 1, ["LATG"])["ALT"]
    empty = flight_variables() | {"LONG": struct(np.full(SECONDS, CODES["LONG"]), 1)}
    with pytest.raises(DataError, match="parameter LONG has no valid sample"):
        load_dashlink(write(empty)).window(0, 1)
    with pytest.raises(ValueError, match="data must hold at least one sample"):
        resample(np.array([np.nan]), 1, np.zeros(1), 1)


def test_other_structures(write, tmp_path):
    """Files that are no MATLAB 5 file, or hold something else, are told apart and named."""
    for name, variables, words in (
        ("array.mat", {"x": np.zeros((3, 2))}, r"array.mat is of another structure: variable x is an array \(3, 2\)"),
        ("fields.mat", {"x": {"data": 1.0, "Rate": 1}}, "has the fields data, Rate, expected a .* Units"),
        ("text.mat", {"x": {**_fields(), "data": "words"}}, "has data .* expected numbers"),
        ("wide.mat", {"x": {**_fields(), "data": np.zeros((2, 2))}}, r"has data \(2, 2\)"),
        ("rate.mat", {"x": {**_fields(), "Rate": 0}}, r"has Rate .*0.*, expected one positive number"),
        ("short.mat", {"x": struct(np.zeros(90), 1), "y": struct(np.zeros(99), 1)}, "x ends after 90 s and other"),
        ("empty.mat", {}, "ends after its header and holds no parameter"),
    ):
        with pytest.raises(DataError, match=words):
            load_dashlink(write(variables, name))
    (tmp_path / "page.mat").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"page.mat \(16 bytes\) must be a DASHlink flight, got no MATLAB 5 file"):
        load_dashlink(tmp_path / "page.mat")
    with pytest.raises(DataError, match="must be a DASHlink flight .*, which is no file"):
        load_dashlink(tmp_path / "nothing.mat")


def _fields() -> dict:
    return {"data": np.zeros((9, 1)), "Rate": 1, "Units": "G", "Description": "D", "Alpha": "A"}


def test_truncated_copies(write, tmp_path):
    """Cut at any of many bytes, the file is refused, or every parameter that it still holds is the whole one's."""
    path = write(flight_variables())
    content, whole, refused = path.read_bytes(), load_dashlink(path), 0
    cuts = [9, 100, 127, 128, 130, 140, *range(150, len(content) - 1, len(content) // 60)]
    for cut in cuts:
        (tmp_path / "cut.mat").write_bytes(content[:cut])
        try:
            part = load_dashlink(tmp_path / "cut.mat")
        except DataError as error:
            assert "cut.mat" in str(error) and "fetch it again" in str(error)
            refused += 1
        else:
            assert all(np.array_equal(part[name].data, whole[name].data, equal_nan=True) for name in part)
    assert refused >= 0.9 * len(cuts)


def test_default_flight(write, monkeypatch):
    """Without a path, the registered flight is fetched."""
    path, asked = write(flight_variables()), []
    monkeypatch.setattr(registry, "fetch", lambda name: asked.append(name) or path)
    assert load_dashlink().path == path and asked == [FLIGHT] and FLIGHT in registry.names()


@pytest.fixture(scope="module")
def recorded():
    """The real flight; asked for by tests that are skipped without it."""
    started = time.time()
    flight = load_dashlink()
    return flight, time.time() - started


@real
def test_real_flight(recorded):
    """186 parameters, touchdown within 1 s of 6109.5 s, invalid codes masked in the documented shares."""
    flight, _ = recorded
    assert len(flight) == 186 and flight.duration == 6560
    assert abs(flight.touchdown - 6109.5) <= 1
    for name, share, low, high in (
        ("LATG", 0.010, -0.136, 0.123),
        ("LONG", 0.011, -0.218, 0.299),
        ("VRTG", 0.028, 0.795, 1.257),
    ):
        data = flight[name].data
        assert abs(flight[name].missing - share) < 1e-3 and low <= np.nanmin(data) < np.nanmax(data) <= high
    assert all(np.isnan(flight[f"OIT_{i}"].data).any() and np.nanmin(flight[f"OIT_{i}"].data) > 0 for i in range(1, 5))
    assert sum(np.nanmin(p.data) == np.nanmax(p.data) for p in flight.parameters.values()) == 41
    assert (flight["ALT"].units, flight["GS"].units, flight["NSQT"].units) == ("FEET", "KNOTS", "")
    assert abs(np.nanstd(flight["LATG"].data) - 0.0113) < 1e-4


@real
def test_real_rollout(recorded):
    """The 17 channels for 100 s after touchdown: nothing missing, on the ground, slowing down."""
    flight, _ = recorded
    for how in ("hold", "mean", "linear"):
        window = flight.window(0, 100, how=how)
        assert window.X.shape == (101, 17) and not np.isnan(window.X).any()
        assert (window["MSQT_1"] == 0).all() and 100 < window["GS"][0] < 110 and window["CAS"][-1] == 0
        assert np.abs(window["LATG"]).max() < 0.14


@real
def test_real_truncated(tmp_path):
    """A truncated copy of the real file is refused, wherever it is cut."""
    content = registry.fetch(FLIGHT).read_bytes()
    for share in (0.0001, 0.1, 0.5, 0.9, 0.999999):
        (tmp_path / "cut.mat").write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match="cut.mat .*fetch it again"):
            load_dashlink(tmp_path / "cut.mat")
