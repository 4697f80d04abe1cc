"""The benchmark runner, with cases whose times are known because the clock is ours."""

import gc
import itertools
import json
from types import SimpleNamespace

import pytest

from tools import bench

CASES = """
calls = []
def cases():
    return {"slow": lambda: calls.append("slow"), "fast": lambda: calls.append("fast")}
per = {"slow": 10}
ratios = {"gain": ("slow", "fast")}
expect = {"gain": "at least 0"}
"""


class Clock:
    """A clock that only the cases move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds):
        steps = itertools.cycle(seconds)

        def case():
            self.now += next(steps)

        return case


def test_cases_take_turns_and_the_first_rounds_do_not_count():
    """Reference: the order of calls written down by the cases themselves."""
    calls, clock = [], Clock()
    cases = {name: lambda name=name: calls.append(name) for name in "abc"}
    seconds = bench.measure(cases, rounds=9, warmup=1, clock=clock)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 9, "b": 9, "c": 9}
    assert len(calls) == 30
    assert all(sorted(calls[i : i + 3]) == ["a", "b", "c"] for i in range(0, 30, 3))
    assert len({tuple(calls[i : i + 3]) for i in range(0, 30, 3)}) == 3  # nobody always comes first


def test_garbage_is_collected_again_after_a_case_that_raises():
    seen = []
    with pytest.raises(ZeroDivisionError):
        bench.measure({"bad": lambda: seen.append(gc.isenabled()) or 1 / 0}, rounds=9)
    assert seen == [False] and gc.isenabled()


def test_a_ratio_is_taken_inside_each_round():
    """Both cases slow down together in every third round: the ratio never moves though the times do."""
    clock = Clock()
    module = SimpleNamespace(
        __name__="m",
        ratios={"r": ("a", "b")},
        per={"a": 2},
        expect={"r": "about 2"},
        cases=lambda: {"a": clock.takes([4, 4, 40]), "b": clock.takes([1, 1, 10])},
        measured=lambda: {"error": 0.25},
    )
    result = bench.run(module, rounds=9, clock=clock)
    assert result["measured"] == {"error": 0.25}
    assert result["ratios"]["r"] == {
        "numerator": "a",
        "denominator": "b",
        "rounds": 9,
        "median": 2.0,
        "lower_quartile": 2.0,
        "upper_quartile": 2.0,
        "expected": "about 2",
    }
    assert result["seconds"]["a"] == {"median": 2.0, "lower_quartile": 2.0, "upper_quartile": 20.0, "per": 2}


@pytest.mark.parametrize("cases, rounds", [({"a": int}, 8), ({}, 9)])
def test_too_few_rounds_or_cases_are_refused(cases, rounds):
    with pytest.raises(ValueError, match="at least 9 and 1, got"):
        bench.measure(cases, rounds=rounds)


@pytest.mark.parametrize("wrong", [{"per": {"x": 1}}, {"ratios": {"r": ("a", "x")}}, {"expect": {"x": "1"}}])
def test_a_name_that_is_no_case_is_refused(wrong):
    module = SimpleNamespace(__name__="m", cases=lambda: {"a": int}, **wrong)
    with pytest.raises(ValueError, match="of m must name its cases and ratios, got x"):
        bench.run(module, rounds=9)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "tests/benchmarks").mkdir(parents=True)
    (tmp_path / "tests/benchmarks/bench_one.py").write_text(CASES)
    return tmp_path


def test_a_whole_run_writes_its_numbers_and_their_conditions(project, capsys):
    assert bench.main(["--rounds", "9", "--threads", "1"], project) == 0
    written = json.loads((project / "data/benchmarks.json").read_text())
    assert written["rounds"] == 9 and written["conditions"]["threads"] == 1
    assert set(written["conditions"]) == {"date", "device", "cores", "threads", "python", "torch", "numpy", "scipy"}
    assert all(written["conditions"].values())
    gain = written["results"]["one"]["ratios"]["gain"]
    assert 0 < gain["lower_quartile"] <= gain["median"] <= gain["upper_quartile"]
    assert [path.name for path in (project / "data").iterdir()] == ["benchmarks.json"]
    printed = capsys.readouterr().out
    assert "per 1/10 of a call" in printed and "(expected at least 0)" in printed and "data/benchmarks.json" in printed


def test_one_module_alone_is_shown_and_not_written(project, capsys):
    assert bench.main(["one", "--rounds", "9", "--threads", "1"], project) == 0
    assert "gain" in capsys.readouterr().out
    assert list((project / "data").iterdir()) == []


def test_an_unknown_module_and_an_empty_folder_are_refused(project, tmp_path, capsys):
    assert bench.main(["two"], project) == 1
    assert "names must be some of one, got two" in capsys.readouterr().err
    (project / "tests/benchmarks/bench_one.py").unlink()
    assert bench.main([], project) == 1
    assert "tests/benchmarks is empty" in capsys.readouterr().err


def test_a_module_without_cases_is_refused(project, capsys):
    (project / "tests/benchmarks/bench_one.py").write_text("x = 1\n")
    assert bench.main([], project) == 1
    assert "bench_one.py must have a function `cases()`" in capsys.readouterr().err


def test_the_device_is_the_one_that_computed(monkeypatch):
    """The cases compute on the CPU: a GPU that is there and idle is not named."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "A GPU")
    assert bench.conditions(1)["device"] == bench.processor_name()


def test_the_readme_quotes_the_recorded_run():
    """The table in README.md is what ``quote`` makes of ``data/benchmarks.json``, so no number there is typed."""
    content = json.loads((bench.ROOT / "data/benchmarks.json").read_text())
    text = (bench.ROOT / "README.md").read_text()
    assert bench.quote(content, text) == text
    for module, name, _ in bench.QUOTED:
        assert f"{content['results'][module]['ratios'][name]['median']:.3g}" in text
    with pytest.raises(ValueError, match="README.md must hold"):
        bench.quote(content, "no marks")
    assert "full Hessian" not in bench.quote({**content, "results": {}}, text).split(bench.MARKS[0])[1][:200]


def test_one_module_measured_anew_is_written_beside_the_others_with_its_conditions(project, monkeypatch, capsys):
    bench.main(["--rounds", "9", "--threads", "1"], root=project)
    before = json.loads((project / "data/benchmarks.json").read_text())
    monkeypatch.setattr(bench, "processor_name", lambda: "Another Processor")
    assert bench.main(["one", "--write", "--rounds", "9", "--threads", "1"], root=project) == 0
    after = json.loads((project / "data/benchmarks.json").read_text())
    assert after["conditions"] == before["conditions"] and set(after["results"]) == set(before["results"])
    assert after["results"]["one"]["conditions"]["device"] == "Another Processor"
    content = json.loads((bench.ROOT / "data/benchmarks.json").read_text())
    content["results"]["jets"]["conditions"] = {**content["conditions"], "device": "Another Processor", "threads": 7}
    text = bench.quote(content, "\n".join(bench.MARKS))
    assert text.count("(7 threads, Another Processor)") == sum(module == "jets" for module, _, _ in bench.QUOTED)
