"""``python -m tools``: the commands of the Makefile without make."""

import sys

from tools.commands import main

if __name__ == "__main__":
    sys.exit(main())
