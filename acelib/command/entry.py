"""What a call of the command line ends in: an exit code, and one sentence where something was wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .arguments import parser
from .words import plain_text

DONE, BAD_INPUT, USAGE, STOPPED = 0, 1, 2, 130
"""Exit codes: done; a file, a name or a number that does not fit; a wrong command; Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of a command: 0 done, 1 bad input, 2 wrong usage, 130 stopped by Ctrl-C.

    Args:
        arguments: words of the command; None takes those of the process.

    Example:
        >>> assert main(["effects", "no-such-file.pt2", "no-such-table.csv", "--quiet"]) == 1
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # names of any alphabet, on a terminal of any encoding
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    whole = parser()
    if not words:
        whole.print_help()
        return DONE
    try:
        options = whole.parse_args(words)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    try:
        from .effects import effects_command  # torch is imported here: help and version need none

        effects_command(options, words)
    except KeyboardInterrupt:
        print("\nstopped: nothing was written", file=sys.stderr)
        return STOPPED
    except (ValueError, TypeError, ImportError, OSError, NotImplementedError) as error:
        if os.environ.get("ACELIB_TRACEBACK"):
            raise
        print(f"acelib: {plain_text(_said(error))}", file=sys.stderr)
        return BAD_INPUT
    return DONE


def _said(error: Exception) -> str:
    """Return the sentence of an error; one that nobody wrote is told as what it is."""
    text = str(error)
    if isinstance(error, OSError | ImportError) or " must " in text:
        return text or type(error).__name__
    return (
        f"unexpected {type(error).__name__}: {text}; set ACELIB_TRACEBACK=1 to see where it comes from, and report it"
    )
