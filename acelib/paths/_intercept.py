"""Intercept the module calls of a network.

Neither weights nor hooks are touched. A handler replaces ``forward`` on each module instance while the context is
active; an exception or Ctrl-C inside it leaves the network exactly as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

Handler = Callable[..., Any]  # (module, forward, *args, **kwargs) -> what the call returns

_ABSENT = object()


@contextmanager
def intercept(modules: Iterable[nn.Module], handler: Handler) -> Iterator[None]:
    """Route every call of ``modules`` through ``handler`` while the context is active.

    Args:
        modules: the modules whose calls are intercepted.
        handler: called as ``handler(module, forward, *args, **kwargs)`` with the original ``forward``.

    Example:
        >>> import torch
        >>> linear = nn.Linear(2, 1)
        >>> with intercept([linear], lambda module, forward, x: forward(x) * 0):
        ...     assert linear(torch.ones(1, 2)).item() == 0
        >>> assert "forward" not in vars(linear)
    """
    before: list[tuple[nn.Module, Any]] = []
    try:
        for module in modules:
            before.append((module, vars(module).get("forward", _ABSENT)))
            vars(module)["forward"] = partial(handler, module, module.forward)
        yield
    finally:
        for module, forward in reversed(before):
            if forward is _ABSENT:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = forward
