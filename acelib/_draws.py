"""The global random numbers of torch, numpy and Python: whether a call draws from them, and how they are put back."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

_MT19937 = 624 * 4 + 4  # bytes of the usual generator's state: its words and the place among them


class GlobalDraws:
    """The states of the global generators when it was made, and what has drawn from them since.

    A state may also move because another thread draws, whose numbers must stay as they are. So ``moved`` is only a
    suspicion; ``watched`` tells who it was.

    Args:
        device: whose generator is looked at beside that of the CPU.

    Example:
        >>> draws = GlobalDraws(torch.device("cpu"))
        >>> with draws.watched():
        ...     first = torch.rand(1)
        >>> draws.put_back()
        >>> assert draws.names == {"torch"} and torch.equal(torch.rand(1), first)
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.names = device, set[str]()
        self._before = self._states()

    def moved(self) -> bool:
        """Return whether any state has moved."""
        return bool(_different(self._before, self._states()))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note from whose generators a call of this thread draws, in ``names``."""
        before, watch = self._states(), _Watch()
        with watch:
            yield
        found = _different(before, self._states())
        self.names |= found - {"torch"} | (found if watch.drew else set()) & {"torch"}

    def put_back(self) -> None:
        """Put back the states of those generators that this thread was seen to draw from."""
        if "torch" in self.names:
            torch.set_rng_state(self._before["torch"][0])
            for state in self._before["torch"][1:]:
                torch.cuda.set_rng_state(state, self.device)
        if "numpy" in self.names:
            _write_numpy(self._before["numpy"])
        if "Python" in self.names:
            random.setstate(self._before["Python"])

    def _states(self) -> dict[str, Any]:
        ours = [torch.get_rng_state()]
        if self.device.type == "cuda":
            ours.append(torch.cuda.get_rng_state(self.device))
        return {"torch": ours, "numpy": _read_numpy(), "Python": random.getstate()}


def _different(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Return the libraries whose states differ."""
    same = {
        "torch": all(torch.equal(a, b) for a, b in zip(before["torch"], after["torch"], strict=True)),
        "numpy": _same(before["numpy"], after["numpy"]),
        "Python": before["Python"] == after["Python"],
    }
    return {name for name, is_same in same.items() if not is_same}


def _numpy_generator() -> Any:
    numpy: Any = np.random  # whose types do not list the function
    return numpy.get_bit_generator()


def _read_numpy() -> Any:
    """Return the state of numpy's global generator: its memory where it is the usual one, whose own copy is slow."""
    generator = _numpy_generator()
    if isinstance(generator, np.random.MT19937):
        return ctypes.string_at(generator.ctypes.state_address, _MT19937)
    return generator.state


def _write_numpy(state: Any) -> None:
    """Put the state of numpy's global generator back."""
    generator = _numpy_generator()
    if isinstance(state, bytes):
        ctypes.memmove(generator.ctypes.state_address, state, _MT19937)
    else:
        generator.state = state


def _same(one: Any, other: Any) -> bool:
    """Return whether two states of numpy are the same."""
    if isinstance(one, dict):
        return isinstance(other, dict) and all(_same(one[key], other[key]) for key in one)
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


class _Watch(TorchDispatchMode):
    """Whether an operation draws from a generator; only the thread that entered is watched."""

    def __init__(self) -> None:
        super().__init__()
        self.drew = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.drew |= torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))
