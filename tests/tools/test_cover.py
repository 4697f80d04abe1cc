"""The README's picture can be drawn from scratch."""

import matplotlib.image
import numpy as np

from tools import cover


def test_the_picture_is_drawn_on_white_and_only_it_is_left(tmp_path):
    """The corners are white; three panels make it about three times as wide as high."""
    path = cover.draw(tmp_path / "picture.png", epochs=2)
    pixels = matplotlib.image.imread(path)
    assert np.array_equal(pixels[0, 0, :3], [1, 1, 1]) and pixels.std() > 0.01
    assert 2 < pixels.shape[1] / pixels.shape[0] < 5
    assert [item.name for item in tmp_path.iterdir()] == ["picture.png"]
