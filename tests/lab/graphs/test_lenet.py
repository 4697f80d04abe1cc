"""LeNet: its architecture, the images it takes, its training on both sets of digits and the checkpoint that ships."""

import os
import platform
import struct

import pytest
import torch
import torch.nn.functional as F
from helpers import made_up_digits, real
from torch import nn

from acelib.lab import home
from acelib.lab.datasets import Dataset, registry
from acelib.lab.datasets.registry import DataError
from acelib.lab.graphs import lenet as module
from acelib.lab.graphs.lenet import (
    digits32,
    enlarge,
    load_lenet,
    main,
    mnist32,
    train_digits,
    train_mnist,
    untrained_lenet,
)
from acelib.lab.shipping import accuracy


@pytest.fixture(scope="module")
def images() -> tuple[Dataset, Dataset]:
    """Ten random pictures of 28×28 under noise in [0, 1], 300 rows to learn and 100 to test."""
    return made_up_digits()


def test_architecture_by_hand():
    """Sizes of the paper's LeNet, counted: 156 + 2416 + 48120 + 10164 + 850 parameters; bounds 1/√fan_in."""
    model = untrained_lenet(seed=3)
    counts = [sum(p.numel() for p in layer.parameters()) for layer in model if any(True for _ in layer.parameters())]
    assert counts == [6 * 26, 16 * 151, 120 * 401, 84 * 121, 10 * 85]
    assert [type(layer) for layer in model[:3]] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    relus = [layer for layer in model if isinstance(layer, nn.ReLU)]
    assert len(relus) == len(set(map(id, relus))) == 4
    assert 0.19 < model.conv1.weight.abs().max() <= 0.2 and model.fc1.weight.abs().max() <= 1 / 20
    assert 0.02 < model.fc1.bias.abs().max() <= 1 / 20


def test_seed_alone_decides_the_network():
    """Not torch's global generator; float32 and float64 get the same weights up to rounding; 0 is a seed."""
    torch.manual_seed(1)
    first = untrained_lenet(seed=0)
    torch.manual_seed(2)
    again, wide, other = untrained_lenet(seed=0), untrained_lenet(seed=0, dtype=torch.float64), untrained_lenet(seed=1)
    for a, b, c in zip(first.parameters(), again.parameters(), wide.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c.float())
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


def test_enlarge():
    """A frame of two zeros around 28×28; 8×8 keeps its mean and range, and a checked pixel of the interpolation.

    Bilinear ×4 without aligned corners puts output pixel r at (r + 1/2)/4 − 1/2: pixel 5 lies at 0.875 of the way.
    """
    X = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0))
    framed = enlarge(X)
    assert torch.equal(framed[:, 0, 2:30, 2:30], X) and framed[:, 0, :2].abs().sum() == 0
    small = torch.zeros(1, 8, 8)
    small[0, :, 1] = 1
    large = enlarge(small)
    assert large.shape == (1, 1, 32, 32) and abs(large.mean() - small.mean()) < 1e-6
    assert torch.allclose(large[0, 0, 9, 5], torch.tensor(0.875)) and large[0, 0, 9, 1] == 0
    with pytest.raises(ValueError, match=r"X must be \(n, 8, 8\) or \(n, 28, 28\), got \(1, 9, 9\)"):
        enlarge(torch.zeros(1, 9, 9))


def test_digits_split():
    """Every class in its share, no image in both parts, names for 1024 pixels."""
    learn, test = digits32()
    assert learn.X.shape == (1200, 1, 32, 32) and test.X.shape == (597, 1, 32, 32)
    assert (test.y.bincount() - 59.7).abs().max() <= 2.5
    both = torch.cat([learn.X, test.X]).flatten(1)
    assert len(both.unique(dim=0)) == 1797 and both.min() == 0 and both.max() <= 1
    assert len(learn.feature_names) == 1024 and "at 32×32" in learn.name


def test_training_on_the_digits_is_repeatable():
    """Twice the same weights; better than nine in ten after three epochs; the accuracy is what it says."""
    first, again = train_digits(epochs=3), train_digits(epochs=3)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True))
    right = (first.model(first.test.X).argmax(1) == first.test.y).double().mean().item()
    assert first.accuracy == pytest.approx(right, abs=1e-12) and right > 0.8
    assert not first.model.training and first.provenance["settings"]["epochs"] == 3
    assert "right on digits 8×8, test at 32×32" in repr(first)


def test_accuracy_counts_in_batches():
    """Three of five rows are right, whatever the batch."""
    scores = F.one_hot(torch.tensor([0, 1, 2, 0, 1]), 3).float()
    for size in (1, 2, 1000):
        y = torch.tensor([0, 1, 2, 1, 0])
        assert accuracy(lambda X: X[:, 0, 0], scores[:, None, None], y, batch_size=size) == 0.6


def test_train_mnist_writes_a_checkpoint_that_can_be_read(images, tmp_path, monkeypatch):
    """The written network is the returned one, with provenance; resumed training gives the same weights."""
    monkeypatch.setitem(module.PROFILES, "quick", (2, 200))
    folders = {"folder": tmp_path / "checkpoints", "states": tmp_path / "states"}
    net = train_mnist(profile="quick", data=images, **folders)
    loaded = load_lenet(folder=folders["folder"])
    for a, b in zip(net.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)
    facts = loaded.provenance
    assert facts["seed"] == 0 and facts["settings"]["epochs"] == 2 and facts["steps"] == 2 * 4
    assert facts["data"]["source"] == "made up for a test" and len(facts["data"]["fingerprint"]) == 2
    assert loaded.accuracy == pytest.approx(accuracy(net.model, enlarge(images[1].X), images[1].y), abs=0.011)
    again = train_mnist(profile="quick", data=images, **folders)  # its state is finished: nothing is trained anew
    assert all(torch.equal(a, b) for a, b in zip(net.model.parameters(), again.model.parameters(), strict=True))


def test_errors_say_what_to_do(tmp_path):
    """Unknown profile; a missing and a damaged checkpoint name the command that makes it."""
    with pytest.raises(ValueError, match="profile must be .*, got 'slow'"):
        train_mnist(profile="slow")
    with pytest.raises(DataError, match="python -m acelib.lab.graphs.lenet"):
        load_lenet(folder=tmp_path)
    (tmp_path / module.CHECKPOINT).write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be used"):
        load_lenet(folder=tmp_path)


def test_command_line(images, capsys, monkeypatch):
    """Prints the network and returns 0; a missing data set is said in a sentence, with status 1."""
    seen = {}

    def fake(**options):
        seen.update(options)
        if options["profile"] == "full":
            raise DataError("no MNIST here")
        return module.TrainedLeNet(untrained_lenet(), None, None, 0.5, {"seconds": 1.0})

    monkeypatch.setattr(module, "train_mnist", fake)
    assert main(["--profile", "quick", "--restart"]) == 0
    options = {"profile": "quick", "resume": False, "progress": True, "device": None}
    assert seen == {"seed": 0, "epochs": None, **options}
    assert "61706 parameters, 50.00% right on MNIST" in capsys.readouterr().out
    assert main(["--profile", "quick", "--siblings"]) == 0
    assert seen["seed"] == module.SIBLINGS[-1] and seen["epochs"] == module.SIBLING_EPOCHS
    assert main([]) == 1 and "no MNIST here" in capsys.readouterr().err


@pytest.mark.parametrize("seed", (0, *module.SIBLINGS))
def test_shipped_checkpoint(seed):
    """Small, trained on all of MNIST, with checksums, and nothing in it of the computer it was made on."""
    net = load_lenet(seed=seed)
    assert net.provenance["seed"] == seed
    assert net.accuracy > (0.98 if seed == 0 else 0.97) and net.test is None and not net.model.training
    facts = net.provenance
    assert facts["profile"] == "full" and facts["steps"] == facts["settings"]["epochs"] * 938
    for file, digest in facts["data"]["sha256"].items():
        assert digest == registry.entry(file)["sha256"]
    name = module.CHECKPOINT if seed == 0 else f"mnist-lenet-s{seed}.safetensors"
    path = home.data_dir() / "checkpoints" / name
    raw = path.read_bytes()
    header = raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]].decode()
    assert len(raw) < 400_000
    for place in (str(home.root()), platform.node(), os.path.expanduser("~") + os.sep):
        assert place not in header


@real
def test_shipped_checkpoint_on_real_images():
    """The accuracy that the checkpoint states, on the 10,000 test images; other processors may flip a handful."""
    net, test = load_lenet(), mnist32("test")
    assert test.X.shape == (10_000, 1, 32, 32) and test.X.dtype == torch.float32
    assert accuracy(net.model, test.X, test.y) == pytest.approx(net.accuracy, abs=5e-4)
