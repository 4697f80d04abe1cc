"""The method on accelerators, against itself on the CPU."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from device import averages, structures  # noqa: F401  (the cases register themselves)
from device.place import CASES, COVERED, Place
from device.pretended import CUDA, MPS, pretend

import acelib
from acelib import intrinsic, jets, paths, plots, recurrent, regressors

CPU = torch.device("cpu")


def flat(value):
    """Return the numbers of a result in one order, as float64 arrays."""
    if isinstance(value, torch.Tensor):
        return [value.detach().cpu().to(torch.float64).numpy()]
    if isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        return [np.asarray(value, dtype=np.float64)]
    if isinstance(value, (list, tuple)):
        return [array for item in value for array in flat(item)]
    if isinstance(value, dict):
        return [array for item in value.values() for array in flat(item)]
    if dataclasses.is_dataclass(value):
        return [
            a for f in dataclasses.fields(value) if not f.name.startswith("_") for a in flat(getattr(value, f.name))
        ]
    return []


def both(name, accelerator, dtype):
    """Return a case's numbers on the CPU and on the pretended device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = flat(CASES[name](Place(CPU, dtype)))
        with pretend(accelerator) as device:
            there = flat(CASES[name](Place(device, dtype)))
    assert plain and len(plain) == len(there)
    return zip(plain, there, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_cuda_gives_the_numbers_of_the_cpu(name):
    for plain, there in both(name, CUDA, torch.float64):
        np.testing.assert_allclose(there, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_mps_gives_the_numbers_of_the_cpu_in_float32(name):
    for plain, there in both(name, MPS, torch.float32):
        scale = np.abs(plain[np.isfinite(plain)]).max(initial=1.0)
        np.testing.assert_allclose(there, plain, rtol=1e-5, atol=1e-6 * scale)


def public():
    """Return every public function, class of results and input model of the method."""
    rooms = {"": acelib, "jets.": jets, "paths.": paths, "recurrent.": recurrent, "intrinsic.": intrinsic}
    names = {prefix + name for prefix, room in rooms.items() for name in room.__all__}
    names |= set(regressors.__all__) | {name for name in plots.__all__ if name.startswith("plot_")}
    values = {
        name: getattr(rooms[name.partition(".")[0] + "."], name.partition(".")[2]) if "." in name else name
        for name in names
    }
    quiet = {name for name, value in values.items() if isinstance(value, type) and issubclass(value, Exception)}
    return sorted(names - quiet)


# Neither holds nor computes tensors: errors and warnings, the rules of the jets and their registry, constants.
WITHOUT_TENSORS = {
    "ApproximationWarning",
    "ConstantFeatureWarning",
    "ExtrapolationWarning",
    "FAMILIES",
    "SupportWarning",
    "UnsupportedOperation",
    "jets",
    "jets.MissingRule",
    *(
        f"jets.{name}"
        for name in ("composite", "constant", "linear", "multilinear", "pointwise", "register", "supported")
    ),
}


@pytest.mark.parametrize("name", sorted(set(public()) - WITHOUT_TENSORS))
def test_every_public_name_is_asked_on_a_device(name):
    assert COVERED.get(name), f"{name} must have a case in tests/device, got none; write one"
