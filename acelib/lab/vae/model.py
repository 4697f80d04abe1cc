"""The generative network that chapters 8 and 9 explain: a conditional β-VAE of handwritten digits, and its checkpoints.

An encoder reads an image x in [0, 1]^d beside its class c as one-hot and returns the mean m and the logarithm of the
variance s² of each latent; a decoder turns [z, c] into one logit a pixel. Both are trained on the negative evidence
lower bound with the weight β of Higgins et al. (2017),
L = Σ_pixels BCE(logit, x) + β Σ_k ½ (m_k² + s_k² − 1 − log s_k²),  z_k = m_k + s_k ε,  ε ~ N(0, 1),
after the network of Chattopadhyay et al. (2019, Sec. 5.4): 794-512-256-128-20 and 20-128-256-512-784 with ReLU.
``python -m acelib.lab.vae`` trains them on MNIST again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib.lab import home
from acelib.lab.datasets.registry import DataError
from acelib.lab.networks import mlp, stream
from acelib.lab.training.checkpoint import load_shipped

PIXELS, CLASSES, LATENTS = 784, 10, 10
HIDDEN = (512, 256, 128)  # the decoder goes through them backwards
LR = 1e-4  # the paper's
ACTIVE = 0.05  # nat: a latent with less KL on the test images carries next to no information
_ENCODER_STREAM, _DECODER_STREAM = 11, 12


class ConditionalVae(nn.Module):
    """Encoder and decoder as one module; called with (x, c, noise) it returns logits, means and log-variances.

    Args:
        pixels: number of pixels d.
        latents: number of continuous latents.
        hidden: neurons of the encoder's hidden layers; the decoder's are the same, backwards.
        seed: seed of the initial weights, uniform in ±1/√fan_in.

    Example:
        >>> vae = ConditionalVae(pixels=64, latents=2, hidden=(16,), seed=0)
        >>> logits, mean, log_variance = vae(torch.rand(3, 64), torch.eye(10)[:3], torch.zeros(3, 2))
        >>> assert logits.shape == (3, 64) and mean.shape == log_variance.shape == (3, 2)
    """

    def __init__(
        self, *, pixels: int = PIXELS, latents: int = LATENTS, hidden: tuple[int, ...] = HIDDEN, seed: int = 0
    ):
        super().__init__()
        self.latents = latents
        self.encoder = _layers((pixels + CLASSES, *hidden, 2 * latents), seed, _ENCODER_STREAM)
        self.decoder = _layers((latents + CLASSES, *reversed(hidden), pixels), seed, _DECODER_STREAM)

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances, two ``(batch, latents)``, of images x and one-hot c ``(batch, 10)``."""
        mean, log_variance = self.encoder(torch.cat([x, c], 1)).chunk(2, 1)
        return mean, log_variance

    def forward(self, x: Tensor, c: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits ``(batch, d)`` decoded at mean + exp(½ log-variance) · noise, with means and log-variances."""
        mean, log_variance = self.encode(x, c)
        z = torch.addcmul(mean, torch.exp(0.5 * log_variance), noise)
        return self.decoder(torch.cat([z, c], 1)), mean, log_variance


class Pixels(nn.Module):
    """Pixel means in (0, 1) of a decoder: ``(batch, latents + 10) -> (batch, d)``, the sigmoid of its logits.

    Args:
        decoder: ``(batch, latents + 10) -> (batch, d)`` logits; z first, one-hot c after it.

    Example:
        >>> x = Pixels(mlp((12, 64), dtype=torch.float32))(torch.zeros(5, 12))
        >>> assert x.shape == (5, 64) and 0 < x.min() and x.max() < 1
    """

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> Tensor:
        """Return the pixel means ``(batch, d)`` of latents ``(batch, latents + 10)``."""
        return torch.sigmoid(self.decoder(latents))


def reconstruction_loss(logits: Tensor, x: Tensor) -> Tensor:
    """Return the binary cross-entropy of each image in nats, summed over pixels, ``(batch,)``; x in [0, 1].

    Example:
        >>> loss = reconstruction_loss(torch.zeros(1, 4), torch.tensor([[0.0, 1.0, 0.5, 0.2]]))
        >>> assert torch.allclose(loss, torch.full((1,), 4.0).mul(torch.tensor(2.0).log()))
    """
    return (F.softplus(logits) - x * logits).sum(1)


def latent_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence of N(mean, exp(log-variance)) from N(0, 1) in nats, element by element.

    References:
        Kingma and Welling 2014, App. B.

    Example:
        >>> assert latent_kl(torch.tensor(2.0), torch.tensor(0.0)) == 2
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


@dataclass(frozen=True, eq=False)
class TrainedVae:
    """A trained conditional β-VAE with what its explanation needs.

    Attributes:
        name: name of its checkpoint.
        beta: weight of the KL divergence in the loss.
        seed: seed of initial weights, order of the images and noise.
        decoder: ``(batch, L + 10) -> (batch, d)`` logits, float32, in evaluation mode; z first, then one-hot c.
        encoder: ``(batch, d + 10) -> (batch, 2 L)`` means and log-variances; None where the checkpoint leaves it out.
        kl: mean KL divergence of each latent on the test images in nats, ``(L,)`` float64.
        kl_stderr: its standard error, ``(L,)``.
        class_means: mean training image of each digit, ``(10, d)``.
        class_frequencies: share of each digit among the training images, ``(10,)`` float64.
        shape: height and width of an image, such as (28, 28).
        provenance: seed, settings, versions, device, hashes of the data, seconds, and the loss on the test images.
    """

    name: str
    beta: float
    seed: int
    decoder: nn.Sequential
    encoder: nn.Sequential | None
    kl: Tensor
    kl_stderr: Tensor
    class_means: Tensor
    class_frequencies: Tensor
    shape: tuple[int, int]
    provenance: dict

    @property
    def latents(self) -> int:
        """Number of continuous latents L."""
        return len(self.kl)

    @property
    def pixels(self) -> Pixels:
        """The model to explain: ``(batch, L + 10) -> (batch, d)`` pixel means in (0, 1)."""
        return Pixels(self.decoder).eval()

    @property
    def active(self) -> tuple[int, ...]:
        """The latents with a KL of at least 0.05 nat on the test images, in their order."""
        return tuple(torch.nonzero(self.kl >= ACTIVE).flatten().tolist())

    def __repr__(self) -> str:
        kl = ", ".join(f"z{k} {self.kl[k]:.2f}" for k in self.active) or "none"
        return f"TrainedVae({self.name}: beta {self.beta:g}, seed {self.seed}; KL of active latents in nats: {kl})"


class VaeRecord(nn.Module):
    """Networks and statistics as one module, so that they are written and checked like a network's weights.

    Args:
        vae: encoder and decoder.
        with_encoder: whether the record holds the encoder.
    """

    def __init__(self, vae: ConditionalVae, *, with_encoder: bool):
        super().__init__()
        self.decoder = vae.decoder
        self.encoder = vae.encoder if with_encoder else None
        pixels = vae.decoder[-1].out_features
        self.register_buffer("kl", torch.zeros(vae.latents, dtype=torch.float64))
        self.register_buffer("kl_stderr", torch.zeros(vae.latents, dtype=torch.float64))
        self.register_buffer("class_means", torch.zeros(CLASSES, pixels))
        self.register_buffer("class_frequencies", torch.zeros(CLASSES, dtype=torch.float64))


class Recipe(NamedTuple):
    """The settings by which a network trained on MNIST is named.

    Args:
        beta: weight of the KL divergence.
        seed: seed of initial weights, order of the images and noise.
        lr: learning rate of Adam; 1e-4 is the paper's.

    Example:
        >>> assert Recipe().name == "mnist-vae-b10-s0" and Recipe(4, 2, 1e-3).name == "mnist-vae-b4-s2-lr0.001"
    """

    beta: float = 10.0
    seed: int = 0
    lr: float = LR

    @property
    def name(self) -> str:
        """Name of the checkpoint, without its ending; the paper's learning rate is left out."""
        return f"mnist-vae-b{self.beta:g}-s{self.seed}" + ("" if self.lr == LR else f"-lr{self.lr:g}")


def load_vae(
    name: str | None = None,
    *,
    beta: float = 10,
    seed: int = 0,
    lr: float = LR,
    folder: str | Path | None = None,
    device: torch.device | str | None = None,
) -> TrainedVae:
    """Return the conditional β-VAE trained on MNIST with this β and seed; needs no image.

    Args:
        name: name of a checkpoint, such as ``"mnist-vae-b10-s0"``, in place of ``beta``, ``seed`` and ``lr``.
        beta: weight of the KL divergence.
        seed: seed of the training.
        lr: learning rate of the training; 1e-4 is the paper's.
        folder: folder of the checkpoint; default that of the book, else ``_build/checkpoints``.
        device: where the networks are put; the statistics stay on the CPU. Default: the CPU.

    Raises:
        DataError: if there is no such checkpoint, or it is not what it should be.

    References:
        Chattopadhyay et al. 2019, Sec. 5.4.

    Example:
        >>> vae = load_vae(beta=10, seed=0)
        >>> code = torch.cat([torch.zeros(10, 10), torch.eye(10)], 1)
        >>> with torch.no_grad():
        ...     x = vae.pixels(code)
        >>> assert x.shape == (10, 784) and 0 <= x.min() and x.max() <= 1
    """
    name = Recipe(beta, seed, lr).name if name is None else name
    path = find_checkpoint(name, folder)
    remedy = "make it by `python -m acelib.lab.vae`, or restore it if it belongs to the repository"
    vae, refusals = ConditionalVae(), []
    for with_encoder in (True, False):
        record = VaeRecord(vae, with_encoder=with_encoder)
        try:
            return from_record(record, name, load_shipped(record, path, remedy), device=device)
        except DataError as error:
            refusals.append(error)
    raise refusals[0]


def find_checkpoint(name: str, folder: str | Path | None = None) -> Path:
    """Return the path of a checkpoint, whether it exists or not: in the folder, or where ``load_vae`` looks."""
    file = f"{name}.safetensors"
    if folder is not None:
        return Path(folder) / file
    shipped, built = home.data_file("checkpoints", file), home.build_dir() / "checkpoints" / file
    return built if built.is_file() and not shipped.is_file() else shipped


def from_record(record: VaeRecord, name: str, facts: dict, *, device: torch.device | str | None = None) -> TrainedVae:
    """Return the ``TrainedVae`` that a filled record and its provenance describe, its networks on a device."""
    encoder = record.encoder if record.encoder is None else record.encoder.eval().to(device)
    return TrainedVae(
        name,
        facts["settings"]["beta"],
        facts["seed"],
        record.decoder.eval().to(device),
        encoder,
        record.kl,
        record.kl_stderr,
        record.class_means,
        record.class_frequencies,
        tuple(facts["shape"]),
        facts,
    )


def _layers(sizes: tuple[int, ...], seed: int, number: int) -> nn.Sequential:
    """Return ReLU layers of these sizes, with weights from the generator of a seed and purpose."""
    return mlp(sizes, activation="relu", generator=stream(seed, number), dtype=torch.float32)
