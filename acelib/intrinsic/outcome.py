"""The target as a function of the noises: a network on top of a causal model of its inputs, or a node itself.

The network is one more deterministic node, ``Y = net(X_1 .. X_k)``. Its value at a mixture of two noise vectors is what
every estimator needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .._devices import double
from .._entrance import admit
from .._models import Model, as_models, check_output, joint
from .scm import CausalModel


@dataclass(frozen=True)
class Outcome:
    """A target in terms of the noises.

    Attributes:
        scm: the causal model of the inputs.
        call: function from nodes ``(batch, nodes)`` to outputs ``(batch, outputs)``.
        name: name of the target.
        count: models behind the columns: where more than one, the first block of columns is their mean.
        dtype: dtype of the rows that ``call`` gets.
        device: device of these rows.
        chunk: most rows of a call.
    """

    scm: CausalModel
    call: Callable[[Tensor], Tensor]
    name: str
    count: int
    dtype: torch.dtype
    device: torch.device
    chunk: int

    def noise(self, u: Tensor) -> Tensor:
        """Return noises ``(b, nodes)`` at uniform points, in the dtype and on the device of the model."""
        return self.scm.noise(u).to(device=self.device, dtype=self.dtype)

    def outputs(self, noise: Tensor) -> Tensor:
        """Return outputs ``(batch, outputs)`` at noises ``(batch, nodes)``, in at most ``chunk`` rows a call."""
        return self._called(noise, self.scm.push)

    def at_nodes(self, X: Tensor) -> Tensor:
        """Return outputs ``(batch, outputs)`` at nodes ``(batch, nodes)``, in at most ``chunk`` rows a call."""
        return self._called(X.to(device=self.device, dtype=self.dtype), lambda rows: rows)

    def _called(self, given: Tensor, push: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            # A network may switch gradients on by itself; its graphs would be kept.
            parts = [check_output(self.call(push(n)), len(n)).detach() for n in given.split(self.chunk)]
            out = parts[0] if len(parts) == 1 else torch.cat(parts)
            return double(out)

    def mixed(self, a: Tensor, b: Tensor, masks: Tensor) -> Tensor:
        """Return outputs ``(M, b, outputs)`` at mixtures of uniform points ``(b, nodes)``; masks true for A."""
        noise = torch.where(masks.to(self.device), self.noise(a), self.noise(b))
        out = self.outputs(noise.reshape(-1, noise.shape[-1]))
        return out.reshape(*noise.shape[:2], -1)


def outcome(
    scm: CausalModel,
    model: Model | Sequence[Model] | None,
    *,
    target: int | str | None,
    inputs: Sequence[str] | None,
    dtype: torch.dtype | None,
    chunk: int,
) -> Outcome:
    """Return the target as a function of the noises.

    Args:
        scm: the causal model of the inputs.
        model: the network, a list of them, or None where the target is a node.
        target: output of the network (None: all of them), or the node.
        inputs: nodes that the network reads, in its order; default all, in the order of the graph.
        dtype: dtype of the rows; default that of the network's parameters, else float64.
        chunk: most rows of a call.

    Raises:
        ValueError: for an unknown node or output.
        TypeError: if ``scm`` is no causal model.
    """
    if not isinstance(scm, CausalModel):
        raise TypeError(
            "scm must be a causal model of the inputs (StructuralModel, LinearModel, FlowModel), got "
            f"{type(scm).__name__}"
        )
    if model is None:
        if target is None or not isinstance(target, str) and str(target) not in scm.graph.nodes:
            nodes = list(scm.graph.nodes)
            raise ValueError(f"target must name a node where model is None, one of {nodes}, got {target!r}")
        column = scm.graph.index(target)
        name = scm.graph.nodes[column]
        return Outcome(scm, lambda x: x[:, [column]], name, 1, dtype or torch.float64, torch.device("cpu"), chunk)
    if isinstance(target, str):
        raise ValueError(f"target must be the number of an output of the model, got {target!r}")
    models = as_models(model)
    own_dtype, device = _placement(models)
    columns = None if inputs is None else [scm.graph.index(n) for n in inputs]

    dtype = dtype or own_dtype
    u = torch.linspace(0.3, 0.6, 2 * len(scm.graph), dtype=torch.float64).reshape(2, -1)
    rows = scm.push(scm.noise(u).to(device=device, dtype=dtype))
    rows = rows if columns is None else rows[:, columns]
    admitted = [admit(m, rows, rows.shape[1:]) for m in models]

    def on(call: Model) -> Outcome:
        wrapped = call if columns is None else lambda x: call(x[:, columns])
        return Outcome(scm, wrapped, f"output {target}", len(models), dtype, device, chunk)

    if target is None:
        return on(joint(admitted))
    width = admitted[0].outputs
    if target not in range(width):
        raise ValueError(f"target must be one of the model's {width} outputs, 0 to {width - 1}, got {target}")
    return on(joint(admitted, [int(target)]))


def _placement(models: Sequence[Model]) -> tuple[torch.dtype, torch.device]:
    """Return dtype and device of the first module with parameters; float64 on the CPU for plain functions."""
    for model in models:
        for parameter in model.parameters() if isinstance(model, nn.Module) else ():
            if parameter.is_floating_point():
                return parameter.dtype, parameter.device
    return torch.float64, torch.device("cpu")
