"""Does the player hold what a static page needs? The HTML is parsed with the standard library, frame by frame."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import matplotlib.image
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from acelib.lab.player import Player, player


def figures(count=3, **options):
    out = []
    for i in range(count):
        fig, ax = plt.subplots(figsize=(2, 1), **options)
        ax.plot([0, 1], [0, i])
        out.append(fig)
    return out


def make(name="t-slope", **options):
    labels, alts = ["a = 0", 'a = "1"', "a < 2"], [f"A line of slope {i} & more." for i in range(3)]
    return player(figures(), labels, alts, name, "A caption.", **options)


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def test_one_frame_is_seen_and_each_has_its_words():
    reader = Reader(make()._repr_html_())
    images = reader.all("img")
    assert ["hidden" in image for image in images] == [False, True, True]
    assert ["display:none" in image["style"] for image in images] == [False, True, True]
    assert [image["data-label"] for image in images] == ["a = 0", 'a = "1"', "a < 2"]
    assert images[2]["alt"] == "A line of slope 2 & more."
    (slider,) = reader.all("input")
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "2", "0")
    assert reader.all("figure")[0]["id"] == "player-t-slope" and reader.all("output")[0]["aria-live"] == "polite"
    assert reader.all("label") and reader.all("noscript") and reader.all("figcaption")


def test_nothing_comes_from_outside_and_nothing_is_global():
    text = make(play=True)._repr_html_()
    assert "<script" not in text and "http" not in text and "getElementById" not in text and "window" not in text
    assert len(Reader(text).all("button")) == 1 and not Reader(make()._repr_html_()).all("button")


def test_frames_are_deterministic_opaque_and_closed():
    before = plt.get_fignums()
    first, second = make(), make()
    assert plt.get_fignums() == before, "figures are closed"
    assert first.frames == second.frames and first._repr_html_() == second._repr_html_()
    (transparent,) = figures(1, facecolor="none")
    pixels = matplotlib.image.imread(io.BytesIO(player([transparent], ["0"], ["A line."], "t").frames[0]))
    assert (pixels[0, 0, :3] == 1).all(), "white"
    assert pixels.shape[2] == 3 or (pixels[..., 3] == 1).all(), "opaque"


def test_png_bytes_are_taken_as_they_are():
    png = make().frames[0]
    again = player([png, bytearray(png)], ["0", "1"], ["One.", "Two."], "t-bytes")
    assert again.frames == (png, png) and base64.b64encode(png).decode() in again._repr_html_()
    assert repr(again) == "Player('t-bytes', 2 frames: 0 … 1)" and isinstance(again, Player)


def test_dots_per_inch_set_the_size():
    frame = player([Figure(figsize=(2, 1))], ["0"], ["Nothing."], "t", dpi=50).frames[0]
    assert matplotlib.image.imread(io.BytesIO(frame)).shape[:2] == (50, 100)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([], [], [], "t"), ValueError, "figures must hold at least one frame"),
        (([b""], ["a", "b"], ["x"], "t"), ValueError, "got 1, 2 and 1"),
        (([b""], ["a"], [" "], "t"), ValueError, r"alts must hold a text .* empty one at 0"),
        (([b""], [""], ["x"], "t"), ValueError, r"labels must hold a text .* empty one at 0"),
        (([b""], ["a"], ["x"], "T 1"), ValueError, "name must be .* got 'T 1'"),
        (([b"GIF"], ["a"], ["x"], "t"), TypeError, "bytes without the PNG signature"),
        ((["path.png"], ["a"], ["x"], "t"), TypeError, "Matplotlib figures or PNG bytes, got str"),
    ],
)
def test_bad_input_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        player(*arguments)


def test_frames_look_as_drawn_and_are_smaller():
    """Against the unreduced picture: channels differ by less than 1 of 255 on average, 64 at most."""
    import io

    import matplotlib.pyplot as plt
    import numpy as np
    from PIL import Image

    def draw():
        figure, ax = plt.subplots(figsize=(4, 3))
        for i in range(8):
            ax.plot(np.linspace(0, 1, 50), np.linspace(0, 1, 50) ** (i + 1), lw=2)
        return figure

    plain = io.BytesIO()
    figure = draw()
    figure.savefig(plain, format="png", dpi=100, facecolor="white")
    plt.close(figure)
    (frame,) = player([draw()], ["0"], ["Eight curves."], "t-small", dpi=100).frames
    exact, shown = (np.asarray(Image.open(io.BytesIO(b)).convert("RGB")).astype(int) for b in (plain.getvalue(), frame))
    difference = np.abs(exact - shown)
    assert difference.mean() < 1 and difference.max() < 64
    assert len(frame) < 0.6 * len(plain.getvalue())


def test_a_page_finds_it_by_its_name():
    """MyST-NB glues an output that carries a name, so that a page may show the slider elsewhere."""
    data, metadata = make()._repr_mimebundle_()
    assert data["text/html"] == make().to_html() and metadata == {"scrapbook": {"name": "t-slope", "mime_prefix": ""}}
