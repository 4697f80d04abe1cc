"""Are the numbers of the files those of the library? The reference is the same call in Python."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
import torch

from acelib import AverageCausalEffect, FiniteSet, InputDistribution
from acelib.adapters import load_network
from acelib.command.arguments import LINKS, METHODS
from acelib.command.files import COLUMNS, NAMES
from acelib.expectation import METHODS as KNOWN
from acelib.expectation.links import LINKS as KNOWN_LINKS
from acelib.regressors.importance import importance_of


@pytest.fixture
def direct(made):
    """The curves of the library for a network's file and the numeric columns."""

    def call(model="iris.pt2", domain=None, num=50, **options):
        net = load_network(made / model)
        inputs = InputDistribution.fit(pd.read_csv(made / "numbers.csv"), domain=domain).to(net.dtype)
        return AverageCausalEffect(net, inputs, **options).regress(num=num)

    return call


def agrees(content, curves):
    """Every number of the JSON is that of the curves, to the last bit."""
    assert [(c["feature"], c["target"]) for c in content["curves"]] == list(curves)
    for found in content["curves"]:
        curve, e = curves[found["feature"], found["target"]], curves.expectations[found["feature"]]
        column, alphas = e.column(found["target"]), e.alphas.numpy()
        low, high = e.interval()
        effect, std = curve.ace(alphas, return_std=True)
        ends, size = curve.interval(alphas), importance_of(curve)
        wanted = {
            "value": alphas,
            "expectation": e.values[:, column],
            "expectation_stderr": e.stderr[:, column],
            "expectation_low": low[:, column],
            "expectation_high": high[:, column],
            "ace": effect,
            "ace_stderr": std,
            "ace_low": ends[0],
            "ace_high": ends[1],
            "spread": e.spread[:, column],
            "off_support": e.support,
        }
        for name, numbers in wanted.items():
            assert found[name] == np.asarray(numbers).tolist(), name
        assert found["importance"] == {n: getattr(size, n) for n in ("value", "stderr", "low", "high")}
        assert (found["method"], found["rows"], found["baseline"]) == (e.method, e.num_rows, curve.baseline)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "words, options",
    [
        ([], {}),
        (["--method", "taylor"], {"method": "taylor"}),
        (["--rows", "60", "--seed", "3"], {"rows": 60, "seed": 3}),
        (["--domain", "petal width=0:0.5", "--values", "7"], {"domain": {"petal width": (0.0, 0.5)}, "num": 7}),
        (["--groups", "plot"], {"groups": (np.arange(150) % 15).tolist()}),
    ],
    ids=["as it is", "taylor", "rows", "domain", "groups"],
)
def test_they_are_those_of_a_direct_call(made, run, direct, words, options):
    drop = "species" if "--groups" in words else "species,plot"
    code, _, content = run(made / "iris.pt2", made / "iris.csv", "--drop", drop, "--format", "json", *words)
    assert code == 0
    agrees(content, direct(**options))


@pytest.mark.filterwarnings("ignore")
def test_link_names_and_dtype(made, run, direct):
    """A float32 network takes a float64 table; probabilities of its logits sum to 1."""
    words = ["--link", "softmax", "--outputs", "a,b,c", "--format", "json"]
    code, _, content = run(made / "single.pt2", made / "numbers.csv", *words)
    assert code == 0 and content["model"]["dtype"] == "float32"
    curves = direct("single.pt2", link="softmax", target_names=["a", "b", "c"])
    agrees(content, curves)
    means = sum(np.array(c["expectation"]) for c in content["curves"] if c["feature"] == "petal length")
    assert np.allclose(means, 1, atol=1e-6)
    assert abs(sum(target["mean"] for target in content["targets"]) - 1) < 1e-6


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("asked, found", [("1", ["1"]), ("c,a", ["c", "a"]), ("-1", ["c"]), ("2,a", ["c", "a"])])
def test_targets_go_by_name_and_number(made, run, asked, found):
    names = ["--outputs", "a,1,c"] if asked == "1" else ["--outputs", "a,b,c"]
    words = [f"--target={asked}", *names, "--format", "json", "--values", "3"]
    code, _, content = run(made / "iris.pt2", made / "numbers.csv", *words)
    assert code == 0 and [target["name"] for target in content["targets"]] == found
    observed = load_network(made / "iris.pt2")(torch.from_numpy(pd.read_csv(made / "numbers.csv").to_numpy()))
    for target in content["targets"]:
        assert abs(target["mean"] - float(observed[:, target["index"]].mean())) < 1e-12


@pytest.mark.filterwarnings("ignore")
def test_both_files_hold_the_same_numbers(made, run, tmp_path):
    """Read back, JSON and CSV are equal to the last bit, and strict readers take the JSON."""
    code, said, content = run(made / "iris.pt2", made / "numbers.csv", "--format", "csv,json")
    assert code == 0 and sorted(p.name for p in (tmp_path / "out").iterdir()) == [NAMES["csv"], NAMES["json"]]
    json.loads((tmp_path / "out/effects.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/effects.csv").read_text(encoding="utf-8"))))
    place = iter(rows)
    for curve in content["curves"]:
        for i in range(len(curve["value"])):
            row = next(place)
            for name in COLUMNS:
                entry = curve[name][i] if isinstance(curve[name], list) else curve[name]
                read = row[name] if name in ("feature", "target", "method") else float(row[name])
                assert read == entry, (name, row)
    assert next(place, None) is None
    frame = pd.read_csv(tmp_path / "out/effects.csv", float_precision="round_trip")
    assert frame["ace"].tolist() == [one for curve in content["curves"] for one in curve["ace"]]


@pytest.mark.filterwarnings("ignore")
def test_columns_of_codes_are_finite_sets_as_the_library_has_them(run, made, tmp_path):
    frame = pd.DataFrame(
        {"switch": [0, 1] * 40, "code": [1, 2, 3, 4] * 20, "size": np.linspace(0, 1, 80), "n": range(80)}
    )
    frame.to_csv(tmp_path / "codes.csv", index=False)
    code, _, content = run(made / "iris.pt2", tmp_path / "codes.csv", "--format", "json", "--domain", "n=0,40")
    known = InputDistribution.fit(frame, domain={"n": {0.0, 40.0}}).domain
    assert code == 0
    for feature, domain in zip(content["features"], known, strict=True):
        assert (feature["domain"] == "set") == isinstance(domain, FiniteSet)
        assert feature.get("values", [domain.low, domain.high])[0] == domain.low
    assert [c["value"] for c in content["curves"][:1]] == [[0.0, 1.0]]


@pytest.mark.filterwarnings("ignore")
def test_columns_go_in_the_order_that_is_asked_for(run, made, tmp_path):
    """x y of product.pt2 under other names: do(b = 1) for the rows' mean of a."""
    frame = pd.DataFrame({"b": [0.0, 1.0, 0.5, 0.2], "a": [3.0, 5.0, 1.0, 2.0]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ["--columns", "a,b", "--format", "json", "--domain", "b=0:1", "--domain", "a=1:5", "--values", "3"]
    code, _, content = run(made / "product.pt2", tmp_path / "t.csv", *words)
    assert code == 0 and content["table"]["columns"] == ["a", "b"]
    of_b = content["curves"][1]
    assert of_b["feature"] == "b" and abs(of_b["expectation"][-1] - frame["a"].mean()) < 1e-12


def test_every_warning_is_kept_with_its_kind(run, made):
    """What a direct call warns of stands in the JSON, the report and on the screen, and not with --quiet on it."""
    words = [made / "iris.pt2", made / "numbers.csv", "--values", "9"]
    with pytest.warns(UserWarning) as told:
        net = load_network(made / "iris.pt2")
        inputs = InputDistribution.fit(pd.read_csv(made / "numbers.csv"))
        AverageCausalEffect(net, inputs).regress(num=9)
    _, said, content = run(*words)
    kept = {(one["kind"], one["text"]) for one in content["warnings"]}
    assert {(w.category.__name__, str(w.message)) for w in told} <= kept and told
    assert all(f"warning: {w.message}" in said.err for w in told)
    _, said, again = run(*words, "--quiet", out="quiet")
    assert said.out == said.err == "" and again["warnings"] == content["warnings"]


def test_a_run_says_how_it_can_be_made_again(run, made):
    _, _, content = run(made / "iris.pt2", made / "numbers.csv", "--values", "5", "--format", "json", "--quiet")
    from hashlib import sha256

    for name in ("model", "table"):
        path = made / content[name]["name"]
        assert content[name]["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert content["format"] == "acelib.effects/1" and content["settings"]["seed"] == 0
    assert {"acelib", "python", "torch", "numpy"} <= set(content["versions"])
    assert "--values 5" in content["command"] and content["settings"]["values"] == 5
    same = ("features", "targets", "curves", "warnings", "settings", "model", "table", "answer")
    _, _, again = run(made / "iris.pt2", made / "numbers.csv", "--values", "5", "--format", "json", "--quiet")
    assert all(again[name] == content[name] for name in same)


def test_what_can_be_chosen_is_what_the_library_has():
    """The parser names them itself, so that help needs no torch."""
    assert METHODS == KNOWN and set(LINKS) == set(KNOWN_LINKS)


@pytest.mark.filterwarnings("ignore")
def test_the_network_is_asked_no_more_rows_than_the_budget(run, made, monkeypatch):
    """In place of a time: rows of all calls, but for the few that look at the network and the table's own."""
    from acelib.adapters.exported import ExportedNetwork

    asked, forward = [], ExportedNetwork.forward
    monkeypatch.setattr(ExportedNetwork, "forward", lambda self, x: asked.append(len(x)) or forward(self, x))
    code, *_ = run(made / "iris.pt2", made / "numbers.csv", "--budget", "24000", "--format", "json", "--values", "30")
    assert code == 0 and 4 * 30 * 100 <= sum(asked) <= 24000 + 150 + 40
