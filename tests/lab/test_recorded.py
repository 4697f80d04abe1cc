"""Numbers of full runs and benchmarks are read from their files, and recomputed at the full profile only."""

import json

import pytest

from acelib.lab import recorded


@pytest.fixture
def ledger(tmp_path):
    """A folder with one chapter's full run: two records of one prefix, one of another."""
    records = [
        {"id": "a-one", "value": 1.5, "tol": 0.1, "unit": ""},
        {"id": "a-two-a", "value": "text", "tol": 0, "unit": ""},
        {"id": "b", "value": 2, "tol": 0, "unit": ""},
    ]
    (tmp_path / "08-x.json").write_text(json.dumps({"records": records}))
    return tmp_path


def refused():
    raise AssertionError("called")


def test_full_numbers_come_with_their_tolerance(ledger):
    assert recorded.full_numbers("08-x", "a-", folder=ledger) == {"a-one": (1.5, 0.1), "a-two-a": ("text", 0)}
    assert recorded.full_numbers("08-x", folder=ledger).keys() == {"a-one", "a-two-a", "b"}
    with pytest.raises(ValueError, match="'09-y' has no full run .* `make full CHAPTERS=09-y`"):
        recorded.full_numbers("09-y", folder=ledger)


def test_a_full_run_computes_and_reads_nothing(ledger):
    """Neither the file nor the substitute is used, whether a full run is on file or not."""
    for chapter in ("08-x", "09-y"):
        found = recorded.full_or_stored(chapter, "a-", lambda: {"one": 7}, full=True, otherwise=refused, folder=ledger)
        assert found == {"one": 7}


def test_a_quick_run_reads_and_computes_nothing(ledger):
    """The prefix is cut off at the start only; other records stay out."""
    found = recorded.full_or_stored("08-x", "a-", refused, full=False, otherwise=refused, folder=ledger)
    assert found == {"one": 1.5, "two-a": "text"}


def test_a_quick_run_without_a_full_one_takes_the_substitute_or_says_what_to_run(ledger):
    found = recorded.full_or_stored("09-y", "a-", refused, full=False, otherwise=lambda: {"one": 3}, folder=ledger)
    assert found == {"one": 3}
    with pytest.raises(ValueError, match="make full CHAPTERS=09-y"):
        recorded.full_or_stored("09-y", "a-", refused, full=False, folder=ledger)


def test_times_come_from_the_benchmarks(tmp_path):
    assert recorded.timed_ratio("jets", "a / b", folder=tmp_path) is None
    results = {"jets": {"ratios": {"a / b": {"median": 7.0}}, "seconds": {"a": {"median": 0.5}}}}
    (tmp_path / "benchmarks.json").write_text(json.dumps({"results": results}))
    assert recorded.timed_ratio("jets", "a / b", folder=tmp_path) == 7.0
    assert recorded.timed_seconds("jets", "a", folder=tmp_path) == 0.5
    assert recorded.timed_seconds("jets", "other", folder=tmp_path) is None
