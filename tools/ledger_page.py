"""Two pages written from what the chapters recorded: the ledger and the status.

The ledger has a verdict for every claim; the status has the seconds, the device and the versions behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from acelib.lab.cards import BADGES, badge_html, number_text, ours_text
from acelib.lab.ledger import PROVENANCE_MIME, VERDICTS, collect, outputs_of

_HEAD = ("Claim and its test", "Paper", "Ours", "Verdict and reason")


def ledger_markdown(chapters: Sequence[tuple[str, str, Any]], full: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the ledger as Markdown: counts of the verdicts, then one table per chapter, the full run beside the quick.

    Args:
        chapters: (file stem, title, executed notebook) of each chapter, in the book's order.
        full: entries of ``data/ledger/*.json``, as ``save_ledger`` writes them.

    Raises:
        ValueError: for the same claim id in two chapters.
    """
    quick = [(stem, title, collect(notebook)[1]) for stem, title, notebook in chapters]
    _refuse_repeats(quick)
    everything = [claim for _, _, claims in quick for claim in claims]
    known = {claim["id"] for claim in everything}
    later = [claim for entry in full for claim in entry["claims"] if claim["id"] not in known]
    lines = [
        *("---", "html_theme.sidebar_secondary.remove: true", "---", ""),  # the tables need the width
        "# The ledger: paper against ours",
        "",
        "Each claim was written as an inequality before the run that judges it. The verdict follows from the run; the",
        "numbers below are the ones that the chapters recorded.",
        "",
        *_counts([*everything, *later]),
        "",
    ]
    for stem, title, claims in quick:
        full_claims = [c for e in full if e["chapter"] == stem for c in e["claims"]]
        if claims or full_claims:
            lines += [f"## {title}", "", f"[To the chapter]({stem}.ipynb)", "", *_table(claims, full_claims), ""]
    lines += _full_numbers(full)
    return "\n".join(lines).rstrip() + "\n"


def status_markdown(chapters: Sequence[tuple[str, str, Any]], versions: Mapping[str, str]) -> str:
    """Return the status as Markdown: per chapter the seconds, the profile, the seed and the device; then the versions.

    Args:
        chapters: (file stem, title, notebook) of each chapter. Seconds come from papermill's metadata; where there are
            none (stored outputs) a dash stands.
        versions: package name to version, of the environment that built the pages.
    """
    lines = ["# Status", "", "How long each chapter took when these pages were built, and on what.", ""]
    lines += ["| Chapter | Seconds | Profile | Seed | Device | Threads | Data |", "|---|---:|---|---:|---|---:|---|"]
    for stem, title, notebook in chapters:
        footer = (outputs_of(notebook, PROVENANCE_MIME) or [{}])[-1]
        duration = notebook["metadata"].get("papermill", {}).get("duration")
        seconds = "–" if duration is None else f"{duration:.1f}"
        facts = [footer.get(name) for name in ("profile", "seed", "device", "threads", "data")]
        cells = [f"[{_plain(title)}]({stem}.ipynb)", seconds, *("–" if f is None else _plain(str(f)) for f in facts)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "## Versions", "", "| Package | Version |", "|---|---|"]
    lines += [f"| {_plain(name)} | {_plain(str(version))} |" for name, version in versions.items()]
    return "\n".join(lines) + "\n"


def _refuse_repeats(quick: Iterable[tuple[str, str, list[dict[str, Any]]]]) -> None:
    home: dict[str, str] = {}
    for stem, _, claims in quick:
        for claim in claims:
            other = home.setdefault(claim["id"], stem)
            if other != stem:
                raise ValueError(f"id of a claim must be used once, got {claim['id']!r} in {other} and in {stem}")


def _counts(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| Verdict | Claims |", "|---|---:|"]
    for name in VERDICTS:
        lines.append(f"| {_badge(name)} | {sum(claim['verdict'] == name for claim in claims)} |")
    return [*lines, f"| all | {len(claims)} |"]


def _table(claims: Sequence[Mapping[str, Any]], full: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    waiting = {claim["id"]: claim for claim in full}
    for claim in claims:
        lines.append(_row(claim, ""))
        if claim["id"] in waiting:
            lines.append(_row(waiting.pop(claim["id"]), " (full run)"))
    return [*lines, *(_row(claim, " (full run)") for claim in waiting.values())]


def _row(claim: Mapping[str, Any], where: str) -> str:
    correction = f"<br>Corrected: {_plain(claim['correction'])}" if claim["correction"] else ""
    cells = [
        f"**{_plain(claim['statement'])}**<br>{_plain(claim['source'])}, `{claim['id']}`{where}"
        f"<br>Test: {_plain(claim['inequality'])}",
        _plain(claim["paper"]),
        _plain(ours_text(claim["ours"], claim["tol"])),
        f"{_badge(claim['verdict'])}<br>{_plain(claim['reason'])}{correction}",
    ]
    return "| " + " | ".join(cells) + " |"


def _full_numbers(full: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for entry in full:
        facts = entry["provenance"]
        lines += [
            f"## Full run of {entry['chapter']}",
            "",
            f"Seed {facts['seed']}, {_plain(str(facts['device']))}, torch {facts['versions']['torch']}, "
            f"data {facts['data'] or '–'}, {facts['seconds']:.0f} seconds.",
            "",
            "| Record | Value | Tolerance |",
            "|---|---:|---:|",
        ]
        for item in entry["records"]:
            value = f"{number_text(item['value'], item['tol'])} {item['unit']}".strip()
            lines.append(f"| `{item['id']}` | {_plain(value)} | {item['tol']:g} |")
        lines.append("")
    return lines


def _badge(verdict: str) -> str:
    assert verdict in BADGES, verdict
    return badge_html(verdict)


def _plain(text: str) -> str:
    """Return text that Markdown leaves alone inside a table: no rows, columns, markup, mathematics or roles."""
    for sign in "\\`*_{}[]<>|$#~":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
