"""Numbers of full runs and benchmarks are read from their files."""

import json

import pytest

from acelib.lab import recorded


def test_full_numbers_and_times_come_from_their_files(tmp_path):
    records = [{"id": "a-one", "value": 1.5, "tol": 0.1, "unit": ""}, {"id": "b", "value": 2, "tol": 0, "unit": ""}]
    (tmp_path / "08-x.json").write_text(json.dumps({"records": records}))
    assert recorded.full_numbers("08-x", "a-", folder=tmp_path) == {"a-one": (1.5, 0.1)}
    with pytest.raises(ValueError, match="make full CHAPTERS=09-y"):
        recorded.full_numbers("09-y", folder=tmp_path)
    assert recorded.timed_ratio("jets", "a / b", folder=tmp_path) is None
    results = {"jets": {"ratios": {"a / b": {"median": 7.0}}, "seconds": {"a": {"median": 0.5}}}}
    (tmp_path / "benchmarks.json").write_text(json.dumps({"results": results}))
    assert recorded.timed_ratio("jets", "a / b", folder=tmp_path) == 7.0
    assert recorded.timed_seconds("jets", "a", folder=tmp_path) == 0.5
    assert recorded.timed_seconds("jets", "other", folder=tmp_path) is None
