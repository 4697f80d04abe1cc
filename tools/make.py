"""The command line of the press: ``python -m tools.make book|refresh|stored|full``."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from pathlib import Path

from tools import pages, stored
from tools.chapters import ROOT, Sources, executed_path, find_chapters, say
from tools.execute import execute_all
from tools.finished import note_finished, read_finished
from tools.lock import alone

FULL = (errno.ENOSPC, errno.EDQUOT)  # no space left, or none that this user may have


def book(root: Path = ROOT, *, jobs: int = 2) -> int:
    """Execute the chapters that changed and render the pages into ``_build/html``; return 0, or 1 after a failure."""
    start, sources = time.perf_counter(), Sources(root)
    failures = execute_all(sources, jobs=jobs)
    if failures:
        say("\n" + "\n\n".join(failures) + "\n\nThe pages were not rendered; mend the above and run it again.")
        return 1
    html, note, key = root / "_build/html", root / "_build/html.key", pages.pages_key(sources)
    done, state = read_finished(note), "unchanged"
    lost = done.damage(html) if done else []
    if lost:
        say(f"gone or changed in _build/html since it was rendered: {_some(lost)}; all pages are rendered again")
    if done is None or done.key != key or lost:
        note.unlink(missing_ok=True)
        try:
            pages.render({path.stem: executed_path(path, root) for path in sources.chapters}, root=root)
        except pages.RenderError as error:
            say(str(error))
            return 1
        note_finished(note, key, html, (path for path in html.rglob("*") if path.is_file()))
        state = "rendered"
    say(f"pages: {state}, _build/html/index.html ({time.perf_counter() - start:.1f} s)")
    return 0


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run ``book``, ``refresh``, ``stored --to FOLDER`` or ``full [chapter …]`` and return the exit status."""
    parser = argparse.ArgumentParser(prog="make", description="Execute, render and store the book.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("book", help="execute what changed and render the pages").add_argument(
        "--jobs", type=int, default=2, help="chapters executed at a time"
    )
    commands.add_parser("refresh", help="keep the executed chapters as the stored ones")
    commands.add_parser("stored", help="render the stored notebooks as they are").add_argument("--to", required=True)
    commands.add_parser("full", help="execute at the full profile").add_argument("chapters", nargs="*")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command in ("book", "refresh"):
            with alone(root / "_build/build.lock", "`make book` or `make refresh`"):
                return book(root, jobs=chosen.jobs) if chosen.command == "book" else stored.refresh(root)
        if chosen.command == "full":
            return stored.full(chosen.chapters, root, executor=os.environ.get("EXECUTOR", ""))
        notebooks = {path.stem: path for path in find_chapters(root)}
        say(str(pages.render(notebooks, root=root, out=chosen.to) / "index.html"))
        return 0
    except (ValueError, pages.RenderError) as error:
        say(str(error))
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        say(f"the disk is full ({error}); nothing is left half written: make room, and run it again")
        return 1


if __name__ == "__main__":
    sys.exit(main())
