"""Real data sets as tensors that keep their names and their original units.

Iris, the 8×8 digits and the breast-cancer measurements come with scikit-learn and need no network. MNIST and CIFAR-10
come through the download registry. Every set is a ``Dataset``: inputs X in float64, min-max scaled where stated by
x = (raw − low) / (high − low), and integer classes y.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acelib._optional import optional
from acelib.lab.datasets import registry
from acelib.lab.datasets.dashlink import load_dashlink as load_dashlink  # re-exported
from acelib.lab.datasets.registry import DataError

_IDX_UBYTE = 0x08
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR_ROW = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and classes of one data set, with what is needed to read them.

    Attributes:
        name: name of the data set, and of the part of it.
        X: inputs ``(n, …)``.
        y: classes ``(n,)``, integers that index ``target_names``.
        feature_names: one name per flattened coordinate of X, units in brackets where X is in units.
        target_names: one name per class.
        low: value of 0 in original units, one per coordinate; None where X is not scaled.
        high: value of 1 in original units.
        source: where the data come from.
    """

    name: str
    X: Tensor
    y: Tensor
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    low: Tensor | None = None
    high: Tensor | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.X) != len(self.y):
            raise ValueError(f"y must hold one class per row of X, got {len(self.y)} for {len(self.X)}")

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        counts = torch.bincount(self.y, minlength=len(self.target_names)).tolist()
        classes = ", ".join(f"{name} {count}" for name, count in zip(self.target_names, counts, strict=True))
        return f"Dataset({self.name}: X {tuple(self.X.shape)}, {len(self.target_names)} classes: {classes})"

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the sha256 of X and y: the data hash that provenance lines show."""
        return fingerprint(self.X, self.y)

    def unscale(self, X: Tensor) -> Tensor:
        """Return X ``(…, shape of a row)`` in original units, low + x (high − low); unchanged if it is not scaled."""
        if self.low is None:
            return X
        return self.low.to(X) + X * (self.high - self.low).to(X)

    def scale(self, raw: Tensor) -> Tensor:
        """Return inputs in original units ``(…, shape of a row)`` on the scale of X: the inverse of ``unscale``."""
        if self.low is None:
            return raw
        return (raw - self.low.to(raw)) / (self.high - self.low).to(raw)

    def subset(self, rows: Tensor, *, name: str | None = None) -> Dataset:
        """Return the data set of the given rows, an index or boolean tensor; names and units stay."""
        return dataclasses.replace(self, X=self.X[rows], y=self.y[rows], name=name or self.name)

    def to(self, device: torch.device | str | None) -> Dataset:
        """Return the same data with X and y on a device; None leaves them where they are."""
        return self if device is None else dataclasses.replace(self, X=self.X.to(device), y=self.y.to(device))

    def flatten(self) -> Dataset:
        """Return the same data with X as ``(n, features)``, for networks that take vectors."""
        low, high = (None, None) if self.low is None else (self.low.flatten(), self.high.flatten())
        return dataclasses.replace(self, X=self.X.flatten(1), low=low, high=high)


def fingerprint(*tensors: Tensor) -> str:
    """Return the first 16 hexadecimal digits of the sha256 over shapes, dtypes and bytes of the tensors, in order.

    Example:
        >>> import torch
        >>> assert fingerprint(torch.zeros(2)) != fingerprint(torch.zeros(1, 2))
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


def load_iris(*, scaled: bool = True, device: torch.device | str | None = None) -> Dataset:
    """Return Iris: X ``(150, 4)`` float64, sepals and petals of three species, min-max scaled to [0, 1] by default.

    Args:
        scaled: whether X is scaled; ``unscale`` gives back centimetres.
        device: where X and y are put; default: the CPU.

    References:
        R. A. Fisher, The use of multiple measurements in taxonomic problems, 1936; the copy in scikit-learn.

    Example:
        >>> from acelib.lab.datasets import load_iris
        >>> iris = load_iris()
        >>> assert iris.X.shape == (150, 4) and iris.X.max() == 1 and iris.unscale(iris.X).max() == 7.9
    """
    bunch = optional("sklearn.datasets", "the Iris table").load_iris()
    unit = "" if scaled else " [cm]"  # scaled lengths run from 0 to 1 and are no centimetres
    names = tuple(name.replace(" (cm)", unit) for name in bunch.feature_names)
    return _table("iris", bunch, names, scaled).to(device)


def load_breast_cancer(*, scaled: bool = True, device: torch.device | str | None = None) -> Dataset:
    """Return Breast cancer Wisconsin (diagnostic): X ``(569, 30)`` float64, scaled to [0, 1] by default; two classes.

    Args:
        scaled: whether X is min-max scaled.
        device: where X and y are put; default: the CPU.

    References:
        W. N. Street, W. H. Wolberg, O. L. Mangasarian, Nuclear feature extraction for breast tumor diagnosis, 1993.

    Example:
        >>> from acelib.lab.datasets import load_breast_cancer
        >>> assert load_breast_cancer().X.shape == (569, 30)
    """
    bunch = optional("sklearn.datasets", "the breast cancer table").load_breast_cancer()
    return _table("breast cancer", bunch, tuple(map(str, bunch.feature_names)), scaled).to(device)


def load_digits8(*, device: torch.device | str | None = None) -> Dataset:
    """Return handwritten digits of 8×8 pixels: X ``(1797, 8, 8)`` float64 in [0, 1] (raw counts 0 to 16), y the digit.

    Args:
        device: where X and y are put; default: the CPU.

    References:
        E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI repository, 1998; scikit-learn's copy.

    Example:
        >>> from acelib.lab.datasets import load_digits8
        >>> assert load_digits8().flatten().X.shape == (1797, 64)
    """
    bunch = optional("sklearn.datasets", "the set of small digits").load_digits()
    return Dataset(
        name="digits 8×8",
        X=torch.from_numpy(bunch.images.astype(np.float64)) / 16,
        y=torch.from_numpy(bunch.target.astype(np.int64)),
        feature_names=_pixels(8, 8),
        target_names=tuple(map(str, range(10))),
        low=torch.zeros(8, 8, dtype=torch.float64),
        high=torch.full((8, 8), 16.0, dtype=torch.float64),
        source="scikit-learn, load_digits",
    ).to(device)


def load_mnist(
    split: str,
    *,
    dtype: torch.dtype = torch.float64,
    cache: str | Path | None = None,
    device: torch.device | str | None = None,
) -> Dataset:
    """Return MNIST: X ``(60000, 28, 28)`` for "train" or ``(10000, 28, 28)`` for "test", in [0, 1]; y the digit.

    Args:
        split: ``"train"`` or ``"test"``.
        dtype: dtype of X; float64 takes 376 MB for the training part, float32 half of it.
        cache: folder for downloads; default: the user's cache folder.
        device: where X and y are put; default: the CPU.

    Raises:
        ValueError: for another split.
        DataError: if a file cannot be had or is not what it should be.
    """
    prefix = {"train": "train", "test": "t10k"}[_check_split(split)]
    images = read_idx(registry.fetch(f"mnist/{prefix}-images-idx3-ubyte.gz", cache=cache), dimensions=3)
    labels = read_idx(registry.fetch(f"mnist/{prefix}-labels-idx1-ubyte.gz", cache=cache), dimensions=1)
    return Dataset(
        name=f"MNIST {split}",
        X=torch.from_numpy(images).to(dtype) / 255,
        y=torch.from_numpy(labels).long(),
        feature_names=_pixels(28, 28),
        target_names=tuple(map(str, range(10))),
        low=torch.zeros(28, 28, dtype=dtype),
        high=torch.full((28, 28), 255.0, dtype=dtype),
        source=registry.entry("mnist/train-images-idx3-ubyte.gz")["source"],
    ).to(device)


def load_cifar10(
    split: str,
    *,
    partial: bool = False,
    dtype: torch.dtype = torch.float64,
    cache: str | Path | None = None,
    device: torch.device | str | None = None,
) -> Dataset:
    """Return CIFAR-10: X ``(50000, 3, 32, 32)`` for "train" or ``(10000, 3, 32, 32)`` for "test", in [0, 1].

    Args:
        split: ``"train"`` or ``"test"``.
        partial: whether to take the first training batch (10,000 images) or the first 1,000 test images
            only, for short runs: a fifth and a tenth of the data.
        dtype: dtype of X; float64 takes 1.2 GB for the training part, float32 half of it.
        cache: folder for downloads; default: the user's cache folder.
        device: where X and y are put; default: the CPU.

    Raises:
        ValueError: for another split.
        DataError: if a file cannot be had or is not what it should be.
    """
    if _check_split(split) == "train":
        files = [f"data_batch_{i}.bin" for i in range(1, 2 if partial else 6)]
    else:
        files = ["test_batch_first1000.bin" if partial else "test_batch.bin"]
    parts = [read_cifar(registry.fetch(f"cifar10/{file}", cache=cache)) for file in files]
    return Dataset(
        name=f"CIFAR-10 {split}" + (" (partial)" if partial else ""),
        X=torch.cat([torch.from_numpy(images) for images, _ in parts]).to(dtype) / 255,
        y=torch.cat([torch.from_numpy(labels) for _, labels in parts]).long(),
        feature_names=tuple(f"{c} {p}" for c in ("red", "green", "blue") for p in _pixels(32, 32)),
        target_names=_CIFAR_CLASSES,
        low=torch.zeros(3, 32, 32, dtype=dtype),
        high=torch.full((3, 32, 32), 255.0, dtype=dtype),
        source=registry.entry("cifar10/data_batch_1.bin")["source"],
    ).to(device)


def read_idx(path: str | Path, *, dimensions: int) -> np.ndarray:
    """Return the bytes in a gzipped idx file as an uint8 array of the shape that its header states.

    Args:
        path: the ``.gz`` file: two zero bytes, the type, the number of dimensions, the sizes (big-endian), the bytes.
        dimensions: number of dimensions: 3 for images, 1 for labels.

    Raises:
        DataError: if it is no gzip file, or has another magic number or number of bytes than its header states.
    """
    try:
        content = gzip.decompress(Path(path).read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} must be a complete gzip file, got {error}; delete it and fetch it again") from None
    magic, header = _IDX_UBYTE << 8 | dimensions, 4 + 4 * dimensions
    got = int.from_bytes(content[:4], "big") if len(content) >= 4 else None
    if got != magic:
        raise DataError(f"{path} must have magic number {magic} (bytes in {dimensions} dimensions), got {got}")
    if len(content) < header:
        raise DataError(f"{path} must have a header of {header} bytes, got {len(content)} in all")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    count = int(np.prod(shape, dtype=object))
    if len(content) - header != count:
        raise DataError(f"{path} must hold {count} bytes after its header, for {shape}, got {len(content) - header}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def read_cifar(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images ``(n, 3, 32, 32)`` and labels ``(n,)``, both uint8, of a CIFAR-10 batch in its binary version.

    Args:
        path: a file of rows of 3073 bytes: the label, then the three colour planes.

    Raises:
        DataError: for no whole number of rows, or a label above 9.
    """
    content = np.fromfile(path, np.uint8)
    if content.size == 0 or content.size % _CIFAR_ROW:
        raise DataError(f"{path} must have a positive multiple of {_CIFAR_ROW} bytes, got {content.size}")
    rows = content.reshape(-1, _CIFAR_ROW)
    if rows[:, 0].max() > 9:
        raise DataError(f"{path} must hold labels from 0 to 9, as a CIFAR-10 batch does, got {rows[:, 0].max()}")
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


def train_test_split(
    dataset: Dataset, test: int | float = 30, *, seed: int = 1, stratified: bool = False
) -> tuple[Dataset, Dataset]:
    """Return the rows of a data set in two parts, (training, test), drawn by the seed alone.

    Args:
        dataset: the data set.
        test: size of the test part: a number of rows, or a share between 0 and 1.
        seed: seed of the draw.
        stratified: whether every class gives its share of the test part, to the nearest row.

    Raises:
        ValueError: if ``test`` leaves one of the parts empty.

    Example:
        >>> from acelib.lab.datasets import load_iris, train_test_split
        >>> train, test = train_test_split(load_iris(), 30, seed=1, stratified=True)
        >>> assert len(train) == 120 and test.y.bincount().tolist() == [10, 10, 10]
    """
    n = len(dataset)
    count = round(test * n) if isinstance(test, float) else int(test)
    if not 0 < count < n:
        raise ValueError(f"test must leave rows in both parts (1 to {n - 1} of {n}), got {test}, that is {count} rows")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    if stratified:
        order = order[_shares_first(dataset.y.cpu()[order], count)]
    held, kept = order[:count], order[count:]
    return dataset.subset(kept, name=f"{dataset.name}, training"), dataset.subset(held, name=f"{dataset.name}, test")


def _shares_first(y: Tensor, count: int) -> Tensor:
    """Return an order ``(n,)`` whose first ``count`` rows hold every class in its share, by largest remainders."""
    sizes = torch.bincount(y)
    exact = sizes.double() * count / len(y)
    quota = exact.floor().long()
    quota[torch.argsort(exact - quota, descending=True, stable=True)[: count - int(quota.sum())]] += 1
    one_hot = torch.nn.functional.one_hot(y, len(sizes))
    rank = (one_hot.cumsum(0) * one_hot).sum(1) - 1  # how many rows of its class stand before each row
    return torch.argsort((rank >= quota[y]).long(), stable=True)


def _check_split(split: str) -> str:
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    return split


def _table(name: str, bunch: dict, feature_names: tuple[str, ...], scaled: bool) -> Dataset:
    raw = torch.from_numpy(np.ascontiguousarray(bunch["data"], np.float64))
    low, high = raw.amin(0), raw.amax(0)
    return Dataset(
        name=name,
        X=(raw - low) / (high - low) if scaled else raw,
        y=torch.from_numpy(bunch["target"].astype(np.int64)),
        feature_names=feature_names,
        target_names=tuple(map(str, bunch["target_names"])),
        low=low if scaled else None,
        high=high if scaled else None,
        source=f"scikit-learn, {name}",
    )


def _pixels(height: int, width: int) -> tuple[str, ...]:
    return tuple(f"r{r}c{c}" for r in range(height) for c in range(width))
