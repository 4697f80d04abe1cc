"""What do all pixel effects of a digit generator cost? 10 classes, 10 latents × 25 values × 10 classes, 500 draws each.

A decoder 20-128-256-512-784 in float32 as in the paper's MNIST experiment. The whole task is 1,250,000 decoder rows and
5,000 more for the classes; ``one class`` is a tenth of it, so that a round stays short: its seconds are scaled up.
``decoder only`` is a plain forward pass over the same number of rows, the floor of anything that visits them.
``general`` is the library's estimator for one latent within one class, which also keeps covariances between values and
single curves; the lean average of ``acelib.lab.decoder`` is ``one latent``. Nothing here asserts a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from acelib import LatentPrior, interventional_expectation
from acelib.lab.decoder import class_effects, latent_effects, map_decoder
from acelib.lab.vae import ConditionalVae, Pixels

DRAWS, VALUES, CHUNK = 500, 25, 500

per = {"one class": 0.1, "decoder only, one class": 0.1, "classes": 1, "one latent": 0.01, "general": 0.01}
ratios = {
    "effects / decoder only": ("one class", "decoder only, one class"),
    "general / lean": ("general", "one latent"),
}
expect = {"effects / decoder only": "at most 2"}


def cases() -> dict[str, Callable[[], object]]:
    """Returns ``{name: callable}``; ``per[name]`` is the share of the whole task that a call covers."""
    pixels = Pixels(ConditionalVae(seed=0).decoder).eval()
    prior, alphas = LatentPrior(draws=DRAWS), torch.linspace(-3, 3, VALUES)
    given = prior.do({"c8": 1})
    rows = torch.randn(CHUNK, 20, generator=torch.Generator().manual_seed(0))

    def decode() -> None:
        with torch.no_grad():
            for _ in range(10 * VALUES * DRAWS // CHUNK):
                pixels(rows)

    return {
        "one class": lambda: map_decoder(pixels, prior, alphas, classes=(8,)),
        "decoder only, one class": decode,
        "classes": lambda: class_effects(pixels, prior),
        "one latent": lambda: latent_effects(pixels, given, "z0", alphas),
        "general": lambda: interventional_expectation(pixels, given, "z0", alphas),
    }
