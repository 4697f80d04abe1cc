"""Attributions of images and tables, pixel by pixel: the numbers are those of the attribution itself."""

from __future__ import annotations

import pytest
import torch

from acelib import AverageCausalEffect, InputDistribution

X = torch.rand(40, 2, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def corners(x):
    """Two outputs of an image with two channels of 2 x 3: one product, one sum."""
    return torch.stack([x[:, 0, 0, 0] * x[:, 1, 1, 2], x.sum((1, 2, 3))], dim=1)


@pytest.fixture(scope="module")
def ace():
    return AverageCausalEffect(corners, InputDistribution.fit(X, domain=(0.0, 1.0)))


@pytest.fixture(scope="module")
def found(ace):
    return ace.attribute(X[:2], target=[0, 1])


def test_every_pixel_of_every_image_is_read_off(found):
    """Against ``values`` and ``interval`` at the same index."""
    explorer = found.explore()
    low, high = found.interval()
    assert [control.name for control in explorer.controls] == ["image", "channel", "row", "column"]
    for place in ((0, 0, 0, 0), (0, 1, 1, 2), (1, 0, 1, 1)):
        state = dict(zip(("image", "channel", "row", "column"), place, strict=True))
        at = explorer.at(**state)
        assert at.numbers == {"ace": found.values[place], "low": low[place], "high": high[place]}
        assert f"row {place[2]}, column {place[3]}, channel {place[1]}" in at.said
    assert "output 1" in explorer.at(image=1).said and "output 0" in explorer.at(image=0).said


def test_it_starts_at_the_largest_effect(found):
    rows, column = divmod(int(found.values[0].abs().argmax()), 3)
    assert found.explore().start == (0, rows // 2, rows % 2, column)


@pytest.mark.parametrize("kept", [True, False], ids=["curves at hand", "curves on demand"])
def test_the_curve_of_a_pixel_stands_beside_the_map(ace, found, kept):
    """Wider by the curve; the same number; the share of rows off the data from the curve's own support."""
    curves = ace.regress(num=17)
    explorer = found.explore(curves if kept else ace)
    at, alone = (
        explorer.at(image=0, row=1, column=2, channel=1),
        found.explore().at(image=0, row=1, column=2, channel=1),
    )
    assert at.numbers == alone.numbers and len(at.picture) > len(alone.picture)
    assert "of the rows leave the data here" in at.said and "leave the data" not in alone.said
    assert "the curve of its effect with band and individual curves, marked at" in at.alt


def test_a_flat_image_takes_a_shape_and_a_table_has_a_list():
    rows = X[:, 0].reshape(40, 6)
    ace = AverageCausalEffect(lambda x: x[:, :1] * x[:, 5:], InputDistribution.fit(rows, domain=(0.0, 1.0)))
    found = ace.attribute(rows[0])
    image, table = found.explore(shape=(2, 3)), found.explore()
    assert image.at(row=1, column=2).numbers == table.at(input="x5").numbers
    assert [control.name for control in table.controls] == ["input"] and table.player().labels[0] == "x0"
    with pytest.raises(ValueError, match=r"shape must be .* of 6 inputs, got \(2, 2\)"):
        found.explore(shape=(2, 2))
