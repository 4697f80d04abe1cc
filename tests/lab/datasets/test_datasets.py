"""Data sets against scikit-learn's raw arrays, hand-made files in the original formats, and the real files."""

import gzip
import hashlib
import json
import struct

import numpy as np
import pytest
import sklearn.datasets
import torch
from helpers import real

from acelib.lab.datasets import (
    Dataset,
    fingerprint,
    load_breast_cancer,
    load_cifar10,
    load_digits8,
    load_iris,
    load_mnist,
    read_cifar,
    read_idx,
    train_test_split,
)
from acelib.lab.datasets.registry import DataError


@pytest.mark.parametrize(("load", "raw"), [("iris", "load_iris"), ("cancer", "load_breast_cancer")])
def test_tables_are_min_max_scaled(load, raw):
    """Against numpy on the raw table: (x - min) / (max - min), exactly; unscale and scale are inverse to 1e-12."""
    load = {"iris": load_iris, "cancer": load_breast_cancer}[load]
    bunch = getattr(sklearn.datasets, raw)()
    data, table = load(), bunch.data
    expected = (table - table.min(0)) / (table.max(0) - table.min(0))
    assert data.X.dtype == torch.float64 and data.y.dtype == torch.long
    assert np.array_equal(data.X.numpy(), expected) and np.array_equal(data.y.numpy(), bunch.target)
    assert np.abs(data.unscale(data.X).numpy() - table).max() < 1e-12 * table.max()
    assert (data.scale(data.unscale(data.X)) - data.X).abs().max() < 1e-12
    assert len(data.feature_names) == table.shape[1] and len(data) == len(table)
    plain = load(scaled=False)
    assert np.array_equal(plain.X.numpy(), table)
    assert plain.unscale(plain.X) is plain.X and plain.scale(plain.X) is plain.X


def test_iris_names_carry_units():
    """Names and classes as a figure shows them, the classes counted in the repr."""
    iris = load_iris()
    lengths = ("sepal length", "sepal width", "petal length", "petal width")
    assert iris.feature_names == lengths
    assert load_iris(scaled=False).feature_names == tuple(f"{name} [cm]" for name in lengths)
    assert iris.target_names == ("setosa", "versicolor", "virginica")
    assert repr(iris) == "Dataset(iris: X (150, 4), 3 classes: setosa 50, versicolor 50, virginica 50)"


def test_digits():
    """Against scikit-learn's images: counts 0 to 16 divided by 16; flat and square forms agree."""
    digits, bunch = load_digits8(), sklearn.datasets.load_digits()
    assert np.array_equal(digits.X.numpy() * 16, bunch.images)
    flat = digits.flatten()
    assert np.array_equal(flat.X.numpy() * 16, bunch.data) and flat.low.shape == (64,)
    assert torch.equal(flat.unscale(flat.X), flat.X * 16)
    assert digits.feature_names[:2] == ("r0c0", "r0c1") and len(digits.feature_names) == 64
    assert load_iris(scaled=False).flatten().low is None


def test_rows_and_classes_must_agree():
    """A data set with a missing class is refused."""
    with pytest.raises(ValueError, match="one class per row of X, got 2 for 3"):
        Dataset("bad", torch.zeros(3, 1), torch.zeros(2, dtype=torch.long), ("a",), ("b",))


def test_fingerprint():
    """The hash is that of bytes, dtype and shape, the same however the memory is laid out."""
    x = torch.arange(6.0).view(2, 3)
    assert fingerprint(x) == fingerprint(x.T.contiguous().T)
    assert len({fingerprint(t) for t in (x, x + 1, x.double(), x.view(3, 2), x.T)}) == 5
    assert load_iris().fingerprint == load_iris().fingerprint != load_digits8().fingerprint


@pytest.mark.parametrize("stratified", [False, True])
def test_split_is_a_seeded_partition(stratified):
    """Every row is in one part, once; the seed alone decides; seed 0 is a seed of its own."""
    iris = load_iris()
    tagged = iris.subset(torch.arange(150))
    tagged.X[:, 0] = torch.arange(150.0)
    train, test = train_test_split(tagged, 30, seed=1, stratified=stratified)
    assert (len(train), len(test)) == (120, 30)
    assert sorted(torch.cat([train.X[:, 0], test.X[:, 0]]).tolist()) == list(range(150))
    assert torch.equal(train.y, iris.y[train.X[:, 0].long()])
    again = train_test_split(tagged, 30, seed=1, stratified=stratified)[1]
    others = [train_test_split(tagged, 30, seed=s, stratified=stratified)[1] for s in (0, 2)]
    assert torch.equal(test.X, again.X)
    assert not any(torch.equal(test.X, other.X) for other in others)
    assert test.name == "iris, test" and train.feature_names == iris.feature_names


def test_stratified_split_keeps_shares():
    """Quotas by hand: 60/30/10 rows and 7 test rows give 4.2/2.1/0.7, largest remainders 4/2/1."""
    y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    data = Dataset("t", torch.zeros(100, 1), y, ("a",), ("p", "q", "r"))
    _, test = train_test_split(data, 7, seed=0, stratified=True)
    assert torch.bincount(test.y).tolist() == [4, 2, 1]
    _, test = train_test_split(load_iris(), 0.2, seed=3, stratified=True)
    assert torch.bincount(test.y).tolist() == [10, 10, 10]


@pytest.mark.parametrize("test", [0, 150, 1.0, -3, 200])
def test_split_leaves_no_part_empty(test):
    """A part without rows is refused."""
    with pytest.raises(ValueError, match=rf"test must leave rows in both parts \(1 to 149 of 150\), got {test}"):
        train_test_split(load_iris(), test)


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_round_trip(tmp_path):
    """A file written by the format's description is read back exactly."""
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a.gz").write_bytes(gzip.compress(_idx(array)))
    assert np.array_equal(read_idx(tmp_path / "a.gz", dimensions=3), array)


def test_idx_errors(tmp_path):
    """Not gzip, cut gzip, damaged gzip, wrong magic number, cut header, too few and too many bytes."""
    whole = _idx(np.zeros((2, 3, 4), np.uint8))
    packed = gzip.compress(_idx(np.random.default_rng(0).integers(0, 256, (2, 30, 40), np.uint8)))
    cases = [
        (whole, 3, "must be a complete gzip file"),
        (packed[:-300], 3, "must be a complete gzip file"),
        (packed[:12] + b"\xff" * 8 + packed[20:], 3, "must be a complete gzip file"),
        (gzip.compress(whole), 1, r"magic number 2049 .*, got 2051"),
        (gzip.compress(whole[:3]), 3, "magic number 2051 .*, got None"),
        (gzip.compress(whole[:10]), 3, "must have a header of 16 bytes, got 10"),
        (gzip.compress(whole[:-5]), 3, r"must hold 24 bytes after its header, for \(2, 3, 4\), got 19"),
        (gzip.compress(whole + b"x"), 3, "must hold 24 bytes .* got 25"),
    ]
    for content, dimensions, said in cases:
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(DataError, match=said):
            read_idx(tmp_path / "a.gz", dimensions=dimensions)


def test_cifar_batch(tmp_path):
    """Rows written by the format's description come back with channels first; damaged files are refused."""
    images = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), np.uint8)
    labels = np.array([7, 0, 9], np.uint8)
    content = b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True))
    path = tmp_path / "b.bin"
    path.write_bytes(content)
    got, classes = read_cifar(path)
    assert np.array_equal(got, images) and np.array_equal(classes, labels)
    for damaged, said in [
        (content[:-1], "a positive multiple of 3073 bytes, got 9218"),
        (b"", "3073 bytes, got 0"),
        (b"\x0a" + content[1:], "labels from 0 to 9, .* got 10"),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=said):
            read_cifar(path)


def test_loaders_on_small_files(tmp_path, monkeypatch):
    """A book with a registry of tiny files in the original formats: splits, file names, scaling, partial mode."""
    home, own = tmp_path / "book", tmp_path / "own"
    (home / "data").mkdir(parents=True)
    (home / "_toc.yml").write_text("")
    files = {}

    def put(name: str, content: bytes) -> None:
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(content)
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "urls": []}

    for prefix, n in (("train", 5), ("t10k", 2)):
        put(f"mnist/{prefix}-images-idx3-ubyte.gz", gzip.compress(_idx(np.full((n, 28, 28), 51, np.uint8))))
        put(f"mnist/{prefix}-labels-idx1-ubyte.gz", gzip.compress(_idx(np.arange(n, dtype=np.uint8))))
    batches = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin", "test_batch_first1000.bin"]
    for label, name in enumerate(batches):
        put(f"cifar10/{name}", bytes([label]) + b"\xff" * 3072)
    sets = {"mnist": {"source": "here"}, "cifar10": {"source": "there"}}
    (home / "data" / "registry.json").write_text(json.dumps({"format": 1, "sets": sets, "files": files}))
    monkeypatch.chdir(home)
    monkeypatch.setenv("ACELIB_DATA", str(own))
    mnist = load_mnist("train")
    assert mnist.X.shape == (5, 28, 28) and mnist.X.dtype == torch.float64 and mnist.y.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(mnist.X, torch.full((5, 28, 28), 0.2, dtype=torch.float64)) and mnist.source == "here"
    assert load_mnist("test", dtype=torch.float32).X.shape == (2, 28, 28)
    assert load_cifar10("train").y.tolist() == [0, 1, 2, 3, 4]
    assert load_cifar10("train", partial=True).y.tolist() == [0]
    assert load_cifar10("test").y.tolist() == [5]
    part = load_cifar10("test", partial=True, dtype=torch.float32)
    assert part.y.tolist() == [6] and part.X.shape == (1, 3, 32, 32) and part.name == "CIFAR-10 test (partial)"
    assert part.X.min() == 1 and len(part.feature_names) == 3072 and part.feature_names[1024] == "green r0c0"


@pytest.mark.parametrize("load", [load_mnist, load_cifar10])
def test_unknown_split(load):
    """A split that does not exist is refused before any file is looked for."""
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'valid'"):
        load("valid")


@real
def test_real_mnist():
    """The real files: published counts, the first label 5, and the mean 0.1307 of the training pixels."""
    train, test = load_mnist("train", dtype=torch.float32), load_mnist("test", dtype=torch.float32)
    assert train.X.shape == (60000, 28, 28) and test.X.shape == (10000, 28, 28)
    assert train.y[:5].tolist() == [5, 0, 4, 1, 9] and test.y[:3].tolist() == [7, 2, 1]
    assert abs(train.X.mean().item() - 0.1307) < 5e-5
    assert int(((train.X.max(0).values - train.X.min(0).values) == 0).sum()) == 67


@real
def test_real_cifar10_partial():
    """The real files in partial mode: sizes, all ten classes, pixel range, and what the first images show."""
    train, test = (load_cifar10(split, partial=True, dtype=torch.float32) for split in ("train", "test"))
    assert train.X.shape == (10000, 3, 32, 32) and test.X.shape == (1000, 3, 32, 32)
    assert train.target_names[train.y[0]] == "frog" and test.target_names[test.y[0]] == "cat"
    assert torch.bincount(train.y).min() > 900 and train.X.min() == 0 and train.X.max() == 1
