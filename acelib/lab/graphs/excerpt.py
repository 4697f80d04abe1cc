"""A small excerpt of MNIST that ships with the book, so that chapter 10 shows the digits that its network learnt from.

The first 110 images of each digit in the training part, the first 100 in the test part, and the first ten test images
that the shipped LeNet misreads, as bytes in a compressed file. ``python -m acelib.lab.graphs.excerpt`` writes it anew.
MNIST (Y. LeCun, C. Cortes, C. J. C. Burges) is usually given as CC BY-SA 3.0; the excerpt is shared on the same terms.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acelib.lab import home
from acelib.lab.datasets import Dataset, load_mnist
from acelib.lab.datasets.registry import DataError
from acelib.lab.graphs.lenet import enlarge, load_lenet

FILE = "mnist-excerpt.npz"
IMAGES = {"train": 110, "test": 100}  # of each digit
MISREAD = 10


def load_excerpt(
    *,
    path: str | Path | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Dataset, Dataset]:
    """Return training and test part of the excerpt at 32×32, 1,100 and 1,000 images in [0, 1], digit by digit.

    Args:
        path: the file; default the one that ships with the book.
        device: where the images are put; default: the CPU.
        dtype: dtype of the images.

    Raises:
        DataError: if the file is missing.

    Example:
        >>> learn, unseen = load_excerpt()
        >>> assert learn.X.shape == (1100, 1, 32, 32) and unseen.y.bincount().tolist() == [100] * 10
    """
    content = _read(path)
    names = tuple(f"r{r}c{c}" for r in range(32) for c in range(32))
    digits = tuple(str(d) for d in range(10))
    found = []
    for part in IMAGES:
        X = enlarge(content[part].to(dtype) / 255).to(device)
        y = torch.arange(10).repeat_interleave(len(X) // 10).to(device)
        found.append(Dataset(f"MNIST, excerpt of {part}", X, y, names, digits, source="excerpt of MNIST"))
    return found[0], found[1]


def load_misread(
    *, path: str | Path | None = None, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return ten test images that the shipped LeNet misreads, ``(10, 1, 32, 32)``, and what they are ``(10,)``.

    Args:
        path: the file; default the one that ships with the book.
        device: where they are put; default: the CPU.
        dtype: dtype of the images.

    Raises:
        DataError: if the file is missing.

    Example:
        >>> images, labels = load_misread()
        >>> assert images.shape == (10, 1, 32, 32) and labels.shape == (10,)
    """
    content = _read(path)
    return enlarge(content["misread"].to(dtype) / 255).to(device), content["labels"].long().to(device)


def write_excerpt(path: str | Path | None = None, *, data: tuple[Dataset, Dataset] | None = None) -> Path:
    """Write the excerpt and return its path.

    Args:
        path: where to; default ``data/checkpoints``.
        data: training and test part with X ``(n, 28, 28)`` in [0, 1]; default MNIST, through the download registry.

    Raises:
        DataError: if MNIST cannot be had.
        ValueError: if a digit has too few images.
    """
    target = home.data_dir() / "checkpoints" / FILE if path is None else Path(path)
    parts = {}
    both = data or (load_mnist("train"), load_mnist("test"))
    for part, whole in zip(IMAGES, both, strict=True):
        rows = torch.cat([(whole.y == digit).nonzero()[: IMAGES[part], 0] for digit in range(10)])
        if len(rows) < 10 * IMAGES[part]:
            raise ValueError(f"data must hold {IMAGES[part]} images of each digit in its {part} part, got fewer")
        parts[part] = _bytes(whole.X[rows])
    X, y = both[1].X.float().cpu(), both[1].y.cpu()
    with torch.no_grad():
        wrong = (load_lenet().model(enlarge(X)).argmax(1) != y).nonzero()[:MISREAD, 0]
    parts |= {"misread": _bytes(X[wrong]), "labels": y[wrong].to(torch.uint8).numpy()}

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **parts)

    home.write_whole(target, write)
    return target


def _bytes(X: Tensor) -> np.ndarray:
    return (X * 255).round().to(torch.uint8).cpu().numpy()


def _read(path: str | Path | None) -> dict[str, Tensor]:
    path = home.data_file("checkpoints", FILE) if path is None else Path(path)
    if not path.is_file():
        raise DataError(f"{path} is missing; restore it, or make it again by `python -m acelib.lab.graphs.excerpt`")
    with np.load(path, allow_pickle=False) as content:
        return {name: torch.from_numpy(content[name]) for name in content.files}


if __name__ == "__main__":
    try:
        print(write_excerpt())
    except DataError as error:
        sys.exit(str(error))
