"""The coverage harness, on cases whose coverage is known exactly, in projects of one tiny file."""

import json
import math

import pytest
import torch

from tools.chapters import ROOT
from tools.coverage import __main__ as command
from tools.coverage import record, run
from tools.coverage.case import NORMAL, Case, agreement, hits
from tools.coverage.run import Store, repeat

CASES = """
import os, warnings
from pathlib import Path
from acelib import ApproximationWarning
from tools.coverage.case import Case, generator, hits
import torch

quantity = "mean of numbers"

def mean(n, error):
    # the mean of n normal numbers, whose standard error is known
    def run(seed):
        notes = os.environ.get("NOTES")
        if notes:
            with open(notes, "a") as file:
                file.write(f"{n} {seed}\\n")
            if (Path(notes).parent / f"stop-{seed}").exists():
                raise KeyboardInterrupt
        if error > 1:
            warnings.warn("wide", ApproximationWarning)
        value = torch.randn(n, generator=generator(seed), dtype=torch.float64).mean()
        return hits(0.0, stderr=(value, error / n**0.5))
    return Case(run, "The numbers have mean 0.", 6)

def cases():
    return {"right": mean(4, 1.0), "too wide": mean(5, 3.0)}
"""
PAGES = {
    "README.md": ("<!-- coverage: written by make coverage -->", "<!-- end of coverage -->"),
    "book/coverage.md": (
        *("<!-- summary: written by make coverage -->", "<!-- end of summary -->"),
        *("<!-- tables: written by make coverage -->", "<!-- end of tables -->"),
    ),
}


@pytest.fixture
def project(tmp_path):
    for name, text in {"tests/coverage/cover_one.py": CASES, "acelib/method.py": "x = 1\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir()
    run.loaded.cache_clear()
    return tmp_path


def written(project):
    return json.loads((project / "data/coverage.json").read_text())["results"]["one"]


def go(project, *arguments):
    return command.main([*arguments, "--processes", "0"], project)


# ---------------------------------------------------------------- counting


@pytest.mark.parametrize("width, exact", [(1.0, 0.95), (1 / NORMAL, math.erf(1 / 2**0.5)), (0.5, 0.6728)])
def test_the_coverage_of_a_normal_mean_with_known_error(width, exact):
    """Reference: P(``|Z|`` < 1.96 w) of the normal law; tolerance four standard errors of 2000 repetitions."""

    def case(seed):
        draw = torch.Generator().manual_seed(seed)
        values = torch.randn(2, 9, generator=draw, dtype=torch.float64).mean(1)
        return hits(0.0, stderr=(values, width / 3))

    found = record.summary(repeat(Case(case, "mean 0"), range(2000)), "mean 0")
    one = found["readings"]["stderr"]
    assert exact == pytest.approx(math.erf(NORMAL * width / 2**0.5), abs=1e-3)
    assert abs(one["coverage"] - exact) < 4 * one["error"]
    assert one["error"] == pytest.approx((exact * (1 - exact) / 4000) ** 0.5, rel=0.15), "two independent values"
    assert (found["repetitions"], found["values"], found["warned"]) == (2000, 2, 0)


def test_two_samples_agree_as_often_as_they_should():
    """Reference: the difference of two independent normals has √2 times their error, whatever the reading."""
    shares = []
    for seed in range(2000):
        a, b = torch.randn(2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        ends = tuple((x - NORMAL, x + NORMAL) for x in (a, b))
        found = agreement((a, 1.0), (b, 1.0), interval=ends)
        assert found["stderr"] == found["interval"]
        shares.append(float(found["stderr"]))
    assert abs(sum(shares) / 2000 - 0.95) < 4 * (0.95 * 0.05 / 2000) ** 0.5


def test_values_that_stand_and_fall_together_count_as_one():
    """Five copies of one value know no more than one; 0 or all misses are not said to be exact."""

    def of(values):
        return {i: {"held": {"stderr": v}, "values": 5, "warned": []} for i, v in enumerate(values)}

    one = record.summary(of([1.0] * 90 + [0.0] * 10), "")["readings"]["stderr"]
    assert one["error"] == pytest.approx((0.9 * 0.1 / 99) ** 0.5, abs=1e-6)
    many = record.summary(of([0.96, 0.94] * 50), "")["readings"]["stderr"]
    assert many["error"] == pytest.approx(0.01 / 99**0.5, abs=1e-6), "many independent values tell more"
    sure = record.summary(of([1.0] * 100), "")["readings"]["stderr"]
    assert sure["coverage"] == 1 and 0.008 < sure["error"] < 0.011


def test_an_unknown_error_holds_nothing_and_ends_count_as_inside():
    assert hits([0.0], stderr=([0.0], [math.nan]))["stderr"].tolist() == [False]
    assert hits([1.0, 2.0, 3.0], interval=([1.0] * 3, [2.0] * 3))["interval"].tolist() == [True, True, False]


def test_warnings_of_the_library_are_counted_and_others_are_not():
    import warnings

    from acelib import ApproximationWarning, SupportWarning

    def case(seed):
        warnings.warn("not ours", UserWarning, stacklevel=1)
        for category in ([ApproximationWarning] * 2, [ApproximationWarning, SupportWarning], [])[seed % 3]:
            warnings.warn("ours", category, stacklevel=1)
        return hits(0.0, stderr=(0.0, 1.0))

    found = record.summary(repeat(Case(case, ""), range(6)), "")
    assert found["warned"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["warnings"] == {"ApproximationWarning": 0.666667, "SupportWarning": 0.333333}


@pytest.mark.parametrize("returned", [{}, {"stdev": torch.ones(1)}])
def test_a_reading_that_is_none_is_refused(returned):
    with pytest.raises(ValueError, match="run must return some of stderr, interval, test, got"):
        repeat(Case(lambda seed: returned, ""), [0])


# ---------------------------------------------------------------- a run


def test_a_whole_run_writes_its_counts_their_conditions_and_the_tables(project, capsys):
    for name, marks in PAGES.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("\n".join(["above", *marks, "below"]))
    assert go(project) == 0
    found = written(project)
    assert set(found) == {"quantity", "conditions", "cases"} and list(found["cases"]) == ["right", "too wide"]
    assert set(found["conditions"]) == {"date", "device", "cores", "threads", "python", "torch", "numpy", "scipy"}
    assert found["conditions"]["threads"] == 1
    wide = found["cases"]["too wide"]
    assert wide["readings"]["stderr"]["coverage"] == 1 and wide["warnings"] == {"ApproximationWarning": 1.0}
    assert (wide["truth"], wide["repetitions"], wide["values"]) == ("The numbers have mean 0.", 6, 1)
    assert [path.name for path in (project / "data").iterdir()] == ["coverage.json"]
    printed = capsys.readouterr().out
    assert "2 cases, 8 repetitions to do: about 0.0 minutes" in printed, "two of each told the time"
    assert printed.index("to do") < printed.index("one: right (6)")
    for name in PAGES:
        text = (project / name).read_text()
        assert "mean of numbers" in text.lower()
        (project / name).write_text(text.replace("%", "?"))
        assert command.main(["--tables"], project) == 0 and (project / name).read_text() == text


def test_the_same_seeds_give_the_same_record_in_another_process(project, monkeypatch):
    """Repetition r has the seed r, wherever it runs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert go(project) == 0
    alone = written(project)["cases"]
    for path in (project / "_build/coverage").iterdir():
        path.unlink()
    (project / "data/coverage.json").unlink()
    assert command.main(["--processes", "1"], project) == 0
    assert written(project)["cases"] == alone


def test_a_stopped_run_goes_on_where_it_was(project, monkeypatch, capsys):
    """Reference: the seeds that the case itself writes down. Nothing is done twice, nothing is left out."""
    notes = project / "notes"
    monkeypatch.setenv("NOTES", str(notes))
    monkeypatch.setattr(run, "CHUNK", 0.0)  # one repetition at a time
    (project / "stop-4").touch()
    assert go(project) == 1
    assert "goes on from here" in capsys.readouterr().out and not (project / "data/coverage.json").exists()
    (project / "stop-4").unlink()
    before = notes.read_text().splitlines()
    assert go(project) == 0
    lines = notes.read_text().splitlines()
    assert sorted({*lines}) == [f"{n} {seed}" for n in (4, 5) for seed in range(6)]
    assert len(lines) == 12 + 1, "only the repetition that was stopped is done again"
    assert 4 < len(before) < 12
    assert go(project) == 0 and notes.read_text().splitlines() == lines, "all is there"


@pytest.mark.parametrize("changed", ["tests/coverage/cover_one.py", "acelib/method.py"])
def test_a_change_of_the_case_or_of_the_method_starts_anew(project, changed):
    name, path = ("one", "right"), project / "tests/coverage/cover_one.py"
    before, store = run.key(path, project), Store(project / "_build/coverage")
    store.write(name, before, {0: {}})
    assert store.read(name, before) == {0: {}}
    (project / changed).write_text((project / changed).read_text() + "\n# changed\n")
    assert store.read(name, run.key(path, project)) == {}
    (project / "acelib/lab").mkdir()
    (project / "acelib/lab/other.py").write_text("x = 1\n")
    assert run.key(path, project) == run.key(path, project)


def test_a_damaged_file_of_repetitions_is_done_again(project):
    store = Store(project / "_build/coverage")
    store.write(("one", "right"), "k", {0: {}})
    (path,) = (project / "_build/coverage").iterdir()
    path.write_text(path.read_text()[:20])
    assert store.read(("one", "right"), "k") == {}


def test_a_case_that_fails_does_not_hide_the_others(project, capsys):
    path = project / "tests/coverage/cover_one.py"
    path.write_text(CASES.replace("if error > 1:", "if error > 1 and seed == 3:\n            1 / 0\n        if False:"))
    assert go(project) == 1
    assert "FAILED   one, too wide, seeds" in (said := capsys.readouterr().out) and "ZeroDivisionError" in said
    assert list(written(project)["cases"]) == ["right"]


def test_a_short_look_costs_the_record_nothing(project):
    assert go(project, "one", "--reps", "4") == 0
    assert written(project)["cases"]["right"]["repetitions"] == 4, "there was nothing better"
    assert go(project) == 0
    assert go(project, "--reps", "3") == 0
    assert written(project)["cases"]["right"]["repetitions"] == 6
    assert go(project, "--reps", "9") == 0 and go(project) == 0
    assert written(project)["cases"]["right"]["repetitions"] == 6, "a full run counts, whatever was there"


def test_worlds_and_subjects_that_are_gone_leave_the_record():
    old = {"results": {"a": {"cases": {"x": {"repetitions": 9}, "y": {"repetitions": 9}}}, "b": {"cases": {}}}}
    assert record.merged(old, {}, {"a": {"y": 9}}) == {"results": {"a": {"cases": {"y": {"repetitions": 9}}}}}


@pytest.mark.parametrize(
    "arguments, said",
    [(["two"], "names must be some of one, got two"), (["--reps", "1"], "reps must be at least 2, got 1")],
)
def test_wrong_arguments_are_refused(project, capsys, arguments, said):
    assert go(project, *arguments) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "old, new", [("quantity = ", "name = "), ("def cases", "def other_cases"), ("return {", "return {} and {")]
)
def test_a_file_without_quantity_or_cases_is_refused(project, capsys, old, new):
    path = project / "tests/coverage/cover_one.py"
    path.write_text(path.read_text().replace(old, new))
    assert go(project) == 1
    assert "cover_one.py must have" in capsys.readouterr().out
