"""Exercises that check the reader: ``check(name, answer)`` says right, nearly, or not yet, and why."""

from .checking import answers, check
from .replies import Reply

__all__ = ["Reply", "answers", "check"]
