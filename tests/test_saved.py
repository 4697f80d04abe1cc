"""Files on disk appear whole or not at all."""

from pathlib import Path

import pytest

from acelib._saved import load_json, save_json, write_whole


def test_write_whole_keeps_the_old_file_on_an_error(tmp_path):
    """A writer that fails half-way leaves the target as it was and nothing beside it."""
    target = tmp_path / "new" / "a.txt"
    write_whole(target, lambda temporary: temporary.write_text("first"))

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(target, fail)
    assert target.read_text() == "first"
    assert list(target.parent.iterdir()) == [target]


def test_json_names_its_format(tmp_path):
    """What was saved under a format is read under that format only, and the errors name file and remedy."""
    path = save_json(tmp_path / "deep" / "a.json", {"x": 1}, format="toy/1")
    assert load_json(path, format="toy/1", what="a toy", remedy="make one") == {"x": 1}
    with pytest.raises(ValueError, match=r"a.json .*a toy .*toy/2"):
        load_json(path, format="toy/2", what="a toy", remedy="make one")
    with pytest.raises(ValueError, match="b.json .*a toy.*make one"):
        load_json(tmp_path / "b.json", format="toy/1", what="a toy", remedy="make one")
