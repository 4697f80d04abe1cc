"""Networks that compute the same in another way: split, permuted, compensated, or with a detour that cancels.

All are ``torch.nn.Sequential`` in float64, of linear layers and activations, so that every method can read them.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a linear layer with weight ``(outputs, inputs)`` and bias ``(outputs,)``, in float64.

    Example:
        >>> layer = linear(torch.tensor([[1.0, -1.0]]), torch.tensor([2.0]))
        >>> assert layer(torch.tensor([[3.0, 1.0]], dtype=torch.float64)).item() == 4
    """
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], dtype=torch.float64)
    layer.weight, layer.bias = (nn.Parameter(t.detach().double().clone()) for t in (weight, bias))
    return layer


def compensated(net: nn.Sequential, shift: Tensor) -> nn.Sequential:
    """Return a copy whose first layer takes the shift off: it computes from x + shift what ``net`` does from x.

    Args:
        net: layers, the first of them linear.
        shift: ``(k,)``.

    References:
        Kindermans et al. (2019), Sec. 2.

    Example:
        >>> net = nn.Sequential(linear(torch.tensor([[1.0, -2.0]]), torch.tensor([0.5])))
        >>> x, shift = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([3.0, 1.0], dtype=torch.float64)
        >>> assert compensated(net, shift)(x + shift).equal(net(x))
    """
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin[0].bias -= twin[0].weight @ shift
    return twin


def rewritten(net: nn.Sequential, mixing: Tensor) -> nn.Sequential:
    """Return a linear-tanh-linear network as another one: units reversed, signs flipped, one halved, a layer between.

    Args:
        net: a linear layer, tanh, and a linear layer.
        mixing: ``(h + 1, h + 1)`` invertible; the second layer becomes two, by it and by its inverse.

    Example:
        >>> first, last = linear(torch.ones(2, 1), torch.ones(2)), linear(torch.ones(1, 2), torch.ones(1))
        >>> net = nn.Sequential(first, nn.Tanh(), last)
        >>> x = torch.ones(1, 1, dtype=torch.float64)
        >>> assert torch.allclose(rewritten(net, 2 * torch.eye(3))(x), net(x))
    """
    first, act, last = net
    order = torch.arange(first.out_features - 1, -1, -1)
    rows = torch.cat([order, order[:1]])  # the unit that comes first now stands twice, at half its weight
    signs = torch.ones(len(rows), dtype=torch.float64)
    signs[::2] = -1
    parts = torch.ones(len(rows), dtype=torch.float64)
    parts[0] = parts[-1] = 0.5
    weight, bias = signs[:, None] * first.weight[rows], signs * first.bias[rows]
    out = last.weight[:, rows] * signs * parts
    mixing = mixing.double()
    between = linear(mixing, torch.zeros(len(rows)))
    return nn.Sequential(linear(weight, bias), copy.deepcopy(act), between, linear(out @ mixing.inverse(), last.bias))


def clamp_twins(weights: Tensor, biases: Tensor, scale: float) -> tuple[nn.Sequential, nn.Sequential]:
    """Return two networks for scale · max(0, u - max(0, v)), where u and v are linear in the input.

    The first passes u on as max(0, u) - max(0, -u). The second passes on max(0, u), which makes no difference: where
    u is negative, the outcome is zero in any case.

    Args:
        weights: ``(2, k)`` of u and v.
        biases: ``(2,)``.
        scale: of the output.

    References:
        Sundararajan et al. (2017), Sec. 2.2 and App. B, two networks for one function.

    Example:
        >>> one, other = clamp_twins(torch.eye(2), torch.zeros(2), 1.0)
        >>> x = torch.tensor([[3.0, 1.0], [-1.0, 2.0], [1.0, 3.0]], dtype=torch.float64)
        >>> assert one(x).flatten().tolist() == other(x).flatten().tolist() == [2.0, 0.0, 0.0]
    """
    u, v = weights
    through = linear(torch.stack([u, -u, v]), torch.stack([biases[0], -biases[0], biases[1]]))
    joined = linear(torch.tensor([[1.0, -1.0, -1.0]]), torch.zeros(1))
    last = linear(_double([[scale]]), _double([0.0]))
    one = nn.Sequential(through, nn.ReLU(), joined, nn.ReLU(), last)
    other = nn.Sequential(
        linear(torch.stack([u, v]), biases),
        nn.ReLU(),
        linear(torch.tensor([[1.0, -1.0]]), torch.zeros(1)),
        nn.ReLU(),
        copy.deepcopy(last),
    )
    return one, other


def added(nets: list[nn.Sequential], signs: list[float]) -> nn.Sequential:
    """Return the sum of networks of the same layers, side by side, each with its sign.

    Example:
        >>> net = nn.Sequential(linear(torch.ones(1, 1), torch.ones(1)))
        >>> x = torch.ones(1, 1, dtype=torch.float64)
        >>> assert added([net, net], [1.0, -1.0])(x).item() == 0
    """
    layers: list[nn.Module] = []
    for place, group in enumerate(zip(*nets, strict=True)):
        if not isinstance(group[0], nn.Linear):
            layers.append(copy.deepcopy(group[0]))
            continue
        weights, biases = [layer.weight for layer in group], torch.cat([layer.bias for layer in group])
        layers.append(linear(torch.cat(weights) if place == 0 else torch.block_diag(*weights), biases))
    end = layers[-1]
    sign = torch.tensor([signs], dtype=torch.float64)
    layers[-1] = linear(sign @ end.weight, sign @ end.bias)
    return nn.Sequential(*layers)


def with_detour(slope: float, bias: float, scale: float, offset: float) -> nn.Sequential:
    """Return a network for scale · tanh(slope · x₃ + bias) that also reads u = x₁ - x₂, twice, and takes it off again.

    Once as max(0, u) - max(0, -u), which has its kink at u = 0, and once as the same of u + offset, less the offset.
    At u = 0 the derivative of the first is taken to be 0 by PyTorch, that of the second is 1.

    Args:
        slope: of the third input.
        bias: inside tanh.
        scale: of the output.
        offset: of the second kink.

    Example:
        >>> net = with_detour(1.0, 0.0, 2.0, 5.0)
        >>> x = torch.tensor([[4.0, -1.0, 0.5]], dtype=torch.float64)
        >>> assert abs(net(x).item() - 2 * torch.tensor(0.5, dtype=torch.float64).tanh()) < 1e-12
    """
    far = 50.0  # the third input passes where its unit has no kink
    u, third = [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]
    back = [-1.0, 1.0, 0.0]
    first = linear(_double([u, back, u, back, third]), _double([0.0, 0.0, offset, -offset, far]))
    inner = linear(_double([[1.0, -1.0, -1.0, 1.0, slope]]), _double([offset + bias - far * slope]))
    last = linear(_double([[scale]]), _double([0.0]))
    return nn.Sequential(first, nn.ReLU(), inner, nn.Tanh(), last)


def _double(numbers: list) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
