"""The widgets, driven by their traits: what a move shows, in which order, and what happens where it fails."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest
from explore.test_explorer import PNG, powers

from acelib.explore import Control, Explorer, View
from acelib.explore.explorer import PAGE

ipywidgets = pytest.importorskip("ipywidgets")


def parts(explorer):
    """Controls, bar, number and picture of an explorer's widget."""
    *controls, bar, number, picture = explorer.widget.children
    return controls, bar, number, picture


def text(widget):
    return re.sub("<[^>]*>", "", widget.value)


def test_controls_have_names_values_and_wait_for_the_hand_to_stop():
    controls = parts(powers([]))[0]
    assert [type(one).__name__ for one in controls] == ["Dropdown", "SelectionSlider"]
    assert [one.description for one in controls] == ["power", "number"]
    assert [one.label for one in controls] == ["two", "3 cm"] and controls[1].continuous_update is False


def test_a_move_shows_the_picture_and_the_number_of_the_new_place():
    """Against the explorer's own answer."""
    explorer = powers([])
    controls, _, number, picture = parts(explorer)
    controls[1].value = 7
    assert text(number) == explorer.at(n=7).said == "The power is 49."
    assert 'alt="A power."' in picture.value and 'width="20" height="10"' in picture.value
    controls[1].index = 2
    assert text(number) == "The power is 4."


def test_dependent_controls_follow_before_anything_is_drawn():
    """From n = 9 squared to the third power of at most 4: the only picture drawn is that of 4."""
    drawn: list = []
    controls, _, number, _ = parts(powers(drawn))
    controls[1].value = 9
    controls[0].value = 3
    assert text(number) == "The power is 64." and controls[1].value == 4 and len(controls[1].options) == 5
    controls[0].value = 2
    assert text(number) == "The power is 16." and len(controls[1].options) == 10
    assert drawn[1:] == [{"p": 2, "n": 9}, {"p": 3, "n": 4}, {"p": 2, "n": 4}]


def test_the_bar_is_seen_while_a_new_picture_is_drawn_and_only_then():
    events: list = []

    def draw(state, advance):
        events.append(("draw", bar[0].layout.visibility if bar else None))
        advance(0.5)
        return View(PNG, f"{state['n']}", "n", {})

    bar: list = []
    explorer = Explorer("n", [Control("n", "number", [(str(n), n) for n in range(3)])], draw)
    (slider,), found, number, picture = parts(explorer)
    bar.append(found)
    events.clear()
    found.layout.observe(lambda change: events.append(("bar", change["new"])), names="visibility")
    found.observe(lambda change: events.append(("share", round(change["new"], 2))), names="value")
    number.observe(lambda change: events.append(("number", text(number))), names="value")
    slider.value = 2
    wanted = [("share", 0.1), ("bar", "visible"), ("draw", "visible"), ("share", 0.55), ("number", "2")]
    assert events == [*wanted, ("share", 1.0), ("bar", "hidden")]
    events.clear()
    slider.value = 0  # drawn at the beginning
    assert events == [("number", "0")]


def test_an_error_is_said_where_the_number_was_and_the_next_move_works():
    def draw(state, advance):
        if state["n"] == 1:
            raise ValueError("n must be even, got <1>")
        return View(PNG, f"{state['n']} is even.", "n", {})

    explorer = Explorer("n", [Control("n", "number", [(str(n), n) for n in range(3)])], draw)
    (slider,), bar, number, picture = parts(explorer)
    slider.value = 1
    assert "ValueError: n must be even, got &lt;1&gt;" in number.value and "role='alert'" in number.value
    assert bar.layout.visibility == "hidden"
    slider.value = 2
    assert text(number) == "2 is even."


def test_in_a_kernel_the_widget_is_offered_beside_the_player(monkeypatch):
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    explorer = powers([])
    box = explorer.widget
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.delenv(PAGE, raising=False)
    shown = explorer._repr_mimebundle_()
    assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id
    assert "acelib-player" in shown["text/html"]


def test_without_ipywidgets_the_player_stays_and_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match="moved by hand needs ipywidgets, .* run `pip install ipywidgets`"):
        _ = powers([]).widget
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    monkeypatch.delenv(PAGE, raising=False)
    shown = powers([])._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html"} and "pip install ipywidgets" in shown["text/html"]
    assert "acelib-player" in shown["text/html"]
