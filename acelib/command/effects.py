"""The command ``effects``: from a network's file and a table's to the files of the results, all of them or none."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from .arguments import as_written
from .files import Folder, csv_text, json_text
from .findings import Findings, find
from .report import report
from .table import KINDS, kind_of
from .words import plain_text


def effects_command(options: argparse.Namespace, words: Sequence[str]) -> None:
    """Compute the effects that the options ask for, write them, and say the answer.

    Args:
        options: what ``parser`` returned.
        words: the command as it was typed, which the results repeat.

    Raises:
        ValueError, TypeError, ImportError, OSError: one sentence for what does not fit.
    """
    folder = Folder(_place(options), options.format, (options.model, options.table))
    with warnings.catch_warnings(record=True) as seen, folder:
        warnings.simplefilter("always")  # none is lost, however often it came before
        findings = find(options, as_written(words), progress=not options.quiet and sys.stderr.isatty())
        pictures = {}
        if "html" in options.format:
            from .figures import draw  # with matplotlib, which the numbers alone do not need

            pictures = draw(findings)
        findings.tell(seen or [])
        write = {"json": json_text, "csv": csv_text, "html": lambda content: report(content, pictures)}
        folder.write({kind: write[kind](findings.content) for kind in options.format})
    if not options.quiet:
        _say(findings, folder)


def _place(options: argparse.Namespace) -> Path:
    """Return the folder of the results: the one that is asked for, or one beside the table, named after it."""
    if options.out is not None:
        return Path(options.out)
    table = Path(options.table)
    return table.with_name(f"{table.name[: len(table.name) - len(kind_of(table, KINDS) or '')]}-effects")


def _say(findings: Findings, folder: Folder) -> None:
    """Print the answer, the warnings and where the files are."""
    for one in findings.content["warnings"]:
        if one["concerns"] == "effects":
            print(f"warning: {plain_text(one['text'])}", file=sys.stderr)
    for sentence in findings.answer:
        print(plain_text(sentence))
    print(plain_text(f"written to {folder.path}: {', '.join(folder.names)}"))
