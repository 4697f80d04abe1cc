"""Treatment effects of the nodes of one layer on a class output, by interventions on weights (Def. 1).

The node j of one layer acts on a set of target nodes of the next through its weights w_j. The effect of replacing
them by u is y(u) - y(w), the difference of the class output before the softmax, over a set of inputs. Discrete: u = 0.
Continuous: u = beta * w with beta ~ U(b - eps, b + eps). Tests are on differences; a ratio changes sign with the logit
and is only shown.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor

from torch import Tensor, nn

from .._checks import as_generator
from .results import TreatmentEffects
from .run import EPSILON, Run, bar, draw_betas
from .significance import Test
from .trace import Layer


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
    test: str = "t",
    correction: str | None = None,
    chunk_size: int | None = None,
    seed: int | None = None,
    progress: bool = False,
    executor: Executor | None = None,
    parts: str | os.PathLike | None = None,
) -> TreatmentEffects:
    """Return the effect of every parent node of ``layer`` on the output ``target``, with its test.

    Args:
        model: a network ``(batch, *shape) -> (batch, outputs)`` with Linear or convolution layers, in evaluation mode,
            returning the values before the softmax.
        inputs: ``(n, *shape)``, at least 30.
        target: index of the explained output.
        layer: name of the Linear or convolution whose weights are intervened on.
        targets: output channels of that layer whose weights are intervened on together; all where None.
        intervention: "zero" removes the weights; a number b in (0, 1) scales each node's weights by its own
            beta ~ U(b - epsilon, b + epsilon).
        epsilon: half width of that interval.
        alpha: level of the two-sided test.
        test: "t", which holds its level for skewed and rare differences, or the paper's z-tests, "paired" or
            "unpaired"; see ``acelib.paths.significance``.
        correction: None, "holm" or "fdr", over the nodes of the layer.
        chunk_size: network rows a call; bounds memory.
        seed: seed of the betas; None and 0 draw the same.
        progress: whether to show a progress bar over the rows.
        executor: computes the effects of some nodes at a time: any ``concurrent.futures.Executor``.
        parts: a folder in which finished parts are kept, so that a computation that was killed goes on where it was.

    Raises:
        TypeError: if the model is no module.
        ValueError: for fewer than 30 inputs, NaN, unknown names or indices, a model without such layers, with shared
            weights or a layer called twice.

    References:
        Ahmad et al. (2023), Definition 1, Eq. 1-2.

    Example:
        >>> import torch
        >>> net = nn.Linear(3, 2, bias=False)
        >>> with torch.no_grad():
        ...     _ = net.weight.copy_(torch.tensor([[2.0, -1.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> found = treatment_effects(net, torch.rand(40, 3), 0, "")
        >>> assert (found.necessary, found.noisy, found.neutral) == ((0,), (1,), (2,))
    """
    rule = Test(alpha, test, correction)
    run = Run(model, inputs, target, chunk_size=chunk_size, executor=executor, parts=parts)
    at = run.trace.layer(layer)
    chosen = _chosen(at, targets)
    betas = draw_betas(at.num_nodes, intervention, epsilon, as_generator(seed))
    with bar(progress, at.num_nodes * run.num_inputs, "rows") as step:
        return run.effects(at, chosen, betas, rule, step)


def _chosen(layer: Layer, targets: Sequence[int] | None) -> tuple[int, ...]:
    """Return the output channels to intervene on, sorted; all of the layer where None."""
    if targets is None:
        return tuple(range(layer.num_outputs))
    chosen = tuple(sorted({int(t) for t in targets}))
    if not chosen or chosen[0] < 0 or chosen[-1] >= layer.num_outputs:
        raise ValueError(
            f"targets must be output channels 0 to {layer.num_outputs - 1} of layer '{layer.name}', got {chosen}"
        )
    return chosen
