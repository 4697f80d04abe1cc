"""The modules behind a callable: itself, the owner of a method, and what closures, partials and objects hold."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn


def modules_behind(model: Callable) -> list[nn.Module]:
    """Return the modules that a callable can reach, each once, outermost first.

    Found are modules in closures, default arguments, ``functools.partial``, bound methods, attributes and lists of
    callable objects, and the global names that a function uses.

    Args:
        model: a module, function, method, partial or callable object.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> assert modules_behind(lambda x: net(x).softmax(1)) == [net] == modules_behind(net.forward)
    """
    found: list[nn.Module] = []
    seen: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, nn.Module):
            found.append(item)
        else:
            waiting += _held_by(item)
    return found


def _held_by(item: Any) -> Iterator[Any]:
    """Yield what an object holds that may be, or may hold, a module."""
    if isinstance(item, functools.partial):
        yield from (item.func, *item.args, *item.keywords.values())
    elif isinstance(item, types.MethodType):
        yield from (item.__self__, item.__func__)
    elif isinstance(item, types.FunctionType):
        yield from _of_function(item)
    elif isinstance(item, list | tuple | set):
        yield from (one for one in item if _may_hold(one))
    elif isinstance(item, dict):
        yield from (one for one in item.values() if _may_hold(one))
    elif _may_hold(item):
        yield from (one for one in getattr(item, "__dict__", {}).values() if _may_hold(one))
        call = type(item).__dict__.get("__call__")
        if isinstance(call, types.FunctionType):
            yield call


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    """Yield what a function closes over, its defaults, and the global names in its code that may hold a module."""
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # a cell that is not filled yet
            continue
        if _may_hold(content):
            yield content
    yield from (one for one in (function.__defaults__ or ()) if _may_hold(one))
    yield from (one for one in (function.__kwdefaults__ or {}).values() if _may_hold(one))
    if hasattr(function, "__wrapped__"):
        yield function.__wrapped__
    for name in _names(function.__code__):
        one = function.__globals__.get(name)
        alike = isinstance(one, types.FunctionType) and one.__globals__ is function.__globals__
        if isinstance(one, nn.Module | functools.partial) or alike:
            yield one


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a function's code, and the functions written inside it, look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _may_hold(item: Any) -> bool:
    """Return whether an object is worth looking into: containers, and callables that are no class of a library."""
    if isinstance(item, list | tuple | set | dict):
        return len(item) <= 100
    return callable(item) and not isinstance(item, type | types.BuiltinFunctionType | types.ModuleType)
