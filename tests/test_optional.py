"""What a library that is not installed ends in: one sentence with the command that installs it.

Each module is hidden and what needs it is called; the reference is the sentence, written out here.
"""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch

import acelib
from acelib._optional import optional
from tools.chapters import ROOT
from tools.imports import imports

X = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def model(x):
    return x.sum(1, keepdim=True)


def inputs():
    return acelib.InputDistribution.fit(X, domain=(-0.1, 0.1))


def expectation():
    return acelib.interventional_expectation(model, inputs(), 0, [0.0, 0.1])


def flow():
    from acelib.intrinsic import CausalGraph, FlowModel

    FlowModel.fit(X, CausalGraph({"x0": [], "x1": ["x0"], "x2": ["x1"]}), epochs=1)


def iris():
    from acelib.lab.datasets import load_iris

    load_iris()


def penguins():
    from acelib.lab.datasets import load_penguins

    load_penguins()


def metric():
    from acelib.lab.graphs.metrics import irof

    irof(torch.nn.Flatten(), torch.zeros(1, 1, 4, 4), torch.zeros(1, dtype=torch.long), {"s": lambda m, x, t: x})


def captum():
    from acelib.lab.graphs.explainers import by_captum

    by_captum("Saliency")(torch.nn.Flatten(), torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.long))


def widget():
    from acelib.explore.panel import widgets_library

    widgets_library()


def recipe():
    from acelib.lab.gru import recipe

    recipe._compiled.__wrapped__()


def cache():
    from acelib.lab.datasets import registry

    registry.cache_dir()


def attribution():
    return acelib.AverageCausalEffect(model, inputs()).attribute(torch.zeros(3, dtype=torch.float64), via="direct")


def network_of_onnx():
    from acelib.adapters.onnx import OnnxNetwork

    OnnxNetwork("net.onnx")


def of_captum():
    from acelib.adapters import captum

    captum.__getattr__("ACE")  # where another test has made it too


def of_dowhy():
    from acelib.adapters import from_dowhy

    from_dowhy(None)


def named_columns():
    acelib.as_model(lambda frame: frame["a"], columns=["a"])(torch.zeros(2, 1))


def shown():
    from acelib.lab.ledger import publish

    publish({"text/plain": ""}, {})


def anew(path):
    """Execute a file of the laboratory as a module of another name."""
    spec = importlib.util.spec_from_file_location("acelib.lab.anew", ROOT / path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


CASES = {
    "a table of an expectation": ("pandas", "a data frame", lambda: expectation().to_frame()),
    "a table of curves": ("pandas", "a data frame", lambda: curves().to_frame()),
    "a table that ships": ("pandas", "a data frame", penguins),
    "a causal flow": ("zuko", "FlowModel", flow),
    "metrics": ("quantus", "a metric", metric),
    "a table of scikit-learn": ("sklearn", "the Iris table", iris),
    "a wrapped network": ("sklearn", "permutation importance", lambda: anew("acelib/lab/contributions/methods.py")),
    "weights": ("safetensors", "a file of weights", lambda: anew("acelib/lab/training/checkpoint.py")),
    "an explainer": ("captum", "this explainer", captum),
    "widgets": ("ipywidgets", "a picture that is moved by hand", widget),
    "the recipe": ("numba", "training by the recipe", recipe),
    "a download": ("pooch", "a download", cache),
    "effects for SHAP": ("shap", "Attribution.to_shap", lambda: attribution().to_shap()),
    "a network of ONNX": ("onnxruntime", "a network of an .onnx file", network_of_onnx),
    "an attribution of Captum": ("captum", "acelib.adapters.captum.ACE", of_captum),
    "a model of DoWhy": ("dowhy", "from_dowhy", of_dowhy),
    "columns by name": ("pandas", "an estimator that knows its columns by name", named_columns),
    "a record": ("IPython", "a record of the book", shown),
}


def curves():
    return acelib.AverageCausalEffect(model, inputs()).regress(num=5)


@pytest.mark.parametrize("module, what, call", CASES.values(), ids=CASES)
def test_a_missing_library_is_said_with_its_remedy(monkeypatch, module, what, call):
    package = {"sklearn": "scikit-learn"}.get(module, module)
    for name in [name for name in sys.modules if name.split(".")[0] == module] + [module]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as raised:
        call()
    said = f"{what} needs {package}, which is not installed; run `pip install {package}`"
    assert str(raised.value).split("; or use")[0].split("; where")[0] == said


def test_a_library_that_is_there_and_broken_is_not_called_missing(monkeypatch):
    """An installed package of which a need is missing, and one whose shared library is."""

    def broken(error):
        def load(name):
            raise error

        monkeypatch.setattr(importlib, "import_module", load)

    broken(ModuleNotFoundError("No module named 'six'", name="six"))
    with pytest.raises(ImportError, match=r"^it needs pandas, which cannot be imported \(No module named 'six'\)$"):
        optional("pandas", "it")
    broken(ImportError("libGL.so.1: cannot open shared object file"))
    with pytest.raises(ImportError, match=r"which cannot be imported \(libGL.*\); mend it$"):
        optional("cv2.data", "a picture", hint="mend it")


def test_what_is_there_comes_back():
    assert optional("numpy.linalg", "an inverse") is np.linalg


OURS = {"acelib", "torch", "numpy", "scipy", "matplotlib", "networkx", "tqdm"} | {"PIL", "cycler"}  # matplotlib's
ELSEWHERE = {
    "acelib/plots/notebooks.py": {"IPython", "matplotlib_inline"},  # called by a shell of IPython alone
    "acelib/lab/provenance.py": {"psutil"},  # guarded: without it one time is not stated
    "acelib/intrinsic/splines.py": {"zuko"},  # in a flow that has been made
}


def test_nothing_optional_is_imported_in_any_other_way():
    """Every import statement of the package names the standard library or what the package asks for."""
    odd = []
    for path in sorted((ROOT / "acelib").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        allowed = OURS | sys.stdlib_module_names | ELSEWHERE.get(name, set())
        for one in imports(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parts[:-1])):
            if one.module.split(".")[0] not in allowed:
                odd.append(f"{name}:{one.line} imports {one.module}")
    assert odd == []
