"""Which rule answers which torch function: one table by name, and how a function's name is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

RULES: dict[str, Callable[..., Any]] = {}

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
    """``(name, in place?)`` of a torch function: ``Tensor.__iadd__`` and ``torch.add`` are both "add".

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
    """The function of that name which leaves its argument as it is."""
    for home in (torch.Tensor, torch, torch.nn.functional):
        if hasattr(home, name):
            return getattr(home, name)
    return func


def register(name: str, rule: Callable[..., Any]) -> None:
    """Adds or replaces the rule for the torch function of that name; returns nothing.

    Args:
        name: as in ``torch.<name>``, without underscores at its ends; it holds for the method, the operator, the
            in-place form and ``torch.nn.functional`` alike. The error of a missing rule states it.
        rule: ``rule(func, *args, **kwargs)`` with jets among the arguments, usually made by ``jets.pointwise``,
            ``jets.linear``, ``jets.multilinear``, ``jets.composite`` or ``jets.constant``.

    Raises:
        TypeError: the rule is not callable or the name is not a string.

    Example:
        >>> from acelib import jets
        >>> jets.register("erfcx", jets.pointwise())                 # derivatives by automatic differentiation
        >>> model = lambda x: torch.special.erfcx(x).sum(1, keepdim=True)
        >>> x = torch.tensor([[0.3, 1.0]], dtype=torch.float64)
        >>> assert jets.check(model, x, torch.eye(2, dtype=torch.float64)) < 1e-12
    """
    if not isinstance(name, str) or not callable(rule):
        raise TypeError(f"name and rule are {name!r} and {rule!r}, expected a string and a callable.")
    RULES[plain_name_of(name)] = rule


def plain_name_of(name: str) -> str:
    """The name under which a rule is kept."""
    bare = name.strip("_").removeprefix("special_")
    return _SAME.get(bare, bare)


def provide(rule: Callable[..., Any], *names: str) -> None:
    """Registers one rule under several names."""
    for name in names:
        register(name, rule)
