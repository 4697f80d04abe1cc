"""The hashes of the pins: the file that ships against ``constraints.txt``, and how it is made from pip's report."""

import json
import re
import subprocess

import pytest

from tools import hashes
from tools.chapters import ROOT

A, B, C = ("0" * 64, "1" * 64, "2" * 64)
HERE, THERE = "CPython 3.11 on linux x86_64", "CPython 3.11 on darwin arm64"


def test_the_hashes_that_ship_are_those_of_the_pins():
    """The same packages at the same versions, torch aside, each with a hash; no index, no address, no local build."""
    content = hashes.read_hashed(ROOT / hashes.FILE)
    assert dict(content.hashes) and dict(content.hashes.keys()) == hashes.hashable(), "run `make hashes`"
    assert all(content.hashes.values()) and HERE in content.platforms
    text = (ROOT / hashes.FILE).read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|\+cpu", text)
    assert hashes.text(content) == text, "as the command writes it, with the reason for what is left out"
    constrained = set(hashes.PIN.findall((ROOT / "constraints.txt").read_text()))
    assert len(constrained) == len(content.hashes) + len(hashes.LEFT_OUT)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Three pins, and a pip that reports these hashes for those it is asked for."""
    (tmp_path / "constraints.txt").write_text("# versions\na==1.0\nSome_Thing==2.0\ntorch==2.13.0\n")
    answers, asked = {"a": A, "some-thing": B}, []

    def pip(command, **_):
        wanted = [line.split("==") for line in open(command[-1]).read().splitlines()]
        asked.append((command, wanted))
        items = [
            {
                "metadata": {"name": name.replace("-", "_"), "version": version},
                "download_info": {"archive_info": {"hashes": {"sha256": answers[name]}} if answers[name] else {}},
            }
            for name, version in wanted
            if name in answers
        ]
        report = command[command.index("--report") + 1]
        with open(report, "w") as file:
            json.dump({"install": items}, file)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(hashes.subprocess, "run", pip)
    monkeypatch.setattr(hashes, "this_platform", lambda: HERE)
    return tmp_path, answers, asked


def test_pip_is_asked_for_every_pin_and_installs_nothing(project, capsys):
    root, _, asked = project
    assert hashes.main(root) == 0
    (command, wanted) = asked[0]
    assert wanted == [["a", "1.0"], ["some-thing", "2.0"]], "torch is not asked for"
    assert {"--dry-run", "--no-deps", "--ignore-installed"} <= set(command)
    written = (root / hashes.FILE).read_text()
    assert written.endswith(f"a==1.0 \\\n    --hash=sha256:{A}\nsome-thing==2.0 \\\n    --hash=sha256:{B}\n")
    assert f"# platform: {HERE}\n# not in here: torch, for " in written
    assert "2 packages, 2 files" in capsys.readouterr().out


def test_another_platform_adds_its_hashes_and_another_version_replaces_them(project, monkeypatch):
    root, answers, _ = project
    hashes.main(root)
    before = (root / hashes.FILE).read_text()
    hashes.main(root)
    assert (root / hashes.FILE).read_text() == before, "the same again is no change"
    monkeypatch.setattr(hashes, "this_platform", lambda: THERE)
    answers["some-thing"] = C
    hashes.main(root)
    content = hashes.read_hashed(root / hashes.FILE)
    assert content.platforms == (THERE, HERE)
    assert content.hashes == {("a", "1.0"): (A,), ("some-thing", "2.0"): (B, C)}
    (root / "constraints.txt").write_text("some.thing==3.0\n")
    hashes.main(root)
    assert hashes.read_hashed(root / hashes.FILE).hashes == {("some-thing", "3.0"): (C,)}


@pytest.mark.parametrize(
    "answer, said",
    [({"a": None}, "must give a SHA-256 for a==1.0, got none"), ({}, "pip must report a==1.0, got no such file")],
)
def test_a_pin_without_a_hash_is_said_and_nothing_is_written(project, answer, said, capsys):
    root, answers, _ = project
    del answers["a"]
    answers.update(answer)
    assert hashes.main(root) == 1
    assert said in capsys.readouterr().out and not (root / hashes.FILE).exists()


def test_what_pip_says_is_repeated(project, monkeypatch, capsys):
    root = project[0]
    refused = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for a==1.0\n")
    monkeypatch.setattr(hashes.subprocess, "run", lambda *_, **__: refused)
    assert hashes.main(root) == 1
    assert "found no file for a pin of constraints.txt:\nERROR: No matching" in capsys.readouterr().out
