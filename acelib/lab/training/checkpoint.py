"""The state of a training, and finished weights, as safetensors files with JSON beside the tensors.

A training that was killed resumes from its state, which holds everything that decides what comes next: parameters and
buffers, the optimiser's moments and step count, the state of every random generator and the history. Its settings are
stored with it and compared, because a state continued under other settings would be neither training. Files are
renamed into place when whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from acelib._optional import optional
from acelib._saved import write_whole
from acelib.lab.datasets.registry import DataError
from acelib.lab.training.optimizers import FlatAdam, FlatDescent

safetensors, _torch = optional("safetensors", "a file of weights"), optional("safetensors.torch", "a file of weights")

_STATE, _WEIGHTS = "acelib training state 1", "acelib weights 1"


@dataclass
class TrainingState:
    """Everything that decides what comes next in a training, so that it can continue as if it had never stopped.

    Attributes:
        model: the network that is trained.
        optimizer: the optimiser with its moments and its step count.
        generators: every source of random numbers.
        history: mean losses (S,) of each finished epoch.
        seconds: time spent so far.
    """

    model: nn.Module
    optimizer: FlatAdam | FlatDescent
    generators: list[torch.Generator]
    history: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0


def save_weights(model: nn.Module, path: str | Path, metadata: Mapping | None = None) -> None:
    """Write a module's parameters and buffers to a safetensors file.

    Args:
        model: any module.
        path: the file, replaced where it exists.
        metadata: anything that JSON can hold, kept beside the weights: seed, versions, settings.

    Example:
        >>> import tempfile
        >>> from acelib.lab.networks import mlp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(mlp((2, 3), seed=5), f"{folder}/net.safetensors", {"seed": 5})
        ...     metadata = load_weights(mlp((2, 3), seed=0), f"{folder}/net.safetensors")
        >>> assert metadata == {"seed": 5}
    """
    _write(Path(path), model.state_dict(), _WEIGHTS, dict(metadata or {}))


def load_weights(model: nn.Module, path: str | Path) -> dict:
    """Copy the parameters and buffers of a file of weights into the module and return the file's metadata.

    Args:
        model: a module of the architecture that was saved; changed in place, or not at all on an error.
        path: a file that ``save_weights`` wrote.

    Raises:
        ValueError: if the file is missing, is no such file, or holds another architecture.
    """
    tensors, metadata = _read(Path(path), _WEIGHTS)
    _copy(model, tensors, path)
    return metadata


def load_shipped(model: nn.Module, path: Path, remedy: str) -> dict:
    """Copy a checkpoint that has to be there into the module and return its metadata, as ``load_weights`` does.

    Args:
        model: a module of the architecture that was saved.
        path: the checkpoint.
        remedy: what to do where it is missing, for the message.

    Raises:
        DataError: if the checkpoint is missing, or is not what it should be.
    """
    if not path.is_file():
        raise DataError(f"checkpoint {path} is missing; {remedy}")
    try:
        return load_weights(model, path)
    except ValueError as error:
        raise DataError(f"checkpoint {path} cannot be used: {error}; {remedy}") from None


def save_state(path: Path, state: TrainingState, settings: dict) -> None:
    """Write the state of a training between two epochs, with the settings that decide its result."""
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in state.optimizer.tensors.items()}
    tensors["generators"] = torch.stack([generator.get_state() for generator in state.generators])
    tensors["history"] = torch.stack(state.history)
    metadata = {"settings": settings, "hash": _hash(settings), "steps": state.optimizer.steps, "seconds": state.seconds}
    _write(path, tensors, _STATE, metadata)


def load_state(path: Path, state: TrainingState, settings: dict) -> None:
    """Put a stored state into ``state``.

    Raises:
        ValueError: if it was made with other settings, or if the file holds no such state.
    """
    tensors, metadata = _read(path, _STATE)
    if metadata["hash"] != _hash(settings):
        stored = metadata["settings"]
        differ = [key for key in settings if json.dumps(settings[key]) != json.dumps(stored.get(key))]
        said = ", ".join(_difference(key, stored, settings) for key in differ)
        raise ValueError(
            f"checkpoint {path} was made with other settings ({said}); name another file, or pass resume=False to "
            "replace it"
        )
    _copy(state.model, {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")}, path)
    for name, tensor in state.optimizer.tensors.items():
        tensor.copy_(tensors[f"optimizer.{name}"])
    for generator, value in zip(state.generators, tensors["generators"], strict=True):
        generator.set_state(value.clone())
    state.history[:] = tensors["history"].unbind()
    state.optimizer.steps, state.seconds = metadata["steps"], metadata["seconds"]


def _difference(key: str, stored: dict, settings: dict) -> str:
    if key == "parameters":
        return "another architecture"
    return f"{key} {stored.get(key)} there and {settings[key]} here"


def _hash(settings: dict) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _write(path: Path, tensors: Mapping[str, Tensor], kind: str, metadata: dict) -> None:
    header = {"kind": kind, "json": json.dumps(metadata)}
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}  # views share memory
    write_whole(path, lambda temporary: _torch.save_file(own, temporary, metadata=header))


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict]:
    if not path.is_file():
        raise ValueError(f"path must be a safetensors file with {kind[:-2]}, got {path}, which is no file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"path {path} must be a safetensors file, got no complete safetensors file ({error}); make it anew"
        ) from None
    if header.get("kind") != kind:
        raise ValueError(f"path {path} must hold {kind}, got {header.get('kind', 'tensors of another program')}")
    return tensors, json.loads(header["json"])


def _copy(model: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    stored = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if own != stored:
        differ = sorted(name for name in own.keys() | stored.keys() if own.get(name) != stored.get(name))
        raise ValueError(
            f"model must have the architecture that {path} holds, got tensors that differ in {', '.join(differ)}"
        )
    model.load_state_dict(tensors)
