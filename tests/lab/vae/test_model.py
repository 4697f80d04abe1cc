"""The conditional β-VAE: its parts against their definitions, the shipped networks, and what they know of MNIST."""

import os
import platform
import shutil
import struct

import pytest
import torch
import torch.nn.functional as F
from helpers import real
from torch import nn

from acelib.lab import home
from acelib.lab.datasets import load_mnist, registry
from acelib.lab.datasets.registry import DataError
from acelib.lab.mnist import load_pretrained, mnist_moments
from acelib.lab.networks import stream
from acelib.lab.vae import (
    SHIPPED,
    ConditionalVae,
    Pixels,
    Recipe,
    find_checkpoint,
    latent_kl,
    load_vae,
    reconstruction_loss,
)

NAMES = [recipe.name for recipe in SHIPPED]


def codes(z: torch.Tensor, digit: int) -> torch.Tensor:
    """Rows [z, one-hot digit] for z (rows, 10)."""
    return torch.cat([z, torch.eye(10)[torch.full((len(z),), digit)]], 1)


def test_reconstruction_loss():
    """Against PyTorch's own cross-entropy with logits, in float64, to 1e-12, logits of ±40 included."""
    generator = torch.Generator().manual_seed(0)
    logits = 15 * torch.randn(6, 50, dtype=torch.float64, generator=generator)
    logits[0, :2] = torch.tensor([-40.0, 40.0])
    x = torch.rand(6, 50, dtype=torch.float64, generator=generator)
    expected = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    assert (reconstruction_loss(logits, x) - expected).abs().max() < 1e-12 * logits.abs().sum()


def test_latent_kl():
    """Against ``torch.distributions`` to 1e-12, and against numerical integration of p log(p/q) to 1e-6."""
    mean, log_variance = torch.tensor([0.0, 1.5, -0.3]).double(), torch.tensor([0.0, -2.0, 0.7]).double()
    found = latent_kl(mean, log_variance)
    p, q = torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    assert (found - torch.distributions.kl_divergence(p, q)).abs().max() < 1e-12
    t = torch.linspace(-15, 15, 200_001, dtype=torch.float64)[:, None]
    integrand = p.log_prob(t).exp() * (p.log_prob(t) - q.log_prob(t))
    assert (torch.trapezoid(integrand, t, dim=0) - found).abs().max() < 1e-6
    assert found[0] == 0


def test_architecture_and_forward():
    """Layer sizes of the paper; a literal forward pass, layer by layer, z = m + s ε, to 1e-5."""
    vae = ConditionalVae(seed=3)
    sizes = [[layer.in_features for layer in net if isinstance(layer, nn.Linear)] for net in (vae.encoder, vae.decoder)]
    assert sizes == [[794, 512, 256, 128], [20, 128, 256, 512]]
    assert vae.encoder[-1].out_features == 20 and vae.decoder[-1].out_features == 784
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.rand(5, 784, generator=generator), torch.randn(5, 10, generator=generator)
    c = torch.eye(10)[:5]
    logits, mean, log_variance = vae(x, c, noise)
    state = torch.cat([x, c], 1)
    for index in (0, 2, 4, 6):
        state = state @ vae.encoder[index].weight.T + vae.encoder[index].bias
        state = state.clamp(min=0) if index < 6 else state
    assert (mean - state[:, :10]).abs().max() < 1e-5 and (log_variance - state[:, 10:]).abs().max() < 1e-5
    state = torch.cat([mean + torch.exp(log_variance / 2) * noise, c], 1)
    for index in (0, 2, 4, 6):
        state = state @ vae.decoder[index].weight.T + vae.decoder[index].bias
        state = state.clamp(min=0) if index < 6 else state
    assert (logits - state).abs().max() < 1e-5
    code = torch.cat([mean, c], 1)
    assert (Pixels(vae.decoder)(code) - 1 / (1 + (-vae.decoder(code)).exp())).abs().max() < 1e-6


def test_initial_weights_and_streams():
    """The seed alone decides the weights; encoder, decoder and other purposes of one seed share no numbers."""
    one, same, other = (ConditionalVae(pixels=9, latents=3, hidden=(8,), seed=s) for s in (4, 4, 5))
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]) and not torch.equal(value, other.state_dict()[name])
    draws = {tuple(torch.rand(2, generator=stream(s, n)).tolist()) for s in range(4) for n in range(4)}
    assert len(draws) == 16


@pytest.mark.parametrize("name", NAMES)
def test_shipped(name):
    """Shapes, float32 in evaluation mode, pixels in [0, 1]; seed, versions, hashes and nothing of the computer."""
    vae = load_vae(name)
    recipe = Recipe(vae.beta, vae.seed, vae.provenance["settings"]["lr"])
    assert vae.name == name == recipe.name
    assert (vae.encoder is not None) == (recipe == SHIPPED[0])
    assert {p.dtype for p in vae.decoder.parameters()} == {torch.float32} and not vae.pixels.training
    assert vae.shape == (28, 28) and vae.latents == 10 and vae.kl.shape == vae.kl_stderr.shape == (10,)
    assert vae.kl.min() > 0 and 0 < vae.kl_stderr.max() < 0.05
    assert vae.active == tuple(k for k in range(10) if vae.kl[k] >= 0.05) and len(vae.active) >= 1
    assert f"{name}: beta" in repr(vae) and f"z{vae.active[0]} " in repr(vae)
    with torch.no_grad():
        x = vae.pixels(codes(torch.zeros(3, 10), 8))
    assert x.shape == (3, 784) and 0 <= x.min() and x.max() <= 1
    facts, path = vae.provenance, find_checkpoint(name)
    assert path.parent == home.data_dir() / "checkpoints" and path.stat().st_size < 2_400_000
    assert facts["profile"] == "full" and facts["steps"] == 20_000 and facts["settings"]["batch_size"] == 64
    assert facts["test"]["rows"] == 10_000 and -160 < facts["test"]["elbo"] < -90
    assert abs(facts["test"]["kl"] - vae.kl.sum().item()) < 1e-6
    assert facts["versions"].keys() >= {"python", "torch", "numpy", "acelib"} and facts["device"]
    for file, digest in facts["data"]["sha256"].items():
        assert digest == registry.entry(file)["sha256"]
    header = path.read_bytes()[8 : 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]].decode()
    for place in (str(home.root()), platform.node(), os.path.expanduser("~") + os.sep):
        assert place not in header


def test_class_statistics_agree_with_the_other_checkpoint():
    """Class means are those stored with the perceptrons, and their mean by the frequencies is the mean image; 1e-6."""
    vae, known = load_vae(), mnist_moments()
    assert (vae.class_means - known.class_means).abs().max() < 1e-6
    assert abs(vae.class_frequencies.sum().item() - 1) < 1e-12
    assert (vae.class_frequencies @ vae.class_means.double() - known.mean.double()).abs().max() < 1e-6


def test_decoded_digits_are_read_as_their_class():
    """Control by another network: the tanh perceptron reads at least 90 % of 1000 decoded digits as the class asked."""
    vae, reader = load_vae(), load_pretrained("tanh").model
    generator = torch.Generator().manual_seed(0)
    hits = 0
    with torch.no_grad():
        for digit in range(10):
            x = vae.pixels(codes(torch.randn(100, 10, generator=generator), digit))
            hits += int((reader(x.view(-1, 1, 28, 28)).argmax(1) == digit).sum())
    assert hits >= 900


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda recipe: recipe.name)
def test_kl_says_which_latents_act(recipe):
    """The latents that move the eight furthest, from −2 to 2 with the others at 0, are those with the most KL."""
    vae = load_vae(recipe.name)
    moved = []
    with torch.no_grad():
        for k in range(10):
            z = torch.zeros(2, 10)
            z[:, k] = torch.tensor([-2.0, 2.0])
            low, high = vae.pixels(codes(z, 8))
            moved.append((high - low).square().mean().sqrt().item())
    ranked = torch.tensor(moved).argsort(descending=True)[: len(vae.active)]
    assert set(ranked.tolist()) == set(vae.active) and len(vae.active) >= 1


def test_loading_draws_no_global_random_numbers(monkeypatch):
    """Nor does it ask for MNIST."""

    def refuse(*args, **kwargs):
        raise AssertionError("asked for a download")

    monkeypatch.setattr(registry, "fetch", refuse)
    state = torch.get_rng_state()
    load_vae(beta=10, seed=0)
    assert torch.equal(state, torch.get_rng_state())


def test_found_among_one_s_own_trainings(tmp_path, monkeypatch):
    """Networks that do not ship are looked for in ``_build/checkpoints``; one that ships is never taken from there."""
    monkeypatch.setattr(home, "build_dir", lambda: tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in ("mnist-vae-b7-s0", "mnist-vae-b10-s0"):
        shutil.copy(find_checkpoint("mnist-vae-b10-s0"), tmp_path / "checkpoints" / f"{name}.safetensors")
    assert find_checkpoint("mnist-vae-b7-s0").parent == tmp_path / "checkpoints"
    assert find_checkpoint("mnist-vae-b10-s0").parent == home.data_dir() / "checkpoints"
    assert load_vae("mnist-vae-b7-s0").encoder is not None
    with pytest.raises(DataError, match="mnist-vae-b7-s3.safetensors is missing; make it by `python -m acelib.lab.vae"):
        load_vae(beta=7, seed=3)


@pytest.mark.parametrize("damage", ["truncated", "another network"])
def test_damaged_checkpoints_are_named(damage, tmp_path):
    """One sentence with the file, what is wrong and the remedy."""
    target = tmp_path / "mnist-vae-b10-s0.safetensors"
    shutil.copy(find_checkpoint("mnist-vae-b10-s0"), target)
    if damage == "truncated":
        target.write_bytes(target.read_bytes()[:1000])
    else:
        shutil.copy(home.data_dir() / "checkpoints" / "mnist-conv.safetensors", target)
    said = {"truncated": "no complete safetensors", "another network": "differ in"}[damage]
    with pytest.raises(DataError, match=f"mnist-vae-b10-s0.safetensors.*{said}.*python -m acelib.lab.vae`"):
        load_vae(folder=tmp_path)


@real
def test_recorded_kl_on_mnist():
    """The encoder on the 10,000 real test images: KL of each latent as recorded, to 1e-4 nat, by its definition."""
    vae, test = load_vae(), load_mnist("test", dtype=torch.float32)
    with torch.no_grad():
        mean, log_variance = vae.encoder(torch.cat([test.X.flatten(1), torch.eye(10)[test.y]], 1)).double().chunk(2, 1)
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    assert (kl.mean(0) - vae.kl).abs().max() < 1e-4
    assert (kl.std(0) / 100 - vae.kl_stderr).abs().max() < 1e-5
