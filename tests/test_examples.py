"""Every example in a docstring runs and asserts."""

import doctest
import importlib
import pkgutil

import matplotlib
import pytest

import acelib

matplotlib.use("Agg")
MODULES = ["acelib", *(m.name for m in pkgutil.walk_packages(acelib.__path__, "acelib."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module, extraglobs={"torch": importlib.import_module("torch"), **vars(acelib)})
    assert results.failed == 0
