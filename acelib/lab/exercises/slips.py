"""Name the slip behind a function: a judge that compares an answer with well-known wrong functions too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from acelib.lab.exercises.judges import Function
from acelib.lab.exercises.replies import NEARLY, Reply


@dataclass(frozen=True)
class Slips:
    """Judge a function, and say which well-known slip it has where it equals a wrong one.

    Attributes:
        right: the judge of the right function; its calls and tolerance serve for the wrong ones as well.
        wrong: functions that a slip gives, each with a hint that names it.

    Example:
        >>> judge = Slips(Function(abs, [(2.0,), (-1.0,)]), {lambda x: x: "A size has no sign."})
        >>> assert judge(abs) and judge(lambda x: x).hint == "A size has no sign."
        >>> assert judge(lambda x: x + 5).verdict == "wrong"
    """

    right: Function
    wrong: Mapping[Callable[..., Any], str]

    def __call__(self, answer: Any) -> Reply:
        reply = self.right(answer)
        if reply or not callable(answer):
            return reply
        for slip, why in self.wrong.items():
            if replace(self.right, reference=slip)(answer):
                return Reply(NEARLY, why)
        return reply
