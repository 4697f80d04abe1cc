"""The book's pictures under a reader's hand: sliders and lists in a running kernel, a player on a page without one.

``.explore()`` of a result, or one of the functions here, returns an ``Explorer``. Displayed in a running kernel it has
controls, a progress bar, the number and the picture; its ``at`` gives the same numbers to a program. The controls are
those of ipywidgets, which is imported when they are first shown.
"""

from .curves import explore_expectation, explore_regressors
from .explorer import Control, Explorer, View
from .frames import Player, player

__all__ = [
    "Control",
    "Explorer",
    "Player",
    "View",
    "explore_expectation",
    "explore_regressors",
    "player",
]
