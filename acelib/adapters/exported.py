"""Networks saved by ``torch.export.save``: a graph of operators and its weights, differentiable like any network."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from ._archives import Unsafe, readable_archive
from ._outputs import as_rows, picked

_DYNAMIC = "export it with dynamic_shapes=({0: torch.export.Dim('batch')},), see torch.export.export"


class ExportedNetwork(nn.Module):
    """A network of a ``.pt2`` file, with its weights as parameters; it is in evaluation mode as it was exported.

    Attributes:
        shape: shape of one input.
        dtype: dtype of the inputs that it was exported for.
    """

    def __init__(self, path: str, output: str | int | None = None) -> None:
        """Read the file; see ``load_network``."""
        super().__init__()
        self.path, self.output = path, output
        self.training = False
        program = _program(path)
        self.shape, self.dtype = _entry(program, path)
        _check_mode(program, path)
        self.graph = program.module()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs ``(batch, outputs)`` of inputs ``(batch, *shape)``."""
        try:
            found = self.graph(x)
        except AssertionError as error:  # a guard: the sizes of the batch that the program was exported for
            raise ValueError(
                f"{os.path.basename(self.path)} must take a batch of shape {tuple(x.shape)}, got {error}; {_DYNAMIC}, "
                "or ask for fewer rows at once by chunk_size"
            ) from error
        return as_rows(picked(found, self.output, os.path.basename(self.path)), len(x))

    def train(self, mode: bool = True) -> ExportedNetwork:
        """Return the network as it is: a program is in the mode in which it was exported.

        Raises:
            ValueError: if training mode is asked for.
        """
        if mode:
            raise ValueError(
                "mode must be evaluation, got training: a program stays in the mode in which it was exported"
            )
        return self

    def __reduce__(self) -> Any:
        return type(self), (self.path, self.output)


def _program(path: str) -> Any:
    """Return the exported program of a file, unpickling nothing."""
    name = os.path.basename(path)
    try:
        return torch.export.load(readable_archive(path))
    except Unsafe as error:
        raise ValueError(f"{name} must hold {error}") from None
    except Exception as error:  # noqa: BLE001  (torch raises errors of any kind for a file that is none of its own)
        first = str(error).strip().splitlines()[:1]
        raise ValueError(
            f"{name} must be a program saved by torch.export.save, got {type(error).__name__}: {''.join(first)[:200]}; "
            "export the network again"
        ) from error


def _entry(program: Any, path: str) -> tuple[tuple[int, ...], torch.dtype]:
    """Return shape and dtype of the one input, whose batch must be of any size."""
    name = os.path.basename(path)
    given = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in program.graph_signature.user_inputs]
    if len(given) != 1:
        raise ValueError(
            f"{name} must take one tensor (batch, ...), got {len(given)} inputs; export a module with one input"
        )
    value = given[0].meta["val"]
    if not isinstance(value, Tensor) or value.ndim < 2:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must take a batch (batch, ...), got an input {got}; export it for a batch of rows")
    fixed = [isinstance(size, int) for size in value.shape]
    if fixed[0]:
        raise ValueError(f"{name} must take a batch of any size, got exactly {value.shape[0]} rows; {_DYNAMIC}")
    if not all(fixed[1:]):
        raise ValueError(
            f"{name} must take inputs of one shape, got {tuple(map(str, value.shape[1:]))}; make only the batch dynamic"
        )
    return tuple(int(size) for size in value.shape[1:]), value.dtype


_TRAINED = {"dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "batch_norm": 5, "instance_norm": 5}
"""Place of the argument that says whether an operator acts as in training."""


def _check_mode(program: Any, path: str) -> None:
    """Raise where the program was exported in training mode."""
    for node in program.graph.nodes:
        kind = str(node.target).split(".")[1:2] if str(node.target).startswith("aten.") else []
        place = _TRAINED.get("".join(kind).rstrip("_"))
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise ValueError(
                f"{os.path.basename(path)} must be in evaluation mode, got {kind[0]} in training mode; call eval() "
                "before torch.export.export"
            )
