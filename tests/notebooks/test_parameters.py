"""A chapter can be run with other parameters, and only with those it has."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from acelib.lab.ledger import PROVENANCE_MIME, collect, outputs_of
from tools.execute import execute_notebook

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]-*.ipynb"))


def chapter_one() -> Path:
    assert CHAPTERS and CHAPTERS[0].name.startswith("01-"), "book/ holds no chapter 01"
    return CHAPTERS[0]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_parameters_are_the_documented_ones(path):
    found = papermill.inspect_notebook(str(path))
    assert {name: (entry["inferred_type_name"], entry["default"]) for name, entry in found.items()} == {
        "profile": ("str", '"quick"'),
        "seed": ("int", "0"),
    }


def test_an_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        execute_notebook(chapter_one(), parameters={"nonsense": 1}, out=tmp_path / "out.ipynb")
    assert not list(tmp_path.iterdir())


def test_chapter_one_runs_with_another_seed(tmp_path):
    """The same records and claims come out, and the footer says which seed it was."""
    path = chapter_one()
    out = execute_notebook(path, parameters={"seed": 1}, out=tmp_path / path.name)
    notebook = nbformat.read(out, as_version=4)
    for new, stored in zip(collect(notebook), collect(path), strict=True):
        assert [item["id"] for item in new] == [item["id"] for item in stored]
    assert outputs_of(notebook, PROVENANCE_MIME)[-1]["seed"] == 1
