"""One recorded flight of NASA's DASHlink sample data, as named arrays with units and times.

Every file has the same structure: a MATLAB 5 file with one (1, 1) struct per parameter, whose fields are ``data``
(N, 1), ``Rate`` (Hz), ``Units``, ``Description`` and ``Alpha``. There is no time variable: sample i of a parameter was
taken at i / Rate seconds after the start, and all parameters start together. The type of ``data`` changes from file to
file, because integers are stored as narrowly as they fit, so everything is cast to float64 before any arithmetic. A
few sensors write a code where they had no value; those samples become NaN.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acelib.lab.datasets import registry
from acelib.lab.datasets.registry import DataError
from acelib.lab.datasets.resampling import resample

FLIGHT = "dashlink/666200402020631.mat"
CHANNELS = (
    "ALT",
    "AOA1",
    "AOA2",
    "CAS",
    "GS",
    "LATG",
    "LONG",
    "MH",
    "MSQT_1",
    "MSQT_2",
    "NSQT",
    "PTCH",
    "ROLL",
    "TAT",
    "VRTG",
    "WD",
    "WS",
)
CIRCULAR = frozenset(("CRSS", "HDGS", "MH", "TH", "TRK", "TRKM", "WD"))  # degrees that jump from 180 to −180
CODES: dict[str, float] = {
    "LATG": -1.0833,
    "LONG": -1.0833,
    "VRTG": -3.375,
    "OIT_1": -390,
    "OIT_2": -390,
    "OIT_3": -390,
    "OIT_4": -390,
    "LATP": 0,
    "LONP": 0.3515625,
    "GMT_HOUR": 45,
    "GMT_MINUTE": 165,
}
_FIELDS = ("data", "Rate", "Units", "Description", "Alpha")
_SQUAT = ("MSQT_1", "MSQT_2")
_REMEDY = "fetch it again, or compare its size and checksum with those of the publisher"


@dataclass(frozen=True, eq=False)
class Parameter:
    """One recorded parameter.

    Attributes:
        name: name in the file, such as ``LATG``.
        data: samples ``(N,)``, float64, in ``units``; NaN where the sensor wrote its code for "no value".
        rate: samples per second.
        units: as recorded, such as ``FEET``; empty for switches.
        description: as recorded, such as ``LATERAL ACCELERATION``.
        alpha: the recorder's own name, with the dots and slashes that a variable's name cannot have.
    """

    name: str
    data: np.ndarray
    rate: float
    units: str
    description: str
    alpha: str

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        units = f" [{self.units}]" if self.units else ""
        return f"Parameter({self.name}{units}: {len(self)} samples at {self.rate:g} Hz, {self.description.lower()})"

    @property
    def times(self) -> np.ndarray:
        """Seconds since the start of the recording (N,), one per sample."""
        return np.arange(len(self.data)) / self.rate

    @property
    def missing(self) -> float:
        """The share of the samples that hold no value."""
        return float(np.isnan(self.data).mean())


@dataclass(frozen=True, eq=False)
class Window:
    """Some parameters of one flight at common times.

    Attributes:
        X: values ``(times, channels)``, float64.
        times: seconds since touchdown, or since the start of the recording, ``(times,)``.
        channels: names, one per column of X.
        units: one per column of X; empty for switches.
    """

    X: np.ndarray
    times: np.ndarray
    channels: tuple[str, ...]
    units: tuple[str, ...]

    def __getitem__(self, channel: str) -> np.ndarray:
        """Return the values ``(times,)`` of one channel."""
        return self.X[:, _position(self.channels, channel, "this window")]

    def __repr__(self) -> str:
        span = f"{self.times[0]:g} to {self.times[-1]:g} s"
        return f"Window({len(self.times)} times from {span}, {len(self.channels)} channels)"


@dataclass(frozen=True, eq=False)
class Flight:
    """A recorded flight: its parameters, read as ``flight["LATG"]``, and the instant of touchdown.

    Attributes:
        path: the file.
        parameters: parameters by name, in the order of the file.
        duration: seconds of recording, the same for every parameter.
    """

    path: Path
    parameters: Mapping[str, Parameter]
    duration: float

    def __getitem__(self, name: str) -> Parameter:
        count = f"{len(self.parameters)} parameters" + (" of 186" if len(self.parameters) < 186 else "")
        _position(tuple(self.parameters), name, f"{self.path.name}, which holds {count}")
        return self.parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __contains__(self, name: object) -> bool:
        return name in self.parameters

    def __repr__(self) -> str:
        return f"Flight({self.path.name}: {len(self)} parameters, {self.duration:g} s)"

    @functools.cached_property
    def touchdown(self) -> float:
        """Seconds since the start at which the aircraft stood on both main gears for good, to 0.5 s.

        The squat switches MSQT_1 and MSQT_2 read 1 while their gear is extended and unloaded; the last step from 1 to
        0, of whichever gear came last, is the end of the last bounce.

        Raises:
            DataError: if there is no squat switch or no such step, or if the aircraft gains speed after it, as it does
                when the recording ends before the landing.
        """
        switches = [self.parameters[name] for name in _SQUAT if name in self.parameters]
        if not switches:
            self[_SQUAT[0]]  # raises, and says what the file holds instead
        last = [np.flatnonzero((s.data[:-1] == 1) & (s.data[1:] == 0)) for s in switches]
        instants = [(steps[-1] + 1) / s.rate for steps, s in zip(last, switches, strict=True) if len(steps)]
        if not instants:
            raise DataError(
                f"{self.path.name} has no touchdown: neither main gear's squat switch ever steps from 1 to 0; it is no "
                "complete flight, so choose another file"
            )
        instant = max(instants)
        if self._gains_speed(instant):
            raise DataError(
                f"{self.path.name} has no touchdown: the aircraft gains speed after the last step of its squat "
                f"switches, at {instant:g} s; the recording ends before the landing, so choose another file"
            )
        return instant

    def window(
        self,
        start: float,
        stop: float,
        channels: Sequence[str] = CHANNELS,
        rate: float = 1.0,
        *,
        how: str = "hold",
        since: str = "touchdown",
    ) -> Window:
        """Return parameters at the common times start, start + 1/rate, … up to and including stop.

        Args:
            start: seconds since touchdown; may be negative.
            stop: seconds since touchdown; ``window(0, 100)`` is the rollout that the simulated landings cover.
            channels: names of parameters; default: those of the flight experiment.
            rate: common rate in Hz.
            how: ``"hold"`` takes the last valid sample at or before each time: recorded values, with their noise and
                steps. ``"mean"`` averages the valid samples of the 1/rate seconds up to and including each time, which
                takes away what is too fast for the common rate and looks at no later sample. ``"linear"`` interpolates
                between the valid samples around each time. Switches are held in every case, angles that wrap at ±180°
                are averaged and interpolated along the shorter arc.
            since: ``"touchdown"``, or ``"start"`` to count seconds from the start of the recording.

        Raises:
            ValueError: for an unknown ``how`` or ``since``, a rate that is not positive, or no time from start to stop.
            DataError: if a parameter is missing or has no valid sample, or if the recording does not cover the times.

        Example:
            >>> from acelib.lab.datasets.dashlink import Flight, Parameter
            >>> import numpy as np
            >>> from pathlib import Path
            >>> ramp = Parameter("ALT", np.arange(40.0), 4.0, "FEET", "ALTITUDE", "ALT")
            >>> flight = Flight(Path("made-up.mat"), {"ALT": ramp}, 10.0)
            >>> assert flight.window(1, 3, ["ALT"], since="start")["ALT"].tolist() == [4, 8, 12]
            >>> assert flight.window(1, 3, ["ALT"], how="mean", since="start")["ALT"].tolist() == [2.5, 6.5, 10.5]
        """
        if since not in ("touchdown", "start"):
            raise ValueError(f"since must be 'touchdown' or 'start', got {since!r}")
        if not rate > 0:
            raise ValueError(f"rate must be a positive number of samples per second, got {rate}")
        if not stop >= start:
            raise ValueError(f"stop must be at or after start, got {stop} and {start}")
        chosen = [self[name] for name in channels]
        times = start + np.arange(int(np.floor((stop - start) * rate + 1e-9)) + 1) / rate
        instants = times + (self.touchdown if since == "touchdown" else 0)
        if instants[0] < 0 or instants[-1] > self.duration:
            raise DataError(
                f"start {start} and stop {stop} ask for {instants[0]:g} to {instants[-1]:g} s of {self.path.name}, "
                f"which covers 0 to {self.duration:g} s; choose times inside it"
            )
        X = np.stack([_column(p, instants, rate, how) for p in chosen], axis=1)
        return Window(X, times, tuple(p.name for p in chosen), tuple(p.units for p in chosen))

    def _gains_speed(self, instant: float) -> bool:
        """Return True where the airspeed is higher a minute later, or at the end, than at the instant."""
        if "CAS" not in self.parameters:
            return False
        speed = self.parameters["CAS"]
        at = int(instant * speed.rate)
        later = speed.data[at : at + int(60 * speed.rate) + 1]
        return len(later) > 0 and bool(later[-1] > later[0] + 10)


def load_dashlink(path: str | Path | None = None, *, codes: Mapping[str, float] | None = None) -> Flight:
    """Return a DASHlink flight: every parameter as a float64 array with rate and units, codes for "no value" NaN.

    Args:
        path: a ``.mat`` file of the DASHlink sample flight data; None takes the registered flight of tail 666, from
            ``ACELIB_DATA``, the cache or the network.
        codes: what a parameter's sensor writes where it has no value, instead of ``CODES``: −1.0833 g for LATG and
            LONG, −3.375 g for VRTG, −390° for the oil temperatures, and the defaults of position and clock.

    Raises:
        DataError: if the file is missing, truncated, no MATLAB 5 file, or of another structure.

    References:
        B. Matthews, *Sample Flight Data*, NASA DASHlink, 2012.

    Example:
        >>> from acelib.lab.datasets.dashlink import load_dashlink
        >>> try:
        ...     load_dashlink("no-such-flight.mat")
        ... except RuntimeError as error:
        ...     assert "no-such-flight.mat" in str(error)
    """
    path = registry.fetch(FLIGHT) if path is None else Path(path)
    variables = _read(path)
    codes = CODES if codes is None else codes
    parameters = {name: _parameter(path, name, value, codes.get(name)) for name, value in variables.items()}
    durations = {name: len(p) / p.rate for name, p in parameters.items()}
    duration = max(durations.values())
    short = sorted(name for name, seconds in durations.items() if duration - seconds > 4)  # one sample at 0.25 Hz
    if short:
        raise DataError(
            f"{path} is of another structure, or damaged: {short[0]} ends after {durations[short[0]]:g} s and other "
            f"parameters after {duration:g} s, expected one duration; {_REMEDY}"
        )
    return Flight(path, parameters, duration)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the variables of a MATLAB 5 file by name; DataError where it is none."""
    import scipy.io

    if not path.is_file():
        raise DataError(f"path must be a DASHlink flight (.mat), got {path}, which is no file")
    size = path.stat().st_size
    with path.open("rb") as stream:
        if not stream.read(10).startswith(b"MATLAB 5.0"):
            raise DataError(f"{path} ({size} bytes) must be a DASHlink flight, got no MATLAB 5 file; {_REMEDY}")
    try:
        content = scipy.io.loadmat(path)
    except Exception as error:  # scipy raises half a dozen types, depending on the byte at which the file ends
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} ({size} bytes) is truncated or damaged ({reason}); {_REMEDY}") from None
    variables = {name: value for name, value in content.items() if not name.startswith("__")}
    if not variables:
        raise DataError(f"{path} ({size} bytes) ends after its header and holds no parameter; {_REMEDY}")
    return variables


def _parameter(path: Path, name: str, value: np.ndarray, code: float | None) -> Parameter:
    """Return one variable as a ``Parameter``; DataError where it is not what every DASHlink file has."""
    wrong = f"{path} is of another structure: variable {name}"
    expected = f"expected a (1, 1) struct with the fields {', '.join(_FIELDS)}, as in every DASHlink flight"
    fields = getattr(value.dtype, "names", None) or ()
    if value.shape != (1, 1) or not set(_FIELDS) <= set(fields):
        what = f"has the fields {', '.join(fields)}" if fields else f"is an array {value.shape} of {value.dtype}"
        raise DataError(f"{wrong} {what}, {expected}")
    record = value[0, 0]
    data, rate = np.asarray(record["data"]), np.asarray(record["Rate"])
    if data.dtype.kind not in "iufb" or data.ndim != 2 or data.shape[1] != 1 or len(data) == 0:
        raise DataError(f"{wrong} has data {data.shape} of {data.dtype}, expected numbers (N, 1)")
    if rate.size != 1 or rate.dtype.kind not in "iuf" or not 0 < float(rate.item()) < 1e4:
        raise DataError(f"{wrong} has Rate {rate.tolist()}, expected one positive number of samples per second")
    samples = data[:, 0].astype(np.float64)  # before any arithmetic: narrow unsigned integers would wrap
    if code is not None:
        samples[np.abs(samples - code) < 1e-4] = np.nan
    texts = (_text(record[field]) for field in ("Units", "Description", "Alpha"))
    return Parameter(name, samples, float(rate.item()), *texts)


def _text(field: np.ndarray) -> str:
    """Return a text field; empty where the file has an empty array, as the switches have for their units."""
    flat = np.asarray(field).ravel()
    return str(flat[0]).strip("<> ") if flat.size and flat.dtype.kind == "U" else ""


def _column(parameter: Parameter, instants: np.ndarray, rate: float, how: str) -> np.ndarray:
    """Return one parameter at the given instants."""
    if np.isnan(parameter.data).all():
        raise DataError(f"parameter {parameter.name} has no valid sample in this flight; leave it out")
    switch = np.isin(parameter.data, (0, 1)).all()
    return resample(
        parameter.data, parameter.rate, instants, rate, how=how, circular=parameter.name in CIRCULAR, switch=switch
    )


def _position(names: Sequence[str], name: str, where: str) -> int:
    """Return the place of a name; DataError with the names most like it where it is missing."""
    if name in names:
        return list(names).index(name)
    near = difflib.get_close_matches(str(name).upper(), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(list(names)[:10])} …"
    raise DataError(f"parameter {name!r} is missing in {where}; {hint}")
