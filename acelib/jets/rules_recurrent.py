"""nn.RNN, nn.GRU, nn.LSTM and their cells, unrolled step by step with the rules of their parts.

The kernels get weights as one flat list, (W_ih, W_hh, b_ih, b_hh) for each layer and direction. The products with
W_ih need no state and are taken for all steps at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .kinds import composite
from .registry import provide
from .tensor import MissingRule


def _gru(gates, state, w, b, _):
    """Return h' = (1 − z) n + z h, with n = tanh(W_in x + r (W_hn h))."""
    (h,) = state
    reset, update, new = gates.chunk(3, -1)
    hidden_reset, hidden_update, hidden_new = F.linear(h, w, b).chunk(3, -1)
    keep = torch.sigmoid(update + hidden_update)
    candidate = torch.tanh(new + torch.sigmoid(reset + hidden_reset) * hidden_new)
    return (candidate + keep * (h - candidate),)


def _lstm(gates, state, w, b, projection):
    """Return h' = o tanh(c') and c' = f c + i g, h' projected where proj_size is set."""
    h, c = state
    enter, forget, new, leave = (gates + F.linear(h, w, b)).chunk(4, -1)
    c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(new)
    h = torch.sigmoid(leave) * torch.tanh(c)
    return (h if projection is None else F.linear(h, projection), c)


def _simple(activation):
    def step(gates, state, w, b, _):
        return (activation(gates + F.linear(state[0], w, b)),)

    return step


STEPS = {"gru": _gru, "lstm": _lstm, "rnn_tanh": _simple(torch.tanh), "rnn_relu": _simple(torch.relu)}


def _run(step, x, state, weights, reverse: bool):
    """Return outputs ``(T, B, ·)`` and the last state of one layer in one direction over ``(T, B, ·)``."""
    w_in, w_state, b_in, b_state, projection = weights
    gates = F.linear(x, w_in, b_in).unbind(0)
    outputs = []
    for gate in reversed(gates) if reverse else gates:
        state = step(gate, state, w_state, b_state, projection)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if reverse else outputs), state


def _layers(flat, biased: bool, count: int) -> list[tuple]:
    """Return the flat list in groups (W_ih, W_hh, b_ih, b_hh, W_hr), None where there is none."""
    size = len(flat) // count
    groups = []
    for start in range(0, len(flat), size):
        part = list(flat[start : start + size])
        b_in, b_state = (part[2], part[3]) if biased else (None, None)
        projection = part[-1] if size - (4 if biased else 2) else None
        groups.append((part[0], part[1], b_in, b_state, projection))
    return groups


def _network(name: str):
    """Return the rule of one kind of recurrent network."""

    def rule(x, states, flat, biased, num_layers, dropout, training, bidirectional, batch_first=False):
        if isinstance(flat, bool) or not isinstance(flat, (list, tuple)):
            raise MissingRule(f"{name} on a packed sequence")
        if training and dropout:
            raise MissingRule(f"{name} with dropout in training mode")
        x = x.transpose(0, 1) if batch_first else x
        directions = 2 if bidirectional else 1
        groups = _layers(flat, biased, num_layers * directions)
        states = states if isinstance(states, (list, tuple)) else (states,)
        last = []
        for layer in range(num_layers):
            outputs = []
            for way in range(directions):
                number = layer * directions + way
                start = tuple(s[number] for s in states)
                out, end = _run(STEPS[name], x, start, groups[number], reverse=way == 1)
                outputs.append(out)
                last.append(end)
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        finals = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        return (x.transpose(0, 1) if batch_first else x, *finals)

    return composite(rule)


def _cell(name: str):
    """Return the rule of one step: the gates of the input, then the step."""

    def rule(x, state, w_in, w_state, b_in=None, b_state=None):
        state = state if isinstance(state, (list, tuple)) else (state,)
        result = STEPS[name](F.linear(x, w_in, b_in), tuple(state), w_state, b_state, None)
        return result if len(result) > 1 else result[0]

    return composite(rule)


for _name in STEPS:
    provide(_network(_name), _name)
    provide(_cell(_name), f"{_name}_cell")
