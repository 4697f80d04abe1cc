"""The authors' released networks, their numbers put into networks of this package in float64."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from acelib.lab.flights import flight_network
from acelib.lab.gru import SequenceGRU
from acelib.lab.networks import mlp
from acelib.lab.released.folder import released_file
from acelib.lab.released.reader import read_state
from acelib.recurrent import Recurrent

IRIS = "Models/iris_double_model_8"
SEQUENCES = ("Models/toy_lstm_trained_model", "Models/toy_output_layer_trained_model")
FLIGHTS = ("Models/lstm_trained_model", "Models/output_layer_trained_model")


def released_iris(folder: str | Path | None = None) -> nn.Sequential:
    """Return the released 4-8-3 network, ``(batch, 4) -> (batch, 3)`` logits.

    Args:
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if the file is missing or another one.

    References:
        Chattopadhyay et al. 2019, Sec. 5.1; ``Codes/Iris/train.ipynb`` of the released code.
    """
    state = read_state(released_file(IRIS, folder=folder))
    net, places = mlp((4, 8, 3)), {"hidden": "0", "out": "2"}
    net.load_state_dict({f"{places[name.split('.')[0]]}.{name.split('.')[1]}": w for name, w in state.items()})
    return net.eval().requires_grad_(False)


def released_sequences(folder: str | Path | None = None) -> SequenceGRU:
    """Return the released network with one hidden unit, ``(batch, steps, 1) -> (batch, 1)`` probabilities.

    Its files call it an LSTM; it is a GRU.

    Args:
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if a file is missing or another one.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2; ``Codes/Synthetic Dataset/toy_dataset.ipynb`` of the released code.
    """
    core, head = (read_state(released_file(name, folder=folder)) for name in SEQUENCES)
    net = SequenceGRU(0)
    net.load_state_dict({**_below("gru", core), **_below("linear", head)})
    return net.eval().requires_grad_(False)


def released_flights(folder: str | Path | None = None) -> Recurrent:
    """Return the released LSTM 17-15 with its linear layer, ``(batch, steps, 17) -> (batch, steps, 17)`` and state.

    Args:
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if a file is missing or another one.

    References:
        Chattopadhyay et al. 2019, Sec. 5.3; ``Codes/Aircraft/lstm.py`` of the released code.
    """
    core, head = (read_state(released_file(name, folder=folder)) for name in FLIGHTS)
    net = flight_network(0)
    net.load_state_dict({**_below("core", core), **_below("head", head)})
    return net.eval().requires_grad_(False)


def _below(prefix: str, state: dict) -> dict:
    return {f"{prefix}.{name}": value for name, value in state.items()}
