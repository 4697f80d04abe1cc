"""Explorers without widgets: states, what they remember, what a page gets, and their errors."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import nbformat
import pytest
from matplotlib.figure import Figure

from acelib.explore import Control, Explorer, View, player
from acelib.explore.drawing import Scene, size, small_png
from acelib.explore.explorer import KEPT, PAGE, in_kernel

PNG = Scene(Figure(figsize=(0.2, 0.1))).png()


def powers(drawn: list, count: int = 5) -> Explorer:
    """Numbers up to 4 for an odd power and up to 9 for an even one: n to the power p, and what was drawn in order."""
    power = Control("p", "power", [("one", 1), ("two", 2), ("three", 3)], 1, "list")
    number = Control("n", "number", lambda state: [(f"{n} cm", n) for n in range(5 + 5 * (state["p"] % 2 == 0))], 3)

    def draw(state, advance):
        drawn.append(dict(state))
        y = state["n"] ** state["p"]
        return View(PNG, f"The power is {y}.", "A power.", {"y": y})

    return Explorer("Some Powers!", [power, number], draw, frames=count)


def test_a_state_is_drawn_once_and_remembered():
    """The numbers against Python's own powers; the state in which they are drawn, one by one."""
    drawn: list = []
    explorer = powers(drawn)
    assert explorer.at().numbers == {"y": 9} and explorer.at(n=4, p="three").numbers == {"y": 64}
    assert explorer.at(p=3, n="4 cm") is explorer.at(n=4, p="three")
    assert drawn == [{"p": 2, "n": 3}, {"p": 3, "n": 4}]
    assert explorer.holds([1, 3]) and not explorer.holds([1, 4])


def test_places_beyond_the_options_are_the_last_ones():
    explorer = powers([])
    places, state, options = explorer.settle([0, 9])
    assert places == (0, 4) and state == {"p": 1, "n": 4} and [len(one) for one in options] == [3, 5]
    assert explorer.view([0, 9]) is explorer.view([0, 4])


def test_the_oldest_picture_is_forgotten():
    drawn: list = []
    numbers = Control("n", "number", [(str(n), n) for n in range(KEPT + 1)])
    explorer = Explorer("n", [numbers], lambda s, advance: drawn.append(s["n"]) or View(PNG, "", "", {}))
    for n in (*range(KEPT), 0, KEPT, 0, 1):  # 0 is asked for again before there are too many: then 1 is the oldest
        explorer.view([n])
    assert drawn == [*range(KEPT + 1), 1]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"q": 1}, r"controls must be among \['p', 'n'\], got q"),
        ({"p": 4}, "p must be one of one, two, three, got 4"),
        ({"p": 1, "n": 7}, "n must be one of 0 cm, 1 cm, .* got 7"),
        ({"n": "7"}, "n must be one of .* got '7'"),
    ],
)
def test_what_is_not_there_is_refused(asked, words):
    with pytest.raises(ValueError, match=words):
        powers([]).at(**asked)


def test_numbers_are_found_up_to_rounding():
    control = Control("x", "x", [("0.3", 0.3), ("yes", True)])
    explorer = Explorer("x", [control], lambda state, advance: View(PNG, str(state["x"]), "", {}))
    assert explorer.at(x=0.1 + 0.2).said == "0.3" and explorer.at(x=True).said == "True"
    with pytest.raises(ValueError, match="x must be one of 0.3, yes, got 0.301"):
        explorer.at(x=0.301)


def test_a_page_gets_frames_along_the_slider():
    """Five of ten positions, both ends among them; words of each frame; the label beside the slider."""
    found = powers([]).player()
    assert found.name == "some-powers" and found.label == "number" and ">number<" in found._repr_html_()
    assert found.labels == ("0 cm", "2 cm", "4 cm", "7 cm", "9 cm")
    assert found.alts[1] == "A power. The power is 4." and found.frames[0] == small_png(PNG)
    assert powers([], count=99).player().labels[-2:] == ("8 cm", "9 cm")


def test_a_player_says_its_name_where_it_has_no_label():
    found = player([PNG], ["0"], ["A line."], "some-name")
    assert found.label == "" and ">some name<" in found._repr_html_()


def test_without_a_kernel_there_is_the_player_alone(monkeypatch):
    """In a kernel that stores pages too; elsewhere the widget comes first, and the player stays in the output."""
    explorer = powers([])
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_kernel() and set(explorer._repr_mimebundle_()) == {"text/plain", "text/html"}
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setenv(PAGE, "page")
    assert not in_kernel() and set(explorer._repr_mimebundle_()) == {"text/plain", "text/html"}
    monkeypatch.delenv(PAGE)
    assert in_kernel()


def test_pages_have_nothing_that_changes_from_run_to_run():
    assert powers([])._repr_mimebundle_() == powers([])._repr_mimebundle_()
    assert repr(powers([])) == "Explorer('some-powers': p (power), n (number))"


def test_a_scene_is_drawn_anew_for_each_artist():
    """Pixels of a line at x = 0.5 alone, whatever was drawn before, and a figure without artists in the end."""
    figure = Figure(figsize=(1, 1))
    ax = figure.add_axes((0, 0, 1, 1))
    scene = Scene(figure)
    empty, middle = scene.png(), scene.png(lambda: [ax.axvline(0.5)])
    scene.png(lambda: [ax.axvline(0.1), *ax.plot([0, 1], [0, 1])])
    assert scene.png(lambda: [ax.axvline(0.5)]) == middle != empty == scene.png() and not ax.lines
    assert size(empty) == (100, 100)


def test_what_is_stored_holds_no_widget(tmp_path):
    """A notebook executed as the chapters are: the player alone, and no state of widgets in its metadata."""
    press = pytest.importorskip("tools.execute", reason="the press does not come with the package")
    source = """
from acelib.explore import Control, Explorer, View
from acelib.explore.drawing import Scene
from matplotlib.figure import Figure

numbers = Control("n", "number", [("1", 1), ("2", 2)])
Explorer("n", [numbers], lambda state, advance: View(Scene(Figure((1, 1))).png(), str(state["n"]), "Nothing.", {}))
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, tmp_path / "a.ipynb")
    found = nbformat.read(press.execute_notebook(tmp_path / "a.ipynb", out=tmp_path / "b.ipynb"), as_version=4)
    (output,) = found.cells[-1].outputs
    assert set(output["data"]) == {"text/plain", "text/html"} and "widgets" not in found.metadata
