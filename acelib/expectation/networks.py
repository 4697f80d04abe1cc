"""The networks behind an expectation: each admitted once, and the input model in their floating dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._entrance import Admitted, admit, two_rows
from .._models import Model, as_models, check_columns, output_names, parameter_dtype
from ..inputs.base import Feature, InputModel
from ..inputs.intervention import Intervention
from .expansion import Expansion
from .links import Link, Linked, as_link
from .pilot import Pilot

_CONVERTED = (torch.float32, torch.float64)


class Networks(NamedTuple):
    """Networks that may be averaged over the rows of an input model.

    Attributes:
        models: the admitted networks.
        given: the same networks as the user gave them.
        inputs: the input model in their dtype.
        outputs: number of outputs of each, after the link.
        bare: the admitted networks before the link; ``models`` themselves where there is none.
        link: what is applied to their outputs, or None.
        expansions: the networks linearised around rows, as far as this call has come; none at first.
        trials: what pilots have said in this call, beside what they depend on.
        known: what answers of this call keep for each other, see ``Intervention.sharing``.
    """

    models: list[Admitted]
    given: list[Model]
    inputs: InputModel
    outputs: int
    bare: list[Admitted]
    link: Link | None
    expansions: list[Expansion]
    trials: list[tuple[Any, Pilot | None]]
    known: dict[str, Any]

    def do(self, feature: Feature, values: Any) -> Intervention:
        """Return the answer of the input model, which shares what it computes with the other answers of this call."""
        return self.inputs.do(feature, values).sharing(self.known)

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the outputs: those that the first network states, or their numbers."""
        return output_names(self.given, self.outputs)

    @property
    def answers(self) -> Tensor:
        """``(networks, 2, outputs)`` what they returned for the two rows of the entrance."""
        return torch.stack([model.answers for model in self.models])


def admitted(
    model: Model | Sequence[Model], inputs: InputModel, *, derivatives: bool = False, link: Any = None
) -> Networks:
    """Return the networks after the checks of the entrance, which cost each of them at most six rows, and its link two.

    A table in float64, as numpy and pandas have it, meets networks in float32 more often than not. One rule: where the
    parameters of the first network are float32 or float64 and the input model has the other of the two, the input model
    is converted by its ``to``; networks are never changed.

    Args:
        model: one network, or a list of them with equally many outputs.
        inputs: a causal input model.
        derivatives: whether they will be differentiated with respect to their input.
        link: what is applied to their outputs, see ``links``.

    Raises:
        TypeError: if a model is no callable.
        ValueError: see ``acelib._entrance.admit``; or if networks of a list have different numbers of outputs.
    """
    models = as_models(model)
    inputs = in_dtype_of(models, inputs)
    check_columns(models, inputs.feature_names)
    rows = probe_rows(inputs)
    link = as_link(link)
    bare = [admit(m, rows, inputs.shape, derivatives=derivatives) for m in models]
    found = bare if link is None else [_linked(one, link, rows, inputs, derivatives) for one in bare]
    counts = [one.outputs for one in found]
    if len(set(counts)) > 1:
        raise ValueError(f"model must be a list with equally many outputs each, got {counts}")
    return Networks(found, models, inputs, counts[0], bare, link, [], [], {})


def _linked(model: Admitted, link: Link, rows: Tensor, inputs: InputModel, derivatives: bool) -> Admitted:
    """Return a network with its link, admitted as one; what is wrong now is wrong with the link."""
    try:
        return admit(Linked(model, link), rows, inputs.shape, derivatives=derivatives)
    except (ValueError, TypeError) as error:
        raise type(error)(f"link must be a function of the outputs, row by row: {error}") from error


def in_dtype_of(models: Sequence[Model], inputs: InputModel) -> InputModel:
    """Return the input model in the dtype of the first network that has parameters; see ``admitted``."""
    own = next((d for d in map(parameter_dtype, models) if d is not None), None)
    convert: Any = getattr(inputs, "to", None)
    if own in _CONVERTED and own != inputs.mean.dtype and inputs.mean.dtype in _CONVERTED and convert is not None:
        return convert(own)
    return inputs


def probe_rows(inputs: InputModel) -> Tensor:
    """Return two rows ``(2, k)`` of an input model: observed ones, or rows or means under an intervention.

    Args:
        inputs: a causal input model; one with pinned coordinates may have to simulate its rows, so few are asked for.
    """
    samples = None if inputs.fixed else inputs.samples
    if samples is not None:
        return two_rows(samples, samples[0])
    free = [c for c in range(inputs.num_features) if c not in inputs.fixed]
    if not free:
        return two_rows(None, inputs.mean)
    domain = inputs.domain[free[0]]
    answer = inputs.do(free[0], [domain.low, domain.high])
    if not answer.num_rows:
        return answer.means
    index = torch.arange(min(2, answer.num_rows), device=answer.values.device)
    rows = torch.cat([block.flatten(0, 1) for _, block, _ in answer.rows(2, index)])
    return two_rows(rows, rows[0])
