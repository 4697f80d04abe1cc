"""Networks against hand-written forward passes and the law of their initial weights."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from acelib.lab.networks import ACTIVATIONS, Probabilities, StackedMLP, mlp, stacked_mlp


def _x(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_forward_by_hand():
    """Against numpy: relu(x W0' + b0) W1' + b1 and its softmax, to 1e-14."""
    model = mlp((4, 8, 3), seed=5, output="softmax")
    w0, b0, w1, b1 = (p.detach().numpy() for p in model.parameters())
    x = _x(6, 4).numpy()
    logits = np.maximum(x @ w0.T + b0, 0) @ w1.T + b1
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(model(torch.from_numpy(x)).detach().numpy() - expected).max() < 1e-14


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", [None, "softmax"])
def test_stacked_equals_unstacked_equals_single(activation, output):
    """One batched product, the unstacked modules and separately made networks agree to 1e-14, for every activation."""
    options = {"activation": activation, "output": output}
    stacked = stacked_mlp((4, 7, 5, 3), [0, 9, 2], **options)
    x, own = _x(6, 4), _x(3, 6, 4)
    assert stacked(x).shape == (3, 6, 3)
    for index, (seed, model) in enumerate(zip((0, 9, 2), stacked.unstack(), strict=True)):
        assert (stacked(x)[index] - model(x)).abs().max() < 1e-14
        assert (stacked(own)[index] - model(own[index])).abs().max() < 1e-14
        assert torch.equal(mlp((4, 7, 5, 3), seed=seed, **options)(x), model(x))


def test_unstacked_models_are_copies():
    """Changing an unstacked network leaves the stack alone; the mode follows the stack's."""
    stacked = stacked_mlp((2, 2), [1]).eval()
    before = stacked(_x(3, 2)).clone()
    model = stacked.unstack()[0]
    assert not model.training
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(stacked(_x(3, 2)), before)


def test_initial_law():
    """Kolmogorov-Smirnov against U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the law of PyTorch's own layer; p > 0.01."""
    layer = mlp((25, 4000), seed=11)[0]
    for drawn in (layer.weight, layer.bias, nn.Linear(25, 4000).bias):
        sample = drawn.detach().double().flatten().numpy()[:20000]
        assert np.abs(sample).max() <= 0.2
        if drawn.dtype == torch.float64:
            assert stats.kstest(sample, stats.uniform(-0.2, 0.4).cdf).pvalue > 0.01


def test_seed_alone_decides():
    """Same seed same weights, whatever the global generator; seed 0 is a seed; the global generator is not touched."""
    state = torch.get_rng_state()
    a, b = mlp((4, 3), seed=0), mlp((4, 3), seed=0)
    stacked_mlp((4, 3), [0, 1])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a[0].weight, b[0].weight)
    assert not torch.equal(a[0].weight, mlp((4, 3), seed=1)[0].weight)
    given = mlp((4, 3), seed=None, generator=torch.Generator().manual_seed(0))
    assert torch.equal(given[0].weight, a[0].weight)


def test_dtype():
    """float32 weights are the float64 ones, rounded."""
    assert torch.equal(mlp((4, 3), seed=2, dtype=torch.float32)[0].weight, mlp((4, 3), seed=2)[0].weight.float())
    assert stacked_mlp((4, 3), [2], dtype=torch.float32)(_x(1, 4).float()).dtype == torch.float32


def test_probabilities():
    """exp(l) / sum exp(l) of the wrapped logits; the wrapped model's parameters are the wrapper's."""
    model = mlp((4, 8, 3), seed=5)
    p = Probabilities(model)(_x(6, 4))
    expected = model(_x(6, 4)).exp()
    assert (p - expected / expected.sum(1, keepdim=True)).abs().max() < 1e-15
    assert len(list(Probabilities(model).parameters())) == 4


def test_repr_tells_the_architecture():
    """What a reader sees: sizes, activation, seeds."""
    assert repr(stacked_mlp((4, 8, 3), [0, 1])).startswith("StackedMLP(\n  4-8-3, activation='relu', seeds=(0, 1)")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sizes": (4,)}, "sizes must be at least two positive integers"),
        ({"sizes": (4, 0)}, "sizes must be at least two"),
        ({"sizes": (4, 2.5)}, "sizes must be at least two"),
        ({"activation": "swish"}, "activation must be one of relu, tanh, .* got 'swish'"),
        ({"output": "sigmoid"}, "output must be None .*, got 'sigmoid'"),
    ],
)
def test_errors(arguments, said):
    """The single and the stacked form refuse the same arguments."""
    arguments = {"sizes": (4, 3), **arguments}
    with pytest.raises(ValueError, match=said):
        mlp(**arguments)
    with pytest.raises(ValueError, match=said):
        stacked_mlp(seeds=[0], **arguments)


def test_errors_of_seeds_and_shapes():
    """None is seed 0; no seed for a stack, a seed twice, and inputs of another shape."""
    assert torch.equal(mlp((4, 3), seed=None)[0].weight, mlp((4, 3), seed=0)[0].weight)
    for seeds in ([], [1, 1]):
        with pytest.raises(ValueError, match="at least one seed and none twice"):
            stacked_mlp((4, 3), seeds)
    model = stacked_mlp((4, 3), [0, 1])
    assert isinstance(model, StackedMLP)
    for shape in ((5, 3), (3, 5, 4), (4,)):
        with pytest.raises(ValueError, match=r"x must have shape \(batch, 4\) or \(2, batch, 4\)"):
            model(_x(*shape))
