"""The tables of the coverage: those of the book's page, and the short one of README.md, all made from the record."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping
from typing import Any

from tools.coverage.case import READINGS
from tools.marks import between

WORDS = {"stderr": "± 1.96 standard errors", "interval": "`interval()`", "test": "no false find"}
KINDS = {  # kind -> (sign, words, background): white text on each has a contrast of at least 5 to 1
    "wide": ("↔", "wide", "#2f5d8a"),
    "holds": ("✓", "holds", "#1b6e3c"),
    "short": ("~", "a little short", "#7a5200"),
    "said": ("!", "low, and says so", "#8a4500"),
    "silent": ("✗", "low, in silence", "#a4262c"),
}
ORDER = [
    *"expectation linearised groups effects regressors domains seeds feedback horizon".split(),
    *"causal_graph regional sobol contributions paths".split(),
]
"""The subjects as the method builds on them; others follow in the order of the record."""

SPOKEN = 0.5  # share of the repetitions from which a warning counts as said
README = ("<!-- coverage: written by make coverage -->", "<!-- end of coverage -->")
SUMMARY = ("<!-- summary: written by make coverage -->", "<!-- end of summary -->")
TABLES = ("<!-- tables: written by make coverage -->", "<!-- end of tables -->")


def read_off(case: Mapping[str, Any]) -> dict[str, float]:
    """Return the reading that judges a case, the last of ``READINGS`` that it has."""
    return case["readings"][[name for name in READINGS if name in case["readings"]][-1]]


def kind(case: Mapping[str, Any]) -> str:
    """Return the kind of a case, one of ``KINDS``.

    Example:
        >>> case = {"readings": {"stderr": {"coverage": 0.85, "error": 0.01}}, "warned": 1.0}
        >>> kind(case), kind(case | {"warned": 0.0})
        ('said', 'silent')
    """
    coverage = read_off(case)["coverage"]
    if coverage >= 0.90:
        return "wide" if coverage > 0.97 else "holds" if coverage >= 0.93 else "short"
    return "said" if case["warned"] >= SPOKEN else "silent"


def percent(reading: Mapping[str, float]) -> str:
    """Return a coverage with its standard error, in percent."""
    return f"{100 * reading['coverage']:.1f} ± {100 * reading['error']:.1f}"


def badge(name: str) -> str:
    """Return the mark of a kind as HTML: a sign and words, on a colour."""
    sign, words, colour = KINDS[name]
    style = f"background:{colour};color:#fff;padding:0 0.4em;border-radius:3px;white-space:nowrap"
    return f'<span style="{style}">{sign} {html.escape(words)}</span>'


def subjects(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the subjects of a record by name, in the order in which they are shown."""
    names = [name for name in ORDER if name in record["results"]]
    return {name: record["results"][name] for name in dict.fromkeys([*names, *record["results"]])}


def ordered(subject: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (world, case) of a subject, the lowest coverage first."""
    return sorted(subject["cases"].items(), key=lambda item: read_off(item[1])["coverage"])


def quantities(record: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each quantity: name, worlds, typical coverage, worst coverage, its world, warned there."""
    rows = []
    for subject in subjects(record).values():
        worst, case = ordered(subject)[0]
        typical = statistics.median(read_off(one)["coverage"] for one in subject["cases"].values())
        rows.append(
            [
                subject["quantity"],
                str(len(subject["cases"])),
                f"{100 * typical:.0f} %",
                f"{100 * read_off(case)['coverage']:.0f} %",
                _plain(worst),
                f"{100 * case['warned']:.0f} %",
            ]
        )
    return rows


HEAD = ["quantity", "worlds", "typical", "worst", "where it is worst", "warned there"]


def summary_lines(record: Mapping[str, Any]) -> list[str]:
    """Return the table by quantity and how many worlds are of each kind, as Markdown."""
    cases = [case for subject in record["results"].values() for case in subject["cases"].values()]
    counts = [f"{badge(name)} {sum(kind(case) == name for case in cases)}" for name in KINDS]
    return [*_table(HEAD, quantities(record), "lrrrlr"), "", f"All {len(cases)} worlds: " + ", ".join(counts) + "."]


def tables_lines(record: Mapping[str, Any]) -> list[str]:
    """Return a section for each quantity with a row for each world, as Markdown."""
    lines: list[str] = []
    for name, subject in subjects(record).items():
        used = [r for r in READINGS if any(r in case["readings"] for case in subject["cases"].values())]
        rows = [
            [
                _plain(world),
                *(percent(case["readings"][r]) if r in case["readings"] else "–" for r in used),
                f"{100 * case['warned']:.0f} %",
                badge(kind(case)),
                str(case["repetitions"]),
                _plain(case["truth"]),
            ]
            for world, case in subject["cases"].items()
        ]
        head = ["world", *(WORDS[r] for r in used), "warned", "verdict", "repetitions", "where the truth comes from"]
        where = subject["conditions"]
        lines += [f"### {subject['quantity'][:1].upper()}{subject['quantity'][1:]}", ""]
        lines += _table(head, rows, "l" + "r" * len(used) + "rlrl")
        lines += [
            "",
            f"`tests/coverage/cover_{name}.py`; {where['date']}, {where['device']}, torch {where['torch']}.",
            "",
        ]
    return lines[:-1]


def readme_lines(record: Mapping[str, Any]) -> list[str]:
    """Return the short table of README.md."""
    return _table(HEAD, quantities(record), "lrrrlr")


def quote(record: Mapping[str, Any], text: str) -> str:
    """Return the text of README.md with its table made anew."""
    return between(README, readme_lines(record), text)


def fill(record: Mapping[str, Any], text: str) -> str:
    """Return the text of the book's page with its tables made anew."""
    text = between(SUMMARY, summary_lines(record), text, "book/coverage.md")
    return between(TABLES, tables_lines(record), text, "book/coverage.md")


def _table(head: list[str], rows: list[list[str]], sides: str) -> list[str]:
    rule = "|" + "|".join("---:" if side == "r" else "---" for side in sides) + "|"
    return ["| " + " | ".join(row) + " |" for row in [head]] + [rule] + ["| " + " | ".join(row) + " |" for row in rows]


def _plain(text: str) -> str:
    """Return text that Markdown leaves alone inside a table."""
    for sign in "\\`*_[]<>|$":
        text = text.replace(sign, "\\" + sign)
    return text
