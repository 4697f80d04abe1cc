"""Effects of a generator's latents on pixels: against loops over draws, the library's own average, and closed forms."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from acelib import interventional_expectation, plots
from acelib.inputs.latent import LatentPrior
from acelib.lab.decoder import (
    Shuffled,
    class_effects,
    decoded_digits,
    draw_decoder_model,
    latent_effects,
    map_decoder,
    matching_signs,
    measure_shapes,
    montage,
    show_montage,
)
from acelib.lab.vae import TrainedVae

P = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)


def generator(seed=0):
    """A float64 generator of 6 pixels from 2 normal latents and 3 classes."""
    g = torch.Generator().manual_seed(seed)
    weights = [torch.randn(*s, generator=g, dtype=torch.float64) for s in ((5, 7), (7, 6))]
    return lambda x: torch.sigmoid(torch.tanh(x @ weights[0]) @ weights[1])


def prior(draws=37):
    return LatentPrior(2, 3, P, draws=draws, dtype=torch.float64)


@pytest.mark.parametrize("chunk", [3, 100, 10_000])
def test_class_effects_are_a_loop_over_draws(chunk):
    """For each draw: x under the class minus the weighted mean of the others; mean and sd/√n over draws, to 1e-12."""
    pixels, inputs = generator(), prior()
    effects = class_effects(pixels, inputs, chunk_size=chunk)
    each = torch.stack([pixels(torch.cat([inputs.normals, torch.eye(3).double()[[c] * 37]], 1)) for c in range(3)])
    for k in range(3):
        others = [c for c in range(3) if c != k]
        baseline = sum(P[c] * each[c] for c in others) / P[others].sum()
        difference = each[k] - baseline
        assert torch.allclose(effects.mean[k], each[k].mean(0), atol=1e-12)
        assert torch.allclose(effects.ace[k], difference.mean(0), atol=1e-12)
        assert torch.allclose(effects.stderr[k], difference.std(0) / 37**0.5, atol=1e-9)
    assert effects.rows == 3 * 37 and effects.draws == 37


def test_class_effects_are_those_of_the_library():
    """The same numbers from interventional_expectation of do(c1 = 0 or 1), which knows nothing of the shortcut."""
    pixels, inputs = generator(), prior()
    e = interventional_expectation(pixels, inputs, "c1", [0.0, 1.0])
    assert torch.allclose(class_effects(pixels, inputs).ace[1], e.values[1] - e.values[0], atol=1e-12)


@pytest.mark.parametrize("given", [{"c2": 1}, {}])
def test_latent_effects_are_those_of_the_library(given):
    """Mean as interventional_expectation says; the error of the effect is its spread over √draws where each draw is
    a row, and by a loop over draws where classes stand beside each other (tolerance 1e-9)."""
    pixels, inputs, alphas = generator(), prior(), torch.linspace(-3, 3, 5, dtype=torch.float64)
    inputs = inputs.do(given) if given else inputs
    effects = latent_effects(pixels, inputs, "z0", alphas, chunk_size=64)
    e = interventional_expectation(pixels, inputs, "z0", alphas)
    assert torch.allclose(effects.mean, e.values, atol=1e-12)
    assert torch.allclose(effects.ace, e.values - e.values.mean(0), atol=1e-12)
    if given:
        assert torch.allclose(effects.stderr, e.spread / 37**0.5, atol=1e-9)
    curves = torch.zeros(37, 5, 6, dtype=torch.float64)
    for r, z in enumerate(inputs.normals):
        for i, a in enumerate(alphas):
            for c in range(3):
                x = torch.cat([a[None], z[1:], torch.eye(3).double()[c]])
                curves[r, i] += inputs.mean[2 + c] * pixels(x[None])[0]
    centred = curves - curves.mean(1, keepdim=True)
    assert torch.allclose(effects.stderr, centred.std(0) / 37**0.5, atol=1e-9)
    assert torch.allclose(effects.largest, effects.ace.abs().amax(0)) and effects.rms > 0


def test_float32_sums_are_good_enough():
    """Effects in float32 agree with float64 to 1e-5 of the pixel range, errors to 1 %."""
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4), nn.Sigmoid())
    alphas = torch.linspace(-3, 3, 7)
    small = latent_effects(net, prior(200).to(torch.float32).do({"c1": 1}), "z1", alphas)
    large = latent_effects(net.double(), prior(200).do({"c1": 1}), "z1", alphas)
    assert torch.allclose(small.ace, large.ace, atol=1e-5) and torch.allclose(small.stderr, large.stderr, rtol=1e-2)


def test_the_map_of_a_decoder():
    """Every latent within every class: the blocks are those of latent_effects; idle latents are quiet."""
    pixels, inputs, alphas = (lambda x: torch.sigmoid(x[:, [0, 3]])), prior(), torch.linspace(-3, 3, 5)
    effects = map_decoder(pixels, inputs, alphas)
    assert effects.ace.shape == (3, 2, 5, 2) and effects.rows == 3 * 37 + 3 * 2 * 5 * 37
    one = latent_effects(pixels, inputs.do({"c2": 1}), "z0", alphas)
    assert torch.equal(effects.ace[2, 0], one.ace) and torch.equal(effects.stderr[2, 0], one.stderr)
    assert effects.rms[1] < 1e-7 and effects.quiet.tolist() == pytest.approx([0.5, 1.0])
    assert float(effects.largest[0]) == pytest.approx(float(torch.sigmoid(torch.tensor(3.0))) - 0.5, abs=1e-6)
    assert map_decoder(pixels, inputs, alphas, classes=(1,)).ace.shape == (1, 2, 5, 2)


def test_signs_are_counted_on_the_pixels_of_each_digit():
    """The share of dark pixels with a positive effect, by a double loop; an effect of exactly zero is not positive."""
    g = torch.Generator().manual_seed(0)
    effects, means = torch.randn(3, 30, generator=g).round(decimals=0), torch.rand(3, 30, generator=g)
    assert (effects == 0).any()
    found = matching_signs(effects, means, threshold=0.6)
    for k in range(3):
        for d in range(3):
            dark = [float(e) for e, m in zip(effects[k], means[d], strict=True) if m > 0.6]
            assert float(found[k, d]) == pytest.approx(sum(e > 0 for e in dark) / len(dark), abs=1e-12)


class Bar(nn.Module):
    """A bar on 12 × 12 pixels: z0 turns it by 10 degrees a unit, z1 makes it longer, z2 does nothing."""

    def forward(self, latents):
        grid = torch.arange(12.0) - 5.5
        v, u = torch.meshgrid(-grid, grid, indexing="ij")
        angle = torch.deg2rad(10 * latents[:, 0])[:, None, None]
        along, across = u * torch.sin(angle) + v * torch.cos(angle), u * torch.cos(angle) - v * torch.sin(angle)
        half = 4 + 0.4 * latents[:, 1][:, None, None]
        return (4 * (torch.minimum(half - along.abs(), 1.2 - across.abs()))).flatten(1)  # logits


def bar(kl):
    facts = {"settings": {}, "seed": 0}
    blank = torch.zeros(2, 144)
    return TrainedVae(
        "bar", 1.0, 0, Bar(), None, torch.tensor(kl), torch.zeros(3), blank, P[:2] / P[:2].sum(), (12, 12), facts
    )


def test_the_shape_of_a_bar():
    """Breadth and height of an upright bar of ink are its moments' roots; longer bars are higher, not broader; a bar
    turned by 90 degrees exchanges them (grid: within 2 %)."""
    latents = torch.tensor([[0.0, 0, 0, 1, 0], [0, 2, 0, 1, 0], [8.9, 0, 0, 1, 0]])  # upright, longer, nearly lying
    found = measure_shapes(torch.sigmoid(Bar()(latents)), shape=(12, 12))
    assert abs(found.angle[0]) < 1e-3 and abs(found.angle[2] - 89) < 1.5
    assert found.height[1] / found.height[0] > 1.1
    assert abs(found.breadth[1] / found.breadth[0] - 1) < 0.02
    assert abs(found.breadth[2] / found.height[0] - 1) < 0.02
    assert torch.allclose(found.size.square(), found.breadth.square() + found.height.square(), rtol=1e-5)


def test_digits_are_decoded_by_seed():
    """The same seed, the same digits; classes by their frequencies (a count of 4000 within 5 sd)."""
    one, again, other = (decoded_digits(20, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.X, again.X) and not torch.equal(one.X, other.X)
    assert one.X.shape == (20, 28, 28) and one.target_names == tuple("0123456789") and len(one.feature_names) == 784
    many = decoded_digits(4000, seed=0, vae=bar([0.0] * 3))
    count = int((many.y == 0).sum())
    assert abs(count - 1600) < 5 * (4000 * 0.4 * 0.6) ** 0.5 and many.X.shape == (4000, 12, 12)


def test_exchanged_classes_answer_for_each_other():
    """Under a permutation, asking for class k gives the image of order[k]; effects of classes move with it."""
    pixels, order = generator(), torch.tensor([2, 0, 1])
    control = Shuffled(pixels, order)
    z = torch.zeros(3, 2, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    assert torch.equal(control(torch.cat([z, eye], 1)), pixels(torch.cat([z, eye[order]], 1)))


def test_a_montage_puts_every_image_in_its_place():
    """Row by row, one pixel of gap, NaN where there is no image; ticks stand at the middles of rows and columns."""
    images = torch.arange(3.0)[:, None].expand(3, 6)
    sheet = montage(images, shape=(2, 3), columns=2)
    assert sheet.shape == (5, 7)
    assert (sheet[:2, :3] == 0).all() and (sheet[:2, 4:] == 1).all() and (sheet[3:, :3] == 2).all()
    assert np.isnan(sheet[3:, 4:]).all() and np.isnan(sheet[2]).all() and np.isnan(sheet[:, 3]).all()
    with plots.style():
        fig, axes = plt.subplots(1, 3)
        drawn = show_montage(axes[0], images, shape=(2, 3), columns=2, rows=["a", "b"], heads=["c", "d"])
        assert drawn.get_clim() == (0, 1) and axes[0].get_yticks().tolist() == [0.5, 3.5]
        assert show_montage(axes[1], images, shape=(2, 3), columns=2, effects=0.4).get_clim() == (-0.4, 0.4)
        draw_decoder_model(axes[2])
        assert len(axes[2].texts) > 14
        plt.close(fig)
