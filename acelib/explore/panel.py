"""The widgets around an explorer: ipywidgets' own controls, so that no script of ours has to reach a front end."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

from .._optional import optional
from .drawing import size
from .explorer import Control, Explorer, Option, View


def widgets_library() -> Any:
    """Return the module ipywidgets.

    Raises:
        ImportError: where it is not installed.
    """
    return optional("ipywidgets", "a picture that is moved by hand")


class Panel:
    """Controls, a progress bar, the number and the picture of an explorer.

    ``continuous_update=False`` is all the debouncing there is: the front end itself waits until a handle is released
    (or a key pressed), so that no timer has to run in the kernel, and none can behave otherwise in another front end.

    Attributes:
        explorer: what is shown.
        controls: its widgets, one for each control, in their order.
        bar: the progress bar, seen while a picture is drawn.
        number: the sentence with the number.
        picture: the picture, as an image with alternative text.
        box: all of them.
    """

    def __init__(self, explorer: Explorer) -> None:
        library = widgets_library()
        self.explorer, self._busy = explorer, False
        places, _, options = explorer.settle(explorer.start)
        self.controls = [_widget(library, *one) for one in zip(explorer.controls, options, places, strict=True)]
        self.bar = library.FloatProgress(
            value=1.0, min=0.0, max=1.0, layout=library.Layout(visibility="hidden", width="auto", height="6px")
        )
        self.number, self.picture = library.HTML(), library.HTML()
        caption = [library.HTML(f"<p>{html.escape(explorer.caption)}</p>")] if explorer.caption else []
        self.box = library.VBox([*self.controls, self.bar, self.number, self.picture, *caption])
        self.box.add_class("acelib-explorer")
        for control in self.controls:
            control.observe(self._moved, names="index")
        self._show()

    def _moved(self, change: Any) -> None:
        """Let the controls that depend on this one follow, then show what they stand at."""
        if self._busy:
            return  # a control that we move ourselves
        self._busy = True
        try:
            places, _, options = self.explorer.settle([control.index or 0 for control in self.controls])
            for control, place, choices in zip(self.controls, places, options, strict=True):
                if tuple(control.options) != tuple(choices):
                    control.options = tuple(choices)
                if control.index != place:
                    control.index = place
        finally:
            self._busy = False
        self._show()

    def _show(self) -> None:
        """Draw the picture where the controls stand, with the bar in sight unless it was drawn before."""
        places = [control.index or 0 for control in self.controls]
        new = not self.explorer.holds(places)
        if new:
            self.bar.value, self.bar.layout.visibility = 0.1, "visible"
        try:
            view = self.explorer.view(places, self._advance)
            self.picture.value, self.number.value = _image(view), f"<p role='status'>{html.escape(view.said)}</p>"
        except Exception as error:  # a callback's traceback would be seen by nobody
            self.number.value = f"<p role='alert'>{html.escape(f'{type(error).__name__}: {error}')}</p>"
        finally:
            if new:
                self.bar.value, self.bar.layout.visibility = 1.0, "hidden"

    def _advance(self, share: float) -> None:
        self.bar.value = 0.1 + 0.9 * share


def _widget(library: Any, control: Control, options: Sequence[Option], place: int) -> Any:
    """Return the widget of one control."""
    shared: dict[str, Any] = dict(options=tuple(options), index=place, description=control.label)
    shared |= dict(style={"description_width": "initial"}, layout=library.Layout(width="95%", max_width="40em"))
    if control.kind == "list":
        return library.Dropdown(**shared)
    return library.SelectionSlider(**shared, continuous_update=False)


def _image(view: View) -> str:
    """Return the picture as HTML: only there has it a text for those who cannot see it, in every front end."""
    width, height = size(view.picture)
    return (
        f'<img alt="{html.escape(view.alt)}" width="{width}" height="{height}" decoding="sync" '
        f'style="max-width:100%;height:auto;background:#fff" '
        f'src="data:image/png;base64,{base64.b64encode(view.picture).decode()}">'
    )
