"""Every public result travels: pickles, copies and files equal it, weigh what it shows, and hold no network or data."""

import copy
import gc
import importlib
import inspect
import io
import json
import pickle
import pkgutil
import weakref
from dataclasses import fields, is_dataclass
from functools import cache
from math import inf

import numpy as np
import pytest
import torch
from helpers import network
from sequence_networks import draw
from sequence_networks import network as sequence_network
from torch import Tensor, nn

import acelib
from acelib import (
    Attribution,
    AverageCausalEffect,
    CausalRegressors,
    CausalTable,
    Expectation,
    FeedbackSequences,
    InputDistribution,
    Interval,
    LatentPrior,
    effect_surface,
    half_trace,
    interventional_expectation,
    regional_effects,
)
from acelib._intervals import student
from acelib._saved import Result, compact, same
from acelib.intrinsic import IntrinsicContributions, SobolIndices, StructuralModel, intrinsic_contributions, rank_test
from acelib.intrinsic import sobol_indices as sobol
from acelib.mediation import CausalGraphInputs, total_and_direct
from acelib.paths import ExplanatoryGraph, explanatory_graph, fidelity, node_maps, reliability, repair
from acelib.recurrent import time_lag

NO_RESULTS = """AverageCausalEffect Categories CausalGraph CausalGraphInputs CausalModel EmpiricalNoise
FeedbackSequences FiniteNoise FiniteSet FlowModel InputDistribution InputModel Interval Intervention Jet
LatentIntervention LatentPrior LinearModel Recurrent Regressor SimulatedIntervention StructuralModel
TableIntervention Unfolded Control EffectDisplay Explorer Player View""".split()
"""What results are computed from, the bases of their classes, and what a user holds while computing, or moves."""


def public_classes():
    """Classes in the ``__all__`` of every module of the method, but for warnings and errors."""
    modules = [acelib] + [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(acelib.__path__, "acelib.")
        if not found.name.startswith("acelib.lab") and "._" not in found.name
    ]
    offered = [getattr(module, name) for module in modules for name in getattr(module, "__all__", [])]
    return {c.__name__: c for c in offered if inspect.isclass(c) and not issubclass(c, BaseException)}


def table(rows):
    X = torch.rand(rows, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    X[:, 3] = (X[:, 3] > 0.5).double()
    return InputDistribution.fit(X, feature_names="abcd", domain={"d": {0, 1}})


def net():
    return network(4)


def curves(rows):
    return AverageCausalEffect(net(), table(rows)).regress(["a", "d"], num=100)


def spline(rows):
    return AverageCausalEffect(net(), table(rows)).regress(["b"], num=100, family="spline", baseline="data")["b", 0]


def expectation(rows, method="auto"):
    return interventional_expectation(net(), table(rows), 0, torch.linspace(0, 1, 100), method=method)


def checked(rows):
    return expectation(rows, "taylor")


@cache
def images():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).eval()
    x = torch.rand(60, 1, 6, 6)
    return model, x, explanatory_graph(model, x, 0, allow_wrong=True)


def studies(what):
    model, x, graph = images()
    labels = torch.arange(60) % 2
    if what == "Fidelity":
        return fidelity(model, graph, x, labels)
    if what == "Repair":
        return repair(model, graph, x, labels)
    if what == "NodeMaps":
        return node_maps(model, x[:3], graph)
    return reliability(model, x, 0, runs=2)


def contributions():
    scm = StructuralModel({"a": [], "b": ["a"]}, {"b": lambda a, n: a + n})
    return intrinsic_contributions(scm, None, target="b", num_samples=256)


def both_effects(rows):
    scm = StructuralModel({name: [] for name in "acd"} | {"b": ["a"]}, {"b": lambda a, n: a + n})
    return total_and_direct(net(), CausalGraphInputs(scm, num_rows=rows), "a", torch.linspace(0, 1, 50))


MADE = {
    "Attribution": lambda rows: AverageCausalEffect(net(), table(rows)).attribute(table(50).samples, [0, 1] * 25),
    "CausalRegressor": lambda rows: curves(rows)["a", 0],
    "CausalRegressors": curves,
    "CausalTable": lambda rows: curves(rows)["d", 1],
    "Check": lambda rows: checked(rows).check,
    "EffectSurface": lambda rows: effect_surface(net(), table(rows), ("a", "b"), [0.0, 0.5, 1.0], [0.0, 1.0]),
    "Expectation": expectation,
    "ExplanatoryGraph": lambda rows: images()[2],
    "Fidelity": lambda rows: studies("Fidelity"),
    "Independence": lambda rows: rank_test(*draw(2, rows, seed=3), permutations=19),
    "IntrinsicContributions": lambda rows: contributions(),
    "NodeMaps": lambda rows: studies("NodeMaps"),
    "RegionalEffects": lambda rows: regional_effects(net(), table(rows), "a", target=0, permutations=19),
    "Reliability": lambda rows: studies("Reliability"),
    "Repair": lambda rows: studies("Repair"),
    "SobolIndices": lambda rows: sobol(lambda u: u[:, :3].sin(), num_inputs=5, num_samples=256, shapley=True),
    "SplineRegressor": spline,
    "TimeLag": lambda rows: time_lag(sequence_network("gru", 2, 2), draw(20, 6, 2)),
    "TotalAndDirect": lambda rows: both_effects(rows),
    "TreatmentEffects": lambda rows: images()[2].layers[0],
}
NAMES = sorted(MADE)
ROWS = [name for name in NAMES if name not in ("ExplanatoryGraph", "TreatmentEffects", "SobolIndices", "TimeLag")]


@cache
def made(name, rows=300):
    return MADE[name](rows)


def by_joblib(result):
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(result, file)
    file.seek(0)
    return joblib.load(file)


TRIPS = {
    "pickle": lambda r: pickle.loads(pickle.dumps(r)),
    "old pickle": lambda r: pickle.loads(pickle.dumps(r, protocol=2)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "joblib": by_joblib,
}


def test_no_public_result_is_forgotten():
    classes = public_classes()
    assert set(classes) == set(MADE) | set(NO_RESULTS)
    assert all(issubclass(classes[name], Result) and is_dataclass(classes[name]) for name in MADE)


@pytest.mark.parametrize("trip", TRIPS)
@pytest.mark.parametrize("name", NAMES)
def test_a_trip_changes_nothing(name, trip):
    """Every field that is compared, and ``support``, to the last bit; and equality sees a difference."""
    result = made(name)
    again = TRIPS[trip](result)
    assert type(again) is type(result) and again == result and hash(again) == hash(result)
    for field in fields(result):
        if field.compare:
            assert same(getattr(again, field.name), getattr(result, field.name)), field.name
    if isinstance(result, Expectation):
        assert torch.equal(again.support, result.support)
    assert repr(again) == repr(result) and again != 3
    for name_, value in vars(again).items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel() and value.isfinite().any():
            value[value.isfinite()] += 1
            if trip != "copy" and any(f.name == name_ and f.compare for f in fields(result)):
                assert again != result
            value[value.isfinite()] -= 1
            break


def reachable(thing):
    """Everything that a result leads to, but for classes and modules."""
    found, queue = {}, [thing]
    while queue:
        one = queue.pop()
        if id(one) in found or inspect.ismodule(one) or inspect.isclass(one):
            continue
        found[id(one)] = one
        queue += gc.get_referents(one)
    return found.values()


@pytest.mark.parametrize("name", NAMES)
def test_a_result_holds_no_network_and_little_else(name):
    """Under 1 MB; no module, no function of a user, no tensor that drags the rest of its memory along."""
    result = TRIPS["pickle"](made(name))
    assert len(pickle.dumps(result)) < 2**20
    for one in reachable(result):
        assert not isinstance(one, nn.Module) and not inspect.isfunction(one)
        if isinstance(one, Tensor):
            assert one.untyped_storage().nbytes() == one.numel() * one.element_size()


@pytest.mark.parametrize("name", ["Attribution", "CausalRegressors", "Check", "CausalTable", "Expectation"])
def test_the_size_does_not_depend_on_the_number_of_rows(name):
    """2,000 and 200,000 rows: the same number of bytes, or the weights of another order more."""
    few, many = (len(pickle.dumps(MADE[name](rows))) for rows in (2_000, 200_000))
    assert abs(few - many) <= 4096 and many < 2**20


def test_three_outputs_and_a_hundred_values_of_one_feature():
    for method in ("auto", "taylor", "cubature"):
        assert len(pickle.dumps(expectation(500, method))) < 600_000


def test_a_network_is_free_once_its_results_are_computed():
    """Neither an expectation, with its support still unread, nor curves, attributions or indices hold it."""
    model, inputs = net(), table(3000)
    alive = weakref.ref(model)
    results = [
        interventional_expectation(model, inputs, "a", [0.0, 1.0]),
        AverageCausalEffect(model, inputs).regress(["a"], num=5),
        AverageCausalEffect(model, inputs).attribute(inputs.samples[0], 0),
        sobol(model, num_inputs=4, num_samples=64),
    ]
    rows = weakref.ref(inputs.samples.untyped_storage())
    del model, inputs
    gc.collect()
    assert alive() is None and len(results) == 4
    assert rows() is None and results[0].support.shape == (2,)  # bounded copies are enough for it


@pytest.mark.parametrize("name", ["Attribution", "CausalRegressors", "Expectation", "Check", "IntrinsicContributions"])
def test_files_hold_everything(name, tmp_path):
    """NaN and infinite entries included; curves leave the expectations behind them out."""
    result = checked(300) if name == "Check" else made(name)
    if name == "Attribution":
        result.values[0, 0], result.stderr[0, 0] = torch.nan, torch.inf
    again = type(result).load(result.save(tmp_path / "new" / "result.json"))
    if name == "CausalRegressors":
        assert again.curves == result.curves and not again.expectations
    else:
        assert again == result


@pytest.mark.parametrize(
    "kind", ["float32", "one model of a list", "moments", "pairs of values", "sequences", "latents"]
)
def test_expectations_of_every_kind_travel(kind, tmp_path):
    X = torch.rand(40, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs, model, feature, values = InputDistribution.fit(X), net(), 0, [0.0, 1.0]
    if kind == "float32":
        inputs, model = InputDistribution.fit(X.float()), net().float()
    elif kind == "one model of a list":
        model = [net(), network(4, seed=5)]
    elif kind == "moments":
        inputs = InputDistribution.from_moments(X.mean(0), torch.eye(4).double(), low=0, high=1)
    elif kind == "pairs of values":
        feature, values = (0, 1), [[0.0, 1.0], [0.5, 0.5]]
    elif kind == "sequences":
        inputs = FeedbackSequences(sequence_network("gru", 2, 2), draw(30, 4, 2), target_step=2)
        model, feature = inputs.model, (0, 1)
    elif kind == "latents":
        inputs = LatentPrior(2, 2, dtype=torch.float64, draws=20)
    e = interventional_expectation(model, inputs, feature, values)
    assert pickle.loads(pickle.dumps(e)) == e == Expectation.load(e.save(tmp_path / "e.json")) == copy.deepcopy(e)


LOADED = {
    "Attribution": Attribution,
    "CausalRegressors": CausalRegressors,
    "Expectation": Expectation,
    "ExplanatoryGraph": ExplanatoryGraph,
    "IntrinsicContributions": IntrinsicContributions,
    "SobolIndices": SobolIndices,
}


LATER = {"freedom", "baseline", "skewness", "reason", "kurtosis", "names", "uncertainty_degrees"}
"""Entries that files of older versions do not hold."""


def broken(content):
    """Ways in which a file can be wrong: each entry gone, of another kind or of another size; a further one."""
    yield {**content, "further entry": 1}
    for key in content:
        if key != "format":
            if key not in LATER:
                yield {k: v for k, v in content.items() if k != key}
            if content[key] is not None:
                yield {**content, key: {"dtype": "object", "shape": [1], "entries": [1]}}
        value = content[key]
        if isinstance(value, dict) and "shape" in value:
            yield {**content, key: {**value, "shape": [9, 9]}}
            yield {**content, key: {**value, "dtype": "int64"}}
            yield {**content, key: {**value, "entries": ["x"] * len(value["entries"])}}


@pytest.mark.parametrize("name", ["Attribution", "Expectation"])
def test_files_of_older_versions_load(name, tmp_path):
    path = made(name).save(tmp_path / "result.json")
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k not in LATER}))
    found = LOADED[name].load(path)
    low = found.values - float(student(inf, 0.95)) * found.stderr
    assert found.freedom is None and torch.allclose(found.interval()[0], low, equal_nan=True)


@pytest.mark.parametrize("name", LOADED)
def test_a_broken_file_is_an_error_that_names_it_and_a_remedy(name, tmp_path):
    """ValueError in every case: no entry, wrong entries, other formats, no text, no JSON, nesting without end."""
    path = made(name).save(tmp_path / "result.json")
    text = path.read_text()
    texts = [json.dumps(one) for one in broken(json.loads(text))]
    texts += [text[: len(text) // 2], "", "[]", "3", "null", '{"format": "other"}', "[" * 100_000]
    for one in [*(t.encode() for t in texts), b"\xff\xfe\x00", text.encode("utf-16")]:
        path.write_bytes(one)
        with pytest.raises(ValueError, match=r"result\.json .*; save (it|them) again"):
            LOADED[name].load(path)
    for place in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(ValueError, match="; save (it|them) again"):
            LOADED[name].load(place)


@pytest.mark.parametrize(
    "entry, value",
    [
        ("low", float("nan")),
        ("low", 2.0),
        ("high", float("inf")),
        ("weights", []),
        ("weights", [1.0]),
        ("alphas", [[0.0]]),
        ("expectations", [float("nan")] * 100),
        ("order", 40),
        ("order", "1"),
        ("triangle", [[1.0]]),
        ("baseline_kind", "other"),
        ("weight_covariance", [["x"]]),
    ],
)
def test_a_curve_that_makes_no_sense_is_refused(entry, value, tmp_path):
    path = made("CausalRegressors").save(tmp_path / "curves.json")
    content = json.loads(path.read_text())
    content["curves"][0][2][entry] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"curves\.json does not hold saved regressors .*save them again"):
        CausalRegressors.load(path)


@pytest.mark.parametrize("what", ["networks", "latents", "sequences", "quantities"])
def test_what_results_come_from_pickles_if_the_network_does(what):
    model, inputs = net(), table(100)
    if what == "latents":
        model, inputs = nn.Linear(4, 1).double(), LatentPrior(2, 2, dtype=torch.float64)
    elif what == "sequences":
        inputs = FeedbackSequences(sequence_network("gru", 2, 2), draw(30, 4, 2), target_step=2, feedback={"x0": 1})
        model = inputs.model
    ace = AverageCausalEffect(model, inputs, seed=3, rows=50)
    ace.regress([0], [0], num=5)
    if what == "quantities":
        ace.attribute(inputs.samples[0], 0)
    again = pickle.loads(pickle.dumps(ace))
    assert again.regress([0], [0], num=5)[0, 0] == ace.regress([0], [0], num=5)[0, 0]


def test_tensors_of_results():
    """A trace is a plain tensor; a view drags its memory along until it is compacted."""
    trace = half_trace(net(), torch.rand(5, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64))
    assert torch.equal(pickle.loads(pickle.dumps(trace)), trace)
    view = torch.rand(10_000)[:3]
    assert len(pickle.dumps(view)) > 40_000 > 1000 > len(pickle.dumps(compact({"a": (view,)})))


def test_equality():
    a, b = torch.tensor([1.0, torch.nan]), torch.tensor([1.0, 2.0])
    assert same(a, a.clone()) and not same(a, b) and not same(a, a.double()) and not same(a, a[:1])
    assert same(np.array([np.nan]), np.array([np.nan])) and not same(np.zeros(2), np.zeros((2, 1)))
    assert same({"a": (a, float("nan"))}, {"a": (a.clone(), float("nan"))}) and not same({"a": 1}, {"b": 1})
    assert not same((1,), [1]) and not same(1, 1.0) and same(Interval(0, 1), Interval(0, 1))
    one, other = (CausalTable.fit([0.0, 1.0], [0.2, y]) for y in (0.8, 0.9))
    assert one == CausalTable.fit([0.0, 1.0], [0.2, 0.8]) != other and len({one, other}) == 2
