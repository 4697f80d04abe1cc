"""The laboratory's trainings and loadings on a device, against themselves on the CPU."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from device.pretended import CUDA, MPS, pretend
from helpers import made_up_digits
from torch import nn

from acelib import lab
from acelib.lab import datasets, flights, gru, iris, landings, mnist, vae
from acelib.lab.contributions import fit_networks
from acelib.lab.decoder import decoded_digits, map_decoder
from acelib.lab.graphs import cifar, lenet
from acelib.lab.networks import mlp, stacked_mlp
from acelib.lab.provenance import device_name
from acelib.lab.training import train
from acelib.lab.vae.training import train_vae

ROWS = torch.rand(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = (ROWS.sum(1) * 3).long() % 3
SQUARE = (2, 6, 6)


def numbers(value, device):
    """Return the numbers of networks, tensors and results on the CPU, after a look at where they live."""
    if isinstance(value, nn.Module):
        value = list(value.state_dict().values())
    if isinstance(value, torch.Tensor):
        assert value.device == device
        return [value.detach().cpu().numpy()]
    return [array for item in value for array in numbers(item, device)]


def of_mnist(tmp_path, device):
    trained = mnist.train_networks(
        ["conv"], profile="quick", data=made_up_digits(), folder=tmp_path, states=tmp_path, resume=False, device=device
    )["conv"]
    assert trained.provenance["device"] == device_name(device)
    return trained.model, trained.mean, trained.factor


def of_lenet(tmp_path, device):
    options = {"folder": tmp_path, "states": tmp_path, "resume": False, "device": device}
    trained = lenet.train_mnist(profile="quick", data=made_up_digits(), **options)
    assert trained.provenance["device"] == device_name(device)
    return trained.model, trained.train.X, trained.test.y


def of_small_vae(tmp_path, device):
    trained = vae.train_small_vae(iterations=5, device=device)
    assert trained.provenance["device"] == device_name(device)
    return trained.decoder, trained.encoder


def of_photographs(tmp_path, device):
    learn = datasets.Dataset("made up", torch.rand(40, 3, 32, 32), torch.arange(40) % 10, (), tuple("0123456789"))
    return cifar.train_residual(learn, width=2, epochs=1, device=device)


TRAININGS = {
    "adam": lambda _, on: train(mlp((4, 5, 3)), ROWS, CLASSES, epochs=3, device=on).model,
    "gradient descent, squared error": lambda _, on: (
        train(
            mlp((4, 5, 2)), ROWS, ROWS[:, :2], loss="mse", optimizer="sgd", epochs=3, weight_decay=0.1, device=on
        ).model
    ),
    "stacked": lambda _, on: train(stacked_mlp((4, 5, 3), [0, 1]), ROWS, CLASSES, epochs=2, device=on).model,
    "stacked, each its rows": lambda _, on: (
        train(
            stacked_mlp((4, 5, 3), [0, 1]), torch.stack([ROWS, ROWS.flip(0)]), torch.stack([CLASSES] * 2), device=on
        ).model
    ),
    "iris": lambda _, on: iris.experiment.train_iris([0, 1], shuffled=[2], epochs=1, device=on)[0].networks,
    "sequences": lambda _, on: gru.train_grus([0, 1], loss=["mse", "bce"], epochs=2, num=64, device=on).networks,
    "tables": lambda _, on: fit_networks(ROWS, ROWS.sum(1), [0, 1], epochs=2, device=on),
    "β-VAE": lambda _, on: (
        train_vae(
            vae.ConditionalVae(pixels=4, latents=2, hidden=(8,)),
            ROWS.float(),
            CLASSES,
            beta=1,
            iterations=8,
            batch_size=16,
            device=on,
        ).model
    ),
    "8×8 digits": lambda _, on: lenet.train_digits(epochs=1, device=on).model,
    "MNIST networks": of_mnist,
    "LeNet": of_lenet,
    "small β-VAE": of_small_vae,
    "photographs": of_photographs,
}


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings_start_and_end_alike_on_every_device(name, tmp_path):
    """The same order, noise and initial weights: on a device that rounds as the CPU does, the same weights."""
    torch.manual_seed(0)  # of the made-up photographs
    plain = numbers(TRAININGS[name](tmp_path, "cpu"), torch.device("cpu"))
    torch.manual_seed(0)
    with pretend(CUDA) as device:
        there = numbers(TRAININGS[name](tmp_path, device), device)
    for one, other in zip(plain, there, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6 if one.dtype == np.float32 else 1e-12, atol=1e-7)


def test_without_a_device_a_training_stays_where_its_rows_are():
    with pretend(CUDA) as device:
        model = train(mlp((4, 5, 3)).to(device), ROWS.to(device), CLASSES.to(device), epochs=1).model
        assert all(p.device == device for p in model.parameters())
        with pytest.raises(ValueError, match="must share dtype and device"):
            train(mlp((4, 5, 3)), ROWS.to(device), CLASSES.to(device), epochs=1)


def test_flight_networks_train_there_and_come_back(tmp_path):
    X = torch.rand(6, 8, 17, generator=torch.Generator().manual_seed(0))
    plain, losses = flights.train_network(X, stages=((2, 1e-2),))
    for accelerator in (CUDA, MPS):  # float32, so that MPS can
        with pretend(accelerator) as device:
            net, history = flights.train_network(X, stages=((2, 1e-2),), device=device)
        torch.testing.assert_close(history, losses)
        torch.testing.assert_close(net.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-6)


def test_a_training_goes_on_from_a_state_of_another_device(tmp_path):
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    options = {"loss": loss, "epochs": 4, "batch_size": 20, "checkpoint": tmp_path / "state", "checkpoint_every": 0}
    with pytest.raises(KeyboardInterrupt):
        train(mlp((4, 5, 3)), ROWS, CLASSES, **options)
    with pretend(CUDA) as device:
        resumed = train(mlp((4, 5, 3)), ROWS, CLASSES, device=device, **options)
        weights = [p.cpu() for p in resumed.model.parameters()]
    whole = train(mlp((4, 5, 3)), ROWS, CLASSES, **options | {"checkpoint": None})
    for one, other in zip(weights, whole.model.parameters(), strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(resumed.history, whole.history, rtol=1e-12, atol=1e-12)


def data_tensors(data):
    return [getattr(data, field.name) for field in dataclasses.fields(data) if field.name in ("X", "y", "labels")]


LOADINGS = {
    "load_pretrained": lambda on: (lambda net: [net.model, net.mean, net.factor])(mnist.load_pretrained("conv", **on)),
    "mnist_moments": lambda on: [mnist.mnist_moments(**on).class_means],
    "load_lenet": lambda on: [lenet.load_lenet(**on).model],
    "load_vae": lambda on: (lambda net: [net.decoder, net.encoder])(vae.load_vae(**on)),
    "load_networks": lambda on: list(flights.load_networks(**on)[0]),
    "load_landings": lambda on: data_tensors(landings.load_landings(**on)),
    "load_iris": lambda on: data_tensors(datasets.load_iris(**on)),
    "load_breast_cancer": lambda on: data_tensors(datasets.load_breast_cancer(**on)),
    "load_digits8": lambda on: data_tensors(datasets.load_digits8(**on)),
}


@pytest.mark.parametrize("name", LOADINGS)
def test_loadings_put_what_they_load_on_the_device(name):
    plain = numbers(LOADINGS[name]({}), torch.device("cpu"))
    with pretend(CUDA) as device:
        there = numbers(LOADINGS[name]({"device": device}), device)
    for one, other in zip(plain, there, strict=True):
        np.testing.assert_array_equal(other, one)


def test_a_split_is_the_same_on_every_device():
    plain = datasets.train_test_split(datasets.load_iris(), 30, stratified=True)
    with pretend(CUDA) as device:
        there = datasets.train_test_split(datasets.load_iris(device=device), 30, stratified=True)
        assert all(
            torch.equal(a.X.cpu(), b.X) and a.fingerprint == b.fingerprint for a, b in zip(there, plain, strict=True)
        )


def test_a_decoder_is_explained_where_it_is_and_the_effects_come_back():
    net, alphas = vae.load_vae(), torch.linspace(-3, 3, 3)

    def effects(on):
        there = vae.load_vae(device=on)
        prior = lab_prior(there, on)
        found = map_decoder(there.pixels, prior, alphas, classes=(8,))
        return found.classes.ace, found.mean, found.ace, found.stderr, decoded_digits(5, vae=there).X

    def lab_prior(there, on):
        from acelib import LatentPrior

        return LatentPrior(10, 10, net.class_frequencies.float(), draws=4, device=on)

    plain = effects("cpu")
    with pretend(CUDA) as device:
        for one, other in zip(plain, effects(device), strict=True):
            assert other.device.type == "cpu"
            torch.testing.assert_close(other, one)


# These take what they are given where it is: arrays of numbers, or tensors that are copied into a module.
WHERE_IT_IS = {"train_test_split", "load_dashlink", "load_state", "load_weights", "load_shipped"}
WHERE_IT_IS |= {"train_by_recipe", "load_recipe"}  # fourteen numbers a network, a step at a time
WHERE_IT_IS |= {"load_penguins", "load_gapminder"}  # data frames


def trainings_and_loadings():
    """Return every public function of the laboratory that trains or loads, by its full name."""
    found = {}
    for part in pkgutil.walk_packages(lab.__path__, "acelib.lab."):
        if part.name.endswith("__main__"):
            continue
        module = importlib.import_module(part.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.split("_")[0] in ("train", "load", "fit") and function.__module__ == part.name:
                found[f"{part.name}.{name}"] = function
    return found


def test_every_training_and_loading_takes_a_device():
    found = trainings_and_loadings()
    assert len(found) > 20
    without = [full for full, f in found.items() if "device" not in inspect.signature(f).parameters]
    assert {full.rpartition(".")[2] for full in without} == WHERE_IT_IS
