"""A network as one line of algebra, so that a witness can be read."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

FORMS = {nn.ReLU: "max(0, {})", nn.Tanh: "tanh({})"}


def formula(net: nn.Sequential, names: Sequence[str] = ("x₁", "x₂", "x₃"), *, digits: int = 2) -> str:
    """Return the first output of linear layers and activations as a formula in the inputs.

    Args:
        net: linear layers, ``ReLU`` and ``Tanh``.
        names: of the inputs, at least as many as there are.
        digits: decimals of its numbers; numbers that are zero to these are left out.

    Raises:
        TypeError: for another layer.

    Example:
        >>> import torch
        >>> from acelib.lab.axioms.rewriting import linear
        >>> first = linear(torch.tensor([[1.0, -0.5], [0.0, 2.0]]), torch.tensor([0.0, 1.0]))
        >>> net = nn.Sequential(first, nn.ReLU(), linear(torch.tensor([[1.0, -1.0]]), torch.zeros(1)))
        >>> formula(net)
        'max(0, x₁ − 0.5 x₂) − max(0, 2 x₂ + 1)'
    """
    terms = list(names)
    for layer in net:
        if isinstance(layer, nn.Linear):
            rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            terms = [_sum(weights, terms, bias, digits) for weights, bias in rows]
        elif type(layer) in FORMS:
            terms = [FORMS[type(layer)].format(term) for term in terms]
        else:
            raise TypeError(f"net must be of linear layers, ReLU and Tanh, got {type(layer).__name__}")
    return terms[0]


def _sum(weights: Sequence[float], terms: Sequence[str], bias: float, digits: int) -> str:
    """Return weights times terms plus a bias as text, without what is zero."""
    text = ""
    for weight, term in [*zip(weights, terms, strict=False), (bias, "")]:
        size = f"{abs(weight):.{digits}f}".rstrip("0").rstrip(".")
        if size in ("0", ""):
            continue
        sign = "−" if weight < 0 else "+"
        sign = f" {sign} " if text else sign.replace("+", "")
        whole = term if " + " not in term and " − " not in term or term.endswith(")") else f"({term})"
        text += sign + (size if not term else whole if size == "1" else f"{size} {whole}")
    return text or "0"
