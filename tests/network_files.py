"""Networks on disk, as a user exports them, for the tests of the command line."""

from __future__ import annotations

import torch

IRIS = ["sepal length", "sepal width", "petal length", "petal width"]


def exported(net, width, path, *, dtype=torch.float64, batch=True):
    """Write a network for rows of so many numbers; with ``batch=False`` for two rows and no other number."""
    free = ({0: torch.export.Dim("batch")},) if batch else None
    program = torch.export.export(net.eval(), (torch.zeros(2, width, dtype=dtype),), dynamic_shapes=free)
    torch.export.save(program, path)
    return path
