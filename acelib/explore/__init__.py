"""The book's pictures under a reader's hand: sliders and lists in a running kernel, a player on a page without one.

``.explore()`` of a result, or one of the functions here, returns an ``Explorer``. Displayed in a running kernel it has
controls, a progress bar, the number and the picture; its ``at`` gives the same numbers to a program. The controls are
those of ipywidgets, which is imported when they are first shown.
"""

from .attributions import explore_attribution
from .curves import explore_expectation, explore_regressors
from .decoders import explore_decoder
from .explorer import Control, Explorer, View
from .frames import Player, player
from .graphs import explore_graphs
from .shares import explore_contributions, explore_sobol

__all__ = [
    "Control",
    "Explorer",
    "Player",
    "View",
    "explore_attribution",
    "explore_contributions",
    "explore_decoder",
    "explore_expectation",
    "explore_graphs",
    "explore_regressors",
    "explore_sobol",
    "player",
]
