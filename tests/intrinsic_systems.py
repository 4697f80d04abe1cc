"""Systems whose intrinsic contributions are known by quadrature, shared by tests."""

import math

import torch

from acelib.intrinsic import StructuralModel

TRIANGLE = {"P": [], "Q": ["P"], "R": ["P", "Q"]}
S = math.sqrt(0.1)
GOLDEN = {  # by quadrature, shares of Var(f) = 0.419779
    "first": [0.591174, 0.250928, 0.047644],
    "topological": [0.591174, 0.265894, 0.142932],
    "shapley": [0.598657, 0.306055, 0.095288],
    "total": [0.606140, 0.361182, 0.142932],
}


def synthetic():
    """P ~ U(0,1), Q = 2P + √0.1 e, R = 2P − Q + √0.1 e."""
    functions = {"Q": lambda P, n: 2 * P + S * n, "R": lambda P, Q, n: 2 * P - Q + S * n}
    return StructuralModel(TRIANGLE, functions, {"P": "uniform"})


def outcome(x):
    """f = R² + exp(Q/2)."""
    return (x[:, 2] ** 2 + torch.exp(x[:, 1] / 2))[:, None]
