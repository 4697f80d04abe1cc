"""The command line: ``python -m acelib``, or ``acelib`` where the package is installed."""

from __future__ import annotations

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
