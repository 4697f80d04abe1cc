"""Eleven explainers of an image classifier behind one signature.

Each is a function ``(model, inputs, targets) -> maps``: images ``(batch, channels, height, width)`` and one class per
image in, one map ``(batch, 1, height, width)`` per image out, summed over colour channels, sign kept, not yet scaled.
Seven come from Captum; excitation backprop and RISE are written here from their definitions; class maps of explanatory
graphs are in ``causal_maps``. Two are controls: a map that is the same for every image, and integrated gradients
blurred to the resolution of another method. What a method draws at random is drawn from its own seed, the same for
every image: a map is then a function of its image.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib._optional import optional

Explainer = Callable[[nn.Module, Tensor, Tensor], Tensor]

PASSING = (nn.ReLU, nn.Dropout, nn.Identity)  # layers that excitation backprop passes unchanged


def ig_explainer(*, steps: int = 25) -> Explainer:
    """Return an explainer by integrated gradients from a black image, by Captum; unit of the output.

    Args:
        steps: points of the Gauss-Legendre sum.

    References:
        Sundararajan, Taly, Yan 2017, Eq. 1.
    """

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        with _quiet():
            return _one_channel(
                _captum("IntegratedGradients")(model).attribute(inputs, target=targets, n_steps=steps), inputs
            )

    return explain


def gradient_shap(background: Tensor, *, samples: int = 10, noise: float = 0.05, seed: int = 0) -> Explainer:
    """Return an explainer by expected gradients between an image and random background images, by Captum.

    Args:
        background: images ``(n, channels, height, width)`` to start from.
        samples: random points per image.
        noise: standard deviation of the noise on the image, in its unit.
        seed: seed of the points; the same for every image.

    References:
        Lundberg, Lee 2017, as implemented in Captum's ``GradientShap``.
    """

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = []
        for x, target in zip(inputs.split(1), targets.split(1), strict=True):  # one by one: the same draws for each
            with _quiet(), fixed_randomness(seed):
                options = dict(baselines=background.to(x), n_samples=samples, stdevs=noise)
                maps.append(_captum("GradientShap")(model).attribute(x, target=target, **options))
        return _one_channel(torch.cat(maps), inputs)

    return explain


def by_captum(name: str) -> Explainer:
    """Return an explainer by a method of Captum's that needs no options.

    Args:
        name: ``"Saliency"`` (absolute gradients), ``"InputXGradient"``, ``"Deconvolution"`` or ``"GuidedBackprop"``;
            the last two need every ReLU to be a module of its own.

    Raises:
        ValueError: for another name.

    References:
        Simonyan et al. 2014; Shrikumar et al. 2017; Zeiler, Fergus 2014; Springenberg et al. 2015.
    """
    if name not in ("Saliency", "InputXGradient", "Deconvolution", "GuidedBackprop"):
        raise ValueError(f"name must be Saliency, InputXGradient, Deconvolution or GuidedBackprop, got {name!r}")

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        with _quiet():
            return _one_channel(_captum(name)(model).attribute(inputs, target=targets), inputs)

    return explain


def occlusion(*, window: int = 8, stride: int = 4) -> Explainer:
    """Return an explainer by the fall of the output under a black square, mean over a pixel's squares, by Captum.

    Args:
        window: side of the square in pixels.
        stride: pixels from one square to the next.

    References:
        Zeiler, Fergus 2014, Sec. 4.2.
    """

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        channels = inputs.shape[1]
        options = dict(sliding_window_shapes=(channels, window, window), strides=(channels, stride, stride))
        with _quiet(), torch.no_grad():
            maps = _captum("Occlusion")(model).attribute(inputs, target=targets, perturbations_per_eval=32, **options)
        return _one_channel(maps, inputs) / channels  # Captum writes the same effect on every channel

    return explain


def excitation_backprop(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the marginal winning probabilities of the pixels, ``(batch, 1, height, width)``; their sum is at most 1.

    A token starts at the class's output and moves down: from neuron i to parent j with probability proportional to
    a_j max(w_ij, 0), the parent's activation times the excitatory part of the weight. Where a neuron has no excited
    parent the token is lost. In a maximum pool it goes to the winner; ReLU and reshaping let it through.

    Args:
        model: an ``nn.Sequential`` of Linear, Conv2d, MaxPool2d, AvgPool2d, ReLU, Flatten, Dropout and Identity.
        inputs: images; a negative value counts as 0.
        targets: one class per image.

    Raises:
        TypeError: for a module without a rule.

    References:
        J. Zhang et al., Top-down neural attention by excitation backprop, IJCV 126, 2018, Sec. 3.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
        >>> _ = net[1].weight.data.copy_(torch.tensor([[1.0, -1.0, 3.0, 0.0]]))
        >>> shares = excitation_backprop(net, torch.ones(1, 1, 2, 2), torch.tensor([0]))
        >>> assert torch.allclose(shares.flatten(), torch.tensor([0.25, 0.0, 0.75, 0.0]))
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"model must be an nn.Sequential for excitation backprop, got {type(model).__name__}")
    layers = [module for module in model.modules() if not isinstance(module, nn.Sequential)]
    below = []
    with torch.no_grad():
        a = inputs
        for layer in layers:
            below.append(a)
            a = layer(a)
        token = F.one_hot(targets, a.shape[1]).to(a)
    for layer, a in zip(reversed(layers), reversed(below), strict=True):
        token = _token_below(layer, a.clamp_min(0), token)
    return token.sum(1, keepdim=True)


def rise(*, masks: int = 200, cells: int = 7, keep: float = 0.5, seed: int = 0, chunk_size: int = 256) -> Explainer:
    """Return an explainer by the mean probability of the class over random masks that show the pixel.

    The sum over masks is divided by their number times ``keep``. A mask is a coarse grid of zeros and ones,
    interpolated bilinearly and shifted at random.

    Args:
        masks: number of masks; the same ones for every image.
        cells: cells of the coarse grid along each side.
        keep: probability that a cell is shown.
        seed: seed of the masks.
        chunk_size: masked images a call.

    References:
        V. Petsiuk, A. Das, K. Saenko, RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018.
    """

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        shown = random_masks(masks, tuple(inputs.shape[2:]), cells=cells, keep=keep, seed=seed).to(inputs)
        maps = []
        with torch.no_grad():
            for x, target in zip(inputs, targets.tolist(), strict=True):
                parts = [torch.softmax(model(x * part), dim=1)[:, target] for part in shown.split(chunk_size)]
                maps.append(torch.einsum("m,mchw->chw", torch.cat(parts), shown) / (masks * keep))
        return torch.stack(maps)

    return explain


def random_masks(count: int, size: tuple[int, int], *, cells: int = 7, keep: float = 0.5, seed: int = 0) -> Tensor:
    """Return RISE's masks ``(count, 1, height, width)`` in [0, 1], float64, a pixel shown with probability ``keep``.

    Args:
        count: number of masks.
        size: height and width.
        cells: cells of the coarse grid along each side.
        keep: probability that a cell is shown.
        seed: seed of the draw.

    Example:
        >>> masks = random_masks(400, (32, 32), seed=1)
        >>> assert masks.shape == (400, 1, 32, 32) and abs(masks.mean() - 0.5) < 0.02
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    step = (-(-height // cells), -(-width // cells))  # pixels a cell, rounded up
    grid = (torch.rand(count, 1, cells + 1, cells + 1, generator=generator, dtype=torch.float64) < keep).double()
    large = F.interpolate(grid, size=[(cells + 1) * s for s in step], mode="bilinear", align_corners=False)
    rows = torch.randint(0, step[0], (count,), generator=generator).tolist()
    columns = torch.randint(0, step[1], (count,), generator=generator).tolist()
    cut = [large[i, :, r : r + height, c : c + width] for i, (r, c) in enumerate(zip(rows, columns, strict=True))]
    return torch.stack(cut)


def constant(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the same round bump in the middle for every image, ``(batch, 1, height, width)``: a control.

    Nothing can be more stable than a map that never changes: its local Lipschitz estimate is 0.

    Args:
        model: not used.
        inputs: images; only their size is used.
        targets: not used.

    Example:
        >>> maps = constant(None, torch.rand(2, 1, 8, 8), torch.tensor([0, 1]))
        >>> assert torch.equal(maps[0], maps[1]) and 0.9 < maps.max() <= 1
    """
    height, width = inputs.shape[2:]
    rows, columns = (torch.linspace(-2, 2, n, dtype=inputs.dtype, device=inputs.device) for n in (height, width))
    bump = torch.exp(-rows.square()[:, None] / 2 - columns.square()[None] / 2)
    return bump.expand(len(inputs), 1, height, width)


def blurred(explain: Explainer, size: int) -> Explainer:
    """Return an explainer whose maps are another's, averaged to size × size pixels and enlarged again: a control.

    Args:
        explain: explainer whose maps are blurred.
        size: pixels along each side that are left, of 32 for a LeNet: 28, 14, 10 or 5 as its feature maps have.

    Example:
        >>> picture = lambda model, inputs, targets: inputs
        >>> maps = blurred(picture, 1)(None, torch.rand(1, 1, 8, 8), torch.tensor([0]))
        >>> assert maps.std() < 1e-6
    """

    def explain_blurred(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = F.adaptive_avg_pool2d(explain(model, inputs, targets), size)
        return F.interpolate(maps, size=inputs.shape[2:], mode="bilinear", align_corners=False)

    return explain_blurred


def standard_explainers(background: Tensor, *, size: int = 10, seed: int = 0) -> dict[str, Explainer]:
    """Return the nine methods and two controls of the book's comparison by name, with the settings stated above.

    Args:
        background: images for ``gradient_shap``.
        size: pixels along each side of the blurred control.
        seed: seed of the methods that draw at random.

    Example:
        >>> assert len(standard_explainers(torch.zeros(2, 1, 32, 32))) == 11
    """
    ig = ig_explainer()
    return {
        "IG": ig,
        "Saliency": by_captum("Saliency"),
        "InputXGradient": by_captum("InputXGradient"),
        "GradientShap": gradient_shap(background, seed=seed),
        "Deconvolution": by_captum("Deconvolution"),
        "GuidedBackprop": by_captum("GuidedBackprop"),
        "Occlusion": occlusion(),
        "MWP": excitation_backprop,
        "RISE": rise(seed=seed),
        "constant map": constant,
        "IG, blurred": blurred(ig, size),
    }


@contextmanager
def fixed_randomness(seed: int) -> Iterator[None]:
    """Seed the global random numbers of torch and numpy inside the block and restore them after it.

    Captum and Quantus draw from them; acelib does not.

    Args:
        seed: seed inside the block.

    Example:
        >>> before = torch.random.get_rng_state()
        >>> with fixed_randomness(3):
        ...     first = torch.rand(1)
        >>> assert torch.equal(torch.random.get_rng_state(), before)
    """
    numbers, state = np.random.get_state(), torch.random.get_rng_state()
    try:
        torch.random.default_generator.manual_seed(seed)
        np.random.seed(seed)
        yield
    finally:
        np.random.set_state(numbers)
        torch.random.set_rng_state(state)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Captum's notes that it sets hooks and gradients, which it removes by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Input Tensor")
        warnings.filterwarnings("ignore", message="Setting (forward, )?backward hooks")
        yield


def _captum(name: str) -> Callable:
    return getattr(optional("captum.attr", "this explainer"), name)


def _one_channel(maps: Tensor, inputs: Tensor) -> Tensor:
    """Return the sum of the maps over colour channels, in the dtype of the inputs."""
    return maps.detach().to(inputs.dtype).sum(1, keepdim=True)  # some of Captum's methods return float32


def _token_below(layer: nn.Module, a: Tensor, token: Tensor) -> Tensor:
    """Return the winning probabilities below a layer from those above it; ``a``: activations below, 0 or more."""
    if isinstance(layer, PASSING):
        return token
    if isinstance(layer, nn.Flatten):
        return token.reshape(a.shape)
    a = a.requires_grad_(True)
    with torch.enable_grad():
        if isinstance(layer, nn.Linear):
            reached = F.linear(a, layer.weight.detach().clamp_min(0))
        elif isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
            weight = layer.weight.detach().clamp_min(0)
            reached = F.conv2d(a, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        elif isinstance(layer, nn.MaxPool2d):
            return torch.autograd.grad(layer(a), a, token)[0].detach()
        elif isinstance(layer, nn.AvgPool2d):
            reached = layer(a)
        else:
            raise TypeError(
                f"model must hold layers with a rule for excitation backprop, got {type(layer).__name__}; see PASSING, "
                "Linear, Conv2d, MaxPool2d, AvgPool2d and Flatten"
            )
        share = torch.where(reached > 0, token / reached.detach().clamp_min(torch.finfo(a.dtype).tiny), 0)
        return (a * torch.autograd.grad(reached, a, share)[0]).detach()
