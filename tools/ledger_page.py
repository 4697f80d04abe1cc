"""Two pages written from what the chapters recorded: the ledger and the status.

The ledger has one verdict for every claim of a paper, from the last full run; the status has the seconds, the device
and the versions behind the pages.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from acelib.lab.claims import PAPERS, VERDICTS
from acelib.lab.claims.cards import PENDING, badge_html, claim_rows, heading
from acelib.lab.ledger import PROVENANCE_MIME, collect, outputs_of

_INTRODUCTION = """\
What the papers say, one statement a row, and what became of it here. Open a row to see how the sentence was read,
the test, the numbers, and what explains them. A verdict follows from the full run of a chapter, by a program.

The tests were fixed after pilot runs, and each row says what those had shown. So they are no preregistration: they say
what our runs give, by rules that stand there to be read, at thresholds whose neighbours are shown where they matter."""
_SCRIPT = """\
<script>
(function () {
  const rows = [...document.querySelectorAll("details.ledger-row")];
  const choices = [...document.querySelectorAll("select.ledger-filter")];
  const count = document.getElementById("ledger-count");
  function show() {
    let seen = 0;
    for (const row of rows) {
      row.hidden = choices.some((choice) => choice.value && row.dataset[choice.name] !== choice.value);
      seen += !row.hidden;
    }
    for (const part of document.querySelectorAll("div.ledger-chapter"))
      part.hidden = !part.querySelector("details.ledger-row:not([hidden])");
    count.textContent = `${seen} of ${rows.length}`;
  }
  function open() {
    const row = document.getElementById(location.hash.slice(1));
    if (row && row.matches("details.ledger-row")) { row.open = true; row.scrollIntoView(); }
  }
  choices.forEach((choice) => choice.addEventListener("change", show));
  window.addEventListener("hashchange", open);
  show(); open();
})();
</script>"""
_LOOK = """\
<style>
.ledger-bar { display: flex; flex-wrap: wrap; gap: .6em 1.2em; margin: 1em 0; align-items: baseline; }
.ledger-bar label, .ledger-bar select { max-width: 100%; }
.ledger-row { border-bottom: 1px solid var(--pst-color-border, #8a8f94); padding: .35em 0; overflow-wrap: anywhere; }
.ledger-row summary { cursor: pointer; line-height: 1.45; }
.ledger-row dl { display: grid; grid-template-columns: 7em minmax(0, 1fr); gap: .15em .6em; margin: .5em 0 .3em 1em; }
.ledger-row dt { font-weight: 400; opacity: .8; }
.ledger-row dd { margin: 0; }
.ledger-source { opacity: .8; font-size: .9em; }
@media (max-width: 40em) { .ledger-row dl { grid-template-columns: minmax(0, 1fr); margin-left: 0; } }
@media print { .ledger-bar { display: none; } }
</style>"""


def judged_items(
    chapters: Sequence[tuple[str, str, Any]], full: Sequence[Mapping[str, Any]] = ()
) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return (stem, title, claims) of each chapter, every claim with its entry of the full run, as a card takes it.

    Args:
        chapters: (file stem, title, executed notebook) of each chapter, in the book's order.
        full: entries of ``data/ledger/*.json``, as ``save_ledger`` writes them.

    Raises:
        ValueError: for the same claim id in two chapters.
    """
    last = {(entry["chapter"], item["id"]): item for entry in full for item in entry["claims"] if "digest" in item}
    home: dict[str, str] = {}
    found = []
    for stem, title, notebook in chapters:
        items = [item | {"full": last.get((stem, item["id"]))} for item in collect(notebook)[1]]
        for item in items:
            other = home.setdefault(item["id"], stem)
            if other != stem:
                raise ValueError(f"id of a claim must be used once, got {item['id']!r} in {other} and in {stem}")
        found.append((stem, title, items))
    return found


def ledger_markdown(chapters: Sequence[tuple[str, str, Any]], full: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the ledger as Markdown with HTML in it: counts per paper, a filter, and one row for each claim of a paper.

    Args:
        chapters: as for ``judged_items``.
        full: as for ``judged_items``.

    Raises:
        ValueError: as ``judged_items``.
    """
    parts = [
        (stem, title, [item for item in items if item["claim"]["paper"] is not None])
        for stem, title, items in judged_items(chapters, full)
    ]
    claims = [item for _, _, items in parts for item in items]
    lines = [
        *("---", "html_theme.sidebar_secondary.remove: true", "---", ""),  # the rows need the width
        "# The ledger: paper against ours",
        "",
        *_INTRODUCTION.splitlines(),
        "",
        *_counts(claims),
        "",
        *_tests(claims),
        "",
        "```{raw} html",
        *_LOOK.splitlines(),
        *_filters(parts),
        *(line for part in parts for line in _rows(*part)),
        *_SCRIPT.splitlines(),
        "```",
    ]
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


def counts(claims: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Return how many claims of each paper have each verdict, ``{paper: {verdict: count}}``; pending ones too."""
    found = {paper: dict.fromkeys((*VERDICTS, PENDING), 0) for paper in PAPERS}
    for item in claims:
        verdict = heading(item)[0]
        assert verdict is not None, "a statement of ours is not counted"
        found[item["claim"]["paper"]][verdict] += 1
    return found


def _counts(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    table = counts(claims)
    shown = [v for v in (*VERDICTS, PENDING) if v != PENDING or any(row[PENDING] for row in table.values())]
    papers = [paper for paper, row in table.items() if any(row.values())]
    lines = ["| Verdict | " + " | ".join(PAPERS[paper] for paper in papers) + " | all |"]
    lines.append("|---|" + "---:|" * (len(papers) + 1))
    for verdict in shown:
        numbers = [table[paper][verdict] for paper in papers]
        lines.append(f"| {badge_html(verdict)} | " + " | ".join(map(str, [*numbers, sum(numbers)])) + " |")
    totals = [sum(table[paper].values()) for paper in papers]
    return [*lines, "| all | " + " | ".join(map(str, [*totals, sum(totals)])) + " |"]


def _tests(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    tests = [test for item in claims for test in item["claim"]["tests"]]
    chances = [test["chance"] for test in tests if test["chance"] is not None]
    return [
        f"Behind these verdicts are {len(tests)} tests. {len(chances)} of them are statistical, with a known chance",
        f"to come out wrong; {sum(chances):.1f} of those would be expected to. The others compare numbers",
        "with thresholds, and nothing is corrected for their number: look at single verdicts with that in mind.",
    ]


def _filters(parts: Sequence[tuple[str, str, Sequence[Mapping[str, Any]]]]) -> list[str]:
    verdicts = [v for v in (*VERDICTS, PENDING) if any(heading(i)[0] == v for _, _, items in parts for i in items)]
    papers = {p: PAPERS[p] for p in PAPERS if any(i["claim"]["paper"] == p for _, _, items in parts for i in items)}
    chapters = {stem: title for stem, title, items in parts if items}
    lines = ['<div class="ledger-bar">']
    for name, label, options in (
        ("verdict", "Verdict", {v: v for v in verdicts}),
        ("paper", "Paper", papers),
        ("chapter", "Chapter", chapters),
    ):
        choices = "".join(f'<option value="{html.escape(k)}">{html.escape(v)}</option>' for k, v in options.items())
        lines.append(
            f'<label>{label} <select class="ledger-filter" name="{name}"><option value="">all</option>{choices}'
            "</select></label>"
        )
    return [*lines, '<span id="ledger-count" role="status"></span>', "</div>"]


def _rows(stem: str, title: str, items: Sequence[Mapping[str, Any]]) -> list[str]:
    if not items:
        return []
    lines = [f'<div class="ledger-chapter"><p><strong>{html.escape(title)}</strong></p>']
    for item in items:
        verdict, words = heading(item)
        claim = item["claim"]
        body = "".join(f"<dt>{label}</dt><dd>{html.escape(text)}</dd>" for label, text in claim_rows(item))
        lines.append(
            f'<details class="ledger-row" id="claim-{item["id"]}" data-verdict="{verdict}" '
            f'data-paper="{claim["paper"]}" data-chapter="{stem}">'
            f"<summary>{badge_html(str(verdict), words)} {html.escape(claim['statement'])} "
            f'<span class="ledger-source">{html.escape(PAPERS[claim["paper"]])}, {html.escape(claim["where"])}</span>'
            f'</summary><dl>{body}<dt>Chapter</dt><dd><a href="{stem}.html#claim-{item["id"]}">{html.escape(title)}</a>'
            f", <code>{item['id']}</code></dd></dl></details>"
        )
    return [*lines, "</div>"]


def _plain(text: str) -> str:
    """Return text that Markdown leaves alone inside a table: no rows, columns, markup, mathematics or roles."""
    for sign in "\\`*_{}[]<>|$#~":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
