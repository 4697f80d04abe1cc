"""What does a network that forecasts landings read in one? The ACE paper's flight experiment, on simulated landings.

An LSTM with 15 hidden units reads 17 channels second by second and predicts the next second; its predictions become its
inputs where the data end (Chattopadhyay et al. 2019, Sec. 5.3). Explained is the lateral acceleration LATG at 60 s
after touchdown, which the network says after reading seconds 0 to 59. A map holds, for every channel and second before,
ACE = E[LATG | do(x = the landing's value)] − mean over α of E[LATG | do(x = α)]. Five networks ship as a checkpoint;
``python -m acelib.lab.flights`` trains them again. Windows of real flights, and the scores of maps, stand in
``acelib.lab.flights.windows`` and ``acelib.lab.flights.scores``; all of it is offered here.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acelib.attribution import AverageCausalEffect
from acelib.lab import home
from acelib.lab.flights.scores import Separation, block, concentration, median_interval, score, separation
from acelib.lab.flights.windows import FLIGHTS_VARIABLE, FlightWindows, flight_files, flight_windows
from acelib.lab.landings import CHANNELS, load_landings
from acelib.lab.provenance import describe
from acelib.lab.training import load_shipped, save_weights, train
from acelib.recurrent import FeedbackSequences, Recurrent
from acelib.results import CausalRegressors

__all__ = [
    "FLIGHTS_VARIABLE",
    "FlightCurves",
    "FlightWindows",
    "Separation",
    "SETTINGS",
    "TARGET",
    "ace_curves",
    "block",
    "concentration",
    "counted_steps",
    "flight_files",
    "flight_network",
    "flight_windows",
    "integrated_gradient_maps",
    "load_networks",
    "median_interval",
    "push_sizes",
    "score",
    "separation",
    "train_network",
]

TARGET = 60  # s after touchdown; said by the network after it has read second 59
OUTPUT = "LATG"
HIDDEN = 15
SEEDS = (0, 1, 2, 3, 4)
SETTINGS = {"stages": ((600, 5e-3), (400, 1e-3)), "batch_size": 32}
_FILE = "flight-lstm.safetensors"
_WEIGHTS = 2  # keeps the generator of the initial weights apart from others


class _Predictions(nn.Module):
    """A sequence model without its state, as training wants it: (batch, steps, d) -> (batch, steps, d)."""

    def __init__(self, net: Recurrent):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]


def flight_network(
    seed: int = 0, *, channels: int = len(CHANNELS), hidden: int = HIDDEN, dtype: torch.dtype = torch.float64
) -> Recurrent:
    """An untrained LSTM with a linear layer behind it, (batch, steps, channels) -> (batch, steps, channels) and state.

    Args:
        seed: Of the weights, uniform in ±1/√hidden as torch's own.
        channels: Of one step, read and predicted.
        hidden: Units of the LSTM.
        dtype: Of the weights.

    References:
        Chattopadhyay et al. 2019, Sec. 5.3 (17 channels) and the released code (15 hidden units).

    Example:
        >>> y, state = flight_network(seed=0)(torch.zeros(2, 5, 17, dtype=torch.float64))
        >>> assert y.shape == (2, 5, 17) and state[0].shape == (1, 2, 15)
    """
    with torch.device("meta"):  # no draw from the global generator
        core = nn.LSTM(channels, hidden, batch_first=True, dtype=dtype)
        net = Recurrent(core, nn.Linear(hidden, channels, dtype=dtype))
    net = net.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed + (_WEIGHTS << 32))
    with torch.no_grad():
        for p in net.parameters():
            drawn = 2 * torch.rand(p.shape, generator=generator, dtype=torch.float64) - 1
            p.copy_(drawn / math.sqrt(hidden))
    return net.eval().requires_grad_(False)


def train_network(
    X: Tensor,
    seed: int = 0,
    *,
    stages: Sequence[tuple[int, float]] = SETTINGS["stages"],
    batch_size: int = SETTINGS["batch_size"],
    hidden: int = HIDDEN,
    progress: bool = False,
) -> tuple[Recurrent, Tensor]:
    """A network trained to predict the next second, in float64, and its mean squared error in each epoch (epochs,).

    Training itself runs in float32, with the data as inputs at every step.

    Args:
        X: Scaled sequences (n, steps, channels).
        seed: Of the weights and of the order of the sequences.
        stages: Epochs and learning rate of Adam, one pair after another.
        batch_size: Sequences a step.
        hidden: Units of the LSTM.
        progress: Whether to show a bar on standard error.

    References:
        Chattopadhyay et al. 2019, Sec. 5.3; Kingma and Ba 2015 (Adam).

    Example:
        >>> net, history = train_network(torch.rand(8, 6, 17), stages=((2, 1e-2),))
        >>> assert len(history) == 2 and net(torch.rand(1, 6, 17).double())[0].shape == (1, 6, 17)
    """
    X = X.float()
    net = flight_network(seed, channels=X.shape[2], hidden=hidden, dtype=torch.float32)
    model, history = _Predictions(net.requires_grad_(True).train()), []
    for stage, (epochs, lr) in enumerate(stages):
        result = train(
            model,
            X[:, :-1],
            X[:, 1:],
            loss="mse",
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed + 1000 * stage,
            progress=progress,
        )
        model = result.model
        history.append(result.history)
    return model.net.double().eval().requires_grad_(False), torch.cat(history)


def load_networks() -> tuple[tuple[Recurrent, ...], dict]:
    """The five shipped networks in float64, trained on the shipped simulated landings, and how they came about.

    Raises:
        DataError: The checkpoint is missing or not what it should be.

    Example:
        >>> from acelib.lab.flights import load_networks
        >>> networks, facts = load_networks()
        >>> assert len(networks) == 5 and facts["seeds"] == [0, 1, 2, 3, 4]
    """
    networks = nn.ModuleList([flight_network(s) for s in SEEDS])
    remedy = "restore it from the repository, or make it again by `python -m acelib.lab.flights`"
    facts = load_shipped(networks, home.data_file("checkpoints", _FILE), remedy)
    return tuple(networks), facts


@dataclass(frozen=True, eq=False)
class FlightCurves:
    """Causal regressors of one output for the seconds before it, all channels.

    Attributes:
        curves: Of the package, by feature such as ``LATG[59]``.
        lags: Seconds before the target (lags,), 1 first.
        channels: Names, in the order of a step.
        target: Second of the output.
        output: Channel of the output.
        low: Lower end of each channel's domain (channels,), the same at every second.
        high: Upper end (channels,).
    """

    curves: CausalRegressors
    lags: tuple[int, ...]
    channels: tuple[str, ...]
    target: int
    output: str
    low: Tensor
    high: Tensor

    def __getitem__(self, place: tuple[str, int]) -> Any:
        """The regressor of a channel at a lag, such as ``curves["LATG", 1]``."""
        channel, lag = place
        return self.curves[f"{channel}[{self.target - lag}]", self.output]

    def read_off(self, X: Tensor, *, baseline: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """ACE of landings, (n, lags, channels), and its standard error; values outside a domain count as its end.

        Args:
            X: Scaled landings (n, steps, channels).
            baseline: Scaled landings over whose values the baseline averages; default the uniform one of Eq. 1.
        """
        if baseline is None:
            return self._each(X, lambda curve, x: torch.stack(curve.ace(x, return_std=True)))
        met = iter([x for lag in self.lags for x in self._values(baseline, lag).T])

        def relative(curve: Any, x: Tensor) -> Tensor:
            return torch.stack(curve.with_baseline(("data", next(met))).ace(x, return_std=True))

        return self._each(X, relative)

    def pushed(self, X: Tensor, sizes: Tensor) -> Tensor:
        """E[y | do(x + size)] − E[y | do(x)] at the landings' values, (n, lags, channels).

        A push that would leave the domain goes as far as the domain does.

        Args:
            X: Scaled landings (n, steps, channels).
            sizes: Scaled push of each channel (channels,).
        """
        place = iter(sizes.tolist() * len(self.lags))

        def difference(curve: Any, x: Tensor) -> Tensor:
            further = (x + next(place)).clamp(curve.low, curve.high)
            return (curve.predict(further) - curve.predict(x))[None]

        return self._each(X, difference)[0]

    def distance(self, X: Tensor) -> Tensor:
        """|x − mid| / range, (n, lags, channels): what a landing's map would be if every curve were the same line."""
        x = torch.stack([self._values(X, lag) for lag in self.lags], dim=1)
        return (x - (self.low + self.high) / 2).abs() / (self.high - self.low)

    def _values(self, X: Tensor, lag: int) -> Tensor:
        return X[:, self.target - lag].double().clamp(self.low, self.high)

    def _each(self, X: Tensor, read: Callable) -> tuple[Tensor, ...]:
        rows = []
        for lag in self.lags:
            x = self._values(X, lag)
            rows.append(torch.stack([read(self[c, lag], x[:, i]) for i, c in enumerate(self.channels)], dim=-1))
        return torch.stack(rows, dim=2).unbind(0)


def ace_curves(
    net: Recurrent,
    X: Tensor,
    *,
    lags: Sequence[int] = tuple(range(1, 11)),
    num: int = 33,
    target: int = TARGET,
    output: str = OUTPUT,
    channels: Sequence[str] = CHANNELS,
    domain: tuple[float, float] = (0.0, 1.0),
    method: str = "monte_carlo",
    groups: Any = None,
) -> FlightCurves:
    """Causal regressors of all channels at some lags, from sequences simulated again under each value.

    Args:
        net: The network.
        X: Scaled sequences (n, steps, channels), the population.
        lags: Seconds between the intervened input and the output, 1 or more.
        num: Values of α, at Chebyshev points of the domain.
        target: Second of the output; the network reads the seconds before.
        output: Channel of the output.
        channels: Names of the channels.
        domain: Of every channel.
        method: As in ``interventional_expectation``: averages over rows, or ``"taylor"`` from simulated moments.
        groups: Labels of dependent sequences (n,), for the standard errors.

    References:
        Chattopadhyay et al. 2019, Sec. 4.3 and 4.5.

    Example:
        >>> curves = ace_curves(flight_network(0), torch.rand(20, 12, 17).double(), lags=[1, 2], num=5, target=10)
        >>> effects, errors = curves.read_off(torch.rand(3, 12, 17).double())
        >>> assert effects.shape == errors.shape == (3, 2, 17)
    """
    lags = tuple(int(lag) for lag in lags)
    if not lags or min(lags) < 1 or max(lags) > target:
        raise ValueError(f"lags are {lags}, expected whole seconds from 1 to the target {target}")
    inputs = FeedbackSequences(net, X, target_step=target - 1, channels=channels, domain=domain)
    features = [inputs.feature((target - lag, c))[0] for lag in lags for c in range(len(channels))]
    ace = AverageCausalEffect(
        inputs.model,
        inputs,
        method=method,
        budget=num * len(features) * len(X),
        groups=groups,
        target_names=channels,
    )
    curves = ace.regress(features, [output], num, grid="chebyshev")
    ends = (torch.full((len(channels),), float(end), dtype=torch.float64) for end in domain)
    return FlightCurves(curves, lags, tuple(channels), target, output, *ends)


def integrated_gradient_maps(
    net: Recurrent,
    X: Tensor,
    baseline: Tensor,
    *,
    lags: Sequence[int] = tuple(range(1, 11)),
    target: int = TARGET,
    output: int = CHANNELS.index(OUTPUT),
    steps: int = 50,
) -> tuple[Tensor, float]:
    """Integrated gradients of the output by Captum, (n, lags, channels), and their largest completeness gap.

    The network is taken as a function of all the seconds that it reads, as Captum takes it.

    Args:
        net: The network.
        X: Scaled landings (n, steps, channels).
        baseline: Scaled landing (steps, channels) or (channels,) to start from.
        lags: Which seconds of the map to return.
        target: Second of the output.
        output: Number of the output's channel.
        steps: Of the path, Gauss–Legendre points.

    Returns:
        The maps and max |sum of a map over all seconds − (f(x) − f(baseline))|.

    Example:
        >>> x = torch.rand(2, 12, 17).double()
        >>> maps, gap = integrated_gradient_maps(flight_network(0), x, torch.zeros(17), lags=[1], target=10)
        >>> assert maps.shape == (2, 1, 17) and gap < 1e-5
    """
    from captum.attr import IntegratedGradients

    def last(x: Tensor) -> Tensor:
        return net(x)[0][:, -1]

    x = X[:, :target].double()
    start = baseline[..., :target, :] if baseline.ndim > 1 else baseline
    start = start.to(x).expand(x.shape[1:])[None]
    found, gap = IntegratedGradients(last).attribute(
        x,
        start.expand_as(x).contiguous(),
        target=output,
        n_steps=steps,
        return_convergence_delta=True,
        internal_batch_size=2500,
    )
    return found[:, [target - lag for lag in lags]].detach(), gap.abs().max().item()


def push_sizes(sizes: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Pushes in units (channels,) on the scale on which ``low`` is 0 and ``high`` is 1; constant channels give 0."""
    span = high - low
    return torch.where(span > 0, sizes / torch.where(span > 0, span, 1.0), 0.0)


@contextmanager
def counted_steps(net: nn.Module) -> Iterator[list[int]]:
    """Counts steps of a recurrent network, rows times seconds, while the block runs; the list's only number.

    Example:
        >>> net = flight_network(0)
        >>> with counted_steps(net) as steps:
        ...     _ = net(torch.zeros(4, 5, 17, dtype=torch.float64))
        >>> assert steps == [20]
    """
    steps = [0]

    def add(module: nn.Module, args: tuple) -> None:
        steps[0] += args[0].shape[0] * args[0].shape[1]

    handle = net.register_forward_pre_hook(add)
    try:
        yield steps
    finally:
        handle.remove()


def main() -> int:
    """Train the shipped networks anew and write them, ``python -m acelib.lab.flights``; returns the exit status."""
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
        "settings": SETTINGS,
        "data": "simulated landings, shipped set",
        **describe(seed=0, profile="full", started=started, data=X),
    }
    path = Path(home.data_dir()) / "checkpoints" / _FILE
    save_weights(nn.ModuleList(networks), path, facts)
    print(f"{path.name}, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
