"""Are records and claims checked, shown and collected as they should be? Verdicts and texts are written out by hand."""

from __future__ import annotations

import json

import nbformat
import numpy as np
import pytest
import torch
from helpers import CLAIM
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from acelib.lab import ledger
from acelib.lab.claims import claim_from
from acelib.lab.claims.cards import claim_html, claim_text, number_text, ours_text
from acelib.lab.ledger import CLAIM_MIME, GLUE_PREFIX, PROVENANCE_MIME, RECORD_MIME, claim, collect, record


@pytest.fixture(autouse=True)
def session(monkeypatch):
    """A fresh kernel session: no id has been used yet."""
    monkeypatch.setattr(ledger, "_seen", {})


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.fixture
def known(monkeypatch):
    """A file of claims with one in it, and no full run on file."""
    claims = {"t-third": claim_from("t-third", CLAIM)}
    monkeypatch.setattr(ledger, "read_claims", lambda: claims)
    monkeypatch.setattr(ledger, "judged", lambda key: None)
    return claims


def claimed(key="t-third", numbers=None, tol=1e-9, **changes):
    return ledger.claim_item(claim_from(key, CLAIM | changes), numbers or {"third": 1 / 3}, tol=tol)


def test_record_is_one_output_with_text_glue_and_json(shell):
    """The glued value is the number's repr: every digit, so that any format in the prose is exact."""
    value = 1 / 3
    with capture_output() as captured:
        record("t-third", value, tol=1e-4, unit="m")
    (out,) = captured.outputs
    assert out.data == {
        "text/plain": "t-third = 0.3333 m",
        GLUE_PREFIX + "text/plain": "0.3333333333333333",
        RECORD_MIME: {"id": "t-third", "value": value, "tol": 1e-4, "unit": "m"},
    }
    assert out.metadata == {"scrapbook": {"name": "t-third", "mime_prefix": "application/papermill.record/"}}


def test_claim_is_one_output_with_text_card_and_json(shell, known):
    with capture_output() as captured:
        claim("t-third", {"third": 1 / 3}, tol=1e-9)
    (out,) = captured.outputs
    assert set(out.data) == {"text/plain", "text/html", CLAIM_MIME}
    assert out.data[CLAIM_MIME]["verdict"] == "number reproduced"
    json.dumps(out.data[CLAIM_MIME], allow_nan=False)


def test_the_profile_is_the_notebook_s(shell, known):
    """A full run judges; a quick one shows what the full run found, or that there was none."""
    for profile in ("quick", "full"):
        shell.user_ns["profile"] = profile
        ledger._seen.clear()
        with capture_output() as captured:
            claim("t-third", {"third": 1 / 3}, tol=1e-9)
        item = captured.outputs[0].data[CLAIM_MIME]
        assert item["profile"] == profile
        assert ("not judged yet" in claim_text(item)) == (profile == "quick")


def test_outside_ipython_the_text_is_printed(capsys):
    record("t-count", 7, unit="rows")
    assert capsys.readouterr().out == "t-count = 7 rows\n"


@pytest.mark.parametrize(
    ("value", "tol", "stored", "text"),
    [
        (np.float64(2.5), 0.1, 2.5, "2.5"),
        (torch.tensor(2.5, dtype=torch.float64), 0.1, 2.5, "2.5"),
        (torch.tensor([3]), None, 3, "3"),
        (np.int64(4), None, 4, "4"),
        (np.bool_(True), None, True, "True"),
        (np.array([[0.5]]), 1e-3, 0.5, "0.5"),
        ("taylor", None, "taylor", "taylor"),
        (0.25, 0, 0.25, "0.25"),
    ],
)
def test_values_become_plain_scalars(value, tol, stored, text):
    item = ledger.record_item("t-value", value, tol=tol)
    assert item["value"] == stored and type(item["value"]) is type(stored)
    assert number_text(item["value"], item["tol"]) == text


@pytest.mark.parametrize(
    ("value", "tol", "text"),
    [
        (3.4985, 1e-6, "3.4985"),
        (3.49, 0.5, "3.5"),
        (3.49, 1, "3"),
        (-1e-12, 1e-6, "0"),
        (1234.5, 10, "1234"),
        (1e-16, 1e-14, "0"),
        (120.0, 0.1, "120"),
    ],
)
def test_a_number_has_no_more_digits_than_its_tolerance(value, tol, text):
    assert number_text(value, tol) == text


@pytest.mark.parametrize(
    ("key", "value", "tol", "error", "words"),
    [
        ("Bad Id", 1, None, ValueError, "lower-case letters"),
        ("bad_id", 1, None, ValueError, "hyphens"),
        (5, 1, None, ValueError, "hyphens"),
        ("t-x", float("nan"), 1, ValueError, "must be finite"),
        ("t-x", np.float64("inf"), 1, ValueError, "must be finite"),
        ("t-x", 1.5, None, ValueError, "tol of record 't-x' must be given for a float"),
        ("t-x", 1.5, -1, ValueError, ">= 0"),
        ("t-x", 1.5, float("nan"), ValueError, "finite"),
        ("t-x", 1.5, True, ValueError, "must be a number"),
        ("t-x", True, 0.1, ValueError, "must be 0 for a"),
        ("t-x", "a", 0.1, ValueError, "must be 0 for a"),
        ("t-x", None, 1, TypeError, "NoneType"),
        ("t-x", np.zeros(3), 1, TypeError, "array of 3"),
        ("t-x", torch.zeros(2), 1, TypeError, "array of 2"),
    ],
)
def test_a_bad_record_is_refused(key, value, tol, error, words):
    with pytest.raises(error, match=words):
        record(key, value, tol=tol)


@pytest.mark.parametrize(
    ("numbers", "tol", "error", "words"),
    [
        ({"half": 0.5}, 1e-9, ValueError, "got none for third"),
        ({"third": float("nan")}, 1e-9, ValueError, "finite"),
        ({"third": [1, 2]}, 1e-9, TypeError, "list"),
        ({"third": 1 / 3}, None, ValueError, "tol of claim 't-third' must be given for the float 'third'"),
        ({"third": 1 / 3}, {"other": 1.0}, ValueError, "must be given for the float 'third'"),
        ({"third": 1 / 3}, -1e-9, ValueError, ">= 0"),
    ],
)
def test_a_claim_with_bad_numbers_is_refused(numbers, tol, error, words):
    with pytest.raises(error, match=words):
        claimed(numbers=numbers, tol=tol)


def test_numbers_are_given_where_something_is_tested_and_only_there():
    one = claim_from("t-third", CLAIM)
    with pytest.raises(ValueError, match="must be given in a full run"):
        ledger.claim_item(one, None)
    assert ledger.claim_item(one, None, profile="quick")["numbers"] == {}
    none = claim_from("t-third", CLAIM | {"tests": []})
    with pytest.raises(ValueError, match="must be left out"):
        ledger.claim_item(none, {"third": 1}, tol=0)
    assert ledger.claim_item(none, None)["verdict"] == "cannot be tested here"


def test_the_card_escapes_text_and_names_each_number():
    item = claimed(numbers={"third": 1 / 3, "n": 3}, statement="x < y & <b>")
    card = claim_html(item, "ledger.html#claim-t-third")
    assert "n = 3, third = 0.333333333" in card and "x &lt; y &amp; &lt;b&gt;" in card
    assert "script" not in card and "http" not in card and '<a href="ledger.html#claim-t-third">' in card
    assert ours_text({}, {}) == "–"


def test_an_id_means_one_thing_in_a_session(known):
    """Running a cell again is fine; another claim under the same id is not."""
    for _ in range(2):
        claim("t-third", {"third": 1 / 3}, tol=1e-9)
    known["t-third"] = claim_from("t-third", CLAIM | {"statement": "A third is 0.3."})
    with pytest.raises(ValueError, match="one claim, got 't-third' for another statement"):
        claim("t-third", {"third": 1 / 3}, tol=1e-9)
    record("t-third", 1)  # a record may share its name with a claim


def test_a_claim_that_nobody_wrote_down_is_refused(known):
    with pytest.raises(ValueError, match="id of a claim in book/claims.toml, got 't-fourth'"):
        claim("t-fourth")


def test_an_id_is_used_once_in_a_cell(shell):
    result = shell.run_cell("from acelib.lab.ledger import record\nrecord('t-a', 1)\nrecord('t-a', 2)")
    assert "'t-a' twice in one cell" in str(result.error_in_exec)
    for _ in range(2):
        assert shell.run_cell("record('t-b', 1)", store_history=True).success


def notebook(*data, profile="full"):
    footer = {PROVENANCE_MIME: {"profile": profile, "seed": 0}}
    outputs = [nbformat.v4.new_output("display_data", data=d) for d in [*data, *([footer] if profile else [])]]
    stream = nbformat.v4.new_output("stream", text="x")
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_code_cell("x", outputs=[stream, *outputs])]
    )


def one_of_each():
    return [ledger.render_record(ledger.record_item("t-a", 1)), ledger.render_claim(claimed())]


def test_collect_reads_a_node_and_a_file(tmp_path):
    node = notebook(*one_of_each())
    nbformat.write(node, tmp_path / "n.ipynb")
    expected = ([ledger.record_item("t-a", 1)], [claimed()])
    assert collect(node) == collect(tmp_path / "n.ipynb") == collect(str(tmp_path / "n.ipynb")) == expected


@pytest.mark.parametrize(("index", "name"), [(0, "record 't-a'"), (1, "claim 't-third'")])
def test_collect_refuses_repeated_ids(index, name):
    both = one_of_each()
    with pytest.raises(ValueError, match=name):
        collect(notebook(*both, both[index]))


def test_save_ledger_writes_everything_at_once(tmp_path):
    path = tmp_path / "data" / "ledger" / "04-causal-regressors.json"
    entry = ledger.save_ledger(notebook(*one_of_each()), path, profile="full")
    assert json.loads(path.read_text()) == entry
    assert entry["chapter"] == "04-causal-regressors" and entry["provenance"]["seed"] == 0
    assert (len(entry["records"]), len(entry["claims"])) == (1, 1)
    assert "full" not in entry["claims"][0] and entry["claims"][0]["verdict"] == "number reproduced"
    assert [p.name for p in path.parent.iterdir()] == [path.name], "no temporary file stays behind"


@pytest.mark.parametrize(("profile", "words"), [("quick", "'full', got 'quick'"), (None, "provenance, got none")])
def test_save_ledger_refuses_a_run_it_cannot_vouch_for(tmp_path, profile, words):
    with pytest.raises(ValueError, match=words):
        ledger.save_ledger(notebook(profile=profile), tmp_path / "x.json", profile="full")
    assert not list(tmp_path.iterdir())
