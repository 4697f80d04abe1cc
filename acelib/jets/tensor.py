"""A tensor with its value, R tangents, and one summed second derivative.

Along x(ε) = x + Σ_r ε_r s_r every intermediate result z of a network has a value, the slopes t_r = ∂z/∂ε_r, and
h = Σ_r ∂²z/∂ε_r². An operation z' = φ(z) maps them by t_r' = φ'(z) t_r and h' = φ'(z) h + Σ_r φ''(z)[t_r, t_r]. The
sum over r is taken at once, so R directions cost R + 2 rows; of the last layer's h, one half is ½ Tr(∇²f S Sᵀ).

A ``Jet`` is a ``torch.Tensor`` without memory of its own. A torch function that is called with one is carried out by
the rule of that name; an operation without a rule is an error that names it, never a guess.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import torch
from torch import Tensor

from .._directional import UnsupportedOperation
from .lazy import Shared
from .registry import RULES, canonical, plain_name

_inside = threading.local()  # whether a rule is running: what it calls is ours, whatever the gradient mode


class MissingRule(UnsupportedOperation):
    """The model uses an operation that jets have no rule for; ``operation`` names it."""

    def __init__(self, operation: str):
        rule = f"add a rule with acelib.jets.register({operation!r}, ...)"
        remedy = f"{rule if operation.isidentifier() else 'write that part differently'}, or use route='auto'"
        super().__init__(operation, "collapsed", remedy)


class Jet(Tensor):
    """Value ``(B, ...)``, tangents ``(R, B, ...)`` and summed second derivative ``(B, ...)`` under one tensor's name.

    ``value`` is a plain tensor. ``tangents`` is one too, or None for a constant that may later be written to.
    ``second`` None stands for zero.
    """

    @staticmethod
    def __new__(cls, value: Tensor, tangents: Tensor | Shared | None = None, second: Tensor | None = None):
        return Tensor._make_wrapper_subclass(
            cls, value.shape, strides=value.stride(), dtype=value.dtype, device=value.device, requires_grad=False
        )

    def __init__(self, value: Tensor, tangents: Tensor | Shared | None = None, second: Tensor | None = None):
        self._value, self._tangents, self._second = value, tangents, second
        self._family = [weakref.ref(self)]  # this jet and the views that share its memory
        # (base, index) of a view made by indexing, so that writing to it reaches the base
        self._origin: tuple[weakref.ref[Jet], Any] | None = None
        self._stale: str | None = None  # the operation that overwrote the memory behind this view

    @property
    def value(self) -> Tensor:
        """The plain tensor ``(B, ...)``."""
        return self._value

    @property
    def tangents(self) -> Any:
        """The tangents ``(R, B, ...)`` written out; None for a constant, which rules are never called with."""
        if isinstance(self._tangents, Shared):
            self._tangents = self._tangents.dense()
        return self._tangents

    @property
    def kept_tangents(self) -> Tensor | Shared | None:
        """The tangents as they are kept: written out or still shared; None for a constant."""
        return self._tangents

    @property
    def second(self) -> Tensor | None:
        """The summed second derivative ``(B, ...)``; None stands for zero."""
        return self._second

    @property
    def active(self) -> bool:
        """Whether it varies: False for a constant."""
        return self._tangents is not None

    def __repr__(self, **_) -> str:
        count = 0 if self._tangents is None else len(_base(self._tangents))
        return f"Jet({count} tangents, value {self._value!r})"

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name, in_place = plain_name(func)
        if not (torch.is_grad_enabled() or getattr(_inside, "rule", False)):
            # torch would take the result for a constant, or call a custom backward for it: both would be a guess
            raise MissingRule(f"{name} inside torch.no_grad() or a custom autograd.Function")
        outer, _inside.rule = getattr(_inside, "rule", False), True
        try:
            with torch.no_grad():
                return _dispatch(func, name, in_place, args, dict(kwargs or {}))
        finally:
            _inside.rule = outer

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise MissingRule(func.__name__.split(".")[0])


def _base(tangents: Tensor | Shared) -> Tensor:
    return tangents.base if isinstance(tangents, Shared) else tangents


def jets_in(tree: Any) -> list[Jet]:
    """Return all jets in nested tuples, lists and dictionaries, in order."""
    if isinstance(tree, Jet):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (tuple, list)):
        return []
    return [jet for item in tree for jet in jets_in(item)]


def replace(tree: Any, kind: type, function) -> Any:
    """Return the tree with ``function`` applied to every leaf of a kind."""
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, dict):
        return {key: replace(item, kind, function) for key, item in tree.items()}
    if type(tree) in (tuple, list):
        return type(tree)([replace(item, kind, function) for item in tree])
    return tree


def _dispatch(func, name: str, in_place: bool, args: tuple, kwargs: dict) -> Any:
    """Return the result of one torch function that was called with a jet."""
    jets = jets_in((args, kwargs))
    for jet in jets:
        if jet._stale:
            raise MissingRule(f"{name} on a view of memory that {jet._stale} has overwritten")
    if kwargs.get("out") is not None:
        raise MissingRule(f"{name} with out=")
    written = args[0] if in_place or kwargs.pop("inplace", False) else None
    if not any(jet.active for jet in jets):
        if not isinstance(written, Jet):
            result = func(*replace(args, Jet, _value), **replace(kwargs, Jet, _value))
            return _with_family(result, jets, name, args)
        if not any(jet.active for jet in _relatives(written)):
            func(*replace(args, Jet, _value), **replace(kwargs, Jet, _value), **({} if in_place else {"inplace": True}))
            return written
    rule = RULES.get(name)
    if rule is None:
        raise MissingRule(name)
    if written is not None and not isinstance(written, Jet):
        raise MissingRule(f"{name} that writes into a plain tensor (make it with x.new_zeros)")
    func = canonical(name, func) if in_place else func
    args, kwargs = _by_position(name, replace(args, Jet, _settled), replace(kwargs, Jet, _settled))
    try:
        result = rule(func, *args, **kwargs)
    except TypeError as error:  # an argument form that the rule does not know
        raise MissingRule(f"{name} with these arguments ({error})") from error
    return _with_family(result, jets, name, args) if written is None else _rebind(written, result, name)


def _by_position(name: str, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments with ``input=`` and ``other=`` at the places where the rules look for them."""
    if args or "input" not in kwargs:
        return args, kwargs
    first = ("input",) if name == "where" or "other" not in kwargs else ("input", "other")
    return tuple(kwargs[key] for key in first), {key: item for key, item in kwargs.items() if key not in first}


def _value(jet: Jet) -> Tensor:
    return jet.value


def _settled(jet: Jet) -> Tensor:
    """Return the jet, or the plain tensor of a constant one."""
    return jet if jet.active else jet.value


def _relatives(jet: Jet) -> list[Jet]:
    """Return the jet and all living views of its memory."""
    return [relative for reference in jet._family if (relative := reference()) is not None]


def _rebind(target: Jet, result: Any, name: str) -> Jet:
    """Return the target of an in-place operation with its new contents; its views are marked as stale."""
    new = result if isinstance(result, Jet) else Jet(result)
    if new.value.shape != target.value.shape or new.value.dtype != target.value.dtype:
        raise MissingRule(f"in-place {name} that changes shape or dtype")
    base, index = (None, None) if target._origin is None else (target._origin[0](), target._origin[1])
    for relative in _relatives(target):
        if relative is not target and relative is not base:
            relative._stale = f"an in-place {name}"
    family = [target]
    if base is not None:
        _fill(base, RULES["setitem"](None, _settled(base), index, _settled(new)))
        family.append(base)
    _fill(target, new)
    shared = [weakref.ref(relative) for relative in family]
    for relative in family:
        relative._family = shared
    return target


def _fill(jet: Jet, new: Jet) -> None:
    jet._value, jet._tangents, jet._second = new._value, new._tangents, new._second


def _with_family(result: Any, jets: list[Jet], name: str, args: tuple) -> Any:
    """Return the result, each part that shares memory with an argument noted as a view of it."""
    owners = {jet.value.untyped_storage().data_ptr(): jet for jet in jets if jet.value.numel()}

    def note(part: Tensor) -> Tensor:
        value = part.value if isinstance(part, Jet) else part
        if isinstance(part, Jet) and any(part is jet for jet in jets):
            return part
        owner = owners.get(value.untyped_storage().data_ptr()) if value.numel() else None
        if isinstance(part, Jet):
            view = part
        elif owner is not None or name in MAKERS:
            view = Jet(part)  # a constant now, but writing a jet into it must be possible
        else:
            return part
        if owner is not None:
            view._family = owner._family
            view._family.append(weakref.ref(view))
            if name == "getitem":
                view._origin = (weakref.ref(owner), args[1])
        return view

    return replace(result, Tensor, note)


MAKERS = {"new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like"}
