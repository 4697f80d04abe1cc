"""A decoder's latents: the image and the effect against the decoder and the expectation themselves."""

from __future__ import annotations

import pytest
import torch

from acelib import LatentPrior, interventional_expectation
from acelib.explore import explore_decoder

PRIOR = LatentPrior(2, 3, [0.2, 0.3, 0.5], draws=200, dtype=torch.float64)


def decode(z):
    """Four pixels: the first latent in class 0 alone, the square of the second, a class, nothing."""
    return torch.stack([z[:, 0] * z[:, 2], z[:, 1] ** 2, z[:, 3], 0 * z[:, 0]], dim=1)


@pytest.fixture(scope="module")
def explorer():
    return explore_decoder(decode, PRIOR, shape=(2, 2))


@pytest.mark.parametrize(("effect", "category", "value", "pixel"), [("z0", "c0", 2.5, 0), ("z1", "c2", -2.0, 1)])
def test_the_effect_is_the_difference_of_two_expectations(explorer, effect, category, value, pixel):
    """Against ``interventional_expectation`` within the class, and its hand value: a in class 0, a squared."""
    e = interventional_expectation(decode, PRIOR.do({category: 1}), effect, [0.0, value])
    at = explorer.at(effect=effect, category=category, **{effect: value})
    wanted = float(e.values[1, pixel] - e.values[0, pixel])
    assert at.numbers == {"effect": pytest.approx(wanted, abs=1e-12), "row": pixel // 2, "column": pixel % 2}
    assert wanted == pytest.approx(value if effect == "z0" else value**2)
    assert f"do({effect} = {value:.4g}) in class {category} changes pixel row {pixel // 2}" in at.said


def test_the_image_is_decoded_where_all_sliders_stand(explorer, monkeypatch):
    """The row that the decoder is asked for, one for each latent and the class."""
    asked = []
    own = explore_decoder(lambda z: asked.append(z) or decode(z), PRIOR, shape=(2, 2))
    own.at(category="c2", z0=0.5, z1=-3.0)
    single = [z.tolist() for z in asked if z.shape == (1, 5)]
    assert [0.5, -3.0, 0.0, 0.0, 1.0] in [row for z in single for row in z]


def test_a_page_moves_the_first_latent(explorer):
    found = explorer.player()
    assert found.labels == tuple("0" if v == 0 else f"{v:+.1f}" for v in [-3 + 0.5 * i for i in range(13)])
    assert found.label == "z0 (standard deviations)" and len(set(found.frames)) > 1
    assert "measured from z0 = 0, where it stands" in found.alts[6] and explorer.at().said.startswith("do(z0 = 1.5) ")


def test_classes_alone_cannot_be_moved():
    with pytest.raises(ValueError, match="latents must hold normal ones to move"):
        explore_decoder(decode, LatentPrior(0, 3), shape=(2, 2))
