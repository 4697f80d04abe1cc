"""The kinds of rule: pointwise, linear, multilinear, composite, constant. Most operations need one line with these.

With z_i the arguments that vary, t their tangents and h their summed second derivatives:

- linear: t' = L t, h' = L h
- pointwise: t' = Σ_i f_i t_i,  h' = Σ_i f_i h_i + Σ_ij f_ij Σ_r t_i t_j  (partial derivatives f_i, f_ij)
- multilinear: the product rule, h' = Σ_i m(.., h_i, ..) + Σ_{i≠j} Σ_r m(.., t_i, .., t_j, ..)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .lazy import Shared
from .tensor import Jet, MissingRule, jets_in, replace

Rule = Callable[..., Any]


def plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """Return a + b, where None is zero."""
    return b if a is None else a if b is None else a + b


def lift(tangents: Tensor, ndim: int) -> Tensor:
    """Return ``(R, ...)`` with ones after R, so that it broadcasts like a value with ``ndim`` axes."""
    missing = ndim + 1 - tangents.ndim
    return tangents.reshape(len(tangents), *(1,) * missing, *tangents.shape[1:]) if missing > 0 else tangents


def image(jet: Jet, value: Tensor, slope: Callable[[Tensor], Tensor]) -> Jet:
    """Return the jet of an affine operation with this value, ``slope`` its linear part on ``(N, ...)`` for any N."""
    kept = jet.kept_tangents
    if isinstance(kept, Shared):
        tangents = kept.map(slope)
    else:
        tangents = slope(jet.tangents.flatten(0, 1)).unflatten(0, jet.tangents.shape[:2])
    return Jet(value, tangents, None if jet.second is None else slope(jet.second))


def with_value(jet: Jet, value: Tensor) -> Jet:
    """Return the same slopes under another value: an affine operation after its linear part."""
    return Jet(value, jet.tangents, jet.second)


def constant() -> Rule:
    """Return a rule for results without slope: comparisons, indices, shapes, ``detach``."""

    def rule(func, *args, **kwargs):
        return func(*replace(args, Jet, lambda j: j.value), **replace(kwargs, Jet, lambda j: j.value))

    return rule


def composite(function: Callable) -> Rule:
    """Return a rule that computes the operation by other torch operations; ``function`` has its signature.

    Example:
        >>> from acelib import jets
        >>> softplus_of_minus = jets.composite(lambda x: torch.log1p(torch.exp(-x)))
        >>> assert callable(softplus_of_minus)
    """

    def rule(func, *args, **kwargs):
        return function(*args, **kwargs)

    return rule


def linear(*at: int, numbers: bool = True) -> Rule:
    """Return a rule for an operation that is linear in its arguments number ``at`` jointly (default: the first).

    Such an argument may be a tensor or a list of them. A constant among them adds nothing to the tangents, nor does one
    in any other place, by position or by name: what the operation returns for zeros is taken off.

    Args:
        at: numbers of the arguments.
        numbers: False where a number in another place is always an axis, a size or a factor, which adds nothing; this
            saves a call.
    """
    places = at or (0,)

    def rule(func, *args, **kwargs):
        moving = [args[i] for i in places if i < len(args)]
        if len(jets_in(moving)) < len(jets_in((args, kwargs))):
            raise MissingRule(f"{func.__name__} with a varying argument in an unusual place")
        leaves: list[Tensor] = []
        pattern = replace(moving, Tensor, lambda leaf: leaves.append(leaf) or _Slot(len(leaves) - 1))

        def call(*tensors: Tensor) -> Any:
            filled = iter(replace(pattern, _Slot, lambda slot: tensors[slot.number]))
            full = [next(filled) if i in places else argument for i, argument in enumerate(args)]
            return func(*full, **kwargs)

        others = [a for i, a in enumerate(args) if i not in places], list(kwargs.values())
        zero = call(*[torch.zeros_like(_plain(leaf)) for leaf in leaves]) if _may_add(others, numbers) else None
        jets = jets_in(leaves)
        count = len(jets[0].tangents)
        values = [leaf.value if isinstance(leaf, Jet) else leaf for leaf in leaves]
        slopes = [
            leaf.tangents if isinstance(leaf, Jet) else leaf.new_zeros(1).expand(count, *leaf.shape) for leaf in leaves
        ]
        second = None
        if any(jet.second is not None for jet in jets):
            bends = [leaf.second if isinstance(leaf, Jet) else None for leaf in leaves]
            bends = [torch.zeros_like(v) if b is None else b for v, b in zip(values, bends, strict=True)]
            second = _minus(call(*bends), zero)
        return _zip(call(*values), _minus(torch.vmap(call)(*slopes), zero), second)

    return rule


def _plain(leaf: Tensor) -> Tensor:
    return leaf.value if isinstance(leaf, Jet) else leaf


def _may_add(others: Any, numbers: bool) -> bool:
    """Return whether arguments hold a tensor, or a number, that could add something constant to the result."""
    if isinstance(others, (list, tuple)):
        return any(_may_add(item, numbers) for item in others)
    return isinstance(others, Tensor) or (numbers and isinstance(others, (int, float)))


def _minus(result: Any, zero: Any) -> Any:
    """Return the result, a tensor or several, less what the operation returns for zeros."""
    if zero is None:
        return result
    if isinstance(result, Tensor):
        return result - zero
    return [_minus(a, b) for a, b in zip(result, zero, strict=True)]


class _Slot:
    """A place in an argument where a tensor goes."""

    def __init__(self, number: int):
        self.number = number


def _zip(value: Any, tangents: Any, second: Any) -> Any:
    """Return jets from results that may be tuples or lists of tensors."""
    if isinstance(value, Tensor):
        return Jet(value, tangents, second)
    parts = [
        _zip(v, t, None if second is None else second[i]) for i, (v, t) in enumerate(zip(value, tangents, strict=True))
    ]
    return tuple(parts)


def multilinear(*at: int) -> Rule:
    """Return a rule for a product: linear in each of its arguments number ``at`` (default: the first two) alone."""
    places = at or (0, 1)

    def rule(func, *args, **kwargs):
        moving = [i for i in places if i < len(args) and isinstance(args[i], Jet)]
        if len(moving) < len(jets_in((args, kwargs))):
            raise MissingRule(f"{func.__name__} with a varying argument in an unusual place")
        plain = [a.value if isinstance(a, Jet) else a for a in args]

        def put(**parts: Tensor) -> Any:
            return func(*[parts.get(f"p{i}", a) for i, a in enumerate(plain)], **kwargs)

        tangents = second = None
        for i in moving:
            slope = torch.vmap(lambda t, i=i: put(**{f"p{i}": t}))(args[i].tangents)
            tangents = plus(tangents, slope)
            if args[i].second is not None:
                second = plus(second, put(**{f"p{i}": args[i].second}))
            for j in (j for j in moving if j > i):
                both = torch.vmap(lambda t, u, i=i, j=j: put(**{f"p{i}": t, f"p{j}": u}))
                second = plus(second, 2 * both(args[i].tangents, args[j].tangents).sum(0))
        return Jet(put(), tangents, second)

    return rule


def pointwise(derivatives: Callable | None = None, *, bends: bool = True) -> Rule:
    """Return a rule for an elementwise function of any number of arguments, with broadcasting.

    Args:
        derivatives: ``derivatives(value, result) -> (f', f'')`` for a function of one argument; without it both come
            from automatic differentiation of the values, which costs little beside R tangents.
        bends: False where the function is piecewise linear, so that f'' = 0.

    Example:
        >>> from acelib import jets
        >>> x, s = torch.linspace(-1, 1, 6).reshape(2, 3), torch.eye(3)
        >>> with jets.register("sin", jets.pointwise(lambda x, y: (torch.cos(x), -y))):
        ...     assert jets.check(torch.sin, x, s) < 1e-12
    """

    def rule(func, *args, **kwargs):
        jets = jets_in((args, kwargs))

        def call(*tensors: Tensor) -> Tensor:
            filled = iter(tensors)
            return func(*replace(args, Jet, lambda _: next(filled)), **replace(kwargs, Jet, lambda _: next(filled)))

        if derivatives is not None and len(jets) == 1:
            value = call(jets[0].value)
            first, bend = derivatives(jets[0].value, value)
            firsts, seconds = [first], {(0, 0): bend}
        else:
            value, firsts, seconds = _partials(call, [jet.value for jet in jets], bends)
        return _chain(value, jets, firsts, seconds)

    return rule


def _partials(call: Callable, values: list[Tensor], bends: bool) -> tuple[Tensor, list, dict]:
    """Return value, first partial derivatives f_i, and second ones f_ij (i <= j), elementwise, by reverse mode."""
    shape = torch.broadcast_shapes(*[v.shape for v in values])
    with torch.enable_grad():
        shape = call(*values).shape if len(values) == 1 else torch.broadcast_shapes(shape, call(*values).shape)
        leaves = [v.expand(shape).detach().requires_grad_() for v in values]
        value = call(*leaves)
        firsts = torch.autograd.grad(value, leaves, torch.ones_like(value), create_graph=bends)
        seconds = {}
        for i, first in enumerate(firsts):
            if bends and first.requires_grad:
                rest = torch.autograd.grad(first.sum(), leaves[i:], retain_graph=True, allow_unused=True)
                seconds |= {(i, i + j): second for j, second in enumerate(rest) if second is not None}
    return value.detach(), [first.detach() for first in firsts], seconds


def _chain(value: Tensor, jets: list[Jet], firsts: list, seconds: dict) -> Jet:
    """Return the jet of an elementwise function with these partial derivatives, by the chain rule."""
    tangents = second = None
    slopes = [lift(jet.tangents, value.ndim) for jet in jets]
    for jet, slope, first in zip(jets, slopes, firsts, strict=True):
        tangents = plus(tangents, slope * first)
        second = plus(second, None if jet.second is None else jet.second * first)
    for (i, j), bend in seconds.items():
        if bend is not None:
            square = (slopes[i].square() if i == j else 2 * slopes[i] * slopes[j]).sum(0)
            second = square * bend if second is None else second.addcmul_(square.expand_as(bend), bend)
    return Jet(value, tangents, second)
