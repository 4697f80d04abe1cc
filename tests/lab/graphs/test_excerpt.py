"""The excerpt of MNIST: what it holds, how it is written, and what is said where it is missing."""

import pytest
import torch
from helpers import made_up_digits

from acelib.lab.datasets.registry import DataError
from acelib.lab.graphs import excerpt as module
from acelib.lab.graphs.excerpt import load_excerpt, load_misread, write_excerpt
from acelib.lab.graphs.lenet import load_lenet
from acelib.lab.shipping import accuracy


def test_shipped_excerpt_is_read_by_the_shipped_network():
    """A hundred test images of each digit, of which LeNet reads at least 97 %; at least 100 of each to learn from."""
    learn, unseen = load_excerpt()
    model = load_lenet().model
    assert learn.y.bincount().tolist() == [110] * 10 and unseen.y.bincount().tolist() == [100] * 10
    assert 0 <= learn.X.min() and learn.X.max() == 1 and accuracy(model, unseen.X, unseen.y) > 0.97
    wrong, labels = load_misread()
    assert len(labels) == 10 and (model(wrong).argmax(1) != labels).all()
    right = (model(learn.X).argmax(1) == learn.y).view(10, 110).sum(1)
    assert right.min() >= 100


def test_written_excerpt_is_read_back(tmp_path, monkeypatch):
    """The first images of each digit, in bytes; too few, and a missing file, are said."""
    data = made_up_digits()
    monkeypatch.setattr(module, "IMAGES", {"train": 3, "test": 2})
    path = write_excerpt(tmp_path / "excerpt.npz", data=data)
    learn, unseen = load_excerpt(path=path)
    first = data[0].X[(data[0].y == 4).nonzero()[:3, 0]]
    assert (learn.X[12:15, 0, 2:30, 2:30] - first).abs().max() <= 0.5 / 255 + 1e-6 and len(unseen) == 20
    assert torch.equal(learn.y, torch.arange(10).repeat_interleave(3))
    monkeypatch.setattr(module, "IMAGES", {"train": 10_000, "test": 2})
    with pytest.raises(ValueError, match="data must hold 10000 images of each digit"):
        write_excerpt(tmp_path / "more.npz", data=data)
    with pytest.raises(DataError, match="none.npz is missing"):
        load_excerpt(path=tmp_path / "none.npz")
