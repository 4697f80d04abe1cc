"""Inequalities over named numbers, such as ``share >= threshold``, kept as text and evaluated from the numbers alone."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}


def names_in(text: str) -> set[str]:
    """Return the names of the numbers that an inequality asks for.

    Raises:
        ValueError: for a text that is no inequality, or uses more than comparisons, and/or/not, + - * /, abs, min, max.

    Example:
        >>> sorted(names_in("abs(ours - paper) < 5e-4"))
        ['ours', 'paper']
    """
    tree = _parse(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def holds(text: str, numbers: Mapping[str, float]) -> bool:
    """Return whether an inequality is true of these numbers.

    Args:
        text: a comparison, or several joined by ``and``, ``or`` and ``not``.
        numbers: value by name; truth values count as 0 and 1.

    Raises:
        ValueError: as ``names_in``, and for a name without a number.

    Example:
        >>> holds("abs(ours - paper) < 5e-4", {"ours": 1 / 3, "paper": 0.333}), holds("0 < n <= 2", {"n": 3})
        (True, False)
    """
    tree = _parse(text)
    missing = sorted(names_in(text) - set(numbers))
    if missing:
        raise ValueError(f"numbers must hold every name of {text!r}, got none for {', '.join(missing)}")
    return bool(_value(tree, numbers))


def _parse(text: str) -> ast.expr:
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        raise ValueError(f"inequality must be a Python comparison, got {text!r}") from None
    if not _is_truth(tree):
        raise ValueError(f"inequality must compare numbers, got {text!r}, which is no comparison")
    for node in ast.walk(tree):
        known = (
            isinstance(node, (ast.Compare, ast.BoolOp, ast.Name, ast.boolop, ast.expr_context))
            or (isinstance(node, ast.cmpop) and type(node) in _COMPARE)
            or (isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC)
            or isinstance(node, ast.operator)
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)))
            or isinstance(node, ast.unaryop)
            or (isinstance(node, ast.Constant) and type(node.value) in (int, float, bool))
            or (isinstance(node, ast.Call) and _is_function(node))
        )
        if not known:
            raise ValueError(
                f"inequality must use comparisons, and, or, not, + - * /, abs, min and max only, got {text!r}"
            )
    return tree


def _is_truth(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(_is_truth(part) for part in node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _is_truth(node.operand)
    return isinstance(node, (ast.Compare, ast.Name))


def _is_function(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and bool(node.args) and not node.keywords


def _value(node: ast.expr, numbers: Mapping[str, float]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return numbers[node.id]
    if isinstance(node, ast.BinOp):
        return _ARITHMETIC[type(node.op)](_value(node.left, numbers), _value(node.right, numbers))
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, numbers)
        return not inner if isinstance(node.op, ast.Not) else -inner
    if isinstance(node, ast.BoolOp):
        parts = (_value(part, numbers) for part in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.Call):
        return _FUNCTIONS[node.func.id](*(_value(part, numbers) for part in node.args))  # type: ignore[attr-defined]
    assert isinstance(node, ast.Compare)
    sides = [_value(part, numbers) for part in (node.left, *node.comparators)]
    pairs = zip(node.ops, sides, sides[1:], strict=False)
    return all(_COMPARE[type(sign)](left, right) for sign, left, right in pairs)
