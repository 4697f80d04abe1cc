"""Average causal effects of a digit generator's classes and normal latents on every pixel, with error bars.

For pixel means x(z, c), z ~ N(0, I) and a one-hot class c: the ACE of c_k is E[x | do(c_k=1)] − E[x | do(c_k=0)], and
that of z_k = α within a class l is E[x | do(z_k=α, c_l=1)] minus its average over the values (Chattopadhyay et al.
2019, Sec. 5.4). Of hundreds of pixels only sums and sums of squares are kept: each draw of z gives one contrast a
pixel, and the error bar is their standard deviation over √draws. The same draws serve every value, latent and class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acelib.inputs.intervention import Intervention
from acelib.inputs.latent import LatentPrior
from acelib.lab.datasets import Dataset
from acelib.lab.networks import stream
from acelib.lab.vae import TrainedVae, load_vae

QUIET = 0.02  # of the pixel range: effects below it are invisible
_CHUNK = 500  # decoder rows a call: small enough for the caches, large enough for the matrix products
_DIGITS_STREAM = 16

PixelModel = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class PixelEffects:
    """Average causal effects on d pixels under m interventions, on the CPU wherever the decoder computed.

    Attributes:
        mean: ``(m, d)`` E[x | do], pixel means in [0, 1].
        ace: ``(m, d)`` mean minus baseline.
        stderr: ``(m, d)`` standard error of ``ace`` from the draws of z; classes are enumerated and add none.
        draws: number of draws of z behind every number.
        rows: number of decoder rows evaluated.
    """

    mean: Tensor
    ace: Tensor
    stderr: Tensor
    draws: int
    rows: int

    @property
    def largest(self) -> Tensor:
        """``(d,)`` largest absolute effect on each pixel, over the values."""
        return self.ace.abs().amax(0)

    @property
    def rms(self) -> float:
        """Root mean square effect over values and pixels."""
        return self.ace.square().mean().sqrt().item()


def class_effects(pixels: PixelModel, prior: LatentPrior, *, chunk_size: int = _CHUNK) -> PixelEffects:
    """Return the ACE of every class latent on every pixel, m = categories: E[x | do(c_k=1)] − E[x | do(c_k=0)].

    One decoder row for each draw and class serves all classes: do(c_k=0) is the weighted mean of the others.

    Args:
        pixels: ``(batch, k) -> (batch, d)`` pixel means.
        prior: distribution of the latents, with at least two classes.
        chunk_size: decoder rows a call.

    References:
        Chattopadhyay et al. 2019, Sec. 5.4 and Fig. 5a.

    Example:
        >>> prior = LatentPrior(1, 3, [0.2, 0.3, 0.5], dtype=torch.float64)
        >>> effects = class_effects(lambda x: x[:, 1:] @ torch.tensor([[1.0], [4.0], [8.0]]).double(), prior)
        >>> assert torch.allclose(effects.ace[2], torch.tensor([8 - (0.2 * 1 + 0.3 * 4) / 0.5]).double())
    """
    names = tuple(f"c{k}" for k in range(prior.categories))
    answer = prior.do(names, torch.eye(prior.categories))
    p = prior.probabilities.to(answer.means)
    contrast = torch.eye(len(p)).to(p) * (1 + p / (1 - p)) - p / (1 - p)[:, None]  # [k, l]: 1, else -p_l / (1 - p_k)
    return _average(pixels, answer, contrast, chunk_size)


def latent_effects(
    pixels: PixelModel, prior: LatentPrior, feature: str | int, values: Tensor, *, chunk_size: int = _CHUNK
) -> PixelEffects:
    """Return the ACE of a latent set to each of m values on every pixel, against the average over these values.

    Args:
        pixels: ``(batch, k) -> (batch, d)`` pixel means.
        prior: distribution of the latents; ``prior.do({"c8": 1})`` for the effects within a class.
        feature: normal latent, such as ``"z0"``.
        values: ``(m,)`` equally spaced.
        chunk_size: decoder rows a call.

    References:
        Chattopadhyay et al. 2019, Sec. 5.4 and Fig. 5 b–d.

    Example:
        >>> prior = LatentPrior(2, 2, dtype=torch.float64, draws=50)
        >>> effects = latent_effects(lambda x: x[:, :1] + x[:, 1:2], prior, "z0", torch.tensor([-1.0, 0.0, 1.0]))
        >>> assert torch.allclose(effects.ace[:, 0], torch.tensor([-1.0, 0, 1]).double(), atol=1e-12)
        >>> assert effects.stderr.max() < 1e-12  # z1 moves the mean but not the effect of z0
    """
    answer = prior.do(feature, values)
    contrast = torch.eye(len(answer)).to(answer.means) - 1 / len(answer)
    return _average(pixels, answer, contrast, chunk_size)


@dataclass(frozen=True, eq=False)
class DecoderMap:
    """The effects of a decoder's classes, and of each normal latent within each class.

    Attributes:
        classes: effects of the class latents, m = categories C.
        alphas: ``(m,)`` values of the normal latents.
        mean: ``(C, K, m, d)`` E[x | do(z_k=α, c_l=1)], class first.
        ace: the same minus the average over the values.
        stderr: standard errors of ``ace``.
        rows: number of decoder rows evaluated.
    """

    classes: PixelEffects
    alphas: Tensor
    mean: Tensor
    ace: Tensor
    stderr: Tensor
    rows: int

    @property
    def rms(self) -> Tensor:
        """``(K,)`` root mean square effect of each normal latent over classes, values and pixels."""
        return self.ace.square().mean((0, 2, 3)).sqrt()

    @property
    def largest(self) -> Tensor:
        """``(K,)`` largest absolute effect on any pixel of any class."""
        return self.ace.abs().amax((0, 2, 3))

    @property
    def quiet(self) -> Tensor:
        """``(K,)`` share of the pixels, over all classes, that no value moves by 0.02 of the pixel range."""
        return (self.ace.abs().amax(2) < QUIET).double().mean((0, 2))


def map_decoder(
    pixels: PixelModel, prior: LatentPrior, alphas: Tensor, *, classes: tuple[int, ...] | None = None
) -> DecoderMap:
    """Return the effects of a decoder's classes, and of every latent at every value within every class.

    Args:
        pixels: ``(batch, k) -> (batch, d)`` pixel means.
        prior: distribution of the latents.
        alphas: ``(m,)`` equally spaced values of the normal latents.
        classes: classes within which the normal latents are set; default all.

    Example:
        >>> prior = LatentPrior(2, 3, draws=20)
        >>> effects = map_decoder(lambda x: torch.sigmoid(x[:, :1]), prior, torch.linspace(-3, 3, 5))
        >>> assert effects.ace.shape == (3, 2, 5, 1) and effects.rms[1] < 1e-6 and effects.largest[0] > 0.4
    """
    by_class, parts = class_effects(pixels, prior), []
    for label in range(prior.categories) if classes is None else classes:
        given = prior.do({f"c{label}": 1})
        parts.append([latent_effects(pixels, given, f"z{k}", alphas) for k in range(prior.continuous)])
    stacked = (torch.stack([torch.stack([getattr(e, n) for e in row]) for row in parts]) for n in _FIELDS)
    return DecoderMap(by_class, alphas, *stacked, by_class.rows + sum(e.rows for row in parts for e in row))


_FIELDS = ("mean", "ace", "stderr")


def matching_signs(effects: Tensor, class_means: Tensor, *, threshold: float = 0.5) -> Tensor:
    """Return the share of each mean digit's dark pixels (column) on which a class's effect (row) is positive.

    Args:
        effects: ``(C, d)`` ACE of each class latent.
        class_means: ``(C, d)`` mean image of each digit.
        threshold: mean above which a pixel belongs to a digit.

    Returns:
        ``(C, C)``, float64; the diagonal holds the classes on their own digits.

    References:
        Chattopadhyay et al. 2019, Sec. 5.4: the effect of a class is positive on the pixels of its digit.

    Example:
        >>> digits = torch.tensor([[0.9, 0.1, 0.8], [0.1, 0.1, 0.8]])
        >>> matching_signs(torch.tensor([[2.0, 0.0, -1.0], [-1.0, 0.0, 1.0]]), digits).tolist()
        [[0.5, 0.0], [0.5, 1.0]]
    """
    inside = (class_means > threshold).double()
    return (effects > 0).double() @ inside.T / inside.sum(1)


def decoded_digits(num: int = 100, *, seed: int = 0, vae: TrainedVae | None = None) -> Dataset:
    """Draw digits with X ``(num, 28, 28)`` in [0, 1] from the generator that ships with the book.

    Each has latents z ~ N(0, I) and a class by its frequency. They replace MNIST where it is not at hand.

    Args:
        num: number of digits.
        seed: seed of latents and classes.
        vae: generator; default the one that ships.

    Raises:
        DataError: if the checkpoint is missing.

    Example:
        >>> digits = decoded_digits(5, seed=1)
        >>> assert digits.X.shape == (5, 28, 28) and 0 <= digits.X.min() and digits.X.max() <= 1
    """
    vae = load_vae() if vae is None else vae
    generator = stream(seed, _DIGITS_STREAM)
    classes = torch.multinomial(vae.class_frequencies, num, replacement=True, generator=generator)
    z = torch.randn(num, vae.latents, generator=generator)
    with torch.no_grad():
        latents = torch.cat([z, torch.eye(len(vae.class_frequencies))[classes]], 1)
        x = vae.pixels(latents.to(next(vae.decoder.parameters(), latents).device)).cpu().reshape(num, *vae.shape)
    height, width = vae.shape
    names = tuple(f"row {r}, column {c}" for r in range(height) for c in range(width))
    digits = tuple(str(d) for d in range(len(vae.class_frequencies)))
    return Dataset("decoded digits", x, classes, names, digits, source=f"decoded by {vae.name}")


class Shuffled(nn.Module):
    """A decoder whose class inputs are exchanged, as a control: class k is decoded as ``order[k]``.

    Args:
        pixels: ``(batch, K + C) -> (batch, d)``, class inputs last.
        order: ``(C,)`` permutation of the classes.
    """

    def __init__(self, pixels: nn.Module, order: Tensor):
        super().__init__()
        self.pixels, self.order = pixels, order

    def forward(self, latents: Tensor) -> Tensor:
        """Return the pixels ``(batch, d)`` of latents ``(batch, K + C)``."""
        z, c = latents[:, : -len(self.order)], latents[:, -len(self.order) :]
        return self.pixels(torch.cat([z, c[:, self.order.argsort()]], 1))


def _blocks(pixels: PixelModel, answer: Intervention, chunk_size: int) -> Iterator[Tensor]:
    """Yield the pixel means ``(m, b, d)`` of one block of draws after another, averaged over each draw's classes."""
    labels = answer.groups
    width = 1 if labels is None else int((labels == labels[0]).sum())  # rows of one draw stand together
    whole = max(1, chunk_size // (len(answer) * width)) * len(answer) * width
    with torch.no_grad():
        for _, rows, weights in answer.rows(whole):
            m, b, k = rows.shape
            out = pixels(rows.reshape(m * b, k)).reshape(m, b, -1)
            if width > 1:
                share = weights[:width] / weights[:width].sum()
                out = torch.einsum("mbcd,c->mbd", out.reshape(m, b // width, width, -1), share)
            yield out


def _average(pixels: PixelModel, answer: Intervention, contrast: Tensor, chunk_size: int) -> PixelEffects:
    """Return the mean of the pixels, and mean and error of ``contrast`` ``(m, m)`` applied to each draw's images."""
    mean = ace = squares = 0.0
    draws = 0
    for out in _blocks(pixels, answer, chunk_size):
        m, b, d = out.shape
        effect = (contrast.to(out) @ out.reshape(m, b * d)).reshape(m, b, d)
        mean, ace = mean + out.sum(1).double(), ace + effect.sum(1).double()
        squares = squares + torch.einsum("mbd,mbd->md", effect, effect).double()
        draws += b
    mean, ace = mean / draws, ace / draws
    variance = (squares / draws - ace.square()).clamp_min(0) * draws / max(1, draws - 1)
    numbers = (mean.cpu(), ace.cpu(), (variance / draws).sqrt().cpu())
    return PixelEffects(*numbers, draws, answer.num_rows * len(answer))
