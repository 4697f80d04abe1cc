"""Networks of ``.onnx`` files, run by ONNX Runtime on the CPU: black boxes, which have values and no derivatives."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._optional import optional
from ._outputs import as_rows

_DTYPES = {"tensor(float)": torch.float32, "tensor(double)": torch.float64}


class OnnxNetwork:
    """A network of an ``.onnx`` file, called like any other; it cannot be differentiated.

    Attributes:
        shape: shape of one input.
        dtype: dtype of its inputs.
        output: name of the output that is returned.
    """

    def __init__(self, path: str, output: str | int | None = None) -> None:
        """Open the file; see ``load_network``."""
        self.path, self.asked = path, output
        self.session = _session(path)
        self.entry, self.shape, self.dtype = _entry(self.session, path)
        self.output = _output(self.session, output, path)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs ``(batch, outputs)`` of inputs ``(batch, *shape)``, on their device.

        Raises:
            ValueError: if the inputs have another dtype.
            RuntimeError: if they carry a gradient, which stops here.
        """
        if x.dtype != self.dtype:
            raise ValueError(
                f"inputs must have the dtype of {os.path.basename(self.path)}, {self.dtype}, got {x.dtype}; use "
                f"inputs.to({self.dtype})"
            )
        if torch.is_grad_enabled() and x.requires_grad:
            raise RuntimeError("ONNX Runtime computes no derivative; it has inputs that require grad")
        (found,) = self.session.run([self.output], {self.entry: np.ascontiguousarray(x.detach().cpu().numpy())})
        return as_rows(torch.from_numpy(np.array(found)), len(x)).to(x.device)

    def __repr__(self) -> str:
        return f"OnnxNetwork({self.path!r}, output={self.output!r})"

    def __reduce__(self) -> Any:
        return type(self), (self.path, self.asked)


def _session(path: str) -> Any:
    """Return ONNX Runtime's session of a file, with as many threads as torch has."""
    runtime = optional("onnxruntime", "a network of an .onnx file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (ONNX Runtime has an error class for each of its causes)
        raise ValueError(
            f"{os.path.basename(path)} must be a network that ONNX Runtime opens, got {type(error).__name__}: "
            f"{str(error).strip()[:200]}; export it again"
        ) from error


def _entry(session: Any, path: str) -> tuple[str, tuple[int, ...], torch.dtype]:
    """Return name, shape and dtype of the one input, whose batch must be of any size."""
    name, entries = os.path.basename(path), session.get_inputs()
    if len(entries) != 1:
        raise ValueError(
            f"{name} must take one tensor (batch, ...), got the inputs {[e.name for e in entries]}; export a module "
            "with one input"
        )
    (entry,) = entries
    if entry.type not in _DTYPES:
        raise ValueError(f"{name} must take a tensor of float or double, got {entry.type}; export it for numbers")
    if len(entry.shape) < 2:
        raise ValueError(f"{name} must take a batch (batch, ...), got an input of shape {entry.shape}")
    if isinstance(entry.shape[0], int):
        raise ValueError(
            f"{name} must take a batch of any size, got exactly {entry.shape[0]} rows; export it with dynamic_shapes="
            "({0: torch.export.Dim('batch')},), see torch.onnx.export"
        )
    if not all(isinstance(size, int) for size in entry.shape[1:]):
        raise ValueError(f"{name} must take inputs of one shape, got {entry.shape[1:]}; make only the batch dynamic")
    return entry.name, tuple(entry.shape[1:]), _DTYPES[entry.type]


def _output(session: Any, output: str | int | None, path: str) -> str:
    """Return the name of the output that is meant."""
    tensors = [one.name for one in session.get_outputs() if one.type in _DTYPES]
    every = [one.name for one in session.get_outputs()]
    if output is None and len(tensors) == 1:
        return tensors[0]
    key = every[output] if isinstance(output, int) and -len(every) <= output < len(every) else output
    if key not in tensors:
        raise ValueError(
            f"output must be one of the outputs {tensors} of {os.path.basename(path)}, tensors of floats, got "
            f"{output!r}; name the one to explain"
        )
    return str(key)
