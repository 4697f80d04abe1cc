"""Stored pictures are those that ``make refresh`` noted, and every one of them is a picture.

nbval compares no pixels; by this test two exchanged figures, or a player full of rubbish, are found all the same.
"""

from __future__ import annotations

import base64
import copy
import io
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from acelib.explore import player
from tools.chapters import ROOT, find_chapters, read_notebook
from tools.pictures import NOTE, exchanged, hashes, note_pictures, pictures, undecodable

CHAPTERS = find_chapters(ROOT)
REMEDY = "look at the page; if the pictures are right: `make book` and `make refresh`"


@pytest.fixture(scope="module")
def noted():
    return json.loads((ROOT / NOTE).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_stored_pictures_are_those_that_were_noted(path, noted):
    notebook = read_notebook(path)
    assert pictures(notebook), "a chapter without a picture"
    assert exchanged(notebook, noted[path.stem]) == [], REMEDY
    assert undecodable(notebook) == [], REMEDY


def test_no_other_chapter_is_noted(noted):
    assert list(noted) == [path.stem for path in CHAPTERS]


# ---------------------------------------------------------------- damage by hand


def png(shade: int) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (40, 40), (shade, shade, shade)).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


FIRST, SECOND, THIRD = (png(shade) for shade in (0, 100, 200))


@pytest.fixture
def notebook():
    """Two figures and a player of two frames, as a chapter stores them."""
    frames = "".join(f'<img src="data:image/png;base64,{text}" alt="frame">' for text in (SECOND, THIRD))
    outputs = [
        {"image/png": FIRST + "\n", "text/plain": "<Figure size 640x480 with 1 Axes>"},
        {"image/png": SECOND + "\n"},
        {"text/html": f'<figure class="acelib-player">{frames}</figure>'},
    ]
    cells = [
        new_code_cell("draw()", id=name, outputs=[new_output("display_data", data=data)])
        for name, data in zip("abc", outputs, strict=True)
    ]
    return new_notebook(cells=cells)


def _swap_figures(cells):
    cells[0].outputs, cells[1].outputs = cells[1].outputs, cells[0].outputs


def _swap_frames(cells):
    data = cells[2].outputs[0].data
    html = data["text/html"]
    data["text/html"] = html.replace(SECOND, "?").replace(THIRD, SECOND).replace("?", THIRD)


def _rubbish(cells):
    data = cells[2].outputs[0].data
    data["text/html"] = data["text/html"].replace(THIRD, "AAAA")


def _no_base64(cells):
    data = cells[2].outputs[0].data
    data["text/html"] = data["text/html"].replace(THIRD, "***")


def _cut(cells):
    cells[0].outputs[0].data["image/png"] = base64.b64encode(base64.b64decode(FIRST)[:-30]).decode()


def _lose(cells):
    cells[0].outputs = []


DAMAGE = {
    "two figures exchanged": (_swap_figures, ["cell a has other pictures at [0]", "cell b has other pictures at [0]"]),
    "two frames exchanged": (_swap_frames, ["cell c has other pictures at [0, 1]"]),
    "a frame of rubbish": (_rubbish, ["cell c has other pictures at [1]"]),
    "a frame that is no base64": (_no_base64, ["cell c has other pictures at [1]"]),
    "a figure cut": (_cut, ["cell a has other pictures at [0]"]),
    "a figure lost": (_lose, ["cell a has 0 of 1"]),
}


@pytest.mark.parametrize("change, said", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found(notebook, change, said):
    before = hashes(notebook)
    assert exchanged(notebook, before) == undecodable(notebook) == []
    changed = copy.deepcopy(notebook)
    change(changed.cells)
    assert exchanged(changed, before) == said
    broken = change in (_rubbish, _no_base64, _cut)
    assert len(undecodable(changed)) == broken, "found without a note as well"


def test_the_frames_of_a_player_are_pictures_in_their_order():
    frames = [base64.b64decode(text) for text in (FIRST, SECOND)]
    html = player(frames, ["a", "b"], ["x > 0, as a picture", "x < 0, as a picture"], "t")._repr_html_()
    cell = new_code_cell("play()", id="a", outputs=[new_output("display_data", data={"text/html": html})])
    assert pictures(new_notebook(cells=[cell])) == {"a": [FIRST, SECOND]}


def test_the_note_is_made_from_what_is_stored(tmp_path, notebook):
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/01-one\n")
    nbformat.write(notebook, tmp_path / "book/01-one.ipynb")
    assert json.loads(note_pictures(tmp_path).read_text()) == {"01-one": hashes(notebook)}
