"""Data sets: files on disk, their registry, and the readers."""

from .dashlink import load_dashlink
from .loaders import (
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
from .registry import DataError
from .tables import load_gapminder, load_penguins

__all__ = [
    "DataError",
    "Dataset",
    "fingerprint",
    "load_breast_cancer",
    "load_cifar10",
    "load_dashlink",
    "load_digits8",
    "load_gapminder",
    "load_iris",
    "load_mnist",
    "load_penguins",
    "read_cifar",
    "read_idx",
    "train_test_split",
]
