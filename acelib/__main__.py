"""The command line: ``python -m acelib``, or ``acelib`` where the package is installed."""

from __future__ import annotations

import os
import sys

from .command import main
from .command.entry import STOPPED


def run() -> None:
    """End the process with the exit code of the command that its words name.

    After Ctrl-C it ends at once: where the interrupt came while Python executed a text, as imports of some libraries
    do, Python would end with the signal, though it was caught.
    """
    code = main()
    if code == STOPPED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
