"""The shipped MNIST networks and statistics, and the training that made them, on made-up and on real images."""

import os
import platform
import shutil
import struct

import pytest
import torch
from helpers import made_up_digits, real
from torch import nn

from acelib import InputDistribution
from acelib.lab import home, mnist, shipping
from acelib.lab.datasets import Dataset, load_mnist, registry
from acelib.lab.datasets.registry import DataError
from acelib.lab.mnist import NAMES, load_pretrained, mnist_moments, network, train_networks
from acelib.lab.training import loop

LAYERS = {"tanh": nn.Tanh, "gelu": nn.GELU, "relu": nn.ReLU}


@pytest.fixture(scope="module")
def images() -> tuple[Dataset, Dataset]:
    """Ten blurred random pictures under noise in [0, 1], 300 rows to learn and 100 to test: easy, and of full rank."""
    parts = made_up_digits()
    for part in parts:
        part.X[:, 0] = 0  # a constant row of pixels, as MNIST has at its rim
    return parts


@pytest.fixture
def quick(tmp_path) -> dict:
    """Folders of a test's own."""
    return {"folder": tmp_path / "checkpoints", "states": tmp_path / "states"}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_network(name):
    """Architecture and shapes by the definition, evaluation mode, finite logits, class means read as their digit."""
    net = load_pretrained(name)
    assert net.name == name and not net.model.training and isinstance(net.model, nn.Sequential)
    assert not any(module.training for module in net.model.modules())
    weights = [tuple(p.shape) for p in net.model.parameters() if p.ndim > 1]
    if name == "conv":
        assert weights == [(8, 1, 5, 5), (16, 8, 5, 5), (64, 256), (10, 64)]
        assert sum(isinstance(layer, nn.GELU) for layer in net.model) == 3
    else:
        assert weights == [(512, 784), (256, 512), (128, 256), (64, 128), (10, 64)]
        assert sum(isinstance(layer, LAYERS[name]) for layer in net.model) == 4
    assert {p.dtype for p in net.model.parameters()} == {torch.float32}
    assert net.mean.shape == (784,) and net.factor.shape == (784, 50) and net.class_means.shape == (10, 784)
    with torch.no_grad():
        logits = net.model(net.class_means.view(10, 1, 28, 28))
    assert logits.shape == (10, 10) and logits.isfinite().all() and logits.dtype == torch.float32
    assert int((logits.argmax(1) == torch.arange(10)).sum()) >= 9
    assert 0.97 <= net.accuracy < 1
    assert f"{name}: " in repr(net) and "test accuracy 9" in repr(net)


@pytest.mark.parametrize("name", [*NAMES, "inputs"])
def test_provenance(name):
    """Seed, versions, device, seconds and the checksums of the registry, and nothing of the computer it ran on."""
    path = home.data_dir() / "checkpoints" / f"mnist-{name}.safetensors"
    assert path.stat().st_size < 3_000_000
    facts = mnist_moments().provenance if name == "inputs" else load_pretrained(name).provenance
    assert {"seed", "versions", "device", "threads", "profile", "seconds", "data"} <= facts.keys()
    assert facts["profile"] == "full" and facts["versions"].keys() >= {"python", "torch", "numpy", "acelib"}
    assert len(facts["data"]["sha256"]) == 4 and facts["data"]["licence"]
    for file, digest in facts["data"]["sha256"].items():
        assert digest == registry.entry(file)["sha256"]
    if name != "inputs":
        assert facts["seed"] == 0 and facts["settings"]["epochs"] == 5 and facts["steps"] == 5 * 469
    header = path.read_bytes()[8 : 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]].decode()
    for place in (str(home.root()), platform.node(), os.path.expanduser("~") + os.sep):
        assert place not in header


def test_shipped_statistics():
    """The factor's columns are orthogonal to float32 precision with falling norms, and belong to images in [0, 1].

    The means of the ten classes, weighted by shares that sum to 1, give the mean: solved for by least squares.
    """
    moments = mnist_moments()
    gram = (moments.factor.double().T @ moments.factor.double()).numpy()
    norms = gram.diagonal()
    assert (norms[:-1] >= norms[1:]).all() and norms[-1] > 0
    off = gram - torch.diag(torch.from_numpy(norms.copy())).numpy()
    assert abs(off).max() < 1e-5 * norms[0]
    assert 0.8 < moments.explained < 0.85
    for picture in (moments.mean, moments.class_means):
        assert picture.min() == 0 and picture.max() < 1
    assert (moments.mean == 0).sum() == 67 and moments.factor[moments.mean == 0].abs().max() < 1e-6
    shares = torch.linalg.lstsq(moments.class_means.double().T, moments.mean.double()[:, None]).solution[:, 0]
    assert abs(shares.sum() - 1) < 1e-4 and shares.min() > 0.08
    assert (shares @ moments.class_means.double() - moments.mean.double()).abs().max() < 1e-6


def test_loading_needs_no_images_and_no_network(monkeypatch):
    """Neither the registry nor the loader of MNIST is asked, and the global random numbers are left alone."""

    def refuse(*args, **kwargs):
        raise AssertionError("asked for MNIST")

    monkeypatch.setattr(registry, "fetch", refuse)
    monkeypatch.setattr(shipping, "load_mnist", refuse)
    state = torch.get_rng_state()
    load_pretrained("conv"), load_pretrained("relu")
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", ["gelu", "inputs"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "another network"])
def test_damaged_checkpoints_are_named(name, damage, tmp_path):
    """One sentence with the file, what is wrong and the remedy."""
    for file in (home.data_dir() / "checkpoints").glob("mnist-*.safetensors"):
        shutil.copy(file, tmp_path / file.name)
    target = tmp_path / f"mnist-{name}.safetensors"
    if damage == "missing":
        target.unlink()
    elif damage == "truncated":
        target.write_bytes(target.read_bytes()[:1000])
    else:
        shutil.copy(tmp_path / "mnist-conv.safetensors", target)
    said = {"missing": "is missing", "truncated": "no complete safetensors", "another network": "differ in"}[damage]
    with pytest.raises(DataError, match=f"mnist-{name}.safetensors.*{said}.*python -m acelib.lab.mnist"):
        load_pretrained("gelu", folder=tmp_path)


def test_bad_arguments():
    """Names and profiles are checked before MNIST is asked for."""
    with pytest.raises(ValueError, match="must be one of tanh, gelu, relu, conv, got 'lenet'"):
        load_pretrained("lenet")
    with pytest.raises(ValueError, match="must be one of .* got 'lenet'"):
        train_networks(["tanh", "lenet"])
    with pytest.raises(ValueError, match="profile must be 'quick' or 'full', got 'huge'"):
        train_networks(profile="huge")


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights(name):
    """The seed alone decides them; all lie in ±1/sqrt(fan_in) and come close to it (uniform: the largest of many)."""
    one, same, other = network(name, seed=4), network(name, seed=4), network(name, seed=5)
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one(x), same(x)) and not torch.equal(one(x), other(x))
    for weight in (p for p in one.parameters() if p.ndim > 1):
        bound = weight[0].numel() ** -0.5
        assert 0.9 * bound < weight.abs().max() <= bound


def test_training_learns_and_is_repeatable(images, quick, tmp_path):
    """Made-up images are learnt (guessing gets 0.1), accuracy is recounted one by one, a second run is identical."""
    net = train_networks(["conv"], data=images, seed=1, **quick)["conv"]
    hits = [int(net.model(x[None, None]).argmax()) == y for x, y in zip(images[1].X, images[1].y.tolist(), strict=True)]
    assert net.accuracy == sum(hits) / 100 and net.accuracy > 0.15
    assert net.provenance["seed"] == 1 and net.provenance["steps"] == 5 * 3
    assert net.provenance["data"]["fingerprint"]["training"] == images[0].fingerprint
    again = train_networks(["conv"], data=images, seed=1, folder=tmp_path / "b", states=tmp_path / "c")["conv"]
    for first, second in zip(net.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(first, second)


def test_statistics_of_made_up_images(images, quick):
    """Against moments by their definition in float64: mean, class means, leading variances."""
    train_networks([], data=images, profile="quick", **quick)
    moments, rows = mnist_moments(folder=quick["folder"]), images[0].X.flatten(1).double()
    assert (moments.mean - rows.mean(0)).abs().max() < 1e-6
    for digit in range(10):
        assert (moments.class_means[digit] - rows[digit::10].mean(0)).abs().max() < 1e-6
    variances = torch.linalg.eigvalsh(torch.cov(rows.T, correction=0)).flip(0)
    assert (moments.factor.double().square().sum(0) - variances[:50]).abs().max() < 1e-5 * variances[0]
    assert abs(moments.explained - variances[:50].sum() / variances.sum()) < 1e-6
    assert moments.provenance["rows"] == 300 and moments.provenance["profile"] == "quick"


def test_interrupted_training_goes_on(images, quick, tmp_path, monkeypatch):
    """Killed in the third epoch, then called again: three epochs are run, and the weights are those of one go."""
    whole = train_networks(["relu"], data=images, folder=tmp_path / "a", states=tmp_path / "b")["relu"]
    save, calls = loop.save_state, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(loop, "save_state", killed)
    with pytest.raises(KeyboardInterrupt):
        train_networks(["relu"], data=images, **quick)
    assert not (quick["folder"] / "mnist-relu.safetensors").exists()
    resumed = train_networks(["relu"], data=images, **quick)["relu"]
    assert len(calls) == 3 + 3
    for first, second in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(first, second)
    train_networks(["relu"], data=images, **quick)
    assert len(calls) == 6  # finished: nothing is trained again
    train_networks(["relu"], data=images, resume=False, **quick)
    assert len(calls) == 6 + 5


def test_command_line(images, tmp_path, monkeypatch, capsys):
    """A quick run writes below ``_build`` and prints its accuracy; errors come as one line and status 1."""
    monkeypatch.setattr(shipping, "load_mnist", lambda split, dtype: images[split == "test"])
    monkeypatch.setattr(home, "build_dir", lambda: tmp_path)
    assert mnist.main(["tanh", "--profile", "quick"]) == 0
    assert "Pretrained(tanh: 575050 parameters" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {
        "mnist-inputs.safetensors",
        "mnist-tanh.safetensors",
    }
    facts = load_pretrained("tanh", folder=tmp_path / "checkpoints").provenance
    assert len(facts["data"]["sha256"]) == 4 and facts["settings"]["epochs"] == 1
    assert mnist.main(["lenet"]) == 1
    assert "name must be one of tanh" in capsys.readouterr().err


@real
@pytest.mark.parametrize("name", NAMES)
def test_recorded_accuracy_on_mnist(name):
    """The shipped network on the 10,000 real test images gets the share right that its checkpoint records, to 1e-3."""
    net, test = load_pretrained(name), load_mnist("test", dtype=torch.float32)
    with torch.no_grad():
        accuracy = (net.model(test.X[:, None]).argmax(1) == test.y).double().mean().item()
    assert abs(accuracy - net.accuracy) < 1e-3


@real
def test_shipped_statistics_are_those_of_mnist():
    """Against the 60,000 real images: means by their definition, variances through the factor's own directions."""
    moments, learn = mnist_moments(), load_mnist("train", dtype=torch.float32)
    rows = learn.X.flatten(1)
    mean = torch.stack([part.double().sum(0) for part in rows.split(6000)]).sum(0) / len(rows)
    assert (moments.mean - mean).abs().max() < 1e-6
    for digit in range(10):
        assert (moments.class_means[digit] - rows[learn.y == digit].double().mean(0)).abs().max() < 1e-6
    lengths = moments.factor.norm(dim=0)
    variances = (rows @ (moments.factor / lengths)).var(0, correction=0)
    assert (variances - lengths.square()).abs().max() < 1e-4 * variances.max()
    total = rows.var(0, correction=0).double().sum()
    assert abs(lengths.double().square().sum() / total - moments.explained) < 1e-4
    fitted = InputDistribution.from_moments(moments.mean, moments.factor, low=0, high=1)
    assert fitted.num_features == 784
