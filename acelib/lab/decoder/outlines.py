"""Does one latent rotate a digit and another one scale it? Every latent of a generator, measured on one digit.

"Rotates" and "scales" are words for pictures; here they are numbers. Each latent is set from −3 to 3 while the others
are drawn, and the digits are measured: the angle of their long axis, their size (rms distance of the ink from its
centroid), the width of their stroke, their breadth and height (standard deviation of the ink along each axis).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acelib.inputs.latent import LatentPrior
from acelib.lab.decoder.effects import QUIET, latent_effects
from acelib.lab.decoder.shape import measure
from acelib.lab.vae import ACTIVE, TrainedVae

LOUD = 0.2  # of the pixel range: an effect that anybody sees
QUIET_SHARE = 0.99  # of the pixels have to be quiet for a latent that does nothing
ROTATES, SCALES = 15.0, 0.10  # degrees of turning, and share of the mean size, over the whole range of a latent
MEASURES = ("angle", "size", "stroke width", "breadth", "height")


class Outline(nn.Module):
    """What a generator draws, as numbers: (batch, latents) -> (batch, 5), the angle in degrees, the rest in pixels.

    Args:
        pixels: (batch, latents) -> (batch, height · width) grey values.
        shape: Height and width of the images.
        reference: In degrees; angles are given in reference ± 90, so that no curve near the reference jumps.

    Example:
        >>> square = torch.zeros(8, 8)
        >>> square[2:6, 3:5] = 1  # 2 broad, 4 high, upright
        >>> angle, size, stroke, breadth, height = Outline(lambda z: square.reshape(1, 64), shape=(8, 8))(None)[0]
        >>> assert angle == 0 and abs(breadth**2 - 2**2 / 12) < 1e-5 and abs(height**2 - 4**2 / 12) < 1e-5
    """

    def __init__(self, pixels, *, shape: tuple[int, int], reference: float = 0.0):
        super().__init__()
        self.pixels, self.shape, self.reference = pixels, shape, reference

    def forward(self, latents: Tensor) -> Tensor:
        return self.of(self.pixels(latents))

    def of(self, images: Tensor) -> Tensor:
        """The five numbers of images (batch, height · width)."""
        drawn = measure(images, shape=self.shape)
        angle = self.reference + torch.remainder(drawn.angle - self.reference + 90, 180) - 90
        breadth, height = drawn.covariance.diagonal(dim1=1, dim2=2).sqrt().unbind(1)
        return torch.stack([angle, drawn.size, drawn.width, breadth, height], 1)


def outline_of(vae: TrainedVae, digit: int) -> Outline:
    """The numbers of what a network draws of one digit, angles within 90 degrees of the digit at z = 0."""
    start = torch.zeros(1, vae.latents + len(vae.class_frequencies))
    start[0, vae.latents + digit] = 1
    with torch.no_grad():
        upright = measure(vae.pixels(start), shape=vae.shape).angle.item()
    return Outline(vae.pixels, shape=vae.shape, reference=upright).eval()


@dataclass(frozen=True, eq=False)
class Survey:
    """What each of K normal latents does to one digit, measured.

    Attributes:
        vae: The network.
        digit: The class that was set.
        rms: ``(K,)`` root mean square pixel ACE.
        largest: ``(K,)`` largest pixel ACE.
        quiet: ``(K,)`` share of the pixels that no value moves by 0.02.
        reach: ``(K, 5)`` largest minus smallest expected angle [°], and size, stroke width, breadth and height [shares
            of their mean].
        stderr: ``(K, 5)`` standard errors of these differences.
    """

    vae: TrainedVae
    digit: int
    rms: Tensor
    largest: Tensor
    quiet: Tensor
    reach: Tensor
    stderr: Tensor

    @property
    def active(self) -> Tensor:
        """``(K,)`` bool, by KL: at least 0.05 nat."""
        return self.vae.kl >= ACTIVE

    @property
    def nothing(self) -> Tensor:
        """``(K,)`` bool, by ACE: at least 99 % of the pixels quiet."""
        return self.quiet >= QUIET_SHARE

    @property
    def something(self) -> Tensor:
        """``(K,)`` bool, by ACE: some pixel moved by more than 0.2."""
        return self.largest > LOUD

    @property
    def rotates(self) -> Tensor:
        """``(K,)`` bool: the expected angle turns by at least 15 degrees."""
        return self.reach[:, 0] >= ROTATES

    @property
    def scales(self) -> Tensor:
        """``(K,)`` bool: the expected size changes by at least 10 % of its mean."""
        return self.reach[:, 1] >= SCALES

    @property
    def agrees(self) -> bool:
        """Whether KL and ACE name the same latents: inactive ones do nothing, active ones do something."""
        return bool((self.nothing == ~self.active).all() and (self.something == self.active).all())

    @property
    def as_claimed(self) -> bool:
        """Whether two latents do something, one only rotates and one only scales, and all others do nothing."""
        rotates, scales = self.rotates & ~self.scales, self.scales & ~self.rotates
        pure = int(rotates.sum()) == 1 and int(scales.sum()) == 1
        return bool(pure and (self.something == (rotates | scales)).all() and (self.nothing == ~self.something).all())


def survey(vae: TrainedVae, *, digit: int = 8, draws: int = 200, values: int = 13, seed: int = 0) -> Survey:
    """What every normal latent from −3 to 3 does to one digit, to its pixels and to its outline, as ``Survey``.

    Args:
        vae: A trained network.
        digit: The class to set.
        draws: Of the other latents.
        values: Of each latent, equally spaced.
        seed: Of the draws.

    References:
        Chattopadhyay et al. 2019, Sec. 5.4 and Fig. 5 b–d.
    """
    prior = LatentPrior(vae.latents, len(vae.class_frequencies), vae.class_frequencies, draws=draws, seed=seed)
    prior, alphas = prior.do({f"c{digit}": 1}), torch.linspace(-prior.reach, prior.reach, values)
    outline = outline_of(vae, digit)
    effects, reach, errors = [], [], []
    for k in range(vae.latents):
        shapes: list[Tensor] = []

        def watched(rows: Tensor, shapes: list[Tensor] = shapes) -> Tensor:
            x = outline.pixels(rows)
            shapes.append(outline.of(x).reshape(values, -1, len(MEASURES)))
            return x

        effects.append(latent_effects(watched, prior, f"z{k}", alphas))
        measured = _reach(torch.cat(shapes, 1).double())
        reach.append(measured[0])
        errors.append(measured[1])
    quiet = torch.stack([(e.largest < QUIET).double().mean() for e in effects])
    rms = torch.tensor([e.rms for e in effects], dtype=torch.float64)
    largest = torch.stack([e.largest.max() for e in effects])
    return Survey(vae, digit, rms, largest, quiet, torch.stack(reach), torch.stack(errors))


def _reach(shapes: Tensor) -> tuple[Tensor, Tensor]:
    """Range of the mean curves of ``(m, n, 5)`` and its standard error: angle in degrees, the others as shares."""
    curves = shapes.mean(1)
    top, bottom = curves.argmax(0), curves.argmin(0)
    each = torch.arange(len(MEASURES))
    paired = shapes[top, :, each] - shapes[bottom, :, each]  # (5, n): the same draws at both ends
    unit = torch.cat([torch.ones(1), curves[:, 1:].mean(0)]).to(curves)
    return paired.mean(1) / unit, paired.std(1) / paired.shape[1] ** 0.5 / unit
