"""Links: what is applied to a network's outputs before they are averaged, such as the softmax of a classifier.

An average of probabilities is another quantity than the probabilities of average logits, so the link comes first and
the average after it (Chattopadhyay et al., 2019, Eq. 2). A network that ends in its link would hide it; named apart,
the link can stay exact while the network before it is linearised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from .._models import Model

Link = Callable[[Tensor], Tensor]


def softmax(outputs: Tensor) -> Tensor:
    """Return the probabilities ``(batch, outputs)`` of logits."""
    return outputs.softmax(-1)


LINKS: dict[str, Link] = {"softmax": softmax, "sigmoid": torch.sigmoid}


def as_link(link: Any) -> Link | None:
    """Return the function of a link, or None.

    Args:
        link: None, "softmax", "sigmoid", or a torch callable ``(batch, outputs) -> (batch, explained)``, row by row.

    Raises:
        ValueError: for another name.
        TypeError: for what is neither.

    Example:
        >>> assert as_link("sigmoid")(torch.zeros(1, 2)).tolist() == [[0.5, 0.5]] and as_link(None) is None
    """
    if isinstance(link, str) and link not in LINKS:
        raise ValueError(f"link must be one of {', '.join(LINKS)}, or a function of the outputs, got {link!r}")
    if link is not None and not isinstance(link, str) and not callable(link):
        raise TypeError(f"link must be a name or a function of the outputs, got {type(link).__name__}")
    return LINKS[link] if isinstance(link, str) else cast("Link | None", link)


def applied(link: Link | None, outputs: Tensor) -> Tensor:
    """Return the link of outputs whose second dimension is theirs, ``(S, outputs, ...) -> (S, explained, ...)``.

    Along that dimension a softmax is many times faster than along the last one, which a function of the user gets.

    Example:
        >>> z = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
        >>> assert torch.equal(applied(softmax, z), applied(lambda a: a.softmax(-1), z))
    """
    if link is None:
        return outputs
    if link is softmax:
        return outputs.softmax(1)
    if link is torch.sigmoid:
        return outputs.sigmoid()
    last = outputs.movedim(1, -1)
    return link(last.reshape(-1, last.shape[-1])).reshape(*last.shape[:-1], -1).movedim(-1, 1)


@dataclass(frozen=True)
class Linked:
    """A network with a link after it.

    Attributes:
        model: the network.
        link: the function of its outputs.
    """

    model: Model
    link: Link

    def __call__(self, x: Tensor) -> Tensor:
        return self.link(self.model(x))
