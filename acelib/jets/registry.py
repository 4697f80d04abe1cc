"""The table of rules by the name of the torch function, and how a function's name is read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch

RULES: dict[str, Callable[..., Any]] = {}
_LOCK = threading.Lock()
_HISTORY: dict[str, list[Registration]] = {}  # the registrations of a name that still hold; the last one is in RULES

_SAME = {  # other names of the same operation
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "itruediv": "div",
    "rtruediv": "rdiv",
    "idiv": "div",
    "multiply": "mul",
    "rmul": "mul",
    "imul": "mul",
    "subtract": "sub",
    "isub": "sub",
    "radd": "add",
    "iadd": "add",
    "ipow": "pow",
    "negative": "neg",
    "absolute": "abs",
    "concat": "cat",
    "concatenate": "cat",
    "expit": "sigmoid",
    "clip": "clamp",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "moveaxis": "movedim",
    "arctan2": "atan2",
    "log_sigmoid": "logsigmoid",
    "linalg_matmul": "matmul",
}
_AUGMENTED = {"iadd", "isub", "imul", "itruediv", "idiv", "ipow", "setitem"}


def plain_name(func: Callable) -> tuple[str, bool]:
    """Return ``(name, in place?)`` of a torch function: ``Tensor.__iadd__`` and ``torch.add`` are both "add".

    Example:
        >>> from acelib.jets.registry import plain_name
        >>> assert plain_name(torch.Tensor.__iadd__) == ("add", True) and plain_name(torch.add) == ("add", False)
    """
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__"):
        owner = func.__self__.__name__.strip("_")
        return (owner if name == "__get__" else f"assignment to .{owner}"), False
    if name == "requires_grad_":  # no change of the numbers, and not the property of that name
        return "require_grad", False
    bare = name[2:-2] if name.startswith("__") and name.endswith("__") else name
    in_place = (bare == name and name.endswith("_")) or bare in _AUGMENTED
    return plain_name_of(bare), in_place


def canonical(name: str, func: Callable) -> Callable:
    """Return the function of that name which leaves its argument as it is."""
    for home in (torch.Tensor, torch, torch.nn.functional):
        if hasattr(home, name):
            return getattr(home, name)
    return func


class Registration:
    """A rule in the table; as a context manager it is taken out at the end of the block, and the earlier rule is back.

    Blocks may nest and overlap between threads: after each one, the latest rule whose block is still open holds.
    """

    def __init__(self, name: str, rule: Callable[..., Any]) -> None:
        self.name, self.rule = name, rule
        with _LOCK:
            _HISTORY.setdefault(name, []).append(self)
            RULES[name] = rule

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _LOCK:
            held = _HISTORY[self.name]
            if self in held:
                held.remove(self)
            if held:
                RULES[self.name] = held[-1].rule
            else:
                RULES.pop(self.name, None)

    def __repr__(self) -> str:
        return f"Registration({self.name!r})"


def register(name: str, rule: Callable[..., Any]) -> Registration:
    """Add or replace the rule for the torch function of that name, for good or for a ``with`` block.

    The table is one for the process: within a block the rule holds in every thread. What is returned only matters to
    ``with``, at whose end the earlier rule holds again.

    Args:
        name: as in ``torch.<name>``, without underscores at its ends; it holds for the method, the operator, the
            in-place form and ``torch.nn.functional`` alike. The error of a missing rule states it.
        rule: ``rule(func, *args, **kwargs)`` with jets among the arguments, usually made by ``jets.pointwise``,
            ``jets.linear``, ``jets.multilinear``, ``jets.composite`` or ``jets.constant``.

    Raises:
        TypeError: if the rule is not callable or the name is not a string.

    Example:
        >>> from acelib import jets
        >>> model = lambda x: torch.special.erfcx(x).sum(1, keepdim=True)
        >>> x = torch.tensor([[0.3, 1.0]], dtype=torch.float64)
        >>> with jets.register("erfcx", jets.pointwise()):           # derivatives by automatic differentiation
        ...     assert jets.check(model, x, torch.eye(2, dtype=torch.float64)) < 1e-12
        >>> assert "erfcx" not in jets.supported()
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, as in torch.<name>, got {name!r}")
    if not callable(rule):
        raise TypeError(f"rule must be callable as rule(func, *args, **kwargs), got {rule!r}; see jets.pointwise")
    return Registration(plain_name_of(name), rule)


def plain_name_of(name: str) -> str:
    """Return the name under which a rule is kept."""
    bare = name.strip("_").removeprefix("special_")
    return _SAME.get(bare, bare)


def provide(rule: Callable[..., Any], *names: str) -> None:
    """Register one rule under several names."""
    for name in names:
        register(name, rule)
