"""How much does a node matter along its paths? Treatment effects of interventions on weights (Def. 1).

The node j of one layer acts on a set of target nodes of the next through its weights w_j. The effect of replacing
them by u is y(u) - y(w), the difference of the class output before the softmax, over a set of inputs. Discrete: u = 0.
Continuous: u = beta * w with beta ~ U(b - eps, b + eps). Tests are on differences; a ratio changes sign with the logit
and is only shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .batching import Recording, blocks, default_chunk, pieces
from .edges import contributions, edge_weights, reaching
from .significance import MIN_INPUTS, adjust, check_options, p_values, z_scores
from .trace import INPUT, Layer, Trace, trace_layers

EPSILON = 0.01  # half width of the interval that beta is drawn from
RECORDED = 64_000_000  # activations of the widest tensor that one recorded pass may hold


@dataclass(frozen=True, repr=False)
class TreatmentEffects:
    """Effects of all parent nodes of one layer on the class output, with their tests.

    Attributes:
        name: the layer whose weights were intervened on; its nodes are the channels or neurons it reads.
        kind: "Conv2d" or "Linear".
        parents: names of the layers those nodes belong to; "input" for the network's input.
        targets: output channels of the layer that were intervened on together.
        effects: ``(nodes,)`` mean change of the class output, in its unit; negative where the node is needed.
        stderr: ``(nodes,)`` standard error of the tested difference.
        relative: ``(nodes,)`` effects over the absolute mean class output; shown, not tested.
        z: ``(nodes,)`` z-scores.
        p: ``(nodes,)`` two-sided p-values.
        p_adjusted: ``(nodes,)`` p-values adjusted for the nodes of this layer, on which the decision rests.
        beta: ``(nodes,)`` factor that stood on the weights; 0 for removal.
        necessary: nodes whose removal lowers the class output significantly.
        noisy: nodes whose removal raises it significantly.
        neutral: all others.
        origins: for each node, the (layer, channel) pairs it descends from.
        differences: ``(nodes, n)`` change of the class output, input by input; None after loading from a file.
    """

    name: str
    kind: str
    parents: tuple[str, ...]
    targets: tuple[int, ...]
    effects: Tensor
    stderr: Tensor
    relative: Tensor
    z: Tensor
    p: Tensor
    p_adjusted: Tensor
    beta: Tensor
    necessary: tuple[int, ...]
    noisy: tuple[int, ...]
    neutral: tuple[int, ...]
    origins: tuple[tuple[tuple[str, int], ...], ...] = field(repr=False)
    differences: Tensor | None = field(default=None, repr=False)
    missing: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    @property
    def num_nodes(self) -> int:
        """Number of parent nodes."""
        return len(self.effects)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs (necessary node, target) that a weight connects."""
        absent = set(self.missing)
        pairs = ((j, t) for j in self.necessary for t in self.targets)
        return tuple(pair for pair in pairs if pair not in absent)

    def __repr__(self) -> str:
        low, high = (float(self.effects.min()), float(self.effects.max())) if self.num_nodes else (0.0, 0.0)
        return (
            f"TreatmentEffects({self.name}: {self.num_nodes} nodes of {', '.join(self.parents)} -> "
            f"{len(self.targets)} targets; {len(self.necessary)} necessary, {len(self.noisy)} noisy, "
            f"{len(self.neutral)} neutral; effects {low:.3g} to {high:.3g})"
        )

    def plot(self, **options: Any) -> Any:
        """Draw the effects as bars with error bars; return the axes."""
        from ..plots.graphs import plot_effects

        return plot_effects(self, **options)

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per node."""
        import pandas as pd

        role = {j: "necessary" for j in self.necessary} | {j: "noisy" for j in self.noisy}
        columns = {"layer": [self.name] * self.num_nodes, "node": list(range(self.num_nodes))}
        columns |= {"role": [role.get(j, "neutral") for j in range(self.num_nodes)]}
        for name in ("effects", "stderr", "relative", "z", "p", "p_adjusted", "beta"):
            columns[name] = getattr(self, name).tolist()
        return pd.DataFrame(columns)


def treatment_effects(
    model: nn.Module,
    inputs: Tensor,
    target: int,
    layer: str,
    *,
    targets: Sequence[int] | None = None,
    intervention: str | float = "zero",
    epsilon: float = EPSILON,
    alpha: float = 0.05,
    test: str = "paired",
    correction: str | None = None,
    chunk_size: int | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> TreatmentEffects:
    """Return the effect of every parent node of ``layer`` on the output ``target``, with its test.

    Args:
        model: a network ``(batch, *shape) -> (batch, outputs)`` with Linear or Conv2d layers, in evaluation mode,
            returning the values before the softmax.
        inputs: ``(n, *shape)``, at least 30.
        target: index of the explained output.
        layer: name of the Linear or Conv2d whose weights are intervened on.
        targets: output channels of that layer whose weights are intervened on together; all where None.
        intervention: "zero" removes the weights; a number b in (0, 1) scales each node's weights by its own
            beta ~ U(b - epsilon, b + epsilon).
        epsilon: half width of that interval.
        alpha: level of the two-sided test.
        test: "paired" or "unpaired".
        correction: None, "holm" or "fdr", over the nodes of the layer.
        chunk_size: network rows a call; bounds memory.
        seed: of the betas; None and 0 draw the same.
        progress: show a progress bar over the rows.

    Raises:
        TypeError: if the model is no module.
        ValueError: for fewer than 30 inputs, NaN, unknown names or indices, a model without such layers, with shared
            weights or a layer called twice.

    References:
        Ahmad et al. (2023), Definition 1, Eq. 1-2.

    Example:
        >>> net = nn.Linear(3, 2, bias=False)
        >>> with torch.no_grad():
        ...     _ = net.weight.copy_(torch.tensor([[2.0, -1.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> found = treatment_effects(net, torch.rand(40, 3), 0, "")
        >>> assert (found.necessary, found.noisy, found.neutral) == ((0,), (1,), (2,))
    """
    check_options(alpha, test, correction)
    run = Run(model, inputs, target, chunk_size=chunk_size)
    at = run.trace.layer(layer)
    chosen = _chosen(at, targets)
    betas = draw_betas(at.num_nodes, intervention, epsilon, seed_generator(seed))
    with run.bar(progress, at.num_nodes * run.num_inputs, "rows") as step:
        return run.effects(at, chosen, betas, alpha=alpha, test=test, correction=correction, step=step)


def seed_generator(seed: int | None) -> torch.Generator:
    """Return a generator; None and 0 are the same documented stream."""
    return torch.Generator().manual_seed(0 if seed is None else seed)


def draw_betas(count: int, intervention: str | float, epsilon: float, generator: torch.Generator) -> Tensor:
    """Return the factors ``(count,)`` on the weights: zeros, or draws from U(b - epsilon, b + epsilon), float64.

    Raises:
        ValueError: if ``intervention`` is neither "zero" nor a number between 0 and 1.
    """
    if intervention == "zero":
        return torch.zeros(count, dtype=torch.float64)
    if isinstance(intervention, str | bool) or not 0 < intervention < 1 or epsilon < 0:
        raise ValueError(
            f"intervention must be 'zero' or an attenuation between 0 and 1 with epsilon >= 0, got {intervention!r}"
        )
    draws = torch.rand(count, generator=generator, dtype=torch.float64)
    return intervention + epsilon * (2 * draws - 1)


class Run:
    """A network, its trace and a recorded pass over the inputs, from which effects of any layer are computed.

    Args:
        model: the network.
        inputs: ``(n, *shape)``, at least 30.
        target: index of the explained output.
        chunk_size: network rows a call, None for a size that follows from the widest activation.
        minimum: fewest inputs accepted.

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
        minimum: int = MIN_INPUTS,
    ) -> None:
        self.inputs = check_inputs(inputs, minimum)
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be positive, got {chunk_size}")
        self.model, self.chunk_size = model, chunk_size
        self.trace: Trace = trace_layers(model, self.inputs)
        self.target = check_target(target, len(self.trace.outputs))
        widest = max(layer.width for layer in self.trace.layers)
        block = max(1, RECORDED // widest) if chunk_size is None else max(1, chunk_size // 2)
        self._blocks = list(blocks(len(self.inputs), block))
        self._single = self._record(self._blocks[0]) if len(self._blocks) == 1 else None
        self.outputs = torch.cat([r.outputs for r in self.recordings()])
        self.observed = self.outputs[:, self.target]
        warn_probabilities(self.outputs)

    @property
    def num_inputs(self) -> int:
        """Number of inputs."""
        return len(self.inputs)

    def recordings(self) -> Any:
        """Yield the recorded pass of each block of inputs; there is one where all fit."""
        for block in self._blocks:
            yield self._single or self._record(block)

    def differences(self, layer: Layer, targets: Sequence[int], betas: Tensor, step: Callable | None = None) -> Tensor:
        """Return y(u) - y(w) ``(nodes, n)`` in float64 for interventions on all nodes of ``layer``, one at a time."""
        parts = [self._of_block(r, layer, targets, betas, step) for r in self.recordings()]
        found = torch.cat([d for d, _ in parts], dim=1)
        floor = max(f for _, f in parts)
        return torch.where(found.abs().amax(1, keepdim=True) > floor, found, 0.0)

    def effects(
        self,
        layer: Layer,
        targets: Sequence[int],
        betas: Tensor,
        *,
        alpha: float,
        test: str,
        correction: str | None,
        step: Callable | None = None,
    ) -> TreatmentEffects:
        """Return the tested effects of all nodes of ``layer``; all neutral where there are no targets."""
        if len(targets):
            found = self.differences(layer, targets, betas, step)
        else:
            found = torch.zeros(layer.num_nodes, self.num_inputs, dtype=torch.float64)
            if step:
                step(found.numel())
        return self._decide(layer, targets, betas, found, alpha, test, correction)

    def bar(self, show: bool, total: int, unit: str) -> _Bar:
        """Return a context whose value adds finished work to a progress bar of length ``total``."""
        return _Bar(show, total, unit)

    def _record(self, block: slice) -> Recording:
        return Recording(self.model, self.trace, self.inputs[block])

    def _of_block(self, r: Recording, layer: Layer, targets: Sequence[int], betas: Tensor, step) -> tuple:
        before, a, n = r.output_of(layer), r.input_of(layer), len(r.outputs)
        axis = 2 if layer.kind == "Conv2d" else before.ndim
        index = torch.as_tensor(list(targets), device=before.device)
        y = r.outputs[:, self.target].double()
        d = torch.zeros(layer.num_nodes, n, dtype=torch.float64, device=y.device)
        rounding = y.new_zeros(())
        with torch.no_grad():
            active = reaching(layer, a, targets)
            for nodes in pieces(active, n, self.chunk_size or default_chunk(layer)):
                scale = (betas[list(nodes)] - 1).to(before).reshape(-1, *[1] * before.ndim)
                rows = before.expand(len(nodes) + 1, *before.shape).clone()  # the last stays as it was
                rows[:-1].index_add_(axis, index, contributions(layer, a, nodes, targets) * scale)
                change = r.above(layer, rows)[..., self.target].double() - y
                d[list(nodes)], rounding = change[:-1], torch.maximum(rounding, change[-1].abs().max())
                if step:
                    step(len(nodes) * n)
        if step:
            step((layer.num_nodes - len(active)) * n)
        floor = 4 * (torch.finfo(before.dtype).eps * y.abs().max() + rounding)
        return d.cpu(), float(floor)

    def _decide(self, layer, targets, betas, found, alpha, test, correction) -> TreatmentEffects:
        observed = self.observed.double().cpu()
        z, error = z_scores(found, observed, test=test)
        p = p_values(z)
        adjusted = adjust(p, correction)
        mean, called = found.mean(1), adjusted < alpha
        roles = [tuple(m.nonzero()[:, 0].tolist()) for m in (called & (z < 0), called & (z > 0))]
        neutral = tuple(sorted(set(range(layer.num_nodes)) - set(roles[0]) - set(roles[1])))
        names = [x.name for x in self.trace.layers]
        origins = tuple(
            tuple(("input" if p == INPUT else names[p], channel) for p, channel in node) for node in layer.sources
        )
        return TreatmentEffects(
            layer.name,
            layer.kind,
            self.trace.parents(layer),
            tuple(targets),
            mean,
            error,
            mean / observed.mean().abs(),
            z,
            p,
            adjusted,
            betas,
            *roles,
            neutral,
            origins,
            found,
            self._missing(layer, roles[0], targets),
        )

    def _missing(self, layer: Layer, necessary: Sequence[int], targets: Sequence[int]) -> tuple:
        """Pairs (necessary node, target) without a weight between them, as in grouped convolutions."""
        if not len(necessary) or not len(targets):
            return ()
        index = torch.as_tensor(list(targets), device=layer.module.weight.device)
        absent = edge_weights(layer, necessary, index).eq(0).flatten(2).all(2)
        return tuple((necessary[j], targets[t]) for t, j in absent.nonzero().tolist())


class _Bar:
    """A tqdm bar, or nothing, as a context that yields the function that moves it."""

    def __init__(self, show: bool, total: int, unit: str) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=total, unit=f" {unit}", unit_scale=True, disable=not show, desc=f"{total:,} {unit}")

    def __enter__(self) -> Callable[[int], Any]:
        return self._bar.update

    def __exit__(self, *_: Any) -> None:
        self._bar.close()


def check_inputs(inputs: Tensor, minimum: int = MIN_INPUTS) -> Tensor:
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
        raise ValueError(
            f"inputs has {len(inputs)} rows but the z-test over inputs assumes at least {minimum}; give more inputs"
        )
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs contains NaN or Inf; clean it first")
    return inputs


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
        warnings.warn(
            "model seems to return probabilities; path effects are defined on the outputs before the softmax",
            stacklevel=4,
        )


def _chosen(layer: Layer, targets: Sequence[int] | None) -> tuple[int, ...]:
    if targets is None:
        return tuple(range(layer.num_outputs))
    chosen = tuple(sorted({int(t) for t in targets}))
    if not chosen or chosen[0] < 0 or chosen[-1] >= layer.num_outputs:
        raise ValueError(
            f"targets must be output channels 0 to {layer.num_outputs - 1} of layer '{layer.name}', got {chosen}"
        )
    return chosen
