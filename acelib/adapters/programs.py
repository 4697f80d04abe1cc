"""Networks of files: programs of ``torch.export`` and of ONNX. Files of pickles are never opened."""

from __future__ import annotations

import os

from .exported import ExportedNetwork
from .onnx import OnnxNetwork


def load_network(path: str | os.PathLike, *, output: str | int | None = None) -> ExportedNetwork | OnnxNetwork:
    """Return the network of a file, a callable ``(batch, *shape) -> (batch, outputs)`` with ``.shape`` and ``.dtype``.

    A ``.pt2`` file, of ``torch.export.save``, gives a module with its weights that can be differentiated. An ``.onnx``
    file gives a black box on the CPU: averages over rows work, what needs a derivative says that there is none. Nothing
    is unpickled; of a ``.pt2`` only raw tensors and known operators are read, since torch's own reader would execute
    what an archive holds.

    Args:
        path: the file.
        output: key or place of the output to explain, where the network returns several.

    Raises:
        ValueError: if the file is missing, of another kind, needs pickles, has a batch of one size only, several
            inputs, or several outputs of which none is named.
        ImportError: if ``onnxruntime`` is missing for an ``.onnx`` file.

    Example:
        >>> import tempfile, torch
        >>> net, x = torch.nn.Linear(3, 2), torch.randn(4, 3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batch = ({0: torch.export.Dim("batch")},)
        ...     torch.export.save(torch.export.export(net, (x,), dynamic_shapes=batch), f"{folder}/net.pt2")
        ...     again = load_network(f"{folder}/net.pt2")
        >>> assert torch.equal(again(x), net(x)) and again.shape == (3,)
    """
    path = os.path.abspath(os.fspath(path))
    name, kind = os.path.basename(path), os.path.splitext(path)[1].lower()
    if kind not in (".pt2", ".onnx"):
        raise ValueError(
            f"path must be a program that ends in .pt2 or .onnx, got {name!r}; write it by torch.export.save or "
            "torch.onnx.export (files of pickles may execute code and are not opened)"
        )
    if not os.path.isfile(path):
        raise ValueError(f"path must be a file, got {path!r}, which does not exist")
    return (ExportedNetwork if kind == ".pt2" else OnnxNetwork)(path, output)
