"""Intercept the module calls of a network in one thread.

Neither weights nor hooks are touched. While the context is active, ``forward`` on each module instance hands the calls
of this thread to a handler and lets those of any other thread pass; an exception or Ctrl-C inside it leaves the network
exactly as it was. Fused kernels that skip the calls of inner modules (transformer encoders, attention) are not taken
meanwhile, again in this thread alone.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Handler = Callable[..., Any]  # (module, forward, *args, **kwargs) -> what the call returns

_ABSENT = object()
_LOCK = threading.RLock()
_BEFORE: dict[int, tuple[nn.Module, Any, int]] = {}  # id -> (module, its own forward or _ABSENT, contexts open)


class _Handlers(threading.local):
    """The handlers of the running thread, for each module the innermost last."""

    def __init__(self) -> None:
        self.of: dict[int, list[Handler]] = defaultdict(list)


_HANDLERS = _Handlers()


class Functions(TorchFunctionMode):
    """A mode that routes the torch functions and methods a network calls through ``handler(func, args, kwargs)``.

    Without a handler they run as they are; torch takes no fused path while such a mode is active in the thread.
    """

    def __init__(self, handler: Callable | None = None) -> None:
        super().__init__()
        self._handler = handler

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return self._handler(func, args, kwargs or {}) if self._handler else func(*args, **(kwargs or {}))


def is_unwatched(func: Any) -> bool:
    """Return whether a torch function gives access to a tensor's memory by which it can be written to unnoticed."""
    data: Any = Tensor.data  # a property, which torch types as what it returns
    return func == data.__get__ or getattr(func, "__name__", "") in ("numpy", "__array__", "__dlpack__")


@contextmanager
def intercept(modules: Iterable[nn.Module], handler: Handler) -> Iterator[None]:
    """Route every call of ``modules`` in this thread through ``handler`` while the context is active.

    Args:
        modules: the modules whose calls are intercepted.
        handler: called as ``handler(module, forward, *args, **kwargs)`` with the original ``forward``, or the one that
            an outer context put in its place.

    Example:
        >>> import torch
        >>> linear = nn.Linear(2, 1)
        >>> with intercept([linear], lambda module, forward, x: forward(x) * 0):
        ...     assert linear(torch.ones(1, 2)).item() == 0
        >>> assert "forward" not in vars(linear)
    """
    entered: list[nn.Module] = []
    try:
        for module in modules:
            entered.append(module)
            _enter(module)
            _HANDLERS.of[id(module)].append(handler)
        with Functions():
            yield
    finally:
        for module in reversed(entered):
            _leave(module, handler)


def _enter(module: nn.Module) -> None:
    """Put the dispatching ``forward`` on a module, unless a context of this or another thread has done so."""
    with _LOCK:
        _, own, count = _BEFORE.get(id(module), (module, vars(module).get("forward", _ABSENT), 0))
        if not count:
            vars(module)["forward"] = partial(_dispatch, module, module.forward)
        _BEFORE[id(module)] = (module, own, count + 1)


def _leave(module: nn.Module, handler: Handler) -> None:
    """Take one handler of this thread off, and the dispatching ``forward`` with the last of all threads."""
    mine = _HANDLERS.of[id(module)]
    if mine and mine[-1] is handler:
        mine.pop()
    if not mine:
        del _HANDLERS.of[id(module)]
    with _LOCK:
        if id(module) not in _BEFORE:
            return
        _, own, count = _BEFORE.pop(id(module))
        if count > 1:
            _BEFORE[id(module)] = (module, own, count - 1)
        elif own is _ABSENT:
            vars(module).pop("forward", None)
        else:
            vars(module)["forward"] = own


def _dispatch(module: nn.Module, forward: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call the innermost handler of the running thread, or ``forward`` itself where it has none."""
    for handler in _HANDLERS.of.get(id(module), ()):
        forward = partial(handler, module, forward)
    return forward(*args, **kwargs)
