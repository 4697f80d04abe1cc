"""What torch keeps once for the whole process, and threads share: kernel switches, forward mode, random numbers.

Turned by each thread for itself, a switch would be saved by one while another has it off, and stay off for ever.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

_LOCK = threading.RLock()
_FORWARD_MODE = threading.RLock()


class _Counted:
    """A context of the whole process that the first thread to enter opens, and the last one to leave closes."""

    def __init__(self, make: Callable[[], AbstractContextManager]) -> None:
        self._make = make
        self._users: set[object] = set()
        self._stack = contextlib.ExitStack()

    def enter(self, user: object) -> None:
        with _LOCK:
            if not self._users:
                self._stack.enter_context(self._make())
            self._users.add(user)

    def leave(self, user: object) -> None:
        """Leave, also where an interrupt came before or within ``enter``."""
        with _LOCK:
            self._users.discard(user)
            if not self._users:
                self._stack.close()


@contextlib.contextmanager
def _without(get: Callable[[], bool], put: Callable[[bool], None]) -> Iterator[None]:
    before = get()
    try:
        put(False)
        yield
    finally:
        put(before)


def _backend(backend: Any) -> AbstractContextManager:
    return _without(lambda: backend.enabled, lambda value: setattr(backend, "enabled", value))


_BACKENDS: Any = torch.backends  # torch types its switches as plain modules
_SWITCHES = {
    "cudnn": _Counted(lambda: _backend(_BACKENDS.cudnn)),
    "mkldnn": _Counted(lambda: _backend(_BACKENDS.mkldnn)),
    "mha": _Counted(lambda: _without(_BACKENDS.mha.get_fastpath_enabled, _BACKENDS.mha.set_fastpath_enabled)),
    "attention": _Counted(lambda: sdpa_kernel(SDPBackend.MATH)),
}


@contextlib.contextmanager
def plain_kernels(*names: str) -> Iterator[None]:
    """Switch fused kernels off while the context is active in any thread; then they are as they were before.

    Other threads compute the same numbers meanwhile, by plain kernels too.

    Args:
        names: of "cudnn", "mkldnn", "mha" (the fast path of transformer layers) and "attention" (all forms of scaled
            dot product attention but the plain one).

    Example:
        >>> before = torch.backends.cudnn.enabled
        >>> with plain_kernels("cudnn"), plain_kernels("cudnn", "mha"):
        ...     assert not torch.backends.cudnn.enabled
        >>> assert torch.backends.cudnn.enabled == before
    """
    user, switches = object(), [_SWITCHES[name] for name in names]
    try:
        for switch in switches:
            switch.enter(user)
        yield
    finally:
        for switch in reversed(switches):
            switch.leave(user)


@contextlib.contextmanager
def forward_mode() -> Iterator[None]:
    """Let one thread at a time use forward-mode derivatives.

    Torch counts their levels for the process: the first thread to end would take the tangents of the others away,
    which gives errors and wrong numbers.
    """
    with _FORWARD_MODE:
        yield


class RandomNumbers(TorchDispatchMode):
    """A mode in which operations of this thread draw from a generator, for code of others that takes none.

    The global random numbers are neither read nor moved, so other threads are not disturbed.

    Args:
        seed: seed of the generator; the numbers drawn on the CPU are those after ``torch.manual_seed(seed)``.

    Example:
        >>> with RandomNumbers(7):
        ...     weight = torch.nn.Linear(2, 1).weight
        >>> with RandomNumbers(7):
        ...     assert torch.equal(torch.nn.Linear(2, 1).weight, weight)
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            func = _with_generator(func)
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)


def _with_generator(func: Any) -> Any:
    """Return the overload of an operation that takes a generator: ``randn`` and its like have two of each."""
    if all(argument.name != "generator" for argument in func._schema.arguments):
        own = func._overloadname
        other = getattr(func.overloadpacket, "generator" if own == "default" else f"{own}_generator", None)
        if other is None:
            raise NotImplementedError(f"{func} draws random numbers without a generator")
        return other
    return func
