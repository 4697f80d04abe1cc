"""The methods as chapter 5 defines them, read from the chapter, and literal ones in double precision beside them."""

from __future__ import annotations

import itertools
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acelib.lab.axioms import Method

CHAPTER = Path(__file__).resolve().parents[3] / "book/05-axioms.ipynb"


@cache
def chapter_names() -> dict[str, Any]:
    """What the chapter's cells with the tag ``methods`` define."""
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if "methods" in cell["metadata"].get("tags", []):
            exec("".join(cell["source"]), names)
    return names


def chapter_methods() -> dict[str, Method]:
    return chapter_names()["methods"]


def zero(rows):
    return torch.zeros_like(rows[0])


def mean(rows):
    return rows.mean(0)


def corner(rows):
    return rows.amin(0)


def integrated(baseline, steps=50):
    """Integrated gradients by a Gauss sum, point by point, in double precision."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)

    def attribute(net, x, rows):
        start, total = baseline(rows), torch.zeros_like(x)
        for node, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
            point = (start + node * (x - start)).requires_grad_()
            total += weight * torch.autograd.grad(net(point)[:, 0].sum(), point)[0]
        return (x - start) * total

    return Method(attribute, baseline)


def taken_away(net, x, rows):
    """Occlusion by zero, one input after the other."""
    credits = torch.zeros_like(x)
    for feature in range(x.shape[1]):
        without = x.clone()
        without[:, feature] = 0
        credits[:, feature] = (net(x) - net(without))[:, 0].detach()
    return credits


def all_orders(net, x, rows):
    """Shapley values from zero, over all orders of the inputs."""
    credits, features = torch.zeros_like(x), range(x.shape[1])
    for order in itertools.permutations(features):
        point, before = torch.zeros_like(x), net(torch.zeros_like(x))[:, 0].detach()
        for feature in order:
            point[:, feature] = x[:, feature]
            after = net(point)[:, 0].detach()
            credits[:, feature] += (after - before) / math.factorial(len(features))
            before = after
    return credits


def relevance(net, x, rows):
    """LRP by the simple rule: slope of a linear layer, output over input of a unit, times x; no stabiliser."""
    slopes, values = [], x
    for layer in net:
        after = layer(values).detach()
        if isinstance(layer, torch.nn.Linear):
            slopes.append(layer.weight.detach().expand(len(x), -1, -1))
        else:
            slopes.append(torch.diag_embed(torch.where(values == 0, 0, after / values)))
        values = after
    whole = slopes[0]
    for slope in slopes[1:]:
        whole = slope @ whole
    return x * whole[:, 0]


LITERAL = {
    "LRP": Method(relevance),
    "IG, zero": integrated(zero),
    "IG, mean": integrated(mean),
    "IG, corner": integrated(corner),
    "occlusion": Method(taken_away, zero),
}
"""What Captum computes partly in single precision, in double precision. Shapley sampling becomes all orders."""
