"""The networks that the authors of the first paper released, read from a reader's own clone, and the facts about them.

Nothing of that repository ships with this book. Where the environment variable ``ACELIB_RELEASED`` names a clone, the
facts can be computed again: ``python -m acelib.lab.released`` writes them to ``data/released.json``.
"""

from .facts import Fact, differences, recorded, source, stored, table
from .folder import ADDRESS, COMMIT, FILES, VARIABLE, is_named, released_file
from .groups import GROUPS, compute
from .networks import released_flights, released_iris, released_sequences
from .reader import read_state

__all__ = [
    "ADDRESS",
    "COMMIT",
    "FILES",
    "GROUPS",
    "VARIABLE",
    "Fact",
    "compute",
    "differences",
    "is_named",
    "read_state",
    "recorded",
    "released_file",
    "released_flights",
    "released_iris",
    "released_sequences",
    "source",
    "stored",
    "table",
]
