"""Eleven explainers against closed forms and literal loops; the global random numbers stay as they were."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acelib.lab.graphs import explainers as E
from acelib.lab.graphs.lenet import untrained_lenet


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    return untrained_lenet(seed=2, dtype=torch.float64).eval()


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(3, 1, 32, 32, generator=generator, dtype=torch.float64), torch.tensor([3, 0, 9])


def linear(w: torch.Tensor) -> nn.Sequential:
    """Class scores w (classes, pixels) times the flattened image."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=w.dtype))
    model[1].weight.data.copy_(w)
    return model.eval()


def test_every_explainer_keeps_the_contract(net, images):
    """One map per image, detached, finite, the same twice; no warning; network and global random numbers stay."""
    X, y = images
    before = [p.clone() for p in net.parameters()]
    numbers, state = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    for name, explain in E.standard_explainers(X[:2]).items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            maps = explain(net, X, y)
        assert maps.shape == (3, 1, 32, 32) and not maps.requires_grad and maps.isfinite().all(), name
        assert torch.equal(maps, explain(net, X, y)), name
        alone = explain(net, X[1:2], y[1:2])
        assert torch.allclose(maps[1:2], alone, atol=1e-12), f"{name} depends on the other images of the batch"
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.grad is None for p in net.parameters()) and not X.requires_grad
    assert (np.random.get_state()[1] == numbers).all() and torch.equal(torch.random.get_rng_state(), state)
    assert not any(m._backward_hooks or m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_linear_network_is_explained_by_its_weights():
    """f_c = w_c·x on two colour channels: IG and input × gradient are Σ_channels w x, saliency Σ |w|.

    Occlusion by one-pixel squares is Σ w x as well. GradientShap without noise from a black background is IG.
    """
    generator = torch.Generator().manual_seed(1)
    w = torch.randn(4, 2 * 6 * 6, generator=generator, dtype=torch.float64)
    X = torch.rand(2, 2, 6, 6, generator=generator, dtype=torch.float64)
    y = torch.tensor([2, 0])
    kernel = w[y].view(2, 2, 6, 6)
    product = (kernel * X).sum(1, keepdim=True)
    model = linear(w)
    black = torch.zeros(1, 2, 6, 6, dtype=torch.float64)
    for explain in (
        E.ig_explainer(steps=5),
        E.by_captum("InputXGradient"),
        E.occlusion(window=1, stride=1),
        E.gradient_shap(black, noise=0.0),
    ):
        assert torch.allclose(explain(model, X, y), product, atol=1e-5)  # Captum's IG steps are float32
    assert torch.allclose(E.by_captum("Saliency")(model, X, y), kernel.abs().sum(1, keepdim=True))


def test_unknown_name():
    """A name that is not offered is refused at once."""
    with pytest.raises(ValueError, match="name must be Saliency, .*, got 'DeepLift'"):
        E.by_captum("DeepLift")


def literal_token(model: nn.Sequential, x: torch.Tensor, target: int) -> np.ndarray:
    """Excitation backprop of fully connected layers by loops over neurons: the definition."""
    layers = [m for m in model if isinstance(m, nn.Linear)]
    activations, a = [], x.flatten()
    for index, layer in enumerate(layers):
        activations.append(a)
        a = layer(a).relu() if index < len(layers) - 1 else layer(a)
    p = np.eye(len(a))[target]
    for layer, a in zip(reversed(layers), reversed(activations), strict=True):
        w, a = layer.weight.detach().numpy(), a.detach().numpy()
        below = np.zeros(len(a))
        for i in range(len(p)):
            excited = [j for j in range(len(a)) if w[i, j] > 0]
            total = sum(a[j] * w[i, j] for j in excited)
            for j in excited:
                if total > 0:
                    below[j] += p[i] * a[j] * w[i, j] / total
        p = below
    return p


def test_excitation_backprop_equals_the_definition():
    """On a perceptron with two hidden layers, against loops over neurons; the shares sum to 1."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    model = model.double().eval()
    X = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 1])
    maps = E.excitation_backprop(model, X, y)
    for i in range(4):
        assert np.allclose(maps[i].flatten(), literal_token(model, X[i], int(y[i])), atol=1e-12)
    assert torch.allclose(maps.sum((1, 2, 3)), torch.ones(4).double())


def test_excitation_backprop_through_a_convolution_is_that_of_the_same_matrix():
    """A convolution written out as a matrix, one column per pixel, gives the same shares."""
    generator = torch.Generator().manual_seed(4)
    conv = nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=True).double()
    head = nn.Linear(2 * 9, 3).double()
    with torch.no_grad():
        for p in (*conv.parameters(), *head.parameters()):
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype))
    units = torch.eye(25, dtype=torch.float64).view(25, 1, 5, 5)
    matrix = F.conv2d(units, conv.weight, None, 2, 1).flatten(1).T.detach()
    dense = nn.Linear(25, 18).double()
    with torch.no_grad():
        dense.weight.copy_(matrix)
        dense.bias.copy_(conv.bias.repeat_interleave(9))
    X, y = torch.rand(2, 1, 5, 5, generator=generator, dtype=torch.float64), torch.tensor([0, 2])
    by_conv = E.excitation_backprop(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head), X, y)
    by_dense = E.excitation_backprop(nn.Sequential(nn.Flatten(), dense, nn.ReLU(), head), X, y)
    assert torch.allclose(by_conv, by_dense, atol=1e-12)


def test_excitation_backprop_in_pools_and_its_limits():
    """A maximum pool hands the token to the winner, a mean pool in shares of the activations; no rule, no result."""
    x = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(1, 1, 2, 2)
    first = torch.tensor([0])
    head = [nn.Flatten(), nn.Linear(1, 1, bias=False)]
    head[1].weight.data.fill_(1.0)
    won = E.excitation_backprop(nn.Sequential(nn.MaxPool2d(2), *head), x, first)
    assert won.flatten().tolist() == [0, 1, 0, 0]
    shared = E.excitation_backprop(nn.Sequential(nn.AvgPool2d(2), *head), x, first)
    assert torch.allclose(shared.flatten(), torch.tensor([1, 3, 2, 2]) / 8)
    negative = E.excitation_backprop(nn.Sequential(nn.AvgPool2d(2), *head), x * torch.tensor([-1.0, 1.0]), first)
    assert torch.allclose(negative.flatten(), torch.tensor([0, 3, 0, 2]) / 5)
    with pytest.raises(TypeError, match="a rule for excitation backprop, got BatchNorm2d"):
        E.excitation_backprop(nn.Sequential(nn.BatchNorm2d(1).eval(), nn.MaxPool2d(2), *head), x, first)
    with pytest.raises(TypeError, match="model must be an nn.Sequential for excitation backprop, got Linear"):
        E.excitation_backprop(nn.Linear(1, 1), x, first)


def test_rise_is_its_sum_over_masks(net, images):
    """Against a loop over masks, one image: Σ_i p(x ⊙ m_i) m_i / (N · keep)."""
    X, y = images
    masks = E.random_masks(20, (32, 32), keep=0.4, seed=7)
    by_hand = sum(torch.softmax(net(X[:1] * m), 1)[0, y[0]] * m for m in masks) / (20 * 0.4)
    maps = E.rise(masks=20, keep=0.4, seed=7, chunk_size=6)(net, X[:1], y[:1])
    assert torch.allclose(maps[0], by_hand.detach(), atol=1e-12)


def test_masks():
    """In [0, 1], shown with the asked probability on average to 4 standard errors of independent grids, seeded."""
    masks = E.random_masks(1500, (20, 26), cells=5, keep=0.3, seed=1)
    assert masks.shape == (1500, 1, 20, 26) and masks.min() == 0 and masks.max() == 1
    means = masks.flatten(1).mean(1)
    assert abs(means.mean() - 0.3) < 4 * means.std() / 1500**0.5
    assert torch.equal(masks, E.random_masks(1500, (20, 26), cells=5, keep=0.3, seed=1))
    assert not torch.equal(masks, E.random_masks(1500, (20, 26), cells=5, keep=0.3, seed=0))


def test_controls(images):
    """The constant map ignores its image; blurring keeps the mean where blocks are whole, and flattens a 1×1 map."""
    X, y = images
    maps = E.constant(None, X, y)
    assert maps.shape == (3, 1, 32, 32) and maps.std(0).max() == 0 and maps[0].std() > 0
    small = E.blurred(lambda model, inputs, targets: inputs, 8)(None, X, y)
    assert torch.allclose(small.mean((1, 2, 3)), X.mean((1, 2, 3)), atol=1e-12)
    assert (small[..., 1:, :] - small[..., :-1, :]).abs().max() < (X[..., 1:, :] - X[..., :-1, :]).abs().max()


def test_fixed_randomness_is_undone_by_an_error():
    """Same draws inside, the outer stream untouched, also when the block fails."""
    before, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    draws = []
    for _ in range(2):
        with pytest.raises(KeyError), E.fixed_randomness(0):
            draws.append((torch.rand(1).item(), np.random.rand()))
            raise KeyError
    assert draws[0] == draws[1]
    assert torch.equal(torch.random.get_rng_state(), before) and (np.random.get_state()[1] == numbers).all()
