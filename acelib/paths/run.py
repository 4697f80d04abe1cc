"""One network, traced and recorded on its inputs, from which the treatment effects of any layer are computed.

Also the checks, draws and constants that all path interventions share.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import as_float_tensor
from .._devices import double
from .._fingerprint import stable
from .._models import as_chunk
from .._pool import Pool, Task
from .._warnings import warn_caller
from .batching import Recording, blocks, default_chunk, pieces
from .edges import edge_weights, parent_signals, reaching
from .results import TreatmentEffects
from .significance import MIN_INPUTS, Test
from .trace import INPUT, Layer, Trace, admitted_layers

EPSILON = 0.01  # half width of the interval that beta is drawn from
RECORDED = 64_000_000  # activations of the widest tensor that one recorded pass may hold
ROWS = 1024  # inputs a plain call takes where no chunk size is given

Step = Callable[[int], Any]  # adds finished work to a progress bar


def ignore(count: int) -> None:
    """Do nothing with ``count``: the step of a bar that is not shown."""


@contextmanager
def bar(show: bool, total: int, unit: str) -> Iterator[Step]:
    """Yield the function that adds finished work to a progress bar of length ``total``, where one is shown.

    Example:
        >>> with bar(False, 3, "rows") as step:
        ...     step(2)
    """
    if not show:
        yield ignore
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=f" {unit}", unit_scale=True, desc=f"{total:,} {unit}") as shown:
        yield shown.update


class Run:
    """A network, its trace and a recorded pass over the inputs, from which effects of any layer are computed.

    Args:
        model: the network.
        inputs: ``(n, *shape)``, at least 30.
        target: index of the explained output.
        chunk_size: network rows a call, None for a size that follows from the widest activation.
        executor: computes the effects of some nodes at a time; None does it here.
        parts: a folder in which finished parts are kept; None keeps nothing.

    Attributes:
        trace: the network's layers.
        observed: ``(n,)`` class output without intervention.
        outputs: ``(n, classes)`` all outputs without intervention.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int,
        *,
        chunk_size: int | None = None,
        executor: Executor | None = None,
        parts: str | os.PathLike | None = None,
    ) -> None:
        self.inputs = check_inputs(inputs)
        self.model, self.chunk_size = model, None if chunk_size is None else as_chunk(chunk_size)
        self.trace: Trace = admitted_layers(model, self.inputs)
        self.target = check_target(target, len(self.trace.outputs))
        widest = max(layer.width for layer in self.trace.layers)
        block = max(1, RECORDED // widest) if self.chunk_size is None else max(1, self.chunk_size // 2)
        self._blocks = list(blocks(len(self.inputs), block))
        self._recorded: tuple[int, Recording] | None = None  # the last block
        self._pool = None
        if executor is not None or parts is not None:
            content = _Sent(model, self.inputs, self.target, self.chunk_size)
            self._pool = Pool(executor, parts, content, lambda: stable(model, self.inputs, self.target))
        self.outputs = torch.cat([r.outputs for r in self.recordings()])
        self.observed = self.outputs[:, self.target]
        warn_probabilities(self.outputs)

    @property
    def num_inputs(self) -> int:
        """Number of inputs."""
        return len(self.inputs)

    def recordings(self) -> Iterator[Recording]:
        """Yield the recorded pass of each block of inputs; there is one where all fit."""
        for number in range(len(self._blocks)):
            yield self.recording(number)

    def recording(self, number: int) -> Recording:
        """Return the recorded pass of one block of inputs; the last one is kept."""
        if self._recorded is None or self._recorded[0] != number:
            self._recorded = None  # two at a time would take twice the memory
            self._recorded = number, self._record(self._blocks[number])
        return self._recorded[1]

    def differences(self, layer: Layer, targets: Sequence[int], betas: Tensor, step: Step = ignore) -> Tensor:
        """Return y(u) - y(w) ``(nodes, n)`` in float64 for interventions on all nodes of ``layer``, one at a time."""
        return self.measured(layer, targets, betas, step)[0]

    def effects(
        self, layer: Layer, targets: Sequence[int], betas: Tensor, rule: Test, step: Step = ignore
    ) -> TreatmentEffects:
        """Return the effects of all nodes of ``layer``, tested by ``rule``; all neutral where there are no targets."""
        if len(targets):
            found, rounding = self.measured(layer, targets, betas, step)
        else:
            found, rounding = torch.zeros(layer.num_nodes, self.num_inputs, dtype=torch.float64), 0.0
            step(found.numel())
        observed = self.observed.cpu().double()
        z, error = rule.scores(found, observed)
        decision, mean = rule.judge(z, found, rounding=rounding), found.mean(1)
        necessary, noisy, neutral = decision.roles()
        return TreatmentEffects(
            name=layer.name,
            kind=layer.kind,
            parents=self.trace.parents(layer),
            targets=tuple(targets),
            effects=mean,
            stderr=error,
            relative=mean / observed.mean().abs(),
            z=z,
            p=decision.p,
            p_adjusted=decision.p_adjusted,
            beta=betas,
            necessary=necessary,
            noisy=noisy,
            neutral=neutral,
            origins=self._origins(layer),
            differences=found,
            missing=_missing(layer, necessary, targets),
            untold=tuple(decision.untold.nonzero()[:, 0].tolist()),
        )

    def _record(self, block: slice) -> Recording:
        return Recording(self.model, self.trace, self.inputs[block])

    def measured(
        self, layer: Layer, targets: Sequence[int], betas: Tensor, step: Step = ignore
    ) -> tuple[Tensor, float]:
        """Return ``differences (nodes, n)`` and the size below which one of them is rounding."""
        parts = [self._of_block(number, layer, targets, betas, step) for number in range(len(self._blocks))]
        found = torch.cat([d for d, _ in parts], dim=1)
        floor = max(f for _, f in parts)
        return torch.where(found.abs().amax(1, keepdim=True) > floor, found, 0.0), floor

    def _of_block(
        self, number: int, layer: Layer, targets: Sequence[int], betas: Tensor, step: Step
    ) -> tuple[Tensor, float]:
        """Return the differences of one block and the size below which they are rounding."""
        r = self.recording(number)
        before, n = r.output_of(layer), len(r.outputs)
        y = double(r.outputs[:, self.target])
        d = torch.zeros(layer.num_nodes, n, dtype=torch.float64)
        with torch.no_grad():
            active = reaching(layer, r.input_of(layer), targets)
        each = list(pieces(active, n, self.chunk_size or default_chunk(layer)))
        rounding = 0.0
        for nodes, (change, rounded) in zip(each, self._changes(number, layer, targets, betas, each), strict=True):
            d[list(nodes)], rounding = change, max(rounding, rounded)
            step(len(nodes) * n)
        step((layer.num_nodes - len(active)) * n)
        floor = 4 * (torch.finfo(before.dtype).eps * float(y.abs().max()) + rounding)
        return d, floor

    def _changes(
        self, number: int, layer: Layer, targets: Sequence[int], betas: Tensor, each: Sequence[Sequence[int]]
    ) -> Iterator[tuple[Tensor, float]]:
        """Yield what ``change`` returns for some nodes after the others, by workers where there are any."""
        if self._pool is None:
            for nodes in each:
                yield self.change(number, layer, targets, betas[list(nodes)], nodes)
            return
        place = self.trace.layers.index(layer)
        which = f"inputs {self._blocks[number].start} to {self._blocks[number].stop - 1}"
        yield from self._pool.run(
            Task(
                change_of_nodes,
                (place, number, tuple(targets), betas[list(nodes)], tuple(nodes)),
                f"layer {layer.name!r}, nodes {nodes[0]} to {nodes[-1]}, {which}",
            )
            for nodes in each
        )

    def change(
        self, number: int, layer: Layer, targets: Sequence[int], betas: Tensor, nodes: Sequence[int]
    ) -> tuple[Tensor, float]:
        """Return y(u) - y(w) ``(nodes, inputs of the block)`` on the CPU, and the size of a row that did not change."""
        r = self.recording(number)
        before, a = r.output_of(layer), r.input_of(layer)
        axis = 2 if layer.convolution else before.ndim
        index = torch.as_tensor(list(targets), device=before.device)
        with torch.no_grad():
            scale = (betas - 1).to(before).reshape(-1, *[1] * before.ndim)
            rows = before.expand(len(nodes) + 1, *before.shape).clone()  # the last stays as it was
            rows[:-1].index_add_(axis, index, parent_signals(layer, a, nodes, targets) * scale)
            found = double(r.above(layer, rows)[..., self.target]) - double(r.outputs[:, self.target])
        return found[:-1].cpu(), float(found[-1].abs().max())

    def _origins(self, layer: Layer) -> tuple[tuple[tuple[str, int], ...], ...]:
        """Return for each node the (layer name, channel) pairs it descends from."""
        names = {x.index: x.name for x in self.trace.layers} | {INPUT: "input"}
        return tuple(tuple((names[p], channel) for p, channel in node) for node in layer.sources)


class _Sent:
    """What a worker needs for a run, which it makes when it first needs it."""

    def __init__(self, model: nn.Module, inputs: Tensor, target: int, chunk_size: int | None) -> None:
        self.given, self.made = (model, inputs, target, chunk_size), threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {"given": self.given}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.given, self.made = state["given"], threading.local()

    @property
    def run(self) -> Run:
        """The run, one for each thread: a recording is not made for two at a time."""
        if not hasattr(self.made, "run"):
            model, inputs, target, chunk_size = self.given
            self.made.run = Run(model, inputs, target, chunk_size=chunk_size)
        return self.made.run


def change_of_nodes(
    sent: _Sent, place: int, number: int, targets: Sequence[int], betas: Tensor, nodes: Sequence[int]
) -> tuple[Tensor, float]:
    """Return what ``Run.change`` returns for the layer at a place of the trace, in a worker."""
    run = sent.run
    return run.change(number, run.trace.layers[place], targets, betas, nodes)


def _missing(layer: Layer, necessary: Sequence[int], targets: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the pairs (necessary node, target) without a weight between them, as in grouped convolutions."""
    if not len(necessary) or not len(targets):
        return ()
    index = torch.as_tensor(list(targets), device=layer.module.weight.device)
    absent = edge_weights(layer, necessary, index).eq(0).flatten(2).all(2)
    return tuple((necessary[j], targets[t]) for t, j in absent.nonzero().tolist())


def draw_betas(count: int, intervention: str | float, epsilon: float, generator: torch.Generator) -> Tensor:
    """Return the factors ``(count,)`` on the weights: zeros, or draws from U(b - epsilon, b + epsilon), float64.

    Raises:
        ValueError: if ``intervention`` is neither "zero" nor a number between 0 and 1, or ``epsilon`` is negative.
    """
    if intervention == "zero":
        return torch.zeros(count, dtype=torch.float64)
    if isinstance(intervention, str | bool) or not 0 < intervention < 1:
        raise ValueError(f"intervention must be 'zero' or an attenuation between 0 and 1, got {intervention!r}")
    if epsilon < 0:
        raise ValueError(f"epsilon must be at least 0, got {epsilon}")
    draws = torch.rand(count, generator=generator, dtype=torch.float64)
    return intervention + epsilon * (2 * draws - 1)


def outputs_of(model: nn.Module, inputs: Tensor, chunk_size: int | None = None) -> Tensor:
    """Return the outputs ``(n, classes)`` on the CPU in float64, without gradients, ``chunk_size`` inputs a call.

    Each call gets a copy, into which the network may write.
    """
    with torch.no_grad():
        parts = inputs.split(as_chunk(chunk_size, ROWS))
        return torch.cat([model(part.clone()) for part in parts]).cpu().double()


def check_inputs(inputs: Any, minimum: int = MIN_INPUTS) -> Tensor:
    """Return ``inputs`` as a tensor ``(n, *shape)``.

    Raises:
        ValueError: for fewer than ``minimum`` rows, NaN, Inf or integers.
    """
    inputs = torch.as_tensor(inputs)
    if inputs.ndim < 2 or not inputs.is_floating_point():
        raise ValueError(
            f"inputs must be floating point (n, *shape), got {inputs.dtype} of shape {tuple(inputs.shape)}"
        )
    if len(inputs) < minimum:
        purpose = " for a test of means" if minimum == MIN_INPUTS else ""
        raise ValueError(f"inputs must hold at least {minimum} rows{purpose}, got {len(inputs)}; give more of them")
    return as_float_tensor(inputs, "inputs")


def check_labels(labels: Any, inputs: Tensor) -> Tensor:
    """Return ``labels`` as a tensor ``(n,)`` on the CPU.

    Raises:
        ValueError: if there is not one for each of ``inputs``.
    """
    labels = torch.as_tensor(labels).cpu()
    if labels.shape != (len(inputs),):
        raise ValueError(f"labels must hold one class per input, ({len(inputs)},), got {tuple(labels.shape)}")
    return labels


def check_target(target: int, outputs: int) -> int:
    """Return ``target`` as an int.

    Raises:
        ValueError: if it is not the index of one of ``outputs`` outputs.
    """
    if isinstance(target, bool) or int(target) != target or not 0 <= target < outputs:
        raise ValueError(f"target must be an output index from 0 to {outputs - 1}, got {target!r}")
    return int(target)


def warn_probabilities(outputs: Tensor) -> None:
    """Warn where the outputs look like probabilities: effects are meant on the values before the softmax."""
    sums = outputs.sum(1)
    if outputs.shape[1] > 1 and bool((outputs >= 0).all()) and bool((sums - 1).abs().max() < 1e-4):
        warn_caller(
            "model seems to return probabilities; path effects are defined on the outputs before the softmax",
            UserWarning,
        )
