"""What the trainings on MNIST share: images of a profile, their source, the facts of a run, places and accuracy."""

import pytest
import torch
from helpers import made_up_digits
from torch import nn

from acelib.lab import home, shipping
from acelib.lab.datasets import registry
from acelib.lab.training import load_weights, train

PROFILES = {"quick": (2, 50), "full": (3, None)}


@pytest.fixture(scope="module")
def images():
    return made_up_digits()


def test_a_profile_decides_length_and_number_of_images(images, tmp_path):
    for profile, length, rows in (("quick", 2, 50), ("full", 3, 300)):
        training = shipping.prepare(profile, PROFILES, data=images, states=tmp_path)
        assert (training.length, len(training.learn), len(training.test)) == (length, rows, 100)
        fingerprints = {"training": training.learn.fingerprint, "test": images[1].fingerprint}
        assert training.source == {"source": images[0].source, "fingerprint": fingerprints}
    with pytest.raises(ValueError, match="profile must be 'quick' or 'full', got 'huge'"):
        shipping.prepare("huge", PROFILES)


def test_a_run_keeps_its_state_and_tells_its_facts(images, tmp_path):
    """Two epochs of two batches; the state is in the folder under name and profile, and a second run uses it."""
    training = shipping.prepare("quick", PROFILES, data=images, states=tmp_path)
    settings = {"lr": 0.1, "batch_size": 32, "epochs": training.length, "seed": 4}
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    learn = training.learn
    result, facts = training.run(train, model, learn.X, learn.y, name="toy", settings=settings, checkpoint_every=0)
    assert [path.name for path in tmp_path.iterdir()] == ["toy-quick.safetensors"]
    assert facts["settings"] == {"optimizer": "adam", **settings} and facts["steps"] == result.steps == 4
    assert facts["seed"] == 4 and facts["profile"] == "quick" and facts["data"] == training.source
    again, _ = training.run(train, model, learn.X, learn.y, name="toy", settings=settings, checkpoint_every=0)
    assert again.seconds == result.seconds  # nothing was trained again
    with pytest.raises(ValueError, match="acelib training state 1"):
        load_weights(model, tmp_path / "toy-quick.safetensors")


def test_mnist_is_named_with_the_checksums_of_the_registry():
    facts = shipping.source_facts()
    assert len(facts["sha256"]) == 4 and facts["licence"]
    assert all(digest == registry.entry(file)["sha256"] for file, digest in facts["sha256"].items())


def test_only_a_full_run_writes_where_the_shipped_networks_are(tmp_path):
    assert shipping.checkpoint_folder("full") == home.data_dir() / "checkpoints"
    assert shipping.checkpoint_folder("quick") == home.build_dir() / "checkpoints"
    assert shipping.checkpoint_folder("full", tmp_path) == tmp_path


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_accuracy_counts_the_rows_whose_largest_output_is_theirs(batch_size):
    """Three of five rows by hand, whatever the batches."""
    outputs = torch.tensor([[2.0, 1], [0, 1], [3, 0], [0, 4], [1, 0]])
    y = torch.tensor([0, 1, 0, 0, 1])
    assert shipping.accuracy(lambda x: x, outputs, y, batch_size=batch_size) == 3 / 5
