"""How much work a call is, counted: the same on every machine, where seconds are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

WRITTEN = 8  # operations that a number written costs: it passes through memory, and a tanh or a GELU takes so many


class _Counter(TorchDispatchMode):
    """Adds up operations of products and convolutions, and numbers that others write."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += int(count(*args, **(kwargs or {}), out_val=out))
        elif not func.is_view:
            written = out if isinstance(out, (tuple, list)) else (out,)
            self.total += WRITTEN * sum(one.numel() for one in written if isinstance(one, torch.Tensor))
        return out


def work(call: Callable[[], Any]) -> int:
    """Return the operations of a call of torch functions.

    Example:
        >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
        >>> assert work(lambda: a @ b) == 2 * 2 * 3 * 4 and work(lambda: a.tanh()) == 6 * WRITTEN
        >>> assert work(lambda: a.T) == 0
    """
    with _Counter() as counter:
        call()
    return counter.total
