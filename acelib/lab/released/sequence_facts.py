"""Facts about the released network of the simulated sequences: imputation, its rule, the spike, attributions of x2.

The spike belongs to the second-order formula as the released notebook uses it: around a sequence of 15 zeros with the
covariance 0.2 I, averaged over a grid of α for the baseline. The sequence that the notebook explains and the baselines
that it prints are read from its text; they do not ship with this book.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from acelib import ApproximationWarning, InputDistribution, half_trace, interventional_expectation
from acelib.lab import gru
from acelib.lab.networks import stream
from acelib.lab.released.facts import Fact
from acelib.lab.released.folder import released_file
from acelib.lab.released.networks import SEQUENCES, released_sequences
from acelib.recurrent import unfold

NOTEBOOK, _EVALUATE = "Codes/Synthetic Dataset/toy_dataset.ipynb", "Codes/Synthetic Dataset/evaluate_lstm.py"
LONG, REACH, NUM = 15, 1.5, 100  # of the notebook's expansion: steps, and the grid from -1.5 to 1.5
GRIDS = (20, 50, 100, 200, 1000, 100_000)
MILLIONS, LENGTH, ROWS, EXPLAINED = 3, 12, 2000, 100
_CHECK, _POPULATION = 2 * 10**6, 3 * 10**6  # first seeds of the sequences, as in the chapter
_REDRAW = 4  # a stream of a seed: redrawn elements


def sequence_facts(folder: str | Path | None = None) -> dict[str, Fact]:
    """Return the facts about the released network of the simulated sequences.

    Args:
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if a file is missing or another one.

    References:
        Chattopadhyay et al. 2019, Sec. 5.2 and Fig. 3.
    """
    net = released_sequences(folder)
    baselines, explained = notebook_numbers(released_file(NOTEBOOK, folder=folder))
    return {**_imputation(net), **_rule(net), **_spike(net, baselines, explained), **_attributions(net, explained)}


def notebook_numbers(path: Path) -> tuple[list[float], Tensor]:
    """Return the 15 baselines that the notebook prints and the ``(12,)`` sequence it explains, read from its text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    lists = [re.search(start + r"(\[[^\]]*\])", text) for start in (r"expectation_do_x\s*=\s*", r"np\.array\(")]
    baselines, explained = (json.loads(found[1]) for found in lists if found)
    return baselines, torch.tensor(explained, dtype=torch.float64)


def _imputation(net: nn.Module) -> dict[str, Fact]:
    total = MILLIONS * 10**6
    flips, script = torch.zeros(4, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    wrong, distance = 0, 0.0
    for seed in range(MILLIONS):
        sequences = gru.make_sequences(10**6, seed=seed + _CHECK, dtype=torch.float32)
        check = gru.imputation_check(net, sequences, range(4), seed=seed)
        flips += check.counts[0]
        wrong += check.num - int(check.right.sum())
        distance += check.distance.sum().item()
        script += redrawn_flips(net, sequences, seed)
    files, unit = (*SEQUENCES, _EVALUATE), "per million"
    facts = {}
    for i, count in enumerate(flips.tolist()):
        what = f"predictions that change when x{i} is replaced by a draw from N(0, 0.2²)"
        facts[f"gru-flips-{i}"] = Fact(count / MILLIONS, 1, unit, what, files)
    for i, count in enumerate(script.tolist()):
        what = f"the same for x{i}, the other two signals drawn anew as well, as the released script does"
        facts[f"gru-script-flips-{i}"] = Fact(count / MILLIONS, 1, unit, what, files)
    facts["gru-wrong"] = Fact(wrong, 0, f"of {total}", "predictions on the wrong side of one half", SEQUENCES)
    closeness = 100 * (1 - distance / total)
    facts["gru-closeness"] = Fact(closeness, 1e-3, "%", "1 − mean |y − p|", files)
    return facts


def redrawn_flips(net: nn.Module, sequences: gru.Sequences, seed: int) -> Tensor:
    """Return the ``(3,)`` predictions that change when one signal is imputed and the other two are drawn anew.

    Args:
        net: a ``SequenceGRU``.
        sequences: labelled sequences.
        seed: seed of the draws.
    """
    generator = stream(seed, _REDRAW)
    changed = torch.zeros(3, dtype=torch.int64)
    for length in sequences.lengths.unique().tolist():
        x, labels = sequences.of_length(length)
        clean = gru.final_logits(net, x) > 0
        for i in range(3):
            new = 0.2 * torch.randn(len(x), 3, generator=generator) + (2 * labels[:, None] - 1)
            new[:, i] -= 2 * labels - 1
            changed[i] += ((gru.final_logits(net, torch.cat([new, x[:, 3:]], 1)) > 0) != clean).sum()
    return changed


def _rule(net: nn.Module) -> dict[str, Fact]:
    majority = tuple(bin(pattern).count("1") >= 2 for pattern in range(8))
    same = sum(a == b for a, b in zip(gru.rule_of(net), majority, strict=True))
    what = "sign patterns of x0, x1, x2 on which the network answers as the majority of the signs"
    return {"gru-majority": Fact(same, 0, "of 8", what, SEQUENCES)}


def _taylor(net: nn.Module, i: int, alphas: Tensor) -> Tensor:
    """Return the second-order expectation ``(num,)`` of element i, around zeros and with the covariance 0.2 I."""
    model = unfold(net, steps=LONG, features=1)
    points = torch.zeros(len(alphas), LONG, dtype=torch.float64)
    points[:, i] = alphas
    factor = 0.2**0.5 * torch.eye(LONG, dtype=torch.float64)
    return (model(points) + half_trace(model, points, factor, feature=i))[:, 0]


def _spike(net: nn.Module, printed: list[float], explained: Tensor) -> dict[str, Fact]:
    files = (*SEQUENCES, NOTEBOOK)
    alphas = torch.linspace(-REACH, REACH, NUM, dtype=torch.float64)
    curves = [_taylor(net, i, alphas) for i in range(LONG)]
    baselines = [curve.mean().item() for curve in curves]
    top = int(curves[2].argmax())
    on = f"grid of {NUM} values of α from −{REACH:g} to {REACH:g}"
    off = max(abs(a - b) for a, b in zip(baselines, printed, strict=True))
    height = curves[2][top].item()
    facts = {
        "gru-spike": Fact(height, 0.5, "", f"largest second-order expectation of x2 on the {on}", files),
        "gru-spike-at": Fact(alphas[top].item(), 1e-6, "", "the α where it is", files),
        "gru-spike-share": Fact(height / NUM, 5e-3, "", "what this one point adds to the baseline of x2", files),
        "gru-above-one": Fact(int((curves[2] > 1).sum()), 0, f"of {NUM}", "points of that grid above 1", files),
        "gru-baseline": Fact(baselines[2], 5e-3, "", f"baseline of x2 on the {on}", files),
        "gru-printed-gap": Fact(off, 5e-4, "", "largest gap between our 15 baselines and the printed ones", files),
    }
    for num in GRIDS:
        value = _taylor(net, 2, torch.linspace(-REACH, REACH, num, dtype=torch.float64)).mean().item()
        what = f"baseline of x2 on a grid of {num} values"
        facts[f"gru-baseline-{num}"] = Fact(value, max(2e-3, 1e-2 * abs(value)), "", what, files)
    for i in range(3):
        value = _taylor(net, i, explained[i : i + 1]).item() - baselines[i]
        what = f"second-order ACE of x{i} in the sequence that the notebook explains"
        facts[f"gru-taylor-ace-{i}"] = Fact(value, 5e-3, "", what, files)
    return facts


def _attributions(net: nn.Module, explained: Tensor) -> dict[str, Fact]:
    files = (*SEQUENCES, NOTEBOOK)
    model = unfold(net, steps=LENGTH, features=1)
    X = gru.make_sequences(ROWS, seed=_POPULATION, lengths=(LENGTH, LENGTH)).values
    rows = torch.cat([explained[None], X[:EXPLAINED]])
    gradients, inputs = gru.integrated_gradients(model, rows), InputDistribution.fit(X)
    silence = model(torch.zeros_like(rows[:1])).item()
    facts = {
        "gru-p": Fact(model(rows[:1]).item(), 1e-3, "", "output for that sequence", files),
        "gru-silence": Fact(silence, 1e-3, "", "output for twelve zeros", SEQUENCES),
    }
    effects, swings = [], []
    for i in range(3):
        grid = torch.linspace(X[:, i].min().item(), X[:, i].max().item(), 201, dtype=torch.float64)
        with warnings.catch_warnings():  # of standard errors, which are not used
            warnings.simplefilter("ignore", ApproximationWarning)
            values = torch.cat([grid, rows[:, i]])
            E = interventional_expectation(model, inputs, i, values, method="monte_carlo").values[:, 0]
        effects.append(E[201:] - E[:201].mean())
        swings.append((E[:201].max() - E[:201].min()).item())
    for name, how, sizes, tol in (
        ("ace", "ACE by the row average", torch.stack(effects, 1), 1e-5),
        ("ig", "IG", gradients, 1e-3),
    ):
        for i in range(3):
            facts[f"gru-{name}-{i}"] = Fact(sizes[0, i].item(), tol, "", f"{how} of x{i} in that sequence", files)
        for i in range(3):
            what = f"mean size over {EXPLAINED} sequences of {how} of x{i}"
            facts[f"gru-mean-{name}-{i}"] = Fact(sizes[1:, i].abs().mean().item(), tol, "", what, SEQUENCES)
    for i, swing in enumerate(swings):
        facts[f"gru-swing-{i}"] = Fact(swing, 1e-5, "", f"E[y | do(x{i} = α)] by the row average, range", SEQUENCES)
    return facts
