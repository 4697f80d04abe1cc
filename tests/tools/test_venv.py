"""The environments: found, made, kept and made again, on this system and as Windows has them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tools import venv
from tools.chapters import ROOT


def test_a_name_that_leads_nowhere_is_no_python(tmp_path, monkeypatch):
    """A version manager leaves such names; also a Python of another version, and no program at all."""
    fake = tmp_path / "python3.11"
    fake.write_text("#!/bin/sh\necho 'python3.11: command not found' >&2; exit 127\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    here = ".".join(map(str, sys.version_info[:2]))
    assert not venv.runs(["python3.11"], "3.11") and not venv.runs(["no-such-python"], "3.11")
    assert venv.runs([sys.executable], here) and not venv.runs([sys.executable], "3.10")


def test_the_first_version_that_is_there_is_taken(tmp_path, monkeypatch):
    for name, version in (("python3.12", "3.12"), ("python3.13", "3.13"), ("py", "3.11")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert venv.find((".".join(map(str, sys.version_info[:2])), "3.13")) == [sys.executable]
    assert venv.find(("3.13", ".".join(map(str, sys.version_info[:2])))) == [sys.executable], (
        "what runs this comes first"
    )
    monkeypatch.setattr(sys, "executable", "no-such-python")
    assert venv.find() == ["py", "-3.11"], "as Windows names it"
    assert venv.find(("3.13", "3.12")) == ["python3.13"]
    with pytest.raises(ValueError, match=r"^Python 3\.9 must be installed, got none; .* --python$"):
        venv.find(("3.9",))


def test_half_an_environment_is_not_left(tmp_path):
    fake = tmp_path / "python-without-venv"
    fake.write_text(f"#!/bin/sh\nmkdir -p {tmp_path}/new/lib; echo no ensurepip >&2; exit 1\n")
    fake.chmod(0o755)
    with pytest.raises(ValueError, match=r"python-without-venv must be able .*, got no ensurepip; install its venv"):
        venv.make(tmp_path / "new", [str(fake)])
    assert not (tmp_path / "new").exists()


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The frame's files with an environment that is there; what its pip is asked, and whether it refuses."""
    for name in ("constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    python = venv.python_in(tmp_path / ".venv")
    python.parent.mkdir(parents=True)
    python.write_text("")
    words, refused = [], []

    def run(command, **_):
        words.append(" ".join(command[2:]))
        return subprocess.CompletedProcess(command, int(words[-1] in refused))

    monkeypatch.setattr(venv.subprocess, "run", run)
    monkeypatch.setattr(venv, "find", lambda: ["python"])
    return tmp_path, words, refused


def test_the_install_is_done_once_and_again_after_a_change_or_a_failure(asked):
    root, words, refused = asked
    refused += ["pip check"]
    with pytest.raises(ValueError, match="pip check must succeed"):
        venv.ready(root)
    refused.clear()
    words.clear()
    assert venv.ready(root) == venv.ready(root) == venv.python_in(root / ".venv")
    assert len(words) == 3
    (root / "constraints.txt").write_text("torch==2.13.1\n")
    venv.ready(root)
    assert len(words) == 6


def recipe() -> str:
    """What the Makefile does to make the environment, its variables filled in."""
    command = ["make", "--dry-run", "--always-make", ".venv/.ready"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True).communicate()[0]


def test_it_installs_what_the_makefile_installs(asked):
    root, words, _ = asked
    venv.ready(root)
    assert re.findall(r"-m (pip [^&\\]*?) &&", recipe().replace("'", "")) == words


def test_make_and_python_leave_the_same_stamp(asked):
    """So that neither installs again what the other did; the links of ``make address`` do not count."""
    root, _, _ = asked
    (shell,) = re.findall(r"&& (sed .*) > \S+$", recipe(), re.MULTILINE)
    by_make = subprocess.Popen(shell, shell=True, cwd=root, stdout=subprocess.PIPE, text=True).communicate()[0]
    assert venv.stamp(root) == by_make
    text = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(text.replace("# The links follow", "[project.urls]\n# The links follow"))
    assert venv.stamp(root) == by_make
