"""Explainers by class maps of explanatory graphs, with what Eq. 3 leaves open about their sign and unit.

Equation 3 has a sign. The caption of the paper's Fig. 5 speaks of probabilities, and its released code makes every
filter's response a distribution over pixels. All have the signature of ``explainers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acelib.lab.graphs.explainers import Explainer
from acelib.paths.graph import ExplanatoryGraph
from acelib.paths.maps import class_map, node_maps

SIGNS: dict[str, Callable[[Tensor], Tensor]] = {
    "kept": lambda maps: maps,
    "positive": lambda maps: maps.clamp_min(0),
    "dropped": torch.abs,
}


def causal_graph(
    graphs: Mapping[int, ExplanatoryGraph], *, layer: str | None = None, aggregate: str = "mean", sign: str = "kept"
) -> Explainer:
    """Return an explainer by class maps of explanatory graphs: what necessary nodes of a convolution receive.

    Args:
        graphs: graph of each class that is explained, by class.
        layer: name of a convolution; default the one nearest to the output that has necessary nodes.
        aggregate: ``"mean"``, ``"effect"`` or ``"max"`` over the nodes, see ``acelib.paths.class_map``.
        sign: ``"kept"`` as Eq. 3 has it; ``"positive"``, negative values are set to 0 at the end, as the network's own
            ReLU does node by node; ``"dropped"``, absolute values.

    Raises:
        ValueError: for another sign.

    References:
        Ahmad et al. 2023, Eq. 3.

    Example:
        >>> from acelib.paths import explanatory_graph
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
        >>> _ = [nn.init.constant_(p, 0.1) for p in net.parameters()]
        >>> x = torch.rand(30, 1, 4, 4)
        >>> maps = causal_graph({0: explanatory_graph(net, x, 0)})(net, x[:2], torch.tensor([0, 0]))
        >>> assert maps.shape == (2, 1, 4, 4)
    """

    if sign not in SIGNS:
        raise ValueError(f"sign must be one of {', '.join(SIGNS)}, got {sign!r}")

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = torch.empty_like(inputs[:, :1])
        for target in targets.unique().tolist():
            if target not in graphs:
                raise ValueError(f"graphs must hold a graph of class {target}, got only {sorted(graphs)}")
            chosen = targets == target
            options = dict(layer=layer, aggregate=aggregate, normalise=None)
            found = class_map(model, inputs[chosen], graphs[target], **options)[:, None].to(maps)
            maps[chosen] = SIGNS[sign](found)
        return maps

    return explain


def causal_probabilities(
    graphs: Mapping[int, ExplanatoryGraph], *, layer: str | None = None, nodes: Sequence[int] | None = None
) -> Explainer:
    """Return an explainer by class maps whose every filter is made a distribution over pixels first.

    What a necessary node receives from one necessary parent goes through a softmax over the pixels; these distributions
    are averaged over parents and nodes. The map is positive and sums to about 1 before it is enlarged. The caption of
    the paper's Fig. 5 says that maps reflect pixel-wise probabilities; the softmax is that of its released code, which
    convolves with the mirrored filter in a wider frame, where this takes the response that the network has.

    Args:
        graphs: graph of each class that is explained, by class.
        layer: name of a convolution; default the one nearest to the output that has necessary nodes.
        nodes: its maps that are averaged; those of the graph where None.

    References:
        Ahmad et al. 2023, Eq. 3 and Fig. 5.

    Example:
        >>> from acelib.paths import explanatory_graph
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
        >>> _ = [nn.init.constant_(p, 0.1) for p in net.parameters()]
        >>> x = torch.rand(30, 1, 4, 4)
        >>> maps = causal_probabilities({0: explanatory_graph(net, x, 0)})(net, x[:2], torch.tensor([0, 0]))
        >>> assert maps.shape == (2, 1, 4, 4) and maps.min() > 0
    """

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = torch.empty_like(inputs[:, :1])
        for target in targets.unique().tolist():
            chosen = targets == target
            options = dict(nodes=nodes, reduction=None, upsample=False, normalise=None)
            found = node_maps(model, inputs[chosen], graphs[target], layer, **options).maps
            shares = found.flatten(3).softmax(3).reshape(found.shape).mean((1, 2))[:, None]
            size = list(inputs.shape[2:])
            maps[chosen] = F.interpolate(shares, size=size, mode="bilinear", align_corners=False).to(maps)
        return maps

    return explain
