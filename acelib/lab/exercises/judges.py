"""Judges of answers: one kind of answer each. A judge takes an answer and returns a reply that never gives it away."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acelib.lab.exercises.replies import NEARLY, OPEN, RIGHT, WRONG, Reply

Judge = Callable[[Any], Reply]


def is_open(answer: Any) -> bool:
    """Return whether nothing was answered: ``...``, ``None``, or a part of the answer that is one of them.

    Example:
        >>> assert is_open(...) and is_open({"slope": 2.0, "height": ...}) and not is_open(0)
    """
    if isinstance(answer, Mapping):
        return any(is_open(part) for part in answer.values()) or not answer
    if isinstance(answer, (list, tuple)):
        return any(is_open(part) for part in answer)
    return answer is None or answer is ...


@dataclass(frozen=True)
class Number:
    """Judge one number.

    Attributes:
        value: the right number.
        tol: how far from it an answer may lie and still be right, in the same unit.
        near: how far it may lie and still be nearly right; ten tolerances where it is None.
        traps: numbers that a well-known slip gives, each with a hint that names the slip.
        hint: what is said of a wrong answer.

    Example:
        >>> judge = Number(-100, tol=0.5, traps={0: "Measure from the baseline, not from zero."})
        >>> assert judge(-99.8) and judge(100).verdict == "nearly" and judge(3).verdict == "wrong"
    """

    value: float
    tol: float = 1e-6
    near: float | None = None
    traps: Mapping[float, str] = field(default_factory=dict)
    hint: str = "Go through the definition once more, one factor at a time."

    def __call__(self, answer: Any) -> Reply:
        number = _one_number(answer)
        if number is None:
            return Reply(WRONG, f"One number is asked for, this is {type(answer).__name__}.")
        if abs(number - self.value) <= self.tol:
            return Reply(RIGHT)
        for slip, why in self.traps.items():
            if abs(number - slip) <= self.tol:
                return Reply(NEARLY, why)
        if abs(self.value) > self.tol and abs(number + self.value) <= self.tol:
            return Reply(NEARLY, "The size is right, the sign is not.")
        if abs(number - self.value) <= (10 * self.tol if self.near is None else self.near):
            return Reply(NEARLY, "Close: check the rounding and the last step.")
        return Reply(WRONG, self.hint)


@dataclass(frozen=True)
class Choice:
    """Judge one choice among named options.

    Attributes:
        right: the right option.
        others: the other options, each with a hint on why it does not hold.

    Example:
        >>> judge = Choice("yes", {"no": "Look at the second row."})
        >>> assert judge("yes") and judge("no").hint == "Look at the second row."
        >>> assert "yes, no" in judge("perhaps").hint or "no, yes" in judge("perhaps").hint
    """

    right: Any
    others: Mapping[Any, str]

    def __call__(self, answer: Any) -> Reply:
        answer = answer.strip() if isinstance(answer, str) else answer
        for option in (self.right, *self.others):
            if isinstance(option, bool) == isinstance(answer, (bool, np.bool_)) and answer == option:
                return Reply(RIGHT) if option == self.right else Reply(WRONG, self.others[option])
        options = sorted(map(str, (self.right, *self.others)))
        return Reply(WRONG, f"Choose one of: {', '.join(options)}.")


@dataclass(frozen=True)
class Members:
    """Judge a set of names or numbers; their order does not matter.

    Attributes:
        right: the members.
        hint: what is said of an answer that shares nothing with them.

    Example:
        >>> judge = Members({"a", "b"})
        >>> assert judge(["b", "a"]) and judge(["a"]).verdict == "nearly" and judge(["c"]).verdict == "wrong"
    """

    right: Iterable[Any]
    hint: str = "None of these belongs to it."

    def __call__(self, answer: Any) -> Reply:
        if isinstance(answer, str) or not isinstance(answer, Iterable):
            return Reply(WRONG, 'A list is asked for, for instance ["first", "second"].')
        given, right = set(answer), set(self.right)
        if given == right:
            return Reply(RIGHT)
        missing, extra = len(right - given), len(given - right)
        if not given & right and right:
            return Reply(WRONG, self.hint)
        parts = [f"{missing} missing"] * bool(missing) + [f"{extra} too many"] * bool(extra)
        return Reply(NEARLY, f"{' and '.join(parts).capitalize()}.")


@dataclass(frozen=True)
class Function:
    """Judge a function by its values.

    Attributes:
        reference: the function it should equal.
        calls: the tuples of arguments that both are called with.
        tol: the largest difference allowed, per value.
        hint: what is said of a function that differs everywhere.

    Example:
        >>> judge = Function(lambda x: x**2, [(1.0,), (3.0,)])
        >>> assert judge(lambda x: x * x) and judge(lambda x: x).verdict == "nearly"
    """

    reference: Callable[..., Any]
    calls: Iterable[tuple[Any, ...]]
    tol: float = 1e-6
    hint: str = "Its values differ from the right ones for every input tried."

    def __call__(self, answer: Any) -> Reply:
        if not callable(answer):
            return Reply(WRONG, "A function is asked for: its name, without calling it.")
        hits = 0
        calls = list(self.calls)
        for arguments in calls:
            try:
                returned = answer(*arguments)
                if is_open(returned):
                    return Reply(OPEN, "Your function returns nothing yet.")
                given = np.asarray(_plain(returned), dtype=float)
            except Exception as error:  # whatever the reader's code raises is told, not thrown
                return Reply(WRONG, f"It stops with {type(error).__name__}: {error}")
            wanted = np.asarray(_plain(self.reference(*arguments)), dtype=float)
            if given.shape != wanted.shape:
                return Reply(WRONG, f"It returns the shape {given.shape} where {wanted.shape} is asked for.")
            hits += bool(np.all(np.abs(given - wanted) <= self.tol))
        if hits == len(calls):
            return Reply(RIGHT)
        return Reply(NEARLY, f"Right for {hits} of {len(calls)} inputs tried.") if hits else Reply(WRONG, self.hint)


class Parts:
    """Judge an answer of several named parts, given as a dictionary.

    Args:
        parts: one judge per name; an underscore in a name stands for a space in the reader's key.

    Example:
        >>> judge = Parts(slope=Number(2), height=Number(1))
        >>> assert judge({"slope": 2, "height": 1})
        >>> assert judge({"slope": 2, "height": 5}).verdict == "nearly"
    """

    def __init__(self, **parts: Judge) -> None:
        self.parts = {name.replace("_", " "): judge for name, judge in parts.items()}

    def __call__(self, answer: Any) -> Reply:
        if not isinstance(answer, Mapping) or set(answer) != set(self.parts):
            shape = ", ".join(f'"{name}": …' for name in self.parts)
            return Reply(WRONG, f"A dictionary with these keys is asked for: {{{shape}}}.")
        replies = {name: judge(answer[name]) for name, judge in self.parts.items()}
        if all(replies.values()):
            return Reply(RIGHT)
        said = " ".join(f"{name}: {str(reply)[0].lower()}{str(reply)[1:]}" for name, reply in replies.items())
        return Reply(NEARLY if any(r.verdict in (RIGHT, NEARLY) for r in replies.values()) else WRONG, said)


def reply_to(judge: Judge, answer: Any) -> Reply:
    """Return the judge's reply, or an open one where nothing was answered yet.

    Example:
        >>> assert reply_to(Number(1), ...).verdict == "open" and reply_to(Number(1), 1)
    """
    if is_open(answer):
        some = isinstance(answer, (Mapping, list, tuple)) and len(answer) > 1
        return Reply(OPEN, "Fill in every part, then run the cell." if some else "Replace the dots, then run the cell.")
    return judge(answer)


def _plain(value: Any) -> Any:
    """Bring tensors, also those that need a gradient, to numpy."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _one_number(answer: Any) -> float | None:
    try:
        value = np.asarray(_plain(answer), dtype=float)
    except (TypeError, ValueError):
        return None
    if isinstance(answer, (str, bool, np.bool_)) or value.size != 1:
        return None
    return value.item() if math.isfinite(value.item()) else None
