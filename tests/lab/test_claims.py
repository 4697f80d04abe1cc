"""Claims as data: what their file may say, and the verdict that follows. Verdicts are written out by hand."""

from __future__ import annotations

import copy
import itertools
import json
import os

import pytest
from helpers import CLAIM

from acelib.lab import claims
from acelib.lab.claims import CONDITION, FINDING, NUMBER, REFUTED, UNTESTED, claim_from, judged, read_claims
from acelib.lab.claims.cards import claim_html, claim_text
from acelib.lab.claims.inequality import holds, names_in
from acelib.lab.home import root
from acelib.lab.ledger import claim_item

ENTRY = CLAIM | {
    "condition": "to three digits",
    "tests": [CLAIM["tests"][0] | {"others": [1e-4, 1e-3]}],
}


def entry(**changes):
    return copy.deepcopy(ENTRY) | changes


def of_roles(kind, *roles):
    tests = [dict(reading=f"test {i}", inequality=f"x{i} > 0", role=role) for i, role in enumerate(roles)]
    return claim_from("t-x", entry(kind=kind, tests=tests))


@pytest.mark.parametrize("outcomes", list(itertools.product([True, False], repeat=3)))
@pytest.mark.parametrize("kind", claims.KINDS)
def test_the_verdict_follows_from_readings_and_conditions(kind, outcomes):
    """All readings: it holds. Some, or the condition alone: under a condition. A control decides nothing."""
    first, second, condition = outcomes
    claim = of_roles(kind, "reading", "reading", "condition", "control")
    for control in (0, 1):
        numbers = {"x0": first, "x1": second, "x2": condition, "x3": control}
        if first and second:
            expected = NUMBER if kind == "number" else FINDING
        else:
            expected = CONDITION if first or second or condition else REFUTED
        assert claim.verdict(numbers) == expected
        assert claim.outcomes(numbers) == [first, second, condition, bool(control)]


def test_a_condition_alone_never_makes_it_hold_in_general():
    claim = of_roles("finding", "condition")
    assert (claim.verdict({"x0": 1}), claim.verdict({"x0": 0})) == (CONDITION, REFUTED)
    assert claim_from("t-x", entry(tests=[])).verdict({}) == UNTESTED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"statement": " "}, "statement of claim 't-x' must be a text"),
        ({"why": ""}, "why of claim"),
        ({"printed": ""}, "printed of claim"),
        ({"pilots": ""}, "pilots of claim"),
        ({"where": ""}, "where of claim"),
        ({"paper": "bible"}, "paper of claim 't-x' must be one of ace"),
        ({"kind": "joke"}, "kind of claim"),
        ({"verdict": "refuted"}, "must have the entries of Claim, got verdict"),
        ({"tests": [dict(reading="a", inequality="x > 0", role="control")]}, "got controls alone"),
        ({"tests": [dict(reading="", inequality="x > 0")]}, "reading of test 0"),
        ({"tests": [dict(reading="a", inequality="x > threshold")]}, "threshold of test 0"),
        ({"tests": [dict(reading="a", inequality="x > 0", threshold=1.0)]}, "and only then"),
        ({"tests": [dict(reading="a", inequality="x > 0", others=[1.0])]}, "others of test 0"),
        ({"tests": [dict(reading="a", inequality="x > 0", evidence="hearsay")]}, "evidence of test 0"),
        ({"tests": [dict(reading="a", inequality="x > 0", role="judge")]}, "role of test 0"),
        ({"tests": [dict(reading="a", inequality="x > 0", result=True)]}, "entries of Test, got result"),
        ({"condition": "", "tests": [dict(reading="a", inequality="x > 0", role="condition")]}, "condition of claim"),
        ({"condition": "", "tests": [dict(reading=r, inequality="x > 0") for r in "ab"]}, "condition of claim"),
    ],
)
def test_a_bad_entry_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        claim_from("t-x", entry(**changes))


@pytest.mark.parametrize("key", ["Bad", "a_b", "a--b"])
def test_a_bad_id_is_refused(key):
    with pytest.raises(ValueError, match="lower-case letters"):
        claim_from(key, ENTRY)


@pytest.mark.parametrize(
    ("text", "numbers", "expected"),
    [
        ("a < b", {"a": 1, "b": 2}, True),
        ("0 <= a < 1 and not b > 2", {"a": 1, "b": 1}, False),
        ("min(a, b) >= 0.5 * max(a, b)", {"a": 1.0, "b": 2.0}, True),
        ("abs(a - -1) / 2 + 1 == b", {"a": 1, "b": 2.0}, True),
        ("a != 0 or b <= 1", {"a": 0, "b": 2}, False),
        ("flag", {"flag": True}, True),
    ],
)
def test_an_inequality_is_what_it_says(text, numbers, expected):
    assert holds(text, numbers) is expected
    assert names_in(text) == set(numbers)


NO_INEQUALITIES = """
a +
1 + 2
a if b else c
__import__('os')
a.b > 1
f(a) > 1
a > 'x'
a[0] > 1
a ** 9 > 1
abs(x=1) > 0
[a] > 0
a is b
a in b
(lambda: 1)() > 0
""".strip().splitlines()


@pytest.mark.parametrize("text", NO_INEQUALITIES)
def test_nothing_else_is_an_inequality(text):
    with pytest.raises(ValueError, match="inequality must"):
        holds(text, {"a": 1, "b": 1, "x": 1})


@pytest.mark.parametrize("text", ["a", "abs > 1"])
def test_a_name_asks_for_a_number(text):
    """A lone name is a truth value, and the name of a function that is not called is a name."""
    with pytest.raises(ValueError, match="got none for"):
        holds(text, {})


def quick(full, numbers=None, **changes):
    return claim_item(claim_from("t-x", entry(**changes)), numbers, tol=1e-9, profile="quick", full=full)


@pytest.fixture
def full():
    return claim_item(claim_from("t-x", ENTRY), {"third": 1 / 3}, tol=1e-9)


def test_a_quick_run_shows_the_verdict_of_the_full_one(full):
    agrees, differs, silent = quick(full, {"third": 0.3331}), quick(full, {"third": 0.34}), quick(full)
    for item, words in ((agrees, "agrees"), (differs, "this page gives: refuted"), (silent, "only the full run")):
        text = claim_text(item)
        assert text.startswith("[number reproduced]") and words in text and "third = 0.333333333" in text


def test_the_card_shows_the_sensitivity_to_the_threshold(full):
    assert "< 0.0005 ✓; at 0.0001 ✗, 0.001 ✓" in claim_text(full)


@pytest.mark.parametrize(
    "change",
    [
        dict(statement="A third is 0.3."),
        dict(printed="0.3"),
        dict(kind="finding"),
        dict(condition="to one digit"),
        dict(tests=[ENTRY["tests"][0] | {"threshold": 1e-3}]),
        dict(tests=[ENTRY["tests"][0] | {"inequality": "abs(third - 0.333) <= threshold"}]),
        dict(tests=[ENTRY["tests"][0] | {"reading": "to the digit before"}]),
        dict(tests=[ENTRY["tests"][0] | {"others": []}]),
    ],
    ids=lambda change: "-".join(change),
)
def test_a_claim_edited_after_its_run_is_shown_as_edited(full, change):
    for numbers in ({"third": 1 / 3}, None):
        text, card = (show(quick(full, numbers, **change)) for show in (claim_text, claim_html))
        assert text.startswith("[edited after its run]") and "judged it: number reproduced" in text
        assert "edited after its run" in card and "✓ number reproduced" not in card


@pytest.mark.parametrize("change", [dict(why="Another reason."), dict(pilots="many"), dict(where="Sec. 2")])
def test_reasons_may_be_improved(full, change):
    assert claim_text(quick(full, {"third": 1 / 3}, **change)).startswith("[number reproduced]")


def test_a_card_whose_badge_disagrees_with_its_test_cannot_be_made(full):
    """Neither the verdict of the run itself nor that of the full run can be written over."""
    forged = full | {"verdict": "refuted"}
    for item in (forged, quick(full) | {"full": forged}):
        for show in (claim_text, claim_html):
            with pytest.raises(ValueError, match="must follow from its numbers, 'number reproduced', got 'refuted'"):
                show(item)


def test_ours_has_no_badge():
    ours = claim_from("t-x", dict(statement="S.", why="W.", tests=[dict(reading="r", inequality="x > 0")]))
    card = claim_html(claim_item(ours, {"x": 1.0}, tol=0.1))
    assert "ours:" in card and not any(verdict in card for verdict in claims.VERDICTS)


def test_judged_finds_the_last_full_run(tmp_path, full):
    saved = {"claims": [{k: v for k, v in full.items() if k != "full"}]}
    (tmp_path / "01-a.json").write_text(json.dumps(saved))
    assert judged("t-x", tmp_path) == ("01-a", saved["claims"][0])
    assert judged("t-y", tmp_path) is None


def test_an_edit_of_claims_or_of_a_full_run_is_read_again(tmp_path, full):
    """Both are remembered while their file is as it was, also within one session of a notebook."""
    file, run = tmp_path / "claims.toml", tmp_path / "01-a.json"
    for second, said in enumerate(("First.", "Second.", "Third.")):
        file.write_text(f"[t-x]\nstatement = '{said}'\nwhy = 'W.'\n")
        run.write_text(json.dumps({"claims": [full | {"verdict": said}]}))
        for path in (file, run):
            os.utime(path, (second, second))
        assert read_claims(file)["t-x"].statement == said
        assert judged("t-x", tmp_path)[1]["verdict"] == said


def test_the_file_of_claims_is_sound():
    """Every claim is read, and every refutation that could be is tested by at least one reading."""
    for claim in read_claims().values():
        assert claim.text()["tests"] is not None
        assert len(claim.statement.split()) <= 45, f"{claim.id} says too much at once"


def test_full_runs_on_file_say_what_follows_from_their_numbers():
    for path in sorted((root() / "data/ledger").glob("*.json")):
        for item in json.loads(path.read_text())["claims"]:
            claim = claim_from(item["id"], item["claim"])
            assert item["verdict"] == claim.verdict(item["numbers"]), (path.stem, item["id"])
            assert item["digest"] == claim.digest(), (path.stem, item["id"])
