"""Texts of users where they are shown: names without control characters, numbers with the digits that they have."""

from __future__ import annotations

import math
import unicodedata

LONGEST = 60  # characters of a name in a sentence


def plain_text(text: str) -> str:
    """Return a text on one line, without the control characters that move a terminal's cursor or colours.

    Example:
        >>> assert plain_text("a\\n b\\x1b[31mc") == "a b[31mc"
    """
    kept = "".join(" " if c.isspace() else "" if unicodedata.category(c) in ("Cc", "Cf") else c for c in text)
    return " ".join(kept.split())


def shortened(name: str, most: int = LONGEST) -> str:
    """Return a name of at most ``most`` characters: what is too long loses its middle.

    Example:
        >>> assert shortened("abcdefghij", 7) == "abc…hij" and shortened("abc", 7) == "abc"
    """
    name = plain_text(name)
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}…{name[len(name) - tail :]}"


def output_name(target: str, most: int = LONGEST) -> str:
    """Return what an output is called in a sentence.

    Example:
        >>> assert output_name("2") == "output 2" and output_name("setosa") == "setosa"
    """
    return f"output {target}" if target.isdigit() else shortened(target, most)


def all_short(names: list[str], most: int) -> list[str]:
    """Return shortened names, numbered where two of them became the same.

    Example:
        >>> assert all_short(["a" * 9 + "b" * 9, "a" * 9 + "c" + "b" * 9], 7) == ["aaa…bbb #1", "aaa…bbb #2"]
    """
    short = [shortened(name, most) for name in names]
    numbered = [f"{name} #{short[: i + 1].count(name)}" for i, name in enumerate(short)]
    return [n if short.count(s) > 1 else s for s, n in zip(short, numbered, strict=True)]


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as people write it, with so many significant digits.

    Example:
        >>> assert [number(v) for v in (0.12345, 1234567.0, 0.0, None)] == ["0.123", "1,230,000", "0", "unknown"]
        >>> assert number(-1.23e-7) == "−1.23e−07"
    """
    if value is None or math.isnan(value):
        return "unknown"
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else ("∞" if value > 0 else "−∞")
    size = math.floor(math.log10(abs(value)))
    if -4 <= size < 12:
        text = f"{round(value, digits - 1 - size):,.{max(0, digits - 1 - size)}f}"
    else:
        text = f"{value:.{digits - 1}e}"
    return text.replace("-", "−")


def reading(value: float) -> str:
    """Return a number that is known, such as the end of a domain: at most six digits, no zeros at their end.

    Example:
        >>> assert [reading(v) for v in (0.1, 6.9, 1000000.0, -2.0)] == ["0.1", "6.9", "1,000,000", "−2"]
    """
    text = f"{value:,.6g}" if value == 0 or 1e-4 <= abs(value) < 1e12 else f"{value:.6g}"
    if "e" in text and abs(value) >= 1:
        text = f"{value:,.0f}" if abs(value) < 1e12 else text
    return text.replace("-", "−")


def listed(words: list[str]) -> str:
    """Return words as a list in a sentence.

    Example:
        >>> assert listed(["a", "b", "c"]) == "a, b and c" and listed(["a"]) == "a"
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
