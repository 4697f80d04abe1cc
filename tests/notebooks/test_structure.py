"""What every chapter must have. The stored notebooks are read, not executed: set-up, parameters, outputs, figures,
exercises, and the records that the prose prints."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import nbformat
import pytest

from acelib.lab.ledger import PROVENANCE_MIME, collect, outputs_of
from tools.colab import TAGS, repository, setup_source

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]-*.ipynb"))
NOT_RUN = {"skip-execution", "nbval-skip"}
GLUE = re.compile(r"\{glue(?::\w+)?\}`([^`]+)`")
START = re.compile(r"^```\{(exercise|solution)-start\}(.*?)^```", re.MULTILINE | re.DOTALL)

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@cache
def read(path: Path):
    return nbformat.read(path, as_version=4)


def code(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def where(path, cell):
    return f"{path.name}, the cell that starts {cell.source.strip().splitlines()[:1]}"


def pictures(path):
    return [cell for cell in code(path) if any("image/png" in out.get("data", {}) for out in cell.outputs)]


def test_there_are_chapters():
    assert CHAPTERS, "book/ holds no chapter (NN-name.ipynb)"


@each_chapter
def test_notebook_is_valid_and_for_any_python3_kernel(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "papermill" not in notebook.metadata and "widgets" not in notebook.metadata
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")


@each_chapter
def test_first_code_cell_is_the_setup_for_colab(path):
    cell = code(path)[0]
    assert cell.source == setup_source(*repository(ROOT)), "see tools/colab.py; `make address` changes the address"
    assert tags(cell) == set(TAGS) and not cell.outputs and cell.execution_count is None


@each_chapter
def test_parameters_cell(path):
    (cell,) = [cell for cell in code(path) if "parameters" in tags(cell)]
    lines = [ast.unparse(node) for node in ast.parse(cell.source).body]
    assert lines == ["profile: str = 'quick'", "seed: int = 0"]


@each_chapter
def test_every_cell_ran_and_ran_well(path):
    """In order, from a fresh kernel, with no error, no warning and nothing that differs from machine to machine."""
    ran = [cell for cell in code(path) if not tags(cell) & NOT_RUN and cell.source.strip()]
    counts = [cell.execution_count for cell in ran]
    assert counts == sorted(set(counts)), f"execution counts {counts}: run the chapter from top to bottom"
    for cell in code(path):
        assert cell in ran or not cell.outputs, f"{where(path, cell)} is skipped and yet has outputs"
        for out in cell.outputs:
            assert out.output_type != "error", f"{where(path, cell)} stores an error"
            assert out.get("name") != "stderr", f"{where(path, cell)} stores a warning: {out.get('text')}"


@each_chapter
def test_outputs_name_no_object_and_no_place(path):
    """``<Figure size …>``, memory addresses and folders of the machine are not worth keeping."""
    for cell in code(path):
        for out in cell.outputs:
            texts = [out.get("text", "")] + [out.get("data", {}).get(mime, "") for mime in ("text/plain", "text/html")]
            text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", "\n".join(texts))
            found = re.search(r"<Figure size|<matplotlib|\bat 0x[0-9a-f]+|(?<![\w.:/])/(home|root|tmp|Users)/", text)
            if "image/png" in out.get("data", {}) and found and found[0] == "<Figure size":
                found = None  # what plt.show() says beside its picture; sizes are fixed in code
            assert not found, f"{where(path, cell)} shows {found[0]!r}"


@each_chapter
def test_cells_are_plain_python(path):
    for cell in code(path):
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE), f"{where(path, cell)} uses a magic or the shell"
        assert "myst_nb" not in cell.source, f"{where(path, cell)} needs myst_nb, which Colab and Jupyter lack"
        assert not cell.source.rstrip().endswith(";"), f"{where(path, cell)} ends in a semicolon"


@each_chapter
def test_every_figure_has_words_a_caption_and_a_number(path):
    for cell in pictures(path):
        options = cell.metadata.get("mystnb", {})
        alt = options.get("image", {}).get("alt", "")
        said = len(alt) >= 20 and not re.search(r"\.(png|svg|jpe?g)$|^[0-9a-f]{8,}", alt)
        assert said, f"{where(path, cell)}: alternative text {alt!r}"
        figure = options.get("figure", {})
        assert len(figure.get("caption", "")) >= 20, f"{where(path, cell)} has no caption"
        assert re.fullmatch(r"fig-[a-z0-9-]+", figure.get("name", "")), f"{where(path, cell)} is not named fig-…"
        shown = sum("image/png" in out.get("data", {}) for out in cell.outputs)
        assert shown == 1, f"{where(path, cell)} shows {shown} pictures under one caption"


def test_figure_names_are_unique():
    names = Counter(cell.metadata["mystnb"]["figure"]["name"] for path in CHAPTERS for cell in pictures(path))
    assert not [name for name, count in names.items() if count > 1]


@each_chapter
def test_exercises_have_folded_solutions(path):
    """Three or more exercises; each has one solution, folded in the page, in Jupyter and on Colab."""
    labels, solved, inside = [], [], False
    for cell in read(path).cells:
        if cell.cell_type == "code":
            if inside:
                hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
                assert hidden is True, f"{where(path, cell)} is not hidden in Jupyter"
                assert cell.metadata.get("cellView") == "form", f"{where(path, cell)} is not folded on Colab"
            continue
        for kind, body in START.findall(cell.source):
            if kind == "exercise":
                labels += re.findall(r"^:label:\s*(\S+)", body, re.MULTILINE)
            else:
                solved.append(body.split()[0])
                assert ":class: dropdown" in body, f"the solution of {solved[-1]} is not folded (:class: dropdown)"
                inside = True
        if "```{solution-end}" in cell.source:
            inside = False
    text = "\n".join(prose(path))
    for kind in ("exercise", "solution"):
        assert text.count(f"```{{{kind}-start}}") == text.count(f"```{{{kind}-end}}"), f"an {kind} is not closed"
    assert not re.search(r"\{(exercise|solution)\}", text), "use the gated form: exercise-start … exercise-end"
    assert sorted(labels) == sorted(solved) and len(set(labels)) == len(labels) >= 3, (labels, solved)


@each_chapter
def test_prose_prints_only_records(path):
    for source in prose(path):
        for text in GLUE.findall(source):
            other, _, rest = text.rpartition("::")
            key, _, form = rest.partition(":")
            records = collect(path.parent / other if other else path)[0]
            found = {item["id"]: item for item in records}
            assert key in found, f"{path.name} prints {key!r}, which is no record of {other or 'the chapter'}"
            assert form[-1:].isalpha() or form.endswith("%"), f"{path.name}: {text!r} needs a format, such as {key}:.3f"
            value = found[key]["value"]
            assert not (isinstance(value, float) and form.endswith("s")), f"{text!r} prints every digit of a float"
            format(str(value) if form.endswith("s") else int(value) if form.endswith("d") else float(value), form)


@each_chapter
def test_a_slider_of_the_chapter_stands_in_its_opening(path):
    """To be moved before anything is explained; the cell that draws it further down does not show it again."""
    shown = re.findall(r"^```\{glue\} (\S+)\n```$", read(path).cells[0].source, re.MULTILINE)
    assert len(shown) == 1, f"{path.stem} shows {shown} in its opening"
    assert not any("```{glue}" in cell.source for cell in read(path).cells[1:])
    (drawn,) = (cell for cell in code(path) if f'"{shown[0]}",' in cell.source)
    assert {"hide-input", "remove-output"} <= set(drawn.metadata.tags), f"{where(path, drawn)} shows the slider again"
    glued = [output.metadata.get("scrapbook", {}).get("name") for output in drawn.outputs]
    assert shown[0] in glued, f"{where(path, drawn)} is not executed and stored"


def test_ids_are_unique_in_the_book():
    for index, kind in enumerate(("records", "claims")):
        names = Counter(item["id"] for path in CHAPTERS for item in collect(path)[index])
        assert not [name for name, count in names.items() if count > 1], kind


@each_chapter
def test_chapter_claims_something_and_ends_in_key_ideas_and_provenance(path):
    headings = [line for source in prose(path) for line in source.splitlines() if line.startswith("## ")]
    assert any(line.strip().lower() == "## key ideas" for line in headings)
    assert collect(path)[1], "the chapter judges no claim"
    last = code(path)[-1]
    assert "nbval-ignore-output" in tags(last), "the last code cell shows the provenance and is not compared"
    (facts,) = outputs_of(path, PROVENANCE_MIME)
    assert (facts["profile"], facts["seed"]) == ("quick", 0), "stored outputs come from a quick run with seed 0"
    assert any(PROVENANCE_MIME in out.get("data", {}) for out in last.outputs)
