"""Intrinsic causal contributions of a network's inputs: what each node adds to what it inherits.

Written through their mechanisms, the inputs and so the target Y are functions of independent noises N_1 .. N_k. The
contribution of node j in the context I of noises already known is

    ICC_φ(j | I) = φ(Y | N_I) − φ(Y | N_I, N_j) ,

with φ the expected conditional variance, or the conditional entropy of a categorical target. For the variance it is
Var(Y) times a difference of closed Sobol' indices of the noises, ``S_clo(I ∪ {j}) − S_clo(I)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from .._checks import as_generator
from .._models import Model, as_chunk
from .entropy import CATEGORICAL
from .games import CONTEXTS
from .job import Job
from .outcome import outcome
from .pickfreeze import sizes
from .results import IntrinsicContributions
from .scm import CausalModel

MEASURES = ("variance", "entropy")
METHODS = ("auto", "sampling", "exact")


def intrinsic_contributions(
    scm: CausalModel,
    model: Model | Sequence[Model] | None,
    *,
    target: int | str = 0,
    measure: str = "variance",
    context: str = "shapley",
    num_samples: int = 2**14,
    seed: int | None = 0,
    inputs: Sequence[str] | None = None,
    order: Iterable[str] | None = None,
    categorical: str | None = None,
    method: str = "auto",
    scramblings: int = 16,
    inner_samples: int = 256,
    dtype: torch.dtype | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
) -> IntrinsicContributions:
    """Return the intrinsic contribution of every node to a target, with standard errors and the residual.

    Args:
        scm: a causal model of the inputs: StructuralModel, LinearModel or FlowModel.
        model: torch callable ``(batch, inputs) -> (batch, outputs)``, a list of them (training seeds: contributions
            to their mean, and ``models`` has each one's), or None where the target is a node of ``scm``.
        target: number of the output, or name of the node. The entropy is that of the whole label: leave it 0.
        measure: "variance", in the unit of Var(Y); "entropy", in nats, for a categorical target only.
        context: "first" (nothing else known), "topological" (its predecessors in the causal order), "total" (all
            others), or "shapley" (the average over all orders).
        num_samples: base points, over all scramblings; rounded up. Every subset that the context needs costs so many
            model rows: Shapley values of k nodes cost num_samples · 2^k up to 10 nodes and num_samples · (k + 1)
            beyond, where ``closed`` is empty. A run predicted to take over two minutes warns after its first block.
        seed: seed of scramblings and permutations; None means 0.
        inputs: nodes that the network reads, in its order; default all, in the order of the graph.
        order: a causal order for the context "topological"; default the graph's.
        categorical: what label the outputs stand for: "softmax" (drawn from their softmax), "argmax" (the largest);
            None accepts outputs that are probabilities.
        method: "exact" enumerates finite noises or uses the closed form of linear models; "sampling"; "auto" is exact
            where it can be.
        scramblings: independent scramblings of the Sobol' sequence, at least 16.
        inner_samples: mixtures behind an inner mean of the entropy, a power of two.
        dtype: dtype of the network's inputs; default that of its parameters, else float64.
        chunk_size: model rows a call; bounds memory.
        progress: show a progress bar.

    Raises:
        ValueError: for unknown names, an entropy without a categorical target, or method="exact" where there is none.
        TypeError: if ``scm`` is no causal model.

    References:
        Janzing et al. (2024); Saha et al. (2025) for networks.

    Example:
        >>> from acelib.intrinsic import LinearModel
        >>> chain = LinearModel({"X": [], "Y": ["X"], "Z": ["Y"]}, {"Y": {"X": 2.0}, "Z": {"Y": 3.0}})
        >>> assert intrinsic_contributions(chain, None, target="Z").contributions.tolist() == [36.0, 9.0, 1.0]
    """
    _check_choice("measure", measure, MEASURES)
    _check_choice("context", context, CONTEXTS)
    _check_choice("method", method, METHODS)
    _check_choice("categorical", categorical, (None, *CATEGORICAL))
    if inner_samples < 4 or inner_samples & (inner_samples - 1):
        raise ValueError(f"inner_samples must be a power of two, at least 4, got {inner_samples}")
    chunk = as_chunk(chunk_size)
    as_generator(seed)  # refuses what is no seed before any work
    sizes(num_samples, scramblings)
    whole_label = measure == "entropy" and model is not None
    if whole_label and target != 0:
        raise ValueError(f"target must be 0 for measure='entropy', which is that of the whole label, got {target!r}")
    output = None if whole_label else target
    what = outcome(scm, model, target=output, inputs=inputs, dtype=dtype, chunk=chunk)
    names = scm.graph.order if order is None else scm.graph.check_order(order)
    job = Job(
        what=what,
        measure=measure,
        context=context,
        names=names,
        categorical=categorical,
        num_samples=num_samples,
        inner_samples=inner_samples,
        scramblings=scramblings,
        seed=seed,
        progress=progress,
    )
    exact = None if method == "sampling" else job.exact(model, target, inputs)
    if exact is not None:
        return exact
    if method == "exact":
        raise ValueError(
            "scm must be, for method='exact', a StructuralModel whose noises are all FiniteNoise (at most 12 nodes and "
            f"a million states) or a LinearModel with a linear target, got {scm!r}; use method='sampling'"
        )
    return job.sampled_entropy() if measure == "entropy" else job.sampled_variance()


def _check_choice(name: str, value: str | None, allowed: Sequence[str | None]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
