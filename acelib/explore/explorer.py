"""Pictures that a reader moves: controls, a function that draws, and what it drew.

Nothing in this file needs widgets: an ``Explorer`` answers for every position of its controls by ``at``. In a running
kernel ``acelib.explore.panel`` puts widgets around it; a page without a kernel gets some of its pictures in a player.
"""

from __future__ import annotations

import os
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .frames import Player, player

KEPT = 400  # pictures that an explorer remembers, of some 50 KB each
PAGE = "ACELIB_EXPLORE"  # set to "page" where outputs are stored: they then hold the player alone
Option = tuple[str, Any]
State = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """A picture with its words.

    Attributes:
        picture: a PNG file.
        said: a sentence with the number that the picture shows.
        alt: what the picture shows, for readers who cannot see it.
        numbers: the numbers in the sentence, by name.
    """

    picture: bytes = field(repr=False)
    said: str
    alt: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Control:
    """One thing that a reader may choose, as a list of options.

    Attributes:
        name: its name in a state.
        label: what it is in words, with its unit.
        options: the (text, value) pairs to choose from, in order; or a function that returns them for the state of the
            controls before this one, as the values of a slider depend on the feature.
        start: number of the option at the beginning.
        kind: "slider" for values in an order, "list" for names.
    """

    name: str
    label: str
    options: Sequence[Option] | Callable[[State], Sequence[Option]]
    start: int = 0
    kind: str = "slider"

    def choices(self, state: State) -> Sequence[Option]:
        """Return the options where the controls before this one stand as in ``state``."""
        return self.options(state) if callable(self.options) else self.options


class Explorer:
    """A picture with controls: widgets in a running kernel, a player on a page, ``at`` in a program.

    Attributes:
        name: lower-case letters, digits and hyphens; the id on a page.
        controls: what a reader may choose, those first on which others depend.
        caption: text below the picture.
        main: name of the control that the player on a page moves.
        frames: positions of it that the player holds.

    Args:
        draw: a function of the state (name of control -> value) and of ``advance``, which it may call with the share of
            its work that is done; it returns a View and depends on nothing that changes.

    Example:
        >>> control = Control("n", "a number", [(str(n), n) for n in range(3)])
        >>> square = Explorer("square", [control], lambda s, advance: View(b"", str(s["n"] ** 2), "A number.", {}))
        >>> assert square.at(n=2).said == "4" and square.at().said == "0"
    """

    def __init__(
        self,
        name: str,
        controls: Iterable[Control],
        draw: Callable[[State, Callable[[float], None]], View],
        *,
        caption: str = "",
        main: str | None = None,
        frames: int = 9,
    ) -> None:
        self.name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "explorer"
        self.controls, self.caption, self.frames = tuple(controls), caption, frames
        sliders = [control.name for control in self.controls if control.kind == "slider"]
        self.main = main or (sliders or [self.controls[0].name])[0]
        self._draw = draw
        self._kept: OrderedDict[tuple[int, ...], View] = OrderedDict()
        self._panel: Any = None

    @property
    def start(self) -> tuple[int, ...]:
        """The numbers of the options at the beginning, one for each control."""
        return self.settle([control.start for control in self.controls])[0]

    def settle(self, places: Sequence[int]) -> tuple[tuple[int, ...], dict[str, Any], list[Sequence[Option]]]:
        """Return places within their options, the state they stand for, and the options of each control there."""
        found, state, options = [], {}, []
        for control, place in zip(self.controls, places, strict=True):
            choices = control.choices(state)
            found.append(min(max(place, 0), len(choices) - 1))
            state[control.name] = choices[found[-1]][1]
            options.append(choices)
        return tuple(found), state, options

    def holds(self, places: Sequence[int]) -> bool:
        """Return whether the picture at these places has been drawn before."""
        return self.settle(places)[0] in self._kept

    def view(self, places: Sequence[int], advance: Callable[[float], None] = lambda share: None) -> View:
        """Return the picture at places, numbers of options; drawn when it is first asked for."""
        key, state, _ = self.settle(places)
        if key not in self._kept:
            self._kept[key] = self._draw(state, advance)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def at(self, **chosen: Any) -> View:
        """Return the picture where controls stand at values, or texts, of their options; the others where they start.

        Raises:
            ValueError: for a control or an option that is not there.
        """
        unknown = sorted(set(chosen) - {control.name for control in self.controls})
        if unknown:
            names = [control.name for control in self.controls]
            raise ValueError(f"controls must be among {names}, got {', '.join(unknown)}")
        places = list(self.start)
        for i, control in enumerate(self.controls):
            if control.name in chosen:
                options = self.settle(places)[2][i]
                places[i] = _find(control.name, options, chosen[control.name])
        return self.view(places)

    def player(self) -> Player:
        """Return some of the pictures under a slider that needs no kernel: those along the main control."""
        i = [control.name for control in self.controls].index(self.main)
        options = self.settle(self.start)[2][i]
        count = min(self.frames, len(options))
        steps = {round(k * (len(options) - 1) / max(count - 1, 1)) for k in range(count)}
        views = [self.view([*self.start[:i], k, *self.start[i + 1 :]]) for k in sorted(steps)]
        return player(
            [_small(view.picture) for view in views],
            [options[k][0] for k in sorted(steps)],
            [f"{view.alt} {view.said}" for view in views],
            self.name,
            self.caption,
            label=self.controls[i].label,
        )

    @property
    def widget(self) -> Any:
        """The controls and the picture as one widget, made when it is first asked for.

        Raises:
            ImportError: where ipywidgets is not installed.
        """
        if self._panel is None:
            from .panel import Panel

            self._panel = Panel(self)
        return self._panel.box

    def __repr__(self) -> str:
        controls = ", ".join(f"{control.name} ({control.label})" for control in self.controls)
        return f"Explorer({self.name!r}: {controls})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Return the player for pages, and in a running kernel the widget, which front ends show in its place."""
        shown: dict[str, Any] = {"text/plain": repr(self)}
        missing = ""
        if in_kernel():
            try:
                view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
                shown["application/vnd.jupyter.widget-view+json"] = view
            except ImportError as error:
                missing = f"<p>{error}</p>"
        return shown | {"text/html": self.player().to_html() + missing}


def in_kernel() -> bool:
    """Return whether a Jupyter kernel runs this program for a reader, rather than for a stored page."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None and os.environ.get(PAGE) != "page"


def _find(name: str, options: Sequence[Option], wanted: Any) -> int:
    """Return the number of the option with this value or text, for a number up to rounding, or raise an error."""
    for i, (text, value) in enumerate(options):
        numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (value, wanted))
        if (abs(value - wanted) <= 1e-9 * max(1, abs(wanted))) if numbers else wanted in (value, text):
            return i
    shown = ", ".join(text for text, _ in options[:12]) + (", …" if len(options) > 12 else "")
    raise ValueError(f"{name} must be one of {shown}, got {wanted!r}")


def _small(picture: bytes) -> bytes:
    from .drawing import small_png

    return small_png(picture)
